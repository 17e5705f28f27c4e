"""Labelled failures as arrays, and the numbers by which a failure is compared with the defects behind them.

Each number is about a failure and a defect, over all failures that the defect was seen to cause: whether one has the
same exception, how many of them do, and how many other defects have it too, by which a signal tells how far it can be
trusted here. What is rare is rare among defects, not among failures: one defect can fail a thousand tests.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from pytest_qeattention.defects.pattern import Pattern
from pytest_qeattention.defects.pattern_signals import BAGS, EQUAL

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

EQUAL_PARTS = ("of one", "share", "this defect alone", "other")
BAG_PARTS = ("nearest", "mean")
COLUMNS: tuple[tuple[str, str], ...] = (
    *((name, part) for name, _ in EQUAL for part in EQUAL_PARTS),
    *((name, part) for name, _ in BAGS for part in BAG_PARTS),
    ("attention", "share"),
    ("labelled failures", "log"),
)
"""Signal and part of each number of a failure and a defect."""
NEW_COLUMNS: tuple[tuple[str, str], ...] = (
    ("always", "1"),
    *((name, "of no defect") for name, _ in EQUAL),
    *((name, part) for name, _ in BAGS for part in ("of no defect", "nearest")),
    ("defects", "log"),
)
"""Signal and part of each number of a failure that may be a new defect."""
MOST_OF_A_DEFECT = 40
"""Labelled failures of a defect that are compared, the newest of them."""


class PatternTable:
    """Hold patterns and the defect of each, a number from 0 on; the newest pattern of a defect comes last."""

    def __init__(self, patterns: Sequence[Pattern], owners: Sequence[int]) -> None:
        self.count = max(owners, default=-1) + 1
        of_defect: defaultdict[int, list[int]] = defaultdict(list)
        for place, owner in enumerate(owners):
            of_defect[owner].append(place)
        kept = [place for owner in range(self.count) for place in of_defect[owner][-MOST_OF_A_DEFECT:]]
        self._owner = np.array([owners[place] for place in kept], np.int64)
        self._first = np.searchsorted(self._owner, np.arange(self.count + 1))
        self._numbers: list[dict[Hashable, int]] = []
        self._codes = np.full((len(EQUAL), len(kept)), -1, np.int32)
        self._defects_with: list[npt.NDArray[np.int32]] = []
        for at, (_, value_of) in enumerate(EQUAL):
            self._add_equal(at, [value_of(patterns[place]) for place in kept])
        self._words: list[dict[str, int]] = []
        self._rarity: list[FloatArray] = []
        self._rows: list[_Rows] = []
        self._unknown = math.log1p(2.0 * self.count)
        for _, bag_of in BAGS:
            self._add_bag([bag_of(patterns[place]) for place in kept])

    def _add_equal(self, at: int, values: Sequence[Hashable | None]) -> None:
        numbers: dict[Hashable, int] = {}
        for place, value in enumerate(values):
            if value is not None:
                self._codes[at, place] = numbers.setdefault(value, len(numbers))
        met = {(code, owner) for code, owner in zip(self._codes[at].tolist(), self._owner.tolist(), strict=True)}
        defects = np.zeros(len(numbers), np.int32)
        for code, _ in met:
            if code >= 0:
                defects[code] += 1
        self._numbers.append(numbers)
        self._defects_with.append(defects)

    def _add_bag(self, bags: Sequence[Mapping[str, float]]) -> None:
        numbers: dict[str, int] = {}
        met: set[tuple[int, int]] = set()
        indices: list[int] = []
        data: list[float] = []
        starts = [0]
        for bag, owner in zip(bags, self._owner.tolist(), strict=True):
            for word, weight in bag.items():
                number = numbers.setdefault(word, len(numbers))
                met.add((number, owner))
                indices.append(number)
                data.append(weight)
            starts.append(len(indices))
        defects = np.zeros(len(numbers))
        for number, _ in met:
            defects[number] += 1
        rarity = np.log1p(self.count / np.maximum(defects, 1.0))
        self._words.append(numbers)
        self._rarity.append(rarity)
        self._rows.append(_Rows(np.array(indices, np.int32), np.array(data, np.float32), np.array(starts), rarity))

    def compare(
        self, pattern: Pattern, defects: Sequence[int], attention: Sequence[float]
    ) -> tuple[FloatArray, FloatArray]:
        """Return the numbers of *pattern* and each of *defects*, of which there is one at least, and as a new defect.

        They are float64, (len(defects), len(`COLUMNS`)) and (len(`NEW_COLUMNS`),). *attention* is the share of
        attention that each of the defects has.
        """
        spans = [(int(self._first[each]), int(self._first[each + 1])) for each in defects]
        places = np.concatenate([np.arange(*span) for span in spans])
        sizes = np.array([last - first for first, last in spans])
        heads = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        out = np.zeros((len(defects), len(COLUMNS)))
        novelty = [1.0]
        for at, (_, value_of) in enumerate(EQUAL):
            value = value_of(pattern)
            code = self._numbers[at].get(value, -2)
            novelty.append(float(value is not None and code < 0))
            if value is None:
                continue
            theirs = self._codes[at, places]
            having = np.add.reduceat(theirs >= 0, heads, dtype=np.int64)
            same = np.add.reduceat(theirs == code, heads, dtype=np.int64)
            found = same > 0
            column = at * len(EQUAL_PARTS)
            out[:, column] = found
            out[:, column + 1] = same / np.maximum(having, 1)
            if code >= 0:
                out[:, column + 2] = found / self._defects_with[at][code]
            out[:, column + 3] = (having > 0) & ~found
        column = len(EQUAL) * len(EQUAL_PARTS)
        for at, (_, bag_of) in enumerate(BAGS):
            numbers, weights, length = self._weighed(at, bag_of(pattern))
            nearest = 0.0
            if length > 0.0 and len(numbers):
                cosines = self._rows[at].products(places, numbers, weights) / length
                out[:, column] = np.maximum.reduceat(cosines, heads)
                out[:, column + 1] = np.add.reduceat(cosines, heads) / sizes
                nearest = float(out[:, column].max())
            novelty += [1.0 - float(weights @ weights) / length**2 if length > 0.0 else 0.0, nearest]
            column += len(BAG_PARTS)
        out[:, column] = attention
        out[:, column + 1] = np.log(sizes)
        return out, np.array([*novelty, math.log(self.count)])

    def _weighed(self, at: int, bag: Mapping[str, float]) -> tuple[IntArray, FloatArray, float]:
        """Return the words of *bag* that are known, their weights, and the length of all."""
        words, rarity = self._words[at], self._rarity[at]
        pairs = [(number, weight * rarity[number]) for w, weight in bag.items() if (number := words.get(w)) is not None]
        unknown = sum((weight * self._unknown) ** 2 for word, weight in bag.items() if word not in words)
        weights = np.array([weight for _, weight in pairs])
        return (
            np.array([number for number, _ in pairs], np.int64),
            weights,
            math.sqrt(unknown + float(weights @ weights)),
        )


class _Rows:
    """Hold rows of words of length 1."""

    def __init__(
        self, indices: npt.NDArray[np.int32], data: npt.NDArray[np.float32], starts: IntArray, rarity: FloatArray
    ) -> None:
        self._indices, self._starts = indices, starts
        self._dense = np.zeros(len(rarity), np.float32)
        weighed = data * rarity[indices].astype(np.float32)
        owner = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        length = np.sqrt(np.bincount(owner, weighed.astype(np.float64) ** 2, minlength=len(starts) - 1))
        self._data = (weighed / np.maximum(length, 1e-12)[owner]).astype(np.float32)

    def products(self, places: IntArray, numbers: IntArray, weights: FloatArray) -> FloatArray:
        """Return the products of rows *places* with a bag of *numbers* and *weights*."""
        first, last = self._starts[places], self._starts[places + 1]
        sizes = last - first
        total = int(sizes.sum())
        if not total:
            return np.zeros(len(places))
        ends = np.cumsum(sizes)
        at = np.arange(total) + np.repeat(first - (ends - sizes), sizes)
        self._dense[numbers] = weights
        gained = self._data[at] * self._dense[self._indices[at]]
        self._dense[numbers] = 0.0
        owner = np.repeat(np.arange(len(places)), sizes)
        return np.asarray(np.bincount(owner, gained, minlength=len(places)), np.float64)

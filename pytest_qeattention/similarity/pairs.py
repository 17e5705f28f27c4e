"""Pairs of units that may belong together, and one score for each.

A pair's score is a logistic function of seven facts: how alike the weighted features are, how much of the code is
common in order, whether the normal forms are equal, and where the two stand. Both kinds of evidence have to agree:
neither wording nor structure alone reaches the score from which a group is reported.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pytest_qeattention.attention import csr_pair_dots, lcs_lengths
from pytest_qeattention.index import nearest
from pytest_qeattention.similarity.describe import Description
from pytest_qeattention.similarity.evidence import Features, block_dots, sketch, weigh
from pytest_qeattention.similarity.model import Unit

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

FACTS = (
    "cosine",
    "same literal form",
    "same shape",
    "common sequence",
    "same file",
    "same class",
    "log distance in file",
)


@dataclass(frozen=True, slots=True)
class PairModel:
    """Hold a logistic model of a pair's facts."""

    weights: tuple[float, ...]
    """One for each of `FACTS`."""
    intercept: float


# Fitted by benchmarks/quality/similar.py on tests that maintainers folded, every project of the same weight; the
# quality that is published (benchmarks/results) is of models that had not seen the project they answered for.
SHIPPED = PairModel((7.126, 0.111, 0.461, 1.918, 2.919, 1.007, -0.134), -10.568)

# Pairs below this cosine were never siblings that another fact would have saved.
COSINE_FLOOR = 0.2
# Tests of other files that are looked at for each test.
CANDIDATES = 20
# In a file of more tests than this only each test's best partners are scored: all pairs would take memory and time by
# the square of its size.
DENSE_FILE = 512
BEST_IN_FILE = 64
# Longer tests are compared by their first tokens: the memory of a comparison grows with the square of the length.
LONGEST_SEQUENCE = 4096


@dataclass(frozen=True, slots=True)
class Facts:
    """Number what is compared about each unit; arrays of one entry a unit."""

    file: IntArray
    scope: IntArray
    ordinal: IntArray
    length: IntArray
    literal: IntArray
    shape: IntArray
    identity: IntArray
    """Equal for units of the same exact form whose free names stand for the same things."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Hold scored pairs, ``left`` < ``right``, by left and right."""

    left: IntArray
    right: IntArray
    cosine: FloatArray
    common: FloatArray
    """Share of the two token sequences that is common in order, 0 to 1."""
    score: FloatArray
    """0 to 1."""
    usual: npt.NDArray[np.bool_]
    """Whether the pair is looked at without neighbours being asked for: groups are made of these alone."""
    search: str
    """How partners in other files were found: ``exact`` or ``hnsw``."""


def _numbered(values: Sequence[object]) -> IntArray:
    numbers: dict[object, int] = {}
    return np.fromiter((numbers.setdefault(value, len(numbers)) for value in values), np.int64, len(values))


def gather_facts(units: Sequence[Unit], descriptions: Sequence[Description], bindings: Sequence[str]) -> Facts:
    """Number files, scopes and forms of *units*, which are in order of path and line."""
    file = _numbered([unit.path for unit in units])
    # Units of a file follow each other, so a file's first unit is where its number first stands.
    first = np.unique(file, return_index=True)[1][file]
    return Facts(
        file=file,
        scope=_numbered([(unit.path, unit.qualname.rpartition("::")[0]) for unit in units]),
        ordinal=np.arange(len(units)) - first,
        length=np.fromiter((len(d.sequence) // 4 for d in descriptions), np.int64, len(descriptions)),
        literal=_numbered([description.literal for description in descriptions]),
        shape=_numbered([description.shape for description in descriptions]),
        identity=_numbered([(d.exact, binding) for d, binding in zip(descriptions, bindings, strict=True)]),
    )


@dataclass(frozen=True, slots=True)
class _Found:
    """Hold pairs before they are scored, ``left`` < ``right``."""

    left: IntArray
    right: IntArray
    cosine: FloatArray
    usual: npt.NDArray[np.bool_]
    search: str = "exact"


@dataclass(frozen=True, slots=True)
class _Finder:
    """Find the pairs that are worth scoring."""

    features: Features
    vectors: npt.NDArray[np.float32]
    file: IntArray
    neighbors: int
    num_threads: int | None
    cache_dir: Path | None

    def find(self) -> list[_Found]:
        borders = np.flatnonzero(self.file[1:] != self.file[:-1]) + 1
        found = [self._nearest(np.arange(len(self.file)), CANDIDATES, across_files=True)]
        for start, stop in itertools.pairwise([0, *borders.tolist(), len(self.file)]):
            rows = np.arange(start, stop)
            if len(rows) > DENSE_FILE:
                found.append(self._nearest(rows, BEST_IN_FILE, across_files=False))
            elif len(rows) > 1:
                found.append(self._all(rows))
        return found

    def _all(self, rows: IntArray) -> _Found:
        dots = block_dots(self.features, rows)
        left, right = np.nonzero(np.triu(dots >= self._floor(), 1))
        cosine = dots[left, right].astype(np.float64)
        return _Found(rows[left], rows[right], cosine, cosine >= COSINE_FLOOR)

    def _nearest(self, rows: IntArray, usual: int, *, across_files: bool) -> _Found:
        """Pair each of *rows* with its nearest among them; *usual* of these are looked at in any case."""
        if len(rows) < 2:
            none = np.empty(0, np.int64)
            return _Found(none, none, np.empty(0), np.empty(0, bool))
        k = min(max(usual, self.neighbors), len(rows) - 1)
        found = nearest(self.vectors[rows], k, num_threads=self.num_threads, cache_dir=self.cache_dir)
        partner = rows[found.indices]
        keys = self._keys(rows, partner, across_files)
        is_usual = np.isin(keys, self._keys(rows, partner[:, :usual], across_files))
        left, right = keys // len(self.file), keys % len(self.file)
        dots = csr_pair_dots(
            self.features.indptr,
            self.features.indices,
            self.features.values,
            left,
            right,
            num_threads=self.num_threads,
        )
        cosine = dots.astype(np.float64)
        kept = cosine >= self._floor()
        is_usual &= cosine >= COSINE_FLOOR
        return _Found(left[kept], right[kept], cosine[kept], is_usual[kept], found.mode)

    def _keys(self, rows: IntArray, partner: IntArray, across_files: bool) -> IntArray:
        """Number the distinct pairs of a row and its partners, ascending by left and right."""
        row, other = np.repeat(rows, partner.shape[1]), partner.ravel()
        if across_files:
            away = self.file[row] != self.file[other]
            row, other = row[away], other[away]
        return np.unique(np.minimum(row, other) * len(self.file) + np.maximum(row, other))

    def _floor(self) -> float:
        return COSINE_FLOOR if self.neighbors == 0 else -1.0


def pair_facts(facts: Facts, left: IntArray, right: IntArray, cosine: FloatArray, common: FloatArray) -> FloatArray:
    """Return the facts of each pair in the order of `FACTS`, float64 (len(left), 7)."""
    same_file = facts.file[left] == facts.file[right]
    distance = np.abs(facts.ordinal[left] - facts.ordinal[right])
    return np.stack(
        [
            cosine,
            facts.literal[left] == facts.literal[right],
            facts.shape[left] == facts.shape[right],
            common,
            same_file,
            facts.scope[left] == facts.scope[right],
            np.where(same_file, np.log(np.maximum(distance, 1)), 0.0),
        ],
        axis=1,
    ).astype(np.float64)


def common_share(
    descriptions: Sequence[Description], left: IntArray, right: IntArray, num_threads: int | None = None
) -> FloatArray:
    """Return twice the longest common subsequence over the sum of lengths, for each pair."""
    size = 4 * LONGEST_SEQUENCE
    sequences = [description.sequence[:size] for description in descriptions]
    offsets = np.zeros(len(sequences) + 1, np.int64)
    np.cumsum([len(sequence) // 4 for sequence in sequences], out=offsets[1:])
    tokens = np.frombuffer(b"".join(sequences), np.uint32)
    common = lcs_lengths(tokens, offsets, left, right, num_threads=num_threads)
    length = np.diff(offsets)
    share: FloatArray = 2.0 * common / np.maximum(length[left] + length[right], 1)
    return share


def logistic(values: FloatArray) -> FloatArray:
    """Return 1 / (1 + exp(-values)) without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * values))


def score_pairs(
    units: Sequence[Unit],
    descriptions: Sequence[Description],
    facts: Facts,
    *,
    model: PairModel = SHIPPED,
    neighbors: int = 0,
    num_threads: int | None = None,
    cache_dir: Path | None = None,
) -> Pairs:
    """Find the pairs worth scoring, all of a file and the nearest across files, and score them.

    With *neighbors* above 0 every unit gets at least that many partners, however far they are.
    """
    features = weigh(descriptions)
    found = _Finder(features, sketch(features), facts.file, neighbors, num_threads, cache_dir).find()
    left = np.concatenate([part.left for part in found])
    right = np.concatenate([part.right for part in found])
    order = np.lexsort((right, left))
    left, right = left[order], right[order]
    cosine = np.clip(np.concatenate([part.cosine for part in found])[order], 0.0, 1.0)
    usual = np.concatenate([part.usual for part in found])[order]
    common = np.zeros(len(left))
    close = cosine >= COSINE_FLOOR
    common[close] = common_share(descriptions, left[close], right[close], num_threads)
    search = found[0].search
    return rescore(facts, Pairs(left, right, cosine, common, np.zeros(len(left)), usual, search), model)


def rescore(facts: Facts, pairs: Pairs, model: PairModel) -> Pairs:
    """Return *pairs* scored by *model*; units of the same identity score 1."""
    values = pair_facts(facts, pairs.left, pairs.right, pairs.cosine, pairs.common)
    score = logistic(values @ np.array(model.weights) + model.intercept)
    score[facts.identity[pairs.left] == facts.identity[pairs.right]] = 1.0
    return replace(pairs, score=score)

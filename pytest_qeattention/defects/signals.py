"""What two failures of a run have in common: signals, each with what it says where a side has nothing to compare.

A signal that both failures have is equal or not (an exception's type, the frame of the product that raised), or more or
less alike (words of messages, frames, tests). What is rare in the run counts for more, and so do frames near the place
that raised: the weighted bag of frames with its cosine is what FaST (Rodrigues, Aloise & Fernandes, 2022) aligns in
linear time. A signal that one side lacks, or both, is neutral, and known to be missing.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from pytest_qeattention.defects.record import FailureRecord, Frame
from pytest_qeattention.syntax.words import WORD, words_of

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

_COREFERENCE = re.compile(r"<([\w ]+):\d+>")
_EXCEPTION = re.compile(r"\b[A-Z]\w*(?:Error|Exception|Warning|Exit|Interrupt)\b")
_LONGEST_PREFIX = 12
MOST_COLUMNS = 1024
"""Words that are compared between failures; the rarer they are, and the oftener shared, the sooner they are kept."""
CODES = ("status", "errno")
"""Kinds of typed values by which failures part: a 404 is no 503."""


def is_of_product(frame: Frame) -> bool:
    """Tell whether *frame* is code of the project itself."""
    return frame.role == "product"


def address(frame: Frame) -> str:
    """Return what stays of a frame when lines move: path and function."""
    return f"{frame.path}::{frame.qualname}"


def root_frames(record: FailureRecord) -> tuple[Frame, ...]:
    """Return the frames of the exception that all else came from, outermost first."""
    return () if record.root is None else record.root.frames


def product_frames(record: FailureRecord) -> tuple[Frame, ...]:
    """Return the frames of the product that the root exception went through, outermost first."""
    return tuple(filter(is_of_product, root_frames(record)))


def plain(template: str) -> str:
    """Return *template* without which values are met again."""
    return _COREFERENCE.sub(r"<\1>", template)


def plain_template(record: FailureRecord) -> str | None:
    """Return the plain template of the root message."""
    return None if record.root is None else plain(record.root.masked.template)


def codes_of(record: FailureRecord) -> tuple[tuple[str, str], ...]:
    """Return the first status code and the first errno of the root message, the first being what was met."""
    found: dict[str, str] = {}
    for kind, value in () if record.root is None else record.root.masked.typed:
        if kind in CODES:
            found.setdefault(kind, value)
    return tuple(sorted(found.items()))


def _raising(record: FailureRecord) -> Frame | None:
    frames = root_frames(record)
    return frames[-1] if frames and frames[-1].role != "test" else None


def _test_statement(record: FailureRecord) -> str | None:
    for raised in record.chain:
        for frame in reversed(raised.frames):
            if frame.role == "test":
                return frame.statement or None
    return None


def _innermost(record: FailureRecord) -> Frame | None:
    frames = product_frames(record)
    return frames[-1] if frames else None


def _where(frame: Frame | None) -> str | None:
    return None if frame is None else address(frame)


EQUAL: tuple[tuple[str, Callable[[FailureRecord], Hashable | None]], ...] = (
    ("root type", lambda r: None if r.root is None else r.root.type),
    ("outermost type", lambda r: r.chain[0].type if len(r.chain) > 1 else None),
    ("message", lambda r: None if r.root is None else (r.root.type, r.root.masked.template)),
    ("message but for repeated values", lambda r: None if r.root is None else (r.root.type, plain_template(r))),
    ("culprit", lambda r: _where(r.culprit)),
    ("product frame that raised", lambda r: _where(_innermost(r))),
    ("product statement that raised", lambda r: None if (f := _innermost(r)) is None else (address(f), f.statement)),
    ("frame that raised", lambda r: _where(_raising(r))),
    ("statement of the test", _test_statement),
    ("failing fixture", lambda r: r.test.failing_fixture),
    ("phase", lambda r: r.phase),
    (
        "kind of difference",
        lambda r: (
            None
            if r.assertion is None or not r.assertion.difference
            else (r.assertion.operator, r.assertion.difference)
        ),
    ),
    (
        "types of operands",
        lambda r: None if r.assertion is None or not r.assertion.left else (r.assertion.left, r.assertion.right),
    ),
    ("function asserted of", lambda r: None if r.assertion is None else r.assertion.called or None),
    ("test file", lambda r: r.test.path or None),
    ("test class", lambda r: (r.test.path, r.test.qualname.rpartition("::")[0]) if "::" in r.test.qualname else None),
    ("test function", lambda r: (r.test.path, r.test.qualname) if r.test.qualname else None),
)
"""Signals that are equal or not, None where a failure has none."""


def _message_words(record: FailureRecord) -> dict[str, float]:
    counted = Counter(word for raised in record.chain for word in words_of(raised.masked.template))
    return {word: 1.0 + float(np.log(count)) for word, count in counted.items()}


def _typed(record: FailureRecord) -> dict[str, float]:
    return {} if record.root is None else {f"{kind}={value}": 1.0 for kind, value in record.root.masked.typed}


def _by_place(frames: Sequence[Frame]) -> dict[str, float]:
    """Weigh frames by how near they are to the place that raised; a recursive call's frames are told apart."""
    found: dict[str, float] = {}
    met: Counter[str] = Counter()
    for place, frame in enumerate(reversed(frames)):
        name = address(frame)
        met[name] += 1
        found[f"{name} {met[name]}"] = 1.0 / (1.0 + place)
    return found


def _frames(record: FailureRecord) -> dict[str, float]:
    return _by_place([frame for frame in root_frames(record) if frame.role != "test"])


def _exceptions(record: FailureRecord) -> dict[str, float]:
    """Return the exceptions that were raised or that a message names, as ``assert not KeyError('a')`` does."""
    texts = [text for raised in record.chain for text in (raised.type, raised.masked.template)]
    found = dict.fromkeys((name for text in texts for name in _EXCEPTION.findall(text)), 1.0)
    if len(found) > 1:
        # What an assert says of another exception tells more than that it was an assert.
        found.pop("AssertionError", None)
    return found


def _fixtures(record: FailureRecord) -> dict[str, float]:
    return dict.fromkeys(record.test.fixtures, 1.0)


BAGS: tuple[tuple[str, Callable[[FailureRecord], Mapping[str, float]]], ...] = (
    ("words of messages", _message_words),
    ("typed values", _typed),
    ("frames", _frames),
    ("product frames", lambda r: _by_place(product_frames(r))),
    ("exceptions named", _exceptions),
    ("logs", lambda r: dict.fromkeys(r.logs, 1.0)),
    ("names of tests", lambda r: dict.fromkeys(words_of(r.test.qualname), 1.0)),
    ("fixtures", _fixtures),
    ("parameters", lambda r: {f"{name}={text}": 1.0 for name, text in r.test.parameters}),
    ("words of tests", lambda r: dict.fromkeys(WORD.findall(r.test.source), 1.0)),
)
"""Signals that are more or less alike: words with weights, empty where a failure has none."""

VECTORS = "vectors of tests"
PARTING = "product frames part"
CONFLICT = "codes conflict"
TEST_SIGNALS = frozenset(
    ("test file", "test class", "test function", "names of tests", "fixtures", "parameters", "words of tests", VECTORS)
)
FRAME_SIGNALS = frozenset(
    (
        *("culprit", "product frame that raised", "product statement that raised", "frame that raised", "frames"),
        *("product frames", PARTING),
    )
)
ALIKE = (*(name for name, _ in BAGS), VECTORS)
EQUAL_PARTS = ("same", "rare and same", "other", "on one side")
BAG_PARTS = ("cosine", "on both sides", "on one side")
COLUMNS: tuple[tuple[str, str], ...] = (
    *((name, part) for name, _ in EQUAL for part in EQUAL_PARTS),
    *((name, part) for name in ALIKE for part in BAG_PARTS),
    (PARTING, "true"),
    (CONFLICT, "true"),
)
"""Signal and part of each number that a pair has."""


@dataclass(frozen=True, slots=True)
class Background:
    """Say in how many records of an earlier time each thing was met, to tell what is rare in a small run."""

    total: int = 0
    counts: Mapping[tuple[str, Hashable], int] = field(default_factory=dict)
    """By signal and value."""

    def count(self, signal: str, value: Hashable) -> int:
        """Return in how many of `total` records *signal* had *value*."""
        return self.counts.get((signal, value), 0)


_NOTHING = Background()


class Signals:
    """Compare failures of one run, each given once; *vectors* are those of their tests, float (len(records), any).

    What is rare is counted in *records*, and in *background* where that is given.
    """

    def __init__(
        self,
        records: Sequence[FailureRecord],
        *,
        vectors: npt.NDArray[np.floating] | None = None,
        background: Background = _NOTHING,
    ) -> None:
        self.count = len(records)
        self._codes = np.empty((len(EQUAL), self.count), np.int64)
        self._rarity = np.zeros((len(EQUAL), self.count), np.float32)
        total = self.count + background.total
        for at, (name, value_of) in enumerate(EQUAL):
            values = [value_of(record) for record in records]
            met = Counter(value for value in values if value is not None)
            numbers = {value: number for number, value in enumerate(met)}
            self._codes[at] = [-1 if value is None else numbers[value] for value in values]
            self._rarity[at] = [
                0.0 if value is None else _rarity(met[value] + background.count(name, value), total) / _rarity(1, total)
                for value in values
            ]
        bags = [_matrix([dict(bag(r)) for r in records], name, background) for name, bag in BAGS]
        bags.append(_directions(vectors, self.count))
        self._bags = [matrix for matrix, _ in bags]
        self._known = np.vstack([self._codes >= 0, *(known for _, known in bags)]).astype(np.float32)
        self._prefixes = _prefixes([[address(frame) for frame in product_frames(record)] for record in records])
        self._typed = _first_codes(records)

    def values(self, left: IntArray, right: IntArray) -> FloatArray:
        """Return the numbers of pairs of failures, float32 (len(left), len(`COLUMNS`))."""
        out = np.empty((len(left), len(COLUMNS)), np.float32)
        column = 0
        for at in range(len(EQUAL)):
            one, other = self._codes[at, left], self._codes[at, right]
            same = (one == other) & (one >= 0)
            both = self._known[at, left] * self._known[at, right]
            out[:, column] = same
            out[:, column + 1] = same * self._rarity[at, left]
            out[:, column + 2] = both - same
            out[:, column + 3] = self._known[at, left] + self._known[at, right] - 2 * both
            column += len(EQUAL_PARTS)
        for at, bag in enumerate(self._bags, len(EQUAL)):
            both = self._known[at, left] * self._known[at, right]
            out[:, column] = np.einsum("ij,ij->i", bag[left], bag[right])
            out[:, column + 1] = both
            out[:, column + 2] = self._known[at, left] + self._known[at, right] - 2 * both
            column += len(BAG_PARTS)
        out[:, column] = self.parting(left, right)
        out[:, column + 1] = self.conflict(left, right)
        return out

    def weighed(self, weights: FloatArray, rows: slice, columns: slice) -> FloatArray:
        """Return the sums of *weights* (one of each of `COLUMNS`) times numbers, for all pairs of two ranges.

        The result is float32 (rows, columns), the same as ``values(...) @ weights`` but for rounding.
        """
        n = len(EQUAL)
        equal = weights[: n * len(EQUAL_PARTS)].reshape(n, len(EQUAL_PARTS))
        alike = weights[n * len(EQUAL_PARTS) : -2].reshape(len(ALIKE), len(BAG_PARTS))
        here, there = self._known[:, rows], self._known[:, columns]
        lone = np.concatenate([equal[:, 3], alike[:, 2]])
        both = np.concatenate([equal[:, 2], alike[:, 1]]) - 2 * lone
        total: FloatArray = (here * both[:, None]).T @ there
        total += (lone @ here)[:, None] + lone @ there
        for at in range(n):
            same, rare, other = equal[at, :3]
            if same == rare == other == 0.0:
                continue
            one, two = self._codes[at, rows], self._codes[at, columns]
            gain = np.where(one >= 0, same - other + rare * self._rarity[at, rows], np.float32(0.0))
            # Where both have none the codes are equal too, and the gain is nothing.
            total += (one[:, None] == two) * gain.astype(np.float32)[:, None]
        for at, bag in enumerate(self._bags):
            if alike[at, 0] != 0.0 and bag.shape[1]:
                total += (alike[at, 0] * bag[rows]) @ bag[columns].T
        left, right = np.arange(self.count)[rows][:, None], np.arange(self.count)[columns][None, :]
        for weight, what in ((weights[-2], self.parting), (weights[-1], self.conflict)):
            if weight != 0.0:
                total += weight * what(left, right)
        return total

    def parting(self, left: IntArray, right: IntArray) -> npt.NDArray[np.bool_]:
        """Tell whether the product's frames of two failures begin alike and then go different ways."""
        agrees = None
        parts = None
        for place in range(self._prefixes.shape[0]):
            one, other = self._prefixes[place, left], self._prefixes[place, right]
            same = (one == other) & (one >= 0)
            if agrees is None or parts is None:
                agrees, parts = same, np.zeros(same.shape, bool)
                continue
            parts |= agrees & (one != other) & (one >= 0) & (other >= 0)
            agrees = agrees & same
            if not agrees.any():
                break
        return np.zeros(np.broadcast_shapes(left.shape, right.shape), bool) if parts is None else parts

    def conflict(self, left: IntArray, right: IntArray) -> npt.NDArray[np.bool_]:
        """Tell whether both failures met a status code or an errno, and not the same."""
        found = np.zeros(np.broadcast_shapes(left.shape, right.shape), bool)
        for codes in self._typed:
            one, other = codes[left], codes[right]
            if codes.max(initial=-1) >= 1:
                found |= (one != other) & (one >= 0) & (other >= 0)
        return found


def _rarity(count: int, total: int) -> float:
    return float(np.log1p(total / count))


def _matrix(bags: Sequence[Mapping[str, float]], name: str, background: Background) -> tuple[FloatArray, FloatArray]:
    """Return one row of length at most 1 for each bag, whose products are cosines, and which bags hold anything."""
    met = Counter(word for bag in bags for word in bag)
    total = len(bags) + background.total
    rarity = {word: _rarity(count + background.count(name, word), total) for word, count in met.items()}
    # A word of one failure alone adds to its length, not to a product.
    shared = sorted((word for word, count in met.items() if count > 1), key=lambda w: (-met[w] * rarity[w] ** 2, w))
    column = {word: at for at, word in enumerate(sorted(shared[:MOST_COLUMNS]))}
    matrix = np.zeros((len(bags), len(column)), np.float32)
    known = np.zeros(len(bags), np.float32)
    for row, bag in enumerate(bags):
        length = float(np.sqrt(sum((weight * rarity[word]) ** 2 for word, weight in sorted(bag.items()))))
        known[row] = length > 0.0
        for word, weight in bag.items():
            if word in column:
                matrix[row, column[word]] = weight * rarity[word] / length
    return matrix, known


def _directions(vectors: npt.NDArray[np.floating] | None, count: int) -> tuple[FloatArray, FloatArray]:
    if vectors is None:
        return np.zeros((count, 0), np.float32), np.zeros(count, np.float32)
    if vectors.ndim != 2 or len(vectors) != count:
        raise ValueError(f"vectors have shape {vectors.shape}, not one row for each of {count} failures")
    length = np.linalg.norm(vectors, axis=1)
    matrix = np.asarray(vectors / np.where(length > 0, length, 1.0)[:, None], np.float32)
    return matrix, (length > 0).astype(np.float32)


def _prefixes(stacks: Sequence[Sequence[str]]) -> IntArray:
    """Number the first frames of each stack, outermost first, -1 past its end; (places, len(stacks))."""
    numbers: dict[str, int] = {}
    out = np.full((_LONGEST_PREFIX, len(stacks)), -1, np.int64)
    for at, stack in enumerate(stacks):
        for place, name in enumerate(stack[:_LONGEST_PREFIX]):
            out[place, at] = numbers.setdefault(name, len(numbers))
    return out


def _first_codes(records: Sequence[FailureRecord]) -> list[IntArray]:
    out = []
    for kind in CODES:
        numbers: dict[str, int] = {}
        first = [dict(codes_of(record)).get(kind) for record in records]
        codes = [-1 if value is None else numbers.setdefault(value, len(numbers)) for value in first]
        out.append(np.array(codes, np.int64))
    return out

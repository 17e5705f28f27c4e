"""Shapes of the statements of tests: what stays of a test that was copied and got other names, values and calls.

A statement's shape is its part of the literal form (see `forms`) with a hole for whatever is a name: the kinds of its
nodes in order. A statement inside another stands for itself. A test's features are the shapes of its statements and the
pairs of shapes that follow each other, its beginning and its end being partners too. They are weighed by how often the
test has them and by how few other tests do.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pytest_qeattention.similarity.describe import Description
from pytest_qeattention.similarity.words import token_id

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
HashArray = npt.NDArray[np.uint64]

# A single statement is of the same shape as many others that have nothing to do with it.
LEAST_STATEMENTS = 2
# Added to the product of two lengths, a feature that one test alone has being of length 1: short tests are alike by
# chance. Average precision of copies on trio, tornado and h5py (benchmarks/quality/copies.py) was .955 or .956 with
# 0.5, 0.75, 1 and 1.5; that of ranking folded tests' partners (benchmarks/quality/counterparts.py) was best with 1.5.
DOUBT = 1.5

_HOLE = np.uint64(1)
_BEGINNING, _END = np.uint64(2), np.uint64(3)
# Odd multipliers that spread the parts of a hash over 64 bits (those of xxHash).
_NEXT, _LEFT, _RIGHT = np.uint64(0x9E3779B185EBCA87), np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0x165667B19E3779F9)


def _kinds_of(kind: type[ast.AST]) -> Iterator[str]:
    for each in kind.__subclasses__():
        yield each.__name__
        yield from _kinds_of(each)


def _tokens(*names: str) -> npt.NDArray[np.uint32]:
    return np.unique(np.array([token_id(name) for name in names], np.uint32))


_KINDS = _tokens("#", "Attribute", *(f"({name}" for name in _kinds_of(ast.AST)))
_OPENS_STATEMENT = np.isin(_KINDS, _tokens("(ExceptHandler", "(match_case", *(f"({n}" for n in _kinds_of(ast.stmt))))


@dataclass(frozen=True, slots=True, eq=False)
class Likeness:
    """Hold how alike the shapes of n tests are to those of one, float64 (n,) from 0 to 1."""

    cosine: FloatArray
    share: FloatArray
    """The cosine less what is in doubt; 0 where either test has fewer than `LEAST_STATEMENTS`."""


class StatementShapes:
    """Hold the shapes of the statements of n tests."""

    def __init__(self, descriptions: Sequence[Description]) -> None:
        n = len(descriptions)
        shapes, unit = _statements([description.sequence for description in descriptions])
        self._statements = np.bincount(unit, minlength=n)
        distinct, feature = np.unique(_with_pairs(shapes, unit), return_inverse=True)
        last = _last_of_each(unit)
        cells, counts = np.unique(
            np.concatenate((unit, unit, unit[last])) * max(len(distinct), 1) + feature, return_counts=True
        )
        self._unit, self._feature = np.divmod(cells, max(len(distinct), 1))
        tests_with = np.bincount(self._feature, minlength=len(distinct))
        rarity = np.log((1 + n) / (1 + tests_with)) / np.log(1 + max(n, 1))
        self._values = (1 + np.log(counts)) * rarity[self._feature]
        self._lengths = np.sqrt(np.bincount(self._unit, self._values**2, minlength=n))
        self._width = len(distinct)

    def beside(self, chosen: int) -> Likeness:
        """Return how alike every test is to the one of number *chosen*, itself included."""
        of_chosen = slice(*np.searchsorted(self._unit, (chosen, chosen + 1)))
        asked = np.zeros(self._width)
        asked[self._feature[of_chosen]] = self._values[of_chosen]
        dots = np.bincount(self._unit, self._values * asked[self._feature], minlength=len(self._lengths))
        lengths = self._lengths * self._lengths[chosen]
        share = dots / (lengths + DOUBT)
        share[np.minimum(self._statements, self._statements[chosen]) < LEAST_STATEMENTS] = 0.0
        return Likeness(np.clip(dots / np.maximum(lengths, 1e-12), 0.0, 1.0), share)


def _statements(sequences: Sequence[bytes]) -> tuple[HashArray, IntArray]:
    """Return the hash of the shape of each statement, and the number of its test, in order."""
    ends = np.append(0, np.cumsum([len(sequence) // 4 for sequence in sequences])).astype(np.int64)
    tokens = np.frombuffer(b"".join(sequences), np.uint32)
    kind = np.minimum(np.searchsorted(_KINDS, tokens), len(_KINDS) - 1)
    is_kind = _KINDS[kind] == tokens
    starts = np.flatnonzero(is_kind & _OPENS_STATEMENT[kind])
    unit = np.searchsorted(ends, starts, side="right") - 1
    if not len(starts):
        return np.empty(0, np.uint64), unit
    # What stands before a test's first statement, its arguments, is part of none.
    lengths = np.minimum(np.append(starts[1:], len(tokens)), ends[unit + 1]) - starts
    first = np.cumsum(lengths) - lengths
    place = np.arange(int(lengths.sum())) - np.repeat(first, lengths)
    at = place + np.repeat(starts, lengths)
    powers = np.multiply.accumulate(np.full(int(lengths.max()), _NEXT))
    parts = np.where(is_kind[at], tokens[at].astype(np.uint64), _HOLE) * powers[place]
    return np.add.reduceat(parts, first), unit


def _last_of_each(unit: IntArray) -> IntArray:
    """Return where the last statement of each test stands."""
    return np.flatnonzero(np.append(unit[1:] != unit[:-1], True)) if len(unit) else unit


def _with_pairs(shapes: HashArray, unit: IntArray) -> HashArray:
    """Return *shapes*, of each its pair with the one before it, and the pairs of tests' last shapes with their ends."""
    before = np.append(_BEGINNING, shapes[:-1])[: len(shapes)]
    before[1:][unit[1:] != unit[:-1]] = _BEGINNING
    last = shapes[_last_of_each(unit)]
    return np.concatenate((shapes, before * _LEFT + shapes * _RIGHT, last * _LEFT + _END * _RIGHT))

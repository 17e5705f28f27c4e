"""How probable it is that a failure is one of the defects that failures were labelled with.

The labelled failures nearest to it are found in two ways: those it attends to (`pattern_vectors`), and those that
share something rare with it (`pattern_index`). The defects behind them are compared over all that they were seen to do
(`pattern_table`), and the model weighs the numbers.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pytest_qeattention.defects.match_model import MatchModel
from pytest_qeattention.defects.pattern import Pattern
from pytest_qeattention.defects.pattern_index import PatternIndex
from pytest_qeattention.defects.pattern_table import COLUMNS, NEW_COLUMNS, FloatArray, PatternTable
from pytest_qeattention.defects.pattern_vectors import PatternVectors

MOST_COMPARED = 12
"""Defects that a failure is compared with."""


@dataclass(frozen=True, slots=True)
class Compared:
    """Hold a failure beside the defects that it may be."""

    defects: tuple[int, ...]
    numbers: FloatArray
    """(len(defects), len(COLUMNS))."""
    novelty: FloatArray
    """(len(NEW_COLUMNS),)."""
    is_framed: bool
    """Whether the failure's traceback goes through the product."""


class Scorer:
    """Compare failures with *patterns*, those of one defect having the same number in *owners*, newest last."""

    def __init__(self, patterns: Sequence[Pattern], owners: Sequence[int], model: MatchModel) -> None:
        self.model = model
        self._owners = np.array(owners, np.int64)
        self._table = PatternTable(patterns, owners)
        self._index = PatternIndex(patterns)
        self._vectors = PatternVectors(self._index, patterns)

    def compare(self, patterns: Sequence[Pattern]) -> list[Compared]:
        """Return each of *patterns* beside the defects that it may be, those with most attention first."""
        attended = self._vectors.attended(patterns)
        return [self._compared(pattern, near) for pattern, near in zip(patterns, attended, strict=True)]

    def likeness(self, pattern: Pattern, others: Sequence[Pattern]) -> float:
        """Return the cosine of *pattern* and the nearest of *others*, which need not be known."""
        return float((self._vectors.of(others) @ self._vectors.of([pattern])[0]).max())

    def likeness_of(self, pattern: Pattern, defect: int) -> float:
        """Return the cosine of *pattern* and the nearest known failure of *defect*."""
        return float((self._vectors.keys[self._owners == defect] @ self._vectors.of([pattern])[0]).max())

    def _compared(self, pattern: Pattern, near: Sequence[tuple[int, float]]) -> Compared:
        attention: dict[int, float] = {}
        for place, share in near:
            owner = int(self._owners[place])
            attention[owner] = attention.get(owner, 0.0) + share
        ranked = sorted(attention, key=lambda owner: (-attention[owner], owner))
        by_index = dict.fromkeys(int(self._owners[place]) for place in self._index.near(pattern))
        # Half of the places belong to each way, and what one leaves the other takes.
        chosen = list(dict.fromkeys([*ranked[: MOST_COMPARED // 2], *by_index, *ranked]))[:MOST_COMPARED]
        is_framed = bool(pattern.frames)
        if not chosen:
            return Compared((), np.zeros((0, len(COLUMNS))), np.zeros(len(NEW_COLUMNS)), is_framed)
        shares = [attention.get(owner, 0.0) for owner in chosen]
        return Compared(tuple(chosen), *self._table.compare(pattern, chosen, shares), is_framed)

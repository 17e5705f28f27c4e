"""Classes of equal rows: searched once, answered row by row.

Equal vectors break HNSW graphs (1,062 of them linked to each other only, in one report), so a graph holds one
node for each class. Exact search goes the same way: it compares less, and rows that are equal get scores that
are equal, which a matrix product does not promise for every column.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import hashlib
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Vectors: TypeAlias = npt.NDArray[np.float32]
Indices: TypeAlias = npt.NDArray[np.int64]

_BLOCK_ROWS = 1024
_BLOCK_CANDIDATES = 1 << 20


class RowClasses:
    """Hold the classes of equal rows of a C-contiguous float32 matrix (n, d), in order of first rows."""

    def __init__(self, rows: Vectors) -> None:
        first_rows, self.class_of_row = _classify(rows)
        self.distinct = rows if len(first_rows) == len(rows) else rows[first_rows]
        """One row of each class, float32 (number of classes, d)."""
        self._sizes: Indices = np.bincount(self.class_of_row, minlength=1).astype(np.int64, copy=False)
        # Class c owns _members[_starts[c] : _starts[c] + _sizes[c]], in row order.
        self._starts = np.cumsum(self._sizes) - self._sizes
        self._members: Indices = np.argsort(self.class_of_row, kind="stable").astype(np.int64, copy=False)

    def __len__(self) -> int:
        return len(self.distinct)

    def expand(self, scores: Vectors, classes: Indices, k: int, without: Indices | None) -> tuple[Vectors, Indices]:
        """Return the best *k* rows of the *classes* (m, h) that were found with *scores* (m, h).

        *without* (m) names a row for each query that is not among its answers. Each query must have k rows to
        choose from. Returns scores float32 (m, k) and rows int64 (m, k), by score, then by row.
        """
        best_scores = np.empty((len(classes), k), np.float32)
        best_rows = np.empty((len(classes), k), np.int64)
        rest = np.flatnonzero(~self._expand_single(scores, classes, without, best_scores, best_rows))
        if len(rest):
            excluded = None if without is None else without[rest]
            best_scores[rest], best_rows[rest] = self._expand_any(scores[rest], classes[rest], k, excluded)
        return best_scores, best_rows

    def _expand_single(
        self, scores: Vectors, classes: Indices, without: Indices | None, best_scores: Vectors, best_rows: Indices
    ) -> npt.NDArray[np.bool_]:
        """Answer the queries whose classes hold one row each and stand in order; return which these are."""
        k = best_rows.shape[1]
        if classes.shape[1] < k + (without is not None):
            return np.zeros(len(classes), bool)
        rows = self._members[self._starts[classes]]
        falls = (scores[:, 1:] < scores[:, :-1]) | ((scores[:, 1:] == scores[:, :-1]) & (rows[:, 1:] > rows[:, :-1]))
        single: npt.NDArray[np.bool_] = (self._sizes[classes] == 1).all(axis=1) & falls.all(axis=1)
        place = np.broadcast_to(np.arange(k), best_rows.shape)
        if without is not None:
            is_left_out = rows == without[:, None]
            left_out = np.where(is_left_out.any(axis=1), is_left_out.argmax(axis=1), k)
            place = place + (place >= left_out[:, None])
        best_scores[...] = np.take_along_axis(scores, place, axis=1)
        best_rows[...] = np.take_along_axis(rows, place, axis=1)
        return single

    def _expand_any(
        self, scores: Vectors, classes: Indices, k: int, without: Indices | None
    ) -> tuple[Vectors, Indices]:
        # Past the first k rows of a class, others lose the tie; one more stands in for the row left out.
        enough = k + 1
        counts = np.minimum(self._sizes[classes], enough)
        order = np.argsort(-scores, axis=1, kind="stable")
        filled = np.cumsum(np.take_along_axis(counts, order, axis=1), axis=1)
        last = np.minimum((filled < enough).sum(axis=1, keepdims=True), classes.shape[1] - 1)
        least_score = np.take_along_axis(scores, np.take_along_axis(order, last, axis=1), axis=1)
        counts[scores < least_score] = 0

        best_scores = np.empty((len(classes), k), np.float32)
        best_rows = np.empty((len(classes), k), np.int64)
        candidates = np.cumsum(counts.sum(axis=1))
        start = 0
        while start < len(classes):
            done = int(candidates[start - 1]) if start else 0
            stop = max(start + 1, int(np.searchsorted(candidates, done + _BLOCK_CANDIDATES, side="right")))
            block = slice(start, stop)
            excluded = None if without is None else without[block]
            found, rows, query = self._candidates(scores[block], classes[block], counts[block], excluded)
            ranked = np.lexsort((rows, -found, query))
            per_query = np.bincount(query)
            best = ranked[(np.cumsum(per_query) - per_query)[:, None] + np.arange(k)]
            best_scores[block] = found[best]
            best_rows[block] = rows[best]
            start = stop
        return best_scores, best_rows

    def _candidates(
        self, scores: Vectors, classes: Indices, counts: Indices, without: Indices | None
    ) -> tuple[Vectors, Indices, Indices]:
        """Return score, row and query of the first *counts* (m, h) rows of the classes, flat."""
        query = np.repeat(np.arange(len(classes)), counts.sum(axis=1))
        counts = counts.ravel()
        within = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
        rows = self._members[np.repeat(self._starts[classes].ravel(), counts) + within]
        found = np.repeat(scores.ravel(), counts)
        if without is None:
            return found, rows, query
        kept = rows != without[query]
        return found[kept], rows[kept], query[kept]


def _classify(rows: Vectors) -> tuple[Indices, Indices]:
    """Return the first row of each class, and the class of each row."""
    classes: dict[bytes, int] = {}
    first_rows: list[int] = []
    class_of_row = np.empty(len(rows), np.int64)
    for start in range(0, len(rows), _BLOCK_ROWS):
        # Adding zero turns -0.0 into 0.0: they are equal, though their bytes differ.
        block = rows[start : start + _BLOCK_ROWS] + np.float32(0)
        for number, row in enumerate(block, start):
            found = classes.setdefault(hashlib.blake2b(row.data, digest_size=16).digest(), len(classes))
            if found == len(first_rows):
                first_rows.append(number)
            class_of_row[number] = found
    return np.array(first_rows, dtype=np.int64), class_of_row

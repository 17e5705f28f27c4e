"""Pairs of units that are worth scoring: all of a file, and the nearest across files.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pytest_qeattention.attention.features import block_dots, row_dots
from pytest_qeattention.cache import Cache
from pytest_qeattention.index import crossover, nearest
from pytest_qeattention.similarity.evidence import SKETCH_DIMENSION, Features, search_rows
from pytest_qeattention.similarity.renewal import nearest_rows

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

# Pairs below this cosine were never siblings that another fact would have saved.
COSINE_FLOOR = 0.2
# Tests of other files that are looked at for each test.
CANDIDATES = 20
# The search by sketches finds this many more, for they only estimate cosines. Of the 20 nearest tests of other files
# (400 tests of pandas) it finds all with a cosine of at least .7, from .6 on 97 %, from .5 on 80 %, from .4 on 59 %;
# 28 more give 95, 92, 74 and 52 %, and 256 dimensions without any more 94, 85, 79 and 62 %.
SEARCHED_BEYOND = 44
# In a file of more tests than this only each test's best partners are scored: all pairs would take memory and time by
# the square of its size.
DENSE_FILE = 512
BEST_IN_FILE = 64


@dataclass(frozen=True, slots=True)
class Partners:
    """Hold pairs before they are scored, ``left`` < ``right``, by left and right."""

    left: IntArray
    right: IntArray
    cosine: FloatArray
    """0 to 1."""
    usual: npt.NDArray[np.bool_]
    """Whether the pair is looked at without neighbours being asked for."""
    search: str
    """How partners in other files were found: ``exact`` or ``hnsw``."""


def find_partners(
    features: Features,
    file: IntArray,
    *,
    neighbors: int = 0,
    across_files: bool = True,
    num_threads: int | None = None,
    cache_dir: Path | None = None,
) -> Partners:
    """Find the pairs worth scoring among the rows of *features*; *file* numbers the file of each row.

    With *neighbors* above 0 every row gets at least that many partners, however far they are. Without *across_files*
    all are of one file, and most of the time is saved.
    """
    found = _Finder(
        features, search_rows(features, num_threads=num_threads), file, neighbors, num_threads, cache_dir
    ).find(across_files=across_files)
    left = np.concatenate([part.left for part in found])
    right = np.concatenate([part.right for part in found])
    order = np.argsort(left * len(file) + right)
    cosine = np.clip(np.concatenate([part.cosine for part in found])[order], 0.0, 1.0)
    usual = np.concatenate([part.usual for part in found])[order]
    return Partners(left[order], right[order], cosine, usual, found[0].search)


@dataclass(frozen=True, slots=True)
class _Finder:
    features: Features
    vectors: npt.NDArray[np.float32]
    file: IntArray
    neighbors: int
    num_threads: int | None
    cache_dir: Path | None

    def find(self, *, across_files: bool) -> list[Partners]:
        first = np.flatnonzero(np.append(True, self.file[1:] != self.file[:-1])) if len(self.file) else np.arange(0)
        size = np.diff(np.append(first, len(self.file)))
        small = size <= DENSE_FILE
        found = [self._nearest(np.arange(len(self.file)), CANDIDATES, across_files=True)] if across_files else []
        found.append(self._all(first[small], size[small]))
        for start, rows in zip(first[~small].tolist(), size[~small].tolist(), strict=True):
            found.append(self._nearest(np.arange(start, start + rows), BEST_IN_FILE, across_files=False))
        return found

    def _all(self, first: IntArray, size: IntArray) -> Partners:
        """Pair all rows of each block of *size* rows from *first* on."""
        features = self.features
        dots = block_dots(
            features.indptr,
            features.indices,
            features.values,
            len(features.keys),
            first,
            size,
            num_threads=self.num_threads,
        )
        kept = np.flatnonzero(dots >= self._floor())
        cosine = dots[kept].astype(np.float64)
        del dots
        # Of every row but a block's last there is a run of pairs, one with each row after it.
        rows = np.repeat(first, size) + _within(size)
        runs = np.repeat(first + size, size) - rows - 1
        run_ends = np.cumsum(runs)
        run = np.searchsorted(run_ends, kept, side="right")
        left = rows[run]
        right = left + 1 + kept - (run_ends - runs)[run]
        return Partners(left, right, cosine, cosine >= COSINE_FLOOR, "exact")

    def _nearest(self, rows: IntArray, usual: int, *, across_files: bool) -> Partners:
        """Pair each of *rows* with its nearest among them; *usual* of these are looked at in any case.

        A search by sketches finds more than are wanted, and the best of them are taken by their cosines.
        """
        if len(rows) < 2:
            none = np.empty(0, np.int64)
            return Partners(none, none, np.empty(0), np.empty(0, bool), "exact")
        k = min(max(usual, self.neighbors) + SEARCHED_BEYOND, len(rows) - 1)
        if len(rows) < crossover(SKETCH_DIMENSION):
            # Lists of parts of a suite are made sooner than kept.
            with Cache(self.cache_dir if across_files else None) as cache:
                partner = rows[
                    nearest_rows(self.vectors[rows], self.file[rows], k, cache, num_threads=self.num_threads)
                ]
            mode = "exact"
        else:
            found = nearest(self.vectors[rows], k, num_threads=self.num_threads, cache_dir=self.cache_dir)
            partner, mode = rows[found.indices], found.mode
        wanted = self.file[rows][:, None] != self.file[partner] if across_files else np.ones(partner.shape, bool)
        cosine = np.full(partner.shape, -1.0, np.float32)
        cosine[wanted] = self._cosines(rows, partner, wanted)
        searched = np.arange(k) < usual + SEARCHED_BEYOND
        kept = _best(cosine, partner, (cosine >= COSINE_FLOOR) & searched, usual)
        row, other = np.repeat(rows, k), partner.ravel()
        usual_keys = _distinct(self._keys(row, other, kept.ravel()))[0]
        if self.neighbors:
            kept = wanted
        keys, at = _distinct(self._keys(row, other, kept.ravel()))
        left, right = keys // len(self.file), keys % len(self.file)
        is_usual = np.isin(keys, usual_keys, assume_unique=True) if self.neighbors else np.ones(len(keys), bool)
        return Partners(left, right, cosine[kept][at].astype(np.float64), is_usual, mode)

    def _cosines(self, rows: IntArray, partner: IntArray, wanted: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
        """Return the cosines of each of *rows* with those of its partners that are *wanted*, row by row."""
        counts = np.zeros(len(self.file), np.int64)
        counts[rows] = wanted.sum(axis=1)
        features = self.features
        return row_dots(
            features.indptr,
            features.indices,
            features.values,
            len(features.keys),
            np.append(0, np.cumsum(counts)),
            partner[wanted],
            num_threads=self.num_threads,
        )

    def _keys(self, row: IntArray, other: IntArray, kept: npt.NDArray[np.bool_]) -> IntArray:
        """Number pairs of rows, the same in either direction, so that they rise by left and right."""
        row, other = row[kept], other[kept]
        numbers: IntArray = np.minimum(row, other) * len(self.file) + np.maximum(row, other)
        return numbers

    def _floor(self) -> float:
        return COSINE_FLOOR if self.neighbors == 0 else -1.0


def _best(
    scores: npt.NDArray[np.float32], partner: IntArray, candidate: npt.NDArray[np.bool_], count: int
) -> npt.NDArray[np.bool_]:
    """Mark the *count* best of each row's candidates: higher scores first, then lower partners; none is below 0."""
    # The bits of floats from 0 on rise with them.
    order = (~scores.view(np.uint32)).astype(np.uint64) << np.uint64(32) | partner.astype(np.uint64)
    order[~candidate] = ~np.uint64(0)
    last = np.partition(order, min(count, order.shape[1]) - 1, axis=1)[:, min(count, order.shape[1]) - 1]
    best: npt.NDArray[np.bool_] = candidate & (order <= last[:, None])
    return best


def _distinct(keys: IntArray) -> tuple[IntArray, IntArray]:
    """Return the distinct *keys*, rising, and where each stands; `numpy.unique` takes three times as long."""
    order = np.argsort(keys)
    ordered = keys[order]
    first = np.append(True, ordered[1:] != ordered[:-1])[: len(keys)]
    return ordered[first], order[first]


def _within(lengths: IntArray) -> IntArray:
    """Count from 0 up within each of runs of *lengths*."""
    ends = np.cumsum(lengths)
    within: IntArray = np.arange(int(lengths.sum())) - np.repeat(ends - lengths, lengths)
    return within

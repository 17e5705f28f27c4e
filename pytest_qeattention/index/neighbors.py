"""Nearest neighbours by inner product: exact, or HNSW where that was measured to pay.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from pytest_qeattention.attention import arguments, topk_similarity
from pytest_qeattention.attention.backend import thread_limit
from pytest_qeattention.index.hnsw_graph import HnswGraph
from pytest_qeattention.index.hnswlib_probe import load_hnswlib
from pytest_qeattention.index.row_classes import Indices, RowClasses, Vectors

Mode = Literal["auto", "exact", "hnsw"]

MIN_RECALL = 0.98
"""Recall on the sample, of each row's first `RECALL_AT` neighbours, below which HNSW's answers are not used."""
RECALL_AT = 10

_SAMPLE_ROWS = 200
_FIRST_EF = 100
_LAST_EF = 1600
# Scores of the two searches differ by rounding; a neighbour within this of the k-th best is as good as it.
_SCORE_TOLERANCE = 1e-6

# Largest dimension, and rows from which HNSW is taken: where exact search takes as long as HNSW, graph included.
# Measured as processor time of one thread (AMD EPYC with AVX2).
# Sketches of the tests of pandas, SciPy and SymPy and of copies of them under changed names, 64 dimensions, 64
# neighbours, recall@10 .988 and .987 (benchmarks/suite_scale.py --search, results/suite_search.json):
#     rows         141,876  206,238
#     exact (s)       61.6    101.6
#     HNSW (s)       118.9    150.0
# The share of HNSW's time that exact search takes grows with rows**0.7, which puts 1 at some 350,000 rows. With two
# threads exact search takes half as long, and HNSW, whose graph is built by one, three quarters.
# Made vectors, 10 neighbours, graphs built with twice the effort of today's (benchmarks/crossover.py,
# results/crossover.json); the share of HNSW's time that exact search takes:
#     rows          5,000  10,000  20,000  40,000  80,000
#     d = 256        0.10    0.16    0.21    0.34    0.58
#     d = 512        0.12    0.18    0.21    0.32       -
# There no measured size reaches 1. The share grows with about rows**0.7 and rows**0.6, which puts 1 at some 175,000
# and 270,000 rows: extrapolated, and rounded up, because more threads shorten all of exact search, but of HNSW
# only the queries and not the graph.
_CROSSOVER_ROWS = ((64, 350_000), (256, 200_000), (512, 300_000))


@dataclass(frozen=True, slots=True, eq=False)
class Nearest:
    """Hold the nearest neighbours of every query, best first, ties by lower index."""

    scores: npt.NDArray[np.float32]
    """Inner products, (m, k)."""
    indices: npt.NDArray[np.int64]
    """Rows of the searched matrix, (m, k)."""
    mode: Literal["exact", "hnsw"]
    recall: float | None
    """Recall of the first `RECALL_AT` against exact search on a sample, 0 to 1; None when the search was exact."""
    reason: str
    """Why this mode."""


def nearest(
    vectors: npt.NDArray[np.float32],
    k: int,
    *,
    mode: Mode = "auto",
    num_threads: int | None = None,
    cache_dir: Path | None = None,
) -> Nearest:
    """Find the *k* nearest of each row among the other rows of the same matrix, by inner product.

    *vectors* is float32 (n, d) and finite, its rows of length 1 (or 0) for cosine similarity. A row is never
    its own neighbour, whatever equals it. Scores and indices have min(k, n - 1) columns (none for n < 2).

    *mode* ``auto`` takes HNSW from `crossover` rows on; ``hnsw`` asks for it at any size. Exact search
    serves, and `Nearest.reason` says so, where hnswlib cannot be used or misses `MIN_RECALL`. *cache_dir*
    keeps the verdict on hnswlib between runs. Results are the same for any *num_threads* (None: as many as
    the process may use).

    Raises TypeError or ValueError that names the argument.
    """
    rows = _vectors("vectors", vectors)
    k = min(arguments.integer("k", k, least=1), max(len(rows) - 1, 0))
    wanted = _Search(rows, rows, k, own_rows=np.arange(len(rows)), num_threads=num_threads)
    return wanted.run(mode, cache_dir)


def search(
    queries: npt.NDArray[np.float32],
    keys: npt.NDArray[np.float32],
    k: int,
    *,
    mode: Mode = "auto",
    num_threads: int | None = None,
    cache_dir: Path | None = None,
) -> Nearest:
    """Find the *k* nearest rows of *keys* (float32 (n, d)) for each row of *queries* (float32 (m, d)).

    Scores and indices are (m, min(k, n)). ``auto`` takes HNSW only where there are as many queries as keys
    that would make it pay, since the graph is built for this one search. Everything else as in `nearest`.
    """
    checked_queries = _vectors("queries", queries)
    checked_keys = _vectors("keys", keys)
    if checked_queries.shape[1] != checked_keys.shape[1]:
        raise ValueError(
            f"keys has shape {checked_keys.shape}, expected (n, {checked_queries.shape[1]}) "
            f"to match queries {checked_queries.shape}"
        )
    k = min(arguments.integer("k", k, least=1), len(checked_keys))
    wanted = _Search(checked_queries, checked_keys, k, own_rows=None, num_threads=num_threads)
    return wanted.run(mode, cache_dir)


def crossover(dim: int) -> int:
    """Return from how many rows on HNSW answers sooner than exact search at dimension *dim*."""
    for largest_dim, rows in _CROSSOVER_ROWS:
        if dim <= largest_dim:
            return rows
    return _CROSSOVER_ROWS[-1][1]


class _Search:
    """Carry one search: queries, keys, and which key each query must not be answered with."""

    def __init__(
        self, queries: Vectors, keys: Vectors, k: int, *, own_rows: Indices | None, num_threads: int | None
    ) -> None:
        self.queries = queries
        self.keys = keys
        self.k = k
        self.own_rows = own_rows
        self.num_threads = arguments.thread_count("num_threads", num_threads)

    def run(self, mode: Mode, cache_dir: Path | None) -> Nearest:
        if mode not in get_args(Mode):
            raise ValueError(f"mode is {mode!r}, expected one of {', '.join(map(repr, get_args(Mode)))}")
        if self.k == 0 or len(self.queries) == 0:
            none = np.empty((len(self.queries), self.k))
            return Nearest(none.astype(np.float32), none.astype(np.int64), "exact", None, "nothing to search")
        classes = RowClasses(self.keys)
        if mode == "exact":
            return self._exact(classes, "asked for")
        dim = self.keys.shape[1]
        if dim == 0:
            return self._exact(classes, "the vectors have no elements")
        smaller, threshold = min(len(self.queries), len(classes)), crossover(dim)
        size = f"{smaller:,} distinct rows; HNSW pays from {threshold:,} at dimension {dim}"
        if mode == "auto" and smaller < threshold:
            return self._exact(classes, size)
        hnswlib, reason = load_hnswlib(cache_dir)
        if hnswlib is None:
            return self._exact(classes, reason)
        return self._hnsw(classes, hnswlib, "asked for" if mode == "hnsw" else size)

    def _exact(self, classes: RowClasses, reason: str) -> Nearest:
        scores, rows = self._answers(classes, np.arange(len(self.queries)), None, 0)
        return Nearest(scores, rows, "exact", None, reason)

    def _hnsw(self, classes: RowClasses, hnswlib: Any, why: str) -> Nearest:
        try:
            graph = HnswGraph(classes.distinct, hnswlib)
        except (RuntimeError, MemoryError) as error:
            return self._exact(classes, f"hnswlib could not build its graph ({error}); exact search serves")
        count = len(self.queries)
        sample = np.unique(np.linspace(0, count - 1, min(count, _SAMPLE_ROWS)).astype(np.int64))
        # A search asks for more than it needs, and the last of them are the hardest to find and the least to lose.
        at = min(self.k, RECALL_AT)
        kth_scores = self._answers(classes, sample, None, 0)[0][:, at - 1 : at]
        tolerance = _SCORE_TOLERANCE * np.maximum(1.0, np.abs(kth_scores))
        ef, failure = max(_FIRST_EF, 2 * self.k), ""
        last_ef = max(_LAST_EF, ef)
        while ef <= last_ef:
            try:
                found = self._answers(classes, sample, graph, ef)[0][:, :at]
                recall = float(np.mean(found >= kth_scores - tolerance))
                if recall >= MIN_RECALL:
                    scores, rows = self._answers(classes, np.arange(count), graph, ef)
                    return Nearest(scores, rows, "hnsw", recall, f"{why}; ef {ef}")
                failure = f"recall@{at} is {recall:.3f} on {len(sample)} sampled rows"
            except RuntimeError as error:  # fewer than k found
                failure = f"hnswlib says: {error}"
            ef *= 2
        return self._exact(classes, f"HNSW is not good enough with ef up to {ef // 2} ({failure}); exact search serves")

    def _answers(
        self, classes: RowClasses, which: Indices, graph: HnswGraph | None, ef: int
    ) -> tuple[Vectors, Indices]:
        """Answer the queries numbered *which*, from *graph* with *ef*, or exactly without a graph."""
        own, place, without, wanted = None, np.arange(len(which)), None, self.k
        if self.own_rows is None:
            queries = _taken(self.queries, which)
        else:
            # Equal rows have equal answers but for themselves: each class asks once, for one more than k.
            own, place = np.unique(classes.class_of_row[which], return_inverse=True)
            queries, without, wanted = _taken(classes.distinct, own), self.own_rows[which], self.k + 1
        wanted = min(wanted, len(classes))
        if graph is None:
            scores, found = topk_similarity(queries, classes.distinct, wanted, num_threads=self.num_threads)
        else:
            threads = self.num_threads or thread_limit()
            scores, found = graph.nearest(queries, wanted, ef=ef, num_threads=threads, included=own)
        return classes.expand(scores[place], found[place], self.k, without)


def _taken(rows: Vectors, which: Indices) -> Vectors:
    """Return the rows numbered *which*, ascending; all of them without a copy."""
    return rows if len(which) == len(rows) else rows[which]


def _vectors(name: str, value: npt.NDArray[np.float32]) -> Vectors:
    array = arguments.float32_array(name, value, "(n, d)", ndim=2)
    finite = np.isfinite(array).all(axis=1)
    if not finite.all():
        row = int(np.argmin(finite))
        raise ValueError(f"{name} of shape {array.shape} holds NaN or infinity, first in row {row}")
    return arguments.contiguous(array)

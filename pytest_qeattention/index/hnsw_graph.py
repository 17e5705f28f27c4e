"""An HNSW graph over distinct rows, built and searched so that the same rows give the same answers.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pytest_qeattention.index.row_classes import Indices, Vectors

_LINKS = 16
# 200 takes half as long again for graphs that find less than one in a hundred more (sketches of 38,204 tests).
_EF_CONSTRUCTION = 100
_SEED = 100
_BLOCK_ROWS = 1024
_BLOCK_FLOATS = 1 << 24


class HnswGraph:
    """Search *rows* (float32 (n, d), finite, no two equal) by inner product, with the module *hnswlib*.

    The graph is built by one thread with a fixed seed; searches only read it. Raises what hnswlib raises
    (RuntimeError, MemoryError) when it cannot build.

    Source: Malkov & Yashunin, "Efficient and robust approximate nearest neighbor search using Hierarchical
    Navigable Small World graphs", 2016.
    """

    def __init__(self, rows: Vectors, hnswlib: Any) -> None:
        self._rows = rows
        self._index = hnswlib.Index(space="ip", dim=rows.shape[1])
        self._index.init_index(max_elements=len(rows), M=_LINKS, ef_construction=_EF_CONSTRUCTION, random_seed=_SEED)
        # More than one thread would insert in an order of its own in every run. One block at a time lets an
        # interrupt through.
        for start in range(0, len(rows), _BLOCK_ROWS):
            block = rows[start : start + _BLOCK_ROWS]
            self._index.add_items(block, np.arange(start, start + len(block)), num_threads=1)

    def nearest(
        self, queries: Vectors, k: int, *, ef: int, num_threads: int, included: Indices | None = None
    ) -> tuple[Vectors, Indices]:
        """Return scores float32 (m, k) and rows int64 (m, k) of the *k* nearest that the graph search finds.

        *included* (m) names a row that is among the answers to each query, whether the search reaches it or
        not. Scores are computed anew in float32; the order is that of hnswlib. Raises RuntimeError when fewer
        than k are found.
        """
        # ef is 10 unless it is set, and not saved with a graph.
        self._index.set_ef(max(ef, k))
        scores = np.empty((len(queries), k), np.float32)
        found = np.empty((len(queries), k), np.int64)
        step = max(1, min(_BLOCK_ROWS, _BLOCK_FLOATS // (k * queries.shape[1])))
        for start in range(0, len(queries), step):
            block = slice(start, start + step)
            rows = self._index.knn_query(queries[block], k=k, num_threads=num_threads)[0].astype(np.int64)
            if included is not None:
                wanted = included[block]
                missed = ~(rows == wanted[:, None]).any(axis=1)
                rows[missed, -1] = wanted[missed]
            scores[block] = np.matmul(self._rows[rows], queries[block, :, None])[:, :, 0]
            found[block] = rows
        return scores, found

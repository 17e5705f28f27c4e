"""Average linkage of a run's failures under constraints.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

NEVER = np.float32(-np.inf)
"""Score of a pair that must not come together."""


def linked(score: FloatArray, together: Sequence[int], threshold: float) -> IntArray:
    """Merge clusters, the best mean score first, while it is at least *threshold*; returns a number for each node.

    *score* is symmetric, float32 (n, n), `NEVER` for pairs that must not come together; it is overwritten. Nodes of the
    same number in *together* start in one cluster, whatever their scores are. Unweighted average linkage (Sokal &
    Michener, 1958) by chains of nearest neighbours (Murtagh, 1983), n² in time. Numbers of clusters are in the order
    of their first nodes, and so are ties.
    """
    first, group = np.unique(np.asarray(together, np.int64), return_index=True, return_inverse=True)[1:]
    rank = np.argsort(np.argsort(first))
    home = rank[group]
    order = np.argsort(home, kind="stable")
    size = np.bincount(home, minlength=len(first)).astype(np.float32)
    matrix = score if len(first) == len(score) else _means(score, order, size)
    np.fill_diagonal(matrix, NEVER)
    merged = np.arange(len(first))
    waiting = list(range(len(first) - 1, -1, -1))
    is_open = np.ones(len(first), bool)
    chain: list[int] = []
    while waiting or chain:
        if not chain:
            node = waiting.pop()
            if not is_open[node]:
                continue
            chain.append(node)
        node = chain[-1]
        nearest = int(matrix[node].argmax())
        best = matrix[node, nearest]
        if not best >= threshold:
            # A mean is never above both of its parts, so that nothing will come nearer.
            is_open[node] = False
            matrix[:, node] = NEVER
            chain.pop()
            continue
        if len(chain) > 1 and matrix[node, chain[-2]] == best:
            low, high = sorted((node, chain[-2]))
            del chain[-2:]
            joined = (size[low] * matrix[low] + size[high] * matrix[high]) / (size[low] + size[high])
            joined[[low, high]] = NEVER
            matrix[low], matrix[:, low] = joined, joined
            matrix[high], matrix[:, high] = NEVER, NEVER
            size[low] += size[high]
            is_open[high] = False
            merged[merged == high] = low
            waiting.append(low)
        else:
            chain.append(nearest)
    numbers = merged[home]
    return np.unique(numbers, return_inverse=True)[1].astype(np.int64)


def _means(score: FloatArray, order: IntArray, size: FloatArray) -> FloatArray:
    """Return the mean scores between clusters that stand in a row in *order*; `NEVER` where one pair has it."""
    starts = np.append(0, np.cumsum(size.astype(np.int64)))[:-1]
    sorted_score = score[np.ix_(order, order)]
    sums = np.add.reduceat(np.add.reduceat(sorted_score, starts, axis=0), starts, axis=1)
    means: FloatArray = (sums / size[:, None] / size[None, :]).astype(np.float32)
    return means

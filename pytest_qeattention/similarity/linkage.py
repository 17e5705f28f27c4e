"""Average linkage over a sparse graph of scored pairs.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Cluster:
    """Hold the members of a cluster, ascending, and the mean pair score at its last merge."""

    members: tuple[int, ...]
    score: float


def average_linkage(edges: Sequence[tuple[int, int, float]], threshold: float) -> list[Cluster]:
    """Merge nodes, best mean pair score first, while it is at least *threshold*; single nodes are left out.

    *edges* are (a, b, score) with every pair at most once; a pair that is not among them counts as 0, so chains of
    alike neighbours whose ends differ do not merge. Unweighted average linkage (Sokal & Michener, 1958); ties go to
    the lower node numbers, so the result does not depend on the order of *edges*.
    """
    links: dict[int, dict[int, float]] = {}
    for a, b, score in edges:
        links.setdefault(a, {})[b] = score
        links.setdefault(b, {})[a] = score
    members: dict[int, tuple[int, ...]] = {node: (node,) for node in links}
    heights: dict[int, float] = {}
    heap = [(-score, min(a, b), max(a, b), 1, 1) for a, b, score in edges if score >= threshold]
    heapq.heapify(heap)
    while heap:
        negative, a, b, size_a, size_b = heapq.heappop(heap)
        if len(members.get(a, ())) != size_a or len(members.get(b, ())) != size_b:
            continue
        # A cluster keeps its lowest node as its name; b is spent.
        heights[a] = min(-negative, heights.get(a, 1.0), heights.pop(b, 1.0))
        members[a] = tuple(sorted(members[a] + members.pop(b)))
        joined = links[a]
        for other, total in links.pop(b).items():
            if other != a:
                joined[other] = joined.get(other, 0.0) + total
            links[other].pop(b, None)
        joined.pop(b, None)
        for other, total in joined.items():
            links[other][a] = total
            mean = total / (len(members[a]) * len(members[other]))
            if mean >= threshold:
                low, high = min(a, other), max(a, other)
                heapq.heappush(heap, (-mean, low, high, len(members[low]), len(members[high])))
    return [Cluster(members[node], heights[node]) for node in sorted(heights)]


def edges_that_count(
    left: npt.NDArray[np.int64], right: npt.NDArray[np.int64], score: npt.NDArray[np.float64], threshold: float
) -> list[tuple[int, int, float]]:
    """Return those edges on which the result of `average_linkage` depends.

    What merges is linked by edges of at least *threshold*; edges between two parts that such do not link never count.
    """
    strong = score >= threshold
    part = np.full(int(max(left.max(initial=-1), right.max(initial=-1))) + 1, -1)
    for node, top in _parts(zip(left[strong].tolist(), right[strong].tolist(), strict=True)).items():
        part[node] = top
    counts = (part[left] == part[right]) & (part[left] >= 0)
    return list(zip(left[counts].tolist(), right[counts].tolist(), score[counts].tolist(), strict=True))


def _parts(pairs: Iterable[tuple[int, int]]) -> dict[int, int]:
    """Return for each node of *pairs* one node of the connected part that it belongs to."""
    above: dict[int, int] = {}

    def top(node: int) -> int:
        while above[node] != node:
            above[node] = above[above[node]]
            node = above[node]
        return node

    for a, b in pairs:
        above.setdefault(a, a)
        above.setdefault(b, b)
        above[top(b)] = top(a)
    return {node: top(node) for node in list(above)}

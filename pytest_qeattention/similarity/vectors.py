"""Grouping by cosine similarity of vectors: what a workload does unless it says otherwise.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pytest_qeattention.index import nearest
from pytest_qeattention.similarity.grouping import make_group, rank_groups
from pytest_qeattention.similarity.linkage import average_linkage
from pytest_qeattention.similarity.model import Neighbor, SimilarReport
from pytest_qeattention.similarity.suite import Suite

if TYPE_CHECKING:
    from pytest_qeattention.similarity.workload import Request, Workload


def _unit_rows(workload: Workload, suite: Suite) -> npt.NDArray[np.float32]:
    """Return the workload's vectors scaled to length 1, after checking that they are what a workload must give."""
    vectors = np.asarray(workload.embed(suite.units))
    if vectors.ndim != 2 or vectors.shape[0] != len(suite.units) or vectors.dtype.kind not in "fiu":
        raise ValueError(
            f"workload {workload.name!r}: embed() returned an array of shape {vectors.shape}, dtype {vectors.dtype}; "
            f"one row of numbers for each of the {len(suite.units)} units was expected"
        )
    vectors = np.ascontiguousarray(vectors, np.float32)
    if not np.isfinite(vectors).all():
        raise ValueError(f"workload {workload.name!r}: embed() returned NaN or infinite numbers")
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    rows: npt.NDArray[np.float32] = np.zeros_like(vectors)
    np.divide(vectors, length, out=rows, where=length > 0)
    return rows


def analyse_vectors(workload: Workload, suite: Suite, request: Request) -> SimilarReport:
    """Group the units whose vectors have a cosine of at least the workload's threshold.

    Raises ValueError when the vectors do not fit the units, TypeError when the report is no list of lines.
    """
    units = suite.units
    groups, listed, search = [], [], "exact"
    if units:
        vectors = _unit_rows(workload, suite)
        present = np.flatnonzero(vectors.any(axis=1))
        partners: dict[int, list[tuple[float, int]]] = {int(row): [] for row in present}
        scores: dict[tuple[int, int], float] = {}
        if len(present) > 1:
            k = min(max(workload.neighbors, request.neighbors), len(present) - 1)
            found = nearest(vectors[present], k, num_threads=request.num_threads, cache_dir=request.cache_dir)
            search = found.mode
            for at, row in enumerate(present.tolist()):
                for other, score in zip(present[found.indices[at]].tolist(), found.scores[at].tolist(), strict=True):
                    cosine = min(max(score, 0.0), 1.0)
                    partners[row].append((-cosine, other))
                    scores[min(row, other), max(row, other)] = cosine
        edges = [(a, b, score) for (a, b), score in sorted(scores.items())]
        for cluster in average_linkage(edges, workload.threshold):
            tests = [units[row] for row in cluster.members]
            groups.append(make_group("similar", cluster.score, tests, workload.reasons(tests, cluster.score)))
        for row, unit in enumerate(units):
            best = sorted(partners.get(row, ()))[: request.neighbors]
            listed.append((unit, tuple(Neighbor(units[other], round(-score, 6)) for score, other in best)))
    ranked = rank_groups(groups)
    lines = workload.report(ranked)
    if isinstance(lines, str):
        raise TypeError(f"workload {workload.name!r}: report() returned a str, not a list of lines")
    return SimilarReport(
        workload=workload.name,
        tests=len(units),
        groups=ranked,
        neighbors=tuple(listed) if request.neighbors else None,
        problems=suite.problems,
        left_out=suite.left_out,
        lines=None if lines is None else tuple(lines),
        search=search,
    )

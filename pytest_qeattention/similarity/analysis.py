"""The analysis of the built-in workload: pairs of tests are scored, and those that hold together form groups.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pytest_qeattention.cache import Cache
from pytest_qeattention.similarity.describe import describe
from pytest_qeattention.similarity.evidence import sketch, weigh
from pytest_qeattention.similarity.explain import parse_unit
from pytest_qeattention.similarity.grouping import find_groups, rank_groups
from pytest_qeattention.similarity.known_differences import KnownDifferences
from pytest_qeattention.similarity.model import Neighbor, SimilarReport, Unit
from pytest_qeattention.similarity.pairs import Pairs, gather_facts, score_pairs
from pytest_qeattention.similarity.suite import Suite
from pytest_qeattention.similarity.workload import Request


def sketches(units: Sequence[Unit]) -> npt.NDArray[np.float32]:
    """Return the sketch of each unit's features, float32 (len(units), 64); raise ValueError for broken source."""
    described = []
    for unit in units:
        node = parse_unit(unit)
        if node is None:
            raise ValueError(f"the source of {unit.nodeid} does not parse on its own")
        described.append(describe(node, unit))
    return sketch(weigh(described))


def find_similar(name: str, suite: Suite, threshold: float, request: Request) -> SimilarReport:
    """Score pairs of the suite's units and group them, for the report of the workload *name*."""
    units, descriptions = suite.units, suite.descriptions
    progress = request.progress
    if progress is not None:
        progress("comparing", 0, len(units))
    facts = gather_facts(units, descriptions, suite.bindings)
    pairs = score_pairs(
        units,
        descriptions,
        facts,
        neighbors=request.neighbors,
        num_threads=request.num_threads,
        cache_dir=request.cache_dir,
    )
    if progress is not None:
        progress("grouping", 0, len(units))
    with Cache(request.cache_dir) as cache:
        known = KnownDifferences(cache)
        groups = rank_groups(
            find_groups(units, descriptions, facts, pairs, threshold, explain=known.of, num_threads=request.num_threads)
        )
        known.keep()
    if progress is not None:
        progress("grouping", len(units), len(units))
    return SimilarReport(
        workload=name,
        tests=len(units),
        groups=groups,
        neighbors=_neighbors(units, pairs, request.neighbors) if request.neighbors else None,
        problems=suite.problems,
        left_out=suite.left_out,
        search=pairs.search,
    )


def _neighbors(units: Sequence[Unit], pairs: Pairs, k: int) -> tuple[tuple[Unit, tuple[Neighbor, ...]], ...]:
    partners: list[list[tuple[float, int]]] = [[] for _ in units]
    for left, right, score in zip(pairs.left.tolist(), pairs.right.tolist(), pairs.score.tolist(), strict=True):
        partners[left].append((-score, right))
        partners[right].append((-score, left))
    return tuple(
        (unit, tuple(Neighbor(units[other], round(-score, 6)) for score, other in sorted(found)[:k]))
        for unit, found in zip(units, partners, strict=True)
    )

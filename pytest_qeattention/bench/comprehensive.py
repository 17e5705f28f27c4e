"""``bench comprehensive``: speed by shape and precision, against every peer.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from pytest_qeattention.attention import flash_attention, topk_similarity
from pytest_qeattention.bench import peers
from pytest_qeattention.bench.cases import AttentionCase, TopkCase, comprehensive_cases
from pytest_qeattention.bench.gate import AttentionOracle, TopkOracle
from pytest_qeattention.bench.intervals import SEED
from pytest_qeattention.bench.measure import OURS, Judge, RowProgress, check, measure
from pytest_qeattention.bench.peers import Contender, Offer
from pytest_qeattention.bench.plan import Plan

SuiteProgress = Callable[[str, int, int], None]


class Prepared(NamedTuple):
    """Hold a case with its inputs: ours, what judges results, and the peers."""

    case: AttentionCase | TopkCase
    threads: int
    ours: Contender
    judge: Judge
    offers: Sequence[Offer]


def comprehensive_rows(
    plan: Plan, threads: int, usable: Sequence[str], progress: SuiteProgress | None
) -> Iterator[dict[str, Any]]:
    """Yield a row for every case of *plan*.

    Before the first is timed, ours is checked at every one of them. Raises WrongResult where it is wrong.
    """
    cases = comprehensive_cases(plan.shapes, quick=plan.quick)
    for number, case in enumerate(cases):
        if progress is not None:
            progress("checking results", number, len(cases))
        prepared = prepare(case, (), threads)
        check(case, prepared.ours, prepared.judge)
    for number, case in enumerate(cases):
        stage = f"{number + 1}/{len(cases)} {case.kind} {case.label} {case.precision}"
        yield row_of(prepare(case, usable, threads), plan.samples, row_progress(progress, stage))


def prepare(case: AttentionCase | TopkCase, usable: Sequence[str], threads: int) -> Prepared:
    """Return *case* with its inputs and the peers that are *usable*, at *threads* unless it is for a single one."""
    count = 1 if case.single_thread else threads
    if isinstance(case, TopkCase):
        return _prepare_topk(case, usable, count)
    return _prepare_attention(case, usable, count)


def row_of(prepared: Prepared, samples: int, progress: RowProgress | None = None) -> dict[str, Any]:
    """Measure what was prepared, and return its row."""
    case, threads, ours, judge, offers = prepared
    return measure(case, ours, offers, judge, threads=threads, samples=samples, progress=progress)


def row_progress(progress: SuiteProgress | None, stage: str) -> RowProgress | None:
    """Return what shows the progress of one row under *stage*."""
    if progress is None:
        return None
    progress(stage, 0, 1)
    show = progress
    return lambda done, total: show(stage, done, total)


def _prepare_attention(case: AttentionCase, usable: Sequence[str], threads: int) -> Prepared:
    q, k, v = case.inputs()
    ours = Contender(
        OURS,
        case.precision,
        threads,
        lambda: flash_attention(q, k, v, precision=case.precision, num_threads=threads),
        np.asarray,
    )
    oracle = AttentionOracle.of(q, k, v, seed=SEED)
    return Prepared(case, threads, ours, oracle.judge, peers.attention_offers(case, (q, k, v), usable, threads))


def _prepare_topk(case: TopkCase, usable: Sequence[str], threads: int) -> Prepared:
    queries, keys = case.inputs()
    ours = Contender(
        OURS,
        case.precision,
        threads,
        lambda: topk_similarity(queries, keys, case.k, num_threads=threads),
        lambda found: np.asarray(found[1]),
    )
    oracle = TopkOracle.of(queries, keys, seed=SEED)
    offers = peers.topk_offers(case, (queries, keys), usable, threads)
    return Prepared(case, threads, ours, lambda indices, _: oracle.judge(indices, case.k), offers)

"""From a plan to the document of its run.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_qeattention.attention.backend import BackendError, thread_limit
from pytest_qeattention.bench import blas
from pytest_qeattention.bench.compare import SCHEMA, check_comparable, compare_reports, read_report, regressions
from pytest_qeattention.bench.comprehensive import SuiteProgress, comprehensive_rows
from pytest_qeattention.bench.gate import WrongResult
from pytest_qeattention.bench.machine import OtherLoad, machine_facts
from pytest_qeattention.bench.measure import NOISY_SPREAD, OURS, ours_of
from pytest_qeattention.bench.memory import lengths_up_to, memory_rows
from pytest_qeattention.bench.peers import find_peers
from pytest_qeattention.bench.plan import BenchUsage, Plan
from pytest_qeattention.bench.stress import failure_of, stress_row
from pytest_qeattention.bench.validate import MEMORY_LENGTHS, QUICK_MEMORY_LENGTHS, add_verdicts
from pytest_qeattention.bench.workloads import workload_rows
from pytest_qeattention.information import backend_info

BUSY_LOAD = 0.05
"""Share of one processor that others take, from which on the report says so."""

MOST_SHARE = 1.05
"""Share of the peak beyond which noise is no explanation, and the measurement of the peak must be wrong."""


def run_suite(
    plan: Plan, progress: SuiteProgress | None = None, *, cache_dir: Path | None = None
) -> tuple[dict[str, Any] | None, str | None]:
    """Run what *plan* asks for; return its document, if there is one, and what failed, if anything did.

    What is known of hnswlib is read from *cache_dir*. Raises BenchUsage for what cannot be served here.
    """
    try:
        threads = thread_limit() if plan.threads is None else plan.threads
        info = backend_info(cache_dir=cache_dir)
    except BackendError as error:
        raise BenchUsage(str(error)) from error
    machine = machine_facts(info)
    old = None
    if plan.compare is not None:
        old = read_report(plan.compare)
        check_comparable(old, machine, quick=plan.quick, judged=plan.fail_on_regression)
    states = find_peers(plan.peers if plan.suite == "comprehensive" else ("numpy",))
    started = datetime.datetime.now(datetime.timezone.utc)
    load = OtherLoad()
    usable = [state.name for state in states if state.is_usable]
    try:
        rows, more = _rows(plan, threads, usable, progress)
    except WrongResult as error:
        return None, str(error)
    others = load.share()
    # Where it is installed says nothing about speed, and reports are made to be passed on.
    document = {
        "schema": SCHEMA,
        "backend": {key: value for key, value in info.items() if key != "package"},
        "bench": {
            "suite": plan.suite,
            "quick": plan.quick,
            "date": started.isoformat(timespec="seconds"),
            "threads": threads,
            "blas_threads": blas.blas_threads(),
            "samples": plan.samples,
            "machine": machine,
            "peers": {state.name: state.as_dict() for state in states},
            "other_load": others,
            "remarks": remarks(plan, others, rows),
            **more,
            "rows": rows,
        },
    }
    return document, _finish(plan, document, old)


def _rows(
    plan: Plan, threads: int, usable: Sequence[str], progress: SuiteProgress | None
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the rows of the suite, and what it says beside them."""
    if plan.suite == "memory":
        return list(memory_rows(lengths_up_to(plan.max_n), threads, progress)), {}
    if plan.suite == "stress":
        row = stress_row(threads=threads, duration_s=plan.duration_s, seed=plan.seed or 0, progress=progress)
        return [row], {}
    if plan.suite == "comprehensive":
        return list(comprehensive_rows(plan, threads, usable, progress)), {}
    rows = list(workload_rows(threads, plan.samples, progress))
    if plan.suite == "workloads":
        return rows, {}
    rows += memory_rows(QUICK_MEMORY_LENGTHS if plan.quick else MEMORY_LENGTHS, threads, progress)
    return rows, {"verdicts": add_verdicts(rows)}


def _finish(plan: Plan, document: dict[str, Any], old: dict[str, Any] | None) -> str | None:
    """Add the comparison to *document* where there is one; return what failed."""
    if plan.suite == "stress":
        return failure_of(document["bench"]["rows"][0])
    if old is None:
        return None
    comparison = compare_reports(old, document)
    document["bench"]["comparison"] = comparison
    if not plan.fail_on_regression:
        return None
    if not any(change["name"] == OURS for change in comparison["changes"]):
        return "--fail-on-regression: nothing that this run measured is in the older report, so nothing was judged"
    slower = [f"{change['label']} in {change['precision']}" for change in regressions(comparison)]
    return f"slower than before: {'; '.join(slower)}" if slower else None


def remarks(plan: Plan, other_load: float | None, rows: list[dict[str, Any]]) -> list[str]:
    """Return what a reader must know before quoting a number of this run."""
    found = []
    if plan.quick:
        found.append("a quick run: too few and too small measurements for any number here to be quoted")
    if other_load is not None and other_load > BUSY_LOAD:
        found.append(f"the machine was not quiet: other processes took {100 * other_load:.0f} % of a processor")
    noisy = [row["label"] for row in rows if (row.get("peak") or {}).get("noisy")]
    if noisy:
        found.append(
            f"noisy: the peak itself varied by over {100 * NOISY_SPREAD:.0f} % in {len(noisy)} of {len(rows)} rows "
            f"({'; '.join(noisy[:3])}{'; ...' if len(noisy) > 3 else ''}); small ratios there mean nothing"
        )
    above = [row["label"] for row in rows if row.get("peak") and (ours_of(row)["peak_share"] or 0) > MOST_SHARE]
    if above:
        found.append(
            f"the peak measured is below what was reached in {len(above)} of {len(rows)} rows: its shares are too high"
        )
    unsettled = sum(row.get("unsettled", 0) for row in rows)
    if unsettled:
        found.append(f"{unsettled} samples were taken while threads of another library still ran")
    return found

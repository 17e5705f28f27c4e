"""This run against an older one: slower or faster by the interval of the ratio, never by eye.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_qeattention.bench import intervals
from pytest_qeattention.bench.measure import OURS
from pytest_qeattention.bench.plan import BenchUsage

SCHEMA = "qeattention/1"

LEAST_CHANGE = 0.03
"""Changes below it are called the same even where the interval excludes one: the interval knows the noise within two
runs, not what differs between two processes, such as where their pages and their code came to lie."""

CLOCK_BOUND_INTENSITY = 8.0
"""Operations per byte from which on a case runs at the pace of the multiply-add units, so that the peak is a measure of
what the clock of a run was worth. Below it memory or the cost of a call sets the pace."""

_MACHINE = ("cpu", "architecture", "processors", "caches_bytes")

Row = Mapping[str, Any]


def read_report(path: str) -> dict[str, Any]:
    """Return the document at *path*; raise BenchUsage unless it is one that a run can be compared with."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise BenchUsage(f"--compare {path} cannot be read: {reason}; give a report of --json") from error
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BenchUsage(f"--compare {path} is no JSON ({error}); give a report of --json") from error
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema != SCHEMA:
        raise BenchUsage(
            f"--compare {path} has schema {schema!r}, expected {SCHEMA!r}; measure again with this version"
        )
    problem = _problem(document)
    if problem is not None:
        raise BenchUsage(f"--compare {path}: {problem}; give a report of `qeattention bench --json`")
    return dict(document)


def check_comparable(old: Mapping[str, Any], machine: Row, *, quick: bool, judged: bool) -> None:
    """Raise BenchUsage where a run on *machine* could not be compared with *old*, before it starts.

    With *judged*, the exit code hangs on the comparison, which times of another machine cannot bear.
    """
    bench = old["bench"]
    if bool(bench["quick"]) != quick:
        which = "a quick run" if bench["quick"] else "no quick run"
        raise BenchUsage(f"the report to compare with is of {which}, and this one is not; measure both alike")
    if judged and not same_machine(bench["machine"], machine):
        raise BenchUsage(
            "--fail-on-regression: the report to compare with is of another machine "
            f"({_named(bench['machine'])}, here {_named(machine)}), so no regression can be told; measure it here"
        )


def compare_reports(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return how the times of *new* relate to those of *old*, for what both measured.

    Ratios are new / old, times in units of the peak measured beside them where the case is bound by it: above one is
    slower. On another machine a case that cannot be normalised so has no verdict (None), and no ratio.
    """
    before, after = old["bench"], new["bench"]
    is_same = same_machine(before["machine"], after["machine"])
    known = {_key(row, result): (row, result) for row in before["rows"] for result in row.get("results", ())}
    changes = []
    unmatched = 0
    for row in after["rows"]:
        for result in row.get("results", ()):
            match = known.get(_key(row, result))
            if not result.get("samples_ns"):
                continue
            if match is None or not match[1].get("samples_ns"):
                unmatched += 1
                continue
            changes.append(_change(*match, row, result, is_same))
    return {
        "old": {"date": before["date"], "version": old["backend"].get("version"), "machine": before["machine"]},
        "same_machine": is_same,
        "unmatched": unmatched,
        "changes": changes,
    }


def regressions(comparison: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the changes of ours that are for the worse."""
    return [change for change in comparison["changes"] if change["name"] == OURS and change["verdict"] == "slower"]


def same_machine(one: Row, other: Row) -> bool:
    """Tell whether two runs were on machines of one kind, as far as the reports say."""
    return all(one.get(name) == other.get(name) for name in _MACHINE)


def _change(old_row: Row, old: Row, row: Row, new: Row, is_same: bool) -> dict[str, Any]:
    is_bound = row["flop"] >= CLOCK_BOUND_INTENSITY * row["moved_bytes"]
    normalised = bool(is_bound and row["peak"] and old_row.get("peak"))
    ratio = None
    if normalised:
        ratio = intervals.ratio_of_products(
            [new["samples_ns"], row["peak"]["samples_gflop_per_s"]],
            [old["samples_ns"], old_row["peak"]["samples_gflop_per_s"]],
        )
    elif is_same:
        ratio = intervals.ratio_of_medians(new["samples_ns"], old["samples_ns"])
    return {
        "kind": row["kind"],
        "label": row["label"],
        "row_precision": row["precision"],
        "threads": row["threads"],
        "name": new["name"],
        "precision": new["precision"],
        "old_median_ns": intervals.median(old["samples_ns"]),
        "new_median_ns": intervals.median(new["samples_ns"]),
        "normalised": normalised,
        "ratio": None if ratio is None else ratio.as_dict(),
        "verdict": None if ratio is None else _verdict(ratio),
    }


def _verdict(ratio: intervals.Ratio) -> str:
    if ratio.low > 1 + LEAST_CHANGE:
        return "slower"
    if ratio.high < 1 / (1 + LEAST_CHANGE):
        return "faster"
    return "same"


def _key(row: Row, result: Row) -> tuple[Any, ...]:
    return (row["kind"], row["label"], row["precision"], row["threads"], result.get("name"), result.get("precision"))


def _named(machine: Row) -> str:
    return f"{machine.get('cpu') or 'unknown processor'} with {machine.get('processors')} processors"


def _problem(document: dict[str, Any]) -> str | None:
    """Say what keeps a document from being compared with: files are edited, cut off and mixed up."""
    bench = document.get("bench")
    if not isinstance(bench, dict) or not isinstance(document.get("backend"), dict):
        return "it has no benchmark in it"
    if not isinstance(bench.get("rows"), list) or not isinstance(bench.get("machine"), dict):
        return "its benchmark has no rows or no machine"
    if not isinstance(bench.get("quick"), bool) or not isinstance(bench.get("date"), str):
        return "its benchmark does not say whether it was quick, or when it was"
    for number, row in enumerate(bench["rows"]):
        if not _is_row(row):
            return f"row {number} of its benchmark is no measurement"
    return None


def _is_row(row: Any) -> bool:
    if not isinstance(row, dict) or not all(isinstance(row.get(name), str) for name in ("kind", "label")):
        return False
    if not isinstance(row.get("precision"), (str, type(None))) or not isinstance(row.get("threads"), int):
        return False
    peak = row.get("peak")
    if peak is not None and not (isinstance(peak, dict) and _are_samples(peak.get("samples_gflop_per_s"))):
        return False
    results = row.get("results", [])
    return isinstance(results, list) and all(_is_result(result) for result in results)


def _is_result(result: Any) -> bool:
    if not isinstance(result, dict) or not isinstance(result.get("name"), str):
        return False
    if not isinstance(result.get("precision"), (str, type(None))):
        return False
    return result.get("samples_ns") is None or _are_samples(result["samples_ns"])


def _are_samples(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(_is_sample(one) for one in value)


def _is_sample(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 1e300

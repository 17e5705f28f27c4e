"""``bench validate``: verdicts on the published claims, each on its own.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_qeattention.bench.workloads import verdict

SPEEDUP_TARGET = 2.49
"""The lower end of the published range. Faster than its upper end (7.47) is a pass as well."""

SAVED_TARGET = 0.50
MEMORY_LENGTHS = (1024, 2048, 4096)
QUICK_MEMORY_LENGTHS = (512,)

CLAIMS = ("speed-up", "latency", "memory saved")


def add_verdicts(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give every row its verdicts, and return those over all rows, one for each claim.

    The speed-up is over NumPy with BLAS and stored scores, its fastest way; the low end of the interval must reach the
    target. Overall a claim fails where it fails anywhere, passes where it was measured everywhere and passed, and is
    None otherwise.
    """
    for row in rows:
        row["verdicts"] = [*_speed(row), *_latency(row), _saved(row)]
    return [_overall(claim, rows) for claim in CLAIMS]


def _speed(row: dict[str, Any]) -> list[dict[str, Any]]:
    if row["kind"] != "workload":
        return []
    ratio = row["results"][1]["ratio"]
    return [verdict("speed-up", None if ratio is None else ratio["low"], SPEEDUP_TARGET, "x", least=True)]


def _latency(row: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in row.get("verdicts", ()) if one["claim"] == "latency"]


def _saved(row: dict[str, Any]) -> dict[str, Any]:
    share = row["memory"]["saved_share"] if row["kind"] == "workload" else row["saved_share"]
    return verdict("memory saved", share, SAVED_TARGET, "share", least=True)


def _overall(claim: str, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    found = [one["verdict"] for row in rows for one in row["verdicts"] if one["claim"] == claim]
    answer = "fail" if "fail" in found else "pass" if found and None not in found else None
    counts = {name: found.count(name) for name in ("pass", "fail")}
    return {"claim": claim, **counts, "not_measured": found.count(None), "verdict": answer}

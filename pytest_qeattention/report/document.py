"""Similarity reports as the JSON document ``qeattention/1``.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_qeattention.report.terminal import unique_problems
from pytest_qeattention.similarity.model import Acknowledgement, Group, Neighbor, Problem, SimilarReport, Unit

SCHEMA = "qeattention/1"
_DIGITS = 6
_SURROGATE = re.compile("[\ud800-\udfff]")


def document(
    *,
    backend: Mapping[str, Any],
    similar: SimilarReport | None = None,
    similar_failed: bool = False,
    defects: Mapping[str, Any] | None = None,
    defects_failed: bool = False,
    workloads: Sequence[SimilarReport] = (),
    problems: Sequence[Problem] = (),
) -> dict[str, Any]:
    """Return the document of a run, as values that `dumps` writes.

    A part that was not asked for is absent. ``similar`` is None when its analysis was asked for and failed, and so is
    ``defects``, the part that `report.defects` makes.
    *problems* are those of the run itself, such as a plugin's hook that raised.
    """
    result: dict[str, Any] = {"schema": SCHEMA, "backend": dict(backend)}
    if similar is not None:
        result["similar"] = similar_part(similar)
    elif similar_failed:
        result["similar"] = None
    if defects is not None or defects_failed:
        result["defects"] = defects
    if workloads:
        result["workloads"] = {report.workload: similar_part(report) for report in workloads}
    if problems:
        result["problems"] = _problems(problems)
    return result


def similar_part(report: SimilarReport) -> dict[str, Any]:
    """Return what one similarity analysis found."""
    part: dict[str, Any] = {"tests": report.tests}
    if report.ranked is None:
        # A ranking is another question: the tests were not grouped.
        part["groups"] = [_group(group) for group in report.groups]
    if report.neighbors is not None:
        part["neighbors"] = [
            {
                "nodeid": unit.nodeid,
                "path": unit.path,
                "line": unit.line,
                "nearest": [_neighbor(neighbor) for neighbor in nearest],
            }
            for unit, nearest in report.neighbors
        ]
    if report.ranked is not None:
        query, results = report.ranked
        part["ranked"] = {
            "query": query,
            "results": [{**_neighbor(result), "reasons": list(result.reasons)} for result in results],
        }
    if report.set_aside:
        part["set_aside"] = [_group(group) for group in report.set_aside]
    if report.acknowledged:
        part["acknowledged"] = [_acknowledgement(each) for each in report.acknowledged]
    if report.unneeded:
        part["unneeded"] = [_acknowledgement(each) for each in report.unneeded]
    if report.below_threshold:
        part["below_threshold"] = report.below_threshold
    if report.baseline is not None:
        part["baseline"] = {
            "path": report.baseline.path,
            "accepted": sum(not group.is_finding for group in report.groups),
            "new": sum(group.is_finding for group in report.groups),
            "stale": [{"path": path, "test": test} for path, test in report.baseline.stale],
            "written": report.baseline.written is not None,
        }
    part["search"] = report.search
    part["left_out"] = dict(sorted(report.left_out.items()))
    part["problems"] = _problems(report.problems)
    return part


def dumps(value: Mapping[str, Any]) -> str:
    """Write a document as JSON text that any encoding error is kept out of, with an end of line."""
    text = json.dumps(_plain(value), ensure_ascii=False, allow_nan=False, indent=1)
    # Lone surrogates come from file names that are no text; JSON can name them, UTF-8 cannot.
    return _SURROGATE.sub(lambda match: f"\\u{ord(match.group()):04x}", text) + "\n"


def _group(group: Group) -> dict[str, Any]:
    return {
        "id": group.id,
        "kind": group.kind,
        "score": group.score,
        "tests": [_test(test) for test in group.tests],
        "reasons": list(group.reasons),
        "suggestion": group.suggestion,
        **_judgement(group),
    }


def _judgement(group: Group) -> dict[str, Any]:
    judgement: dict[str, Any] = {}
    if group.verdict is not None:
        verdict = group.verdict
        judgement["fold"] = {
            "state": verdict.state,
            "reason": verdict.reason,
            "cases": verdict.cases,
            "noticed": verdict.noticed,
        }
    if group.status is not None:
        judgement["status"] = group.status
        judgement["new_tests"] = [test.nodeid for test in group.new_tests]
    if group.acknowledged:
        judgement["acknowledged"] = [_acknowledgement(each) for each in group.acknowledged]
    return judgement


def _acknowledgement(each: Acknowledgement) -> dict[str, Any]:
    return {"nodeid": each.test.nodeid, "path": each.test.path, "line": each.line, "reason": each.reason}


def _test(unit: Unit) -> dict[str, Any]:
    return {"nodeid": unit.nodeid, "path": unit.path, "line": unit.line, "name": unit.name}


def _neighbor(neighbor: Neighbor) -> dict[str, Any]:
    unit = neighbor.unit
    return {"nodeid": unit.nodeid, "path": unit.path, "line": unit.line, "score": neighbor.score}


def _problems(problems: Sequence[Problem]) -> list[dict[str, Any]]:
    return [
        {"path": problem.path, "line": problem.line, "message": problem.message}
        for problem in unique_problems(problems)
    ]


def _plain(value: Any) -> Any:
    """Return *value* with floats rounded, and what JSON has no number for as null."""
    if isinstance(value, bool) or value is None or isinstance(value, (int, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    number = float(value)
    return round(number, _DIGITS) if math.isfinite(number) else None

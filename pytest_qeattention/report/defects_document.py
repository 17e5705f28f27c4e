"""What a red run comes down to, as a part of the JSON document.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from typing import Any

from pytest_qeattention.defects.gate import Judgement
from pytest_qeattention.defects.model import Cause, DefectsReport, Match
from pytest_qeattention.report.causes import Beside, Place, headline, traceback_end
from pytest_qeattention.report.defect_lines import seen_part

_NOTHING = Beside()


def defects_part(report: DefectsReport, beside: Beside = _NOTHING) -> dict[str, Any]:
    """Return the part of the JSON document: the causes, and each failure with the cause that it has."""
    records = report.records
    group_of = {at: cause.id for cause in report.causes for at in cause.failures}
    part: dict[str, Any] = {
        "groups": [_group(number, cause, report, beside) for number, cause in enumerate(report.causes, 1)],
        "failures": [
            {
                "nodeid": record.nodeid,
                "path": record.test.path,
                "line": record.test.line,
                "phase": record.phase,
                "group": group_of.get(at),
                "match": _short(report.matches.get(at)),
                "candidates": [{"defect": defect, "score": score} for defect, score in report.candidates.get(at, ())],
            }
            for at, record in enumerate(records)
        ],
        "knowledge": report.knowledge,
        "problems": list(report.problems),
    }
    if beside.judgement is not None:
        part["known_ok"] = _judgement(beside.judgement)
    return part


def _group(number: int, cause: Cause, report: DefectsReport, beside: Beside) -> dict[str, Any]:
    records = report.records
    representative = records[cause.representative]
    type_, message = headline(representative)
    end = traceback_end(representative)
    return {
        "id": cause.id,
        "address": beside.address(number) or None,
        "count": len(cause.failures),
        "failures": [records[at].nodeid for at in cause.failures],
        "representative": representative.nodeid,
        "traceback": None if end is None else {"nodeid": representative.nodeid, **_place(end)},
        "type": type_ or None,
        "message": message,
        "culprit": None
        if cause.culprit is None
        else {"path": cause.culprit.path, "line": cause.culprit.line or None, "qualname": cause.culprit.qualname},
        "reasons": list(cause.reasons),
        "shared": list(cause.shared),
        "families": list(cause.families),
        "match": _match(cause.match),
        "url": beside.url(cause),
        **seen_part(beside.seen.get(cause.id)),
    }


def _short(match: Match | None) -> dict[str, Any] | None:
    if match is None:
        return None
    return {"state": match.state, "defect": match.defect, "confidence": match.confidence}


def _match(match: Match | None) -> dict[str, Any] | None:
    short = _short(match)
    if match is None or short is None:
        return None
    return {**short, "reasons": list(match.reasons), "basis": match.basis, "grounds": sorted(match.grounds)}


def _place(place: Place) -> dict[str, Any]:
    return {"path": place.path, "line": place.line, "qualname": place.name}


def _judgement(judgement: Judgement) -> dict[str, Any]:
    return {
        "passed": judgement.is_passed,
        "reason": judgement.reason,
        "failures": [{"nodeid": each.nodeid, "defect": each.defect, "until": each.until} for each in judgement.passed],
    }

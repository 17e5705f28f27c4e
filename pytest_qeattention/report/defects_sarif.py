"""What a red run comes down to, as a run of SARIF 2.1.0 (OASIS, errata 01).

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_qeattention.defects.model import Cause, DefectsReport
from pytest_qeattention.defects.record import FailureRecord
from pytest_qeattention.report.causes import (
    LEVELS,
    STATES,
    Beside,
    confidence_words,
    place_of,
    said_of,
    seen_words,
    state_of,
    tests_of,
    traceback_end,
    why_matched,
)
from pytest_qeattention.report.defect_lines import seen_part
from pytest_qeattention.report.place import Places
from pytest_qeattention.report.sarif import BASE_ID, escaped, link_text, physical_location
from pytest_qeattention.wording import counted

FINGERPRINT = "qeattentionCause/v1"
RELATED = 100
"""Failing tests of a cause that are listed; the message says how many there are."""
_LINKED = 10
_NOTHING = Beside()
_URL = re.compile(r"https?://[A-Za-z0-9._~:/?#@!$&'()*+,;=%-]+")

_ADVICE = (
    "What a cause is, 'qeattention defects label' says, by its address (last/2), its id or one of its tests; 'reject' "
    "takes back what was said wrongly."
)
_RULES: Mapping[str, tuple[str, str, str]] = {
    "regressed": (
        "RegressedDefect",
        "A defect that was closed is back",
        "The failures are those of a defect that somebody has closed.",
    ),
    "new": ("NewDefect", "A cause of failures that is new", "Nobody has said yet what makes these tests fail."),
    "cause": (
        "CauseOfFailures",
        "A cause of failures",
        "These tests fail for one reason. Which defect it is was not looked up.",
    ),
    "likely": (
        "LikelyDefect",
        "A cause of failures that is likely a known defect",
        "The failures are like those of a known defect, but not so much that they are said to be it.",
    ),
    "known": ("KnownDefect", "A known defect", "The failures are those of a defect that is known and open."),
}


def defects_run(
    report: DefectsReport | None, *, version: str, places: Places, beside: Beside = _NOTHING
) -> dict[str, Any]:
    """Return a run of SARIF with one result per cause; None stands for an analysis that failed.

    The culprit is the location, or else the representative test; the failing tests are related locations, of many the
    first `RELATED`.
    """
    rules = [_rule(state) for state in STATES]
    return {
        "tool": {"driver": {"name": "pytest-qeattention", "version": version, "rules": rules}},
        "automationDetails": {"id": "qeattention/defects/"},
        "invocations": [
            {
                "executionSuccessful": report is not None,
                "toolExecutionNotifications": [
                    {"level": "warning", "message": {"text": escaped(problem)}}
                    for problem in (() if report is None else report.problems)
                ],
            }
        ],
        "originalUriBaseIds": {BASE_ID: {"uri": places.root_uri}},
        "columnKind": "unicodeCodePoints",
        "results": []
        if report is None
        else [_result(number, cause, report, places, beside) for number, cause in enumerate(report.causes, 1)],
    }


def _rule(state: str) -> dict[str, Any]:
    name, short, full = _RULES[state]
    return {
        "id": f"defects/{state}",
        "name": name,
        "shortDescription": {"text": short},
        "fullDescription": {"text": full},
        "help": {"text": f"{full} {_ADVICE}", "markdown": f"{full}\n\n{_ADVICE.replace(chr(39), '`')}"},
        "defaultConfiguration": {"level": LEVELS[state]},
        "properties": {"tags": ["test", "correctness"], "problem.severity": _SEVERITIES[LEVELS[state]]},
    }


_SEVERITIES = {"error": "error", "warning": "warning", "note": "recommendation"}


def _result(number: int, cause: Cause, report: DefectsReport, places: Places, beside: Beside) -> dict[str, Any]:
    records, match, state = report.records, cause.match, state_of(cause)
    tests = tests_of(cause, records)
    place = place_of(cause, records)
    url, end = beside.url(cause), traceback_end(tests[0])
    result: dict[str, Any] = {
        "ruleId": f"defects/{state}",
        "ruleIndex": STATES.index(state),
        "level": LEVELS[state],
        "message": {"text": _message(cause, report, tests, beside)},
        "locations": [_located(place.path, place.line, place.name, f"{place.path}::{place.name}", places)],
        "relatedLocations": [
            {"id": at, **_of_test(test, places), "message": {"text": escaped(test.nodeid)}}
            for at, test in enumerate(tests[:RELATED], 1)
        ],
        "partialFingerprints": {FINGERPRINT: cause.id},
        "properties": {
            "cause": cause.id,
            "address": beside.address(number) or None,
            "failures": len(cause.failures),
            "tests": len(tests),
            "state": state,
            "defect": None if match is None else match.defect,
            "url": url,
            "confidence": None if match is None else match.confidence,
            "reasons": list(cause.reasons),
            "shared": list(cause.shared),
            "why": list(why_matched(cause, report)),
            "families": list(cause.families),
            "representative": tests[0].nodeid,
            "traceback": None if end is None else end.text,
            **seen_part(beside.seen.get(cause.id)),
        },
    }
    if url is not None and _URL.fullmatch(url):
        result["workItemUris"] = [url]
    return result


def _message(cause: Cause, report: DefectsReport, tests: Sequence[FailureRecord], beside: Beside) -> str:
    links = [f"[{link_text(test.nodeid)}]({at})" for at, test in enumerate(tests[:_LINKED], 1)]
    if len(tests) > _LINKED:
        links.append(counted(len(tests) - _LINKED, "other"))
    named = links[0] if len(links) == 1 else f"{', '.join(links[:-1])} and {links[-1]}"
    defect = "" if cause.match is None or cause.match.defect is None else f" {cause.match.defect}"
    state = "" if cause.match is None else f" ({cause.match.state}{defect})"
    before = seen_words(beside.seen.get(cause.id), is_kept=beside.is_kept)
    reasons = (confidence_words(cause), *why_matched(cause, report), *cause.shared, *cause.reasons, before)
    shown = "".join(f"\n- {escaped(reason)}" for reason in reasons if reason)
    count = counted(len(cause.failures), "failure")
    return f"{escaped(said_of(cause, report.records))}\n{count}{escaped(state)}: {named}.{shown}"


def _of_test(record: FailureRecord, places: Places) -> dict[str, Any]:
    return _located(record.test.path, record.test.line, record.test.name, record.nodeid, places)


def _located(path: str, line: int | None, name: str, whole: str, places: Places) -> dict[str, Any]:
    location: dict[str, Any] = {"logicalLocations": [{"fullyQualifiedName": whole, "name": name, "kind": "function"}]}
    # What a JUnit file does not tell the path of has a name alone.
    if path:
        location["physicalLocation"] = physical_location(path, line, None, places)
    return location

"""What a red run comes down to, as the annotations of a GitHub workflow.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from pytest_qeattention.defects.model import Cause, DefectsReport
from pytest_qeattention.report.causes import (
    LEVELS,
    Beside,
    by_attention,
    confidence_words,
    place_of,
    said_of,
    seen_words,
    state_of,
    tests_of,
    why_matched,
)
from pytest_qeattention.report.github import ANNOTATIONS_SHOWN, workflow_command
from pytest_qeattention.report.lines import printable
from pytest_qeattention.report.place import Places
from pytest_qeattention.wording import counted

_TESTS_NAMED = 10
_COMMANDS = {"error": "error", "warning": "warning", "note": "notice"}
_NOTHING = Beside()


def cause_annotations(report: DefectsReport, places: Places, beside: Beside = _NOTHING) -> list[str]:
    """Return one workflow command for each of the first causes of a level, and one that counts the others."""
    of_level: dict[str, list[str]] = {}
    for number, cause in by_attention(report):
        level = _COMMANDS[LEVELS[state_of(cause)]]
        of_level.setdefault(level, []).append(_annotation(level, number, cause, report, places, beside))
    lines: list[str] = []
    for level, found in of_level.items():
        lines.extend(found[:ANNOTATIONS_SHOWN])
        if len(found) > ANNOTATIONS_SHOWN:
            rest = counted(len(found) - ANNOTATIONS_SHOWN, "cause")
            lines.append(
                workflow_command(level, {"title": f"{rest} more"}, "The report of qe-defects has all of them.")
            )
    return lines


def _annotation(level: str, number: int, cause: Cause, report: DefectsReport, places: Places, beside: Beside) -> str:
    records = report.records
    place = place_of(cause, records)
    defect = "" if cause.match is None or cause.match.defect is None else f" {cause.match.defect}"
    address = f" ({beside.address(number)})" if beside.is_kept else ""
    title = f"{state_of(cause)}{defect}: {counted(len(cause.failures), 'failure')}{address}"
    properties = {}
    if place.path:
        properties["file"] = places.path(place.path)
        if place.line is not None:
            properties["line"] = str(place.line)
    properties["title"] = printable(title)
    tests = tests_of(cause, records)
    named = [test.nodeid for test in tests[:_TESTS_NAMED]]
    if len(tests) > _TESTS_NAMED:
        named.append(f"and {counted(len(tests) - _TESTS_NAMED, 'other')}")
    before = seen_words(beside.seen.get(cause.id), is_kept=beside.is_kept)
    why = (confidence_words(cause), *why_matched(cause, report), *cause.shared, *cause.reasons, before)
    lines = [said_of(cause, records), *(each for each in why if each), *named]
    return workflow_command(level, properties, "\n".join(map(printable, lines)))

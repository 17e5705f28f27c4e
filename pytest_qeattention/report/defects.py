"""What a red run comes down to, as lines for people and as a part of the JSON document.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_qeattention.defects.model import Cause, DefectsReport
from pytest_qeattention.defects.record import FailureRecord, Frame
from pytest_qeattention.report.lines import Line, Span, printable
from pytest_qeattention.wording import counted

CAUSES_SHOWN = 20
TESTS_SHOWN = 3
_WIDTH = 120
_MARKUP = {"known": "green", "likely": "cyan", "new": "yellow", "regressed": "red"}


def defects_lines(
    report: DefectsReport,
    *,
    verbosity: int = 0,
    preventions: Mapping[str, str] | None = None,
    more: str = "-v shows all",
    is_kept: bool = False,
    seen: Mapping[str, str] | None = None,
) -> list[Line]:
    """Return the lines of a report: the causes, what is known of defects, and last a summary of one line.

    *verbosity* below 0 leaves the summary, 0 shows the first causes and tests, above 0 everything. *preventions* are
    the texts of families by title, shown above 0. The causes of a run that *is_kept* have an address; *seen* says by
    the id of a cause when it was seen before.
    """
    if verbosity < 0:
        return [Line.plain(summary(report))]
    lines: list[Line] = []
    shown = report.causes if verbosity > 0 else report.causes[:CAUSES_SHOWN]
    is_known = report.knowledge not in (None, "empty")
    for number, cause in enumerate(shown, 1):
        address = f"last/{number}" if is_kept else ""
        before = (seen or {}).get(cause.id, "")
        lines.extend(_cause_lines(cause, report.records, verbosity, preventions or {}, address, before, is_known))
    if len(shown) < len(report.causes):
        rest = counted(len(report.causes) - len(shown), "cause").replace(" ", " more ", 1)
        lines.extend((Line.plain(f"... and {rest} ({more})"), Line()))
    lines.extend(Line.marked(problem, "yellow") for problem in report.problems)
    if report.knowledge is not None:
        consequence = ", so every cause is new" if report.knowledge == "empty" else ""
        lines.append(Line.plain(f"knowledge base: {report.knowledge}{consequence}"))
    lines.append(Line.marked(summary(report), "bold"))
    return lines


def summary(report: DefectsReport) -> str:
    """Return the report in one line; the states of the causes where not all are new."""
    states = [cause.match.state for cause in report.causes if cause.match is not None]
    parts = [f"{states.count(state)} {state}" for state in _MARKUP if state in states]
    found = f"qe-defects: {counted(len(report.causes), 'cause')} behind {counted(len(report.records), 'failure')}"
    return found if set(states) <= {"new"} else f"{found} ({', '.join(parts)})"


def place_of(cause: Cause, records: tuple[FailureRecord, ...]) -> tuple[str, int | None, str]:
    """Return path, line and name of what the failures come from: the culprit, or else what is nearest to it."""
    record = records[cause.representative]
    frame = cause.culprit or _own_frame(record)
    if frame is not None:
        return frame.path, frame.line or None, frame.qualname
    return record.test.path, record.test.line, record.test.failing_fixture or record.test.qualname


def _own_frame(record: FailureRecord) -> Frame | None:
    root = record.root
    own = [frame for frame in root.frames if frame.role not in ("third party", "stdlib")] if root is not None else []
    return own[-1] if own else None


def headline(record: FailureRecord) -> tuple[str, str]:
    """Return type and message of what a failure came from, the message on one line."""
    root = record.root
    if root is None:
        said = {"crash": "the worker crashed", "timeout": "the test took too long"}
        return "", said.get(record.phase, "nothing is said of the failure")
    message = " ".join(root.message.partition("\n")[0].split())
    if root.type == "AssertionError" and message.startswith("assert "):
        return "", message
    return root.type, message


def _cause_lines(
    cause: Cause,
    records: tuple[FailureRecord, ...],
    verbosity: int,
    preventions: Mapping[str, str],
    address: str,
    before: str,
    is_known: bool,
) -> list[Line]:
    state = cause.match.state if cause.match is not None else "cause"
    head = f"  {counted(len(cause.failures), 'failure')}"
    if cause.match is not None and cause.match.defect is not None:
        head += f"  {cause.match.defect}"
        if cause.match.confidence is not None:
            head += f"  confidence {cause.match.confidence:.2f}"
    if address:
        head += f"  {address}"
    if verbosity > 0:
        head += f"  id {cause.id}"
    type_, message = headline(records[cause.representative])
    said = f"{type_}: {message}" if type_ and message else type_ or message
    if len(said) > _WIDTH and verbosity <= 0:
        said = said[: _WIDTH - 4] + " ..."
    path, line, name = place_of(cause, records)
    place = path if line is None else f"{path}:{line}"
    lines = [
        Line((Span(state, ("bold", _MARKUP.get(state, "yellow"))), Span(printable(head)))),
        Line((Span("  "), Span(printable(said), ("red",)))),
        Line((Span(printable(f"  {place}")), Span(printable(f"  {name}"), ("bold",)))),
    ]
    lines.extend(Line.plain(f"    {text}") for text in (*cause.shared, *cause.reasons))
    if cause.match is not None and is_known:
        lines.extend(Line.plain(f"    {text}") for text in cause.match.reasons)
    if before:
        lines.append(Line.plain(f"    {before}"))
    for title in cause.families if verbosity > 0 else cause.families[:1]:
        lines.append(Line.plain(f"    looks like: {title}"))
        if verbosity > 0 and title in preventions:
            lines.append(Line.plain(f"      {preventions[title]}"))
    tests = list(dict.fromkeys(records[at].nodeid for at in cause.failures))
    shown = tests if verbosity > 0 else tests[:TESTS_SHOWN]
    lines.extend(Line.plain(f"  {nodeid}") for nodeid in shown)
    if len(shown) < len(tests):
        lines.append(Line.plain(f"  ... and {len(tests) - len(shown)} more (-v shows all)"))
    lines.append(Line())
    return lines


def defects_part(report: DefectsReport) -> dict[str, Any]:
    """Return the part of the JSON document: the causes, and each failure with the cause that it has."""
    records = report.records
    group_of = {at: cause.id for cause in report.causes for at in cause.failures}
    part: dict[str, Any] = {
        "groups": [_group(cause, records) for cause in report.causes],
        "failures": [
            {
                "nodeid": record.nodeid,
                "path": record.test.path,
                "line": record.test.line,
                "phase": record.phase,
                "group": group_of.get(at),
                "candidates": [{"defect": defect, "score": score} for defect, score in report.candidates.get(at, ())],
            }
            for at, record in enumerate(records)
        ],
        "knowledge": report.knowledge,
        "problems": list(report.problems),
    }
    return part


def _group(cause: Cause, records: tuple[FailureRecord, ...]) -> dict[str, Any]:
    type_, message = headline(records[cause.representative])
    match = cause.match
    return {
        "id": cause.id,
        "failures": [records[at].nodeid for at in cause.failures],
        "representative": records[cause.representative].nodeid,
        "type": type_ or None,
        "message": message,
        "culprit": None
        if cause.culprit is None
        else {"path": cause.culprit.path, "line": cause.culprit.line or None, "qualname": cause.culprit.qualname},
        "reasons": list(cause.reasons),
        "shared": list(cause.shared),
        "families": list(cause.families),
        "match": None
        if match is None
        else {
            "state": match.state,
            "defect": match.defect,
            "confidence": match.confidence,
            "reasons": list(match.reasons),
        },
    }

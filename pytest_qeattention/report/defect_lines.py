"""What is known of defects, as lines and as values of JSON.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pytest_qeattention.defects.history import Addressed, Seen
from pytest_qeattention.defects.knowledge import Defect, Label
from pytest_qeattention.defects.matching import shown_rule
from pytest_qeattention.defects.replay import Replay
from pytest_qeattention.defects.statements import Rule
from pytest_qeattention.report.lines import Line
from pytest_qeattention.wording import counted

LABELS_SHOWN = 20
_DAY = 10
_MESSAGE_SHOWN = 160


def list_lines(defects: Iterable[tuple[Defect, int, Seen | None]]) -> list[Line]:
    """Return a line for each defect, with the number of its labelled failures and when it was seen."""
    lines = []
    for defect, labels, seen in defects:
        parts = [defect.state, defect.name, counted(labels, "labelled failure")]
        parts += [seen_text(seen)] if seen is not None else []
        parts += [f"may pass until {defect.expires}"] if defect.expires else []
        parts += [defect.url] if defect.url else []
        lines.append(Line.plain("  ".join(parts)))
    return lines


def list_part(defects: Iterable[tuple[Defect, int, Seen | None]]) -> list[dict[str, Any]]:
    """Return the same as values of JSON."""
    return [{**_defect(defect), "labels": labels, **seen_part(seen)} for defect, labels, seen in defects]


def defect_lines(defect: Defect, labels: Sequence[Label], rules: Sequence[Rule], seen: Seen | None) -> list[Line]:
    """Return all that is known of one defect."""
    lines = [Line.marked(f"{defect.name}  {defect.state}", "bold")]
    if defect.url:
        lines.append(Line.plain(f"  {defect.url}"))
    dates = f"  named {defect.created[:_DAY]}" + (f", closed {defect.closed[:_DAY]}" if defect.closed else "")
    dates += f", may pass until {defect.expires}" if defect.expires else ""
    lines.append(Line.plain(dates + (f", {seen_text(seen)}" if seen is not None else "")))
    if defect.merged:
        lines.append(Line.plain(f"  merged into it: {', '.join(defect.merged)}"))
    lines.extend(Line.plain(f"  rule: {shown_rule(rule)}") for rule in rules)
    for label in labels[:LABELS_SHOWN]:
        word = "is" if label.is_confirmed else "is not"
        pattern = label.pattern
        by = f" by {label.by}" if label.by else ""
        lines.append(Line.plain(f"  {word}: {pattern.path}::{pattern.test} ({label.at[:_DAY]}{by})"))
        lines.append(Line.plain(f"    {_short(f'{pattern.type}: {pattern.template}')}"))
    if len(labels) > LABELS_SHOWN:
        lines.append(Line.plain(f"  ... and {counted(len(labels) - LABELS_SHOWN, 'more label')}"))
    return lines


def defect_part(defect: Defect, labels: Sequence[Label], rules: Sequence[Rule], seen: Seen | None) -> dict[str, Any]:
    """Return the same as values of JSON."""
    return {
        **_defect(defect),
        **seen_part(seen),
        "rules": [{"type": rule.type, "message": rule.template, "frame": rule.frame} for rule in rules],
        "labels": [
            {
                "verdict": "confirm" if label.is_confirmed else "reject",
                "at": label.at,
                "by": label.by,
                "pattern": label.pattern.to_plain(),
            }
            for label in labels
        ],
    }


def address_lines(found: Addressed) -> list[Line]:
    """Return the failures that an address stands for."""
    cause = found.cause
    title = f"cause {cause.number} of the run of {found.run.at[:16]}" if cause else f"run of {found.run.at[:16]}"
    state = f"  {cause.state}" if cause and cause.state else ""
    name = f"  {cause.defect}" if cause and cause.defect else ""
    lines = [Line.marked(f"{title}{state}{name}  {counted(len(found.failures), 'failure')}", "bold")]
    for failure in found.failures[:LABELS_SHOWN]:
        lines.append(Line.plain(f"  {failure.nodeid}"))
        lines.append(Line.plain(f"    {_short(f'{failure.pattern.type}: {failure.message}')}"))
    if len(found.failures) > LABELS_SHOWN:
        lines.append(Line.plain(f"  ... and {counted(len(found.failures) - LABELS_SHOWN, 'more failure')}"))
    return lines


def address_part(found: Addressed) -> dict[str, Any]:
    """Return the same as values of JSON."""
    cause = found.cause
    return {
        "run": {"at": found.run.at, "source": found.run.source, "tests": found.run.tests},
        "cause": None if cause is None else {"id": cause.id, "state": cause.state, "defect": cause.defect},
        "failures": [
            {"nodeid": each.nodeid, "message": each.message, "pattern": each.pattern.to_plain()}
            for each in found.failures
        ],
    }


def replay_lines(result: Replay) -> list[Line]:
    """Return what a replay counted."""
    if not result.failures:
        return [Line.plain("no failure is labelled, so there is nothing to replay; label some first")]
    return [
        Line.plain(
            f"{counted(result.failures, 'labelled failure')}, in the order of time (each in every run that it was in)"
        ),
        Line.plain(f"  {result.seen_before} of a defect that an earlier run had shown"),
        Line.plain(f"  {result.answered} answered (known or regressed), {result.right} of them rightly"),
        Line.plain(f"  {result.new_called_known} new ones called known"),
        Line.marked(
            f"precision {_share(result.precision)}, answer rate {_share(result.answer_rate)}, "
            f"first candidate right {_share(result.first_rate)}",
            "bold",
        ),
    ]


def replay_part(result: Replay) -> dict[str, Any]:
    """Return the same as values of JSON; what was not measured is null."""
    return {
        "failures": result.failures,
        "seen_before": result.seen_before,
        "answered": result.answered,
        "right": result.right,
        "new_called_known": result.new_called_known,
        "precision": result.precision,
        "answer_rate": result.answer_rate,
        "first_candidate_right": result.first_rate,
    }


def _defect(defect: Defect) -> dict[str, Any]:
    return {
        "defect": defect.name,
        "url": defect.url,
        "state": defect.state,
        "created": defect.created,
        "closed": defect.closed,
        "expires": defect.expires,
        "merged": list(defect.merged),
    }


def seen_part(seen: Seen | None) -> dict[str, Any]:
    """Return the same as values of JSON; null where it was not seen."""
    return {"first_seen": seen and seen.first, "last_seen": seen and seen.last}


def seen_text(seen: Seen) -> str:
    """Return in words when something was seen."""
    return f"seen in {counted(seen.runs, 'run')}, first {seen.first[:_DAY]}, last {seen.last[:_DAY]}"


def _share(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.2f}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MESSAGE_SHOWN else f"{line[: _MESSAGE_SHOWN - 3]}..."

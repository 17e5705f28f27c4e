"""What a red run comes down to, as the Markdown summary of a pull request.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from pytest_qeattention.defects.model import Cause, DefectsReport
from pytest_qeattention.report.causes import (
    Beside,
    by_attention,
    confidence_words,
    judgement_words,
    place_of,
    said_of,
    seen_words,
    state_of,
    tests_of,
    traceback_end,
    why_matched,
)
from pytest_qeattention.report.defects import states_words
from pytest_qeattention.report.markdown import LONGEST, PROBLEMS_SHOWN, cell_code, code, escaped
from pytest_qeattention.wording import counted

TESTS_SHOWN = 50
_LONGEST_TEXT = 300
_NOTHING = Beside()


def defects_markdown(report: DefectsReport, *, beside: Beside = _NOTHING, longest: int = LONGEST) -> str:
    """Return a heading, the summary, a table of the causes by state, and a block for each of them.

    The table and the blocks have at most *longest* characters; the table comes first.
    """
    count = counted(len(report.records), "failure")
    parts = [f"## {counted(len(report.causes), 'cause')} behind {count}" if report.records else "## No failures"]
    known = "" if report.knowledge is None else f"knowledge base: {report.knowledge}"
    if states := "; ".join(each for each in (states_words(report), known) if each):
        parts.append(escaped(f"qe-defects: {states}"))
    if beside.judgement is not None:
        parts.append(f"**{escaped(judgement_words(beside.judgement, beside.gate))}**")
    ordered = by_attention(report)
    rows: list[str] = []
    left = longest
    for number, cause in ordered:
        row = _row(number, cause, report, beside)
        left -= len(row) + 1
        if left < 0:
            break
        rows.append(row)
    if rows:
        head = ["| state | failures | cause | where | |", "| --- | ---: | --- | --- | --- |"]
        parts.append("\n".join([*head, *rows]))
    shown = 0
    for number, cause in ordered[: len(rows)]:
        block = _block(number, cause, report, beside)
        left -= len(block) + 2
        if left < 0:
            break
        parts.append(block)
        shown += 1
    if shown < len(ordered):
        parts.append(f"{counted(len(ordered) - shown, 'cause')} more, which the JSON and SARIF reports have in full.")
    if report.problems:
        lines = [f"- {escaped(problem)}" for problem in report.problems[:PROBLEMS_SHOWN]]
        if len(report.problems) > PROBLEMS_SHOWN:
            lines.append(f"- and {counted(len(report.problems) - PROBLEMS_SHOWN, 'problem')} more")
        parts.append("\n".join(["**Problems**", "", *lines]))
    return "\n\n".join(parts) + "\n"


def _row(number: int, cause: Cause, report: DefectsReport, beside: Beside) -> str:
    place = place_of(cause, report.records)
    where = cell_code(place.text) if place.text else escaped(place.name)
    name = _defect(cause) or beside.address(number)
    said = cell_code(_cut(said_of(cause, report.records)))
    return f"| {state_of(cause)} | {len(cause.failures)} | {said} | {where} | {escaped(name)} |"


def _block(number: int, cause: Cause, report: DefectsReport, beside: Beside) -> str:
    records = report.records
    title = f"### {state_of(cause)}: {escaped(_defect(cause) or _cut(said_of(cause, records)))}"
    address = beside.address(number)
    facts = [counted(len(cause.failures), "failure"), *([address] if address else []), f"id {cause.id}"]
    place = place_of(cause, records)
    lines = [
        beside.url(cause) or "",
        *why_matched(cause, report),
        *cause.shared,
        *cause.reasons,
        seen_words(beside.seen.get(cause.id), is_kept=beside.is_kept),
        *(f"looks like: {title}" for title in cause.families),
    ]
    said = "" if _defect(cause) is None else f"{code(_cut(said_of(cause, records)))}\n\n"
    reasons = "\n".join(f"- {escaped(_cut(line))}" for line in lines if line)
    where = f"{code(place.text)} {code(place.name)}" if place.text else code(place.name)
    return f"{title}\n\n{said}{', '.join(facts)}; {where}\n\n{reasons}\n\n{_tests(cause, report)}"


def _tests(cause: Cause, report: DefectsReport) -> str:
    tests = tests_of(cause, report.records)
    end = traceback_end(tests[0])
    lines = [f"- {code(test.nodeid)}" for test in tests[:TESTS_SHOWN]]
    if end is not None:
        lines[0] += f" (traceback ends at {code(end.text)})"
    if len(tests) > TESTS_SHOWN:
        lines.append(f"- and {counted(len(tests) - TESTS_SHOWN, 'test')} more")
    listed = "\n".join(lines)
    return f"<details><summary>{counted(len(tests), 'test')}</summary>\n\n{listed}\n\n</details>"


def _defect(cause: Cause) -> str | None:
    if cause.match is None or cause.match.defect is None:
        return None
    confidence = confidence_words(cause)
    return f"{cause.match.defect}, {confidence}" if confidence else cause.match.defect


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 4].rstrip()} ..."

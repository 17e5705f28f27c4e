"""What a red run comes down to, as lines for people.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from pytest_qeattention.defects.gate import Judgement
from pytest_qeattention.defects.model import Cause, DefectsReport
from pytest_qeattention.report.causes import (
    STATES,
    Beside,
    by_attention,
    confidence_words,
    judgement_words,
    passed_by_defect,
    place_of,
    said_of,
    seen_words,
    state_of,
    tests_of,
    traceback_end,
    why_matched,
)
from pytest_qeattention.report.lines import Line, Span, printable
from pytest_qeattention.wording import counted

CAUSES_SHOWN = 20
TESTS_SHOWN = 3
REASONS_SHOWN = 2
PROBLEMS_SHOWN = 5
SHORT_LIST = 4
"""Number of causes from which on they are listed once more, a line each, below the last of them."""
WIDTH = 120
"""Of lines that are no terminal's."""
_NARROWEST = 40
_MARKUP = {"known": "green", "likely": "cyan", "new": "yellow", "cause": "yellow", "regressed": "red"}
_NOTHING = Beside()


def defects_lines(
    report: DefectsReport,
    *,
    verbosity: int = 0,
    preventions: Mapping[str, str] | None = None,
    more: str = "-v shows all",
    beside: Beside = _NOTHING,
    width: int = WIDTH,
) -> list[Line]:
    """Return the lines of a report: the causes, those first that need attention, and last a summary of one line.

    *verbosity* below 0 leaves the summary and what the gate says, 0 shows the first causes and tests, above 0
    everything. *preventions* are the texts of families by title, shown above 0. Prose is wrapped at *width* columns;
    names of tests and places are not, so that they can be copied.
    """
    judgement = beside.judgement
    if verbosity < 0:
        said = [] if judgement is None else [_judgement_line(judgement, beside.gate)]
        return [Line.plain(summary(report)), *said]
    page = _Page(max(width, _NARROWEST), verbosity, preventions or {}, beside)
    ordered = by_attention(report)
    shown = ordered if verbosity > 0 else ordered[:CAUSES_SHOWN]
    for number, cause in shown:
        page.cause(number, cause, report)
    if len(shown) < len(ordered):
        rest = counted(len(ordered) - len(shown), "cause").replace(" ", " more ", 1)
        page.lines.extend((Line.plain(f"... and {rest} ({more})"), Line()))
    if len(shown) >= SHORT_LIST:
        page.short_list(shown, report)
    problems = report.problems if verbosity > 0 else report.problems[:PROBLEMS_SHOWN]
    for problem in problems:
        page.prose(problem, "", "yellow")
    if len(problems) < len(report.problems):
        rest = counted(len(report.problems) - len(problems), "problem").replace(" ", " more ", 1)
        page.lines.append(Line.marked(f"... and {rest} ({more})", "yellow"))
    page.next_step(ordered)
    if report.knowledge is not None:
        consequence = ", so every cause is new" if report.knowledge == "empty" else ""
        page.lines.append(Line.plain(f"knowledge base: {report.knowledge}{consequence}"))
    if judgement is not None:
        page.judgement(judgement)
    page.lines.append(Line.marked(summary(report), "bold"))
    return page.lines


def summary(report: DefectsReport) -> str:
    """Return the report in one line; the states of the causes where not all are new."""
    states = {cause.match.state for cause in report.causes if cause.match is not None}
    found = f"qe-defects: {counted(len(report.causes), 'cause')} behind {counted(len(report.records), 'failure')}"
    return found if states <= {"new"} else f"{found} ({states_words(report)})"


def states_words(report: DefectsReport) -> str:
    """Return how many causes have each state; empty where none was looked up."""
    states = [cause.match.state for cause in report.causes if cause.match is not None]
    return ", ".join(f"{states.count(state)} {state}" for state in STATES if state in states)


class _Page:
    """Write lines of one width."""

    def __init__(self, width: int, verbosity: int, preventions: Mapping[str, str], beside: Beside) -> None:
        self.lines: list[Line] = []
        self._width = width
        self._is_full = verbosity > 0
        self._preventions = preventions
        self._beside = beside

    def prose(self, text: str, indent: str, *markup: str) -> None:
        """Write a text in as many lines as it takes."""
        wrapped = textwrap.wrap(
            printable(text),
            self._width - 1,
            initial_indent=indent,
            subsequent_indent=f"{indent}  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        self.lines.extend(Line.marked(line, *markup) for line in wrapped)

    def cause(self, number: int, cause: Cause, report: DefectsReport) -> None:
        """Write all that is said of a cause."""
        records, match, state = report.records, cause.match, state_of(cause)
        head = [counted(len(cause.failures), "failure")]
        if match is not None and match.defect is not None:
            head += [match.defect, confidence_words(cause)]
        head += [self._beside.address(number), f"id {cause.id}" if self._is_full else ""]
        shown = "  ".join(part for part in head if part)
        self.lines.append(Line((Span(state, ("bold", _MARKUP[state])), Span(printable(f"  {shown}")))))
        said = printable(said_of(cause, records))
        if self._is_full:
            self.prose(said, "  ", "red")
        else:
            self.lines.append(Line((Span("  "), Span(self._cut(said, 2), ("red",)))))
        place = place_of(cause, records)
        spans = (Span(printable(f"  {place.text}")), Span(printable(f"  {place.name}"), ("bold",)))
        named = tuple(span for span in spans if span.text.strip())
        # A test case may have neither file nor class.
        if named:
            self.lines.append(Line(named))
        url = self._beside.url(cause)
        if url is not None:
            self.lines.append(Line.plain(f"    {url}"))
        matched = why_matched(cause, report)
        # Of a known cause what made it known says more than what its failures share.
        reasons = cause.reasons if self._is_full or not (match and match.defect) else cause.reasons[:1]
        for text in (*matched, *cause.shared, *(reasons if self._is_full else reasons[:REASONS_SHOWN])):
            self.prose(text, "    ")
        before = seen_words(self._beside.seen.get(cause.id), is_kept=self._beside.is_kept)
        if before:
            self.lines.append(Line.plain(f"    {before}"))
        for title in cause.families if self._is_full else cause.families[:1]:
            self.lines.append(Line.plain(f"    looks like: {title}"))
            if self._is_full and title in self._preventions:
                self.prose(self._preventions[title], "      ")
        self._teach(number, cause)
        self._tests(cause, report)
        self.lines.append(Line())

    def _teach(self, number: int, cause: Cause) -> None:
        """Say how to tell whether a guess is right, and how to open what came back."""
        match, address = cause.match, self._beside.address(number)
        if match is None or match.defect is None:
            return
        if match.state == "likely" and address:
            self.lines.append(Line.plain(f"    if it is: {self._beside.command('label', address, match.defect)}"))
            self.lines.append(Line.plain(f"    if it is not: {self._beside.command('reject', address)}"))
        elif match.state == "regressed":
            self.lines.append(
                Line.plain(f"    if it is not mended: {self._beside.command('close', match.defect, '--reopen')}")
            )

    def _tests(self, cause: Cause, report: DefectsReport) -> None:
        tests = tests_of(cause, report.records)
        shown = tests if self._is_full else tests[: TESTS_SHOWN if state_of(cause) != "known" else 1]
        for number, record in enumerate(shown):
            end = None if number else traceback_end(record)
            traceback = "" if end is None else f"  (traceback ends at {end.text})"
            self.lines.append(Line.plain(f"  {record.nodeid}{traceback}"))
        if len(shown) < len(tests):
            self.lines.append(Line.plain(f"  ... and {len(tests) - len(shown)} more (-v shows all)"))

    def short_list(self, causes: Sequence[tuple[int, Cause]], report: DefectsReport) -> None:
        """Write the causes once more, a line each: what scrolled away is the first that needs attention."""
        rows = [
            (
                state_of(cause),
                str(len(cause.failures)),
                self._beside.address(number),
                (cause.match.defect if cause.match is not None else None) or "",
                printable(said_of(cause, report.records)),
            )
            for number, cause in causes
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        for state, count, address, defect, said in rows:
            before = f"{' ' * (widths[0] - len(state))}  {count:>{widths[1]}}  "
            before += f"{address:<{widths[2]}}  " if widths[2] else ""
            after = self._cut(f"{printable(defect)}  {said}" if defect else said, len(state) + len(before))
            self.lines.append(Line((Span(state, (_MARKUP[state],)), Span(f"{before}{after}"))))
        self.lines.append(Line())

    def next_step(self, causes: Sequence[tuple[int, Cause]]) -> None:
        """Say what to do about causes that are new."""
        new = [number for number, cause in causes if state_of(cause) == "new"]
        if not new:
            return
        if self._beside.is_kept:
            address = self._beside.address(new[0])
            command = self._beside.command("label", address, "NAME")
            self.lines.append(Line.plain(f"to say what {address} is: {command}"))
        else:
            self.prose("this run is not kept, so its causes cannot be named; --qe-store DIR keeps runs", "")

    def judgement(self, judgement: Judgement) -> None:
        """Write what the gate says, and what it lets pass."""
        for defect, until, nodeids in passed_by_defect(judgement):
            self.lines.append(Line.plain(f"may pass until {until}: {defect}  {counted(len(nodeids), 'test')}"))
            shown = nodeids if self._is_full else nodeids[:TESTS_SHOWN]
            if not (judgement.is_passed or self._is_full):
                continue
            self.lines.extend(Line.plain(f"  {nodeid}") for nodeid in shown)
            if len(shown) < len(nodeids):
                self.lines.append(Line.plain(f"  ... and {len(nodeids) - len(shown)} more (-v shows all)"))
        self.lines.append(_judgement_line(judgement, self._beside.gate))

    def _cut(self, text: str, used: int) -> str:
        most = max(self._width - used - 1, 20)
        return text if len(text) <= most else f"{text[: most - 4].rstrip()} ..."


def _judgement_line(judgement: Judgement, flag: str) -> Line:
    return Line.marked(judgement_words(judgement, flag), "green" if judgement.is_passed else "red")

"""Similarity reports as the lines that people read.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pytest_qeattention.report.lines import Line, Span, printable
from pytest_qeattention.similarity.model import (
    Acknowledgement,
    Group,
    Kind,
    Neighbor,
    Problem,
    SimilarReport,
    Unit,
)
from pytest_qeattention.wording import counted

GROUPS_SHOWN = 20
TESTS_SHOWN = 10
PROBLEMS_SHOWN = 10
STALE_SHOWN = 10

_KINDS: tuple[Kind, ...] = ("duplicate", "parametrize", "similar")


@dataclass(frozen=True, slots=True)
class Section:
    """Hold the report of one workload, and its heading."""

    report: SimilarReport
    title: str = ""
    """Heading above the groups; empty for none."""
    is_builtin: bool = True


def similar_lines(
    sections: Sequence[Section],
    *,
    verbosity: int = 0,
    problems: Sequence[Problem] = (),
    more: str = "-v shows all",
) -> list[Line]:
    """Return the lines of a report: groups, problems, and last a one-line summary of each section.

    *verbosity* below 0 leaves the summaries, 0 shows the first groups, above 0 everything. *problems* are
    those of the run, besides those that the reports carry. *more* says where the rest is when something is
    left out.
    """
    if verbosity < 0:
        return [Line.plain(text) for text in _summaries(sections, problems)]
    lines: list[Line] = []
    for section in sections:
        lines.extend(_section_lines(section, verbosity, more))
    all_problems = unique_problems(problems, *(section.report.problems for section in sections))
    lines.extend(_problem_lines(all_problems, verbosity, more))
    for section in sections:
        lines.extend(_set_aside_lines(section.report, verbosity))
    left_out = sections[0].report.left_out if sections else {}
    if left_out:
        lines.append(Line.plain("left out: " + ", ".join(f"{count} {why}" for why, count in sorted(left_out.items()))))
    lines.extend(Line.marked(text, "bold") for text in _summaries(sections, problems))
    return lines


def summary(section: Section, problems: Sequence[Problem] = ()) -> str:
    """Return the report in one line."""
    report = section.report
    name = "qe-similar" if section.is_builtin else f"qe-similar [{report.workload}]"
    text = f"{name}: {counted(report.tests, 'test')}"
    groups = [group for group in report.groups if group.is_finding]
    if report.ranked is None:
        text += f", {counted(len(groups), 'group' if report.baseline is None else 'new group')}"
    if groups:
        kinds = Counter(group.kind for group in groups)
        covered = {test.nodeid for group in groups for test in group.tests}
        if section.is_builtin:
            text += f" ({', '.join(f'{kinds[kind]} {kind}' for kind in _KINDS if kinds[kind])})"
        text += f" covering {counted(len(covered), 'test')}"
    if report.baseline is not None:
        text += f"; {counted(len(report.groups) - len(groups), 'group')} accepted"
    if report.acknowledged:
        text += f"; {counted(len(report.acknowledged), 'test')} acknowledged"
    problem_count = len(unique_problems(problems, report.problems))
    if problem_count:
        text += f"; {counted(problem_count, 'problem')}"
    return text


def _summaries(sections: Sequence[Section], problems: Sequence[Problem]) -> list[str]:
    # The problems of the run are counted once, with the first section.
    return [summary(section, () if number else problems) for number, section in enumerate(sections)]


def unique_problems(*sources: Iterable[Problem]) -> list[Problem]:
    """Return every problem once, in order of path and line."""
    found = dict.fromkeys(problem for source in sources for problem in source)
    return sorted(found, key=lambda problem: (problem.path, problem.line or 0, problem.message))


def _reported_groups(report: SimilarReport, verbosity: int) -> list[Group]:
    # What a baseline has accepted is no news.
    return [group for group in report.groups if group.is_finding or verbosity > 0]


def shown_groups(report: SimilarReport, verbosity: int) -> list[Group]:
    """Return the groups whose tests are listed: all of them, the first, or none."""
    groups = _reported_groups(report, verbosity)
    return groups if verbosity > 0 else groups[: GROUPS_SHOWN if verbosity == 0 else 0]


def _section_lines(section: Section, verbosity: int, more: str) -> list[Line]:
    report = section.report
    lines = [Line.marked(section.title, "bold"), Line()] if section.title else []
    if report.lines is not None:
        lines.extend(Line.plain(line) for line in report.lines)
        if report.lines:
            lines.append(Line())
    else:
        groups = _reported_groups(report, verbosity)
        shown = shown_groups(report, verbosity)
        for group in shown:
            lines.extend(_group_lines(group, verbosity))
        if len(shown) < len(groups):
            rest = counted(len(groups) - len(shown), "group").replace(" ", " more ", 1)
            lines.extend((Line.plain(f"... and {rest} ({more})"), Line()))
        written = sum(group.suggestion is not None for group in shown)
        if written and verbosity == 0:
            of_these = f"{written} of {'this' if len(shown) == 1 else 'these'} {counted(len(shown), 'group')}"
            lines.extend((Line.plain(f"written as one test: {of_these} (-v shows the tests)"), Line()))
    if report.neighbors is not None:
        lines.extend(_neighbor_lines(report.neighbors, verbosity, more))
    if report.ranked is not None:
        lines.extend(_ranked_lines(*report.ranked))
    return lines


def _group_lines(group: Group, verbosity: int) -> list[Line]:
    head = f"  {counted(len(group.tests), 'test')}  score {_score(group.score)}"
    if verbosity > 0:
        head += f"  id {group.id}"
    if group.status is not None:
        head += f"  {group.status}"
    lines = [Line((Span(group.kind, ("bold", "yellow")), Span(printable(head))))]
    shown = group.tests if verbosity > 0 else group.tests[:TESTS_SHOWN]
    joined = group.new_tests if len(group.new_tests) < len(group.tests) else ()
    lines.extend(Line((Span("  "), *_place(test), *([Span("  new")] if test in joined else []))) for test in shown)
    if len(shown) < len(group.tests):
        rest = counted(len(group.tests) - len(shown), "test").replace(" ", " more ", 1)
        lines.append(Line.plain(f"  ... and {rest} (-v shows all)"))
    lines.extend(Line.plain(f"    {reason}") for reason in group.reasons)
    if group.verdict is not None:
        markup = {"verified": "green", "failed": "red", "not run": "yellow"}[group.verdict.state]
        words = Span(printable(f": {group.verdict.reason}"))
        lines.append(Line((Span("    as one test: "), Span(group.verdict.state, (markup,)), words)))
    if group.suggestion is not None and verbosity > 0:
        lines.extend(Line.plain(f"    {line}") for line in group.suggestion.splitlines())
    lines.append(Line())
    return lines


def _place(test: Unit) -> tuple[Span, Span]:
    return Span(printable(f"{test.path}:{test.line}")), Span(printable(f"  {test.qualname}"), ("bold",))


def _neighbor_lines(neighbors: Sequence[tuple[Unit, Sequence[Neighbor]]], verbosity: int, more: str) -> list[Line]:
    if verbosity <= 0:
        return [Line.plain(f"nearest tests found for {counted(len(neighbors), 'test')} ({more})")]
    lines: list[Line] = []
    for test, nearest in neighbors:
        lines.append(Line((Span("nearest to ", ("yellow",)), *_place(test))))
        lines.extend(_scored(neighbor) for neighbor in nearest)
        lines.append(Line())
    return lines


def _ranked_lines(query: str, results: Sequence[Neighbor]) -> list[Line]:
    lines = [Line((Span("nearest to ", ("yellow",)), Span(_shortened(query), ("bold",))))]
    for result in results:
        lines.append(_scored(result))
        lines.extend(Line.plain(f"        {reason}") for reason in result.reasons)
    if not results:
        lines.append(Line.plain("  nothing that resembles it"))
    lines.append(Line())
    return lines


def _scored(neighbor: Neighbor) -> Line:
    return Line((Span(f"  {_score(neighbor.score)}  "), *_place(neighbor.unit)))


def _problem_lines(problems: Sequence[Problem], verbosity: int, more: str) -> list[Line]:
    if not problems:
        return []
    lines = [Line.marked("problems", "yellow")]
    shown = problems if verbosity > 0 else problems[:PROBLEMS_SHOWN]
    for problem in shown:
        place = problem.path if problem.line is None else f"{problem.path}:{problem.line}"
        lines.append(Line.plain(f"  {place}: {problem.message}"))
    if len(shown) < len(problems):
        rest = counted(len(problems) - len(shown), "problem").replace(" ", " more ", 1)
        lines.append(Line.plain(f"  ... and {rest} ({more})"))
    lines.append(Line())
    return lines


def _set_aside_lines(report: SimilarReport, verbosity: int) -> list[Line]:
    """Say what is not reported, and why; by name with -v."""
    lines: list[Line] = []
    if verbosity > 0:
        groups = (*report.groups, *report.set_aside)
        lines.extend(_acknowledged_lines("acknowledged", report.acknowledged, groups))
        lines.extend(_acknowledged_lines("acknowledged, and in no group: not needed any more", report.unneeded, ()))
    if report.below_threshold:
        count = counted(report.below_threshold, "group")
        lines.append(Line.plain(f"not reported: {count} whose score is below qe_similar_thresholds"))
    use = report.baseline
    if use is not None and use.stale:
        what = "entry is" if len(use.stale) == 1 else "entries are"
        lines.append(
            Line.plain(
                f"{use.path}: {len(use.stale)} {what} out of date (moved, gone, or like no other any more): update it"
            )
        )
        shown = use.stale if verbosity > 0 else use.stale[:STALE_SHOWN]
        lines.extend(Line.plain(f"  {path}  {test}") for path, test in shown)
        if len(shown) < len(use.stale):
            lines.append(Line.plain(f"  ... and {len(use.stale) - len(shown)} more (-v shows all)"))
    if use is not None and use.written is not None:
        lines.append(Line.plain(f"{use.path}: {use.written}"))
    return lines


def _acknowledged_lines(title: str, acknowledged: Sequence[Acknowledgement], groups: Sequence[Group]) -> list[Line]:
    if not acknowledged:
        return []
    lines = [Line.marked(title, "yellow")]
    for each in acknowledged:
        lines.append(Line((Span("  "), *_place(each.test), Span(printable(f"  {each.reason}")))))
        lines.extend(_left_line(each, group) for group in groups if each in group.acknowledged)
    return [*lines, Line()]


def _left_line(acknowledged: Acknowledgement, group: Group) -> Line:
    """Say which group a test was taken out of, or would be in if the group stood."""
    members = dict.fromkeys((*group.tests, *(each.test for each in group.acknowledged)))
    others = [test.qualname for test in members if test != acknowledged.test]
    more = f" and {counted(len(others) - 1, 'other')}" if len(others) > 1 else ""
    return Line.plain(f"    {group.kind} with {others[0]}{more}, score {_score(group.score)}, id {group.id}")


def _score(score: float) -> str:
    # Rounded down, so that 1.00 is said of nothing less.
    return f"{math.floor(score * 100 + 1e-9) / 100:.2f}"


def _shortened(query: str, width: int = 72) -> str:
    first = query.strip().partition("\n")[0]
    is_cut = len(first) > width or first != query.strip()
    return printable(first[:width]) + (" ..." if is_cut else "")

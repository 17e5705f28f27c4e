"""Similarity reports as the lines that people read.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pytest_qeattention.report.lines import Line, Span, printable
from pytest_qeattention.similarity.model import Group, Kind, Neighbor, Problem, SimilarReport, Unit
from pytest_qeattention.wording import counted

GROUPS_SHOWN = 20
TESTS_SHOWN = 10
PROBLEMS_SHOWN = 10

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
    if report.ranked is None:
        text += f", {counted(len(report.groups), 'group')}"
    if report.groups:
        kinds = Counter(group.kind for group in report.groups)
        covered = {test.nodeid for group in report.groups for test in group.tests}
        if section.is_builtin:
            text += f" ({', '.join(f'{kinds[kind]} {kind}' for kind in _KINDS if kinds[kind])})"
        text += f" covering {counted(len(covered), 'test')}"
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


def _section_lines(section: Section, verbosity: int, more: str) -> list[Line]:
    report = section.report
    lines = [Line.marked(section.title, "bold"), Line()] if section.title else []
    if report.lines is not None:
        lines.extend(Line.plain(line) for line in report.lines)
        if report.lines:
            lines.append(Line())
    else:
        shown = report.groups if verbosity > 0 else report.groups[:GROUPS_SHOWN]
        for group in shown:
            lines.extend(_group_lines(group, verbosity))
        if len(shown) < len(report.groups):
            rest = counted(len(report.groups) - len(shown), "group").replace(" ", " more ", 1)
            lines.extend((Line.plain(f"... and {rest} ({more})"), Line()))
    if report.neighbors is not None:
        lines.extend(_neighbor_lines(report.neighbors, verbosity, more))
    if report.ranked is not None:
        lines.extend(_ranked_lines(*report.ranked))
    return lines


def _group_lines(group: Group, verbosity: int) -> list[Line]:
    head = f"  {counted(len(group.tests), 'test')}  score {_score(group.score)}"
    if verbosity > 0:
        head += f"  id {group.id}"
    lines = [Line((Span(group.kind, ("bold", "yellow")), Span(printable(head))))]
    shown = group.tests if verbosity > 0 else group.tests[:TESTS_SHOWN]
    lines.extend(Line((Span("  "), *_place(test))) for test in shown)
    if len(shown) < len(group.tests):
        rest = counted(len(group.tests) - len(shown), "test").replace(" ", " more ", 1)
        lines.append(Line.plain(f"  ... and {rest} (-v shows all)"))
    lines.extend(Line.plain(f"    {reason}") for reason in group.reasons)
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


def _score(score: float) -> str:
    # Rounded down, so that 1.00 is said of nothing less.
    return f"{math.floor(score * 100 + 1e-9) / 100:.2f}"


def _shortened(query: str, width: int = 72) -> str:
    first = query.strip().partition("\n")[0]
    is_cut = len(first) > width or first != query.strip()
    return printable(first[:width]) + (" ..." if is_cut else "")

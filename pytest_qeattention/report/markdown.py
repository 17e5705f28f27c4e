"""Similarity reports as the Markdown summary of a pull request.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from pytest_qeattention.report.lines import printable
from pytest_qeattention.report.terminal import Section, summary, unique_problems
from pytest_qeattention.similarity.model import Group, Problem, SimilarReport
from pytest_qeattention.wording import counted

LONGEST = 60_000
"""Characters that the groups may take: a comment on GitHub holds 65,536."""
TESTS_SHOWN = 10
PROBLEMS_SHOWN = 10

_SPECIAL = re.compile(r"([\\`*_{}\[\]|~$])")
# Read as a mention or an issue even where an entity stands in place of the sign.
_REFERENCE = re.compile(r"(@|#(?=\d))")
_TICKS = re.compile(r"`+")


def similar_markdown(
    report: SimilarReport, *, problems: Sequence[Problem] = (), failure: str | None = None, longest: int = LONGEST
) -> str:
    """Return a heading, the summary and a table of the groups that are findings; *failure* is that of the gate.

    The rows have at most *longest* characters.
    """
    found = [group for group in report.groups if group.is_finding]
    parts = ["## Tests that repeat each other", escaped(summary(Section(report), problems))]
    if failure is not None:
        parts.append(f"**{escaped(failure)}**")
    rows: list[str] = []
    length = 0
    for group in found:
        row = _row(group)
        length += len(row) + 1
        if length > longest:
            break
        rows.append(row)
    if rows:
        parts.append("\n".join(["| kind | score | tests | why |", "| --- | ---: | --- | --- |", *rows]))
    if len(rows) < len(found):
        parts.append(f"{counted(len(found) - len(rows), 'group')} more, which the JSON and SARIF reports have.")
    all_problems = unique_problems(problems, report.problems)
    if all_problems:
        lines = [f"- {code(_place(problem))}: {escaped(problem.message)}" for problem in all_problems[:PROBLEMS_SHOWN]]
        if len(all_problems) > PROBLEMS_SHOWN:
            lines.append(f"- and {counted(len(all_problems) - PROBLEMS_SHOWN, 'problem')} more")
        parts.append("\n".join(["**Problems**", "", *lines]))
    return "\n\n".join(parts) + "\n"


def _row(group: Group) -> str:
    kind = f"{group.kind}, {group.status}" if group.status is not None else group.kind
    tests = []
    for test in group.tests[:TESTS_SHOWN]:
        mark = " **new**" if test in group.new_tests and len(group.new_tests) < len(group.tests) else ""
        tests.append(f"{cell_code(f'{test.path}:{test.line} {test.qualname}')}{mark}")
    if len(group.tests) > TESTS_SHOWN:
        tests.append(f"and {counted(len(group.tests) - TESTS_SHOWN, 'test')} more")
    score = math.floor(group.score * 100 + 1e-9) / 100
    reasons = "<br>".join(escaped(reason) for reason in group.reasons)
    return f"| {kind} | {score:.2f} | {'<br>'.join(tests)} | {reasons} |"


def _place(problem: Problem) -> str:
    return problem.path if problem.line is None else f"{problem.path}:{problem.line}"


def escaped(text: str) -> str:
    """Escape *text* so that it shows as it is, also in a cell of a table, and mentions nobody."""
    text = printable(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _REFERENCE.sub(r"\1<!-- -->", _SPECIAL.sub(r"\\\1", text))


def cell_code(text: str) -> str:
    """Return *text* as a code span in a cell of a table, where a bar ends the cell even in code."""
    return code(text).replace("|", "\\|")


def code(text: str) -> str:
    """Return *text* as a code span."""
    text = printable(text)
    ticks = "`" * (1 + max((len(run) for run in _TICKS.findall(text)), default=0))
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{ticks}{pad}{text}{pad}{ticks}"

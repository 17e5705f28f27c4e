"""What ``qeattention defects triage`` prints and writes, and the exit code of its gate.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_qeattention.console import (
    EXIT_DONE,
    EXIT_FAILED,
    CommandUsage,
    check_output,
    write_lines,
    write_output,
)
from pytest_qeattention.outputs import FoundCauses, Outputs, rendered, shared_file
from pytest_qeattention.wording import counted

if TYPE_CHECKING:
    from pytest_qeattention.defects.gate import Judgement
    from pytest_qeattention.defects.knowledge import Knowledge
    from pytest_qeattention.defects.model import DefectsReport
    from pytest_qeattention.report.causes import Beside

GATE = "--known-ok"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags that say what to write, and the gate."""
    parser.add_argument("--sarif", metavar="PATH", help="write the causes as SARIF 2.1.0; '-' for standard output")
    parser.add_argument(
        "--markdown", metavar="PATH", help="write a summary for a pull request; '-' for standard output"
    )
    parser.add_argument(
        "--github", action="store_true", help="print the causes as annotations of a GitHub workflow as well"
    )
    parser.add_argument(
        GATE,
        action="store_true",
        help="end with exit code 1 unless every failure in the files is a known, open defect that a person confirmed "
        "in the last 90 days, or until a day that is still to come (label --until), matched by signature, rule or a "
        "confidence of at least 0.95, and by more than what test it is",
    )


def check(options: argparse.Namespace) -> None:
    """Refuse what cannot be written before the work is done."""
    written = _written(options)
    for flag, path in written.items():
        check_output(path, flag)
    clash = shared_file(written)
    if clash is not None:
        raise CommandUsage(clash)
    if list(written.values()).count("-") + options.github > 1:
        raise CommandUsage(
            "--json, --sarif, --markdown and --github cannot share standard output; give files to all but one"
        )


def judged(report: DefectsReport, knowledge: Knowledge, problems: Sequence[str], tests: int) -> Judgement:
    """Judge a report; *problems* are those of its files, *tests* the number of tests in them."""
    from datetime import datetime, timezone

    from pytest_qeattention.defects.gate import judge

    obstacle = None
    if problems:
        obstacle = f"failures may be missing, as {problems[0]}"
    elif not tests and not report.records:
        obstacle = "there are no tests in the files"
    return judge(report, knowledge, datetime.now(timezone.utc).date(), obstacle=obstacle)


def show(options: argparse.Namespace, report: DefectsReport, beside: Beside, tests: int) -> None:
    """Print the report, unless standard output is taken by a file; *tests* is their number in the files."""
    if "-" in _written(options).values():
        return
    from pytest_qeattention.report.causes import judgement_words
    from pytest_qeattention.report.defects import WIDTH, defects_lines
    from pytest_qeattention.report.lines import Line

    if not report.records:
        if beside.judgement is not None and not beside.judgement.is_passed:
            write_lines([Line.plain(judgement_words(beside.judgement, beside.gate))])
        write_lines([Line.plain(f"qe-defects: no failures in {counted(tests, 'test')}")])
        return
    preventions = {}
    if options.verbosity > 0:
        from pytest_qeattention.defects.families import catalogue

        preventions = {family.title: family.prevention for family, _ in catalogue().entries}
    lines = defects_lines(
        # What is wrong with files was said on standard error.
        replace(report, problems=()),
        verbosity=options.verbosity,
        preventions=preventions,
        more="-v shows all, --json PATH writes all",
        beside=beside,
        width=shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDTH,
    )
    write_lines(lines)


def write(options: argparse.Namespace, report: DefectsReport, beside: Beside) -> int:
    """Write the files that were asked for; return the exit code, that of the gate where there is one."""
    is_passed = beside.judgement is None or beside.judgement.is_passed
    codes = [EXIT_DONE if is_passed else EXIT_FAILED]
    if options.json is not None:
        from pytest_qeattention.information import backend_info
        from pytest_qeattention.report.defects_document import defects_part
        from pytest_qeattention.report.document import document, dumps

        text = dumps(document(backend=backend_info(), defects=defects_part(report, beside)))
        codes.append(write_output(options.json, text))
    outputs = Outputs(options.sarif, options.markdown, options.github)
    found = FoundCauses(report, beside)
    for path, text in rendered(outputs, None, base=Path.cwd(), causes=found, is_similar=False):
        codes.append(write_output(path, text))
    return max(codes)


def _written(options: argparse.Namespace) -> dict[str, str | None]:
    """Return the path of each flag that names a file to write."""
    return {"--json": options.json, "--sarif": options.sarif, "--markdown": options.markdown}

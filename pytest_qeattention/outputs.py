"""The reports that a user asked for, rendered and written: the same for a run of pytest and for the command.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_qeattention import __version__
from pytest_qeattention.report.place import Places
from pytest_qeattention.similarity.model import Problem, SimilarReport

if TYPE_CHECKING:
    import pytest

    from pytest_qeattention.defects.model import DefectsReport
    from pytest_qeattention.report.causes import Beside

STANDARD_OUTPUT = "-"


@dataclass(frozen=True, slots=True)
class Outputs:
    """Say which reports to write, besides the JSON: a path each, ``-`` for standard output, None for none."""

    sarif: str | None = None
    markdown: str | None = None
    github: bool = False


@dataclass(frozen=True, slots=True)
class FoundCauses:
    """Hold what is to be reported of the failures of a run."""

    report: DefectsReport | None
    """None when its analysis failed."""
    beside: Beside


def shared_file(files: Mapping[str, str | Path | None]) -> str | None:
    """Say which two flags of *files* name one regular file, or one that is still to be made; None if no two do."""
    flags: dict[str, str] = {}
    for flag, path in files.items():
        if path is None or path in ("", STANDARD_OUTPUT) or (os.path.exists(path) and not os.path.isfile(path)):
            continue
        other = flags.setdefault(os.path.realpath(path), flag)
        if other != flag:
            return f"{other} and {flag} name the same file, {path}, and one would replace the other; give each its own"
    return None


def begin_line(config: pytest.Config) -> None:
    """End the line that pytest's terminal is at, such as that of its progress, before standard output is written to."""
    if config.pluginmanager.get_plugin("terminalreporter") is not None:
        writer = config.get_terminal_writer()
        if writer.width_of_current_line:
            writer.line()
        writer.flush()


def rendered(
    outputs: Outputs,
    report: SimilarReport | None,
    *,
    base: Path,
    problems: Sequence[Problem] = (),
    failure: str | None = None,
    causes: FoundCauses | None = None,
    is_similar: bool = True,
) -> Iterator[tuple[str, str]]:
    """Yield path and text of each report; *report* is None when its analysis failed.

    Tests that repeat each other are reported where *is_similar*, the causes of failures where there are *causes*, both
    in the same files. Paths of reports are relative to *base*; *failure* is what the gate says of repeated tests.
    """
    places = Places.of(base)
    found = None if causes is None else causes.report
    if outputs.sarif is not None:
        from pytest_qeattention.report.document import dumps
        from pytest_qeattention.report.sarif import sarif_log, similar_run

        runs = []
        if is_similar:
            runs.append(similar_run(report, version=__version__, places=places, problems=problems))
        if causes is not None:
            from pytest_qeattention.report.defects_sarif import defects_run

            runs.append(defects_run(found, version=__version__, places=places, beside=causes.beside))
        yield outputs.sarif, dumps(sarif_log(runs))
    if outputs.markdown is not None:
        from pytest_qeattention.report.markdown import LONGEST, similar_markdown

        texts = []
        longest = LONGEST if report is None or found is None else LONGEST // 2
        if causes is not None and found is not None:
            from pytest_qeattention.report.defects_markdown import defects_markdown

            texts.append(defects_markdown(found, beside=causes.beside, longest=longest))
        if report is not None:
            texts.append(similar_markdown(report, problems=problems, failure=failure, longest=longest))
        if texts:
            yield outputs.markdown, "\n".join(texts)
    if outputs.github:
        lines: list[str] = []
        if causes is not None and found is not None:
            from pytest_qeattention.report.defects_github import cause_annotations

            lines += cause_annotations(found, places, causes.beside)
        if report is not None:
            from pytest_qeattention.report.github import annotation_lines

            lines += annotation_lines(report, places)
        if lines:
            yield STANDARD_OUTPUT, "".join(f"{line}\n" for line in lines)

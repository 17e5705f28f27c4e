"""The reports that a user asked for, rendered and written: the same for a run of pytest and for the command.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_qeattention import __version__
from pytest_qeattention.report.place import Places
from pytest_qeattention.similarity.model import Problem, SimilarReport

STANDARD_OUTPUT = "-"


@dataclass(frozen=True, slots=True)
class Outputs:
    """Say which reports to write, besides the JSON: a path each, ``-`` for standard output, None for none."""

    sarif: str | None = None
    markdown: str | None = None
    github: bool = False


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


def rendered(
    outputs: Outputs,
    report: SimilarReport | None,
    *,
    base: Path,
    problems: Sequence[Problem] = (),
    failure: str | None = None,
) -> Iterator[tuple[str, str]]:
    """Yield path and text of each report; *report* is None when its analysis failed.

    The paths of *report* are relative to *base*; *failure* is what the gate says.
    """
    places = Places.of(base)
    if outputs.sarif is not None:
        from pytest_qeattention.report.document import dumps
        from pytest_qeattention.report.sarif import sarif

        yield outputs.sarif, dumps(sarif(report, version=__version__, places=places, problems=problems))
    if outputs.markdown is not None and report is not None:
        from pytest_qeattention.report.markdown import similar_markdown

        yield outputs.markdown, similar_markdown(report, problems=problems, failure=failure)
    if outputs.github and report is not None:
        from pytest_qeattention.report.github import annotation_lines

        lines = annotation_lines(report, places)
        if lines:
            yield STANDARD_OUTPUT, "".join(f"{line}\n" for line in lines)

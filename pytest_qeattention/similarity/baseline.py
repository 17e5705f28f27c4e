"""The file that says which groups a team has accepted, so that only what is new is reported.

One JSON object a line: a header, then the accepted tests in order of path, name and content. A test is known by its
file and its content (see `content`); its name is there for people, and for telling which of several tests of one
content is the new one. So lines are independent of each other: branches that accept different tests merge, and a line
that is there twice counts once. Tests of one content are counted in each file: one more than the baseline has is new.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_qeattention.similarity.model import Problem
from pytest_qeattention.wording import counted

DIRECTORY = ".qeattention"
"""Where a project keeps what its people write, below the rootdir."""
FILE_NAME = "similar-baseline.jsonl"
FORMAT = "qeattention-similar-baseline"
VERSION = 1

_CONTENT = re.compile(r"[0-9a-f]{16}")
# What version control writes between the lines of two sides.
_CONFLICT = re.compile(rb"(?:<{7}|\|{7}|={7}|>{7})(?: .*)?\r?")


class BaselineError(ValueError):
    """Say why a baseline cannot be used, and what to do."""


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """Accept one test."""

    path: str
    """POSIX path relative to the rootdir."""
    test: str
    """Qualified name, as it was when the test was accepted."""
    content: str


@dataclass(frozen=True, slots=True)
class Baseline:
    """Hold the entries of a baseline file."""

    file: Path
    display: str
    """The file as reports name it."""
    entries: frozenset[Entry] = frozenset()
    problems: tuple[Problem, ...] = ()
    """Lines that could not be read."""
    data: bytes | None = None
    """What the file held; None if there was none."""


def read_baseline(file: Path, display: str, *, update: bool, update_flag: str) -> Baseline:
    """Read the baseline in *file*.

    A line that is damaged is a problem, and accepts nothing. Raises BaselineError for a file that cannot be read, is no
    baseline or is of a newer format; for one that is missing, unless it is there to be written (*update*); and for a
    damaged one that is to be written, since writing would lose what the damaged lines say. The marks of a merge
    conflict say nothing, and all lines between them count.
    """
    try:
        data = file.read_bytes()
    except FileNotFoundError as error:
        if update:
            return Baseline(file, display)
        raise BaselineError(
            f"baseline {display} does not exist, so nothing could be compared with it; "
            f"write it with {update_flag}, and commit it"
        ) from error
    except OSError as error:
        raise BaselineError(f"baseline {display} cannot be read ({error.strerror}); give the path of a file") from error
    entries: set[Entry] = set()
    problems: list[Problem] = []
    conflicts: list[Problem] = []
    values: list[tuple[int, Any]] = []
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if _CONFLICT.fullmatch(line):
            message = f"line {number} is the mark of a merge conflict; delete it, or run with {update_flag}"
            conflicts.append(Problem(display, f"{message}: the lines of both sides count", number))
        elif line.strip():
            values.append((number, _loaded(line)))
    if not any(_is_header(value) or _entry(value) for _, value in values):
        if data.strip():
            raise BaselineError(
                f"{display} is not a baseline, so nothing could be compared with it and it was left as it is; "
                "give the path of another file"
            )
        problems.append(Problem(display, f"is empty, and accepts nothing; restore it, or run with {update_flag}"))
        return Baseline(file, display, problems=() if update else tuple(problems), data=data)
    for at, (number, value) in enumerate(values):
        entry = _entry(value)
        if at == 0 or _is_header(value):
            # Where two branches began a baseline, a merge of both leaves two headers.
            wrong = _check_header(value, display)
        else:
            wrong = None if entry is not None else "is damaged, and accepts nothing"
        if entry is not None:
            entries.add(entry)
        if wrong is not None:
            problems.append(Problem(display, f"line {number} {wrong}; restore it from version control", number))
    if problems and update:
        first = problems[0].message.partition(";")[0]
        raise BaselineError(
            f"baseline {display} was not updated, because {first} ({counted(len(problems), 'such line')}), "
            "and an update would lose it; correct or delete the line, then update again"
        )
    return Baseline(file, display, frozenset(entries), (*problems, *(() if update else conflicts)), data)


def _has_conflict(data: bytes) -> bool:
    return any(map(_CONFLICT.fullmatch, data.split(b"\n")))


def _loaded(line: bytes) -> Any:
    try:
        return json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return None


def _is_header(value: Any) -> bool:
    return isinstance(value, dict) and value.get("format") == FORMAT


def _check_header(value: Any, display: str) -> str | None:
    if not _is_header(value):
        return "is not the header of a baseline"
    version = value.get("version")
    if type(version) is not int or version < 1:
        return "is a header without a version"
    if version > VERSION:
        raise BaselineError(
            f"baseline {display} has format {version}, newer than this plugin's {VERSION}, so it cannot be read; "
            "upgrade pytest-qeattention, or give another baseline"
        )
    return None


def _entry(value: Any) -> Entry | None:
    if not isinstance(value, dict):
        return None
    path, test, content = (value.get(name) for name in ("path", "test", "content"))
    if not (isinstance(path, str) and isinstance(test, str) and isinstance(content, str) and path and test):
        return None
    return Entry(path, test, content) if _CONTENT.fullmatch(content) else None


def dumps(entries: Iterable[Entry]) -> str:
    """Return the text of a baseline file; the same entries give the same text."""
    values: list[dict[str, Any]] = [{"format": FORMAT, "version": VERSION}]
    values.extend({"path": entry.path, "test": entry.test, "content": entry.content} for entry in sorted(set(entries)))
    return "".join(json.dumps(value) + "\n" for value in values)


def write_baseline(baseline: Baseline, entries: Iterable[Entry]) -> bool:
    """Replace the file by *entries*, atomically; return whether it had to be written.

    Raises OutputError, also where somebody else has changed the file since it was read.
    """
    wanted = frozenset(entries)
    if baseline.data is not None and wanted == baseline.entries and not _has_conflict(baseline.data):
        return False
    # Imported by those who write: workers read settings, and never write.
    from pytest_qeattention.store import OutputError, write_atomically

    try:
        baseline.file.parent.mkdir(parents=True, exist_ok=True)
        now = baseline.file.read_bytes() if baseline.file.exists() else None
        if now != baseline.data:
            raise OutputError(f"{baseline.display} has changed since this run read it; update again")
    except OSError as error:
        raise OutputError(f"cannot write {baseline.display}: {error.strerror}") from error
    write_atomically(baseline.file, dumps(wanted))
    return True

"""What the commands have in common: exit codes, values of flags, what is written, progress.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from pytest_qeattention.settings import MAX_THREADS, parse_count

if TYPE_CHECKING:
    from pytest_qeattention.report.lines import Line
    from pytest_qeattention.similarity.workload import Progress

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_INTERRUPTED = 2
EXIT_USAGE = 4


class CommandUsage(Exception):
    """Say what is wrong with what the user asked for."""


def count_of(name: str, text: str | None, least: int, most: int) -> int | None:
    if text is None:
        return None
    try:
        return parse_count(name, text, least=least, most=most)
    except ValueError as error:
        raise CommandUsage(str(error)) from error


def threads_of(given: str | None) -> int | None:
    if given is not None:
        return count_of("--threads", given, 1, MAX_THREADS)
    return count_of("QE_THREADS", os.environ.get("QE_THREADS") or None, 1, MAX_THREADS)


def store_of(given: str | None) -> Path | None:
    name, value = ("--qe-store", given) if given is not None else ("QE_STORE", os.environ.get("QE_STORE"))
    if not value:
        return None
    path = Path(value).expanduser().absolute()
    if path.exists() and not path.is_dir():
        raise CommandUsage(f"{name}={value} is not a directory, so nothing could be kept there; give a directory")
    return path


def check_output(path: str | None, flag: str = "--json") -> None:
    """Refuse an output that cannot be written before the work is done."""
    if path is None or path == "-":
        return
    if not path or Path(path).is_dir():
        raise CommandUsage(f"{flag} {path!r} names no file, so it could not be written; give the path of a file")
    if not Path(path).absolute().parent.is_dir():
        raise CommandUsage(f"{flag} {path}: its directory does not exist; create it, or give another path")


def write_output(path: str, text: str | bytes) -> int:
    from pytest_qeattention.store import OutputError, write_atomically

    try:
        write_atomically(path, text)
    except OutputError as error:
        if isinstance(error.__cause__, BrokenPipeError):
            raise error.__cause__ from error
        write_error(f"qeattention: error: {error}")
        return EXIT_FAILED
    return EXIT_DONE


def write_lines(lines: Iterable[Line]) -> None:
    for line in lines:
        sys.stdout.write(line.text + "\n")


def write_error(message: str) -> None:
    with contextlib.suppress(OSError):
        sys.stderr.write(message + "\n")


class Display:
    """Show the progress of long work on one line of a terminal, and nothing anywhere else."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._width = 0
        self._shown: tuple[str, int] | None = None
        self.progress: Progress | None = self._show if stream.isatty() else None

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *_: object) -> None:
        if self._width:
            self._stream.write("\r" + " " * self._width + "\r")
            self._stream.flush()

    def _show(self, stage: str, done: int, total: int) -> None:
        percent = 100 * done // total if total > 0 else 100
        if (stage, percent) == self._shown:
            return
        self._shown = (stage, percent)
        text = f"{stage}: {done}/{total}"
        self._stream.write("\r" + text.ljust(self._width))
        self._stream.flush()
        self._width = max(self._width, len(text))

"""The file that holds what people say of defects: read with nothing lost, and written by several at once.

`statements` says what a line is. A line that cannot be read, because it is damaged or of another version, says nothing,
is named, and stays where the file is written again.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from pytest_qeattention.defects.statements import OtherVersionError, Statement, settled
from pytest_qeattention.store import OutputError, write_atomically
from pytest_qeattention.wording import counted

DIRECTORY = ".qeattention"
"""Where a project keeps what its people write, below the rootdir."""
FILE_NAME = "defects.jsonl"
LARGEST_BYTES = 256_000_000
_WAIT_S = 10.0
_PAUSE_S = 0.02
_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"
# What version control writes between the lines of two sides.
_CONFLICT = re.compile(rb"(?:<{7}|\|{7}|={7}|>{7})(?: .*)?\r?")


class KnowledgeError(Exception):
    """Say why what is known of defects cannot be read or written, and what to do."""


class UnwritableError(KnowledgeError):
    """Say that nothing could be written, through no fault of what was asked for."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Say what is wrong with a line."""

    line: int
    message: str
    is_version: bool = False
    """Whether the line is one of another version."""


@dataclass(frozen=True, slots=True)
class Contents:
    """Hold what a file says."""

    statements: tuple[Statement, ...] = ()
    """Those that hold, in the order of the file."""
    kept: tuple[bytes, ...] = ()
    """Lines that could not be read, in order, each once."""
    problems: tuple[Problem, ...] = ()
    """What is wrong with lines, in the words of a sentence without its subject."""

    @property
    def data(self) -> bytes:
        """Return the file that says this; the same contents give the same bytes."""
        lines = [statement.text.encode("ascii") for statement in self.statements]
        return b"".join(line + b"\n" for line in (*lines, *self.kept))


def parse(data: bytes) -> Contents:
    """Read the lines of a file. The marks of a merge conflict say nothing, and the lines of both sides count."""
    statements: list[Statement] = []
    kept: dict[bytes, None] = {}
    problems: list[Problem] = []
    for number, raw in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        line = raw.rstrip(b"\r")
        if _CONFLICT.fullmatch(line):
            problems.append(Problem(number, "is the mark of a merge conflict; the lines of both sides count"))
            continue
        if not line.strip():
            continue
        try:
            statements.append(Statement.from_text(line.decode("utf-8")))
        except OtherVersionError as error:
            kept[line] = None
            problems.append(Problem(number, f"{error}; it is kept and not used; upgrade pytest-qeattention", True))
        except ValueError as error:
            kept[line] = None
            reason = "is no UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
            problems.append(Problem(number, f"is damaged ({reason}); it is kept and not used; correct or delete it"))
    return Contents(settled(statements), tuple(sorted(kept)), tuple(problems))


def merged(contents: Iterable[Contents]) -> Contents:
    """Return what several files say together, in whatever order they come."""
    parts = list(contents)
    return Contents(
        settled(statement for part in parts for statement in part.statements),
        tuple(sorted({line for part in parts for line in part.kept})),
        tuple(problem for part in parts for problem in part.problems),
    )


def read(file: Path) -> Contents:
    """Read *file*; one that does not exist says nothing. Raises KnowledgeError for one that is no such file."""
    data = _bytes_of(file)
    contents = parse(data)
    # A file whose lines are all of a newer version is ours; one that holds anything else is not to be written to.
    if (
        contents.kept
        and not contents.statements
        and not any("has format" in each.message for each in contents.problems)
    ):
        raise KnowledgeError(
            f"{file} holds no statement about defects in {counted(len(contents.kept), 'line')}, so it was left as it "
            "is; restore it from version control, or give another directory with --qe-store"
        )
    return contents


def update(file: Path, said: Callable[[Contents, str], Sequence[Statement]]) -> Contents:
    """Add to *file* what *said* makes of its contents and of the time; return what it holds then.

    The file is locked, read, and replaced whole, so that of several writers at once each adds to what the others wrote.
    The time is later than that of every statement in the file, whatever the clocks of their writers said. What *said*
    raises is passed on, and the file stays as it was. Raises KnowledgeError where it cannot be read or written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(file, error.strerror) from error
    with _locked(file):
        before = read(file)
        after = merged([before, Contents(tuple(said(before, _later(before.statements))))])
        if after.data != _bytes_of(file):
            try:
                write_atomically(file, after.data)
            except OutputError as error:
                raise _unwritable(file, str(error.__cause__ or error)) from error
    return after


def _bytes_of(file: Path) -> bytes:
    try:
        if not file.exists():
            return b""
        if not file.is_file():
            raise KnowledgeError(f"{file} is no regular file, so nothing was read of it; give --qe-store DIR")
        if file.stat().st_size > LARGEST_BYTES:
            raise KnowledgeError(
                f"{file} has more than {LARGEST_BYTES // 1_000_000} MB, so nothing was read of it; "
                "restore it from version control"
            )
        return file.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise KnowledgeError(f"{file} cannot be read ({reason}); check the path and its permissions") from error


def _unwritable(file: Path, reason: str | None) -> UnwritableError:
    return UnwritableError(
        f"{file} cannot be written ({reason}), so nothing was changed; make it writable, or give --qe-store DIR"
    )


def _later(statements: Iterable[Statement]) -> str:
    now = datetime.now(timezone.utc)
    latest = max((statement.at for statement in statements), default="")
    if latest >= now.strftime(_TIME):
        with contextlib.suppress(ValueError, OverflowError):
            now = datetime.strptime(latest, _TIME).replace(tzinfo=timezone.utc) + timedelta(microseconds=1)
    return now.strftime(_TIME)


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Keep other writers of *file* out; wait for one that is at it."""
    try:
        release = _lock(file)
    except OSError as error:
        raise _unwritable(file, error.strerror) from error
    try:
        yield
    finally:
        release()


def _lock(file: Path) -> Callable[[], None]:
    try:
        import fcntl
    except ImportError:
        return _lock_by_file(file)
    # The directory is locked, so that no file is left in it, and replacing the file changes nothing.
    descriptor = os.open(file.parent, os.O_RDONLY)
    try:
        for _ in _attempts(file):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                continue
            except OSError:  # a file system without locks
                break
    except BaseException:
        os.close(descriptor)
        raise
    return lambda: os.close(descriptor)


def _lock_by_file(file: Path) -> Callable[[], None]:
    """Lock where directories cannot be: by a file that only one can make."""
    lock = file.with_name(file.name + ".lock")
    for _ in _attempts(file):
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            break
        except FileExistsError:
            # Nobody writes for so long: its maker was killed.
            with contextlib.suppress(OSError):
                if time.time() - lock.stat().st_mtime > 6 * _WAIT_S:
                    lock.unlink()

    def release() -> None:
        with contextlib.suppress(OSError):
            lock.unlink()

    return release


def _attempts(file: Path) -> Iterator[None]:
    end = time.monotonic() + _WAIT_S
    while time.monotonic() < end:
        yield
        time.sleep(_PAUSE_S)
    raise UnwritableError(f"{file} is being written by another process, so nothing was changed; try again")

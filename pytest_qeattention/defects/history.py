"""Which failures there were, run by run: what ``last/2`` stands for, and when something was first and last seen.

One SQLite database per cache directory, in WAL mode: runs at once take turns, and a run that is killed leaves the last
whole transaction. It is bounded in runs, bytes and days. A file that is damaged or of another version is set aside
under another name, and a new one begun; both are said.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from pytest_qeattention.databases import format_of, set_format, use_write_ahead_log
from pytest_qeattention.defects.model import DefectsReport
from pytest_qeattention.defects.pattern import Pattern
from pytest_qeattention.store import make_directory
from pytest_qeattention.wording import counted

FILE_NAME = "defects.sqlite3"
MOST_RUNS = 500
KEPT_DAYS = 180
LARGEST_BYTES = 64_000_000
"""Of failures; what SQLite adds comes on top."""
MOST_SEEN = 100_000
"""Signatures and defects whose first and last time are kept; those not seen for the longest time go first."""
_FORMAT = 1
_APPLICATION = 0x71654446
_WAIT_S = 10.0
_KEYS_PER_QUERY = 500
_LONGEST_MESSAGE = 500
_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"
_CAUSE_ID = re.compile(r"[0-9a-f]{6,32}")
_LAST = re.compile(r"last(?:/(\d{1,9}))?")
_TABLES = """
CREATE TABLE IF NOT EXISTS runs (id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, source TEXT NOT NULL,
    tests INTEGER, size INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS causes (run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE, number INTEGER NOT NULL,
    id TEXT NOT NULL, state TEXT, defect TEXT, PRIMARY KEY (run, number)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS failures (run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE, number INTEGER NOT NULL,
    cause INTEGER, nodeid TEXT NOT NULL, message TEXT NOT NULL, pattern TEXT NOT NULL,
    PRIMARY KEY (run, number)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seen (kind TEXT NOT NULL, name TEXT NOT NULL, first TEXT NOT NULL, last TEXT NOT NULL,
    times INTEGER NOT NULL, PRIMARY KEY (kind, name)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS causes_by_id ON causes (id);
"""


class HistoryError(Exception):
    """Say why the history of runs cannot be used, or what an address does not stand for."""


class HistoryFileError(HistoryError):
    """Say that the file of the history cannot be read or written."""


@dataclass(frozen=True, slots=True)
class Run:
    """Hold what is known of a run beside its failures."""

    id: int
    at: str
    source: str
    """The files that it was read from, or the command."""
    tests: int | None


@dataclass(frozen=True, slots=True)
class PastFailure:
    """Hold a failure of a run."""

    nodeid: str
    cause: int | None
    """Number of its cause in the run, from 1."""
    message: str
    """First characters of the root's message."""
    pattern: Pattern


@dataclass(frozen=True, slots=True)
class PastCause:
    """Hold a cause of a run."""

    number: int
    id: str
    state: str | None
    defect: str | None


@dataclass(frozen=True, slots=True)
class Addressed:
    """Hold what an address stands for."""

    run: Run
    failures: tuple[PastFailure, ...]
    cause: PastCause | None
    """None for the address of a test."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Say when something was first and last seen, and in how many runs."""

    first: str
    last: str
    runs: int


class History:
    """Read and add to the history in *directory*; `problems` has what there is to say about its file.

    Methods raise HistoryFileError where the file cannot be read or written.
    """

    def __init__(self, directory: Path) -> None:
        self.file = directory / FILE_NAME
        self.problems: tuple[str, ...] = ()

    def add(
        self,
        report: DefectsReport,
        *,
        source: str,
        tests: int | None = None,
        at: str | None = None,
        digest: str | None = None,
    ) -> None:
        """Add the failures and causes of a run, and drop what is more than the bounds. *at* is UTC, now if None.

        *digest* names the content of the files that it was read from. The same content is the same run, looked at
        again: it takes the place of the one before, and counts once.
        """
        at = at or datetime.now(timezone.utc).strftime(_TIME)
        cause_of = {place: number for number, cause in enumerate(report.causes, 1) for place in cause.failures}
        rows: list[tuple[object, ...]] = []
        seen: dict[tuple[str, str], None] = {}
        size = 0
        for place, record in enumerate(report.records):
            pattern = Pattern.of(record)
            text = json.dumps(pattern.to_plain(), separators=(",", ":"))
            message = record.root.message[:_LONGEST_MESSAGE] if record.root is not None else ""
            size += len(text) + len(message) + len(record.nodeid)
            rows.append((place + 1, cause_of.get(place), record.nodeid, message, text))
            seen["signature", pattern.signature] = None
        causes: list[tuple[object, ...]] = []
        for number, cause in enumerate(report.causes, 1):
            match = cause.match
            causes.append((number, cause.id, match and match.state, match and match.defect))
            if match is not None and match.defect is not None and match.state in ("known", "regressed"):
                seen["defect", match.defect] = None
        with self._open(create=True) as database:
            if database is None:
                raise HistoryFileError(f"{self.file} cannot be written, so this run is not kept")
            with database:
                database.execute("BEGIN IMMEDIATE")
                is_again = digest is not None and _is_seen(database, digest)
                if is_again:
                    _forget_same(database, source[:1_000], rows)
                run = database.execute(
                    "INSERT INTO runs (at, source, tests, size) VALUES (?, ?, ?, ?)", (at, source[:1_000], tests, size)
                ).lastrowid
                database.executemany(
                    "INSERT INTO failures (run, number, cause, nodeid, message, pattern) VALUES (?, ?, ?, ?, ?, ?)",
                    [(run, *row) for row in rows],
                )
                database.executemany(
                    "INSERT INTO causes (run, number, id, state, defect) VALUES (?, ?, ?, ?, ?)",
                    [(run, *cause) for cause in causes],
                )
                database.executemany(
                    "INSERT INTO seen (kind, name, first, last, times) VALUES (?, ?, ?, ?, 1) "
                    "ON CONFLICT (kind, name) DO UPDATE SET first = min(first, excluded.first), "
                    "last = max(last, excluded.last), times = times + ?",
                    [
                        (kind, name, at, at, 0 if is_again else 1)
                        for kind, name in (*seen, *(() if digest is None else (("file", digest),)))
                    ],
                )
                _bound(database)

    def runs(self) -> tuple[Run, ...]:
        """Return the runs that are kept, oldest first."""
        with self._open() as database:
            if database is None:
                return ()
            return tuple(Run(*row) for row in database.execute("SELECT id, at, source, tests FROM runs ORDER BY id"))

    def failures(self, run: Run) -> tuple[PastFailure, ...]:
        """Return the failures of a run in order; those that cannot be read are left out."""
        with self._open() as database:
            return () if database is None else _failures(database, run.id)

    def causes(self, run: Run) -> tuple[PastCause, ...]:
        """Return the causes of a run in order."""
        with self._open() as database:
            if database is None:
                return ()
            rows = database.execute(
                "SELECT number, id, state, defect FROM causes WHERE run = ? ORDER BY number", (run.id,)
            )
            return tuple(PastCause(*row) for row in rows)

    def seen(self, kind: str, names: Iterable[str]) -> dict[str, Seen]:
        """Return when each of *names*, of kind ``signature`` or ``defect``, was seen; those never seen are absent."""
        wanted = sorted(set(names))
        found: dict[str, Seen] = {}
        with self._open() as database:
            if database is None:
                return found
            for start in range(0, len(wanted), _KEYS_PER_QUERY):
                part = wanted[start : start + _KEYS_PER_QUERY]
                marks = ",".join("?" * len(part))
                for name, first, last, times in database.execute(
                    f"SELECT name, first, last, times FROM seen WHERE kind = ? AND name IN ({marks})", (kind, *part)
                ):
                    found[name] = Seen(first, last, times)
        return found

    def find(self, address: str) -> Addressed:
        """Return what *address* stands for; HistoryError, with what there is, where it stands for nothing.

        ``last/2`` is cause 2 of the last run; ``last`` is its only cause; the id of a cause is that of the newest run
        that has it; anything else is the node id of a test of the last run, with or without its parameters.
        """
        runs = self.runs()
        if not runs:
            raise HistoryError(
                f"no run with failures is kept, so {address!r} stands for nothing; run 'qeattention defects triage "
                "REPORT.xml' first"
            )
        run = runs[-1]
        if found := _LAST.fullmatch(address):
            return self._of_last(run, found[1])
        if _CAUSE_ID.fullmatch(address) and (addressed := self._by_id(address, runs)):
            return addressed
        failures = self.failures(run)
        exact = tuple(failure for failure in failures if failure.nodeid == address)
        exact = exact or tuple(failure for failure in failures if failure.nodeid.startswith(f"{address}["))
        if exact:
            return Addressed(run, exact, None)
        near = difflib.get_close_matches(address, [failure.nodeid for failure in failures[:2_000]], 1, 0.6)
        hint = f"did you mean {near[0]!r}?" if near else f"{_causes_there(len(self.causes(run)))}, or name a test"
        raise HistoryError(f"{address!r} is no cause that is kept, and no test that failed in the last run; {hint}")

    def _of_last(self, run: Run, wanted: str | None) -> Addressed:
        causes = self.causes(run)
        if wanted is None and len(causes) != 1:
            raise HistoryError(
                f"'last' stands for the only cause of the last run, which has {len(causes)}; "
                f"{_causes_there(len(causes))}"
            )
        number = 1 if wanted is None else int(wanted)
        for cause in causes:
            if cause.number == number:
                return Addressed(run, self._of_cause(run, cause), cause)
        raise HistoryError(
            f"the last run has no cause {number}, so 'last/{number}' stands for nothing; {_causes_there(len(causes))}"
        )

    def _by_id(self, prefix: str, runs: Sequence[Run]) -> Addressed | None:
        with self._open() as database:
            if database is None:
                return None
            rows = database.execute(
                "SELECT run, number, id, state, defect FROM causes WHERE id >= ? AND id < ? ORDER BY run DESC, number",
                (prefix, prefix + "g"),
            ).fetchall()
        if len({row[2] for row in rows}) > 1:
            raise HistoryError(f"several causes have ids that begin with {prefix!r}; give the whole id")
        for run in reversed(runs):
            for of_run, *row in rows:
                if of_run == run.id:
                    cause = PastCause(*row)
                    return Addressed(run, self._of_cause(run, cause), cause)
        return None

    def _of_cause(self, run: Run, cause: PastCause) -> tuple[PastFailure, ...]:
        return tuple(failure for failure in self.failures(run) if failure.cause == cause.number)

    @contextlib.contextmanager
    def _open(self, *, create: bool = False) -> Iterator[sqlite3.Connection | None]:
        """Open the database; None where there is none and none is wanted."""
        if not create and not self.file.is_file():
            yield None
            return
        try:
            if create:
                make_directory(self.file.parent)
            try:
                database = _connect(self.file)
            except (_OtherVersionError, sqlite3.DatabaseError) as error:
                if isinstance(error, sqlite3.OperationalError):
                    raise
                self._set_aside(error)
                database = _connect(self.file)
        except (OSError, sqlite3.Error) as error:
            raise self._failed(error) from error
        try:
            yield database
        except (sqlite3.Error, OverflowError, UnicodeError) as error:
            raise self._failed(error) from error
        finally:
            database.close()

    def _set_aside(self, error: Exception) -> None:
        reason = str(error) if isinstance(error, _OtherVersionError) else "is damaged"
        number = 1
        while (aside := self.file.with_name(f"{self.file.stem}-{number}.old{self.file.suffix}")).exists():
            number += 1
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):  # another run was faster
                os.replace(f"{self.file}{suffix}", f"{aside}{suffix}")
        said = f"{self.file} {reason}; it was set aside as {aside.name}, and the history begins anew"
        self.problems = (*self.problems, said)

    def _failed(self, error: Exception) -> HistoryFileError:
        reason = getattr(error, "strerror", None) or str(error)
        return HistoryFileError(
            f"the history of runs in {self.file} cannot be used ({reason}); check its permissions, or give another "
            "directory with --qe-store"
        )


class _OtherVersionError(Exception):
    """Say that a database is none of this version."""


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None)
    try:
        if format_of(database) != (_APPLICATION, _FORMAT):
            _begin(database)
        use_write_ahead_log(database)
        database.execute("PRAGMA foreign_keys = ON")
        # A history that loses its last run when the power fails is worth more than a slow end of every run.
        database.execute("PRAGMA synchronous = NORMAL")
    except BaseException:
        database.close()
        raise
    return database


def _begin(database: sqlite3.Connection) -> None:
    """Make the tables, unless another run was faster or the file is none of ours."""
    with database:
        database.execute("BEGIN IMMEDIATE")
        application, version = format_of(database)
        if (application, version) == (_APPLICATION, _FORMAT):
            return
        if application == _APPLICATION:
            age = "newer" if version > _FORMAT else "older"
            raise _OtherVersionError(f"has format {version}, {age} than this plugin's {_FORMAT}")
        if application or database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise _OtherVersionError("is the database of another program")
        for statement in _TABLES.split(";"):
            if statement.strip():
                database.execute(statement)
        set_format(database, _APPLICATION, _FORMAT)


def _is_seen(database: sqlite3.Connection, digest: str) -> bool:
    return database.execute("SELECT 1 FROM seen WHERE kind = 'file' AND name = ?", (digest,)).fetchone() is not None


def _forget_same(database: sqlite3.Connection, source: str, rows: Sequence[tuple[object, ...]]) -> None:
    """Drop the last run from *source* if it had the failures *rows*, but for their causes."""
    last = database.execute("SELECT id FROM runs WHERE source = ? ORDER BY id DESC LIMIT 1", (source,)).fetchone()
    if last is None:
        return
    kept = database.execute(
        "SELECT number, nodeid, message, pattern FROM failures WHERE run = ? ORDER BY number", last
    ).fetchall()
    if kept == [(row[0], *row[2:]) for row in rows]:
        database.execute("DELETE FROM runs WHERE id = ?", last)


def _bound(database: sqlite3.Connection) -> None:
    oldest = (datetime.now(timezone.utc) - timedelta(days=KEPT_DAYS)).strftime(_TIME)
    total, kept, dropped = 0, 0, []
    for run, at, size in database.execute("SELECT id, at, size FROM runs ORDER BY id DESC").fetchall():
        total, kept = total + size, kept + 1
        # The last run is kept however large it is: it is what the next command speaks of.
        if kept > 1 and (kept > MOST_RUNS or total > LARGEST_BYTES or at < oldest):
            dropped.append((run,))
    database.executemany("DELETE FROM runs WHERE id = ?", dropped)
    surplus = database.execute("SELECT count(*) FROM seen").fetchone()[0] - MOST_SEEN
    if surplus > 0:
        database.execute(
            "DELETE FROM seen WHERE (kind, name) IN (SELECT kind, name FROM seen ORDER BY last, kind, name LIMIT ?)",
            (surplus,),
        )


def _failures(database: sqlite3.Connection, run: int) -> tuple[PastFailure, ...]:
    found = []
    for nodeid, cause, message, text in database.execute(
        "SELECT nodeid, cause, message, pattern FROM failures WHERE run = ? ORDER BY number", (run,)
    ):
        with contextlib.suppress(ValueError, RecursionError):
            found.append(PastFailure(nodeid, cause, message, Pattern.from_plain(json.loads(text))))
    return tuple(found)


def _causes_there(count: int) -> str:
    if count == 0:
        return "it has no causes"
    return f"it has {counted(count, 'cause')}, last/1" + (f" to last/{count}" if count > 1 else "")

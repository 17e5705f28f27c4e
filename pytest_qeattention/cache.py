"""What an analysis keeps between runs: reports of whole suites, and what files were found to hold.

One SQLite database per cache directory, in WAL mode: runs at once take turns, and a run that is killed leaves the last
whole transaction. Nothing that is read back is trusted: an entry is found by a hash of everything that it depends on,
the content of the files and the code of this package among it, and carries a checksum. What is damaged, locked, of
another version or not allowed counts as absent, and no run fails or says anything for it: it takes longer.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_qeattention.databases import format_of, set_format, use_write_ahead_log
from pytest_qeattention.store import make_directory

if TYPE_CHECKING:
    import sqlite3

FILE_NAME = "similar.sqlite3"
# What was used least recently goes when payloads come to more than this, and what was not used for so many days.
LARGEST_BYTES = 1_000_000_000
KEPT_DAYS = 14
_FORMAT = 1
_APPLICATION = 0x71655353
_CHECKSUM_BYTES = 16
_WAIT_S = 5.0
_NO_WAIT_S = 60.0
"""For so long after waiting in vain nobody of this process waits for the same database."""
_DAY_S = 86_400
_PAGE_BYTES = 16_384
_KEYS_PER_QUERY = 500


def key_of(*parts: object) -> bytes:
    """Hash *parts*, which are told apart by their `repr`."""
    state = blake2b(digest_size=20)
    for part in parts:
        text = part if isinstance(part, bytes) else repr(part).encode("utf-8", "surrogatepass")
        state.update(len(text).to_bytes(8, "little") + text)
    return state.digest()


@cache
def code_key() -> bytes:
    """Name what results depend on beside the files: this package's code, Python, NumPy, the processor, settings."""
    package = Path(__file__).resolve().parent
    state = blake2b(digest_size=20)
    parts = (package / name for name in ("attention", "encoder", "index", "syntax"))
    for directory in (package, *parts, *_folders(package / "similarity")):
        for path in sorted(directory.iterdir()):
            # Weights of encoders are named in the keys of what they made.
            if path.suffix in (".py", ".so", ".pyd") or (path.suffix == ".bin" and directory.name == "similarity"):
                data = path.read_bytes()
                state.update(f"{path.relative_to(package)}\0{len(data)}\0".encode() + data)
    settings = [os.environ.get(name) for name in ("QE_BACKEND", "QE_ISA")]
    return key_of(state.digest(), sys.version, platform.machine(), _processor(), _numpy(), settings)


def _folders(directory: Path) -> Iterator[Path]:
    yield directory
    yield from (path for path in sorted(directory.iterdir()) if path.is_dir() and path.name != "__pycache__")


def _processor() -> str:
    # Kernels of another instruction set round differently.
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            first = list(iter(lines.readline, "\n"))
    except OSError:
        return platform.processor()
    return "".join(line for line in first if line.startswith(("model name", "flags", "Features", "CPU part")))


def _numpy() -> object:
    """Name the NumPy that would be imported, without importing it."""
    try:
        spec = find_spec("numpy")
        version = Path(spec.origin).with_name("version.py").read_bytes() if spec and spec.origin else b""
    except (ImportError, ValueError, OSError):
        return None
    return version


_waited_in_vain: dict[Path, float] = {}
"""When, by the monotonic clock."""


class ForeignFileError(OSError):
    """Say that a file of the cache's name is another program's."""


class Cache:
    """Read and write the entries of one directory; a `with` block keeps the database open meanwhile.

    Without a directory nothing is found and nothing is kept.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._database: sqlite3.Connection | None = None
        self._depth = 0

    def __enter__(self) -> Cache:
        self._depth += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._close()

    @property
    def is_on(self) -> bool:
        """Whether there is a directory to keep anything in."""
        return self._directory is not None

    def read(self, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        """Return the payloads of those of *keys* that have a sound entry."""
        with self:
            return self._read(list(dict.fromkeys(keys)))

    def write(self, entries: Mapping[bytes, bytes]) -> None:
        """Keep *entries*, all or none of them, and drop what was used least recently if there is too much."""
        if entries:
            with self:
                self._write(entries)

    def _read(self, wanted: Sequence[bytes]) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        database = self._open(create=False)
        if database is None:
            return found
        today = _today()
        stale: list[bytes] = []
        with self._quietly():
            for start in range(0, len(wanted), _KEYS_PER_QUERY):
                part = wanted[start : start + _KEYS_PER_QUERY]
                marks = ",".join("?" * len(part))
                for key, used, data in database.execute(
                    f"SELECT key, used, data FROM entries WHERE key IN ({marks})", part
                ):
                    payload = _checked(key, data)
                    if payload is not None:
                        found[key] = payload
                        if used != today:
                            stale.append(key)
            if stale:
                with database:
                    database.execute("BEGIN IMMEDIATE")
                    database.executemany("UPDATE entries SET used = ? WHERE key = ?", [(today, key) for key in stale])
        return found

    def _write(self, entries: Mapping[bytes, bytes]) -> None:
        database = self._open(create=True)
        if database is None:
            return
        today = _today()
        rows = [(key, today, len(payload), _checksum(key, payload) + payload) for key, payload in entries.items()]
        try:
            self._replace(database, rows)
        except _errors() as error:
            self._note(error)
            if not _is_damage(error):
                return
            # What cannot be read cannot be mended: the next write starts afresh.
            self._close()
            self._remove()
            database = self._open(create=True)
            if database is not None:
                with self._quietly():
                    self._replace(database, rows)

    def _replace(self, database: sqlite3.Connection, rows: Sequence[tuple[bytes, int, int, bytes]]) -> None:
        with database:
            database.execute("BEGIN IMMEDIATE")
            database.executemany("INSERT OR REPLACE INTO entries (key, used, size, data) VALUES (?, ?, ?, ?)", rows)
            database.execute("DELETE FROM entries WHERE used < ?", (_today() - KEPT_DAYS,))
            total = database.execute("SELECT total(size) FROM entries").fetchone()[0]
            if total > LARGEST_BYTES:
                for key, size in database.execute("SELECT key, size FROM entries ORDER BY used, rowid").fetchall():
                    if total <= LARGEST_BYTES / 2:
                        break
                    database.execute("DELETE FROM entries WHERE key = ?", (key,))
                    total -= size

    def _open(self, *, create: bool) -> sqlite3.Connection | None:
        if self._database is not None or self._directory is None:
            return self._database
        path = self._directory / FILE_NAME
        if not create and not path.is_file():
            return None
        try:
            errors = _errors()
        except ImportError:  # a Python that was built without SQLite
            return None
        for attempt in range(2):
            try:
                if create:
                    make_directory(self._directory)
                self._database = _connect(path, self._patience())
                return self._database
            except errors as error:
                self._note(error)
                if attempt or not _is_damage(error):
                    return None
                self._remove()
                if not create:
                    return None
        return None

    def _close(self) -> None:
        if self._database is not None:
            with contextlib.suppress(*_errors()):
                self._database.close()
            self._database = None

    @contextlib.contextmanager
    def _quietly(self) -> Iterator[None]:
        try:
            yield
        except _errors() as error:
            self._note(error)

    def _patience(self) -> float:
        """Return for how many seconds to wait for others: a run does many things, and is to wait once."""
        waited = _waited_in_vain.get(self._directory) if self._directory is not None else None
        return _WAIT_S if waited is None or time.monotonic() - waited > _NO_WAIT_S else 0.0

    def _note(self, error: Exception) -> None:
        if self._directory is not None and _is_in_use(error):
            _waited_in_vain[self._directory] = time.monotonic()
            if self._database is not None:
                with contextlib.suppress(*_errors()):
                    self._database.execute("PRAGMA busy_timeout = 0")

    def _remove(self) -> None:
        if self._directory is not None:
            for suffix in ("", "-wal", "-shm", "-journal"):
                with contextlib.suppress(OSError):
                    os.unlink(self._directory / (FILE_NAME + suffix))


def _connect(path: Path, patience_s: float) -> sqlite3.Connection:
    import sqlite3

    database = sqlite3.connect(path, timeout=patience_s, isolation_level=None)
    try:
        if format_of(database) != (_APPLICATION, _FORMAT):
            _begin(database)
        use_write_ahead_log(database)
        database.execute("PRAGMA synchronous = OFF")
    except BaseException:
        database.close()
        raise
    return database


def _begin(database: sqlite3.Connection) -> None:
    """Make the table, unless another run was faster."""
    import sqlite3

    database.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
    with database:
        database.execute("BEGIN IMMEDIATE")
        if format_of(database) == (_APPLICATION, _FORMAT):
            return
        tables = {name for (name,) in database.execute("SELECT tbl_name FROM sqlite_master")}
        if tables - {"entries"}:
            raise ForeignFileError("file is another program's database")
        if tables:
            raise sqlite3.DatabaseError("file is not a database of this version")
        database.execute(
            "CREATE TABLE entries "
            "(key BLOB PRIMARY KEY, used INTEGER NOT NULL, size INTEGER NOT NULL, data BLOB NOT NULL)"
        )
        set_format(database, _APPLICATION, _FORMAT)


def _errors() -> tuple[type[Exception], ...]:
    import sqlite3

    # In a damaged file names, texts and numbers can be anything, and not all that SQLite says of them is one of its own
    # errors.
    return sqlite3.Error, OSError, ValueError, OverflowError, MemoryError


def _is_damage(error: Exception) -> bool:
    """Tell whether a database has to be begun again: not if it is in use or not ours to write, or the disk is full."""
    if isinstance(error, OSError) or _is_in_use(error):
        return False
    return not any(words in str(error) for words in ("full", "readonly", "unable to open"))


def _is_in_use(error: Exception) -> bool:
    return any(word in str(error) for word in ("locked", "busy"))


def _today() -> int:
    return int(time.time() // _DAY_S)


def _checksum(key: bytes, payload: bytes) -> bytes:
    state = blake2b(key, digest_size=_CHECKSUM_BYTES)
    state.update(payload)
    return state.digest()


def _checked(key: object, data: object) -> bytes | None:
    if not isinstance(key, bytes) or not isinstance(data, bytes) or len(data) < _CHECKSUM_BYTES:
        return None
    payload = data[_CHECKSUM_BYTES:]
    return payload if _checksum(key, payload) == data[:_CHECKSUM_BYTES] else None

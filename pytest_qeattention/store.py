"""Files that survive a crash: checked cache files, and atomic replacement of what users asked for.

A cache file is never trusted when it is read back. It starts with a header of magic, container format, the
caller's format version, payload length and a BLAKE2b checksum; anything that disagrees means that the file
does not count and is built again. Neither reading nor writing a cache raises for what the file system does:
both return the problem in words, for the caller to report once, because a cache must never cost the user's
run.

Outputs that the user named on the command line are the other way round: a failure there is an `OutputError`.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import mmap
import os
import re
import secrets
import stat
import struct
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

_HEADER = struct.Struct("<8sIIQ32s")
HEADER_BYTES = _HEADER.size
_CONTAINER = 1
_TEMPORARY_PREFIX = ".qe-"
_TEMPORARY_SUFFIX = ".tmp"
_PRIVATE = 0o600
# A writer that was killed leaves its temporary file. Nobody writes for an hour, so what is older is such a
# leftover.
_LEFTOVER_AGE_S = 3600
_CACHE_MARKERS = (
    (".gitignore", "# Created by pytest-qeattention.\n*\n"),
    (
        "CACHEDIR.TAG",
        "Signature: 8a477f597d28d172789f06886806bc55\n"
        "# A cache directory of pytest, created by pytest-qeattention; see https://bford.info/cachedir/\n",
    ),
)
_FD_PATH = re.compile(r"(?:/dev/fd|/proc/self/fd)/(\d+)")
_STANDARD_FDS = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}


_Bytes = TypeVar("_Bytes", bytes, memoryview)


class OutputError(Exception):
    """Say why an output that the user asked for could not be written."""


class DamagedFileError(Exception):
    """Say what is wrong with a checked file that nothing can build again."""


@dataclass(frozen=True, slots=True)
class Checked:
    """Hold what `read_checked` found: a payload, a problem, or neither when there is no file yet."""

    payload: bytes | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Store:
    """Read and write the checked files of one directory, which is created by the first write."""

    directory: Path

    def read(self, name: str, *, magic: bytes, version: int) -> Checked:
        """Read the payload of file *name*; see `read_checked`."""
        return read_checked(self.directory / name, magic=magic, version=version)

    def write(self, name: str, payload: bytes, *, magic: bytes, version: int) -> str | None:
        """Write *payload* as file *name*; see `write_checked`."""
        return write_checked(self.directory / name, payload, magic=magic, version=version)


def open_store(directory: Path) -> Store:
    """Open the store in *directory* without touching the file system."""
    return Store(Path(directory))


def read_checked(path: Path, *, magic: bytes, version: int) -> Checked:
    """Read the payload of a file that `write_checked` wrote.

    *magic* (1 to 8 bytes) names the kind of file, *version* (1 or more) the format of its payload. A missing
    file is no problem; a file that is damaged, of another kind, of another version or unreadable has a
    `problem` that says what happened and what follows.
    """
    found = _taken(path, magic, version, lambda file, length: file.read(length))
    if isinstance(found, str):
        return Checked(problem=f"{path} {found}; it is ignored and built again")
    return Checked(payload=found)


def map_checked(path: Path, *, magic: bytes, version: int) -> memoryview:
    """Map a file that `write_checked` wrote into memory, to be read alone; return its payload.

    It starts `HEADER_BYTES` into the file. Raises `DamagedFileError`, which says what is wrong with the file, for a
    missing file as well.
    """
    found = _taken(path, magic, version, _mapped)
    if found is None:
        found = "does not exist"
    if isinstance(found, str):
        raise DamagedFileError(f"{path} {found}")
    return found


def _mapped(file: BinaryIO, length: int) -> memoryview:
    # The view keeps the map, and the map keeps what it shows when the file is replaced.
    whole = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return memoryview(whole)[HEADER_BYTES : HEADER_BYTES + length]


def _taken(path: Path, magic: bytes, version: int, take: Callable[[BinaryIO, int], _Bytes]) -> _Bytes | str | None:
    """Return the payload of a checked file as *take* gives it; what is wrong with it; or None when there is no file."""
    expected_magic = _padded(magic)
    _check_version(version)
    try:
        # Without O_NONBLOCK a FIFO that somebody put here would hang the run.
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"cannot be read ({_reason(error)})"
    try:
        with open(fd, "rb") as file:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                return "is not a regular file"
            header = file.read(_HEADER.size)
            if len(header) < _HEADER.size:
                return "is truncated"
            found_magic, container, found_version, length, checksum = _HEADER.unpack(header)
            if found_magic != expected_magic:
                return "is not a file of the kind expected here"
            if container != _CONTAINER or found_version != version:
                return _version_words(container, found_version, version)
            # Checked before reading, so that a damaged length cannot ask for memory that the file does not
            # fill.
            if status.st_size != _HEADER.size + length:
                return "is truncated or has bytes added"
            payload = take(file, length)
    except (OSError, ValueError) as error:  # ValueError: a file that was emptied meanwhile cannot be mapped
        return f"cannot be read ({_reason(error)})"
    if _checksum(expected_magic, version, payload) != checksum:
        return "is damaged (its checksum does not match)"
    return payload


def write_checked(path: Path, payload: bytes, *, magic: bytes, version: int, mode: int = _PRIVATE) -> str | None:
    """Replace the file at *path* by *payload* under a checked header, atomically.

    A reader, a second writer or a crash at any moment finds the old file or the new one, never a mixture. The
    file has the permissions *mode*: as it is, a cache is readable by its owner only. Missing directories are
    created; where that creates pytest's cache directory, it gets the markers that pytest would have put there.
    Returns None, or the problem in words when it could not be written.
    """
    padded = _padded(magic)
    _check_version(version)
    checksum = _checksum(padded, version, payload)
    header = _HEADER.pack(padded, _CONTAINER, version, len(payload), checksum)
    path = Path(path)
    try:
        make_directory(path.parent)
        # Not every file system changes permissions: a private file is made with its own.
        _replace(path, (header, payload), mode=_PRIVATE, permissions=None if mode == _PRIVATE else mode)
    except OSError as error:
        return f"{path} cannot be written ({_reason(error)}); the run goes on without saving it"
    _remove_leftovers(path.parent)
    return None


def write_atomically(path: str | os.PathLike[str], text: str | bytes) -> None:
    """Write *text*, a string as UTF-8, to an output that the user named.

    A regular file is replaced atomically, through symbolic links, and keeps its permissions; a new one gets
    those of the umask. ``-`` is standard output. Devices, pipes and open descriptors (``/dev/stdout``,
    ``/dev/fd/3``) are written in place, as is an existing file whose directory allows no replacement. Raises
    `OutputError`.
    """
    # A lone surrogate (an undecodable file name) becomes \\udcXX, which is also how JSON writes it.
    data = text if isinstance(text, bytes) else text.encode("utf-8", errors="backslashreplace")
    name = os.fspath(path)
    try:
        if name == "-":
            _write_stdout(data)
        elif (descriptor := _descriptor(name)) is not None:
            _flush_standard_streams()
            with open(os.dup(descriptor), "wb") as file:
                file.write(data)
        else:
            _write_output(Path(os.path.realpath(name)), data)
    except (OSError, ValueError) as error:  # ValueError: a closed stream, a NUL in the path
        shown = "standard output" if name == "-" else name
        raise OutputError(f"cannot write {shown}: {_output_reason(name, error)}") from error


def _padded(magic: bytes) -> bytes:
    if not 1 <= len(magic) <= 8:
        raise ValueError(f"magic must have 1 to 8 bytes, got {magic!r}")
    return magic.ljust(8, b"\0")


def _check_version(version: int) -> None:
    if not 1 <= version < 2**32:
        raise ValueError(f"version must be from 1 to 2**32 - 1, got {version}")


def _checksum(padded_magic: bytes, version: int, payload: bytes | memoryview) -> bytes:
    digest = hashlib.blake2b(digest_size=32)
    digest.update(struct.pack("<8sIIQ", padded_magic, _CONTAINER, version, len(payload)))
    digest.update(payload)
    return digest.digest()


def _version_words(container: int, found: int, version: int) -> str:
    age = "newer" if (container, found) > (_CONTAINER, version) else "older"
    return f"has format {container}.{found}, {age} than this plugin's {_CONTAINER}.{version}"


def _reason(error: OSError | ValueError) -> str:
    strerror = error.strerror if isinstance(error, OSError) else str(error)
    return strerror or type(error).__name__


def _output_reason(name: str, error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError):
        parent = os.path.dirname(os.path.realpath(name))
        if not os.path.isdir(parent):
            return f"directory {parent} does not exist; create it, or give another path"
    return _reason(error)


def make_directory(directory: Path) -> None:
    if directory.is_dir():
        return
    # pytest keeps directories of plugins in d/ of its cache, and marks the cache only when it creates it
    # itself.
    cache_root = directory.parent.parent if directory.parent.name == "d" else None
    is_new_cache = cache_root is not None and not cache_root.exists()
    directory.mkdir(parents=True, exist_ok=True)
    if cache_root is not None and is_new_cache:
        for name, text in _CACHE_MARKERS:
            with contextlib.suppress(FileExistsError), open(cache_root / name, "x", encoding="utf-8") as file:
                file.write(text)


@contextlib.contextmanager
def _temporary_beside(path: Path, mode: int) -> Iterator[tuple[int, Path]]:
    temporary = path.parent / f"{_TEMPORARY_PREFIX}{secrets.token_hex(8)}{_TEMPORARY_SUFFIX}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    # os.open applies the umask; reading the umask itself would change it for every thread of the process.
    fd = os.open(temporary, flags, mode)
    try:
        yield fd, temporary
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _replace(path: Path, parts: tuple[bytes, ...], *, mode: int, permissions: int | None = None) -> None:
    with _temporary_beside(path, mode) as (fd, temporary):
        with open(fd, "wb") as file:
            for part in parts:
                file.write(part)
            if permissions is not None and hasattr(os, "fchmod"):
                os.fchmod(fd, permissions)
            file.flush()
            os.fsync(fd)
        os.replace(temporary, path)
    # Makes the new name last through a power cut; not every file system can, and the file is whole either
    # way.
    with contextlib.suppress(OSError):
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _remove_leftovers(directory: Path) -> None:
    oldest = time.time() - _LEFTOVER_AGE_S
    with contextlib.suppress(OSError):
        for temporary in directory.glob(f"{_TEMPORARY_PREFIX}*{_TEMPORARY_SUFFIX}"):
            if temporary.stat().st_mtime < oldest:
                temporary.unlink()


def _write_output(path: Path, data: bytes) -> None:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        _replace(path, (data,), mode=0o666)
        return
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, "it is a directory; give the path of a file")
    if not stat.S_ISREG(status.st_mode):
        _write_in_place(path, data)
        return
    if not os.access(path, os.W_OK):
        # Replacing it would succeed in a writable directory, against what its owner said.
        raise PermissionError(errno.EACCES, "the file is write-protected")
    try:
        _replace(path, (data,), mode=_PRIVATE, permissions=stat.S_IMODE(status.st_mode))
    except OSError as error:
        # A single file mounted into a container, or a directory of somebody else.
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EBUSY, errno.EROFS):
            raise
        _write_in_place(path, data)


def _write_in_place(path: Path, data: bytes) -> None:
    # O_TRUNC does nothing to devices and pipes.
    with open(os.open(path, os.O_WRONLY | os.O_TRUNC | getattr(os, "O_BINARY", 0)), "wb") as file:
        file.write(data)


def _descriptor(name: str) -> int | None:
    """Return the open descriptor that a path stands for.

    Opening /dev/stdout again would start at offset 0 of a file that standard output is redirected to, and
    replacing it would detach that file from the rest of the output; a duplicate of the descriptor shares its
    offset.
    """
    path = os.path.abspath(name)
    if path in _STANDARD_FDS:
        return _STANDARD_FDS[path]
    match = _FD_PATH.fullmatch(path)
    return int(match.group(1)) if match else None


def _flush_standard_streams() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()


def _write_stdout(data: bytes) -> None:
    if sys.stdout is None:
        raise OSError(errno.EBADF, "there is no standard output")
    sys.stdout.flush()
    buffer = getattr(sys.stdout, "buffer", None)
    if buffer is None:
        sys.stdout.write(data.decode("utf-8"))
    else:
        buffer.write(data)
    sys.stdout.flush()

"""Read many files, in several processes when there is much to read: tests are scanned and described.

Parsing holds the interpreter's lock, so threads would not help. The helpers are plain subprocesses: nothing is forked
from a process that belongs to somebody else's tests, and ``__main__`` is not imported a second time. All of them, and
this process, take one batch of files after the other until none is left; what a batch is, and what is found in it,
does not depend on who reads it. A batch is taken by creating a file of its number in a directory of this analysis.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import abc
import contextlib
import gc
import importlib
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Generic, TypeVar

from pytest_qeattention.similarity.candidates import FileScan
from pytest_qeattention.similarity.describe import Description, describe
from pytest_qeattention.similarity.discover import SourcePath
from pytest_qeattention.similarity.naming import NamingRules
from pytest_qeattention.similarity.packing import pack_scan, unpack_scan
from pytest_qeattention.similarity.scan import package_root, scan_file, without_garbage_collection
from pytest_qeattention.similarity.workload import Progress

T = TypeVar("T")
Scan = FileScan[Description]

# A helper takes 0.1 s to start, in which one process reads and describes some 400 kB of tests.
PARALLEL_BYTES = 1_000_000
# The last batches are small, so that all processes end at about the same time.
_LEAST_BATCH_BYTES = 50_000

_JOBS = "jobs"
_HELPER = (
    "import os, pickle, sys; source = open(sys.argv[1], 'rb'); sys.path[:] = pickle.load(source); "
    "from pytest_qeattention.similarity.reading import serve; serve(source, sys.argv[2]); os._exit(0)"
)


@dataclass(frozen=True, slots=True)
class Job:
    """Name a file to scan; *wanted* are the lines of its functions to list, None for those that can be tests."""

    source: SourcePath
    wanted: frozenset[int] | None = None


class FileReader(abc.ABC, Generic[T]):
    """Say what is read of a file. A helper has a copy of this object, and sends what it reads as plain values."""

    @abc.abstractmethod
    def read(self, job: Job) -> T:
        """Read the file of *job*, whatever is in it."""

    @abc.abstractmethod
    def pack(self, found: T) -> object:
        """Return what was read as plain values."""

    @abc.abstractmethod
    def unpack(self, packed: object, job: Job) -> T:
        """Return what was packed."""


def scan_files(
    jobs: Sequence[Job],
    rules: NamingRules | None,
    *,
    num_processes: int | None = None,
    progress: Progress | None = None,
) -> list[Scan]:
    """Scan and describe the files of *jobs* as `read_files` reads them."""
    return read_files(jobs, _Scanning(rules), num_processes=num_processes, progress=progress)


def read_files(
    jobs: Sequence[Job],
    reader: FileReader[T],
    *,
    num_processes: int | None = None,
    progress: Progress | None = None,
) -> list[T]:
    """Read the files of *jobs*; results are in their order and the same for any number of processes.

    *num_processes* None takes as many as there are processors, and one when there is little to read. Results are
    pickled by our own helpers alone; what a helper could not do is done here.
    """
    sizes = [_size(job.source) for job in jobs]
    processes = num_processes or len(_processors())
    with without_garbage_collection():
        if processes > 1 and sum(sizes) >= PARALLEL_BYTES:
            done = _read_with_helpers(jobs, reader, sizes, processes, progress)
        else:
            done = {}
        for number, job in enumerate(jobs):
            if number not in done:
                done[number] = reader.read(job)
                if progress is not None:
                    progress("reading", len(done), len(jobs))
    return [done[number] for number in range(len(jobs))]


class _Scanning(FileReader[Scan]):
    def __init__(self, rules: NamingRules | None) -> None:
        self._rules = rules

    def read(self, job: Job) -> Scan:
        return _scan(job, self._rules)

    def pack(self, found: Scan) -> object:
        return pack_scan(found)

    def unpack(self, packed: Any, job: Job) -> Scan:
        return unpack_scan(packed, job.source, package_root(os.path.dirname(job.source.path)))


def _scan(job: Job, rules: NamingRules | None) -> Scan:
    return scan_file(job.source, rules, describe, wanted=job.wanted)


def _size(source: SourcePath) -> int:
    try:
        return os.stat(source.path).st_size
    except OSError:
        return 0


def _processors() -> Sequence[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return range(os.cpu_count() or 1)


def _batches(sizes: Sequence[int], processes: int) -> list[list[int]]:
    """Group the numbers of files of *sizes* bytes, the largest files and the largest batches first."""
    left = sum(sizes)
    batches: list[list[int]] = []
    load, limit = 0, -1
    for number in sorted(range(len(sizes)), key=lambda number: (-sizes[number], number)):
        if load >= limit:
            batches.append([])
            load, limit = 0, max(left // (4 * processes), _LEAST_BATCH_BYTES)
        batches[-1].append(number)
        load += sizes[number]
        left -= sizes[number]
    return batches


def _taken(place: str, batches: int) -> Iterator[int]:
    """Take one batch after the other, until all are taken by this process or by others."""
    for number in range(batches):
        try:
            os.close(os.open(os.path.join(place, str(number)), os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            continue
        except OSError:
            # On a full disk nothing can be taken: to read a batch twice is only slower.
            pass
        yield number


def _read_with_helpers(
    jobs: Sequence[Job],
    reader: FileReader[T],
    sizes: Sequence[int],
    processes: int,
    progress: Progress | None,
) -> dict[int, T]:
    batches = _batches(sizes, processes)
    done: dict[int, T] = {}
    with contextlib.ExitStack() as stack:
        try:
            place = stack.enter_context(tempfile.TemporaryDirectory(prefix="qeattention-", ignore_cleanup_errors=True))
            with open(os.path.join(place, _JOBS), "wb") as sink:
                pickle.dump(list(sys.path), sink)
                pickle.dump((jobs, reader, batches), sink, pickle.HIGHEST_PROTOCOL)
        except OSError:
            # Without a place to meet there are no helpers.
            return done
        results = [os.path.join(place, f"result-{number}") for number in range(processes - 1)]
        helpers = [stack.enter_context(_running_helper(place, result)) for result in results]
        _load_analysis()
        for number in _taken(place, len(batches)):
            if progress is not None:
                progress("reading", sum(map(len, batches[:number])), len(jobs))
            for job in batches[number]:
                done[job] = reader.read(jobs[job])
        for helper in helpers:
            if helper is not None:
                helper.wait()
        for result in results:
            for number, packed in _results(result):
                for job, content in zip(batches[number], packed, strict=True):
                    done[job] = reader.unpack(content, jobs[job])
    if progress is not None and len(done) == len(jobs):
        progress("reading", len(jobs), len(jobs))
    return done


def _load_analysis() -> None:
    # Helpers take a moment to start. What is read is going to be analysed, which loads NumPy: that moment will do.
    importlib.import_module("pytest_qeattention.similarity.builtin")


@contextlib.contextmanager
def _running_helper(place: str, result: str) -> Iterator[subprocess.Popen[bytes] | None]:
    """Start a helper that writes to *result*, and end it with the block; None where none can be started."""
    try:
        helper = subprocess.Popen(
            [sys.executable, "-c", _HELPER, os.path.join(place, _JOBS), result],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except OSError:
        yield None
        return
    try:
        yield helper
    finally:
        if helper.poll() is None:
            helper.kill()
            helper.wait()


def _results(path: str) -> Iterator[tuple[int, list[object]]]:
    try:
        with open(path, "rb") as source:
            while source.peek(1):
                yield pickle.load(source)
    except Exception:
        # A helper that died has left what it had finished, and perhaps half a batch; the rest is read in this process.
        return


def serve(source: BinaryIO, result: str) -> None:
    """Read the batches that nobody else has taken, and write each to the file *result* as soon as it is done."""
    gc.disable()
    jobs, reader, batches = pickle.load(source)
    with open(result, "wb") as sink:
        for number in _taken(str(Path(result).parent), len(batches)):
            packed = [reader.pack(reader.read(jobs[job])) for job in batches[number]]
            pickle.dump((number, packed), sink, pickle.HIGHEST_PROTOCOL)
            sink.flush()

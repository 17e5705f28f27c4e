"""Scan and describe many files, in several processes when there is much to read.

Parsing holds the interpreter's lock, so threads would not help. The helpers are plain subprocesses: nothing is forked
from a process that belongs to somebody else's tests, and ``__main__`` is not imported a second time.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import BinaryIO

from pytest_qeattention.similarity.candidates import FileScan
from pytest_qeattention.similarity.describe import Description, describe
from pytest_qeattention.similarity.discover import SourcePath
from pytest_qeattention.similarity.naming import NamingRules
from pytest_qeattention.similarity.scan import scan_file
from pytest_qeattention.similarity.workload import Progress

Scan = FileScan[Description]

# A helper takes 0.1 s to start, in which one process reads and describes some 150 kB of tests.
PARALLEL_BYTES = 1_000_000

_HELPER = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); "
    "from pytest_qeattention.similarity.reading import serve; serve(sys.stdin.buffer, sys.stdout.buffer)"
)


@dataclass(frozen=True, slots=True)
class Job:
    """Name a file to scan; *wanted* are the lines of its functions to list, None for those that can be tests."""

    source: SourcePath
    wanted: frozenset[int] | None = None


def scan_files(
    jobs: Sequence[Job],
    rules: NamingRules | None,
    *,
    num_processes: int | None = None,
    progress: Progress | None = None,
) -> list[Scan]:
    """Scan and describe the files of *jobs*; results are in their order and the same for any number of processes.

    *num_processes* None takes as many as there are processors, and one when there is little to read. Results are
    pickled by our own helpers alone; what a helper could not do is done here.
    """
    sizes = [_size(job.source) for job in jobs]
    processes = num_processes or len(_processors())
    if processes > 1 and sum(sizes) >= PARALLEL_BYTES:
        done = _scan_in_helpers(jobs, rules, sizes, processes, progress)
    else:
        done = {}
    scans: list[Scan] = []
    for number, job in enumerate(jobs):
        known = done.get(number)
        if known is None:
            known = _scan(job, rules)
            if progress is not None and not done:
                progress("reading", number + 1, len(jobs))
        scans.append(known)
    return scans


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


def _scan_in_helpers(
    jobs: Sequence[Job],
    rules: NamingRules | None,
    sizes: Sequence[int],
    processes: int,
    progress: Progress | None,
) -> dict[int, Scan]:
    shares: list[list[int]] = [[] for _ in range(processes)]
    loads = [0] * processes
    # The largest first, each to the helper with the least to do so far.
    for number in sorted(range(len(jobs)), key=lambda number: (-sizes[number], number)):
        least = loads.index(min(loads))
        shares[least].append(number)
        loads[least] += sizes[number] + 1000
    results: SimpleQueue[tuple[int, Scan] | None] = SimpleQueue()
    helpers = [
        threading.Thread(
            target=_run_helper, args=([(number, jobs[number]) for number in share], rules, results), daemon=True
        )
        for share in shares
        if share
    ]
    for helper in helpers:
        helper.start()
    done: dict[int, Scan] = {}
    running = len(helpers)
    while running:
        result = results.get()
        if result is None:
            running -= 1
            continue
        done[result[0]] = result[1]
        if progress is not None:
            progress("reading", len(done), len(jobs))
    return done


def _run_helper(
    share: Sequence[tuple[int, Job]],
    rules: NamingRules | None,
    results: SimpleQueue[tuple[int, Scan] | None],
) -> None:
    try:
        with subprocess.Popen(
            [sys.executable, "-c", _HELPER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as helper:
            if helper.stdin is None or helper.stdout is None:
                return
            # A helper that died has said so by ending its output; what it left is read in this process.
            with contextlib.suppress(OSError):
                pickle.dump(list(sys.path), helper.stdin)
                pickle.dump((share, rules), helper.stdin)
                helper.stdin.close()
            with contextlib.suppress(EOFError, OSError, pickle.UnpicklingError):
                while True:
                    results.put(pickle.load(helper.stdout))
    except OSError:
        return
    finally:
        results.put(None)


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Scan the files that the parent process asks for, and write each result as soon as it is there."""
    share: Iterable[tuple[int, Job]]
    rules: NamingRules | None
    share, rules = pickle.load(source)
    for number, job in share:
        pickle.dump((number, _scan(job, rules)), sink, pickle.HIGHEST_PROTOCOL)
        sink.flush()

"""The revision of the project that is tested, and the files that differ from it, as far as git tells.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from pytest_qeattention.defects.facts import LONGEST_NODEID, safe

LONGEST_S = 2.0
"""How long git may take for all that it is asked."""
MOST_BYTES = 1_000_000
"""What is read of an answer of git."""
MOST_CHANGED = 500
_OPTIONS = ("-c", "core.fsmonitor=false", "-c", "core.quotepath=false")
# Set where git itself started the run, as in a hook, for the directory that it was in.
_OF_A_HOOK = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR")


@dataclass(frozen=True, slots=True)
class Revision:
    """Hold what is under test; nothing where git does not know."""

    commit: str | None = None
    changed: tuple[str, ...] = ()
    """Paths below the directory, in order, fit for a record; of a new directory its own, with a slash."""


def revision_of(directory: Path, longest_s: float = LONGEST_S) -> Revision:
    """Return the revision of the work tree that *directory* is in; raise nothing.

    Of a submodule only another commit counts as a change. After *longest_s* seconds git is stopped, and of files with
    changes the first `MOST_CHANGED` are named.
    """
    end = time.monotonic() + longest_s
    known = _answer(directory, end, "rev-parse", "HEAD", "--show-prefix")
    commit, _, rest = (known or b"").partition(b"\n")
    if not commit.isalnum():
        return Revision()
    status = ("status", "--porcelain=v1", "-z", "--untracked-files=normal", "--ignore-submodules=dirty", "--", ".")
    told = _answer(directory, end, *status)
    return Revision(commit.decode("ascii"), () if told is None else _changed(told, rest.removesuffix(b"\n")))


def _changed(told: bytes, prefix: bytes) -> tuple[str, ...]:
    """Return the paths in an answer of ``git status -z``, of which the last may have been cut."""
    entries = iter(told.split(b"\0")[:-1])
    found: dict[str, None] = {}
    for entry in entries:
        if len(found) == MOST_CHANGED:
            break
        if b"R" in entry[:2] or b"C" in entry[:2]:
            # The name that it had follows.
            next(entries, None)
        found.setdefault(safe(os.fsdecode(entry[3:].removeprefix(prefix)), LONGEST_NODEID))
    return tuple(sorted(found))


def _answer(directory: Path, end: float, *arguments: str) -> bytes | None:
    """Return what git answers until *end*; None where it fails, or cannot be started, or takes longer."""
    environment = {name: value for name, value in os.environ.items() if name not in _OF_A_HOOK}
    # No lock that a git of the user would have to wait for; nobody to ask for a password.
    environment |= {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    try:
        process = subprocess.Popen(
            ["git", *_OPTIONS, *arguments],
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except (OSError, ValueError):
        return None
    answer: list[bytes] = []

    def read() -> None:
        if process.stdout is not None:
            with contextlib.suppress(OSError, ValueError), process.stdout as output:
                answer.append(output.read(MOST_BYTES + 1))

    # A process that git leaves behind may keep the pipe open, which would be waited for without end.
    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(max(end - time.monotonic(), 0.0))
    is_cut = bool(answer) and len(answer[0]) > MOST_BYTES
    if reader.is_alive() or is_cut:
        process.kill()
    try:
        code = process.wait(max(end - time.monotonic(), 0.0) + 1.0)
    except subprocess.TimeoutExpired:
        process.kill()
        return None
    return answer[0] if answer and (is_cut or code == 0) else None

"""Run tests in a copy of the project, in a pytest of their own, and read what became of them.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pytest_qeattention.similarity.fold.recorder import VARIABLE

_MOST_STARTS = 6
_USAGE_ERROR = 4


@dataclass(frozen=True, slots=True)
class Outcome:
    """Hold what became of one test case."""

    state: str
    """``passed``, ``failed``, ``error``, ``skipped``, ``xfailed``, ``xpassed`` or ``stopped``."""
    error: str | None = None
    """Name of the exception's type."""
    line: int | None = None
    """Line of the test's own code that it came through."""


@dataclass(slots=True)
class Run:
    """Hold what became of the tests of one run."""

    outcomes: dict[str, dict[str, Outcome]] = field(default_factory=dict)
    """By node id without and then with parameters, in the order of the run."""
    collect_errors: dict[str, str] = field(default_factory=dict)
    """By path of the file."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Why files skip themselves, by path."""
    problem: str | None = None
    """Why the run did not come to its end."""
    stopped: str | None = None
    """Node id of the test that was running then."""

    def of(self, nodeid: str) -> dict[str, Outcome]:
        """Return the outcomes of all cases of a test."""
        return self.outcomes.get(nodeid, {})


@dataclass(frozen=True, slots=True)
class Limits:
    """Bound what a run may take."""

    run_s: float
    test_s: float
    bytes: int = 0
    """Of memory; 0 for no bound."""


def run_tests(
    copy: Path, files: Sequence[str], wanted: Collection[str], environ: Mapping[str, str], limits: Limits
) -> Run:
    """Run the tests *wanted* of *files* (both relative to *copy*).

    A test that ends the process, or runs too long, is recorded as stopped; the others are run without it.
    """
    whole = Run()
    if not wanted:
        return whole
    options: tuple[str, ...] = ()
    end = time.monotonic() + limits.run_s
    for _ in range(_MOST_STARTS):
        over = [nodeid for found in whole.outcomes.values() for nodeid in found]
        seconds = max(end - time.monotonic(), 1.0)
        run = _run_once(copy, files, wanted, environ, options, replace(limits, run_s=seconds), over)
        if run.problem == _USAGE and not options:
            # Options in the ini file that need a plugin that is switched off here.
            options = ("-o", "addopts=")
            continue
        for nodeid, found in run.outcomes.items():
            whole.outcomes.setdefault(nodeid, {}).update(found)
        whole.collect_errors.update(run.collect_errors)
        whole.skipped.update(run.skipped)
        whole.problem = run.problem
        if run.problem is None or run.stopped is None or time.monotonic() >= end:
            break
        whole.outcomes.setdefault(run.stopped.partition("[")[0], {})[run.stopped] = Outcome("stopped")
    return whole


_USAGE = "pytest refused the project's options"


def _run_once(
    copy: Path,
    files: Sequence[str],
    wanted: Collection[str],
    environ: Mapping[str, str],
    options: Sequence[str],
    limits: Limits,
    over: Sequence[str],
) -> Run:
    folder = copy.parent
    listed, record, log = folder / "wanted.json", folder / "record.jsonl", folder / "log.txt"
    listed.write_text(json.dumps(sorted(wanted)), encoding="utf-8")
    record.unlink(missing_ok=True)
    command = [
        *(
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:randomly",
            "-p",
            __package__ + ".recorder",
        ),
        *("-n0", "--maxfail=0", f"--rootdir={copy}", "--continue-on-collection-errors", "--tb=no", "-q"),
        *options,
        *files,
    ]
    asked = {
        "wanted": str(listed),
        "record": str(record),
        "limit_s": limits.test_s,
        "limit_bytes": limits.bytes,
        "over": over,
    }
    given = {**environ, VARIABLE: json.dumps(asked)}
    given.pop("PYTEST_ADDOPTS", None)
    with open(log, "wb") as sink:
        process = subprocess.Popen(
            command,
            cwd=copy,
            env=given,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait(timeout=limits.run_s)
            problem = None
        except subprocess.TimeoutExpired:
            code, problem = -1, f"the run was stopped after {limits.run_s:.0f} s"
        finally:
            # Whatever the tests started goes with them.
            with contextlib.suppress(OSError):
                if hasattr(os, "killpg"):
                    os.killpg(process.pid, signal.SIGKILL)
                else:
                    process.kill()
            process.wait()
    run = _read_record(record)
    if problem is not None:
        run.problem = problem
    elif run.problem is not None:
        run.problem = _USAGE if code == _USAGE_ERROR else f"pytest ended with exit code {code}{_last_line(log)}"
    elif code == _USAGE_ERROR and not run.outcomes:
        run.problem = _USAGE
    return run


def _read_record(path: Path) -> Run:
    run = Run(problem="it left no record")
    phases: defaultdict[str, list[tuple[str, Outcome]]] = defaultdict(list)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return run
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if "done" in entry:
            run.problem = None
        elif "start" in entry:
            run.stopped = entry["start"]
        elif "skipped" in entry:
            run.skipped[entry["skipped"].partition("::")[0]] = entry["reason"]
        elif "collect" in entry:
            run.collect_errors[entry["collect"].partition("::")[0]] = entry["error"]
        else:
            phases[entry["nodeid"]].append((entry["when"], Outcome(entry["outcome"], entry["error"], entry["line"])))
    if run.problem is None:
        run.stopped = None
    elif run.stopped is not None:
        phases.pop(run.stopped, None)
    for nodeid, found in phases.items():
        run.outcomes.setdefault(nodeid.partition("[")[0], {})[nodeid] = _whole(found)
    return run


def _whole(phases: Sequence[tuple[str, Outcome]]) -> Outcome:
    """Return what the phases of one case come to: an error of setup or teardown outweighs the call."""
    for state in ("error", "failed"):
        for _, outcome in phases:
            if outcome.state == state:
                return outcome
    return next((outcome for when, outcome in phases if when == "call"), phases[-1][1])


def _last_line(log: Path) -> str:
    try:
        lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    except OSError:
        return ""
    return f" ({lines[-1].strip()[:200]})" if lines else ""

"""A plugin for the runs of a verification: keeps the tests that are asked for, and records what becomes of them.

Loaded by ``-p`` into a pytest that runs on a copy of the project. Every line is written as soon as its test is done,
so that a run that ends early has told what it knows.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
from types import FrameType, TracebackType
from typing import IO, Any

VARIABLE = "QE_FOLD_RECORD"
"""Names the environment variable with the paths of the list of tests and of the record."""


class TimeLimitExceeded(BaseException):
    """Ends a test that runs too long; no exception that a test would expect."""


class _State:
    limit_s: float = 0.0
    over: frozenset[str] = frozenset()
    wanted: frozenset[str] = frozenset()
    record: IO[str] | None = None
    failures: dict[tuple[str, str], tuple[str, int | None]]


_state = _State()


def pytest_configure(config: Any) -> None:
    """Read what is asked for."""
    paths = json.loads(os.environ[VARIABLE])
    with open(paths["wanted"], encoding="utf-8") as file:
        _state.wanted = frozenset(json.load(file))
    _state.limit_s = float(paths["limit_s"])
    _state.over = frozenset(paths["over"])
    if paths["limit_bytes"]:
        _limit_memory(int(paths["limit_bytes"]))
    _state.record = open(paths["record"], "a", encoding="utf-8")  # noqa: SIM115
    _state.failures = {}


def _write(entry: dict[str, Any]) -> None:
    if _state.record is not None:
        _state.record.write(json.dumps(entry) + "\n")
        _state.record.flush()


def pytest_collection_modifyitems(config: Any, items: list[Any]) -> None:
    """Leave the tests that are asked for."""
    kept: list[Any] = []
    gone: list[Any] = []
    for item in items:
        is_wanted = item.nodeid.partition("[")[0] in _state.wanted and item.nodeid not in _state.over
        (kept if is_wanted else gone).append(item)
    if gone:
        config.hook.pytest_deselected(items=gone)
        items[:] = kept


def pytest_collectreport(report: Any) -> None:
    """Record what could not be collected, or skips itself."""
    if report.skipped:
        _write({"skipped": report.nodeid, "reason": _skip_reason(report.longrepr)})
    if report.failed:
        lines = [line for line in str(report.longrepr).splitlines() if line.strip()]
        errors = [line[1:].strip() for line in lines if line.startswith("E ")]
        _write({"collect": report.nodeid, "error": (errors or lines or [""])[-1][:300]})


def _limit_memory(limit: int) -> None:
    """Bound what the tests may allocate, where the system can: a changed literal can make a list without end."""
    try:
        import resource
    except ImportError:
        return
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def pytest_runtest_logstart(nodeid: str) -> None:
    """Start the clock of a test, where the system has one; a test that does not heed it ends the process."""
    _write({"start": nodeid})
    faulthandler.dump_traceback_later(2 * _state.limit_s, exit=True)
    if hasattr(signal, "setitimer") and _state.limit_s:
        signal.signal(signal.SIGALRM, _stop)
        signal.setitimer(signal.ITIMER_REAL, _state.limit_s)


def pytest_runtest_logfinish() -> None:
    """Stop the clock."""
    faulthandler.cancel_dump_traceback_later()
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, 0)


def _stop(number: int, frame: FrameType | None) -> None:
    raise TimeLimitExceeded(f"more than {_state.limit_s:g} s")


def _skip_reason(longrepr: Any) -> str:
    # Path, line and "Skipped: reason".
    text = str(longrepr[2] if isinstance(longrepr, tuple) and len(longrepr) == 3 else longrepr)
    return text.removeprefix("Skipped: ").strip()[:200]


def pytest_runtest_makereport(item: Any, call: Any) -> None:
    """Note the error of a phase, and the line of the test's own code that it came through."""
    if call.excinfo is None:
        return
    name = getattr(item, "originalname", None) or item.name
    _state.failures[item.nodeid, call.when] = (
        call.excinfo.type.__name__,
        _line(call.excinfo.tb, str(item.path), name),
    )


def _line(traceback: TracebackType | None, path: str, name: str) -> int | None:
    found = None
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if code.co_name == name and os.path.basename(code.co_filename) == os.path.basename(path):
            found = traceback.tb_lineno
        traceback = traceback.tb_next
    return found


def pytest_runtest_logreport(report: Any) -> None:
    """Record a phase of a test, unless it passed without more to say."""
    if type(report).__name__ == "SubtestReport":
        # The test itself is reported as passed.
        if report.outcome != "failed":
            return
    elif type(report).__name__ != "TestReport":
        return
    if report.when != "call" and report.outcome == "passed":
        return
    error, line = _state.failures.pop((report.nodeid, report.when), (None, None))
    outcome = report.outcome
    if hasattr(report, "wasxfail"):
        outcome = "xfailed" if outcome == "skipped" else "xpassed"
    elif outcome == "failed" and report.when != "call":
        outcome = "error"
    _write({"nodeid": report.nodeid, "when": report.when, "outcome": outcome, "error": error, "line": line})


def pytest_unconfigure() -> None:
    """Say that the run came to its end."""
    _write({"done": True})
    if _state.record is not None:
        _state.record.close()
        _state.record = None

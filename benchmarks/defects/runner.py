"""Run tests on defects and keep each failure as a record: a pytest plugin for the environment of a project.

QE_DEFECT_RUN names a file with the request as JSON:

    {"root": directory of the project, "record": file to write, "mode": "learn", "forks" or "whole",
     "order": null or a seed to draw the order with,
     "tests": null or the node ids to run with "whole", "answer": file for what forks say,
     "cases": [{"path": file, "source": its text with the defect, "tests": node ids, "timeout": seconds or null}, ...],
     "most": stop after so many that a test notices, "seconds": stop after that time,
     "limit": seconds that one case may take, "most_bytes": memory that it may take}

``learn`` runs the tests once, traced, and writes which of them call each function of the project. ``forks`` collects
once and forks a process for each case, whose functions get the code of the changed source (benchmarks/quality's
forks.py). ``whole`` runs tests as pytest does, for defects that show while modules are imported.

Records are those that ``pytest --qe-defects`` makes: its recorder puts them on the reports, and is registered here.
"""

from __future__ import annotations

import inspect
import json
import os
import random
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any

import pytest
from _pytest.junitxml import LogXML

from pytest_qeattention.failures import PROBLEM_KEY, RECORD_KEY, RECORDER_NAME, FailureRecorder

if TYPE_CHECKING:
    from benchmarks.quality.forks import Forks, apply, run_tests
else:
    # In the environment of a project this package is not there, but a copy of the one file.
    from qe_forks import Forks, apply, run_tests

_PLACE = os.path.dirname(os.path.abspath(__file__))
_INSTALLED = os.path.dirname(os.path.dirname(os.path.abspath(pytest.__file__)))
LONGEST_TEXT = 100_000
MOST_INSTANCES = 25
"""Of a test with parameters, drawn to learn from: some have thousands."""
MOST_EVENTS = 200_000
"""Calls and returns of a test that are looked at: what loops for long would take minutes, and calls the same."""
TIMEOUT = "Timeout (>{}s) from pytest-timeout."
"""What pytest-timeout says of a test that it ends."""
Answer = tuple[str, list[dict[str, Any]], dict[str, int]]
"""How a case ended, its failures, and why others have no record."""


class Runner:
    """Take failures, and run cases in forks where these are asked for."""

    def __init__(self, request: dict[str, Any]) -> None:
        self._request = request
        self._root = os.path.realpath(request["root"])
        # A text names the directory as another machine would, by what is above the project.
        self._shown_root = "/".join(["", *Path(self._root).parts[-2:]])
        self._failures: list[dict[str, Any]] = []
        self._problems: Counter[str] = Counter()
        """Why failures are without a record."""
        self._document: dict[str, Any] = {"python": sys.version.split()[0], "pytest": pytest.__version__}
        self._timeout: float | None = None

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if self._request["order"] is not None:
            random.Random(self._request["order"]).shuffle(items)
            # Tests of one class keep together, and so of one module: fixtures of wide scope cost otherwise.
            at = {key: n for n, key in enumerate(dict.fromkeys(item.nodeid.rpartition("::")[0] for item in items))}
            items.sort(key=lambda item: at[item.nodeid.rpartition("::")[0]])
        if self._request["tests"] is not None:
            wanted = set(self._request["tests"])
            items[:] = [item for item in items if item.nodeid in wanted]
        if self._request["mode"] == "learn":
            drawn = random.Random(0).sample(items, len(items))
            instances: Counter[str] = Counter()
            left: set[pytest.Item] = set()
            for item in drawn:
                test = item.nodeid.partition("[")[0]
                instances[test] += 1
                if instances[test] <= MOST_INSTANCES:
                    left.add(item)
            items[:] = [item for item in items if item in left]

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._keep(report)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._keep(report)

    # Not around the test: a wrapper would be a frame of every traceback in full.
    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self) -> None:
        if self._timeout is not None:
            signal.signal(signal.SIGALRM, self._end)
            signal.setitimer(signal.ITIMER_REAL, self._timeout)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _end(self, number: int, frame: FrameType | None) -> None:
        __tracebackhide__ = True
        pytest.fail(TIMEOUT.format(self._timeout))

    def _keep(self, report: pytest.CollectReport | pytest.TestReport) -> None:
        if not report.failed:
            return
        record = report.__dict__.get(RECORD_KEY)
        if record is None:
            self._problems[str(report.__dict__.get(PROBLEM_KEY, "no record"))] += 1
            return
        crash = getattr(getattr(report.longrepr, "reprcrash", None), "message", None)
        self._failures.append(
            {
                "record": record,
                "text": self._shown(report.longreprtext)[-LONGEST_TEXT:],
                "crash": None if crash is None else self._shown(crash)[:LONGEST_TEXT],
                "junit": {name: self._shown(text)[:LONGEST_TEXT] for name, text in junit_case(report).items()},
            }
        )

    def _shown(self, text: str) -> str:
        # What lies beside this file is shown as if it were installed, as plugins are.
        return text.replace(self._root, self._shown_root).replace(_PLACE, _INSTALLED)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        mode = self._request["mode"]
        if mode == "whole":
            return None
        if mode == "learn":
            self._learn(session)
        else:
            self._cases(session)
        return True

    def _learn(self, session: pytest.Session) -> None:
        """Run all items once and note what they call."""
        inside = self._root + os.sep
        called: set[CodeType] = set()
        left = MOST_EVENTS

        def profile(frame: FrameType, event: str, _: object) -> None:
            nonlocal left
            left -= 1
            if not left:
                sys.setprofile(None)
            elif event == "call":
                called.add(frame.f_code)

        functions: defaultdict[tuple[str, str, int], list[int]] = defaultdict(list)
        items = []
        for number, (item, following) in enumerate(zip(session.items, [*session.items[1:], None], strict=True)):
            called.clear()
            left = MOST_EVENTS
            self._failures.clear()
            started = time.perf_counter()
            sys.setprofile(profile)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            sys.setprofile(None)
            seconds = time.perf_counter() - started
            passed = not self._failures and not self._problems
            self._problems.clear()
            items.append({"nodeid": item.nodeid, "passed": passed, "seconds": seconds})
            for code in called:
                path = code.co_filename
                if path.startswith(inside) and not code.co_name.startswith("<"):
                    functions[path[len(inside) :], code.co_name, code.co_firstlineno].append(number)
        self._failures.clear()
        rows = [{"path": p, "name": n, "line": at, "items": on} for (p, n, at), on in sorted(functions.items())]
        fixtures = [
            {"path": path[len(inside) :], "line": line}
            for path, line in sorted((code.co_filename, code.co_firstlineno) for code in fixtures_of(session))
            if path.startswith(inside)
        ]
        self._document |= {"items": items, "functions": rows, "fixtures": fixtures}

    def _cases(self, session: pytest.Session) -> None:
        request = self._request
        forks = Forks(Path(request["answer"]), limit=request["limit"], most_bytes=request["most_bytes"])
        by_name = {item.nodeid: item for item in session.items}
        started, noticed = time.monotonic(), 0
        results: list[dict[str, Any]] = []
        for case in request["cases"]:
            if noticed == request["most"] or time.monotonic() - started > request["seconds"]:
                break
            wanted = set(case["tests"])
            items = [item for name, item in by_name.items() if name in wanted]
            answer = forks.run(partial(self._tried, items, case))
            end, failures, problems = (answer, [], {}) if isinstance(answer, str) else answer
            noticed += bool(failures)
            self._problems.update(problems)
            results.append({"end": end, "failures": failures})
        self._document["cases"] = results

    def _tried(self, items: Sequence[pytest.Item], case: dict[str, Any]) -> Answer:
        """Run *items* on a case; called in a fork."""
        self._failures.clear()
        self._problems.clear()
        self._timeout = case["timeout"]
        if case["source"] is not None and not apply(os.path.join(self._root, case["path"]), case["source"]):
            return "can't be applied", [], {}
        run_tests(items)
        return "ran", self._failures, self._problems

    def pytest_unconfigure(self) -> None:
        document = {**self._document, "failures": self._failures, "problems": self._problems}
        Path(self._request["record"]).write_text(json.dumps(document), encoding="utf-8")


def junit_case(report: pytest.CollectReport | pytest.TestReport) -> dict[str, str]:
    """Return what pytest's JUnit file says of a failure: ``kind`` of element, ``classname``, ``name``, ``message``."""
    xml = LogXML("", None)
    if isinstance(report, pytest.TestReport):
        xml.pytest_runtest_logreport(report)
    else:
        xml.pytest_collectreport(report)
    case = xml.node_reporters_ordered[-1].to_xml()
    found = next(each for each in case if each.tag in ("failure", "error"))
    names = {name: case.get(name, "") for name in ("classname", "name")}
    return {"kind": found.tag, **names, "message": found.get("message", "")}


def fixtures_of(session: pytest.Session) -> set[CodeType]:
    """Return the code of the fixtures that tests of *session* use."""
    found: set[CodeType] = set()
    for item in session.items:
        known: Any = getattr(item, "_fixtureinfo", None)
        for definitions in getattr(known, "name2fixturedefs", {}).values():
            for definition in definitions:
                code = getattr(inspect.unwrap(definition.func), "__code__", None)
                if isinstance(code, CodeType):
                    found.add(code)
    return found


_REQUEST = os.environ.pop("QE_DEFECT_RUN", None)


def pytest_configure(config: pytest.Config) -> None:
    if _REQUEST is not None:
        request = json.loads(Path(_REQUEST).read_text(encoding="utf-8"))
        config.pluginmanager.register(FailureRecorder(config), RECORDER_NAME)
        config.pluginmanager.register(Runner(request), "qe-defect-runner")

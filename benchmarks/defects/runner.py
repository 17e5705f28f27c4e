"""Run tests on defects and keep each failure as a record: a pytest plugin for the environment of a project.

QE_DEFECT_RUN names a file with the request as JSON:

    {"root": directory of the project, "prefixes": names of its packages, "source": directories of its product,
     "record": file to write, "mode": "learn", "forks" or "whole", "order": null or a seed to draw the order with,
     "tests": null or the node ids to run with "whole", "answer": file for what forks say,
     "cases": [{"path": file, "source": its text with the defect, "tests": node ids, "timeout": seconds or null}, ...],
     "most": stop after so many that a test notices, "seconds": stop after that time,
     "limit": seconds that one case may take, "most_bytes": memory that it may take}

``learn`` runs all tests once, traced, and writes which of them call each function of the project. ``forks`` collects
once and forks a process for each case, whose functions get the code of the changed source (benchmarks/quality's
defect_runner.py). ``whole`` runs tests as pytest does, for defects that show while modules are imported.
"""

from __future__ import annotations

import gc
import json
import linecache
import os
import random
import resource
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Generator, Sequence
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import TYPE_CHECKING, Any

import pytest

from pytest_qeattention.defects.frames import Roles

if TYPE_CHECKING:
    from benchmarks.defects.live import TIMEOUT, Reader, fixtures_of, parameters_of
else:
    # In the environment of a project this package is not there, but a copy of the one file.
    from qe_live import TIMEOUT, Reader, fixtures_of, parameters_of

LONGEST_TEXT = 20_000


def codes_of(code: CodeType) -> Generator[CodeType]:
    """Yield *code* and all that is defined in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes_of(constant)


class Runner:
    """Take failures, and run cases in forks where these are asked for."""

    def __init__(self, request: dict[str, Any]) -> None:
        self._request = request
        self._root = os.path.realpath(request["root"])
        self._reader = Reader(Roles(self._root, (), request["prefixes"]), {})
        self._failures: list[dict[str, Any]] = []
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

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        report = yield
        call = getattr(report, "call", None)
        if report.failed and call is not None and call.excinfo is not None:
            self._keep(self._reader.of_collector(collector, call.excinfo.value).to_plain(), report)
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if report.failed and call.excinfo is not None:
            if not self._reader.fixtures:
                self._reader.fixtures = fixtures_of(item.session)
            self._keep(self._reader.of_item(item, call.when, call.excinfo.value).to_plain(), report)
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, None, None]:
        __tracebackhide__ = True
        if self._timeout is None:
            return (yield)
        seconds = self._timeout

        def end(number: int, frame: FrameType | None) -> None:
            __tracebackhide__ = True
            pytest.fail(f"{TIMEOUT}{seconds}s) from pytest-timeout.")

        signal.signal(signal.SIGALRM, end)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            return (yield)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _keep(self, record: dict[str, object], report: pytest.CollectReport | pytest.TestReport) -> None:
        text = report.longreprtext.replace(self._root, "")[-LONGEST_TEXT:]
        self._failures.append({"record": record, "text": text})

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        mode = self._request["mode"]
        if mode == "whole":
            return None
        self._reader.fixtures = fixtures_of(session)
        if mode == "learn":
            self._learn(session)
        else:
            self._cases(session)
        return True

    def _learn(self, session: pytest.Session) -> None:
        """Run all items once and note what they call."""
        called: set[CodeType] = set()

        def profile(frame: FrameType, event: str, _: object) -> None:
            if event == "call":
                called.add(frame.f_code)

        functions: defaultdict[tuple[str, str, int], list[int]] = defaultdict(list)
        items = []
        for number, (item, following) in enumerate(zip(session.items, [*session.items[1:], None], strict=True)):
            called.clear()
            self._failures.clear()
            started = time.perf_counter()
            sys.setprofile(profile)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            sys.setprofile(None)
            seconds = time.perf_counter() - started
            callspec = getattr(item, "callspec", None)
            items.append(
                {
                    "nodeid": item.nodeid,
                    "passed": not self._failures,
                    "seconds": seconds,
                    "fixtures": list(getattr(item, "fixturenames", ())),
                    "parameters": parameters_of(callspec.params) if callspec is not None else [],
                }
            )
            for code in called:
                path = code.co_filename
                if path.startswith(self._root + os.sep) and not code.co_name.startswith("<"):
                    functions[path[len(self._root) + 1 :], code.co_name, code.co_firstlineno].append(number)
        self._failures.clear()
        rows = [{"path": p, "name": n, "line": at, "items": on} for (p, n, at), on in sorted(functions.items())]
        fixtures = [
            {"path": os.path.relpath(code.co_filename, self._root), "line": code.co_firstlineno, "name": name}
            for code, name in self._reader.fixtures.items()
        ]
        self._document |= {"items": items, "functions": rows, "fixtures": fixtures}

    def _cases(self, session: pytest.Session) -> None:
        by_name = {item.nodeid: item for item in session.items}
        started, noticed = time.monotonic(), 0
        results: list[dict[str, Any]] = []
        for case in self._request["cases"]:
            if noticed == self._request["most"] or time.monotonic() - started > self._request["seconds"]:
                break
            wanted = set(case["tests"])
            items = [item for name, item in by_name.items() if name in wanted]
            end, failures = self._in_fork(items, case)
            noticed += bool(failures)
            results.append({"end": end, "failures": failures})
        self._document["cases"] = results

    def _in_fork(self, items: Sequence[pytest.Item], case: dict[str, Any]) -> tuple[str, list[dict[str, Any]]]:
        answer = Path(self._request["answer"])
        answer.unlink(missing_ok=True)
        child = os.fork()
        if not child:
            try:
                self._run(items, case, answer)
            finally:
                os._exit(0)
        deadline = time.monotonic() + self._request["limit"]
        while time.monotonic() < deadline:
            if os.waitpid(child, os.WNOHANG)[0]:
                break
            time.sleep(0.005)
        else:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return "did not end", []
        if not answer.is_file():
            return "ended early", []
        end, failures = json.loads(answer.read_text(encoding="utf-8"))
        return end, failures

    def _run(self, items: Sequence[pytest.Item], case: dict[str, Any], answer: Path) -> None:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_AS, (self._request["most_bytes"],) * 2)
        self._failures.clear()
        self._timeout = case["timeout"]
        end = "ran"
        if case["source"] is not None and not self._apply(os.path.join(self._root, case["path"]), case["source"]):
            end = "can't be applied"
        else:
            for item, following in zip(items, [*items[1:], None], strict=True):
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        part = answer.with_suffix(".part")
        part.write_text(json.dumps([end, self._failures]), encoding="utf-8")
        part.replace(answer)

    def _apply(self, path: str, source: str) -> bool:
        """Give the functions of the file *path* the code that they have in *source*; False where none could change."""
        codes = {(code.co_name, code.co_firstlineno): code for code in codes_of(compile(source, path, "exec"))}
        changed = False
        for function in gc.get_objects():
            if type(function) is FunctionType and function.__code__.co_filename == path:
                before = function.__code__
                code = codes.get((before.co_name, before.co_firstlineno))
                if code is None or code == before:
                    continue
                try:
                    function.__code__ = code
                except ValueError:
                    # It would close over other names than it does.
                    return False
                if before in self._reader.fixtures:
                    self._reader.fixtures[code] = self._reader.fixtures[before]
                changed = True
        linecache.cache[path] = (len(source), None, source.splitlines(keepends=True), path)
        return changed

    def pytest_unconfigure(self) -> None:
        document = {**self._document, "failures": self._failures}
        Path(self._request["record"]).write_text(json.dumps(document), encoding="utf-8")


_REQUEST = os.environ.pop("QE_DEFECT_RUN", None)


def pytest_configure(config: pytest.Config) -> None:
    if _REQUEST is not None:
        request = json.loads(Path(_REQUEST).read_text(encoding="utf-8"))
        config.pluginmanager.register(Runner(request), "qe-defect-runner")

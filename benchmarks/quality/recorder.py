"""Record what each test of a project executes, and how it ends: a pytest plugin that needs coverage.py only to trace.

It runs in the environment of that project, apart from this one: ``-p recorder``, with the folder of a copy of this file
on PYTHONPATH and QE_RECORDER naming a file with the request as JSON:

    {"root": directory of the project, "record": file to write, "source": directories whose files count as the product,
     "trace": whether to record executed lines, "data": file for coverage.py, "apart": names of folders
     whose files count for no frame of a failure}

The record is JSON: ``items`` with the place of each test function as it is written (all instances of a function have
one place; with --collect-only they do not run), ``lines`` with the lines of each file that ran while a place's tests
did, setup and teardown included, and ``failures`` of the calls of tests.
"""

from __future__ import annotations

import inspect
import json
import os
import platform
from collections import defaultdict
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

LAST_LINES = 12
"""Of a traceback's text; what comes before them is most often the source of the test."""
MOST_CHARACTERS = 2000


def written_place(item: pytest.Item) -> tuple[str, int, str]:
    """Return file, first line (of decorators or ``def``) and qualified name of the function that was written."""
    function: Any = getattr(item, "obj", None)
    function = getattr(function, "__func__", function)
    inner = getattr(getattr(function, "hypothesis", None), "inner_test", None)
    function = inspect.unwrap(inner if inspect.isfunction(inner) else function) if callable(function) else None
    code = getattr(function, "__code__", None)
    if code is None:
        return str(item.path), 0, item.name
    return os.path.abspath(code.co_filename), code.co_firstlineno, function.__qualname__


class Recorder:
    """Trace tests one by one."""

    def __init__(self, request: dict[str, Any]) -> None:
        self.request = request
        self.root = Path(request["root"])
        self.failures: list[dict[str, Any]] = []
        self.defects: list[dict[str, Any]] = []
        """Filled by defect_runner.py."""
        self._source = [str(self.root / place) + os.sep for place in request["source"]]
        self._apart = set(request["apart"])
        self._record = Path(request["record"])
        self._items: list[dict[str, Any]] = []
        self._not_collected: list[str] = []
        self._places: dict[tuple[str, int, str], int] = {}
        self._coverage: Any = None
        self._version = None
        if request["trace"]:
            import coverage

            self._version = coverage.__version__
            self._coverage = coverage.Coverage(
                data_file=request["data"],
                config_file=False,
                source=[str(self.root / place) for place in request["source"]],
            )
            self._coverage.set_option("run:core", "ctrace")
            self._coverage.start()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        if session.config.option.collectonly:
            for item in session.items:
                self._add(item)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> None:
        at = self._add(item)
        # Between two tests nothing of the product runs; a change of context costs a write.
        if self._coverage is not None and (len(self._items) < 2 or self._items[-2]["at"] != at):
            self._coverage.switch_context(str(at))

    def _add(self, item: pytest.Item) -> int:
        path, line, name = place = written_place(item)
        at = self._places.setdefault(place, len(self._places))
        self._items.append(
            {"nodeid": item.nodeid, "path": self._relative(path), "line": line, "name": name, "at": at, "outcomes": []}
        )
        return at

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        self._items[-1]["outcomes"].append(
            f"{report.when}:{'xfailed' if hasattr(report, 'wasxfail') else report.outcome}"
        )
        if report.failed and call.excinfo is not None:
            self.failures.append({"nodeid": item.nodeid, **self._failure(call.excinfo, report)})
        return report

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._not_collected.append(report.nodeid)

    def _failure(self, raised: pytest.ExceptionInfo[BaseException], report: pytest.TestReport) -> dict[str, Any]:
        frames = []
        for entry in raised.traceback:
            code = entry.frame.code.raw
            path = os.path.abspath(code.co_filename)
            if path.startswith(tuple(self._source)) and self._apart.isdisjoint(self._relative(path).split("/")):
                qualname = getattr(code, "co_qualname", code.co_name)
                frames.append({"path": self._relative(path), "qualname": qualname, "line": entry.lineno + 1})
        return {
            "when": report.when,
            "type": f"{raised.type.__module__}.{raised.type.__qualname__}",
            "message": str(raised.value)[:MOST_CHARACTERS],
            "traceback": "\n".join(report.longreprtext.splitlines()[-LAST_LINES:])[-MOST_CHARACTERS:],
            "frames": frames,
        }

    def pytest_unconfigure(self) -> None:
        lines: defaultdict[str, dict[str, list[int]]] = defaultdict(dict)
        if self._coverage is not None:
            self._coverage.stop()
            data = self._coverage.get_data()
            for path in sorted(data.measured_files()):
                by_context: defaultdict[str, list[int]] = defaultdict(list)
                for line, contexts in sorted(data.contexts_by_lineno(path).items()):
                    for context in contexts:
                        if context:
                            by_context[context].append(line)
                lines[self._relative(path)] = by_context
        document = {
            "python": platform.python_version(),
            "pytest": pytest.__version__,
            "coverage": self._version,
            "not_collected": self._not_collected,
            "items": self._items,
            "lines": lines,
            "failures": self.failures,
            "defects": self.defects,
        }
        self._record.write_text(json.dumps(document), encoding="utf-8")

    def _relative(self, path: str) -> str:
        try:
            return Path(path).resolve().relative_to(self.root.resolve()).as_posix()
        except ValueError:
            return Path(path).as_posix()


def pytest_configure(config: pytest.Config) -> None:
    if _RECORDER is not None:
        config.pluginmanager.register(_RECORDER, "qe-recorder")


# Tracing starts when pytest loads this file, before it loads what imports the project.
_REQUEST = os.environ.pop("QE_RECORDER", None)
_RECORDER = Recorder(json.loads(Path(_REQUEST).read_text(encoding="utf-8"))) if _REQUEST else None

"""Run tests on defects of the product: a pytest plugin that stands beside recorder.py in the environment of a project.

pytest collects the tests once. For each defect a process is forked, its functions get the code that the changed source
has, and the tests asked for run there. Tests first run without a defect, each once: what fails then is left out. The
request of recorder.py has in ``defects`` what this needs:

    {"cases": [{"path": file, "source": its text with the defect, "tests": node ids without parameters}, ...],
     "most": stop after so many that two tests notice, "seconds": stop after that time,
     "limit": seconds that one may take, "most_bytes": of memory that it may take}

Its record gets ``defects``: for each that was tried ``end``, and the ``failures`` of its tests. Code that runs when a
module is imported stays as it was, and lines keep their numbers as long as *source* keeps its lines.
"""

from __future__ import annotations

import gc
import json
import linecache
import os
import resource
import signal
import time
import types
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from benchmarks.quality.recorder import Recorder


def codes_of(code: types.CodeType) -> Iterator[types.CodeType]:
    """Yield *code* and all that is defined in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from codes_of(constant)


def apply(path: str, source: str) -> bool:
    """Give the functions of the file *path* the code that they have in *source*; False where none could change."""
    codes = {(code.co_name, code.co_firstlineno): code for code in codes_of(compile(source, path, "exec"))}
    changed = False
    for function in gc.get_objects():
        if type(function) is types.FunctionType and os.path.abspath(function.__code__.co_filename) == path:
            code = codes.get((function.__code__.co_name, function.__code__.co_firstlineno))
            if code is not None and code != function.__code__:
                try:
                    function.__code__ = code
                except ValueError:
                    # It would close over other names than it does.
                    return False
                changed = True
    linecache.cache[path] = (len(source), None, source.splitlines(keepends=True), path)
    return changed


class DefectRunner:
    """Run tests in forks instead of pytest's own loop."""

    def __init__(self, recorder: Recorder, request: dict[str, Any]) -> None:
        self._recorder = recorder
        self._request = request
        self._answer = Path(request["answer"])
        self._passes: dict[pytest.Item, bool] = {}

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items: defaultdict[str, list[pytest.Item]] = defaultdict(list)
        for item in session.items:
            items[item.nodeid.partition("[")[0]].append(item)
        started, noticed = time.monotonic(), 0
        for case in self._request["cases"]:
            if noticed == self._request["most"] or time.monotonic() - started > self._request["seconds"]:
                break
            asked = [item for nodeid in case["tests"] for item in items.get(nodeid, ())]
            self._learn([item for item in asked if item not in self._passes])
            end, failures = self._in_fork([item for item in asked if self._passes[item]], case)
            noticed += len({failure["nodeid"].partition("[")[0] for failure in failures}) > 1
            self._recorder.defects.append({"end": end, "failures": failures})
        return True

    def _learn(self, items: Sequence[pytest.Item]) -> None:
        """Find out which of *items* pass without a defect."""
        end, failures = self._in_fork(items, None)
        failed = {failure["nodeid"] for failure in failures}
        for item in items:
            self._passes[item] = end == "ran" and item.nodeid not in failed

    def _in_fork(self, items: Sequence[pytest.Item], case: dict[str, Any] | None) -> tuple[str, list[dict[str, Any]]]:
        """Run *items* in a fork; returns how that ended, and their failures."""
        self._answer.unlink(missing_ok=True)
        child = os.fork()
        if not child:
            try:
                self._run(items, case)
            finally:
                os._exit(0)
        deadline = time.monotonic() + self._request["limit"]
        while time.monotonic() < deadline:
            if os.waitpid(child, os.WNOHANG)[0]:
                break
            time.sleep(0.01)
        else:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return "did not end", []
        if not self._answer.is_file():
            return "ended early", []
        end, failures = json.loads(self._answer.read_text(encoding="utf-8"))
        return end, failures

    def _run(self, items: Sequence[pytest.Item], case: dict[str, Any] | None) -> None:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_AS, (self._request["most_bytes"],) * 2)
        self._recorder.failures.clear()
        end = "ran"
        if case is not None and not apply(str(self._recorder.root / case["path"]), case["source"]):
            end = "can't be applied"
        else:
            for item, following in zip(items, [*items[1:], None], strict=True):
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        part = self._answer.with_suffix(".part")
        part.write_text(json.dumps([end, self._recorder.failures]), encoding="utf-8")
        part.replace(self._answer)


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    recorder: Any = config.pluginmanager.get_plugin("qe-recorder")
    config.pluginmanager.register(DefectRunner(recorder, recorder.request["defects"]))

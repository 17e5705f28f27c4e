"""Run tests on defects of the product: a pytest plugin that stands beside recorder.py in the environment of a project.

pytest collects the tests once. For each defect a process is forked, its functions get the code that the changed source
has, and the tests asked for run there. Tests first run without a defect, each once: what fails then is left out. The
request of recorder.py has in ``defects`` what this needs:

    {"cases": [{"path": file, "source": its text with the defect, "tests": node ids without parameters}, ...],
     "most": stop after so many that two tests notice, "seconds": stop after that time,
     "limit": seconds that one may take, "most_bytes": of memory that it may take}

Its record gets ``defects``: for each that was tried ``end``, and the ``failures`` of its tests.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from benchmarks.quality.forks import Forks, apply, run_tests
    from benchmarks.quality.recorder import Recorder
else:
    # In the environment of a project this package is not there, but a copy of the one file.
    from qe_forks import Forks, apply, run_tests


class DefectRunner:
    """Run tests in forks instead of pytest's own loop."""

    def __init__(self, recorder: Recorder, request: dict[str, Any]) -> None:
        self._recorder = recorder
        self._request = request
        self._forks = Forks(Path(request["answer"]), limit=request["limit"], most_bytes=request["most_bytes"])
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
        answer = self._forks.run(lambda: self._run(items, case))
        if isinstance(answer, str):
            return answer, []
        end, failures = answer
        return end, failures

    def _run(self, items: Sequence[pytest.Item], case: dict[str, Any] | None) -> tuple[str, list[dict[str, Any]]]:
        self._recorder.failures.clear()
        if case is not None and not apply(str(self._recorder.root / case["path"]), case["source"]):
            return "can't be applied", []
        run_tests(items)
        return "ran", self._recorder.failures


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    recorder: Any = config.pluginmanager.get_plugin("qe-recorder")
    config.pluginmanager.register(DefectRunner(recorder, recorder.request["defects"]))

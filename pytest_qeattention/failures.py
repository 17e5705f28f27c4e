"""The recorder of failures: what ``--qe-defects`` registers in every process of a run.

A failure becomes a record at once, while its exception lives, and travels on its report in builtin types, so that it
survives pytest-xdist and workers that crash. Nothing is imported or read before the first failure.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_qeattention.contributions import FAILURES

if TYPE_CHECKING:
    from pytest_qeattention.defects.record import FailureRecord
    from pytest_qeattention.live.record import LiveRecords

RECORDER_NAME = "qeattention-failures"
RECORD_KEY = "qeattention_failure"
"""Attribute of a report: the record as plain data."""
PROBLEM_KEY = "qeattention_failure_problem"
"""Attribute of a report: why there is no record."""


class FailureRecorder:
    """Put the record of every failure on its report."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._live: LiveRecords | None = None
        self._while_collecting: LiveRecords | None = None

    # Outermost, so that the outcome is the one that other plugins leave.
    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[Any]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if getattr(report, "outcome", None) == "failed":
            self._put(report, lambda: self._of_tests(item.session).of_test(item, call, report))
        return report

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        report = yield
        if getattr(report, "outcome", None) == "failed":
            excinfo = getattr(report.__dict__.get("call"), "excinfo", None)
            if excinfo is not None:
                self._put(report, lambda: self._of_files().of_collector(collector, excinfo.value))
        return report

    def _put(self, report: pytest.TestReport | pytest.CollectReport, make: Callable[[], FailureRecord]) -> None:
        try:
            report.__dict__[RECORD_KEY] = make().to_plain()
        except FAILURES as error:
            frames = traceback.extract_tb(error.__traceback__)
            place = f", {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
            report.__dict__[PROBLEM_KEY] = f"{type(error).__name__}{place}"

    def _of_files(self) -> LiveRecords:
        """Return what records failures to collect; until all is collected the names of files tell which have tests."""
        if self._while_collecting is None:
            self._while_collecting = self._records(())
        return self._while_collecting

    def _of_tests(self, session: pytest.Session) -> LiveRecords:
        """Return what records the failures of tests, all of which are known by then."""
        if self._live is None:
            # Doctests and items of linters lie in files of the product.
            functions = (item for item in session.items if isinstance(item, pytest.Function))
            self._live = self._records(sorted({str(item.path) for item in functions}))
        return self._live

    def _records(self, test_files: Sequence[str]) -> LiveRecords:
        from pytest_qeattention.live.record import LiveRecords

        return LiveRecords(self._config, test_files)

"""The object that a run with ``--qe-defects`` registers where it reports: in the only process, or on the controller.

Takes the records that reports bring, and says when the session is over which causes are behind the failures. A
failure of ours costs one warning and the report; the exit code never changes.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Generator, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_qeattention.contributions import FAILURES
from pytest_qeattention.exceptions import failure_of, warn
from pytest_qeattention.failures import PROBLEM_KEY, RECORD_KEY, RECORDER_NAME, FailureRecorder
from pytest_qeattention.report.lines import Line
from pytest_qeattention.settings import Settings, cache_directory, read_settings
from pytest_qeattention.wording import counted

if TYPE_CHECKING:
    from pytest_qeattention.defects.frames import Roles
    from pytest_qeattention.defects.model import DefectsReport
    from pytest_qeattention.defects.record import FailureRecord
    from pytest_qeattention.defects_memory import Memory

PLUGIN_NAME = "qeattention-defects"

_NOTHING_TO_REPORT = (pytest.ExitCode.INTERNAL_ERROR, pytest.ExitCode.USAGE_ERROR)
_OF_SUBTESTS = re.compile(r"contains \d+ failed subtests?")


def register(config: pytest.Config) -> None:
    """Register what this process needs: the recorder, and the session object where it reports."""
    settings = None if hasattr(config, "workerinput") else read_settings(config)
    config.pluginmanager.register(FailureRecorder(config), RECORDER_NAME)
    if settings is not None:
        config.pluginmanager.register(DefectsSession(config, settings), PLUGIN_NAME)


class DefectsSession:
    """Collect the failures of a session, and report their causes."""

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self._config = config
        self._settings = settings
        self._failed: list[tuple[FailureRecord, bool]] = []
        """Each with whether it is that of a subtest."""
        self._collectors: set[str] = set()
        self._passed: list[str] = []
        """Node ids of tests with parameters."""
        self._problems: dict[str, int] = {}
        self._roles: Roles | None = None
        self._notices: list[str] = []
        self._memory: Memory | None = None
        self._report: DefectsReport | None = None
        self._part: dict[str, Any] | None = None
        self._is_done = False
        self._is_written = False
        self._has_failed = False

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.outcome == "failed":
            self._take(report)
        elif report.outcome == "passed" and report.when == "call" and report.nodeid.endswith("]"):
            self._passed.append(report.nodeid)

    @pytest.hookimpl
    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        # Every worker collects the whole suite, and reports what it could not.
        if report.outcome == "failed" and report.nodeid not in self._collectors:
            self._collectors.add(report.nodeid)
            self._take(report)

    # Around all others, so that no worker runs any more; within the terminal's, which then writes the summary.
    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, exitstatus: int) -> Generator[None, object, object]:
        result = yield
        # Without failures there is a report only where a document is to hold it.
        if exitstatus not in _NOTHING_TO_REPORT and (self._failed or self._settings.json is not None):
            self.part()
            if self._settings.json is not None and not self._is_written:
                self._write(self._settings.json)
        return result

    @pytest.hookimpl
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        verbosity = self._config.get_verbosity()
        lines = [Line.plain(notice) for notice in self._notices]
        if self._report is not None and self._report.records:
            lines.extend(self._lines(self._report, verbosity))
        if lines and verbosity >= 0:
            terminalreporter.section("causes of failures")
        for line in lines:
            for span in line.spans:
                terminalreporter.write(span.text, **dict.fromkeys(span.markup, True))
            terminalreporter.line("")

    def part(self) -> dict[str, Any] | None:
        """Return the part of the JSON document, which from now on another one writes; None where there is no report.

        Failures are grouped when it is first asked for.
        """
        if not self._is_done:
            self._is_done = True
            try:
                from pytest_qeattention.report.defects import defects_part

                report = self._analysed()
                self._part = defects_part(report)
                if self._memory is not None:
                    self._memory.add_dates(self._part)
                self._report = report
            except FAILURES as error:
                self._fail(error)
        return self._part

    def written(self) -> None:
        """Take in that the JSON document is written."""
        self._is_written = True

    def _take(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        try:
            self._failed.append((self._record(report), getattr(report, "context", None) is not None))
        except FAILURES as error:
            self._fail(error)

    def _record(self, report: pytest.TestReport | pytest.CollectReport) -> FailureRecord:
        from pytest_qeattention.defects.record import FailureRecord

        problem = report.__dict__.get(PROBLEM_KEY)
        if problem is not None:
            self._problems[str(problem)] = self._problems.get(str(problem), 0) + 1
        plain = report.__dict__.pop(RECORD_KEY, None)
        if plain is None:
            from pytest_qeattention.told_record import told_record

            record = told_record(report, self._known_roles(), _environment())
        else:
            record = FailureRecord.from_plain(plain)
        return _with_subtest(record, getattr(report, "context", None))

    def _known_roles(self) -> Roles:
        if self._roles is None:
            from pytest_qeattention.defects.frames import Roles
            from pytest_qeattention.live_record import package_names

            self._roles = Roles(self._config.rootpath, (), package_names(self._config.rootpath))
        return self._roles

    def _analysed(self) -> DefectsReport:
        from pytest_qeattention.defects.model import DefectsReport

        records = self._records()
        problems = tuple(
            f"{counted(count, 'failure')} {'is' if count == 1 else 'are'} known by {'its' if count == 1 else 'their'} "
            f"text alone: reading the exception failed ({reason})"
            for reason, count in sorted(self._problems.items())
        )
        if not records:
            return DefectsReport((), (), problems=problems, knowledge="empty")
        from pytest_qeattention.defects.grouping import causes_of
        from pytest_qeattention.defects_memory import Memory

        causes = causes_of(records, passed=passed_parameters(records, self._passed))
        store = self._settings.store
        self._memory = Memory(self._config.rootpath, store, cache_directory(self._config, store))
        report = self._memory.matched(DefectsReport(records, causes, problems=problems))
        self._memory.keep(report)
        for problem in self._memory.problems:
            self._warn(f"qe-defects: {problem}")
        return report

    def _records(self) -> tuple[FailureRecord, ...]:
        """Return the records in an order that no distribution of tests changes."""
        from pytest_qeattention.defects.record import PHASES

        with_subtests = {record.nodeid for record, is_subtest in self._failed if is_subtest}
        kept = [
            record
            for record, is_subtest in self._failed
            if is_subtest or record.nodeid not in with_subtests or not _is_of_subtests(record)
        ]
        return tuple(sorted(kept, key=lambda record: (record.nodeid, PHASES.index(record.phase))))

    def _lines(self, report: DefectsReport, verbosity: int) -> list[Line]:
        from pytest_qeattention.report.defects import defects_lines

        preventions: dict[str, str] = {}
        if verbosity > 0 and any(cause.families for cause in report.causes):
            from pytest_qeattention.defects.families import catalogue

            preventions = {family.title: family.prevention for family, _ in catalogue().entries}
        more = "-v shows all, --qe-json=PATH writes all"
        is_kept = self._memory is not None and self._memory.is_kept
        seen = {} if self._memory is None else self._memory.texts()
        return defects_lines(
            report, verbosity=verbosity, preventions=preventions, more=more, is_kept=is_kept, seen=seen
        )

    def _write(self, path: str) -> None:
        from pytest_qeattention.store import OutputError, write_atomically

        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if path == "-" and reporter is not None:
            reporter.ensure_newline()
        try:
            from pytest_qeattention.information import backend_info
            from pytest_qeattention.report.document import document, dumps

            text = dumps(document(backend=backend_info(), defects=self._part, defects_failed=self._part is None))
            write_atomically(path, text)
        except OutputError as error:
            self._warn(f"qe-defects: {error}; the run goes on without that file")
        except FAILURES as error:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if self._has_failed:
            return
        self._has_failed = True
        self._warn(failure_of("qe-defects", error))

    def _warn(self, message: str) -> None:
        # Also in our section: warnings may be filtered, or switched off with -p no:warnings.
        self._notices.append(message)
        warn(self._config, message)


def passed_parameters(
    records: Iterable[FailureRecord], passed: Iterable[str]
) -> dict[tuple[str, str], dict[tuple[str, str], int]]:
    """Count the tests that *passed*, node ids, by function and by parameter, for the functions that failed as well.

    The names of parameters are those of the failures of the function, their texts the parts of the id; an id that has
    not a part for each name is left out.
    """
    functions: dict[str, tuple[tuple[str, str], tuple[str, ...]]] = {}
    for record in records:
        address, bracket, _ = record.nodeid.partition("[")
        if bracket:
            names = tuple(name for name, _ in record.test.parameters)
            functions.setdefault(address, ((record.test.path, record.test.qualname), names))
    found: dict[tuple[str, str], dict[tuple[str, str], int]] = {}
    for nodeid in passed:
        address, _, parts = nodeid.partition("[")
        if address not in functions:
            continue
        function, names = functions[address]
        texts = parts.removesuffix("]").split("-")
        if len(texts) != len(names):
            continue
        counts = found.setdefault(function, {})
        for pair in zip(names, texts, strict=True):
            counts[pair] = counts.get(pair, 0) + 1
    return found


def _environment() -> dict[str, str]:
    return {"python": platform.python_version(), "platform": sys.platform}


def _with_subtest(record: FailureRecord, context: object) -> FailureRecord:
    """Add what a subtest was given to the parameters of its test."""
    given = getattr(context, "kwargs", None)
    message = getattr(context, "msg", None)
    parameters = [(str(name), str(text)) for name, text in given.items()] if isinstance(given, dict) else []
    if isinstance(message, str):
        parameters.append(("subtest", message))
    if not parameters:
        return record
    from pytest_qeattention.defects.facts import safe_parameter

    added = tuple(safe_parameter(name, text) for name, text in parameters)
    return replace(record, test=replace(record.test, parameters=(*record.test.parameters, *added)))


def _is_of_subtests(record: FailureRecord) -> bool:
    """Tell whether a test failed for its subtests alone, which are failures of their own."""
    return len(record.chain) == 1 and _OF_SUBTESTS.fullmatch(record.chain[0].message) is not None

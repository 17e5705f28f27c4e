"""The object that a run with ``--qe-defects`` registers where it reports: in the only process, or on the controller.

Takes the records that reports bring, and says when the session is over which causes are behind the failures. A
failure of ours costs one warning and the report; the exit code changes only where --qe-known-ok asks for it.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Generator, Iterable
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest

from pytest_qeattention.contributions import FAILURES
from pytest_qeattention.defects_files import DefectsFiles, part_of
from pytest_qeattention.exceptions import failure_of, warn
from pytest_qeattention.failures import PROBLEM_KEY, RECORD_KEY, RECORDER_NAME, FailureRecorder
from pytest_qeattention.report.lines import Line
from pytest_qeattention.settings import Settings, cache_directory, read_settings
from pytest_qeattention.wording import counted

if TYPE_CHECKING:
    from pytest_qeattention.defects.frames import Roles
    from pytest_qeattention.defects.gate import Judgement
    from pytest_qeattention.defects.model import DefectsReport
    from pytest_qeattention.defects.record import FailureRecord
    from pytest_qeattention.defects_memory import Memory
    from pytest_qeattention.outputs import FoundCauses
    from pytest_qeattention.report.causes import Beside
    from pytest_qeattention.revision import Revision

PLUGIN_NAME = "qeattention-defects"
_SIMILAR_NAME = "qeattention-similar"

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
        self._revision: Revision | None = None
        """Asked for at the first failure."""
        self._notices: list[str] = []
        self._memory: Memory | None = None
        self._report: DefectsReport | None = None
        self._beside: Beside | None = None
        self._files = DefectsFiles(config, settings, self._warn, self._fail)
        self._session: pytest.Session | None = None
        self._reported = 0
        """Failed reports, as pytest counts them."""
        self._is_done = False
        self._has_failed = False

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.outcome == "failed":
            self._reported += not hasattr(report, "wasxfail")
            self._take(report)
        elif report.outcome == "passed" and report.when == "call" and report.nodeid.endswith("]"):
            self._passed.append(report.nodeid)

    @pytest.hookimpl
    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.outcome != "failed":
            return
        self._reported += not hasattr(report, "wasxfail")
        # Every worker collects the whole suite, and reports what it could not.
        if report.nodeid not in self._collectors:
            self._collectors.add(report.nodeid)
            self._take(report)

    # Around all others, so that no worker runs any more; within the terminal's, which then writes the summary.
    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> Generator[None, object, object]:
        self._session = session
        result = yield
        # Without failures there is a report only where a file is to hold it.
        if exitstatus not in _NOTHING_TO_REPORT and (self._failed or self._files.are_asked_for):
            self._files.write(self._found())
            self._open_gate(session)
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
        """Return the part of the JSON document, which from now on another one writes; None where there is no report."""
        self._files.has_json = True
        return part_of(self._found())

    def causes(self) -> FoundCauses:
        """Return what is to be reported in other files than the JSON, which from now on another one writes."""
        self._files.has_others = True
        return self._found()

    def _found(self) -> FoundCauses:
        """Group the failures, and look up what is known of them, when that is first asked for."""
        from pytest_qeattention.outputs import FoundCauses
        from pytest_qeattention.report.causes import Beside

        if not self._is_done:
            self._is_done = True
            try:
                report = self._analysed()
                beside = Beside(store=self._shown_store())
                if self._memory is not None:
                    memory = self._memory
                    beside = replace(beside, seen=memory.seen, urls=memory.urls, is_kept=memory.is_kept)
                if self._settings.known_ok and report.records:
                    beside = replace(beside, judgement=self._judged(report))
                self._beside, self._report = beside, report
            except FAILURES as error:
                self._fail(error)
        return FoundCauses(self._report, self._beside or Beside())

    def _judged(self, report: DefectsReport) -> Judgement:
        from pytest_qeattention.defects.gate import judge

        knowledge = None if self._memory is None else self._memory.knowledge
        return judge(report, knowledge, datetime.now(timezone.utc).date(), obstacle=self._obstacle())

    def _obstacle(self) -> str | None:
        """Say what keeps the run from passing whatever its failures are."""
        session = self._session
        if session is None or session.exitstatus != pytest.ExitCode.TESTS_FAILED:
            code = None if session is None else int(session.exitstatus)
            return f"the exit code is {code}, and only 1, that of failed tests, can become 0"
        if session.shouldfail or session.shouldstop:
            return "the run was stopped before all tests had run"
        if session.testsfailed != self._reported:
            return (
                f"pytest counts {counted(session.testsfailed, 'failure')}, and {self._reported} came with a report, so "
                "something else has failed"
            )
        similar = self._config.pluginmanager.get_plugin(_SIMILAR_NAME)
        verdict = None if similar is None else similar.verdict()
        return None if verdict is None else str(verdict)

    def _open_gate(self, session: pytest.Session) -> None:
        """Set the exit code to 0 where the gate lets the run pass, last of all."""
        beside = self._beside
        if beside is None or beside.judgement is None or not beside.judgement.is_passed:
            return
        obstacle = self._obstacle()
        if obstacle is None:
            session.exitstatus = pytest.ExitCode.OK
        else:
            self._beside = replace(beside, judgement=replace(beside.judgement, reason=obstacle))

    def _shown_store(self) -> str | None:
        """Return the store as a command takes it where pytest was called."""
        store, base = self._settings.store, self._config.invocation_params.dir
        if store is None:
            return None
        return str(store.relative_to(base)) if store.is_relative_to(base) else str(store)

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
            from pytest_qeattention.live.told import told_record

            record = told_record(report, self._known_roles(), _environment())
        else:
            record = FailureRecord.from_plain(plain)
        if self._revision is None:
            from pytest_qeattention.revision import revision_of

            self._revision = revision_of(self._config.rootpath)
        record = replace(record, revision=self._revision.commit, changed=self._revision.changed)
        return _with_subtest(record, getattr(report, "context", None))

    def _known_roles(self) -> Roles:
        if self._roles is None:
            from pytest_qeattention.defects.frames import Roles
            from pytest_qeattention.live.record import package_names

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
        from pytest_qeattention.defects.families import catalogue
        from pytest_qeattention.defects.grouping import causes_of
        from pytest_qeattention.defects_memory import Memory

        problems = (*problems, *filter(None, [catalogue().problem]))
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
        from pytest_qeattention.report.defects import WIDTH, defects_lines

        preventions: dict[str, str] = {}
        if verbosity > 0 and any(cause.families for cause in report.causes):
            from pytest_qeattention.defects.families import catalogue

            preventions = {family.title: family.prevention for family, _ in catalogue().entries}
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        width = self._config.get_terminal_writer().fullwidth
        return defects_lines(
            report,
            verbosity=verbosity,
            preventions=preventions,
            more="-v shows all, --qe-json=PATH writes all",
            beside=self._found().beside,
            # Logs and files are wider than the columns that are assumed of them.
            width=width if getattr(reporter, "isatty", False) else max(width, WIDTH),
        )

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

"""The object that a run with ``--qe-similar`` registers, and its hooks.

Collects, analyses when the session is over, writes the JSON, and leaves the terminal report to the summary. A
failure of ours costs one warning and the report; the exit code changes only where --qe-fail-on asks for it.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_qeattention import xdist
from pytest_qeattention.contributions import BUILTIN, FAILURES, Contribution, Contributions
from pytest_qeattention.defects_session import PLUGIN_NAME as DEFECTS_NAME
from pytest_qeattention.exceptions import failure_of, warn
from pytest_qeattention.items import sourceless_problems
from pytest_qeattention.report.lines import Line
from pytest_qeattention.report.terminal import Section, similar_lines
from pytest_qeattention.settings import Settings, cache_directory, read_policy, read_settings
from pytest_qeattention.similarity.model import Group, SimilarReport
from pytest_qeattention.similarity.policy import Policy

if TYPE_CHECKING:
    from pytest_qeattention.junit import JUnitRecorder
    from pytest_qeattention.similarity.suite import Suite
    from pytest_qeattention.similarity.workload import Request, Workload

PLUGIN_NAME = "qeattention-similar"

# Exit codes after which there is no suite worth reporting on.
_NOTHING_TO_REPORT = (pytest.ExitCode.INTERNAL_ERROR, pytest.ExitCode.USAGE_ERROR)


def register(config: pytest.Config) -> None:
    """Register the session object for the role that this process has."""
    if hasattr(config, "workerinput"):
        # The settings were read and judged on the controller; a worker only collects.
        config.pluginmanager.register(WorkerSession(config), PLUGIN_NAME)
        return
    settings = read_settings(config)
    policy = read_policy(config, settings)
    is_set_aside = not settings.run and xdist.distributes(config)
    if is_set_aside:
        xdist.stop_distributing(config)
    role = xdist.role_of(config)
    role.register(config.pluginmanager)
    session = SimilarSession(config, settings, policy, role, xdist_is_set_aside=is_set_aside)
    config.pluginmanager.register(session, PLUGIN_NAME)


class WorkerSession:
    """Collect on a worker of pytest-xdist."""

    def __init__(self, config: pytest.Config) -> None:
        self._role = xdist.Worker(config)

    @pytest.hookimpl(tryfirst=True)
    def pytest_pycollect_makemodule(self, module_path: Path) -> None:
        self._role.importing(module_path)

    @pytest.hookimpl
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._role.collected(session)


class SimilarSession:
    """Analyse the tests of a session, and report."""

    def __init__(
        self,
        config: pytest.Config,
        settings: Settings,
        policy: Policy,
        role: xdist.Role,
        *,
        xdist_is_set_aside: bool,
    ) -> None:
        self._config = config
        self._settings = settings
        self._policy = policy
        self._role = role
        self._xdist_is_set_aside = xdist_is_set_aside
        self._contributions: Contributions | None = None
        self._groups: dict[str, tuple[Group, ...]] = {}
        self._sections: list[Section] = []
        self._notices: list[str] = []
        self._verdict: str | None = None
        self._junit: JUnitRecorder | None = None
        if settings.junit is not None:
            from pytest_qeattention.junit import JUnitRecorder

            self._junit = JUnitRecorder(config, settings.junit)
            config.pluginmanager.register(self._junit, "qeattention-junit")
        self._interrupted = False
        self._failed = False

    @pytest.hookimpl
    def pytest_report_header(self) -> str | None:
        if self._settings.run:
            return None
        line = "qe-similar: tests are collected and compared, none is run (--qe-run runs them too)"
        if self._xdist_is_set_aside and self._config.get_verbosity() > 0:
            line += "; without tests to run, pytest-xdist starts no workers"
        return line

    @pytest.hookimpl(tryfirst=True)
    def pytest_pycollect_makemodule(self, module_path: Path) -> None:
        self._role.importing(module_path)

    @pytest.hookimpl
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        try:
            self._role.collected(session)
        except Exception as error:
            self._fail(error)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        if self._settings.workloads is not None:
            # Asked now, when the conftest files of all directories are loaded and no test has run.
            self._contributions = self._gather()
            _check_names(self._settings.workloads, self._contributions.names())
        option = self._config.option
        has_errors = session.testsfailed and not option.continue_on_collection_errors
        # Collection errors are left to pytest, which ends the session with its own exit code.
        return None if self._settings.run or option.collectonly or has_errors else True

    @pytest.hookimpl
    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        # pytest's own Interrupted (collection errors, --maxfail) is a subclass; pytest.exit() is none.
        self._interrupted = excinfo.type is KeyboardInterrupt

    # Last, when what other plugins write of the run is written and no test or worker runs any more.
    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if exitstatus in _NOTHING_TO_REPORT:
            return
        if self._interrupted:
            self._notices.append("qe-similar: interrupted, so nothing was compared")
            return
        try:
            if not self._failed:
                self._finish()
        except KeyboardInterrupt:
            # Raised from here it would cost the summary of the tests that ran.
            self._sections.clear()
            self._notices.append("qe-similar: interrupted, so there is no report")
            session.exitstatus = pytest.ExitCode.INTERRUPTED
        except Exception as error:
            self._fail(error)
        # Last of all, when every report is written; an exit code that says more stays.
        verdict = self.verdict()
        if verdict is not None and session.exitstatus == pytest.ExitCode.OK:
            self._verdict = verdict
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        verbosity = self._config.get_verbosity()
        lines = [Line.plain(notice) for notice in self._notices]
        if self._sections:
            if lines:
                lines.append(Line())
            problems = self._contributions.problems if self._contributions else ()
            more = "-v shows all, --qe-json=PATH writes all"
            lines.extend(similar_lines(self._sections, verbosity=verbosity, problems=problems, more=more))
        if self._verdict is not None:
            lines.append(Line.marked(self._verdict, "red"))
        if lines and verbosity >= 0:
            terminalreporter.section("similar tests")
        for line in lines:
            for span in line.spans:
                terminalreporter.write(span.text, **dict.fromkeys(span.markup, True))
            terminalreporter.line("")

    @pytest.hookimpl(trylast=True)
    def pytest_qe_workloads(self) -> Sequence[Workload]:
        from pytest_qeattention.similarity.builtin import TestSimilarity

        return [TestSimilarity()]

    @pytest.hookimpl(trylast=True)
    def pytest_qe_similar_groups(self, workload: Workload, groups: Sequence[Group]) -> None:
        self._groups[workload.name] = tuple(groups)

    def _gather(self) -> Contributions:
        contributions = Contributions(self._config)
        contributions.gather(self)
        return contributions

    def _finish(self) -> None:
        from pytest_qeattention.progress import TerminalProgress
        from pytest_qeattention.similarity.service import suite_from_located
        from pytest_qeattention.similarity.workload import Request

        collection = self._role.collection()
        if collection is None:
            if isinstance(self._role, xdist.Controller):
                self._warn(
                    "qe-similar: no worker handed over its tests (all of them crashed), so there is no "
                    "report; without --qe-run no worker is needed"
                )
            return
        if self._contributions is None:
            self._contributions = self._gather()
        self._contributions.gather_builtin(self)
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        with TerminalProgress(reporter, self._config.get_verbosity()) as display:
            request = Request(
                neighbors=self._settings.neighbors,
                num_threads=self._settings.threads,
                cache_dir=self._cache_dir(),
                progress=display.progress,
            )
            suite = suite_from_located(
                collection.located,
                root=self._config.rootpath,
                left_out=collection.left_out,
                problems=sourceless_problems(collection, self._config.rootpath),
                digests=collection.digests,
                is_ignored=self._policy.is_ignored if self._policy.ignore else None,
                num_processes=self._settings.threads,
                progress=request.progress,
                cache_dir=request.cache_dir,
            )
            for contribution in self._contributions.chosen(self._settings.workloads):
                self._analyse(contribution, suite, request)
        self._note_backend(suite)
        self._write_reports()

    def _analyse(self, contribution: Contribution, suite: Suite, request: Request) -> None:
        workload, contributions = contribution.workload, self._contributions
        is_builtin = workload.name == BUILTIN
        if contributions is None:
            return
        try:
            report = workload.analyse(suite, request)
        except FAILURES as error:
            from pytest_qeattention.attention.backend import BackendError

            if isinstance(error, BackendError):
                self._failed = True
                self._warn(f"qe-similar: {error}; there is no report of {workload.name}")
            elif is_builtin:
                self._fail(error)
            else:
                contributions.blame(contribution.plugin, f"workload {workload.name!r}", error, "it has no report")
            return
        if not isinstance(report, SimilarReport):
            contributions.complain(
                contribution.plugin,
                f"workload {workload.name!r} of plugin {contribution.plugin}: analyse() returned a value of "
                f"type {type(report).__name__}, not a SimilarReport; it has no report",
            )
            return
        if not _are_lines(report.lines):
            contributions.complain(
                contribution.plugin,
                f"workload {workload.name!r} of plugin {contribution.plugin}: the lines of its report are a value of "
                f"type {type(report.lines).__name__}, not a list of strings; it has no report",
            )
            return
        if is_builtin:
            from pytest_qeattention.similarity.advice import with_suggestions
            from pytest_qeattention.similarity.gate import settle

            report = settle(report, suite, self._policy)
            if report.baseline is not None and report.baseline.error is not None:
                self._warn(f"qe-similar: {report.baseline.error}; the baseline is as it was")
            report = with_suggestions(report, self._config.rootpath, request.cache_dir)
        contributions.tell(workload, report.groups)
        # What the report shows is what our own implementation of the hook was told, like any plugin's.
        report = replace(report, workload=workload.name, groups=self._groups.get(workload.name, ()))
        title = "" if is_builtin else workload.title or workload.name
        self._sections.append(Section(report, title, is_builtin))

    def _cache_dir(self) -> Path | None:
        return cache_directory(self._config, self._settings.store)

    def _note_backend(self, suite: Suite) -> None:
        if not self._failed:
            self._notices.extend(f"qe-similar: {each}" for each in suite.notices())

    def _builtin_report(self) -> SimilarReport | None:
        return next((section.report for section in self._sections if section.is_builtin), None)

    def _write_reports(self) -> None:
        from pytest_qeattention.outputs import rendered
        from pytest_qeattention.similarity.gate import failure
        from pytest_qeattention.store import OutputError

        report = self._builtin_report()
        if report is not None and (failing := failure(report.groups, self._settings.fail_on)) is not None:
            self._verdict = f"qe-similar: failed by --qe-fail-on: {failing}"
        if self._settings.json is not None:
            self._write(self._settings.json, self._json(report))
        problems = self._contributions.problems if self._contributions else ()
        defects = self._config.pluginmanager.get_plugin(DEFECTS_NAME)
        texts = rendered(
            self._settings.outputs,
            report,
            base=self._config.rootpath,
            problems=problems,
            failure=self._verdict,
            causes=None if defects is None else defects.causes(),
            is_similar=self._settings.workloads is None or BUILTIN in self._settings.workloads,
        )
        for path, text in texts:
            self._write(path, text)
        if self._junit is not None and report is not None:
            try:
                self._junit.complete(report)
            except OutputError as error:
                self._warn(f"qe-similar: {error}; the file is as pytest wrote it")

    def _json(self, report: SimilarReport | None) -> str:
        from pytest_qeattention.information import backend_info
        from pytest_qeattention.report.document import document, dumps

        wanted = self._settings.workloads is None or BUILTIN in self._settings.workloads
        # The document is one, so what --qe-defects found is written here as well.
        defects = self._config.pluginmanager.get_plugin(DEFECTS_NAME)
        part = None if defects is None else defects.part()
        return dumps(
            document(
                backend=backend_info(),
                defects=part,
                defects_failed=defects is not None and part is None,
                similar=report,
                similar_failed=wanted and report is None,
                workloads=[section.report for section in self._sections if not section.is_builtin],
                problems=self._contributions.problems if self._contributions else (),
            )
        )

    def _write(self, path: str, text: str) -> None:
        from pytest_qeattention.outputs import STANDARD_OUTPUT, begin_line
        from pytest_qeattention.store import OutputError, write_atomically

        if path == STANDARD_OUTPUT:
            begin_line(self._config)
        try:
            write_atomically(path, text)
        except OutputError as error:
            self._warn(f"qe-similar: {error}; the run goes on without that file")

    def verdict(self) -> str | None:
        """Return why --qe-fail-on fails the run, as far as that is known; None where it does not."""
        return self._verdict or self._without_verdict()

    def _without_verdict(self) -> str | None:
        """Say that there is nothing to judge: a gate that could not look must not pass."""
        if not self._settings.fail_on or self._builtin_report() is not None:
            return None
        return "qe-similar: failed by --qe-fail-on: there is no report to judge"

    def _fail(self, error: BaseException) -> None:
        self._failed = True
        self._warn(failure_of("qe-similar", error))

    def _warn(self, message: str) -> None:
        # Also in our section: warnings may be filtered, or switched off with -p no:warnings.
        self._notices.append(message)
        warn(self._config, message)


def _are_lines(lines: object) -> bool:
    if lines is None:
        return True
    return isinstance(lines, (list, tuple)) and all(isinstance(line, str) for line in lines)


def _check_names(wanted: Sequence[str], existing: Sequence[str]) -> None:
    unknown = [name for name in wanted if name not in existing]
    if unknown:
        raise pytest.UsageError(
            f"--qe-workload: there is no analysis named {', '.join(map(repr, unknown))}, so it cannot be "
            f"run; choose from {', '.join(existing)}"
        )

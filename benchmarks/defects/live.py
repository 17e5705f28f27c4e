"""Make records of failures inside the environment of a project, from the live exceptions.

This stands beside runner.py there, so that it imports pytest and the plain modules of the package alone.
"""

from __future__ import annotations

import inspect
import linecache
import logging
import os
from collections.abc import Iterator, Mapping
from types import CodeType, TracebackType
from typing import Any

import pytest

from pytest_qeattention.defects.assertion_text import told_assertion
from pytest_qeattention.defects.frames import Roles
from pytest_qeattention.defects.record import FailureRecord, Frame, Link, Phase, Raised, TestFacts, culprit_of

TIMEOUT = "Timeout (>"
"""How the message of a test begins that was ended for its time, as pytest-timeout writes it."""
_MOST_RAISED = 20
_RUNNER = ("site-packages/_pytest/", "site-packages/pluggy/", "site-packages/pytest/")


class Reader:
    """Read failures of one project."""

    def __init__(self, roles: Roles, fixtures: Mapping[CodeType, str]) -> None:
        self._roles = roles
        self.fixtures = dict(fixtures)
        """Names of fixtures by their code."""

    def of_item(self, item: pytest.Item, when: str, error: BaseException) -> FailureRecord:
        """Return the record of the *error* that *item* failed with in its phase *when*."""
        chain = self._chain(error)
        phase: Phase = "setup" if when == "setup" else "teardown" if when == "teardown" else "call"
        if any(raised.message.startswith(TIMEOUT) for raised in chain):
            phase = "timeout"
        assertion, culprit = told_assertion(chain), culprit_of(chain)
        if culprit is None and assertion is not None and assertion.called:
            culprit = self._called(error, assertion.called)
        return FailureRecord.of(
            item.nodeid,
            phase,
            self._test(item, self._failing_fixture(error) if phase in ("setup", "teardown") else None),
            chain,
            culprit=culprit,
            assertion=assertion,
            logs=_logs(item),
        )

    def of_collector(self, collector: pytest.Collector, error: BaseException) -> FailureRecord:
        """Return the record of the *error* that kept *collector* from being read."""
        chain = self._chain(error)
        test = TestFacts.of(collector.nodeid, "")
        return FailureRecord.of(collector.nodeid, "collect", test, chain, culprit=culprit_of(chain))

    def _chain(self, error: BaseException) -> list[Raised]:
        chain: list[Raised] = []
        seen: set[int] = set()
        pending: list[tuple[BaseException, Link | None]] = [(error, None)]
        while pending and len(chain) < _MOST_RAISED:
            one, link = pending.pop(0)
            if id(one) in seen:
                continue
            seen.add(id(one))
            frames = [frame for _, _, frame in self._frames(one.__traceback__)]
            kind = f"{type(one).__module__}.{type(one).__qualname__}"
            chain.append(Raised.of(kind, _said(one), link, frames))
            if one.__cause__ is not None:
                pending.insert(0, (one.__cause__, "cause"))
            elif one.__context__ is not None and not one.__suppress_context__:
                pending.insert(0, (one.__context__, "context"))
            pending += [(member, "group") for member in getattr(one, "exceptions", ()) if hasattr(member, "args")]
        return chain

    def _frames(self, traceback: TracebackType | None) -> Iterator[tuple[Any, CodeType, Frame]]:
        while traceback is not None:
            frame, line = traceback.tb_frame, traceback.tb_lineno
            traceback = traceback.tb_next
            code = frame.f_code
            shown = self._roles.display(code.co_filename)
            if shown.startswith(_RUNNER) or frame.f_locals.get("__tracebackhide__") is True:
                continue
            name = getattr(code, "co_qualname", code.co_name)
            role = self._roles.role(code.co_filename, name, code in self.fixtures)
            statement = linecache.getline(code.co_filename, line, frame.f_globals)
            yield frame, code, Frame.of(shown, line, name, statement, role)

    def _failing_fixture(self, error: BaseException) -> str | None:
        root = error
        while (below := root.__cause__ or (None if root.__suppress_context__ else root.__context__)) is not None:
            root = below
        for one in (root, error):
            found = [self.fixtures[code] for _, code, _ in self._frames(one.__traceback__) if code in self.fixtures]
            if found:
                return found[-1]
        name = getattr(error, "argname", None)
        return name if isinstance(name, str) else None

    def _called(self, error: BaseException, called: str) -> Frame | None:
        """Return where the function stands whose result the failed assert was about."""
        frames = list(self._frames(error.__traceback__))
        if not frames:
            return None
        first, *rest = called.split(".")
        scope = frames[-1][0]
        found: Any = scope.f_locals.get(first, scope.f_globals.get(first))
        for name in rest:
            try:
                found = getattr(found, name, None)
            except Exception:
                return None
        function = inspect.unwrap(found) if inspect.isfunction(found) else getattr(found, "__func__", found)
        if inspect.isclass(found):
            function = found.__dict__.get("__init__")
        code = getattr(function, "__code__", None)
        if not isinstance(code, CodeType):
            return None
        name = getattr(code, "co_qualname", code.co_name)
        if self._roles.role(code.co_filename, name) != "product":
            return None
        return Frame.of(self._roles.display(code.co_filename), code.co_firstlineno, name, "", "product")

    def _test(self, item: pytest.Item, failing: str | None) -> TestFacts:
        function: Any = getattr(item, "obj", None)
        function = inspect.unwrap(getattr(function, "__func__", function)) if callable(function) else None
        try:
            lines, line = inspect.getsourcelines(function)
        except (OSError, TypeError):
            lines, line = [], 0
        callspec = getattr(item, "callspec", None)
        parameters = parameters_of(callspec.params) if callspec is not None else []
        path, *names = item.nodeid.partition("[")[0].split("::")
        return TestFacts.of(
            path, "::".join(names), line or None, parameters, getattr(item, "fixturenames", ()), failing, "".join(lines)
        )


def parameters_of(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return names and texts of parameters; what has no text that is the same in every run is told by its type."""
    return [(name, _text(values[name])) for name in sorted(values)]


def _text(value: object) -> str:
    if isinstance(value, type) or inspect.isfunction(value):
        return value.__qualname__
    try:
        text = value if isinstance(value, str) else repr(value)
    except Exception:
        return type(value).__name__
    return type(value).__name__ if " at 0x" in text else text


def _said(error: BaseException) -> str:
    name = getattr(error, "argname", None)
    if isinstance(error, pytest.FixtureLookupError) and isinstance(name, str):
        return error.msg or f"fixture '{name}' not found"
    try:
        return str(error)
    except Exception as problem:
        return f"<unprintable {type(error).__name__}: {type(problem).__name__}>"


def _logs(item: pytest.Item) -> list[str]:
    from _pytest.logging import caplog_records_key

    by_phase: dict[str, list[logging.LogRecord]] = item.stash.get(caplog_records_key, {})
    logged = [record for records in by_phase.values() for record in records if record.levelno >= logging.WARNING]
    texts = []
    for record in logged:
        try:
            texts.append(record.getMessage())
        except Exception:
            texts.append(str(record.msg))
    return texts


def fixtures_of(session: pytest.Session) -> dict[CodeType, str]:
    """Return the names of the fixtures that tests of *session* use, by their code."""
    found: dict[CodeType, str] = {}
    for item in session.items:
        known: Any = getattr(item, "_fixtureinfo", None)
        for name, definitions in getattr(known, "name2fixturedefs", {}).items():
            for definition in definitions:
                code = getattr(inspect.unwrap(definition.func), "__code__", None)
                if isinstance(code, CodeType) and os.path.isabs(code.co_filename):
                    found[code] = name
    return found

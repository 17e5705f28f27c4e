"""The record of a failure that has just happened, from the report's call and the live exception.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import enum
import inspect
import logging
import os
import platform
import re
import sys
import types
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import _pytest.fixtures
import pytest

from pytest_qeattention.defects.doctest_text import parse_doctest
from pytest_qeattention.defects.frames import Roles
from pytest_qeattention.defects.record import FailureRecord, Frame, Phase, Raised, TestFacts, culprit_of, fixture_of
from pytest_qeattention.defects.stack import AROUND, CALLERS_OF_FIXTURES, with_fixtures, with_test
from pytest_qeattention.items import written_function
from pytest_qeattention.live.assertions import assertion_of, called_functions
from pytest_qeattention.live.chain import Chains, Step, linked, plain_function, steps_of
from pytest_qeattention.live.told import told_chain

_TIMEOUT = re.compile(r"Timeout (?:\(>|>) ?[\d.]+ ?s")
_FIXTURES = os.path.abspath(str(_pytest.fixtures.__file__))
# The fixtures that pytest makes of methods such as setup_method, and of those of unittest.
_MADE_BY_PYTEST = re.compile(r"_(?:xunit|unittest)_.+_fixture_")
_NOT_PACKAGES = re.compile(r"tests?|testing|conftest|setup|noxfile|docs?|examples?|benchmarks?|tasks")
_SIMPLE = (type(None), bool, int, float, complex, bytes)
_MOST_LOGGED = 10_000
_MOST_TEMPLATES = 200
_MOST_SOURCES = 1_000
_LONGEST_PARAMETER = 1_000


class LiveRecords:
    """Make the records of one process."""

    def __init__(self, config: pytest.Config, test_files: Iterable[str]) -> None:
        self._root = config.rootpath
        self._roles = Roles(self._root, test_files, package_names(self._root))
        self._chains = Chains(self._roles)
        self._sources: OrderedDict[types.CodeType, tuple[str, int | None]] = OrderedDict()
        self._logs: dict[tuple[str, str, str], list[str]] = {}
        self._environment = {"python": platform.python_version(), "platform": sys.platform}

    def of_test(self, item: pytest.Item, call: pytest.CallInfo[Any], report: pytest.TestReport) -> FailureRecord:
        """Return the record of a test whose *report* is a failure."""
        error = None if call.excinfo is None else call.excinfo.value
        chain: tuple[Raised, ...] = ()
        culprit, assertion, failing = None, None, None
        if error is not None and (traces := parse_doctest(str(report.longrepr)) if _is_of_doctest(error) else ()):
            # The exception names the examples; what they gave stands in the report.
            chain = told_chain(traces, self._roles, report.when)
            culprit = culprit_of(chain)
        elif error is not None:
            live = [(each, link, steps_of(each)) for each, link in linked(error)]
            fixtures = _fixture_functions(item)
            for each, _, _ in live:
                fixtures.update(_fixtures_called(each))
            chain = tuple(self._chains.raised(each, link, steps, fixtures) for each, link, steps in live)
            name = getattr(item, "originalname", None) or item.name
            chain = with_fixtures(with_test(chain, self._roles.display(str(item.path)), name), report.when)
            culprit = culprit_of(chain)
            for raised, (_, _, steps) in zip(chain, live, strict=True):
                assertion = assertion_of(raised, steps)
                if assertion is not None:
                    culprit = culprit or self._asked(steps)
                    break
            if report.when in AROUND:
                failing = next((name for each, _, _ in reversed(live) if (name := _failing_fixture(each))), None)
                if failing is not None and _MADE_BY_PYTEST.match(failing):
                    failing = fixture_of(chain) or None
        elif isinstance(report.longrepr, str):
            # XPASS(strict), and what other plugins say without an exception.
            chain = (Raised.of("", report.longrepr.strip()),)
        return FailureRecord.of(
            item.nodeid,
            _phase(report.when, chain),
            self._facts(item, failing),
            chain,
            culprit=culprit,
            assertion=assertion,
            logs=self._logged(item, report.when or "", failing, chain),
            environment=self._environment,
        )

    def of_collector(self, collector: pytest.Collector, error: BaseException) -> FailureRecord:
        """Return the record of a file or directory that could not be collected."""
        if isinstance(error, pytest.Collector.CollectError) and error.__cause__ is not None:
            # pytest puts the whole traceback into the message of the one that it raises.
            error = error.__cause__
        chain = [self._chains.raised(each, link, steps_of(each), frozenset()) for each, link in linked(error)]
        path = self._roles.display(str(collector.path))
        return FailureRecord.of(
            collector.nodeid,
            "collect",
            TestFacts.of(path, "::".join(_class_names(collector))),
            chain,
            culprit=culprit_of(chain),
            environment=self._environment,
        )

    def _asked(self, steps: list[Step]) -> Frame | None:
        """Return the function of the product that a failed assert asked for something."""
        if not steps:
            return None
        for function in called_functions(*steps[-1]):
            frame = self._chains.definition(function)
            if frame.role == "product":
                return frame
        return None

    def _logged(self, item: pytest.Item, when: str, failing_fixture: str | None, chain: Sequence[Raised]) -> list[str]:
        """Return what was logged in the phase that failed; of a fixture that failed once for many tests, then."""
        logged = logged_templates(item, when)
        if failing_fixture is None or not chain:
            return logged
        # Other workers, and other orders of tests, let another test be the first to ask for the fixture.
        return self._logs.setdefault((failing_fixture, chain[-1].type, chain[-1].message), logged)

    def _facts(self, item: pytest.Item, failing_fixture: str | None) -> TestFacts:
        name = getattr(item, "originalname", None) or item.name
        source, line = self._source(item, name)
        return TestFacts.of(
            self._roles.display(str(item.path)),
            "::".join((*_class_names(item), name)),
            line,
            _parameters(item),
            getattr(item, "fixturenames", ()),
            failing_fixture,
            source,
        )

    def _source(self, item: pytest.Item, name: str) -> tuple[str, int | None]:
        """Return the source of the test and the line of its ``def``."""
        function = written_function(getattr(item, "obj", None), name)
        if function is None:
            return "", None if item.location[1] is None else item.location[1] + 1
        code = function.__code__
        if code not in self._sources:
            try:
                lines, first = inspect.getsourcelines(code)
            except (OSError, TypeError, SyntaxError, ValueError, IndexError):
                lines, first = [], code.co_firstlineno
            start = re.compile(rf"\s*(?:async\s+)?def\s+{re.escape(code.co_name)}\b")
            below = next((at for at, text in enumerate(lines) if start.match(text)), 0)
            self._sources[code] = "".join(lines), first + below
            if len(self._sources) > _MOST_SOURCES:
                self._sources.popitem(last=False)
        return self._sources[code]


def package_names(root: Path) -> list[str]:
    """Return the names of the packages and modules that lie in the root directory or in its ``src``."""
    names: set[str] = set()
    for directory in (root, root / "src"):
        try:
            entries = list(os.scandir(directory))
        except OSError:
            continue
        for entry in entries:
            name = entry.name.removesuffix(".py")
            is_module = name != entry.name or os.path.isfile(os.path.join(entry.path, "__init__.py"))
            if is_module and name.isidentifier() and not _NOT_PACKAGES.fullmatch(name):
                names.add(name)
    return sorted(name for name in names if not name.startswith("test_") and not name.endswith("_test"))


def _phase(when: str | None, chain: Sequence[Raised]) -> Phase:
    if chain and chain[0].type == "Failed" and _TIMEOUT.match(chain[0].message):
        return "timeout"
    if when == "setup":
        return "setup"
    return "teardown" if when == "teardown" else "call"


def _is_of_doctest(error: BaseException) -> bool:
    kind = type(error)
    return kind.__module__ == "doctest" or kind.__name__ == "MultipleDoctestFailures"


def _class_names(node: pytest.Item | pytest.Collector) -> list[str]:
    return [each.name for each in node.listchain() if isinstance(each, pytest.Class)]


def _fixtures_called(error: BaseException) -> Iterator[types.CodeType]:
    """Yield the functions of fixtures that *error* came through, asked for by a test or a fixture as it ran."""
    at, is_called = error.__traceback__, False
    while at is not None:
        code = at.tb_frame.f_code
        if is_called:
            yield code
        is_called = code.co_name in CALLERS_OF_FIXTURES and os.path.abspath(code.co_filename) == _FIXTURES
        at = at.tb_next


def _fixture_functions(item: pytest.Item) -> set[types.CodeType]:
    info = getattr(item, "_fixtureinfo", None)
    definitions = getattr(info, "name2fixturedefs", None) or {}
    found: set[types.CodeType] = set()
    for candidates in definitions.values():
        for definition in candidates:
            function = plain_function(getattr(definition, "func", None))
            if function is not None:
                found.add(function.__code__)
    return found


def _failing_fixture(error: BaseException) -> str | None:
    """Return the name of the fixture whose function, or whose teardown, *error* came out of."""
    if isinstance(error, pytest.FixtureLookupError):
        return error.argname
    found: str | None = None
    at = error.__traceback__
    while at is not None:
        # The last one counts: a fixture that asks for another stands above it.
        if os.path.abspath(at.tb_frame.f_code.co_filename) == _FIXTURES:
            names = at.tb_frame.f_locals
            for name in (
                getattr(names.get("fixturedef"), "argname", None),
                getattr(names.get("self"), "argname", None),
            ):
                if isinstance(name, str):
                    found = name
                    break
        at = at.tb_next
    return found


def _parameters(item: pytest.Item) -> list[tuple[str, str]]:
    """Return the parameters of a test: the text of simple values, of others their part of the id."""
    callspec = getattr(item, "callspec", None)
    if callspec is None:
        return []
    ids = [str(each) for each in getattr(callspec, "_idlist", ())]
    parts = ids if len(ids) == len(callspec.params) else callspec.id.split("-")
    if len(parts) != len(callspec.params):
        parts = []
    return [
        (name, _text_of(value, parts[at] if parts else f"<{type(value).__name__}>"))
        for at, (name, value) in enumerate(callspec.params.items())
    ]


def _text_of(value: object, otherwise: str) -> str:
    if type(value) is str:
        return value[:_LONGEST_PARAMETER]
    if isinstance(value, int) and type(value) is int and value.bit_length() > 3_000:
        return otherwise
    if type(value) in _SIMPLE:
        return repr(value[:_LONGEST_PARAMETER] if isinstance(value, bytes) else value)
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value._name_}"
    if isinstance(value, (type, types.FunctionType)):
        return value.__name__
    return otherwise


def logged_templates(item: pytest.Item, when: str) -> list[str]:
    """Return what was logged at WARNING and above in one phase of a test, each once: level, logger, template."""
    try:
        from _pytest.logging import caplog_records_key
    except ImportError:
        return []
    # Absent with -p no:logging.
    records = item.stash.get(caplog_records_key, {}).get(when, ())
    found: dict[str, None] = {}
    for record in records[:_MOST_LOGGED]:
        if record.levelno < logging.WARNING:
            continue
        template = record.msg if type(record.msg) is str else f"<{type(record.msg).__name__}>"
        found.setdefault(f"{record.levelname} {record.name} {template[:_LONGEST_PARAMETER]}")
        if len(found) == _MOST_TEMPLATES:
            break
    return list(found)

"""Which test cases of a JUnit file are tests of a report.

The file is pytest's: it is there when the session is over, and groups are only known then. So the reports of the run
are remembered by where their test is written, and the file is completed after pytest has written it.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from pytest_qeattention.report.junit import (
    Case,
    JUnitError,
    Property,
    group_properties,
    speakable,
    suite_properties,
    with_properties,
)
from pytest_qeattention.similarity.model import SimilarReport
from pytest_qeattention.store import OutputError, write_atomically


class JUnitRecorder:
    """Remember where the tests of a run are written; registered only where properties are asked for."""

    def __init__(self, config: pytest.Config, file: Path) -> None:
        self._file = file
        self._prefix = config.getoption("junitprefix", None)
        self._root = config.rootpath
        self._places: dict[str, tuple[str, int | None]] = {}

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.nodeid not in self._places:
            path, line, _ = report.location
            self._places[report.nodeid] = path, line

    def complete(self, report: SimilarReport) -> None:
        """Add the groups of *report* to the file; raise OutputError."""
        add_properties(self._file, suite_properties(report), self._cases(report))

    def _cases(self, report: SimilarReport) -> dict[Case, list[Property]]:
        properties: defaultdict[tuple[str, int], list[Property]] = defaultdict(list)
        for group in report.groups:
            for test in group.tests:
                # pytest tells the first line of the code, which is that of the first decorator.
                for number in {test.first_line, test.line}:
                    properties[test.path, number].extend(group_properties(group))
        cases: dict[Case, list[Property]] = {}
        for nodeid, (path, line) in self._places.items():
            place = path.replace("\\", "/"), -1 if line is None else line + 1
            if place in properties:
                cases[case_of(nodeid, self._prefix)] = properties[place]
        return cases


def add_properties(file: Path, suite: Sequence[Property], cases: Mapping[Case, Sequence[Property]]) -> None:
    """Add properties to the JUnit *file* that pytest has written; raise OutputError."""
    try:
        data = file.read_bytes()
        text = with_properties(data, suite, cases).decode("utf-8")
    except OSError as error:
        raise OutputError(f"cannot read {file}: {error.strerror}") from error
    except (JUnitError, UnicodeDecodeError) as error:
        raise OutputError(f"cannot add properties to {file}: {error}") from error
    write_atomically(file, text)


def case_of(nodeid: str, prefix: str | None) -> Case:
    """Return how pytest names the test case of *nodeid*; *prefix* is that of ``--junitprefix``."""
    address, bracket, parameters = nodeid.partition("[")
    names = address.split("::")
    names[0] = names[0].replace("/", ".").removesuffix(".py")
    names[-1] += bracket + parameters
    if prefix:
        names.insert(0, prefix)
    return speakable(".".join(names[:-1])), speakable(names[-1])

"""Failures out of JUnit files, which nearly every test runner writes, each in a dialect of its own.

A file is read in one pass: what is held of it are its failures, and of each no more than a record keeps.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_qeattention.defects.guessed_places import GuessedPlaces
from pytest_qeattention.defects.junit_case import Case, Fault, LongText, failure_record, of_one_failure
from pytest_qeattention.defects.record import FailureRecord
from pytest_qeattention.defects.xml_stream import LONGEST_ATTRIBUTE, StreamError, XMLStream
from pytest_qeattention.wording import counted

MOST_FAILURES = 50_000
"""Failures that are read of one file."""
_LONGEST_NAME = 2_000
_MOST_FAULTS = 20
"""Failures of one test case that are kept."""
_FAULTS = ("failure", "error", "rerunFailure", "rerunError", "flakyFailure", "flakyError")
_OUTPUTS = ("system-out", "system-err")
_ENVIRONMENT = re.compile(r"^(?:python(?:[._]version)?|platform|os\.name|java\.version|node(?:[._]version)?)$", re.I)


@dataclass(frozen=True, slots=True)
class JUnitFile:
    """What was read of a JUnit file.

    `tests` counts test cases, `flaky` those among them that failed and then passed; these are no failures. Each of
    `problems` is a message for the user; what came before the problem is there all the same.
    """

    failures: tuple[FailureRecord, ...] = ()
    tests: int = 0
    problems: tuple[str, ...] = ()
    flaky: int = 0


def read_junit(path: Path | str) -> JUnitFile:
    """Read the failures of a JUnit file; raise nothing for what the file or the path is."""
    path = Path(path)
    reader = _Reader()
    stream = XMLStream(reader)
    try:
        # Opened without waiting for what a pipe or a device may never say.
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            return _nothing(f"{path} is a directory", "name the JUnit files in it")
        if not stat.S_ISREG(mode):
            return _nothing(f"{path} is no regular file", "write the report to a file and name that")
        if os.path.getsize(path) == 0:
            return _nothing(f"{path} is empty", "let the run that writes it come to its end")
        with path.open("rb") as file:
            stream.read(file)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        return reader.result([f"cannot read {path}: {reason}; {reader.followed()}; check the path and its permissions"])
    except StreamError as error:
        return reader.result([f"{path} {error}; {reader.followed()}; {_REMEDY}"])
    problems = []
    if not reader.is_junit:
        return _nothing(f"{path} is XML, but no JUnit file: its root is <{reader.root[:40]}>", _REMEDY)
    if stream.replaced:
        problems.append(
            f"{path} has {counted(stream.replaced, 'character')} that XML or its encoding does not have; the texts "
            "around them are compared with a mark in their place; write the file as UTF-8 to compare them whole"
        )
    if stream.shortened:
        problems.append(
            f"{path} has {counted(stream.shortened, 'attribute')} longer than {LONGEST_ATTRIBUTE:,} characters; the "
            "rest of each is left out; shorten what the tests say when they fail"
        )
    if reader.left_out:
        problems.append(
            f"{path} has more than {MOST_FAILURES:,} failures; {reader.left_out:,} after those are left out; "
            "give the reports of fewer tests at a time"
        )
    return reader.result(problems)


_REMEDY = "write the file again (pytest --junitxml=PATH) and let the run come to its end"


def _nothing(what: str, remedy: str) -> JUnitFile:
    return JUnitFile(problems=(f"{what}; it has no failures to read; {remedy}",))


class _Reader:
    """Make records of the failing test cases of a document, told element by element."""

    def __init__(self) -> None:
        self.root = ""
        self.left_out = 0
        self._tests = 0
        self._flaky = 0
        self._failures: list[FailureRecord] = []
        self._open: list[str] = []
        self._suites: list[Mapping[str, str]] = [{}]
        self._environment: dict[str, str] = {}
        self._case: Case | None = None
        self._fault: Fault | None = None
        self._target: LongText | None = None
        self._places = GuessedPlaces()

    @property
    def is_junit(self) -> bool:
        return self.root in ("testsuites", "testsuite", "testcase")

    def followed(self) -> str:
        """Say what of the document is used."""
        if not self._tests:
            return "nothing of it is used"
        return f"{counted(self._tests, 'test case')} before that {'is' if self._tests == 1 else 'are'} used"

    def result(self, problems: Iterable[str]) -> JUnitFile:
        if self._case is not None:
            # The document broke off within this case: what there is of its failure is better than nothing.
            self._case.faults += [self._fault] if self._fault else []
            self._close()
        return JUnitFile(tuple(self._failures), self._tests, tuple(problems), self._flaky)

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self.root = self.root or name
        self._open.append(name)
        if name == "testsuite":
            self._suites.append(_short(attributes))
        elif name == "testcase" and self._case is None:
            self._tests += 1
            self._case = Case(attributes, self._suites[-1])
        elif name in _FAULTS and self._fault is None and self.is_junit:
            if self._case is None:
                # What went wrong before the first test of a suite.
                self._case = Case({"name": ""}, self._suites[-1])
            self._fault = Fault(name, attributes.get("type", "")[:_LONGEST_NAME], attributes.get("message", ""))
            self._target = self._fault.text
        elif name in _OUTPUTS:
            # What a rerun printed is no part of its traceback.
            self._target = None if self._fault or self._case is None else self._case.output
        elif name == "property" and _ENVIRONMENT.match(attributes.get("name", "")[:100]):
            self._environment[attributes["name"].lower()] = attributes.get("value", "")[:200]

    def text(self, data: str) -> None:
        if self._target is not None:
            self._target.add(data)

    def end(self, name: str) -> None:
        self._open.pop()
        if name == "testsuite":
            self._suites.pop()
        elif name == "testcase" and "testcase" not in self._open:
            self._close()
        elif name in _FAULTS and not any(open_ in _FAULTS for open_ in self._open):
            if self._case is not None and self._fault is not None and len(self._case.faults) < _MOST_FAULTS:
                self._case.faults.append(self._fault)
            self._fault = self._target = None
            if "testcase" not in self._open:
                self._close()
        elif name in _OUTPUTS:
            self._target = None if self._fault is None else self._fault.text

    def _close(self) -> None:
        case, self._case = self._case, None
        if case is None or not case.faults:
            return
        case.attributes = _short(case.attributes)
        final = [fault for fault in case.faults if fault.tag in ("failure", "error")]
        if not final and all(fault.tag.startswith("flaky") for fault in case.faults):
            self._flaky += 1
        else:
            for faults in of_one_failure(case, final or case.faults[:1]):
                if len(self._failures) >= MOST_FAILURES:
                    self.left_out += 1
                else:
                    self._failures.append(failure_record(case, faults, self._places, self._environment))


def _short(attributes: Mapping[str, str]) -> dict[str, str]:
    wanted = ("name", "classname", "class", "file", "filepath", "line")
    return {name: attributes[name][:_LONGEST_NAME] for name in wanted if name in attributes}

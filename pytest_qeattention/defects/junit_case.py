"""A test case of a JUnit file, and the record of its failure by the best that its texts tell.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

from pytest_qeattention.defects.assertion_text import told_assertion
from pytest_qeattention.defects.doctest_text import doctest_path, parse_doctest
from pytest_qeattention.defects.foreign_traces import parse_foreign
from pytest_qeattention.defects.guessed_places import GuessedPlaces, is_absolute
from pytest_qeattention.defects.record import FailureRecord, Phase, Raised, TestFacts, culprit_of, fixture_of
from pytest_qeattention.defects.stack import AROUND, with_fixtures, with_test
from pytest_qeattention.defects.traceback_text import Trace, missing_fixture, parse_traceback, split_type

_LONGEST_HALF = 1 << 16
"""Characters kept of the beginning, and of the end, of a long text."""
_LONGEST_LINE = 2_000
_MOST_LOGS = 200
_PHASES: tuple[tuple[Phase, re.Pattern[str]], ...] = (
    ("setup", re.compile(r"^(?:failed on setup with|test setup failure)")),
    ("teardown", re.compile(r"^(?:failed on teardown with|test teardown failure)")),
    ("collect", re.compile(r"^collection failure|^Test suite failed to run")),
)
_QUOTED = re.compile(r'^failed on (?:setup|teardown) with "(.*?)"?$', re.DOTALL)
_CRASH = re.compile(
    r"""^(?:failed on setup with ")?worker '[^']*' crashed while running|Fatal Python error|^Segmentation fault"""
)
_CRASHED = re.compile(r"worker '[^']*' crashed while running ")
_TIMEOUT = re.compile(
    r"^(?:E +)?(?:Failed: )?Timeout (?:\(>|>)[\d.]+ ?s|^test timed out after \d|^Exceeded timeout of \d+ ?m?s",
    re.MULTILINE,
)
_ANSI = re.compile(r"(?:\x1b|#x1B)\[[0-9;]*[A-Za-z]")
# What XML can't hold, as pytest writes it.
_ESCAPED = re.compile(r"(?<!&)#x(0[0-8BCEF]|1[0-9A-F]|7F|D[89A-F][0-9A-F]{2}|FFF[EF])")
_LOG = re.compile(r"\b(WARN(?:ING)?|ERROR|CRITICAL|FATAL|SEVERE)\b[\]:]*\s+(?!failures?\b)(.+)")
_PYTEST_LOG = re.compile(r"^(\S+?):[\w.-]+\.py:\d+ (.*)$")
_OF_SUBTESTS = re.compile(r"(?:Failed: )?contains \d+ failed subtests?")
_OF_CLASS = re.compile(r"^(\w+) \(([\w.]+)\)$")
_FAILED_TEST = "unittest.loader._FailedTest"
_TEST_MODULE = re.compile(r"^test_\w+$|^\w+_test$")


class LongText:
    """Keep the beginning and the end of a text that comes in pieces."""

    __slots__ = ("_head", "_head_length", "_tail", "_tail_length")

    def __init__(self) -> None:
        self._head: list[str] = []
        self._tail: list[str] = []
        self._head_length = self._tail_length = 0

    def add(self, piece: str) -> None:
        if self._head_length < _LONGEST_HALF:
            room = _LONGEST_HALF - self._head_length
            self._head.append(piece[:room])
            self._head_length += len(self._head[-1])
            piece = piece[room:]
        if piece:
            self._tail.append(piece)
            self._tail_length += len(piece)
            if self._tail_length > 4 * _LONGEST_HALF:
                self._tail = ["".join(self._tail)[-_LONGEST_HALF:]]
                self._tail_length = _LONGEST_HALF

    def __str__(self) -> str:
        tail = "".join(self._tail)
        # A line that was cut is no line of a traceback.
        cut = "\n" if len(tail) > _LONGEST_HALF else ""
        return "".join(self._head) + cut + tail[-_LONGEST_HALF:]


@dataclass(slots=True)
class Fault:
    """One failure of a test case, with the name of its element."""

    tag: str
    type: str
    message: str
    text: LongText = field(default_factory=LongText)


@dataclass(slots=True)
class Case:
    """A test case, with the attributes of its element and of that of its suite."""

    attributes: Mapping[str, str]
    suite: Mapping[str, str]
    faults: list[Fault] = field(default_factory=list)
    output: LongText = field(default_factory=LongText)


def of_one_failure(case: Case, faults: list[Fault]) -> list[list[Fault]]:
    """Return those of *faults* that are told together.

    pytest gives a test whose subtests fail a failure for each, and one that counts them; a test that fails before and
    after it runs has both; a file that was collected in two ways has its failure twice. Elsewhere several failures of
    a test case are what one run of it had to say.
    """
    own = [fault for fault in faults if not _OF_SUBTESTS.fullmatch(fault.message.strip())]
    if len(own) == len(faults) and case.suite.get("name") != "pytest":
        return [faults]
    if own and own[0].message == "collection failure":
        return [own[:1]]
    return [[fault] for fault in own or faults]


def failure_record(
    case: Case, faults: list[Fault], guessed: GuessedPlaces, environment: Mapping[str, str]
) -> FailureRecord:
    """Return the record of *case* for those of its failures that count; *guessed* learns from it."""
    told = [(fault.type, _plain(fault.message).strip(), _plain(str(fault.text)).strip("\n")) for fault in faults]
    (_, message, text), *_ = told
    run = _run_phase(faults[0], message, case)
    phase = _phase(run, message, text)
    traces: list[Trace] = []
    for type_, message_, text_ in told:
        found = _traces(text_, type_, message_)
        # Of several failures the first is the one that the others follow.
        traces += [replace(trace, link="group") if traces and not at else trace for at, trace in enumerate(found)]
    lookup = missing_fixture(text)
    places = [place.path for trace in traces for place in trace.places] + ([lookup[1]] if lookup else [])
    document = doctest_path(text)
    if document:
        places.append(document)
    path, qualname = _test_address(case, guessed.own(places))
    guessed.learn(places, path)
    path = guessed.display(path)
    chain = tuple(_raised(trace, guessed) for trace in traces)
    if not document:
        chain = with_test(chain, path, qualname.rpartition("::")[2])
    chain = with_fixtures(chain, run)
    if not path:
        path = next((frame.path for raised in chain for frame in raised.frames if frame.role == "test"), "")
    name = case.attributes.get("name", "")
    _, bracket, parameters = name.partition("[")
    fixture = _missing_name(lookup[0]) if lookup else None
    if fixture is None and run in AROUND:
        fixture = fixture_of(chain) or None
    return FailureRecord.of(
        _nodeid(case),
        phase,
        TestFacts.of(
            path,
            qualname,
            _line(case, lookup),
            [("", parameters.removesuffix("]"))] if bracket else [],
            failing_fixture=fixture,
        ),
        chain,
        culprit=culprit_of(chain),
        assertion=told_assertion(chain),
        logs=_logs(str(case.output)),
        environment=environment,
    )


def _plain(text: str) -> str:
    text = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), _ANSI.sub("", text))
    return text.replace("\r\n", "\n")


def _nodeid(case: Case) -> str:
    own, suite = case.attributes, case.suite
    place = own.get("file") or own.get("classname", own.get("class"))
    if place is None:
        place = suite.get("file") or suite.get("name", "")
    return f"{place}::{own.get('name', '')}"


def _run_phase(fault: Fault, message: str, case: Case) -> Phase:
    """Return which phase of the test it was that failed."""
    for phase, pattern in _PHASES:
        if pattern.search(message):
            return phase
    name = case.attributes.get("name", "")
    if name.startswith(("setUpClass ", "setUpModule ")):
        return "setup"
    if name.startswith(("tearDownClass ", "tearDownModule ")):
        return "teardown"
    is_of_loader = case.attributes.get("classname") == _FAILED_TEST
    return "collect" if is_of_loader or (not name and fault.tag == "error") else "call"


def _phase(run: Phase, message: str, text: str) -> Phase:
    said = message[:_LONGEST_LINE], text[:_LONGEST_LINE]
    if any(map(_CRASH.search, said)):
        return "crash"
    return "timeout" if any(map(_TIMEOUT.search, said)) else run


def _traces(text: str, type_: str, message: str) -> tuple[Trace, ...]:
    """Return what was raised, outermost first, by the best that type, message and text of a failure tell."""
    quoted = _QUOTED.match(message)
    message = quoted[1] if quoted else message
    if _CRASHED.match(text or message):
        # What pytest-xdist says of it names the worker, which tells nothing of the failure.
        return ()
    lookup = missing_fixture(text)
    if lookup:
        return (Trace("_pytest.fixtures.FixtureLookupError", lookup[0], None, ()),)
    traces = parse_doctest(text) or parse_traceback(text) or parse_foreign(text, type_, message)
    if traces:
        first = traces[0]
        if first.type.endswith("Collector.CollectError") and len(traces) > 1:
            # What pytest raises of an error to collect holds its traceback as text.
            return (replace(traces[1], link=None), *traces[2:])
        if not first.type:
            traces = (Trace(type_, first.message, None, first.places), *traces[1:])
        return traces
    said = message or text.strip()
    if not said and not type_:
        return ()
    told_type, told = split_type(said)
    if type_:
        is_told = told_type.rpartition(".")[2] == type_.rpartition(".")[2]
        return (Trace(type_, told if is_told else said, None, ()),)
    is_type = "." in told_type or told_type.endswith(("Error", "Exception", "Failure", "Exit", "Interrupt", "Failed"))
    return (Trace(told_type, told, None, ()) if is_type else Trace("", said, None, ()),)


def _raised(trace: Trace, guessed: GuessedPlaces) -> Raised:
    frames = Raised.of("", "", None, guessed.frames(trace.places)).frames
    return replace(_said(trace.type, trace.message), link=trace.link, frames=frames)


@lru_cache(maxsize=1_000)
def _said(type_: str, message: str) -> Raised:
    """Return what was raised without its frames: many failures say the same, and to mask it takes the most time."""
    return Raised.of(type_, message)


def _test_address(case: Case, places: list[str]) -> tuple[str, str]:
    """Return path and qualified name of the test as far as the file tells them; *places* are paths that it names."""
    own = case.attributes
    bare = own.get("name", "").partition("[")[0]
    classname = own.get("classname") or own.get("class", "")
    of_class = _OF_CLASS.match(bare)
    if of_class:
        # unittest: what prepares a class is a test case without one.
        bare, classname = of_class[1], of_class[2]
    if classname in ("", _FAILED_TEST) and _is_python_module(bare):
        # A module that could not be collected is a test case named after it.
        return _module_path(bare.split("."), places), ""
    dotted = classname.split(".") if classname else []
    if document := _document(bare, dotted, places):
        return document, bare
    path = own.get("file") or own.get("filepath", "")
    for end in range(len(dotted), 0, -1) if not path and _is_python_module(classname) else ():
        if found := _module_path(dotted[:end], places):
            path = found
            break
    parts = path.removesuffix(".py").split("/")
    classes = []
    if path.endswith(".py") and parts[-1] in dotted:
        # The last directories of a path are the first names of a class, or none of them is.
        classes = dotted[len(dotted) - dotted[::-1].index(parts[-1]) :]
    return path, "::".join([*classes, bare])


def _document(name: str, dotted: list[str], places: list[str]) -> str:
    """Return the path of a file whose doctest is test *name* of what pytest calls class *dotted*; "" for any other."""
    if "." in name and name == ".".join(dotted[-2:]):
        return "/".join([*dotted[:-2], name])
    is_of_module = f"{name}.".startswith(".".join([*dotted, ""]))
    return _module_path(dotted, places) if dotted and is_of_module else ""


def _is_python_module(name: str) -> bool:
    return bool(name) and all(part.isidentifier() for part in name.split("."))


def _module_path(parts: list[str], places: list[str]) -> str:
    """Return the path of a module that the file names, or whose name says that it has tests; "" for any other."""
    ending = "/".join(parts) + ".py"
    for place in places:
        if ("/" + place).endswith("/" + ending):
            return ending if is_absolute(place) else place
    return ending if _TEST_MODULE.match(parts[-1]) else ""


def _missing_name(said: str) -> str | None:
    found = re.search(r"'([^']+)'", said)
    return found[1] if found else None


def _line(case: Case, lookup: tuple[str, str, int] | None) -> int | None:
    if lookup:
        return lookup[2] or None
    line = case.attributes.get("line", "")
    if not line.isdecimal() or len(line) > 9:
        return None
    # pytest alone counts from 0.
    return int(line) + (case.suite.get("name") == "pytest")


def _logs(output: str) -> list[str]:
    """Return what was logged at WARNING and above, each once, without the times before and the places after it."""
    logs: dict[str, None] = {}
    for line in output.split("\n"):
        found = _LOG.search(line[:_LONGEST_LINE])
        if found is None:
            continue
        said = found[2].strip()
        if pytests := _PYTEST_LOG.match(said):
            said = f"{pytests[1]} {pytests[2]}"
        level = "WARNING" if found[1].startswith("WARN") else "ERROR" if found[1] == "ERROR" else "CRITICAL"
        logs.setdefault(f"{level} {_ANSI.sub('', said)}")
        if len(logs) == _MOST_LOGS:
            break
    return list(logs)

"""What all reports of a red run say of a cause: where it is, what was raised, how grave it is, which tests fail.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from pytest_qeattention.defects.gate import Judgement
from pytest_qeattention.defects.history import Seen
from pytest_qeattention.defects.model import Cause, DefectsReport
from pytest_qeattention.defects.record import FailureRecord, Frame
from pytest_qeattention.report.defect_lines import seen_text
from pytest_qeattention.wording import counted

STATES = ("regressed", "new", "cause", "likely", "known")
"""What needs attention first; ``cause`` is one that was not looked up."""
Level = Literal["error", "warning", "note"]
LEVELS: Mapping[str, Level] = MappingProxyType(
    {"regressed": "error", "new": "error", "cause": "error", "likely": "warning", "known": "note"}
)


@dataclass(frozen=True, slots=True)
class Beside:
    """Hold what is known beside the report itself."""

    seen: Mapping[str, Seen] = field(default_factory=lambda: MappingProxyType({}))
    """When causes were seen in earlier runs, by their ids; those never seen are absent."""
    urls: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Where defects are described, by their names."""
    is_kept: bool = False
    """Whether the run is kept, so that ``last/2`` stands for its second cause."""
    store: str | None = None
    """What a command needs for ``--qe-store``."""
    judgement: Judgement | None = None
    """What the gate says; None where none was asked for."""
    gate: str = "--qe-known-ok"
    """The flag of the gate."""

    def address(self, number: int) -> str:
        """Return what the cause of a number is called by commands; empty where it has no name."""
        return f"last/{number}" if self.is_kept else ""

    def url(self, cause: Cause) -> str | None:
        """Return where the defect that a cause is, or is likely to be, is described."""
        return None if cause.match is None else self.urls.get(cause.match.defect or "")

    def command(self, *words: str) -> str:
        """Return a command about defects, as a shell takes it."""
        store = () if self.store is None else ("--qe-store", self.store)
        return " ".join(("qeattention defects", *(shlex.quote(word) for word in (*words, *store))))


@dataclass(frozen=True, slots=True)
class Place:
    """Say where something is; `path` is empty where that is unknown."""

    path: str
    line: int | None
    name: str

    @property
    def text(self) -> str:
        return self.path if self.line is None else f"{self.path}:{self.line}"


def state_of(cause: Cause) -> str:
    """Return one of `STATES`."""
    return "cause" if cause.match is None else cause.match.state


def by_attention(report: DefectsReport) -> list[tuple[int, Cause]]:
    """Return the causes with their numbers, those first that need attention; else in the order of the report."""
    return sorted(enumerate(report.causes, 1), key=lambda each: (STATES.index(state_of(each[1])), each[0]))


def place_of(cause: Cause, records: tuple[FailureRecord, ...]) -> Place:
    """Return what the failures come from: the culprit, or else what is nearest to it."""
    record = records[cause.representative]
    frame = cause.culprit or _own_frame(record)
    if frame is not None:
        return Place(frame.path, frame.line or None, frame.qualname)
    return Place(record.test.path, record.test.line, record.test.failing_fixture or record.test.qualname)


def traceback_end(record: FailureRecord) -> Place | None:
    """Return where the traceback of a failure ends; None where there is none."""
    root = record.root
    if root is None or not root.frames:
        return None
    last = root.frames[-1]
    return Place(last.path, last.line or None, last.qualname)


def headline(record: FailureRecord) -> tuple[str, str]:
    """Return type and message of what a failure came from, the message on one line."""
    root = record.root
    if root is None:
        said = {"crash": "the worker crashed", "timeout": "the test took too long"}
        return "", said.get(record.phase, "nothing is said of the failure")
    message = " ".join(root.message.partition("\n")[0].split())
    if root.type == "AssertionError" and message.startswith("assert "):
        return "", message
    return root.type, message


def said_of(cause: Cause, records: tuple[FailureRecord, ...]) -> str:
    """Return the headline of a cause in one text."""
    type_, message = headline(records[cause.representative])
    return f"{type_}: {message}" if type_ and message else type_ or message or "nothing is said of the failure"


def tests_of(cause: Cause, records: tuple[FailureRecord, ...]) -> list[FailureRecord]:
    """Return a failure of each test, the representative first."""
    of_tests = {records[cause.representative].nodeid: records[cause.representative]}
    for at in cause.failures:
        of_tests.setdefault(records[at].nodeid, records[at])
    return list(of_tests.values())


def why_matched(cause: Cause, report: DefectsReport) -> tuple[str, ...]:
    """Return what decided on the defect; nothing where there is no knowledge to speak of."""
    if cause.match is None or report.knowledge in (None, "empty"):
        return ()
    return cause.match.reasons


def seen_words(seen: Seen | None, *, is_kept: bool) -> str:
    """Return in words when a cause was seen; empty where that is unknown."""
    if seen is None:
        return "not seen before" if is_kept else ""
    return seen_text(seen)


def confidence_words(cause: Cause) -> str:
    """Return the confidence of a match; empty where it is not measured."""
    confidence = None if cause.match is None else cause.match.confidence
    # Rounded down, so that 1.00 is said of nothing less.
    return "" if confidence is None else f"confidence {int(confidence * 100 + 1e-9) / 100:.2f}"


def judgement_words(judgement: Judgement, flag: str) -> str:
    """Return what the gate says in one line."""
    if judgement.reason is not None:
        return f"not passed by {flag}: {judgement.reason}"
    defects = {(each.defect, each.until) for each in judgement.passed}
    named = "; ".join(f"{name} until {until}" for name, until in sorted(defects))
    return f"passed by {flag}: {counted(len(judgement.passed), 'failure')}, known and confirmed ({named})"


def passed_by_defect(judgement: Judgement) -> Iterator[tuple[str, str, list[str]]]:
    """Yield each defect that lets failures pass, until when, and the node ids of the failures."""
    tests: dict[tuple[str, str], list[str]] = {}
    for each in judgement.passed:
        tests.setdefault((each.defect, each.until), []).append(each.nodeid)
    for (defect, until), nodeids in sorted(tests.items()):
        yield defect, until, list(dict.fromkeys(nodeids))


def _own_frame(record: FailureRecord) -> Frame | None:
    root = record.root
    own = [frame for frame in root.frames if frame.role not in ("third party", "stdlib")] if root is not None else []
    return own[-1] if own else None

"""Whether a red run may pass because every failure of it is a known defect: the gate of ``--qe-known-ok``.

A failure passes where a person said that it is a defect, the defect is open, and what was said still counts; where the
match is as sure as one can be; and where the message or code of the product took part in it, so that a test that fails
for another reason than before never passes for having failed before. All else leaves the run red.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta

from pytest_qeattention.defects.knowledge import Defect, Knowledge
from pytest_qeattention.defects.matching import matches
from pytest_qeattention.defects.model import DefectsReport, Match
from pytest_qeattention.defects.pattern import Pattern
from pytest_qeattention.defects.record import FailureRecord
from pytest_qeattention.wording import counted

LEAST_CONFIDENCE = 0.95
"""Of a match by score. A rule needs none, and of a signature it is enough that one was found."""
LEAST_TESTS = 3
"""Different tests that a defect must be labelled in for a failure to pass by a score: from one or two, what the defect
does and what others do can't be told apart well enough to let a run pass."""
COUNTED_DAYS = 90
"""How long what a person said counts where no last day was set."""
_WORD = re.compile(r"[^\W\d_]+")
_MASK = re.compile(r"<[^<>]*>")
# What an assert of bare values says whatever went wrong.
_EMPTY_WORDS = frozenset(("assert", "assertionerror", "and", "or", "not", "in", "is", "true", "false", "none", "where"))


@dataclass(frozen=True, slots=True)
class Passed:
    """Say that a failure passes, as what, and until when."""

    nodeid: str
    defect: str
    until: str
    """The last day, UTC, as ``2026-12-31``."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """Say whether a run passes."""

    passed: tuple[Passed, ...] = ()
    """The failures that alone would not keep it from passing, in the order of the report."""
    reason: str | None = None
    """Why the run does not pass, the first reason; None where it does."""

    @property
    def is_passed(self) -> bool:
        return self.reason is None


def judge(report: DefectsReport, knowledge: Knowledge | None, today: date, *, obstacle: str | None = None) -> Judgement:
    """Judge the failures of *report* by what is known on the day *today*, UTC.

    *knowledge* is None where it could not be read. *obstacle* says what keeps the run from passing whatever its
    failures are.
    """
    passed: list[Passed] = []
    refusals: list[str] = []
    confirmed = None if knowledge is None else _Confirmed(knowledge)
    for place, record in enumerate(report.records):
        verdict = _judged(record, report.matches.get(place), confirmed, today)
        if isinstance(verdict, Passed):
            passed.append(verdict)
        else:
            refusals.append(f"{record.nodeid} {verdict}")
    reason = obstacle
    if reason is None and knowledge is not None and knowledge.contents.kept:
        lines = len(knowledge.contents.kept)
        reason = f"{counted(lines, 'line')} about defects cannot be read, and may say otherwise; correct the file"
    if reason is None and refusals:
        more = f" (and {counted(len(refusals) - 1, 'failure')} more that may not pass)" if len(refusals) > 1 else ""
        reason = refusals[0] + more
    return Judgement(tuple(passed), reason)


class _Confirmed:
    """Know when people last said what a match rests on."""

    def __init__(self, knowledge: Knowledge) -> None:
        self.defects = knowledge.defects
        self._of_signature: dict[tuple[str, str], str] = {}
        self._of_defect: dict[str, str] = {}
        self._tests: dict[str, set[tuple[str, str]]] = {}
        # These are the labels of people, oldest first.
        for label in knowledge.labels:
            if label.is_confirmed:
                self._of_signature[label.defect, label.pattern.signature] = label.at
                self._of_defect[label.defect] = label.at
                self._tests.setdefault(label.defect, set()).add((label.pattern.path, label.pattern.test))
        self._rules = [
            (knowledge.aliases[each.defect], each.rule, each.at)
            for each in knowledge.contents.statements
            if each.kind == "rule" and each.value == "on" and each.source == "human" and each.rule is not None
        ]

    def tests(self, defect: str) -> int:
        """Return in how many tests people labelled *defect*."""
        return len(self._tests.get(defect, ()))

    def at(self, record: FailureRecord, match: Match, defect: str) -> str | None:
        """Return the time; None where no person said it."""
        if match.basis == "signature":
            return self._of_signature.get((defect, record.signature()))
        if match.basis == "score":
            return self._of_defect.get(defect)
        pattern = Pattern.of(record)
        said = [at for name, rule, at in self._rules if name == defect and matches(rule, pattern)]
        return max(said, default=None)


def _judged(record: FailureRecord, match: Match | None, confirmed: _Confirmed | None, today: date) -> Passed | str:
    """Return as what a failure passes, or why it does not."""
    if record.phase == "collect":
        return "could not be collected, so nothing is known of its tests"
    if record.phase == "crash":
        return "ended its worker, which says nothing of why"
    if match is None or confirmed is None:
        return "was not looked up"
    if match.defect is None or match.state == "new":
        return "is new"
    name = match.defect
    if match.state == "likely":
        return f"is only likely to be {name}; 'qeattention defects label' says that it is"
    defect = confirmed.defects.get(name)
    if match.state == "regressed" or defect is None or defect.state != "open":
        return f"is {name}, which was closed"
    if match.basis == "score" and (match.confidence is None or match.confidence < LEAST_CONFIDENCE):
        shown = "unknown" if match.confidence is None else f"{match.confidence:.3f}"
        return f"is {name} by a score whose confidence is {shown}, not {LEAST_CONFIDENCE:.2f}"
    if match.basis not in ("signature", "rule", "score") or not _says_why(record, match):
        return f"is {name}, but neither a message that says why nor code of the project took part in the match"
    said = confirmed.at(record, match, name)
    if said is None:
        return f"is {name}, which no person has said of such a failure"
    if match.basis == "score" and confirmed.tests(name) < LEAST_TESTS:
        tests = counted(confirmed.tests(name), "test")
        return f"is {name} by a score that rests on {tests} labelled, and not on {LEAST_TESTS}"
    until = _until(defect, said)
    if until < today.isoformat():
        return f"is {name}, which may pass until {until} only; label it again, with --until DATE where it stays"
    return Passed(record.nodeid, name, until)


def _says_why(record: FailureRecord, match: Match) -> bool:
    """Tell whether more than the test itself took part in the match."""
    if "product frame" in match.grounds:
        return True
    root = record.root
    if "message" not in match.grounds or root is None:
        return False
    # Of an assert on bare values all that varies is masked, and what is left is the same for any failure of the test.
    words = _WORD.findall(_MASK.sub(" ", root.masked.template))
    return bool(root.masked.typed) or any(word.casefold() not in _EMPTY_WORDS for word in words)


def _until(defect: Defect, said: str) -> str:
    """Return the last day on which a defect passes that was confirmed at the time *said*."""
    if defect.expires is not None:
        return defect.expires
    try:
        return (date.fromisoformat(said[:10]) + timedelta(days=COUNTED_DAYS)).isoformat()
    except (ValueError, OverflowError):
        # The time of a line that somebody wrote by hand: 2026-02-31.
        return date.min.isoformat()

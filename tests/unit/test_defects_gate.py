"""Which failures ``--qe-known-ok`` lets pass, and which never."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from defect_failures import failure, report

from pytest_qeattention.defects.gate import COUNTED_DAYS, Judgement, Passed, judge
from pytest_qeattention.defects.knowledge import Knowledge, Teacher
from pytest_qeattention.defects.knowledge_file import Contents
from pytest_qeattention.defects.model import DefectsReport, Match
from pytest_qeattention.defects.pattern import Pattern
from pytest_qeattention.defects.record import FailureRecord
from pytest_qeattention.defects.statements import Rule, Statement

TODAY = date(2026, 6, 1)
SIGNATURE = Match("known", "BUG-1", None, ("the same",), "signature", frozenset({"message", "product frame"}))
RULE = replace(SIGNATURE, basis="rule", grounds=frozenset({"message"}))
SCORE = replace(SIGNATURE, basis="score", confidence=0.97, grounds=frozenset({"message", "test"}))


def at(day: date) -> str:
    return f"{day.isoformat()}T12:00:00.000000Z"


def knowledge(*statements: Statement) -> Knowledge:
    return Knowledge(Contents(statements))


def label(record: FailureRecord, day: date = TODAY) -> Statement:
    return Statement("label", "BUG-1", at(day), "me", "confirm", pattern=Pattern.of(record))


NAMED = Statement("defect", "BUG-1", at(TODAY))
OTHERS = tuple(label(failure(test=f"test_other_{number}"), TODAY - timedelta(400)) for number in range(2))
"""A match by score rests on labels of several tests."""
KNOWN = knowledge(NAMED, label(failure()), *OTHERS)


def judged(match: Match | None, known: Knowledge | None = KNOWN, record: FailureRecord | None = None) -> Judgement:
    found = replace(report([record or failure()]), matches={} if match is None else {0: match})
    return judge(found, known, TODAY)


def why(match: Match | None, known: Knowledge | None = KNOWN, record: FailureRecord | None = None) -> str:
    judgement = judged(match, known, record)
    assert not judgement.is_passed
    assert judgement.passed == ()
    assert judgement.reason is not None
    return judgement.reason.removeprefix((record or failure()).nodeid).lstrip()


@pytest.mark.parametrize(
    ("match", "known"),
    [
        (SIGNATURE, KNOWN),
        (replace(SIGNATURE, grounds=frozenset({"message", "test"})), KNOWN),
        (replace(SIGNATURE, grounds=frozenset({"product frame"})), KNOWN),
        (RULE, knowledge(NAMED, Statement("rule", "BUG-1", at(TODAY), "me", "on", rule=Rule(template="no free *")))),
        (SCORE, KNOWN),
        (replace(SCORE, confidence=0.95), KNOWN),
    ],
)
def test_what_a_person_said_and_what_is_sure_passes(match: Match, known: Knowledge) -> None:
    until = (TODAY + timedelta(COUNTED_DAYS)).isoformat()

    assert judged(match, known) == Judgement((Passed(failure().nodeid, "BUG-1", until),), None)


@pytest.mark.parametrize(
    ("match", "reason"),
    [
        (None, "was not looked up"),
        (Match("new"), "is new"),
        (replace(SIGNATURE, state="new"), "is new"),
        (replace(SIGNATURE, state="likely"), "is only likely to be BUG-1; 'qeattention defects label' says that it is"),
        (replace(SIGNATURE, state="regressed"), "is BUG-1, which was closed"),
        (replace(SIGNATURE, defect="BUG-2"), "is BUG-2, which was closed"),
        (replace(SCORE, confidence=0.949), "is BUG-1 by a score whose confidence is 0.949, not 0.95"),
        (replace(SCORE, confidence=None), "is BUG-1 by a score whose confidence is unknown, not 0.95"),
        *(
            (
                replace(match, grounds=frozenset(grounds)),
                "is BUG-1, but neither a message that says why nor code of the project took part in the match",
            )
            for match in (SIGNATURE, RULE, SCORE)
            for grounds in ((), ("test",), ("test", "exception", "fixture", "assertion"))
        ),
        (replace(SIGNATURE, basis=None), "is BUG-1, but neither *"),
        (RULE, "is BUG-1, which no person has said of such a failure"),
    ],
)
def test_all_else_leaves_the_run_red(match: Match | None, reason: str) -> None:
    assert why(match).startswith(reason.rstrip("*"))


def test_what_was_not_read_leaves_the_run_red() -> None:
    assert why(SIGNATURE, None) == "was not looked up"
    damaged = Knowledge(replace(KNOWN.contents, kept=(b'{"version":9}',)))
    judgement = judged(SIGNATURE, damaged)
    assert judgement.reason == "1 line about defects cannot be read, and may say otherwise; correct the file"
    assert [each.defect for each in judgement.passed] == ["BUG-1"]


@pytest.mark.parametrize("phase", ["collect", "crash"])
def test_what_hides_other_tests_never_passes(phase: str) -> None:
    record = replace(failure(), phase=phase)  # type: ignore[arg-type]

    assert why(SIGNATURE, KNOWN, record).startswith(("could not be collected", "ended its worker"))


@pytest.mark.parametrize(
    ("message", "is_passed"),
    [
        ("assert 1 == 2", False),
        ("assert False", False),
        ("assert (1.5 <= 1.25 and not None)", False),
        ("", False),
        ("assert 1 == 2\n +  where 1 = total([3])", True),
        ("assert 'tea' == 'cup'", True),
        ("no free connection", True),
        ("status 503", True),
    ],
)
def test_a_message_of_bare_values_says_no_more_than_the_test(message: str, is_passed: bool) -> None:
    record = failure(message, type_="AssertionError", at=None)
    match = replace(SIGNATURE, grounds=frozenset({"message", "test"}))

    assert judged(match, knowledge(NAMED, label(record)), record).is_passed is is_passed


def test_a_machine_is_no_person() -> None:
    automatic = knowledge(NAMED, replace(label(failure()), source="automatic"))
    rule = Statement("rule", "BUG-1", at(TODAY), "", "on", "automatic", rule=Rule(template="no free *"))

    for match, known in ((SIGNATURE, automatic), (SCORE, automatic), (RULE, knowledge(NAMED, rule))):
        assert why(match, known) == "is BUG-1, which no person has said of such a failure"


def test_a_key_is_no_bare_value() -> None:
    record = failure("42", type_="KeyError", at=None)
    match = replace(SIGNATURE, grounds=frozenset({"message", "test"}))

    assert judged(match, knowledge(NAMED, label(record)), record).is_passed


@pytest.mark.parametrize(
    ("value", "rule"), [("off", Rule(template="no free *")), ("on", Rule(template="another *"))], ids=["off", "other"]
)
def test_a_rule_has_to_be_on_and_to_fit(value: str, rule: Rule) -> None:
    known = knowledge(NAMED, Statement("rule", "BUG-1", at(TODAY), "me", value, rule=rule))

    assert why(RULE, known) == "is BUG-1, which no person has said of such a failure"


def test_a_person_who_said_that_it_is_not_confirms_nothing() -> None:
    rejected = knowledge(NAMED, replace(label(failure()), value="reject"))

    for match in (SIGNATURE, SCORE):
        assert why(match, rejected) == "is BUG-1, which no person has said of such a failure"


def test_a_person_said_it_of_such_a_failure() -> None:
    other = knowledge(NAMED, label(failure("another message")))

    assert why(SIGNATURE, other) == "is BUG-1, which no person has said of such a failure"
    assert why(SCORE, other) == "is BUG-1 by a score that rests on 1 test labelled, and not on 3"
    assert why(SCORE, knowledge(*other.contents.statements, OTHERS[0])).endswith(
        "rests on 2 tests labelled, and not on 3"
    )
    assert judged(SCORE, knowledge(*other.contents.statements, *OTHERS)).is_passed


@pytest.mark.parametrize(("age", "is_passed"), [(0, True), (COUNTED_DAYS, True), (COUNTED_DAYS + 1, False)])
@pytest.mark.parametrize("match", [SIGNATURE, SCORE])
def test_without_a_last_day_a_confirmation_counts_for_so_long(match: Match, age: int, is_passed: bool) -> None:
    said = TODAY - timedelta(age)
    assert COUNTED_DAYS == 90

    assert judged(match, knowledge(NAMED, label(failure(), said), *OTHERS)).is_passed is is_passed


def test_the_newest_confirmation_counts() -> None:
    old = label(failure(test="test_other"), TODAY - timedelta(300))

    judgement = judged(SIGNATURE, knowledge(NAMED, old, label(failure(), TODAY - timedelta(1))))

    assert [each.until for each in judgement.passed] == [(TODAY + timedelta(COUNTED_DAYS - 1)).isoformat()]


@pytest.mark.parametrize(("until", "is_passed"), [("2026-05-31", False), ("2026-06-01", True), ("2027-01-31", True)])
def test_the_last_day_that_was_set_counts_whatever_the_age(until: str, is_passed: bool) -> None:
    known = knowledge(
        NAMED, label(failure(), TODAY - timedelta(1000)), Statement("expires", "BUG-1", at(TODAY), "", until)
    )

    if is_passed:
        assert [each.until for each in judged(SIGNATURE, known).passed] == [until]
    else:
        assert why(SIGNATURE, known) == (
            "is BUG-1, which may pass until 2026-05-31 only; label it again, with --until DATE where it stays"
        )


def test_a_closed_defect_never_passes() -> None:
    closed = knowledge(NAMED, label(failure()), Statement("state", "BUG-1", at(TODAY), "me", "closed"))

    assert why(SIGNATURE, closed) == "is BUG-1, which was closed"


def two(first: Match, second: Match) -> DefectsReport:
    found = report([failure(test="test_a"), failure(test="test_b")])
    return replace(found, matches={0: first, 1: second})


def test_one_that_may_not_pass_keeps_all_from_it() -> None:
    judgement = judge(two(SIGNATURE, Match("new")), KNOWN, TODAY)

    assert [each.nodeid for each in judgement.passed] == ["tests/test_shop.py::test_a"]
    assert judgement.reason == "tests/test_shop.py::test_b is new"


def test_the_first_reason_is_told_and_the_others_are_counted() -> None:
    judgement = judge(two(Match("new"), replace(SIGNATURE, state="regressed")), KNOWN, TODAY)

    assert judgement.reason == "tests/test_shop.py::test_a is new (and 1 failure more that may not pass)"


def test_an_obstacle_comes_first() -> None:
    judgement = judge(two(SIGNATURE, SIGNATURE), KNOWN, TODAY, obstacle="the run was stopped")

    assert not judgement.is_passed
    assert judgement.reason == "the run was stopped"
    assert len(judgement.passed) == 2


def test_many_failures_are_judged_by_one_look_at_the_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[str] = []
    property_: Callable[[Knowledge], object] = Knowledge.labels.func
    monkeypatch.setattr(Knowledge, "labels", property(lambda self: (reads.append("labels"), property_(self))[1]))
    found = report([failure(test=f"test_{number}") for number in range(50)])

    judgement = judge(
        replace(found, matches=dict.fromkeys(range(50), SIGNATURE)), knowledge(NAMED, label(failure())), TODAY
    )

    assert judgement.is_passed
    assert reads == ["labels"]


def test_what_was_taught_is_what_the_gate_reads(tmp_path: Path) -> None:
    record = failure()
    known = Teacher(tmp_path / "defects.jsonl", "me").label([Pattern.of(record)], "BUG-1", until="2999-12-31")

    judgement = judge(replace(report([record]), matches={0: SIGNATURE}), known, TODAY)

    assert judgement == Judgement((Passed(record.nodeid, "BUG-1", "2999-12-31"),))

"""Which defect a failure is: by signature, by rules, by likeness; and the honest "new"."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from defect_failures import failure, report, without_text

from pytest_qeattention.defects.knowledge import Knowledge, Teacher
from pytest_qeattention.defects.matching import LIKELY, Matcher, matches, shown_rule
from pytest_qeattention.defects.pattern import Pattern
from pytest_qeattention.defects.pattern_index import PatternIndex
from pytest_qeattention.defects.record import Assertion, FailureRecord
from pytest_qeattention.defects.replay import replay
from pytest_qeattention.defects.statements import Rule

POOL = failure()
PRICE = failure("bad price '3,50'", type_="ValueError", at="parse", test="test_price")
DISK = failure("disk quota exceeded on volume backup", type_="OSError", at="save", test="test_backup")
FAR = failure("unknown locale", type_="KeyError", at="translate", test="test_words", path="tests/test_words.py")


@pytest.fixture
def teacher(tmp_path: Path) -> Teacher:
    """Return one that has been taught a pool, a price and a disk."""
    teacher = Teacher(tmp_path / "defects.jsonl", "anna")
    for name, record in (("POOL", POOL), ("PRICE", PRICE), ("DISK", DISK)):
        teacher.label([Pattern.of(record)], name)
    return teacher


def matcher(teacher: Teacher) -> Matcher:
    return Matcher(Knowledge.load(teacher.file))


def test_an_empty_knowledge_base_says_so() -> None:
    found = Matcher(Knowledge()).match(report([POOL], [PRICE]))

    assert found.knowledge == "empty"
    assert found.candidates == {}
    assert [cause.match and (cause.match.state, cause.match.defect, cause.match.reasons) for cause in found.causes] == [
        ("new", None, ("nothing is known of any defect yet",))
    ] * 2


def test_the_same_signature_is_known_in_any_test(teacher: Teacher) -> None:
    again = failure("no free connection of 9 after 12 s", test="test_refund", path="tests/test_money.py")

    verdict = matcher(teacher).verdict(again)

    assert (verdict.state, verdict.defect, verdict.candidates[0]) == ("known", "POOL", ("POOL", 1.0))
    assert verdict.reasons[0].startswith("same exception, message and place as 1 labelled failure (last ")
    assert verdict.reasons[0].endswith(" by anna)")


def test_a_closed_defect_that_comes_back_is_regressed(teacher: Teacher) -> None:
    teacher.close("POOL")

    verdict = matcher(teacher).verdict(POOL)

    assert (verdict.state, verdict.defect) == ("regressed", "POOL")
    assert verdict.reasons[-1].startswith("closed on 2")


def test_what_is_alike_is_likely_and_never_known(teacher: Teacher) -> None:
    alike = failure("no free connection left of 5 after 0.3 s", test="test_order")

    verdict = matcher(teacher).verdict(alike)

    assert (verdict.state, verdict.defect) == ("likely", "POOL")
    assert verdict.candidates[0][1] >= LIKELY
    assert "exception pool.PoolExhausted" in verdict.reasons[1] or "culprit Pool.get" in verdict.reasons[1]


def test_what_is_like_nothing_is_new_with_its_candidates(teacher: Teacher) -> None:
    verdict = matcher(teacher).verdict(FAR)

    assert (verdict.state, verdict.defect) == ("new", None)
    assert all(score < LIKELY for _, score in verdict.candidates)
    assert "less than 0.50" in verdict.reasons[0] or verdict.reasons == ("shares nothing with a labelled failure",)


def test_two_defects_that_are_as_near_are_no_answer(teacher: Teacher) -> None:
    one = failure("timeout in stage left", type_="E", at="run", test="test_run")
    other = failure("timeout in stage right", type_="E", at="run", test="test_run")
    teacher.label([Pattern.of(one)], "LEFT")
    teacher.label([Pattern.of(other)], "RIGHT")

    verdict = matcher(teacher).verdict(failure("timeout in stage", type_="E", at="run", test="test_run"))

    assert (verdict.state, verdict.defect) == ("new", None)
    assert verdict.reasons[0].startswith("between LEFT with ")


def test_the_newest_label_of_a_test_wins(teacher: Teacher) -> None:
    teacher.label([Pattern.of(POOL)], "LEAK")

    assert matcher(teacher).verdict(POOL).defect == "LEAK"


def test_one_signature_with_two_defects_is_told_apart_by_its_tests(teacher: Teacher) -> None:
    refund = failure(test="test_refund")
    teacher.label([Pattern.of(refund)], "LEAK")

    found = matcher(teacher)

    assert [(found.verdict(each).state, found.verdict(each).defect) for each in (POOL, refund)] == [
        ("known", "POOL"),
        ("known", "LEAK"),
    ]
    third = found.verdict(failure(test="test_third"))
    assert (third.state, third.defect) == ("likely", "LEAK")
    assert third.reasons[-1] == "so do failures of POOL"


def test_a_rejected_failure_is_that_defect_no_more(teacher: Teacher) -> None:
    refund = failure(test="test_refund")
    teacher.label([Pattern.of(refund)], "POOL", is_confirmed=False)

    found = matcher(teacher)

    assert found.verdict(refund).defect is None
    assert all(name != "POOL" for name, _ in found.verdict(refund).candidates)
    assert (found.verdict(POOL).state, found.verdict(POOL).defect) == ("known", "POOL")
    other = found.verdict(failure(test="test_other"))
    assert (other.state, other.defect) == ("likely", "POOL")
    assert other.reasons[-1] == "one such failure was said not to be POOL"


def test_a_failure_without_text_is_known_by_its_test_alone_and_so_never_known(teacher: Teacher) -> None:
    silent = without_text(failure(test="test_silent"))
    teacher.label([Pattern.of(silent)], "SILENT")

    verdict = matcher(teacher).verdict(silent)

    assert (verdict.state, verdict.defect) == ("likely", "SILENT")
    assert verdict.reasons == ("the same test failed as SILENT; it says nothing of why",)


@pytest.mark.parametrize(
    ("rule", "fits"),
    [
        (Rule(type="PoolExhausted"), True),
        (Rule(type="pool.*"), True),
        (Rule(type="Pool"), False),
        (Rule(template="no free connection of <number>*"), True),
        (Rule(template="no free connection of 5*"), False),
        (Rule(frame="src/*::Pool.*"), True),
        (Rule(frame="src/*::Lake.*"), False),
        (Rule("PoolExhausted", "*connection*", "*::Pool.get"), True),
        (Rule("PoolExhausted", "*connection*", "*::Pool.put"), False),
        (Rule(template="*" * 200 + "z"), False),
    ],
    ids=lambda value: shown_rule(value) if isinstance(value, Rule) else None,
)
def test_rules_fit_by_globs(rule: Rule, fits: bool) -> None:
    assert matches(rule, Pattern.of(POOL)) is fits


def test_a_rule_makes_a_failure_known_unless_it_was_rejected(teacher: Teacher) -> None:
    teacher.rule("WORDS", Rule(type="KeyError", template="*locale*"))

    verdict = matcher(teacher).verdict(FAR)
    assert (verdict.state, verdict.defect) == ("known", "WORDS")
    assert verdict.reasons == ("by the rule type KeyError, message *locale*",)
    assert matcher(teacher).verdict(POOL).defect == "POOL"

    teacher.label([Pattern.of(FAR)], "WORDS", is_confirmed=False)
    assert matcher(teacher).verdict(FAR).defect is None


def test_a_merge_and_a_split_hold_for_matches(teacher: Teacher) -> None:
    refund = failure(test="test_refund")
    teacher.label([Pattern.of(refund)], "POOL")
    teacher.merge("PRICE", "POOL")
    assert matcher(teacher).verdict(PRICE).defect == "POOL"

    teacher.split("POOL", "LEAK", [Pattern.of(refund)])
    found = matcher(teacher)
    assert [(found.verdict(each).state, found.verdict(each).defect) for each in (POOL, refund)] == [
        ("known", "POOL"),
        ("known", "LEAK"),
    ]


def test_a_cause_is_what_most_of_its_failures_are(teacher: Teacher) -> None:
    strangers = [replace(FAR, nodeid=f"{FAR.nodeid}[{number}]") for number in range(3)]
    found = matcher(teacher).match(report([POOL, FAR], [POOL, *strangers], [POOL, PRICE], strangers))

    matched = [cause.match for cause in found.causes]
    assert [match and (match.state, match.defect, match.confidence) for match in matched] == [
        ("known", "POOL", None),
        ("likely", "POOL", None),
        ("likely", "POOL", None),
        ("new", None, None),
    ]
    assert matched[1] is not None
    assert matched[1].reasons[-1] == "that holds for 1 of its 4 failures"
    assert matched[2] is not None
    assert matched[2].reasons[-1] == "1 failure of it: PRICE"
    assert found.candidates[0][0] == ("POOL", 1.0)
    assert found.knowledge == "3 defects, 3 labelled failures"


def test_a_defect_is_scored_by_all_that_it_was_seen_to_do(teacher: Teacher) -> None:
    for word in ("tea", "cup"):
        teacher.label([Pattern.of(failure(f"{word} sold out in shop", type_="Sold", at="sell"))], "OFTEN")
    teacher.label([Pattern.of(failure("milk sold out in shop", type_="Sold", at="sell"))], "ONCE")
    teacher.label([Pattern.of(failure("rain ruined roof of house", type_="Sold", at="sell"))], "ONCE")

    candidates = dict(matcher(teacher).verdict(failure("salt sold out in shop", type_="Sold", at="sell")).candidates)

    assert candidates["OFTEN"] > candidates["ONCE"]


def test_what_all_patterns_have_finds_the_first_of_them_and_nothing_breaks() -> None:
    patterns = [
        Pattern.of(failure("x", type_="E", at=None, test=f"test_{number}", assertion=Assertion("==")))
        for number in range(450)
    ]

    nearest = PatternIndex(patterns).nearest(Pattern.of(failure("x", type_="E", at=None, test="test_new", path="a.py")))

    assert nearest
    assert all(0 < score <= 1 for score, _ in nearest)
    assert PatternIndex([]).nearest(patterns[0]) == []
    assert PatternIndex(patterns).nearest(patterns[7])[0] == (pytest.approx(1.0), 7)


def runs(*failures: tuple[int, FailureRecord]) -> list[tuple[str, Pattern]]:
    return [(f"2020-01-{day:02}T00:00:00.000000Z", Pattern.of(record)) for day, record in failures]


def test_a_replay_judges_each_failure_by_what_was_known_before(teacher: Teacher) -> None:
    refund = failure(test="test_refund")
    teacher.label([Pattern.of(refund)], "POOL")
    knowledge = Knowledge.load(teacher.file)

    result = replay(knowledge, runs((1, POOL), (2, POOL), (2, refund), (3, PRICE), (4, FAR)))

    # DISK is in no run, and counts when it was labelled; FAR has no label.
    assert (result.failures, result.seen_before, result.answered, result.right) == (5, 2, 2, 2)
    assert (result.precision, result.answer_rate, result.first_rate, result.new_called_known) == (1.0, 1.0, 1.0, 0)


def test_a_replay_counts_wrong_answers(teacher: Teacher) -> None:
    twin = failure(test="test_twin")
    teacher.label([Pattern.of(twin)], "TWIN")

    result = replay(Knowledge.load(teacher.file), runs((1, POOL), (2, twin)))

    assert (result.answered, result.right, result.new_called_known) == (1, 0, 1)
    assert (result.precision, result.answer_rate) == (0.0, None)


def test_a_replay_of_nothing_measures_nothing() -> None:
    result = replay(Knowledge())
    assert (result.failures, result.precision, result.answer_rate, result.first_rate) == (0, None, None, None)

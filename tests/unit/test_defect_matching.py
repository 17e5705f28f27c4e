"""Which defect a failure is: by what was said of it, by rules, by what it is like; and the honest "new"."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from defect_failures import failure, report, without_text
from defect_patterns import MODEL

from pytest_qeattention.defects import matching
from pytest_qeattention.defects.knowledge import Knowledge, Teacher
from pytest_qeattention.defects.match_model import MatchModel
from pytest_qeattention.defects.matching import MOST_CANDIDATES, Matcher, Verdict, matches, shown_rule
from pytest_qeattention.defects.pattern import Pattern
from pytest_qeattention.defects.record import FailureRecord
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


def matcher(teacher: Teacher, model: MatchModel | None = MODEL) -> Matcher:
    """Return one that knows what *teacher* said; *model* is that of the package if None."""
    return Matcher(Knowledge.load(teacher.file), model)


def test_an_empty_knowledge_base_says_so() -> None:
    found = Matcher(Knowledge()).match(report([POOL], [PRICE]))

    assert found.knowledge == "empty"
    assert found.candidates == {}
    assert [cause.match and (cause.match.state, cause.match.defect, cause.match.reasons) for cause in found.causes] == [
        ("new", None, ("nothing is known of any defect yet",))
    ] * 2


def test_what_a_person_labelled_is_known_when_it_happens_again(teacher: Teacher) -> None:
    again = failure("no free connection of 9 after 12 s", parameter="tea")

    verdict = matcher(teacher).verdict(again)

    assert (verdict.state, verdict.defect, verdict.basis) == ("known", "POOL", "signature")
    assert verdict.reasons[0].startswith("same exception, message and place as 1 labelled failure (last ")
    assert verdict.reasons[0].endswith(" by anna)")
    # 9 for the defect, 4 for a new one; the others have another message and frame, -2.
    assert verdict.confidence == pytest.approx(1 / (1 + math.exp(-5)), abs=2e-3)
    assert verdict.grounds == {"message", "product frame"}


def test_the_same_signature_in_another_test_is_known_as_far_as_the_model_is_sure(teacher: Teacher) -> None:
    again = failure("no free connection of 9 after 12 s", test="test_refund", path="tests/test_money.py")

    verdict = matcher(teacher).verdict(again)

    assert (verdict.state, verdict.defect, verdict.basis) == ("known", "POOL", "signature")
    assert verdict.candidates[0] == ("POOL", pytest.approx(verdict.confidence, abs=1e-6))
    assert verdict.confidence == pytest.approx(1 / (1 + math.exp(-4)), abs=2e-3)
    assert verdict.reasons[0].startswith("same exception, message and place as 1 labelled failure (last ")
    assert verdict.reasons[1].startswith(
        "probability 0.98: same message no free connection of <number> after <duration>"
    )
    assert verdict.grounds == {"exception", "message", "product frame"}

    careful = matcher(teacher, replace(MODEL, known=0.99)).verdict(again)
    assert (careful.state, careful.defect, careful.confidence) == ("likely", "POOL", verdict.confidence)
    doubtful = matcher(teacher, replace(MODEL, likely=0.99)).verdict(again)
    assert (doubtful.state, doubtful.defect) == ("new", None)


def test_what_was_said_of_a_test_holds_for_it_against_all_else(teacher: Teacher) -> None:
    for number in range(5):
        teacher.label([Pattern.of(failure(test=f"test_{number}"))], "LEAK")
    teacher.rule("RULE", Rule(type="pool.*"))

    verdict = matcher(teacher).verdict(POOL)

    assert (verdict.defect, verdict.basis, verdict.candidates[0][0]) == ("POOL", "signature", "POOL")
    # The same of a test that nothing was said of is what the rule says.
    other = matcher(teacher).verdict(failure("pool is shut", at="Pool.put", test="test_put"))
    assert (other.state, other.defect, other.basis) == ("known", "RULE", "rule")


def test_an_own_label_is_likely_where_much_else_fails_so(teacher: Teacher) -> None:
    unsure = replace(MODEL, known_again=0.999)

    verdict = matcher(teacher, unsure).verdict(POOL)

    assert (verdict.state, verdict.defect, verdict.basis) == ("likely", "POOL", "signature")
    assert "may be a new defect as well" in verdict.reasons[-1]
    twin = failure(test="test_twin")
    teacher.label([Pattern.of(twin)], "TWIN")
    verdict = matcher(teacher, unsure).verdict(twin)
    assert (verdict.state, verdict.defect) == ("likely", "TWIN")
    assert "may be POOL as well" in verdict.reasons[-1]
    # However sure the model is of another: it is no other than what was said.
    assert all(matcher(teacher, replace(unsure, known=0.1)).verdict(each).defect == "TWIN" for each in (twin,))


def test_a_closed_defect_that_comes_back_is_regressed(teacher: Teacher) -> None:
    teacher.rule("RULE", Rule(type="KeyError"))
    teacher.close("POOL")
    teacher.close("RULE")

    found = matcher(teacher)

    for record, name in ((POOL, "POOL"), (failure(test="test_refund"), "POOL"), (FAR, "RULE")):
        verdict = found.verdict(record)
        assert (verdict.state, verdict.defect) == ("regressed", name)
        assert verdict.reasons[-1].startswith("closed on 2")
    # What is only likely has not come back.
    verdict = found.verdict(failure("no free connection left of 5 after 0.3 s"))
    assert (verdict.state, verdict.defect, verdict.reasons[-1]) == ("likely", "POOL", "POOL is closed")
    teacher.close("POOL", is_closed=False)
    assert matcher(teacher).verdict(POOL).state == "known"


def test_what_is_alike_is_likely_with_what_decided_and_why_not_another(teacher: Teacher) -> None:
    teacher.label([Pattern.of(failure("lake is dry", at="Pool.get", test="test_lake"))], "LAKE")
    alike = failure("no free connection left of 5 after 0.3 s", test="test_order")

    verdict = matcher(teacher).verdict(alike)

    assert (verdict.state, verdict.defect, verdict.basis) == ("likely", "POOL", "score")
    assert MODEL.likely <= (verdict.confidence or 0.0) < MODEL.known
    assert verdict.candidates[0] == ("POOL", pytest.approx(verdict.confidence, abs=1e-6))
    because, runner_up = verdict.reasons
    # What the two have alike, the exception and the frame, decides nothing between them.
    assert because.startswith(f"probability {verdict.confidence:.2f}: words of the message alike (cosine 0.")
    assert because.endswith(", same test function tests/test_shop.py test_order (+1.0)")
    lake = dict(verdict.candidates)["LAKE"]
    assert runner_up == f"not LAKE ({lake:.2f}): another message, another test function"


def test_what_is_like_nothing_is_new_with_its_candidates(teacher: Teacher) -> None:
    verdict = matcher(teacher).verdict(FAR)

    assert (verdict.state, verdict.defect, verdict.basis, verdict.grounds) == ("new", None, None, frozenset())
    assert verdict.confidence == pytest.approx(1.0, abs=0.02)
    assert {name for name, _ in verdict.candidates} == {"POOL", "PRICE", "DISK"}
    assert sum(value for _, value in verdict.candidates) == pytest.approx(1.0 - (verdict.confidence or 0.0), abs=1e-5)
    nearest, probability = verdict.candidates[0]
    sure = f"new with probability {verdict.confidence:.2f}; nearest is {nearest} with {probability:.2f}"
    assert verdict.reasons[0].startswith(f"{sure}, which has another ")


def test_no_defect_is_known_where_two_are_as_near(teacher: Teacher) -> None:
    for side in ("left", "right"):
        teacher.label([Pattern.of(failure(f"timeout in stage {side}", type_="E", at="run", test="test_a"))], side)

    verdict = matcher(teacher).verdict(failure("timeout in stage", type_="E", at="run", test="test_b"))

    assert verdict.state in ("likely", "new")
    (_, left), (_, right) = verdict.candidates[:2]
    assert left == pytest.approx(right, abs=1e-6)
    assert {name for name, _ in verdict.candidates[:2]} == {"left", "right"}


def test_the_newest_label_of_a_test_wins(teacher: Teacher) -> None:
    teacher.label([Pattern.of(POOL)], "LEAK")

    verdict = matcher(teacher).verdict(POOL)

    assert (verdict.state, verdict.defect) == ("known", "LEAK")
    assert "POOL" not in dict(verdict.candidates)


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
    assert third.confidence == pytest.approx(0.5, abs=0.02)


def test_a_rejected_failure_is_that_defect_no_more(teacher: Teacher) -> None:
    refund = failure(test="test_refund")
    teacher.label([Pattern.of(refund)], "POOL", is_confirmed=False)

    found = matcher(teacher)

    assert found.verdict(refund).defect is None
    assert all(name != "POOL" for name, _ in found.verdict(refund).candidates)
    assert (found.verdict(POOL).state, found.verdict(POOL).defect) == ("known", "POOL")
    other = found.verdict(failure(test="test_other"))
    assert other.state in ("likely", "new")
    if other.defect is not None:
        assert (other.defect, other.reasons[-1]) == ("POOL", "one such failure was said not to be POOL")


def test_what_was_rejected_speaks_for_what_is_like_it(teacher: Teacher) -> None:
    other = failure("no free connection to lake", at="Pool.get", test="test_lake", path="tests/test_lake.py")
    like_it = failure("no free connection to lake", at="Pool.get", test="test_lake_again", path="tests/test_lake.py")
    before = dict(matcher(teacher).verdict(like_it).candidates)
    assert "POOL" in before

    teacher.label([Pattern.of(other)], "POOL", is_confirmed=False)

    assert "POOL" not in dict(matcher(teacher).verdict(like_it).candidates)
    # A label that says otherwise later takes it back.
    teacher.label([Pattern.of(other)], "POOL")
    verdict = matcher(teacher).verdict(like_it)
    assert (verdict.state, verdict.defect) == ("known", "POOL")


SURE_OF_ALL = MatchModel(
    ({("test function", "of one"): 9.0, ("test file", "of one"): 9.0}, {}, {}, {}), 0.9, 0.6, 0.5, ("made up",)
)


@pytest.mark.parametrize("model", [MODEL, SURE_OF_ALL, None], ids=["made up", "sure", "of the package"])
def test_a_failure_without_text_is_never_known(teacher: Teacher, model: MatchModel | None) -> None:
    silent = without_text(failure(test="test_silent"))
    teacher.label([Pattern.of(silent)], "SILENT")
    teacher.label([Pattern.of(failure(test="test_told"))], "TOLD")

    found = matcher(teacher, model)

    verdict = found.verdict(silent)
    assert (verdict.state, verdict.defect) == ("likely", "SILENT")
    assert verdict.reasons == ("the same test failed as SILENT; it says nothing of why",)
    for test in ("test_silent_too", "test_told", "test_order"):
        assert found.verdict(without_text(failure(test=test))).state in ("likely", "new")


def test_verdicts_are_the_same_one_by_one_and_at_once(teacher: Teacher) -> None:
    records = [
        failure("no free connection left of 5 after 0.3 s"),
        failure(test="test_refund"),
        FAR,
        failure("disk quota exceeded on volume logs", type_="OSError", at="save", test="test_backup"),
    ]
    patterns = [Pattern.of(record) for record in records]

    at_once = matcher(teacher).verdicts(patterns)

    assert [each.state for each in at_once] == ["likely", "known", "new", "likely"]
    assert [matcher(teacher).verdict(record) for record in records] == at_once
    found = matcher(teacher)
    assert [found.verdict(pattern) for pattern in reversed(patterns)] == at_once[::-1]
    # Asked again they are the same, and so are several of one test.
    assert found.verdicts([*patterns, *patterns]) == at_once * 2


@pytest.mark.parametrize("model", [MODEL, None], ids=["made up", "of the package"])
def test_the_order_of_lines_in_the_file_does_not_matter(teacher: Teacher, model: MatchModel | None) -> None:
    for number in range(8):
        message = f"no free connection of {number} in {'lake' if number % 3 else 'river'}"
        teacher.label([Pattern.of(failure(message, test=f"test_{number}"))], f"WET-{number % 3}")
    teacher.label([Pattern.of(failure(test="test_refund"))], "POOL", is_confirmed=False)
    asked = [Pattern.of(failure(test=test)) for test in ("test_order", "test_9", "test_refund")]
    asked += [Pattern.of(failure("no free connection in lake", test="test_new")), Pattern.of(FAR)]
    before = matcher(teacher, model).verdicts(asked)

    lines = teacher.file.read_bytes().splitlines(keepends=True)
    for seed in range(3):
        random.Random(seed).shuffle(lines)
        teacher.file.write_bytes(b"".join(lines))
        assert matcher(teacher, model).verdicts(asked) == before


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


def test_a_rule_holds_where_labels_leave_a_doubt(teacher: Teacher) -> None:
    refund = failure(test="test_refund")
    teacher.rule("POOL", Rule(type="PoolExhausted"))

    careful = matcher(teacher, replace(MODEL, known=0.999))
    assert (careful.verdict(refund).state, careful.verdict(refund).defect) == ("known", "POOL")

    # Two defects claim the signature, and a person wrote which of them it is.
    teacher.label([Pattern.of(failure(test="test_leak"))], "LEAK")
    verdict = matcher(teacher).verdict(refund)
    assert (verdict.state, verdict.defect, verdict.basis) == ("known", "POOL", "rule")
    assert matcher(teacher).verdict(failure(test="test_leak")).defect == "LEAK"


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
    found = matcher(teacher).match(report([POOL, FAR], [POOL, *strangers], strangers))

    matched = [cause.match for cause in found.causes]
    assert [match and (match.state, match.defect) for match in matched] == [
        ("known", "POOL"),
        ("likely", "POOL"),
        ("new", None),
    ]
    assert matched[1] is not None
    assert matched[1].reasons[-1] == "that holds for 1 of its 4 failures"
    assert list(found.matches) == list(range(9))
    assert [found.matches[place].defect for place in (0, 1, 2, 3)] == ["POOL", None, "POOL", None]
    assert found.candidates[0][0] == ("POOL", pytest.approx(found.matches[0].confidence, abs=1e-6))
    assert found.knowledge == "3 defects, 3 labelled failures"
    assert found.problems == ()


def test_of_very_many_failures_some_speak_for_the_others(teacher: Teacher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "MOST_MATCHED", 4)
    pools = [failure(test=f"test_{number}") for number in range(10)]
    compared: list[str] = []
    real = Matcher.verdicts

    def watched(self: Matcher, asked: Sequence[Pattern]) -> list[Verdict]:
        compared.extend(pattern.test for pattern in asked)
        return real(self, asked)

    monkeypatch.setattr(Matcher, "verdicts", watched)

    found = matcher(teacher).match(report(pools, [FAR, replace(FAR, nodeid="tests/test_words.py::test_words[x]")]))

    assert 4 <= len(set(compared)) <= 6
    said = "as the representative of its cause; of one run 4 failures are compared"
    others = [match for match in found.matches.values() if match.reasons[-1] == said]
    assert len(found.matches) == 12
    assert {(match.state, match.defect) for match in others} == {("likely", "POOL"), ("new", None)}
    assert [cause.match and cause.match.defect for cause in found.causes] == ["POOL", None]


def test_a_cause_of_failures_that_are_known_apart_falls_apart(teacher: Teacher) -> None:
    together = report([PRICE, POOL, FAR, failure(test="test_order", parameter="x")], [DISK])

    found = matcher(teacher).match(together)

    # What nobody labelled stays with the defect that most of them are.
    assert [(cause.failures, cause.match and cause.match.defect) for cause in found.causes] == [
        ((1, 2, 3), "POOL"),
        ((0,), "PRICE"),
        ((4,), "DISK"),
    ]
    assert found.causes[1].reasons == ("known to be another defect than 3 failures that it is like",)
    assert len({cause.id for cause in found.causes}) == 3
    assert [cause.representative for cause in found.causes] == [1, 0, 4]
    # Without labels nothing is taken apart.
    assert [cause.failures for cause in Matcher(Knowledge()).match(together).causes] == [(0, 1, 2, 3), (4,)]


def test_a_cause_is_as_sure_as_its_failures_are_on_average(teacher: Teacher) -> None:
    refund = failure(test="test_refund")
    single = matcher(teacher)
    pool, money, far = (single.verdict(each) for each in (POOL, refund, FAR))
    assert pool.confidence is not None
    assert money.confidence is not None

    found = matcher(teacher).match(report([POOL, refund], [POOL, refund, FAR], [FAR]))

    sure = [cause.match.confidence if cause.match else None for cause in found.causes]
    assert sure[0] == pytest.approx((pool.confidence + money.confidence) / 2)
    # A failure that is something else lowers it to what it is that defect.
    assert sure[1] == pytest.approx((pool.confidence + money.confidence + dict(far.candidates)["POOL"]) / 3, abs=1e-5)
    assert sure[2] == far.confidence
    assert [cause.match.basis if cause.match else "" for cause in found.causes] == ["signature", "signature", None]


def test_a_defect_is_scored_by_all_that_it_was_seen_to_do(teacher: Teacher) -> None:
    for word in ("tea", "cup"):
        teacher.label([Pattern.of(failure(f"{word} sold out in shop", type_="Sold", at="sell"))], "OFTEN")
    teacher.label([Pattern.of(failure("milk sold out in shop", type_="Sold", at="sell"))], "ONCE")
    teacher.label([Pattern.of(failure("rain ruined roof of house", type_="Sold", at="sell"))], "ONCE")
    asked = failure("salt sold out in shop", type_="Sold", at="sell")

    by_mean = replace(
        MODEL, weights=(*MODEL.weights[:2], {("words of the message", "mean"): 9.0}, {("always", "1"): 1.0})
    )
    candidates = dict(matcher(teacher, by_mean).verdict(asked).candidates)
    assert candidates["OFTEN"] > 2 * candidates["ONCE"]


def test_few_of_many_candidates_are_named(teacher: Teacher) -> None:
    for number in range(9):
        teacher.label([Pattern.of(failure(f"no free {chr(97 + number) * 3}", test=f"test_{number}"))], f"BUG-{number}")

    verdict = matcher(teacher).verdict(failure("no free xyz", test="test_x"))

    assert len(verdict.candidates) == MOST_CANDIDATES
    assert [value for _, value in verdict.candidates] == sorted((v for _, v in verdict.candidates), reverse=True)
    assert sum(value for _, value in verdict.candidates) < 1.0


@pytest.mark.parametrize(
    ("record", "states"),
    [
        (POOL, {"known"}),
        (failure("no free connection of 9 after 12 s", parameter="tea"), {"known"}),
        (failure(test="test_refund"), {"known", "likely"}),
        (failure("no free connection of 9 after 12 s", test="test_a", path="tests/test_a.py"), {"known", "likely"}),
        (failure("no free connection left of 5 after 0.3 s"), {"known", "likely"}),
        (FAR, {"new"}),
        (failure("unknown locale", type_="KeyError", at="translate"), {"new"}),
        (failure("other trouble here", at="Lake.put", test="test_x", path="tests/test_x.py"), {"new"}),
    ],
    ids=[
        "the same",
        "other values and parameters",
        "other test of the file",
        "other file",
        "a like message",
        "all else",
        "other failure of the test",
        "the exception alone",
    ],
)
def test_the_model_of_the_package_says_what_is_plain(teacher: Teacher, record: FailureRecord, states: set[str]) -> None:
    verdict = matcher(teacher, None).verdict(record)

    assert verdict.state in states
    assert verdict.defect == (None if states == {"new"} else "POOL")
    assert 0.0 < (verdict.confidence or 0.0) < 1.0
    assert verdict.reasons


@pytest.fixture
def by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the package have a model whose probabilities can be reckoned by hand."""
    monkeypatch.setattr(matching, "shipped", lambda: MODEL)


def runs(*failures: tuple[int, FailureRecord]) -> list[tuple[str, Pattern]]:
    return [(f"2020-01-{day:02}T00:00:00.000000Z", Pattern.of(record)) for day, record in failures]


@pytest.mark.usefixtures("by_hand")
def test_a_replay_judges_each_failure_by_what_was_known_before(teacher: Teacher) -> None:
    refund = failure(test="test_refund")
    teacher.label([Pattern.of(refund)], "POOL")
    knowledge = Knowledge.load(teacher.file)

    result = replay(knowledge, runs((1, POOL), (2, POOL), (2, refund), (3, PRICE), (4, FAR)))

    # DISK is in no run, and counts when it was labelled; FAR has no label.
    assert (result.failures, result.seen_before, result.answered, result.right) == (5, 2, 2, 2)
    assert (result.precision, result.answer_rate, result.first_rate, result.new_called_known) == (1.0, 1.0, 1.0, 0)


@pytest.mark.usefixtures("by_hand")
def test_a_replay_counts_wrong_answers(teacher: Teacher) -> None:
    twin = failure(test="test_twin")
    teacher.label([Pattern.of(twin)], "TWIN")

    result = replay(Knowledge.load(teacher.file), runs((1, POOL), (2, twin)))

    assert (result.answered, result.right, result.new_called_known) == (1, 0, 1)
    assert (result.precision, result.answer_rate) == (0.0, None)


def test_a_replay_of_nothing_measures_nothing() -> None:
    result = replay(Knowledge())
    assert (result.failures, result.precision, result.answer_rate, result.first_rate) == (0, None, None, None)

"""What matching of failures is fitted and measured with: choices, encounters, JUnit files, measures."""

from __future__ import annotations

import math
import random
import sys
from collections import Counter, defaultdict
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from defect_failures import failure as record_of

from pytest_qeattention.defects.match_model import MatchModel, shipped
from pytest_qeattention.defects.matching import OUTWEIGHS
from pytest_qeattention.defects.pattern_table import COLUMNS, NEW_COLUMNS

ROOT = Path(__file__).parents[2]
# Appended, the source tree lends the benchmarks and leaves the installed package first; it goes again.
sys.path.append(str(ROOT))

from benchmarks.defects import matching  # noqa: E402
from benchmarks.defects.choice import Choice, fit_choices  # noqa: E402
from benchmarks.defects.encounters import HISTORIES, Encounter, History, draw, function_of  # noqa: E402
from benchmarks.defects.mixtures import Failure, Mutant, Recorded  # noqa: E402
from benchmarks.defects.records import UNSEEN  # noqa: E402
from benchmarks.defects.told import as_told  # noqa: E402

sys.path.remove(str(ROOT))


def loss(weights: npt.NDArray[np.float64], choices: list[Choice], penalty: float) -> float:
    """Return what `fit_choices` makes least, by its definition."""
    total = 0.0
    for choice in choices:
        utility = choice.numbers @ weights
        total -= choice.weight * math.log(math.exp(utility[choice.taken]) / sum(map(math.exp, utility)))
    squares = sum(choice.weight * (choice.numbers**2).sum(axis=0) for choice in choices)
    rows = sum(choice.weight * len(choice.numbers) for choice in choices)
    return total + 0.5 * penalty * float((squares / rows) @ weights**2)


def drawn_choices(seed: int) -> list[Choice]:
    chosen = np.random.default_rng(seed)
    found = []
    for _ in range(60):
        numbers = chosen.normal(size=(int(chosen.integers(1, 6)), 4)) * [1.0, 5.0, 0.2, 0.0]
        found.append(Choice(numbers, int(chosen.integers(len(numbers))), float(chosen.uniform(0.5, 30.0))))
    return found


@pytest.mark.parametrize(("seed", "penalty"), [(0, 0.1), (1, 3.0), (2, 300.0)])
def test_no_weights_near_those_that_are_fitted_are_better(seed: int, penalty: float) -> None:
    choices = drawn_choices(seed)

    weights = fit_choices(choices, penalty, np.zeros(4, np.int64))

    least = loss(weights, choices, penalty)
    # A number that is always 0 has no weight.
    assert weights[3] == 0.0
    for at, scale in enumerate([1.0, 0.2, 5.0]):
        step = np.zeros(4)
        step[at] = 1e-4 * scale
        slope = (loss(weights + step, choices, penalty) - loss(weights - step, choices, penalty)) / 2e-4
        assert abs(slope) < 2e-3 * least
        assert loss(weights + 500 * step, choices, penalty) > least
        assert loss(weights - 500 * step, choices, penalty) > least


FREE = np.zeros(1, np.int64)


def test_a_choice_between_two_has_the_odds_that_were_seen() -> None:
    # One alternative is marked. It was taken with a weight of 30, and the other with a weight of 10.
    numbers = np.array([[1.0], [0.0]])
    choices = [Choice(numbers, 0, 30.0), Choice(numbers, 1, 10.0)]

    (weight,) = fit_choices(choices, 1e-9, FREE)
    assert weight == pytest.approx(math.log(3.0), abs=1e-3)
    (bound,) = fit_choices(choices, 1e6, FREE)
    assert 0.0 < bound < 1e-3


def test_choices_that_one_number_decides_have_weights_with_a_bound() -> None:
    choices = [Choice(np.array([[10.0], [0.0], [0.0]]), 0, 1.0)] * 20

    (weight,) = fit_choices(choices, 0.5, FREE)
    assert 0.1 < weight < 10.0
    with pytest.raises(ArithmeticError, match="did not converge in 0 steps"):
        fit_choices(choices, 0.5, FREE, steps=0)


def test_a_weight_keeps_its_sign_and_the_others_are_the_best_that_then_are() -> None:
    chosen = np.random.default_rng(1)
    true = np.array([1.5, -1.0, 0.8])
    choices = []
    for _ in range(300):
        numbers = chosen.normal(size=(4, 3)).astype(np.float32)
        utility = numbers @ true + chosen.gumbel(size=4)
        choices.append(Choice(numbers, int(np.argmax(utility)), 1.0))

    free = fit_choices(choices, 1.0, np.zeros(3, np.int64))
    held = fit_choices(choices, 1.0, np.array([1, 1, 1]))
    turned = fit_choices(choices, 1.0, np.array([-1, -1, 0]))

    assert free == pytest.approx(true, abs=0.35)
    assert held[1] == 0.0
    assert turned[0] == 0.0
    assert held[[0, 2]] == pytest.approx(
        fit_choices([_without(each, 1) for each in choices], 1.0, FREE.repeat(2)), abs=2e-2
    )
    assert turned[1] < -0.5


def _without(choice: Choice, column: int) -> Choice:
    return Choice(np.delete(choice.numbers, column, axis=1), choice.taken, choice.weight)


def failed(test: str, message: str, at: str | None = None) -> Failure:
    path, _, name = test.partition("::")
    record = record_of(message, test=function_of(name), path=path, at=at)
    return Failure(test, record, message)


@cache
def project(defects: int = 20) -> Recorded:
    """Return a project with defects that fail tests of several files with parameters; half raise in the product."""
    mutants = []
    for number in range(defects):
        chosen = random.Random(number)
        size = chosen.randint(1, 25)
        tests = sorted(
            f"tests/test_{file}.py::test_{name}{parameters}"
            for file, name, parameters in {
                (chosen.choice("abc"), chosen.randrange(8), chosen.choice(["", "[x]", "[y]", "[z]"]))
                for _ in range(size)
            }
        )
        place = f"f{number}" if number % 2 else None
        runs = {
            name: tuple(failed(test, f"broken {number}", place) for test in chosen.sample(tests, len(tests)))
            for name in ("plain", "moved", "edited")
        }
        mutants.append(Mutant("product", "return None", ("pkg/a.py", f"f{number}"), runs))
    return Recorded("project", tuple(mutants))


def keys(encounter: Encounter) -> tuple[object, ...]:
    return (
        [(defect, each.test) for defect, each in encounter.known],
        [(each.regime, each.defect, each.failure.test, each.failure.text) for each in encounter.asked],
    )


@pytest.mark.parametrize("history", HISTORIES)
def test_what_is_asked_stands_in_its_regime_to_what_is_known(history: History) -> None:
    recorded = project()
    by_text = {mutant.runs["plain"][0].text: number for number, mutant in enumerate(recorded.mutants)}
    met: Counter[str] = Counter()
    for encounter in draw(recorded, 20, 1, history=history):
        taught: defaultdict[int, set[str]] = defaultdict(set)
        for defect, each in encounter.known:
            assert by_text[each.text] == defect
            taught[defect].add(each.test)
        assert len(taught) == 12
        asked_new = set()
        for asked in encounter.asked:
            met[asked.regime] += 1
            own, test = by_text[asked.failure.text], asked.failure.test
            if asked.regime == "new defect":
                assert asked.defect is None
                assert own not in taught
                asked_new.add(own)
                continue
            assert asked.defect == own
            functions = {function_of(each) for each in taught[own]}
            files = {each.partition("::")[0] for each in taught[own]}
            assert (test in taught[own]) is (asked.regime == "same test")
            assert (function_of(test) in functions) is (asked.regime in ("same test", "other parameters"))
            assert (test.partition("::")[0] in files) is (asked.regime != "other file")
        # Two fifths of the defects are new, and each shows itself.
        assert len(asked_new) == 8
    assert set(met) == {"same test", "other parameters", "other test of the file", "other file", "new defect"}


def test_encounters_are_drawn_the_same_twice_and_otherwise_with_another_seed() -> None:
    first = [keys(each) for each in draw(project(), 6, 1)]

    assert first == [keys(each) for each in draw(project(), 6, 1)]
    assert first != [keys(each) for each in draw(project(), 6, 2)]
    # The first of many are the same as the first of few.
    assert first[:3] == [keys(each) for each in draw(project(), 3, 1)]


def test_a_long_history_leaves_two_functions_for_later_and_few_know_less() -> None:
    sizes = {history: sum(len(each.known) for each in draw(project(), 10, 1, history=history)) for history in HISTORIES}

    assert sizes["long"] > sizes["few"]
    mutants = project().mutants
    for encounter in draw(project(), 10, 1, history="long"):
        for number in {defect for defect, _ in encounter.known}:
            functions = {function_of(each.test) for each in mutants[number].runs["plain"]}
            known = {function_of(each.test) for defect, each in encounter.known if defect == number}
            assert known <= functions
            assert len(functions) - len(known) == min(2, len(functions) // 2)


def test_with_all_sizes_few_defects_are_known_in_some() -> None:
    sizes = [len({defect for defect, _ in each.known}) for each in draw(project(), 20, 1, all_sizes=True)]

    assert sizes[::2] == [12] * 10
    assert min(sizes) == 1
    assert len(set(sizes)) > 3
    assert draw(project(1), 2, 0)[0].known


def as_junit(each: Failure, **changes: str) -> Failure:
    path, _, name = each.test.partition("::")
    told = {"kind": "failure", "classname": path[:-3].replace("/", "."), "name": name, "message": each.text, **changes}
    return replace(each, told=told)


TRACEBACK = """tests/test_a.py:4: in test_0
    order()
src/pool.py:12: in get
    raise PoolExhausted(size)
E   pool.PoolExhausted: no free <connection> & "more" \x07\x00 of 5"""


def test_records_are_read_back_from_junit_files() -> None:
    one = replace(as_junit(failed("tests/test_a.py::test_0", "pool.PoolExhausted: no free of 5")), text=TRACEBACK)
    other = as_junit(failed("tests/test_a.py::TestB::test_1[<x>]", "ValueError: bad"), kind="error")
    other = replace(other, text="E   ValueError: bad price")
    recorded = Recorded("p", (Mutant("product", "x", ("a.py", "f"), {"plain": (one, other), "moved": ()}),))

    told = as_told(recorded)

    first, second = told.mutants[0].runs["plain"]
    assert told.mutants[0].runs["moved"] == ()
    assert (first.test, first.text, first.told) == (one.test, one.text, one.told)
    assert first.record.test.qualname == "test_0"
    root = first.record.root
    assert root is not None
    assert root.type.endswith("PoolExhausted")
    # What XML cannot hold is a question mark.
    assert root.message == 'no free <connection> & "more" ?? of 5'
    assert [frame.path for frame in root.frames if frame.role == "product"] == ["src/pool.py"]
    assert second.record.root is not None
    assert (second.record.root.type, second.record.root.message) == ("ValueError", "bad price")
    assert second.record.test.name.startswith("test_1")


def test_records_that_say_nothing_of_junit_files_are_refused() -> None:
    with pytest.raises(ValueError, match="make them anew"):
        as_told(project(2))


@pytest.mark.parametrize("seed", range(5))
def test_auc_is_how_often_a_positive_is_above_a_negative(seed: int) -> None:
    chosen = np.random.default_rng(seed)
    positive, negative = (np.round(chosen.random(size), 1) for size in (23, 31))

    pairs = [1.0 if p > n else 0.5 if p == n else 0.0 for p in positive for n in negative]
    assert matching.auc(positive, negative) == pytest.approx(sum(pairs) / len(pairs))
    assert matching.auc(np.array([1.0]), np.array([0.0, 0.5])) == 1.0


@pytest.mark.parametrize("seed", range(8))
def test_answered_is_the_most_that_a_cut_leaves_with_the_precision(seed: int) -> None:
    chosen = np.random.default_rng(seed)
    size = 70
    kind = chosen.choice(3, size)
    other, new = kind == 1, kind == 2
    right = ~new & (chosen.random(size) < 0.95)
    score = np.round(np.where(new, 0.5, 1.0) * chosen.random(size) + 0.3 * right, 1 + seed % 2)

    best = 0.0
    for cut in [*score, 99.0]:
        told = score >= cut
        # Other tests weigh 60 %, new defects 40 %, however many there are of each.
        correct = 0.6 * (right & told & other).sum() / other.sum()
        total = 0.6 * (told & other).sum() / other.sum() + 0.4 * (told & new).sum() / new.sum()
        if total and correct / total >= matching.PRECISION:
            best = max(best, float((told & other).sum() / other.sum()))
    assert matching.answered(score, right, other, new) == pytest.approx(best)


def test_measures_of_a_project() -> None:
    rows = [
        matching.Answer("other file", 0.9, True, 0.95),
        matching.Answer("other file", 0.8, False, 0.85),
        matching.Answer("other test of the file", 0.7, True, 0.75),
        matching.Answer("other test of the file", 0.3, True, 0.3),
        matching.Answer("same test", 0.6, True, 0.9, True),
        matching.Answer("same test", 0.4, True, 0.9, True),
        matching.Answer("new defect", 0.75, False, 0.8),
        matching.Answer("new defect", 0.1, False, 0.1),
    ]

    found = matching.measured(rows, (0.7, 0.5))

    assert found["P@1"] == 0.75
    assert found["AUC"] == pytest.approx((2 + 2 + 1 + 1) / 8)
    # Only the first cut has the precision: 1 of 4.
    assert found["answered"] == 0.25
    assert (found["P@1, other file"], found["P@1, same test"], found["P@1, other parameters"]) == (0.5, 1.0, None)
    assert matching.called_known(rows, (0.7, 0.5), (0.99, 0.99)) == pytest.approx(
        [0.75, 0.6 * 2 / 4 / (0.6 * 3 / 4 + 0.4 / 2), 0.5, 0.5, 1.0, 0.0, math.nan, 0.0, 0.0, math.nan], nan_ok=True
    )


def test_questions_have_the_right_row_and_are_answered_by_the_softmax() -> None:
    encounter = draw(project(), 1, 3, history="long")[0]
    asked = matching.questions(encounter)

    assert len(asked) == len(encounter.asked)
    chosen = np.random.default_rng(0)
    weights = chosen.normal(size=(2, len(COLUMNS) + len(NEW_COLUMNS)))
    parts = [
        dict(zip(columns, row, strict=True))
        for each in weights.tolist()
        for columns, row in ((COLUMNS, each[: len(COLUMNS)]), (NEW_COLUMNS, each[len(COLUMNS) :]))
    ]
    model = MatchModel(tuple(parts), 0.9, 0.9, 0.5)
    np.testing.assert_allclose(matching.weights_of(model), weights)
    for each, question, answer in zip(encounter.asked, asked, matching.answers(asked, weights), strict=True):
        count = len(question.numbers) - 1
        assert question.regime == each.regime
        assert (question.right == count) is (each.defect is None)
        numbers = question.numbers[:-1, : len(COLUMNS)].astype(float)
        odds = model.probabilities(numbers, question.numbers[-1, len(COLUMNS) :].astype(float), question.is_framed)
        best = int(np.argmax(odds[:-1]))
        own = max(question.again, key=lambda row: float(odds[row]), default=best)
        if odds[best] <= OUTWEIGHS * odds[own]:
            best = own
        assert answer.score == pytest.approx(float(odds[best]), rel=1e-5)
        assert answer.is_any == pytest.approx(1.0 - float(odds[-1]), rel=1e-5, abs=1e-9)
        assert answer.is_right is (each.defect is not None and best == question.right)


def test_what_is_learned_finds_the_defects_and_leaves_out_what_it_should() -> None:
    encounters = draw(project(10), 3, 5, history="long")
    asked = [each for encounter in encounters for each in matching.questions(encounter)]

    weights = matching.fitted([asked])
    columns = (*COLUMNS, *NEW_COLUMNS)
    heaviest = columns[int(np.argmax(np.abs(weights[1, : len(COLUMNS)])))][0]
    without = matching.fitted([asked], [heaviest])

    # Each defect has a message of its own but for its number, and half of them a place.
    assert (matching.measured(matching.answers(asked, weights))["P@1"] or 0.0) > 0.6
    own = [name == heaviest for name, _ in columns]
    assert weights[:, own].any()
    assert not without[:, own].any()
    assert without.any()


def test_no_model_is_fitted_on_what_is_unseen() -> None:
    fitted_on = set(shipped().fitted_on)

    assert len(fitted_on) >= 8
    assert len(UNSEEN) == 4
    assert fitted_on.isdisjoint(UNSEEN)

"""The model that makes probabilities of numbers, and what happens where its file is no good."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from defect_failures import failure, report
from defect_patterns import MODEL

from pytest_qeattention.defects import match_model
from pytest_qeattention.defects.knowledge import Knowledge, Teacher
from pytest_qeattention.defects.match_model import PARTS, MatchModel, MatchModelError, shipped
from pytest_qeattention.defects.matching import Matcher
from pytest_qeattention.defects.pattern import Pattern
from pytest_qeattention.defects.pattern_table import COLUMNS, NEW_COLUMNS
from pytest_qeattention.defects.statements import Rule

WITHOUT = "failures are matched by signature and rules alone; install pytest-qeattention again"


def drawn_model(seed: int) -> MatchModel:
    chosen = np.random.default_rng(seed)
    weights = tuple(dict(zip(columns, chosen.normal(size=len(columns)).tolist(), strict=True)) for _, columns in PARTS)
    return MatchModel(weights, 0.9, 0.8, 0.5, ("one", "two"))


@pytest.mark.parametrize("is_framed", [False, True])
@pytest.mark.parametrize("count", [0, 1, 7])
def test_probabilities_are_the_softmax_of_weighted_sums(count: int, is_framed: bool) -> None:
    chosen = np.random.default_rng(count)
    model = drawn_model(1)
    numbers, novelty = chosen.normal(size=(count, len(COLUMNS))), chosen.normal(size=len(NEW_COLUMNS))

    found = model.probabilities(numbers, novelty, is_framed)

    known, new = model.weights[2:] if is_framed else model.weights[:2]
    powers = [math.exp(sum(row[at] * known[each] for at, each in enumerate(COLUMNS))) for row in numbers]
    powers.append(math.exp(sum(novelty[at] * new[each] for at, each in enumerate(NEW_COLUMNS))))
    np.testing.assert_allclose(found, [power / sum(powers) for power in powers], rtol=1e-9)
    assert float(found.sum()) == pytest.approx(1.0, abs=1e-12)


def test_utilities_of_any_size_have_probabilities() -> None:
    model = replace(MODEL, weights=({("exception", "of one"): 5_000.0}, {("always", "1"): -5_000.0}, {}, {}))
    numbers, novelty = np.zeros((2, len(COLUMNS))), np.zeros(len(NEW_COLUMNS))
    numbers[0, COLUMNS.index(("exception", "of one"))] = 1.0
    novelty[NEW_COLUMNS.index(("always", "1"))] = 1.0

    assert model.probabilities(numbers, novelty, False).tolist() == [1.0, 0.0, 0.0]
    # Weights of 0 say that nothing is known.
    assert model.probabilities(numbers, novelty, True).tolist() == pytest.approx([1 / 3] * 3)


def test_what_is_written_is_read_back() -> None:
    model = drawn_model(2)
    assert MatchModel.from_plain(json.loads(json.dumps(model.to_plain()))) == model
    # A weight that is 0 or not named is the same.
    zero = replace(MODEL, weights=({**MODEL.weights[0], ("phase", "other"): 0.0}, *MODEL.weights[1:]))
    assert zero.to_plain() == MODEL.to_plain()
    assert MatchModel.from_plain(zero.to_plain()) == MODEL


PLAIN = MODEL.to_plain()


def changed(**parts: Any) -> dict[str, Any]:
    return {**PLAIN, **{name.replace("_", " "): value for name, value in parts.items()}}


DAMAGED = [
    (None, "is no model"),
    ([], "is no model"),
    ("model", "is no model"),
    (7, "is no model"),
    ({}, "is no model"),
    ({**PLAIN, "version": 2}, "is of version 2, not 1"),
    ({**PLAIN, "version": None}, "is of version None, not 1"),
    ({name: value for name, value in PLAIN.items() if name != "weights"}, "is no model"),
    ({name: value for name, value in PLAIN.items() if name != "known"}, "is no model"),
    (changed(weights=None), "is no model"),
    (changed(weights=["exception: of one"]), "is no model"),
    (changed(weights={"mood: of one": 1.0}), "weighs 'mood: of one', which is no number of a failure"),
    (changed(new_weights={"exception: of one": 1.0}), "weighs 'exception: of one'"),
    (changed(weights={"exception: of one": float("nan")}), "has a weight that is no number"),
    (changed(new_weights={"always: 1": float("inf")}), "has a weight that is no number"),
    (changed(weights={"exception: of one": [1.0]}), "is no model"),
    (changed(weights={"exception: of one": "much"}), "is no model"),
    (changed(weights={"exception: of one": 10**400}), "is no model"),
    (changed(known=float("nan")), "that are no probabilities"),
    (changed(known_again=2.0), "that are no probabilities"),
    (changed(likely=-0.1), "that are no probabilities"),
    (changed(known="often"), "is no model"),
    (changed(likely=None), "is no model"),
    ({**PLAIN, "fitted_on": 3}, "is no model"),
]


@pytest.mark.parametrize(("value", "message"), DAMAGED)
def test_what_is_no_model_is_refused(value: Any, message: str) -> None:
    with pytest.raises(MatchModelError, match=message):
        MatchModel.from_plain(value)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return the place of the package's model, where there is none yet."""
    path = tmp_path / "match_model.json"
    monkeypatch.setattr(match_model, "MODEL", path)
    shipped.cache_clear()
    yield path
    shipped.cache_clear()


FILES = {
    "missing": (None, "cannot be read"),
    "empty": (b"", "cannot be read"),
    "half": (json.dumps(PLAIN).encode()[:-20], "cannot be read"),
    "binary": (b"\xff\xfe\x00", "cannot be read"),
    "deep": (b"[" * 200_000, "cannot be read"),
    "newer": (json.dumps({**PLAIN, "version": 2}).encode(), "is of version 2, not 1"),
    "not a number": (json.dumps(changed(weights={"exception: of one": float("nan")})).encode(), "is no number"),
    "unknown column": (json.dumps(changed(weights={"mood: of one": 1.0})).encode(), "weighs 'mood: of one'"),
    "huge number": (json.dumps(changed(weights={"exception: of one": 10**400})).encode(), "is no model"),
}


def put(file: Path, data: bytes | None) -> None:
    if data is not None:
        file.write_bytes(data)


@pytest.mark.parametrize(("data", "message"), FILES.values(), ids=FILES)
def test_a_file_that_is_no_good_is_named_with_what_follows(file: Path, data: bytes | None, message: str) -> None:
    put(file, data)

    with pytest.raises(MatchModelError) as caught:
        shipped()

    assert str(caught.value).startswith(f"{file} ")
    assert message in str(caught.value)
    assert str(caught.value).endswith(WITHOUT)
    # It is no answer to keep: with a good file all is well.
    file.write_text(json.dumps(PLAIN), encoding="utf-8")
    assert shipped() == MODEL
    assert shipped() is shipped()


@pytest.mark.parametrize(("data", "message"), FILES.values(), ids=FILES)
def test_without_a_model_signatures_and_rules_are_left(
    file: Path, data: bytes | None, message: str, tmp_path: Path
) -> None:
    put(file, data)
    teacher = Teacher(tmp_path / "defects.jsonl", "anna")
    pool, alike = failure(), failure("no free connection left of 5 after 0.3 s")
    words = failure("unknown locale", type_="KeyError", at="translate", test="test_words")
    teacher.label([Pattern.of(pool)], "POOL")
    teacher.rule("WORDS", Rule(type="KeyError"))

    matcher = Matcher(Knowledge.load(teacher.file))
    found = matcher.match(report([pool], [failure(test="test_refund"), words, alike]))

    states = [(match.state, match.defect, match.basis) for match in found.matches.values()]
    assert states == [
        ("known", "POOL", "signature"),
        # That is as sure as the model says, and there is none.
        ("likely", "POOL", "signature"),
        ("known", "WORDS", "rule"),
        ("new", None, None),
    ]
    # Nothing was measured, so nothing is said of probabilities.
    assert all(match.confidence is None for match in found.matches.values())
    assert len(found.problems) == 1
    assert message in found.problems[0]
    assert found.problems[0].endswith(WITHOUT)
    teacher.close("POOL")
    assert Matcher(Knowledge.load(teacher.file)).verdict(pool).state == "regressed"


def test_who_knows_nothing_needs_no_model(file: Path) -> None:
    found = Matcher(Knowledge()).match(report([failure()]))

    assert (found.problems, found.knowledge) == ((), "empty")


def test_a_run_without_a_model_says_so_once_and_fails_as_before(file: Path, pytester: pytest.Pytester) -> None:
    Teacher(pytester.path / ".qeattention" / "defects.jsonl", "anna").label([Pattern.of(failure())], "POOL")
    pytester.makepyfile("def test_one():\n    assert 1 == 2\n\n\ndef test_two():\n    raise OSError('full')\n")

    result = pytester.runpytest_inprocess("--qe-defects", "--rootdir=.")

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert " ".join(" ".join([*result.outlines, *result.errlines]).split()).count(WITHOUT) == 1
    result.assert_outcomes(failed=2)


def test_the_model_of_the_package_is_whole() -> None:
    model = shipped()

    assert 0.0 < model.likely <= model.known_again < 1.0
    assert model.likely <= model.known < 1.0
    assert len(set(model.fitted_on)) >= 8
    assert list(model.fitted_on) == sorted(model.fitted_on)
    assert all(len(weights) > 1 for weights in model.weights)
    # What the fit does not use is left out of the file, and named in none of its parts twice.
    assert MatchModel.from_plain(model.to_plain()) == model

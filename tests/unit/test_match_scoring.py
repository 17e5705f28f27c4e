"""Labelled failures near a failure: found by attention and by what is rare, with the defects behind them."""

from __future__ import annotations

import hashlib
import math
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from defect_failures import failure
from defect_patterns import MODEL, drawn

from pytest_qeattention.defects.pattern import Pattern
from pytest_qeattention.defects.pattern_index import COMMON, MOST_FOUND, PatternIndex, features
from pytest_qeattention.defects.pattern_table import COLUMNS, NEW_COLUMNS, PatternTable
from pytest_qeattention.defects.pattern_vectors import DIMENSION, NEAREST, SHARPNESS, PatternVectors
from pytest_qeattention.defects.record import Assertion
from pytest_qeattention.defects.scoring import MOST_COMPARED, Scorer

SHARE = COLUMNS.index(("attention", "share"))


def several(count: int) -> list[Pattern]:
    """Return patterns of *count* defects that have little in common."""
    return [
        Pattern.of(failure(f"trouble {chr(97 + n % 26) * (2 + n // 26)} seen", test=f"test_{n}", at=f"Part{n}.run"))
        for n in range(count)
    ]


def test_vectors_have_length_1_and_are_the_same_each_time() -> None:
    patterns = drawn(80, 1)
    vectors = PatternVectors(PatternIndex(patterns), patterns)

    found = vectors.of(patterns)

    assert (found.dtype, found.shape) == (np.float32, (80, DIMENSION))
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-6)
    again = PatternVectors(PatternIndex(patterns), patterns)
    assert np.array_equal(again.of(patterns[::-1])[::-1], found)
    assert all(np.array_equal(again.of([each])[0], row) for each, row in zip(patterns, found, strict=True))


def test_vectors_do_not_depend_on_the_hash_seed_of_the_process() -> None:
    program = """
import hashlib
from defect_patterns import drawn, MODEL
from pytest_qeattention.defects.scoring import Scorer
patterns = drawn(40, 7)
scorer = Scorer(patterns, [at % 9 for at in range(40)], MODEL)
digest = hashlib.sha256(scorer._vectors.of(patterns).tobytes())
for one in scorer.compare(drawn(20, 8)):
    digest.update(repr(one.defects).encode() + one.numbers.tobytes() + one.novelty.tobytes())
print(digest.hexdigest())
"""
    here = str(Path(__file__).parent)
    paths = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
    said = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": paths},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "4711")
    }
    assert len(said) == 1
    assert len(said.pop().strip()) == hashlib.sha256().digest_size * 2


def test_what_has_more_in_common_is_nearer() -> None:
    patterns = [Pattern.of(failure()), *several(30)]
    vectors = PatternVectors(PatternIndex(patterns), patterns)
    near = Pattern.of(failure(test="test_refund"))
    far = Pattern.of(failure("unknown locale", type_="KeyError", at="translate", path="tests/test_words.py"))

    cosines = [float(row @ vectors.of([patterns[0]])[0]) for row in vectors.of([patterns[0], near, far])]

    assert cosines[0] == pytest.approx(1.0, abs=1e-6)
    assert cosines[0] > cosines[1] > cosines[2]


def test_attention_is_the_softmax_of_the_nearest() -> None:
    patterns = drawn(90, 2)
    vectors = PatternVectors(PatternIndex(patterns), patterns)
    asked = drawn(25, 3)

    for row, own in zip(vectors.of(asked), vectors.attended(asked), strict=True):
        cosines = (vectors.of(patterns) @ row).tolist()
        best = sorted(range(len(patterns)), key=lambda at: -cosines[at])[:NEAREST]
        powers = [math.exp(SHARPNESS * cosines[at]) for at in best]
        assert sorted(cosines[at] for at, _ in own) == pytest.approx(sorted(cosines[at] for at in best), abs=1e-5)
        assert [share for _, share in own] == pytest.approx([power / sum(powers) for power in powers], abs=1e-4)
        assert sum(share for _, share in own) == pytest.approx(1.0)
    assert vectors.attended([]) == []
    assert PatternVectors(PatternIndex([]), []).attended(asked[:2]) == [[], []]


@pytest.mark.parametrize("count", [1, 7, 700])
def test_an_equal_pattern_is_found_among_many(count: int) -> None:
    patterns = several(count)
    scorer = Scorer(patterns, range(count), MODEL)

    for number in {0, count // 2, count - 1}:
        (found,) = scorer.compare([patterns[number]])
        assert found.defects[0] == number
        assert len(found.defects) == len(set(found.defects)) <= MOST_COMPARED
        odds = MODEL.probabilities(found.numbers, found.novelty, found.is_framed)
        assert int(np.argmax(odds)) == 0
        assert float(odds.sum()) == pytest.approx(1.0)


def test_defects_are_compared_by_the_table_with_the_attention_that_they_have() -> None:
    patterns = drawn(120, 4)
    owners = [at % 40 for at in range(120)]
    scorer = Scorer(patterns, owners, MODEL)
    table, vectors = PatternTable(patterns, owners), PatternVectors(PatternIndex(patterns), patterns)
    asked = drawn(30, 5)

    for pattern, found, near in zip(asked, scorer.compare(asked), vectors.attended(asked), strict=True):
        shares: Counter[int] = Counter()
        for place, share in near:
            shares[owners[place]] += share
        numbers, novelty = table.compare(pattern, found.defects, [shares[each] for each in found.defects])
        assert np.array_equal(found.numbers, numbers)
        assert np.array_equal(found.novelty, novelty)
        assert found.is_framed is bool(pattern.frames)
        assert float(found.numbers[:, SHARE].sum()) <= 1.0 + 1e-6
        # The defects with most attention are among them, best first.
        best = sorted(shares.values(), reverse=True)[: MOST_COMPARED // 2]
        assert found.numbers[: len(best), SHARE].tolist() == pytest.approx(best)


def test_failures_are_compared_alike_one_by_one_and_at_once() -> None:
    patterns = drawn(150, 6)
    scorer = Scorer(patterns, [at % 50 for at in range(150)], MODEL)
    asked = drawn(3, 7)

    for pattern, found in zip(asked, scorer.compare(asked), strict=True):
        (alone,) = scorer.compare([pattern])
        assert alone.defects == found.defects
        np.testing.assert_allclose(alone.numbers, found.numbers, atol=1e-6)
        np.testing.assert_allclose(alone.novelty, found.novelty, atol=1e-6)


def test_nothing_known_is_nothing_compared() -> None:
    (found,) = Scorer([], [], MODEL).compare([Pattern.of(failure())])

    assert (found.defects, found.numbers.shape, found.novelty.shape) == ((), (0, len(COLUMNS)), (len(NEW_COLUMNS),))
    assert MODEL.probabilities(found.numbers, found.novelty, found.is_framed).tolist() == [1.0]


def test_likeness_is_the_cosine_of_the_nearest() -> None:
    patterns = drawn(60, 8)
    owners = [at % 20 for at in range(60)]
    scorer = Scorer(patterns, owners, MODEL)
    vectors = PatternVectors(PatternIndex(patterns), patterns)
    pattern, stranger = drawn(2, 9)

    cosines = vectors.of(patterns) @ vectors.of([pattern])[0]
    assert scorer.likeness_of(pattern, 3) == pytest.approx(max(cosines[at] for at in range(60) if owners[at] == 3))
    assert scorer.likeness(pattern, [stranger, pattern]) == pytest.approx(1.0, abs=1e-6)
    assert scorer.likeness(pattern, [stranger]) < 1.0


def test_the_index_ranks_by_the_rare_that_is_shared() -> None:
    patterns = drawn(200, 10)
    index = PatternIndex(patterns)

    for pattern in drawn(20, 11):
        own = set(features(pattern))
        score = {}
        for place, other in enumerate(patterns):
            theirs = features(other)
            shared = sum(index.weight(each) ** 2 for each in theirs if each in own)
            if shared:
                score[place] = shared / math.hypot(*map(index.weight, theirs))
        best = sorted(score, key=lambda place: (-score[place], place))[:MOST_FOUND]
        found = index.near(pattern)
        assert len(found) == len(set(found)) == len(best)
        # What is as near may change places, by how sums are rounded.
        assert [score[place] for place in found] == pytest.approx([score[place] for place in best])


def test_what_fewer_patterns_have_counts_for_more() -> None:
    index = PatternIndex([Pattern.of(failure("lake")), Pattern.of(failure("lake dry"))])

    weights = [index.weight(("word", word)) for word in ("lake", "dry", "unheard")]
    assert 0.0 < weights[0] < weights[1] < weights[2]


def test_what_all_patterns_have_finds_some_of_them_and_nothing_breaks() -> None:
    patterns = [
        Pattern.of(failure("x", type_="E", at=None, test=f"test_{number}", assertion=Assertion("==")))
        for number in range(COMMON + 50)
    ]
    index = PatternIndex(patterns)
    stranger = Pattern.of(failure("x", type_="E", at=None, test="test_new", path="a.py"))

    assert 0 < len(index.near(stranger)) <= MOST_FOUND
    assert index.near(patterns[7])[0] == 7
    assert PatternIndex([]).near(patterns[0]) == []
    alien = replace(stranger, type="F", template="y", path="b.py", test="z", assertion=None, test_statement="run()")
    assert index.near(alien) == []

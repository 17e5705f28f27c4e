"""What the gate lets through, and what not."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_qeattention import flash_attention, topk_similarity
from pytest_qeattention.bench.cases import AttentionCase, TopkCase
from pytest_qeattention.bench.gate import AttentionOracle, TopkOracle, sampled_rows

CASE = AttentionCase(2, 3, 70, 70, 16)
SEARCH = TopkCase(90, 200, 24, 5)


def test_few_rows_are_all_compared_and_many_are_sampled() -> None:
    assert sampled_rows(5, seed=0).tolist() == [0, 1, 2, 3, 4]

    rows = sampled_rows(10_000, seed=0, rows=50)

    assert rows[0] == 0
    assert rows[-1] == 9_999
    assert 40 <= len(rows) <= 50
    assert (np.diff(rows) > 0).all()
    assert sampled_rows(10_000, seed=1, rows=50).tolist() != rows.tolist()


def test_a_right_result_passes() -> None:
    q, k, v = CASE.inputs()

    verdict = AttentionOracle.of(q, k, v, seed=0).judge(flash_attention(q, k, v), "float32")

    assert verdict.is_right
    assert verdict.error is not None
    assert 0 < verdict.error < 1e-5


def test_keys_and_queries_of_different_number() -> None:
    q, k, v = AttentionCase(1, 2, 1, 500, 8).inputs()

    assert AttentionOracle.of(q, k, v, seed=0).judge(flash_attention(q, k, v), "float32").is_right


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda q, k, v: flash_attention(q, k, v, scale=0.3), "off by"),
        (lambda q, k, v: flash_attention(q, k, v, causal=True), "off by"),
        (lambda q, k, v: flash_attention(q, k[..., :-1, :], v[..., :-1, :]), "off by"),
        (lambda q, k, v: flash_attention(q, k, v)[..., ::-1, :], "off by"),
        (lambda q, k, v: flash_attention(q, k, v) * np.float32("nan"), "NaN"),
        (lambda q, k, v: flash_attention(q, k, v)[..., :-1], "shape"),
    ],
    ids=["scale", "causal", "a key is missing", "order of rows", "nan", "shape"],
)
def test_a_wrong_implementation_does_not(spoil: object, reason: str) -> None:
    q, k, v = CASE.inputs()
    assert callable(spoil)

    verdict = AttentionOracle.of(q, k, v, seed=0).judge(spoil(q, k, v), "float32")

    assert not verdict.is_right
    assert verdict.reason is not None
    assert reason in verdict.reason


def test_a_lower_precision_has_a_tolerance_of_its_own() -> None:
    q, k, v = CASE.inputs()
    oracle = AttentionOracle.of(q, k, v, seed=0)
    rounded = flash_attention(q, k, v, precision="bfloat16")

    assert oracle.judge(rounded, "bfloat16").is_right
    assert not oracle.judge(rounded, "float32").is_right


def test_the_tolerance_shrinks_with_what_is_expected() -> None:
    q, k, v = AttentionCase(1, 1, 64, 4000, 16).inputs()

    # Means of 4000 values are near zero, but not zero.
    assert not AttentionOracle.of(q, k, v, seed=0).judge(np.zeros_like(q), "bfloat16").is_right


def test_the_nearest_keys_pass_in_any_order() -> None:
    queries, keys = SEARCH.inputs()
    indices = topk_similarity(queries, keys, SEARCH.k)[1]
    oracle = TopkOracle.of(queries, keys, seed=0)

    assert oracle.judge(indices, SEARCH.k).is_right
    # Scores are compared, sorted by the implementation: the wrong order is wrong.
    assert not oracle.judge(indices[:, ::-1], SEARCH.k).is_right


def test_one_of_two_equal_keys_is_as_good_as_the_other() -> None:
    keys = np.repeat(np.eye(4, dtype=np.float32), 2, axis=0)
    oracle = TopkOracle.of(keys[:1], keys, seed=0)

    assert oracle.judge(np.array([[0]]), 1).is_right
    assert oracle.judge(np.array([[1]]), 1).is_right
    assert not oracle.judge(np.array([[2]]), 1).is_right


@pytest.mark.parametrize(
    ("indices", "reason"),
    [
        ([[0, 0]], "twice"),
        ([[0, 8]], "out of range"),
        ([[0, -1]], "out of range"),
        ([[0]], "expected 2 per query"),
    ],
)
def test_indices_that_cannot_be(indices: list[list[int]], reason: str) -> None:
    keys = np.eye(8, dtype=np.float32)

    verdict = TopkOracle.of(keys[:1], keys, seed=0).judge(np.array(indices), 2)

    assert not verdict.is_right
    assert reason in str(verdict.reason)

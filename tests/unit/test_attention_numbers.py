from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from attention_oracle import BOUND, inputs, normal, oracle

from pytest_qeattention.attention import flash_attention

ROWS = [1, 5, 60]
LOWEST = float(np.finfo(np.float32).min)


def whole_numbers(n: int, d: int, seed: int) -> Any:
    return np.random.default_rng([seed, n, d]).integers(-50, 51, (n, d)).astype(np.float32)


@pytest.mark.parametrize("n_q", ROWS)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_extreme_logits(variant: str, n_q: int, precision: str) -> None:
    # Scores of up to +-1e4, exact in either precision; in powers of two they are rounded to about 1e-3.
    q, k, v = whole_numbers(n_q, 4, 1), whole_numbers(150, 4, 2), normal(150, 6, seed=3)
    out, lse = flash_attention(q, k, v, scale=1.0, precision=precision, return_lse=True)
    expected, expected_lse = oracle(q, k, v, scale=1.0)
    assert np.abs(q.astype(np.float64) @ k.T).max() > 2500
    np.testing.assert_allclose(out, expected, rtol=0, atol=5e-3 if precision == "float32" else 2e-2)
    np.testing.assert_allclose(lse, expected_lse, rtol=1e-6)


@pytest.mark.parametrize("n_q", ROWS)
@pytest.mark.parametrize("sign", [1, -1])
def test_logits_of_ten_thousand_and_their_neighbours(variant: str, n_q: int, sign: int) -> None:
    q, v = np.full((n_q, 1), 100, np.float32), normal(90, 3)
    k = (sign * 100 + np.arange(90) % 3 * 0.0078125).astype(np.float32)[:, None]
    out, lse = flash_attention(q, k, v, scale=1.0, return_lse=True)
    expected, expected_lse = oracle(q, k, v, scale=1.0)
    np.testing.assert_allclose(out, expected, rtol=0, atol=5e-3)
    np.testing.assert_allclose(lse, expected_lse, rtol=1e-6)


@pytest.mark.parametrize("n_q", ROWS)
@pytest.mark.parametrize("key_chunk", [None, 1])
@pytest.mark.parametrize("step", [1, -1])
def test_weights_too_small_for_a_float_are_zero(variant: str, n_q: int, key_chunk: int | None, step: int) -> None:
    q, k = np.ones((n_q, 1), np.float32), np.array([[0], [-200], [-1e4], [-87.4], [-104]], np.float32)
    v = np.array([[1.0], [np.nan], [np.inf], [1], [1]], np.float32)
    k, v = k[::step], v[::step]
    out, lse = flash_attention(q, k, v, scale=1.0, key_chunk=key_chunk, return_lse=True)
    np.testing.assert_allclose(out, np.ones((n_q, 1)), rtol=1e-6)
    np.testing.assert_allclose(lse, np.zeros(n_q), atol=1e-6)


@pytest.mark.parametrize("n_q", ROWS)
def test_subnormal_inputs(variant: str, n_q: int) -> None:
    q, k, v = inputs(n_q, 70, 8, 8)
    tiny = np.float32(1e-40)
    for change in ((q * tiny, k, v), (q, k * tiny, v), (q * tiny, k * tiny, v)):
        np.testing.assert_allclose(flash_attention(*change), oracle(*change)[0], rtol=0, atol=BOUND)
    big = np.float32(1e38)
    np.testing.assert_allclose(
        flash_attention(q * tiny, k * big, v, scale=100.0),
        oracle(q * tiny, k * big, v, scale=100.0)[0],
        rtol=0,
        atol=BOUND,
    )


@pytest.mark.parametrize("n_q", ROWS)
def test_infinite_values_reach_the_rows_that_see_them(variant: str, n_q: int) -> None:
    q, k, v = inputs(n_q, 70, 8, 8)
    v[20, 1], v[30, 2], v[31, 2] = np.inf, np.inf, -np.inf
    out = flash_attention(q, k, v)
    assert np.isposinf(out[:, 1]).all()
    assert np.isnan(out[:, 2]).all()
    others = [0, 3, 4, 5, 6, 7]
    np.testing.assert_allclose(out[:, others], oracle(q, k, v[:, others])[0], rtol=0, atol=BOUND)
    np.testing.assert_allclose(
        flash_attention(q, k, v, causal=True)[:20], oracle(q[:20], k[:20], v[:20], causal=True)[0], rtol=0, atol=BOUND
    )


@pytest.mark.parametrize("n_q", ROWS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_masks_that_are_no_numbers_reach_their_rows_only(variant: str, n_q: int, value: float) -> None:
    q, k, v = inputs(n_q, 70, 8, 8)
    mask = np.zeros((n_q, 70), np.float32)
    mask[n_q // 2, 40] = value
    out, lse = flash_attention(q, k, v, mask=mask, return_lse=True)
    assert np.isnan(out[n_q // 2]).all()
    assert np.isnan(lse[n_q // 2])
    others = np.arange(n_q) != n_q // 2
    np.testing.assert_allclose(out[others], oracle(q, k, v)[0][others], rtol=0, atol=BOUND)


@pytest.mark.parametrize("n_q", ROWS)
@pytest.mark.parametrize("amount", [-1e4, 1e4, -1e30, LOWEST])
def test_large_additive_masks(variant: str, n_q: int, amount: float) -> None:
    q, k, v = inputs(n_q, 70, 8, 8)
    mask = np.zeros((n_q, 70), np.float32)
    mask[:, 30:] = amount
    seen = slice(30) if amount < 0 else slice(30, 70)
    out = flash_attention(q, k, v, mask=mask)
    np.testing.assert_allclose(out, oracle(q, k[seen], v[seen])[0], rtol=0, atol=2e-3)


@pytest.mark.parametrize("n_q", ROWS)
@pytest.mark.parametrize("amount", [LOWEST, LOWEST / 2, -1e30])
def test_a_row_of_the_lowest_number_is_not_a_row_of_excluded_keys(variant: str, n_q: int, amount: float) -> None:
    # What many models write for "masked": no score shows beside it, so all keys weigh the same.
    q, k, v = inputs(n_q, 70, 8, 8)
    mask = np.full((n_q, 70), amount, np.float32)
    mask[:, 60:] = -np.inf
    out, lse = flash_attention(q, k, v, mask=mask, return_lse=True)
    np.testing.assert_allclose(out, np.tile(v[:60].mean(axis=0, dtype=np.float64), (n_q, 1)), rtol=0, atol=BOUND)
    # In powers of two the lowest number stands for 0.7 of it.
    np.testing.assert_allclose(lse, np.full(n_q, amount), rtol=0.31 if amount == LOWEST else 1e-6)


@pytest.mark.parametrize("n_q", ROWS)
@pytest.mark.parametrize("kind", ["bool", "float"])
def test_fully_masked_rows_between_others(variant: str, n_q: int, kind: str) -> None:
    q, k, v = inputs(n_q, 150, 8, 8)
    mask: Any = np.random.default_rng(2).random((n_q, 150)) < 0.3
    mask[::3] = False
    mask[:, :50] = False
    mask[1::3, 149] = True
    if kind == "float":
        mask = np.where(mask, normal(n_q, 150, seed=4), -np.inf).astype(np.float32)
    out, lse = flash_attention(q, k, v, mask=mask, return_lse=True)
    expected, expected_lse = oracle(q, k, v, mask=mask)
    assert (out[::3] == 0).all()
    assert np.isneginf(lse[::3]).all()
    np.testing.assert_allclose(out, expected, rtol=0, atol=BOUND)
    np.testing.assert_allclose(lse, expected_lse, rtol=0, atol=BOUND)


@pytest.mark.parametrize(("n_q", "n_k"), [(3, 70), (70, 3), (60, 200), (200, 60), (1, 5000), (5, 5000)])
def test_causal_counts_from_the_first_key(variant: str, n_q: int, n_k: int) -> None:
    q, k, v = inputs(n_q, n_k, 8, 8)
    out, lse = flash_attention(q, k, v, causal=True, return_lse=True)
    expected, expected_lse = oracle(q, k, v, causal=True)
    np.testing.assert_allclose(out, expected, rtol=0, atol=BOUND)
    np.testing.assert_allclose(lse, expected_lse, rtol=0, atol=BOUND)
    np.testing.assert_allclose(out[0], v[0], rtol=0, atol=BOUND)


@pytest.mark.parametrize("n_q", [1, 2, 20])
def test_few_queries_against_many_keys(variant: str, n_q: int) -> None:
    q, k, v = inputs(n_q, 9001, 20, 9)
    mask: Any = np.random.default_rng(2).random((n_q, 9001)) < 0.4
    mask[:, 1000:6000] = False
    v[2000] = k[3000] = np.nan
    for masked in (mask, np.where(mask, 0, -np.inf).astype(np.float32)):
        out, lse = flash_attention(q, k, v, mask=masked, return_lse=True)
        held = np.where(np.isnan(k), 0, k), np.where(np.isnan(v), 0, v)
        expected, expected_lse = oracle(q, *held, mask=mask)
        np.testing.assert_allclose(out, expected, rtol=0, atol=BOUND)
        np.testing.assert_allclose(lse, expected_lse, rtol=0, atol=BOUND)


@pytest.mark.parametrize("n_q", [1, 20])
def test_infinite_scores_in_one_range_of_split_keys(variant: str, n_q: int) -> None:
    q, v = np.ones((n_q, 1), np.float32), normal(5000, 3)
    k = np.full((5000, 1), -np.inf, np.float32)
    out, lse = flash_attention(q, k, v, return_lse=True)
    assert (out == 0).all()
    assert np.isneginf(lse).all()
    k[4321] = 2
    out, lse = flash_attention(q, k, v, return_lse=True)
    np.testing.assert_allclose(out, np.tile(v[4321], (n_q, 1)), rtol=1e-6)
    np.testing.assert_allclose(lse, np.full(n_q, 2.0), rtol=1e-6)
    k[12] = np.inf
    out, lse = flash_attention(q, k, v, return_lse=True)
    assert np.isnan(out).all()
    assert np.isnan(lse).all()


@pytest.mark.parametrize("n_q", ROWS)
@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_an_addend_of_a_future_key_is_not_looked_at(variant: str, n_q: int, odd: float) -> None:
    q, k, v = inputs(n_q, 70, 8, 8)
    future = np.arange(70) > np.arange(n_q)[:, None]
    mask = np.where(future, np.float32(odd), np.float32(0.25))
    out = flash_attention(q, k, v, mask=mask, causal=True)
    np.testing.assert_array_equal(out, flash_attention(q, k, v, mask=np.full_like(mask, 0.25), causal=True))


@pytest.mark.parametrize("n_q", ROWS)
def test_a_very_high_addend_decides(variant: str, n_q: int) -> None:
    q, k, v = inputs(n_q, 40, 8, 8)
    mask = np.zeros((n_q, 40), np.float32)
    mask[:, 3] = 3e38
    np.testing.assert_array_equal(flash_attention(q, k, v, mask=mask), np.broadcast_to(v[..., 3:4, :], (n_q, 8)))


@pytest.mark.parametrize("n_q", ROWS)
def test_scores_that_overflow_are_never_taken_for_masked(variant: str, n_q: int) -> None:
    # 2.5e38 is a float32 number, but not in powers of two.
    q, k = np.full((n_q, 1), 1e19, np.float32), np.array([[2.5e19], [1e19]], np.float32)
    out, lse = flash_attention(q, k, np.eye(2, dtype=np.float32), scale=1.0, return_lse=True)
    assert (np.isnan(out).all() and not np.isneginf(lse).any()) or np.array_equal(out, np.tile([1.0, 0.0], (n_q, 1)))

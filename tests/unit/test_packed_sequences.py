from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from attention_oracle import BOUND, check_ran, check_same_bits, inputs, normal, oracle

from pytest_qeattention.attention import flash_attention
from pytest_qeattention.attention.functional import attend

OK = np.ones((6, 4), dtype=np.float32)


def bounds_of(*lengths: int) -> Any:
    return np.concatenate([[0], np.cumsum(lengths)])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("causal", [False, True])
def test_packed_sequences_equal_calls_of_their_own(variant: str, causal: bool, precision: str) -> None:
    lengths, lengths_k = [1, 7, 24, 49, 3, 130], [5, 7, 90, 10, 1, 64]
    bounds, bounds_k = bounds_of(*lengths), bounds_of(*lengths_k)
    q, k, v = normal(2, 214, 11), normal(2, 177, 11), normal(177, 5)
    out, lse = flash_attention(
        q, k, v, causal=causal, precision=precision, cu_seqlens=bounds, cu_seqlens_k=bounds_k, return_lse=True
    )
    check_ran(variant)
    for i in range(len(lengths)):
        rows, keys = slice(bounds[i], bounds[i + 1]), slice(bounds_k[i], bounds_k[i + 1])
        one, one_lse = flash_attention(
            q[:, rows], k[:, keys], v[keys], causal=causal, precision=precision, return_lse=True
        )
        np.testing.assert_allclose(out[:, rows], one, rtol=0, atol=1e-6)
        np.testing.assert_allclose(lse[:, rows], one_lse, rtol=0, atol=2e-6)


def test_same_bounds_serve_queries_and_keys(variant: str) -> None:
    q, k, v = inputs(90, 90, 8, 8)
    bounds = bounds_of(20, 1, 69)
    check_same_bits(
        flash_attention(q, k, v, cu_seqlens=bounds), flash_attention(q, k, v, cu_seqlens=bounds, cu_seqlens_k=bounds)
    )
    check_same_bits(flash_attention(q, k, v, cu_seqlens=np.array([0, 90])), flash_attention(q, k, v))


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.uint16, np.uint64, ">i4"])
def test_bounds_may_be_any_integers(variant: str, dtype: Any) -> None:
    q, k, v = inputs(90, 90, 8, 8)
    bounds = bounds_of(20, 1, 69)
    expected = flash_attention(q, k, v, cu_seqlens=bounds)
    check_same_bits(flash_attention(q, k, v, cu_seqlens=bounds.astype(dtype)), expected)
    check_same_bits(flash_attention(q, k, v, cu_seqlens=np.repeat(bounds, 2)[::2]), expected)


def test_empty_sequences(variant: str) -> None:
    q, k, v = inputs(10, 12, 4, 4)
    out, lse = flash_attention(
        q, k, v, cu_seqlens=bounds_of(0, 4, 0, 6, 0), cu_seqlens_k=bounds_of(3, 0, 0, 9, 0), return_lse=True
    )
    assert (out[:4] == 0).all()
    assert np.isneginf(lse[:4]).all()
    np.testing.assert_allclose(out[4:], oracle(q[4:], k[3:], v[3:])[0], rtol=0, atol=BOUND)


def test_nothing_but_empty_sequences(variant: str) -> None:
    q, k, v = inputs(4, 5, 3, 2)
    out, lse = flash_attention(q, k, v, cu_seqlens=bounds_of(4, 0), cu_seqlens_k=bounds_of(0, 5), return_lse=True)
    assert (out == 0).all()
    assert np.isneginf(lse).all()
    nothing = flash_attention(q[:0], k[:0], v[:0], cu_seqlens=np.zeros(4, np.int64))
    assert nothing.shape == (0, 2)


@pytest.mark.parametrize("kind", ["bool", "float", "row", "column"])
def test_masks_of_packed_sequences_are_those_of_all_rows_and_keys(variant: str, kind: str) -> None:
    q, k, v = inputs(70, 60, 8, 8)
    rng = np.random.default_rng(1)
    mask: Any = {
        "bool": rng.random((70, 60)) < 0.5,
        "float": normal(70, 60, seed=4),
        "row": rng.random((1, 60)) < 0.5,
        "column": normal(70, 1, seed=5),
    }[kind]
    bounds, bounds_k = bounds_of(30, 40), bounds_of(45, 15)
    out, lse = flash_attention(
        q, k, v, mask=mask, causal=True, cu_seqlens=bounds, cu_seqlens_k=bounds_k, return_lse=True
    )
    full = np.broadcast_to(mask, (70, 60))
    for rows, keys in ((slice(30), slice(45)), (slice(30, 70), slice(45, 60))):
        expected, expected_lse = oracle(q[rows], k[keys], v[keys], mask=full[rows, keys], causal=True)
        np.testing.assert_allclose(out[rows], expected, rtol=0, atol=BOUND)
        np.testing.assert_allclose(lse[rows], expected_lse, rtol=0, atol=BOUND)


def test_what_other_sequences_hold_does_not_matter(variant: str) -> None:
    q, k, v = inputs(90, 90, 8, 8)
    bounds = bounds_of(30, 30, 30)
    expected = flash_attention(q, k, v, cu_seqlens=bounds)
    q[30:60], k[30:60], v[30:60] = np.nan, np.inf, np.nan
    out = flash_attention(q, k, v, cu_seqlens=bounds)
    check_same_bits(out[:30], expected[:30])
    check_same_bits(out[60:], expected[60:])
    assert np.isnan(out[30:60]).all()


def test_scratch_memory_does_not_grow_with_the_number_of_sequences(kernel: str) -> None:
    def scratch(sequences: int) -> int:
        bounds = np.arange(sequences + 1) * 50
        x = normal(50 * sequences, 8)
        return attend(x, x, x, cu_seqlens=bounds, num_threads=1).scratch_bytes

    assert scratch(1) <= scratch(100) <= 2 * scratch(1)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"cu_seqlens": "06"}, TypeError, "cu_seqlens must be an integer array"),
        ({"cu_seqlens": [0.0, 6.0]}, TypeError, "cu_seqlens has dtype float64"),
        ({"cu_seqlens": []}, ValueError, "cu_seqlens has shape"),
        ({"cu_seqlens": 6}, TypeError, "cu_seqlens must be an integer array"),
        ({"cu_seqlens": np.array([0.0, 6.0])}, TypeError, "cu_seqlens has dtype float64"),
        ({"cu_seqlens": np.array([False, True])}, TypeError, "cu_seqlens has dtype bool"),
        ({"cu_seqlens": np.array(6)}, ValueError, r"cu_seqlens has shape \(\)"),
        ({"cu_seqlens": np.array([[0, 6]])}, ValueError, r"cu_seqlens has shape \(1, 2\)"),
        ({"cu_seqlens": np.array([0])}, ValueError, r"cu_seqlens has shape \(1,\)"),
        ({"cu_seqlens": np.array([], np.int64)}, ValueError, r"cu_seqlens has shape \(0,\)"),
        ({"cu_seqlens": np.array([1, 6])}, ValueError, "cu_seqlens does not rise from 0 to n_q = 6"),
        ({"cu_seqlens": np.array([0, 5])}, ValueError, "cu_seqlens does not rise from 0 to n_q = 6"),
        ({"cu_seqlens": np.array([0, 7])}, ValueError, "cu_seqlens does not rise from 0 to n_q = 6"),
        ({"cu_seqlens": np.array([0, 4, 3, 6])}, ValueError, "cu_seqlens does not rise"),
        ({"cu_seqlens": np.array([0, -1, 6])}, ValueError, "cu_seqlens does not rise"),
        ({"cu_seqlens": np.array([0, 2**63, 6], np.uint64)}, ValueError, "cu_seqlens does not rise"),
        ({"cu_seqlens": np.array([0, 7, 6])}, ValueError, "cu_seqlens does not rise"),
        ({"cu_seqlens_k": np.array([0, 6])}, ValueError, "cu_seqlens_k is given without cu_seqlens"),
        (
            {"cu_seqlens": np.array([0, 6]), "cu_seqlens_k": np.array([0, 5])},
            ValueError,
            "cu_seqlens_k does not rise from 0 to n_k = 6",
        ),
        (
            {"cu_seqlens": np.array([0, 6]), "cu_seqlens_k": np.array([0, 3, 6])},
            ValueError,
            "cu_seqlens bounds 1 sequences and cu_seqlens_k 2",
        ),
        ({"cu_seqlens": np.array([0, 6]), "k": OK[:5], "v": OK[:5]}, ValueError, "6 queries, but there are 5 keys"),
    ],
)
def test_wrong_bounds_are_named(variant: str, change: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        flash_attention(**{"q": OK, "k": OK, "v": OK, **change})


def test_bounds_may_be_a_list(variant: str) -> None:
    q = normal(2, 6, 8)
    bounds = [0, 2, 6]
    np.testing.assert_array_equal(
        flash_attention(q, q, q, cu_seqlens=bounds), flash_attention(q, q, q, cu_seqlens=np.array(bounds))
    )

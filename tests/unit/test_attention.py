from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
import pytest
from attention_oracle import BOUND, check_ran, inputs, normal, oracle, tile_of

from pytest_qeattention.attention import flash_attention


@pytest.mark.parametrize("offset", [-1, 0, 1])
@pytest.mark.parametrize("n_k", [1, 3, 4, 5, 63, 64, 65, 200])
def test_sizes_at_tile_edges(variant: str, offset: int, n_k: int) -> None:
    n_q = tile_of(variant) + offset
    q, k, v = inputs(n_q, n_k, 20, 9)
    out, lse = flash_attention(q, k, v, return_lse=True)
    check_ran(variant)
    expected, expected_lse = oracle(q, k, v)
    np.testing.assert_allclose(out, expected, rtol=0, atol=BOUND)
    np.testing.assert_allclose(lse, expected_lse, rtol=0, atol=BOUND)


@pytest.mark.parametrize("d", [1, 2, 64, 100, 1024])
@pytest.mark.parametrize("d_v", [1, 64, 257])
def test_widths_up_to_1024(variant: str, d: int, d_v: int) -> None:
    q, k, v = inputs(30, 150, d, d_v)
    out, lse = flash_attention(q, k, v, return_lse=True)
    expected, expected_lse = oracle(q, k, v)
    np.testing.assert_allclose(out, expected, rtol=0, atol=BOUND)
    np.testing.assert_allclose(lse, expected_lse, rtol=0, atol=BOUND)


@pytest.mark.parametrize(("n_q", "n_k"), [(70, 70), (70, 20), (20, 70), (1, 70), (70, 1)])
@pytest.mark.parametrize("kind", ["bool", "float", "causal", "causal and bool", "row", "column", "scalar"])
def test_masks(variant: str, n_q: int, n_k: int, kind: str) -> None:
    q, k, v = inputs(n_q, n_k, 16, 16)
    rng = np.random.default_rng(5)
    mask: Any = {
        "bool": rng.random((n_q, n_k)) < 0.3,
        "float": normal(n_q, n_k, seed=7),
        "causal": None,
        "causal and bool": rng.random((n_q, n_k)) < 0.5,
        "row": rng.random((1, n_k)) < 0.5,
        "column": rng.random((n_q, 1)) < 0.5,
        "scalar": np.array(0.5, dtype=np.float32),
    }[kind]
    causal = kind.startswith("causal")
    out, lse = flash_attention(q, k, v, mask=mask, causal=causal, return_lse=True)
    expected, expected_lse = oracle(q, k, v, mask=mask, causal=causal)
    np.testing.assert_allclose(out, expected, rtol=0, atol=BOUND)
    np.testing.assert_allclose(lse, expected_lse, rtol=0, atol=BOUND)


@pytest.mark.parametrize("scale", [0.0, 1.0, -0.25, 2.5])
def test_scale(variant: str, scale: float) -> None:
    q, k, v = inputs(30, 70, 8, 8)
    out = flash_attention(q, k, v, scale=scale)
    np.testing.assert_allclose(out, oracle(q, k, v, scale=scale)[0], rtol=0, atol=BOUND)


def test_leading_dimensions_broadcast(variant: str) -> None:
    q, k, v = normal(2, 1, 30, 8), normal(3, 40, 8), normal(40, 5)
    mask = np.random.default_rng(1).random((2, 1, 1, 40)) < 0.7
    out, lse = flash_attention(q, k, v, mask=mask, return_lse=True)
    expected, expected_lse = oracle(q, k, v, mask=mask)
    assert out.shape == (2, 3, 30, 5)
    assert lse.shape == (2, 3, 30)
    np.testing.assert_allclose(out, expected, rtol=0, atol=BOUND)
    np.testing.assert_allclose(lse, expected_lse, rtol=0, atol=BOUND)


@pytest.mark.parametrize(
    ("q", "k", "v", "out"),
    [
        ((0, 4), (5, 4), (5, 3), (0, 3)),
        ((2, 4), (0, 4), (0, 3), (2, 3)),
        ((2, 0), (5, 0), (5, 3), (2, 3)),
        ((2, 4), (5, 4), (5, 0), (2, 0)),
        ((0, 2, 4), (0, 5, 4), (5, 3), (0, 2, 3)),
    ],
)
def test_empty_dimensions(variant: str, q: Any, k: Any, v: Any, out: Any) -> None:
    values = np.ones(v, dtype=np.float32)
    result, lse = flash_attention(normal(*q), normal(*k), values, return_lse=True)
    assert result.shape == out
    assert lse.shape == out[:-1]
    if k[-2] == 0:
        assert (result == 0).all()
        assert np.isneginf(lse).all()
    else:
        np.testing.assert_allclose(result, np.ones(out), rtol=1e-6)


def test_row_without_keys_is_zero_even_where_values_are_not_numbers(variant: str) -> None:
    q, k, v = inputs(50, 70, 8, 8)
    mask = np.ones((50, 70), dtype=bool)
    mask[[0, 7, 49]] = False
    v[3] = np.nan
    mask[:, 3] = False
    out, lse = flash_attention(q, k, v, mask=mask, return_lse=True)
    assert (out[[0, 7, 49]] == 0).all()
    assert np.isneginf(lse[[0, 7, 49]]).all()
    expected = oracle(q, k, np.where(np.isnan(v), 0, v), mask=mask)[0]
    np.testing.assert_allclose(out, expected, rtol=0, atol=BOUND)


@pytest.mark.parametrize("additive", [False, True])
def test_excluded_padding_adds_nothing_whatever_it_holds(variant: str, additive: bool) -> None:
    q, k, v = inputs(50, 70, 8, 8)
    expected = oracle(q, k[:60], v[:60])[0]
    k[60:65], k[65:], v[60:65], v[65:] = np.nan, np.inf, np.inf, np.nan
    mask: Any = np.arange(70) < 60
    if additive:
        mask = np.where(mask, 0, -np.inf).astype(np.float32)
    np.testing.assert_allclose(flash_attention(q, k, v, mask=mask), expected, rtol=0, atol=BOUND)


def test_nan_stays_in_its_rows(variant: str) -> None:
    q, k, v = inputs(50, 70, 8, 8)
    q[7, 2] = np.nan
    out, lse = flash_attention(q, k, v, return_lse=True)
    assert np.isnan(out[7]).all()
    assert np.isnan(lse[7])
    others = np.arange(50) != 7
    np.testing.assert_allclose(out[others], oracle(q, k, v)[0][others], rtol=0, atol=BOUND)


def test_nan_in_key_or_value_reaches_every_row_that_sees_it(variant: str) -> None:
    q, k, v = inputs(50, 70, 8, 8)
    v[20, 3] = np.nan
    out = flash_attention(q, k, v, causal=True)
    assert np.isnan(out[20:, 3]).all()
    assert np.isfinite(out[:20]).all()
    assert np.isfinite(np.delete(out, 3, axis=1)).all()
    k[20, 0] = np.nan
    assert np.isnan(flash_attention(q, k, v, causal=True)[20:]).all()


def test_infinite_scores(variant: str) -> None:
    q, v = np.ones((3, 1), dtype=np.float32), np.arange(4, dtype=np.float32)[:, None]
    k = np.array([[0], [-np.inf], [1], [-np.inf]], dtype=np.float32)
    out, lse = flash_attention(q, k, v, return_lse=True)
    np.testing.assert_allclose(out, np.full((3, 1), 2 * math.e / (1 + math.e)), rtol=1e-6)
    np.testing.assert_allclose(lse, np.full(3, math.log(1 + math.e)), rtol=1e-6)
    k[0] = np.inf
    assert np.isnan(flash_attention(q, k, v)).all()


def test_large_scores_do_not_overflow(variant: str) -> None:
    q, k, v = inputs(30, 90, 16, 4)
    out = flash_attention(q * 100, k * 100, v)
    np.testing.assert_allclose(out, oracle(q * 100, k * 100, v)[0], rtol=0, atol=5e-3)
    assert np.isfinite(out).all()


def test_subnormals_survive(variant: str) -> None:
    tiny = np.full((70, 4), 1e-40, dtype=np.float32)
    q, k, _ = inputs(30, 70, 8, 8)
    out = flash_attention(q, k, tiny)
    np.testing.assert_allclose(out, np.full((30, 4), 1e-40), rtol=1e-3)
    assert np.float32(1e-40) * np.float32(1) != 0
    assert sys.float_info.min / 2 > 0


def test_strided_input_gives_the_same_as_its_copy(variant: str) -> None:
    q, k, v = (
        normal(8, 2, 30)[::2].swapaxes(0, 2),
        normal(30, 50, 4)[..., ::-1],
        normal(30, 5, 50).swapaxes(1, 2),
    )
    assert not q.flags.c_contiguous
    q = q[:, :, :].reshape(30, 2, 4)
    expected = flash_attention(q.copy(), k.copy(), v.copy())
    if variant == "numpy":
        # A BLAS may add in another order where rows lie otherwise.
        np.testing.assert_allclose(flash_attention(q, k, v), expected, rtol=1e-5, atol=1e-6)
    else:
        np.testing.assert_array_equal(flash_attention(q, k, v), expected)


def test_read_only_input_is_accepted_and_untouched(variant: str) -> None:
    arrays = inputs(30, 40, 8, 8)
    copies = [array.copy() for array in arrays]
    for array in arrays:
        array.flags.writeable = False
    flash_attention(*arrays)
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_partial_results_merge_by_their_log_sum_exp(variant: str) -> None:
    q, k, v = inputs(30, 100, 8, 8)
    whole = flash_attention(q, k, v)
    first, first_lse = flash_attention(q, k[:37], v[:37], return_lse=True)
    second, second_lse = flash_attention(q, k[37:], v[37:], return_lse=True)
    share = 1 / (1 + np.exp(second_lse - first_lse))[:, None]
    np.testing.assert_allclose(first * share + second * (1 - share), whole, rtol=0, atol=BOUND)


OK = np.ones((3, 4), dtype=np.float32)


@pytest.mark.parametrize("name", ["q", "k", "v"])
@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (None, TypeError, "not NoneType"),
        ([[1.0, 2.0]], TypeError, "not list"),
        ("text", TypeError, "not str"),
        (3.5, TypeError, "not float"),
        (object(), TypeError, "not object"),
        (OK.astype(np.float64), TypeError, "dtype float64, expected float32"),
        (OK.astype(np.float16), TypeError, "dtype float16, expected float32"),
        (OK.astype(np.int32), TypeError, "dtype int32, expected float32"),
        (OK.astype(object), TypeError, "dtype object, expected float32"),
        (OK.astype("datetime64[s]"), TypeError, r"dtype datetime64\[s\], expected float32"),
        (OK.astype("timedelta64[s]"), TypeError, r"dtype timedelta64\[s\], expected float32"),
        (OK.astype("U4"), TypeError, "dtype <U4, expected float32"),
        (np.zeros((3, 4), "f4,i4"), TypeError, "expected float32"),
        (OK.astype(np.dtype(np.float32).newbyteorder()), TypeError, "expected float32"),
        (np.ma.masked_array(OK), TypeError, "masked array"),
        (np.float32(1), ValueError, r"shape \(\)"),
        (OK[0], ValueError, r"shape \(4,\)"),
    ],
)
def test_wrong_arrays_are_named(variant: str, name: str, value: object, error: type[Exception], words: str) -> None:
    arguments: dict[str, Any] = {"q": OK, "k": OK, "v": OK, name: value}
    with pytest.raises(error, match=rf"(?s)^{name} .*{words}"):
        flash_attention(**arguments)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"k": np.ones((3, 5), np.float32)}, ValueError, r"k has shape \(3, 5\).*n_k, 4"),
        ({"v": np.ones((2, 4), np.float32)}, ValueError, r"v has shape \(2, 4\).*3, d_v"),
        (
            {"q": np.ones((2, 3, 4), np.float32), "k": np.ones((3, 3, 4), np.float32)},
            ValueError,
            "leading dimensions do not broadcast",
        ),
        ({"mask": np.ones((2, 3), bool)}, ValueError, r"mask has shape \(2, 3\)"),
        ({"mask": np.ones((2, 3, 3), bool)}, ValueError, r"mask has shape \(2, 3, 3\)"),
        ({"mask": np.ones((3, 3))}, TypeError, "mask has dtype float64"),
        ({"mask": np.ones((3, 3), np.int8)}, TypeError, "mask has dtype int8"),
        ({"mask": [[True]]}, TypeError, "mask must be"),
        ({"scale": "big"}, TypeError, "scale must be a number"),
        ({"scale": True}, TypeError, "scale must be a number"),
        ({"scale": math.nan}, ValueError, "scale is nan"),
        ({"scale": 1e300}, ValueError, "scale is 1e"),
        ({"precision": "float16"}, ValueError, "precision is 'float16', available: 'float32', 'bfloat16'"),
        ({"precision": "BFLOAT16"}, ValueError, "precision is 'BFLOAT16', available: 'float32', 'bfloat16'"),
        ({"precision": None}, ValueError, "precision is None, available: 'float32', 'bfloat16'"),
        ({"precision": np.array("float32")}, ValueError, "precision is array.*, available: 'float32', 'bfloat16'"),
        ({"precision": 32}, ValueError, "precision is 32"),
        ({"causal": 1}, TypeError, "causal must be True or False, not int"),
        ({"return_lse": None}, TypeError, "return_lse must be True or False"),
        ({"num_threads": 0}, ValueError, "num_threads is 0"),
        ({"num_threads": -3}, ValueError, "num_threads is -3"),
        ({"num_threads": True}, TypeError, "num_threads must be an integer, not bool"),
        ({"num_threads": 1.5}, TypeError, "num_threads must be an integer, not float"),
        ({"query_chunk": 0}, ValueError, "query_chunk is 0, expected at least 1"),
        ({"query_chunk": True}, TypeError, "query_chunk must be an integer, not bool"),
        ({"query_chunk": 8.0}, TypeError, "query_chunk must be an integer, not float"),
        ({"key_chunk": -5}, ValueError, "key_chunk is -5, expected at least 1"),
        ({"key_chunk": "all"}, TypeError, "key_chunk must be an integer, not str"),
    ],
)
def test_wrong_arguments_are_named(variant: str, change: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=f"(?s){words}"):
        flash_attention(**{"q": OK, "k": OK, "v": OK, **change})

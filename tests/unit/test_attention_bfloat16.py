from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from attention_oracle import CORE, check_ran, inputs, normal, oracle, round_bfloat16

from pytest_qeattention.attention import flash_attention, reference
from pytest_qeattention.attention.backend import active, core_info, fma_peak

DOCUMENTED_BOUND = 3e-2
SHAPES = [
    (1, 1, 1, 1),
    (1, 300, 64, 64),
    (3, 65, 7, 5),
    (30, 2, 33, 9),
    (50, 150, 64, 33),
    (75, 97, 100, 64),
    (2, 5003, 16, 8),
]


def rounded(*arrays: Any) -> list[Any]:
    return [round_bfloat16(array) for array in arrays]


@pytest.mark.parametrize(("n_q", "n_k", "d", "d_v"), SHAPES)
@pytest.mark.parametrize("causal", [False, True])
def test_equals_the_oracle_on_rounded_inputs(variant: str, n_q: int, n_k: int, d: int, d_v: int, causal: bool) -> None:
    q, k, v = inputs(n_q, n_k, d, d_v)
    out, lse = flash_attention(q, k, v, precision="bfloat16", causal=causal, return_lse=True)
    check_ran(variant)
    expected, expected_lse = oracle(*rounded(q, k, v), causal=causal)
    np.testing.assert_allclose(out, expected, rtol=0, atol=1e-2)
    np.testing.assert_allclose(lse, expected_lse, rtol=0, atol=1e-2)


@pytest.mark.parametrize(("n_q", "n_k", "d", "d_v"), SHAPES)
def test_stays_within_the_documented_bound_on_standard_normal_input(
    variant: str, n_q: int, n_k: int, d: int, d_v: int
) -> None:
    assert "3e-2" in (flash_attention.__doc__ or "")
    q, k, v = inputs(n_q, n_k, d, d_v)
    out = flash_attention(q, k, v, precision="bfloat16")
    np.testing.assert_allclose(out, oracle(q, k, v)[0], rtol=0, atol=DOCUMENTED_BOUND)


@pytest.mark.parametrize("kind", ["bool", "float", "column"])
def test_masks(variant: str, kind: str) -> None:
    q, k, v = inputs(60, 130, 20, 12)
    rng = np.random.default_rng(2)
    mask: Any = {
        "bool": rng.random((60, 130)) < 0.3,
        "float": normal(60, 130, seed=7),
        "column": rng.random((60, 1)) < 0.5,
    }[kind]
    out, lse = flash_attention(q, k, v, precision="bfloat16", mask=mask, return_lse=True)
    expected, expected_lse = oracle(*rounded(q, k, v), mask=mask)
    np.testing.assert_allclose(out, expected, rtol=0, atol=1e-2)
    np.testing.assert_allclose(lse, expected_lse, rtol=0, atol=1e-2)


def test_inputs_and_weights_are_really_rounded(variant: str) -> None:
    q, k, v = inputs(60, 130, 20, 12)
    assert (flash_attention(q, k, v, precision="bfloat16") != flash_attention(q, k, v)).mean() > 0.9
    # Nothing but the rounding of one value is left where one key is all there is.
    v[0, :4] = 1 + 2**-8, 1 + 3 * 2**-8, -1 - 2**-8, 1 + 2**-8 + 2**-20
    one = flash_attention(q, k[:1], v[:1], precision="bfloat16")
    np.testing.assert_array_equal(one, np.broadcast_to(round_bfloat16(v[:1]), (60, 12)))
    # Weights of 1 and 0.7 come out as 1 and 0.69921875: to 8 bits.
    scores = np.log(np.array([[1, 0.7]])).astype(np.float32)
    mixed = flash_attention(
        np.zeros((1, 1), np.float32), np.zeros((2, 1), np.float32), np.eye(2, dtype=np.float32), mask=scores,
        precision="bfloat16",
    )  # fmt: skip
    np.testing.assert_allclose(mixed[0, 1] / mixed[0, 0], 0.69921875, rtol=1e-6)


def test_whole_numbers_that_bfloat16_holds_are_exact(variant: str) -> None:
    rng = np.random.default_rng(1)
    v = rng.integers(-255, 256, (37, 5)).astype(np.float32)
    q, k = np.zeros((20, 3), np.float32), rng.integers(-9, 9, (37, 3)).astype(np.float32)
    np.testing.assert_allclose(
        flash_attention(q, k, v, precision="bfloat16"), np.tile(v.mean(axis=0), (20, 1)), rtol=1e-5, atol=1e-4
    )


@pytest.mark.parametrize("n_q", [1, 60])
@pytest.mark.parametrize("value", [np.nan, np.inf, np.finfo(np.float32).max])
def test_excluded_keys_add_nothing_whatever_they_hold(variant: str, value: float, n_q: int) -> None:
    q, k, v = inputs(n_q, 130, 20, 12)
    mask = np.ones((n_q, 130), dtype=bool)
    mask[:, [3, 100]] = False
    expected = flash_attention(q, k, v, mask=mask, precision="bfloat16")
    v[3, 2] = v[100, 4] = k[3, 5] = value
    out = flash_attention(q, k, v, mask=mask, precision="bfloat16")
    np.testing.assert_allclose(out, expected, rtol=0, atol=1e-5)


def test_nan_stays_nan_whatever_its_payload(variant: str) -> None:
    q, k, v = inputs(30, 40, 8, 8)
    hidden = np.array([0x7F800001], np.uint32).view(np.float32)[0]
    for array in (q, k, v):
        odd = array.copy()
        odd[7, 3] = hidden
        out = flash_attention(*(odd if one is array else one for one in (q, k, v)), precision="bfloat16")
        assert np.isnan(out[7, 3])


def test_reference_rounds_to_nearest_even() -> None:
    ties = np.array([1 + 2**-8, 1 + 3 * 2**-8, -1 - 2**-8, 0.0, 3.3e38, 1e-40, 1.00390626], dtype=np.float32)
    many = np.random.default_rng(0).integers(0, 2**31, 10_000, dtype=np.uint32).view(np.float32)
    many = np.concatenate([ties, many[np.isfinite(many) & (many > 1e-37) & (many < 3e38)]])
    np.testing.assert_array_equal(reference.round_bfloat16(many[many > 1e-37]), round_bfloat16(many[many > 1e-37]))
    special = np.array([np.nan, np.inf, -np.inf, 3.4e38], dtype=np.float32)
    np.testing.assert_array_equal(reference.round_bfloat16(special), [np.nan, np.inf, -np.inf, np.inf])


def test_peak_is_measured_where_there_are_kernels(variant: str) -> None:
    peak = fma_peak(seconds=0.001)
    dots = fma_peak(precision="bfloat16", seconds=0.001)
    if variant == "numpy":
        assert (peak, dots) == (None, None)
    else:
        assert peak is not None
        # No core multiplies and adds less often than 10 million times a second, or more than 10 trillion times.
        assert 0.01 < peak < 10_000
        entry = next(entry for entry in CORE.variants() if entry["name"] == active().variant)
        assert (dots is not None) == entry["bfloat16_dots"]
    with pytest.raises(ValueError, match="precision is 'float16', available: 'float32', 'bfloat16'"):
        fma_peak(precision="float16")


def test_sizes_of_the_caches_are_told(variant: str) -> None:
    caches = core_info()["cpu"]["caches"]
    assert list(caches) == ["l1d", "l2", "l3"]
    assert all(size is None or size >= 1024 for size in caches.values())

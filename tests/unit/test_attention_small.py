"""The short way for small calls: the same results as the long one, and it declines whatever is odd."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from attention_oracle import BOUND, CORE, check_ran, check_same_bits, inputs, normal, oracle

from pytest_qeattention.attention import flash_attention

OK = np.ones((3, 4), dtype=np.float32)


def small(
    kernel: str, q: Any, k: Any, v: Any, causal: Any = False, scale: Any = None, precision: Any = "float32"
) -> Any:
    return CORE.attend_small(kernel, q, k, v, causal, scale, precision)


def general(kernel: str, q: Any, k: Any, v: Any, causal: bool, scale: float | None, precision: str) -> Any:
    out = np.empty((*q.shape[:-1], v.shape[-1]), np.float32)
    lse = np.empty(q.shape[:-1], np.float32)
    factor = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    CORE.flash_attention(kernel, q, k, v, None, causal, factor, precision == "bfloat16", 1, 0, 0, None, None, out, lse)
    return out, lse


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("scale", [None, 0.3, -1.5, 0.0])
@pytest.mark.parametrize(
    ("lead", "n_q", "n_k", "d", "d_v"),
    [((), 1, 8, 16, 16), ((1, 1), 1, 8, 16, 16), ((2, 3), 5, 30, 7, 9), ((4,), 49, 50, 33, 20), ((), 300, 2, 3, 1)],
)
def test_equals_the_general_way_bit_for_bit(
    kernel: str, lead: tuple[int, ...], n_q: int, n_k: int, d: int, d_v: int, causal: bool, scale: Any, precision: str
) -> None:
    q, k, v = normal(*lead, n_q, d), normal(*lead, n_k, d), normal(*lead, n_k, d_v)
    out, lse, scratch = small(kernel, q, k, v, causal, scale, precision)
    check_ran(kernel)
    check_same_bits((out, lse), general(kernel, q, k, v, causal, scale, precision))
    assert (out.dtype, lse.dtype) == (np.float32, np.float32)
    assert scratch > 0
    if precision == "float32":
        np.testing.assert_allclose(out, oracle(q, k, v, causal=causal, scale=scale)[0], rtol=0, atol=BOUND)
        check_same_bits(flash_attention(q, k, v, causal=causal, scale=scale), out)


def test_rows_any_distance_apart_are_read_in_place(kernel: str) -> None:
    q, k, v = normal(6, 3, 8)[::2].swapaxes(0, 1), normal(3, 20, 8)[:, ::-1], normal(9, 20, 8)[::-3, ::1]
    copies = [array.copy() for array in (q, k, v)]
    check_same_bits(small(kernel, q, k, v)[:2], small(kernel, *copies)[:2])
    same = np.broadcast_to(k[:, :1], k.shape)
    check_same_bits(small(kernel, q, same, v)[:2], small(kernel, copies[0], same.copy(), copies[2])[:2])


def test_read_only_arrays_are_taken(kernel: str) -> None:
    q, k, v = inputs(3, 5, 4, 4)
    expected = small(kernel, q, k, v)
    for array in (q, k, v):
        array.flags.writeable = False
    check_same_bits(small(kernel, q, k, v)[:2], expected[:2])


class Derived(np.ndarray[Any, Any]):
    """A subclass may hold its numbers in another way."""


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize(
    "odd",
    [
        None,
        [[1.0]],
        "text",
        OK.astype(np.float64),
        OK.astype(np.float16),
        OK.astype(np.int32),
        OK.astype(bool),
        OK.astype(object),
        OK.astype("datetime64[s]"),
        OK.astype(OK.dtype.newbyteorder()),
        np.ma.masked_array(OK),
        OK.view(Derived),
        OK[0],
        OK[None],
        OK[:0],
        OK[:, :0],
        np.ones((3, 8), np.float32)[:, ::2],
        np.ones((4, 3), np.float32).T,
        OK[:, ::-1],
        np.frombuffer(bytes(49), np.uint8)[1:].view(np.float32).reshape(3, 4),
    ],
)
def test_odd_arrays_are_declined(kernel: str, place: int, odd: Any) -> None:
    arrays: list[Any] = [OK, OK, OK]
    assert small(kernel, *arrays) is not None
    arrays[place] = odd
    assert small(kernel, *arrays) is None


@pytest.mark.parametrize(
    "change",
    [
        {"k": np.ones((3, 5), np.float32)},
        {"v": np.ones((2, 4), np.float32)},
        {"q": np.ones((1, 3, 4), np.float32), "k": np.ones((2, 3, 4), np.float32), "v": np.ones((2, 3, 4), np.float32)},
        {"causal": 1},
        {"causal": np.True_},
        {"causal": None},
        {"scale": 1},
        {"scale": np.float32(1)},
        {"scale": math.nan},
        {"scale": math.inf},
        {"scale": 1e300},
        {"scale": "big"},
        {"precision": "float16"},
        {"precision": None},
        {"precision": np.array("float32")},
        {"precision": np.array(["float32", "float32"])},
        {"q": np.ones((300, 32), np.float32), "k": np.ones((300, 32), np.float32), "v": np.ones((300, 32), np.float32)},
        {"k": np.ones((5000, 4), np.float32), "v": np.ones((5000, 4), np.float32)},
    ],
)
def test_odd_calls_are_declined(kernel: str, change: dict[str, Any]) -> None:
    assert small(kernel, **{"q": OK, "k": OK, "v": OK, **change}) is None


def test_public_function_serves_what_was_declined(kernel: str) -> None:
    q, k, v = inputs(3, 20, 4, 4)
    expected = oracle(q, k, v, causal=True)[0]
    for change in (
        {"q": np.asfortranarray(q)},
        {"q": q.view(Derived)},
        {"causal": np.True_},
        {"scale": np.float64(0.5)},
        {"q": q[None], "k": k[None, None]},
    ):
        out = flash_attention(**{"q": q, "k": k, "v": v, "causal": True, **change})  # type: ignore[arg-type]
        assert type(out) is np.ndarray
        np.testing.assert_allclose(out.reshape(3, 4), expected, rtol=0, atol=BOUND)

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from attention_oracle import check_same_bits, normal

from pytest_qeattention.attention import arguments, flash_attention, topk_similarity


def misplaced(x: Any) -> Any:
    """Copy to an odd address."""
    memory = np.empty(x.nbytes + 1, np.uint8)[1:]
    memory[...] = np.frombuffer(x.tobytes(), np.uint8)
    return memory.view(x.dtype).reshape(x.shape)


def padded(x: Any) -> Any:
    wide = np.full((*x.shape[:-1], x.shape[-1] + 3), np.nan if x.dtype.kind == "f" else True, x.dtype)
    wide[..., :-3] = x
    return wide[..., :-3]


def in_records(x: Any) -> Any:
    """Rows that lie no whole number of elements apart."""
    records = np.zeros(x.shape[:-1], [("row", x.dtype, x.shape[-1:]), ("odd", "i1")])
    records["row"] = x
    return records["row"]


# Each has the values of x and another layout.
LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "fortran": np.asfortranarray,
    "heads behind rows": lambda x: np.ascontiguousarray(x.swapaxes(0, 1)).swapaxes(0, 1),
    "rows behind columns": lambda x: np.ascontiguousarray(x.swapaxes(1, 2)).swapaxes(1, 2),
    "rows backwards": lambda x: np.ascontiguousarray(x[:, ::-1])[:, ::-1],
    "heads backwards": lambda x: np.ascontiguousarray(x[::-1])[::-1],
    "columns backwards": lambda x: np.ascontiguousarray(x[..., ::-1])[..., ::-1],
    "every second row": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "every third row backwards": lambda x: np.repeat(x[:, ::-1], 3, axis=1)[:, ::-3],
    "every second column": lambda x: np.repeat(x, 2, axis=2)[..., ::2],
    "part of wider rows": padded,
    "odd address": misplaced,
    "odd steps": in_records,
    "read-only": lambda x: np.frombuffer(x.tobytes(), x.dtype).reshape(x.shape),
    "more dimensions": lambda x: x[None, None],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("place", ["q", "k", "v", "mask", "bias"])
@pytest.mark.parametrize("n_q", [2, 60])
def test_layout_changes_no_bit(variant: str, layout: str, place: str, n_q: int) -> None:
    arrays: dict[str, Any] = {
        "q": normal(3, n_q, 33),
        "k": normal(3, 70, 33, seed=1),
        "v": normal(3, 70, 9, seed=2),
        "mask": np.random.default_rng(3).random((3, n_q, 70)) < 0.6,
    }
    if place == "bias":
        place, arrays["mask"] = "mask", normal(3, n_q, 70, seed=4)
    expected = flash_attention(**arrays, return_lse=True)
    other = LAYOUTS[layout](arrays[place])
    before = other.copy()
    np.testing.assert_array_equal(other.reshape(arrays[place].shape), arrays[place])
    if place == "mask" and other.ndim > 3:
        with pytest.raises(ValueError, match="mask has shape"):
            flash_attention(**{**arrays, place: other})
        return
    out, lse = flash_attention(**{**arrays, place: other}, return_lse=True)
    if variant == "numpy":
        # BLAS has an order of its own for each layout.
        np.testing.assert_allclose(out.reshape(expected[0].shape), expected[0], rtol=0, atol=2e-6)
    else:
        check_same_bits((out.reshape(expected[0].shape), lse.reshape(expected[1].shape)), expected)
    np.testing.assert_array_equal(other, before)


@pytest.mark.parametrize("layout", ["heads behind rows", "rows backwards", "every second row", "part of wider rows"])
def test_rows_with_adjacent_elements_are_not_copied(layout: str) -> None:
    x = LAYOUTS[layout](normal(3, 20, 8))
    assert arguments.adjacent_rows(x) is x
    same = np.broadcast_to(normal(1, 8), (3, 20, 8))
    assert arguments.adjacent_rows(same) is same


@pytest.mark.parametrize("n_q", [2, 60])
def test_broadcast_arrays(variant: str, n_q: int) -> None:
    q, k, v = normal(3, n_q, 33), normal(70, 33, seed=1), normal(3, 1, 9, seed=2)
    expected = flash_attention(q, np.stack([k] * 3), np.repeat(v, 70, axis=1))
    for keys in (k, k[None], np.broadcast_to(k, (3, 70, 33))):
        out = flash_attention(q, keys, np.broadcast_to(v, (3, 70, 9)))
        np.testing.assert_allclose(out, expected, rtol=0, atol=2e-6)
    mask = np.random.default_rng(0).random((70,)) < 0.5
    expected = flash_attention(q, k, np.repeat(v, 70, axis=1), mask=np.tile(mask, (3, n_q, 1)))
    for shape in ((70,), (1, 70), (n_q, 70), (1, 1, 70), (3, 1, 70), (3, n_q, 70)):
        out = flash_attention(q, k, np.repeat(v, 70, axis=1), mask=np.broadcast_to(mask, shape))
        np.testing.assert_allclose(out, expected, rtol=0, atol=2e-6)


def test_one_array_may_be_queries_keys_and_values(variant: str) -> None:
    x = normal(2, 60, 20)
    np.testing.assert_allclose(flash_attention(x, x, x), flash_attention(x, x.copy(), x.copy()), rtol=0, atol=1e-6)


def test_many_dimensions(variant: str) -> None:
    shape = (1,) * 14 + (2, 1, 3)
    q = normal(*shape, 5, 4)
    out = flash_attention(q, normal(7, 4), normal(3, 7, 2))
    assert out.shape == (*shape, 5, 2)
    np.testing.assert_allclose(
        out.reshape(2, 3, 5, 2),
        flash_attention(q.reshape(2, 3, 5, 4), normal(7, 4), normal(3, 7, 2)),
        rtol=0,
        atol=2e-6,
    )


@pytest.mark.parametrize("order", ["<", ">"])
def test_bytes_in_another_order_are_refused_by_name(variant: str, order: str) -> None:
    x = normal(3, 4)
    swapped = x.astype(np.dtype(np.float32).newbyteorder(order))
    if swapped.dtype.isnative:
        np.testing.assert_array_equal(flash_attention(swapped, x, x), flash_attention(x, x, x))
        return
    for change in ({"q": swapped}, {"mask": swapped[:, :3]}):
        with pytest.raises(TypeError, match=f"^{next(iter(change))} has dtype >f4, expected"):
            flash_attention(**{"q": x, "k": x, "v": x, **change})
    with pytest.raises(TypeError, match=r"^keys has dtype >f4, expected float32"):
        topk_similarity(x, swapped, 1)


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "more dimensions"])
@pytest.mark.parametrize("m", [2, 60])
def test_layout_of_top_k_changes_no_bit(variant: str, layout: str, m: int) -> None:
    queries, keys = normal(1, m, 33), normal(1, 90, 33, seed=1)
    expected = topk_similarity(queries[0], keys[0], 5)
    check_same_bits(topk_similarity(LAYOUTS[layout](queries)[0], keys[0], 5), expected)
    check_same_bits(topk_similarity(queries[0], LAYOUTS[layout](keys)[0], 5), expected)

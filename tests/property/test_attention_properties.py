from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pytest_qeattention.attention import csr_pair_dots, flash_attention, reference, topk_similarity

sizes = st.integers(1, 70)
seeds = st.integers(0, 2**32 - 1)


def normal(seed: int, *shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@settings(deadline=None, max_examples=60)
@given(seeds, sizes, sizes, st.integers(1, 40), st.integers(1, 20))
def test_attention_lies_between_the_extremes_of_the_values(seed: int, n_q: int, n_k: int, d: int, d_v: int) -> None:
    q, k, v = normal(seed, n_q, d), normal(seed + 1, n_k, d), normal(seed + 2, n_k, d_v)
    out = flash_attention(q, k, v)
    assert (out <= v.max(axis=0) + 1e-5).all()
    assert (out >= v.min(axis=0) - 1e-5).all()


@settings(deadline=None, max_examples=60)
@given(seeds, sizes, sizes, st.integers(1, 40))
def test_order_of_keys_does_not_matter(seed: int, n_q: int, n_k: int, d: int) -> None:
    q, k, v = normal(seed, n_q, d), normal(seed + 1, n_k, d), normal(seed + 2, n_k, 5)
    order = np.random.default_rng(seed).permutation(n_k)
    np.testing.assert_allclose(flash_attention(q, k, v), flash_attention(q, k[order], v[order]), rtol=0, atol=1e-5)


# What a matrix may look like in memory: rows and columns in steps, of either sign, transposed, or all rows one.
layouts = st.tuples(st.sampled_from([1, 1, 2, 3, -1, -2, 0]), st.sampled_from([1, 1, 1, 2, -1]), st.booleans())


def laid_out(x: NDArray[Any], layout: tuple[int, int, bool]) -> NDArray[Any]:
    """Return an array of the shape of x (..., n, d), with its numbers or, for a step of 0, those of its first row."""
    row, column, transposed = layout
    if row == 0:
        return np.broadcast_to(x[..., :1, :], x.shape)
    n, d = x.shape[-2:]
    shape = (*x.shape[:-2], abs(row) * n, abs(column) * d)
    memory = np.ones(shape, x.dtype)
    if transposed:
        memory = np.ones((*shape[:-2], shape[-1], shape[-2]), x.dtype).swapaxes(-1, -2)
    view = memory[..., ::row, ::column]
    view[...] = x
    return view


@settings(deadline=None, max_examples=150)
@given(
    seed=seeds,
    n_q=st.one_of(st.integers(1, 6), sizes),
    n_k=sizes,
    d=st.integers(0, 40),
    d_v=st.integers(1, 20),
    lead=st.lists(st.integers(1, 3), max_size=2),
    causal=st.booleans(),
    kind=st.sampled_from(["none", "bool", "float"]),
    precision=st.sampled_from(["float32", "float32", "bfloat16"]),
    layout=st.tuples(layouts, layouts, layouts, layouts),
    chunks=st.tuples(st.none() | st.integers(1, 80), st.none() | st.integers(1, 80)),
    threads=st.integers(1, 3),
)
def test_attention_equals_the_reference(
    seed: int, n_q: int, n_k: int, d: int, d_v: int, lead: list[int], causal: bool, kind: str, precision: str,
    layout: Any, chunks: tuple[int | None, int | None], threads: int,
) -> None:  # fmt: skip
    rng = np.random.default_rng(seed)

    def part_of(sizes: tuple[int, ...]) -> tuple[int, ...]:
        """Return leading dimensions that broadcast to these: some are 1, the first ones may be missing."""
        return tuple(size if rng.random() < 0.7 else 1 for size in sizes)[int(rng.integers(len(sizes) + 1)) :]

    shapes = [part_of(tuple(lead)) for _ in range(3)]
    q = laid_out(normal(seed, *shapes[0], n_q, d), layout[0])
    k = laid_out(normal(seed + 1, *shapes[1], n_k, d), layout[1])
    v = laid_out(normal(seed + 2, *shapes[2], n_k, d_v), layout[2])
    mask: Any = None
    batch = np.broadcast_shapes(*shapes)
    if kind != "none":
        size = (*part_of(batch), n_q if rng.random() < 0.7 else 1, n_k if rng.random() < 0.7 else 1)
        mask = normal(seed + 3, *size)
        mask = laid_out(mask > -0.5 if kind == "bool" else np.where(mask > -1, mask, -np.inf), layout[3])
    out, lse = flash_attention(
        q, k, v, mask=mask, causal=causal, scale=0.3, precision=precision, num_threads=threads, return_lse=True,
        query_chunk=chunks[0], key_chunk=chunks[1],
    )  # fmt: skip
    expected, expected_lse = np.empty((*batch, n_q, d_v), np.float32), np.empty((*batch, n_q), np.float32)
    reference.flash_attention(q, k, v, mask, causal, 0.3, precision == "bfloat16", None, None, expected, expected_lse)
    bound = 2e-5 if precision == "float32" else 2e-2
    np.testing.assert_allclose(out, expected, rtol=0, atol=bound)
    np.testing.assert_allclose(lse, expected_lse, rtol=0, atol=bound)


@settings(deadline=None, max_examples=60)
@given(
    seeds, st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=6), st.booleans(),
    st.integers(1, 3),
)  # fmt: skip
def test_packed_sequences_equal_calls_of_their_own(
    seed: int, lengths: list[tuple[int, int]], causal: bool, threads: int
) -> None:
    bounds = np.concatenate([[[0, 0]], np.cumsum(lengths, axis=0)])
    n_q, n_k = (int(count) for count in bounds[-1])
    q, k, v = normal(seed, n_q, 5), normal(seed + 1, n_k, 5), normal(seed + 2, n_k, 3)
    out, lse = flash_attention(
        q, k, v, causal=causal, cu_seqlens=bounds[:, 0], cu_seqlens_k=bounds[:, 1], num_threads=threads, return_lse=True
    )
    for (first, first_k), (last, last_k) in pairwise(bounds):
        rows, keys = slice(first, last), slice(first_k, last_k)
        one, one_lse = flash_attention(q[rows], k[keys], v[keys], causal=causal, return_lse=True)
        np.testing.assert_allclose(out[rows], one, rtol=0, atol=2e-6)
        np.testing.assert_allclose(lse[rows], one_lse, rtol=0, atol=2e-6)


@settings(deadline=None, max_examples=60)
@given(seeds, sizes, st.integers(2, 70), st.integers(1, 69), st.sampled_from(["float32", "bfloat16"]))
def test_partial_results_merge_by_their_log_sum_exp(seed: int, n_q: int, n_k: int, at: int, precision: str) -> None:
    at = min(at, n_k - 1)
    q, k, v = normal(seed, n_q, 8), normal(seed + 1, n_k, 8), normal(seed + 2, n_k, 3)
    whole = flash_attention(q, k, v, precision=precision)
    first, first_lse = flash_attention(q, k[:at], v[:at], precision=precision, return_lse=True)
    second, second_lse = flash_attention(q, k[at:], v[at:], precision=precision, return_lse=True)
    share = 1 / (1 + np.exp(second_lse - first_lse))[:, None]
    bound = 2e-5 if precision == "float32" else 2e-2
    np.testing.assert_allclose(first * share + second * (1 - share), whole, rtol=0, atol=bound)


@settings(deadline=None, max_examples=60)
@given(seeds, st.integers(1, 60), st.integers(1, 200), st.integers(1, 8), st.integers(1, 220))
def test_topk_is_sorted_unique_and_best(seed: int, m: int, n: int, d: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    queries = rng.integers(-2, 3, (m, d)).astype(np.float32)
    keys = rng.integers(-2, 3, (n, d)).astype(np.float32)
    scores, indices = topk_similarity(queries, keys, k)
    full = queries @ keys.T
    order = np.argsort(-full, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(indices, order)
    np.testing.assert_array_equal(scores, np.take_along_axis(full, order, axis=1))


@settings(deadline=None, max_examples=60)
@given(seeds, st.integers(1, 12), st.integers(1, 60), st.floats(0, 1))
def test_pair_dots_are_symmetric_and_exact_on_whole_numbers(seed: int, rows: int, columns: int, density: float) -> None:
    rng = np.random.default_rng(seed)
    dense = np.where(rng.random((rows, columns)) < density, rng.integers(1, 5, (rows, columns)), 0)
    row, column = np.nonzero(dense)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=rows))]).astype(np.int64)
    left, right = (part.ravel().astype(np.int64) for part in np.indices((rows, rows)))
    values = dense[row, column].astype(np.float32)
    dots = csr_pair_dots(indptr, column.astype(np.int32), values, left, right).reshape(rows, rows)
    np.testing.assert_array_equal(dots, dense @ dense.T)
    np.testing.assert_array_equal(dots, dots.T)

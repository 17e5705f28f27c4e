from __future__ import annotations

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


@settings(deadline=None, max_examples=60)
@given(seeds, sizes, sizes, st.integers(1, 20), st.booleans(), st.sampled_from(["none", "bool", "float"]))
def test_attention_equals_the_reference(seed: int, n_q: int, n_k: int, d: int, causal: bool, kind: str) -> None:
    q, k, v = normal(seed, n_q, d), normal(seed + 1, n_k, d), normal(seed + 2, n_k, 7)
    masks = {
        "none": None,
        "bool": normal(seed + 3, n_q, n_k) > 0,
        "float": normal(seed + 3, n_q, n_k),
    }
    out, lse = flash_attention(q, k, v, mask=masks[kind], causal=causal, scale=0.3, return_lse=True)
    expected, expected_lse = np.empty((1, n_q, 7), np.float32), np.empty((1, n_q), np.float32)
    entry = np.zeros(1, np.int64)
    mask = masks[kind]
    mask3 = None if mask is None else mask[None]
    reference.flash_attention(
        q[None], entry, k[None], entry, v[None], entry, mask3, entry, causal, 0.3, expected, expected_lse
    )
    np.testing.assert_allclose(out, expected[0], rtol=0, atol=2e-5)
    np.testing.assert_allclose(lse, expected_lse[0], rtol=0, atol=2e-5)


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

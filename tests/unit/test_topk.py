from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pytest_qeattention.attention import backend, csr_pair_dots, topk_similarity
from pytest_qeattention.attention.arguments import FloatArray


def whole_numbers(*shape: int, seed: int = 0) -> FloatArray:
    """Small whole numbers: every dot product is exact, and there are many ties."""
    return np.random.default_rng([seed, *shape]).integers(-3, 4, shape).astype(np.float32)


def expected_order(queries: Any, keys: Any, k: int) -> tuple[Any, Any]:
    scores = queries.astype(np.float64) @ keys.astype(np.float64).T
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, order, axis=1), order


@pytest.mark.parametrize("m", [1, 2, 7, 8, 9, 23, 24, 25, 47, 48, 49, 130])
@pytest.mark.parametrize(("n", "k"), [(1, 1), (3, 2), (63, 5), (64, 64), (65, 65), (300, 1), (300, 7), (300, 100)])
def test_equals_a_stable_sort_of_all_scores(variant: str, m: int, n: int, k: int) -> None:
    queries, keys = whole_numbers(m, 6, seed=1), whole_numbers(n, 6, seed=2)
    scores, indices = topk_similarity(queries, keys, k)
    if variant != "numpy":
        assert backend._load_core()[0].last_variant() == variant
    expected_scores, expected_indices = expected_order(queries, keys, k)
    assert scores.dtype == np.float32
    assert indices.dtype == np.int64
    np.testing.assert_array_equal(indices, expected_indices)
    np.testing.assert_array_equal(scores, expected_scores)


def test_more_keys_than_one_reference_tile(variant: str) -> None:
    queries, keys = whole_numbers(3, 4, seed=1), whole_numbers(9001, 4, seed=2)
    scores, indices = topk_similarity(queries, keys, 5000)
    expected_scores, expected_indices = expected_order(queries, keys, 5000)
    np.testing.assert_array_equal(indices, expected_indices)
    np.testing.assert_array_equal(scores, expected_scores)


@pytest.mark.parametrize("d", [1, 64, 1024])
def test_scores_are_accurate(variant: str, d: int) -> None:
    rng = np.random.default_rng(d)
    queries = rng.standard_normal((40, d)).astype(np.float32)
    keys = rng.standard_normal((500, d)).astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    keys /= np.linalg.norm(keys, axis=1, keepdims=True)
    scores, indices = topk_similarity(queries, keys, 10)
    full = queries.astype(np.float64) @ keys.astype(np.float64).T
    np.testing.assert_allclose(scores, np.take_along_axis(full, indices, axis=1), rtol=0, atol=2e-6)
    np.testing.assert_allclose(scores, -np.sort(-full, axis=1)[:, :10], rtol=0, atol=2e-6)


def test_all_scores_equal_gives_the_first_keys(variant: str) -> None:
    queries, keys = np.ones((30, 3), np.float32), np.ones((200, 3), np.float32)
    _, indices = topk_similarity(queries, keys, 4)
    np.testing.assert_array_equal(indices, np.tile(np.arange(4), (30, 1)))


def test_negative_zero_ties_with_zero(variant: str) -> None:
    keys = np.array([[-0.0], [0.0], [-0.0]], dtype=np.float32)
    _, indices = topk_similarity(np.ones((1, 1), np.float32), keys, 3)
    assert indices.tolist() == [[0, 1, 2]]


def test_k_beyond_n_gives_n_columns(variant: str) -> None:
    queries, keys = whole_numbers(5, 3), whole_numbers(4, 3, seed=1)
    for k in (5, 10**9, 2**70):
        scores, indices = topk_similarity(queries, keys, k)
        assert scores.shape == (5, 4)
        np.testing.assert_array_equal(indices, expected_order(queries, keys, 4)[1])


@pytest.mark.parametrize(
    ("m", "n", "d", "shape"), [(0, 5, 3, (0, 2)), (5, 0, 3, (5, 0)), (4, 5, 0, (4, 2)), (0, 0, 0, (0, 0))]
)
def test_empty_dimensions(variant: str, m: int, n: int, d: int, shape: tuple[int, int]) -> None:
    scores, indices = topk_similarity(np.ones((m, d), np.float32), np.ones((n, d), np.float32), 2)
    assert scores.shape == indices.shape == shape
    if d == 0:
        assert (scores == 0).all()
        np.testing.assert_array_equal(indices, np.tile(np.arange(shape[1]), (m, 1)))


def test_products_that_overflow_keep_the_order_whole(variant: str) -> None:
    big = np.float32(3e38)
    keys = np.array([[big, -big], [0.1, 0.1], [big, big], [-big, -big]], dtype=np.float32)
    scores, indices = topk_similarity(np.full((2, 2), big, np.float32), keys, 4)
    # big*big - big*big is NaN or infinity by how it is rounded; either way every key has its one place.
    assert not np.isnan(scores).any()
    assert (scores[:, :-1] >= scores[:, 1:]).all()
    np.testing.assert_array_equal(np.sort(indices, axis=1), np.tile(np.arange(4), (2, 1)))
    assert np.isposinf(scores[indices == 2]).all()
    assert np.isneginf(scores[indices == 3]).all()


@pytest.mark.parametrize(
    ("m", "n", "k"), [(1, 5000, 10), (2, 9001, 300), (20, 5000, 7), (1, 4096, 4096), (3, 4097, 4000)]
)
def test_keys_of_few_queries_in_ranges(variant: str, m: int, n: int, k: int) -> None:
    queries, keys = whole_numbers(m, 5, seed=1), whole_numbers(n, 5, seed=2)
    for threads in (1, 2):
        scores, indices = topk_similarity(queries, keys, k, num_threads=threads)
        expected_scores, expected_indices = expected_order(queries, keys, k)
        np.testing.assert_array_equal(indices, expected_indices)
        np.testing.assert_array_equal(scores, expected_scores)


@pytest.mark.parametrize("m", [1, 3, 40])
@pytest.mark.parametrize("n", [9, 5003])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_have_no_place_in_an_order_are_found_anywhere(variant: str, m: int, n: int, value: float) -> None:
    for row in (0, n // 2, n - 1):
        queries, keys = whole_numbers(m, 19, seed=1), whole_numbers(n, 19, seed=2)
        # Zero times infinity is NaN: no product hides it.
        queries[:] = 0
        keys[row, 17] = value
        with pytest.raises(ValueError, match=f"^keys holds NaN or infinity, first in row {row};"):
            topk_similarity(queries, keys, 2)
        with pytest.raises(ValueError, match=f"^queries holds NaN or infinity, first in row {m - 1};"):
            topk_similarity(np.concatenate([queries[:-1], keys[row : row + 1]]), queries[:1].repeat(n, axis=0), 2)


@pytest.mark.parametrize("m", [1, 3, 40])
@pytest.mark.parametrize("n", [9, 5003])
def test_products_of_finite_numbers_that_overflow_raise_nothing(variant: str, m: int, n: int) -> None:
    queries, keys = np.full((m, 2), 1e30, np.float32), np.full((n, 2), 1, np.float32)
    keys[n // 2], keys[1], keys[5] = 1e30, -1e30, [1e30, -1e30]
    scores, indices = topk_similarity(queries, keys, n)
    assert not np.isnan(scores).any()
    np.testing.assert_array_equal(np.sort(indices, axis=1), np.tile(np.arange(n), (m, 1)))
    assert (indices[:, 0] == n // 2).all() or (indices[:, :2] == [min(5, n // 2), max(5, n // 2)]).all()
    assert np.isposinf(scores[:, 0]).all()
    assert (np.isneginf(scores[:, -1])).all()


def test_strided_input_gives_the_same_as_its_copy(variant: str) -> None:
    queries, keys = whole_numbers(40, 12)[::2, ::3], whole_numbers(4, 90, seed=1).T
    expected = topk_similarity(queries.copy(), keys.copy(), 5)
    actual = topk_similarity(queries, keys, 5)
    np.testing.assert_array_equal(actual[0], expected[0])
    np.testing.assert_array_equal(actual[1], expected[1])


OK = np.ones((3, 4), dtype=np.float32)


@pytest.mark.parametrize("name", ["queries", "keys"])
@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (None, TypeError, "not NoneType"),
        ([[1.0]], TypeError, "not list"),
        ("text", TypeError, "not str"),
        (OK.astype(np.float64), TypeError, "dtype float64, expected float32"),
        (OK.astype(object), TypeError, "dtype object"),
        (OK[0], ValueError, r"shape \(4,\), expected a float32 array"),
        (OK[None], ValueError, r"shape \(1, 3, 4\)"),
        (np.full((3, 4), np.nan, np.float32), ValueError, "NaN or infinity, first in row 0"),
        (np.array([[1, 1, 1, 1], [1, np.inf, 1, 1]], np.float32), ValueError, "first in row 1"),
    ],
)
def test_wrong_arrays_are_named(variant: str, name: str, value: object, error: type[Exception], words: str) -> None:
    arguments: dict[str, Any] = {"queries": OK, "keys": OK, name: value}
    with pytest.raises(error, match=f"(?s)^{name} .*{words}"):
        topk_similarity(k=2, **arguments)


@pytest.mark.parametrize(
    ("k", "error", "words"),
    [
        (0, ValueError, "k is 0, expected at least 1"),
        (-1, ValueError, "k is -1"),
        (True, TypeError, "k must be an integer, not bool"),
        (2.0, TypeError, "k must be an integer, not float"),
        (None, TypeError, "k must be an integer, not NoneType"),
        ("2", TypeError, "k must be an integer, not str"),
        (np.nan, TypeError, "k must be an integer, not float"),
    ],
)
def test_wrong_k(variant: str, k: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        topk_similarity(OK, OK, k)


def test_numpy_integer_is_a_k(variant: str) -> None:
    assert topk_similarity(OK, OK, np.int16(2))[0].shape == (3, 2)


def test_widths_must_agree(variant: str) -> None:
    with pytest.raises(ValueError, match=r"keys has shape \(3, 5\), expected \(n, 4\)"):
        topk_similarity(OK, np.ones((3, 5), np.float32), 1)


def sparse(rows: int, columns: int, density: float, seed: int) -> tuple[Any, tuple[Any, Any, Any]]:
    rng = np.random.default_rng(seed)
    dense = np.where(rng.random((rows, columns)) < density, rng.standard_normal((rows, columns)), 0)
    dense = dense.astype(np.float32)
    row, column = np.nonzero(dense)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=rows))]).astype(np.int64)
    return dense, (indptr, column.astype(np.int32), dense[row, column])


@pytest.mark.parametrize("density", [0.0, 0.02, 0.3, 1.0])
@pytest.mark.parametrize("dtype", [np.int32, np.uint32])
def test_pair_dots_equal_dense_products(variant: str, density: float, dtype: Any) -> None:
    dense, (indptr, indices, values) = sparse(60, 200, density, seed=1)
    left, right = (part.ravel() for part in np.meshgrid(np.arange(60), np.arange(60), indexing="ij"))
    dots = csr_pair_dots(indptr, indices.astype(dtype), values, left, right)
    expected = (dense.astype(np.float64) @ dense.astype(np.float64).T).ravel()
    assert dots.dtype == np.float32
    np.testing.assert_allclose(dots, expected, rtol=1e-6, atol=1e-6)
    again = csr_pair_dots(indptr, indices.astype(dtype), values, left, right, num_threads=2)
    np.testing.assert_array_equal(dots, again)


def test_pair_dots_of_a_short_and_a_long_row(variant: str) -> None:
    columns = np.concatenate([[5, 999, 40_000], np.arange(0, 60_000, 3)]).astype(np.uint32)
    columns[-1] = 2**32 - 1
    columns[2] = 2**32 - 1
    values = np.ones(len(columns), np.float32)
    indptr = np.array([0, 3, len(columns)])
    dots = csr_pair_dots(indptr, columns, values, np.array([0, 1]), np.array([1, 0]))
    assert dots.tolist() == [2.0, 2.0]


def test_pair_dots_without_rows_or_pairs(variant: str) -> None:
    none = np.zeros(0, np.int64)
    empty = csr_pair_dots(np.zeros(1, np.int64), none.astype(np.int32), none.astype(np.float32), none, none)
    assert empty.shape == (0,)
    zeros = csr_pair_dots(
        np.zeros(3, np.int64), none.astype(np.int32), none.astype(np.float32), np.array([0]), np.array([1])
    )
    assert zeros.tolist() == [0.0]


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"indptr": np.array([0, 2, 1, 4])}, ValueError, "indptr must rise"),
        ({"indptr": np.array([0, 2, 5])}, ValueError, "indptr must rise"),
        ({"indptr": np.array([1, 2, 4])}, ValueError, "indptr must rise"),
        ({"indptr": np.zeros(0, np.int64)}, ValueError, "indptr must rise"),
        ({"indptr": np.array([0.0, 2, 4])}, TypeError, "indptr has dtype float64, expected int64"),
        ({"indices": np.array([1, 0, 0, 1], np.int32)}, ValueError, "indices of row 0 are not strictly"),
        ({"indices": np.array([0, 1, 1, 1], np.int32)}, ValueError, "indices of row 1 are not strictly"),
        ({"indices": np.array([-1, 1, 0, 1], np.int32)}, ValueError, "negative column"),
        ({"indices": np.array([0, 1, 0, 1])}, TypeError, "indices has dtype int64, expected uint32 or int32"),
        ({"values": np.ones(3, np.float32)}, ValueError, "values has 3 entries, expected 4"),
        ({"values": np.ones(4)}, TypeError, "values has dtype float64"),
        ({"left": np.array([0, 2])}, ValueError, r"left holds a row number outside 0\.\.1"),
        ({"right": np.array([-1, 0])}, ValueError, "right holds a row number outside"),
        ({"right": np.array([0])}, ValueError, "right has 1 row numbers, expected 2"),
        ({"left": np.array([[0, 1]])}, ValueError, "left has shape"),
        ({"left": [0, 1]}, TypeError, "left must be"),
        ({"num_threads": 0}, ValueError, "num_threads is 0"),
    ],
)
def test_wrong_sparse_arguments_are_named(
    variant: str, change: dict[str, Any], error: type[Exception], words: str
) -> None:
    arguments: dict[str, Any] = {
        "indptr": np.array([0, 2, 4]),
        "indices": np.array([0, 1, 0, 1], np.int32),
        "values": np.ones(4, np.float32),
        "left": np.array([0, 1]),
        "right": np.array([1, 1]),
    }
    with pytest.raises(error, match=words):
        csr_pair_dots(**{**arguments, **change})

"""Sparse rows in the core and in NumPy, against plain loops."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from pytest_qeattention.attention import backend, csr_pair_dots
from pytest_qeattention.attention.features import (
    block_dots,
    place_rows,
    project_rows,
    row_dots,
    sorted_positions,
    weigh_rows,
)

COLUMNS = 50
Csr = tuple[npt.NDArray[np.int64], npt.NDArray[np.uint32], npt.NDArray[np.float32]]


@pytest.fixture(params=["native", "numpy"])
def served(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> object:
    if request.param == "native" and backend.active().core is None:
        pytest.skip("the core was not built")
    monkeypatch.setenv("QE_BACKEND", request.param)
    backend.active.cache_clear()
    yield request.param
    backend.active.cache_clear()


def sparse(rows: int, seed: int = 0) -> Csr:
    chance = np.random.default_rng(seed)
    parts = [np.sort(chance.choice(COLUMNS, chance.integers(0, 30), replace=False)) for _ in range(rows)]
    indptr = np.append(0, np.cumsum([len(part) for part in parts])).astype(np.int64)
    indices = np.concatenate([np.empty(0, int), *parts]).astype(np.uint32)
    return indptr, indices, chance.random(len(indices), np.float32)


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("count", [1, 2, 100, 40_000])
def test_positions_are_those_of_the_values(count: int, threads: int) -> None:
    chance = np.random.default_rng(count)
    ascending = np.unique(np.append(chance.integers(0, 2**32, count), [0, 2**32 - 1][: count % 3])).astype(np.uint32)
    values = ascending[chance.integers(0, len(ascending), 50_000)]
    found = sorted_positions(ascending, values, num_threads=threads)
    np.testing.assert_array_equal(ascending[found], values)


@pytest.mark.usefixtures("served")
def test_no_values_have_no_positions() -> None:
    none = np.empty(0, np.uint32)
    assert len(sorted_positions(none, none)) == 0


@pytest.mark.parametrize("missing", [0, 5, 2**32 - 1])
def test_the_core_refuses_a_value_that_is_not_there(missing: int) -> None:
    core = backend.active().core
    if core is None:
        pytest.skip("the core was not built")
    ascending = np.array([3, 7, 2**31], np.uint32)
    with pytest.raises(ValueError, match="not among"):
        core.sorted_positions(ascending, np.array([3, missing], np.uint32), 1, np.empty(2, np.uint32))
    with pytest.raises(ValueError, match="rise strictly"):
        core.sorted_positions(ascending[::-1].copy(), ascending, 1, np.empty(3, np.uint32))


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("threads", [1, 3])
def test_rows_are_placed_where_they_belong(threads: int) -> None:
    indptr, columns, amounts = sparse(700)
    n = np.diff(indptr)
    starts = indptr[:-1] + 2 * np.arange(700)
    out_columns, out_amounts = np.zeros(len(columns) + 1400, np.uint32), np.zeros(len(columns) + 1400, np.float32)
    place_rows(indptr, columns, amounts, out_columns, out_amounts, first_column=9, starts=starts, num_threads=threads)
    for row in range(700):
        at = slice(starts[row], starts[row] + n[row])
        np.testing.assert_array_equal(out_columns[at], columns[indptr[row] : indptr[row + 1]] + 9)
        np.testing.assert_array_equal(out_amounts[at], amounts[indptr[row] : indptr[row + 1]])
    assert np.count_nonzero(out_columns) == len(columns)


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("threads", [1, 3])
def test_rows_are_weighed_and_scaled(threads: int) -> None:
    indptr, columns, amounts = sparse(700)
    weights = np.random.default_rng(5).random(COLUMNS, np.float32) + np.float32(0.1)
    found = weigh_rows(indptr, columns, amounts, weights, 0.25, num_threads=threads)
    for row in range(700):
        own = slice(indptr[row], indptr[row + 1])
        expected = amounts[own].astype(float) * weights[columns[own]]
        length = 2 * np.sqrt((expected**2).sum())
        np.testing.assert_allclose(found[own], expected / length if length else expected, rtol=1e-5)


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("threads", [1, 3])
def test_projections_add_and_take_away(threads: int) -> None:
    indptr, columns, values = sparse(300)
    touches = np.random.default_rng(2).integers(0, 2 * 7, (COLUMNS, 3)).astype(np.uint16)
    found = project_rows(indptr, columns, values, touches, 7, num_threads=threads)
    expected = np.zeros((300, 7))
    for row in range(300):
        for at in range(indptr[row], indptr[row + 1]):
            for touch in touches[columns[at]]:
                expected[row, touch // 2] += values[at] if touch % 2 else -values[at]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("threads", [1, 3])
def test_products_within_blocks_are_those_of_pairs(threads: int) -> None:
    indptr, columns, values = sparse(100)
    first, size = np.array([0, 5, 5, 30, 99]), np.array([5, 0, 20, 69, 1])
    found = block_dots(indptr, columns, values, COLUMNS, first, size, num_threads=threads)
    pairs = [(a, b) for at, n in zip(first, size, strict=True) for a in range(at, at + n) for b in range(a + 1, at + n)]
    left, right = np.array(pairs, np.int64).T.copy()
    np.testing.assert_array_equal(found, csr_pair_dots(indptr, columns, values, left, right))


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("threads", [1, 3])
def test_products_of_rows_with_partners_are_those_of_pairs(threads: int) -> None:
    indptr, columns, values = sparse(200)
    chance = np.random.default_rng(4)
    counts = chance.integers(0, 9, 200)
    bounds = np.append(0, np.cumsum(counts)).astype(np.int64)
    partners = chance.integers(0, 200, bounds[-1])
    found = row_dots(indptr, columns, values, COLUMNS, bounds, partners, num_threads=threads)
    left = np.repeat(np.arange(200), counts)
    np.testing.assert_array_equal(found, csr_pair_dots(indptr, columns, values, left, partners))


@pytest.mark.usefixtures("served")
def test_nothing_gives_nothing() -> None:
    indptr, none, values = np.zeros(4, np.int64), np.empty(0, np.uint32), np.empty(0, np.float32)
    assert weigh_rows(indptr, none, values, values, 1.0).shape == (0,)
    assert not project_rows(indptr, none, values, np.empty((0, 4), np.uint16), 5).any()
    assert block_dots(indptr, none, values, 0, np.array([0]), np.array([3])).tolist() == [0, 0, 0]
    assert row_dots(indptr, none, values, 0, np.array([0, 1, 1, 1]), np.array([2])).tolist() == [0]


def test_the_core_refuses_what_does_not_fit() -> None:
    core = backend.active().core
    if core is None:
        pytest.skip("the core was not built")
    indptr, columns, values = sparse(5)
    out = np.empty(len(values), np.float32)
    with pytest.raises(ValueError, match="column number"):
        core.weigh_rows(indptr, columns, values, values[:1], 1.0, 1, out)
    with pytest.raises(ValueError, match="beyond the dimension"):
        core.project_rows(indptr, columns, values, np.full((COLUMNS, 1), 9, np.uint16), 1, np.empty((5, 4), np.float32))
    with pytest.raises(ValueError, match="block out of range"):
        core.block_dots(indptr, columns, values, COLUMNS, np.array([3]), np.array([3]), 1, out)
    with pytest.raises(ValueError, match="row number"):
        core.row_dots(
            indptr, columns, values, COLUMNS, np.array([0, 1, 1, 1, 1, 1]), np.array([5]), 1, np.empty(1, np.float32)
        )
    with pytest.raises(ValueError, match="beyond the output"):
        core.place_rows(
            indptr, columns, values, 0, np.full(5, len(values)), 1, np.empty(3, np.uint32), np.empty(3, np.float32)
        )

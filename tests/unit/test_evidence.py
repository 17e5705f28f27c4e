"""Weighted features and sketches, against dense arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_qeattention.similarity.background import Background
from pytest_qeattention.similarity.describe import Description, pack_bag
from pytest_qeattention.similarity.evidence import (
    BACKGROUND_TESTS,
    BAGS,
    LARGEST_RARITY,
    SEARCH_SCALE,
    SKETCH_DIMENSION,
    UNIQUE_FACTOR,
    Features,
    search_rows,
    sketch,
    weigh,
)


def bag(*features: int) -> bytes:
    return pack_bag(features)


def description(tokens: bytes = b"", paths: bytes = b"", words: bytes = b"") -> Description:
    return Description(tokens, paths, words, b"", b"", b"", b"", (), (), False, False)


def dense(features: Features, *, usual: bool = False) -> np.ndarray:
    full = np.zeros((features.n_rows, len(features.keys)))
    for row in range(len(full)):
        span = slice(features.indptr[row], features.indptr[row + 1])
        full[row, features.indices[span]] = (features.usual_values if usual else features.values)[span]
    return full


@pytest.fixture
def background(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let feature 9 stand in every tenth test at large, and no other in any."""
    table = Background(np.array([9], np.uint32), np.array([0.1]))
    monkeypatch.setattr("pytest_qeattention.similarity.evidence.load_background", lambda: (table,) * len(BAGS))


@pytest.mark.usefixtures("background")
def test_weights_are_log_counts_times_rarity() -> None:
    features = weigh([description(bag(5, 9, 5)), description(bag(9)), description(bag(7, 7, 7))])
    full = dense(features)
    tests = 3 + BACKGROUND_TESTS
    rarity_5 = UNIQUE_FACTOR * min(np.log((1 + tests) / 2) + 1, LARGEST_RARITY)
    rarity_9 = np.log((1 + tests) / (1 + 2 + BACKGROUND_TESTS * 0.1)) + 1
    first = np.array([(1 + np.log(2)) * rarity_5, 0, rarity_9])
    assert features.keys.tolist() == [5, 7, 9]
    np.testing.assert_allclose(full[0], first / np.linalg.norm(first) / np.sqrt(len(BAGS)), rtol=1e-6)
    np.testing.assert_allclose(full[2], np.array([0, 1, 0]) / np.sqrt(len(BAGS)), rtol=1e-6)


def test_bags_do_not_share_columns_and_weigh_the_same() -> None:
    features = weigh([description(bag(1), bag(1), bag(1)), description(bag(1), bag(2), bag(3))])
    assert len(features.keys) == 5
    np.testing.assert_allclose(dense(features)[0] @ dense(features).T, [1, 1 / 3], rtol=1e-5)


def test_indices_ascend_within_each_row() -> None:
    chance = np.random.default_rng(3)
    units = [description(*(bag(*chance.integers(0, 2**32, 40).tolist()) for _ in BAGS)) for _ in range(20)]
    features = weigh(units)
    for row in range(features.n_rows):
        columns = features.indices[features.indptr[row] : features.indptr[row + 1]].astype(np.int64)
        assert (np.diff(columns) > 0).all()


@pytest.mark.parametrize("count", [0, 1])
def test_suites_of_no_and_one_unit(count: int) -> None:
    features = weigh([description(bag(1, 2), bag(3), bag(4))] * count)
    assert features.n_rows == count
    assert sketch(features).shape == (count, SKETCH_DIMENSION)


def test_unit_without_features_stays_zero() -> None:
    features = weigh([description(), description(bag(1, 2, 3))])
    vectors = sketch(features)
    assert not vectors[0].any()
    assert np.linalg.norm(vectors[1]) == pytest.approx(1, abs=1e-6)


def test_sketches_estimate_inner_products() -> None:
    chance = np.random.default_rng(0)
    units = [description(*(bag(*chance.integers(0, 300, 150).tolist()) for _ in BAGS)) for _ in range(60)]
    features = weigh(units)
    usual = dense(features, usual=True)
    error = sketch(features) @ sketch(features).T - usual @ usual.T
    assert np.sqrt(np.mean(error**2)) < 1.5 / np.sqrt(SKETCH_DIMENSION)
    assert np.abs(np.diag(error)).max() < 1e-5


def test_a_units_sketch_depends_on_the_unit_alone() -> None:
    chance = np.random.default_rng(2)
    units = [description(*(bag(*chance.integers(0, 90, 40).tolist()) for _ in BAGS)) for _ in range(30)]
    alone = [search_rows(weigh([unit]))[0] for unit in units]
    np.testing.assert_array_equal(search_rows(weigh(units)), alone)


def test_searched_rows_are_whole_numbers_of_one_length() -> None:
    chance = np.random.default_rng(2)
    units = [description(*(bag(*chance.integers(0, 90, 40).tolist()) for _ in BAGS)) for _ in range(30)]
    rows = search_rows(weigh([*units, description()]))
    np.testing.assert_array_equal(rows, np.rint(rows))
    np.testing.assert_allclose(np.linalg.norm(rows[:-1], axis=1), SEARCH_SCALE, rtol=1e-3)
    assert not rows[-1].any()
    assert np.abs(rows.astype(np.float64) @ rows.T.astype(np.float64)).max() < 2**24


def test_only_the_counts_of_features_matter_not_their_order() -> None:
    chance = np.random.default_rng(1)
    drawn = [chance.integers(0, 50, 30) for _ in range(10)]
    units = [description(bag(*features.tolist()), bag(1), bag(2)) for features in drawn]
    mixed = [description(bag(*chance.permutation(features).tolist()), bag(1), bag(2)) for features in drawn]
    np.testing.assert_array_equal(weigh(units).values, weigh(mixed).values)
    np.testing.assert_array_equal(weigh(units).indices, weigh(mixed).indices)

"""Weighted features and sketches, against dense arithmetic."""

from __future__ import annotations

from array import array

import numpy as np
import pytest

from pytest_qeattention.similarity.background import Background
from pytest_qeattention.similarity.describe import Description
from pytest_qeattention.similarity.evidence import (
    BACKGROUND_TESTS,
    BAGS,
    LARGEST_RARITY,
    SKETCH_DIMENSION,
    UNIQUE_FACTOR,
    block_dots,
    sketch,
    weigh,
)


def bag(*features: int) -> bytes:
    return array("I", features).tobytes()


def description(tokens: bytes = b"", paths: bytes = b"", words: bytes = b"") -> Description:
    return Description(tokens, paths, words, b"", b"", b"", b"", (), (), False, False)


def dense(features: object) -> np.ndarray:
    full = np.zeros((features.n_rows, len(features.keys)))  # type: ignore[attr-defined]
    for row in range(len(full)):
        span = slice(features.indptr[row], features.indptr[row + 1])  # type: ignore[attr-defined]
        full[row, features.indices[span]] = features.values[span]  # type: ignore[attr-defined]
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
    np.testing.assert_allclose(block_dots(features, np.array([0, 1]))[0], [1, 1 / 3], rtol=1e-5)


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
    error = sketch(features) @ sketch(features).T - block_dots(features, np.arange(60))
    assert np.sqrt(np.mean(error**2)) < 1.5 / np.sqrt(SKETCH_DIMENSION)
    assert np.abs(np.diag(error)).max() < 1e-5


def test_a_units_sketch_depends_on_its_features_not_on_their_numbers() -> None:
    unit = description(bag(11), bag(12), bag(13))
    alone = sketch(weigh([unit]))[0]
    beside = sketch(weigh([unit, description(bag(1), bag(2), bag(3))]))[0]
    np.testing.assert_allclose(alone, beside, atol=1e-2)


def test_block_boundaries_do_not_change_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = np.random.default_rng(1)
    units = [description(bag(*chance.integers(0, 50, 30).tolist()), bag(1), bag(2)) for _ in range(10)]
    whole = weigh(units)
    monkeypatch.setattr("pytest_qeattention.similarity.evidence.COUNTED_BYTES", 200)
    parts = weigh(units)
    np.testing.assert_array_equal(whole.values, parts.values)
    np.testing.assert_array_equal(whole.indices, parts.indices)

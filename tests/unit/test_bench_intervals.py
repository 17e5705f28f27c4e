"""Intervals of ratios of medians."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_qeattention.bench.intervals import median, quantile, ratio_of_medians, ratio_of_products, spread


def test_quantiles_are_those_of_the_samples() -> None:
    samples = [5.0, 1.0, 2.0, 4.0, 3.0]

    assert median(samples) == 3.0
    assert quantile(samples, 0.95) == pytest.approx(4.8)
    assert spread(samples) == pytest.approx((4.8 - 1.2) / 3)


@pytest.mark.parametrize("paired", [False, True])
def test_the_interval_covers_a_known_ratio_as_often_as_it_says(paired: bool) -> None:
    rng = np.random.default_rng(7)
    covered = 0
    for _ in range(200):
        top = 2.0 * rng.lognormal(0, 0.05, 30)
        bottom = rng.lognormal(0, 0.05, 30)
        ratio = ratio_of_medians(top, bottom, paired=paired)
        covered += ratio.low <= 2.0 <= ratio.high
        assert ratio.low <= ratio.value <= ratio.high
    # 95 % of 200 is 190; a right interval is outside 180-199 once in thousands of such runs.
    assert 180 <= covered <= 199


def test_more_noise_widens_the_interval() -> None:
    rng = np.random.default_rng(3)
    noise = rng.standard_normal((2, 40))
    narrow = ratio_of_medians(100 + noise[0], 100 + noise[1])
    wide = ratio_of_medians(100 + 10 * noise[0], 100 + 10 * noise[1])

    assert wide.high - wide.low > 5 * (narrow.high - narrow.low)


def test_what_disturbs_whole_rounds_does_not_widen_a_paired_interval() -> None:
    drift = np.exp(np.random.default_rng(1).standard_normal(40))

    paired = ratio_of_medians(3 * drift, drift, paired=True)

    assert (paired.low, paired.value, paired.high) == pytest.approx((3, 3, 3))
    unpaired = ratio_of_medians(3 * drift, drift)
    assert unpaired.high - unpaired.low > 0.5


def test_the_same_samples_give_the_same_interval() -> None:
    samples = np.random.default_rng(0).uniform(1, 2, (2, 30))

    assert ratio_of_medians(*samples) == ratio_of_medians(*samples)
    assert ratio_of_medians(*samples) != ratio_of_medians(*samples, seed=1)


def test_products_multiply_their_medians() -> None:
    ratio = ratio_of_products([[6.0, 6.0], [2.0, 2.0, 2.0]], [[3.0], [1.0, 1.0]])

    assert tuple(ratio) == pytest.approx((4, 4, 4))


@pytest.mark.parametrize(
    ("top", "bottom", "paired", "message"),
    [
        ([], [1.0], False, "samples on both sides"),
        ([1.0], [], False, "samples on both sides"),
        ([1.0, 2.0], [1.0], True, r"one length, not \[1, 2\]"),
        ([0.0], [1.0], False, "above zero"),
        ([1.0], [float("nan")], False, "above zero"),
    ],
)
def test_samples_that_have_no_ratio(top: list[float], bottom: list[float], paired: bool, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ratio_of_medians(top, bottom, paired=paired)

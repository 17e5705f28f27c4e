"""Quantiles of samples, and bootstrap intervals of ratios of medians.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

SEED = 20_260_101
RESAMPLES = 2000
CONFIDENCE = 0.95


class Ratio(NamedTuple):
    """Hold a ratio of medians and its bootstrap interval."""

    value: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float]:
        """Return the ratio as plain values."""
        return {"value": self.value, "low": self.low, "high": self.high}


def median(samples: Sequence[float]) -> float:
    """Return the median of *samples*."""
    return float(np.median(np.asarray(samples, dtype=np.float64)))


def quantile(samples: Sequence[float], share: float) -> float:
    """Return the *share* quantile of *samples*, linearly interpolated."""
    return float(np.quantile(np.asarray(samples, dtype=np.float64), share))


def spread(samples: Sequence[float]) -> float:
    """Return the distance of the 5 % and 95 % quantiles as a share of the median."""
    return (quantile(samples, 0.95) - quantile(samples, 0.05)) / median(samples)


def ratio_of_medians(
    numerator: Sequence[float], denominator: Sequence[float], *, paired: bool = False, seed: int = SEED
) -> Ratio:
    """Return median(numerator) / median(denominator) with its 95 % percentile bootstrap interval.

    With *paired*, sample i of both sides belongs to one round and rounds are resampled as a whole, so what disturbs a
    round (the clock of the processor, another process) disturbs both sides alike; the sides must then be of one length.
    The same samples give the same interval. Raises ValueError for no samples, for lengths that differ where they must
    not, and for a sample that is not above zero.

    Percentile bootstrap: Efron and Tibshirani, "An Introduction to the Bootstrap" (1993).
    """
    return ratio_of_products([numerator], [denominator], paired=paired, seed=seed)


def ratio_of_products(
    numerators: Sequence[Sequence[float]],
    denominators: Sequence[Sequence[float]],
    *,
    paired: bool = False,
    seed: int = SEED,
) -> Ratio:
    """Return the product of the medians of *numerators* over that of *denominators*, as `ratio_of_medians` does."""
    sides = [[np.asarray(one, dtype=np.float64) for one in side] for side in (numerators, denominators)]
    every = [one for side in sides for one in side]
    if not all(one.size for one in every):
        raise ValueError("a ratio needs samples on both sides")
    if paired and len({one.size for one in every}) != 1:
        raise ValueError(f"paired samples must be of one length, not {sorted({one.size for one in every})}")
    if not all((one > 0).all() for one in every):
        raise ValueError("samples must be above zero")
    rng = np.random.default_rng(seed)
    together = rng.integers(every[0].size, size=(RESAMPLES, every[0].size)) if paired else None
    value, resampled = 1.0, np.ones(RESAMPLES)
    for side, sign in zip(sides, (1, -1), strict=True):
        for one in side:
            chosen = rng.integers(one.size, size=(RESAMPLES, one.size)) if together is None else together
            value *= float(np.median(one)) ** sign
            resampled *= _medians(one, chosen) ** sign
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(resampled, (tail, 1 - tail))
    return Ratio(value, float(low), float(high))


def _medians(samples: NDArray[Any], chosen: NDArray[Any]) -> NDArray[Any]:
    medians: NDArray[Any] = np.median(samples[chosen], axis=1)
    return medians

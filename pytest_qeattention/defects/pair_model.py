"""How signals are weighed into one score of a pair of failures.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from pytest_qeattention.defects.signals import COLUMNS, FloatArray

# Chosen by hand, so that scores made of them are no probabilities.
_BY_HAND: Mapping[tuple[str, str], float] = MappingProxyType(
    {
        ("root type", "same"): 0.5,
        ("root type", "other"): -2.0,
        ("message", "rare and same"): 2.0,
        ("message but for repeated values", "rare and same"): 1.5,
        ("culprit", "rare and same"): 0.5,
        ("culprit", "other"): -0.5,
        ("product frame that raised", "rare and same"): 1.5,
        ("product frame that raised", "other"): -1.0,
        ("product statement that raised", "rare and same"): 1.5,
        ("frame that raised", "rare and same"): 0.5,
        ("statement of the test", "rare and same"): 1.0,
        ("kind of difference", "rare and same"): 0.5,
        ("kind of difference", "other"): -0.5,
        ("function asserted of", "rare and same"): 1.0,
        ("test file", "other"): -0.5,
        ("test function", "rare and same"): 1.5,
        ("words of messages", "cosine"): 1.5,
        ("typed values", "cosine"): 0.5,
        ("frames", "cosine"): 1.0,
        ("product frames", "cosine"): 2.0,
        ("logs", "cosine"): 0.5,
        ("names of tests", "cosine"): 1.0,
        ("words of tests", "cosine"): 2.0,
        ("vectors of tests", "cosine"): 1.0,
    }
)


# Fitted by benchmarks/defects/grouping.py on runs with 1 to 8 defects of attrs, click, flask, humanize, markdown and
# tinydb, every run of the same weight. Nothing is on rarity of what is equal, which misleads in runs with one large
# cause; on what few of these projects have, such as logs; or on vectors, without which the tests were compared.
_FITTED: Mapping[tuple[str, str], float] = MappingProxyType(
    {
        ("root type", "same"): 0.266,
        ("root type", "other"): -0.266,
        ("outermost type", "same"): 0.298,
        ("outermost type", "on one side"): -0.069,
        ("message", "same"): 0.251,
        ("message", "other"): -0.251,
        ("message but for repeated values", "same"): 0.252,
        ("message but for repeated values", "other"): -0.252,
        ("culprit", "same"): 0.125,
        ("culprit", "other"): -0.217,
        ("culprit", "on one side"): -0.105,
        ("product frame that raised", "same"): 0.234,
        ("product frame that raised", "other"): -0.377,
        ("product frame that raised", "on one side"): -0.124,
        ("product statement that raised", "same"): 0.236,
        ("product statement that raised", "other"): -0.379,
        ("product statement that raised", "on one side"): -0.124,
        ("frame that raised", "same"): 0.275,
        ("frame that raised", "other"): -0.363,
        ("frame that raised", "on one side"): -0.144,
        ("statement of the test", "same"): 0.053,
        ("statement of the test", "other"): -0.016,
        ("statement of the test", "on one side"): -0.08,
        ("failing fixture", "same"): 0.123,
        ("failing fixture", "other"): -0.422,
        ("failing fixture", "on one side"): -0.2,
        ("phase", "same"): 0.23,
        ("phase", "other"): -0.23,
        ("kind of difference", "same"): 0.222,
        ("kind of difference", "other"): 0.037,
        ("kind of difference", "on one side"): -0.06,
        ("types of operands", "same"): 0.164,
        ("types of operands", "other"): 0.102,
        ("types of operands", "on one side"): -0.047,
        ("function asserted of", "same"): 0.248,
        ("function asserted of", "other"): -0.381,
        ("function asserted of", "on one side"): -0.123,
        ("test file", "same"): 0.2,
        ("test file", "other"): -0.2,
        ("test class", "on one side"): -0.017,
        ("test function", "same"): 0.077,
        ("test function", "other"): -0.003,
        ("test function", "on one side"): -0.193,
        ("words of messages", "cosine"): 0.394,
        ("typed values", "cosine"): 0.295,
        ("typed values", "on both sides"): -0.023,
        ("typed values", "on one side"): -0.186,
        ("frames", "cosine"): 0.244,
        ("frames", "on both sides"): -0.054,
        ("frames", "on one side"): -0.082,
        ("product frames", "cosine"): 0.217,
        ("product frames", "on both sides"): -0.026,
        ("product frames", "on one side"): -0.124,
        ("names of tests", "cosine"): 0.189,
        ("names of tests", "on both sides"): 0.102,
        ("names of tests", "on one side"): -0.193,
        ("fixtures", "cosine"): 0.132,
        ("fixtures", "on both sides"): 0.042,
        ("fixtures", "on one side"): -0.129,
        ("parameters", "cosine"): 0.094,
        ("parameters", "on both sides"): -0.016,
        ("parameters", "on one side"): -0.061,
        ("words of tests", "cosine"): 0.179,
        ("words of tests", "on both sides"): 0.102,
        ("words of tests", "on one side"): -0.193,
        ("product frames part", "true"): -0.064,
    }
)


@dataclass(frozen=True, slots=True)
class PairModel:
    """Hold weights of the numbers that a pair has, those of `COLUMNS`; a column that is not named has none."""

    weights: Mapping[tuple[str, str], float]
    intercept: float
    threshold: float
    """Mean score of two clusters, 0 to 1, from which on they are one."""
    learned: bool
    """Whether the weights were fitted."""

    def row(self) -> FloatArray:
        """Return the weights in the order of `COLUMNS`, float32."""
        return np.array([self.weights.get(column, 0.0) for column in COLUMNS], np.float32)

    def without(self, signals: Collection[str]) -> PairModel:
        """Return the model with no weight on *signals*."""
        kept = {column: weight for column, weight in self.weights.items() if column[0] not in signals}
        return PairModel(kept, self.intercept, self.threshold, self.learned)


BY_HAND = PairModel(_BY_HAND, -4.0, 0.5, learned=False)
SHIPPED = PairModel(_FITTED, 0.031, 0.55, learned=True)

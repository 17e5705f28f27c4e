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


# Fitted by benchmarks/defects/grouping.py on runs with 1 to 8 defects of 14 projects (benchmarks/results/
# defect_grouping.md), every run of the same weight. Nothing is on rarity of what is equal, which misleads in runs with
# one large cause; on what few of these projects have, such as logs; or on vectors, without which tests were compared.
_FITTED: Mapping[tuple[str, str], float] = MappingProxyType(
    {
        ("root type", "same"): 0.25,
        ("root type", "other"): -0.25,
        ("outermost type", "same"): 0.436,
        ("outermost type", "on one side"): -0.028,
        ("message", "same"): 0.233,
        ("message", "other"): -0.233,
        ("message but for repeated values", "same"): 0.233,
        ("message but for repeated values", "other"): -0.233,
        ("culprit", "same"): 0.162,
        ("culprit", "other"): -0.168,
        ("culprit", "on one side"): -0.125,
        ("product frame that raised", "same"): 0.242,
        ("product frame that raised", "other"): -0.321,
        ("product frame that raised", "on one side"): -0.146,
        ("product statement that raised", "same"): 0.244,
        ("product statement that raised", "other"): -0.32,
        ("product statement that raised", "on one side"): -0.146,
        ("frame that raised", "same"): 0.225,
        ("frame that raised", "other"): -0.331,
        ("frame that raised", "on one side"): -0.11,
        ("statement of the test", "same"): 0.029,
        ("statement of the test", "other"): 0.024,
        ("statement of the test", "on one side"): -0.102,
        ("failing fixture", "same"): 0.185,
        ("failing fixture", "on one side"): -0.219,
        ("phase", "same"): 0.248,
        ("phase", "other"): -0.248,
        ("kind of difference", "same"): 0.244,
        ("kind of difference", "other"): 0.089,
        ("kind of difference", "on one side"): -0.038,
        ("types of operands", "same"): 0.176,
        ("types of operands", "other"): 0.042,
        ("types of operands", "on one side"): -0.121,
        ("function asserted of", "same"): 0.269,
        ("function asserted of", "other"): -0.05,
        ("function asserted of", "on one side"): -0.009,
        ("test file", "same"): 0.218,
        ("test file", "other"): -0.218,
        ("test class", "same"): 0.126,
        ("test class", "other"): -0.137,
        ("test class", "on one side"): -0.049,
        ("test function", "same"): 0.108,
        ("test function", "other"): -0.002,
        ("test function", "on one side"): -0.169,
        ("words of messages", "cosine"): 0.38,
        ("words of messages", "on both sides"): 0.17,
        ("words of messages", "on one side"): -0.249,
        ("typed values", "cosine"): 0.24,
        ("typed values", "on both sides"): -0.001,
        ("typed values", "on one side"): -0.162,
        ("frames", "cosine"): 0.212,
        ("frames", "on both sides"): -0.074,
        ("frames", "on one side"): -0.1,
        ("product frames", "cosine"): 0.238,
        ("product frames", "on both sides"): -0.005,
        ("product frames", "on one side"): -0.146,
        ("exceptions named", "cosine"): 0.284,
        ("exceptions named", "on both sides"): -0.064,
        ("exceptions named", "on one side"): 0.032,
        ("names of tests", "cosine"): 0.3,
        ("names of tests", "on both sides"): 0.113,
        ("names of tests", "on one side"): -0.169,
        ("fixtures", "cosine"): 0.153,
        ("fixtures", "on both sides"): -0.033,
        ("fixtures", "on one side"): -0.052,
        ("parameters", "cosine"): 0.171,
        ("parameters", "on both sides"): 0.045,
        ("parameters", "on one side"): -0.001,
        ("words of tests", "cosine"): 0.16,
        ("words of tests", "on both sides"): 0.117,
        ("words of tests", "on one side"): -0.173,
        ("product frames part", "true"): -0.058,
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
SHIPPED = PairModel(_FITTED, -0.443, 0.55, learned=True)

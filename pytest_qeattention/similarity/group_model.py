"""How probable it is that a maintainer would fold the tests of a group: a logistic function of six facts.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pytest_qeattention.similarity.pairs import FACTS, Facts, FloatArray, Pairs, logistic, pairs_inside

GROUP_FACTS = (
    "mean score",
    "log tests",
    "log tests nearby",
    "log statements",
    "same literal form",
    "same shape",
)


@dataclass(frozen=True, slots=True)
class GroupModel:
    """Hold a logistic model of a group's facts."""

    weights: tuple[float, ...]
    """One for each of `GROUP_FACTS`."""
    intercept: float


# Fitted by benchmarks/quality/similar.py on tests that maintainers folded, and on those that they left alone; the
# intercept is such that 12 % of these are flagged at a probability of one half. How far apart the tests stand said
# nothing more of held-out projects once the number of tests nearby was known.
SHIPPED_GROUPS = GroupModel((5.276, 1.4852, -0.737, 0.5727, 1.0141, 0.1347), -6.4949)


@dataclass(frozen=True, slots=True)
class GroupEvidence:
    """Hold what the scored pairs inside each group say; arrays of one entry a group."""

    facts: FloatArray
    """(n_groups, len(GROUP_FACTS)); means are over the scored pairs."""
    least_cosine: FloatArray
    mean_cosine: FloatArray


def gather_evidence(facts: Facts, pairs: Pairs, groups: Sequence[Sequence[int]]) -> GroupEvidence:
    """Gather the facts of *groups* of rows, which share no row, from the *pairs* inside them."""
    inside, at = pairs_inside(pairs, groups, len(facts.file))
    left, right = pairs.left[inside], pairs.right[inside]
    least = np.ones(len(groups))
    np.minimum.at(least, at, pairs.cosine[inside])
    count = np.maximum(np.bincount(at, minlength=len(groups)), 1)
    size = np.array([len(rows) for rows in groups], np.float64)

    def mean(values: FloatArray) -> FloatArray:
        average: FloatArray = np.bincount(at, weights=values, minlength=len(groups)) / count
        return average

    columns = [
        mean(pairs.score[inside]),
        np.log(np.maximum(size, 1)),
        mean(pairs.values[inside, FACTS.index("log tests nearby")].astype(np.float64)),
        mean(pairs.values[inside, FACTS.index("log statements")].astype(np.float64)),
        mean((facts.literal[left] == facts.literal[right]).astype(np.float64)),
        mean((facts.shape[left] == facts.shape[right]).astype(np.float64)),
    ]
    return GroupEvidence(np.column_stack(columns), least, mean(pairs.cosine[inside]))


def probability(evidence: GroupEvidence, model: GroupModel) -> FloatArray:
    """Return for each group how probable it is by *model* that a maintainer would fold it, 0 to 1."""
    return logistic(evidence.facts @ np.array(model.weights) + model.intercept)

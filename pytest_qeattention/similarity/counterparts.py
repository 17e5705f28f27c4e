"""Find the tests that are most like one of them: its siblings, and its copies with other names and values.

A test's score is that of the pair model (see `pairs`), its odds raised where the statements of the two have the same
shapes (see `shapes`). The pair model was fitted on tests that maintainers folded, which share names; a copy that was
renamed shares its shapes. Shapes stay out of the pair model: there they cost the groups.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pytest_qeattention.attention import csr_pair_dots
from pytest_qeattention.similarity.evidence import Features, weigh
from pytest_qeattention.similarity.model import Neighbor
from pytest_qeattention.similarity.pairs import (
    SHIPPED,
    FloatArray,
    IntArray,
    Pairs,
    common_share,
    gather_facts,
    near_counts,
    pair_facts,
    rescore,
)
from pytest_qeattention.similarity.partners import find_partners
from pytest_qeattention.similarity.shapes import StatementShapes
from pytest_qeattention.similarity.suite import Suite

# What shapes add to the logarithm of the odds: nothing up to the first, and past it so much for a likeness of 1 more.
# Chosen on copies of tests of trio, tornado and h5py (average precision .71 by the pair model, .956 with shapes) and on
# folded tests (mean average precision .967 by the pair model, .966 with shapes; interval of the gain -.011 to +.007).
LEAST_LIKENESS = 0.3
LIKENESS_WEIGHT = 12.0


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """Hold how n tests compare with one of them; arrays of one entry a test, float64 from 0 to 1."""

    score: FloatArray
    """0 for the one itself."""
    cosine: FloatArray
    """Of identifiers, paths of the syntax tree and words."""
    shapes: FloatArray
    """Cosine of the shapes of statements where these raise the score, else 0."""


class Counterparts:
    """Score the tests of *suite* against any of them."""

    def __init__(self, suite: Suite, *, num_threads: int | None = None) -> None:
        self._suite = suite
        self._num_threads = num_threads
        self._facts = gather_facts(suite.units, suite.descriptions, suite.bindings)
        self._features = weigh(suite.descriptions, num_threads=num_threads)
        self._shapes = StatementShapes(suite.descriptions)
        # How crowded it is around a test is a matter of its file.
        partners = find_partners(self._features, self._facts.file, across_files=False, num_threads=num_threads)
        self._near = near_counts(self._facts, partners.left, partners.right, partners.cosine)
        self._search = partners.search

    def compare(self, chosen: int) -> Compared:
        """Return how every test compares with the one of number *chosen*."""
        n = len(self._suite.units)
        others = np.flatnonzero(np.arange(n) != chosen)
        left, right = np.minimum(others, chosen), np.maximum(others, chosen)
        alike = _dots(self._features, left, right, self._num_threads)
        values = pair_facts(self._facts, self._features, self._near, left, right, alike, self._num_threads)
        every = np.ones(len(others), bool)
        pairs = rescore(self._facts, Pairs(left, right, alike, values, alike, every, self._search), SHIPPED)
        likeness = self._shapes.beside(chosen)
        score, cosine = np.zeros(n), np.zeros(n)
        score[others] = raised(pairs.score, likeness.share[others])
        cosine[others] = alike
        return Compared(score, cosine, np.where(likeness.share > LEAST_LIKENESS, likeness.cosine, 0.0))

    def nearest(self, chosen: int, k: int) -> list[Neighbor]:
        """Return the *k* tests that are most like the one of number *chosen*, best first, with the reasons."""
        compared = self.compare(chosen)
        order = np.lexsort((np.arange(len(compared.score)), -compared.score))
        best = order[order != chosen][:k]
        common = common_share(
            self._suite.descriptions, np.minimum(best, chosen), np.maximum(best, chosen), self._num_threads
        )
        return [
            Neighbor(self._suite.units[at], round(float(compared.score[at]), 6), _reasons(compared, at, share))
            for at, share in zip(best.tolist(), common.tolist(), strict=True)
        ]


def raised(scores: FloatArray, likeness: FloatArray) -> FloatArray:
    """Return *scores* of pairs with their odds raised by the *likeness* of shapes; 0 and 1 stay what they are."""
    factor = np.exp(LIKENESS_WEIGHT * np.maximum(likeness - LEAST_LIKENESS, 0.0))
    odds: FloatArray = scores * factor
    return odds / (1.0 - scores + odds)


def _reasons(compared: Compared, at: int, share: float) -> tuple[str, ...]:
    shapes = compared.shapes[at]
    return (
        f"{share:.0%} of the code is the same, in order, literals aside",
        f"identifiers and words agree (cosine {compared.cosine[at]:.2f})",
        *((f"shapes of statements agree (cosine {shapes:.2f})",) if shapes else ()),
    )


def _dots(features: Features, left: IntArray, right: IntArray, num_threads: int | None) -> FloatArray:
    dots = csr_pair_dots(features.indptr, features.indices, features.values, left, right, num_threads=num_threads)
    clipped: FloatArray = np.clip(dots.astype(np.float64), 0.0, 1.0)
    return clipped

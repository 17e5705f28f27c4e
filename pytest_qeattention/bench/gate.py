"""Whether a result is right: compared with float64 on the very input, before anything is timed.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROWS = 256
"""Rows of a result that are compared; all of them where there are no more."""

TOLERANCE = {"float32": 5e-5, "bfloat16": 3e-2}
"""Largest error allowed of attention over standard normal input, by precision, as a share of the largest expected value
or of one, whichever is less: the mean of many values is small. float32 rounds to about 1e-6 here."""

TOPK_TOLERANCE = 1e-5
"""Largest error allowed of a top-k score, as a share of the product of the norms of query and key."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Say whether a result is right, how far it is off at most, and in words what is wrong."""

    is_right: bool
    error: float | None
    reason: str | None = None


class WrongResult(Exception):
    """Say that our own result is wrong, which ends a benchmark."""


def sampled_rows(count: int, *, seed: int, rows: int = ROWS) -> NDArray[np.int64]:
    """Return which of *count* rows are compared, ascending: the first, the last and others by *seed*."""
    if count <= rows:
        return np.arange(count, dtype=np.int64)
    chosen = np.random.default_rng(seed).choice(count, size=rows - 2, replace=False)
    return np.unique(np.concatenate([[0, count - 1], chosen])).astype(np.int64)


@dataclass(frozen=True)
class AttentionOracle:
    """Hold the float64 result of some rows of softmax(q.kᵀ/sqrt(d)).v over (batch, heads, n, d) inputs."""

    rows: NDArray[np.int64]
    expected: NDArray[np.float64]

    @classmethod
    def of(cls, q: NDArray[Any], k: NDArray[Any], v: NDArray[Any], *, seed: int) -> AttentionOracle:
        """Compute the rows that `sampled_rows` chooses."""
        n_q, d = q.shape[-2:]
        flat_q = q.reshape(-1, d)
        flat_k = k.reshape(-1, *k.shape[-2:])
        flat_v = v.reshape(-1, *v.shape[-2:])
        rows = sampled_rows(len(flat_q), seed=seed)
        expected = np.empty((len(rows), v.shape[-1]), dtype=np.float64)
        entries = rows // n_q
        for entry in np.unique(entries):
            chosen = entries == entry
            scores = flat_q[rows[chosen]].astype(np.float64) @ flat_k[entry].T.astype(np.float64) / math.sqrt(d)
            weights = np.exp(scores - scores.max(axis=1, keepdims=True))
            weights /= weights.sum(axis=1, keepdims=True)
            expected[chosen] = weights @ flat_v[entry].astype(np.float64)
        return cls(rows, expected)

    def judge(self, result: NDArray[Any], precision: str) -> Verdict:
        """Compare *result*, (batch, heads, n, d), with what is expected at *precision*."""
        flat = result.reshape(-1, result.shape[-1])
        if not np.isfinite(flat).all():
            return Verdict(False, None, "its result holds NaN or infinity")
        found = flat[self.rows].astype(np.float64)
        if found.shape != self.expected.shape:
            return Verdict(False, None, f"its result has shape {result.shape}")
        error = float(np.abs(found - self.expected).max(initial=0.0))
        allowed = TOLERANCE[precision] * min(1.0, float(np.abs(self.expected).max(initial=0.0)))
        if error > allowed:
            return Verdict(False, error, f"off by {error:.2g}, allowed is {allowed:.1g} in {precision}")
        return Verdict(True, error)


@dataclass(frozen=True)
class TopkOracle:
    """Hold the float64 scores of some queries against all keys."""

    rows: NDArray[np.int64]
    scores: NDArray[np.float64]
    scale: float

    @classmethod
    def of(cls, queries: NDArray[Any], keys: NDArray[Any], *, seed: int) -> TopkOracle:
        """Compute the scores of the queries that `sampled_rows` chooses."""
        rows = sampled_rows(len(queries), seed=seed, rows=64)
        chosen = queries[rows].astype(np.float64)
        scores = chosen @ keys.T.astype(np.float64)
        scale = float(np.linalg.norm(chosen, axis=1).max() * np.linalg.norm(keys.astype(np.float64), axis=1).max())
        return cls(rows, scores, scale)

    def judge(self, indices: NDArray[Any], k: int) -> Verdict:
        """Tell whether *indices*, (queries, k), name *k* keys of largest score; of near-equal ones any will do."""
        found = np.asarray(indices)
        if found.ndim != 2 or found.shape[1] != k:
            return Verdict(False, None, f"its indices have shape {found.shape}, expected {k} per query")
        found = found[self.rows].astype(np.int64)
        ordered = np.sort(found, axis=1)
        if found.size and (ordered[:, 0].min() < 0 or ordered[:, -1].max() >= self.scores.shape[1]):
            return Verdict(False, None, "an index is out of range")
        if (ordered[:, 1:] == ordered[:, :-1]).any():
            return Verdict(False, None, "an index is given twice for one query")
        best = -np.sort(-self.scores, axis=1)[:, :k]
        error = float(np.abs(np.take_along_axis(self.scores, found, axis=1) - best).max(initial=0.0)) / self.scale
        if error > TOPK_TOLERANCE:
            return Verdict(False, error, f"a key it names scores {error:.2g} below the one it should name")
        return Verdict(True, error)

"""One random call of a stress run: drawn from its seed alone, checked against float64.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_qeattention.attention import flash_attention, topk_similarity
from pytest_qeattention.attention.arguments import PRECISIONS, FloatArray
from pytest_qeattention.bench.gate import TopkOracle, Verdict, sampled_rows

LEAST_KEYS, MOST_KEYS = 100, 100_000
MASKS = ("none", "bool", "bool row", "bias", "bias row", "nothing visible")

_CHECKED_ROWS = 32
_MOST_MULTIPLY_ADDS = 1_000_000_000
_MOST_ELEMENTS = 1 << 23
_MOST_MASK = 1 << 23
_EPSILON = float(np.finfo(np.float32).eps)
_BFLOAT16_EPSILON = 2.0**-8


@dataclass(frozen=True, slots=True)
class StressCase:
    """Hold what a seed draws: a call of `flash_attention`, or of `topk_similarity` where *k* is above zero."""

    seed: int
    threads: int
    batch: int
    heads: int
    queries: int
    keys: int
    dim: int
    value_dim: int
    precision: str
    mask: str
    causal: bool
    scale: float | None
    size: float
    """Standard deviation of the inputs."""
    is_strided: bool
    """Whether the heads of an input lie side by side, as (batch, n, heads, d)."""
    sequences: int = 1
    """Sequences that are packed into the rows, where there is more than one."""
    query_chunk: int | None = None
    key_chunk: int | None = None
    k: int = 0

    @property
    def operation(self) -> str:
        return "topk" if self.k else "packed" if self.sequences > 1 else "attention"

    def describe(self) -> str:
        """Return the case in words, for the report of a mismatch."""
        if self.k:
            return f"top-{self.k}: {self.queries} in {self.keys} x {self.dim}, {self.threads} threads"
        words = [
            f"{self.batch},{self.heads},{self.queries}x{self.keys},{self.dim}->{self.value_dim}",
            self.precision,
            f"{self.threads} threads",
            f"mask {self.mask}",
        ]
        words += ["causal"] * self.causal + ["strided"] * self.is_strided
        words += [] if self.scale is None else [f"scale {self.scale:.3g}"]
        words += [] if self.sequences == 1 else [f"{self.sequences} sequences"]
        words += [] if self.query_chunk is None else [f"query chunk {self.query_chunk}"]
        words += [] if self.key_chunk is None else [f"key chunk {self.key_chunk}"]
        return ", ".join([*words, f"inputs of size {self.size:g}"])


def draw(seed: int, most_threads: int) -> StressCase:
    """Return the case of *seed*: 100 to 100,000 keys, any other size that keeps the call below a second or so."""
    rng = np.random.default_rng(seed)
    keys = round(math.exp(rng.uniform(math.log(LEAST_KEYS), math.log(MOST_KEYS))))
    threads = int(rng.integers(1, most_threads + 1))
    dim = int(rng.choice([1, 3, 16, 31, 32, 64, 96, 128, 200, 256]))
    if rng.random() < 0.25:
        queries = _rows(rng, keys * dim)
        k = int(rng.integers(1, 50))
        return StressCase(seed, threads, 1, 1, queries, keys, dim, dim, "float32", "none", False, None, 1.0, False, k=k)
    heads = int(rng.integers(1, 1 + max(1, min(8, _MOST_ELEMENTS // (keys * dim)))))
    batch = int(rng.integers(1, 1 + max(1, min(4, _MOST_ELEMENTS // (keys * dim * heads)))))
    value_dim = dim if rng.random() < 0.7 else int(rng.integers(1, 129))
    queries = _rows(rng, batch * heads * keys * max(dim, value_dim))
    mask = str(rng.choice(MASKS))
    if mask in ("bool", "bias") and queries * keys > _MOST_MASK:
        mask += " row"
    precision = str(rng.choice(PRECISIONS))
    return StressCase(
        seed=seed,
        threads=threads,
        batch=batch,
        heads=heads,
        queries=queries,
        keys=keys,
        dim=dim,
        value_dim=value_dim,
        precision=precision,
        mask=mask,
        causal=bool(rng.random() < 0.3),
        scale=None if rng.random() < 0.7 else float(rng.uniform(0.01, 1.0)),
        size=float(rng.choice([0.01, 1.0, 1.0, 8.0])),
        is_strided=bool(rng.random() < 0.3),
        sequences=1 if rng.random() < 0.75 else int(rng.integers(2, 40)),
        query_chunk=None if rng.random() < 0.8 else int(rng.integers(1, 2 * queries + 1)),
        key_chunk=None if rng.random() < 0.8 else int(rng.integers(1, 2 * keys + 1)),
    )


def check(case: StressCase) -> Verdict:
    """Run *case* and judge what it gives; its error is a share of what is allowed. May raise what the call raises."""
    rng = np.random.default_rng([case.seed, 1])
    return _check_topk(case, rng) if case.k else _check_attention(case, rng)


def _rows(rng: np.random.Generator, work_per_row: int) -> int:
    most = max(1, min(4096, _MOST_MULTIPLY_ADDS // work_per_row))
    return round(math.exp(rng.uniform(0, math.log(most))))


def _check_topk(case: StressCase, rng: np.random.Generator) -> Verdict:
    queries = rng.standard_normal((case.queries, case.dim), dtype=np.float32)
    keys = rng.standard_normal((case.keys, case.dim), dtype=np.float32)
    _, indices = topk_similarity(queries, keys, case.k, num_threads=case.threads)
    return TopkOracle.of(queries, keys, seed=case.seed).judge(indices, min(case.k, case.keys))


def _check_attention(case: StressCase, rng: np.random.Generator) -> Verdict:
    q = _inputs(case, rng, case.queries, case.dim)
    k = _inputs(case, rng, case.keys, case.dim)
    v = _inputs(case, rng, case.keys, case.value_dim)
    mask = _mask(case, rng)
    bounds = _bounds(case.sequences, case.queries, rng), _bounds(case.sequences, case.keys, rng)

    def attend(threads: int) -> tuple[FloatArray, FloatArray]:
        return flash_attention(
            q,
            k,
            v,
            mask=mask,
            causal=case.causal,
            scale=case.scale,
            precision=case.precision,
            num_threads=threads,
            return_lse=True,
            cu_seqlens=None if case.sequences == 1 else bounds[0],
            cu_seqlens_k=None if case.sequences == 1 else bounds[1],
            query_chunk=case.query_chunk,
            key_chunk=case.key_chunk,
        )

    out, lse = attend(case.threads)
    if case.threads > 1 and rng.random() < 0.5:
        alone = attend(1)
        if not (np.array_equal(out, alone[0]) and np.array_equal(lse, alone[1])):
            return Verdict(False, None, f"1 and {case.threads} threads give different bits")
    if not np.isfinite(out).all() or np.isnan(lse).any():
        return Verdict(False, None, "the result holds NaN or infinity, and the inputs do not")
    return _compare(case, (q, k, v), mask, bounds, (out, lse))


def _compare(
    case: StressCase,
    inputs: tuple[FloatArray, FloatArray, FloatArray],
    mask: NDArray[Any] | None,
    bounds: tuple[NDArray[np.int64], NDArray[np.int64]],
    found: tuple[FloatArray, FloatArray],
) -> Verdict:
    (q, k, v), (out, lse) = inputs, found
    scale = 1 / math.sqrt(case.dim) if case.scale is None else case.scale
    worst = 0.0
    entry: tuple[int, ...] | None = None
    for row in sampled_rows(case.batch * case.heads * case.queries, seed=case.seed, rows=_CHECKED_ROWS):
        at = np.unravel_index(int(row), (case.batch, case.heads, case.queries))
        if entry != (entry := (int(at[0]), int(at[1]))):
            keys, values = _exact(k[entry], case.precision), _exact(v[entry], case.precision)
            norm = float(np.sqrt((keys * keys).sum(axis=1).max()))
        query = _exact(q[at], case.precision)
        sequence = int(np.searchsorted(bounds[0], at[2], side="right")) - 1
        first, last = (int(bound) for bound in bounds[1][sequence : sequence + 2])
        if case.causal:
            last = min(last, first + int(at[2] - bounds[0][sequence]) + 1)
        scores = keys[first:last] @ query * scale
        if mask is not None:
            part = (mask[0] if len(mask) == 1 else mask[at[2]])[first:last]
            scores = np.where(part, scores, -np.inf) if mask.dtype == np.bool_ else scores + part
        if not len(scores) or scores.max() == -np.inf:
            if out[at].any() or lse[at] != -np.inf:
                return Verdict(False, None, "a row that sees no key is not zeros with a log-sum-exp of -inf")
            continue
        score_error = _EPSILON * (math.sqrt(case.dim) * scale * float(np.linalg.norm(query)) * norm + 4.0)
        error = _row_error(case.precision, scores, values[first:last], score_error, (out[at], float(lse[at])))
        worst = max(worst, error)
        if worst > 1:
            return Verdict(False, worst, f"row {tuple(map(int, at))} is off by {worst:.2g} times what is allowed")
    return Verdict(True, worst)


def _row_error(
    precision: str,
    scores: NDArray[np.float64],
    values: NDArray[np.float64],
    score_error: float,
    found: tuple[FloatArray, float],
) -> float:
    """Return how far a row is off, as a share of what its precision allows.

    A score that is off by e moves its weight by e of itself, and with it the value; sums over n keys round to some
    sqrt(n) in the last place. In bfloat16 the inputs are those rounded ones that the exact result is made from, so that
    the rounding of the weights is all that is added.
    """
    top = float(scores.max())
    weights = np.exp(scores - top)
    total = float(weights.sum())
    moved = 2 * score_error + _EPSILON * (32 + math.sqrt(len(scores)))
    moved += 0.0 if precision == "float32" else _BFLOAT16_EPSILON
    magnitude = weights @ np.abs(values) / total + np.finfo(np.float32).tiny
    error = np.abs(found[0] - weights @ values / total) / (moved * magnitude)
    lse_error = abs(found[1] - (top + math.log(total))) / (moved + 4 * _EPSILON * abs(top))
    return max(float(error.max()), lse_error)


def _exact(array: FloatArray, precision: str) -> NDArray[np.float64]:
    """Return the numbers that are computed with: *array*, or each of it rounded to bfloat16, to nearest even."""
    if precision != "float32":
        bits = np.ascontiguousarray(array).view(np.uint32)
        bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
        array = bits.view(np.float32)
    return array.astype(np.float64)


def _bounds(sequences: int, rows: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return where *sequences* begin and end in *rows*; some may be empty."""
    cuts = np.sort(rng.integers(0, rows + 1, size=sequences - 1))
    return np.concatenate([[0], cuts, [rows]]).astype(np.int64)


def _inputs(case: StressCase, rng: np.random.Generator, n: int, dim: int) -> FloatArray:
    lead = (case.batch, n, case.heads) if case.is_strided else (case.batch, case.heads, n)
    array: FloatArray = rng.standard_normal((*lead, dim), dtype=np.float32)
    np.multiply(array, np.float32(case.size), out=array)
    return array.swapaxes(1, 2) if case.is_strided else array


def _mask(case: StressCase, rng: np.random.Generator) -> NDArray[Any] | None:
    rows = 1 if case.mask.endswith("row") else case.queries
    if case.mask == "none":
        return None
    if case.mask == "nothing visible":
        mask = np.ones((1, case.keys), dtype=np.bool_)
        mask[:] = rng.random() < 0.5
        return mask
    seen = rng.random((rows, case.keys), dtype=np.float32) < rng.uniform(0.05, 1.0)
    if case.mask.startswith("bool"):
        return np.asarray(seen)
    bias = rng.standard_normal((rows, case.keys), dtype=np.float32)
    bias[~seen] = -np.inf
    return bias

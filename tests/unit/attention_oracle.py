"""Attention in float64, inputs for it, and the implementations that can be compared with it here."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pytest_qeattention.attention import backend
from pytest_qeattention.attention.arguments import FloatArray

BOUND = 2e-5
CORE = backend._load_core()[0]
NATIVE = [entry["name"] for entry in (CORE.variants() if CORE else []) if not entry["missing"]]
RUNNABLE = ["numpy", *NATIVE]


def tile_of(variant: str) -> int:
    if variant == "numpy":
        return 8
    return int(next(entry["tile_queries"] for entry in CORE.variants() if entry["name"] == variant))


def check_ran(variant: str) -> None:
    """Prove which code served the last call: the kernel names itself."""
    if variant != "numpy":
        assert CORE.last_variant() == variant


def oracle(
    q: Any, k: Any, v: Any, *, mask: Any = None, causal: bool = False, scale: float | None = None
) -> tuple[Any, Any]:
    q, k, v = (np.asarray(x, dtype=np.float64) for x in (q, k, v))
    scores = q @ np.swapaxes(k, -1, -2) * (1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    if mask is not None:
        scores = np.where(mask, scores, -np.inf) if mask.dtype == bool else scores + mask
    if causal:
        scores = np.where(np.tri(scores.shape[-2], scores.shape[-1], dtype=bool), scores, -np.inf)
    top = scores.max(axis=-1, keepdims=True)
    top = np.where(np.isneginf(top), 0, top)
    weights = np.exp(scores - top)
    total = weights.sum(axis=-1, keepdims=True)
    empty = total == 0
    total[empty] = 1
    lse = np.where(empty, -np.inf, top + np.log(total))[..., 0]
    return np.where(empty, 0, weights @ v / total), lse


def normal(*shape: int, seed: int = 0) -> FloatArray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def inputs(n_q: int, n_k: int, d: int, d_v: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    return normal(n_q, d, seed=1), normal(n_k, d, seed=2), normal(n_k, d_v, seed=3)


def round_bfloat16(values: Any) -> Any:
    """Round to 8 significant bits, ties to even, in float64."""
    parts, exponents = np.frexp(np.asarray(values, dtype=np.float64))
    return np.ldexp(np.rint(np.ldexp(parts, 8)), exponents - 8)


def check_same_bits(left: Any, right: Any) -> None:
    """Compare float32 results to the last bit, tuples of them part by part."""
    pairs = zip(left, right, strict=True) if isinstance(left, tuple) else [(left, right)]
    for one, other in pairs:
        assert one.shape == other.shape
        assert one.tobytes() == other.tobytes()

"""What is measured: operations, their shapes and their inputs.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pytest_qeattention.attention.arguments import PRECISIONS, FloatArray
from pytest_qeattention.bench.intervals import SEED

SHAPES = (
    (1, 8, 512, 64),
    (1, 8, 1024, 64),
    (1, 8, 2048, 64),
    (1, 12, 256, 64),
    (32, 4, 128, 64),
    (1, 4, 1024, 32),
    (1, 1, 2048, 128),
    (1, 1, 1024, 512),
    (1, 1, 512, 768),
    (1, 1, 1024, 1024),
)
"""Batch, heads, n and d: what encoders run, and single heads as wide as an embedding."""

DIMENSIONS = (128, 256, 512, 768, 1024)
"""Widths of one head."""

_DIMENSION_TOKENS = 512
_QUICK_SHAPES = ((1, 2, 64, 32), (2, 2, 96, 16))


@dataclass(frozen=True, slots=True)
class AttentionCase:
    """Hold one attention over standard normal inputs."""

    batch: int
    heads: int
    queries: int
    keys: int
    dim: int
    precision: str = "float32"
    kind: str = "attention"
    single_thread: bool = False

    @property
    def label(self) -> str:
        length = str(self.queries) if self.queries == self.keys else f"{self.queries}x{self.keys}"
        return f"{self.batch},{self.heads},{length},{self.dim}"

    @property
    def flop(self) -> int:
        return 4 * self.batch * self.heads * self.queries * self.keys * self.dim

    @property
    def moved_bytes(self) -> int:
        return 4 * self.batch * self.heads * self.dim * 2 * (self.queries + self.keys)

    def shape(self) -> dict[str, int]:
        """Return the sizes by name."""
        return {
            "batch": self.batch,
            "heads": self.heads,
            "queries": self.queries,
            "keys": self.keys,
            "dim": self.dim,
        }

    def inputs(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return q, k and v, (batch, heads, n, dim), the same for every run."""
        rng = np.random.default_rng([SEED, self.batch, self.heads, self.queries, self.keys, self.dim])
        lead = (self.batch, self.heads)
        q, k, v = (
            rng.standard_normal((*lead, n, self.dim), dtype=np.float32) for n in (self.queries, self.keys, self.keys)
        )
        return q, k, v


@dataclass(frozen=True, slots=True)
class TopkCase:
    """Hold one search for the *k* keys of largest dot product, over rows of norm 1."""

    queries: int
    keys: int
    dim: int
    k: int

    precision = "float32"
    single_thread = False

    @property
    def kind(self) -> str:
        return "topk" if self.queries > 1 else "search"

    @property
    def label(self) -> str:
        return f"{self.queries}x{self.keys},{self.dim},{self.k}"

    @property
    def flop(self) -> int:
        return 2 * self.queries * self.keys * self.dim

    @property
    def moved_bytes(self) -> int:
        return 4 * self.dim * (self.queries + self.keys)

    def shape(self) -> dict[str, int]:
        """Return the sizes by name."""
        return {"queries": self.queries, "keys": self.keys, "dim": self.dim, "k": self.k}

    def inputs(self) -> tuple[FloatArray, FloatArray]:
        """Return queries and keys, the same for every run; as many queries as keys are the keys themselves."""
        rng = np.random.default_rng([SEED, self.keys, self.dim])
        keys = rng.standard_normal((self.keys, self.dim), dtype=np.float32)
        keys /= np.linalg.norm(keys, axis=1, keepdims=True)
        return (keys if self.queries == self.keys else keys[: self.queries].copy()), keys


def comprehensive_cases(
    shapes: tuple[tuple[int, int, int, int], ...] | None, *, quick: bool
) -> list[AttentionCase | TopkCase]:
    """Return what ``bench comprehensive`` measures: *shapes* alone where they are given."""
    chosen = shapes if shapes is not None else _QUICK_SHAPES if quick else SHAPES
    cases: list[AttentionCase | TopkCase] = [
        AttentionCase(b, h, n, n, d, precision) for precision in PRECISIONS for b, h, n, d in dict.fromkeys(chosen)
    ]
    if shapes is not None:
        return cases
    small = AttentionCase(1, 1, 1, 8, 16, kind="latency", single_thread=True)
    if quick:
        return [*cases, small, TopkCase(300, 300, 32, 10), TopkCase(1, 300, 32, 10)]
    n = _DIMENSION_TOKENS
    cases += [AttentionCase(1, 1, n, n, dim, kind="dimension") for dim in DIMENSIONS]
    cases += [small, *(AttentionCase(1, 1, 1, 10_000, dim, kind="latency") for dim in (64, 768))]
    return [*cases, TopkCase(20_000, 20_000, 256, 10), TopkCase(1, 20_000, 256, 10)]

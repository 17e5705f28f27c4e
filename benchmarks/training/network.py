"""The encoder's network in PyTorch, for training; `pytest_qeattention.encoder` runs what is exported from it.

Sequences are packed one after the other, as the core takes them. Attention alone pads: sequences of like length go
together. Residual branches start at zero and words at their frozen codes, so that an untrained network compares bags of
words.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from pytest_qeattention.encoder.reference import part_codes
from pytest_qeattention.encoder.tokens import KINDS, ROLES, TokenBatch

EPS = 1e-5
# Sequences of these lengths or less are attended together.
BUCKETS = (8, 16, 32, 48, 64, 96, 128, 192, 256, 512, 1024)
# Of the tables' first values. Far below 1, what layers add drowns what tokens bring before anything is learned.
WORD_SCALE = 1.0


@dataclass(frozen=True, slots=True)
class Shape:
    """Hold the sizes of a network."""

    d: int = 192
    heads: int = 3
    layers: int = 2
    ffn: int = 768
    positions: int = 128
    roles: int = len(ROLES)
    kinds: int = len(KINDS)


@dataclass(frozen=True, slots=True)
class Packed:
    """Hold a batch as tensors: n tokens of s sequences, the u distinct parts in it, and where they stand."""

    kinds: Tensor
    lengths: tuple[int, ...]
    sequence: Tensor
    """Sequence of each token, (n,)."""
    position: Tensor
    """Place of each token in its sequence, (n,)."""
    roles: Tensor
    starts: Tensor
    """First part of each token, (n,)."""
    counts: Tensor
    part: Tensor
    """Row of each part in `row` and `codes`, (p,)."""
    row: Tensor
    """Row of each distinct part in the table of words, -1 for an unknown one, (u,)."""
    codes: Tensor
    """Frozen codes of the distinct parts that are unknown, 0 for the others, (u, d)."""

    def to(self, device: torch.device) -> Packed:
        """Return the batch on *device*."""
        moved: dict[str, Any] = {
            name: value.to(device) for name in self.__slots__ if isinstance(value := getattr(self, name), Tensor)
        }
        return replace(self, **moved)


def pack(
    batch: TokenBatch,
    vocabulary: npt.NDArray[np.uint32],
    shape: Shape,
    unknown: float = 0.0,
    rng: np.random.Generator | None = None,
) -> Packed:
    """Turn a batch into tensors; *vocabulary* is ascending.

    The share *unknown* of the known parts, drawn by *rng*, is taken for unknown, as much of another project will be.
    """
    lengths = np.diff(batch.offsets)
    distinct, part = np.unique(batch.parts, return_inverse=True)
    place = np.searchsorted(vocabulary, distinct)
    known = np.zeros(len(distinct), bool)
    inside = place < len(vocabulary)
    known[inside] = vocabulary[place[inside]] == distinct[inside]
    if rng is not None:
        known &= rng.random(len(known)) >= unknown
    codes = np.zeros((len(distinct), shape.d), np.float32)
    codes[~known] = part_codes(distinct[~known], shape.d)
    position = np.arange(len(batch.roles)) - np.repeat(batch.offsets[:-1], lengths)
    return Packed(
        kinds=torch.from_numpy(batch.kinds.astype(np.int64)),
        lengths=tuple(lengths.tolist()),
        sequence=torch.from_numpy(np.repeat(np.arange(len(lengths)), lengths)),
        position=torch.from_numpy(np.minimum(position, shape.positions - 1)),
        roles=torch.from_numpy(batch.roles.astype(np.int64)),
        starts=torch.from_numpy(batch.starts[:-1].copy()),
        counts=torch.from_numpy(np.diff(batch.starts)),
        part=torch.from_numpy(part.astype(np.int64)),
        row=torch.from_numpy(np.where(known, place, -1)),
        codes=torch.from_numpy(codes),
    )


class Norm(nn.Module):
    """Normalise rows, with gain and bias."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(d))
        self.bias = nn.Parameter(torch.zeros(d))

    def forward(self, x: Tensor) -> Tensor:
        return functional.layer_norm(x, (x.shape[-1],), self.gain, self.bias, EPS)


class Layer(nn.Module):
    """Attend within each sequence, then widen and narrow each token; both are added to what came in."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.norm1, self.norm2 = Norm(shape.d), Norm(shape.d)
        self.qkv, self.out = nn.Linear(shape.d, 3 * shape.d), nn.Linear(shape.d, shape.d)
        self.up, self.down = nn.Linear(shape.d, shape.ffn), nn.Linear(shape.ffn, shape.d)
        for linear in (self.qkv, self.up):
            nn.init.normal_(linear.weight, std=1 / math.sqrt(shape.d))
            nn.init.zeros_(linear.bias)
        for linear in (self.out, self.down):
            nn.init.zeros_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(self, x: Tensor, buckets: list[tuple[Tensor, Tensor]]) -> Tensor:
        x = x + self.out(self.attend(self.qkv(self.norm1(x)), buckets))
        hidden: Tensor = x + self.down(functional.gelu(self.up(self.norm2(x)), approximate="tanh"))
        return hidden

    def attend(self, qkv: Tensor, buckets: list[tuple[Tensor, Tensor]]) -> Tensor:
        d = qkv.shape[1] // 3
        result = qkv.new_zeros(len(qkv), d)
        for rows, there in buckets:
            padded = qkv[rows].view(*rows.shape, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
            attended = functional.scaled_dot_product_attention(
                padded[0], padded[1], padded[2], attn_mask=there[:, None, None, :]
            )
            flat = attended.transpose(1, 2).reshape(*rows.shape, d)
            result = result.index_put((rows[there],), flat[there])
        return result


class Encoder(nn.Module):
    """Turn packed token sequences into unit vectors; names of parameters are those of the weight file."""

    def __init__(self, shape: Shape, vocabulary: npt.NDArray[np.uint32]) -> None:
        super().__init__()
        self.shape, self.vocabulary = shape, vocabulary
        self.roles = nn.Parameter(torch.randn(shape.roles, shape.d) * WORD_SCALE)
        self.kinds = nn.Parameter(torch.zeros(shape.kinds, shape.d))
        self.positions = nn.Parameter(torch.zeros(shape.positions, shape.d))
        self.words = nn.Parameter(torch.from_numpy(part_codes(vocabulary, shape.d)) * WORD_SCALE)
        self.code_scale = nn.Parameter(torch.full((1,), WORD_SCALE))
        self.layer = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.final_norm = Norm(shape.d)
        self.pool = nn.Parameter(torch.zeros(shape.d))

    def forward(self, batch: Packed) -> Tensor:
        """Return the vectors of the sequences, float32 (s, d), unit length; zeros for an empty sequence."""
        x = self.embed(batch)
        buckets = list(padded_rows(batch.lengths, x.device)) if self.shape.layers else []
        for layer in self.layer:
            x = layer(x, buckets)
        y = self.final_norm(x)
        s = len(batch.lengths)
        logits = y @ self.pool
        largest = logits.new_full((s,), -torch.inf).scatter_reduce(0, batch.sequence, logits.detach(), "amax")
        weights = torch.exp(logits - largest[batch.sequence])
        total = weights.new_zeros(s).index_add(0, batch.sequence, weights)
        weights = weights / total[batch.sequence]
        pooled = y.new_zeros(s, y.shape[1]).index_add(0, batch.sequence, y * weights[:, None])
        return functional.normalize(pooled, dim=1, eps=1e-12)

    def embed(self, batch: Packed) -> Tensor:
        """Return what the first layer reads, float32 (n, d)."""
        known = batch.row >= 0
        table = torch.where(known[:, None], self.words[batch.row.clamp(min=0)], batch.codes * self.code_scale)
        x = self.roles[batch.roles] + self.kinds[batch.kinds][batch.sequence] + self.positions[batch.position]
        if len(batch.part):
            words = functional.embedding_bag(batch.part, table, batch.starts, mode="sum")
            x = x + words / batch.counts.clamp(min=1).sqrt()[:, None]
        return x


def padded_rows(lengths: tuple[int, ...], device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield for each bucket the tokens of its sequences, padded, and which of them are there; both (b, longest)."""
    every = np.array(lengths)
    first = np.cumsum(every) - every
    bounds = [0, *BUCKETS, max(int(every.max(initial=0)), BUCKETS[-1]) + 1]
    for low, high in pairwise(bounds):
        rows = np.flatnonzero((every > low) & (every <= high))
        if len(rows):
            place = np.arange(every[rows].max())
            there = place[None, :] < every[rows][:, None]
            tokens = np.where(there, first[rows][:, None] + place[None, :], first[rows][:, None])
            yield torch.from_numpy(tokens).to(device), torch.from_numpy(there).to(device)

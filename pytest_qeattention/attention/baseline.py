"""Attention as fast as plain NumPy has it: what a workload's speed-up is measured against.

It multiplies with NumPy's BLAS into buffers that are allocated once, and the softmax is in place; unlike `reference`,
which is the oracle, it lets NaN and infinity do what IEEE says.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_qeattention.attention.arguments import FloatArray

SCORES_PER_STEP = 1 << 20
"""Scores computed at once: small heads share a product, rows of large ones are taken in parts."""


class Baseline:
    """Hold one problem with its buffers, ready to run any number of times.

    q, k and v are (..., n, d) with leading dimensions that broadcast to *batch*, *mask* broadcasts to (*batch, n_q,
    n_k): bool, True attends, or float32, added. All of them are copied here, so that `run` finds them contiguous.
    """

    def __init__(
        self,
        q: FloatArray,
        k: FloatArray,
        v: FloatArray,
        *,
        batch: tuple[int, ...],
        mask: NDArray[Any] | None,
        causal: bool,
        scale: float,
    ) -> None:
        (n_q, d), (n_k, d_v) = q.shape[-2:], v.shape[-2:]
        entries = int(np.prod(batch, dtype=np.int64))
        self._q = _flat(q, (*batch, n_q, d), entries)
        self._keys_t = _flat(k, (*batch, n_k, d), entries).swapaxes(-1, -2)
        self._v = _flat(v, (*batch, n_k, d_v), entries)
        self._scale = np.float32(scale)
        self._excluded: NDArray[Any] | None = None
        self._bias: NDArray[Any] | None = None
        if mask is not None:
            is_shared = all(length == 1 for length in mask.shape[:-2])
            whole = _flat(mask, (1, n_q, n_k) if is_shared else (*batch, n_q, n_k), 1 if is_shared else entries)
            if whole.dtype == np.bool_:
                self._excluded = ~whole
            else:
                self._bias = whole
        if causal:
            later = ~np.tri(n_q, n_k, dtype=np.bool_)
            self._excluded = later[np.newaxis] if self._excluded is None else self._excluded | later
        head = max(1, n_q * n_k)
        self._entries_per_step = max(1, min(entries, SCORES_PER_STEP // head))
        self._rows_per_step = n_q if head <= SCORES_PER_STEP else max(1, SCORES_PER_STEP // n_k)
        self._scaled = np.empty_like(self._q)
        self._scores = np.empty((self._entries_per_step, self._rows_per_step, n_k), dtype=np.float32)
        self.out = np.zeros((entries, n_q, d_v), dtype=np.float32)

    def run(self) -> None:
        """Fill `out` (entries, n_q, d_v)."""
        entries, n_q = self.out.shape[:2]
        if not self._scores.size:
            return
        np.multiply(self._q, self._scale, out=self._scaled)
        with np.errstate(all="ignore"):
            for entry in range(0, entries, self._entries_per_step):
                for row in range(0, n_q, self._rows_per_step):
                    self._step(slice(entry, entry + self._entries_per_step), slice(row, row + self._rows_per_step))

    def _step(self, some: slice, rows: slice) -> None:
        queries, out = self._scaled[some, rows], self.out[some, rows]
        scores = self._scores[: queries.shape[0], : queries.shape[1]]
        np.matmul(queries, self._keys_t[some], out=scores)
        if self._bias is not None:
            scores += _part(self._bias, some, rows)
        if self._excluded is not None:
            np.copyto(scores, -np.inf, where=_part(self._excluded, some, rows))
        top = scores.max(axis=-1, keepdims=True)
        if self._bias is not None or self._excluded is not None:
            top[np.isneginf(top)] = 0
        scores -= top
        np.exp(scores, out=scores)
        np.matmul(scores, self._v[some], out=out)
        total = scores.sum(axis=-1, keepdims=True)
        total[total == 0] = 1
        out /= total


def _flat(array: NDArray[Any], shape: tuple[int, ...], entries: int) -> NDArray[Any]:
    return np.ascontiguousarray(np.broadcast_to(array, shape)).reshape(entries, *shape[-2:])


def _part(mask: NDArray[Any], some: slice, rows: slice) -> NDArray[Any]:
    """Return the rows of some entries, or of the one mask that all entries share."""
    return mask[:, rows] if len(mask) == 1 else mask[some, rows]

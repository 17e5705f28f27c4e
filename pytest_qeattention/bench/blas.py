"""Attention and top-k as well as NumPy with BLAS can, the baseline that is always there.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import ctypes
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_qeattention.bench.machine import available_memory_bytes

_ROWS_PER_BLOCK = 256
_QUERIES_PER_BLOCK = 1024
_COUNTERS = (
    "scipy_openblas_get_num_threads64_",
    "scipy_openblas_get_num_threads",
    "openblas_get_num_threads64_",
    "openblas_get_num_threads",
    "MKL_Get_Max_Threads",
)


class NumpyAttention:
    """Compute softmax(q.kᵀ/sqrt(d)).v into arrays that are allocated once.

    q, k and v are (entries, n, d). The scale goes into the queries and the sum into the result, which are smaller than
    the scores; the softmax is in place. *rows* is None for the scores of all entries at once, 0 for those of one entry
    at a time, else the number of queries at a time.
    """

    def __init__(self, q: NDArray[Any], k: NDArray[Any], v: NDArray[Any], rows: int | None) -> None:
        self._q, self._v, self._rows = q, v, rows
        self._keys_t = k.swapaxes(-1, -2)
        self._scale = np.float32(1 / math.sqrt(q.shape[-1]))
        self._scaled = np.empty_like(q)
        entries, n_q, n_k = len(q), q.shape[1], k.shape[1]
        self._step = n_q if not rows else min(rows, n_q)
        self._scores = np.empty((entries if rows is None else 1, self._step, n_k), dtype=np.float32)
        self.out = np.empty((*q.shape[:-1], v.shape[-1]), dtype=np.float32)

    def run(self) -> NDArray[Any]:
        """Fill and return `out`."""
        np.multiply(self._q, self._scale, out=self._scaled)
        if self._rows is None:
            _attend(self._scaled, self._keys_t, self._v, self._scores, self.out)
            return self.out
        for entry in range(len(self._q)):
            part = slice(entry, entry + 1)
            for first in range(0, self._q.shape[1], self._step):
                some = slice(first, min(first + self._step, self._q.shape[1]))
                queries = self._scaled[part, some]
                scores = self._scores[:, : queries.shape[1]]
                _attend(queries, self._keys_t[part], self._v[part], scores, self.out[part, some])
        return self.out


def _attend(
    queries: NDArray[Any], keys_t: NDArray[Any], values: NDArray[Any], scores: NDArray[Any], out: NDArray[Any]
) -> None:
    np.matmul(queries, keys_t, out=scores)
    scores -= scores.max(axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    np.matmul(scores, values, out=out)
    out /= scores.sum(axis=-1, keepdims=True)


def best_attention(
    q: NDArray[Any], k: NDArray[Any], v: NDArray[Any], *, materialised: bool = False
) -> tuple[NumpyAttention, str]:
    """Return the fastest way on these (entries, n, d) inputs, each way tried three times, and its name.

    With *materialised*, only the ways that store the scores of a head as a whole. Ways that need more than half of the
    memory at hand are not tried.
    """
    room = available_memory_bytes()
    head = 4 * q.shape[1] * k.shape[1]
    candidates: list[tuple[str, int | None, int]] = [("whole", None, head * len(q)), ("per head", 0, head)]
    if not materialised and q.shape[1] > _ROWS_PER_BLOCK:
        candidates.append((f"{_ROWS_PER_BLOCK} rows of a head", _ROWS_PER_BLOCK, 4 * _ROWS_PER_BLOCK * k.shape[1]))
    best: tuple[float, NumpyAttention, str] | None = None
    for name, rows, needs in candidates:
        if room is not None and needs > room // 2:
            continue
        way = NumpyAttention(q, k, v, rows)
        took = _fastest(way.run)
        if best is None or took < best[0]:
            best = (took, way, name)
    if best is None:
        raise MemoryError(f"the scores of one head take {head} bytes, more than half of the memory at hand")
    return best[1], best[2]


def _fastest(call: Callable[[], Any]) -> float:
    call()
    took = []
    for _ in range(3):
        start = time.perf_counter()
        call()
        took.append(time.perf_counter() - start)
    return min(took)


def topk(queries: NDArray[Any], keys: NDArray[Any], k: int) -> NDArray[np.int64]:
    """Return the indices, (queries, k), of the *k* largest dot products, a block of queries at a time."""
    found = np.empty((len(queries), k), dtype=np.int64)
    for first in range(0, len(queries), _QUERIES_PER_BLOCK):
        scores = queries[first : first + _QUERIES_PER_BLOCK] @ keys.T
        chosen = np.argpartition(scores, scores.shape[1] - k, axis=1)[:, -k:]
        order = np.argsort(-np.take_along_axis(scores, chosen, axis=1), axis=1)
        found[first : first + _QUERIES_PER_BLOCK] = np.take_along_axis(chosen, order, axis=1)
    return found


def blas_threads() -> int | None:
    """Return how many threads NumPy's BLAS says it uses; None where it cannot be asked."""
    try:
        mapped = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    files = {line.partition("/")[2] for line in mapped.splitlines() if "blas" in line or "mkl_rt" in line}
    # Other packages bring a BLAS of their own; NumPy's own comes first.
    for file in sorted(files, key=lambda file: ("numpy" not in file, file)):
        try:
            library = ctypes.CDLL(f"/{file}")
        except OSError:
            continue
        for counter in _COUNTERS:
            ask = getattr(library, counter, None)
            if ask is not None:
                return int(ask())
    return None

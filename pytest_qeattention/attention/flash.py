"""Attention: validate, broadcast, hand over to the compiled core or to NumPy.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from pytest_qeattention.attention import arguments, reference
from pytest_qeattention.attention.arguments import FloatArray, IndexArray
from pytest_qeattention.attention.backend import active, threads_for


class Attended(NamedTuple):
    """What one call of attention gave, and what it took."""

    out: FloatArray
    """(..., n_q, d_v) float32"""
    lse: FloatArray
    """(..., n_q) float32: log-sum-exp of each row's scores"""
    threads: int
    """Threads that worked."""
    scratch_bytes: int
    """Working memory beside arguments and results, of all threads together, but for the list of tasks (some 200 bytes
    each); with NumPy that of the scores and weights held."""
    variant: str
    """Kernel variant that ran, or "numpy"."""


@overload
def flash_attention(
    q: FloatArray,
    k: FloatArray,
    v: FloatArray,
    *,
    mask: NDArray[Any] | None = ...,
    causal: bool = ...,
    scale: float | None = ...,
    precision: str = ...,
    num_threads: int | None = ...,
    return_lse: Literal[False] = ...,
    cu_seqlens: NDArray[Any] | None = ...,
    cu_seqlens_k: NDArray[Any] | None = ...,
    query_chunk: int | None = ...,
    key_chunk: int | None = ...,
) -> FloatArray: ...


@overload
def flash_attention(
    q: FloatArray,
    k: FloatArray,
    v: FloatArray,
    *,
    mask: NDArray[Any] | None = ...,
    causal: bool = ...,
    scale: float | None = ...,
    precision: str = ...,
    num_threads: int | None = ...,
    return_lse: Literal[True],
    cu_seqlens: NDArray[Any] | None = ...,
    cu_seqlens_k: NDArray[Any] | None = ...,
    query_chunk: int | None = ...,
    key_chunk: int | None = ...,
) -> tuple[FloatArray, FloatArray]: ...


def flash_attention(
    q: FloatArray,
    k: FloatArray,
    v: FloatArray,
    *,
    mask: NDArray[Any] | None = None,
    causal: bool = False,
    scale: float | None = None,
    precision: str = "float32",
    num_threads: int | None = None,
    return_lse: bool = False,
    cu_seqlens: NDArray[Any] | None = None,
    cu_seqlens_k: NDArray[Any] | None = None,
    query_chunk: int | None = None,
    key_chunk: int | None = None,
) -> FloatArray | tuple[FloatArray, FloatArray]:
    """Compute softmax(q.kᵀ * scale + mask).v without storing the scores.

    q is (..., n_q, d), k (..., n_k, d), v (..., n_k, d_v), all float32; leading dimensions broadcast, and rows may
    lie any distance apart: a transposed view of heads is read in place, and the result is laid out the same way,
    but for small ones. The result is float32 (..., n_q, d_v); with *return_lse* also the log-sum-exp of each row's
    scores, (..., n_q), by which partial results over disjoint keys can be merged.

    *mask* broadcasts to (..., n_q, n_k): bool, True attends; or float32, added to the scores, -inf excludes.
    *causal* lets query i see keys j <= i, counted from the first key whatever n_q and n_k are. *scale* is 1/sqrt(d)
    unless given. *num_threads* is None for what the machine and QE_THREADS allow; the result does not depend on it.

    *precision* "bfloat16" rounds q, k, v and the weights to bfloat16, once each and to nearest even; scores, softmax
    and sums stay float32. On standard normal input the result is within 3e-2 of the exact one. Processors with
    AVX512-BF16 multiply pairs of bfloat16 in one instruction; elsewhere it is emulated and no faster than float32.

    *cu_seqlens* packs sequences of different lengths without padding: integers (sequences + 1,), rising from 0 to n_q;
    rows cu_seqlens[s] up to cu_seqlens[s + 1] attend to the keys of their own sequence only, whose bounds are
    *cu_seqlens_k*, or the same ones where it is not given. *causal* counts within each sequence.

    *query_chunk* is the number of queries in a task and *key_chunk* the number of keys whose scores are held at
    once; larger ones take more scratch memory, except that tiles share theirs where one block holds all keys. None
    chooses by threads and by the cache sizes found; without the compiled core chunks have no effect.

    A row that may see no key is zeros with a log-sum-exp of -inf. NaN in a row's query, or in a key or value that
    it attends to, gives NaN; an excluded key adds nothing, whatever it holds.

    Raises TypeError for a wrong type or dtype and ValueError for a wrong shape or value, naming the argument.

    Online softmax: Milakov and Gimelshein, "Online normalizer calculation for softmax" (2018); tiling: Dao
    et al., "FlashAttention" (2022).
    """
    return_lse = arguments.flag("return_lse", return_lse)
    attended = attend(
        q,
        k,
        v,
        mask=mask,
        causal=causal,
        scale=scale,
        precision=precision,
        num_threads=num_threads,
        cu_seqlens=cu_seqlens,
        cu_seqlens_k=cu_seqlens_k,
        query_chunk=query_chunk,
        key_chunk=key_chunk,
    )
    return (attended.out, attended.lse) if return_lse else attended.out


def attend(
    q: FloatArray,
    k: FloatArray,
    v: FloatArray,
    *,
    mask: NDArray[Any] | None = None,
    causal: bool = False,
    scale: float | None = None,
    precision: str = "float32",
    num_threads: int | None = None,
    cu_seqlens: NDArray[Any] | None = None,
    cu_seqlens_k: NDArray[Any] | None = None,
    query_chunk: int | None = None,
    key_chunk: int | None = None,
) -> Attended:
    """Compute what `flash_attention` does, and tell what it took.

    Arguments and errors are those of `flash_attention`.
    """
    implementation = active()
    core = implementation.core
    threads = arguments.thread_count("num_threads", num_threads)
    plain = mask is None and cu_seqlens is None and cu_seqlens_k is None and query_chunk is None and key_chunk is None
    if plain and core is not None:
        # Most of a small call would be the checks below; this way declines whatever is not plain.
        small = core.attend_small(implementation.variant, q, k, v, causal, scale, precision)
        if small is not None:
            return Attended(small[0], small[1], 1, small[2], implementation.variant)

    q = arguments.float32_array("q", q, "(..., n_q, d)", least=2)
    k = arguments.float32_array("k", k, "(..., n_k, d)", least=2)
    v = arguments.float32_array("v", v, "(..., n_k, d_v)", least=2)
    if k.shape[-1] != q.shape[-1]:
        raise ValueError(f"k has shape {k.shape}, expected (..., n_k, {q.shape[-1]}) to match q {q.shape}")
    if v.shape[-2] != k.shape[-2]:
        raise ValueError(f"v has shape {v.shape}, expected (..., {k.shape[-2]}, d_v) to match k {k.shape}")
    batch = arguments.broadcast_batch(q=q, k=k, v=v)
    n_q, n_k, d, d_v = q.shape[-2], k.shape[-2], q.shape[-1], v.shape[-1]
    mask = arguments.attention_mask(mask, (*batch, n_q, n_k))
    causal = arguments.flag("causal", causal)
    factor = arguments.scale_factor(scale, d)
    bfloat16 = arguments.precision_name(precision) == "bfloat16"
    bounds_q, bounds_k = arguments.sequence_bounds(cu_seqlens, cu_seqlens_k, n_q, n_k)
    query_chunk = arguments.chunk("query_chunk", query_chunk)
    key_chunk = arguments.chunk("key_chunk", key_chunk)

    out = _laid_out_like(q, (*batch, n_q, d_v))
    lse = np.empty((*batch, n_q), dtype=np.float32)
    if not lse.size or not n_k:
        out[...] = 0
        lse[...] = -np.inf
        return Attended(out, lse, 1, 0, implementation.variant)
    if core is None:
        scratch = reference.flash_attention(q, k, v, mask, causal, factor, bfloat16, bounds_q, bounds_k, out, lse)
        return Attended(out, lse, 1, scratch, implementation.variant)
    used, scratch = core.flash_attention(
        implementation.variant,
        arguments.adjacent_rows(q),
        arguments.adjacent_rows(k),
        arguments.adjacent_rows(v),
        None if mask is None else arguments.aligned(_at_least_2d(mask)),
        causal,
        factor,
        bfloat16,
        threads_for(threads, _work(lse.size, n_k, d + d_v, bounds_q)),
        query_chunk or 0,
        key_chunk or 0,
        bounds_q,
        bounds_k,
        out,
        lse,
    )
    return Attended(out, lse, used, scratch, implementation.variant)


def _laid_out_like(q: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """Return an empty array whose heads lie side by side in a row where those of *q* do: merging them is a view."""
    if q.ndim > 2 and len(shape) == q.ndim and 1 < q.shape[-3] == shape[-3] and q.strides[-3] < q.strides[-2]:
        *batch, heads, n_q, d_v = shape
        beside: FloatArray = np.empty((*batch, n_q, heads, d_v), dtype=np.float32).swapaxes(-3, -2)
        return beside
    return np.empty(shape, dtype=np.float32)


def _work(rows: int, n_k: int, width: int, bounds: IndexArray | None) -> int:
    """Return the multiply-adds of a call, of packed sequences on average."""
    return rows * n_k * max(1, width) // (1 if bounds is None else len(bounds) - 1)


def _at_least_2d(mask: NDArray[Any]) -> NDArray[Any]:
    return mask.reshape((1,) * (2 - mask.ndim) + mask.shape) if mask.ndim < 2 else mask

"""The public functions of the core: validate, flatten the batch, hand over to the compiled core or to NumPy.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from pytest_qeattention.attention import arguments, reference
from pytest_qeattention.attention.arguments import FloatArray, IndexArray
from pytest_qeattention.attention.backend import active, forked, thread_limit

# Below this many multiply-adds a second thread costs more than it saves.
TINY_WORK = 1 << 20


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
) -> FloatArray | tuple[FloatArray, FloatArray]:
    """Compute softmax(q.kᵀ * scale + mask).v without storing the scores.

    q is (..., n_q, d), k (..., n_k, d), v (..., n_k, d_v), all float32; leading dimensions broadcast. The
    result is float32 (..., n_q, d_v); with *return_lse* also the log-sum-exp of each row's scores, (...,
    n_q), by which partial results over disjoint keys can be merged.

    *mask* broadcasts to (..., n_q, n_k): bool, True attends; or float32, added to the scores, -inf
    excludes. *causal* lets query i see keys j <= i, counted from the first key whatever n_q and n_k are.
    *scale* is 1/sqrt(d) unless given. *num_threads* is None for what the machine and QE_THREADS allow; the
    result does not depend on it.

    A row that may see no key is zeros with a log-sum-exp of -inf. NaN in a row's query, or in a key or
    value that it attends to, gives NaN; an excluded key adds nothing, whatever it holds.

    Raises TypeError for a wrong type or dtype and ValueError for a wrong shape or value, naming the argument.

    Online softmax: Milakov and Gimelshein, "Online normalizer calculation for softmax" (2018); tiling: Dao
    et al., "FlashAttention" (2022).
    """
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
    return_lse = arguments.flag("return_lse", return_lse)
    factor = arguments.scale_factor(scale, d)
    arguments.precision_name(precision)
    threads = arguments.thread_count("num_threads", num_threads)

    out = np.zeros((*batch, n_q, d_v), dtype=np.float32)
    lse = np.full((*batch, n_q), -np.inf, dtype=np.float32)
    if lse.size and n_k:
        count = lse.size // n_q
        q3, q_of = _flatten(q, batch)
        k3, k_of = _flatten(k, batch)
        v3, v_of = _flatten(v, batch)
        mask3, mask_of = (None, q_of) if mask is None else _flatten(_at_least_2d(mask), batch)
        out3, lse2 = out.reshape(count, n_q, d_v), lse.reshape(count, n_q)
        implementation = active()
        if implementation.core is None:
            reference.flash_attention(q3, q_of, k3, k_of, v3, v_of, mask3, mask_of, causal, factor, out3, lse2)
        else:
            implementation.core.flash_attention(
                implementation.variant,
                q3,
                q_of,
                k3,
                k_of,
                v3,
                v_of,
                None if mask3 is None or mask3.dtype != np.bool_ else mask3.view(np.uint8),
                None if mask3 is None or mask3.dtype == np.bool_ else mask3,
                mask_of,
                causal,
                factor,
                _threads(threads, lse.size * n_k * max(1, d + d_v)),
                out3,
                lse2,
            )
    return (out, lse) if return_lse else out


def topk_similarity(
    queries: FloatArray, keys: FloatArray, k: int, *, num_threads: int | None = None
) -> tuple[FloatArray, IndexArray]:
    """Find the *k* keys of largest dot product with each query, exactly, without storing the scores.

    queries is (m, d) and keys (n, d), both float32 and finite; normalise the rows for cosine similarity.
    Returns scores float32 and indices int64, both (m, min(k, n)), each row by score descending, equal
    scores by lower index. A product that overflows to NaN counts as -inf. The result does not depend on
    *num_threads*.

    Raises TypeError for a wrong type or dtype; ValueError for a wrong shape, for NaN or infinity in queries
    or keys (NaN has no place in an order) and for k < 1.
    """
    queries = arguments.float32_array("queries", queries, "(m, d)", ndim=2)
    keys = arguments.float32_array("keys", keys, "(n, d)", ndim=2)
    if keys.shape[1] != queries.shape[1]:
        raise ValueError(
            f"keys has shape {keys.shape}, expected (n, {queries.shape[1]}) to match queries {queries.shape}"
        )
    k = min(arguments.integer("k", k, least=1), len(keys))
    threads = arguments.thread_count("num_threads", num_threads)
    m, n, d = len(queries), len(keys), queries.shape[1]
    queries, keys = arguments.contiguous(queries), arguments.contiguous(keys)
    implementation = active()
    for name, array in (("queries", queries), ("keys", keys)):
        core = implementation.core
        finite = bool(np.isfinite(array).all()) if core is None else core.all_finite(array)
        if not finite:
            row = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
            raise ValueError(f"{name} holds NaN or infinity, first in row {row}; expected finite numbers")
    scores = np.empty((m, k), dtype=np.float32)
    indices = np.empty((m, k), dtype=np.int64)
    if scores.size:
        if implementation.core is None:
            reference.topk_similarity(queries, keys, scores, indices)
        else:
            implementation.core.topk_similarity(
                implementation.variant, queries, keys, _threads(threads, m * n * max(1, d)), scores, indices
            )
    return scores, indices


def csr_pair_dots(
    indptr: IndexArray,
    indices: NDArray[Any],
    values: FloatArray,
    left: IndexArray,
    right: IndexArray,
    *,
    num_threads: int | None = None,
) -> FloatArray:
    """Compute the dot products of rows left[i] and right[i] of one sparse matrix in CSR form.

    indptr is int64 (rows + 1,), indices int32 or uint32 (nnz,) and strictly increasing within each row,
    values float32 (nnz,), left and right int64 (p,) row numbers. Returns float32 (p,); each sum is taken in
    float64, in column order, so it does not depend on *num_threads*.

    Raises TypeError for a wrong dtype; ValueError for a wrong shape, an indptr that does not describe
    *indices*, columns out of order, or a row number out of range.
    """
    indptr = _vector("indptr", indptr, np.int64)
    indices = _vector("indices", indices, np.uint32, np.int32)
    values = _vector("values", values, np.float32)
    left = _vector("left", left, np.int64)
    right = _vector("right", right, np.int64)
    threads = arguments.thread_count("num_threads", num_threads)
    nnz = len(indices)
    if len(values) != nnz:
        raise ValueError(f"values has {len(values)} entries, expected {nnz} to match indices")
    if not len(indptr) or indptr[0] != 0 or indptr[-1] != nnz or (indptr[1:] < indptr[:-1]).any():
        raise ValueError(f"indptr must rise from 0 to the {nnz} entries of indices, one step per row")
    rows = len(indptr) - 1
    _check_numbers(left, right, rows, "row")
    if indices.dtype == np.int32:
        if nnz and int(indices.min()) < 0:
            raise ValueError("indices holds a negative column number")
        indices = indices.view(np.uint32)
    rises = indices[1:] > indices[:-1]
    inner = indptr[1:-1]
    rises[inner[(inner > 0) & (inner < nnz)] - 1] = True
    if not rises.all():
        at = int(np.flatnonzero(~rises)[0]) + 1
        row = int(np.searchsorted(indptr, at, side="right")) - 1
        raise ValueError(f"indices of row {row} are not strictly increasing")
    out = np.zeros(len(left), dtype=np.float32)
    if nnz and out.size:
        implementation = active()
        if implementation.core is None:
            reference.csr_pair_dots(indptr, indices, values, left, right, out)
        else:
            work = len(left) * (1 + 2 * nnz // rows) * 4
            implementation.core.csr_pair_dots(indptr, indices, values, left, right, _threads(threads, work), out)
    return out


def lcs_lengths(
    tokens: NDArray[np.uint32],
    offsets: IndexArray,
    left: IndexArray,
    right: IndexArray,
    *,
    num_threads: int | None = None,
) -> IndexArray:
    """Compute the lengths of the longest common subsequences of pairs of token sequences.

    Sequence i is tokens[offsets[i]:offsets[i + 1]]; tokens is uint32, offsets int64 (sequences + 1,), left and right
    int64 (p,) sequence numbers. Returns int64 (p,), the same for any *num_threads*. Bit-parallel (Crochemore,
    Iliopoulos, Pinzon and Reid, 2001): one step advances 64 cells of the dynamic programme.

    Raises TypeError for a wrong dtype; ValueError for a wrong shape, offsets that do not describe *tokens*, or a
    sequence number out of range.
    """
    tokens = _vector("tokens", tokens, np.uint32)
    offsets = _vector("offsets", offsets, np.int64)
    left = _vector("left", left, np.int64)
    right = _vector("right", right, np.int64)
    threads = arguments.thread_count("num_threads", num_threads)
    if not len(offsets) or offsets[0] != 0 or offsets[-1] != len(tokens) or (offsets[1:] < offsets[:-1]).any():
        raise ValueError(f"offsets must rise from 0 to the {len(tokens)} entries of tokens, one step per sequence")
    _check_numbers(left, right, len(offsets) - 1, "sequence")
    # Pairs of one left sequence together: it is prepared once for all of them.
    order = np.argsort(left, kind="stable")
    lengths = np.zeros(len(left), dtype=np.int64)
    if len(left):
        implementation = active()
        if implementation.core is None:
            reference.lcs_lengths(tokens, offsets, left[order], right[order], lengths)
        else:
            work = len(left) * (1 + len(tokens) // (len(offsets) - 1)) * 8
            implementation.core.lcs_lengths(
                tokens, offsets, left[order], right[order], _threads(threads, work), lengths
            )
    out = np.empty_like(lengths)
    out[order] = lengths
    return out


def _check_numbers(left: IndexArray, right: IndexArray, count: int, noun: str) -> None:
    if len(left) != len(right):
        raise ValueError(f"right has {len(right)} {noun} numbers, expected {len(left)} to match left")
    for name, numbers in (("left", left), ("right", right)):
        if numbers.size and not 0 <= int(numbers.min()) <= int(numbers.max()) < count:
            raise ValueError(f"{name} holds a {noun} number outside 0..{count - 1}")


def _vector(name: str, value: object, *dtypes: type[np.generic]) -> NDArray[Any]:
    names = " or ".join(np.dtype(dtype).name for dtype in dtypes)
    array = arguments.as_array(name, value, f"a {names} array of one dimension")
    if array.dtype not in [np.dtype(dtype) for dtype in dtypes]:
        raise TypeError(f"{name} has dtype {array.dtype}, expected {names}")
    if array.ndim != 1:
        raise ValueError(f"{name} has shape {array.shape}, expected one dimension")
    return arguments.contiguous(array)


def _threads(asked: int | None, work: int) -> int:
    if asked is not None:
        return 1 if forked() else asked
    return 1 if work < TINY_WORK else thread_limit()


def _at_least_2d(mask: NDArray[Any]) -> NDArray[Any]:
    return mask.reshape((1,) * (2 - mask.ndim) + mask.shape) if mask.ndim < 2 else mask


def _flatten(array: NDArray[Any], batch: tuple[int, ...]) -> tuple[NDArray[Any], IndexArray]:
    """Return *array* as contiguous (entries, n, d) and, per flat position of *batch*, the entry it reads."""
    lead = array.shape[:-2]
    count = int(np.prod(lead, dtype=np.int64))
    entry = np.broadcast_to(np.arange(count, dtype=np.int64).reshape(lead), batch)
    return arguments.contiguous(array).reshape(count, *array.shape[-2:]), np.ascontiguousarray(entry).reshape(-1)

"""The public functions of the core: validate, flatten the batch, hand over to the compiled core or to NumPy.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_qeattention.attention import arguments, reference
from pytest_qeattention.attention.arguments import FloatArray, IndexArray
from pytest_qeattention.attention.backend import active, threads_for
from pytest_qeattention.attention.flash import Attended, attend, flash_attention

__all__ = ["Attended", "attend", "csr_pair_dots", "flash_attention", "lcs_lengths", "topk_similarity"]


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
    core = implementation.core
    scores = np.empty((m, k), dtype=np.float32)
    indices = np.empty((m, k), dtype=np.int64)
    # For few queries a pass over the keys would cost as much as the search; the core tells from the scores.
    few = core is not None and 0 < m <= core.few_queries(implementation.variant) and n > 0
    if not few:
        _check_finite(core, queries=queries, keys=keys)
    if not scores.size:
        return scores, indices
    if core is None:
        reference.topk_similarity(queries, keys, scores, indices)
    elif core.topk_similarity(
        implementation.variant, queries, keys, threads_for(threads, m * n * max(1, d)), scores, indices
    ):
        _check_finite(core, queries=queries, keys=keys)
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
            implementation.core.csr_pair_dots(indptr, indices, values, left, right, threads_for(threads, work), out)
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
                tokens, offsets, left[order], right[order], threads_for(threads, work), lengths
            )
    out = np.empty_like(lengths)
    out[order] = lengths
    return out


def _check_finite(core: Any, **arrays: FloatArray) -> None:
    for name, array in arrays.items():
        finite = bool(np.isfinite(array).all()) if core is None else core.all_finite(array)
        if not finite:
            row = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
            raise ValueError(f"{name} holds NaN or infinity, first in row {row}; expected finite numbers")


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

"""The same functions in NumPy: what runs without a compiled core, and the oracle it is tested against.

Arguments are as `functional` leaves them: validated, contiguous, leading dimensions flattened to one.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_qeattention.attention.arguments import FloatArray, IndexArray

SCORES_PER_TILE = 1 << 20
PAIR_ENTRIES_PER_CHUNK = 1 << 20


def flash_attention(
    q: FloatArray,
    k: FloatArray,
    v: FloatArray,
    mask: NDArray[Any] | None,
    causal: bool,
    scale: float,
    bfloat16: bool,
    bounds_q: IndexArray | None,
    bounds_k: IndexArray | None,
    out: FloatArray,
    lse: FloatArray,
) -> int:
    """Fill *out* (..., n_q, d_v) and *lse* (..., n_q) with softmax(q.kᵀ * scale + mask).v.

    q, k, v and mask broadcast to the leading dimensions of *out*; the bounds are those of packed sequences. Returns
    the most bytes of scores and weights held at once.
    """
    batch, n_q, n_k = out.shape[:-2], q.shape[-2], k.shape[-2]
    if bfloat16:
        q, k, v = round_bfloat16(q), round_bfloat16(k), round_bfloat16(v)
    q, k, v = (np.broadcast_to(array, (*batch, *array.shape[-2:])) for array in (q, k, v))
    if mask is not None:
        mask = np.broadcast_to(mask, (*batch, n_q, n_k))
    sequences = [(0, n_q, 0, n_k)]
    if bounds_q is not None and bounds_k is not None:
        sequences = list(zip(bounds_q[:-1], bounds_q[1:], bounds_k[:-1], bounds_k[1:], strict=True))
    held = 0
    with np.errstate(all="ignore"):
        for entry in np.ndindex(*batch):
            for q_first, q_last, k_first, k_last in sequences:
                keys, values = k[entry][k_first:k_last], v[entry][k_first:k_last]
                rows = max(1, SCORES_PER_TILE // max(1, len(keys)))
                for first in range(q_first, q_last, rows):
                    here = slice(first, min(first + rows, q_last))
                    part = None if mask is None else mask[entry][here, k_first:k_last]
                    scores = _scores(q[entry][here], keys, part, scale, first - q_first if causal else None)
                    held = max(held, 2 * scores.nbytes)
                    _softmax_rows(scores, values, bfloat16, out[entry][here], lse[entry][here])
    return held


def _scores(q: FloatArray, k: FloatArray, mask: NDArray[Any] | None, scale: float, first: int | None) -> FloatArray:
    """Return the scores of some rows; *first* is the number of the first one, for causal masks, or None."""
    scores: NDArray[Any] = (q @ k.T) * np.float32(scale)
    if mask is not None:
        if mask.dtype == np.bool_:
            scores = np.where(mask, scores, -np.inf)
        else:
            scores = np.where(mask == -np.inf, -np.inf, scores + mask)
    if first is not None:
        scores = np.where(np.arange(len(k)) <= np.arange(first, first + len(q))[:, None], scores, -np.inf)
    return np.asarray(scores, dtype=np.float32)


def round_bfloat16(values: FloatArray) -> FloatArray:
    """Round float32 to the nearest bfloat16, ties to even, kept as float32; NaN stays NaN."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    rounded = ((bits + (np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1)))) & np.uint32(0xFFFF0000)).view(
        np.float32
    )
    return np.where(np.isnan(values), values, rounded.reshape(values.shape))


def _softmax_rows(scores: FloatArray, values: FloatArray, bfloat16: bool, out: FloatArray, lse: FloatArray) -> None:
    top = scores.max(axis=1, initial=-np.inf)
    weights = np.exp(scores - np.where(top == -np.inf, np.float32(0), top)[:, None])
    if bfloat16:
        weights = round_bfloat16(weights)
    total = weights.sum(axis=1)
    # A key with weight zero adds nothing, whatever its value holds: IEEE's 0 * NaN would let padding through.
    odd = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if odd.size:
        values = values.copy()
        special = values[odd]
        values[odd] = 0
    summed = weights @ values
    for position, key in enumerate(odd):
        weight = weights[:, key : key + 1]
        summed += np.where(weight == 0, np.float32(0), weight * special[position])
    empty = total == 0
    out[...] = np.where(empty[:, None], np.float32(0), summed / np.where(empty, np.float32(1), total)[:, None])
    lse[...] = np.where(empty, -np.inf, top + np.log(total))


def topk_similarity(queries: FloatArray, keys: FloatArray, scores: FloatArray, indices: IndexArray) -> None:
    """Fill *scores* and *indices* (m, k) with the k largest of queries.keysᵀ per row, 1 <= k <= n.

    Sorted by score descending, ties by lower index; a product that overflows to NaN counts as -inf.
    """
    m, n, k = len(queries), len(keys), scores.shape[1]
    width = min(n, max(4096, 4 * k))
    rows = max(1, SCORES_PER_TILE // width)
    with np.errstate(all="ignore"):
        for first in range(0, m, rows):
            tile = queries[first : first + rows]
            best_scores = np.empty((len(tile), 0), dtype=np.float32)
            best_indices = np.empty((len(tile), 0), dtype=np.int64)
            for start in range(0, n, width):
                block = tile @ keys[start : start + width].T
                block[np.isnan(block)] = -np.inf
                columns = _largest_columns(block, min(k, block.shape[1]))
                # Earlier blocks hold the lower indices, so a stable sort settles ties.
                best_scores = np.concatenate([best_scores, np.take_along_axis(block, columns, axis=1)], axis=1)
                best_indices = np.concatenate([best_indices, columns + start], axis=1)
                order = np.argsort(-best_scores, axis=1, kind="stable")[:, :k]
                best_scores = np.take_along_axis(best_scores, order, axis=1)
                best_indices = np.take_along_axis(best_indices, order, axis=1)
            scores[first : first + rows] = best_scores
            indices[first : first + rows] = best_indices


def _largest_columns(block: FloatArray, k: int) -> IndexArray:
    """Return, per row, the columns of the *k* largest in ascending order; of equal scores the leftmost."""
    rows, width = block.shape
    if k == width:
        return np.broadcast_to(np.arange(width, dtype=np.int64), (rows, width))
    threshold = np.partition(block, width - k, axis=1)[:, width - k, None]
    above = block > threshold
    equal = block == threshold
    room = k - above.sum(axis=1, keepdims=True)
    keep = above | (equal & (np.cumsum(equal, axis=1) <= room))
    return np.nonzero(keep)[1].reshape(rows, k).astype(np.int64, copy=False)


def csr_pair_dots(
    indptr: IndexArray,
    indices: NDArray[Any],
    values: FloatArray,
    left: IndexArray,
    right: IndexArray,
    out: FloatArray,
) -> None:
    """Fill *out* (p,) with the dot products of rows left[i] and right[i] of one CSR matrix, in float64."""
    lengths = np.diff(indptr)
    columns = int(indices.max()) + 1 if indices.size else 1
    entries = np.cumsum(lengths[left] + lengths[right])
    start = 0
    while start < len(left):
        done = int(entries[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(entries, done + PAIR_ENTRIES_PER_CHUNK, side="right")))
        left_at, left_pair = _entries(indptr, lengths, left[start:stop])
        right_at, right_pair = _entries(indptr, lengths, right[start:stop])
        # (pair, column) as one ascending number, so that one binary search merges all pairs at once.
        left_key = left_pair * columns + indices[left_at]
        right_key = right_pair * columns + indices[right_at]
        place = np.searchsorted(right_key, left_key)
        found = place < len(right_key)
        found[found] = right_key[place[found]] == left_key[found]
        with np.errstate(all="ignore"):
            products = values[left_at[found]].astype(np.float64) * values[right_at[place[found]]]
            sums = np.bincount(left_pair[found], weights=products, minlength=stop - start)
            out[start:stop] = sums
        start = stop


def _entries(indptr: IndexArray, lengths: IndexArray, rows: IndexArray) -> tuple[IndexArray, IndexArray]:
    """Return the positions of all entries of *rows*, row after row, and the pair each belongs to."""
    counts = lengths[rows]
    pair = np.repeat(np.arange(len(rows), dtype=np.int64), counts)
    begin = np.repeat(indptr[rows] - (np.cumsum(counts) - counts), counts)
    return begin + np.arange(len(pair), dtype=np.int64), pair


def lcs_lengths(
    tokens: NDArray[np.uint32], offsets: IndexArray, left: IndexArray, right: IndexArray, out: IndexArray
) -> None:
    """Fill *out* (p,) with lengths of longest common subsequences; Python's integers are the bit vectors."""
    sequences: dict[int, list[int]] = {}
    masks: dict[int, int] = {}
    prepared = -1
    for pair, (first, second) in enumerate(zip(left.tolist(), right.tolist(), strict=True)):
        for number in (first, second):
            if number not in sequences:
                sequences[number] = tokens[offsets[number] : offsets[number + 1]].tolist()
        length = len(sequences[first])
        if first != prepared:
            masks = {}
            for place, token in enumerate(sequences[first]):
                masks[token] = masks.get(token, 0) | (1 << place)
            prepared = first
        full = (1 << length) - 1
        row = full
        for token in sequences[second]:
            mask = masks.get(token)
            if mask is not None:
                matched = row & mask
                row = ((row + matched) | (row - matched)) & full
        out[pair] = length - row.bit_count()

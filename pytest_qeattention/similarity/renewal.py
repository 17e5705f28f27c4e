"""Nearest neighbours of all rows, renewed from those of an earlier run when few rows have changed.

The rows are whole numbers whose inner products float32 adds up exactly, so that a score is the same whatever computes
it, and a list of neighbours follows from the rows alone. Each list is kept longer than it is asked for. Of a suite that
has changed, rows that are gone leave the lists, new ones come in where they belong, and a list that has become too
short, or a new row's, is searched for among all rows: the result is that of a whole search.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from difflib import SequenceMatcher
from hashlib import blake2b
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from pytest_qeattention.attention import topk_similarity
from pytest_qeattention.cache import Cache, code_key, key_of

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

# Fewer rows are searched sooner than they are read.
LEAST_ROWS = 2000
# Lists are kept this much longer than they are asked for, so that they stay long enough for a while.
SLACK = 12
# From this share of rows that are new on, all are searched for.
MOST_NEW_SHARE = 1 / 16
# What has changed less than this is not written: the next run starts from the same lists.
UNWRITTEN_SHARE = 1 / 256
_ALIGNED_ROWS = 20_000
_BLOCK_ROWS = 4096
_HEADER = np.dtype("<i8")


@dataclass(frozen=True, slots=True, eq=False)
class Lists:
    """Hold the nearest of each row.

    ``indices`` int32 (n, length) are -1 past the end of a list, ``scores`` int32 (n, length) fall, and equal ones rise
    by index. No row that is not in a list scores more than its ``floor`` int32 (n,); what scores more is all there.
    """

    indices: npt.NDArray[np.int32]
    scores: npt.NDArray[np.int32]
    floor: npt.NDArray[np.int32]


def nearest_rows(rows: FloatArray, file: IntArray, k: int, cache: Cache, *, num_threads: int | None = None) -> IntArray:
    """Return the *k* nearest of each of *rows* among the others, int64 (n, k), by score, then by index.

    *rows* (n, d) are whole numbers from -2**15 on below 2**15, ordered by *file*; k is at most n - 1.
    """
    n = len(rows)
    length = min(k + SLACK, n - 1)
    if not cache.is_on or n < LEAST_ROWS or length < k + SLACK:
        return _searched(rows, np.arange(n), k, num_threads).indices.astype(np.int64)
    key = key_of("search", code_key(), os.getcwd(), k)
    whole = rows.astype("<i2")
    data = cache.read([key]).get(key)
    renewed = None if data is None else _renewed(data, whole, rows, file, k, num_threads)
    if renewed is None:
        lists, changed = _searched(rows, np.arange(n), length, num_threads), n
    else:
        lists, changed = renewed
    if changed > n * UNWRITTEN_SHARE:
        cache.write({key: _packed(whole, file, lists)})
    return lists.indices[:, :k].astype(np.int64)


def _searched(rows: FloatArray, which: IntArray, k: int, num_threads: int | None) -> Lists:
    """Search for the nearest of the rows numbered *which* among all other rows."""
    queries = rows if len(which) == len(rows) else rows[which]
    scores, found = topk_similarity(queries, rows, k + 1, num_threads=num_threads)
    # A row that has k + 1 equals before it is not among its own nearest.
    own = found == which[:, None]
    at = np.where(own.any(axis=1), own.argmax(axis=1), k)
    place = np.arange(k) + (np.arange(k) >= at[:, None])
    kept_scores = np.take_along_axis(scores, place, axis=1).astype(np.int32)
    indices = np.take_along_axis(found, place, axis=1).astype(np.int32)
    return Lists(indices, kept_scores, kept_scores[:, -1].copy())


def _packed(whole: npt.NDArray[np.int16], file: IntArray, lists: Lists) -> bytes:
    header = np.array([*whole.shape, lists.indices.shape[1]], _HEADER)
    starts = np.flatnonzero(np.append(True, file[1:] != file[:-1])).astype("<i4")
    parts = (header, np.array([len(starts)], _HEADER), starts, whole, lists.floor, lists.indices, lists.scores)
    return b"".join(np.ascontiguousarray(part).tobytes() for part in parts)


def _unpacked(data: bytes) -> tuple[IntArray, npt.NDArray[np.int16], Lists] | None:
    """Return where files start, the rows and the lists; None when the sizes do not fit."""
    if len(data) < 32:
        return None
    n, d, length, files = np.frombuffer(data, _HEADER, 4).tolist()
    counts = (files, n * d, n, n * length, n * length)
    sizes = [count * width for count, width in zip(counts, (4, 2, 4, 4, 4), strict=True)]
    if min(n, d, length, files) < 1 or 32 + sum(sizes) != len(data):
        return None
    ends = np.cumsum([32, *sizes]).tolist()
    starts = np.frombuffer(data, "<i4", files, ends[0]).astype(np.int64)
    whole = np.frombuffer(data, "<i2", n * d, ends[1]).reshape(n, d)
    floor = np.frombuffer(data, "<i4", n, ends[2])
    indices = np.frombuffer(data, "<i4", n * length, ends[3]).reshape(n, length)
    scores = np.frombuffer(data, "<i4", n * length, ends[4]).reshape(n, length)
    return starts, whole, Lists(indices, scores, floor)


def _renewed(
    data: bytes, whole: npt.NDArray[np.int16], rows: FloatArray, file: IntArray, k: int, num_threads: int | None
) -> tuple[Lists, int] | None:
    """Return lists for *rows* from what an earlier run kept, and how many rows had to be searched for or have gone.

    None where searching for all of them is as good.
    """
    kept = _unpacked(data)
    if kept is None:
        return None
    old_starts, old_whole, old = kept
    if old_whole.shape[1] != whole.shape[1] or old.indices.shape[1] != k + SLACK:
        return None
    starts = np.flatnonzero(np.append(True, file[1:] != file[:-1]))
    new_of_old = _aligned(old_whole, old_starts, whole, starts)
    if new_of_old is None:
        return None
    n, length = len(rows), k + SLACK
    stays = np.flatnonzero(new_of_old >= 0)
    if not np.array_equal(old_whole[stays], whole[new_of_old[stays]]):
        return None
    is_new = np.ones(n, bool)
    is_new[new_of_old[stays]] = False
    added = np.flatnonzero(is_new)
    if len(added) > n * MOST_NEW_SHARE:
        return None
    lists = Lists(np.full((n, length), -1, np.int32), np.zeros((n, length), np.int32), np.zeros(n, np.int32))
    lists.floor[new_of_old[stays]] = old.floor[stays]
    is_short = is_new.copy()
    for start in range(0, len(stays), _BLOCK_ROWS):
        block = stays[start : start + _BLOCK_ROWS]
        target = new_of_old[block]
        indices = np.where(old.indices[block] >= 0, new_of_old[old.indices[block]], -1)
        scores = old.scores[block]
        floor = old.floor[block, None]
        touched = np.flatnonzero((indices < 0).any(axis=1))
        if len(added):
            # Exact: whole numbers below 2**24.
            more = np.rint(rows[target] @ rows[added].T).astype(np.int32)
            touched = np.union1d(touched, np.flatnonzero((more >= floor).any(axis=1)))
        lists.indices[target], lists.scores[target] = indices, scores
        if len(touched):
            sets = (indices[touched], scores[touched])
            if len(added):
                new = np.broadcast_to(added, (len(touched), len(added)))
                sets = (np.concatenate([sets[0], new], axis=1), np.concatenate([sets[1], more[touched]], axis=1))
            _merge(lists, target[touched], *sets)
            is_short[target[touched]] = lists.indices[target[touched], k - 1] < 0
    short = np.flatnonzero(is_short)
    if len(short) > n * 4 * MOST_NEW_SHARE:
        return None
    if len(short):
        found = _searched(rows, short, length, num_threads)
        lists.indices[short], lists.scores[short], lists.floor[short] = found.indices, found.scores, found.floor
    return lists, len(short) + len(old_whole) - len(stays)


def _merge(lists: Lists, target: IntArray, indices: IntArray, scores: npt.NDArray[np.int32]) -> None:
    """Make the lists of the rows *target* of those entries that are there and score more than their floors."""
    length = lists.indices.shape[1]
    sure = (indices >= 0) & (scores > lists.floor[target][:, None])
    # Best first, equal ones by index, what is not sure last.
    rank = np.where(sure, (2**30 - scores.astype(np.int64)) << 32 | indices, np.iinfo(np.int64).max)
    order = np.argsort(rank, axis=1, kind="stable")[:, :length]
    is_sure = np.take_along_axis(sure, order, axis=1)
    lists.indices[target] = np.where(is_sure, np.take_along_axis(indices, order, axis=1), -1)
    lists.scores[target] = np.where(is_sure, np.take_along_axis(scores, order, axis=1), 0)
    # Where more were sure than a list holds, what was left out bounds it.
    full = sure.sum(axis=1) > length
    lists.floor[target[full]] = lists.scores[target[full], -1]


def _aligned(
    old: npt.NDArray[np.int16], old_starts: IntArray, new: npt.NDArray[np.int16], new_starts: IntArray
) -> IntArray | None:
    """Return for each old row the new row that equals it, rising, and -1 where it has none; None if too much changed.

    Files whose rows are all the same are found first, and rows of the files between them afterwards.
    """
    new_of_old = np.full(len(old), -1)
    old_ends, new_ends = np.append(old_starts, len(old)), np.append(new_starts, len(new))
    matcher = SequenceMatcher(None, _names(old, old_ends), _names(new, new_ends), autojunk=False)
    changed = 0
    for tag, first, last, new_first, new_last in matcher.get_opcodes():
        a, b = int(old_ends[first]), int(old_ends[last])
        c, d = int(new_ends[new_first]), int(new_ends[new_last])
        if tag == "equal":
            new_of_old[a:b] = np.arange(c, d)
            continue
        changed += b - a + d - c
        if changed > min(_ALIGNED_ROWS, len(old) // 2):
            return None
        each_old, each_new = np.arange(a, b + 1), np.arange(c, d + 1)
        rows = SequenceMatcher(None, _names(old, each_old), _names(new, each_new), autojunk=False)
        for at, new_at, size in rows.get_matching_blocks():
            new_of_old[a + at : a + at + size] = np.arange(c + new_at, c + new_at + size)
    return new_of_old


def _names(rows: npt.NDArray[np.int16], ends: IntArray) -> list[bytes]:
    data, width = rows.tobytes(), rows.shape[1] * rows.itemsize
    places = (ends * width).tolist()
    return [blake2b(data[a:b], digest_size=8).digest() for a, b in pairwise(places)]

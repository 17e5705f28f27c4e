"""Weighted features of a suite, and what they say of pairs of its units.

Each unit has three bags (see `describe`). A bag's features weigh ``1 + log(count)`` times their rarity in the suite and
in tests at large (see `background`); each bag is scaled to the same length, so that the inner product of two rows is
the mean of the three cosines. A row's sketch is a signed random projection of it (Charikar, 2002, in the sparse form of
Achlioptas, 2003): inner products of sketches estimate those of rows, which is what makes all-pairs search dense and
fast; the pairs found are scored from the rows themselves.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pytest_qeattention.similarity.background import load_background
from pytest_qeattention.similarity.describe import Description

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

BAGS = ("tokens", "paths", "words")
# 256 dimensions estimate a cosine to about 1/16 (one standard deviation); candidates are re-scored exactly.
SKETCH_DIMENSION = 256
# Each feature touches this many of the dimensions: the estimate's variance hardly depends on it, its cost does.
SKETCH_TOUCHES = 4
# Bags are counted in blocks of this many bytes, since sorting a block takes several times its size.
COUNTED_BYTES = 1 << 23


# Tests at large count as this many tests beside the suite's own. Without them what all tests of a small suite share
# weighs next to nothing: of 50 tests of one shape no two would look alike. Measured on held-out projects
# (benchmarks/quality/similar.py): 0 gives P@1 .937, 100 .944, 300 .943, 1,000 .948; pair AP .877, .880, .880, .881.
BACKGROUND_TESTS = 300
# What one test alone has tells it from all others alike, so that it says less than its rarity: pair AP .880 with a
# factor of 1, .883 with 0.7, .884 with 0.5; recall at precision .8: .42, .46, .48.
UNIQUE_FACTOR = 0.5
# Rarity past this does not count: in a uniform suite of thousands the rare would outweigh all that is shared.
LARGEST_RARITY = 5.0


@dataclass(frozen=True, slots=True)
class Features:
    """Hold the weighted features of n units in compressed rows.

    ``indptr`` int64 (n + 1,), ``indices`` uint32 ascending within each row, ``values`` float32; rows have length 1,
    or 0 for a unit without features. ``keys`` uint64 names each column: the bag's number and the feature's hash.
    """

    indptr: IntArray
    indices: npt.NDArray[np.uint32]
    values: FloatArray
    keys: npt.NDArray[np.uint64]

    @property
    def n_rows(self) -> int:
        return len(self.indptr) - 1


def _counted(bags: Sequence[bytes]) -> tuple[IntArray, npt.NDArray[np.uint32], FloatArray]:
    """Return row, feature and count of the distinct features of each bag, by row and feature."""
    rows: list[IntArray] = []
    features: list[npt.NDArray[np.uint32]] = []
    counts: list[FloatArray] = []
    start = 0
    while start < len(bags):
        stop, size = start, 0
        while stop < len(bags) and (stop == start or size + len(bags[stop]) <= COUNTED_BYTES):
            size += len(bags[stop])
            stop += 1
        lengths = np.fromiter((len(bag) // 4 for bag in bags[start:stop]), np.int64, stop - start)
        keys = np.frombuffer(b"".join(bags[start:stop]), np.uint32).astype(np.uint64)
        keys |= np.repeat(np.arange(start, stop, dtype=np.uint64) << np.uint64(32), lengths)
        keys.sort()
        first = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])) if len(keys) else np.empty(0, np.int64)
        counts.append(np.diff(np.append(first, len(keys))).astype(np.float32))
        keys = keys[first]
        rows.append((keys >> np.uint64(32)).astype(np.int64))
        features.append((keys & np.uint64(0xFFFFFFFF)).astype(np.uint32))
        start = stop
    if not rows:
        return np.empty(0, np.int64), np.empty(0, np.uint32), np.empty(0, np.float32)
    return np.concatenate(rows), np.concatenate(features), np.concatenate(counts)


def _rarity(n: int, frequency: IntArray, share: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the inverse document frequency of features that *frequency* of *n* units and *share* of all tests have."""
    tests = n + BACKGROUND_TESTS
    rarity = np.minimum(np.log((1 + tests) / (1 + frequency + BACKGROUND_TESTS * share)) + 1, LARGEST_RARITY)
    weighted: npt.NDArray[np.float64] = np.where((frequency == 1) & (share == 0), UNIQUE_FACTOR, 1.0) * rarity
    return weighted


def weigh(descriptions: Sequence[Description]) -> Features:
    """Weigh the bags of *descriptions* by the suite they form."""
    n = len(descriptions)
    parts: list[tuple[IntArray, npt.NDArray[np.uint32], FloatArray]] = []
    keys: list[npt.NDArray[np.uint64]] = []
    n_columns = 0
    background = load_background()
    for number, bag in enumerate(BAGS):
        row, feature, count = _counted([getattr(description, bag) for description in descriptions])
        distinct, column = np.unique(feature, return_inverse=True)
        frequency = np.bincount(column, minlength=len(distinct))
        idf = _rarity(n, frequency, background[number].of(distinct))
        weight = (1.0 + np.log(count)) * idf[column].astype(np.float32)
        length = np.sqrt(np.bincount(row, weights=weight.astype(np.float64) ** 2, minlength=n) * len(BAGS))
        scaled: FloatArray = (weight / length[row]).astype(np.float32)
        parts.append((row, (column + n_columns).astype(np.uint32), scaled))
        n_columns += len(distinct)
        keys.append(distinct.astype(np.uint64) | np.uint64(number << 32))
    row = np.concatenate([part[0] for part in parts])
    order = np.argsort(row, kind="stable")
    indptr = np.zeros(n + 1, np.int64)
    np.cumsum(np.bincount(row, minlength=n), out=indptr[1:])
    return Features(
        indptr,
        np.concatenate([part[1] for part in parts])[order],
        np.concatenate([part[2] for part in parts])[order],
        np.concatenate(keys),
    )


def _mixed(keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Scramble *keys* so that every bit depends on all bits (the finaliser of SplitMix64; Steele et al., 2014)."""
    keys = keys + np.uint64(0x9E3779B97F4A7C15)
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: npt.NDArray[np.uint64] = keys ^ (keys >> np.uint64(31))
    return mixed


def sketch(features: Features, dimension: int = SKETCH_DIMENSION) -> FloatArray:
    """Project the rows of *features* to float32 (n, *dimension*), scaled to length 1; rows without features stay 0.

    A feature's place in the projection is a fixed function of the feature, whatever suite it is met in.
    """
    scrambled = _mixed(features.keys)
    # Sixteen bits a touch: the lowest is the sign, the others the place.
    shifts = np.arange(SKETCH_TOUCHES, dtype=np.uint64) * np.uint64(16)
    bits = (scrambled[:, None] >> shifts) & np.uint64(0xFFFF)
    sign = (bits & np.uint64(1)).astype(np.int8) * 2 - 1
    place = ((bits >> np.uint64(1)) % np.uint64(dimension)).astype(np.int32)
    vectors = np.zeros((features.n_rows, dimension), np.float32)
    block = 2048
    for start in range(0, features.n_rows, block):
        stop = min(start + block, features.n_rows)
        low, high = features.indptr[start], features.indptr[stop]
        columns = features.indices[low:high]
        row = np.repeat(np.arange(stop - start), np.diff(features.indptr[start : stop + 1]))
        cell = (row[:, None] * dimension + place[columns]).ravel()
        amount = (features.values[low:high, None] * sign[columns]).ravel()
        vectors[start:stop] = np.bincount(cell, weights=amount, minlength=(stop - start) * dimension).reshape(
            stop - start, dimension
        )
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    np.divide(vectors, length, out=vectors, where=length > 0)
    return vectors


def block_dots(features: Features, rows: IntArray) -> FloatArray:
    """Return all inner products of *rows*, float32 (len(rows), len(rows)), by a dense product over their features."""
    spans = [slice(features.indptr[row], features.indptr[row + 1]) for row in rows]
    columns = np.concatenate([features.indices[span] for span in spans])
    distinct, column = np.unique(columns, return_inverse=True)
    dense = np.zeros((len(rows), len(distinct)), np.float32)
    lengths = np.fromiter((span.stop - span.start for span in spans), np.int64, len(rows))
    dense[np.repeat(np.arange(len(rows)), lengths), column] = np.concatenate([features.values[s] for s in spans])
    dots: FloatArray = dense @ dense.T
    return dots

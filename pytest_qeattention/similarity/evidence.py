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

from pytest_qeattention.attention.features import place_rows, project_rows, sorted_positions, weigh_rows
from pytest_qeattention.similarity.background import load_background
from pytest_qeattention.similarity.describe import Description, bag_counts, bag_features

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

BAGS = ("tokens", "paths", "words")
# 64 dimensions estimate a cosine to about 1/8 (one standard deviation), the closer it is to 1 the better; what a search
# finds with them is scored again exactly.
SKETCH_DIMENSION = 64
SEARCH_SCALE = 2048
# Each feature touches this many of the dimensions: the estimate's variance hardly depends on it, its cost does.
SKETCH_TOUCHES = 4

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
    or 0 for a unit without features. ``usual_values`` are weighed by tests at large alone, so that they depend on
    nothing but the unit. ``keys`` uint64 names each column: the bag's number and the feature's hash.
    """

    indptr: IntArray
    indices: npt.NDArray[np.uint32]
    values: FloatArray
    usual_values: FloatArray
    keys: npt.NDArray[np.uint64]

    @property
    def n_rows(self) -> int:
        return len(self.indptr) - 1


def _counted(bags: Sequence[bytes]) -> tuple[IntArray, npt.NDArray[np.uint32], FloatArray]:
    """Return row, feature and count of the distinct features of each bag, by row and feature."""
    lengths = np.fromiter((len(bag) // 6 for bag in bags), np.int64, len(bags))
    features = np.frombuffer(b"".join(map(bag_features, bags)), np.uint32)
    counts = np.frombuffer(b"".join(map(bag_counts, bags)), np.uint16)
    return np.repeat(np.arange(len(bags)), lengths), features, counts.astype(np.float32)


def _rarity(n: int, frequency: IntArray, share: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the inverse document frequency of features that *frequency* of *n* units and *share* of all tests have."""
    tests = n + BACKGROUND_TESTS
    rarity = np.minimum(np.log((1 + tests) / (1 + frequency + BACKGROUND_TESTS * share)) + 1, LARGEST_RARITY)
    weighted: npt.NDArray[np.float64] = np.where((frequency == 1) & (share == 0), UNIQUE_FACTOR, 1.0) * rarity
    return weighted


def _usual_rarity(share: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the inverse document frequency of features that *share* of all tests at large have."""
    rarity: npt.NDArray[np.float64] = _rarity(0, np.zeros(len(share), np.int64), share)
    return rarity


def weigh(descriptions: Sequence[Description], *, num_threads: int | None = None) -> Features:
    """Weigh the bags of *descriptions* by the suite they form."""
    n, background = len(descriptions), load_background()
    lengths = np.zeros((n, len(BAGS)), np.int64)
    counted = []
    for number, bag in enumerate(BAGS):
        row, feature, count = _counted([getattr(description, bag) for description in descriptions])
        lengths[:, number] = np.bincount(row, minlength=n)
        counted.append((feature, (1.0 + np.log(count)).astype(np.float32)))
        del row, count
    # The bags of a row follow each other.
    bag_ends = _ends(lengths.ravel())
    columns, amounts = np.empty(bag_ends[-1], np.uint32), np.empty(bag_ends[-1], np.float32)
    keys: list[npt.NDArray[np.uint64]] = []
    rarity: list[FloatArray] = []
    usual_rarity: list[FloatArray] = []
    n_columns = 0
    for number, (feature, amount) in enumerate(counted):
        distinct, frequency = _distinct(feature)
        share = background[number].of(distinct)
        place_rows(
            _ends(lengths[:, number]),
            sorted_positions(distinct, feature, num_threads=num_threads),
            amount,
            columns,
            amounts,
            first_column=n_columns,
            starts=bag_ends[number : -1 : len(BAGS)].copy(),
            num_threads=num_threads,
        )
        n_columns += len(distinct)
        keys.append(distinct.astype(np.uint64) | np.uint64(number << 32))
        rarity.append(_rarity(n, frequency, share).astype(np.float32))
        usual_rarity.append(_usual_rarity(share).astype(np.float32))
    values = weigh_rows(bag_ends, columns, amounts, np.concatenate(rarity), 1 / len(BAGS), num_threads=num_threads)
    usual = weigh_rows(bag_ends, columns, amounts, np.concatenate(usual_rarity), 1 / len(BAGS), num_threads=num_threads)
    return Features(bag_ends[:: len(BAGS)].copy(), columns, values, usual, np.concatenate(keys))


def _ends(lengths: IntArray) -> IntArray:
    ends = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=ends[1:])
    return ends


def _distinct(features: npt.NDArray[np.uint32]) -> tuple[npt.NDArray[np.uint32], IntArray]:
    """Return the distinct values of *features*, ascending, and how often each is there."""
    ordered = np.sort(features)
    first = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])) if len(ordered) else np.empty(0, np.int64)
    return ordered[first], np.diff(np.append(first, len(ordered)))


def _mixed(keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Scramble *keys* so that every bit depends on all bits (the finaliser of SplitMix64; Steele et al., 2014)."""
    keys = keys + np.uint64(0x9E3779B97F4A7C15)
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: npt.NDArray[np.uint64] = keys ^ (keys >> np.uint64(31))
    return mixed


def sketch(features: Features, dimension: int = SKETCH_DIMENSION, *, num_threads: int | None = None) -> FloatArray:
    """Project the rows of *features* to float32 (n, *dimension*), of length 1; rows without features stay 0.

    A row's sketch is a function of the unit alone, whatever suite it stands in.
    """
    scrambled = _mixed(features.keys)
    # Sixteen bits a touch: the lowest is the sign, the others the place.
    shifts = np.arange(SKETCH_TOUCHES, dtype=np.uint64) * np.uint64(16)
    bits = (scrambled[:, None] >> shifts).astype(np.uint16)
    touches = ((bits >> np.uint16(1)) % np.uint16(dimension)) * np.uint16(2) + (bits & np.uint16(1))
    vectors = project_rows(
        features.indptr, features.indices, features.usual_values, touches, dimension, num_threads=num_threads
    )
    length = np.sqrt((vectors.astype(np.float64) ** 2).sum(axis=1, keepdims=True))
    np.divide(vectors, length, out=vectors, where=length > 0, casting="same_kind")
    return vectors


def search_rows(features: Features, *, num_threads: int | None = None) -> FloatArray:
    """Return the sketches of all rows, scaled and rounded to whole numbers, float32 (n, SKETCH_DIMENSION).

    Their inner products are whole numbers below 2**24, which float32 adds up exactly in any order: a search gives the
    same scores whatever computes them, and whatever else is searched with them.
    """
    rows: FloatArray = np.rint(sketch(features, num_threads=num_threads) * np.float32(SEARCH_SCALE))
    return rows

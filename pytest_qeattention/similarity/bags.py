"""Bags of hashed features, as a description keeps them: n features in 6 n bytes.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable

# A bag's counts are 16 bits wide: past this a feature is not counted further.
LARGEST_COUNT = 0xFFFF


def pack_bag(features: Iterable[int]) -> bytes:
    """Pack *features*: the distinct ones ascending as native ``uint32``, then their counts as native ``uint16``."""
    counts = sorted(Counter(features).items())
    distinct = array("I", [feature for feature, _ in counts])
    return distinct.tobytes() + array("H", [min(count, LARGEST_COUNT) for _, count in counts]).tobytes()


def bag_features(bag: bytes) -> bytes:
    """Return the distinct features of *bag*, ascending; ``uint32`` bytes."""
    return bag[: len(bag) // 6 * 4]


def bag_counts(bag: bytes) -> bytes:
    """Return how often each of the `bag_features` of *bag* stands; ``uint16`` bytes."""
    return bag[len(bag) // 6 * 4 :]

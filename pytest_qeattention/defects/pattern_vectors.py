"""Patterns as vectors, and how much of a failure's attention each known defect gets.

A vector is the signed hashing (Weinberger et al., 2009) of the features of a pattern, weighed by how rare they are
among the patterns and scaled to length 1. A failure attends to all patterns at once, as one head of attention does:
the softmax of its products with them, of which the nearest are kept, shared out among their defects. What one defect
does again and again adds up.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pytest_qeattention.attention import topk_similarity
from pytest_qeattention.defects.pattern import Pattern
from pytest_qeattention.defects.pattern_index import Feature, PatternIndex, features

DIMENSION = 128
NEAREST = 32
"""Patterns that a failure attends to."""
SHARPNESS = 10.0
"""Of the softmax, which is over cosines."""

FloatArray = npt.NDArray[np.float32]


class PatternVectors:
    """Hold the vectors of the patterns of *index*, float32 (len(patterns), `DIMENSION`)."""

    def __init__(self, index: PatternIndex, patterns: Sequence[Pattern]) -> None:
        self._index = index
        self._places: dict[Feature, tuple[int, float]] = {}
        self.keys = self.of(patterns)
        """Of the patterns, float32 (len(patterns), `DIMENSION`)."""
        self._places.clear()

    def of(self, patterns: Sequence[Pattern]) -> FloatArray:
        """Return the vectors of *patterns*, float32 (len(patterns), `DIMENSION`), each of length 1."""
        out = np.zeros((len(patterns), DIMENSION), np.float32)
        for row, pattern in zip(out, patterns, strict=True):
            for feature in features(pattern):
                place, sign = self._place(feature)
                row[place] += sign * self._index.weight(feature)
        length = np.linalg.norm(out, axis=1, keepdims=True)
        out /= np.where(length > 0.0, length, 1.0)
        return out

    def attended(self, patterns: Sequence[Pattern]) -> list[list[tuple[int, float]]]:
        """Return for each of *patterns* the places of the nearest that are held, and its attention to them, sum 1."""
        if not len(self.keys) or not patterns:
            return [[] for _ in patterns]
        scores, places = topk_similarity(self.of(patterns), self.keys, min(NEAREST, len(self.keys)), num_threads=1)
        weights = np.exp(SHARPNESS * (scores - scores[:, :1]))
        weights /= weights.sum(axis=1, keepdims=True)
        return [
            list(zip(row.tolist(), share.tolist(), strict=True)) for row, share in zip(places, weights, strict=True)
        ]

    def _place(self, feature: Feature) -> tuple[int, float]:
        found = self._places.get(feature)
        if found is None:
            number = zlib.crc32("\0".join(feature).encode("utf-8", "backslashreplace"))
            found = self._places[feature] = (number >> 1) % DIMENSION, 1.0 if number & 1 else -1.0
        return found

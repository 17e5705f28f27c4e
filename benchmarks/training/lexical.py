"""What words alone say of two sequences: the cosine of their bags, rare parts weighing more."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from benchmarks.training.examples import Examples

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]


class Lexical:
    """Compare sequences of one distribution by TF-IDF: ``1 + log(count)`` times rarity among its code."""

    def __init__(self, examples: Examples) -> None:
        sequence = np.repeat(np.arange(len(examples.kinds)), np.diff(examples.bag_offsets))
        self.parts, column = np.unique(examples.bags, return_inverse=True)
        width = max(len(self.parts), 1)
        cells, counts = np.unique(sequence * width + column, return_counts=True)
        row, self._columns = np.divmod(cells, width)
        is_code = examples.kinds[row] == 0
        frequency = np.bincount(self._columns[is_code], minlength=width)
        documents = max(int((examples.kinds == 0).sum()), 1)
        self.rarity = np.log((1 + documents) / (1 + frequency)) + 1
        values = (1 + np.log(counts)) * self.rarity[self._columns]
        length = np.sqrt(np.bincount(row, values**2, minlength=len(examples.kinds)))
        self._values = (values / np.maximum(length, 1e-12)[row]).astype(np.float32)
        self._ends = np.concatenate(([0], np.cumsum(np.bincount(row, minlength=len(examples.kinds)))))

    def cosines(self, left: IntArray, right: IntArray) -> FloatArray:
        """Return the cosine of each of the sequences *left* with each of *right*, float32 (l, r)."""
        both = np.concatenate((left, right))
        lengths = self._ends[both + 1] - self._ends[both]
        places = np.concatenate([np.arange(self._ends[one], self._ends[one + 1]) for one in both.tolist()])
        columns, column = np.unique(self._columns[places], return_inverse=True)
        dense = np.zeros((len(both), len(columns)), np.float32)
        dense[np.repeat(np.arange(len(both)), lengths), column] = self._values[places]
        cosines: FloatArray = dense[: len(left)] @ dense[len(left) :].T
        return cosines

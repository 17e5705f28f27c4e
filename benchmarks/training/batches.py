"""Draw batches of pairs: one distribution and one signal each, neighbours of one file together as hard negatives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.training.examples import SIGNALS, Examples
from benchmarks.training.lexical import Lexical
from pytest_qeattention.encoder.tokens import TokenBatch

# How often each signal is drawn; edited copies are a minority.
SHARES = {
    **{"calls": 0.20, "docstring": 0.27, "name": 0.23, "message": 0.10},
    **{"rows": 0.04, "siblings": 0.05, "copies": 0.11},
}
# Pairs of one file that follow each other stand together in a batch.
RUN = 8
LEAST_PAIRS = 24
# Where both sides are code, a batch has fewer pairs for about the same time.
TOKENS_A_PAIR = 48
# Tests this much alike may say the same: they are no negatives of each other. Only where both sides are tests.
GREY_COSINE = 0.45
ALIKE = frozenset({"rows", "siblings", "copies"})


@dataclass(frozen=True, slots=True, eq=False)
class PairBatch:
    """Hold b pairs and the tokens of their distinct sequences."""

    signal: str
    tokens: TokenBatch
    left: npt.NDArray[np.int64]
    """Sequence of each pair's first member in `tokens`, (b,)."""
    right: npt.NDArray[np.int64]
    lexical: npt.NDArray[np.float32]
    """Cosine of the words of each first member and each second one, (b, b)."""
    masked: npt.NDArray[np.bool_]
    """What is no negative, (b, b); never the diagonal."""


class Source:
    """Hold the examples of one distribution as batches need them."""

    def __init__(self, name: str, examples: Examples) -> None:
        self.name, self.examples, self.lexical = name, examples, Lexical(examples)
        self.pairs: dict[str, npt.NDArray[np.int64]] = {}
        for signal in SIGNALS:
            pairs = examples.of(signal).astype(np.int64)
            # Pairs of one file follow each other; numbers of sequences grow with the place in it.
            self.pairs[signal] = pairs[np.lexsort((pairs[:, 0], pairs[:, 1]))]
        self._width = len(examples.kinds)
        self._known = np.sort(examples.pairs[:, 1].astype(np.int64) * self._width + examples.pairs[:, 2])

    def draw(self, signal: str, size: int, longest: int, rng: np.random.Generator) -> PairBatch:
        """Return up to *size* pairs of *signal*; tokens past *longest* in a sequence are left out."""
        pairs = self.pairs[signal]
        run = min(RUN, len(pairs))
        starts = rng.permutation(len(pairs) // run)[: max(size // run, 1)] * run + rng.integers(run)
        left, right = pairs[(starts[:, None] + np.arange(run)[None, :]).ravel() % len(pairs)].T
        # The same sequence twice would be its own negative; the order, by runs, is kept.
        kept = np.sort(np.unique(self.examples.contents[right], return_index=True)[1])
        lengths = np.minimum(np.diff(self.examples.offsets), longest)
        within = np.cumsum(lengths[left[kept]] + lengths[right[kept]]) <= size * TOKENS_A_PAIR
        return self.batch(signal, left[kept][within], right[kept][within], longest)

    def batch(self, signal: str, left: npt.NDArray[np.int64], right: npt.NDArray[np.int64], longest: int) -> PairBatch:
        """Return the pairs of sequences *left* and *right*."""
        lexical = self.lexical.cosines(left, right)
        contents = self.examples.contents
        masked = contents[left][:, None] == contents[left][None, :]
        masked |= contents[right][:, None] == contents[right][None, :]
        keys = left[:, None] * self._width + right[None, :]
        at = np.minimum(np.searchsorted(self._known, keys), len(self._known) - 1)
        masked |= self._known[at] == keys
        if signal in ALIKE:
            masked |= lexical >= GREY_COSINE
        np.fill_diagonal(masked, False)
        distinct, place = np.unique(np.concatenate((left, right)), return_inverse=True)
        tokens = self.examples.batch(distinct, longest)
        return PairBatch(signal, tokens, place[: len(left)], place[len(left) :], lexical, masked)


class Sampler:
    """Draw batches from several distributions; the same seed and step give the same batch."""

    def __init__(self, sources: Sequence[Source], seed: int, shares: Mapping[str, float] = SHARES) -> None:
        self.seed = seed
        self.choices: list[tuple[str, list[Source], npt.NDArray[np.float64]]] = []
        weights = []
        for signal, share in shares.items():
            having = [source for source in sources if len(source.pairs[signal]) >= LEAST_PAIRS]
            if having and share > 0:
                # Large distributions say much of the same: the square root evens them out.
                amounts = np.sqrt([len(source.pairs[signal]) for source in having])
                self.choices.append((signal, having, amounts / amounts.sum()))
                weights.append(share)
        if not weights:
            raise ValueError(f"no distribution has {LEAST_PAIRS} pairs of one signal; give more sources")
        self.weights = np.array(weights) / np.sum(weights)

    def draw(self, step: int, size: int, longest: int) -> PairBatch:
        """Return the batch of *step*."""
        rng = np.random.default_rng([self.seed, step])
        signal, sources, amounts = self.choices[rng.choice(len(self.choices), p=self.weights)]
        return sources[rng.choice(len(sources), p=amounts)].draw(signal, size, longest, rng)


def frequent_parts(examples: Sequence[Examples], size: int) -> npt.NDArray[np.uint32]:
    """Return the parts that most distributions have, the more frequent first among equals; ascending, at most *size*.

    What only one of several distributions has is left out: it is told apart by its code.
    """
    parts = np.concatenate([np.unique(one.parts) for one in examples])
    amounts = np.concatenate([np.unique(one.parts, return_counts=True)[1] / max(len(one.parts), 1) for one in examples])
    distinct, place, spread = np.unique(parts, return_inverse=True, return_counts=True)
    total = np.bincount(place, amounts, minlength=len(distinct))
    order = np.lexsort((distinct, -total, -spread))
    order = order[spread[order] >= min(2, len(examples))]
    vocabulary: npt.NDArray[np.uint32] = np.sort(distinct[order[:size]])
    return vocabulary

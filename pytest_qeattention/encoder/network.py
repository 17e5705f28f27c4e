"""The encoder's network: sequences of tokens in, unit vectors out, on the compiled core or in NumPy.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pytest_qeattention.attention.arguments import FloatArray, IndexArray, thread_count
from pytest_qeattention.attention.backend import active, threads_for
from pytest_qeattention.encoder import reference
from pytest_qeattention.encoder.parameters import (
    PRECISIONS,
    Architecture,
    Precision,
    described,
    read_layer,
    read_tables,
)

if TYPE_CHECKING:
    from pytest_qeattention.encoder.tokens import TokenBatch

__all__ = ["PRECISIONS", "Architecture", "Network", "Precision"]


class Network:
    """Run a network of one architecture, its weights laid out once for the processor.

    *arrays* are found by name; a matrix is (outputs, inputs). They are float32 or float16, "vocabulary" is uint32, and
    "words" may be int8 with "words.scale". With the compiled core the layers are copied and the tables are used where
    they lie. *precision* is that of the layers' products: "float32"; "bfloat16", which rounds both factors; "int8",
    which rounds the weights to 8 bits with a scale per output and what they are multiplied with to 16 bits with a scale
    per row. Norms, softmax and sums are float32.

    A result depends neither on the number of threads nor on the other sequences of a call, to the last bit. What is NaN
    in the weights is NaN in the results. Raises ValueError for arrays that are missing or do not fit.
    """

    def __init__(
        self, architecture: Architecture, arrays: Mapping[str, NDArray[Any]], *, precision: Precision = "float32"
    ) -> None:
        if precision not in PRECISIONS:
            raise ValueError(f"precision is {precision!r}, available: {', '.join(map(repr, PRECISIONS))}")
        self.architecture = architecture
        self.precision: Precision = precision
        self._tables = read_tables(architecture, arrays) if architecture.roles else None
        layers = (read_layer(architecture, arrays, number) for number in range(architecture.layers))
        implementation = active()
        self._core = implementation.core
        self.variant = implementation.variant
        if self._core is None:
            self._layers: Any = [reference.rounded_weights(layer, precision) for layer in layers]
            return
        self._layers = self._core.EncoderLayers(
            self.variant,
            architecture.d,
            architecture.heads,
            architecture.ffn,
            architecture.eps,
            architecture.norm == "post",
            architecture.activation == "gelu_erf",
            precision,
            list(layers),
        )
        if self._tables is not None:
            tables = self._tables
            self._core_tables = self._core.EncoderTokens(
                *(tables.roles, tables.kinds, tables.positions, tables.vocabulary, tables.words, tables.word_scales),
                *(tables.code_scale, tables.final_gain, tables.final_bias, tables.pool, architecture.eps),
            )

    def hidden(self, x: FloatArray, offsets: IndexArray, *, num_threads: int | None = None) -> FloatArray:
        """Return what the layers make of the vectors *x*, float32 (n, d); the final norm is not among them.

        *offsets* (s + 1,) are integers rising from 0 to n: rows ``offsets[i]:offsets[i + 1]`` are a sequence and attend
        to themselves. Raises ValueError where shapes or types do not fit.
        """
        d = self.architecture.d
        if not isinstance(x, np.ndarray) or x.dtype != np.float32 or x.ndim != 2 or x.shape[1] != d:
            raise ValueError(f"x is {described(x)}, expected float32 of shape (n, {d})")
        bounds = _rising("offsets", offsets, len(x), "rows of x")
        out = np.array(x, np.float32, order="C")
        threads = self._threads(num_threads, len(x), bounds)
        if self._core is None:
            reference.hidden(self.architecture, self._layers, self.precision, out, bounds)
        else:
            self._core.encode_rows(self._layers, out, bounds, threads)
        return out

    def vectors(self, batch: TokenBatch, *, num_threads: int | None = None) -> FloatArray:
        """Return a unit vector for each sequence of *batch*, float32 (s, d); zeros for an empty one.

        Raises ValueError where the arrays of *batch* do not fit each other or the network, or where it has no tables.
        """
        if self._tables is None:
            raise ValueError("this network has no tables of roles and words: it takes vectors, not tokens")
        batch = self._checked(batch)
        threads = self._threads(num_threads, len(batch.roles), batch.offsets)
        if self._core is None:
            return reference.vectors(self.architecture, self._layers, self.precision, self._tables, batch)
        out: FloatArray = np.empty((len(batch.kinds), self.architecture.d), np.float32)
        self._core.encode_tokens(
            self._layers,
            self._core_tables,
            *(batch.kinds, batch.offsets, batch.roles, batch.starts, batch.parts),
            threads,
            out,
        )
        return out

    def multiply_adds(self, lengths: NDArray[np.int64]) -> int:
        """Return the multiply-adds of the products and attention of sequences of so many tokens."""
        d, ffn, layers = self.architecture.d, self.architecture.ffn, self.architecture.layers
        sizes = lengths.astype(np.float64)
        return int(layers * ((4 * d * d + 2 * d * ffn) * sizes.sum() + 2 * d * np.square(sizes).sum()))

    def _threads(self, num_threads: int | None, tokens: int, offsets: IndexArray) -> int:
        asked = thread_count("num_threads", num_threads)
        return threads_for(asked, self.multiply_adds(np.diff(offsets)) if tokens else 0)

    def _checked(self, batch: TokenBatch) -> TokenBatch:
        """Return *batch* with contiguous arrays of the right types, or raise ValueError."""
        from pytest_qeattention.encoder.tokens import TokenBatch

        kinds = _codes("kinds", batch.kinds, np.uint8, self.architecture.kinds)
        roles = _codes("roles", batch.roles, np.uint8, self.architecture.roles)
        parts = _codes("parts", batch.parts, np.uint32, None)
        offsets = _rising("offsets", batch.offsets, len(roles), "tokens")
        starts = _rising("starts", batch.starts, len(parts), "parts")
        for name, bounds, count, noun in (
            ("offsets", offsets, len(kinds), "kinds"),
            ("starts", starts, len(roles), "roles"),
        ):
            if len(bounds) != count + 1:
                raise ValueError(f"{name} has {len(bounds)} entries, expected {count + 1} to match {count} {noun}")
        return TokenBatch(kinds=kinds, offsets=offsets, roles=roles, starts=starts, parts=parts)


def _codes(name: str, value: object, dtype: type[np.generic], count: int | None) -> NDArray[Any]:
    if not isinstance(value, np.ndarray) or value.dtype != dtype or value.ndim != 1:
        raise ValueError(f"{name} is {described(value)}, expected {np.dtype(dtype)} of one dimension")
    if count is not None and value.size and int(value.max()) >= count:
        raise ValueError(f"{name} holds {int(value.max())}, but the network has {count} {name}")
    return np.require(value, dtype, ["C", "A"])


def _rising(name: str, value: object, last: int, noun: str) -> IndexArray:
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "iu" or value.ndim != 1 or not value.size:
        raise ValueError(f"{name} is {described(value)}, expected whole numbers of one dimension, at least one")
    bounds = np.require(value, np.int64, ["C", "A"])
    if bounds[0] != 0 or bounds[-1] != last or (bounds[1:] < bounds[:-1]).any():
        raise ValueError(f"{name} does not rise from 0 to the {last} {noun}")
    return bounds

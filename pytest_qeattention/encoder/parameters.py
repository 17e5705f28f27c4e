"""What a network is made of: its architecture, and its arrays, found by name and checked.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pytest_qeattention.attention.arguments import FloatArray

Precision = Literal["float32", "bfloat16", "int8"]
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16", "int8")
MOST_WIDE = 1 << 16
MOST_LAYERS = 1 << 10


@dataclass(frozen=True, slots=True)
class Architecture:
    """Hold the sizes of a network and which of two families it is of. Raises ValueError for sizes that do not fit."""

    d: int
    """Elements of a token's vector; a multiple of 8."""
    heads: int
    """Heads of each attention, each of ``d / heads`` elements, a multiple of 8."""
    layers: int
    ffn: int
    """Hidden elements of the feed-forward network; a multiple of 8."""
    roles: int = 0
    """Rows of the table of roles; 0 where a network has no tables and takes vectors only."""
    positions: int = 0
    """Rows of the table of positions; tokens after the last share its row."""
    kinds: int = 3
    """Rows of the table of kinds."""
    norm: Literal["pre", "post"] = "pre"
    """``x + f(norm(x))`` or ``norm(x + f(x))``."""
    activation: Literal["gelu_tanh", "gelu_erf"] = "gelu_tanh"
    eps: float = 1e-5
    """Added to the variance in every layer norm."""

    def __post_init__(self) -> None:
        for name, most in (("d", MOST_WIDE), ("ffn", MOST_WIDE), ("heads", MOST_WIDE)):
            _whole(name, getattr(self, name), 1, most)
        _whole("layers", self.layers, 0, MOST_LAYERS)
        for name in ("roles", "positions", "kinds"):
            _whole(name, getattr(self, name), 0, 1 << 24)
        for name, width in (("d", self.d), ("ffn", self.ffn)):
            if width % 8:
                raise ValueError(f"{name} is {width}, expected a multiple of 8")
        if self.d % (8 * self.heads):
            raise ValueError(f"{self.heads} heads do not divide d = {self.d} into multiples of 8")
        if self.roles and not (self.positions and self.kinds):
            raise ValueError("a network with roles needs positions and kinds")
        if self.norm not in ("pre", "post"):
            raise ValueError(f"norm is {self.norm!r}, available: 'pre', 'post'")
        if self.activation not in ("gelu_tanh", "gelu_erf"):
            raise ValueError(f"activation is {self.activation!r}, available: 'gelu_tanh', 'gelu_erf'")
        if isinstance(self.eps, bool) or not isinstance(self.eps, (int, float)):
            raise ValueError(f"eps is {self.eps!r}, expected a number")
        if not 0 <= self.eps < math.inf:
            raise ValueError(f"eps is {self.eps}, expected a finite number of at least 0")


def described(value: object) -> str:
    """Say of what type an argument is, of an array of which elements and shape."""
    return f"{value.dtype} of shape {value.shape}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"


def _whole(name: str, value: object, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{name} is {value!r}, expected a whole number from {least} to {most}")


class Layer(NamedTuple):
    """Hold one layer's arrays, float32 and contiguous, in the order in which the compiled core takes them."""

    norm1_gain: FloatArray
    norm1_bias: FloatArray
    qkv_weight: FloatArray
    """(3 d, d): the heads of the queries, then of the keys, then of the values."""
    qkv_bias: FloatArray
    out_weight: FloatArray
    out_bias: FloatArray
    norm2_gain: FloatArray
    norm2_bias: FloatArray
    up_weight: FloatArray
    up_bias: FloatArray
    down_weight: FloatArray
    down_bias: FloatArray


class Tables(NamedTuple):
    """Hold what gives tokens their first vectors, and what makes one vector of a sequence's."""

    roles: FloatArray
    kinds: FloatArray
    positions: FloatArray
    vocabulary: NDArray[np.uint32]
    """Hashes of the known parts, (V,), rising strictly."""
    words: NDArray[Any]
    """Rows of the known parts, (V, d), float32; or int8 with *word_scales*."""
    word_scales: FloatArray | None
    """What a one of each row of int8 stands for, (V,)."""
    code_scale: float
    """Size of each element of the random code of an unknown part."""
    final_gain: FloatArray
    final_bias: FloatArray
    pool: FloatArray
    """(d,): its product with a token's last vector is the token's logit."""


def layer_shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    """Return the shape of each array of a layer by its name, in the order of `Layer`."""
    d, ffn = architecture.d, architecture.ffn
    return {
        "norm1.gain": (d,),
        "norm1.bias": (d,),
        "qkv.weight": (3 * d, d),
        "qkv.bias": (3 * d,),
        "out.weight": (d, d),
        "out.bias": (d,),
        "norm2.gain": (d,),
        "norm2.bias": (d,),
        "up.weight": (ffn, d),
        "up.bias": (ffn,),
        "down.weight": (d, ffn),
        "down.bias": (d,),
    }


def read_layer(architecture: Architecture, arrays: Mapping[str, NDArray[Any]], number: int) -> Layer:
    """Return one layer's arrays. Raises ValueError where one is missing or has another shape or type."""
    shapes = layer_shapes(architecture)
    return Layer(*(_floats(arrays, f"layer.{number}.{name}", shape) for name, shape in shapes.items()))


def read_tables(architecture: Architecture, arrays: Mapping[str, NDArray[Any]]) -> Tables:
    """Return the tables of a network that has some. Raises ValueError where they do not fit."""
    d = architecture.d
    vocabulary = _array(arrays, "vocabulary")
    if vocabulary.dtype != np.uint32 or vocabulary.ndim != 1:
        raise ValueError(f"vocabulary is {described(vocabulary)}, expected uint32 (V,)")
    vocabulary = np.require(vocabulary, np.uint32, ["C", "A"])
    if (vocabulary[1:] <= vocabulary[:-1]).any():
        raise ValueError("vocabulary does not rise strictly, so no part can be looked up in it")
    rows = (len(vocabulary), d)
    words, scales = _array(arrays, "words"), None
    if words.dtype == np.int8:
        if words.shape != rows:
            raise ValueError(f"words is {described(words)}, expected shape {rows} to match vocabulary and d")
        words, scales = np.require(words, np.int8, ["C"]), _floats(arrays, "words.scale", rows[:1])
    else:
        words = _floats(arrays, "words", rows)
    return Tables(
        roles=_floats(arrays, "roles", (architecture.roles, d)),
        kinds=_floats(arrays, "kinds", (architecture.kinds, d)),
        positions=_floats(arrays, "positions", (architecture.positions, d)),
        vocabulary=vocabulary,
        words=words,
        word_scales=scales,
        code_scale=float(_floats(arrays, "code_scale", (1,))[0]),
        final_gain=_floats(arrays, "final_norm.gain", (d,)),
        final_bias=_floats(arrays, "final_norm.bias", (d,)),
        pool=_floats(arrays, "pool", (d,)),
    )


def _array(arrays: Mapping[str, NDArray[Any]], name: str) -> NDArray[Any]:
    array = arrays.get(name)
    if array is None:
        raise ValueError(f"the array {name!r} is missing; the network cannot run without it")
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{name} is {described(array)}, expected a numpy array")
    return array


def _floats(arrays: Mapping[str, NDArray[Any]], name: str, shape: tuple[int, ...]) -> FloatArray:
    """Return an array as contiguous native float32: itself where it is, else a copy; float16 is widened."""
    array = _array(arrays, name)
    if array.dtype.kind != "f" or array.dtype.itemsize > 4 or array.shape != shape:
        raise ValueError(f"{name} is {described(array)}, expected float32 or float16 of shape {shape}")
    return np.require(array, np.float32, ["C", "A"])

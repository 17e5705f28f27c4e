"""The network in NumPy: what runs without a compiled core, and the twin that the core is tested against.

Sequences are computed one by one, so that none depends on another. In precision int8 the weights are those that the
core multiplies with; it also rounds what they are multiplied with, to 16 bits, which is not repeated here.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pytest_qeattention.attention.arguments import FloatArray, IndexArray
from pytest_qeattention.attention.reference import flash_attention, round_bfloat16
from pytest_qeattention.encoder.parameters import Architecture, Layer, Precision, Tables

if TYPE_CHECKING:
    from pytest_qeattention.encoder.tokens import TokenBatch

MOST_BYTE = 127


def rounded_weights(layer: Layer, precision: Precision) -> Layer:
    """Return a layer whose matrices hold what *precision* leaves of them."""
    if precision == "float32":
        return layer
    rounded = round_bfloat16 if precision == "bfloat16" else _rounded_to_bytes
    return Layer(*(rounded(array) if array.ndim == 2 else array for array in layer))


def _rounded_to_bytes(weight: FloatArray) -> FloatArray:
    """Return what is left of a matrix (outputs, inputs) in whole numbers up to 127 with a scale per output."""
    with np.errstate(all="ignore"):
        scale = np.abs(weight).max(axis=1, keepdims=True) / np.float32(MOST_BYTE)
        whole = np.rint(weight / np.where(scale > 0, scale, np.float32(1)))
        return np.asarray(whole * scale, dtype=np.float32)


def hidden(
    architecture: Architecture, layers: list[Layer], precision: Precision, x: FloatArray, offsets: IndexArray
) -> None:
    """Run the layers, of rounded weights, over *x* (n, d) in place; rows offsets[i]:offsets[i + 1] are a sequence."""
    with np.errstate(all="ignore"):
        for first, last in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
            if first < last:
                x[first:last] = _sequence(architecture, layers, precision, x[first:last])


def vectors(
    architecture: Architecture, layers: list[Layer], precision: Precision, tables: Tables, batch: TokenBatch
) -> FloatArray:
    """Return the unit vectors (s, d) of the sequences of *batch*; zeros for an empty one."""
    out = np.zeros((len(batch.kinds), architecture.d), np.float32)
    with np.errstate(all="ignore"):
        for number in range(len(out)):
            if batch.offsets[number] < batch.offsets[number + 1]:
                x = _sequence(architecture, layers, precision, embedded(tables, batch, number))
                out[number] = _pooled(architecture, tables, x)
    return out


def _sequence(architecture: Architecture, layers: list[Layer], precision: Precision, x: FloatArray) -> FloatArray:
    gelu, eps = (_gelu_erf if architecture.activation == "gelu_erf" else _gelu_tanh), architecture.eps
    bfloat16, heads = precision == "bfloat16", architecture.heads

    def product(inputs: FloatArray, weight: FloatArray, bias: FloatArray) -> FloatArray:
        outputs: FloatArray = (round_bfloat16(inputs) if bfloat16 else inputs) @ weight.T + bias
        return outputs

    for layer in layers:
        attended = x if architecture.norm == "post" else layer_norm(x, layer.norm1_gain, layer.norm1_bias, eps)
        qkv = product(attended, layer.qkv_weight, layer.qkv_bias)
        x = x + product(_attention(qkv, heads, bfloat16), layer.out_weight, layer.out_bias)
        if architecture.norm == "post":
            x = layer_norm(x, layer.norm1_gain, layer.norm1_bias, eps)
        inputs = x if architecture.norm == "post" else layer_norm(x, layer.norm2_gain, layer.norm2_bias, eps)
        inner = gelu(product(inputs, layer.up_weight, layer.up_bias))
        x = x + product(inner, layer.down_weight, layer.down_bias)
        if architecture.norm == "post":
            x = layer_norm(x, layer.norm2_gain, layer.norm2_bias, eps)
    return x


def _attention(qkv: FloatArray, heads: int, bfloat16: bool) -> FloatArray:
    n, width = len(qkv), qkv.shape[1] // (3 * heads)
    q, k, v = np.moveaxis(qkv.reshape(n, 3, heads, width), 0, 2)
    out, lse = np.empty((heads, n, width), np.float32), np.empty((heads, n), np.float32)
    flash_attention(q, k, v, None, False, 1 / math.sqrt(width), bfloat16, None, None, out, lse)
    return np.moveaxis(out, 0, 1).reshape(n, heads * width)


def layer_norm(x: FloatArray, gain: FloatArray, bias: FloatArray, eps: float) -> FloatArray:
    """Return *x* (n, d) with mean 0 and variance 1 in each row, times *gain* plus *bias*."""
    centred = x - x.mean(axis=1, keepdims=True)
    variance = np.square(centred).mean(axis=1, keepdims=True)
    normed: FloatArray = centred / np.sqrt(variance + np.float32(eps)) * gain + bias
    return normed


def _gelu_tanh(x: FloatArray) -> FloatArray:
    inner = np.float32(math.sqrt(2 / math.pi)) * (x + np.float32(0.044715) * x * x * x)
    gelu: FloatArray = np.float32(0.5) * x * (1 + np.tanh(inner))
    return gelu


def _gelu_erf(x: FloatArray) -> FloatArray:
    """Return x times the normal distribution function (Abramowitz and Stegun, Handbook, 7.1.26: erf to 1.5e-7)."""
    z = np.abs(x) / math.sqrt(2)
    t = 1 / (1 + 0.3275911 * z)
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    tail = 0.5 * series * np.exp(-z * z)
    return np.asarray(x * np.where(x >= 0, 1 - tail, tail), dtype=np.float32)


def embedded(tables: Tables, batch: TokenBatch, number: int) -> FloatArray:
    """Return the first vectors (n, d) of the tokens of one sequence."""
    first, last = int(batch.offsets[number]), int(batch.offsets[number + 1])
    starts = batch.starts[first : last + 1]
    counts = np.diff(starts)
    parts = batch.parts[starts[0] : starts[-1]]
    summed = np.zeros((last - first, tables.roles.shape[1]), np.float32)
    np.add.at(summed, np.repeat(np.arange(last - first), counts), _part_rows(tables, parts))
    place = np.minimum(np.arange(last - first), len(tables.positions) - 1)
    x: FloatArray = tables.roles[batch.roles[first:last]] + tables.kinds[batch.kinds[number]] + tables.positions[place]
    x += summed / np.sqrt(np.maximum(counts, 1).astype(np.float32))[:, None]
    return x


def _part_rows(tables: Tables, parts: NDArray[np.uint32]) -> FloatArray:
    """Return the rows (p, d) of parts: those of known ones, and the random codes of unknown ones."""
    d = tables.roles.shape[1]
    rows = np.empty((len(parts), d), np.float32)
    place = np.searchsorted(tables.vocabulary, parts)
    known = place < len(tables.vocabulary)
    known[known] = tables.vocabulary[place[known]] == parts[known]
    words: NDArray[Any] = tables.words[place[known]]
    rows[known] = words if tables.word_scales is None else words * tables.word_scales[place[known], None]
    rows[~known] = part_codes(parts[~known], d) * np.float32(tables.code_scale)
    return rows


def part_codes(parts: NDArray[np.uint32], d: int) -> FloatArray:
    """Return the random signs (p, d) of parts: bits of the stream of splitmix64 (Steele, Lea and Flood 2014)."""
    blocks = np.arange(1, (d + 63) // 64 + 1, dtype=np.uint64)
    z = parts.astype(np.uint64)[:, None] + blocks * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    bits = (z[:, :, None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)
    signs: FloatArray = bits.reshape(len(parts), 64 * len(blocks))[:, :d].astype(np.float32) * 2 - 1
    return signs


def _pooled(architecture: Architecture, tables: Tables, x: FloatArray) -> FloatArray:
    y = layer_norm(x, tables.final_gain, tables.final_bias, architecture.eps)
    logits = y @ tables.pool
    weights = np.exp(logits - logits.max())
    mean = (weights / weights.sum()) @ y
    return np.asarray(mean / np.maximum(np.linalg.norm(mean), np.float32(1e-12)), dtype=np.float32)

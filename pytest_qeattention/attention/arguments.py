"""Validation of what callers pass in: after it, the core's preconditions hold.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float32]
IndexArray: TypeAlias = NDArray[np.int64]

PRECISIONS = ("float32", "bfloat16")
MAX_THREADS = 1024


def as_array(name: str, value: object, expected: str) -> NDArray[Any]:
    """Return *value* as a plain ndarray, without copying; TypeError for anything that is not an array."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array, whose mask would be lost; expected {expected}")
    if isinstance(value, np.ndarray):
        return np.asarray(value)
    if hasattr(value, "__array__") or hasattr(value, "__array_interface__"):
        return np.asarray(value)
    raise TypeError(f"{name} must be {expected}, not {type(value).__name__}")


def float32_array(name: str, value: object, shape: str, *, ndim: int | None = None, least: int = 1) -> FloatArray:
    """Return *value* as an aligned float32 array of *ndim* (or at least *least*) dimensions."""
    expected = f"a float32 array {shape}"
    array = as_array(name, value, expected)
    if array.dtype != np.float32:
        raise TypeError(
            f"{name} has dtype {array.dtype}, expected float32; convert it with {name}.astype(numpy.float32)"
        )
    if (ndim is not None and array.ndim != ndim) or array.ndim < least:
        raise ValueError(f"{name} has shape {array.shape}, expected {expected}")
    return array


def contiguous(array: NDArray[Any]) -> NDArray[Any]:
    """Return *array* itself where it is C-contiguous, aligned and native; else one copy that is."""
    return np.require(array, dtype=array.dtype.newbyteorder("="), requirements=["C", "A"])


def aligned(array: NDArray[Any]) -> NDArray[Any]:
    """Return *array* itself where its elements are native and lie whole elements apart; else one copy."""
    size = array.dtype.itemsize
    if array.flags.aligned and array.dtype.isnative and all(stride % size == 0 for stride in array.strides):
        return array
    return contiguous(array)


def adjacent_rows(array: NDArray[Any]) -> NDArray[Any]:
    """Return *array* (..., n, d) itself where the elements of a row are neighbours in memory; else one copy."""
    array = aligned(array)
    if array.shape[-1] > 1 and array.strides[-1] != array.dtype.itemsize:
        return contiguous(array)
    return array


def chunk(name: str, value: object) -> int | None:
    """Return a chunk size of at least 1 that an array could have, or None for "decide by the machine"."""
    return None if value is None else min(integer(name, value, least=1), sys.maxsize)


def sequence_bounds(
    bounds: object, bounds_k: object, n_q: int, n_k: int
) -> tuple[IndexArray, IndexArray] | tuple[None, None]:
    """Return the bounds of packed sequences among queries and keys as int64, or None twice."""
    if bounds is None:
        if bounds_k is not None:
            raise ValueError("cu_seqlens_k is given without cu_seqlens; give both, or cu_seqlens alone")
        return None, None
    rows = _bounds("cu_seqlens", bounds, n_q, "n_q")
    keys = _bounds("cu_seqlens_k", bounds_k, n_k, "n_k") if bounds_k is not None else rows
    if bounds_k is None and n_k != n_q:
        raise ValueError(f"cu_seqlens bounds {n_q} queries, but there are {n_k} keys; give cu_seqlens_k as well")
    if len(rows) != len(keys):
        raise ValueError(
            f"cu_seqlens bounds {len(rows) - 1} sequences and cu_seqlens_k {len(keys) - 1}; expected as many"
        )
    return rows, keys


def _bounds(name: str, value: object, count: int, noun: str) -> IndexArray:
    expected = f"an integer array (sequences + 1,) rising from 0 to {noun} = {count}"
    array = as_array(name, np.asarray(value) if isinstance(value, (list, tuple)) else value, expected)
    if array.ndim != 1 or len(array) < 2:
        raise ValueError(f"{name} has shape {array.shape}, expected {expected}")
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} has dtype {array.dtype}, expected {expected}")
    bounds = np.ascontiguousarray(array, dtype=np.int64)
    if bounds[0] != 0 or bounds[-1] != count or (bounds[1:] < bounds[:-1]).any():
        raise ValueError(f"{name} does not rise from 0 to {noun} = {count}, so it bounds no sequences; {expected}")
    return bounds


def integer(name: str, value: object, *, least: int) -> int:
    """Return *value* as an int of at least *least*; bool and float are not counts."""
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be an integer, not bool")
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name} must be an integer, not {type(value).__name__}") from None
    if number < least:
        raise ValueError(f"{name} is {number}, expected at least {least}")
    return number


def thread_count(name: str, value: object) -> int | None:
    """Return a thread count between 1 and MAX_THREADS, or None for "decide by the machine"."""
    return None if value is None else min(integer(name, value, least=1), MAX_THREADS)


def flag(name: str, value: object) -> bool:
    """Return *value* as a bool; TypeError for anything else, arrays included."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, not {type(value).__name__}")
    return bool(value)


def scale_factor(value: object, d: int) -> float:
    """Return the factor on the scores: *value*, or ``1/sqrt(d)`` for None."""
    if value is None:
        return 1.0 / math.sqrt(d) if d else 1.0
    if isinstance(value, (bool, np.bool_, str, bytes)):
        raise TypeError(f"scale must be a number or None, not {type(value).__name__}")
    try:
        factor = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"scale must be a number or None, not {type(value).__name__}") from None
    if not math.isfinite(factor) or abs(factor) > float(np.finfo(np.float32).max):
        raise ValueError(f"scale is {factor}, expected a finite float32 number")
    return factor


def precision_name(value: object) -> str:
    """Return *value* if it names a precision that exists."""
    if not isinstance(value, str) or value not in PRECISIONS:
        raise ValueError(f"precision is {value!r}, available: {', '.join(map(repr, PRECISIONS))}")
    return value


def broadcast_batch(**arrays: NDArray[Any]) -> tuple[int, ...]:
    """Return the common leading shape of the named (..., n, d) arrays."""
    try:
        return np.broadcast_shapes(*(array.shape[:-2] for array in arrays.values()))
    except ValueError:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise ValueError(f"leading dimensions do not broadcast: {shapes}") from None


def attention_mask(mask: object, scores: Sequence[int]) -> NDArray[Any] | None:
    """Return *mask* as a bool or float32 array that broadcasts to *scores* = (..., n_q, n_k), or None."""
    if mask is None:
        return None
    expected = "a bool (True attends) or float32 (added to the scores) array broadcastable to (..., n_q, n_k)"
    array = as_array("mask", mask, expected)
    if array.dtype != np.bool_ and array.dtype != np.float32:
        raise TypeError(f"mask has dtype {array.dtype}, expected {expected}")
    try:
        fits = np.broadcast_shapes(array.shape, tuple(scores)) == tuple(scores)
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"mask has shape {array.shape}, expected one that broadcasts to {tuple(scores)}")
    return array

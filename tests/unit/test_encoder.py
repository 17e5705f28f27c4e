"""Vectors of functions and texts, by an encoder of random weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from drawn_weights import drawn_arrays

from pytest_qeattention.cache import Cache
from pytest_qeattention.encoder.encoder import Encoder
from pytest_qeattention.encoder.parameters import Architecture
from pytest_qeattention.encoder.shipped import TokenBackend
from pytest_qeattention.encoder.tokens import ROLES, Kind, TokenSequence, hashed_part, pieces, word_tokens
from pytest_qeattention.encoder.weights import WeightsError, write_weights

D, POSITIONS = 16, 8
ARCHITECTURE = {"d": D, "heads": 2, "layers": 1, "ffn": 32, "roles": len(ROLES), "positions": POSITIONS, "kinds": 3}
WORDS = ("get", "client", "status")
ONE = "def test_one(client):\n    got = client.get('/a')\n    assert got.status == 200\n"
OTHER = "async def test_other():\n    with pytest.raises(ValueError):\n        await parse('x y')\n"


def write(path: Path, architecture: Mapping[str, int] = ARCHITECTURE, seed: int = 0) -> str:
    arrays = drawn_arrays(Architecture(**ARCHITECTURE), words=len(WORDS), seed=seed)
    arrays["vocabulary"] = np.sort(np.array([hashed_part(word) for word in WORDS], np.uint32))
    return write_weights(path, "random", architecture, arrays, {})


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    write(tmp_path / "random.bin")
    return tmp_path / "random.bin"


def test_functions_and_texts_become_vectors_of_length_one(weights: Path) -> None:
    encoder = Encoder(weights)
    functions, texts = encoder.functions([ONE, OTHER]), encoder.texts(["what is down", "status"])
    failures = encoder.failures(["status"])
    assert (encoder.dimension, encoder.longest) == (D, POSITIONS)
    for vectors, count in ((functions, 2), (texts, 2), (failures, 1)):
        assert (vectors.shape, vectors.dtype) == ((count, D), np.float32)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
    # The same words of another kind are something else.
    assert abs(failures[0] @ texts[1]) < 0.999
    assert encoder.functions([]).shape == (0, D)


def test_a_vector_depends_on_what_is_encoded_alone(weights: Path) -> None:
    encoder = Encoder(weights)
    together = encoder.functions([ONE, OTHER, ONE])
    np.testing.assert_array_equal(together[0], together[2])
    np.testing.assert_array_equal(together[1:2], encoder.functions([OTHER]))
    renamed = ONE.replace("got", "answer").replace("test_one", "test_two").replace("'/a'", "'/a' ")
    np.testing.assert_array_equal(together[:1], encoder.functions([renamed]))
    indented = "".join(f"    {line}\n" for line in ONE.splitlines())
    np.testing.assert_array_equal(together[:1], encoder.functions([indented]))


def test_kept_vectors_equal_computed_ones(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Encoder(weights).functions([ONE, OTHER])
    first = Encoder(weights, cache_dir=tmp_path / "cache").functions([ONE])
    again = Encoder(weights, cache_dir=tmp_path / "cache")
    computed: list[int] = []
    compute = TokenBackend.compute

    def counted(self: TokenBackend, some: list[TokenSequence], kind: Kind, threads: int | None) -> np.ndarray:
        computed.append(len(some))
        return compute(self, some, kind, threads)

    monkeypatch.setattr(TokenBackend, "compute", counted)
    np.testing.assert_array_equal(again.functions([ONE, OTHER]), plain)
    np.testing.assert_array_equal(first, plain[:1])
    np.testing.assert_array_equal(again.functions([OTHER, ONE]), plain[::-1])
    assert computed == [1]


def test_vectors_of_another_model_or_precision_are_not_taken(weights: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    Encoder(weights, cache_dir=cache).functions([ONE])
    write(tmp_path / "other.bin", seed=1)
    other = Encoder(tmp_path / "other.bin", cache_dir=cache)
    assert other.model != Encoder(weights).model
    np.testing.assert_array_equal(other.functions([ONE]), Encoder(tmp_path / "other.bin").functions([ONE]))
    rounded = Encoder(weights, precision="int8")
    np.testing.assert_array_equal(
        Encoder(weights, precision="int8", cache_dir=cache).functions([ONE]), rounded.functions([ONE])
    )


def test_a_vector_of_the_wrong_length_is_computed_again(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = Encoder(weights, cache_dir=tmp_path / "cache")
    monkeypatch.setattr(Cache, "read", lambda self, keys: dict.fromkeys(keys, b"short"))
    np.testing.assert_array_equal(encoder.functions([ONE]), Encoder(weights).functions([ONE]))


def test_what_is_longer_than_the_encoder_is_read_in_pieces(weights: Path) -> None:
    encoder = Encoder(weights)
    words = ["get", "client", "status", "of", "many", "things", "that", "count", "for", "it"]
    long = encoder.texts([" ".join(words), "get", " ".join(words[:8])])
    whole = encoder.texts([" ".join(words[:8]), " ".join(words[8:])])
    expected = 8 * whole[0] + 2 * whole[1]
    np.testing.assert_allclose(long[0], expected / np.linalg.norm(expected), atol=1e-3)
    np.testing.assert_array_equal(long[1:2], encoder.texts(["get"]))
    np.testing.assert_array_equal(long[2], whole[0])
    huge = encoder.texts(["word " * 5_000])
    np.testing.assert_allclose(huge @ encoder.texts(["word " * POSITIONS]).T, 1, atol=1e-3)


def test_pieces_hold_every_token_once() -> None:
    sequence = word_tokens("one two three four five")
    cut = pieces(sequence, 2)
    assert [len(each) for each in cut] == [2, 2, 1]
    assert b"".join(each.parts for each in cut) == sequence.parts
    assert pieces(sequence, 5) == [sequence]
    assert pieces(word_tokens(""), 5) == [word_tokens("")]


def test_what_has_no_tokens_has_a_vector_of_zeros(weights: Path) -> None:
    encoder = Encoder(weights)
    assert not encoder.texts([""]).any()
    assert np.isfinite(encoder.functions(["def test_nothing():\n    pass\n"])).all()


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("this is no code", r"sources\[1\]: it is not a function in Python \(.*line 1.*\); texts\(\) takes any text"),
        ("x = 1", r"sources\[1\]: it is not one function, but 1 statements"),
        ("", r"sources\[1\]: it is not one function, but 0 statements"),
        (ONE + OTHER, r"sources\[1\]: it is not one function, but 2 statements"),
        ("def f(): '\0'", r"sources\[1\]: it is not a function in Python"),
    ],
)
def test_what_is_no_function_is_refused(weights: Path, source: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Encoder(weights).functions([ONE, source])


def test_one_string_is_no_list_of_them(weights: Path) -> None:
    with pytest.raises(ValueError, match="texts is one string, expected a list of them"):
        Encoder(weights).texts("what is down")


def test_weights_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"none\.bin does not exist; the encoder cannot be used"):
        _ = Encoder(tmp_path / "none.bin").model
    for name, architecture in {"wide": {**ARCHITECTURE, "d": 24}, "new": {**ARCHITECTURE, "experts": 8}}.items():
        write(tmp_path / name, architecture)
        with pytest.raises(WeightsError, match="holds an encoder that this version cannot run"):
            Encoder(tmp_path / name).texts(["x"])

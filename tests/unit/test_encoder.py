"""Vectors of functions and texts, by an encoder of random weights."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attention_oracle import check_ran
from drawn_weights import drawn_arrays

from pytest_qeattention import cache as cache_module
from pytest_qeattention.attention import backend
from pytest_qeattention.cache import FILE_NAME, Cache
from pytest_qeattention.encoder.encoder import Encoder
from pytest_qeattention.encoder.network import Network, Precision
from pytest_qeattention.encoder.parameters import Architecture
from pytest_qeattention.encoder.shipped import TokenBackend
from pytest_qeattention.encoder.tokens import ROLES, Kind, TokenSequence, hashed_part, pieces, word_tokens
from pytest_qeattention.encoder.weights import WeightsError, write_weights
from pytest_qeattention.store import HEADER_BYTES

D, POSITIONS = 16, 8
ARCHITECTURE = {"d": D, "heads": 2, "layers": 1, "ffn": 32, "roles": len(ROLES), "positions": POSITIONS, "kinds": 3}
WORDS = ("get", "client", "status")
ONE = "def test_one(client):\n    got = client.get('/a')\n    assert got.status == 200\n"
OTHER = "async def test_other():\n    with pytest.raises(ValueError):\n        await parse('x y')\n"


def write(
    path: Path, record: Mapping[str, object] = ARCHITECTURE, seed: int = 0, drawn: Mapping[str, int] = ARCHITECTURE
) -> str:
    arrays = drawn_arrays(Architecture(**drawn), words=len(WORDS), seed=seed)
    arrays["vocabulary"] = np.sort(np.array([hashed_part(word) for word in WORDS], np.uint32))
    return write_weights(path, "random", record, arrays, {})


def kept(directory: Path) -> dict[bytes, int]:
    """Return the sizes of a cache's entries by key."""
    database = sqlite3.connect(directory / FILE_NAME)
    try:
        return dict(database.execute("SELECT key, size FROM entries"))
    finally:
        database.close()


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    write(tmp_path / "random.bin")
    return tmp_path / "random.bin"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list of what is read from here on: every function and text that is turned into tokens."""
    found: list[str] = []
    for name in ("read_function", "read_text"):
        method: Callable[..., TokenSequence] = getattr(TokenBackend, name)

        def counted(self: TokenBackend, text: str, method: Callable[..., TokenSequence] = method) -> TokenSequence:
            found.append(text)
            return method(self, text)

        monkeypatch.setattr(TokenBackend, name, counted)
    return found


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list of how many sequences the network is given from here on, call by call."""
    found: list[int] = []
    compute = TokenBackend.compute

    def counted(self: TokenBackend, some: list[TokenSequence], kind: Kind, threads: int | None) -> np.ndarray:
        found.append(len(some))
        return compute(self, some, kind, threads)

    monkeypatch.setattr(TokenBackend, "compute", counted)
    return found


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


def test_a_warm_call_reads_nothing_and_gives_the_same_bits(
    weights: Path, tmp_path: Path, read: list[str], computed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    first = Encoder(weights, cache_dir=cache)
    cold = first.functions([ONE, OTHER, ONE]), first.texts(["status", ""]), first.failures(["status"])
    assert (read, computed) == ([ONE, OTHER, "status", "", "status"], [2, 2, 1])
    read.clear()

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("layers were laid out that nothing runs through")

    monkeypatch.setattr(Network, "__init__", refused)
    again = Encoder(weights, cache_dir=cache)
    warm = again.functions([ONE, OTHER, ONE]), again.texts(["status", ""]), again.failures(["status"])

    assert (read, computed) == ([], [2, 2, 1])
    for one, other in zip(cold, warm, strict=True):
        assert (one.dtype, one.tobytes()) == (other.dtype, other.tobytes())
    # The same text of another kind has a vector of its own.
    assert warm[1][0].tobytes() != warm[2][0].tobytes()


def test_what_is_new_is_computed_and_the_rest_is_taken(
    weights: Path, tmp_path: Path, read: list[str], computed: list[int]
) -> None:
    plain = Encoder(weights).functions([ONE, OTHER])
    Encoder(weights, cache_dir=tmp_path / "cache").functions([ONE])
    again = Encoder(weights, cache_dir=tmp_path / "cache")
    read.clear()
    computed.clear()
    np.testing.assert_array_equal(again.functions([ONE, OTHER]), plain)
    np.testing.assert_array_equal(again.functions([OTHER, ONE]), plain[::-1])
    assert (read, computed) == ([OTHER], [1])


def test_equal_tokens_are_computed_once(weights: Path, tmp_path: Path, read: list[str], computed: list[int]) -> None:
    encoder = Encoder(weights, cache_dir=tmp_path / "cache")
    renamed = ONE.replace("got", "answer")
    vectors = encoder.functions([ONE, OTHER, renamed, ONE])
    assert (read, computed) == ([ONE, OTHER, renamed], [2])
    np.testing.assert_array_equal(vectors[[0, 0, 0]], vectors[[2, 3, 0]])
    np.testing.assert_array_equal(encoder.functions([renamed]), vectors[:1])
    assert computed == [2]


def test_what_is_no_function_is_refused_again_and_nothing_is_kept(
    weights: Path, tmp_path: Path, computed: list[int]
) -> None:
    cache = tmp_path / "cache"
    for _ in range(2):
        with pytest.raises(ValueError, match=r"^sources\[2\]: it is not one function, but 1 statement; texts"):
            Encoder(weights, cache_dir=cache).functions([ONE, ONE, "x = 1", "y = 1"])
    assert computed == []
    Encoder(weights, cache_dir=cache).functions([ONE])
    with pytest.raises(ValueError, match=r"^sources\[1\]: it is not one function"):
        Encoder(weights, cache_dir=cache).functions([ONE, "x = 1"])
    assert len(kept(cache)) == 1


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda row: row[:-2], id="truncated"),
        pytest.param(lambda row: row + b"\0\0", id="too long"),
        pytest.param(lambda row: b"", id="empty"),
        pytest.param(lambda row: np.array([np.nan], "<f2").tobytes() + row[2:], id="NaN"),
        pytest.param(lambda row: row[:-2] + np.array([-np.inf], "<f2").tobytes(), id="infinite"),
    ],
)
def test_a_kept_vector_that_cannot_be_one_is_computed_again(
    weights: Path, tmp_path: Path, damage: Callable[[bytes], bytes], computed: list[int]
) -> None:
    cache = tmp_path / "cache"
    sound = Encoder(weights, cache_dir=cache).functions([ONE, OTHER])
    (key, *_), sizes = kept(cache), set(kept(cache).values())
    assert sizes == {2 * D}  # half precision
    (row,) = Cache(cache).read([key]).values()
    Cache(cache).write({key: damage(row)})

    np.testing.assert_array_equal(Encoder(weights, cache_dir=cache).functions([ONE, OTHER]), sound)

    assert computed == [2, 1]
    assert Cache(cache).read([key]) == {key: row}


def test_kept_vectors_are_bounded(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, most = tmp_path / "cache", 20 * 2 * D
    monkeypatch.setattr(cache_module, "LARGEST_BYTES", most)
    encoder, plain = Encoder(weights, cache_dir=cache), Encoder(weights)
    for first in range(0, 100, 10):
        texts = [f"text {'x' * number}" for number in range(first, first + 10)]
        np.testing.assert_array_equal(encoder.texts(texts), plain.texts(texts))
        assert 0 < sum(kept(cache).values()) <= most


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


def test_a_function_of_50_000_tokens_is_read_to_its_end(weights: Path) -> None:
    encoder, tokens = Encoder(weights), TokenBackend(weights, "float32")
    # Four tokens each, so that a piece is two of them.
    lines = "    client.get(status)\n", "    assert parse(line)\n"
    long = "def test_long():\n" + 6_250 * lines[0] + 6_250 * lines[1]
    assert len(tokens.read_function(long)) == 50_000
    vector, other = encoder.functions([long, ONE])
    first, last = encoder.functions(["def test_short():\n" + 2 * line for line in lines])
    assert first @ last < 0.9
    np.testing.assert_allclose(vector, (first + last) / np.linalg.norm(first + last), atol=1e-3)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-3)
    np.testing.assert_array_equal(other, encoder.functions([ONE])[0])


def test_what_has_no_tokens_has_a_vector_of_zeros(weights: Path) -> None:
    encoder = Encoder(weights)
    assert not encoder.texts(["", " \n\t", "\0\0", "\N{PARTY POPPER}!"]).any()
    assert not encoder.functions(["def test_nothing():\n    'Says what it would do.'\n"]).any()
    (empty,) = encoder.functions(["def test_nothing(): pass"])
    assert np.linalg.norm(empty) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(bytes(random.Random(0).choices(range(256), k=5_000)).decode("latin-1"), id="binary"),
        pytest.param("\0status\0", id="NULs"),
        pytest.param("status \ud800 \udfff", id="lone surrogates"),
        pytest.param("w" * 1_000_000, id="a word of 1 MB"),
        pytest.param("status \N{PARTY POPPER}", id="emoji"),
    ],
)
def test_text_that_is_no_python_is_a_text_and_no_function(weights: Path, tmp_path: Path, text: str) -> None:
    encoder = Encoder(weights, cache_dir=tmp_path / "cache")
    with pytest.raises(ValueError, match=r"^sources\[0\]: it is not .*; texts\(\) takes any text$"):
        encoder.functions([text])
    vectors = encoder.texts([text]), encoder.failures([text]), encoder.functions([f"def test(): {text!r} + f()"])
    assert np.linalg.norm(vectors, axis=2) == pytest.approx(1, abs=1e-3)
    np.testing.assert_array_equal(encoder.texts([text]), vectors[0])


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("this is no code", r"sources\[1\]: it is not a function in Python \(.*line 1.*\); texts\(\) takes any text"),
        ("x = 1", r"sources\[1\]: it is not one function, but 1 statement"),
        ("", r"sources\[1\]: it is not one function, but no statements"),
        (ONE + OTHER, r"sources\[1\]: it is not one function, but 2 statements"),
        ("def f(): '\0'", r"sources\[1\]: it is not a function in Python"),
    ],
)
def test_what_is_no_function_is_refused(weights: Path, source: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Encoder(weights).functions([ONE, source])


@pytest.mark.parametrize("shape", [list, tuple, iter, dict.fromkeys, lambda texts: np.array(texts)])
def test_anything_that_yields_strings_is_a_list_of_them(weights: Path, shape: Callable[[list[str]], Any]) -> None:
    encoder = Encoder(weights)
    np.testing.assert_array_equal(encoder.functions(shape([ONE, OTHER])), encoder.functions([ONE, OTHER]))
    np.testing.assert_array_equal(encoder.texts(shape(["a", "b"])), encoder.texts(["a", "b"]))


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ("what is down", "texts is one string, expected a list of them"),
        (b"what", "texts is a bytes, expected a list of strings"),
        (None, "texts is a NoneType, expected a list of strings"),
        (5, "texts is a int, expected a list of strings"),
        (["a", b"b"], r"texts\[1\] is a bytes, expected a string"),
        (["a", "b", None], r"texts\[2\] is a NoneType, expected a string"),
        ([["a"]], r"texts\[0\] is a list, expected a string"),
    ],
)
def test_what_are_no_strings_are_named(weights: Path, texts: Any, said: str) -> None:
    with pytest.raises(ValueError, match=f"^{said}$"):
        Encoder(weights).texts(texts)
    with pytest.raises(ValueError, match=f"^{said.replace('texts', 'sources')}$"):
        Encoder(weights).functions(texts)


def test_arguments_are_checked_before_weights_are_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^precision is 'int4', available: 'float32', 'bfloat16', 'int8'$"):
        Encoder(tmp_path / "none.bin", precision="int4")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="num_threads is 0, expected at least 1"):
        Encoder(tmp_path / "none.bin", num_threads=0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(lambda data: None, "does not exist", id="missing"),
        pytest.param(lambda data: b"", "is truncated", id="empty"),
        pytest.param(lambda data: data[: len(data) // 2], "is truncated or has bytes added", id="truncated"),
        pytest.param(
            lambda data: data[:-5] + bytes([data[-5] ^ 4]) + data[-4:],
            r"is damaged \(its checksum does not match\)",
            id="one bit",
        ),
        pytest.param(
            lambda data: data[:12] + b"\x09" + data[13:],
            r"has format 1\.9, newer than this plugin's 1\.1",
            id="another version",
        ),
        pytest.param(lambda data: b"PK\3\4" + data[4:], "is not a file of the kind expected here", id="another kind"),
    ],
)
def test_weights_that_cannot_be_used_are_named(
    weights: Path, tmp_path: Path, change: Callable[[bytes], bytes | None], said: str
) -> None:
    data = change(weights.read_bytes())
    path = tmp_path / "changed.bin"
    if data is not None:
        path.write_bytes(data)
    encoder = Encoder(path, cache_dir=tmp_path / "cache")
    for use in (lambda: encoder.texts(["x"]), lambda: encoder.functions([]), lambda: encoder.model):
        with pytest.raises(
            WeightsError,
            match=rf"changed\.bin {said}.*; the encoder cannot be used; name another file of weights, or qe",
        ):
            use()


def test_no_byte_can_be_changed_unseen(weights: Path, tmp_path: Path) -> None:
    data = weights.read_bytes()
    path = tmp_path / "changed.bin"
    drawn = random.Random(0)
    for at in [*range(HEADER_BYTES + 4), *drawn.choices(range(len(data)), k=100)]:
        path.write_bytes(data[:at] + bytes([data[at] ^ 1 << drawn.randrange(8)]) + data[at + 1 :])
        with pytest.raises(WeightsError, match="the encoder cannot be used"):
            _ = Encoder(path).model


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"d": 32}, "words is int8 of shape"),
        ({"d": 20}, "d is 20, expected a multiple of 8"),
        ({"d": "16"}, "d is '16', expected a whole number"),
        ({"layers": 2}, r"the array 'layer\.1\.norm1\.gain' is missing"),
        ({"experts": 8}, "unexpected keyword argument 'experts'"),
        ({"norm": "middle"}, "norm is 'middle'"),
        ({"activation": "relu"}, "activation is 'relu'"),
        ({"roles": len(ROLES) + 1}, f"{len(ROLES) + 1} roles, this version writes {len(ROLES)}"),
        ({"roles": len(ROLES) - 1}, f"{len(ROLES) - 1} roles, this version writes {len(ROLES)}"),
        ({"roles": 0}, f"0 roles, this version writes {len(ROLES)}"),
        ({"kinds": 2}, "2 kinds, this version writes 3"),
    ],
)
def test_an_architecture_that_this_version_cannot_run_is_named(
    tmp_path: Path, record: dict[str, Any], said: str
) -> None:
    # Tables fit their record, so that nothing but the number of their rows is wrong.
    rows = {name: count for name, count in record.items() if name in ("roles", "kinds") and count}
    write(tmp_path / "new.bin", {**ARCHITECTURE, **record}, drawn={**ARCHITECTURE, **rows})
    told = rf"new\.bin holds an encoder that this version cannot run \(.*{said}.*\); the encoder cannot be used; name"
    with pytest.raises(WeightsError, match=told):
        Encoder(tmp_path / "new.bin").texts(["x"])


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_numpy_gives_the_vectors_of_the_core(
    weights: Path, variant: str, precision: Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = Encoder(weights, precision=precision)
    vectors = encoder.functions([ONE, OTHER]), encoder.texts(["get the status of it all"])
    check_ran(variant)
    monkeypatch.setenv("QE_BACKEND", "numpy")
    monkeypatch.delenv("QE_ISA", raising=False)
    backend.active.cache_clear()
    plain = Encoder(weights, precision=precision)
    # They are rounded to half precision, which can part what lies close by one step.
    for one, other in zip(
        vectors, (plain.functions([ONE, OTHER]), plain.texts(["get the status of it all"])), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=2**-10, atol=1e-4)

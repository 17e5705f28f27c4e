"""How well texts answer words, letters, and whole texts."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pytest_qeattention.similarity import relevance
from pytest_qeattention.similarity.query_words import QueryWords, hashed_word
from pytest_qeattention.similarity.relevance import Texts, letter_grams, stem


@pytest.fixture(autouse=True)
def even_chances(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every word of a query count the same, but for "should", which counts little."""
    table = QueryWords(np.array([hashed_word("should")], np.uint32), np.array([0.05]))
    monkeypatch.setattr(relevance, "load_query_words", lambda: table)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("retry retries retried", "retri"),
        ("stop stops stopped stopping", "stop"),
        ("close closes closed closing", "clos"),
        ("connect connection connections", "connect"),
        ("is", "is"),
        ("bus", "bus"),
        ("", ""),
    ],
)
def test_forms_of_a_word_share_their_stem(words: str, expected: str) -> None:
    assert {stem(word) for word in words.split(" ")} == {expected}


def test_letter_grams_mark_the_ends_of_a_word() -> None:
    assert letter_grams("at") == {"#at", "at#", "#at#", "at"}
    assert letter_grams("a") == {"#a#", "a"}


def test_words_answer_by_rarity_and_forms() -> None:
    texts = Texts(["def a(): server.retries(3)", "def b(): server.stop()", "def c(): server.start()"])
    scores = texts.words("retried server")
    # Every text has "server"; only the first has another form of "retried".
    assert scores[0] > scores[1] == scores[2] > 0
    assert np.all((scores >= 0) & (scores <= 1))


def test_a_word_that_hardly_ever_stands_in_what_it_describes_counts_little() -> None:
    texts = Texts(["should should", "email", "other"])
    scores = texts.words("should email")
    assert scores[1] > 5 * scores[0] > 0


def test_bm25_is_as_published() -> None:
    texts = Texts(["alpha alpha beta", "gamma"])
    # Lengths 3 and 1, mean 2; one of two texts has the word: tf / (tf + k1 * length / mean), worth all of the query.
    assert texts.words("alpha")[0] == pytest.approx(2 / (2 + relevance.WORDS_SATURATION * 3 / 2))
    assert texts.words("alpha")[1] == 0


def test_letters_answer_where_no_word_is_the_same() -> None:
    texts = Texts(["reconnecting", "unrelated", "other"])
    assert texts.words("disconnect").tolist() == [0, 0, 0]
    scores = texts.letters("disconnect")
    assert scores[0] > 0.2
    assert scores[0] > max(scores[1:])


def test_cosine_is_that_of_weighted_words() -> None:
    texts = Texts(["alpha beta", "beta gamma"])
    rare, common = math.log(3 / 2) + 1, 1.0
    expected = common / math.hypot(rare, common)
    assert texts.cosine("beta")[0] == pytest.approx(expected)
    assert texts.cosine("alpha beta") == pytest.approx([1.0, expected * common / math.hypot(rare, common)])


@pytest.mark.parametrize("texts", [[], ["", ""], ["?!", "x"]])
@pytest.mark.parametrize("query", ["", "?!", "word"])
def test_what_has_no_words_scores_nothing(texts: list[str], query: str) -> None:
    held = Texts(texts)
    for scores in (held.words(query), held.letters(query), held.cosine(query)):
        assert scores.tolist() == [0.0] * len(texts)


def test_frequency_counts_texts() -> None:
    texts = Texts(["HTTPServer server", "server", "client"])
    assert [texts.frequency(word) for word in ("server", "http", "absent")] == [2, 1, 0]


@pytest.mark.parametrize(
    "texts", [[], ["", "?!"], ["HTTPServer server x server", "2 server_test2", "", "x " * 300, "ein Wörtchen"]]
)
def test_packed_texts_answer_as_they_did(texts: list[str]) -> None:
    held = Texts(texts)
    again = Texts.unpacked(held.pack())
    assert (again.n, again.vocabulary) == (len(texts), held.vocabulary)
    for query in ("server", "HTTP servers x", "Wörter"):
        for answer in (Texts.words, Texts.letters, Texts.cosine):
            np.testing.assert_array_equal(answer(again, query), answer(held, query))
    assert [again.frequency(word) for word in held.vocabulary] == [held.frequency(word) for word in held.vocabulary]


def test_words_of_texts_are_counted_by_their_parts() -> None:
    held = Texts(["HTTPServer http", "", "server_http HTTPServer HTTPServer"])
    assert held.vocabulary == ("http", "server")
    n, vocabulary, _, parts, texts, counts = held.pack()
    assert (n, vocabulary) == (3, held.vocabulary)
    assert np.frombuffer(parts, np.int32).tolist() == [2, 2], "each is in two texts"
    assert np.frombuffer(texts, np.int32).tolist() == [0, 2, 0, 2]
    assert np.frombuffer(counts, np.uint8).tolist() == [2, 3, 1, 3]

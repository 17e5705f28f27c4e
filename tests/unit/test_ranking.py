"""Ranking tests by a test, a function, a file, a diff, and words."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from pytest_qeattention.attention.arguments import FloatArray
from pytest_qeattention.encoder import encoder, shipped
from pytest_qeattention.encoder.encoder import Encoder
from pytest_qeattention.similarity.discover import UsageError
from pytest_qeattention.similarity.queries import WordsQuery
from pytest_qeattention.similarity.ranking import LEAST_KNOWN, MEANING_TESTS, MEANING_WEIGHT, Ranker, best_first, rank
from pytest_qeattention.similarity.service import suite_from_paths
from pytest_qeattention.similarity.suite import Suite

TESTS = """
from http_client import Client, Retry

def test_retries_when_the_server_is_down(server):
    server.stop()
    client = Client(server.url, retry=Retry(times=3))
    assert client.get("/").attempts == 3

def test_gives_up_after_the_last_retry(server):
    server.stop()
    client = Client(server.url, retry=Retry(times=1))
    assert client.get("/").attempts == 1

def test_header_names_ignore_case():
    assert Client.parse_header("Content-TYPE: x") == ("content-type", "x")

def test_cookie_jar_expires_old_cookies(clock):
    clock.forward(days=2)
    assert not Client("http://x").cookies
"""
PRODUCT = """
class Client:
    @staticmethod
    def parse_header(line):
        name, _, value = line.partition(":")
        return name.lower(), value.strip()
"""


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    (tmp_path / "test_client.py").write_text(TESTS)
    (tmp_path / "http_client.py").write_text(PRODUCT)
    return suite_from_paths([str(tmp_path)], cwd=tmp_path)


def ranked_names(suite: Suite, query: str, cwd: Path, k: int = 10) -> list[str]:
    report = rank(suite, query, k, cwd=cwd)
    assert report.ranked is not None
    scores = [neighbor.score for neighbor in report.ranked[1]]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    return [neighbor.unit.name for neighbor in report.ranked[1]]


def test_by_a_test_of_the_suite(suite: Suite, tmp_path: Path) -> None:
    found = ranked_names(suite, "test_client.py::test_retries_when_the_server_is_down", tmp_path)
    assert found[0] == "test_gives_up_after_the_last_retry"
    assert len(found) == 3


def test_by_the_name_of_a_test(suite: Suite, tmp_path: Path) -> None:
    by_name = rank(suite, "test_gives_up_after_the_last_retry", 3, cwd=tmp_path)
    assert by_name.ranked == rank(suite, "test_client.py::test_gives_up_after_the_last_retry", 3, cwd=tmp_path).ranked


def test_an_empty_diff_is_named(suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\n")))
    with pytest.raises(UsageError, match="standard input is empty: there is no diff"):
        rank(suite, "-", 3, cwd=tmp_path)


def test_by_words(suite: Suite, tmp_path: Path) -> None:
    found = ranked_names(suite, "retries when the server is down", tmp_path, k=2)
    assert found == ["test_retries_when_the_server_is_down", "test_gives_up_after_the_last_retry"]
    ranked = rank(suite, "expired cookies", 1, cwd=tmp_path).ranked
    assert ranked is not None
    shared, meaning = ranked[1][0].reasons
    assert shared == "shares cookies"
    assert meaning.startswith("meaning agrees (cosine 0.")


class Vectors(Encoder):
    """Give each function and text the vector that its last word names."""

    def __init__(self, named: dict[str, tuple[float, float]]) -> None:
        self.named = named

    def functions(self, sources: Sequence[str]) -> FloatArray:
        return self.texts(sources)

    def texts(self, texts: Sequence[str]) -> FloatArray:
        return np.array([next(v for word, v in self.named.items() if word in text) for text in texts], np.float32)


def test_meaning_decides_between_tests_with_the_same_words(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "def test_a():\n    opens(door, cyan)\n\ndef test_b():\n    opens(door, blue)\n\n"
        "def test_c():\n    closes(window, green)\n"
    )
    units = suite_from_paths([str(tmp_path)], cwd=tmp_path).units
    query = WordsQuery("opens door")
    plain = Ranker(units, cwd=tmp_path)
    assert plain.words(query)[0] == plain.words(query)[1] > plain.words(query)[2] == 0
    np.testing.assert_array_equal(plain.answers(query).scores, plain.words(query))

    vectors = Vectors({"opens door": (1, 0), "cyan": (0, 1), "blue": (0.6, 0.8), "green": (1, 0)})
    ranker = Ranker(units, cwd=tmp_path, encoder=vectors)
    answers = ranker.answers(query)
    # What words do not reach is not compared by meaning.
    assert answers.cosines == {0: 0.0, 1: pytest.approx(0.6)}
    words = plain.words(query)[0]
    expected = [(words + MEANING_WEIGHT * (1 + cosine) / 2) / (1 + MEANING_WEIGHT) for cosine in (0, 0.6)]
    np.testing.assert_allclose(answers.scores, [*expected, 0], rtol=1e-6)
    first, second = ranker.nearest(query, 5)
    assert (first.unit.name, second.unit.name) == ("test_b", "test_a")
    assert (first.reasons[-1], second.reasons) == ("meaning agrees (cosine 0.60)", ("shares door, opens",))


def test_words_that_no_test_has_speak_against_all(suite: Suite, tmp_path: Path) -> None:
    ranker = Ranker(suite.units, cwd=tmp_path)
    right, more = (ranker.answers(WordsQuery(words)).scores for words in ("retry", "retry chocolate strawberry"))
    assert list(np.argsort(-right)) == list(np.argsort(-more))
    assert 0 < more.max() < right.max() / 2
    assert more.max() < LEAST_KNOWN


def test_only_the_best_by_words_are_compared_by_meaning(tmp_path: Path) -> None:
    tests = "".join(f"def test_{at}():\n    opens(door{', wall' * (at // 3)})\n\n" for at in range(MEANING_TESTS + 6))
    (tmp_path / "test_it.py").write_text(tests)
    units = suite_from_paths([str(tmp_path)], cwd=tmp_path).units
    # The farther a test is by words, the closer it is by meaning.
    named = {"glass": (1.0, 0.0), **{f"test_{at}()": (at / 200 - 1, 0.0) for at in reversed(range(len(units)))}}
    ranker = Ranker(units, cwd=tmp_path, encoder=Vectors(named))
    answers, words = ranker.answers(WordsQuery("door of glass")), ranker.words(WordsQuery("door of glass"))
    assert sorted(answers.cosines) == sorted(best_first(words, MEANING_TESTS))
    assert set(best_first(answers.scores, MEANING_TESTS)) == set(answers.cosines)


def test_weights_that_cannot_be_used_are_a_problem_and_words_rank(
    suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = tmp_path / "cut.bin"
    cut.write_bytes(shipped.SHIPPED.read_bytes()[:-1])
    monkeypatch.setattr(encoder, "SHIPPED", cut)
    report = rank(suite, "expired cookies", 1, cwd=tmp_path)
    assert report.ranked is not None
    assert report.ranked[1][0].reasons == ("shares cookies",)
    (problem,) = report.problems
    assert problem.path == "encoder"
    assert problem.message.endswith("; tests are ranked by their words alone")
    assert str(cut) in problem.message


def test_by_a_function_of_the_product(suite: Suite, tmp_path: Path) -> None:
    assert ranked_names(suite, "http_client.py::Client::parse_header", tmp_path)[0] == "test_header_names_ignore_case"
    assert ranked_names(suite, "http_client.py::Client.parse_header", tmp_path)[0] == "test_header_names_ignore_case"


def test_by_a_class(suite: Suite, tmp_path: Path) -> None:
    assert ranked_names(suite, "http_client.py::Client", tmp_path)[0] == "test_header_names_ignore_case"


def test_by_a_directory_or_what_is_no_diff(suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "client" / "parts").mkdir(parents=True)
    with pytest.raises(UsageError, match="client/parts is a directory; nothing was ranked"):
        rank(suite, "client/parts", 3, cwd=tmp_path)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"cookies\n")))
    with pytest.raises(UsageError, match="standard input holds no diff, so nothing was ranked"):
        rank(suite, "-", 3, cwd=tmp_path)


def test_a_way_that_a_name_may_take_is_told_as_one_of_several(tmp_path: Path) -> None:
    (tmp_path / "locks.py").write_text(
        "def held(lock):\n    lock.release()\n\nclass One:\n    def release(self):\n        pass\n\n"
        "class Two:\n    def release(self):\n        pass\n"
    )
    (tmp_path / "test_locks.py").write_text("from locks import held\n\ndef test_it(lock):\n    held(lock)\n")
    suite = suite_from_paths([str(tmp_path)], cwd=tmp_path)
    ranked = rank(suite, "locks.py::One.release", 1, cwd=tmp_path).ranked
    assert ranked is not None
    assert ranked[1][0].reasons[0] == "uses held, which may use One.release"


def test_by_a_file(suite: Suite, tmp_path: Path) -> None:
    assert ranked_names(suite, "http_client.py", tmp_path)[0] == "test_header_names_ignore_case"


def test_by_a_diff(suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    diff = b"""--- a/retry_header.py
+++ b/x.py
@@ -1 +1 @@ def unrelated header case
-cookies = []
+cookies = jar.expire()
"""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(diff)))
    assert ranked_names(suite, "-", tmp_path)[0] == "test_cookie_jar_expires_old_cookies"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("http_client.py::missing", r"no function or class missing in http_client.py \(it has Client::parse_header\)"),
        ("gone.py::test_x", "there is no file gone.py"),
        ("gone.py", "there is no file gone.py"),
        (
            "test_twice",
            r"the name of 2 tests, .*give one of test_client\.py::TestA::test_twice, test_client\.py::TestB",
        ),
        ("?!", "holds no words"),
        ("", "holds no words"),
    ],
)
def test_queries_that_name_nothing(tmp_path: Path, query: str, message: str) -> None:
    twice = "".join(f"\nclass Test{name}:\n    def test_twice(self):\n        assert {name}()\n" for name in "AB")
    (tmp_path / "test_client.py").write_text(TESTS + twice)
    (tmp_path / "http_client.py").write_text(PRODUCT)
    suite = suite_from_paths([str(tmp_path)], cwd=tmp_path)
    with pytest.raises(UsageError, match=message):
        rank(suite, query, 3, cwd=tmp_path)


def test_words_that_no_test_has_rank_nothing(suite: Suite, tmp_path: Path) -> None:
    assert ranked_names(suite, "zyzzyva quokka", tmp_path) == []


def test_a_function_finds_the_tests_that_use_its_name(tmp_path: Path) -> None:
    (tmp_path / "tools.py").write_text(
        "def consume(iterator, n=None):\n    for value in range(n):\n        assert value == iterator[n]\n"
    )
    (tmp_path / "test_tools.py").write_text(
        "from tools import consume, other\n"
        "def test_sanity():\n    left = [1, 2, 3]\n    consume(left, 3)\n"
        "def test_sort():\n    value = sorted([3, 1])\n    assert value == other([3, 1])\n"
        "def test_iterator():\n    n = None\n    assert iter(n) is n\n"
    )
    suite = suite_from_paths([str(tmp_path)], cwd=tmp_path)
    assert ranked_names(suite, "tools.py::consume", tmp_path)[0] == "test_sanity"


def test_reasons_leave_out_numbers_and_letters(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_it():\n    x = parse('1 2')\n    assert x == 12\n")
    suite = suite_from_paths([str(tmp_path)], cwd=tmp_path)
    ranked = rank(suite, "parse x 1 12", 1, cwd=tmp_path).ranked
    assert ranked is not None
    assert ranked[1][0].reasons[0] == "shares parse"

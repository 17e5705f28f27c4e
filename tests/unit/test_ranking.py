"""Ranking tests by a test, a function, a file, a diff, and words."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from pytest_qeattention.similarity.discover import UsageError
from pytest_qeattention.similarity.ranking import rank
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
    assert ranked[1][0].reasons == ("shares cookies",)


def test_by_a_function_of_the_product(suite: Suite, tmp_path: Path) -> None:
    assert ranked_names(suite, "http_client.py::Client::parse_header", tmp_path)[0] == "test_header_names_ignore_case"
    assert ranked_names(suite, "http_client.py::Client.parse_header", tmp_path)[0] == "test_header_names_ignore_case"


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
        ("http_client.py::missing", "no function missing in http_client.py"),
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
    assert ranked[1][0].reasons == ("shares parse",)

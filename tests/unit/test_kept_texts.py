"""Words of a suite's tests that are kept between runs."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from pytest_qeattention.cache import FILE_NAME
from pytest_qeattention.similarity import ranking
from pytest_qeattention.similarity.kept_texts import kept_texts
from pytest_qeattention.similarity.model import Unit
from pytest_qeattention.similarity.ranking import rank
from pytest_qeattention.similarity.relevance import Texts
from pytest_qeattention.similarity.service import suite_from_paths
from pytest_qeattention.similarity.workload import Request


class Counting:
    """Count the words of some texts, and how often that is done."""

    def __init__(self, *texts: str) -> None:
        self.texts = texts
        self.times = 0

    def __call__(self) -> tuple[Texts, ...]:
        self.times += 1
        return Texts(self.texts), Texts(["path"])


def test_words_are_counted_once_for_each_state(tmp_path: Path) -> None:
    count, other = Counting("alpha beta"), Counting("gamma")
    for _ in range(2):
        words, paths = kept_texts(count, "suite", b"1", tmp_path)
        assert (words.vocabulary, paths.vocabulary) == (("alpha", "beta"), ("path",))
    assert count.times == 1
    assert kept_texts(other, "suite", b"2", tmp_path)[0].vocabulary == ("gamma",)
    assert kept_texts(count, "suite", b"1", tmp_path)[0].vocabulary == ("alpha", "beta")
    assert (count.times, other.times) == (2, 1)
    with sqlite3.connect(tmp_path / FILE_NAME) as database:
        assert database.execute("SELECT count(*) FROM entries").fetchone() == (1,), "the last state alone is kept"
    database.close()


def test_suites_do_not_take_each_others_words(tmp_path: Path) -> None:
    count, other = Counting("alpha"), Counting("gamma")
    kept_texts(count, "one", b"1", tmp_path)
    assert kept_texts(other, "two", b"1", tmp_path)[0].vocabulary == ("gamma",)


@pytest.mark.parametrize(("state", "is_kept"), [(None, True), (b"1", False)])
def test_without_a_state_or_a_directory_nothing_is_kept(tmp_path: Path, state: bytes | None, is_kept: bool) -> None:
    count = Counting("alpha")
    for _ in range(2):
        kept_texts(count, "suite", state, tmp_path if is_kept else None)
    assert count.times == 2
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_entry_is_counted_anew(tmp_path: Path) -> None:
    count = Counting("alpha")
    kept_texts(count, "suite", b"1", tmp_path)
    with sqlite3.connect(tmp_path / FILE_NAME) as database:
        database.execute("UPDATE entries SET data = substr(data, 1, length(data) - 1)")
    database.close()
    assert kept_texts(count, "suite", b"1", tmp_path)[0].vocabulary == ("alpha",)
    assert count.times == 2


def test_a_ranking_counts_the_words_of_a_suite_that_is_as_it_was_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = tmp_path / "test_it.py"
    test.write_text("def test_stop():\n    server.stop()\n\ndef test_start():\n    server.start()\n")
    counted: list[int] = []
    count = ranking._counted

    def noted(units: Sequence[Unit]) -> tuple[Texts, Texts]:
        counted.append(len(units))
        return count(units)

    monkeypatch.setattr(ranking, "_counted", noted)

    def ranked(query: str) -> list[tuple[str, float]]:
        suite = suite_from_paths([str(test)], cwd=tmp_path, cache_dir=tmp_path / "store")
        found = rank(suite, query, 5, cwd=tmp_path, request=Request(cache_dir=tmp_path / "store")).ranked
        assert found is not None
        return [(neighbor.unit.name, neighbor.score) for neighbor in found[1]]

    first = ranked("the server stops")
    assert first[0][0] == "test_stop"
    assert ranked("the server stops") == first
    assert ranked("start it")[0][0] == "test_start"
    assert counted == [2]
    test.write_text(test.read_text() + "\ndef test_restart():\n    server.restart()\n")
    assert "test_restart" in dict(ranked("restart"))
    assert counted == [2, 3]

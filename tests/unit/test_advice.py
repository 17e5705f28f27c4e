"""Suggestions are the same whoever asks for which of them, and whatever is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_qeattention.similarity import advice
from pytest_qeattention.similarity.advice import with_suggestions
from pytest_qeattention.similarity.fold import service
from pytest_qeattention.similarity.grouping import make_group
from pytest_qeattention.similarity.model import Group, SimilarReport
from pytest_qeattention.similarity.scan import scan_source

SOURCE = """\
from shop import parse, read


def test_parse_one():
    assert parse("1") == 1


def test_parse_two():
    assert parse("2") == 2


def test_parse_short():
    with read("a") as lines:
        assert parse(lines) == [1]


def test_parse_long():
    with read("b") as lines:
        assert parse(lines) == [1, 2]
"""


@pytest.fixture
def report(tmp_path: Path) -> SimilarReport:
    (tmp_path / "test_shop.py").write_text(SOURCE, encoding="utf-8")
    units = [found.unit for found in scan_source(SOURCE.encode(), "test_shop.py").functions]
    groups = [make_group("parametrize", 0.9, units[:2], ["a"]), make_group("parametrize", 0.8, units[2:], ["b"])]
    return SimilarReport("test-similarity", len(units), tuple(groups))


def names(groups: tuple[Group, ...]) -> list[str]:
    found = []
    for group in groups:
        assert group.suggestion is not None
        found.append(next(line for line in group.suggestion.splitlines() if line.startswith("def ")).split("(")[0])
    return found


def test_two_suggestions_of_a_file_take_different_names(report: SimilarReport, tmp_path: Path) -> None:
    written = with_suggestions(report, tmp_path, None)
    assert names(written.groups)[0] == "def test_parse"
    assert names(written.groups)[1] != "def test_parse"
    assert [group.reasons for group in written.groups] == [("a",), ("b",)]


@pytest.mark.parametrize("first", [0, 1], ids=["one", "other"])
def test_what_was_asked_for_before_changes_no_suggestion(report: SimilarReport, tmp_path: Path, first: int) -> None:
    cache = tmp_path / "cache"
    without = with_suggestions(report, tmp_path, None)
    alone = with_suggestions(report, tmp_path, cache, only={report.groups[first].id})
    assert alone.groups[first] == without.groups[first]
    assert with_suggestions(report, tmp_path, cache).groups == without.groups


@pytest.mark.parametrize("first", [0, 1], ids=["one", "other"])
def test_a_report_of_some_groups_leaves_nothing_for_that_of_all(
    report: SimilarReport, tmp_path: Path, first: int
) -> None:
    cache = tmp_path / "cache"
    some = SimilarReport("test-similarity", 2, (report.groups[first],))
    assert names(with_suggestions(some, tmp_path, cache).groups) == ["def test_parse"]
    assert with_suggestions(report, tmp_path, cache).groups == with_suggestions(report, tmp_path, None).groups


def test_kept_suggestions_are_not_written_again(
    report: SimilarReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    written = advice.with_suggestions(report, tmp_path, cache)
    monkeypatch.delattr(service, "with_suggestions")
    assert advice.with_suggestions(report, tmp_path, cache) == written

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytest_qeattention.report.github import annotation_lines
from pytest_qeattention.report.place import Places
from pytest_qeattention.similarity.model import Group, SimilarReport, Unit


def unit(name: str, line: int = 3, path: str = "test_a.py") -> Unit:
    return Unit(f"{path}::{name}", path, line, name, name, line, line + 1, "")


def lines(*groups: Group, base: str = "/repo") -> list[str]:
    return annotation_lines(SimilarReport("test-similarity", 9, groups), Places(Path("/repo"), Path(base)))


def group(*tests: Unit, reasons: tuple[str, ...] = ("the same",), **changes: Any) -> Group:
    return Group("abc", "parametrize", 0.917, tests, reasons, **changes)


def test_a_group_is_one_warning_at_its_first_test() -> None:
    assert lines(group(unit("test_one"), unit("test_two", 9))) == [
        "::warning file=test_a.py,line=3,endLine=4,"
        "title=2 tests that could be one parametrized test (score 0.91)"
        "::test_a.py:3 test_one%0Atest_a.py:9 test_two%0Athe same"
    ]


def test_a_new_test_is_pointed_at_and_what_was_accepted_is_left_out() -> None:
    one, two = unit("test_one"), unit("test_two", 9)

    (line,) = lines(group(one, two, status="accepted"), group(one, two, status="new", new_tests=(two,)))

    assert line.startswith("::warning file=test_a.py,line=9,")


def test_what_would_end_a_property_or_a_line_is_escaped() -> None:
    (line,) = lines(group(unit("a"), unit("b"), reasons=("100% of\r\nit: a, b::c",)))
    (path,) = lines(group(unit("a", path="x,y:z%.py"), unit("b")))

    assert line.endswith("%0A100%25 of%0D%0Ait: a, b::c")
    assert "\n" not in line
    assert path.startswith("::warning file=x%2Cy%3Az%25.py,line=3")


def test_paths_are_those_of_the_repository() -> None:
    (line,) = lines(group(unit("a"), unit("b")), base="/repo/sub")

    assert line.startswith("::warning file=sub/test_a.py,line=3")
    assert "::sub/test_a.py:3 a%0A" in line


def test_no_more_than_github_shows() -> None:
    found = lines(*(group(unit("a"), unit("b")) for _ in range(12)))

    assert len(found) == 10
    assert found[-1] == "::warning title=3 groups more::The report of qe-similar has all of them."
    assert lines() == []


def test_of_large_groups_the_first_tests_are_named() -> None:
    (line,) = lines(group(*(unit(f"test_{number}", number) for number in range(1, 16))))

    assert "test_a.py:10 test_10%0Aand 5 others%0A" in line

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_qeattention.similarity.policy import Policy, parse_fail_on, parse_ignore, parse_thresholds, path_is_below


@pytest.mark.parametrize(
    ("path", "pattern", "expected"),
    [
        ("tests/legacy/test_a.py", "tests/legacy/*", True),
        ("tests/legacy/deep/test_a.py", "tests/legacy/*", True),
        ("tests/legacy/test_a.py", "tests/legacy", True),
        ("tests/legacy/test_a.py", "tests/legacy/", True),
        ("tests/legacy/test_a.py", "./tests/legacy", True),
        ("tests/legacy2/test_a.py", "tests/legacy", False),
        ("tests/test_a.py", "tests/test_a.py", True),
        ("tests/test_a.py", "test_a.py", False),
        ("tests/test_a.py", "*/test_[ab].py", True),
        ("tests/Test_a.py", "tests/test_a.py", False),
        ("tests/legacy/test_a.py", "tests\\legacy\\*", True),
        ("tests/legacy/test_a.py", ".\\tests\\legacy\\", True),
    ],
)
def test_globs_name_paths_and_all_below_them(path: str, pattern: str, expected: bool) -> None:
    assert path_is_below(path, pattern) is expected


def test_of_thresholds_the_last_line_that_matches_decides(tmp_path: Path) -> None:
    policy = Policy(tmp_path, tmp_path, parse_thresholds(["tests/*: 0.9", "tests/core/*:0", "docs: 1"]))

    assert [policy.threshold(path) for path in ("tests/a.py", "tests/core/a.py", "docs/a.py", "a.py")] == [0.9, 0, 1, 0]


def test_paths_of_a_command_are_taken_from_the_rootdir(tmp_path: Path) -> None:
    policy = Policy(tmp_path, tmp_path / "tests", ignore=("tests/generated",))

    assert policy.is_ignored("generated/test_a.py")
    assert not policy.is_ignored("../generated/test_a.py")


@pytest.mark.parametrize(
    "line",
    ["tests/*", "tests/*: high", "tests/*: 1.5", "tests/*: -1", "tests/*: nan", ": 0.5", "/abs/*: 0.5", "./: 0.5"],
)
def test_a_threshold_that_is_none_is_named(line: str) -> None:
    with pytest.raises(ValueError, match=r"qe_similar_thresholds has the line .*write it like tests/legacy") as raised:
        parse_thresholds(["tests/*: 0.5", line])
    assert repr(line) in str(raised.value)


@pytest.mark.parametrize("pattern", ["/abs/*", ".", "./", ".\\", "C:\\tests", "\\tests\\*"])
def test_a_glob_that_matches_nothing_is_named(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"qe_similar_ignore has .*write it like tests/generated"):
        parse_ignore(["tests/*", pattern])


def test_kinds_to_fail_on_are_read() -> None:
    assert parse_fail_on("--qe-fail-on", "duplicate, similar", has_baseline=False) == {"duplicate", "similar"}
    assert parse_fail_on("--qe-fail-on", "new", has_baseline=True) == {"new"}


@pytest.mark.parametrize("text", ["", "dup", "duplicate,,new", "Duplicate"])
def test_a_kind_that_is_none_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=r"--fail-on is .*give one or more of duplicate, parametrize, similar, new"):
        parse_fail_on("--fail-on", text, has_baseline=True)


@pytest.mark.parametrize(
    ("name", "flag"), [("--qe-fail-on", "--qe-baseline PATH"), ("--fail-on", "give --baseline PATH")]
)
def test_new_needs_a_baseline(name: str, flag: str) -> None:
    with pytest.raises(ValueError, match=f"nothing tells what is new; .*{flag}"):
        parse_fail_on(name, "duplicate,new", has_baseline=False)

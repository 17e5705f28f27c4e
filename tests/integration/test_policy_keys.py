"""``qe_similar_ignore``, ``qe_similar_thresholds`` and ``# qe: similar-ok``, of pytest and of the command."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_qeattention.cli import main

if TYPE_CHECKING:
    from conftest import SmallSuite

INI = """
[tool.pytest.ini_options]
qe_similar_ignore = ["tests/generated/*"]
qe_similar_thresholds = ["tests/*: 1", "tests/test_stock.py: 0"]
"""


@pytest.fixture
def moved(small_suite: SmallSuite) -> SmallSuite:
    """Move the suite below ``tests``, beside generated files and a configuration."""
    small_suite.write("pyproject.toml", INI)
    for name, text in small_suite.files.items():
        (small_suite.path / name).unlink()
        small_suite.write(f"tests/{name}", text)
        small_suite.write(f"tests/generated/{name.replace('test_', 'test_made_')}", text)
    small_suite.write("tests/generated/test_broken.py", "def test_x(: pass\n")
    return small_suite


def test_paths_left_out_and_thresholds_are_those_of_the_rootdir(
    pytester: pytest.Pytester, moved: SmallSuite, monkeypatch: pytest.MonkeyPatch
) -> None:
    (moved.path / "tests/generated/test_broken.py").rename(moved.path / "broken")
    assert pytester.runpytest("--qe-similar", "--qe-json=live.json").ret == 0
    (moved.path / "broken").rename(moved.path / "tests/generated/test_broken.py")
    monkeypatch.chdir(moved.path / "tests")
    assert main(["similar", ".", "--json", "../static.json"]) == 0

    live, static = moved.report("live.json")["similar"], moved.report("static.json")["similar"]
    for similar, prefix in ((live, "tests/"), (static, "")):
        assert similar["tests"] == moved.units
        assert similar["left_out"] == {"ignored": moved.units}
        assert similar["problems"] == []
        assert [[test["path"] for test in group["tests"]] for group in similar["groups"]] == [
            [f"{prefix}test_stock.py"] * 2
        ]
        assert similar["below_threshold"] >= 1


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("qe_similar_ignore = /tests", "qe_similar_ignore has '/tests', which is not a glob of paths"),
        ("qe_similar_thresholds = tests: high", "qe_similar_thresholds has the line 'tests: high'"),
    ],
)
def test_bad_values_are_usage_errors_of_the_command(
    small_suite: SmallSuite, capsys: pytest.CaptureFixture[str], key: str, message: str
) -> None:
    small_suite.write("pytest.ini", f"[pytest]\n{key}\n")

    assert main(["similar", "."]) == 4
    assert message in capsys.readouterr().err


def test_acknowledged_tests_are_counted_and_shown_with_verbosity(
    pytester: pytest.Pytester, small_suite: SmallSuite
) -> None:
    text = small_suite.files["test_stock.py"]
    text = text.replace("def test_sums_up():", "def test_sums_up():  # qe: similar-ok shows the other way")
    text = text.replace("def test_parametrized(text):", "def test_parametrized(text):  # qe: similar-ok not needed")
    small_suite.write("test_stock.py", text)
    words = small_suite.files["test_words.py"].replace("def test_tea(self):", "def test_tea(self):  # qe: similar-ok")
    small_suite.write("test_words.py", words)

    short = pytester.runpytest("--qe-similar")
    long = pytester.runpytest("--qe-similar", "-v", "--qe-json=report.json")

    short.stdout.fnmatch_lines(
        [
            "  test_words.py:2: 'qe: similar-ok' gives no reason, so TestUpper::test_tea is not acknowledged; *",
            "qe-similar: 7 tests, 1 group (1 parametrize) covering 3 tests; 1 test acknowledged; 1 problem",
        ]
    )
    short.stdout.no_fnmatch_line("*shows the other way*")
    long.stdout.fnmatch_lines(
        [
            "acknowledged",
            "  test_stock.py:10  test_sums_up  shows the other way",
            "    duplicate with test_adds_up, score 1.00, id *",
            "",
            "acknowledged, and in no group: not needed any more",
            "  test_stock.py:18  test_parametrized  not needed",
        ]
    )
    similar = small_suite.report()["similar"]
    assert similar["acknowledged"] == [
        {
            "nodeid": "test_stock.py::test_sums_up",
            "path": "test_stock.py",
            "line": 10,
            "reason": "shows the other way",
        }
    ]
    (aside,) = similar["set_aside"]
    assert (aside["kind"], aside["acknowledged"]) == ("duplicate", similar["acknowledged"])
    assert [each["reason"] for each in similar["unneeded"]] == ["not needed"]
    assert [problem["line"] for problem in similar["problems"]] == [2]

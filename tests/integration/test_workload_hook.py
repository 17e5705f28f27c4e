"""The hooks: workloads of plugins, being told of groups, and what a broken plugin costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import SmallSuite

FIXTURES_WORKLOAD = """
import zlib
import numpy as np
import pytest_qeattention

class SameFixtures(pytest_qeattention.Workload):
    name = "same-fixtures"
    title = "Tests with the same fixtures"

    def embed(self, units):
        vectors = np.zeros((len(units), 64), dtype=np.float32)
        for vector, unit in zip(vectors, units):
            for name in unit.fixtures:
                vector[zlib.crc32(name.encode()) % 64] = 1
        return vectors
"""

CONFTEST = (
    FIXTURES_WORKLOAD
    + """
def pytest_qe_workloads(config):
    return [SameFixtures()]
"""
)

TWO_WITH_TMP_PATH = """
def test_one(tmp_path):
    assert tmp_path.is_dir()

def test_two(tmp_path):
    for number in range(3):
        print(number)

def test_three(capsys):
    raise NotImplementedError
"""


def test_the_example_adds_its_groups_to_the_report(pytester: pytest.Pytester, examples: Path) -> None:
    pytester.copy_example(str(examples / "custom_workload"))

    pytester.runpytest_subprocess().assert_outcomes(passed=4)
    result = pytester.runpytest_subprocess("--qe-similar", "--qe-json=report.json")

    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "Tests that speak of the same data",
            "similar  2 tests  score 0.*",
            "  test_accounts.py:8  test_login_answers_with_a_token",
            "  test_accounts.py:13  test_a_wrong_password_is_counted",
            "    all of them use 'ada@example.org'",
            "    all of them use 'https://shop.example/login'",
            "qe-similar: 4 tests, *",
            "qe-similar [[]shared-strings[]]: 4 tests, 1 group covering 2 tests",
        ]
    )
    document = json.loads((pytester.path / "report.json").read_text(encoding="utf-8"))
    (group,) = document["workloads"]["shared-strings"]["groups"]
    assert [test["name"] for test in group["tests"]] == [
        "test_login_answers_with_a_token",
        "test_a_wrong_password_is_counted",
    ]
    assert document["workloads"]["shared-strings"]["tests"] == document["similar"]["tests"] == 4


def test_the_example_runs_from_the_repository_root(examples: Path, tmp_path: Path) -> None:
    arguments = ["--qe-similar", "-p", "no:cacheprovider", f"--qe-json={tmp_path / 'report.json'}"]

    done = subprocess.run(
        [sys.executable, "-I", "-m", "pytest", "examples/custom_workload", *arguments],
        cwd=examples.parent,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert "qe-similar [shared-strings]: 4 tests, 1 group covering 2 tests" in done.stdout


def test_a_workload_of_the_root_conftest(pytester: pytest.Pytester, small_suite: SmallSuite) -> None:
    small_suite.write("conftest.py", CONFTEST)
    small_suite.write("test_fixtures.py", TWO_WITH_TMP_PATH)

    result = pytester.runpytest("--qe-similar", "--qe-json=report.json")

    assert result.ret == 0
    assert small_suite.groups(workload="same-fixtures") == {
        (
            "test_fixtures.py::test_one",
            "test_fixtures.py::test_two",
            "test_words.py::test_sleeps",
        ): "similar"
    }
    assert small_suite.groups()[small_suite.duplicates] == "duplicate"
    assert "problems" not in small_suite.report()


def test_a_workload_of_a_nested_conftest(pytester: pytest.Pytester, small_suite: SmallSuite) -> None:
    small_suite.write("below/conftest.py", CONFTEST)
    small_suite.write("below/test_fixtures.py", TWO_WITH_TMP_PATH)

    for arguments in ((), ("-n2",)):
        pytester.runpytest_subprocess("--qe-similar", "--qe-json=report.json", *arguments)

        assert list(small_suite.report()["workloads"]) == ["same-fixtures"]


@pytest.mark.parametrize(
    ("wanted", "parts"),
    [
        (["test-similarity"], {"similar"}),
        (["same-fixtures"], {"workloads"}),
        (["same-fixtures", "test-similarity"], {"similar", "workloads"}),
    ],
)
def test_workloads_are_chosen_by_name(
    pytester: pytest.Pytester, small_suite: SmallSuite, wanted: list[str], parts: set[str]
) -> None:
    small_suite.write("conftest.py", CONFTEST)

    result = pytester.runpytest("--qe-similar", "--qe-json=report.json", *(f"--qe-workload={name}" for name in wanted))

    assert result.ret == 0
    assert set(small_suite.report()) - {"schema", "backend"} == parts


def test_an_unknown_name_lists_what_exists(pytester: pytest.Pytester, small_suite: SmallSuite) -> None:
    small_suite.write("conftest.py", CONFTEST)

    result = pytester.runpytest("--qe-similar", "--qe-workload=same-fixture")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["*no analysis named 'same-fixture', so it cannot be run; choose from test-similarity, same-fixtures"]
    )


def test_an_unknown_name_ends_a_run_before_its_first_test(pytester: pytest.Pytester, small_suite: SmallSuite) -> None:
    for arguments in ((), ("-n1",)):
        result = pytester.runpytest_subprocess("--qe-similar", "--qe-run", "--qe-workload=nonsense", *arguments)

        assert result.ret == pytest.ExitCode.USAGE_ERROR
        assert result.parseoutcomes().get("passed", 0) == 0


def test_plugins_are_told_of_the_groups_of_every_workload(pytester: pytest.Pytester, small_suite: SmallSuite) -> None:
    small_suite.write(
        "conftest.py",
        CONFTEST
        + """
import json

told = {}

def pytest_qe_similar_groups(config, workload, groups):
    told[workload.name] = [[test.nodeid for test in group.tests] for group in groups]

def pytest_unconfigure():
    with open("told.json", "w") as file:
        json.dump(told, file)
""",
    )

    pytester.runpytest_subprocess("--qe-similar", "--qe-json=report.json")

    told = small_suite.report("told.json")
    assert set(told) == {"test-similarity", "same-fixtures"}
    assert told["test-similarity"] == [list(nodeids) for nodeids in small_suite.groups()]


def test_lines_that_a_workload_writes_itself(pytester: pytest.Pytester, small_suite: SmallSuite) -> None:
    small_suite.write(
        "conftest.py",
        CONFTEST.replace("def embed", "def report(self, groups):\n        return ['mine']\n\n    def embed"),
    )

    result = pytester.runpytest("--qe-similar", "--qe-workload=same-fixtures")

    result.stdout.fnmatch_lines(["Tests with the same fixtures", "mine", "qe-similar [[]same-fixtures[]]: *"])
    result.stdout.no_fnmatch_line("*score*")


def problems_of(small_suite: SmallSuite) -> list[dict[str, Any]]:
    problems = small_suite.report()["problems"]
    assert isinstance(problems, list)
    return problems


@pytest.mark.parametrize(
    ("hook", "words"),
    [
        ("    raise ValueError('boom')", "raised ValueError: boom; its workloads are left out"),
        ("    __import__('pytest').fail('no')", "raised Failed: no; its workloads are left out"),
        ("    return 'text'", "returned a value of type str, not a list of pytest_qeattention.Workload"),
        ("    return 3", "returned a value of type int, not a list of"),
        (
            "    return [object()]",
            "returned a list with a value of type object, not a pytest_qeattention.Workload",
        ),
        (
            "    return [SameFixtures]",
            "returned a list with the class SameFixtures itself, not a pytest_qeattention.Workload",
        ),
    ],
)
def test_a_hook_that_fails_is_named_and_the_rest_goes_on(
    pytester: pytest.Pytester, small_suite: SmallSuite, hook: str, words: str
) -> None:
    small_suite.write("conftest.py", f"{FIXTURES_WORKLOAD}\ndef pytest_qe_workloads(config):\n{hook}\n")
    small_suite.write("good.py", CONFTEST)
    pytester.syspathinsert()

    result = pytester.runpytest("--qe-similar", "--qe-json=report.json", "-p", "good")

    assert result.ret == 0
    result.stdout.fnmatch_lines([f"  conftest.py*: hook pytest_qe_workloads of plugin conftest.py {words}*"])
    assert small_suite.groups()[small_suite.duplicates] == "duplicate"
    assert list(small_suite.report()["workloads"]) == ["same-fixtures"]
    assert len(problems_of(small_suite)) == 1


def test_a_hook_that_returns_nothing_is_fine(pytester: pytest.Pytester, small_suite: SmallSuite) -> None:
    small_suite.write("conftest.py", "def pytest_qe_workloads(config):\n    return None\n")

    pytester.runpytest("--qe-similar", "--qe-json=report.json")

    assert "problems" not in small_suite.report()


def test_the_line_that_raised_is_given(pytester: pytest.Pytester, small_suite: SmallSuite) -> None:
    small_suite.write("conftest.py", "def pytest_qe_workloads(config):\n    x = 1\n    raise ValueError('boom')\n")

    pytester.runpytest("--qe-similar", "--qe-json=report.json")

    (problem,) = problems_of(small_suite)
    assert (problem["path"], problem["line"]) == ("conftest.py", 3)


def test_two_workloads_of_one_name(pytester: pytest.Pytester, small_suite: SmallSuite) -> None:
    small_suite.write("conftest.py", CONFTEST)
    small_suite.write("other.py", CONFTEST)
    pytester.syspathinsert()

    pytester.runpytest("--qe-similar", "--qe-json=report.json", "-p", "other")

    assert list(small_suite.report()["workloads"]) == ["same-fixtures"]
    (problem,) = problems_of(small_suite)
    assert "gave a workload named 'same-fixtures', as" in problem["message"]
    assert "other" in problem["message"]
    assert "conftest.py" in problem["message"]


def test_the_name_of_the_builtin_workload_cannot_be_taken(pytester: pytest.Pytester, small_suite: SmallSuite) -> None:
    small_suite.write("conftest.py", CONFTEST.replace("same-fixtures", "test-similarity"))

    pytester.runpytest("--qe-similar", "--qe-json=report.json")

    assert small_suite.groups()[small_suite.duplicates] == "duplicate"
    (problem,) = problems_of(small_suite)
    assert "as pytest-qeattention itself does" in problem["message"]


@pytest.mark.parametrize(
    ("embed", "words"),
    [
        ("raise ZeroDivisionError('boom')", "raised ZeroDivisionError: boom"),
        ("return 'text'", "raised "),
        ("return np.zeros((1, 2, 3), dtype=np.float32)", "raised "),
        ("return np.zeros((len(units) + 1, 3), dtype=np.float32)", "raised "),
    ],
)
def test_a_workload_that_fails_costs_its_own_report(
    pytester: pytest.Pytester, small_suite: SmallSuite, embed: str, words: str
) -> None:
    small_suite.write(
        "conftest.py",
        CONFTEST.replace("def embed(self, units):", f"def embed(self, units):\n        {embed}\n"),
    )

    result = pytester.runpytest("--qe-similar", "--qe-json=report.json")

    assert result.ret == 0
    result.stdout.fnmatch_lines([f"*workload 'same-fixtures' of plugin conftest.py {words}*; it has no report"])
    assert small_suite.groups()[small_suite.duplicates] == "duplicate"
    assert "workloads" not in small_suite.report()


def test_an_analysis_of_its_own_has_to_return_a_report(pytester: pytest.Pytester, small_suite: SmallSuite) -> None:
    small_suite.write(
        "conftest.py",
        CONFTEST.replace("def embed", "def analyse(self, suite, request):\n        return []\n\n    def embed"),
    )

    pytester.runpytest("--qe-similar", "--qe-json=report.json")

    (problem,) = problems_of(small_suite)
    assert "analyse() returned a value of type list, not a SimilarReport" in problem["message"]


def test_a_listener_that_raises_is_named_and_the_report_stands(
    pytester: pytest.Pytester, small_suite: SmallSuite
) -> None:
    small_suite.write("conftest.py", "def pytest_qe_similar_groups(groups):\n    raise RuntimeError('cannot listen')\n")

    result = pytester.runpytest("--qe-similar", "--qe-json=report.json")

    assert result.ret == 0
    (problem,) = problems_of(small_suite)
    assert "hook pytest_qe_similar_groups of plugin conftest.py raised RuntimeError" in problem["message"]
    assert len(small_suite.groups()) == 2


def test_the_hooks_are_known_when_the_plugin_is_off(pytester: pytest.Pytester, small_suite: SmallSuite) -> None:
    small_suite.write("conftest.py", "def pytest_qe_workloads(config):\n    raise ValueError('not to be called')\n")

    pytester.runpytest().assert_outcomes(passed=small_suite.items)


WRAPPERS = """
import json
import pytest

seen = []

@pytest.hookimpl(wrapper=True)
def pytest_qe_workloads():
    seen.append("before")
    answers = yield
    seen.append([[workload.name for workload in answer] for answer in answers])
    return answers

@pytest.hookimpl(hookwrapper=True)
def pytest_qe_similar_groups(workload, groups):
    seen.append(f"{workload.name}: {len(groups)}")
    yield

def pytest_unconfigure():
    with open("seen.json", "w") as file:
        json.dump({"seen": seen}, file)
"""


def test_a_wrapper_runs_once_around_all_implementations(pytester: pytest.Pytester, small_suite: SmallSuite) -> None:
    small_suite.write("conftest.py", WRAPPERS)
    small_suite.write("one.py", CONFTEST.replace("same-fixtures", "one"))
    small_suite.write("two.py", CONFTEST.replace("same-fixtures", "two"))
    small_suite.write("listener.py", "def pytest_qe_similar_groups(groups): pass\n")
    pytester.syspathinsert()

    pytester.runpytest_subprocess("--qe-similar", "--qe-json=report.json", "-p", "one", "-p", "two", "-p", "listener")

    assert small_suite.report("seen.json")["seen"] == [
        "before",
        [["two"], ["one"]],
        "test-similarity: 2",
        "one: 0",
        "two: 0",
    ]
    assert list(small_suite.report()["workloads"]) == ["one", "two"]
    assert small_suite.groups()[small_suite.duplicates] == "duplicate"


@pytest.mark.parametrize("hook", ["pytest_qe_workloads", "pytest_qe_similar_groups"])
@pytest.mark.parametrize(
    "body", ["raise RuntimeError('boom')\n    yield", "yield\n    raise RuntimeError('boom')"], ids=["before", "after"]
)
def test_a_wrapper_that_raises_is_named_and_costs_no_answer(
    pytester: pytest.Pytester, small_suite: SmallSuite, hook: str, body: str
) -> None:
    small_suite.write("conftest.py", f"import pytest\n\n@pytest.hookimpl(wrapper=True)\ndef {hook}():\n    {body}\n")
    small_suite.write("good.py", CONFTEST)
    pytester.syspathinsert()

    result = pytester.runpytest("--qe-similar", "--qe-json=report.json", "-p", "good")

    assert result.ret == 0
    assert {problem["message"] for problem in problems_of(small_suite)} == {
        f"a wrapper of hook {hook} of plugin conftest.py raised RuntimeError: boom; the answers to the hook stand"
    }
    assert small_suite.groups()[small_suite.duplicates] == "duplicate"
    assert list(small_suite.report()["workloads"]) == ["same-fixtures"]


@pytest.mark.parametrize("method", ["report(self, groups)", "analyse(self, suite, request)"])
@pytest.mark.parametrize("lines", ["'text'", "[1, 2]"])
def test_lines_that_are_no_list_of_strings_are_a_broken_promise(
    pytester: pytest.Pytester, small_suite: SmallSuite, method: str, lines: str
) -> None:
    value = lines if "report" in method else f"SimilarReport('x', 1, lines={lines})"
    small_suite.write(
        "conftest.py",
        "from pytest_qeattention.similarity.model import SimilarReport\n"
        + CONFTEST.replace("def embed", f"def {method}:\n        return {value}\n\n    def embed"),
    )

    result = pytester.runpytest("--qe-similar", "--qe-json=report.json")

    assert result.ret == 0
    (problem,) = problems_of(small_suite)
    assert "workload 'same-fixtures'" in problem["message"]
    assert "it has no report" in problem["message"]
    assert "workloads" not in small_suite.report()
    assert small_suite.groups()[small_suite.duplicates] == "duplicate"

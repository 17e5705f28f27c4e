"""The plugin beside pytest's other options: the report is given, and the exit code is pytest's own."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import SmallSuite

OPTIONS = [
    ("-p", "no:terminal"),
    ("-p", "no:cacheprovider"),
    ("-p", "no:xdist"),
    ("-p", "no:warnings"),
    ("-n0",),
    ("-n2",),
    ("--collect-only",),
    ("--collect-only", "-q"),
    ("-q",),
    ("-qq",),
    ("-vv",),
    ("-x",),
    ("--lf",),
    ("--sw",),
    ("-s",),
    ("--no-header", "--no-summary"),
    ("--import-mode=importlib",),
    ("-W", "error"),
    ("--junit-xml=junit.xml",),
    ("--strict-markers", "--strict-config"),
]

OPTIONS_OF_A_RUN = [
    ("-p", "no:terminal"),
    ("-p", "no:cacheprovider"),
    ("-p", "no:xdist", "-p", "no:warnings"),
    ("-n0",),
    ("-n2",),
    ("-q", "-x", "--lf"),
    ("--collect-only",),
    ("-s", "-W", "error"),
]


@pytest.mark.parametrize(
    "options",
    [*OPTIONS, *(("--qe-run", *options) for options in OPTIONS_OF_A_RUN)],
    ids=" ".join,
)
def test_the_report_is_given(pytester: pytest.Pytester, small_suite: SmallSuite, options: tuple[str, ...]) -> None:
    result = pytester.runpytest_subprocess("--qe-similar", "--qe-json=report.json", *options)

    assert result.ret == pytest.ExitCode.OK
    assert small_suite.report()["similar"]["tests"] == small_suite.units
    assert small_suite.groups() == {small_suite.duplicates: "duplicate", small_suite.foldable: "parametrize"}
    result.stdout.no_fnmatch_line("*Warning*")
    assert "Traceback" not in result.stderr.str()


@pytest.mark.parametrize("options", [("-x",), ("--maxfail=2",), ("-n2",), ("-n0",), ("--sw",)], ids=" ".join)
def test_a_red_run_keeps_its_exit_code(
    pytester: pytest.Pytester, small_suite: SmallSuite, options: tuple[str, ...]
) -> None:
    small_suite.write("test_red.py", "def test_red():\n    assert 0\n")

    plain = pytester.runpytest_subprocess(*options, "-p", "no:cacheprovider" if "--sw" not in options else "no:x")
    result = pytester.runpytest_subprocess("--qe-similar", "--qe-run", "--qe-json=report.json", *options)

    assert result.ret == plain.ret != 0
    assert small_suite.report()["similar"]["tests"] == small_suite.units + 1


def test_last_failed_is_remembered_through_an_analysis(pytester: pytest.Pytester, small_suite: SmallSuite) -> None:
    red = small_suite.write("test_red.py", "def test_red():\n    assert 0\n\ndef test_green():\n    pass\n")
    pytester.runpytest()

    pytester.runpytest("--qe-similar")
    pytester.runpytest("--qe-similar", "--lf", "--qe-json=report.json")
    result = pytester.runpytest("--lf", red)

    assert small_suite.report()["similar"]["tests"] == 1
    result.assert_outcomes(failed=1)


def test_two_runs_in_one_process(pytester: pytest.Pytester, small_suite: SmallSuite) -> None:
    pytester.runpytest_inprocess("--qe-similar", "--qe-json=first.json", "--qe-neighbors=1")
    small_suite.write("test_more.py", "def test_more(capsys):\n    print('more')\n    assert capsys.readouterr().out\n")
    second = pytester.runpytest_inprocess("--qe-similar", "--qe-json=second.json")
    off = pytester.runpytest_inprocess()

    assert small_suite.report("first.json")["similar"]["tests"] == small_suite.units
    assert small_suite.report("second.json")["similar"]["tests"] == small_suite.units + 1
    assert "neighbors" not in small_suite.report("second.json")["similar"]
    second.stdout.fnmatch_lines(["qe-similar: 8 tests, 2 groups *"])
    off.stdout.no_fnmatch_line("*qe-similar*")
    off.assert_outcomes(passed=small_suite.items + 1)


def test_the_random_state_of_the_tests_is_untouched(pytester: pytest.Pytester, small_suite: SmallSuite) -> None:
    small_suite.write(
        "conftest.py",
        """
        import random

        def pytest_collection():
            random.seed(1234)

        def pytest_unconfigure():
            print("\\nRANDOM", random.random())
        """,
    )

    values = {
        line
        for arguments in (["--qe-similar", "--qe-run"], [])
        for line in pytester.runpytest_subprocess(*arguments).outlines
        if line.startswith("RANDOM")
    }

    assert len(values) == 1


def test_no_tests_at_all(pytester: pytest.Pytester) -> None:
    for arguments in ((), ("--qe-run",), ("--qe-run", "-n2"), ("-n2",)):
        result = pytester.runpytest_subprocess("--qe-similar", *arguments)

        assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
        assert "Traceback" not in result.stderr.str()
        result.stdout.no_fnmatch_line("*QEWarning*")


def test_five_thousand_tests(pytester: pytest.Pytester, small_suite: SmallSuite) -> None:
    choose = random.Random(5000)
    calls = ("len(value)", "sorted(value)", "max(value)", "tuple(value)", "value.copy()", "value[::-1]", "sum(value)")
    for number in range(10):
        tests = []
        for index in range(500):
            body = [f"    result_{step} = {choose.choice(calls)}" for step in range(choose.randrange(1, 6))]
            value = [choose.randrange(100) for _ in range(3)]
            lines = [f"def test_{number}_{index}():", f"    value = {value}", *body, "    assert result_0 is not None"]
            tests.append("\n".join(lines))
        small_suite.write(f"test_many_{number}.py", "\n\n\n".join(tests) + "\n")

    result = pytester.runpytest_subprocess("--qe-similar", "--qe-json=report.json")

    assert result.ret == pytest.ExitCode.OK
    assert small_suite.report()["similar"]["tests"] == 5000 + small_suite.units
    assert small_suite.groups()[small_suite.duplicates] == "duplicate"
    assert small_suite.groups()[small_suite.foldable] == "parametrize"
    result.stdout.fnmatch_lines(["qe-similar: 5007 tests, *"])

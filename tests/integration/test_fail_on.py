"""``--qe-fail-on``: the exit code, after every report is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_qeattention.cli import main

if TYPE_CHECKING:
    from conftest import SmallSuite

BASELINE = ".qeattention/similar-baseline.jsonl"


@pytest.mark.parametrize(
    ("kinds", "said"),
    [
        ("duplicate", "1 group (1 duplicate)"),
        ("parametrize,duplicate", "2 groups (1 duplicate, 1 parametrize)"),
        ("similar", None),
    ],
)
def test_groups_of_the_kinds_named_fail_the_run(
    pytester: pytest.Pytester,
    small_suite: SmallSuite,
    capsys: pytest.CaptureFixture[str],
    kinds: str,
    said: str | None,
) -> None:
    result = pytester.runpytest("--qe-similar", f"--qe-fail-on={kinds}")
    capsys.readouterr()
    code = main(["similar", ".", "--fail-on", kinds])
    errors = capsys.readouterr().err

    if said is None:
        assert (result.ret, code, errors) == (0, 0, "")
        result.stdout.no_fnmatch_line("*failed by*")
    else:
        assert (result.ret, code) == (1, 1)
        assert result.stdout.str().count(f"qe-similar: failed by --qe-fail-on: {said}\n") == 1
        assert errors == f"qeattention: failed by --fail-on: {said}\n"


def test_every_report_is_written_before_the_run_fails(pytester: pytest.Pytester, small_suite: SmallSuite) -> None:
    outputs = {name: small_suite.path / f"report.{name}" for name in ("json", "sarif", "markdown")}
    arguments = [f"--qe-{name}={path}" for name, path in outputs.items()]

    result = pytester.runpytest(
        "--qe-similar",
        "--qe-run",
        "--qe-fail-on=duplicate",
        "--qe-github",
        "--qe-junit",
        "--junitxml=j.xml",
        *arguments,
    )

    assert result.ret == 1
    result.assert_outcomes(passed=9)
    assert all(path.stat().st_size for path in outputs.values())
    assert "qe\\_similar" not in outputs["markdown"].read_text()
    assert "**qe-similar: failed by --qe-fail-on: 1 group (1 duplicate)**" in outputs["markdown"].read_text()
    assert "qe_similar_group" in (small_suite.path / "j.xml").read_text()
    result.stdout.fnmatch_lines(["::warning file=test_stock.py,*", "duplicate  2 tests*", "*failed by --qe-fail-on*"])


def test_with_a_baseline_only_what_is_new_fails(pytester: pytest.Pytester, small_suite: SmallSuite) -> None:
    update = pytester.runpytest("--qe-similar", "--qe-baseline-update", "--qe-fail-on=new,duplicate")
    known = pytester.runpytest("--qe-similar", f"--qe-baseline={BASELINE}", "--qe-fail-on=new,duplicate")
    small_suite.write("test_again.py", small_suite.files["test_words.py"])
    fresh = pytester.runpytest("--qe-similar", f"--qe-baseline={BASELINE}", "--qe-fail-on=new")

    assert (update.ret, known.ret, fresh.ret) == (0, 0, 1)
    fresh.stdout.fnmatch_lines(["qe-similar: failed by --qe-fail-on: * new group*"])


def test_what_is_acknowledged_does_not_fail(pytester: pytest.Pytester, small_suite: SmallSuite) -> None:
    text = small_suite.files["test_stock.py"].replace(
        "def test_sums_up():", "def test_sums_up():  # qe: similar-ok why"
    )
    small_suite.write("test_stock.py", text)

    assert pytester.runpytest("--qe-similar", "--qe-fail-on=duplicate").ret == 0


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("def test_fails():\n    raise ValueError\n", pytest.ExitCode.TESTS_FAILED),
        ("import nothing_of_that_name\n", pytest.ExitCode.INTERRUPTED),
    ],
    ids=["failed", "collection error"],
)
def test_another_exit_code_stays(pytester: pytest.Pytester, small_suite: SmallSuite, text: str, code: int) -> None:
    small_suite.write("test_z.py", text)

    result = pytester.runpytest("--qe-similar", "--qe-run", "--qe-fail-on=duplicate")

    assert result.ret == code


def test_no_tests_is_pytests_own_code(pytester: pytest.Pytester) -> None:
    assert pytester.runpytest("--qe-similar", "--qe-fail-on=duplicate").ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_the_gate_holds_without_a_terminal(pytester: pytest.Pytester, small_suite: SmallSuite) -> None:
    assert pytester.runpytest("--qe-similar", "--qe-fail-on=duplicate", "-p", "no:terminal").ret == 1


def test_the_gate_is_the_controllers(pytester: pytest.Pytester, small_suite: SmallSuite) -> None:
    result = pytester.runpytest_subprocess("--qe-similar", "--qe-run", "--qe-fail-on=duplicate", "-n2")

    assert result.ret == 1
    result.assert_outcomes(passed=9)


def test_a_gate_without_a_report_does_not_pass(
    pytester: pytest.Pytester, small_suite: SmallSuite, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pytest_qeattention.similarity.builtin import TestSimilarity

    def analyse(*_: object) -> None:
        raise RuntimeError("on purpose")

    monkeypatch.setattr(TestSimilarity, "analyse", analyse)

    result = pytester.runpytest("--qe-similar", "--qe-fail-on=duplicate", "-W", "ignore::pytest.PytestWarning")

    assert result.ret == 1
    result.stdout.fnmatch_lines(["qe-similar: failed by --qe-fail-on: there is no report to judge"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fail-on", "copies"], "--fail-on is 'copies', and 'copies' is nothing to fail on"),
        (["--fail-on", "new"], "nothing tells what is new; give --baseline PATH"),
        (["--rank", "x", "--fail-on", "duplicate"], "--fail-on is about groups, and --rank finds none"),
        (["--rank", "x", "--github"], "--github is about groups"),
        (["--sarif", "-", "--github"], "cannot share standard output"),
        (["--markdown", "none/x.md"], "--markdown none/x.md: its directory does not exist"),
        (["--baseline", ""], "--baseline is given no path"),
        (["--baseline", "."], "cannot be read"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_usage_errors_of_the_command(
    small_suite: SmallSuite, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["similar", ".", *arguments]) == 4

    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""

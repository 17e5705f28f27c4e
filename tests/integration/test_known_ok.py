"""``--qe-known-ok`` and ``triage --known-ok``: which red runs pass, and all that keeps one from it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from pytest_qeattention import cli, defects_memory, defects_session
from pytest_qeattention.defects import grouping

# Runs in this process find these imported, and need not do it again each.
IMPORTED = (defects_memory, defects_session, grouping)

SHOP = """
class Pool:
    def get(self, seconds):
        raise ConnectionError(f"no free connection after {seconds} s")
"""
TESTS = """
import pytest
from shop import Pool

@pytest.mark.parametrize("seconds", [1, 2.5])
def test_order(seconds):
    Pool().get(seconds)

def test_green():
    pass
"""
OPTIONS = ("--qe-defects", "--qe-known-ok", "--qe-store=kept", "--qe-json=report.json")


def write(path: Path, **files: str) -> None:
    for name, text in files.items():
        (path / f"{name}.py").write_text(textwrap.dedent(text), encoding="utf-8")


def labels(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the lines of the labels as a merge or an old file would have them."""
    file = path / "kept" / "defects.jsonl"
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    for line in lines:
        change(line)
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def gate(path: Path) -> dict[str, Any]:
    part = json.loads((path / "report.json").read_text(encoding="utf-8"))["defects"]["known_ok"]
    assert isinstance(part, dict)
    return part


def day(days: int) -> str:
    return (datetime.now(timezone.utc).date() + timedelta(days)).isoformat()


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return the labels of somebody who has called the failures of the project BUG-1."""
    path = tmp_path_factory.mktemp("taught")
    write(path, shop=SHOP, test_shop=TESTS)
    command = [sys.executable, "-m", "pytest", "--qe-defects", f"--qe-store={path}"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "QE_"))}
    done = subprocess.run(command, cwd=path, env=environment, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout + done.stderr
    assert cli.main(["defects", "label", "last/1", "BUG-1", "--qe-store", str(path)]) == 0
    return (path / "defects.jsonl").read_bytes()


@pytest.fixture
def project(pytester: pytest.Pytester, taught: bytes) -> Path:
    """Return a project whose failures are all known."""
    write(pytester.path, shop=SHOP, test_shop=TESTS)
    (pytester.path / "kept").mkdir()
    (pytester.path / "kept" / "defects.jsonl").write_bytes(taught)
    return pytester.path


PASSED = f"passed by --qe-known-ok: 2 failures, known and confirmed (BUG-1 until {day(90)})"


@pytest.mark.parametrize("options", [(), ("-q",), ("-p", "no:cacheprovider", "-W", "error")], ids=" ".join)
def test_a_run_whose_failures_are_all_known_passes(
    pytester: pytest.Pytester, project: Path, options: tuple[str, ...]
) -> None:
    result = pytester.runpytest(*OPTIONS, *options)

    assert result.ret == pytest.ExitCode.OK
    result.assert_outcomes(failed=2, passed=1)
    assert PASSED in result.outlines
    assert gate(project) == {
        "passed": True,
        "reason": None,
        "failures": [
            {"nodeid": f"test_shop.py::test_order[{seconds}]", "defect": "BUG-1", "until": day(90)}
            for seconds in ("1", "2.5")
        ],
    }


def test_without_the_flag_the_code_stays(pytester: pytest.Pytester, project: Path) -> None:
    result = pytester.runpytest("--qe-defects", "--qe-store=kept")

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["known  2 failures  BUG-1  confidence *  last/1"])
    result.stdout.no_fnmatch_line("*known-ok*")


@pytest.mark.parametrize("options", [("-n2", "-p", "no:terminal"), ("-p", "no:terminal")], ids=" ".join)
def test_workers_and_a_missing_terminal_change_nothing(
    pytester: pytest.Pytester, project: Path, options: tuple[str, ...]
) -> None:
    assert pytester.runpytest(*OPTIONS, *options).ret == pytest.ExitCode.OK
    assert gate(project)["passed"] is True


@pytest.mark.usefixtures("project")
def test_it_names_what_passes_and_until_when(pytester: pytest.Pytester, capsys: pytest.CaptureFixture[str]) -> None:
    pytester.runpytest(*OPTIONS)
    capsys.readouterr()
    label = ["defects", "label", "last/1", "BUG-1", "--until", "2999-12-31", "--qe-store", "kept"]
    assert cli.main(label) == 0
    said = capsys.readouterr().out
    assert said == "qe-defects: BUG-1: 2 failures, 1 label in all; may pass until 2999-12-31\n"

    result = pytester.runpytest(*OPTIONS)

    result.stdout.fnmatch_lines(
        [
            "may pass until 2999-12-31: BUG-1  2 tests",
            "  test_shop.py::test_order[[]1[]]",
            "  test_shop.py::test_order[[]2.5[]]",
            "passed by --qe-known-ok: 2 failures, known and confirmed (BUG-1 until 2999-12-31)",
        ]
    )
    capsys.readouterr()
    for command in (["list"], ["show", "BUG-1"]):
        assert cli.main(["defects", *command, "--qe-store", "kept"]) == 0
        assert "may pass until 2999-12-31" in capsys.readouterr().out


def aged(line: dict[str, Any]) -> None:
    line["at"] = f"{day(-91)}T00:00:00.000000Z"


def automatic(line: dict[str, Any]) -> None:
    if line["kind"] == "label":
        line["source"] = "automatic"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (aged, f"is BUG-1, which may pass until {day(-1)} only; label it again, with --until DATE where it stays"),
        (automatic, "is new"),
    ],
)
def test_what_no_person_confirmed_lately_does_not_pass(
    pytester: pytest.Pytester, project: Path, change: Callable[[dict[str, Any]], None], reason: str
) -> None:
    labels(project, change)

    result = pytester.runpytest(*OPTIONS)

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    more = "(and 1 failure more that may not pass)"
    assert gate(project)["reason"] == f"test_shop.py::test_order[1] {reason} {more}"
    assert f"not passed by --qe-known-ok: test_shop.py::test_order[1] {reason} {more}" in result.outlines


def test_a_closed_defect_does_not_pass(pytester: pytest.Pytester, project: Path) -> None:
    assert cli.main(["defects", "close", "BUG-1", "--qe-store", "kept"]) == 0

    assert pytester.runpytest(*OPTIONS).ret == pytest.ExitCode.TESTS_FAILED
    assert "is BUG-1, which was closed" in gate(project)["reason"]


def test_a_known_test_that_fails_for_another_reason_does_not_pass(pytester: pytest.Pytester, project: Path) -> None:
    write(project, shop="class Pool:\n    def get(self, seconds):\n        return {'open': 1}['size']\n")

    assert pytester.runpytest(*OPTIONS).ret == pytest.ExitCode.TESTS_FAILED
    assert gate(project)["failures"] == []


def test_a_label_of_bare_values_is_no_reason(pytester: pytest.Pytester, project: Path) -> None:
    write(project, test_shop="def test_bare():\n    assert 1 == 2\n")
    pytester.runpytest(*OPTIONS)
    assert cli.main(["defects", "label", "last/1", "BUG-2", "--qe-store", "kept"]) == 0

    result = pytester.runpytest(*OPTIONS)

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert gate(project)["reason"] == (
        "test_shop.py::test_bare is BUG-2, but neither a message that says why nor code of the project took part in "
        "the match"
    )


@pytest.mark.parametrize("option", ["-x", "--maxfail=2"])
def test_a_run_that_was_stopped_keeps_its_code(pytester: pytest.Pytester, project: Path, option: str) -> None:
    assert pytester.runpytest(*OPTIONS, option).ret == pytest.ExitCode.TESTS_FAILED
    assert gate(project)["reason"] == "the run was stopped before all tests had run"


def test_a_file_that_cannot_be_collected_keeps_the_code(pytester: pytest.Pytester, project: Path) -> None:
    write(project, test_bad="import no_such_module\n")

    stopped = pytester.runpytest(*OPTIONS)
    assert stopped.ret == pytest.ExitCode.INTERRUPTED
    assert gate(project)["reason"] == "the exit code is 2, and only 1, that of failed tests, can become 0"
    assert cli.main(["defects", "label", "last/1", "BUG-3", "--qe-store", "kept"]) == 0
    gone_on = pytester.runpytest(*OPTIONS, "--continue-on-collection-errors")

    assert gone_on.ret == pytest.ExitCode.TESTS_FAILED
    gone_on.stdout.fnmatch_lines(["known  1 failure  BUG-3*"])
    assert gate(project)["reason"] == "test_bad.py could not be collected, so nothing is known of its tests"


def test_a_worker_that_crashed_keeps_the_code(pytester: pytest.Pytester, project: Path) -> None:
    write(project, test_crash="import os\n\ndef test_crash():\n    os._exit(3)\n")

    result = pytester.runpytest(*OPTIONS, "-n2")

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert gate(project)["reason"] == "test_crash.py::test_crash ended its worker, which says nothing of why"
    assert len(gate(project)["failures"]) == 2


def test_a_failure_that_no_test_reported_keeps_the_code(pytester: pytest.Pytester, project: Path) -> None:
    pytester.makeconftest(
        """
        import pytest

        @pytest.hookimpl(wrapper=True)
        def pytest_runtestloop(session):
            result = yield
            session.testsfailed += 1
            return result
        """
    )

    result = pytester.runpytest(*OPTIONS)

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert gate(project)["reason"] == (
        "pytest counts 3 failures, and 2 came with a report, so something else has failed"
    )


@pytest.mark.usefixtures("_loaded")
def test_the_other_gate_still_fails_the_run(pytester: pytest.Pytester, project: Path) -> None:
    same = "".join(
        f"def test_{name}():\n    stock = dict(tea=2, cups=1)\n    stock['tea'] += 3\n    assert stock['tea'] == 5\n\n"
        for name in ("one", "two")
    )
    write(project, test_same=same)

    both = pytester.runpytest(*OPTIONS, "--qe-similar", "--qe-fail-on=duplicate")
    assert both.ret == pytest.ExitCode.TESTS_FAILED
    assert gate(project)["reason"] == "qe-similar: failed by --qe-fail-on: 1 group (1 duplicate)"

    alone = pytester.runpytest(*OPTIONS, "--qe-similar")
    assert alone.ret == pytest.ExitCode.OK
    assert PASSED in alone.outlines


def test_labels_that_cannot_be_read_let_nothing_pass(pytester: pytest.Pytester, project: Path) -> None:
    file = project / "kept" / "defects.jsonl"
    file.write_bytes(file.read_bytes() + b'{"version":1,"kind":"state",\n')

    assert pytester.runpytest(*OPTIONS).ret == pytest.ExitCode.TESTS_FAILED
    assert gate(project)["reason"] == "1 line about defects cannot be read, and may say otherwise; correct the file"
    file.unlink()
    file.mkdir()
    assert pytester.runpytest(*OPTIONS).ret == pytest.ExitCode.TESTS_FAILED
    assert "was not looked up" in gate(project)["reason"]


def test_a_failure_of_ours_lets_nothing_pass(
    pytester: pytest.Pytester, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> Any:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(grouping, "causes_of", broken)

    assert pytester.runpytest(*OPTIONS).ret == pytest.ExitCode.TESTS_FAILED


def test_a_green_run_is_not_judged(pytester: pytest.Pytester, project: Path) -> None:
    result = pytester.runpytest(*OPTIONS, "-k", "green")

    assert result.ret == pytest.ExitCode.OK
    result.stdout.no_fnmatch_line("*known-ok*")


def test_alone_it_is_a_usage_error(pytester: pytest.Pytester) -> None:
    for more in ((), ("--qe-similar",)):
        result = pytester.runpytest("--qe-known-ok", *more)

        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(
            ["ERROR: --qe-known-ok lets known defects pass, and none is looked for; add --qe-defects"]
        )


def triage(path: Path, *arguments: str) -> int:
    return cli.main(["defects", "triage", *arguments, "--qe-store", str(path / "kept")])


def test_the_command_has_the_same_gate(
    pytester: pytest.Pytester, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytester.runpytest("--junitxml=red.xml", "-o", "junit_family=xunit1")
    assert cli.main(["defects", "learn", "red.xml", "--defect", "BUG-1", "--qe-store", "kept"]) == 0
    capsys.readouterr()

    assert triage(project, "red.xml") == 0
    assert "known-ok" not in capsys.readouterr().out
    assert triage(project, "red.xml", "--known-ok", "--json", "report.json") == 0
    out = capsys.readouterr().out
    assert f"passed by --known-ok: 2 failures, known and confirmed (BUG-1 until {day(90)})" in out
    assert gate(project)["passed"] is True
    assert cli.main(["defects", "close", "BUG-1", "--qe-store", "kept"]) == 0
    assert triage(project, "red.xml", "--known-ok", "-q") == 1
    assert "not passed by --known-ok: test_shop.py::test_order[1] is BUG-1, which was closed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ('<testsuite tests="1"><testcase classname="test_a" name="test_b"/></testsuite>', 0, ""),
        ("<testsuite></testsuite>", 1, "not passed by --known-ok: there are no tests in the files\n"),
        (
            '<testsuite><testcase classname="test_a" name="test_b"/>',
            1,
            "not passed by --known-ok: failures may be missing",
        ),
    ],
    ids=["green", "empty", "cut off"],
)
def test_the_command_does_not_pass_what_it_cannot_see(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, code: int, said: str
) -> None:
    report = tmp_path / "report.xml"
    report.write_text(text, encoding="utf-8")

    assert triage(tmp_path, str(report), "--known-ok") == code

    out = capsys.readouterr().out
    assert out.startswith(said or "qe-defects: no failures in 1 test")


@pytest.mark.parametrize("until", ["soon", "2020-01-01"])
def test_a_last_day_that_is_none_changes_nothing(project: Path, capsys: pytest.CaptureFixture[str], until: str) -> None:
    before = (project / "kept" / "defects.jsonl").read_bytes()

    assert cli.main(["defects", "label", "last/1", "BUG-1", "--until", until, "--qe-store", "kept"]) == 4

    assert capsys.readouterr().err.startswith("qeattention: error: ")
    assert (project / "kept" / "defects.jsonl").read_bytes() == before

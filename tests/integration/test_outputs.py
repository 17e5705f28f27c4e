"""``--qe-sarif``, ``--qe-markdown``, ``--qe-github``, ``--qe-junit``: the reports, of pytest and of the command."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_qeattention.cli import main

if TYPE_CHECKING:
    from conftest import SmallSuite


def first_duplicate(path: Path) -> dict[str, Any]:
    (run,) = json.loads(path.read_text(encoding="utf-8"))["runs"]
    return next(result for result in run["results"] if result["ruleId"] == "similar/duplicate")


def test_sarif_and_markdown_are_the_same_of_pytest_and_of_the_command(
    pytester: pytest.Pytester, small_suite: SmallSuite
) -> None:
    (small_suite.path / ".git").mkdir()

    result = pytester.runpytest("--qe-similar", "--qe-sarif=live.sarif", "--qe-markdown=live.md")
    assert main(["similar", ".", "--sarif", "static.sarif", "--markdown", "static.md"]) == result.ret == 0

    for kind in ("sarif", "md"):
        texts = {(small_suite.path / f"{name}.{kind}").read_text() for name in ("live", "static")}
        assert len(texts) == 1
    location = first_duplicate(small_suite.path / "live.sarif")["locations"][0]["physicalLocation"]
    assert location["artifactLocation"]["uri"] == "test_stock.py"
    assert "| duplicate | 1.00 | `test_stock.py:4 test_adds_up`<br>" in (small_suite.path / "live.md").read_text()


def test_a_sarif_report_of_the_command_may_go_to_standard_output(
    small_suite: SmallSuite, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["similar", ".", "--sarif", "-"]) == 0

    assert json.loads(capsys.readouterr().out)["version"] == "2.1.0"


@pytest.mark.parametrize(
    ("one", "two"), [("json", "sarif"), ("sarif", "markdown"), ("markdown", "baseline"), ("json", "baseline")]
)
def test_two_things_are_not_written_to_one_file(
    pytester: pytest.Pytester, small_suite: SmallSuite, capsys: pytest.CaptureFixture[str], one: str, two: str
) -> None:
    assert main(["similar", ".", "--baseline-update"]) == 0
    kept = small_suite.path / ".qeattention" / "similar-baseline.jsonl"
    before = kept.read_bytes()
    same = ".qeattention/../.qeattention/similar-baseline.jsonl"

    result = pytester.runpytest("--qe-similar", f"--qe-{one}={same}", f"--qe-{two}={kept}")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: --qe-{one} and --qe-{two} name the same file, *; give each its own"])
    assert main(["similar", ".", f"--{one}", same, f"--{two}", str(kept)]) == 4
    assert f"--{one} and --{two} name the same file" in capsys.readouterr().err
    assert kept.read_bytes() == before


@pytest.mark.parametrize("flag", ["json", "sarif", "markdown", "write-patch"])
@pytest.mark.parametrize(
    ("store", "kept"),
    [
        pytest.param((), ".qeattention/similar-baseline.jsonl", id="rootdir"),
        pytest.param(("--qe-store", "kept"), "kept/similar-baseline.jsonl", id="store"),
    ],
)
def test_the_default_baseline_is_not_written_over_either(
    small_suite: SmallSuite, capsys: pytest.CaptureFixture[str], flag: str, store: tuple[str, ...], kept: str
) -> None:
    (small_suite.path / kept).parent.mkdir()

    assert main(["similar", ".", "--baseline-update", f"--{flag}", kept, *store]) == 4

    assert f"--{flag} and --baseline name the same file" in capsys.readouterr().err
    assert not (small_suite.path / kept).exists()


def test_a_baseline_in_the_home_directory_is_not_written_over(
    small_suite: SmallSuite, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(small_suite.path))
    monkeypatch.setenv("USERPROFILE", str(small_suite.path))

    assert main(["similar", ".", "--baseline-update", "--baseline", "~/b.jsonl", "--json", "b.jsonl"]) == 4

    assert "--json and --baseline name the same file" in capsys.readouterr().err


def test_one_device_may_take_all(small_suite: SmallSuite) -> None:
    assert main(["similar", ".", "--json", "/dev/null", "--sarif", "/dev/null"]) == 0


def test_annotations_are_lines_of_their_own_with_and_without_a_terminal(
    pytester: pytest.Pytester, small_suite: SmallSuite
) -> None:
    with_terminal = pytester.runpytest("--qe-similar", "--qe-github")
    without = pytester.runpytest("--qe-similar", "--qe-github", "-p", "no:terminal")

    lines = [line for line in with_terminal.outlines if line.startswith("::")]
    assert lines == without.outlines
    assert any(line.startswith("::warning file=test_stock.py,line=4,endLine=7,title=2 tests with") for line in lines)


def cases(path: Path) -> dict[str | None, dict[str | None, str | None]]:
    return {
        case.get("name"): {each.get("name"): each.get("value") for each in case.findall("./properties/property")}
        for case in ET.parse(path).iter("testcase")
    }


def test_junit_says_the_group_of_each_test(pytester: pytest.Pytester, small_suite: SmallSuite) -> None:
    small_suite.write(
        "test_kinds.py",
        """
        import pytest
        from test_words import TestUpper


        class TestAgain(TestUpper):
            pass


        @pytest.mark.parametrize("count", [1, 2])
        def test_counts_up(count, record_property):
            record_property("mine", count)
            stock = dict(tea=2, cups=1)
            stock["tea"] += 3
            assert stock == {"tea": 5, "cups": 1}
        """,
    )
    # The family that allows properties of test cases.
    options = ("--qe-similar", "--qe-run", "--junitprefix=unit", "-ojunit_family=xunit1")

    without = pytester.runpytest(*options, "--junitxml=without.xml")
    single = pytester.runpytest(*options, "--qe-junit", "--junitxml=one.xml")
    several = pytester.runpytest_subprocess(*options, "--qe-junit", "--junitxml=two.xml", "-n2")

    assert without.ret == single.ret == several.ret == 0
    assert b"qe_similar" not in (small_suite.path / "without.xml").read_bytes()
    one, two = cases(small_suite.path / "one.xml"), cases(small_suite.path / "two.xml")
    assert one == two
    assert one["test_adds_up"]["qe_similar_kind"] == "duplicate"
    assert one["test_counts_up[1]"]["mine"] == "1"
    assert one["test_sleeps"] == {}
    groups = {name: case.get("qe_similar_group") for name, case in one.items()}
    assert groups["test_adds_up"] == groups["test_sums_up"]
    suite = ET.parse(small_suite.path / "one.xml").find("testsuite/properties")
    assert suite is not None
    assert suite[0].attrib == {"name": "qe_similar_tests", "value": "8"}


def test_a_junit_file_that_is_gone_is_a_warning(pytester: pytest.Pytester, small_suite: SmallSuite) -> None:
    small_suite.write(
        "conftest.py",
        """
        import os

        import pytest

        @pytest.hookimpl(trylast=True)
        def pytest_sessionfinish(session):
            os.unlink("j.xml")
        """,
    )

    result = pytester.runpytest("--qe-similar", "--qe-run", "--qe-junit", "--junitxml=j.xml")

    assert result.ret == 0
    result.stdout.fnmatch_lines(["qe-similar: cannot read *j.xml: No such file*; the file is as pytest wrote it"])


def test_an_output_that_cannot_be_written_costs_no_other(
    pytester: pytest.Pytester, small_suite: SmallSuite, capsys: pytest.CaptureFixture[str]
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no full device here")

    result = pytester.runpytest("--qe-similar", "--qe-sarif=/dev/full", "--qe-markdown=m.md")
    capsys.readouterr()
    code = main(["similar", ".", "--sarif", "/dev/full", "--json", "j.json"])

    assert (result.ret, code) == (0, 1)
    result.stdout.fnmatch_lines(["qe-similar: cannot write /dev/full: *; the run goes on without that file"])
    assert (small_suite.path / "m.md").is_file()
    assert (small_suite.path / "j.json").is_file()
    assert "cannot write /dev/full" in capsys.readouterr().err

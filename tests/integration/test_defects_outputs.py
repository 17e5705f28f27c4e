"""``--qe-sarif``, ``--qe-markdown``, ``--qe-github``, ``--qe-junit`` of a red run, and of ``defects triage``."""

from __future__ import annotations

import json
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from pytest_qeattention import cli, defects_memory, defects_session
from pytest_qeattention.defects import grouping

# Runs in this process find these imported, and need not do it again each.
IMPORTED = (defects_memory, defects_session, grouping)

SHOP = """
def amount(text):
    if not text.isdigit():
        raise ValueError(f"{text!r} is | no `amount` <b>")
    return int(text)
"""
TESTS = """
import pytest
from shop import amount

@pytest.fixture
def broken():
    raise OSError("a::b")

@pytest.mark.parametrize("text", ["a", "b", "1"])
def test_amount(text, record_property):
    record_property("mine", text)
    assert amount(text) == 1

def test_broken(broken):
    pass

@pytest.fixture
def closing():
    yield
    raise OSError("at the end")

def test_closing(closing):
    amount("c")
"""
JUNIT = ("--qe-junit", "--junitxml=o.xml", "-ojunit_family=xunit1")
FILES = ("--qe-sarif=o.sarif", "--qe-markdown=o.md", "--qe-github")


@pytest.fixture
def project(pytester: pytest.Pytester) -> Path:
    pytester.makepyfile(shop=SHOP, test_shop=TESTS)
    (pytester.path / ".git").mkdir()
    return pytester.path


def runs(path: Path) -> list[dict[str, Any]]:
    found = json.loads(path.read_text(encoding="utf-8"))["runs"]
    assert isinstance(found, list)
    return found


def test_each_report_is_written(pytester: pytest.Pytester, project: Path) -> None:
    result = pytester.runpytest("--qe-defects", *FILES, "-q")

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    (run,) = runs(project / "o.sarif")
    assert run["automationDetails"]["id"] == "qeattention/defects/"
    places = {
        (each["ruleId"], each["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]) for each in run["results"]
    }
    assert ("defects/new", "shop.py") in places
    text = (project / "o.md").read_text(encoding="utf-8")
    assert text.startswith("## 3 causes behind 5 failures\n")
    row = "| new | 3 | ``ValueError: 'b' is \\| no `amount` <b>`` | `shop.py:3` | last/1 |"
    assert row in text.splitlines()
    # Also where the line before is that of the progress.
    annotations = [line for line in result.outlines if "::error " in line]
    assert len(annotations) == 3
    assert annotations[0].startswith(
        "::error file=shop.py,line=3,title=new%3A 3 failures (last/1)::ValueError: 'b' is |"
    )
    assert any("::OSError: a::b%0A" in line for line in annotations)


@pytest.mark.parametrize("options", [("-n2",), ("-p", "no:terminal")], ids=" ".join)
def test_workers_and_a_missing_terminal_change_nothing(
    pytester: pytest.Pytester, project: Path, options: tuple[str, ...]
) -> None:
    store = ("--qe-store=kept",)
    first = pytester.runpytest("--qe-defects", *FILES, *store)
    texts = [(project / name).read_text(encoding="utf-8") for name in ("o.sarif", "o.md")]
    shutil.rmtree(project / "kept")
    again = pytester.runpytest("--qe-defects", *FILES, *store, *options)

    assert [(project / name).read_text(encoding="utf-8") for name in ("o.sarif", "o.md")] == texts
    annotations = [[line for line in run.outlines if line.startswith("::")] for run in (first, again)]
    assert annotations[0] == annotations[1] != []


@pytest.mark.usefixtures("_loaded")
def test_similar_tests_and_causes_share_the_files(pytester: pytest.Pytester, project: Path) -> None:
    same = "def test_{}():\n    stock = dict(tea=2, cups=1)\n    stock['tea'] += 3\n    assert stock['tea'] == 5\n"
    (project / "test_same.py").write_text("\n".join(same.format(name) for name in ("one", "two")), encoding="utf-8")

    result = pytester.runpytest("--qe-defects", "--qe-similar", *FILES, *JUNIT)

    ids = [run["automationDetails"]["id"] for run in runs(project / "o.sarif")]
    assert ids == ["qeattention/similar/", "qeattention/defects/"]
    assert all(run["invocations"][0]["executionSuccessful"] for run in runs(project / "o.sarif"))
    text = (project / "o.md").read_text(encoding="utf-8")
    assert text.index("## 3 causes behind 5 failures") < text.index("## Tests that repeat each other")
    levels = [line.split(" ")[0] for line in result.outlines if line.startswith("::")]
    assert levels == ["::error"] * 3 + ["::warning"]
    names = {each.get("name") for each in ET.parse(project / "o.xml").iter("property")}
    assert {"qe_similar_group", "qe_similar_tests", "qe_defects_cause", "qe_defects_causes", "mine"} <= names


def test_an_analysis_that_is_not_run_leaves_no_trace(pytester: pytest.Pytester, project: Path) -> None:
    pytester.makeconftest(
        """
        import pytest_qeattention
        from pytest_qeattention.similarity.model import SimilarReport

        class Nothing(pytest_qeattention.Workload):
            name = "nothing"

            def embed(self, units):
                raise NotImplementedError

            def analyse(self, suite, request):
                return SimilarReport("nothing", 0, ())

        def pytest_qe_workloads():
            return [Nothing()]
        """
    )

    pytester.runpytest_subprocess("--qe-defects", "--qe-similar", "--qe-workload=nothing", *FILES)

    assert [run["automationDetails"]["id"] for run in runs(project / "o.sarif")] == ["qeattention/defects/"]
    assert "repeat each other" not in (project / "o.md").read_text(encoding="utf-8")


def cases(path: Path) -> list[tuple[str | None, list[str]]]:
    return [
        (case.get("name"), [str(each.get("name")) for each in case.findall("./properties/property")])
        for case in ET.parse(path).iter("testcase")
    ]


def test_junit_says_the_cause_of_each_failing_test(pytester: pytest.Pytester, project: Path) -> None:
    pytester.runpytest("--qe-defects", "--qe-store=kept")
    assert cli.main(["defects", "label", "last/1", "BUG-1 & <co>", "--qe-store", "kept"]) == 0

    result = pytester.runpytest("--qe-defects", "--qe-store=kept", "--junitprefix=unit", *JUNIT)

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    state = ["qe_defects_cause", "qe_defects_state"]
    known = [*state, "qe_defects_defect", "qe_defects_confidence"]
    new = [*state, "qe_defects_confidence"]
    found = cases(project / "o.xml")
    assert found[:4] == [
        ("test_amount[a]", [*known, "mine"]),
        ("test_amount[b]", [*known, "mine"]),
        ("test_amount[1]", ["mine"]),
        ("test_broken", new),
    ]
    # pytest writes two cases of a test that fails at its end as well; each names both causes.
    assert found[4:] == [("test_closing", [*known, *new])] * 2
    values = {each.get("value") for each in ET.parse(project / "o.xml").iter("property")}
    assert "BUG-1 & <co>" in values


def test_a_green_run_writes_what_was_asked_for(pytester: pytest.Pytester, project: Path) -> None:
    result = pytester.runpytest("--qe-defects", *FILES, *JUNIT, "-k", "test_amount[1]")

    assert result.ret == pytest.ExitCode.OK
    assert runs(project / "o.sarif")[0]["results"] == []
    assert (project / "o.md").read_text(encoding="utf-8").startswith("## No failures\n")
    assert not any("::" in line for line in result.outlines)
    assert {each.get("name") for each in ET.parse(project / "o.xml").iter("property")} >= {"qe_defects_failures"}


def test_a_failed_analysis_is_told_and_costs_nothing_else(
    pytester: pytest.Pytester, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> Any:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(grouping, "causes_of", broken)

    result = pytester.runpytest("--qe-defects", *FILES, *JUNIT)

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    (run,) = runs(project / "o.sarif")
    assert run["invocations"][0]["executionSuccessful"] is False
    assert not (project / "o.md").exists()


def test_a_junit_file_that_is_gone_and_a_full_disk_are_warnings(pytester: pytest.Pytester, project: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no full device here")
    pytester.makeconftest(
        """
        import os
        import pytest

        @pytest.hookimpl(trylast=True)
        def pytest_sessionfinish(session):
            os.unlink("o.xml")
        """
    )

    result = pytester.runpytest(
        "--qe-defects", "--qe-junit", "--junitxml=o.xml", "--qe-sarif=/dev/full", "--qe-markdown=o.md"
    )

    result.stdout.fnmatch_lines(["qe-defects: cannot write /dev/full: *; the run goes on without that file"])
    result.stdout.fnmatch_lines(["qe-defects: cannot read *o.xml: No such file*; the file is as pytest wrote it"])
    assert (project / "o.md").is_file()


@pytest.mark.parametrize("flag", ["--qe-sarif=o", "--qe-markdown=o", "--qe-github", "--qe-junit"])
def test_without_an_analysis_they_are_usage_errors(pytester: pytest.Pytester, flag: str) -> None:
    result = pytester.runpytest(flag)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {flag.partition('=')[0]} says how *; add --qe-similar or --qe-defects"])


def test_the_command_writes_the_same_reports(project: Path, examples: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = str(examples / "failures" / "monday.xml")
    assert cli.main(["defects", "triage", report, "--sarif", "o.sarif", "--markdown", "o.md", "--github"]) == 0

    out = capsys.readouterr().out
    (run,) = runs(project / "o.sarif")
    assert [each["properties"]["failures"] for each in run["results"]] == [4, 1]
    assert (project / "o.md").read_text(encoding="utf-8").startswith("## 2 causes behind 5 failures\n")
    assert [line.split(",title")[0] for line in out.splitlines() if line.startswith("::")] == [
        "::error file=shop/orders.py,line=5",
        "::error file=tests/test_orders.py,line=16",
    ]
    assert "qe-defects: 2 causes behind 5 failures" in out.splitlines()


@pytest.mark.parametrize("kind", ["json", "sarif", "markdown"])
def test_the_command_gives_a_report_alone_on_standard_output(
    project: Path, examples: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    assert cli.main(["defects", "triage", str(examples / "failures" / "monday.xml"), f"--{kind}", "-"]) == 0

    out = capsys.readouterr().out
    if kind == "markdown":
        assert out.startswith("## 2 causes behind 5 failures\n")
    else:
        assert isinstance(json.loads(out), dict)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--sarif", "-", "--github"), "--json, --sarif, --markdown and --github cannot share standard output"),
        (("--sarif", "o", "--json", "./o"), "--json and --sarif name the same file"),
        (("--markdown", "no/such/o"), "--markdown no/such/o: its directory does not exist"),
        (("--sarif", "."), "--sarif '.' names no file"),
    ],
)
def test_what_the_command_cannot_write_is_a_usage_error(
    project: Path, examples: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], message: str
) -> None:
    assert cli.main(["defects", "triage", str(examples / "failures" / "monday.xml"), *options]) == 4

    assert message in capsys.readouterr().err
    assert not (project / ".pytest_cache").exists()

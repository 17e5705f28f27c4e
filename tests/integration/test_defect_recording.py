"""How a made project fails with defects put in, recorded by running its tests."""

from __future__ import annotations

import json
import os
import sys
import textwrap
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from pytest_qeattention.defects.record import FailureRecord

ROOT = Path(__file__).parents[2]
PRODUCT = """
    class Pond:
        def __init__(self):
            self.fish = []

        def add(self, name):
            self.fish.append(name)
            return self


    def depth(pond):
        return len(pond.fish)
    """
TESTS = """
    import pytest

    from pond import Pond, depth


    @pytest.fixture
    def pond():
        return Pond()


    @pytest.mark.parametrize("name", range(30))
    def test_add(pond, name):
        assert pond.add(name).fish == [name]


    class TestDepth:
        def test_of_none(self, pond):
            assert depth(pond) == 0

        def test_wrong(self, pond):
            assert depth(pond) == 1
    """
OF_NONE = "tests/test_pond.py::TestDepth::test_of_none"

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="defects are tried in forks")


@pytest.fixture
def benchmarks_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT)])


@pytest.fixture
def project(tmp_path: Path, benchmarks_on_path: None) -> Any:
    from benchmarks.quality.projects import Plan, Project

    place = tmp_path / "pond-1.0"
    files = {"pond/__init__.py": PRODUCT, "tests/test_pond.py": TESTS, "pytest.ini": "[pytest]\n"}
    for name, text in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(textwrap.dedent(text), encoding="utf-8")
    return Project("pond", "1.0", place, place, Path(sys.prefix), Plan(("pond",)))


def runs_and_variants(project: Any) -> tuple[Any, list[Any]]:
    from benchmarks.defects.records import Runs
    from benchmarks.defects.variants import make_variants

    place = project.directory.parent / "variants"
    return Runs(project), make_variants(project.copy, project.plan.source, project.plan.tests, place)


def test_which_tests_call_a_function_and_pass(project: Any) -> None:
    runs, (plain, *_) = runs_and_variants(project)
    learned = runs.run(plain, "learn", within=60)
    names = [item["nodeid"].rpartition("::")[2] for item in learned["items"]]
    # Of a test with many parameters a part is drawn, and keeps its order.
    added = [int(name.removeprefix("test_add[").removesuffix("]")) for name in names[:-2]]
    assert len(added) == 25
    assert added == sorted(set(added) & set(range(30)))
    assert names[-2:] == ["test_of_none", "test_wrong"]
    assert [item["passed"] for item in learned["items"]] == [True] * 26 + [False]
    called = {row["name"]: [names[at] for at in row["items"]] for row in learned["functions"]}
    assert called["add"] == names[:-2]
    assert called["depth"] == ["test_of_none", "test_wrong"]
    (fixture,) = learned["fixtures"]
    line = textwrap.dedent(TESTS).splitlines().index("@pytest.fixture") + 1
    assert fixture == {"path": "tests/test_pond.py", "line": line}


def test_failures_are_recorded_as_the_plugin_and_junit_files_have_them(project: Any) -> None:
    runs, (plain, _, edited) = runs_and_variants(project)
    source = (plain.root / "pond/__init__.py").read_text(encoding="utf-8")
    assert source.count("return len(pond.fish)") == 1
    cases = [
        {"path": "pond/__init__.py", "source": source.replace(before, after), "tests": [OF_NONE], "timeout": timeout}
        for before, after, timeout in (
            ("return len(pond.fish)", "return len(pond.dish)", None),
            ("return len(pond.fish)", "while True: pass", 0.1),
            ("self.fish.append(name)", "return None", None),
        )
    ]
    said = runs.run(plain, "forks", within=60, cases=cases, most=9)
    assert runs.problems == {}
    assert [case["end"] for case in said["cases"]] == ["ran", "ran", "ran"]
    (misspelled,), (endless,), unnoticed = (case["failures"] for case in said["cases"])
    assert unnoticed == []
    record = FailureRecord.from_plain(misspelled["record"])
    assert (record.nodeid, record.phase) == (OF_NONE, "call")
    assert [(frame.qualname, frame.role) for frame in record.chain[0].frames] == [
        ("TestDepth.test_of_none", "test"),
        ("depth", "product"),
    ]
    assert record.culprit is not None
    assert record.culprit.statement == "return len(pond.dish)"
    message = "AttributeError: 'Pond' object has no attribute 'dish'"
    assert misspelled["crash"].startswith(message)
    assert misspelled["crash"] in misspelled["text"]
    assert misspelled["junit"] == {
        "kind": "failure",
        "classname": "tests.test_pond.TestDepth",
        "name": "test_of_none",
        "message": misspelled["crash"],
    }
    assert FailureRecord.from_plain(endless["record"]).phase == "timeout"
    assert endless["crash"] == "Failed: Timeout (>0.1s) from pytest-timeout."
    # What the machine calls the directory is in no text, and what stands beside the plugin is shown as installed.
    shifted = (edited.root / "pond/__init__.py").read_text(encoding="utf-8")
    changed = shifted.replace("return len(pond.fish)", "return len(pond.dish)")
    whole = {"path": "pond/__init__.py", "source": changed, "tests": [OF_NONE], "timeout": None}
    (again,) = runs.run(edited, "forks", within=60, cases=[whole], most=1)["cases"]
    (drifted,) = again["failures"]
    assert "/later/checkout/pond/__init__.py" in drifted["text"]
    assert str(edited.root) not in json.dumps(drifted)
    assert "qe_runner.py" not in drifted["text"]
    assert FailureRecord.from_plain(drifted["record"]).signature() == record.signature()


def test_what_is_kept_of_a_failure_is_what_a_junit_file_says(project: Any, tmp_path: Path) -> None:
    from dataclasses import replace

    report = tmp_path / "report.xml"
    broken = replace(project, plan=replace(project.plan, options=(f"--junit-xml={report}",)))
    runs, (plain, *_) = runs_and_variants(broken)
    tests = plain.root / "tests/test_pond.py"
    text = tests.read_text(encoding="utf-8")
    tests.write_text(text.replace("return Pond()", "raise OSError(24, 'Too many')"), encoding="utf-8")
    (plain.root / "tests/test_other.py").write_text("import absent\n", encoding="utf-8")
    failures = runs.run(plain, "whole", within=60)["failures"]
    kept = [failure["junit"] for failure in failures]
    written = []
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        for each in case:
            names = {name: case.get(name) for name in ("classname", "name")}
            written.append({"kind": each.tag, **names, "message": each.get("message")})
    assert kept == written
    assert [failure["record"]["phase"] for failure in failures] == ["collect", *["setup"] * 32]
    assert kept[0]["message"] == "collection failure"
    assert failures[0]["crash"] is None
    assert failures[1]["crash"] in kept[1]["message"]
    assert kept[1]["kind"] == "error"

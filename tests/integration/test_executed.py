"""What the tests of a made project execute, found by running them."""

from __future__ import annotations

import importlib.util
import json
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_qeattention.similarity.service import suite_from_paths

ROOT = Path(__file__).parents[2]

PRODUCT = '''
    from functools import wraps


    def logged(function):
        """Run at import: no test executes it."""

        @wraps(function)
        def logging(*arguments):
            return function(*arguments)

        return logging


    class Pond:
        def __init__(self):
            """Have no fish."""
            self.fish = []

        @logged
        def add(
            self,
            name,
        ):
            def check(name):
                if not name:
                    raise ValueError("a fish has a name")

            check(name)
            self.fish.append(name)
            return self

        def drain(self): self.fish = []

        def unused(self):
            return None


    def depth(pond):
        """Say how deep *pond* is."""
        return (
            len(pond.fish)
        )
    '''

TESTS = """
    import unittest

    import pytest

    from pond import Pond, depth


    @pytest.fixture
    def pond():
        return Pond()


    @pytest.mark.parametrize("name", ["carp", "koi"])
    def test_add(pond, name):
        assert pond.add(name).fish == [name]


    def test_add_nothing(pond):
        with pytest.raises(ValueError, match="a name"):
            pond.add("")


    class TestDepth:
        def test_of_none(self, pond):
            pond.drain()
            assert depth(pond) == 0

        def test_wrong(self, pond):
            assert depth(pond) == 1, "deeper"


    class Shared:
        def test_inherited(self):
            assert Pond().fish == []


    class TestOne(Shared):
        pass


    class TestTwo(Shared):
        pass


    class TestOld(unittest.TestCase):
        def setUp(self):
            self.pond = Pond()

        def test_error(self):
            depth(None)


    @pytest.mark.skip(reason="too slow")
    def test_skipped(pond):
        depth(pond)
    """


@pytest.fixture
def benchmarks_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT)])


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    place = tmp_path / "pond-1.0"
    for name, text in (
        ("pond/__init__.py", PRODUCT),
        ("pond/tests/__init__.py", ""),
        ("pond/tests/helper.py", "def unseen():\n    return 1\n"),
        ("tests/test_pond.py", TESTS),
    ):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(textwrap.dedent(text), encoding="utf-8")
    return place


def recorded(directory: Path, *, trace: bool) -> tuple[Any, dict[str, Any]]:
    """Return the project as one that is installed here, and what running its tests recorded."""
    from benchmarks.quality.projects import Plan, Project, record

    project = Project("pond", "1.0", directory, directory, Path(sys.prefix), Plan(("pond",)))
    return project, record(project, project.plan.tests, trace=trace, seconds=60)


@pytest.mark.usefixtures("benchmarks_on_path")
@pytest.mark.skipif(importlib.util.find_spec("coverage") is None, reason="coverage.py is not installed")
def test_truth_of_a_suite(directory: Path) -> None:
    from benchmarks.quality.executed import truth

    project, record = recorded(directory, trace=True)
    document = truth(project, record, suite_from_paths(["tests"], cwd=directory).units)
    file = "tests/test_pond.py::"
    add, nothing = f"{file}test_add", f"{file}test_add_nothing"
    none, wrong, error = f"{file}TestDepth::test_of_none", f"{file}TestDepth::test_wrong", f"{file}TestOld::test_error"
    inherited = f"{file}Shared::test_inherited"
    assert {row["qualname"]: row["tests"] for row in document["functions"]} == {
        "logged.<locals>.logging": [add, nothing],
        "Pond.__init__": sorted([add, nothing, none, wrong, error, inherited]),
        "Pond.add": [add, nothing],
        "Pond.add.<locals>.check": [add, nothing],
        "depth": sorted([none, wrong, error]),
    }
    assert {(row["path"], row["qualname"], row["line"], row["end_line"]) for row in document["functions"][-1:]} == {
        ("pond/__init__.py", "depth", 39, 43)
    }
    assert (document["pool"], document["in_pool"], document["tests_run"], document["instances"]) == (7, 6, 6, 9)
    assert (document["failed"], document["not_in_pool"]) == ([wrong, error], [])
    assert document["not_run"] == [f"{file}test_skipped"]
    assert document["functions_in_all"] == 8


@pytest.mark.usefixtures("benchmarks_on_path")
def test_record_of_failures(directory: Path) -> None:
    _, record = recorded(directory, trace=False)
    failures: dict[str, Mapping[str, Any]] = {failure["nodeid"]: failure for failure in record["failures"]}
    wrong = failures["tests/test_pond.py::TestDepth::test_wrong"]
    assert (wrong["type"], wrong["when"], wrong["frames"]) == ("builtins.AssertionError", "call", [])
    assert wrong["message"].startswith("deeper")
    assert "AssertionError: deeper" in wrong["traceback"]
    error = failures["tests/test_pond.py::TestOld::test_error"]
    assert (error["type"], error["message"]) == ("builtins.AttributeError", "'NoneType' object has no attribute 'fish'")
    assert error["frames"] == [{"path": "pond/__init__.py", "qualname": "depth", "line": 42}]
    assert len(failures) == 2
    assert (record["coverage"], record["lines"]) == (None, {})


@pytest.mark.usefixtures("benchmarks_on_path")
def test_a_suite_that_hangs_or_breaks(directory: Path) -> None:
    from benchmarks.quality.projects import Plan, Project, ProjectError, record

    project = Project("pond", "1.0", directory, directory, Path(sys.prefix), Plan(("pond",)))
    (directory / "conftest.py").write_text("raise SystemError('no')\n")
    with pytest.raises(ProjectError, match="without a record"):
        record(project, ["tests"], trace=False, seconds=60)
    (directory / "conftest.py").write_text("import time\ntime.sleep(600)\n")
    with pytest.raises(ProjectError, match="more than 1 s"):
        record(project, ["tests"], trace=False, seconds=1)


@pytest.mark.usefixtures("benchmarks_on_path")
def test_what_cannot_be_used_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from benchmarks.quality.executed import main

    (tmp_path / "pond-1.0").mkdir()
    assert main([str(tmp_path / "out"), str(tmp_path / "pond-1.0"), "pond"]) == 1
    said = capsys.readouterr().err
    assert "pond-1.0 has no folder of its package where one is expected" in said
    assert "pond is neither NAME==VERSION nor a directory NAME-VERSION" in said
    assert json.loads(json.dumps(list((tmp_path / "out").glob("*.json")))) == []

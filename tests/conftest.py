from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any, ClassVar

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _settings_of_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what the caller's environment says about the plugin out of the tests."""
    for name in ("QE_BACKEND", "QE_ISA", "QE_THREADS", "QE_STORE"):
        monkeypatch.delenv(name, raising=False)
    # At the end of every run Hypothesis' plugin imports Hypothesis, which takes longer than all else in a small run.
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:hypothesispytest")


@pytest.fixture
def examples() -> Path:
    """Return the directory of the examples."""
    return ROOT / "examples"


class SmallSuite:
    """Hold a project with two duplicates, three foldable tests and two that resemble nothing."""

    files: ClassVar[dict[str, str]] = {
        "test_stock.py": """
            import pytest


            def test_adds_up():
                stock = dict(tea=2, cups=1)
                stock["tea"] += 3
                assert stock == {"tea": 5, "cups": 1}


            def test_sums_up():
                stock = dict(tea=2, cups=1)

                stock["tea"] += 3  # the same again
                assert stock == {"tea": 5, "cups": 1}


            @pytest.mark.parametrize("text", ["a", "b", "c"])
            def test_parametrized(text):
                path = "/".join(reversed([text, "x"]))
                assert path.startswith("x") and path.endswith(text), path
            """,
        "test_words.py": """
            class TestUpper:
                def test_tea(self):
                    word = "tea"
                    shouted = word.upper()
                    assert shouted == "TEA"

                def test_cup(self):
                    word = "cup"
                    shouted = word.upper()
                    assert shouted == "CUP"

                def test_milk(self):
                    word = "milk"
                    shouted = word.upper()
                    assert shouted == "MILK"


            def test_sleeps(tmp_path):
                with open(tmp_path / "file", "wb") as file:
                    for number in range(3):
                        file.write(bytes([number]))
                assert sum(file.name.count(letter) for letter in "xyz") >= 0
            """,
    }
    units = 7
    items = 9
    duplicates = ("test_stock.py::test_adds_up", "test_stock.py::test_sums_up")
    foldable = (
        "test_words.py::TestUpper::test_tea",
        "test_words.py::TestUpper::test_cup",
        "test_words.py::TestUpper::test_milk",
    )

    def __init__(self, path: Path) -> None:
        self.path = path
        for name, text in self.files.items():
            self.write(name, text)

    def write(self, name: str, text: str) -> Path:
        """Write a file of the project."""
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
        return file

    def report(self, name: str = "report.json") -> dict[str, Any]:
        """Read a JSON report of the project."""
        document = json.loads((self.path / name).read_text(encoding="utf-8"))
        assert isinstance(document, dict)
        return document

    def groups(self, name: str = "report.json", workload: str | None = None) -> dict[tuple[str, ...], str]:
        """Return the kind of each group of a JSON report, by the node ids of its tests."""
        document = self.report(name)
        part = document["similar"] if workload is None else document["workloads"][workload]
        return {tuple(test["nodeid"] for test in group["tests"]): group["kind"] for group in part["groups"]}


@pytest.fixture(scope="session")
def _loaded() -> None:
    """Load what cannot be loaded twice into a process, before pytester undoes the imports of a run in it."""
    from pytest_qeattention.attention import core_problem
    from pytest_qeattention.similarity import builtin, service

    core_problem()
    assert builtin is not service


@pytest.fixture
def small_suite(pytester: pytest.Pytester, _loaded: None) -> SmallSuite:
    """Return a small project in pytester's directory."""
    return SmallSuite(pytester.path)

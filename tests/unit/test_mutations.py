"""Small defects of functions, and how the tests of a made project notice them."""

from __future__ import annotations

import ast
import os
import random
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SOURCE = textwrap.dedent(
    '''
    def level(pond, höhe, *, ö="ä"):
        """Say 1 == 1."""
        def inner():
            return 5

        if pond.depth == len(pond.stones):
            pond.fill(höhe, 2)
        pond.stones = [
            1
        ]
        total = range(
                höhe)
        return (total
                + True)
    '''
)


@pytest.fixture(autouse=True)
def benchmarks_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT)])


def function() -> ast.FunctionDef:
    node = ast.parse(SOURCE).body[0]
    assert isinstance(node, ast.FunctionDef)
    return node


def test_each_operator_changes_its_place() -> None:
    from benchmarks.quality.mutations import mutations

    data = SOURCE.encode()
    found = [
        (each.operator, each.line, data[each.start : each.end].decode(), each.text)
        for each in mutations(function(), data)
    ]
    assert found == [
        ("negated condition", 7, "pond.depth == len(pond.stones)", "(not (pond.depth == len(pond.stones)))"),
        ("flipped comparison", 7, "pond.depth == len(pond.stones)", "(pond.depth) != (len(pond.stones))"),
        ("off by one", 7, "len(pond.stones)", "(len(pond.stones) - 1)"),
        ("removed statement", 8, "pond.fill(höhe, 2)", "pass"),
        ("swapped arguments", 8, "höhe, 2", "2, höhe"),
        ("changed constant", 8, "2", "3"),
        ("removed statement", 9, "pond.stones = [\n        1\n    ]", "pass\n\n"),
        ("changed constant", 10, "1", "2"),
        ("off by one", 13, "höhe", "(höhe) - 1"),
        ("return None", 14, "return (total\n            + True)", "return None\n"),
        ("flipped sign", 14, "total\n            + True", "(((total) - (True))\n)"),
        ("changed constant", 15, "True", "False"),
    ]


def test_every_defect_is_another_function_in_as_many_lines() -> None:
    from benchmarks.quality.mutants import is_other_function
    from benchmarks.quality.mutations import mutations

    data = SOURCE.encode()
    changed = [each.of(data) for each in mutations(function(), data)]
    assert all(is_other_function(function(), each) for each in changed)
    assert {each.count(b"\n") for each in changed} == {data.count(b"\n")}
    assert not is_other_function(function(), data.replace(b"+ True", b"+ (True)"))
    assert not is_other_function(function(), data.replace(b"+ True", b"+ (True"))
    assert not is_other_function(function(), b"\n" + data)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="defects are tried in forks")
def test_failures_of_a_defect(tmp_path: Path) -> None:
    from benchmarks.quality.mutants import measure
    from benchmarks.quality.projects import Plan, Project

    directory = tmp_path / "pond-1.0"
    (directory / "tests").mkdir(parents=True)
    (directory / "pond").mkdir()
    product = (
        "def level(n):\n    return n + n\n\n\ndef drain(n):\n    os.unlink(n)\n\n\ndef unseen(n):\n    return n + n\n"
    )
    (directory / "pond" / "__init__.py").write_text(product)
    tests = """
        import pytest
        from pond import level

        @pytest.mark.parametrize("n", [1, 2])
        def test_two(n):
            assert level(n) == 2 * n

        class Shared:
            def test_one(self):
                assert level(1) > 1

        class TestIt(Shared):
            pass

        def test_bad():
            assert level(1) == 3
        """
    (directory / "tests" / "test_pond.py").write_text(textwrap.dedent(tests))
    names = [f"tests/test_pond.py::{name}" for name in ("Shared::test_one", "test_bad", "test_two")]
    rows = [
        {"path": "pond/__init__.py", "qualname": "level", "line": 1, "tests": names},
        {"path": "pond/__init__.py", "qualname": "drain", "line": 5, "tests": names},
        {"path": "pond/__init__.py", "qualname": "unseen", "line": 9, "tests": names[:1]},
    ]
    project = Project("pond", "1.0", directory, directory, Path(sys.prefix), Plan(("pond",)))
    truth = {"python": "3", "pytest": "9", "failed": names[1:2], "functions": rows}
    document = measure(project, truth, 9, 60)
    # The test that fails without a defect says nothing, and of the functions one is risky and one has a single test.
    assert (document["tried"], document["ends"]) == (2, {"noticed by two or more": 2})
    by_operator = {mutant["operator"]: mutant for mutant in document["mutants"]}
    assert set(by_operator) == {"flipped sign", "return None"}
    one, two = by_operator["return None"]["failures"]
    assert (one["test"], one["nodeid"]) == (names[0], "tests/test_pond.py::TestIt::test_one")
    assert (two["test"], two["nodeid"], two["type"]) == (names[2], f"{names[2]}[1]", "builtins.AssertionError")
    assert (one["type"], one["frames"]) == ("builtins.TypeError", [])
    assert (directory / "pond" / "__init__.py").read_text() == product


def test_two_defects_at_most_of_a_function(tmp_path: Path) -> None:
    from benchmarks.quality.mutants import cases
    from benchmarks.quality.projects import Plan, Project

    (tmp_path / "a.py").write_bytes(SOURCE.encode())
    project = Project("a", "1", tmp_path, tmp_path, tmp_path, Plan((".",)))
    row = {"path": "a.py", "qualname": "level", "line": 2, "tests": ["one", "two"]}
    found = list(cases(project, [row, {**row, "tests": ["one"] * 21}], random.Random(0)))
    assert len({case.mutation.operator for case in found}) == 2 == len(found)

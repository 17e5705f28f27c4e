"""Rewriting files, the patch, and the mutants of a verification."""

from __future__ import annotations

import pytest

from pytest_qeattention.similarity.candidates import FileScan
from pytest_qeattention.similarity.fold.folding import Fold, suggest
from pytest_qeattention.similarity.fold.module import Module
from pytest_qeattention.similarity.fold.mutating import mutate
from pytest_qeattention.similarity.fold.patching import (
    Change,
    PatchError,
    encode,
    fold_changes,
    read_written,
    rewrite,
    unified_diff,
)
from pytest_qeattention.similarity.scan import scan_source

SOURCE = """\
'''About it.'''
from __future__ import annotations
import os

class TestIt:
    def test_a(self):
        assert f("a") == 1

    def test_b(self):
        assert f("b") == 2


def test_other():
    pass
"""


def fold_of(text: str, *names: str) -> Fold:
    scan: FileScan[None] = scan_source(text.encode(), "test_it.py")
    units = [found.unit for found in scan.functions if found.unit.name in names]
    result = suggest(units, Module("test_it.py", text))
    assert isinstance(result, Fold), result
    return result


def test_the_first_test_is_replaced_and_the_others_go() -> None:
    fold = fold_of(SOURCE, "test_a", "test_b")

    lines = rewrite(SOURCE.split("\n"), fold_changes(fold), fold.imports)

    assert lines == [
        *SOURCE.split("\n")[:3],
        *("import pytest", "", "class TestIt:"),
        *fold.source.split("\n"),
        *("", "", "def test_other():", "    pass", ""),
    ]


def test_an_empty_class_is_no_result() -> None:
    text = (
        "class A:\n    def test_x(self):\n        assert f(1)\n\nclass B:\n    def test_y(self):\n        assert f(2)\n"
    )
    fold = fold_of(text, "test_x", "test_y")
    with pytest.raises(PatchError, match="would not parse without the tests"):
        rewrite(text.split("\n"), fold_changes(fold), fold.imports)


@pytest.mark.parametrize(
    ("data", "newline", "encoding"),
    [
        (b"x = 1\ny = 2\n", "\n", "utf-8"),
        (b"x = 1\r\ny = 2", "\r\n", "utf-8"),
        (b"\xef\xbb\xbfx = 1\n", "\n", "utf-8-sig"),
        (b"# coding: latin-1\nx = '\xe9'\n", "\n", "iso-8859-1"),
    ],
)
def test_files_are_written_as_they_were_read(data: bytes, newline: str, encoding: str) -> None:
    written = read_written(data)
    assert (written.newline, written.encoding) == (newline, encoding)
    assert encode(written, written.lines) == data


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"x = 1\ry = 2\r", "carriage return alone"),
        (b"x = 1\r\ny = 2\n", "in two ways"),
        (b"x = '\xe9'\n", "cannot be decoded"),
    ],
)
def test_files_whose_lines_cannot_be_told_are_refused(data: bytes, reason: str) -> None:
    with pytest.raises(PatchError, match=reason):
        read_written(data)


def test_a_diff_says_where_an_end_of_line_is_missing() -> None:
    written = read_written(b"a = 1\nb = 2")
    assert unified_diff("x y.py", written, ["a = 1", "b = 3"]) == (
        b"--- a/x y.py\t\n+++ b/x y.py\t\n@@ -1,2 +1,2 @@\n a = 1\n-b = 2\n\\ No newline at end of file\n"
        b"+b = 3\n\\ No newline at end of file\n"
    )
    assert unified_diff("x.py", written, written.lines) == b""
    assert unified_diff('q".py', written, ["a = 1"]).startswith(b'--- "a/q\\042.py"\n+++ "b/q\\042.py"\n')


def test_changes_may_add_behind_lines_that_stay() -> None:
    assert rewrite(["a = 1", "b = 2"], [Change(1, 1, "c = 3", keep=True)]) == ["a = 1", "", "", "c = 3", "b = 2"]


@pytest.mark.parametrize(
    ("values", "mutated", "source"),
    [
        (("f(1) == 2", "f(3) == 4"), "3", "f(1) == 3"),
        (("f(1) == True", "f(3) == False"), "False", "f(1) == False"),
        (("f(1) == None", "f(3) == 4"), "'~'", "f(1) == '~'"),
        (("f('a', [1, 'b'])", "f('c', [2, 'd'])"), "[2, 'b']", "f('a', [2, 'b'])"),
        (("f(1)", "f(2, 'x')"), "(2,)", "f(2)"),
        (("f(int)", "f(str)"), "str", "f((str))"),
    ],
)
def test_one_value_of_a_row_is_changed_in_the_test_too(values: tuple[str, str], mutated: str, source: str) -> None:
    tests = [f"def test_{name}():\n    assert {value}\n" for name, value in zip("ab", values, strict=True)]
    fold = fold_of("\n".join(tests), "test_a", "test_b")

    mutant = mutate(fold, 0, tests[0])

    assert mutant is not None
    assert mutated in mutant.row.values
    assert mutant.apply(tests[0]) == f"def test_a():\n    assert {source}\n"


def test_a_row_of_names_that_stand_for_attributes_has_no_mutant() -> None:
    tests = ["def test_a(x):\n    assert x.a()\n", "def test_b(x):\n    assert x.b()\n"]
    assert mutate(fold_of("\n".join(tests), "test_a", "test_b"), 0, tests[0]) is None


def test_a_value_that_another_is_made_of_is_not_changed_alone() -> None:
    text = (
        "def test_a():\n    text = 'x'\n    assert f(text) == [text, 1]\n\n"
        "def test_made_of_another():\n    assert f('y') == ['z', 2]\n"
    )
    fold = fold_of(text, "test_a", "test_made_of_another")

    mutant = mutate(fold, 0, "\n".join(text.split("\n")[:3]))

    assert fold.rows[0].values == ("'x'", "['x', 1]")
    assert mutant is None

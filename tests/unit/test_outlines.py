"""What of a file says which functions it uses."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from pytest_qeattention.similarity import outlines
from pytest_qeattention.similarity.outlines import (
    ClassOutline,
    FunctionOutline,
    Outline,
    functions_of,
    pack_outline,
    read_outline,
    unpack_outline,
)

SOURCE = b"""
import a.b as first, plain
try:
    from c import second as other
except ImportError:
    from d import third as other

class Base(lib.Core[int], metaclass=Meta):
    if FAST:
        def run(self, value=default): return self.go(value.size).end
    class Inner:
        @classmethod
        def make(cls): return cls.new()

def apply(x):
    import late as later
    def inner(y): return x.part + y
    match x:
        case {"k": found} if check(found): pass
    with lock as held: held.n -= 1
    return [f"{item!r:{width}}" for item in inner(x)]

@pytest.fixture(params=rows)
def client(url, *, port): yield url

for _ in ():
    def unseen(): pass
    from e import deep
"""


def outlined() -> Outline:
    outline = read_outline(SOURCE)
    assert outline is not None
    return outline


def test_functions_are_outlined_with_the_names_that_they_use() -> None:
    found = {function.qualname: function for function in outlined().functions}
    assert list(found) == ["Base::run", "Base::Inner::make", "apply", "client"]
    names = {qualname: set(function.names) for qualname, function in found.items()}
    assert names["Base::run"] == {"self", "value", "default"}
    assert names["apply"] == {"x", "y", "found", "check", "lock", "held", "item", "width", "inner"}
    assert names["client"] == {"pytest", "rows", "url"}
    assert found["Base::run"].own == ("go",)
    assert set(found["Base::run"].attributes) == {"size", "end"}
    assert set(found["apply"].attributes) == {"part", "n"}
    assert found["Base::Inner::make"].own == ("new",)
    assert (found["Base::Inner::make"].owner, found["Base::Inner::make"].name) == ("Inner", "make")
    assert found["client"].is_fixture
    assert found["client"].arguments == ("url", "port")
    assert found["apply"].arguments == (), "it takes no fixtures"


def test_classes_and_imports_are_outlined() -> None:
    outline = outlined()
    assert outline.classes == (ClassOutline("Base", ("Core",), {"run": 0}), ClassOutline("Inner", (), {"make": 1}))
    assert outline.imports == {"first": "b", "other": "third", "later": "late", "deep": "deep"}


def test_every_name_and_attribute_of_a_function_is_found() -> None:
    data = Path(outlines.__file__).read_bytes()
    outline = read_outline(data)
    assert outline is not None
    for (qualname, node), function in zip(functions_of(ast.parse(data)), outline.functions, strict=True):
        below = list(ast.walk(node))
        assert function.qualname == qualname
        assert set(function.names) == {
            each.id for each in below if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load)
        }
        assert {*function.attributes, *function.own} == {each.attr for each in below if isinstance(each, ast.Attribute)}


def test_a_packed_outline_is_of_plain_values_and_unpacks_to_the_same() -> None:
    outline = Outline((FunctionOutline("f", False, ("a",), ("b",), (), ()),), (), {"x": "y"})
    assert pack_outline(outline) == ([("f", False, ("a",), ("b",), (), ())], [], {"x": "y"})
    assert unpack_outline(pack_outline(outlined())) == outlined()
    assert unpack_outline(pack_outline(None)) is None


@pytest.mark.parametrize("data", [b"def f(:\n", b"\0", b"#" * (outlines.MOST_BYTES + 1), b"(" * 5000])
def test_what_is_no_python_or_too_large_has_no_outline(data: bytes) -> None:
    assert read_outline(data) is None

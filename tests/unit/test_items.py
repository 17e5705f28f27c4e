from __future__ import annotations

import functools
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import hypothesis
import hypothesis.strategies
import pytest

from pytest_qeattention.items import Collection, Imports, collect, sourceless_problems, written_function
from pytest_qeattention.similarity.candidates import source_digest
from pytest_qeattention.similarity.model import Problem
from pytest_qeattention.similarity.suite import Located
from pytest_qeattention.xdist import WIRE_VERSION, from_wire, merge, to_wire


def written(text: str) -> None:
    """Stand for a test."""


def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*arguments: Any) -> Any:
        return function(*arguments)

    return wrapper


def bare(function: Callable[..., Any]) -> Callable[..., Any]:
    def wrapper(*arguments: Any) -> Any:
        return function(*arguments)

    return wrapper


def generated(function: Callable[..., Any]) -> Callable[..., Any]:
    def standalone(*arguments: Any) -> Any:
        return None

    standalone.place_as = function  # type: ignore[attr-defined]
    return standalone


class Holder:
    method = written
    static = staticmethod(written)
    of_class = classmethod(written)


TEXTS = hypothesis.strategies.text()


@pytest.mark.parametrize(
    "obj",
    [
        pytest.param(written, id="function"),
        pytest.param(wrapped(written), id="wraps"),
        pytest.param(wrapped(wrapped(wrapped(written))), id="wraps-thrice"),
        pytest.param(bare(written), id="no-wraps"),
        pytest.param(wrapped(bare(written)), id="wraps-no-wraps"),
        pytest.param(generated(written), id="place_as"),
        pytest.param(functools.partial(written, "y"), id="partial"),
        pytest.param(functools.partial(wrapped(written), "y"), id="partial-wraps"),
        pytest.param(mock.patch("os.getcwd")(written), id="patch"),
        pytest.param(Holder().method, id="bound"),
        pytest.param(Holder.static, id="static"),
        pytest.param(Holder.__dict__["static"], id="staticmethod"),
        pytest.param(Holder.of_class, id="classmethod"),
        pytest.param(hypothesis.given(TEXTS)(written), id="given"),
        pytest.param(wrapped(hypothesis.settings(max_examples=1)(hypothesis.given(TEXTS)(written))), id="settings"),
    ],
)
def test_the_function_is_found_under_its_decorators(obj: object) -> None:
    assert written_function(obj, "written") is written


def test_chains_that_run_in_a_circle_end() -> None:
    def one() -> None: ...
    def two() -> None: ...

    one.__wrapped__, two.__wrapped__ = two, one  # type: ignore[attr-defined]

    assert isinstance(written_function(one, "one"), types.FunctionType)


@pytest.mark.parametrize(
    "obj",
    [len, lambda: None, mock.MagicMock(), 3, Holder],
    ids=["builtin", "lambda", "mock", "number", "class"],
)
def test_what_has_no_def_has_no_function(obj: object) -> None:
    assert written_function(obj, "test_x") is None


def test_items_are_located_where_they_are_written(pytester: pytest.Pytester) -> None:
    base = pytester.makepyfile(
        base="""
        class Base:
            def test_inherited(self):
                pass
        """
    )
    path = pytester.makepyfile(
        test_places="""
        import unittest
        import pytest
        from base import Base

        class TestOne(Base):
            class TestInner:
                @pytest.mark.parametrize("x", [1, 2])
                def test_inner(self, x):
                    pass

            @staticmethod
            def test_static():
                pass

        class TestTwo(Base):
            pass

        class Case(unittest.TestCase):
            def test_case(self):
                pass

        async def test_async():
            pass
        """
    )
    items, _ = pytester.inline_genitems()

    assert len(items) == 7
    assert collect(items, Imports()) == Collection(
        (
            Located(str(base), "Base::test_inherited", 2),
            Located(str(path), "TestOne::TestInner::test_inner", 7),
            Located(str(path), "TestOne::test_static", 11),
            Located(str(path), "Case::test_case", 19),
            Located(str(path), "test_async", 22),
        ),
        digests={str(file): source_digest(file.read_bytes()) for file in (base, path)},
    )


def test_the_order_of_the_items_does_not_matter(pytester: pytest.Pytester) -> None:
    items = pytester.getitems("def test_b(): pass\ndef test_a(): pass\n")

    assert collect(items, Imports()) == collect(items[::-1], Imports())


def test_items_without_a_function_are_counted(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import pytest

        class Item(pytest.Item):
            def runtest(self): pass

        class File(pytest.File):
            def collect(self):
                yield Item.from_parent(self, name="one")
                yield Item.from_parent(self, name="two")

        def pytest_collect_file(parent, file_path):
            if file_path.suffix == ".yaml":
                return File.from_parent(parent, path=file_path)
        """
    )
    pytester.makefile(".yaml", test_x="a: 1")
    path = pytester.makepyfile(
        '''
        exec("def test_exec(): pass")

        def documented():
            """
            >>> 1 + 1
            2
            """

        class TestGroup:
            test_lambda = lambda self: None

        def test_plain(): pass
        '''
    )

    items, _ = pytester.inline_genitems("--doctest-modules")

    collection = collect(items, Imports())
    assert collection.left_out == {"doctest": 1, "no source": 2, "not python": 2}
    assert [place.qualname for place in collection.located] == ["test_plain"]
    assert collection.sourceless == {str(path): ("TestGroup::test_lambda", "test_exec")}


def test_a_file_of_tests_without_source_is_named_once() -> None:
    collection = Collection(
        sourceless={
            "/project/tests/test_a.py": ("test_a",),
            "/project/tests/test_b.py": ("test_a", "test_b", "test_c", "test_d"),
        }
    )

    assert sourceless_problems(collection, Path("/project")) == [
        Problem("tests/test_a.py", "1 test has no Python source to read (test_a): left out"),
        Problem("tests/test_b.py", "4 tests have no Python source to read (test_a, test_b, test_c, …): left out"),
    ]


def test_what_a_file_held_when_it_was_imported_is_remembered(tmp_path: Path) -> None:
    imported, other, missing = (tmp_path / name for name in ("test_a.py", "base.py", "missing.py"))
    imported.write_bytes(b"first")
    imports = Imports()
    imports.note(imported)
    imports.note(missing)
    imported.write_bytes(b"second")
    imports.note(imported)
    other.write_bytes(b"base")

    digests = imports.digests(Located(str(path), "test_x", 1) for path in (imported, other, missing))

    assert digests == {str(imported): source_digest(b"first"), str(other): source_digest(b"base")}


def test_unused_files_have_no_digest(tmp_path: Path) -> None:
    file = tmp_path / "test_a.py"
    file.write_bytes(b"")
    imports = Imports()
    imports.note(file)

    assert imports.digests([]) == {}


PLACES = (
    Located("/project/tests/test_a.py", "test_a", 3),
    Located("/project/tests/test_a.py", "TestA::test_b", None),
    Located("/elsewhere/base.py", "Base::test_c", 5),
)


WHOLE = Collection(
    PLACES,
    {"doctest": 2, "no source": 2},
    {"/project/tests/test_c.py": ("test_c", "test_d")},
    {"/project/tests/test_a.py": "abc", "/elsewhere/base.py": "def"},
)


def test_a_collection_survives_the_wire() -> None:
    collection = WHOLE

    wire = to_wire(collection, "/project")

    assert from_wire(wire, "/project") == collection
    assert wire["version"] == WIRE_VERSION


def test_paths_of_the_project_follow_the_root() -> None:
    moved = from_wire(to_wire(WHOLE, "/project"), "/home/project")

    assert [place.path for place in moved.located] == [
        "/home/project/tests/test_a.py",
        "/home/project/tests/test_a.py",
        "/elsewhere/base.py",
    ]
    assert moved.sourceless == {"/home/project/tests/test_c.py": ("test_c", "test_d")}
    assert moved.digests == {"/home/project/tests/test_a.py": "abc", "/elsewhere/base.py": "def"}


def test_only_builtin_types_are_on_the_wire() -> None:
    def types_of(value: object) -> set[type]:
        if isinstance(value, dict):
            return {dict}.union(*map(types_of, value), *map(types_of, value.values()))
        if isinstance(value, list):
            return {list}.union(*map(types_of, value))
        return {type(value)}

    assert types_of(to_wire(WHOLE, "/project")) <= {
        dict,
        list,
        str,
        int,
        bool,
        type(None),
    }


def test_merging_unites_places_and_keeps_the_larger_counts() -> None:
    one = Collection(PLACES[:1], {"doctest": 2}, {"/a.py": ("test_b",)}, {"/c.py": "1"})
    other = Collection(
        PLACES, {"doctest": 1, "no source": 3}, {"/a.py": ("test_a",), "/b.py": ("test_x",)}, {"/d.py": "2"}
    )

    merged = merge(one, other)

    assert merged == merge(other, one)
    assert set(merged.located) == set(PLACES)
    assert merged.left_out == {"doctest": 2, "no source": 3}
    assert merged.sourceless == {"/a.py": ("test_a", "test_b"), "/b.py": ("test_x",)}
    assert merged.digests == {"/c.py": "1", "/d.py": "2"}
    assert merge(None, one) == one


def test_a_file_that_workers_imported_differently_has_changed_whatever_it_holds() -> None:
    first, second = (Collection(PLACES, digests={"/a.py": digest}) for digest in ("1", "2"))
    merged = merge(first, second)

    assert merged == merge(second, first)
    assert merged.digests["/a.py"] not in ("1", "2")
    assert merge(merged, first) == merge(first, merged) == merged

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any
from unittest import mock

import hypothesis
import hypothesis.strategies
import pytest

from pytest_qeattention.items import Collection, collect, written_function
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
    assert collect(items) == Collection(
        (
            Located(str(base), "Base::test_inherited", 2),
            Located(str(path), "TestOne::TestInner::test_inner", 7),
            Located(str(path), "TestOne::test_static", 11),
            Located(str(path), "Case::test_case", 19),
            Located(str(path), "test_async", 22),
        )
    )


def test_the_order_of_the_items_does_not_matter(pytester: pytest.Pytester) -> None:
    items = pytester.getitems("def test_b(): pass\ndef test_a(): pass\n")

    assert collect(items) == collect(items[::-1])


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
    pytester.makepyfile(
        '''
        exec("def test_exec(): pass")

        def documented():
            """
            >>> 1 + 1
            2
            """

        test_lambda = lambda: None

        def test_plain(): pass
        '''
    )

    items, _ = pytester.inline_genitems("--doctest-modules")

    collection = collect(items)
    assert collection.left_out == {"doctest": 1, "no source": 2, "not python": 2}
    assert [place.qualname for place in collection.located] == ["test_plain"]


PLACES = (
    Located("/project/tests/test_a.py", "test_a", 3),
    Located("/project/tests/test_a.py", "TestA::test_b", None),
    Located("/elsewhere/base.py", "Base::test_c", 5),
)


def test_a_collection_survives_the_wire() -> None:
    collection = Collection(PLACES, {"doctest": 2})

    wire = to_wire(collection, "/project")

    assert from_wire(wire, "/project") == collection
    assert wire["version"] == WIRE_VERSION


def test_paths_of_the_project_follow_the_root() -> None:
    moved = from_wire(to_wire(Collection(PLACES), "/project"), "/home/project")

    assert [place.path for place in moved.located] == [
        "/home/project/tests/test_a.py",
        "/home/project/tests/test_a.py",
        "/elsewhere/base.py",
    ]


def test_only_builtin_types_are_on_the_wire() -> None:
    def types_of(value: object) -> set[type]:
        if isinstance(value, dict):
            return {dict}.union(*map(types_of, value), *map(types_of, value.values()))
        if isinstance(value, list):
            return {list}.union(*map(types_of, value))
        return {type(value)}

    assert types_of(to_wire(Collection(PLACES, {"doctest": 2}), "/project")) <= {
        dict,
        list,
        str,
        int,
        bool,
        type(None),
    }


def test_merging_unites_places_and_keeps_the_larger_counts() -> None:
    one = Collection(PLACES[:1], {"doctest": 2})
    other = Collection(PLACES, {"doctest": 1, "no source": 3})

    merged = merge(one, other)

    assert merged == merge(other, one)
    assert set(merged.located) == set(PLACES)
    assert merged.left_out == {"doctest": 2, "no source": 3}
    assert merge(None, one) == one

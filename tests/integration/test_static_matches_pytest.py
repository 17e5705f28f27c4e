"""The tests found statically are those that pytest collects, by file and qualified name of their definition."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

import pytest

from pytest_qeattention.similarity.discover import discover
from pytest_qeattention.similarity.service import find_tests

RECORDER = """\
import inspect
import json
import os


def pytest_collection_finish(session):
    found = set()
    for item in session.items:
        code = inspect.unwrap(getattr(item.function, "__func__", item.function))
        found.add((os.path.relpath(code.__code__.co_filename), code.__qualname__.replace(".", "::")))
    with open("recorded.json", "w", encoding="utf-8") as file:
        json.dump(sorted(found), file)
"""

FILES = {
    "conftest.py": """\
        import pytest
        collect_ignore = ["suite/test_ignored.py"]
        collect_ignore_glob = ["*/test_skipped_*.py"]
        @pytest.fixture
        def test_looks_like_one(): return 1
        """,
    "suite/__init__.py": "",
    "suite/test_ignored.py": "raise SystemError\n",
    "suite/test_skipped_one.py": "raise SystemError\n",
    "suite/build/test_built.py": "raise SystemError\n",
    "suite/env/pyvenv.cfg": "",
    "suite/env/test_env.py": "raise SystemError\n",
    "suite/helper.py": "def test_not_a_test_file(): pass\n",
    "suite/base.py": """\
        import abc
        import unittest
        class Shared:
            def test_shared(self): pass
            def test_overridden(self): pass
            def test_removed(self): pass
            class TestNestedShared:
                def test_nested_shared(self): pass
        class TestConcrete:
            def test_in_base_file(self): pass
        class TestNotImported:
            def test_no(self): pass
        class Case(unittest.TestCase):
            def helper(self): pass
            def test_case_shared(self): pass
        class AbstractTest(abc.ABC):
            @abc.abstractmethod
            def make(self): pass
            def test_made(self): pass
        def test_imported_function(): pass
        def test_not_imported(): pass
        """,
    "suite/stars.py": """\
        __all__ = ["TestStar"]
        class TestStar:
            def test_star(self): pass
        class TestNotExported:
            def test_no(self): pass
        """,
    "suite/test_functions.py": """\
        import asyncio
        import contextlib
        import functools
        import sys
        from typing import TYPE_CHECKING
        import pytest
        def test_plain(): pass
        async def test_async(): pass
        @pytest.mark.parametrize("n", [1, 2, 3])
        def test_parametrised(n): pass
        @pytest.fixture
        def test_fixture(): return 1
        def test_again(): pass
        def test_again(): pass
        def test_replaced(): pass
        test_replaced = None
        def test_deleted(): pass
        del test_deleted
        def test_kept(): pass
        test_kept = pytest.mark.slow(test_kept)
        test_lambda_free = 3
        if sys.version_info >= (3,):
            def test_conditional(): pass
        if TYPE_CHECKING:
            def test_never(): pass
        else:
            def test_always(): pass
        if __name__ == "__main__":
            def test_main(): pass
        try:
            import no_such_module_here
        except ImportError:
            def test_fallback(): pass
        with contextlib.suppress(Exception):
            def test_with(): pass
        for _ in range(2):
            def test_loop(): pass
        match 1:
            case 1:
                def test_match(): pass
        def make():
            def test_inner(): pass
            return test_inner
        def not_a_test(): pass
        def helper(): pass
        helper.__test__ = True
        def test_opted_out(): pass
        test_opted_out.__test__ = False
        def decorate(function):
            @functools.wraps(function)
            def wrapper(*args, **kwargs): return function(*args, **kwargs)
            return wrapper
        @decorate
        def test_decorated(): pass
        @contextlib.contextmanager
        def test_context(): yield
        """,
    "suite/test_classes.py": """\
        import abc
        import dataclasses
        import enum
        import typing
        import pytest
        from .base import AbstractTest, Shared, TestConcrete, test_imported_function
        from . import base as b
        from .stars import *
        class TestPlain:
            def test_method(self): pass
            async def test_async(self): pass
            def helper(self): pass
            @staticmethod
            def test_static(): pass
            @classmethod
            def test_class(cls): pass
            @property
            def test_property(self): return 1
            @pytest.fixture
            def test_fixture(self): return 1
            def test_twice(self): pass
            def test_twice(self): pass
            if True:
                def test_in_block(self): pass
            class TestNested:
                def test_deep(self): pass
                class TestDeeper:
                    def test_deeper(self): pass
            class Helper:
                def test_no(self): pass
        class TestInit:
            def __init__(self): pass
            def test_no(self): pass
        class TestNew:
            def __new__(cls): return super().__new__(cls)
            def test_no(self): pass
        class TestOptOut:
            __test__ = False
            def test_opt_out(self): pass
        class TestInheritsOptOut(TestOptOut):
            def test_no(self): pass
        class TestOptIn(TestOptOut):
            __test__ = True
            def test_in(self): pass
        class Named:
            __test__ = True
            def test_flagged(self): pass
        class TestError(Exception):
            def test_no(self): pass
        class TestKind(enum.Enum):
            A = 1
            def test_no(self): pass
        @dataclasses.dataclass
        class TestData:
            x: int = 1
            def test_no(self): pass
        @dataclasses.dataclass(init=False, eq=False)
        class TestDataWithoutInit:
            x: int = 1
            def test_data(self): pass
        class TestRow(typing.NamedTuple):
            x: int
            def test_no(self): pass
        class TestShared(Shared):
            test_removed = None
            def test_overridden(self): pass
        class Plain(b.Shared):
            def test_no(self): pass
        class TestAbstract(AbstractTest): pass
        class TestMade(AbstractTest):
            def make(self): pass
        class Left:
            def test_side(self): pass
            def test_left(self): pass
        class Right:
            def test_side(self): pass
            def test_right(self): pass
        class TestBoth(Left, Right): pass
        T = typing.TypeVar("T")
        class TestGeneric(typing.Generic[T]):
            def test_generic(self): pass
        class Alias:
            def test_alias(self): pass
        TestAlias = Alias
        """,
    "suite/test_unittest.py": """\
        import unittest
        from unittest import TestCase as Base
        from unittest import IsolatedAsyncioTestCase
        from suite.base import Case
        class Feature(unittest.TestCase):
            def __init__(self, *args): super().__init__(*args)
            def setUp(self): pass
            def test_one(self): pass
            def testTwo(self): pass
            def other(self): pass
            @unittest.skip("no")
            def test_skipped(self): pass
            @property
            def test_property(self): return 1
            class TestNested:
                def test_no(self): pass
        class Renamed(Base):
            def test_renamed(self): pass
        class Async(IsolatedAsyncioTestCase):
            async def test_async(self): pass
        class FromFile(Case):
            def test_here(self): pass
        class OnlyRun(unittest.TestCase):
            def runTest(self): pass
        class RunAndTest(unittest.TestCase):
            def runTest(self): pass
            def test_it(self): pass
        class Mixin:
            def test_mixed(self): pass
        class Mixed(Mixin, unittest.TestCase): pass
        class Template(unittest.TestCase):
            def test_template(self): pass
            def test_filled(self): pass
        class Filled(Template):
            def test_filled(self): pass
        del Template
        class Hidden:
            class Inner(unittest.TestCase):
                def test_no(self): pass
        class TestHolder:
            class Inner(unittest.TestCase):
                def test_held(self): pass
        """,
    "suite/test_off.py": "__test__ = False\ndef test_no(): pass\n",
    "flat/common.py": "class Common:\n    def test_common(self): pass\n",
    "flat/test_flat.py": "from common import Common\nclass TestFlat(Common): pass\n",
    "flat/late_test.py": "def test_late(): pass\n",
}

CUSTOM = {
    "pyproject.toml": """\
        [tool.pytest.ini_options]
        python_files = ["check_*.py", "spec/*.py"]
        python_classes = "*Spec Describe"
        python_functions = ["it_", "check"]
        norecursedirs = "old*"
        addopts = "--ignore=left --deselect=check_a.py::Describe::it_is_deselected"
        """,
    "check_a.py": """\
        import unittest
        def it_works(): pass
        def check(): pass
        def test_no(): pass
        class UserSpec:
            def it_is(self): pass
            def test_no(self): pass
            class Describe:
                def checks(self): pass
        class DescribeMore:
            def it_more(self): pass
        class Describe:
            def it_is_deselected(self): pass
        class TestNo:
            def it_no(self): pass
        class Case(unittest.TestCase):
            def test_case(self): pass
            def it_no(self): pass
        """,
    "test_no.py": "def it_no(): pass\n",
    "spec/any.py": "def it_specifies(): pass\n",
    "old_one/check_no.py": "def it_no(): pass\n",
    "left/check_no.py": "def it_no(): pass\n",
    "build/check_built.py": "def it_is_built(): pass\n",
}


def write(root: Path, files: Mapping[str, str]) -> None:
    for name, text in {**files, "recorder.py": RECORDER}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text), encoding="utf-8")


def collected_by_pytest(root: Path, paths: list[str]) -> list[tuple[str, str]]:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "recorder", *paths]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment |= {
        "PYTHONPATH": str(root),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return [(path, name) for path, name in json.loads((root / "recorded.json").read_text(encoding="utf-8"))]


def found_statically(root: Path, paths: list[str]) -> list[tuple[str, str]]:
    _, resolved, problems = find_tests(discover(paths, cwd=root))
    assert problems == ()
    assert resolved.not_found == ()
    return sorted((unit.path, unit.qualname) for unit in resolved.units)


@pytest.mark.parametrize(
    ("files", "paths", "count"),
    [
        pytest.param(FILES, ["."], 53, id="everything"),
        pytest.param(FILES, ["suite/test_classes.py", "flat"], 26, id="file and directory"),
        pytest.param(FILES, ["suite/helper.py", "suite/build"], None, id="named although ignored"),
        pytest.param(
            FILES,
            ["suite/test_classes.py::TestShared", "suite/test_functions.py::test_parametrised[2]"],
            4,
            id="node ids",
        ),
        pytest.param(FILES, ["suite/test_classes.py::TestShared::test_shared"], 1, id="inherited node id"),
        pytest.param(CUSTOM, ["."], 8, id="custom names"),
        pytest.param(CUSTOM, ["test_no.py", "old_one"], 2, id="custom names, named files"),
    ],
)
def test_the_same_tests_are_found(
    tmp_path: Path, files: Mapping[str, str], paths: list[str], count: int | None
) -> None:
    if count is None:
        files = {**files, "suite/build/test_built.py": "def test_built(): pass\n"}
        count = 2
    write(tmp_path, files)
    expected = collected_by_pytest(tmp_path, paths)
    assert found_statically(tmp_path, paths) == expected
    assert len(expected) == count

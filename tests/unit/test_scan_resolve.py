"""Which candidates are tests, seen from all files together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

import pytest

from pytest_qeattention.similarity.discover import discover
from pytest_qeattention.similarity.naming import NamingRules
from pytest_qeattention.similarity.resolve import resolve_units
from pytest_qeattention.similarity.scan import scan_source
from pytest_qeattention.similarity.service import find_tests


def collected(text: str, rules: NamingRules | None = None) -> list[str]:
    scan = scan_source(dedent(text).encode(), "test_x.py", rules)
    assert scan.problem is None
    return [unit.qualname for unit in resolve_units([scan], rules or NamingRules()).units]


def project(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text), encoding="utf-8")
    return root


def nodeids(root: Path, *paths: str) -> list[str]:
    _, resolved, problems = find_tests(discover(paths or ["."], cwd=root))
    assert problems == ()
    return [unit.nodeid for unit in resolved.units]


def test_functions_and_classes_by_name() -> None:
    text = """\
        class TestB:
            def test_b(self): pass
            class TestInner:
                def test_c(self): pass
            class Helper:
                def test_no(self): pass
        class Other:
            def test_no(self): pass
        def test_a(): pass
        async def test_d(): pass
        """
    assert collected(text) == ["TestB::test_b", "TestB::TestInner::test_c", "test_a", "test_d"]


def test_custom_names() -> None:
    rules = NamingRules(python_classes=("*Spec", "Describe"), python_functions=("it_", "check*"))
    text = """\
        def it_works(): pass
        def test_no(): pass
        class UserSpec:
            def check(self): pass
            def test_no(self): pass
        class DescribeUser:
            def it_works(self): pass
        class TestNo:
            def it_no(self): pass
        class Case(unittest.TestCase):
            def test_yes(self): pass
            def it_no(self): pass
        """
    assert collected(text, rules) == [
        "it_works",
        "UserSpec::check",
        "DescribeUser::it_works",
        "Case::test_yes",
    ]


@pytest.mark.parametrize(
    "head",
    [
        "class TestA:\n    def __init__(self): pass\n",
        "class TestA:\n    def __new__(cls): pass\n",
        "class TestA:\n    __init__ = make()\n",
        "class TestA:\n    __test__ = False\n",
        "class TestA(Exception):\n    pass\n",
        "class TestA(enum.Enum):\n    pass\n",
        "class TestA(namedtuple('A', 'x')):\n    pass\n",
        "@dataclass\nclass TestA:\n    pass\n",
        "@attr.s(frozen=True)\nclass TestA:\n    pass\n",
        "class Base:\n    def __init__(self): pass\nclass TestA(Base):\n    pass\n",
        "class Base:\n    __test__ = False\nclass TestA(Base):\n    pass\n",
        "class TestA(ABC):\n    @abstractmethod\n    def run(self): pass\n",
        "class TestA(metaclass=ABCMeta):\n    @abc.abstractmethod\n    def test_a(self): pass\n",
    ],
)
def test_classes_that_pytest_refuses(head: str) -> None:
    assert collected(f"{head}    def test_x(self): pass\n") == []


@pytest.mark.parametrize(
    "head",
    [
        "class TestA(object):\n    pass\n",
        "class TestA(Unknown):\n    pass\n",
        "@dataclass(init=False)\nclass TestA:\n    pass\n",
        "@pytest.mark.slow\nclass TestA:\n    pass\n",
        "class Base(ABC):\n    @abstractmethod\n    def run(self): pass\nclass TestA(Base):\n    def run(self): pass\n",
        "class Base:\n    __test__ = False\nclass TestA(Base):\n    __test__ = True\n",
        "class TestA:\n    @abstractmethod\n    def run(self): pass\n",
    ],
)
def test_classes_that_pytest_takes(head: str) -> None:
    assert collected(f"{head}    def test_x(self): pass\n") == ["TestA::test_x"]


def test_the_test_flag_decides_over_names() -> None:
    text = """\
        class Check:
            __test__ = True
            def test_a(self): pass
        class Derived(Check):
            def test_b(self): pass
        class TestNo:
            def test_no(self): pass
        TestNo.__test__ = False
        def helper(): pass
        helper.__test__ = True
        def test_no(): pass
        test_no.__test__ = False
        """
    assert collected(text) == ["Check::test_a", "Derived::test_b", "helper"]


@pytest.mark.parametrize("flag", ["False", "None", "0", "{}"])
def test_a_module_can_opt_out(flag: str) -> None:
    assert collected(f"__test__ = {flag}\ndef test_a(): pass\n") == []


@pytest.mark.parametrize(
    "base",
    ["TestCase", "unittest.TestCase", "IsolatedAsyncioTestCase", "django.test.SimpleTestCase", "Case[int]"],
)
def test_unittest_classes_need_no_name(base: str) -> None:
    text = f"""\
        from unittest import TestCase as _T
        class Case(_T, Generic[T]):
            def __init__(self, name): pass
        class Feature({base}):
            def test_a(self): pass
            def testB(self): pass
            def helper(self): pass
            class TestInner:
                def test_no(self): pass
        """
    assert collected(text) == ["Feature::test_a", "Feature::testB"]


def test_run_test_counts_when_there_is_no_other() -> None:
    text = """\
        class A(TestCase):
            def runTest(self): pass
        class B(TestCase):
            def runTest(self): pass
            def test_b(self): pass
        """
    assert collected(text) == ["A::runTest", "B::test_b"]


def test_generators_are_refused_by_pytest_and_taken_by_unittest() -> None:
    text = """\
        def test_no(): yield
        class TestA:
            def test_no(self): yield
        class B(TestCase):
            def test_b(self): yield
        """
    assert collected(text) == ["B::test_b"]


def test_inherited_methods_are_found_where_they_are_written() -> None:
    text = """\
        class Base:
            def test_a(self): pass
            def test_b(self): pass
            def test_gone(self): pass
            class TestInner:
                def test_c(self): pass
        class Middle(Base):
            def test_b(self): pass
            test_gone = None
        class TestOne(Middle): pass
        class TestTwo(Middle):
            def test_d(self): pass
        class Unused(Base):
            def test_no(self): pass
        """
    expected = ["Base::test_a", "Base::TestInner::test_c", "Middle::test_b", "TestTwo::test_d"]
    assert collected(text) == expected


def test_a_base_that_is_deleted_is_only_a_base() -> None:
    text = """\
        class BaseTest(TestCase):
            def test_a(self): pass
        class OneTest(BaseTest):
            def test_a(self): pass
        del BaseTest
        """
    assert collected(text) == ["OneTest::test_a"]


def test_the_method_resolution_order_decides() -> None:
    text = """\
        class A:
            def test_x(self): pass
        class B(A): pass
        class C(A):
            def test_x(self): pass
        class TestD(B, C): pass
        """
    assert collected(text) == ["C::test_x"]


def test_nested_bases() -> None:
    text = """\
        class TestOuter:
            class Base:
                def test_a(self): pass
            class TestInner(Base): pass
        class TestOther(TestOuter.Base): pass
        class Unused(Base): pass
        """
    assert collected(text) == ["TestOuter::Base::test_a"]


@pytest.mark.parametrize(
    "text",
    [
        "class TestA(TestA):\n    def test_a(self): pass\n",
        "class TestA(TestB):\n    def test_a(self): pass\nclass TestB(TestA): pass\n",
        "class TestA(X):\n    def test_a(self): pass\nX = Y\nY = X\n",
        "from test_x import TestB\nclass TestA(TestB):\n    def test_a(self): pass\n",
        "from test_x import *\nclass TestA(TestB):\n    def test_a(self): pass\n",
        "class TestA:\n    def test_a(self): pass\n    class TestI(TestA): pass\n",
        "class A: pass\nclass B(A): pass\nclass TestA(A, B):\n    def test_a(self): pass\n",
    ],
)
def test_circles_and_contradictions_end(text: str) -> None:
    assert collected(text) == ["TestA::test_a"]


def test_a_long_chain_of_bases() -> None:
    text = "class A0:\n    def test_a(self): pass\n"
    text += "".join(f"class A{n}(A{n - 1}): pass\n" for n in range(1, 1500))
    assert collected(f"{text}class TestZ(A1499): pass\n") == ["A0::test_a"]


def test_bases_in_other_files(tmp_path: Path) -> None:
    root = project(
        tmp_path,
        {
            "pytest.ini": "[pytest]\n",
            "tests/__init__.py": "from .base import Base as Exported\n",
            "tests/base.py": """\
                from unittest import TestCase
                from tests.deeper import Deeper
                class Base(Deeper):
                    def test_base(self): pass
                class Case(TestCase):
                    def test_case(self): pass
                class Unused:
                    def test_no(self): pass
                class TestNobodyImports:
                    def test_no(self): pass
                """,
            "tests/deeper.py": "class Deeper:\n    def test_deep(self): pass\n",
            "tests/sub/__init__.py": "",
            "tests/sub/test_a.py": "from ..base import Base\nclass TestA(Base): pass\n",
            "tests/sub/test_b.py": "from tests import base as b\nclass Feature(b.Case):\n    def test_b(self): pass\n",
            "tests/test_c.py": "import tests\nclass TestC(tests.Exported): pass\n",
        },
    )
    assert nodeids(root) == [
        "tests/base.py::Base::test_base",
        "tests/base.py::Case::test_case",
        "tests/deeper.py::Deeper::test_deep",
        "tests/sub/test_b.py::Feature::test_b",
    ]


def test_bases_beside_the_test_without_packages(tmp_path: Path) -> None:
    base = "class Base:\n    def test_{}(self): pass\n"
    test = "from base import Base\nclass TestIt(Base): pass\n"
    root = project(
        tmp_path,
        {
            "one/base.py": base.format("one"),
            "one/test_1.py": test,
            "two/base.py": base.format("two"),
            "two/test_2.py": test,
        },
    )
    assert nodeids(root) == ["one/base.py::Base::test_one", "two/base.py::Base::test_two"]


def test_a_name_that_stands_for_a_part_of_itself_ends(tmp_path: Path) -> None:
    root = project(
        tmp_path,
        {
            "pytest.ini": "[pytest]\npython_files = *.py\n",
            # Its module is not there to be read: the package itself is the nearest that has the name.
            "pkg/__init__.py": "from .testing import TestTools as testing\n",
            "test_shop.py": """\
                from pkg import testing
                TestRound = TestRound.TestRound
                class TestShop(testing.TestBase, TestRound):
                    def test_buys(self): pass
                """,
        },
    )
    assert nodeids(root) == ["test_shop.py::TestShop::test_buys"]


def test_tests_that_are_imported(tmp_path: Path) -> None:
    files = {
        "shared.py": """\
            from more import *
            __all__ = ["TestShared", "test_shared", "hidden"]
            class TestShared:
                def test_s(self): pass
            class TestHidden:
                def test_no(self): pass
            def test_shared(): pass
            def test_hidden(): pass
            """,
        "more.py": "def test_more(): pass\n",
        "single.py": "def test_single(): pass\ndef test_no(): pass\n",
        "test_a.py": "from shared import *\nfrom single import test_single\n",
    }
    root = project(tmp_path, files)
    expected = [
        "shared.py::TestShared::test_s",
        "shared.py::test_shared",
        "single.py::test_single",
    ]
    assert nodeids(root) == expected
    project(root, {"pytest.ini": "[pytest]\ncollect_imported_tests = false\n"})
    assert nodeids(root) == []


def test_the_standard_library_is_not_looked_for_in_the_project(tmp_path: Path) -> None:
    root = project(
        tmp_path,
        {
            "unittest.py": "class TestCase:\n    def __init__(self): pass\n",
            "test_a.py": "import unittest\nclass A(unittest.TestCase):\n    def test_a(self): pass\n",
        },
    )
    assert nodeids(root) == ["test_a.py::A::test_a"]


def test_files_above_the_rootdir_are_not_read(tmp_path: Path) -> None:
    root = project(
        tmp_path,
        {
            "base.py": "class Base:\n    def test_no(self): pass\n",
            "work/pytest.ini": "[pytest]\n",
            "work/test_a.py": "from base import Base\nclass TestA(Base):\n    def test_a(self): pass\n",
        },
    )
    assert nodeids(root / "work") == ["test_a.py::TestA::test_a"]


def test_a_broken_file_leaves_the_others(tmp_path: Path) -> None:
    root = project(
        tmp_path,
        {
            "test_a.py": "def test_a(): pass\n",
            "test_b.py": "def test_b(:\n",
            "base.py": "class Base(:\n",
            "test_c.py": "from base import Base\nclass TestC(Base):\n    def test_c(self): pass\n",
        },
    )
    _, resolved, problems = find_tests(discover(["."], cwd=root))
    assert [unit.nodeid for unit in resolved.units] == ["test_a.py::test_a", "test_c.py::TestC::test_c"]
    assert [(problem.path, problem.line) for problem in problems] == [("base.py", 1), ("test_b.py", 1)]


SELECTED = """\
    class Base:
        def test_a(self): pass
    class TestB(Base):
        def test_b(self): pass
        class TestC:
            def test_c(self): pass
    class TestBig:
        def test_d(self): pass
    def test_e(): pass
    def test_ee(): pass
    """


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("test_e", ["test_e"]),
        ("test_e[x]", ["test_e"]),
        ("TestB", ["Base::test_a", "TestB::test_b", "TestB::TestC::test_c"]),
        ("TestB::test_a", ["Base::test_a"]),
        ("TestB::TestC", ["TestB::TestC::test_c"]),
    ],
)
def test_selection(tmp_path: Path, name: str, expected: list[str]) -> None:
    root = project(tmp_path, {"test_x.py": SELECTED})
    _, resolved, _ = find_tests(discover([f"test_x.py::{name}"], cwd=root))
    assert [unit.qualname for unit in resolved.units] == expected
    assert resolved.not_found == ()


def test_what_is_selected_and_not_there_is_named(tmp_path: Path) -> None:
    root = project(tmp_path, {"test_x.py": SELECTED, "test_y.py": "def test_y(:\n"})
    discovery = discover(["test_x.py::test_e", "test_x.py::TestB::test_e", "test_y.py::test_y"], cwd=root)
    _, resolved, problems = find_tests(discovery)
    assert [unit.qualname for unit in resolved.units] == ["test_e"]
    assert resolved.not_found == ("test_x.py::TestB::test_e",)
    assert [problem.path for problem in problems] == ["test_y.py"]


def test_deselected_in_addopts(tmp_path: Path) -> None:
    ini = "[pytest]\naddopts = --deselect=test_x.py::TestB --deselect=test_x.py::test_e[1]\n"
    root = project(tmp_path, {"test_x.py": SELECTED, "pytest.ini": ini})
    _, resolved, _ = find_tests(discover(["."], cwd=root))
    assert [unit.qualname for unit in resolved.units] == ["test_e", "test_ee"]


def test_counts() -> None:
    scan = scan_source(dedent(SELECTED).encode(), "test_x.py")
    resolved = resolve_units([scan], NamingRules(python_functions=("test_e",)))
    assert (len(resolved.functions), resolved.candidates, resolved.classes) == (2, 6, 3)


def test_order_of_the_scans_does_not_matter() -> None:
    texts = {
        "test_b.py": "def test_1(): pass\n",
        "a/test_z.py": SELECTED,
        "test_a.py": "def test_2(): pass\n",
    }
    scans = [scan_source(dedent(text).encode(), path) for path, text in texts.items()]
    forward = resolve_units(scans, NamingRules()).units
    assert [unit.path for unit in forward] == ["a/test_z.py"] * 6 + ["test_a.py", "test_b.py"]
    assert resolve_units(scans[::-1], NamingRules()).units == forward

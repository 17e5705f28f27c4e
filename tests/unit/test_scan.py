"""What one file contributes: functions, classes and imports, or one problem."""

from __future__ import annotations

import ast
import gc
import pickle
import warnings
from pathlib import Path
from textwrap import dedent

import pytest

from pytest_qeattention.similarity.candidates import FileScan
from pytest_qeattention.similarity.discover import SourcePath
from pytest_qeattention.similarity.model import Unit
from pytest_qeattention.similarity.naming import NamingRules
from pytest_qeattention.similarity.scan import scan_file, scan_source


def scan(text: str, **arguments: object) -> FileScan[object]:
    return scan_source(dedent(text).encode(), "t/test_x.py", **arguments)  # type: ignore[arg-type]


def names(text: str, **arguments: object) -> list[str]:
    result = scan(text, **arguments)
    assert result.problem is None
    return [function.unit.qualname for function in result.functions]


def test_a_unit_says_what_is_written() -> None:
    text = '''\
        import pytest


        class TestA:
            class TestB:
                @pytest.mark.parametrize(
                    "n", [1,
                          2])
                @mark("é")
                async def test_it(self, tmp_path, n, *, key, other=1):
                    """Say it.

                    At length.
                    """
                    assert n
        '''
    (function,) = scan(text).functions
    assert function.owner == "TestA::TestB"
    unit = function.unit
    assert unit.nodeid == "t/test_x.py::TestA::TestB::test_it"
    assert unit.path == "t/test_x.py"
    assert (unit.name, unit.qualname) == ("test_it", "TestA::TestB::test_it")
    assert (unit.first_line, unit.line, unit.end_line) == (6, 10, 15)
    assert unit.source == "\n".join(dedent(text).split("\n")[5:15])
    assert unit.docstring == "Say it.\n\nAt length."
    assert unit.fixtures == ("tmp_path", "n", "key")
    assert unit.decorators == (
        'pytest.mark.parametrize(\n            "n", [1,\n                  2])',
        'mark("é")',
    )
    assert unit.is_async is True


def test_a_plain_function_has_nothing_more() -> None:
    (function,) = scan("def test_a(): pass").functions
    assert function.owner is None
    assert function.unit == Unit(
        "t/test_x.py::test_a", "t/test_x.py", 1, "test_a", "test_a", 1, 1, "def test_a(): pass"
    )


@pytest.mark.parametrize(
    ("signature", "expected"),
    [
        ("self, a, b", ("a", "b")),
        ("this, a", ("a",)),
        ("self, a, b=1, *c, d, e=2, **f", ("a", "d")),
        ("self, a=1", ()),
        ("self, a, /, b", ("b",)),
        ("", ()),
    ],
)
def test_fixtures_of_a_method(signature: str, expected: tuple[str, ...]) -> None:
    (function,) = scan(f"class TestA:\n    def test_a({signature}): pass\n").functions
    assert function.unit.fixtures == expected


def test_fixtures_of_static_and_class_methods() -> None:
    text = """\
        class TestA:
            @staticmethod
            def test_a(x): pass
            @classmethod
            def test_b(cls, x): pass
        """
    assert [function.unit.fixtures for function in scan(text).functions] == [("x",), ("x",)]


@pytest.mark.parametrize("newline", ["\r\n", "\r", "\n"])
def test_line_ends(newline: str) -> None:
    text = newline.join(["x = '''a", "b'''", "@mark", "def test_a():", "    assert 1", "y = 1"])
    (function,) = scan_source(text.encode(), "test_x.py").functions
    assert (function.unit.first_line, function.unit.line, function.unit.end_line) == (3, 4, 5)
    assert function.unit.source == "@mark\ndef test_a():\n    assert 1"


def test_separators_that_do_not_end_a_line() -> None:
    text = "x = 'a\x0c\x1c\u2028b'\n\x0c\ndef test_a():\n    '''\x85\u2029'''\n    assert 1\n"
    (function,) = scan_source(text.encode(), "test_x.py").functions
    assert function.unit.line == 3
    assert function.unit.source.endswith("\n    assert 1")


def test_blocks_are_entered_and_functions_are_not() -> None:
    text = """\
        if WINDOWS:
            def test_if(): pass
        elif OTHER:
            def test_elif(): pass
        else:
            def test_else(): pass
        try:
            def test_try(): pass
        except ImportError:
            def test_except(): pass
        else:
            def test_try_else(): pass
        finally:
            def test_finally(): pass
        with warnings():
            def test_with(): pass
        for i in ():
            def test_for(): pass
        else:
            def test_for_else(): pass
        while x:
            def test_while(): pass
        match x:
            case 1:
                def test_case(): pass
            case _:
                class TestA:
                    if x:
                        def test_method(self): pass
        def helper():
            def test_inner(): pass
            class TestInner:
                def test_inner(self): pass
        """
    listed = names(text)
    assert " ".join(listed[:6]) == "test_if test_elif test_else test_try test_except test_try_else"
    assert " ".join(listed[6:11]) == "test_finally test_with test_for test_for_else test_while"
    assert listed[11:] == ["test_case", "TestA::test_method"]


@pytest.mark.parametrize("condition", ["False", "0", "TYPE_CHECKING", "typing.TYPE_CHECKING", "__name__ == '__main__'"])
def test_branches_that_never_run(condition: str) -> None:
    assert names(f"if {condition}:\n    def test_a(): pass\nelse:\n    def test_b(): pass\n") == ["test_b"]


def test_branches_that_always_run() -> None:
    assert names("if True:\n    def test_a(): pass\nelse:\n    def test_b(): pass\n") == ["test_a"]


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        ("def test_a(x): pass", [2]),
        ("if y:\n    def test_a(): pass", [3]),
        ("test_a = None", []),
        ("test_a: int = 3", []),
        ("test_a, b = 1, 2", []),
        ("from m import test_a", []),
        ("import test_a", []),
        ("class test_a: pass", []),
        ("del test_a", []),
        ("test_a: int", [1]),
        ("test_a = mark(test_a)", [1]),
        ("try:\n    import z\nexcept ImportError:\n    test_a = None", [1]),
        ("for i in x:\n    test_a = 1", [1]),
    ],
)
def test_the_last_definition_wins(rest: str, expected: list[int]) -> None:
    result = scan(f"def test_a(): pass\n{rest}\n")
    assert [function.unit.line for function in result.functions] == expected


def test_fixtures_properties_and_other_names_are_not_tests() -> None:
    text = """\
        @pytest.fixture
        def test_a(): pass
        @fixture(scope="module")
        def test_b(): pass
        @pytest_asyncio.fixture()
        async def test_c(): pass
        def helper(): pass
        test_d = lambda: None
        test_e = make()
        class TestA:
            @property
            def test_f(self): pass
            @functools.cached_property
            def test_g(self): pass
            @test_f.setter
            def test_f(self, value): pass
            def helper(self): pass
            @staticmethod
            def test_h(): pass
        """
    assert names(text) == ["TestA::test_h"]


def test_rules_name_functions() -> None:
    text = """\
        def check_a(): pass
        def test_b(): pass
        class A:
            def check_c(self): pass
            def test_d(self): pass
        """
    rules = NamingRules(python_functions=("check",))
    # Methods called test stay candidates: unittest takes them whatever the rules say.
    assert names(text, rules=rules) == ["check_a", "A::check_c", "A::test_d"]


def test_generators_are_marked() -> None:
    text = """\
        def test_a(): yield
        def test_b():
            def inner(): yield
            return [lambda: (yield)]
        @contextmanager
        def test_c(): yield
        @pytest.mark.slow
        def test_d():
            x = yield from y
        async def test_e(): yield
        """
    assert [function.is_generator for function in scan(text).functions] == [True, False, False, True, False]


def test_classes_are_described() -> None:
    text = """\
        class Base(abc.ABC, Generic[T], make(), metaclass=M):
            __test__ = False
            x: int = 1
            def __init__(self): pass
            @abc.abstractmethod
            def run(self): pass
            class Inner(object):
                def __new__(cls): pass
        @dataclass(frozen=True)
        class Data: pass
        @attrs.define(init=False)
        class Other: pass
        del Base
        """
    base, inner, data, other = scan(text).classes
    assert (base.name, base.qualname, base.line) == ("Base", "Base", 1)
    assert base.bases == ("abc.ABC", "Generic", "make()")
    assert base.metaclass == "M"
    assert base.methods == ("__init__", "run")
    assert base.abstract == ("run",)
    assert (base.has_init, base.has_new, base.test_flag, base.exported) == (True, False, False, False)
    assert (inner.qualname, inner.has_init, inner.has_new) == ("Base::Inner", False, True)
    assert (data.has_init, other.has_init) == (True, False)


def test_imports_aliases_and_flags() -> None:
    text = """\
        import a.b
        import a.b as c
        from d import e, f as g
        from . import h
        from ..i.j import k
        from l import *
        __all__ = ["test_a"]
        __all__ += ["test_b"]
        __test__ = False
        TestX = c.Base
        def test_a(): pass
        test_a.__test__ = False
        """
    result = scan(text)
    assert result.imports == {"a": "a", "c": "a.b", "e": "d.e", "g": "d.f", "h": ".h", "k": "..i.j.k"}
    assert result.aliases == {"TestX": "c.Base"}
    assert result.star_imports == ("l",)
    assert result.exports == ("test_a", "test_b")
    assert result.module_test_flag is False
    assert [function.test_flag for function in result.functions] == [False]


def test_wanted_lines_are_found_whatever_is_there() -> None:
    text = """\
        if x:
            def helper(): pass
        else:
            def helper(): pass
        def make():
            @mark
            def made(): pass
            return made
        class A:
            def method(self): pass
            def test_other(self): pass
        """
    result = scan(text, wanted={2, 6, 10})
    assert [(f.unit.qualname, f.unit.line, f.owner) for f in result.functions] == [
        ("helper", 2, None),
        ("make::<locals>::made", 7, None),
        ("A::method", 10, "A"),
    ]


def test_describe_sees_what_is_listed() -> None:
    def describe(node: ast.FunctionDef | ast.AsyncFunctionDef, unit: Unit) -> tuple[str, int]:
        assert node.name == unit.name
        return unit.name, len(node.body)

    data = b"def helper(): pass\ndef test_a(): pass\nasync def test_b():\n    x\n    y\n"
    result = scan_source(data, "test_x.py", describe=describe)
    assert [function.described for function in result.functions] == [("test_a", 1), ("test_b", 2)]


def test_a_scan_can_be_pickled() -> None:
    result = scan("import a\nclass TestA(a.B):\n    def test_a(self, x): 'doc'\n")
    assert pickle.loads(pickle.dumps(result)) == result
    assert result.functions[0].unit.docstring == "doc"


@pytest.mark.parametrize(
    ("data", "what", "line"),
    [
        (b"def test_a(:\n", "does not parse (", 1),
        (b"x = 1\n\ndef f()\n    pass\n", "does not parse (", 3),
        (b"x = 1\n  y = 2\n", "does not parse (unexpected indent)", 2),
        (b"y = '\xff'\n", "can't be decoded", 1),
        (b"x = 1\ny = '\xff'\n", "is not UTF-8 (byte 11)", 2),
        (b"x = 1\n\n\n\ny = '\xff'\n", "is not UTF-8 (byte 14)", 5),
        (b"# coding: ascii\n\n\nx = '\xc3\xa9'\n", "is not ASCII", 4),
        (b"# coding: no-such\nx = 1\n", "can't be decoded (unknown encoding: no-such)", 1),
        (b"# coding: hex\nx = 1\n", "can't be decoded", 1),
        (b"\xef\xbb\xbf# coding: latin-1\nx = 1\n", "can't be decoded", 1),
        (b"x = 1\0\n", "contains null bytes", None),
        ("x = 1\n".encode("utf-16"), "contains null bytes", None),
        (b"x = " + b"(" * 1000 + b")" * 1000, "does not parse (too many nested parentheses)", 1),
    ],
)
def test_broken_input_is_one_problem(data: bytes, what: str, line: int | None) -> None:
    result = scan_source(data, "t/test_x.py")
    assert result.problem is not None
    assert result.problem.path == "t/test_x.py"
    assert result.problem.message.startswith(what)
    assert result.problem.message.endswith("; its tests are left out")
    assert result.problem.line == line
    assert (result.functions, result.classes) == ((), ())


def test_a_thousand_blocks_inside_each_other_are_one_problem() -> None:
    result = scan_source(b"".join(b" " * n + b"if x:\n" for n in range(1000)), "test_x.py")
    assert result.problem is not None
    assert result.problem.message.startswith("does not parse (too many levels of indentation)")
    assert result.problem.line in (100, 101)  # differs between versions of Python


@pytest.mark.parametrize(
    "data",
    [b"", b"\n\n", b"\xef\xbb\xbf", b"# nothing\n", b"\xef\xbb\xbf# coding: utf-8\n", b"\x0c\n"],
)
def test_an_empty_file_is_no_problem(data: bytes) -> None:
    result = scan_source(data, "test_x.py")
    assert (result.problem, result.functions) == (None, ())


@pytest.mark.parametrize(
    "data",
    [
        "# coding: latin-1\ndef test_a(): 'é'\n".encode("latin-1"),
        "#!/usr/bin/python\n# -*- coding: cp1252 -*-\ndef test_a(): 'é'\n".encode("cp1252"),
        b"\xef\xbb\xbfdef test_a(): '\xc3\xa9'\n",
        b"def test_a(): '\xc3\xa9'\n",
    ],
)
def test_declared_encodings(data: bytes) -> None:
    (function,) = scan_source(data, "test_x.py").functions
    assert function.unit.docstring == "é"


@pytest.mark.parametrize(
    "expression",
    [
        "+".join(["x"] * 20_000),
        "+".join(["x"] * 400_000),
        "not " * 5_000 + "x",
        "-" * 5_000 + "x",
        "x" + ".a" * 5_000,
        "f" + "()" * 5_000,
        "x" + "[0]" * 5_000,
        "lambda: " * 5_000 + "x",
        "x ** " * 5_000 + "x",
        "x if y else " * 5_000 + "z",
    ],
    ids=["add", "add more", "not", "minus", "attribute", "call", "subscript", "lambda", "power", "ifexp"],
)
@pytest.mark.parametrize("place", ["def test_a():\n    return {}\n", "X = {}\ndef test_a(): pass\n"])
def test_deep_nesting_is_read_or_one_problem(expression: str, place: str) -> None:
    result = scan_source(place.format(expression).encode(), "test_x.py")
    if result.problem is None:
        assert [function.unit.name for function in result.functions] == ["test_a"]
    else:
        assert result.problem.message == "is nested too deeply for Python's parser; its tests are left out"


def test_a_thousand_branches() -> None:
    text = "if x:\n    def test_0(): pass\n"
    text += "".join(f"elif x:\n    def test_{n}(): pass\n" for n in range(1, 900))
    result = scan(text)
    if result.problem is None:
        assert len(result.functions) == 900
    else:
        assert result.problem.message.startswith("is nested too deeply")


def test_fifty_thousand_lines() -> None:
    text = "".join(f"def test_{n}(a):\n    assert a == {n}\n\n\n# end of {n}\n" for n in range(10_000))
    result = scan_source(text.encode(), "test_x.py")
    assert len(result.functions) == 10_000
    assert result.functions[-1].unit.line == 49_996
    assert result.functions[-1].unit.source == "def test_9999(a):\n    assert a == 9999"


def test_a_description_that_recurses_too_deeply_is_one_problem() -> None:
    def describe(node: ast.AST, unit: Unit) -> None:
        raise RecursionError

    result = scan("def test_a(): pass", describe=describe)
    assert result.problem is not None
    assert result.problem.message.startswith("is nested too deeply to be analysed")


def test_no_warning_leaks_and_filters_stay() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        before = list(warnings.filters)
        assert names("def test_a():\n    assert ('\\d' is 1), 'x'\n    assert (1, 2)\n") == ["test_a"]
        assert warnings.filters == before
    assert caught == []


def test_warnings_that_are_errors_do_not_matter() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert names("def test_a():\n    return '\\d'\n") == ["test_a"]


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("text", ["def test_a(): pass", "def test_a(:"])
def test_the_garbage_collector_is_left_as_it_was(enabled: bool, text: str) -> None:
    before = gc.isenabled()
    try:
        gc.enable() if enabled else gc.disable()
        scan(text)
        assert gc.isenabled() is enabled
    finally:
        gc.enable() if before else gc.disable()


def test_a_file_is_read_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").touch()
    path = tmp_path / "pkg" / "test_x.py"
    path.write_text("def test_a(): pass\n", encoding="utf-8")
    source = SourcePath(path, "pkg/test_x.py", selected=("test_a",))
    result = scan_file(source)
    assert (result.path, result.source, result.root) == ("pkg/test_x.py", source, str(tmp_path))
    assert [function.unit.nodeid for function in result.functions] == ["pkg/test_x.py::test_a"]


def test_a_file_that_has_gone_is_one_problem(tmp_path: Path) -> None:
    result = scan_file(SourcePath(tmp_path / "test_x.py", "test_x.py"))
    assert result.problem is not None
    assert result.problem.message == "can't be read (No such file or directory); its tests are left out"


def test_a_file_that_may_not_be_read_is_one_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    # Permissions do not stop root, as whom tests run in containers.
    monkeypatch.setattr(Path, "read_bytes", refuse)
    result = scan_file(SourcePath(tmp_path / "test_x.py", "test_x.py"))
    assert result.problem is not None
    assert result.problem.message == "can't be read (Permission denied); its tests are left out"

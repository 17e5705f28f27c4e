"""The compiled walk describes every function as the one in Python does, bit for bit."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import sysconfig
import textwrap
import threading
import warnings
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_qeattention.similarity import describe as plain
from pytest_qeattention.similarity.model import Unit
from pytest_qeattention.similarity.naming import EVERY_FUNCTION
from pytest_qeattention.similarity.scan import scan_source

_describe = pytest.importorskip(
    "pytest_qeattention.similarity._describe", reason="this installation has no compiled core"
)

ROOT = Path(__file__).resolve().parents[2]
STDLIB_TESTS = Path(sysconfig.get_paths()["stdlib"], "test")
# Files of the standard library's tests that hold much of the grammar.
GRAMMAR_FILES = (
    "test_ast.py",
    "test_ast/test_ast.py",
    "test_fstring.py",
    "test_generators.py",
    "test_grammar.py",
    "test_patma.py",
    "test_string_literals.py",
    "test_tstring.py",
    "test_type_params.py",
    "test_unicode_identifiers.py",
    "test_with.py",
)


def check(node: plain.FunctionNode, unit: Unit) -> None:
    assert _describe.describe(node, unit) == plain.describe_plainly(node, unit), unit.nodeid


def check_source(data: bytes, path: str) -> int:
    """Compare what both say of every function that *data* defines; return the number of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lines = {n.lineno for n in ast.walk(ast.parse(data)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
    return len(scan_source(data, path, EVERY_FUNCTION, lines, describe=check).functions)


def test_functions_of_this_project() -> None:
    files = [*ROOT.glob("tests/unit/*.py"), *Path(plain.__file__).parent.glob("*.py")]
    assert sum(check_source(path.read_bytes(), path.name) for path in sorted(files)) > 500


def test_functions_of_the_standard_library() -> None:
    files = [path for name in GRAMMAR_FILES if (path := STDLIB_TESTS / name).is_file()]
    if not files:
        pytest.skip("this Python has no tests of the standard library")
    assert sum(check_source(path.read_bytes(), path.name) for path in files) > 300


BODIES = [
    "x: int = 1; y: list[int]",
    "global a, b; a = b",
    "nonlocal c; c = 1",
    "import a.b, c as d; from . import e; from .f import g as h; from i import *",
    "try:\n    f()\nexcept (A, B) as error:\n    raise C from error\nexcept D:\n    raise\nelse:\n    g()",
    "try:\n    f()\nfinally:\n    g()\n    h()",
    "with a as b, c() as (d, e), f:\n    g()",
    "for i, *j in k:\n    continue\nelse:\n    l()",
    "while a := b():\n    break",
    "def inner(p, /, q=1, *r, s, t=u, **v) -> w:\n    'doc'\n    return p, q",
    "async def inner():\n    async for a in b:\n        await c\n    async with d as e:\n        yield e",
    "class Inner(A, metaclass=B, **c):\n    'doc'\n    d = e",
    "return lambda a, *b, c=d, **e: (yield a)",
    "assert [a for b in c if d for e in f if g if h], {i: j for k in l}",
    "assert {a for b in c}, (d for e in f)",
    "assert f'{a!r:>{b}}' f\"{c=}\" 'd' f'{1}'",
    "assert -1 + 2j * ~3 ** 1e400 == not_a, (not 1, +True, None, ..., b'x' * 200)",
    "assert a < b <= c is not d not in e, f or g and not h",
    "assert {**a, 1: [2, (3, {4})], 'x': -5}, ([*b], ())",
    "a[1:2, ::3] @= b.c.d[e](*f, g=1, **h)",
    "del a, b.c, d[0]",
    "match a:\n    case {'k': b, **c}: pass\n    case [d, *e, 1 | 2] if f: pass",
    "match a:\n    case G(h, i=None) as j: pass\n    case True: pass\n    case _: pass",
    "self.assertEqual(a, b, msg=c); self.assertIn(a); self.assertTrue(a, 'b'); self.assertRaises(A, f, *b, k=1)",
    "self.assertEqual(self.assertIs(a, b), c); self.assert_(x); other.assertEqual(a, b); self.x.assertTrue(a)",
    "with self.assertRaisesRegex(A, 'b'): f()",
    "x = 'a' * 3, '', 'b' * 1000, 0, 1, 9, 10, 999, 1000, 10**9, 1.0, 0.5, -0.0, 1e309",
    f"x = {2**64}, {10**400}, 0x{'f' * 9000}",
    "café = 'naïve', '\\ud800', '\\0\\1'; \ufb01n = café",
    "L0 = N = A = Attribute; L0.L1 = ('N:', ')', '|')",
    "if a:\n    pass\nelif b:\n    ...\nelse:\n    'text'",
]
NEWER_BODIES = {
    (3, 11): "try:\n    f()\nexcept* (A, B) as error:\n    g(error)",
    (3, 12): "type X[T: int, *U, **V] = T\ndef inner[T](a: T) -> T: ...\nclass Inner[T]: ...",
    (3, 13): "def inner[T = int](a: T): ...",
    (3, 14): "assert t'{a!r:>{b}} c' == d",
}


def parsed(source: str) -> tuple[plain.FunctionNode, Unit]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        node = ast.parse(source).body[0]
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    return node, Unit("t.py::TestIt::test_it", "t.py", 1, node.name, "TestIt::test_it", 1, 1, source)


@pytest.mark.parametrize(
    "body", [*BODIES, *(body for least, body in NEWER_BODIES.items() if sys.version_info >= least)]
)
@pytest.mark.parametrize("head", ["def test_it():", "async def test_it(self, a, /, b=1, *c, d, e=X, **f):"])
def test_every_kind_of_node(head: str, body: str) -> None:
    check(*parsed(f"@mark\n@pytest.mark.x([1, -2, lambda y: z], **k)\n{head}\n{textwrap.indent(body, '    ')}\n"))


NAMES = st.sampled_from(["a", "b", "self", "test", "len", "L1", "assertX", "HTTPServer2x", "é"])
CONSTANTS = st.one_of(
    st.integers(-(10**21), 10**21).map(repr),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.text(max_size=8).map(repr),
    st.binary(max_size=4).map(repr),
    st.sampled_from(["None", "True", "...", "1j", "u'x'"]),
)


def _compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    two = st.tuples(inner, inner)
    return st.one_of(
        st.tuples(inner, NAMES).map(lambda p: f"({p[0]}).{p[1]}"),
        st.tuples(inner, inner, NAMES).map(lambda p: f"({p[0]})({p[1]}, {p[2]}={p[1]}, *{p[2]})"),
        st.tuples(st.sampled_from(["assertEqual", "assertTrue", "assertRaises"]), two).map(
            lambda p: f"self.{p[0]}({p[1][0]}, {p[1][1]})"
        ),
        two.map(lambda p: f"[{p[0]}, *[{p[1]}]]"),
        two.map(lambda p: f"{{{p[0]}: {p[1]}, **{p[0]}}}"),
        two.map(lambda p: f"({p[0]} + -({p[1]}))"),
        two.map(lambda p: f"({p[0]} < {p[1]} is not None)"),
        two.map(lambda p: f"(not {p[0]} or {p[1]})"),
        st.tuples(NAMES, two).map(lambda p: f"[{p[1][0]} for {p[0]} in {p[1][1]} if {p[0]}]"),
        st.tuples(NAMES, inner).map(lambda p: f"(lambda {p[0]}, *, k={p[1]}: {p[0]})"),
        st.tuples(NAMES, inner).map(lambda p: f"({p[0]} := {p[1]})"),
        st.tuples(inner, inner).map(lambda p: f"({p[0]})[{p[1]}:]"),
    )


EXPRESSIONS = st.recursive(st.one_of(NAMES, CONSTANTS), _compound, max_leaves=8)


def _block(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    def indented(text: str) -> str:
        return textwrap.indent(text, "    ")

    return st.one_of(
        st.tuples(EXPRESSIONS, inner).map(lambda p: f"if {p[0]}:\n{indented(p[1])}"),
        st.tuples(NAMES, EXPRESSIONS, inner).map(lambda p: f"for {p[0]} in {p[1]}:\n{indented(p[2])}"),
        st.tuples(NAMES, EXPRESSIONS, inner).map(lambda p: f"with {p[1]} as {p[0]}:\n{indented(p[2])}"),
        st.tuples(NAMES, inner).map(lambda p: f"try:\n{indented(p[1])}\nexcept E as {p[0]}:\n    pass"),
        st.tuples(NAMES, inner).map(lambda p: f"def {p[0]}({p[0]}):\n{indented(p[1])}"),
        st.tuples(inner, inner).map("\n".join),
    )


STATEMENTS = st.recursive(
    st.one_of(
        EXPRESSIONS.map(lambda e: f"assert {e}"),
        st.tuples(NAMES, EXPRESSIONS).map(lambda p: f"{p[0]} = {p[1]}"),
        EXPRESSIONS,
        NAMES.map(lambda name: f"import {name} as x"),
        st.sampled_from(["pass", "return", "'docstring'", "global b"]),
    ),
    _block,
    max_leaves=6,
)


@given(NAMES, EXPRESSIONS, STATEMENTS)
@settings(deadline=None, max_examples=100)
def test_any_function(name: str, decorator: str, body: str) -> None:
    source = (
        f"@mark({decorator})\ndef test_it(self, {'x' if name == 'self' else name}):\n{textwrap.indent(body, '    ')}"
    )
    try:
        node, unit = parsed(source)
    except (SyntaxError, ValueError):
        return
    check(node, unit)


@given(st.text(st.characters(codec="ascii"), max_size=60) | st.text(max_size=30))
@settings(deadline=None, max_examples=100)
def test_words_of_any_text(text: str) -> None:
    node, unit = parsed("def test_it(): ...")
    unit = Unit(unit.nodeid, unit.path, 1, unit.name, unit.qualname, 1, 1, text)
    assert _describe.describe(node, unit).words == plain.word_features(text)


def test_what_was_learnt_changes_nothing_when_it_is_forgotten(tmp_path: Path) -> None:
    """A process that has met more names than it keeps starts again, and says the same."""
    code = """
import ast
from pytest_qeattention.similarity import describe as plain, words
words.MEMO_LIMIT = 2000
from pytest_qeattention.similarity import _describe
from pytest_qeattention.similarity.model import Unit
for number in range(600):
    source = f"def test_it(self):\\n    name_{number} = other_{number}({number})\\n    assert name_{number}.a_{number}"
    unit = Unit("t.py::test_it", "t.py", 1, "test_it", "test_it", 1, 1, source)
    node = ast.parse(source).body[0]
    assert _describe.describe(node, unit) == plain.describe_plainly(node, unit)
print("same")
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert (ran.stdout, ran.stderr) == ("same\n", "")


def test_threads_describe_the_same() -> None:
    node, unit = parsed("def test_it(self):\n    " + "\n    ".join(f"assert x{n} == {n}.5" for n in range(200)))
    expected, found = plain.describe_plainly(node, unit), []
    threads = [
        threading.Thread(target=lambda: found.extend(_describe.describe(node, unit) for _ in range(20)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 80
    assert set(found) == {expected}


def test_what_is_no_function_is_an_error() -> None:
    node, unit = parsed("def test_it(): ...")
    with pytest.raises(AttributeError):
        _describe.describe(ast.Pass(), unit)
    node.body = [1]  # type: ignore[list-item]
    with pytest.raises(TypeError, match="1 is no node"):
        _describe.describe(node, unit)
    nameless = ast.Name("x", ast.Load())
    del nameless.id
    node.body = [ast.Expr(nameless)]
    with pytest.raises(AttributeError, match="has no id"):
        _describe.describe(node, unit)
    check(*parsed("def test_it(): ..."))


@pytest.mark.parametrize(("backend", "module"), [("numpy", plain.__name__), ("", _describe.__name__)])
def test_the_setting_decides_who_describes(tmp_path: Path, backend: str, module: str) -> None:
    code = f"from {plain.__name__} import implementation; print(implementation().describe.__module__)"
    environment = {**os.environ, "QE_BACKEND": backend}
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=environment, cwd=tmp_path
    )
    assert (ran.stdout.strip(), ran.stderr) == (module, "")


def test_the_stub_names_what_there_is() -> None:
    stub = ast.parse(Path(plain.__file__).with_name("_describe.pyi").read_text(encoding="utf-8"))
    functions = {node.name for node in stub.body if isinstance(node, ast.FunctionDef)}
    values = {
        node.target.id for node in stub.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    assert (functions, values) == ({"describe"}, {"INTERFACE"})
    assert _describe.INTERFACE == plain.INTERFACE
    assert callable(_describe.describe)

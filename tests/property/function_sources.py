"""Sources of functions that hold all of the grammar, for tests of what reads syntax trees."""

from __future__ import annotations

import ast
import sys
import sysconfig
import textwrap
import warnings
from pathlib import Path

from hypothesis import strategies as st

from pytest_qeattention.syntax.nodes import FunctionNode

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


def standard_library() -> list[Path]:
    """List the files of the standard library's tests that hold much of the grammar, as far as they are installed."""
    return [path for name in GRAMMAR_FILES if (path := STDLIB_TESTS / name).is_file()]


def quietly_parsed(source: str | bytes) -> ast.Module:
    """Parse without warnings of what the source may write."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source)


def function_of(source: str) -> FunctionNode:
    """Return the function that *source* begins with."""
    node = quietly_parsed(source).body[0]
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    return node


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
HEADS = ["def test_it():", "async def test_it(self, a, /, b=1, *c, d, e=X, **f):"]
EVERY_BODY = [*BODIES, *(body for least, body in NEWER_BODIES.items() if sys.version_info >= least)]


def decorated(head: str, body: str) -> str:
    """Write a function with decorators."""
    return f"@mark\n@pytest.mark.x([1, -2, lambda y: z], **k)\n{head}\n{textwrap.indent(body, '    ')}\n"


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


def _any_function(parts: tuple[str, str, str]) -> str:
    name, decorator, body = parts
    return f"@mark({decorator})\ndef test_it(self, {'x' if name == 'self' else name}):\n{textwrap.indent(body, '    ')}"


FUNCTIONS = st.tuples(NAMES, EXPRESSIONS, STATEMENTS).map(_any_function)

"""The compiled tokens of every function and text are those in Python, bit for bit."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from function_sources import EVERY_BODY, FUNCTIONS, HEADS, decorated, function_of, quietly_parsed, standard_library
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_qeattention.encoder import tokens as plain
from pytest_qeattention.syntax.nodes import FunctionNode

_tokens = pytest.importorskip("pytest_qeattention.encoder._tokens", reason="this installation has no compiled core")

ROOT = Path(__file__).resolve().parents[2]
FURTHER_BODIES = [
    "\n".join(f"v{n} = v{n + 1}.v{n}(v{n})" for n in range(20)),
    "raises = isinstance = 1\nself.assertRaises(raises)\nself.assertIsInstance(a, b)\nassert raises, isinstance",
    "global a, v\na = v = w = 1\ndef inner():\n    nonlocal w\n    a.v.w(v)",
    "word = Expr = Load = local0 = str3 = 'Expr', word\nother, name = Expr.arguments",
    "import a, a.b as c, d.e.f\nfrom ..g.h import i as j, HTTPServer2\na.c.d(i, j, HTTPServer2)",
    "f('" + "HTTPServer_2x ABCd9 " * 30 + "', 'one café, deux 日本語 Ünïcode 12٣', b'bytes are no words', '_', '')",
    "café = naïve_Value = ñandú2.Straße\nprint(café, naïve_Value)",
    "try: pass\nexcept E as error: print(error, e)\nmatch error:\n    case {**left} | [*left]: left\n    case _: error",
    "'a docstring'\nif a:\n    'a string'\n    x = 'another', 1\n'more'",
    "self.assertEqual(*both); self.assertEqual(a, *b); self.assertTrue(a if b else self.assertFalse(c), msg='d')",
    "self.assertEqual.cache(a, b)(self.assertIn)(self.assertIn(a, b).c.d, e)",
]


def read(node: FunctionNode) -> plain.TokenSequence:
    (found,) = _tokens.code_sequences([node])
    assert found == plain.code_tokens_plainly(node)
    return found


def check_file(path: Path) -> int:
    """Compare what both read of all functions and texts of a file; return the number of functions."""
    tree = quietly_parsed(path.read_bytes())
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    expected = [plain.code_tokens_plainly(node) for node in nodes]
    differ = [nodes[at].name for at, found in enumerate(_tokens.code_sequences(nodes)) if found != expected[at]]
    texts = [text for node in nodes for text in (node.name, ast.get_docstring(node) or "")]
    assert (path.name, differ) == (path.name, [])
    assert _tokens.word_sequences(texts) == [plain.word_tokens_plainly(text) for text in texts]
    return len(nodes)


def test_functions_of_this_project() -> None:
    files = [*ROOT.glob("tests/unit/*.py"), *Path(plain.__file__).parents[1].glob("similarity/*.py")]
    assert sum(check_file(path) for path in sorted(files)) > 500


def test_functions_of_the_standard_library() -> None:
    files = standard_library()
    if not files:
        pytest.skip("this Python has no tests of the standard library")
    assert sum(check_file(path) for path in files) > 300


@pytest.mark.parametrize("body", [*EVERY_BODY, *FURTHER_BODIES])
@pytest.mark.parametrize("head", HEADS)
def test_every_kind_of_node(head: str, body: str) -> None:
    assert len(read(function_of(decorated(head, body)))) > 5


def test_decorators_give_what_they_call() -> None:
    source = "@a\n@b.c(1)\n@d(e)(f)\n@self.assertEqual(1, 2)(g)\n@lambda x: x\n@(y := z)\ndef test(): y\n"
    assert read(function_of(source)).roles.count(plain.ROLES.index("decorator")) == 6


@given(FUNCTIONS)
@settings(deadline=None, max_examples=100)
def test_any_function(source: str) -> None:
    try:
        node = function_of(source)
    except (SyntaxError, ValueError):
        return
    read(node)


@given(st.text(st.characters(codec="ascii"), max_size=60) | st.text(max_size=30))
@settings(deadline=None, max_examples=200)
def test_any_text(text: str) -> None:
    (found,) = _tokens.word_sequences([text])
    assert found == plain.word_tokens_plainly(text)
    node = function_of("def test(): ...")
    node.body = [ast.Return(ast.Constant(text))]
    read(node)


def test_depth_is_bounded_by_memory_alone() -> None:
    deep: ast.expr = ast.Name("x", ast.Load())
    for number in range(20_000):
        deep = ast.Attribute(deep, f"a{number % 7}", ast.Load())
        deep = ast.UnaryOp(ast.Not(), deep)
    node = function_of("def test(): ...")
    node.body = [ast.Return(deep)]
    assert len(read(node)) == 20_000 * 3 + 2


def test_what_was_learnt_changes_nothing_when_it_is_forgotten(tmp_path: Path) -> None:
    """A process that has met more names than it keeps starts again, and says the same."""
    code = """
import ast
from pytest_qeattention.syntax import words
words.MEMO_LIMIT = 1000
from pytest_qeattention.encoder import _tokens, tokens as plain
source = "def test(self):\\n    name_{0} = other_{0}({0})\\n    assert name_{0}.a_{0}, 'text {0}'\\n"
nodes = [ast.parse(source.format(number)).body[0] for number in range(600)]
expected = [plain.code_tokens_plainly(node) for node in nodes]
assert _tokens.code_sequences(nodes) == expected
assert [_tokens.code_sequences([node])[0] for node in nodes] == expected
print("same")
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert (ran.stdout, ran.stderr) == ("same\n", "")


def test_threads_read_the_same() -> None:
    nodes = [function_of(f"def test():\n    v{n} = {n}\n    f(v{n}, g{n % 3}, 'word {n}')") for n in range(50)]
    expected, found = [plain.code_tokens_plainly(node) for node in nodes], []
    threads = [
        threading.Thread(target=lambda: found.extend(_tokens.code_sequences(nodes) for _ in range(10)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 40
    assert all(one == expected for one in found)


def test_what_is_no_function_or_text_is_an_error() -> None:
    node = function_of("def test(): ...")
    with pytest.raises(AttributeError):
        _tokens.code_sequences([ast.Pass()])
    node.body = [1]  # type: ignore[list-item]
    with pytest.raises(TypeError, match="1 is no node"):
        _tokens.code_sequences([node])
    nameless = ast.Name("x", ast.Load())
    del nameless.id
    node.body = [ast.Expr(nameless)]
    with pytest.raises(AttributeError, match="has no id"):
        _tokens.code_sequences([node])
    with pytest.raises(TypeError):
        _tokens.word_sequences([b"bytes"])
    read(function_of("def test(): ..."))


@pytest.mark.parametrize(("backend", "reads"), [("numpy", "python"), ("", "compiled")])
def test_the_setting_decides_who_reads(tmp_path: Path, backend: str, reads: str) -> None:
    code = f"from {plain.__name__} import twin; print(twin().info()['implementation'])"
    environment = {**os.environ, "QE_BACKEND": backend}
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=environment, cwd=tmp_path
    )
    assert (ran.stdout.strip(), ran.stderr) == (reads, "")


def test_the_stub_names_what_there_is() -> None:
    stub = ast.parse(Path(plain.__file__).with_name("_tokens.pyi").read_text(encoding="utf-8"))
    functions = {node.name for node in stub.body if isinstance(node, ast.FunctionDef)}
    values = {
        node.target.id for node in stub.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    assert (functions, values) == ({"code_sequences", "word_sequences"}, {"INTERFACE"})
    assert _tokens.INTERFACE == plain.INTERFACE
    assert all(callable(getattr(_tokens, name)) for name in functions)

"""The compiled walk describes every function as the one in Python does, bit for bit."""

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

from pytest_qeattention.similarity import describe as plain
from pytest_qeattention.similarity.model import Unit
from pytest_qeattention.similarity.naming import EVERY_FUNCTION
from pytest_qeattention.similarity.scan import scan_source
from pytest_qeattention.syntax.nodes import FunctionNode

_describe = pytest.importorskip(
    "pytest_qeattention.similarity._describe", reason="this installation has no compiled core"
)

ROOT = Path(__file__).resolve().parents[2]


def check(node: FunctionNode, unit: Unit) -> None:
    assert _describe.describe(node, unit) == plain.describe_plainly(node, unit), unit.nodeid


def check_source(data: bytes, path: str) -> int:
    """Compare what both say of every function that *data* defines; return the number of them."""
    lines = {n.lineno for n in ast.walk(quietly_parsed(data)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
    return len(scan_source(data, path, EVERY_FUNCTION, lines, describe=check).functions)


def test_functions_of_this_project() -> None:
    files = [*ROOT.glob("tests/unit/*.py"), *Path(plain.__file__).parent.glob("*.py")]
    assert sum(check_source(path.read_bytes(), path.name) for path in sorted(files)) > 500


def test_functions_of_the_standard_library() -> None:
    files = standard_library()
    if not files:
        pytest.skip("this Python has no tests of the standard library")
    assert sum(check_source(path.read_bytes(), path.name) for path in files) > 300


def parsed(source: str) -> tuple[FunctionNode, Unit]:
    node = function_of(source)
    return node, Unit("t.py::TestIt::test_it", "t.py", 1, node.name, "TestIt::test_it", 1, 1, source)


@pytest.mark.parametrize("body", EVERY_BODY)
@pytest.mark.parametrize("head", HEADS)
def test_every_kind_of_node(head: str, body: str) -> None:
    check(*parsed(decorated(head, body)))


@given(FUNCTIONS)
@settings(deadline=None, max_examples=100)
def test_any_function(source: str) -> None:
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
from pytest_qeattention.syntax import words
words.MEMO_LIMIT = 2000
from pytest_qeattention.similarity import describe as plain
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

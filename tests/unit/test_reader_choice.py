"""What describes tests: the compiled twin, or Python where it is missing or left over from another version."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_qeattention.similarity import describe as plain
from pytest_qeattention.similarity.scan import scan_source
from pytest_qeattention.syntax import twins

NAME = "pytest_qeattention.similarity._describe"


@pytest.fixture(autouse=True)
def fresh_choice() -> Iterator[None]:
    plain.implementation.cache_clear()
    yield
    plain.implementation.cache_clear()


def imports(monkeypatch: pytest.MonkeyPatch, result: Any) -> None:
    monkeypatch.delenv("QE_BACKEND", raising=False)

    def import_module(name: str) -> Any:
        assert name == NAME
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setattr(twins, "importlib", SimpleNamespace(import_module=import_module))


def test_a_twin_of_this_interface_describes(monkeypatch: pytest.MonkeyPatch) -> None:
    twin = SimpleNamespace(INTERFACE=plain.INTERFACE, describe=lambda node, unit: "described")
    imports(monkeypatch, twin)

    assert plain.describe(ast.parse("def f(): pass").body[0], None) == "described"
    assert plain.reader_info() == {"implementation": "compiled", "reason": "the compiled reader was built"}
    assert plain.implementation().problem is None


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (SimpleNamespace(describe=None), f"has interface None, this package needs {plain.INTERFACE}"),
        (SimpleNamespace(INTERFACE=0, describe=None), f"has interface 0, this package needs {plain.INTERFACE}"),
        (AttributeError("no BUILTINS"), "does not load (AttributeError: no BUILTINS)"),
        (ImportError("cannot import name"), "does not load (ImportError: cannot import name)"),
        (ModuleNotFoundError("No module named 'gone'", name="gone"), "does not load (No module named 'gone')"),
    ],
)
def test_a_build_that_is_left_over_is_named_and_python_describes(
    monkeypatch: pytest.MonkeyPatch, found: Any, words: str
) -> None:
    imports(monkeypatch, found)

    (scanned,) = scan_source(b"def test_x():\n    assert 1\n", "a.py", describe=plain.describe).functions

    assert scanned.described is not None
    assert scanned.described.literal
    reason = f"the compiled reader of tests {words}: it is left over from another version"
    assert plain.reader_info() == {"implementation": "python", "reason": reason}
    assert plain.implementation().problem == f"{reason}; Python reads them, which takes longer; reinstall"


def test_without_a_compiled_build_nothing_is_wrong_with_the_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    imports(monkeypatch, ModuleNotFoundError(f"No module named {NAME!r}", name=NAME))

    assert plain.reader_info() == {"implementation": "python", "reason": "no compiled reader was built"}
    assert plain.implementation().problem is None


def test_a_wish_for_numpy_is_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    imports(monkeypatch, SimpleNamespace())
    monkeypatch.setenv("QE_BACKEND", "numpy")

    assert plain.reader_info() == {"implementation": "python", "reason": "QE_BACKEND is numpy"}
    assert plain.implementation().problem is None


def test_nothing_is_looked_for_where_nothing_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    imports(monkeypatch, SimpleNamespace())

    assert scan_source(b"LIMIT = 1\n", "a.py", describe=plain.describe).functions == ()
    assert plain.implementation.cache_info().currsize == 0

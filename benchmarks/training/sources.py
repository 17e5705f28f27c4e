"""Read the functions of an unpacked distribution: tests, what they call, and the functions of the product."""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from benchmarks.training.corpus import is_test_file, parsed
from pytest_qeattention.similarity.describe import is_placeholder
from pytest_qeattention.syntax.nodes import FunctionNode, is_docstring

# Words of a docstring past these say more of parameters than of the function.
MOST_WORDS = 40


@dataclass(frozen=True, slots=True, eq=False)
class SourceFunction:
    """Hold a function or method as it is written."""

    path: str
    """POSIX path in the distribution."""
    owner: str
    """Name of the class it is written in, empty for a function of the module."""
    name: str
    node: FunctionNode
    is_test: bool

    @property
    def qualname(self) -> str:
        return f"{self.path}::{self.owner}::{self.name}:{self.node.lineno}"


@dataclass(frozen=True, slots=True, eq=False)
class SourceFile:
    """Hold what a file defines, and what its names were imported from."""

    path: str
    functions: tuple[SourceFunction, ...]
    imports: dict[str, str]
    """Name to the dotted name that it was imported from; relative imports lose their dots."""


def read_distribution(directory: Path) -> Iterator[SourceFile]:
    """Yield the files of a distribution in order of path; what does not parse is left out.

    Of files with tests only the tests count: their helpers are neither tests nor the product.
    """
    for path, tree in parsed(directory):
        if tree is not None:
            yield read_file(tree, path.as_posix(), has_tests=is_test_file(path))


def read_file(tree: ast.Module, path: str, *, has_tests: bool) -> SourceFile:
    """List the functions of a module and of its classes, and its imports at any depth."""
    functions: list[SourceFunction] = []
    imports: dict[str, str] = {}
    pending: list[tuple[ast.AST, str]] = [(tree, "")]
    while pending:
        node, owner = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            is_test = has_tests and node.name.startswith("test")
            if is_test == has_tests and not is_placeholder(node):
                functions.append(SourceFunction(path, owner, node.name, node, is_test))
        elif isinstance(node, ast.ClassDef):
            pending.extend((statement, node.name) for statement in reversed(node.body))
        elif isinstance(node, ast.Module | ast.If | ast.Try | ast.With):
            below = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]
            pending.extend((statement, owner) for statement in reversed(below))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            imports.update((alias.asname or alias.name, f"{node.module or ''}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Import):
            imports.update((alias.asname, alias.name) for alias in node.names if alias.asname)
    return SourceFile(path, tuple(functions), imports)


def called_names(node: FunctionNode) -> list[str]:
    """List the distinct names that a function calls, those of methods with a dot in front, in order."""
    names: dict[str, None] = {}
    for below in ast.walk(node):
        if isinstance(below, ast.Call):
            if isinstance(below.func, ast.Name):
                names[below.func.id] = None
            elif isinstance(below.func, ast.Attribute):
                names[f".{below.func.attr}"] = None
    return list(names)


def module_name(path: str) -> str:
    """Return the dotted name that a file has in its distribution."""
    parts = PurePosixPath(path).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def summary(node: FunctionNode) -> str:
    """Return the first paragraph of a function's docstring; empty where it has none."""
    text = ast.get_docstring(node) or ""
    return " ".join(re.split(r"\n\s*\n", text.strip(), maxsplit=1)[0].split()[:MOST_WORDS])


def messages(node: FunctionNode) -> list[str]:
    """List what a function raises, or a test expects, as failures tell it: ``Type: message``, each once.

    Of a message only what is written counts; values that are put in are left out.
    """
    found: dict[str, None] = {}
    for type_node, text in _raised(node):
        name = ast.unparse(type_node).rpartition(".")[2]
        words = " ".join(str(part.value) for part in _texts(text)).split()
        if words and name.isidentifier():
            found[f"{name}: {' '.join(words)}"] = None
    return list(found)


def without_messages(node: FunctionNode) -> FunctionNode:
    """Return a copy of a function whose raised or expected messages are empty."""
    bare = copy.deepcopy(node)
    for _, text in _raised(bare):
        for part in _texts(text):
            part.value = ""
    return bare


def _raised(node: FunctionNode) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Yield type and message of each exception that a function makes to raise it, or that a test expects."""
    for below in ast.walk(node):
        if isinstance(below, ast.Raise) and isinstance(below.exc, ast.Call) and below.exc.args:
            yield below.exc.func, below.exc.args[0]
        elif isinstance(below, ast.Call) and below.args:
            called = ast.unparse(below.func).rpartition(".")[2]
            match = next((keyword.value for keyword in below.keywords if keyword.arg == "match"), None)
            if called == "raises" and match is not None:
                yield below.args[0], match
            elif called in ("assertRaisesRegex", "assertRaisesRegexp") and len(below.args) > 1:
                yield below.args[0], below.args[1]


def _texts(node: ast.expr) -> Iterator[ast.Constant]:
    for below in ast.walk(node):
        if isinstance(below, ast.Constant) and isinstance(below.value, str):
            yield below


def bag_text(node: FunctionNode) -> str:
    """Return all names and texts in a function, those of locals too; its own name and docstring are left out."""
    words: list[str] = []
    pending: list[ast.AST] = [*reversed(node.body), node.args, *node.decorator_list]
    while pending:
        below = pending.pop()
        if is_docstring(below):
            continue
        for name in ("id", "attr", "arg", "name", "module", "asname"):
            word = getattr(below, name, None)
            if isinstance(word, str):
                words.append(word)
        if isinstance(below, ast.Constant) and isinstance(below.value, str):
            words.append(below.value)
        pending.extend(ast.iter_child_nodes(below))
    return " ".join(words)

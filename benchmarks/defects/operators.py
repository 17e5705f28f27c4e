"""Defects for the product, for fixtures and for imports: one changed place each, found again in a drifted source."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from benchmarks.quality.mutations import Mutation, Places, mutations, own_nodes
from pytest_qeattention.syntax.nodes import FunctionNode, is_docstring

Kind = Literal["product", "fixture", "import", "missing fixture", "timeout"]
RAISED = (
    "ConnectionRefusedError(111, 'Connection refused')",
    "ConnectionError('connection to server at 127.0.0.1, port 5432 failed: timeout expired')",
    "OSError(24, 'Too many open files')",
    "PermissionError(13, 'Permission denied', '/var/lib/data/state.json')",
    "RuntimeError('cache is not initialised')",
    "RuntimeError('server answered with status 503')",
    "RuntimeError('server answered with status 404')",
    "ValueError('unsupported value')",
    "TypeError('expected str, got bytes')",
    "NotImplementedError()",
    "TimeoutError('timed out after 30 s')",
    "KeyError('config')",
    "UnicodeDecodeError('utf-8', b'caf\\xe9', 3, 4, 'unexpected end of data')",
)
"""What a function raises that fails at its first statement."""


@dataclass(frozen=True, slots=True)
class Defect:
    """Name a place of a file by what stays the same when its lines move."""

    kind: Kind
    path: str
    qualname: str
    """Of the function; of an import, its number among the imports of the module."""
    operator: str
    ordinal: int
    """Among the places that *operator* can change."""

    def mutation(self, source: bytes) -> Mutation:
        """Return the change of *source*; LookupError where it has no such place."""
        found = possible(self.kind, self.qualname, source).get(self.operator, ())
        if self.ordinal >= len(found):
            raise LookupError(f"{self.path} has no place {self.ordinal} for {self.operator} in {self.qualname}")
        return found[self.ordinal]


def possible(kind: Kind, qualname: str, source: bytes) -> dict[str, list[Mutation]]:
    """Return all changes of one function or import of *source*, by operator."""
    if kind == "import":
        found: Iterator[Mutation] = _imports(qualname, source)
    else:
        functions = functions_of(source)
        node = functions.get(qualname)
        if node is None:
            return {}
        if kind == "missing fixture":
            found = _renamed(node, source)
        elif kind == "timeout":
            found = _endless(node, source)
        else:
            found = _of_function(node, source)
    by_operator: defaultdict[str, list[Mutation]] = defaultdict(list)
    for mutation in found:
        by_operator[mutation.operator].append(mutation)
    return dict(by_operator)


@lru_cache(maxsize=64)
def functions_of(source: bytes) -> dict[str, FunctionNode]:
    """Return the functions of a file by qualified name, less names that are defined more than once."""
    found: dict[str, FunctionNode] = {}
    twice: set[str] = set()

    def visit(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, FunctionNode):
                name = prefix + node.name
                twice.update([name] if name in found else [])
                found[name] = node
            elif isinstance(node, ast.ClassDef):
                visit(node.body, f"{prefix}{node.name}.")

    visit(ast.parse(source).body, "")
    return {name: node for name, node in found.items() if name not in twice}


def first_line(node: FunctionNode) -> int:
    """Return the line that the code of *node* is known by: that of its first decorator, or of ``def``."""
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def imports_of(source: bytes) -> list[ast.Import | ast.ImportFrom]:
    """Return the imports at the top of a module, less those of the future."""
    body = ast.parse(source).body
    return [
        node
        for node in body
        if isinstance(node, ast.Import) or (isinstance(node, ast.ImportFrom) and node.module != "__future__")
    ]


def _imports(number: str, source: bytes) -> Iterator[Mutation]:
    nodes = imports_of(source)
    if int(number) >= len(nodes):
        return
    node, places = nodes[int(number)], Places(source)
    if isinstance(node, ast.ImportFrom) and node.module and node.names[0].name != "*":
        parts = [f"{alias.name} as {alias.asname}" if alias.asname else alias.name for alias in node.names]
        before = f"from {'.' * node.level}{node.module}"
        spoiled = node.names[0].name + "s"
        yield places.replaced("missing name", node, f"{before} import {', '.join([spoiled, *parts[1:]])}")
        yield places.replaced("missing module", node, f"{before}_compat import {', '.join(parts)}")
    elif isinstance(node, ast.Import):
        yield places.replaced("missing module", node, f"import {node.names[0].name}_compat as _")


def _renamed(node: FunctionNode, source: bytes) -> Iterator[Mutation]:
    places = Places(source)
    start, end = places.span(node)
    written = places.between(start, end)
    at = start + len(written[: written.index("def ") + 4].encode())
    yield Mutation("missing fixture", node.lineno, at, at + len(node.name), f"{node.name}_old")


def _endless(node: FunctionNode, source: bytes) -> Iterator[Mutation]:
    first = _first_simple(node)
    if first is not None:
        yield Places(source).replaced("endless loop", first, "while True: pass")


def _first_simple(node: FunctionNode) -> ast.stmt | None:
    body = [each for each in node.body if not is_docstring(each)]
    if not body or isinstance(body[0], ast.If | ast.For | ast.While | ast.With | ast.Try | FunctionNode | ast.ClassDef):
        return None
    return None if isinstance(body[0], ast.Global | ast.Nonlocal | ast.Import | ast.ImportFrom) else body[0]


def _of_function(node: FunctionNode, source: bytes) -> Iterator[Mutation]:
    yield from mutations(node, source)
    places = Places(source)
    first = _first_simple(node)
    if first is not None:
        start, _ = places.span(first)
        for raised in RAISED:
            yield Mutation("raises at once", first.lineno, start, start, f"raise {raised}; ")
    for each in own_nodes(node):
        if isinstance(each, ast.expr):
            yield from _wrong_names(each, places)


def _wrong_names(node: ast.expr, places: Places) -> Iterator[Mutation]:
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) and len(node.attr) > 3:
        yield places.replaced("misspelled attribute", node, places.text(node)[:-1])
    elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load) and isinstance(node.slice, ast.Constant):
        if isinstance(node.slice.value, str):
            yield places.replaced("wrong key", node.slice, repr(node.slice.value + "s"))
    elif isinstance(node, ast.Yield) and node.value is not None:
        yield places.replaced("yields None", node.value, "None")
    elif isinstance(node, ast.Call):
        for keyword in node.keywords[:1]:
            if keyword.arg:
                start, end = places.span(keyword.value)
                before = places.between(start - len(keyword.arg) - 1, start)
                if before == f"{keyword.arg}=":
                    name = f"{keyword.arg}_"
                    text = f"{name}={places.between(start, end)}"
                    yield Mutation("wrong keyword", node.lineno, start - len(before), end, text)
        if node.args and isinstance(node.args[0], ast.Name | ast.Attribute):
            yield places.replaced("None for an argument", node.args[0], "None")

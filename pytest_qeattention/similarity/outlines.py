"""What a file has to do with others: its functions with the names that they use, its classes, and what it imports.

Nothing is imported, and all of it depends on the text of the file alone.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from pytest_qeattention.similarity.scan import FIXTURES, parsed_source
from pytest_qeattention.similarity.scope import dotted_name, last_name
from pytest_qeattention.syntax.nodes import SKIPPED_FIELDS, FunctionNode

Packed = tuple[Any, ...]

# Larger files are made by programs.
MOST_BYTES = 5_000_000
_NAMELESS_FIELDS = SKIPPED_FIELDS | {"op", "ops", "names"}
# Of each kind of node, the fields that can have names and attributes below them.
_FIELDS: dict[type[ast.AST], tuple[str, ...]] = {
    kind: tuple(name for name in kind._fields if name not in _NAMELESS_FIELDS)
    for kind in vars(ast).values()
    if isinstance(kind, type) and issubclass(kind, ast.AST)
}
_BLOCKS = ("finalbody", "orelse", "handlers", "cases", "body")


@dataclass(frozen=True, slots=True)
class FunctionOutline:
    """Hold what a function is called, and which names it uses."""

    qualname: str
    """``Class::name`` or ``name``."""
    is_fixture: bool
    names: tuple[str, ...]
    """Names that it reads."""
    attributes: tuple[str, ...]
    """Attributes that it uses of anything but its first argument."""
    own: tuple[str, ...]
    """Attributes that it uses of ``self`` or ``cls``."""
    arguments: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.qualname.rpartition("::")[2]

    @property
    def owner(self) -> str:
        """Name of the class that it is defined in; empty for none."""
        return self.qualname.rpartition("::")[0].rpartition("::")[2]


@dataclass(frozen=True, slots=True)
class ClassOutline:
    """Hold what a class is called, its bases by the last part of their names, and its methods."""

    name: str
    bases: tuple[str, ...]
    methods: dict[str, int]
    """Place of each in the functions of the file."""


@dataclass(frozen=True, slots=True)
class Outline:
    """Hold the functions and classes of a file in order, and the names at home of what it imports, by its own names."""

    functions: tuple[FunctionOutline, ...] = ()
    classes: tuple[ClassOutline, ...] = ()
    imports: Mapping[str, str] = field(default_factory=dict)


_function = attrgetter(*FunctionOutline.__dataclass_fields__)
_class = attrgetter(*ClassOutline.__dataclass_fields__)


def read_outline(data: bytes) -> Outline | None:
    """Return the outline of a file of that content; None for what is no Python: it has to do with nothing."""
    if len(data) > MOST_BYTES:
        return None
    try:
        tree = parsed_source(data.decode("utf-8", "replace"))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    functions: list[FunctionOutline] = []
    classes: list[ClassOutline] = []
    known: dict[str, ClassOutline] = {}
    for qualname, node in definitions_of(tree):
        if isinstance(node, ast.ClassDef):
            bases = tuple(filter(None, (last_name(dotted_name(base)) for base in node.bases)))
            known[qualname] = ClassOutline(node.name, bases, {})
            classes.append(known[qualname])
        else:
            owner = qualname.rpartition("::")[0]
            if owner:
                known[owner].methods.setdefault(node.name, len(functions))
            functions.append(_outlined(node, qualname))
    return Outline(tuple(functions), tuple(classes), dict(_imported(tree)))


def pack_outline(outline: Outline | None) -> Packed | None:
    """Return the content of *outline* as plain values; `unpack_outline` makes an equal outline of them."""
    if outline is None:
        return None
    return list(map(_function, outline.functions)), list(map(_class, outline.classes)), dict(outline.imports)


def unpack_outline(packed: Packed | None) -> Outline | None:
    """Return the outline that was packed."""
    if packed is None:
        return None
    functions, classes, imports = packed
    return Outline(
        tuple(FunctionOutline(*each) for each in functions), tuple(ClassOutline(*each) for each in classes), imports
    )


def definitions_of(tree: ast.Module) -> Iterator[tuple[str, FunctionNode | ast.ClassDef]]:
    """Yield the classes of a module, and the functions of it and of them, as ``Class::name``, in order.

    What stands under a condition counts; what is defined in a function does not.
    """
    pending: list[tuple[ast.stmt, str]] = [(statement, "") for statement in reversed(tree.body)]
    while pending:
        node, prefix = pending.pop()
        if isinstance(node, FunctionNode | ast.ClassDef):
            yield f"{prefix}{node.name}", node
            if isinstance(node, ast.ClassDef):
                pending.extend((statement, f"{prefix}{node.name}::") for statement in reversed(node.body))
        elif isinstance(node, ast.If | ast.Try | ast.With):
            below = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt | ast.ExceptHandler)]
            for child in reversed(below):
                inner = child.body if isinstance(child, ast.ExceptHandler) else [child]
                pending.extend((statement, prefix) for statement in reversed(inner))


def functions_of(tree: ast.Module) -> Iterator[tuple[str, FunctionNode]]:
    """Yield the functions of a module and of its classes as `definitions_of` does."""
    for qualname, node in definitions_of(tree):
        if isinstance(node, FunctionNode):
            yield qualname, node


def _imported(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield the names that a module gives to what it imports, and the names that this has at home."""
    for node in _statements(tree.body):
        if isinstance(node, ast.ImportFrom):
            yield from ((alias.asname or alias.name, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.asname, alias.name.rpartition(".")[2]) for alias in node.names if alias.asname)


def _statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield statements and those within them, at any depth."""
    pending: list[ast.stmt] = list(reversed(body))
    while pending:
        node = pending.pop()
        yield node
        # Most hold expressions alone, and all that hold statements but `match` have a body.
        if "body" not in node._fields and "cases" not in node._fields:
            continue
        for name in _BLOCKS:
            for below in reversed(getattr(node, name, ())):
                pending.extend([below] if isinstance(below, ast.stmt) else reversed(below.body))


def _outlined(node: FunctionNode, qualname: str) -> FunctionOutline:
    names: dict[str, None] = {}
    attributes: dict[str, None] = {}
    own: dict[str, None] = {}
    is_fixture = any(last_name(dotted_name(decorator)) in FIXTURES for decorator in node.decorator_list)
    takes_fixtures = is_fixture or node.name.startswith("test")
    arguments = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs) if takes_fixtures else ()
    pending: list[ast.AST] = [node]
    while pending:
        below = pending.pop()
        # What there is most of comes first.
        if isinstance(below, ast.Name):
            if isinstance(below.ctx, ast.Load):
                names[below.id] = None
        elif isinstance(below, ast.Attribute):
            of_own = isinstance(below.value, ast.Name) and below.value.id in ("self", "cls")
            (own if of_own else attributes)[below.attr] = None
            pending.append(below.value)
        elif not isinstance(below, ast.Constant):
            for value in map(below.__dict__.get, _FIELDS[type(below)]):
                if isinstance(value, list):
                    pending += [each for each in value if isinstance(each, ast.AST)]
                elif isinstance(value, ast.AST):
                    pending.append(value)
    return FunctionOutline(
        qualname=qualname,
        is_fixture=is_fixture,
        names=tuple(names),
        attributes=tuple(attributes),
        own=tuple(own),
        arguments=tuple(argument.arg for argument in arguments),
    )

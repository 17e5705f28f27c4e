"""Normal forms of functions: sequences of tokens in which literals, and then names, can be left out.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import ast
from collections import Counter

from pytest_qeattention.similarity.words import token_id
from pytest_qeattention.syntax.nodes import (
    ABSENT,
    LITERAL_KINDS,
    NAMING_KINDS,
    SKIPPED_FIELDS,
    TYPE_PARAMETERS,
    FunctionNode,
    is_docstring,
    is_literal,
)


def constant_text(value: object) -> str:
    """Write a constant so that no other has the same text."""
    try:
        return f"{type(value).__name__} {value!r}"
    except ValueError:
        # Python writes no integer of thousands of decimal digits.
        return f"int {value:#x}"


_Fields = tuple[tuple[str, int], ...]
_fields: dict[type[ast.AST], _Fields] = {}
_field_tags: dict[int, str] = {}
_NO_CHILDREN: list[tuple[int, ast.AST]] = []


def children(node: ast.AST) -> list[tuple[int, ast.AST]]:
    """List the child nodes of *node* in the order of the grammar, each with the hash of ``Kind.field``.

    The list is kept on the node: a description asks for it twice.
    """
    kind = type(node)
    fields = _fields.get(kind)
    if fields is None:
        fields = _fields[kind] = tuple(
            (field, token_id(f"{kind.__name__}.{field}")) for field in node._fields if field not in SKIPPED_FIELDS
        )
        _field_tags.update((label, f"|{field}") for field, label in fields)
    if not fields:
        # Operators are objects that the interpreter shares: nothing is kept on those.
        return _NO_CHILDREN
    attributes = node.__dict__
    known: list[tuple[int, ast.AST]] | None = attributes.get("_qe_children")
    if known is not None:
        return known
    found: list[tuple[int, ast.AST]] = []
    for field, label in fields:
        value = attributes.get(field)
        if isinstance(value, ast.AST):
            found.append((label, value))
        elif isinstance(value, list):
            for item in value:
                if isinstance(item, ast.AST):
                    found.append((label, item))
                elif item is None:
                    found.append((label, ABSENT))
    attributes["_qe_children"] = found
    return found


class Forms:
    """Write a function as a sequence in which literals, and then names, can be left out."""

    def __init__(self) -> None:
        self.literal: list[str] = []
        self.shape: list[str] = []
        self.literals: list[str] = []
        self.name_places: list[int] = []
        self.bound: set[str] = set()
        self.global_names: set[str] = set()
        self.loaded: Counter[str] = Counter()
        self.attributes: Counter[tuple[str, str]] = Counter()

    def read(self, node: FunctionNode) -> None:
        """Write the arguments and the body of *node*; decorators, name and docstrings are not part of a form."""
        self._both("async" if isinstance(node, ast.AsyncFunctionDef) else "def")
        self._visit([node.args, *node.body], node.args)
        self.rename_locals()

    def read_decorators(self, node: FunctionNode) -> None:
        """Write the decorators of *node*; no name is local in them."""
        self._visit([*node.decorator_list], node.args)
        self.bound.clear()
        self.rename_locals()

    def _name(self, name: str, hole: str) -> None:
        self.name_places.append(len(self.literal))
        self.literal.append(name)
        self.shape.append(hole)

    def _both(self, token: str, hole: str | None = None) -> None:
        self.literal.append(token)
        self.shape.append(token if hole is None else hole)

    def _visit(self, roots: list[ast.AST], arguments: ast.arguments) -> None:
        # Strings close a node or tell which of its fields follows: a form is equal for equal trees alone.
        stack: list[ast.AST | str] = list(reversed(roots))
        literal, shape = self.literal.append, self.shape.append
        while stack:
            node = stack.pop()
            if isinstance(node, str):
                literal(node)
                shape(node)
                continue
            kind = type(node)
            if isinstance(node, ast.Name):
                self.name_places.append(len(self.literal))
                literal(node.id)
                shape("N")
                if isinstance(node.ctx, ast.Load):
                    self.loaded[node.id] += 1
                else:
                    self.bound.add(node.id)
                continue
            if kind in LITERAL_KINDS and is_literal(node):
                literal("#")
                shape("#")
                self.write_literal(node)
                continue
            if isinstance(node, ast.Attribute):
                literal("Attribute")
                literal(f".{node.attr}")
                shape("Attribute")
                shape(".")
                stack.append(node.value)
                if isinstance(node.value, ast.Name):
                    self.attributes[node.value.id, node.attr] += 1
                continue
            if isinstance(node, ast.arg):
                if node in arguments.args or node in arguments.kwonlyargs or node in arguments.posonlyargs:
                    self._both(f"A:{node.arg}", "A")
                else:
                    self.bound.add(node.arg)
                    self._name(node.arg, "A")
                if node.annotation is not None:
                    stack.append(node.annotation)
                continue
            if is_docstring(node):
                continue
            opening = f"({kind.__name__}"
            literal(opening)
            shape(opening)
            if kind in NAMING_KINDS:
                self._write_names(node)
            stack.append(")")
            below = children(node)
            for at in range(len(below) - 1, -1, -1):
                label, child = below[at]
                stack.append(child)
                if at == 0 or below[at - 1][0] != label:
                    stack.append(_field_tags[label])

    def _write_names(self, node: ast.AST) -> None:
        """Write what *node* carries beside its children: names that it binds or refers to."""
        if isinstance(node, ast.keyword):
            self._both(f"kw:{node.arg}", "kw" if node.arg else "**")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            self.bound.add(node.name)
            self._name(node.name, "def")
        elif isinstance(node, ast.ExceptHandler) and node.name:
            self.bound.add(node.name)
            self._name(node.name, "as")
        elif isinstance(node, ast.alias):
            self.bound.add((node.asname or node.name).partition(".")[0])
            self._both(f"{node.name} as {node.asname}", "alias")
        elif isinstance(node, ast.ImportFrom):
            self._both(f"{'.' * (node.level or 0)}{node.module}", "module")
        elif isinstance(node, ast.Global | ast.Nonlocal):
            self.global_names.update(node.names)
            self._both(" ".join(node.names))
        elif isinstance(node, ast.MatchAs | ast.MatchStar | ast.MatchMapping):
            capture = node.rest if isinstance(node, ast.MatchMapping) else node.name
            if capture:
                self.bound.add(capture)
                self._name(capture, "N")
        elif isinstance(node, ast.MatchClass):
            self._both(" ".join(["patterns", *node.kwd_attrs]))
        elif isinstance(node, ast.MatchSingleton):
            self._both(repr(node.value))
        elif isinstance(node, ast.comprehension):
            if node.is_async:
                self._both("async")
        elif type(node) in TYPE_PARAMETERS:
            self._both(f"T:{getattr(node, 'name', '')}", "T")
        else:
            self._both(str(getattr(node, "conversion", -1)))

    def uses(self, name: str) -> bool:
        """Tell whether *name* is used for more than the assertion methods of unittest."""
        assertions = sum(
            count for (owner, attr), count in self.attributes.items() if owner == name and attr.startswith("assert")
        )
        return self.loaded[name] > assertions

    def write_literal(self, node: ast.AST) -> None:
        """Add what tells *node* from other literals to `literals`."""
        stack: list[ast.AST | None] = [node]
        write = self.literals.append
        while stack:
            current = stack.pop()
            if current is None:
                write(")")
            elif isinstance(current, ast.Constant):
                write(constant_text(current.value))
            else:
                write(f"({type(current).__name__}")
                stack.append(None)
                stack.extend(child for _, child in reversed(children(current)))

    def rename_locals(self) -> None:
        """Number the local names by first appearance, so that renaming one changes no form."""
        numbers: dict[str, int] = {}
        bound = self.bound - self.global_names
        for place in self.name_places:
            name = self.literal[place]
            if name in bound:
                self.literal[place] = f"L{numbers.setdefault(name, len(numbers))}"
            else:
                self.literal[place] = f"N:{name}"

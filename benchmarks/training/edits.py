"""Make the tests that a test stands for, and copies of it as somebody would edit them.

Local names are not among what changes in a copy: the encoder numbers them, so that their names change nothing.
"""

from __future__ import annotations

import ast
import copy
import random
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import EllipsisType

from pytest_qeattention.similarity.describe import BUILTINS
from pytest_qeattention.syntax.nodes import FunctionNode

Literal = str | bytes | int | float | complex | EllipsisType | None

# How many names, texts and statements of earlier tests a copy may take from.
POOL = 400
CHANGED_LITERALS = 0.7
ANOTHER_STATEMENT = 0.6
ONE_LESS = 0.4


class _Rows(ast.NodeTransformer):
    """Put the values of one row where a test has the names of its parameters."""

    def __init__(self, values: Mapping[str, ast.expr]) -> None:
        self.values = values

    def visit_Name(self, node: ast.Name) -> ast.AST:
        value = self.values.get(node.id)
        return node if value is None or not isinstance(node.ctx, ast.Load) else value


def unrolled(node: FunctionNode, rng: random.Random) -> list[FunctionNode]:
    """Return the tests of two rows of the first ``parametrize`` of *node*; nothing where its rows can't be read."""
    for place, decorator in enumerate(node.decorator_list):
        rows = _rows(decorator)
        if len(rows) < 2:
            continue
        tests = []
        for values in rng.sample(rows, 2):
            test = copy.deepcopy(node)
            del test.decorator_list[place]
            test.args.args = [argument for argument in test.args.args if argument.arg not in values]
            test.body = [_Rows(values).visit(statement) for statement in test.body]
            tests.append(test)
        return tests
    return []


def _rows(decorator: ast.expr) -> list[dict[str, ast.expr]]:
    if not (
        isinstance(decorator, ast.Call)
        and isinstance(decorator.func, ast.Attribute)
        and decorator.func.attr == "parametrize"
        and len(decorator.args) >= 2
    ):
        return []
    names = _names(decorator.args[0])
    values = decorator.args[1]
    if not names or not isinstance(values, ast.List | ast.Tuple):
        return []
    rows = []
    for row in values.elts:
        cells: list[ast.expr] = [row]
        if isinstance(row, ast.Call) and isinstance(row.func, ast.Attribute) and row.func.attr == "param":
            cells = row.args
        if len(names) > 1 and len(cells) == 1 and isinstance(cells[0], ast.Tuple | ast.List):
            cells = cells[0].elts
        if len(cells) == len(names):
            rows.append(dict(zip(names, cells, strict=True)))
    return rows


def _names(node: ast.expr) -> list[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [name.strip() for name in node.value.split(",") if name.strip()]
    if isinstance(node, ast.List | ast.Tuple):
        return [part.value for part in node.elts if isinstance(part, ast.Constant) and isinstance(part.value, str)]
    return []


@dataclass(slots=True)
class Pool:
    """Keep names, texts and statements of the tests read last; edited copies take from them."""

    names: deque[str] = field(default_factory=lambda: deque(maxlen=POOL))
    texts: deque[str] = field(default_factory=lambda: deque(maxlen=POOL))
    statements: deque[ast.stmt] = field(default_factory=lambda: deque(maxlen=POOL))

    def add(self, node: FunctionNode) -> None:
        """Take up what *node* has."""
        self.statements.extend(node.body[:2])
        for below in ast.walk(node):
            name = _name(below)
            if name is not None and name not in BUILTINS:
                self.names.append(name)
            elif isinstance(below, ast.Constant) and isinstance(below.value, str):
                self.texts.append(below.value)

    def edited(self, node: FunctionNode, rng: random.Random) -> FunctionNode:
        """Return a copy of *node* with some names and literals replaced, a statement put in or taken out."""
        test = copy.deepcopy(node)
        renamed: dict[str, str] = {}
        share = rng.uniform(0.2, 0.9)
        replaced = rng.random() < CHANGED_LITERALS
        for below in ast.walk(test):
            name = _name(below)
            if name is not None and self.names and not is_kept(name):
                if name not in renamed:
                    renamed[name] = rng.choice(self.names) if rng.random() < share else name
                _rename(below, renamed[name])
            elif replaced and isinstance(below, ast.Constant):
                below.value = self._other(below.value, rng)
        if self.statements and rng.random() < ANOTHER_STATEMENT:
            test.body.insert(rng.randrange(len(test.body) + 1), rng.choice(self.statements))
        if len(test.body) > 3 and rng.random() < ONE_LESS:
            del test.body[rng.randrange(len(test.body))]
        return test

    def _other(self, value: Literal, rng: random.Random) -> Literal:
        if isinstance(value, bool):
            return rng.random() < 0.5
        if isinstance(value, str):
            return rng.choice(self.texts) if self.texts else value
        if isinstance(value, int):
            return rng.choice((0, 1, rng.randrange(2, 10), rng.randrange(10, 1000)))
        if isinstance(value, float):
            return rng.uniform(0, 10)
        return value


def is_kept(name: str) -> bool:
    """Tell whether a copy leaves *name* as it is: what the language and unittest give is not renamed."""
    return name in BUILTINS or name == "self" or name.startswith("assert")


def _name(node: ast.AST) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.arg | ast.keyword):
        return node.arg
    return None


def _rename(node: ast.AST, name: str) -> None:
    if isinstance(node, ast.Name):
        node.id = name
    elif isinstance(node, ast.Attribute):
        node.attr = name
    elif isinstance(node, ast.arg | ast.keyword):
        node.arg = name

"""Small defects for functions: one changed place each."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from pytest_qeattention.syntax.nodes import FunctionNode, is_docstring

_COMPARED: dict[type[ast.cmpop], str] = {
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.Lt: "<=",
    ast.LtE: "<",
    ast.Gt: ">=",
    ast.GtE: ">",
    ast.Is: "is not",
    ast.IsNot: "is",
    ast.In: "not in",
    ast.NotIn: "in",
}
_COUNTING = {"len", "range"}


@dataclass(frozen=True, slots=True)
class Mutation:
    """Replace the bytes *start* to *end* of a file by *text*."""

    operator: str
    line: int
    start: int
    end: int
    text: str

    def of(self, source: bytes) -> bytes:
        """Return *source* with the defect."""
        return source[: self.start] + self.text.encode() + source[self.end :]


class Places:
    """Find where the nodes of a file stand in its bytes."""

    def __init__(self, source: bytes) -> None:
        self._source = source
        self._starts = [0]
        for line in source.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        """Return start and end of *node*."""
        end_line, end_column = node.end_lineno or node.lineno, node.end_col_offset or node.col_offset
        return self._starts[node.lineno - 1] + node.col_offset, self._starts[end_line - 1] + end_column

    def text(self, node: ast.expr | ast.stmt) -> str:
        """Return how *node* is written."""
        return self.between(*self.span(node))

    def between(self, start: int, end: int) -> str:
        """Return what stands between two places."""
        return self._source[start:end].decode()

    def replaced(self, operator: str, node: ast.expr | ast.stmt, text: str) -> Mutation:
        """Return what writes *text* for *node*, in as many lines."""
        fewer = self.text(node).count("\n") - text.count("\n")
        if fewer:
            text = f"{text}{chr(10) * fewer}" if isinstance(node, ast.stmt) else f"({text}{chr(10) * fewer})"
        return Mutation(operator, node.lineno, *self.span(node), text)


def own_nodes(function: FunctionNode) -> Iterator[ast.AST]:
    """Yield the nodes of the body of *function*, without its docstring and what is defined in it."""
    pending: list[ast.AST] = [each for each in reversed(function.body) if not is_docstring(each)]
    while pending:
        node = pending.pop()
        if isinstance(node, FunctionNode | ast.ClassDef | ast.Lambda):
            continue
        yield node
        # Parts of f-strings have no place of their own before Python 3.12, and annotations change nothing.
        if not isinstance(node, ast.JoinedStr | ast.AnnAssign):
            pending.extend(reversed(list(ast.iter_child_nodes(node))))


def mutations(function: FunctionNode, source: bytes) -> Iterator[Mutation]:
    """Yield each way to change one place of *function*, which stands in *source*."""
    places = Places(source)
    for node in own_nodes(function):
        if isinstance(node, ast.stmt):
            yield from _statement(node, places)
        elif isinstance(node, ast.expr):
            yield from _expression(node, places)


def _statement(node: ast.stmt, places: Places) -> Iterator[Mutation]:
    if isinstance(node, ast.Return) and node.value is not None:
        if not (isinstance(node.value, ast.Constant) and node.value.value is None):
            yield places.replaced("return None", node, "return None")
    elif isinstance(node, ast.AugAssign | ast.Raise) or _is_effect(node):
        yield places.replaced("removed statement", node, "pass")
    elif isinstance(node, ast.If):
        yield places.replaced("negated condition", node.test, f"(not ({places.text(node.test)}))")


def _is_effect(node: ast.stmt) -> bool:
    """Tell whether *node* is there for what it does; without the assignment of a name that name would be missing."""
    if isinstance(node, ast.Assign):
        return not any(isinstance(part, ast.Name | ast.Tuple) for part in node.targets)
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Call | ast.Await)


def _expression(node: ast.expr, places: Places) -> Iterator[Mutation]:
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        left, right = places.text(node.left), places.text(node.comparators[0])
        yield places.replaced("flipped comparison", node, f"({left}) {_COMPARED[type(node.ops[0])]} ({right})")
    elif isinstance(node, ast.Constant):
        if isinstance(node.value, bool):
            yield places.replaced("changed constant", node, str(not node.value))
        elif isinstance(node.value, int):
            yield places.replaced("changed constant", node, str(node.value + 1))
        elif isinstance(node.value, str) and node.value:
            yield places.replaced("changed constant", node, repr(node.value + "x"))
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
        sign = "-" if isinstance(node.op, ast.Add) else "+"
        yield places.replaced("flipped sign", node, f"(({places.text(node.left)}) {sign} ({places.text(node.right)}))")
    elif isinstance(node, ast.Call):
        first = node.args[:2]
        if len(first) == 2 and not any(isinstance(each, ast.Starred) for each in first):
            one, other = (places.text(each) for each in first)
            if one != other:
                (start, end), (next_start, next_end) = map(places.span, first)
                between = places.between(end, next_start)
                yield Mutation("swapped arguments", node.lineno, start, next_end, f"{other}{between}{one}")
        if isinstance(node.func, ast.Name) and node.func.id in _COUNTING and len(node.args) == 1 and not node.keywords:
            if node.func.id == "len":
                yield places.replaced("off by one", node, f"({places.text(node)} - 1)")
            elif not isinstance(node.args[0], ast.Starred):
                yield places.replaced("off by one", node.args[0], f"({places.text(node.args[0])}) - 1")

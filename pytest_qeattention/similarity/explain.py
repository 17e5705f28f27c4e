"""Say in words what tests of a group have in common and what differs.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from pytest_qeattention.similarity.describe import Forms
from pytest_qeattention.similarity.model import Unit
from pytest_qeattention.wording import counted

IN_A_ROW = "they follow each other"
# Members that are read, differences and values that are shown: a reason is a line to read, not a diff.
_READ_MEMBERS = 40
_SHOWN_DIFFERENCES = 3
_SHOWN_VALUES = 3
_SHOWN_LENGTH = 32


class _Holes(Forms):
    """Keep the source of each literal, which the forms leave out, and the names as they are written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[str] = []

    def rename_locals(self) -> None:
        self.written = self.literal.copy()
        super().rename_locals()

    def write_literal(self, node: ast.AST) -> None:
        try:
            self.literals.append(ast.unparse(node))
        except ValueError:
            # Python writes no integer of thousands of decimal digits.
            plain = Forms()
            plain.write_literal(node)
            self.literals.append(" ".join(plain.literals))


def parse_unit(unit: Unit) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    """Parse the source of *unit* alone; None when it cannot stand alone."""
    source = unit.source
    if source[:1] in (" ", "\t"):
        source = f"if 1:\n{source}"
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            return node
    return None


def _shorten(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN_LENGTH else f"{text[: _SHOWN_LENGTH - 1]}…"


def _name(token: str) -> str:
    """Show a token of a form as it stands in code."""
    kind, separator, name = token.partition(":")
    if not separator:
        return token
    return f"{name}=" if kind == "kw" else name


def _differing(columns: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Keep the columns whose values differ, each set of values once."""
    return list(dict.fromkeys(column for column in columns if len(set(column)) > 1))


def _values(column: tuple[str, ...]) -> str:
    distinct = list(dict.fromkeys(column))
    shown = " / ".join(_shorten(value) for value in distinct[:_SHOWN_VALUES])
    return f"{shown} / … ({len(distinct)} values)" if len(distinct) > _SHOWN_VALUES else shown


def _listed(columns: list[tuple[str, ...]]) -> str:
    shown = "; ".join(_values(column) for column in columns[:_SHOWN_DIFFERENCES])
    rest = len(columns) - _SHOWN_DIFFERENCES
    return f"{shown}; and {rest} more" if rest > 0 else shown


def differences(tests: Sequence[Unit]) -> tuple[str, ...]:
    """Say which literals, names and decorators differ between tests of the same shape.

    Empty when the tests are not of one shape, or nothing differs.
    """
    forms: list[_Holes] = []
    nodes = [parse_unit(unit) for unit in tests[:_READ_MEMBERS]]
    for node in nodes:
        if node is None:
            return ()
        form = _Holes()
        try:
            form.read(node)
        except RecursionError:
            return ()
        forms.append(form)
    if len({tuple(form.shape) for form in forms}) != 1:
        return ()
    literals = _differing(list(zip(*(form.literals for form in forms), strict=True)))
    names = _differing(
        [
            tuple(_name(token) for token in written)
            for written, column in zip(
                zip(*(form.written for form in forms), strict=True),
                zip(*(form.literal for form in forms), strict=True),
                strict=True,
            )
            if len(set(column)) > 1
        ]
    )
    decorators = {tuple(sorted(unit.decorators)) for unit in tests}
    found: list[str] = []
    if literals:
        found.append(
            f"{counted(len(literals), 'literal')} differ{'s' if len(literals) == 1 else ''}: {_listed(literals)}"
        )
    if names:
        found.append(f"{counted(len(names), 'name')} differ{'s' if len(names) == 1 else ''}: {_listed(names)}")
    if len(decorators) > 1:
        found.append("decorators differ")
    return tuple(found)

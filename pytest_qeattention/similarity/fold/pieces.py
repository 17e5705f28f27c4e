"""F-strings as literal pieces between the expressions in them.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import ast
from collections.abc import Mapping


def literal_pieces(node: ast.JoinedStr) -> list[str]:
    """Return the texts before, between and behind the expressions of an f-string."""
    pieces = [""]
    for value in node.values:
        if isinstance(value, ast.Constant):
            pieces[-1] += str(value.value)
        else:
            pieces.append("")
    return pieces


def inserted(node: ast.JoinedStr) -> list[ast.expr]:
    """Return the expressions of an f-string, with how they are written."""
    return [value for value in node.values if not isinstance(value, ast.Constant)]


def with_names(node: ast.JoinedStr, names: Mapping[int, str]) -> ast.JoinedStr:
    """Return the f-string with names in the place of some of its pieces."""
    values: list[ast.expr] = []
    expressions = inserted(node)
    for number, piece in enumerate(literal_pieces(node)):
        if number in names:
            values.append(ast.FormattedValue(ast.Name(names[number], ast.Load()), -1, None))
        elif piece:
            values.append(ast.Constant(piece))
        if number < len(expressions):
            values.append(expressions[number])
    return ast.JoinedStr(values)


def with_texts(node: ast.JoinedStr, texts: Mapping[str, str]) -> ast.JoinedStr:
    """Return the f-string with the texts that names stand for, as one piece with the text around them."""
    values: list[ast.expr] = []
    for value in node.values:
        text: str | None = None
        if isinstance(value, ast.Constant):
            text = str(value.value)
        elif isinstance(value, ast.FormattedValue) and isinstance(value.value, ast.Name) and value.format_spec is None:
            text = texts.get(value.value.id) if value.conversion == -1 else None
        if text is None:
            values.append(value)
        elif values and isinstance(values[-1], ast.Constant):
            values[-1] = ast.Constant(str(values[-1].value) + text)
        elif text:
            values.append(ast.Constant(text))
    return ast.JoinedStr(values)

"""Operators as functions of the module ``operator``.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import ast

MODULE = "operator"

_FUNCTIONS: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("add", "+"),
    ast.Sub: ("sub", "-"),
    ast.Mult: ("mul", "*"),
    ast.MatMult: ("matmul", "@"),
    ast.Div: ("truediv", "/"),
    ast.FloorDiv: ("floordiv", "//"),
    ast.Mod: ("mod", "%"),
    ast.Pow: ("pow", "**"),
    ast.LShift: ("lshift", "<<"),
    ast.RShift: ("rshift", ">>"),
    ast.BitOr: ("or_", "|"),
    ast.BitXor: ("xor", "^"),
    ast.BitAnd: ("and_", "&"),
}


def function_of(operation: ast.operator) -> ast.Attribute:
    """Return the function that does what *operation* does."""
    return ast.Attribute(ast.Name(MODULE, ast.Load()), _FUNCTIONS[type(operation)][0], ast.Load())


def symbol_of(operation: ast.operator) -> str:
    """Return how *operation* is written between its operands."""
    return _FUNCTIONS[type(operation)][1]

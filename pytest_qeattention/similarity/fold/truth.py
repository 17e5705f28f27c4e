"""Assertions that say of one condition that it holds, or that it does not.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import ast
import copy

_OPPOSITES: dict[type[ast.cmpop], type[ast.cmpop]] = {ast.NotIn: ast.In, ast.IsNot: ast.Is}
_TESTS = frozenset({"isinstance", "issubclass", "callable", "hasattr", "any", "all"})


def asserted(test: ast.expr) -> tuple[ast.expr, bool]:
    """Return the condition that an assertion of *test* is about, and whether it has to hold."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return test.operand, False
    if isinstance(test, ast.Compare) and len(test.ops) == 1 and type(test.ops[0]) in _OPPOSITES:
        condition = copy.copy(test)
        condition.ops = [_OPPOSITES[type(test.ops[0])]()]
        return condition, False
    return test, True


def is_boolean(condition: ast.expr) -> bool:
    """Tell whether *condition* is True or False, and nothing that only counts as such."""
    if isinstance(condition, ast.Compare):
        return len(condition.ops) == 1 and isinstance(condition.ops[0], ast.In | ast.NotIn | ast.Is | ast.IsNot)
    return isinstance(condition, ast.Call) and isinstance(condition.func, ast.Name) and condition.func.id in _TESTS


def unwrapped(condition: ast.expr) -> ast.expr | None:
    """Return what is compared with a truth value: ``x`` for ``bool(x)``; None where it need not be one."""
    if (
        isinstance(condition, ast.Call)
        and isinstance(condition.func, ast.Name)
        and condition.func.id == "bool"
        and len(condition.args) == 1
        and not condition.keywords
        and not isinstance(condition.args[0], ast.Starred)
    ):
        return condition.args[0]
    return condition if is_boolean(condition) else None

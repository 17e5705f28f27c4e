"""unittest's assertions, which read as what pytest would write.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import ast

ASSERTIONS: dict[str, tuple[tuple[str, ...], int | None]] = {
    "assertEqual": (("Assert", "Compare", "Eq"), 2),
    "assertEquals": (("Assert", "Compare", "Eq"), 2),
    "assertNotEqual": (("Assert", "Compare", "NotEq"), 2),
    "assertIs": (("Assert", "Compare", "Is"), 2),
    "assertIsNot": (("Assert", "Compare", "IsNot"), 2),
    "assertIn": (("Assert", "Compare", "In"), 2),
    "assertNotIn": (("Assert", "Compare", "NotIn"), 2),
    "assertLess": (("Assert", "Compare", "Lt"), 2),
    "assertLessEqual": (("Assert", "Compare", "LtE"), 2),
    "assertGreater": (("Assert", "Compare", "Gt"), 2),
    "assertGreaterEqual": (("Assert", "Compare", "GtE"), 2),
    "assertTrue": (("Assert",), 1),
    "assert_": (("Assert",), 1),
    "assertFalse": (("Assert", "UnaryOp", "Not"), 1),
    "assertIsNone": (("Assert", "Compare", "Is", "None"), 1),
    "assertIsNotNone": (("Assert", "Compare", "IsNot", "None"), 1),
    "assertIsInstance": (("Assert", "Call", "isinstance"), 2),
    "assertRaises": (("Call", "raises"), None),
    "assertRaisesRegex": (("Call", "raises"), None),
}
"""The tokens that stand for each, and how many of its arguments count (None: all)."""


def unittest_assertion(call: ast.Call) -> tuple[tuple[str, ...], list[ast.expr]] | None:
    """Return the tokens of a call of ``self.assert...`` and the arguments that count; None for any other call."""
    function = call.func
    if not (isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name)):
        return None
    assertion = ASSERTIONS.get(function.attr)
    if assertion is None or function.value.id != "self" or len(call.args) < (assertion[1] or 0):
        return None
    return assertion[0], call.args[: assertion[1]]

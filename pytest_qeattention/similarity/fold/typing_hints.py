"""Type hints for the parameters of suites that annotate their tests.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from pytest_qeattention.similarity.fold.holes import Hole


def annotation(hole: Hole) -> str | None:
    """Return the type of what a hole holds, as far as literals tell; None where they do not."""
    if hole.kind in ("attribute", "keyword", "text"):
        return "str"
    if hole.kind == "truth":
        return "bool"
    if hole.kind in ("arguments", "keywords"):
        return None
    return _union(hole.nodes)


def _union(nodes: Sequence[ast.expr]) -> str | None:
    kinds = [_kind(node) for node in nodes]
    if any(kind is None for kind in kinds):
        return None
    found = list(dict.fromkeys(kind for kind in kinds if kind is not None and kind != "None"))
    if set(found) == {"int", "float"}:
        found = ["float"]
    if not found or len(found) > 2:
        return None
    return " | ".join([*found, "None"] if "None" in kinds else found)


def _kind(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant):
        return "None" if node.value is None else type(node.value).__name__ if node.value is not ... else None
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return _kind(node.operand)
    if isinstance(node, ast.List | ast.Set):
        name = type(node).__name__.lower()
        return _of(name, node.elts)
    if isinstance(node, ast.Tuple):
        inner = [_kind(each) for each in node.elts]
        if not inner or any(each is None for each in inner):
            return None
        return f"tuple[{', '.join(each or '' for each in inner)}]"
    if isinstance(node, ast.Dict) and node.keys and all(key is not None for key in node.keys):
        keys = _union([key for key in node.keys if key is not None])
        values = _union(node.values)
        return f"dict[{keys}, {values}]" if keys and values else None
    return None


def _of(name: str, items: Sequence[ast.expr]) -> str | None:
    inner = _union(items) if items else None
    return f"{name}[{inner}]" if inner else None

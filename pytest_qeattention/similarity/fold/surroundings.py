"""What stands around a place of a test, and what to call what differs there.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from pytest_qeattention.similarity.fold.holes import Place
from pytest_qeattention.similarity.fold.lifting import callee_name


def common_start(sequences: Sequence[Sequence[object]]) -> int:
    """Return how many elements *sequences* begin with alike."""
    common = 0
    while all(len(each) > common for each in sequences) and len({each[common] for each in sequences}) == 1:
        common += 1
    return common


def with_fields(place: Place) -> list[tuple[Place, bool]]:
    """Pair the places around with whether the way to *place* goes through their body."""
    found = []
    child = place
    for each in place.above():
        found.append((each, child.field == "body"))
        child = each
    return found


def expects_error(node: ast.With | ast.AsyncWith) -> bool:
    for item in node.items:
        call = item.context_expr
        if isinstance(call, ast.Call) and callee_name(call).lower() in (
            *("raises", "warns", "assertraises", "assertraisesregex", "assertwarns", "deprecated_call"),
            *("assertwarnsregex", "suppress"),
        ):
            return True
    return False


def are_assertions(nodes: Sequence[ast.Attribute]) -> bool:
    """Tell whether any of *nodes* is an assertion of unittest: tests that make different ones differ in shape."""
    return any(node.attr.startswith(("assert", "fail")) for node in nodes)


def in_fstring(place: Place) -> bool:
    return any(isinstance(each.node, ast.JoinedStr) for each in place.above())


_KINDS: dict[type[ast.AST], str] = {
    ast.Name: "names",
    ast.Constant: "constants",
    ast.Compare: "comparisons",
    ast.Call: "calls",
    ast.Attribute: "attributes",
    ast.keyword: "keyword arguments",
    ast.Import: "imports",
    ast.ImportFrom: "imports",
    ast.alias: "imports",
    ast.ExceptHandler: "except clauses",
}


def kind_of(node: ast.AST) -> str:
    if isinstance(node, ast.cmpop | ast.operator | ast.unaryop | ast.boolop):
        return "operators"
    return _KINDS.get(type(node), "expressions")

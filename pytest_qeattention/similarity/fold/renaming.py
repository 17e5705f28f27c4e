"""Give the locals of tests the names that they have in the first test.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import ast
from collections.abc import Callable

from pytest_qeattention.similarity.fold.member import Member


def rename_locals(template: Member, other: Member, names: Callable[[Member], list[str]]) -> bool:
    """Give the local names of *other* the names that *template* has in the same places; tell whether that was needed.

    Nothing is renamed where the names do not pair one to one.
    """
    mine, theirs = names(template), names(other)
    if mine == theirs or len(mine) != len(theirs):
        return False
    pairs = dict(zip(theirs, mine, strict=True))
    if len(set(pairs.values())) != len(pairs) or any(pairs[b] != a for a, b in zip(mine, theirs, strict=True)):
        return False
    used = {node.id for node in other.nodes if isinstance(node, ast.Name)}
    if any(new in used and new not in pairs for new in pairs.values()):
        return False
    if used & {"locals", "vars", "eval", "exec", "dir"}:
        return False
    # Names have changed: what was gathered of them before is gathered again.
    other.__dict__.pop("loaded", None)
    for node in other.nodes:
        if isinstance(node, ast.Name):
            node.id = pairs.get(node.id, node.id)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            node.name = pairs.get(node.name, node.name)
    return True


def local_names(member: Member) -> list[str]:
    """List the names that the body binds by assignment, in order of their places; empty where others bind names too."""
    found: list[tuple[int, int, str]] = []
    for node in member.nodes:
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            found.append((node.lineno, node.col_offset, node.id))
        elif isinstance(node, ast.ExceptHandler) and node.name:
            found.append((node.lineno, node.col_offset, node.name))
        elif isinstance(node, ast.Global | ast.Nonlocal):
            return []
    return [name for _, _, name in sorted(found)]

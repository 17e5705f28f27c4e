"""What a row holds for a hole: as source, as a key that tells equal values, and where it stands in the tests.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import ast

from pytest_qeattention.similarity.fold.holes import Hole
from pytest_qeattention.similarity.fold.member import Member, Span, shift_rest


def value_text(member: Member, hole: Hole, node: ast.expr, indent: str) -> str:
    """Return the source that stands for *node* in a row; further lines are indented from *indent*."""
    if hole.kind == "attribute" and isinstance(node, ast.Attribute):
        return f'"{node.attr}"'
    if hole.kind == "keyword" and isinstance(node, ast.Constant):
        return f'"{node.value!s}"'
    if hole.kind == "operator":
        return ast.unparse(node)
    if hole.kind == "truth" and isinstance(node, ast.Constant):
        return repr(node.value)
    if hole.kind == "text" and isinstance(node, ast.Constant):
        return _quoted(member, str(node.value))
    if hole.kind == "items" or (hole.kind == "each" and isinstance(node, ast.Tuple)):
        elements = hole.middle(node)
        texts = [_expression(member, value, indent) for value in elements]
        return f"({', '.join(texts)}{',' if len(texts) == 1 else ''})"
    if isinstance(node, ast.Starred):
        return f"*{_expression(member, node.value, indent)}"
    if hole.kind == "arguments" and isinstance(node, ast.Call):
        texts = [_expression(member, argument, indent) for argument in node.args[hole.start :]]
        return f"({', '.join(texts)}{',' if len(texts) == 1 else ''})"
    if hole.kind == "keywords" and isinstance(node, ast.Call):
        items = [
            f'"{keyword.arg}": {_expression(member, keyword.value, indent)}' for keyword in node.keywords[hole.start :]
        ]
        return f"{{{', '.join(items)}}}"
    return _expression(member, node, indent)


def _quoted(member: Member, text: str) -> str:
    """Write a text that no test has as a whole, in the quotes of the test where that needs no escapes."""
    written = repr(text)
    is_plain = written == f"'{text}'" and '"' not in text
    return f'"{text}"' if is_plain and member.quote == '"' else written


def _expression(member: Member, node: ast.expr, indent: str) -> str:
    start, _ = member.span(node)
    text = member.text_of(node)
    if isinstance(node, ast.Tuple):
        tree = ast.parse(f"[{text}\n]", mode="eval").body
        if isinstance(tree, ast.List) and not (len(tree.elts) == 1 and isinstance(tree.elts[0], ast.Tuple)):
            text = f"({text})"
    return shift_rest(text, member.indent_at(start), indent)


def value_key(hole: Hole, at: int) -> str:
    """Return what values of *hole* are told apart by: the one of the case number *at*."""
    node = hole.nodes[at]
    if isinstance(node, ast.Call) and hole.kind == "arguments":
        return " ".join(ast.dump(argument) for argument in node.args[hole.start :])
    if isinstance(node, ast.Call) and hole.kind == "keywords":
        return " ".join(ast.dump(each) for each in node.keywords[hole.start :])
    if hole.kind == "items":
        return " ".join(map(ast.dump, hole.middle(node)))
    if isinstance(node, ast.Attribute) and hole.kind == "attribute":
        return node.attr
    if isinstance(node, ast.Constant) and hole.kind == "keyword":
        return str(node.value)
    return ast.dump(node)


def value_spans(member: Member, hole: Hole, node: ast.expr) -> list[Span]:
    """Return where the values of a hole stand in the source of *member*."""
    if hole.kind == "arguments" and isinstance(node, ast.Call):
        return [member.span(argument) for argument in node.args[hole.start :]]
    if hole.kind == "keywords" and isinstance(node, ast.Call):
        return [member.span(keyword.value) for keyword in node.keywords[hole.start :]]
    if hole.kind == "items" or (hole.kind == "each" and isinstance(node, ast.Tuple)):
        return [member.span(value) for value in hole.middle(node)]
    if hole.kind in ("attribute", "keyword", "truth", "text", "operator"):
        return []
    return [member.span(node.value if isinstance(node, ast.Starred) else node)]

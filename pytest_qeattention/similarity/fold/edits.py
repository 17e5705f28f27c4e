"""Changes of the template's text: what puts parameters into its holes.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from pytest_qeattention.similarity.fold.holes import Differ, Hole
from pytest_qeattention.similarity.fold.member import Member, Source, Span, name_before, protected_lines
from pytest_qeattention.similarity.fold.operators import symbol_of
from pytest_qeattention.similarity.fold.parameters import Parameter
from pytest_qeattention.similarity.fold.pieces import with_names
from pytest_qeattention.similarity.fold.truth import asserted, is_boolean

Edit = tuple[Span, str]


def hole_edits(source: Member, hole: Hole, name: str) -> list[Edit]:
    """Return what puts the parameter *name* into the place of *hole* in the template."""
    if hole.kind == "truth":
        return _truth_edits(source, hole.place.node, name)
    if hole.kind == "operator" and isinstance(hole.place.node, ast.BinOp):
        return _operator_edits(source, hole.place.node, name)
    if hole.kind == "attribute" and isinstance(hole.nodes[0], ast.Attribute):
        start, end = source.span(hole.nodes[0])
        dot = source.text.rindex(".", source.span(hole.nodes[0].value)[1], end)
        return [((start, start), "getattr("), ((dot, end), f", {name})")]
    keyword = hole.place.node
    if hole.kind != "keyword" or not isinstance(keyword, ast.keyword):
        return [_hole_edit(source, hole, name)]
    start, end = source.span(keyword)
    return [((start, source.text.index("=", start) + 1), f"**{{{name}: "), ((end, end), "}")]


def piece_edits(source: Member, names: Sequence[tuple[Hole, str]]) -> list[Edit]:
    """Return what writes f-strings anew, with parameters in the place of the pieces that *names* pairs them with."""
    by_string: dict[int, tuple[ast.JoinedStr, dict[int, str]]] = {}
    for hole, name in names:
        node = hole.place.node
        if isinstance(node, ast.JoinedStr):
            by_string.setdefault(id(node), (node, {}))[1][hole.start] = name
    edits = []
    for node, given in by_string.values():
        text = ast.unparse(ast.fix_missing_locations(with_names(node, given)))
        if text.startswith("f'") and '"' not in text:
            text = f'f"{text[2:-1]}"'
        edits.append((source.span(node), text))
    return edits


def _operator_edits(source: Source, node: ast.BinOp, name: str) -> list[Edit]:
    start, end = source.span(node)
    gap = source.span(node.left)[1], source.span(node.right)[0]
    found = re.search(rf"\s*{re.escape(symbol_of(node.op))}", source.text[gap[0] : gap[1]])
    if found is None:
        raise Differ("the first test cannot be rewritten: its operator is not read")
    place = gap[0] + found.start(), gap[0] + found.end()
    return [((start, start), f"{name}("), (place, ","), ((end, end), ")")]


def loop_edits(
    source: Member, loop: ast.stmt, statement: ast.stmt, parameters: Sequence[Parameter], covered: Sequence[Span]
) -> list[Edit]:
    """Return what makes *statement* the body of *loop*; *covered* are pieces of text that are replaced."""
    names = {id(hole.place.node): each.name for each in parameters for hole in each.holes if hole.kind == "each"}
    if not isinstance(loop, ast.For) or not isinstance(loop.target, ast.Name) or not isinstance(loop.iter, ast.Tuple):
        return []
    start, end = source.span(statement)
    indent = source.indent_at(start)
    opening = f"for {loop.target.id} in {names[id(loop.iter)]}:\n{indent}    "
    edits: list[Edit] = [((start, start), opening), (source.span(loop.iter.elts[0]), loop.target.id)]
    kept = protected_lines(source.text, "if 1:\n" if source.text[:1] in (" ", "\t") else "")
    for number in range(source.line_at(start) + 1, source.line_at(end) + 1):
        at = source.starts[number]
        is_inside = any(first <= at < last for first, last in (*covered, edits[1][0]))
        if number not in kept and not is_inside and source.text[at : at + 1].strip(" \t") != "\n":
            edits.append(((at, at), "    "))
    return edits


def _truth_edits(source: Source, test: ast.AST, name: str) -> list[Edit]:
    if not isinstance(test, ast.expr):
        return []
    start, end = source.span(test)
    condition, _ = asserted(test)
    opening, closing = "bool(", ")"
    if is_boolean(condition):
        opening, closing = ("(", ")") if isinstance(condition, ast.Compare) else ("", "")
    edits: list[Edit] = [((end, end), f"{closing} is {name}")]
    if condition is test:
        return [((start, start), opening), *edits]
    if isinstance(test, ast.Compare):
        gap = source.span(test.left)[1], source.span(test.comparators[0])[0]
        found = re.search(r"\bnot\s+|\s+not\b", source.text[gap[0] : gap[1]])
        if found is None:
            raise Differ("the first test cannot be rewritten: its assertion is not read")
        return [((start, start), opening), ((gap[0] + found.start(), gap[0] + found.end()), ""), *edits]
    found = re.compile(r"not\b[ \t]*").match(source.text, start)
    return [((start, found.end() if found else start), opening), *edits]


def _hole_edit(source: Member, hole: Hole, name: str) -> Edit:
    node = hole.nodes[0]
    if hole.kind == "items" and isinstance(node, ast.List | ast.Tuple):
        return _items_edit(source, hole, node, name)
    if hole.kind in ("arguments", "keywords") and isinstance(node, ast.Call):
        return _unpacking_edit(source, hole, node, name)
    span = _without_parentheses(source, hole, node)
    before, after = source.text[span[0] - 1 : span[0]], source.text[span[1] : span[1] + 1]
    left = " " if before.isalnum() or before == "_" else ""
    right = " " if after.isalnum() or after == "_" else ""
    return span, f"{left}{name}{right}"


def _items_edit(source: Source, hole: Hole, node: ast.List | ast.Tuple, name: str) -> Edit:
    middle = hole.middle(node)
    if middle:
        return (_place(source, middle[0])[0], _place(source, middle[-1])[1]), f"*{name}"
    if hole.start:
        end = _place(source, node.elts[hole.start - 1])[1]
        return (end, end), f", *{name}"
    start = _place(source, node.elts[0])[0]
    return (start, start), f"*{name}, "


def _unpacking_edit(source: Source, hole: Hole, call: ast.Call, name: str) -> Edit:
    given: list[ast.expr] | list[ast.keyword]
    if hole.kind == "arguments":
        stars, given = "*", call.args
        previous: list[ast.expr | ast.keyword] = list(call.args[: hole.start])
    else:
        stars, given = "**", call.keywords
        previous = [*call.args, *call.keywords[: hole.start]]
    if len(given) > hole.start:
        return (_place(source, given[hole.start])[0], _place(source, given[-1])[1]), f"{stars}{name}"
    if previous:
        end = max(_place(source, each)[1] for each in previous)
        return (end, end), f", {stars}{name}"
    start = source.text.index("(", source.span(call.func)[1]) + 1
    return (start, start), f"{stars}{name}" + (", " if call.keywords else "")


def _place(source: Source, node: ast.expr | ast.keyword) -> Span:
    """Return where *node* stands: where the name stands that it was put in for."""
    return source.span(name_before(node) if isinstance(node, ast.expr) else node)


def _without_parentheses(source: Source, hole: Hole, node: ast.expr) -> Span:
    """Return the place of *node* with the parentheses that only group it, which a name does not need."""
    text, (start, end) = source.text, source.span(name_before(node))
    pairs: list[Span] = []
    left, right = start, end
    while True:
        left, right = len(text[:left].rstrip()), len(text) - len(text[right:].lstrip())
        if not (left and text[left - 1] == "(" and text[right : right + 1] == ")"):
            break
        left, right = left - 1, right + 1
        pairs.append((left, right))
    parent = hole.place.parent.node if hole.place.parent is not None else None
    is_only_argument = (
        isinstance(parent, ast.Call) and hole.place.field == "args" and len(parent.args) == 1 and not parent.keywords
    ) or hole.place.field == "bases"
    if is_only_argument and pairs:
        pairs.pop()
    return pairs[-1] if pairs else (start, end)


def apply_edits(text: str, edits: Sequence[Edit], start: int, end: int, *, is_last: bool = False) -> str:
    """Return *text* from *start* to *end* with its *edits*; raises ValueError where two of them overlap.

    What is added at *end* is left to the part behind, unless this *is_last*.
    """
    parts: list[str] = []
    at = start
    for (first, last), replacement in sorted(edits, key=lambda edit: edit[0]):
        if first < start or first > end or (first == end and not is_last):
            continue
        if first < at or last > end:
            raise ValueError("two changes of the template overlap")
        parts.extend((text[at:first], replacement))
        at = last
    parts.append(text[at:end])
    return "".join(parts)

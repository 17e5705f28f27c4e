"""Write a fold as source: the template's own text with names in the holes, and the rows above or around it.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_qeattention.similarity.fold.member import Member, Source, Span, name_before, shift, shift_rest
from pytest_qeattention.similarity.fold.unifying import Hole

_STEP = "    "


@dataclass(frozen=True, slots=True)
class Row:
    """Hold one case of a folded test."""

    id: str
    values: tuple[str, ...]
    """Source of each value."""
    covers: tuple[str, ...]
    """Node ids of the tests that it stands for."""
    marks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """Comments above the row, each with its ``#``."""
    trailing: tuple[str, ...] = ()
    """Comments behind it."""


@dataclass(frozen=True, slots=True)
class Form:
    """Hold the parts of a folded test that its rows are put between."""

    parameters: tuple[str, ...]
    decorators: str
    """Text of the decorators that stay, each line with its end."""
    before_name: str
    after_name: str
    """From behind the name to the body."""
    body: str
    indent: str
    pytest_name: str
    quote: str
    limit: int
    case_name: str | None = None
    """Name of the loop's variable for the id, for a loop over ``subTest``; None for ``parametrize``."""

    def render(self, rows: Sequence[Row], name: str) -> str:
        """Return the source of the test called *name* with *rows*, indented as in its file."""
        if self.case_name is None:
            return f"{self._parametrize(rows)}{self.decorators}{self.before_name}{name}{self.after_name}{self.body}"
        inner = self.indent + _STEP
        names = ", ".join((self.case_name, *self.parameters))
        lines = [f"{inner}for {names} in ("]
        for row in rows:
            lines.extend(self._row(row, inner + _STEP, "(", (self.quoted(row.id), *row.values)))
        lines.append(f"{inner}):")
        lines.append(f"{inner}{_STEP}with self.subTest({self.case_name}):\n")
        body = shift(self.body, inner, inner + _STEP * 2)
        return f"{self.decorators}{self.before_name}{name}{self.after_name}" + "\n".join(lines) + body

    def _parametrize(self, rows: Sequence[Row]) -> str:
        inner = self.indent + _STEP
        names = ", ".join(self.quoted(name) for name in self.parameters)
        lines = [
            f"{self.indent}@{self.pytest_name}.mark.parametrize(",
            f"{inner}({names})," if len(self.parameters) > 1 else f"{inner}{names},",
            f"{inner}[",
        ]
        for row in rows:
            parts = [*row.values, f"id={self.quoted(row.id)}"]
            if row.marks:
                parts.append(f"marks={row.marks[0]}" if len(row.marks) == 1 else f"marks=[{', '.join(row.marks)}]")
            lines.extend(self._row(row, inner + _STEP, f"{self.pytest_name}.param(", parts))
        lines.extend((f"{inner}],", f"{self.indent})"))
        return "\n".join(lines) + "\n"

    def _row(self, row: Row, indent: str, opening: str, parts: Sequence[str]) -> list[str]:
        lines = [f"{indent}{note}" for note in row.notes]
        behind = "".join(f"  {comment}" for comment in row.trailing)
        one = f"{indent}{opening}{', '.join(parts)}),"
        if "\n" not in one and len(one) <= self.limit:
            return [*lines, one + behind]
        inner = indent + _STEP
        if "\n" in one and len(parts) <= 2 and _hugs(parts[0]):
            return [
                *lines,
                f"{indent}{opening}{', '.join(shift_rest(part, inner, indent) for part in parts)}),{behind}",
            ]
        return [*lines, f"{indent}{opening}", *(f"{inner}{part}," for part in parts), f"{indent}),{behind}"]

    def quoted(self, text: str) -> str:
        """Return *text*, which holds neither quotes nor backslashes, as a string of the file's style."""
        return f"{self.quote}{text}{self.quote}"


def _hugs(part: str) -> bool:
    """Tell whether *part* is a string in triple quotes, which reads best where it begins."""
    return part.lstrip("rbfuRBFU")[:3] in ('"""', "'''")


def value_text(member: Member, hole: Hole, node: ast.expr, indent: str) -> str:
    """Return the source that stands for *node* in a row; further lines are indented from *indent*."""
    if hole.kind == "attribute" and isinstance(node, ast.Attribute):
        return f'"{node.attr}"'
    if hole.kind == "keyword" and isinstance(node, ast.Constant):
        return f'"{node.value!s}"'
    if hole.kind == "arguments" and isinstance(node, ast.Call):
        texts = [_expression(member, argument, indent) for argument in node.args[hole.start :]]
        return f"({', '.join(texts)}{',' if len(texts) == 1 else ''})"
    if hole.kind == "keywords" and isinstance(node, ast.Call):
        items = [
            f'"{keyword.arg}": {_expression(member, keyword.value, indent)}' for keyword in node.keywords[hole.start :]
        ]
        return f"{{{', '.join(items)}}}"
    return _expression(member, node, indent)


def _expression(member: Member, node: ast.expr, indent: str) -> str:
    start, _ = member.span(node)
    text = member.text_of(node)
    if isinstance(node, ast.Tuple):
        tree = ast.parse(f"[{text}\n]", mode="eval").body
        if isinstance(tree, ast.List) and not (len(tree.elts) == 1 and isinstance(tree.elts[0], ast.Tuple)):
            text = f"({text})"
    return shift_rest(text, member.indent_at(start), indent)


def hole_edits(source: Member, hole: Hole, name: str) -> list[tuple[Span, str]]:
    """Return what puts the parameter *name* into the place of *hole* in the template."""
    keyword = hole.place.node
    if hole.kind != "keyword" or not isinstance(keyword, ast.keyword):
        return [_hole_edit(source, hole, name)]
    start, end = source.span(keyword)
    return [((start, source.text.index("=", start) + 1), f"**{{{name}: "), ((end, end), "}")]


def _hole_edit(source: Member, hole: Hole, name: str) -> tuple[Span, str]:
    node = hole.nodes[0]
    if hole.kind == "attribute" and isinstance(node, ast.Attribute):
        return source.span(node), f"getattr({source.text_of(node.value)}, {name})"
    if hole.kind in ("arguments", "keywords") and isinstance(node, ast.Call):
        return _unpacking_edit(source, hole, node, name)
    span = _without_parentheses(source, hole, node)
    before, after = source.text[span[0] - 1 : span[0]], source.text[span[1] : span[1] + 1]
    left = " " if before.isalnum() or before == "_" else ""
    right = " " if after.isalnum() or after == "_" else ""
    return span, f"{left}{name}{right}"


def _unpacking_edit(source: Source, hole: Hole, call: ast.Call, name: str) -> tuple[Span, str]:
    given: list[ast.expr] | list[ast.keyword]
    if hole.kind == "arguments":
        stars, given = "*", call.args
        previous: list[ast.expr | ast.keyword] = list(call.args[: hole.start])
    else:
        stars, given = "**", call.keywords
        previous = [*call.args, *call.keywords[: hole.start]]
    if len(given) > hole.start:
        return (source.span(given[hole.start])[0], source.span(given[-1])[1]), f"{stars}{name}"
    if previous:
        end = max(source.span(each)[1] for each in previous)
        return (end, end), f", {stars}{name}"
    start = source.text.index("(", source.span(call.func)[1]) + 1
    return (start, start), f"{stars}{name}" + (", " if call.keywords else "")


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


def apply_edits(text: str, edits: Sequence[tuple[Span, str]], start: int, end: int) -> str:
    """Return *text* from *start* to *end* with its *edits*; raises ValueError where two of them overlap."""
    parts: list[str] = []
    at = start
    for (first, last), replacement in sorted(edits, key=lambda edit: edit[0]):
        if first < start or first >= end:
            continue
        if first < at or last > end:
            raise ValueError("two changes of the template overlap")
        parts.extend((text[at:first], replacement))
        at = last
    parts.append(text[at:end])
    return "".join(parts)

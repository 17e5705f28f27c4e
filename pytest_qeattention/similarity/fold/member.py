"""A test's source together with its syntax tree, and the places of the one in the other.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import ast
import copy
import io
import tokenize
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property

from pytest_qeattention.similarity.model import Unit
from pytest_qeattention.syntax.nodes import FunctionNode, is_docstring

Span = tuple[int, int]
"""Start and end of a piece of text, in characters."""

_DIRECTIVES = ("noqa", "type:", "pragma", "pylint:", "fmt:", "mypy:", "pyright:", "nosec", "ruff:", "isort:", "yapf:")


@dataclass(frozen=True, slots=True)
class Comment:
    """Hold a comment of a test, with its ``#``."""

    span: Span
    text: str
    is_alone: bool
    """Whether nothing else stands on its line."""
    anchor: int
    """Index of the statement of the body that it stands in or before; -1 above the body."""

    @property
    def is_directive(self) -> bool:
        """Tell whether the comment speaks to a tool."""
        return self.text.lstrip("# ").lower().startswith(_DIRECTIVES)


class Source:
    """Map the nodes of a piece of Python to their text."""

    def __init__(self, text: str, lines_before: int = 0) -> None:
        self.text = text
        self._is_ascii = text.isascii()
        self._before = lines_before
        starts = [0]
        at = text.find("\n")
        while at >= 0:
            starts.append(at + 1)
            at = text.find("\n", at + 1)
        self.starts = starts

    def offset(self, line: int, column: int) -> int:
        """Return the place of *line* (from 1, as parsed) and *column* (bytes of UTF-8)."""
        number = line - 1 - self._before
        start = self.starts[number]
        if self._is_ascii:
            return start + column
        end = self.starts[number + 1] if number + 1 < len(self.starts) else len(self.text)
        return start + len(self.text[start:end].encode("utf-8", "surrogatepass")[:column].decode("utf-8", "ignore"))

    def span(self, node: ast.expr | ast.stmt | ast.keyword | ast.arg) -> Span:
        """Return where *node* stands; without the parentheses around it and a function's decorators."""
        return (
            self.offset(node.lineno, node.col_offset),
            self.offset(node.end_lineno or node.lineno, node.end_col_offset or 0),
        )

    def line_at(self, offset: int) -> int:
        """Return the index of the line that holds the character at *offset*."""
        return bisect_right(self.starts, offset) - 1

    def indent_at(self, offset: int) -> str:
        """Return the white space that the line of *offset* starts with."""
        start = self.starts[self.line_at(offset)]
        end = start
        while end < len(self.text) and self.text[end] in " \t\f":
            end += 1
        return self.text[start:end]


class Member(Source):
    """Hold a test that is to be folded with others."""

    def __init__(self, unit: Unit, node: FunctionNode, lines_before: int) -> None:
        super().__init__(unit.source, lines_before)
        self.unit = unit
        self.node = node
        has_docstring = is_docstring(node.body[0])
        self.docstring: ast.stmt | None = node.body[0] if has_docstring else None
        self.body: list[ast.stmt] = node.body[1:] if has_docstring else list(node.body)

    def segment(self, node: ast.expr | ast.stmt | ast.keyword | ast.arg) -> str:
        """Return the source of *node* as written."""
        start, end = self.span(node)
        return self.text[start:end]

    def text_of(self, node: ast.expr) -> str:
        """Return the source of *node*, with values in the place of the names that they were put in for."""
        start, end = self.span(node)
        parts: list[str] = []
        at = start
        for name, value in substituted(node):
            first, last = self.span(name)
            if first >= at and last <= end:
                parts.extend((self.text[at:first], self.atom(value)))
                at = last
        return "".join((*parts, self.text[at:end]))

    def atom(self, node: ast.expr) -> str:
        """Return the source of *node* so that it can stand where a name stands."""
        text = self.text_of(node)
        is_atom = isinstance(
            node, ast.Constant | ast.Name | ast.Attribute | ast.Call | ast.List | ast.Dict | ast.Set | ast.Subscript
        )
        has_own = isinstance(node, ast.Tuple) and text.startswith("(")
        return text if has_own or (is_atom and "\n" not in text) else f"({text})"

    @property
    def quote(self) -> str:
        """The quotes that the test has more of."""
        return "'" if self.text.count("'") > self.text.count('"') else '"'

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """All nodes of the test, its decorators among them."""
        return list(ast.walk(self.node))

    @cached_property
    def loaded(self) -> frozenset[str]:
        """The names that the test reads."""
        return frozenset(
            node.id for node in self.nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
        )

    @cached_property
    def comments(self) -> list[Comment]:
        """List the comments of the test in their order."""
        if "#" not in self.text:
            return []
        found: list[Comment] = []
        starts = [self.span(statement)[0] for statement in self.body]
        ends = [self.span(statement)[1] for statement in self.body]
        prefix = "if 1:\n" * self._before
        try:
            for token in tokenize.generate_tokens(io.StringIO(prefix + self.text).readline):
                if token.type != tokenize.COMMENT:
                    continue
                # Columns of tokens count characters.
                line = self.starts[token.start[0] - 1 - self._before]
                start = line + token.start[1]
                is_alone = not self.text[line:start].strip()
                if starts and start < starts[0]:
                    anchor = -1 if start < self.offset(self.node.lineno, 0) or not is_alone else 0
                else:
                    anchor = bisect_right(starts, start) - 1
                    if is_alone and start > ends[anchor]:
                        anchor += 1
                found.append(Comment((start, start + len(token.string)), token.string, is_alone, anchor))
        except (tokenize.TokenError, SyntaxError):
            return found
        return found


def written_for(value: ast.expr, name: ast.Name) -> ast.expr:
    """Return a copy of *value* that stands in the place of *name*, and knows it."""
    replaced = copy.deepcopy(value)
    replaced.qe_name = getattr(name, "qe_name", name)  # type: ignore[attr-defined]
    return replaced


def name_before(node: ast.expr) -> ast.expr:
    """Return what the source has where *node* stands: the name that it was put in for, or *node* itself."""
    found = getattr(node, "qe_name", None)
    return found if isinstance(found, ast.Name) else node


def substituted(node: ast.AST) -> list[tuple[ast.Name, ast.expr]]:
    """List what was put in for names below *node*, the outermost of each, in order of place."""
    found: list[tuple[ast.Name, ast.expr]] = []
    pending = list(ast.iter_child_nodes(node))
    while pending:
        child = pending.pop()
        name = getattr(child, "qe_name", None)
        if isinstance(name, ast.Name) and isinstance(child, ast.expr):
            found.append((name, child))
        else:
            pending.extend(ast.iter_child_nodes(child))
    return sorted(found, key=lambda pair: (pair[0].lineno, pair[0].col_offset))


def read_member(unit: Unit) -> Member | None:
    """Parse the source of *unit* alone; None when it cannot stand alone."""
    before = 1 if unit.source[:1] in (" ", "\t") else 0
    try:
        tree = ast.parse("if 1:\n" * before + unit.source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    body = tree.body
    if before:
        outer = body[0]
        body = outer.body if isinstance(outer, ast.If) else []
    if len(body) != 1 or not isinstance(body[0], ast.FunctionDef | ast.AsyncFunctionDef):
        return None
    return Member(unit, body[0], before)


def protected_lines(text: str, prefix: str = "") -> set[int]:
    """Return the indices of the lines of *text* that start inside a string: their white space is its content."""
    if '"""' not in text and "'''" not in text and "\\\n" not in text:
        return set()
    found: set[int] = set()
    before = prefix.count("\n")
    opened: list[int] = []
    begins = getattr(tokenize, "FSTRING_START", -1), getattr(tokenize, "TSTRING_START", -1)
    closes = getattr(tokenize, "FSTRING_END", -1), getattr(tokenize, "TSTRING_END", -1)
    try:
        for token in tokenize.generate_tokens(io.StringIO(prefix + text).readline):
            first, last = token.start[0] - 1 - before, token.end[0] - 1 - before
            if token.type in begins:
                opened.append(first)
            elif token.type in closes and opened:
                found.update(range(opened.pop() + 1, last + 1))
            elif token.type == tokenize.STRING:
                found.update(range(first + 1, last + 1))
    except (tokenize.TokenError, SyntaxError):
        return found
    return found


def shift(text: str, before: str, after: str) -> str:
    """Start the lines of *text* that start with *before* with *after* in its place, but for those inside a string."""
    if before == after:
        return text
    lines = text.split("\n")
    kept = protected_lines(text, "if 1:\n" if text[:1] in (" ", "\t") else "")
    return "\n".join(
        line if number in kept or not line.strip() or not line.startswith(before) else after + line[len(before) :]
        for number, line in enumerate(lines)
    )


def shift_rest(text: str, before: str, after: str) -> str:
    """Do as `shift`, for an expression that starts in the middle of its first line."""
    if before == after or "\n" not in text:
        return text
    lines = text.split("\n")
    kept = protected_lines(f"({text})")
    for number in range(1, len(lines)):
        if number not in kept and lines[number].strip() and lines[number].startswith(before):
            lines[number] = after + lines[number][len(before) :]
    return "\n".join(lines)

"""Change one literal of a case, in the test that the case comes from and in its row, in the same way.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pytest_qeattention.similarity.fold.folding import Fold
from pytest_qeattention.similarity.fold.member import Source, Span
from pytest_qeattention.similarity.fold.rendering import Row


@dataclass(frozen=True, slots=True)
class Mutant:
    """Hold a row with one value changed, and what does the same to its test's source."""

    row: Row
    edits: tuple[tuple[Span, str], ...]

    def apply(self, source: str) -> str:
        """Return the *source* of the test with the value changed."""
        for (start, end), text in sorted(self.edits, reverse=True):
            source = source[:start] + text + source[end:]
        return source


def mutate(fold: Fold, number: int, source: str) -> Mutant | None:
    """Change the row *number* of *fold*, which comes from a test of this *source*; None where nothing can be changed.

    A literal is changed where there is one, what is expected first; else the row takes a value of another row.
    """
    row, spans = fold.rows[number], fold.spans[number]
    # What other rows of the test are made of as well cannot be changed for one of them.
    shared = {
        span
        for other, places in zip(fold.rows, fold.spans, strict=True)
        if other is not row and other.covers[0] == row.covers[0]
        for each in places
        for span in each
    }
    order = sorted(
        (
            at
            for at in range(len(row.values))
            if not shared.intersection(spans[at]) and not _is_used_by_another(row, at, spans, source)
        ),
        key=lambda at: (not fold.parameters[at].startswith("expected"), -at),
    )
    for at in order:
        mutant = _changed_literal(row, at, spans[at], source)
        if mutant is not None:
            return mutant
    for at in order:
        for other in (each for each in fold.rows if row.id and each.id):
            value, own = other.values[at], row.values[at]
            is_same = [source[a:b] for a, b in spans[at]] and all(_equal(source[a:b], own) for a, b in spans[at])
            if is_same and not _equal(value, own):
                edits = tuple((span, f"({value})") for span in spans[at])
                return Mutant(_with(row, at, value), edits)
    return None


def _is_used_by_another(row: Row, at: int, spans: Sequence[Sequence[Span]], source: str) -> bool:
    """Tell whether the test makes another value of its row from the one at *at*: a local that stands in both."""
    own = _parse(row.values[at])
    if own is None:
        return False
    for other, places in enumerate(spans):
        tree = _parse(row.values[other])
        if other == at or not places or tree is None or _parts(tree, [source[a:b] for a, b in places]) is not None:
            continue
        if any(ast.dump(part) == ast.dump(own) for part in ast.walk(tree)):
            return True
    return False


def _with(row: Row, at: int, value: str) -> Row:
    return replace(row, values=(*row.values[:at], value, *row.values[at + 1 :]))


def _changed_literal(row: Row, at: int, spans: tuple[Span, ...], source: str) -> Mutant | None:
    text = row.values[at]
    tree = _parse(text)
    if tree is None or not spans:
        return None
    parts = _parts(tree, [source[a:b] for a, b in spans])
    if parts is None:
        return None
    for index, part in enumerate(parts):
        for position, constant in enumerate(_constants(part)):
            changed = _other(constant.value)
            if changed is None:
                continue
            # One part for every place, or one part for each.
            places = spans if len(parts) == 1 else (spans[index],)
            edits = []
            for start, end in places:
                inner = _parse(source[start:end])
                if inner is None:
                    return None
                target = list(_constants(inner))[position]
                a, b = _span(source[start:end], target)
                edits.append(((start + a, start + b), changed))
            a, b = _span(text, constant)
            return Mutant(_with(row, at, f"{text[:a]}{changed}{text[b:]}"), tuple(edits))
    return None


def _parts(tree: ast.expr, texts: list[str]) -> list[ast.expr] | None:
    """Pair what a row has with the pieces of the test: the value itself, or the values of what is unpacked."""
    given = [_parse(text) for text in texts]
    dumps = [None if each is None else ast.dump(each) for each in given]
    if all(dump == ast.dump(tree) for dump in dumps):
        return [tree]
    inner = tree.elts if isinstance(tree, ast.Tuple) else tree.values if isinstance(tree, ast.Dict) else []
    if len(inner) > 1 and [ast.dump(each) for each in inner] == dumps:
        return list(inner)
    if len(inner) == 1 and dumps == [ast.dump(inner[0])]:
        return list(inner)
    return None


def _parse(text: str) -> ast.expr | None:
    try:
        return ast.parse(f"({text}\n)", mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _equal(left: str, right: str) -> bool:
    a, b = _parse(left), _parse(right)
    return a is not None and b is not None and ast.dump(a) == ast.dump(b)


def _constants(tree: ast.expr) -> Iterator[ast.Constant]:
    """Walk the constants whose place is known: not those in f-strings."""
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.JoinedStr) or type(node).__name__ == "TemplateStr":
            continue
        if isinstance(node, ast.Constant):
            yield node
        pending.extend(reversed(list(ast.iter_child_nodes(node))))


def _span(text: str, node: ast.expr) -> Span:
    """Return the place in *text* of a node of what `_parse` gave for it."""
    start, end = Source(f"({text}\n)").span(node)
    return start - 1, end - 1


def _other(value: object) -> str | None:
    """Write a constant that is not *value*."""
    if isinstance(value, bool):
        return repr(not value)
    if isinstance(value, int):
        return repr(value + 1)
    if isinstance(value, float):
        return repr(value + 1.5) if value == value and abs(value) < 1e15 else "0.5"
    if isinstance(value, str):
        return repr(value + "~")
    if isinstance(value, bytes):
        return repr(value + b"~")
    return "'~'" if value is None else None

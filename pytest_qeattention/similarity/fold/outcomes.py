"""How cases ended: alike or not, in words, and where.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass

from pytest_qeattention.similarity.fold.recorder import TimeLimitExceeded
from pytest_qeattention.similarity.fold.running import Outcome


def agree(own: Sequence[Outcome], mine: Sequence[Outcome], *, splits: bool) -> bool:
    """Tell whether a test and its cases end alike: in order, or all in all where their numbers differ."""
    left = [(outcome.state, outcome.error) for outcome in own]
    right = [(outcome.state, outcome.error) for outcome in mine]
    if splits and len(left) == 1:
        failed = [each for each in right if each[0] in ("failed", "error")]
        if left[0][0] in ("failed", "error"):
            return left[0] in failed
        return all(each == left[0] for each in right)
    return left == right or (len(left) == len(right) and len(left) > 1 and Counter(left) == Counter(right))


def ran_too_long(outcome: Outcome) -> bool:
    """Tell whether a clock ended a case: the same case may take a little less another time."""
    return outcome.state == "stopped" or outcome.error == TimeLimitExceeded.__name__


def said(outcomes: Sequence[Outcome]) -> str:
    """Say in words how cases ended."""
    texts = dict.fromkeys(
        {"error": "fails outside the test", "failed": "fails"}.get(outcome.state, outcome.state)
        + (f" with {outcome.error}" if outcome.error and outcome.state in ("failed", "error") else "")
        for outcome in outcomes
    )
    return " and ".join(texts) or "does not run"


@dataclass(frozen=True, slots=True)
class Place:
    """Name a statement of a function: the number *number* of the *count* that it has of this kind."""

    kind: str
    number: int
    count: int


def places_of(outcomes: Sequence[Outcome], lines: Sequence[str], name: str) -> set[Place]:
    """Name the statements of the function *name* that *outcomes* came through: the innermost at each line."""
    wanted = [outcome.line for outcome in outcomes if outcome.line is not None]
    if not wanted:
        return set()
    found: set[Place] = set()
    for node in ast.walk(ast.parse("\n".join(lines))):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.name != name:
            continue
        inside = [part for part in ast.walk(node) if isinstance(part, ast.stmt) and part is not node]
        inside.sort(key=lambda part: (part.lineno, part.col_offset))
        for line in wanted:
            around = [part for part in inside if part.lineno <= line <= (part.end_lineno or 0)]
            if not around:
                continue
            alike = [part for part in inside if type(part) is type(around[-1]) and not _is_text(part)]
            number = next((at for at, part in enumerate(alike) if part is around[-1]), -1)
            found.add(Place(type(around[-1]).__name__, number, len(alike)))
    return found


def share_place(own: Set[Place], mine: Set[Place]) -> bool:
    """Tell whether a place of a test can be one of its fold.

    A fold keeps the order of statements. Where it has as many of a kind as the test, they are told apart by their
    number; where it drops, repeats or rolls up some, by their kind alone.
    """
    return any(
        left.kind == right.kind and (left.count != right.count or left.number == right.number)
        for left in own
        for right in mine
    )


def _is_text(statement: ast.stmt) -> bool:
    """Tell whether a statement is a docstring or the like, which a fold may leave out."""
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)

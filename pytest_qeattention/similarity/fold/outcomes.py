"""How cases ended: alike or not, in words, and where.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Sequence

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


def places_of(outcomes: Sequence[Outcome], lines: Sequence[str], name: str) -> set[str]:
    """Name the statements of the function *name* that *outcomes* came through: by what they do and what they call."""
    wanted = [outcome.line for outcome in outcomes if outcome.line is not None]
    if not wanted:
        return set()
    found: set[str] = set()
    for node in ast.walk(ast.parse("\n".join(lines))):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.name != name:
            continue
        for line in wanted:
            inner: ast.stmt | None = None
            for part in ast.walk(node):
                if not isinstance(part, ast.stmt) or part is node:
                    continue
                is_inner = inner is None or part.lineno >= inner.lineno
                if part.lineno <= line <= (part.end_lineno or 0) and is_inner:
                    inner = part
            if inner is not None:
                found.add(type(inner).__name__)
    return found

"""What runs for each row: the body of a test, or one of several repetitions in it.

Tests that repeat a block of statements (four assertions on four inputs) are folded block by block.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pytest_qeattention.similarity.fold.lifting import bound_names, callee_name, loaded_names

_MOST_BLOCKS = 60


@dataclass(frozen=True, slots=True)
class Case:
    """Hold the statements that one row stands for."""

    member: int
    body: list[ast.stmt]
    start: int
    """Index in the member's body of the first statement that is this case's alone."""
    id: str | None = None
    """What the test itself calls the case."""
    marks: tuple[ast.expr, ...] = ()
    """Marks of the row that the test has for it."""
    row_end: int = 0
    """Where in the test's source the row ends that it has for the case; 0 without one."""
    given: Mapping[str, ast.expr] = field(default_factory=dict)
    """What the row gives to the test's own parameters."""
    is_computed: bool = False
    """Whether the case stands for all rows that an expression gives."""


@dataclass(frozen=True, slots=True)
class Division:
    """Divide each test into statements that every case begins with, and blocks of which each is a case."""

    preamble: int
    block: int
    cases: list[Case]


def whole(bodies: Sequence[list[ast.stmt]]) -> Division:
    """Take each test as one case."""
    return Division(0, 0, [Case(number, body, 0) for number, body in enumerate(bodies)])


def divisions(bodies: Sequence[list[ast.stmt]]) -> Iterator[Division]:
    """Try the ways to divide tests that repeat a block: short preambles and blocks first."""
    shapes = [[_shape(statement) for statement in body] for body in bodies]
    shortest = min(map(len, shapes))
    for preamble in range(shortest):
        # Every case would make the checks of the preamble again.
        if preamble and (isinstance(bodies[0][preamble - 1], ast.Assert) or _is_check(bodies[0][preamble - 1])):
            return
        heads = {tuple(shape[:preamble]) for shape in shapes}
        if len(heads) != 1:
            return
        for block in range(1, shortest - preamble + 1):
            lengths = [len(shape) - preamble for shape in shapes]
            if any(length % block for length in lengths) or {length // block for length in lengths} == {1}:
                continue
            pattern = shapes[0][preamble : preamble + block]
            if any(shape[at : at + block] != pattern for shape in shapes for at in range(preamble, len(shape), block)):
                continue
            cases = [
                Case(number, [*body[:preamble], *body[at : at + block]], at)
                for number, body in enumerate(bodies)
                for at in range(preamble, len(body), block)
            ]
            if len(cases) <= _MOST_BLOCKS * len(bodies) and all(
                _is_independent(bodies[case.member], case, block) for case in cases
            ):
                yield Division(preamble, block, cases)


def _shape(statement: ast.stmt) -> str:
    """Name what a statement does, as far as blocks that repeat must agree."""
    if isinstance(statement, ast.Assign):
        return f"= {', '.join(ast.dump(target) for target in statement.targets)}"
    if isinstance(statement, ast.Assert):
        return "assert"
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        return f"call {callee_name(statement.value)}"
    if isinstance(statement, ast.With):
        return "with"
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        return f"def {statement.name}"
    return ast.dump(statement)


def _is_independent(body: Sequence[ast.stmt], case: Case, block: int) -> bool:
    """Tell whether the statements of *case* check something of their own, and use nothing of the blocks before."""
    own = body[case.start : case.start + block]
    before = body[: case.start]
    shared = set().union(*(bound_names(statement) for statement in case.body[: len(case.body) - block]), set())
    earlier = set().union(*(bound_names(statement) for statement in before), set()) - shared
    bound: set[str] = set()
    for statement in own:
        if loaded_names(statement) & (earlier - bound):
            return False
        bound |= bound_names(statement)
        if isinstance(statement, ast.Expr) and not _is_check(statement):
            return False
        if isinstance(statement, ast.AugAssign | ast.Delete | ast.For | ast.While):
            return False
        if isinstance(statement, ast.Assign) and any(
            isinstance(target, ast.Attribute | ast.Subscript) for target in statement.targets
        ):
            return False
    # What the preamble binds must be as it left it.
    if bound & shared:
        return False
    return any(isinstance(statement, ast.Assert | ast.With) or _is_check(statement) for statement in own)


def _is_check(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Call)
        and callee_name(statement.value).lower().startswith(("assert", "check", "eq_", "ok_", "verify"))
    )

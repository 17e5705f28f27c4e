"""Which decorators of the tests stay on the folded one, and which become marks of its rows.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_qeattention.similarity.fold.holes import Differ
from pytest_qeattention.similarity.fold.lifting import Lifting, NotLiftable
from pytest_qeattention.similarity.fold.member import Member
from pytest_qeattention.similarity.scope import dotted_name

# What these two say of a row, pytest does not heed.
_NOT_FOR_ROWS = frozenset({"parametrize", "usefixtures"})


@dataclass(frozen=True, slots=True)
class Decorators:
    """Hold the decorators that stay, as indices into those of the first test, and the marks of each test's rows."""

    kept: tuple[int, ...]
    marks: tuple[tuple[ast.expr, ...], ...]


def mark_name(decorator: ast.expr) -> str | None:
    """Return the name of the mark that *decorator* sets; None for any other decorator."""
    dotted = dotted_name(decorator).removesuffix("()")
    head, _, name = dotted.rpartition(".")
    return name if head in ("pytest.mark", "mark") else None


def sort_decorators(
    members: Sequence[Member], liftings: Sequence[Lifting], own: Sequence[Sequence[ast.expr]]
) -> Decorators:
    """Keep what all *members* have, in the same order, and make marks of the rest; raises Differ where it cannot.

    *own* holds the decorators of each that become rows.
    """
    dumps = [[ast.dump(decorator) for decorator in member.node.decorator_list] for member in members]
    spent = {ast.dump(row) for rows in own for row in rows}
    common = [dump for dump in dumps[0] if dump not in spent and all(dump in each for each in dumps)]
    if any([dump for dump in each if dump in common] != common for each in dumps):
        raise Differ("the decorators stand in different orders")
    marks: list[tuple[ast.expr, ...]] = []
    for member, each, lifting, rows in zip(members, dumps, liftings, own, strict=True):
        extra = [
            decorator
            for decorator, dump in zip(member.node.decorator_list, each, strict=True)
            if dump not in common and not any(decorator is row for row in rows)
        ]
        for decorator in extra:
            name = mark_name(decorator)
            if name is None or name in _NOT_FOR_ROWS:
                raise Differ(f"the decorators differ: @{member.segment(decorator).splitlines()[0]}")
            try:
                for part in _arguments(decorator):
                    lifting.check(part)
            except NotLiftable as error:
                raise Differ(f"the decorators differ: {error}") from error
        marks.append(tuple(extra))
    kept = tuple(number for number, dump in enumerate(dumps[0]) if dump in common)
    return Decorators(kept, tuple(marks))


def _arguments(decorator: ast.expr) -> list[ast.expr]:
    if not isinstance(decorator, ast.Call):
        return []
    return [*decorator.args, *(keyword.value for keyword in decorator.keywords)]


def parametrized_names(decorators: Sequence[ast.expr]) -> list[str]:
    """List the names that ``parametrize`` marks among *decorators* give values to."""
    names: list[str] = []
    for decorator in decorators:
        if mark_name(decorator) != "parametrize" or not isinstance(decorator, ast.Call) or not decorator.args:
            continue
        given = decorator.args[0]
        if isinstance(given, ast.Constant) and isinstance(given.value, str):
            names.extend(name.strip() for name in given.value.split(","))
        elif isinstance(given, ast.List | ast.Tuple):
            names.extend(str(each.value) for each in given.elts if isinstance(each, ast.Constant))
    return names


def has_rows(decorator: ast.expr) -> bool:
    """Tell whether *decorator* is a ``parametrize`` mark that may have more than one row."""
    if mark_name(decorator) != "parametrize" or not isinstance(decorator, ast.Call):
        return False
    rows = decorator.args[1] if len(decorator.args) > 1 else None
    if not isinstance(rows, ast.List | ast.Tuple):
        return True
    return len(rows.elts) != 1 or isinstance(rows.elts[0], ast.Starred)


def fills_from_the_right(decorator: ast.expr) -> bool:
    """Tell whether *decorator* is a ``given`` of Hypothesis that names its arguments by their places."""
    return (
        isinstance(decorator, ast.Call)
        and dotted_name(decorator.func).rpartition(".")[2] == "given"
        and bool(decorator.args)
    )


def injects(decorator: ast.expr) -> bool:
    """Tell whether *decorator* is a ``patch`` of ``unittest.mock``, which may add arguments by place."""
    return "patch" in dotted_name(decorator).removesuffix("()").split(".")

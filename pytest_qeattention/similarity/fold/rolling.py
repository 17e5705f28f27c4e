"""Statements that tests repeat different numbers of times, as one loop over what differs in them.

One test writes two files and checks one line, another writes one and checks three: each run of statements that are
alike but for one value becomes ``for value in values``, and the values are a parameter.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Sequence
from typing import Any

from pytest_qeattention.similarity.fold.holes import Differ, Hole, Place
from pytest_qeattention.similarity.fold.lifting import Lifting, loaded_names
from pytest_qeattention.similarity.fold.member import Member
from pytest_qeattention.similarity.fold.unifying import Unifier
from pytest_qeattention.similarity.fold.wording import parameter_names

_Path = tuple[tuple[str, int | None], ...]
"""Fields, with the index in those that are lists, on the way from a statement to a part of it."""


def roll(
    bodies: Sequence[list[ast.stmt]], members: Sequence[Member], liftings: Sequence[Lifting]
) -> list[list[ast.stmt]]:
    """Return *bodies* with loops where they repeat a statement different numbers of times; raises Differ."""
    return _Rolling(bodies, members, liftings).rolled()


def unrolled(body: Sequence[ast.stmt]) -> list[ast.stmt]:
    """Return *body* as the test has it: with the statements that loops of `roll` stand for."""
    return [each for statement in body for each in (run_of(statement) or [statement])]


def run_of(statement: ast.stmt) -> list[ast.stmt]:
    """Return the statements that a loop of `roll` stands for; none for any other statement."""
    found: list[ast.stmt] = getattr(statement, "qe_run", [])
    return found


class _Rolling:
    def __init__(
        self, bodies: Sequence[list[ast.stmt]], members: Sequence[Member], liftings: Sequence[Lifting]
    ) -> None:
        self._bodies = bodies
        self._members = members
        self._liftings = liftings
        self._used = {name for body in bodies for statement in body for name in loaded_names(statement)}
        self._used.update(*(lifting.local for lifting in liftings))

    def rolled(self) -> list[list[ast.stmt]]:
        out: list[list[ast.stmt]] = [[] for _ in self._bodies]
        places = [0] * len(self._bodies)
        while any(at < len(body) for at, body in zip(places, self._bodies, strict=True)):
            if any(at >= len(body) for at, body in zip(places, self._bodies, strict=True)):
                raise Differ("statements differ: some tests have more than others")
            runs = [self._run(number, at) for number, at in enumerate(places)]
            loops = [run[0] for run in runs if isinstance(run[0], ast.For)]
            if len({len(run) for run in runs}) == 1 and len(loops) in (0, len(runs)):
                runs = [run[:1] for run in runs]
                given = [run[0] for run in runs]
            else:
                given = self._loops(runs)
            for number, (statement, run) in enumerate(zip(given, runs, strict=True)):
                out[number].append(statement)
                places[number] += len(run)
        return out

    def _run(self, number: int, at: int) -> list[ast.stmt]:
        """Return the statements from *at* on that are alike but for one value: one of them at least."""
        body = self._bodies[number]
        run = [body[at]]
        first: Hole | None = None
        while at + len(run) < len(body) and _is_simple(body[at]):
            following = body[at + len(run)]
            hole = self._only_hole(number, body[at], following)
            if hole is None or (first is not None and hole.place.node is not first.place.node):
                break
            first = first or hole
            run.append(following)
        return run

    def _only_hole(self, number: int, left: ast.stmt, right: ast.stmt) -> Hole | None:
        member, lifting = self._members[number], self._liftings[number]
        unifier = Unifier([member, member], [lifting, lifting], as_written=False)
        try:
            unifier.statements([[left], [right]])
        except Differ:
            return None
        is_one = len(unifier.holes) == 1 and unifier.holes[0].kind == "value"
        return unifier.holes[0] if is_one else None

    def _loops(self, runs: Sequence[list[ast.stmt]]) -> list[ast.stmt]:
        """Return a loop for each of *runs*, over what differs in the statements of any."""
        number = next((n for n, run in enumerate(runs) if len(run) > 1), None)
        if number is None or not all(map(_can_loop, (run[0] for run in runs))):
            raise Differ("statements differ: some tests have more than others")
        hole = self._only_hole(number, runs[number][0], runs[number][1])
        path = None if hole is None else _path(hole.place)
        if hole is None or path is None:
            raise Differ("statements differ: some tests have more than others")
        own = {run[0].target.id for run in runs if isinstance(run[0], ast.For) and isinstance(run[0].target, ast.Name)}
        name = next(iter(own)) if len(own) == 1 else parameter_names([hole], self._used)[0]
        if own and len(own) != 1:
            raise Differ("statements differ: the loops of the tests name different things")
        self._used.add(name)
        return [run[0] if isinstance(run[0], ast.For) else _loop(run, path, name) for run in runs]


def _loop(run: Sequence[ast.stmt], path: _Path, name: str) -> ast.For:
    values = [_at(statement, path) for statement in run]
    if not all(isinstance(value, ast.expr) for value in values):
        raise Differ("statements differ: some tests have more than others")
    body = copy.deepcopy(run[0])
    _put(body, path, ast.copy_location(ast.Name(name, ast.Load()), values[0]))
    iterated = ast.Tuple([value for value in values if isinstance(value, ast.expr)], ast.Load())
    loop = ast.For(ast.Name(name, ast.Store()), ast.copy_location(iterated, values[0]), [body], [], None)
    ast.copy_location(loop, run[0])
    loop.qe_run = list(run)  # type: ignore[attr-defined]
    return loop


def _is_simple(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Assert):
        return True
    value = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(value.value if isinstance(value, ast.Await) else value, ast.Call)


def _can_loop(statement: ast.stmt) -> bool:
    if not isinstance(statement, ast.For):
        return _is_simple(statement)
    is_plain = isinstance(statement.target, ast.Name) and not statement.orelse
    return is_plain and len(statement.body) == 1 and _is_simple(statement.body[0])


def _path(place: Place) -> _Path | None:
    """Return the way to *place* from its statement; None where it is more than a part of it."""
    steps: list[tuple[str, int | None]] = []
    each: Place | None = place
    while each is not None and each.parent is not None:
        is_listed = isinstance(getattr(each.parent.node, each.field, None), list)
        steps.append((each.field, each.index if is_listed else None))
        each = each.parent
    return tuple(reversed(steps)) or None


def _at(node: ast.AST, path: _Path) -> Any:
    """Return the part of *node* at the end of *path*; None where there is none."""
    found: Any = node
    for field, index in path:
        found = getattr(found, field, None)
        if index is not None:
            found = found[index] if isinstance(found, list) and index < len(found) else None
    return found


def _put(node: ast.AST, path: _Path, value: ast.expr) -> None:
    owner = _at(node, path[:-1])
    field, index = path[-1]
    if index is None:
        setattr(owner, field, value)
    else:
        getattr(owner, field)[index] = value

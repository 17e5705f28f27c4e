"""Where the cases of tests differ: of the tests as they are, of the blocks that they repeat, or with locals put back.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pytest_qeattention.similarity.fold.cases import Division, divisions, whole
from pytest_qeattention.similarity.fold.decorators import parametrized_names
from pytest_qeattention.similarity.fold.expanding import (
    Given,
    given_rows,
    gives_tuples,
    inline_locals,
    inline_next,
    substitute,
)
from pytest_qeattention.similarity.fold.holes import GIVEN, Differ, Hole, Place
from pytest_qeattention.similarity.fold.lifting import Lifting
from pytest_qeattention.similarity.fold.member import Member
from pytest_qeattention.similarity.fold.rolling import roll
from pytest_qeattention.similarity.fold.unifying import Unifier

_COPIES = "nothing differs: the tests are copies of one another"
_COMPUTED = "the tests are parametrized already, with rows that are computed"


@dataclass(frozen=True, slots=True)
class Differences:
    """Hold where the cases of tests differ."""

    division: Division
    holes: list[Hole]
    removed: list[ast.stmt]
    """Statements of the first test whose value stands where its name was."""

    @property
    def loop_names(self) -> set[str]:
        """The names of what loops go over that stand for statements that tests repeat."""
        loops = [hole.place.parent.node for hole in self.holes if hole.kind == "each" and hole.place.parent is not None]
        return {loop.target.id for loop in loops if isinstance(loop, ast.For) and isinstance(loop.target, ast.Name)}


def find_differences(
    members: Sequence[Member], own_marks: Sequence[Sequence[ast.expr]], liftings: Sequence[Lifting]
) -> Differences:
    """Find where *members* differ; *own_marks* are their ``parametrize`` marks that become rows; raises Differ."""
    entries: list[tuple[int, Given]] = []
    for number, (member, own, lifting) in enumerate(zip(members, own_marks, liftings, strict=True)):
        rows = given_rows(member, own, lifting) if own else [Given({})]
        entries.extend((number, row) for row in rows)
    as_written = len(entries) == len(members) and not any(own_marks)
    # A name that every test has rows for stays as it is, and its column with it.
    columns = set.intersection(*(set(parametrized_names(own)) for own in own_marks))
    if any(given.computed for _, given in entries) and any(
        set(parametrized_names(own)) != columns or len(own) != 1 for own in own_marks
    ):
        raise Differ(_COMPUTED)
    bodies = [
        substitute(
            members[number].body,
            {name: value for name, value in given.values.items() if name not in columns},
        )
        for number, given in entries
    ]
    search = _Search(members, liftings, entries)
    try:
        return search.try_bodies(bodies, [], as_written=as_written)
    except Differ as error:
        reason = error
    as_given = bodies
    each_lifting = [liftings[number] for number, _ in entries]
    removed: list[list[ast.stmt]] = [[] for _ in bodies]
    for inline in (inline_locals, inline_next):
        try:
            bodies, more = inline(bodies, each_lifting)
        except Differ:
            raise reason from None
        if not any(more):
            continue
        removed = [[*before, *new] for before, new in zip(removed, more, strict=True)]
        try:
            return search.try_bodies(bodies, removed[0], as_written=False)
        except Differ:
            continue
    try:
        rolled = roll(as_given, [members[number] for number, _ in entries], each_lifting)
        return search.try_bodies(rolled, [], as_written=False)
    except Differ:
        raise reason from None


class _Search:
    def __init__(
        self, members: Sequence[Member], liftings: Sequence[Lifting], entries: Sequence[tuple[int, Given]]
    ) -> None:
        self._members = members
        self._liftings = liftings
        self._entries = entries

    def try_bodies(self, bodies: Sequence[list[ast.stmt]], removed: list[ast.stmt], *, as_written: bool) -> Differences:
        """Unify whole tests, or else the blocks that they repeat."""
        reason: Differ | None = None
        for division in (whole(bodies), *divisions(bodies)):
            givens = [self._entries[case.member][1] for case in division.cases]
            cases = [
                replace(
                    case,
                    member=self._entries[case.member][0],
                    id=given.id,
                    marks=given.marks,
                    row_end=given.end,
                    given=given.values,
                    is_computed=given.computed is not None,
                )
                for case, given in zip(division.cases, givens, strict=True)
            ]
            unifier = Unifier(
                [self._members[case.member] for case in cases],
                [self._liftings[case.member] for case in cases],
                as_written=as_written,
            )
            try:
                unifier.statements([case.body for case in cases])
            except Differ as error:
                reason = reason or error
                continue
            computed = [given.computed for given in givens if given.computed is not None]
            if computed and unifier.holes and (len(givens[0].values) < 2 or not all(map(gives_tuples, computed))):
                raise Differ(_COMPUTED)
            holes = [*_columns(givens), *unifier.holes]
            if holes and all(hole.kind == "truth" for hole in holes):
                reason = reason or Differ("the assertions differ in shape")
                continue
            if holes:
                return Differences(replace(division, cases=cases), holes, removed)
            reason = reason or Differ(_COPIES)
        raise reason or Differ(_COPIES)


def _columns(rows: Sequence[Given]) -> list[Hole]:
    """Return what the tests' own rows give to names that all of them have."""
    names = [name for name in rows[0].values if all(name in row.values for row in rows)]
    return [
        Hole("value", tuple(row.values[name] for row in rows), Place(ast.Name(name, ast.Load()), None, GIVEN))
        for name in names
    ]

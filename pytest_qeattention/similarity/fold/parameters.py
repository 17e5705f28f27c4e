"""The parameters of a folded test: which values share one, and what each is called.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from pytest_qeattention.similarity.fold.cases import Division
from pytest_qeattention.similarity.fold.holes import GIVEN, Differ, Hole, HoleKind
from pytest_qeattention.similarity.fold.lifting import is_mutable
from pytest_qeattention.similarity.fold.member import name_before
from pytest_qeattention.similarity.fold.values import value_key
from pytest_qeattention.similarity.fold.wording import parameter_names

MOST_PARAMETERS = 8

ParameterKind = HoleKind | Literal["local"]
"""How a test has what a parameter stands for; ``local``: also under the parameter's own name."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """Hold a parameter of the folded test and the places that it stands in."""

    name: str
    holes: tuple[Hole, ...]
    dropped: int | None = None
    """Index of the statement that gave its value to its name, and is not needed any more."""

    @property
    def is_given(self) -> bool:
        """Whether the tests have the parameter already."""
        return self.holes[0].place.field == GIVEN

    @property
    def kind(self) -> ParameterKind:
        """How the tests have what it stands for: by name, where any does."""
        if self.dropped is not None or self.is_given:
            return "local"
        kinds = [hole.kind for hole in self.holes]
        return next((kind for kind in kinds if kind in ("attribute", "keyword")), kinds[0])


@dataclass(frozen=True, slots=True)
class Names:
    """Hold the names that matter to those of parameters."""

    own: Collection[str]
    """Parameters that the tests have already, and that their rows are merged for."""
    taken: Collection[str]
    fixtures: Collection[str]


def make_parameters(holes: Sequence[Hole], division: Division, known: Names) -> list[Parameter]:
    """Give each set of values a parameter; raises Differ where there are too many."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for number, hole in enumerate(holes):
        groups.setdefault(_column(hole, number), []).append(number)
    if len(groups) > MOST_PARAMETERS:
        raise Differ(f"{len(groups)} values differ, more than a table of cases keeps readable")
    fixed: dict[int, str] = {}
    dropped: dict[int, int] = {}
    for position, group in enumerate(groups.values()):
        for number in group:
            found = _dropped(holes[number], division, known.fixtures)
            if found is not None and position not in fixed and found[1] not in fixed.values():
                fixed[position], dropped[position] = found[1], found[0]
            name = _own_name(holes[number])
            if name in known.own and position not in fixed and name not in {*fixed.values(), *known.taken}:
                fixed[position] = name
    free = [position for position in range(len(groups)) if position not in fixed]
    listed = [[holes[number] for number in group] for group in groups.values()]
    names = parameter_names([listed[position][0] for position in free], known.taken, fixed.values())
    named = {**fixed, **dict(zip(free, names, strict=True))}
    return [Parameter(named[n], tuple(listed[n]), dropped.get(n)) for n in range(len(listed))]


def _column(hole: Hole, number: int) -> tuple[str, ...]:
    """Return what holes that can share a parameter have in common; *number* tells any other apart."""
    if any(isinstance(node, ast.Starred) for node in hole.nodes):
        return (f"{hole.kind} {number}",)
    if hole.kind == "value" and not any(map(is_mutable, hole.nodes)):
        return tuple(ast.dump(node) for node in hole.nodes)
    if hole.kind in ("attribute", "keyword"):
        return tuple(ast.dump(ast.Constant(value_key(hole, at))) for at in range(len(hole.nodes)))
    if hole.kind in ("arguments", "keywords") and not any(map(is_mutable, _unpacked(hole))):
        return (hole.kind, *(value_key(hole, at) for at in range(len(hole.nodes))))
    if hole.kind in ("truth", "operator"):
        return (hole.kind, *(value_key(hole, at) for at in range(len(hole.nodes))))
    return (f"{hole.kind} {number}",)


def _unpacked(hole: Hole) -> list[ast.expr]:
    """List the values that a hole for arguments stands for."""
    calls = [node for node in hole.nodes if isinstance(node, ast.Call)]
    if hole.kind == "arguments":
        return [argument for call in calls for argument in call.args[hole.start :]]
    return [keyword.value for call in calls for keyword in call.keywords[hole.start :]]


def _dropped(hole: Hole, division: Division, fixtures: Collection[str]) -> tuple[int, str] | None:
    """Return index and name of the assignment that a hole is all of: the parameter can have the name itself."""
    parent = hole.place.parent
    if parent is None or parent.parent is not None or not isinstance(parent.node, ast.Assign):
        return None
    targets = parent.node.targets
    body = division.cases[0].body
    if hole.kind != "value" or len(targets) != 1 or not isinstance(targets[0], ast.Name) or len(body) < 2:
        return None
    name = targets[0].id
    if name in fixtures or parent.index == len(body) - 1 or hasattr(hole.nodes[0], "qe_name"):
        return None
    for case in division.cases:
        stores = [
            node
            for statement in case.body
            for node in ast.walk(statement)
            if (isinstance(node, ast.Name) and node.id == name and not isinstance(node.ctx, ast.Load))
            or (isinstance(node, ast.arg) and node.arg == name)
        ]
        if len(stores) != 1 or not isinstance(case.body[parent.index], ast.Assign):
            return None
    return parent.index, name


def _own_name(hole: Hole) -> str:
    """Return the name that the tests themselves have for what a hole holds; empty where they differ or have none."""
    if hole.place.field == GIVEN and isinstance(hole.place.node, ast.Name):
        return hole.place.node.id
    names = {
        before.id for node in hole.nodes if isinstance(before := name_before(node), ast.Name) and before is not node
    }
    return names.pop() if len(names) == 1 else ""

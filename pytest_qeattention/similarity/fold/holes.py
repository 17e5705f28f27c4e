"""The places where tests differ, and the error that says why tests cannot be one.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Literal

HoleKind = Literal[
    "value", "attribute", "keyword", "arguments", "keywords", "truth", "text", "each", "operator", "items"
]

GIVEN = "given"
"""Field of a place that is no place in the body: a column of rows that the tests have themselves."""


class Differ(Exception):
    """Say why tests cannot be one."""


@dataclass(frozen=True, slots=True)
class Place:
    """Say where a node of the template stands."""

    node: ast.AST
    parent: Place | None = None
    field: str = ""
    index: int = 0

    def above(self) -> list[Place]:
        """List the places around, the nearest first."""
        found = []
        place = self.parent
        while place is not None:
            found.append(place)
            place = place.parent
        return found


@dataclass(frozen=True, slots=True)
class Hole:
    """Hold what stands in one place of each test, in the order of the tests.

    *nodes* are expressions for a ``value`` and an ``attribute`` (the whole attribute), the name as a constant for a
    ``keyword``, calls for ``arguments`` and ``keywords``, which stand for those from *start* on, constants for a
    ``truth`` (what an assertion says that a condition is) and for a ``text`` (the piece number *start* of an f-string),
    what a loop goes over for ``each``, functions that do the same for an ``operator``, and lists or tuples for
    ``items``, which are those from *start* on but for the last *tail*.
    """

    kind: HoleKind
    nodes: tuple[ast.expr, ...]
    place: Place
    start: int = 0
    tail: int = 0

    def middle(self, node: ast.expr) -> list[ast.expr]:
        """Return the elements of a list or tuple that ``items`` stand for."""
        elements = node.elts if isinstance(node, ast.List | ast.Tuple) else []
        return elements[self.start : len(elements) - self.tail]

"""The tests that an analysis looks at, read from files or from what pytest collected.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pytest_qeattention.similarity.describe import Description
from pytest_qeattention.similarity.model import Problem, Unit


@dataclass(frozen=True, slots=True)
class Located:
    """Say where a test that pytest collected is written."""

    path: str
    """Absolute path of the file that holds its ``def``."""
    qualname: str
    """``Class::name`` or ``name``."""
    line: int | None
    """``co_firstlineno`` of its code: the first decorator's line, or that of ``def``; None when unknown."""


@dataclass(frozen=True, slots=True)
class Suite:
    """Hold the units to analyse, in order of path and line, and what could not be read."""

    units: tuple[Unit, ...]
    descriptions: tuple[Description, ...] = ()
    """The evidence of each unit."""
    bindings: tuple[str, ...] = ()
    """What the free names of each unit stand for: units of equal source and equal bindings do the same."""
    problems: tuple[Problem, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)

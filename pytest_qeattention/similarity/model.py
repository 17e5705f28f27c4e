"""The facts that similarity analysis deals in: units, groups, neighbours, problems.

Standard library only, so that reports and the plugin can use them before numpy is needed.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["duplicate", "parametrize", "similar"]
Status = Literal["new", "accepted"]


@dataclass(frozen=True, slots=True)
class Unit:
    """Describe one test function or method as it is written in its file.

    All parametrised instances of a function are one unit; an inherited method is one unit where it is written.
    """

    nodeid: str
    """``path::Class::name`` with *path* as below."""
    path: str
    """POSIX path relative to the rootdir (static commands: to the working directory)."""
    line: int
    """1-based line of ``def``."""
    name: str
    qualname: str
    """``Class::name``, or ``name`` for a function of the module."""
    first_line: int
    """1-based line of the first decorator, or of ``def``."""
    end_line: int
    source: str
    """Source from *first_line* to *end_line*, as written."""
    docstring: str | None = None
    fixtures: tuple[str, ...] = ()
    """Argument names without ``self`` and ``cls``: fixtures and parametrised arguments."""
    decorators: tuple[str, ...] = ()
    """Source of each decorator, without the ``@``."""
    is_async: bool = False


@dataclass(frozen=True, slots=True)
class Problem:
    """Name an input that could not be analysed, and what follows from that."""

    path: str
    message: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Say where and why a test is taken out of the groups that it is in."""

    test: Unit
    line: int
    """1-based line of the comment."""
    reason: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """Say whether a suggestion was found to do what its tests do, by running both."""

    state: Literal["verified", "failed", "not run"]
    reason: str
    cases: int | None = None
    """Number of cases with equal outcomes; None unless verified."""
    noticed: int | None = None
    """Number of cases whose changed value made both fail; None unless verified."""


@dataclass(frozen=True, slots=True)
class Group:
    """Hold tests that repeat each other, with the evidence that put them together."""

    id: str
    kind: Kind
    score: float
    """Lowest similarity that holds the group together, 0 to 1."""
    tests: tuple[Unit, ...]
    """Two or more, in order of path and line."""
    reasons: tuple[str, ...] = ()
    suggestion: str | None = None
    """Source of a parametrized test that stands for the tests, as `fold` writes it."""
    verdict: Verdict | None = None
    """What running the suggestion showed; None when it was not asked for."""
    status: Status | None = None
    """What the baseline says of it; None without a baseline."""
    new_tests: tuple[Unit, ...] = ()
    """Tests of a new group that the baseline does not have."""
    acknowledged: tuple[Acknowledgement, ...] = ()
    """Tests that were found with these and are acknowledged, so that they are not among them."""

    @property
    def is_finding(self) -> bool:
        """Whether no baseline has accepted it."""
        return self.status != "accepted"

    @property
    def first_test(self) -> Unit:
        """The test to point at: the first new one where some are accepted."""
        return self.new_tests[0] if self.new_tests else self.tests[0]


@dataclass(frozen=True, slots=True)
class BaselineUse:
    """Say what a baseline had to do with a report."""

    path: str
    """As the report names it."""
    stale: tuple[tuple[str, str], ...] = ()
    """Path and test of entries that nothing answers to any more."""
    written: str | None = None
    """What an update did, in words; None without one."""
    error: str | None = None
    """Why an update could not be written; None where it was, or none was asked for."""


@dataclass(frozen=True, slots=True)
class Neighbor:
    """Pair a unit with its similarity (0 to 1) to the unit or query asked about."""

    unit: Unit
    score: float
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SimilarReport:
    """Collect what one similarity analysis found."""

    workload: str
    """Name of the workload that produced it; ``test-similarity`` is the built-in one."""
    tests: int
    """Number of units analysed."""
    groups: tuple[Group, ...] = ()
    """Ranked: what is most worth acting on first."""
    neighbors: tuple[tuple[Unit, tuple[Neighbor, ...]], ...] | None = None
    """Each unit's nearest, best first; None when not asked for."""
    ranked: tuple[str, tuple[Neighbor, ...]] | None = None
    """Query text and its answers, best first; None when not asked for."""
    problems: tuple[Problem, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Number of collected items that have no unit, by reason: ``doctest``, ``not python``, ``no source``."""
    lines: tuple[str, ...] | None = None
    """Report lines that a workload wrote itself; None for the standard rendering."""
    search: str = "exact"
    """How nearest neighbours were found: ``exact`` or ``hnsw``."""
    acknowledged: tuple[Acknowledgement, ...] = ()
    """Acknowledgements that took a test out of a group."""
    unneeded: tuple[Acknowledgement, ...] = ()
    """Acknowledgements of tests that are in no group."""
    set_aside: tuple[Group, ...] = ()
    """Groups that are no finding, because all of their tests but one are acknowledged; with all tests."""
    below_threshold: int = 0
    """Number of groups that a threshold of the ini file keeps out of the report."""
    baseline: BaselineUse | None = None
    """None when no baseline was given."""

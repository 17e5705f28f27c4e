"""Why a run is red: the causes behind its failures, and which defects they are.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from pytest_qeattention.defects.record import FailureRecord, Frame

State = Literal["known", "likely", "new", "regressed"]
Basis = Literal["signature", "rule", "score"]


@dataclass(frozen=True, slots=True)
class Match:
    """Say which defect a cause is, as far as that is known."""

    state: State
    defect: str | None = None
    """None where the cause is new."""
    confidence: float | None = None
    """Probability, 0 to 1; None where nothing was measured."""
    reasons: tuple[str, ...] = ()
    """What decided, with values, most important first; then why not the runner-up."""
    basis: Basis | None = None
    """How it was found; None where the cause is new."""
    grounds: frozenset[str] = frozenset()
    """What took part in it: ``message``, ``product frame``, ``exception``, ``fixture``, ``assertion``, ``test``."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Hold failures of one run that have one root cause."""

    id: str
    """The same for the same representative failure in every run; 12 hexadecimal digits."""
    failures: tuple[int, ...]
    """Places in `DefectsReport.records`, ascending."""
    reasons: tuple[str, ...]
    """Why they stand together, with values."""
    shared: tuple[str, ...]
    """What tells these failures from other tests: ``17 of 22 have provider=azure``."""
    culprit: Frame | None
    """The frame of the product that most of them have as theirs."""
    families: tuple[str, ...]
    """Titles of the families of failures that the representative may be of, best first."""
    representative: int
    """Place of the failure that is most like the others, one of `failures`."""
    match: Match | None = None
    """None before the causes were looked up."""


@dataclass(frozen=True, slots=True)
class DefectsReport:
    """Hold what a red run comes down to."""

    records: tuple[FailureRecord, ...]
    causes: tuple[Cause, ...]
    """Most failures first, then by the first of them."""
    candidates: Mapping[int, tuple[tuple[str, float], ...]] = field(default_factory=lambda: MappingProxyType({}))
    """Defects that each failure may be, with scores, best first, by the failure's place."""
    matches: Mapping[int, Match] = field(default_factory=lambda: MappingProxyType({}))
    """Which defect each failure is, by its place; empty before they were looked up."""
    problems: tuple[str, ...] = ()
    knowledge: str | None = None
    """What the knowledge base holds, in words; ``empty`` where it holds nothing, None where there is none."""

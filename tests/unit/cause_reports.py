"""Reports of red runs made up for the tests of what is said of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from defect_failures import failure, report

from pytest_qeattention.defects.model import DefectsReport, Match
from pytest_qeattention.defects.record import FailureRecord, Frame

KNOWN = Match("known", "BUG-1", None, ("the same as a labelled failure",), "signature", frozenset({"message"}))
LIKELY = Match("likely", "BUG-2", 0.8389, ("like BUG-2", "runner-up BUG-3 has 0.20"), "score", frozenset({"test"}))
REGRESSED = Match("regressed", "BUG-4 'yen'", 1.0, ("closed on 2026-01-01",), "rule", frozenset({"message"}))
NEW = Match("new", None, None, ("nearest is BUG-1 with 0.10",))
CULPRIT = Frame.of("src/pool.py", 12, "Pool.get", "raise PoolExhausted(size)", "product")
HOSTILE = "x|y `z` <b>::set-output name=a::1%0A [l](0) {0} \r\n::error::@team #12 *y* \x1b[31m"


def failures(count: int, name: str = "test_order", **changes: Any) -> list[FailureRecord]:
    """Return failures of as many tests."""
    return [failure(test=f"{name}_{number}", **changes) for number in range(count)]


def red(*causes: tuple[Match | None, Sequence[FailureRecord]], **changes: Any) -> DefectsReport:
    """Return a report of causes, with what each was found to be."""
    found = report(*(records for _, records in causes))
    told = tuple(
        replace(
            cause,
            match=match,
            culprit=CULPRIT,
            reasons=("same exception in all", "messages agree", "a third reason"),
            shared=("2 of 2 have provider=azure",),
            families=("A resource that ran out", "Another"),
        )
        for cause, (match, _) in zip(found.causes, causes, strict=True)
    )
    matches: Mapping[int, Match] = {
        place: cause.match for cause in told for place in cause.failures if cause.match is not None
    }
    return replace(found, causes=told, matches=matches, **{"knowledge": "3 defects, 5 labelled failures", **changes})


def all_states() -> DefectsReport:
    """Return a report with a cause of each state, most failures first."""
    return red(
        (KNOWN, failures(12, "test_known")),
        (NEW, failures(5, "test_new")),
        (LIKELY, failures(2, "test_likely")),
        (REGRESSED, failures(1, "test_regressed")),
    )

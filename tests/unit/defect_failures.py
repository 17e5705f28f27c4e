"""Failures made up for the tests of what is known of defects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pytest_qeattention.defects.model import Cause, DefectsReport
from pytest_qeattention.defects.record import Assertion, FailureRecord, Frame, Raised, TestFacts


def failure(
    message: str = "no free connection of 5 after 0.3 s",
    *,
    type_: str = "pool.PoolExhausted",
    test: str = "test_order",
    path: str = "tests/test_shop.py",
    at: str | None = "Pool.get",
    parameter: str | None = None,
    assertion: Assertion | None = None,
) -> FailureRecord:
    """Return a failure that was raised in the function *at* of the product, or in the test where that is None."""
    own = Frame.of(path, 7, test, f"{test[5:]}()", "test")
    raising = () if at is None else (Frame.of("src/pool.py", 12, at, "raise PoolExhausted(size)", "product"),)
    parameters = () if parameter is None else (("name", parameter),)
    suffix = "" if parameter is None else f"[{parameter}]"
    return FailureRecord.of(
        f"{path}::{test}{suffix}",
        "call",
        TestFacts.of(path, test, 5, parameters),
        [Raised.of(type_, message, None, (own, *raising))],
        culprit=raising[-1] if raising else None,
        assertion=assertion,
    )


def report(*causes: Sequence[FailureRecord]) -> DefectsReport:
    """Return a report whose causes have these failures, in order."""
    records: list[FailureRecord] = []
    found = []
    for failures in causes:
        places = tuple(range(len(records), len(records) + len(failures)))
        found.append(Cause(f"{len(found):012x}", places, (), (), None, (), places[0]))
        records.extend(failures)
    return DefectsReport(tuple(records), tuple(found))


def without_text(record: FailureRecord) -> FailureRecord:
    """Return *record* as a runner tells it that says nothing of why a test failed."""
    return replace(record, chain=(), culprit=None)

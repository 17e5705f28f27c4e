"""The record of a failure whose exception nobody has: a crashed worker, or a report that another plugin made.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import pytest

from pytest_qeattention.defects.assertion_text import told_assertion
from pytest_qeattention.defects.frames import Roles
from pytest_qeattention.defects.record import FailureRecord, Frame, Phase, Raised, TestFacts, culprit_of
from pytest_qeattention.defects.stack import with_fixtures, without_machinery
from pytest_qeattention.defects.traceback_text import Trace, parse_traceback, split_type

_CRASHED = re.compile(r"worker '[^']*' crashed while running ")
_LONGEST = 100_000
_PHASES: Mapping[str, Phase] = {"setup": "setup", "teardown": "teardown", "collect": "collect"}


def told_record(
    report: pytest.TestReport | pytest.CollectReport, roles: Roles, environment: Mapping[str, str]
) -> FailureRecord:
    """Return what the text of a failed *report* tells."""
    text = str(report.longrepr or "")[:_LONGEST].strip("\n")
    facts = _facts(report, roles)
    if _CRASHED.match(text):
        # What pytest-xdist says of it names the worker, which tells nothing of the failure.
        return FailureRecord.of(report.nodeid, "crash", facts, environment=environment)
    chain = told_chain(parse_traceback(text), roles, report.when)
    if not chain and text:
        chain = (Raised.of(*split_type(text)),)
    return FailureRecord.of(
        report.nodeid,
        _PHASES.get(report.when or "", "call"),
        facts,
        chain,
        culprit=culprit_of(chain),
        assertion=told_assertion(chain),
        environment=environment,
    )


def told_chain(traces: Iterable[Trace], roles: Roles, when: str | None) -> tuple[Raised, ...]:
    """Return what a text tells of exceptions as those of a record; *when* is the phase of the test."""
    chain = []
    for trace in traces:
        frames = [
            Frame.of(
                roles.display(place.path),
                place.line,
                place.function,
                place.statement,
                roles.role(place.path, place.function, place.is_fixture),
            )
            for place in trace.places
        ]
        chain.append(Raised.of(trace.type, trace.message, trace.link, without_machinery(frames)))
    return with_fixtures(tuple(chain), when)


def _facts(report: pytest.TestReport | pytest.CollectReport, roles: Roles) -> TestFacts:
    address, bracket, parameters = report.nodeid.partition("[")
    path, _, qualname = address.partition("::")
    location = report.location if isinstance(report, pytest.TestReport) else None
    line = None if location is None or location[1] is None else location[1] + 1
    return TestFacts.of(roles.display(path), qualname, line, [("", parameters.removesuffix("]"))] if bracket else [])

"""What a red run comes down to, as properties of a JUnit file.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections import Counter

from pytest_qeattention.defects.model import Cause, DefectsReport
from pytest_qeattention.report.causes import STATES, state_of
from pytest_qeattention.report.junit import Property


def cause_properties(cause: Cause) -> list[Property]:
    """Return what a test case says of the cause that it fails for; what is not known is absent."""
    properties = [("qe_defects_cause", cause.id)]
    if cause.match is not None:
        properties.append(("qe_defects_state", cause.match.state))
        if cause.match.defect is not None:
            properties.append(("qe_defects_defect", cause.match.defect))
        if cause.match.confidence is not None:
            properties.append(("qe_defects_confidence", f"{cause.match.confidence:.6g}"))
    return properties


def run_properties(report: DefectsReport) -> list[Property]:
    """Return what the suite says of the report."""
    states = Counter(state_of(cause) for cause in report.causes)
    properties = [
        ("qe_defects_failures", str(len(report.records))),
        ("qe_defects_causes", str(len(report.causes))),
    ]
    return [*properties, *((f"qe_defects_{state}", str(states[state])) for state in STATES if state != "cause")]


def failing_properties(report: DefectsReport) -> dict[str, list[Property]]:
    """Return the properties of each failing test by its node id; of one that fails twice those of both causes."""
    found: dict[str, list[Property]] = {}
    for cause in report.causes:
        properties = cause_properties(cause)
        for nodeid in dict.fromkeys(report.records[at].nodeid for at in cause.failures):
            found.setdefault(nodeid, []).extend(properties)
    return found

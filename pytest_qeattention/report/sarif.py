"""Similarity reports as SARIF 2.1.0 (OASIS, errata 01), for code scanning.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

from pytest_qeattention.report.place import Places
from pytest_qeattention.report.terminal import unique_problems
from pytest_qeattention.similarity.content import content_of
from pytest_qeattention.similarity.model import Acknowledgement, Group, Kind, Problem, SimilarReport, Unit
from pytest_qeattention.wording import counted

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
FINGERPRINT = "qeattentionSimilarGroup/v1"
BASE_ID = "%SRCROOT%"
_KINDS: tuple[Kind, ...] = ("duplicate", "parametrize", "similar")
_LINKED = 10
"""Tests that a message names; the others are among its related locations."""

_ADVICE = (
    "Two tests that look the same may fail for different reasons: what to do is for you to decide. "
    "Where a test should stay as it is, write '# qe: similar-ok <reason>' at its def, or accept the group with "
    "--qe-baseline-update."
)
_RULES: dict[Kind, tuple[str, str, str, str]] = {
    "duplicate": (
        "DuplicateTest",
        "Tests with the same code",
        "The tests have the same code but for formatting, comments and local names, and use the same things from "
        "outside.",
        "warning",
    ),
    "parametrize": (
        "ParametrizableTests",
        "Tests that could be one parametrized test",
        "In one class or module, the tests have the same statements and calls; literals or names differ. "
        "pytest.mark.parametrize can hold what differs.",
        "note",
    ),
    "similar": (
        "SimilarTests",
        "Tests that are much alike",
        "Much of the code and of the wording of the tests is the same, or the same shape stands in two classes or "
        "files.",
        "note",
    ),
}
_WORDS: dict[Kind, str] = {
    "duplicate": "has the same code as",
    "parametrize": "could be one parametrized test with",
    "similar": "is much like",
}
# Text that reads as a link of SARIF, such as a literal [0](1).
_LINK = re.compile(r"\[(?=[^\[\]]*\]\()")


def sarif_log(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a SARIF log of *runs*, one for each report."""
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": list(runs)}


def sarif(
    report: SimilarReport | None, *, version: str, places: Places, problems: Sequence[Problem] = ()
) -> dict[str, Any]:
    """Return a SARIF log of one report; see `similar_run`."""
    return sarif_log([similar_run(report, version=version, places=places, problems=problems)])


def similar_run(
    report: SimilarReport | None, *, version: str, places: Places, problems: Sequence[Problem] = ()
) -> dict[str, Any]:
    """Return a run of SARIF with one result per group; None stands for an analysis that failed.

    The first new test of a group is its location, the others are its related locations. What is acknowledged or
    accepted by a baseline is there too, suppressed. *problems* are those of the run.
    """
    groups = [] if report is None else [*report.groups, *report.set_aside]
    notified = unique_problems(problems, () if report is None else report.problems)
    run: dict[str, Any] = {
        "tool": {"driver": _driver(version)},
        "automationDetails": {"id": "qeattention/similar/"},
        "invocations": [
            {
                "executionSuccessful": report is not None,
                "toolExecutionNotifications": [_notification(problem, places) for problem in notified],
            }
        ],
        "originalUriBaseIds": {BASE_ID: {"uri": places.root_uri}},
        "columnKind": "unicodeCodePoints",
        "results": [],
    }
    met: Counter[str] = Counter()
    for group in groups:
        name = fingerprint(group, places)
        # Two groups of one content and place are told apart by their order.
        met[name] += 1
        result = _result(group, report, places)
        result["partialFingerprints"] = {FINGERPRINT: f"{name}:{met[name]}"}
        run["results"].append(result)
    return run


def fingerprint(group: Group, places: Places) -> str:
    """Name a group by the files and contents of its tests, whatever their lines, names and literals are."""
    tests = sorted((places.path(test.path), content_of(test)) for test in group.tests)
    text = "\0".join(part for test in tests for part in test)
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _driver(version: str) -> dict[str, Any]:
    rules = []
    for kind in _KINDS:
        name, short, full, level = _RULES[kind]
        rules.append(
            {
                "id": f"similar/{kind}",
                "name": name,
                "shortDescription": {"text": short},
                "fullDescription": {"text": full},
                "help": {"text": f"{full} {_ADVICE}", "markdown": f"{full}\n\n{_ADVICE.replace(chr(39), '`')}"},
                "defaultConfiguration": {"level": level},
                "properties": {
                    "tags": ["maintainability", "test"],
                    "precision": "high" if kind == "duplicate" else "medium",
                    "problem.severity": "recommendation",
                },
            }
        )
    return {"name": "pytest-qeattention", "version": version, "rules": rules}


def _result(group: Group, report: SimilarReport | None, places: Places) -> dict[str, Any]:
    first = group.first_test
    others = [test for test in group.tests if test is not first]
    result: dict[str, Any] = {
        "ruleId": f"similar/{group.kind}",
        "ruleIndex": _KINDS.index(group.kind),
        "level": _RULES[group.kind][3],
        "message": {"text": _message(group, first, others)},
        "locations": [_location(first, places)],
        "relatedLocations": [
            {"id": number, **_location(test, places), "message": {"text": escaped(test.qualname)}}
            for number, test in enumerate(others, 1)
        ],
        "rank": round(100 * group.score, 1),
        "properties": {"group": group.id, "score": group.score, "reasons": list(group.reasons)},
    }
    # Of a group that stands, the tests acknowledged are no part.
    result["suppressions"] = [_in_source(each, places) for each in group.acknowledged if each.test in group.tests]
    baseline = None if report is None else report.baseline
    if group.status is not None and baseline is not None:
        result["baselineState"] = "unchanged" if group.status == "accepted" else "new"
        if group.status == "accepted":
            justification = f"accepted by the baseline {baseline.path}"
            result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": justification}]
    return result


def _message(group: Group, first: Unit, others: Sequence[Unit]) -> str:
    links = [f"[{link_text(test.qualname)}]({number})" for number, test in enumerate(others[:_LINKED], 1)]
    if len(others) > _LINKED:
        links.append(counted(len(others) - _LINKED, "other"))
    named = links[0] if len(links) == 1 else f"{', '.join(links[:-1])} and {links[-1]}"
    reasons = "".join(f"\n- {escaped(reason)}" for reason in group.reasons)
    return f"{escaped(first.qualname)} {_WORDS[group.kind]} {named}.{reasons}"


def escaped(text: str) -> str:
    """Write *text* so that nothing in it is a placeholder or a link (3.11.5, 3.11.6)."""
    return _LINK.sub(r"\\[", text.replace("{", "{{").replace("}", "}}"))


def link_text(text: str) -> str:
    return re.sub(r"([\\\[\]])", r"\\\1", text.replace("{", "{{").replace("}", "}}"))


def _location(test: Unit, places: Places) -> dict[str, Any]:
    return {
        "physicalLocation": physical_location(test.path, test.line, max(test.end_line, test.line), places),
        "logicalLocations": [{"fullyQualifiedName": test.nodeid, "name": test.name, "kind": "function"}],
    }


def physical_location(path: str, start: int | None, end: int | None, places: Places) -> dict[str, Any]:
    uri, is_relative = places.uri(path)
    artifact = {"uri": uri, "uriBaseId": BASE_ID} if is_relative else {"uri": uri}
    if start is None:
        return {"artifactLocation": artifact}
    return {"artifactLocation": artifact, "region": {"startLine": max(start, 1), "endLine": max(end or start, 1)}}


def _in_source(each: Acknowledgement, places: Places) -> dict[str, Any]:
    return {
        "kind": "inSource",
        "status": "accepted",
        "justification": each.reason,
        "location": {"physicalLocation": physical_location(each.test.path, each.line, None, places)},
    }


def _notification(problem: Problem, places: Places) -> dict[str, Any]:
    return {
        "level": "warning",
        "message": {"text": escaped(problem.message)},
        "locations": [{"physicalLocation": physical_location(problem.path, problem.line, None, places)}],
    }

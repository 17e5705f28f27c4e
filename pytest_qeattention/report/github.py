"""Similarity reports as the annotations of a GitHub workflow.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from pytest_qeattention.report.place import Places
from pytest_qeattention.similarity.model import Group, Kind, SimilarReport
from pytest_qeattention.wording import counted

ANNOTATIONS_SHOWN = 9
"""GitHub shows ten warnings of a step; the last one says how many there are besides."""
_TESTS_NAMED = 10

_TITLES: dict[Kind, str] = {
    "duplicate": "{count} with the same code",
    "parametrize": "{count} that could be one parametrized test",
    "similar": "{count} that are much alike",
}


def annotation_lines(report: SimilarReport, places: Places) -> list[str]:
    """Return one workflow command for each of the first groups, and one that counts the others."""
    groups = [group for group in report.groups if group.is_finding]
    lines = [_annotation(group, places) for group in groups[:ANNOTATIONS_SHOWN]]
    if len(groups) > ANNOTATIONS_SHOWN:
        rest = counted(len(groups) - ANNOTATIONS_SHOWN, "group")
        rest_said = "The report of qe-similar has all of them."
        lines.append(workflow_command("warning", {"title": f"{rest} more"}, rest_said))
    return lines


def _annotation(group: Group, places: Places) -> str:
    first = group.first_test
    score = math.floor(group.score * 100 + 1e-9) / 100
    title = f"{_TITLES[group.kind].format(count=counted(len(group.tests), 'test'))} (score {score:.2f})"
    named = [f"{places.path(test.path)}:{test.line} {test.qualname}" for test in group.tests[:_TESTS_NAMED]]
    if len(group.tests) > _TESTS_NAMED:
        named.append(f"and {counted(len(group.tests) - _TESTS_NAMED, 'other')}")
    properties = {
        "file": places.path(first.path),
        "line": str(first.line),
        "endLine": str(max(first.end_line, first.line)),
        "title": title,
    }
    return workflow_command("warning", properties, "\n".join((*named, *group.reasons)))


def workflow_command(name: str, properties: Mapping[str, str], text: str) -> str:
    """Return a workflow command; nothing in its properties and its text ends it."""
    shown = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    return f"::{name} {shown}::{_data(text)}"


def _data(text: str) -> str:
    """Escape *text* as the message of a workflow command."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """Escape *text* as a property of a workflow command."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")

"""Load the gold labels: tests that a commit folded into parametrised ones, and the neighbours it left alone.

The data's place is given by ``QE_GOLD=DIR``; it holds ``similar_dev.jsonl``, one row per commit and file with the
file before the commit and its tests. A project's pool is all folded and left-alone tests of its rows, copies of one
source counted once.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pytest_qeattention.similarity.candidates import FoundFunction
from pytest_qeattention.similarity.describe import Description, describe
from pytest_qeattention.similarity.naming import EVERY_FUNCTION
from pytest_qeattention.similarity.scan import scan_source
from pytest_qeattention.similarity.suite import Suite


class GoldMissingError(RuntimeError):
    """Say that the labels are not there, and how to name their place."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Hold the tests of one project and which of them belong together."""

    project: str
    suite: Suite
    group: npt.NDArray[np.int64]
    """Number of the folded test's group; -1 for a neighbour that was left alone."""


def gold_file() -> Path:
    """Return the file with the labels; raises GoldMissingError where `QE_GOLD` does not lead to one."""
    directory = os.environ.get("QE_GOLD")
    if not directory:
        raise GoldMissingError(
            "QE_GOLD is not set, so quality is not measured; set it to the folder of similar_dev.jsonl"
        )
    path = Path(directory) / "similar_dev.jsonl"
    if not path.is_file():
        raise GoldMissingError(f"{path} does not exist, so quality is not measured; check QE_GOLD")
    return path


def load_pools(path: Path) -> list[Pool]:
    """Read the pools of all projects, in order of name; every test is scanned from its file as the command would."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    projects: dict[str, dict[str, tuple[FoundFunction[Description], tuple[int, str] | None]]] = {}
    for number, row in enumerate(rows):
        display = f"{number:03d}/{row['path']}"
        data = row["parent_source"].encode("utf-8", "surrogatepass")
        scan = scan_source(data, display, EVERY_FUNCTION, describe=describe)
        written = {found.unit.qualname: found for found in scan.functions}
        members = projects.setdefault(row["repo"], {})
        for test in row["tests"]:
            if test["group"] is None and not test["same"]:
                continue
            label = (number, test["group"]) if test["group"] is not None else None
            known = members.get(test["source"])
            if known is None:
                members[test["source"]] = (written[test["id"].removeprefix("::")], label)
            elif known[1] is None and label is not None:
                members[test["source"]] = (known[0], label)
    return [_pool(project, list(members.values())) for project, members in sorted(projects.items())]


def _pool(project: str, members: list[tuple[FoundFunction[Description], tuple[int, str] | None]]) -> Pool:
    members.sort(key=lambda member: (member[0].unit.path, member[0].unit.line))
    numbers: dict[tuple[int, str], int] = {}
    group = [-1 if label is None else numbers.setdefault(label, len(numbers)) for _, label in members]
    suite = Suite(
        units=tuple(found.unit for found, _ in members),
        descriptions=tuple(found.described for found, _ in members if found.described is not None),
        bindings=tuple(found.unit.path for found, _ in members),
    )
    return Pool(project, suite, np.array(group, np.int64))

"""Runs with several defects, put together of the failures of each: what grouping has to take apart."""

from __future__ import annotations

import gzip
import json
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.defects.records import UNSEEN
from pytest_qeattention.defects.record import FailureRecord

MOST_DEFECTS = 8
OF_ONE_FUNCTION = 0.3
"""How often two of the defects of a run are defects of one function, where there are such."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Hold one failing test of one defect."""

    test: str
    record: FailureRecord
    text: str
    """The traceback as pytest wrote it."""
    told: Mapping[str, str] = field(default_factory=dict)
    """What a JUnit file has of it beside: ``kind`` of element, ``classname``, ``name``, ``message``."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """Hold how tests fail for one defect, by variant of the project."""

    kind: str
    operator: str
    function: tuple[str, str]
    runs: dict[str, tuple[Failure, ...]]


@dataclass(frozen=True, slots=True)
class Recorded:
    """Hold what records.py wrote of a project."""

    project: str
    mutants: tuple[Mutant, ...]


@dataclass(frozen=True, slots=True)
class Mixture:
    """Hold one run: its failures, and the defect behind each."""

    project: str
    failures: tuple[Failure, ...]
    cause: tuple[int, ...]

    @property
    def records(self) -> list[FailureRecord]:
        """Return the records of the failures, in their order."""
        return [failure.record for failure in self.failures]


def load(path: Path) -> Recorded:
    """Read one file of records.py."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        document = json.load(file)
    sources: list[str] = document["sources"]
    mutants = []
    for mutant in document["mutants"]:
        runs = {name: tuple(_failure(row, sources) for row in rows) for name, rows in mutant["runs"].items()}
        mutants.append(Mutant(mutant["kind"], mutant["operator"], (mutant["path"], mutant["qualname"]), runs))
    return Recorded(document["name"], tuple(mutants))


def load_all(directory: Path, *, unseen: bool = False) -> list[Recorded]:
    """Read the projects that models are fitted on, or with *unseen* those that are kept for the last measurement."""
    paths = sorted(directory.glob("*.json.gz"))
    return [load(path) for path in paths if (path.name.rpartition("-")[0] in UNSEEN) is unseen]


def _failure(row: dict[str, Any], sources: Sequence[str]) -> Failure:
    record = row["record"]
    test = {**record["test"], "source": sources[row["source"]]}
    return Failure(row["test"], FailureRecord.from_plain({**record, "test": test}), row["text"], row.get("junit", {}))


def draw(recorded: Recorded, count: int, seed: int) -> list[Mixture]:
    """Draw *count* runs of 1 to `MOST_DEFECTS` defects of a project; what fails for several shows one of them."""
    chosen = random.Random(f"{recorded.project} {seed}")
    by_function: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for number, mutant in enumerate(recorded.mutants):
        by_function[mutant.function].append(number)
    several = [numbers for _, numbers in sorted(by_function.items()) if len(numbers) > 1]
    variants = sorted(recorded.mutants[0].runs)
    mixtures = []
    for _ in range(count):
        size = min(chosen.randint(1, MOST_DEFECTS), len(recorded.mutants))
        numbers = chosen.sample(range(len(recorded.mutants)), size)
        if size > 1 and several and chosen.random() < OF_ONE_FUNCTION:
            pair = chosen.sample(chosen.choice(several), 2)
            numbers = [*pair, *(number for number in numbers if number not in pair)][:size]
        variant = chosen.choice(variants)
        shown: dict[str, tuple[Failure, int]] = {}
        for number in numbers:
            for failure in recorded.mutants[number].runs[variant]:
                shown.setdefault(failure.test, (failure, number))
        rows = sorted(shown.values(), key=lambda row: row[0].test)
        mixtures.append(Mixture(recorded.project, tuple(row[0] for row in rows), tuple(row[1] for row in rows)))
    return mixtures


def fewer(recorded: Recorded, most: int) -> Recorded:
    """Return *recorded* less the defects that fail more than *most* tests."""
    return replace(recorded, mutants=tuple(m for m in recorded.mutants if max(map(len, m.runs.values())) <= most))

"""Later runs with failures of defects that are known from a few of their tests, and of defects that are not.

Some of the defects of a project are known from failures of some of their tests in the project as it is. A later run is
of another variant of it (variants.py), where lines, names, paths and orders have drifted, and shows failures of the
same tests, of other parameters, of other tests of the same files, of tests of other files, and of defects that nobody
knows, two fifths of all.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from benchmarks.defects.mixtures import Failure, Recorded

Regime = Literal["same test", "other parameters", "other test of the file", "other file", "new defect"]
History = Literal["few", "long"]
"""Whether a defect is known from some of its tests, drawn at random, or from all but those that a later run shows."""
HISTORIES: tuple[History, ...] = get_args(History)
OTHER_TESTS: tuple[Regime, ...] = ("other test of the file", "other file")
SHARE_KNOWN = 0.6
MOST_TAUGHT: Mapping[History, int] = {"few": 10, "long": 40}
"""Failures that a defect is known from."""
MOST_PARAMETERS = 3
"""Of one test function among them."""
LEFT_FOR_LATER = 2
"""Test functions of a defect, or half of them if there are fewer, that are not known with a long history."""
MOST_ASKED = 2
"""Failures of a known defect that are asked about, for each regime."""
MOST_ASKED_NEW = 4


@dataclass(frozen=True, slots=True)
class Asked:
    """Hold a failure of the later run; *defect* is None where its defect is not known."""

    regime: Regime
    defect: int | None
    failure: Failure


@dataclass(frozen=True, slots=True)
class Encounter:
    """Hold what is known, failures and the number of the defect of each, and what a later run asks."""

    project: str
    known: tuple[tuple[int, Failure], ...]
    asked: tuple[Asked, ...]


def draw(
    recorded: Recorded, count: int, seed: int, *, history: History = "few", all_sizes: bool = False
) -> list[Encounter]:
    """Draw *count* encounters of a project; with *all_sizes* few are known in every other one, down to one alone."""
    found = []
    for number in range(count):
        chosen = random.Random(f"{recorded.project} {seed} {number}")
        order = list(range(len(recorded.mutants)))
        chosen.shuffle(order)
        most = max(round(SHARE_KNOWN * len(order)), 1)
        size = round(most ** chosen.random()) if all_sizes and number % 2 else most
        known: list[tuple[int, Failure]] = []
        asked: list[Asked] = []
        for defect in order[:size]:
            runs = recorded.mutants[defect].runs
            taught = _taught(runs["plain"], history, chosen)
            known += [(defect, failure) for failure in taught]
            later = chosen.choice(sorted(set(runs) - {"plain"}))
            asked += _asked(defect, taught, list(runs[later]), chosen)
        new = [
            Asked("new defect", None, failure)
            for defect in order[most:]
            for failure in _of_several_tests(
                list(recorded.mutants[defect].runs[chosen.choice(["edited", "moved"])]), chosen, MOST_ASKED_NEW
            )
        ]
        # Where little is known, little of what fails is known; the share of new defects is to be the same.
        if size < most:
            chosen.shuffle(new)
            new = new[: max(round(len(asked) * (1 - SHARE_KNOWN) / SHARE_KNOWN), 1)]
        found.append(Encounter(recorded.project, tuple(known), (*asked, *new)))
    return found


def _taught(failures: Sequence[Failure], history: History, chosen: random.Random) -> list[Failure]:
    by_function: defaultdict[str, list[Failure]] = defaultdict(list)
    for failure in failures:
        by_function[function_of(failure.test)].append(failure)
    functions = sorted(by_function)
    taught: list[Failure] = []
    # Of several functions one is always left for later, and of several parameters too.
    if history == "few":
        size = chosen.randint(1, max(len(functions) - 1, 1))
    else:
        size = max(len(functions) - min(LEFT_FOR_LATER, len(functions) // 2), 1)
    for function in chosen.sample(functions, size):
        rows = by_function[function]
        count = chosen.randint(1, max(len(rows) - 1, 1))
        taught += chosen.sample(rows, min(count, MOST_PARAMETERS))
    most = MOST_TAUGHT[history]
    return taught if len(taught) <= most else chosen.sample(taught, most)


def _asked(
    defect: int,
    taught: Sequence[Failure],
    later: list[Failure],
    chosen: random.Random,
) -> list[Asked]:
    tests = {failure.test for failure in taught}
    functions = {function_of(test) for test in tests}
    files = {test.partition("::")[0] for test in tests}
    by_regime: defaultdict[Regime, list[Failure]] = defaultdict(list)
    for failure in later:
        if failure.test in tests:
            regime: Regime = "same test"
        elif function_of(failure.test) in functions:
            regime = "other parameters"
        else:
            regime = "other test of the file" if failure.test.partition("::")[0] in files else "other file"
        by_regime[regime].append(failure)
    return [
        Asked(regime, defect, failure)
        for regime, failures in sorted(by_regime.items())
        for failure in _of_several_tests(failures, chosen, MOST_ASKED)
    ]


def _of_several_tests(failures: list[Failure], chosen: random.Random, most: int) -> list[Failure]:
    chosen.shuffle(failures)
    first: dict[str, Failure] = {}
    for failure in failures:
        first.setdefault(function_of(failure.test), failure)
    return list(first.values())[:most]


def function_of(test: str) -> str:
    """Return the node id of *test* without its parameters."""
    return test.partition("[")[0]

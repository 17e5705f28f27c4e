"""Which defects are tried in a project: drawn from what its tests call, of every kind."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import Any

from benchmarks.defects.operators import Defect, first_line, functions_of, imports_of, possible
from benchmarks.quality.projects import TEST_FOLDERS, Project

MOST_ITEMS = 60
"""Tests that run on one defect: a sample where more call its function."""
SLOWEST_S = 1.0
"""What a test may take that is run on defects, traced."""
TESTS_S = 4.0
"""What the tests that run on one defect may take together, traced."""
MOST_ENDED = 6
"""Tests that run on what is made to never end: each takes until its time is over."""
MOST_OF_A_FUNCTION = 3
FIXTURES, MISSING, IMPORTS, ENDLESS = 10, 2, 4, 5
"""Defects of these kinds that are tried in a project."""
_RISKY = re.compile(
    r"kill|signal|pid|fork|spawn|popen|system|unlink|rmtree|rmdir|os\.|shutil|rename|truncate|chmod|chown",
    re.IGNORECASE,
)


class Candidate:
    """Hold a defect that may be tried, and the tests that can notice it."""

    def __init__(self, defect: Defect, items: Sequence[str]) -> None:
        self.defect = defect
        self.items = list(items)

    @property
    def is_whole(self) -> bool:
        """Whether the defect shows only when modules are imported anew."""
        return self.defect.kind in ("import", "missing fixture")


def candidates(project: Project, learned: Mapping[str, Any], root: Path, chosen: random.Random) -> list[Candidate]:
    """Draw defects of all kinds, those of the product last."""
    passed = [item["nodeid"] for item in learned["items"] if item["passed"] and item["seconds"] <= SLOWEST_S]
    names = [item["nodeid"] for item in learned["items"]]
    seconds = {item["nodeid"]: item["seconds"] for item in learned["items"]}
    usable = set(passed)
    fixtures = {(row["path"], row["line"]) for row in learned["fixtures"]}
    product: list[tuple[str, str, list[str]]] = []
    support: list[tuple[str, str, list[str]]] = []
    for row in learned["functions"]:
        tests = _sample([names[at] for at in row["items"] if names[at] in usable], seconds, chosen)
        found = _qualname(root / row["path"], row["line"]) if tests else None
        if found is None or not row["path"].endswith(".py"):
            continue
        if (row["path"], row["line"]) in fixtures:
            support.append((row["path"], found, tests))
        elif _is_product(project, row["path"]):
            product.append((row["path"], found, tests))
    chosen.shuffle(product)
    chosen.shuffle(support)
    drawn: list[list[Candidate]] = []
    for kind, most in (("fixture", FIXTURES), ("missing fixture", MISSING)):
        of_kind = (_drawn(root, kind, path, name, tests, chosen, 1) for path, name, tests in support)
        drawn += islice(filter(None, of_kind), most)
    few = ((path, name, sorted(chosen.sample(tests, min(len(tests), MOST_ENDED)))) for path, name, tests in product)
    drawn += islice(filter(None, (_drawn(root, "timeout", *row, chosen, 1) for row in few)), ENDLESS)
    drawn.append(_import_defects(project, root, passed, seconds, chosen))
    of_functions = [_drawn(root, "product", *row, chosen, MOST_OF_A_FUNCTION) for row in product]
    # One of each function comes before the second of any, but for every third function.
    nothing: list[Candidate] = []
    together = [one for at, one in enumerate(of_functions) if at % 3 == 0]
    apart = [one[:1] for at, one in enumerate(of_functions) if at % 3]
    mixed = [each for pair in zip_longest(together, apart[::2], apart[1::2], fillvalue=nothing) for each in pair]
    return [*chain.from_iterable(drawn), *chain.from_iterable(mixed)]


def _sample(tests: Sequence[str], seconds: Mapping[str, float], chosen: random.Random) -> list[str]:
    """Draw tests that run on one defect, as many as fit into the time."""
    drawn: list[str] = []
    left = TESTS_S
    for test in chosen.sample(tests, min(len(tests), MOST_ITEMS)):
        left -= seconds[test]
        if left < 0 and len(drawn) > 1:
            break
        drawn.append(test)
    return sorted(drawn)


def _is_product(project: Project, path: str) -> bool:
    inside = any(path.startswith(f"{source}/") or path == source for source in project.plan.source)
    return inside and TEST_FOLDERS.isdisjoint(path.split("/"))


def _qualname(path: Path, line: int) -> str | None:
    try:
        source = path.read_bytes()
        functions = functions_of(source)
    except (OSError, SyntaxError, ValueError):
        return None
    return next((name for name, node in functions.items() if first_line(node) == line), None)


def _drawn(
    root: Path, kind: Any, path: str, qualname: str, tests: Sequence[str], chosen: random.Random, most: int
) -> list[Candidate]:
    source = (root / path).read_bytes()
    node = functions_of(source)[qualname]
    lines = source.splitlines()[node.lineno - 1 : node.end_lineno]
    if kind != "missing fixture" and _RISKY.search(b"\n".join(lines).decode("utf-8", "replace")):
        return []
    found = possible(kind, qualname, source)
    return [
        Candidate(Defect(kind, path, qualname, operator, chosen.randrange(len(found[operator]))), tests)
        for operator in chosen.sample(sorted(found), min(most, len(found)))
    ]


def _import_defects(
    project: Project, root: Path, passed: Sequence[str], seconds: Mapping[str, float], chosen: random.Random
) -> list[Candidate]:
    tests = sorted({nodeid.partition("::")[0] for nodeid in passed})
    modules = [
        path.relative_to(root).as_posix() for each in project.plan.source for path in (root / each).rglob("*.py")
    ]
    product = sorted(path for path in modules if _is_product(project, path))
    found = []
    for path in [*chosen.sample(tests, min(2, len(tests))), *chosen.sample(product, min(2, len(product)))][:IMPORTS]:
        source = (root / path).read_bytes()
        numbers = range(len(imports_of(source)))
        if not numbers:
            continue
        number = str(chosen.choice(numbers))
        operators = possible("import", number, source)
        if operators:
            defect = Defect("import", path, number, chosen.choice(sorted(operators)), 0)
            found.append(Candidate(defect, _sample(passed, seconds, chosen)))
    return found

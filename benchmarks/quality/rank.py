"""Measure how often ``--rank -`` finds a test of the function that a diff changes.

    python -m benchmarks.quality.rank PROJECT...    unpacked source distributions, each with its tests in ``tests``

Functions of the product whose name is theirs alone, and which some but not many tests call by that name, get one edit
each: a comparison turned around, or another whole number or truth value, in the middle of the body. ``git diff`` of the
edit is the query, in a copy of the project that has the edit. A case is found at k when one of the first k tests calls
the function; by chance it would be with k tests drawn at random. Writes benchmarks/results/rank.json.
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import math
import shutil
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from unittest import mock

from pytest_qeattention.similarity.explain import parse_unit
from pytest_qeattention.similarity.ranking import rank
from pytest_qeattention.similarity.service import suite_from_paths
from pytest_qeattention.similarity.suite import Suite
from pytest_qeattention.similarity.workload import Request
from pytest_qeattention.syntax.nodes import FunctionNode

RESULTS = Path(__file__).parents[1] / "results"
DEPTHS = (1, 5, 10)
LARGEST_SHARE = 0.05
"""Of tests that call a function whose edit is a case."""
_TURNED = {"==": "!=", "!=": "==", "<": ">=", ">": "<=", "<=": ">", ">=": "<", "is": "is not", "in": "not in"}


def edits(function: FunctionNode, lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Yield number (from 0) and new text of each line that an edit in the body of *function* may change."""
    for node in (part for statement in function.body for part in ast.walk(statement)):
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            first, last = node.left, node.comparators[0]
            start, end, at = first.end_col_offset or 0, last.col_offset, first.end_lineno or 0
            old = lines[at - 1].encode()[start:end].decode().strip()
            if at == last.lineno and old in _TURNED:
                yield at - 1, spliced(lines[at - 1], start, end, f" {_TURNED[old]} ")
        elif isinstance(node, ast.Constant) and node.lineno == node.end_lineno and isinstance(node.value, int):
            other = not node.value if isinstance(node.value, bool) else node.value + 1
            yield (
                node.lineno - 1,
                spliced(lines[node.lineno - 1], node.col_offset, node.end_col_offset or 0, str(other)),
            )


def spliced(line: str, start: int, end: int, text: str) -> str:
    """Return *line* with its bytes from *start* to *end* replaced; columns of a syntax tree count bytes."""
    data = line.encode()
    return (data[:start] + text.encode() + data[end:]).decode()


def callers(suite: Suite) -> dict[str, set[str]]:
    """Return the node ids of the tests that call each name."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for unit in suite.units:
        tree = parse_unit(unit)
        for node in ast.walk(tree) if tree is not None else ():
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
                found[node.func.id if isinstance(node.func, ast.Name) else node.func.attr].add(unit.nodeid)
    return found


def cases(project: Path, called: dict[str, set[str]], tests: int) -> Iterator[tuple[Path, str, str]]:
    """Yield file, name of the function and new text of the file for each edit."""
    files = [path for path in sorted(project.rglob("*.py")) if not {"tests", "docs"} & set(path.parts)]
    trees = {path: ast.parse(path.read_bytes()) for path in files}
    functions = [(path, node) for path in files for node in ast.walk(trees[path]) if isinstance(node, FunctionNode)]
    names = Counter(node.name for _, node in functions)
    for path, node in functions:
        if names[node.name] > 1 or not 0 < len(called.get(node.name, ())) <= LARGEST_SHARE * tests:
            continue
        lines = path.read_text(encoding="utf-8").split("\n")
        possible = list(edits(node, lines))
        if possible:
            at, text = possible[len(possible) // 2]
            yield path, node.name, "\n".join([*lines[:at], text, *lines[at + 1 :]])


def measure(project: Path, cache_dir: Path) -> dict[str, object]:
    """Rank the tests of *project*, a copy that may be changed, for each edit; *cache_dir* is not in it."""
    suite = suite_from_paths(["tests"], cwd=project, cache_dir=cache_dir)
    called = callers(suite)
    found, chance = dict.fromkeys(DEPTHS, 0), dict.fromkeys(DEPTHS, 0.0)
    git = ["git", "-C", str(project), "-c", "user.name=rank", "-c", "user.email=rank@localhost"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "before"]):
        subprocess.run([*git, *command], check=True)
    n = len(suite.units)
    every = list(cases(project, called, n))
    for path, name, text in every:
        before = path.read_bytes()
        path.write_text(text, encoding="utf-8")
        diff = subprocess.run([*git, "diff"], check=True, capture_output=True).stdout
        with mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(diff))):
            ranked = rank(suite, "-", max(DEPTHS), cwd=project, request=Request(cache_dir=cache_dir)).ranked
        path.write_bytes(before)
        nodeids = [neighbor.unit.nodeid for neighbor in ranked[1]] if ranked is not None else []
        for k in DEPTHS:
            found[k] += any(nodeid in called[name] for nodeid in nodeids[:k])
            chance[k] += 1 - math.comb(n - len(called[name]), k) / math.comb(n, k)
    shares = {str(k): {"found": found[k] / len(every), "by_chance": chance[k] / len(every)} for k in DEPTHS if every}
    return {"project": project.name, "tests": n, "cases": len(every), "at": shares}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure each project, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("projects", type=Path, nargs="+", metavar="PROJECT")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    options = parser.parse_args(arguments)
    rows = []
    for project in options.projects:
        with tempfile.TemporaryDirectory() as place, tempfile.TemporaryDirectory() as store:
            copy = shutil.copytree(project, Path(place).resolve() / project.resolve().name)
            rows.append(measure(copy, Path(store)))
        print(json.dumps(rows[-1]), flush=True)
    options.results.mkdir(exist_ok=True)
    (options.results / "rank.json").write_text(json.dumps({"projects": rows}, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

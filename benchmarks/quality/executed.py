"""Find out which tests execute each function of a product, by running its suite under coverage.py.

    python -m benchmarks.quality.executed OUT NAME==VERSION... [--work DIR] [--seconds N]
    python -m benchmarks.quality.executed OUT DIR... [--work DIR] [--seconds N]

Each project is unpacked (pip fetches its source distribution), copied, installed with what projects.py says its tests
need, and tested once; that runs its code. Writes OUT/NAME-VERSION.json:

    functions   path, qualname, line of ``def``, end_line and tests of each function that a test executes. A test
                executes it when a line of its body runs between the test's setup and teardown; what is defined in it
                counts for itself. Tests are node ids as qeattention gives them: a parametrized test is one,
                an inherited one stands where it is written.
    suite       what was run; `suite_from_paths(suite, cwd=DIR)` is the pool: ``pool`` tests, ``in_pool`` of them ran.
    tests_run   test functions that ran; ``not_in_pool`` and ``failed`` name some of them, ``not_run`` the rest of
                the pool: skipped, deselected or not collected.

A fixture of a wide scope counts for the test that it is set up for. Only what runs in the process of pytest is seen.
"""

from __future__ import annotations

import argparse
import ast
import json
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from benchmarks.quality.projects import TEST_FOLDERS, Project, ProjectError, install, record, unpacked
from pytest_qeattention.similarity.model import Unit
from pytest_qeattention.similarity.service import suite_from_paths
from pytest_qeattention.syntax.nodes import FunctionNode, is_docstring

LIMIT_S = 240


@dataclass(frozen=True, slots=True, eq=False)
class ProductFunction:
    """Hold a function of the product and the lines that are its alone."""

    path: str
    qualname: str
    line: int
    end_line: int
    body: frozenset[int]


def functions_of(source: bytes, path: str) -> Iterator[ProductFunction]:
    """Yield the functions of a file, those within others too; raises SyntaxError for what is no Python."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(source)
    pending: list[tuple[ast.AST, str]] = [(tree, "")]
    while pending:
        node, prefix = pending.pop()
        if isinstance(node, FunctionNode):
            qualname = prefix + node.name
            yield ProductFunction(path, qualname, node.lineno, node.end_lineno or node.lineno, body_lines(node))
            prefix = f"{qualname}.<locals>."
        elif isinstance(node, ast.ClassDef):
            prefix = f"{prefix}{node.name}."
        pending.extend((child, prefix) for child in reversed(list(ast.iter_child_nodes(node))))


def body_lines(function: FunctionNode) -> frozenset[int]:
    """Return the lines of the body of *function*, without its docstring and the functions that are defined in it."""
    lines: set[int] = set()
    for statement in function.body:
        if not is_docstring(statement):
            lines.update(range(statement.lineno, (statement.end_lineno or statement.lineno) + 1))
    for node in (part for statement in function.body for part in ast.walk(statement)):
        if isinstance(node, FunctionNode):
            first = min((each.lineno for each in node.decorator_list), default=node.lineno)
            lines.difference_update(range(first, (node.end_lineno or node.lineno) + 1))
    # A body on the line of the def can't be told from the def.
    return frozenset(lines - {function.lineno})


def product_functions(project: Project, with_tests: set[str]) -> Iterator[ProductFunction]:
    """Yield the functions of the product; *with_tests* are the files that have tests."""
    for place in project.plan.source:
        for file in sorted((project.directory / place).rglob("*.py")):
            path = file.relative_to(project.directory).as_posix()
            is_test = not TEST_FOLDERS.isdisjoint(PurePosixPath(path).parts[:-1]) or file.name == "conftest.py"
            if is_test or path in with_tests:
                continue
            try:
                yield from functions_of(file.read_bytes(), path)
            except (SyntaxError, ValueError, RecursionError):
                continue


def executed(
    functions: Sequence[ProductFunction], lines: Mapping[str, Mapping[str, Sequence[int]]], tests: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return the functions that tests execute.

    *lines* are the lines of each file that ran, by context; *tests* are the node ids of contexts.
    """
    by_path: defaultdict[str, list[ProductFunction]] = defaultdict(list)
    for function in functions:
        by_path[function.path].append(function)
    rows = []
    for path, group in by_path.items():
        owner = {line: at for at, function in enumerate(group) for line in function.body}
        found: defaultdict[int, set[str]] = defaultdict(set)
        for context, numbers in lines.get(path, {}).items():
            if context in tests:
                for at in {owner[line] for line in numbers if line in owner}:
                    found[at].add(tests[context])
        for at, function in enumerate(group):
            if found[at]:
                rows.append(
                    {
                        "path": path,
                        "qualname": function.qualname,
                        "line": function.line,
                        "end_line": function.end_line,
                        "tests": sorted(found[at]),
                    }
                )
    return rows


def test_names(items: Sequence[Mapping[str, Any]], units: Sequence[Unit]) -> Iterator[str]:
    """Yield the node id of the test of each recorded item: its unit's where it has one, else its own."""
    written = {(unit.path, unit.name, line): unit.nodeid for unit in units for line in (unit.first_line, unit.line)}
    for item in items:
        place = (item["path"], item["name"].rpartition(".")[2], item["line"])
        yield written.get(place) or item["nodeid"].partition("[")[0]


def truth(project: Project, recorded: Mapping[str, Any], units: Sequence[Unit]) -> dict[str, Any]:
    """Return the document of *project*: what its tests execute, and how they ended; *units* are the pool."""
    outcomes: defaultdict[str, set[str]] = defaultdict(set)
    tests: dict[str, str] = {}
    for item, test in zip(recorded["items"], test_names(recorded["items"], units), strict=True):
        outcomes[test].update(item["outcomes"])
        tests[str(item["at"])] = test
    ran = {test for test, ends in outcomes.items() if ends & {"call:passed", "call:failed", "call:xfailed"}}
    failed = {test for test in ran if any(end.endswith(":failed") for end in outcomes[test])}
    pool = {unit.nodeid for unit in units}
    functions = list(product_functions(project, {unit.path for unit in units}))
    in_pool = {context: test for context, test in tests.items() if test in ran & pool}
    return {
        "name": project.name,
        "version": project.version,
        "python": recorded["python"],
        "pytest": recorded["pytest"],
        "coverage": recorded["coverage"],
        "suite": list(project.plan.tests),
        "source": list(project.plan.source),
        "pool": len(pool),
        "in_pool": len(ran & pool),
        "tests_run": len(ran),
        "instances": len(recorded["items"]),
        "failed": sorted(failed),
        "not_in_pool": sorted(ran - pool),
        "not_run": sorted(pool - ran),
        "not_collected": recorded["not_collected"],
        "functions_in_all": len(functions),
        "functions": executed(functions, recorded["lines"], in_pool),
    }


def measure(project: Project, seconds: float) -> dict[str, Any]:
    """Run the suite of *project*; raises ProjectError where that can't be done, or shows nothing."""
    install(project)
    started = time.perf_counter()
    recorded = record(project, project.plan.tests, trace=True, seconds=seconds)
    spent = time.perf_counter() - started
    units = suite_from_paths(project.plan.tests, cwd=project.directory).units
    document = truth(project, recorded, units)
    if not document["functions"]:
        raise ProjectError(f"no test of it executes a function of {project.plan.source}:\n{recorded['said']}")
    return {**document, "seconds": round(spent, 1)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the truth of each project; 1 when there is one without."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("projects", nargs="+", metavar="PROJECT", help="NAME==VERSION or an unpacked directory")
    parser.add_argument("--work", type=Path, metavar="DIR", help="for sources and environments (default: OUT/work)")
    parser.add_argument("--seconds", type=float, default=LIMIT_S, metavar="N", help=f"limit a suite ({LIMIT_S})")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    work = (options.work or options.out / "work").resolve()
    left_out = 0
    for wanted in options.projects:
        try:
            project = unpacked(wanted, work)
            document = measure(project, options.seconds)
        except ProjectError as error:
            left_out += 1
            print(f"{wanted}: left out: {error}", file=sys.stderr, flush=True)
            continue
        (options.out / f"{project.label}.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        few = sum(1 for function in document["functions"] if len(function["tests"]) <= 20)
        print(
            f"{project.label}: {document['tests_run']} tests ran, {document['in_pool']} of them in the pool of "
            f"{document['pool']}, {len(document['failed'])} failed, {len(document['functions'])} of "
            f"{document['functions_in_all']} functions, {few} by 1 to 20 tests, {document['seconds']} s",
            flush=True,
        )
    return 1 if left_out else 0


if __name__ == "__main__":
    raise SystemExit(main())

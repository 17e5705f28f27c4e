"""Record how the tests of a function fail when it has a defect: failures of one defect, by different tests.

    python -m benchmarks.quality.mutants OUT TRUTH... --work DIR [--most N] [--seconds N]

TRUTH is what benchmarks.quality.executed wrote with the same --work. Functions that 2 to 20 tests execute get small
defects (mutations.py), at most two each and in random order of one seed, and the tests that execute them run. Functions
that speak of processes and files get none: their defects could end or remove what is not theirs. It is best run in
namespaces of its own all the same, and needs a system that can fork (defect_runner.py). Writes OUT/NAME-VERSION.json:

    mutants     path, qualname, line of ``def``, operator, at (the changed line), before, after, and failures: for each
                test that passed without the defect and fails with it test (node id as in TRUTH), nodeid (of the first
                instance that failed), when, type, message, the last lines of traceback, and frames of the product,
                outermost first, each with path, qualname and line. Only defects that two or more tests notice.
    tried       how many defects were tried; ``ends`` says how that ended.
"""

from __future__ import annotations

import argparse
import ast
import json
import random
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.quality.executed import test_names
from benchmarks.quality.mutations import Mutation, mutations
from benchmarks.quality.projects import Project, ProjectError, record, unpacked
from pytest_qeattention.similarity.service import suite_from_paths
from pytest_qeattention.syntax.nodes import FunctionNode

MOST = 60
BUDGET_S = 240
COLLECT_S = 120
LIMIT_S = 8
MOST_BYTES = 8 << 30
FEWEST_TESTS, MOST_TESTS = 2, 20
MOST_OF_A_FUNCTION = 2
TRIED_FOR_ONE = 6
"""Most defects that are tried for one that is to be recorded."""
_RISKY = re.compile(
    r"kill|signal|pid|fork|spawn|popen|system|unlink|rmtree|rmdir|os\.|shutil|rename|truncate|chmod|chown",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """Hold a defect of a function, and the tests that execute it."""

    path: str
    qualname: str
    line: int
    tests: tuple[str, ...]
    source: bytes
    mutation: Mutation

    @property
    def changed(self) -> bytes:
        return self.mutation.of(self.source)


def collected(project: Project) -> dict[str, list[str]]:
    """Return the node ids by which pytest knows each test of the truth, without parameters."""
    items = record(project, [*project.plan.tests, "--collect-only"], trace=False, seconds=COLLECT_S)["items"]
    units = suite_from_paths(project.plan.tests, cwd=project.directory).units
    known: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for item, test in zip(items, test_names(items, units), strict=True):
        known[test][item["nodeid"].partition("[")[0]] = None
    return {test: list(nodeids) for test, nodeids in known.items()}


def cases(project: Project, functions: Sequence[Mapping[str, Any]], chosen: random.Random) -> Iterator[Case]:
    """Yield defects, one of each function before the second of any."""
    few = [row for row in functions if FEWEST_TESTS <= len(row["tests"]) <= MOST_TESTS]
    chosen.shuffle(few)
    waiting: list[Case] = []
    for row in few:
        found = _cases_of(project, row, chosen)
        yield from islice(found, 1)
        waiting.extend(islice(found, MOST_OF_A_FUNCTION - 1))
    yield from waiting


def _cases_of(project: Project, row: Mapping[str, Any], chosen: random.Random) -> Iterator[Case]:
    source, tree = _read(project.directory / row["path"])
    name = row["qualname"].rpartition(".")[2]
    node = _function_at(tree, name, row["line"])
    if node is None or _RISKY.search(ast.unparse(node)):
        return
    by_operator: defaultdict[str, list[Mutation]] = defaultdict(list)
    for mutation in mutations(node, source):
        by_operator[mutation.operator].append(mutation)
    # Drawn by operator first: constants are many, and turned comparisons few.
    for operator in chosen.sample(sorted(by_operator), len(by_operator)):
        mutation = chosen.choice(by_operator[operator])
        case = Case(row["path"], row["qualname"], row["line"], tuple(row["tests"]), source, mutation)
        if is_other_function(node, case.changed):
            yield case


@cache
def _read(path: Path) -> tuple[bytes, ast.Module]:
    source = path.read_bytes()
    return source, ast.parse(source)


def _function_at(tree: ast.Module, name: str, line: int) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    for node in ast.walk(tree):
        if isinstance(node, FunctionNode) and (node.name, node.lineno) == (name, line):
            return node
    return None


def is_other_function(node: ast.FunctionDef | ast.AsyncFunctionDef, changed: bytes) -> bool:
    """Tell whether *changed* is a Python file that has another function in the place of *node*."""
    try:
        other = _function_at(ast.parse(changed), node.name, node.lineno)
    except SyntaxError:
        return False
    return other is not None and ast.dump(other) != ast.dump(node)


def measure(project: Project, truth: Mapping[str, Any], most: int, seconds: float) -> dict[str, Any]:
    """Try defects of *project* until *most* are noticed by two tests, or *seconds* are over."""
    known = collected(project)
    usable = known.keys() - set(truth["failed"])
    functions = [{**row, "tests": [test for test in row["tests"] if test in usable]} for row in truth["functions"]]
    chosen = list(islice(cases(project, functions, random.Random(0)), most * TRIED_FOR_ONE))
    request = {
        "cases": [
            {
                "path": case.path,
                "source": case.changed.decode(),
                "tests": [nodeid for test in case.tests for nodeid in known[test]],
            }
            for case in chosen
        ],
        "most": most,
        "seconds": seconds,
        "limit": LIMIT_S,
        "most_bytes": MOST_BYTES,
    }
    recorded = record(project, project.plan.tests, trace=False, seconds=seconds + COLLECT_S, defects=request)
    ends: Counter[str] = Counter()
    mutants = []
    for case, result in zip(chosen, recorded["defects"], strict=False):
        failed = first_failures(case, result["failures"], known)
        ran = "noticed by two or more" if len(failed) > 1 else f"noticed by {len(failed)}"
        ends[ran if result["end"] == "ran" else result["end"]] += 1
        if len(failed) > 1:
            mutants.append(described(case, failed))
    return {
        "name": project.name,
        "version": project.version,
        "python": recorded["python"],
        "pytest": recorded["pytest"],
        "suite": list(project.plan.tests),
        "tried": sum(ends.values()),
        "ends": dict(sorted(ends.items())),
        "operators": dict(sorted(Counter(mutant["operator"] for mutant in mutants).items())),
        "mutants": mutants,
    }


def first_failures(
    case: Case, failures: Sequence[Mapping[str, Any]], known: Mapping[str, Sequence[str]]
) -> list[dict[str, Any]]:
    """Return one failure of each test of *case*, in their order."""
    tests = {nodeid: test for test in case.tests for nodeid in known[test]}
    first: dict[str, dict[str, Any]] = {}
    for failure in failures:
        test = tests[failure["nodeid"].partition("[")[0]]
        first.setdefault(test, {"test": test, **failure})
    return [first[test] for test in case.tests if test in first]


def described(case: Case, failed: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what is written of a defect."""
    mutation = case.mutation
    return {
        "path": case.path,
        "qualname": case.qualname,
        "line": case.line,
        "operator": mutation.operator,
        "at": mutation.line,
        "before": case.source[mutation.start : mutation.end].decode(),
        "after": mutation.text,
        "tests": len(case.tests),
        "failures": failed,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the failures of each project; 1 when there is one without."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("truths", nargs="+", type=Path, metavar="TRUTH")
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="as given to executed")
    parser.add_argument("--most", type=int, default=MOST, metavar="N", help=f"defects to record ({MOST})")
    parser.add_argument("--seconds", type=float, default=BUDGET_S, metavar="N", help=f"a project ({BUDGET_S})")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    left_out = 0
    for path in options.truths:
        truth = json.loads(path.read_text(encoding="utf-8"))
        try:
            project = unpacked(f"{truth['name']}=={truth['version']}", options.work.resolve())
            document = measure(project, truth, options.most, options.seconds)
        except ProjectError as error:
            left_out += 1
            print(f"{path}: left out: {error}", file=sys.stderr, flush=True)
            continue
        (options.out / f"{project.label}.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        print(f"{project.label}: {len(document['mutants'])} of {document['tried']}: {document['ends']}", flush=True)
    return 1 if left_out else 0


if __name__ == "__main__":
    raise SystemExit(main())

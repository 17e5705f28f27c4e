"""Measure for how many groups of tests that maintainers folded a parametrized test is suggested.

    QE_GOLD=DIR python -m benchmarks.quality.fold            count, and say why the others are refused
    QE_GOLD=DIR python -m benchmarks.quality.fold --write    also write benchmarks/results/fold_gold.*
    QE_GOLD=DIR python -m benchmarks.quality.fold --show N   also print N suggestions, spread over all groups

The members of each group are given. A suggestion counts when an examination of its own, apart from that of the
product, finds that it parses, names nothing that no member names, and has a row for every member.
"""

from __future__ import annotations

import argparse
import ast
import builtins
import json
import platform
import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest_qeattention
from benchmarks.quality.gold import GoldMissingError, gold_file
from pytest_qeattention.similarity.candidates import FileScan
from pytest_qeattention.similarity.fold.folding import Fold, Refusal, suggest
from pytest_qeattention.similarity.fold.module import Module
from pytest_qeattention.similarity.model import Unit
from pytest_qeattention.similarity.naming import EVERY_FUNCTION
from pytest_qeattention.similarity.scan import scan_source

RESULTS = Path(__file__).parents[1] / "results"
TARGET = 0.6
_BUILTINS = frozenset(dir(builtins))


@dataclass(frozen=True, slots=True)
class Given:
    """Hold a group of tests that a maintainer folded, and their file."""

    project: str
    name: str
    units: tuple[Unit, ...]
    module: Module


def load_groups(path: Path) -> list[Given]:
    """Read the groups of two and more members, in the order of the labels."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        members: dict[str, list[str]] = {}
        for test in row["tests"]:
            if test["group"] is not None:
                members.setdefault(test["group"], []).append(test["id"].removeprefix("::"))
        if not members:
            continue
        scan: FileScan[None] = scan_source(
            row["parent_source"].encode("utf-8", "surrogatepass"), row["path"], EVERY_FUNCTION
        )
        written = {function.unit.qualname: function.unit for function in scan.functions}
        module = Module(row["path"], row["parent_source"])
        for name, ids in members.items():
            found.append(Given(row["repo"], name, tuple(written[test] for test in ids), module))
    return found


def examine(fold: Fold, units: Sequence[Unit]) -> str | None:
    """Say what is wrong with a suggestion; None when it parses, names nothing new and covers every member."""
    try:
        names = free_names(fold.source)
    except SyntaxError as error:
        return f"does not parse: {error}"
    known = set().union(*(free_names(unit.source) for unit in units))
    # What the suggestion imports, or the file has imported for such tests, is no free name.
    known |= {line.removeprefix("import ") for line in fold.imports}
    if fold.form.expander is not None:
        known.add("parameterized")
    if names - known - {"pytest"}:
        return f"names {sorted(names - known)}"
    covered = {nodeid for row in fold.rows for nodeid in row.covers}
    if covered != {unit.nodeid for unit in units}:
        return "does not cover every member"
    return None


def free_names(source: str) -> set[str]:
    """Return the names that a function uses and does not bind, builtins left out."""
    tree = ast.parse(f"if 1:\n{source}" if source[:1].isspace() else source)
    bound: set[str] = set()
    used: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            (used if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.alias):
            bound.add((node.asname or node.name).partition(".")[0])
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.ExceptHandler):
            bound.add(node.name or "")
    return used - bound - _BUILTINS


def _kind_of(reason: str) -> str:
    """Take out of a reason what is particular to one group."""
    reason = re.sub(r" \(line \d+\)", "", reason)
    reason = re.sub(r"^\d+ values", "many values", reason)
    reason = re.sub(r"uses \w+", "uses a name", reason)
    reason = re.sub(r"the call of .+ belongs", "a call belongs", reason)
    return reason.partition(":")[0].partition(" and not ")[0]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the measurement; 0 when done or when there are no labels to measure on."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the results to benchmarks/results")
    parser.add_argument("--show", type=int, default=0, metavar="N", help="print N of the suggestions")
    parser.add_argument("--refused", action="store_true", help="print every refusal with its group")
    options = parser.parse_args(arguments)
    try:
        groups = load_groups(gold_file())
    except GoldMissingError as error:
        print(f"skipped: {error}")
        return 0
    folds: list[tuple[Given, Fold]] = []
    reasons: Counter[str] = Counter()
    wrong: list[str] = []
    started = time.perf_counter()
    results = [(given, suggest(given.units, given.module)) for given in groups]
    seconds = time.perf_counter() - started
    for given, result in results:
        if isinstance(result, Refusal):
            reasons[_kind_of(result.reason)] += 1
            if options.refused:
                print(f"{given.project}/{given.module.path}::{given.name} ({len(given.units)}): {result.reason}")
            continue
        fault = examine(result, given.units)
        if fault is None:
            folds.append((given, result))
        else:
            wrong.append(f"{given.project} {given.name}: {fault}")
    share = len(folds) / len(groups)
    lines = [
        "| | groups | share |",
        "|---|---|---|",
        f"| given | {len(groups)} | 1.00 |",
        f"| suggestion that parses, names nothing new and covers every member | {len(folds)} | {share:.2f} |",
        f"| suggestion that does not | {len(wrong)} | {len(wrong) / len(groups):.2f} |",
        *(
            f"| refused: {reason} | {count} | {count / len(groups):.2f} |"
            for reason, count in sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
        ),
    ]
    print("\n".join(lines))
    print(f"target {TARGET:.2f}: {'met' if share >= TARGET else 'missed'}; {seconds:.2f} s for all")
    for fault in wrong:
        print(f"wrong: {fault}", file=sys.stderr)
    for number in range(options.show):
        given, fold = folds[number * len(folds) // options.show]
        print(f"\n##### {given.project}/{given.module.path} -> {given.name}\n{fold.source}")
    if options.write:
        RESULTS.mkdir(exist_ok=True)
        document = {
            "version": pytest_qeattention.__version__,
            "python": platform.python_version(),
            "groups": len(groups),
            "suggested": len(folds),
            "wrong": len(wrong),
            "share": round(share, 4),
            "target": TARGET,
            "refused": dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
            "seconds": round(seconds, 3),
        }
        (RESULTS / "fold_gold.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        (RESULTS / "fold_gold.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Copies of a project in which the same defect fails a little differently: the drift between two runs.

``plain`` is the project as it is. ``moved`` lies in another folder, runs its tests in another order, with another hash
seed and style of tracebacks. ``edited`` has its lines shifted and some of its tests renamed, with a third seed.
"""

from __future__ import annotations

import ast
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

RENAMED_END = "_of_old"
"""What the names of renamed tests end in."""
_EACH = 4
"""One test in so many is renamed."""
_LEFT_OUT = shutil.ignore_patterns("__pycache__", ".git", ".pytest_cache", "*.pyc", ".tox", "docs", "node_modules")


@dataclass(frozen=True, slots=True)
class Variant:
    """Hold one copy of a project, and how its tests are run."""

    name: str
    root: Path
    hash_seed: str
    style: str
    """Of tracebacks, for ``--tb``."""
    order: int | None
    """Seed of the order of tests."""


def make_variants(copy: Path, sources: Iterable[str], tests: Iterable[str], place: Path) -> list[Variant]:
    """Copy the project *copy* three times below *place*, which is made anew."""
    shutil.rmtree(place, ignore_errors=True)
    variants = [
        Variant("plain", place / "checkout", "0", "short", None),
        Variant("moved", place / "builds" / "agent-7" / "work", "1", "long", 1),
        Variant("edited", place / "later" / "checkout", "2", "native", None),
    ]
    for variant in variants:
        shutil.copytree(copy, variant.root, symlinks=True, ignore=_LEFT_OUT)
    edited = variants[2].root
    below_tests = {path for each in tests for path in (edited / each).rglob("*.py")}
    for path in sorted({path for each in sources for path in (edited / each).rglob("*.py")} | below_tests):
        try:
            text = shifted(path.read_text(encoding="utf-8"))
            path.write_text(renamed(text) if path in below_tests else text, encoding="utf-8")
        except (UnicodeDecodeError, SyntaxError, ValueError):
            continue
    return variants


def shifted(source: str) -> str:
    """Return *source* with comments before its functions and classes, so that their lines move."""
    lines = source.splitlines(keepends=True)
    places = [
        min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    ]
    for number, line in reversed(list(enumerate(places))):
        lines[line - 1 : line - 1] = ["# See the notes on the release.\n"] * (1 + number % 3)
    return "".join(lines)


def renamed(source: str) -> str:
    """Return *source* with one test in `_EACH` renamed, where nothing else has its name."""
    names = re.findall(r"^[ \t]*(?:async )?def (test_\w+)\(", source, re.MULTILINE)
    for name in sorted(set(names))[::_EACH]:
        if len(re.findall(rf"\b{name}\b", source)) == 1:
            source = re.sub(rf"\b{name}\b", name + RENAMED_END, source)
    return source


def first_name(nodeid: str) -> str:
    """Return the node id that a test had before `renamed`."""
    name, bracket, parameters = nodeid.partition("[")
    return f"{name.removesuffix(RENAMED_END)}{bracket}{parameters}"

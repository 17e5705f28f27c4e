"""Packages import what lies below them alone."""

from __future__ import annotations

import ast
import sys
from importlib.util import resolve_name
from pathlib import Path

import pytest

import pytest_qeattention

PACKAGE = Path(pytest_qeattention.__file__).parent
BASE = {"cache", "databases", "exceptions", "store", "wording"}
"""Modules that import no package of this one, so that any may import them."""
BELOW = {
    "attention": BASE,
    "syntax": BASE,
    "index": {*BASE, "attention"},
    "encoder": {*BASE, "attention", "syntax"},
    "similarity": {*BASE, "attention", "syntax", "index", "encoder"},
    "defects": {*BASE, "attention", "syntax", "index", "encoder"},
    "live": {"defects", "items"},
}


def named(path: Path) -> set[str]:
    """Return the dotted names that a file imports, at any place in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.ImportFrom):
            package = ".".join(path.relative_to(PACKAGE.parent).parent.parts)
            module = resolve_name("." * node.level + (node.module or ""), package)
            names |= {f"{module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def imported(path: Path) -> set[str]:
    """Return the parts of this package that a file imports, at any place in it."""
    parts = [name.split(".") for name in named(path) if name.split(".")[0] == "pytest_qeattention"]
    return {part[1] for part in parts if len(part) > 1} - {"__version__"}


def recording() -> list[str]:
    """Return the modules of defects that every run with a failure imports, on the workers too."""
    found: dict[str, None] = {}
    waiting = sorted((PACKAGE / "live").glob("*.py"))
    while waiting:
        parts = [name.split(".") for name in sorted(named(waiting.pop()))]
        modules = [part[2] for part in parts if part[:2] == ["pytest_qeattention", "defects"] and len(part) > 2]
        new = [name for name in dict.fromkeys(modules) if name not in found]
        waiting += [PACKAGE / "defects" / f"{name}.py" for name in new]
        found |= dict.fromkeys(new)
    return sorted(found)


@pytest.mark.parametrize("name", BELOW)
def test_a_package_imports_what_lies_below_it(name: str) -> None:
    files = sorted((PACKAGE / name).rglob("*.py"))
    assert files
    above = {path.name: found for path in files if (found := imported(path) - BELOW[name] - {name})}
    assert above == {}


@pytest.mark.parametrize("name", sorted(BASE))
def test_what_all_may_import_imports_no_package(name: str) -> None:
    assert imported(PACKAGE / f"{name}.py") <= BASE


def test_a_record_is_made_of_several_modules() -> None:
    assert {"facts", "frames", "masking", "record", "secrets"} < set(recording())


@pytest.mark.parametrize("name", recording())
def test_what_records_a_failure_imports_the_standard_library_alone(name: str) -> None:
    path = PACKAGE / "defects" / f"{name}.py"
    assert imported(path) <= {"defects"}
    others = {name.partition(".")[0] for name in named(path)}
    assert others - sys.stdlib_module_names - {"pytest_qeattention"} == set()

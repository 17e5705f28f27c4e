"""What the names that a test takes from outside stand for, as far as its own file tells.

Two tests of equal source do the same only if their names stand for the same things.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import os
import re

from pytest_qeattention.similarity.candidates import FileScan
from pytest_qeattention.similarity.describe import Description
from pytest_qeattention.similarity.model import Unit

# Fixtures that pytest itself and the plugins most used give every test alike.
_COMMON_FIXTURES = frozenset(
    {
        "benchmark",
        "cache",
        "caplog",
        "capfd",
        "capfdbinary",
        "capsys",
        "capsysbinary",
        "capteesys",
        "doctest_namespace",
        "event_loop",
        "mocker",
        "monkeypatch",
        "pytestconfig",
        "pytester",
        "record_property",
        "record_testsuite_property",
        "record_xml_attribute",
        "recwarn",
        "request",
        "subtests",
        "testdir",
        "tmp_path",
        "tmp_path_factory",
        "tmpdir",
        "tmpdir_factory",
        "worker_id",
    }
)
_NAME = re.compile(r"\w+")


def bound_names(unit: Unit, description: Description, scan: FileScan[Description]) -> str:
    """Say what the outside names of *unit* stand for, one a line; equal for tests that use the same things.

    An imported name stands for what is imported, any other name belongs to the file; what a method takes from its first
    argument, or its decorators from the body of the class, belongs to the class. A fixture belongs to the class or file
    that defines it, or else to the directory, whose conftest files may define it.
    """
    path, imports = unit.path, scan.imports
    owner = unit.qualname.rpartition("::")[0]
    scope = f"{path}::{owner}"
    lines = [f"{name}={_meaning(imports.get(name), path, path)}" for name in description.free_names]
    lines.extend(f"{name}={_meaning(imports.get(name), path, scope)}" for name in description.decorator_names)
    if unit.fixtures:
        # An argument that a decorator names gets its values there, and decorators are compared as code.
        decorated = {name for decorator in unit.decorators for name in _NAME.findall(decorator)}
        bound = {name for info in scan.classes if info.qualname == owner for name in info.bound}
        for name in unit.fixtures:
            if name in decorated:
                continue
            if name in bound:
                meaning = scope
            elif name in scan.fixtures:
                meaning = path
            elif name in _COMMON_FIXTURES:
                meaning = "pytest"
            else:
                meaning = _meaning(imports.get(name), path, os.path.dirname(path))
            lines.append(f"({name})={meaning}")
    if description.uses_self:
        lines.append(f"self={scope}")
    return "\n".join(lines)


def _meaning(imported: str | None, path: str, home: str) -> str:
    if imported is None:
        return home
    return f"{os.path.dirname(path)}:{imported}" if imported.startswith(".") else imported

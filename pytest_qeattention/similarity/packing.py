"""Scans as nested tuples of plain values, without the paths of files.

This is what helper processes send: half the work of pickling the scans themselves, on both sides.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from operator import attrgetter
from typing import Any

from pytest_qeattention.similarity.candidates import ClassInfo, FileScan, FoundFunction
from pytest_qeattention.similarity.describe import Description
from pytest_qeattention.similarity.discover import SourcePath
from pytest_qeattention.similarity.model import Problem, Unit

Packed = tuple[Any, ...]

_UNIT_FIELDS = (
    "line",
    "name",
    "qualname",
    "first_line",
    "end_line",
    "source",
    "docstring",
    "fixtures",
    "decorators",
    "is_async",
)
_unit = attrgetter(*_UNIT_FIELDS)
_description = attrgetter(*Description.__dataclass_fields__)
_class = attrgetter(*ClassInfo.__dataclass_fields__)
_function = attrgetter("owner", "test_flag", "is_generator")
# Of a scan, what needs no packing itself.
_SCAN_FIELDS = (
    "imports",
    "aliases",
    "star_imports",
    "exports",
    "module_test_flag",
    "fixtures",
    "digest",
)
_scan = attrgetter(*_SCAN_FIELDS)


def pack_scan(scan: FileScan[Description]) -> Packed:
    """Return the content of *scan*; `unpack_scan` makes an equal scan of it."""
    problem = scan.problem
    return (
        None if problem is None else (problem.message, problem.line),
        [_class(info) for info in scan.classes],
        [
            (
                _unit(found.unit),
                None if found.described is None else _description(found.described),
                _function(found),
            )
            for found in scan.functions
        ],
        _scan(scan),
    )


def unpack_scan(packed: Packed, source: SourcePath, root: str) -> FileScan[Description]:
    """Return the scan that was packed, as that of the file *source*, whose top package lies in *root*."""
    problem, classes, functions, rest = packed
    path = source.display
    found = []
    for unit, description, (owner, test_flag, is_generator) in functions:
        found.append(
            FoundFunction(
                Unit(f"{path}::{unit[2]}", path, *unit),
                owner,
                None if description is None else Description(*description),
                test_flag,
                is_generator,
            )
        )
    return FileScan(
        path,
        None if problem is None else Problem(path, *problem),
        tuple(ClassInfo(*info) for info in classes),
        tuple(found),
        **dict(zip(_SCAN_FIELDS, rest, strict=True)),
        source=source,
        root=root,
    )

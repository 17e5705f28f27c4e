"""Build the suite that an analysis looks at: statically from paths, or from what pytest collected.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pytest_qeattention.similarity.candidates import FoundFunction
from pytest_qeattention.similarity.describe import Description
from pytest_qeattention.similarity.discover import SourcePath, UsageError, discover
from pytest_qeattention.similarity.model import Problem, Unit
from pytest_qeattention.similarity.naming import display_path
from pytest_qeattention.similarity.reading import Job, Scan, scan_files
from pytest_qeattention.similarity.resolve import resolve_units, support_files
from pytest_qeattention.similarity.suite import Located, Suite
from pytest_qeattention.similarity.workload import Progress

Found = FoundFunction[Description]


def suite_from_paths(
    paths: Sequence[str], *, cwd: Path, num_processes: int | None = None, progress: Progress | None = None
) -> Suite:
    """Find the tests under *paths* as pytest would, without importing anything of the project.

    Paths in the suite are relative to *cwd*. Raises `discover.UsageError` for a path that does not exist and for a
    node id that names no test.
    """
    discovery = discover(paths, cwd=cwd)
    scans = scan_files(
        [Job(source) for source in discovery.files],
        discovery.rules,
        num_processes=num_processes,
        progress=progress,
    )
    resolved = resolve_units(scans, discovery.rules)
    while more := support_files(resolved.missing, scans, discovery):
        scans.extend(scan_files([Job(source) for source in more], discovery.rules, num_processes=1))
        resolved = resolve_units(scans, discovery.rules)
    if resolved.not_found:
        names = ", ".join(resolved.not_found)
        raise UsageError(f"no test found for {names}; nothing was analysed; check the name after ::")
    return _suite(scans, resolved.functions, (*discovery.problems, *resolved.problems), {})


def suite_from_located(
    located: Sequence[Located],
    *,
    root: Path,
    left_out: Mapping[str, int] | None = None,
    num_processes: int | None = None,
    progress: Progress | None = None,
) -> Suite:
    """Read the source of the tests that pytest collected; paths in the suite are relative to *root*.

    A test that is no longer where pytest imported it from is reported as a problem of its file and left out.
    """
    by_file: defaultdict[str, list[Located]] = defaultdict(list)
    for test in dict.fromkeys(located):
        by_file[test.path].append(test)
    jobs = [
        Job(
            SourcePath(Path(path), display_path(Path(path), root)),
            frozenset(test.line for test in tests if test.line is not None),
        )
        for path, tests in sorted(by_file.items())
    ]
    scans = scan_files(jobs, None, num_processes=num_processes, progress=progress)
    functions: list[Found] = []
    problems: list[Problem] = []
    for job, scan in zip(jobs, scans, strict=True):
        if scan.problem is not None:
            problems.append(scan.problem)
            continue
        written = {
            (found.unit.name, line): found
            for found in scan.functions
            for line in (found.unit.first_line, found.unit.line)
        }
        tests = by_file[str(job.source.path)]
        keys = [(test.qualname.rpartition("::")[2], test.line or 0) for test in tests]
        functions.extend(written[key] for key in keys if key in written)
        missing = [test.qualname for test, key in zip(tests, keys, strict=True) if key not in written]
        if missing:
            problems.append(Problem(scan.path, _changed(missing)))
    return _suite(scans, functions, problems, dict(left_out or {}))


def _changed(qualnames: Sequence[str]) -> str:
    names = ", ".join(sorted(qualnames)[:3]) + (", …" if len(qualnames) > 3 else "")
    count = f"{len(qualnames)} test{'' if len(qualnames) == 1 else 's'}"
    return f"has changed since it was imported: {count} not where pytest found them ({names}) and left out; run again"


def _suite(
    scans: Sequence[Scan], functions: Iterable[Found], problems: Iterable[Problem], left_out: Mapping[str, int]
) -> Suite:
    imports = {scan.path: scan.imports for scan in scans}
    by_place = {(found.unit.path, found.unit.line, found.unit.qualname): found for found in functions}
    units: list[Unit] = []
    descriptions: list[Description] = []
    bindings: list[str] = []
    for _, found in sorted(by_place.items()):
        if found.described is None:
            continue
        units.append(found.unit)
        descriptions.append(found.described)
        bindings.append(_bindings(found.unit, found.described, imports[found.unit.path]))
    return Suite(
        tuple(units),
        tuple(descriptions),
        tuple(bindings),
        tuple(sorted(set(problems), key=lambda problem: (problem.path, problem.line or 0, problem.message))),
        left_out,
    )


def _bindings(unit: Unit, description: Description, imports: Mapping[str, str]) -> str:
    """Say what the names that a test takes from outside stand for, as far as its own file tells.

    An imported name stands for what is imported; any other name belongs to the file, and what a method takes from its
    first argument, or its decorators from the body of the class, belongs to the class.
    """
    package = os.path.dirname(unit.path)
    scope = f"{unit.path}::{unit.qualname.rpartition('::')[0]}"

    def meaning(name: str, home: str) -> str:
        imported = imports.get(name)
        if imported is None:
            return f"{name}={home}"
        return f"{name}={package}:{imported}" if imported.startswith(".") else f"{name}={imported}"

    meanings = [meaning(name, unit.path) for name in description.free_names]
    meanings.extend(meaning(name, scope) for name in description.decorator_names)
    if description.uses_self:
        meanings.append(f"self={scope}")
    return "\n".join(meanings)

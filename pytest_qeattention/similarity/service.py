"""Build the suite that an analysis looks at: statically from paths, or from what pytest collected.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pytest_qeattention.similarity.bindings import bound_names
from pytest_qeattention.similarity.candidates import FoundFunction
from pytest_qeattention.similarity.describe import Description
from pytest_qeattention.similarity.discover import Discovery, SourcePath, UsageError, discover
from pytest_qeattention.similarity.model import Problem, Unit
from pytest_qeattention.similarity.naming import display_path
from pytest_qeattention.similarity.reading import Job, Scan, scan_files
from pytest_qeattention.similarity.resolve import Resolved, resolve_units, support_files
from pytest_qeattention.similarity.suite import Located, Suite
from pytest_qeattention.similarity.workload import Progress
from pytest_qeattention.wording import counted, first_names

Found = FoundFunction[Description]


def suite_from_paths(
    paths: Sequence[str], *, cwd: Path, num_processes: int | None = None, progress: Progress | None = None
) -> Suite:
    """Find the tests under *paths* as pytest would, without importing anything of the project.

    Paths in the suite are relative to *cwd*. Raises `discover.UsageError` for a path that does not exist and for a
    node id that names no test.
    """
    scans, resolved, problems = find_tests(discover(paths, cwd=cwd), num_processes=num_processes, progress=progress)
    if resolved.not_found:
        names = ", ".join(resolved.not_found)
        raise UsageError(f"no test found for {names}; nothing was analysed; check the name after ::")
    return _suite(scans, resolved.functions, problems, {})


def find_tests(
    discovery: Discovery, *, num_processes: int | None = None, progress: Progress | None = None
) -> tuple[list[Scan], Resolved[Description], tuple[Problem, ...]]:
    """Scan the files of *discovery*, and those that they inherit tests from, and decide what of them is a test.

    Returns all scans, what was found, and all problems in order of path.
    """
    jobs = [Job(source) for source in discovery.files]
    scans = scan_files(jobs, discovery.rules, num_processes=num_processes, progress=progress)
    resolved = resolve_units(scans, discovery.rules)
    while more := support_files(resolved.missing, scans, discovery):
        scans.extend(scan_files([Job(source) for source in more], discovery.rules, num_processes=1))
        resolved = resolve_units(scans, discovery.rules)
    problems = sorted((*discovery.problems, *resolved.problems), key=lambda problem: (problem.path, problem.line or 0))
    return scans, resolved, tuple(problems)


def suite_from_located(
    located: Sequence[Located],
    *,
    root: Path,
    left_out: Mapping[str, int] | None = None,
    problems: Sequence[Problem] = (),
    digests: Mapping[str, str] | None = None,
    num_processes: int | None = None,
    progress: Progress | None = None,
) -> Suite:
    """Read the source of the tests that pytest collected; paths in the suite are relative to *root*.

    *digests* holds `source_digest` of files, by path as in *located*, when pytest imported them: the tests of a file
    that has changed since, or that are no longer where they were imported from, are left out and reported as a problem
    of their file, beside the *problems* given.
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
    found_problems = list(problems)
    for job, scan in zip(jobs, scans, strict=True):
        if scan.problem is not None:
            found_problems.append(scan.problem)
            continue
        path = str(job.source.path)
        if digests is not None and digests.get(path, scan.digest) != scan.digest:
            found_problems.append(Problem(scan.path, _changed([test.qualname for test in by_file[path]])))
            continue
        written = {
            (found.unit.name, line): found
            for found in scan.functions
            for line in (found.unit.first_line, found.unit.line)
        }
        tests = by_file[path]
        keys = [(test.qualname.rpartition("::")[2], test.line or 0) for test in tests]
        functions.extend(written[key] for key in keys if key in written)
        missing = [test.qualname for test, key in zip(tests, keys, strict=True) if key not in written]
        if missing:
            found_problems.append(Problem(scan.path, _changed(missing)))
    return _suite(scans, functions, found_problems, dict(left_out or {}))


def _changed(qualnames: Sequence[str]) -> str:
    count, names = counted(len(qualnames), "test"), first_names(sorted(qualnames))
    return f"has changed since pytest imported it: {count} left out ({names}); run again"


def _suite(
    scans: Sequence[Scan], functions: Iterable[Found], problems: Iterable[Problem], left_out: Mapping[str, int]
) -> Suite:
    by_path = {scan.path: scan for scan in scans}
    by_place = {(found.unit.path, found.unit.line, found.unit.qualname): found for found in functions}
    units: list[Unit] = []
    descriptions: list[Description] = []
    bindings: list[str] = []
    for _, found in sorted(by_place.items()):
        if found.described is None:
            continue
        units.append(found.unit)
        descriptions.append(found.described)
        bindings.append(bound_names(found.unit, found.described, by_path[found.unit.path]))
    return Suite(
        tuple(units),
        tuple(descriptions),
        tuple(bindings),
        tuple(sorted(set(problems), key=lambda problem: (problem.path, problem.line or 0, problem.message))),
        left_out,
    )

"""Build the suite that an analysis looks at: statically from paths, or from what pytest collected.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pytest_qeattention.cache import Cache
from pytest_qeattention.similarity.bindings import bound_names
from pytest_qeattention.similarity.candidates import FoundFunction
from pytest_qeattention.similarity.describe import Description
from pytest_qeattention.similarity.discover import Discovery, SourcePath, UsageError, discover
from pytest_qeattention.similarity.imports import support_files
from pytest_qeattention.similarity.kept import Files, StaticKey, located_key
from pytest_qeattention.similarity.model import Problem, Unit
from pytest_qeattention.similarity.naming import display_path
from pytest_qeattention.similarity.reading import Job, Scan
from pytest_qeattention.similarity.resolve import Resolved, Resolver
from pytest_qeattention.similarity.suite import Content, Located, Suite
from pytest_qeattention.similarity.workload import Progress
from pytest_qeattention.wording import counted, first_names

Found = FoundFunction[Description]

IGNORED = "ignored"
"""Reason in ``left_out`` of tests that ``qe_similar_ignore`` names."""


def suite_from_paths(
    paths: Sequence[str],
    *,
    cwd: Path,
    is_ignored: Callable[[str], bool] | None = None,
    num_processes: int | None = None,
    progress: Progress | None = None,
    cache_dir: Path | None = None,
) -> Suite:
    """Find the tests under *paths* as pytest would, without importing anything of the project.

    Paths in the suite are relative to *cwd*; *is_ignored* tells of one whether its tests are left out. With
    *cache_dir* only files that have changed are read again. Raises `discover.UsageError` for a path that does not
    exist and, when the suite is read, for a node id that names no test.
    """
    discovery = discover(paths, cwd=cwd)
    files = Files(Cache(cache_dir))
    key = StaticKey(files, discovery, is_ignored or _nothing)

    def read() -> Content:
        with files.cache:
            scans, resolved, problems = find_tests(
                discovery, num_processes=num_processes, progress=progress, files=files
            )
            if resolved.not_found:
                names = ", ".join(resolved.not_found)
                raise UsageError(f"no test found for {names}; nothing was analysed; check the name after ::")
            functions: Sequence[Found] = resolved.functions
            left_out = {}
            if is_ignored is not None:
                functions = [found for found in resolved.functions if not is_ignored(found.unit.path)]
                problems = tuple(problem for problem in problems if not is_ignored(problem.path))
                if len(functions) < len(resolved.functions):
                    left_out[IGNORED] = len(resolved.functions) - len(functions)
            return _content(scans, functions, problems, left_out, files, key.keep(resolved.missing))

    if not files.cache.is_on:
        return Suite.of(read())
    return Suite.unread(read, key.known, has_remarks=lambda: files.has_remarks)


def _nothing(path: str) -> bool:
    return False


def find_tests(
    discovery: Discovery,
    *,
    num_processes: int | None = None,
    progress: Progress | None = None,
    files: Files | None = None,
) -> tuple[list[Scan], Resolved[Description], tuple[Problem, ...]]:
    """Scan the files of *discovery*, and those that they inherit tests from, and decide what of them is a test.

    Returns all scans, what was found, with all that was looked for in other files, and all problems in order of path.
    """
    files = files or Files(Cache(None))
    jobs = [Job(source) for source in discovery.files]
    scans = files.scan(jobs, discovery.rules, num_processes=num_processes, progress=progress)
    resolver: Resolver[Description] = Resolver(discovery.rules)
    resolver.add(scans)
    missing = dict.fromkeys(resolver.references())
    while more := support_files(resolver.modules.missing, scans, discovery):
        found = files.scan([Job(source) for source in more], discovery.rules, num_processes=1)
        scans.extend(found)
        resolver.add(found)
        missing.update(dict.fromkeys(resolver.references()))
    resolved = resolver.resolve()
    problems = sorted((*discovery.problems, *resolved.problems), key=lambda problem: (problem.path, problem.line or 0))
    return scans, replace(resolved, missing=tuple(missing)), tuple(problems)


def suite_from_located(
    located: Sequence[Located],
    *,
    root: Path,
    left_out: Mapping[str, int] | None = None,
    problems: Sequence[Problem] = (),
    digests: Mapping[str, str] | None = None,
    is_ignored: Callable[[str], bool] | None = None,
    num_processes: int | None = None,
    progress: Progress | None = None,
    cache_dir: Path | None = None,
) -> Suite:
    """Read the source of the tests that pytest collected; paths in the suite are relative to *root*.

    *is_ignored* tells of such a path whether its tests are left out. With *cache_dir* only files that have changed are
    read again.

    *digests* holds `source_digest` of files, by path as in *located*, when pytest imported them: the tests of a file
    that has changed since, or that are no longer where they were imported from, are left out and reported as a problem
    of their file, beside the *problems* given.
    """
    by_file: defaultdict[str, list[Located]] = defaultdict(list)
    for test in dict.fromkeys(located):
        by_file[test.path].append(test)
    left_out = dict(left_out or {})
    if is_ignored is not None:
        for path in [path for path in by_file if is_ignored(display_path(Path(path), root))]:
            left_out[IGNORED] = left_out.get(IGNORED, 0) + len(by_file.pop(path))
    jobs = [
        Job(
            SourcePath(Path(path), display_path(Path(path), root)),
            frozenset(test.line for test in tests if test.line is not None),
        )
        for path, tests in sorted(by_file.items())
    ]
    files = Files(Cache(cache_dir))
    key = located_key(files, [job.source for job in jobs], by_file, digests, left_out, tuple(problems))

    def read() -> Content:
        with files.cache:
            scans = files.scan(jobs, None, num_processes=num_processes, progress=progress)
        functions, more = _written(by_file, scans, digests)
        return _content(scans, functions, (*problems, *more), left_out, files, key)

    if not files.cache.is_on:
        return Suite.of(read())
    return Suite.unread(read, lambda: key, has_remarks=lambda: files.has_remarks)


def _written(
    by_file: Mapping[str, Sequence[Located]], scans: Sequence[Scan], digests: Mapping[str, str] | None
) -> tuple[list[Found], list[Problem]]:
    """Return the functions of *scans* that were collected, and a problem for each file where they are not all there."""
    functions: list[Found] = []
    problems: list[Problem] = []
    for (path, tests), scan in zip(sorted(by_file.items()), scans, strict=True):
        if scan.problem is not None:
            problems.append(scan.problem)
            continue
        if digests is not None and digests.get(path, scan.digest) != scan.digest:
            problems.append(Problem(scan.path, _changed([test.qualname for test in tests])))
            continue
        written = {
            (found.unit.name, line): found
            for found in scan.functions
            for line in (found.unit.first_line, found.unit.line)
        }
        keys = [(test.qualname.rpartition("::")[2], test.line or 0) for test in tests]
        functions.extend(written[key] for key in keys if key in written)
        missing = [test.qualname for test, key in zip(tests, keys, strict=True) if key not in written]
        if missing:
            problems.append(Problem(scan.path, _changed(missing)))
    return functions, problems


def _changed(qualnames: Sequence[str]) -> str:
    count, names = counted(len(qualnames), "test"), first_names(sorted(qualnames))
    return f"has changed since pytest imported it: {count} left out ({names}); run again"


def _content(
    scans: Sequence[Scan],
    functions: Iterable[Found],
    problems: Iterable[Problem],
    left_out: Mapping[str, int],
    files: Files,
    key: bytes | None,
) -> Content:
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
        known = files.binding(id(found))
        bindings.append(bound_names(found.unit, found.described, by_path[found.unit.path]) if known is None else known)
    # What was read has to be what the key names: a file that changed in between is left to the next run.
    is_current = key is not None and all(
        scan.source is None or scan.digest == files.digest(scan.source) for scan in scans
    )
    return Content(
        tuple(units),
        tuple(descriptions),
        tuple(bindings),
        tuple(sorted(set(problems), key=lambda problem: (problem.path, problem.line or 0, problem.message))),
        left_out,
        key if is_current else None,
    )

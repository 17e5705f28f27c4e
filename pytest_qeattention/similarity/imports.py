"""What the names of a module stand for, followed through imports across the files that were scanned.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Generic, TypeVar

from .candidates import ClassInfo, FileScan, FoundFunction
from .discover import Discovery, SourcePath
from .naming import NamingRules, display_path

T = TypeVar("T")

Key = tuple[int, str]
"""Number of the scan and qualified name of a class."""


@dataclass(frozen=True, slots=True)
class Reference:
    """Name something that a file imports from a file that was not scanned."""

    directory: str
    """Absolute path of the directory that the import starts from."""
    dotted: str
    absolute: bool
    """Whether directories above may hold it too."""


def support_files(
    missing: Iterable[Reference], scans: Sequence[FileScan[T]], discovery: Discovery
) -> tuple[SourcePath, ...]:
    """Find the files below the rootdir that *missing* refers to and that were not scanned yet.

    Scan them and resolve again until nothing is found. A reference is looked up as Python's path would be
    with the directories above the importing file on it; what is installed elsewhere is not followed.
    """
    top = str(discovery.rootdir).rstrip(os.sep) + os.sep
    known = {str(scan.source.path) for scan in scans if scan.source is not None}
    found: dict[str, SourcePath] = {}
    for reference in missing:
        for directory in _roots_above(reference.directory) if reference.absolute else (reference.directory,):
            modules = _modules(directory, reference.dotted)
            location = next((path for path in modules if os.path.isfile(path)), None)
            if location is None:
                continue
            if location.startswith(top) and location not in known and location not in found:
                path = Path(location)
                found[location] = SourcePath(path, display_path(path, discovery.cwd), support=True)
            break
    return tuple(found[location] for location in sorted(found))


def _roots_above(directory: str) -> Iterator[str]:
    while True:
        yield directory
        parent = os.path.dirname(directory)
        if parent == directory:
            return
        directory = parent


def _modules(directory: str, dotted: str) -> Iterator[str]:
    """Yield the files that can hold *dotted*, the longest module name first."""
    parts = dotted.split(".") if dotted else []
    for length in range(len(parts), 0, -1):
        base = os.path.join(directory, *parts[:length])
        yield base + ".py"
        yield os.path.join(base, "__init__.py")


@dataclass
class File(Generic[T]):
    """Index one scan by name."""

    scan: FileScan[T]
    number: int
    classes: dict[str, ClassInfo] = field(default_factory=dict)
    functions: dict[str | None, dict[str, FoundFunction[T]]] = field(default_factory=dict)
    inner: dict[str, list[ClassInfo]] = field(default_factory=dict)
    taken: dict[str, frozenset[str]] = field(default_factory=dict)
    """Names that the body of a class binds, by its qualified name, as far as they were asked for."""

    def __post_init__(self) -> None:
        for info in self.scan.classes:
            self.classes[info.qualname] = info
            self.inner.setdefault(info.qualname.rpartition("::")[0], []).append(info)
        for function in self.scan.functions:
            self.functions.setdefault(function.owner, {})[function.unit.name] = function

    @cached_property
    def location(self) -> str:
        source = self.scan.source
        return os.path.abspath(self.scan.path) if source is None else str(source.path)

    @cached_property
    def directory(self) -> str:
        return os.path.dirname(self.location)

    @cached_property
    def root(self) -> str:
        return self.scan.root or self.directory


class Modules(Generic[T]):
    """Look up names in scanned files; more can be added, after which everything is looked up anew."""

    def __init__(self, rules: NamingRules) -> None:
        self.rules = rules
        self.files: list[File[T]] = []
        self.at: dict[str, File[T]] = {}
        self._below_roots: dict[tuple[str, ...], tuple[int, int, File[T]]] = {}
        """The first of the files that have a dotted name under any root, with its root's rank."""
        self._names: set[str] = set()
        """Names of files, less their ``.py``, and of the directories above them."""
        self.missing: dict[Reference, None] = {}
        """What is imported from files that were not scanned, where it may make a difference."""
        self._telling: dict[str, bool] = {}
        self._nearest: dict[tuple[str, tuple[str, ...], bool], tuple[File[T], int] | None] = {}
        self._targets: dict[tuple[str, str, bool, bool], Key | FoundFunction[T] | None] = {}

    def add(self, scans: Iterable[FileScan[T]]) -> None:
        """Number and index more *scans*."""
        for scan in scans:
            file = File(scan, len(self.files))
            self.files.append(file)
            self.at[file.location] = file
        self._index()
        for memo in (self.missing, self._nearest, self._targets):
            memo.clear()

    def _index(self) -> None:
        ranks = {root: rank for rank, root in enumerate(sorted({file.root for file in self.files}))}
        self._below_roots.clear()
        self._names.clear()
        for file in self.files:
            stem = file.location.removesuffix(".py")
            self._names.update(stem.split(os.sep))
            is_package = os.path.basename(stem) == "__init__"
            stem = os.path.dirname(stem) if is_package else stem
            for root in _roots_above(os.path.dirname(stem)):
                rank = ranks.get(root)
                if rank is None:
                    continue
                parts = tuple(stem[len(root) :].strip(os.sep).split(os.sep))
                known = self._below_roots.get(parts)
                # Of one root the module comes before the package, as in a directory above the importing file.
                if known is None or (rank, is_package) < known[:2]:
                    self._below_roots[parts] = rank, is_package, file

    def imported(self, file: File[T]) -> Iterator[tuple[str, Key | FoundFunction[T] | None]]:
        """Yield the names that *file* binds to something of elsewhere, and what it is."""
        own = {info.name for info in file.inner.get("", ())} | file.functions.get(None, {}).keys()
        for name, target in file.scan.imports.items():
            if name not in own:
                yield name, self.target(file, name, target)
        for name in file.scan.aliases:
            if name not in own:
                yield name, self.lookup(file, [name], demand=self.is_telling(name))
        for star in file.scan.star_imports:
            module = self.module(file, star)
            for name in self.star_names(module) if module is not None else ():
                if name not in own and name not in file.scan.imports and module is not None:
                    yield name, self.lookup(module, [name], demand=self.is_telling(name))

    def is_telling(self, name: str) -> bool:
        """Say whether *name* promises a test, so that it is worth reading another file for it."""
        known = self._telling.get(name)
        if known is None:
            named = self.rules.is_class(name) or self.rules.is_function(name)
            known = self._telling[name] = named or (name[:1].isupper() and "test" in name.lower())
        return known

    def star_names(self, module: File[T]) -> list[str]:
        """List the names that a star import of *module* binds."""
        names: dict[str, None] = {}
        stack, seen = [module], {module.number}
        while stack:
            file = stack.pop()
            scan = file.scan
            if scan.exports is not None:
                names.update(dict.fromkeys(name for name in scan.exports if self.is_telling(name)))
                continue
            for name in (
                *(i.name for i in file.inner.get("", ())),
                *file.functions.get(None, ()),
                *scan.imports,
            ):
                if not name.startswith("_"):
                    names[name] = None
            for star in scan.star_imports:
                further = self.module(file, star)
                if further is not None and further.number not in seen:
                    seen.add(further.number)
                    stack.append(further)
        return list(names)

    def target(self, file: File[T], name: str, dotted: str) -> Key | FoundFunction[T] | None:
        """Look up what *file* imports as *name*; many files import the same from one place."""
        if name in file.scan.aliases:
            return self.lookup(file, [name], demand=self.is_telling(name))
        key = *self.start(file, dotted), self.is_telling(name)
        if key not in self._targets:
            self._targets[key] = self.lookup(file, [name], demand=key[-1])
        return self._targets[key]

    def lookup(
        self, file: File[T], parts: list[str], *, demand: bool, besides: str | None = None
    ) -> Key | FoundFunction[T] | None:
        """Find what *parts* name in the module *file*; a miss in another file is noted if *demand* is set."""
        seen: set[tuple[int, str]] = set()
        pending: list[tuple[File[T], list[str]]] = [(file, parts)]
        while pending:
            file, parts = pending.pop()
            # A name that stands for a part of itself goes round with ever more parts.
            if (file.number, parts[0]) in seen:
                continue
            seen.add((file.number, parts[0]))
            qualname = "::".join(parts)
            if qualname in file.classes and qualname != besides:
                return file.number, qualname
            function = file.functions.get(None, {}).get(parts[0])
            if function is not None and len(parts) == 1:
                return function
            besides = None
            alias = file.scan.aliases.get(parts[0])
            if alias is not None:
                pending.append((file, alias.split(".") + parts[1:]))
                continue
            target = file.scan.imports.get(parts[0])
            if target is None:
                for star in reversed(file.scan.star_imports):
                    module = self.module(file, star, demand=demand)
                    if module is not None:
                        pending.append((module, parts))
                continue
            pending.extend(self.holders(file, ".".join((target, *parts[1:])), demand))
        return None

    def holders(self, file: File[T], dotted: str, demand: bool) -> list[tuple[File[T], list[str]]]:
        """Return the scanned module that holds *dotted* and what to look for in it, or nothing."""
        directory, name, absolute = self.start(file, dotted)
        if absolute and name.partition(".")[0] in sys.stdlib_module_names:
            return []
        parts = name.split(".")
        found = self.longest(directory, tuple(parts[:-1]), absolute)
        if demand and (found is None or not self.binds(found[0], parts[found[1]])):
            self.missing[Reference(directory, name, absolute)] = None
        return [] if found is None else [(found[0], parts[found[1] :])]

    def longest(self, directory: str, parts: tuple[str, ...], absolute: bool) -> tuple[File[T], int] | None:
        """Return the scanned module with the longest name that *parts* start with, and the name's length."""
        key = directory, parts, absolute
        if key not in self._nearest:
            self._nearest[key] = self._find_longest(directory, parts, absolute)
        return self._nearest[key]

    def _find_longest(self, directory: str, parts: tuple[str, ...], absolute: bool) -> tuple[File[T], int] | None:
        if absolute and not (parts and parts[0] in self._names):
            return None
        for root in _roots_above(directory) if absolute else (directory,):
            for length in range(len(parts), 0 if absolute else -1, -1):
                base = os.path.join(root, *parts[:length])
                module = self.at.get(base + ".py") if length else None
                module = module or self.at.get(os.path.join(base, "__init__.py"))
                if module is not None:
                    return module, length
        if not absolute:
            return None
        found = [
            (*self._below_roots[parts[:length]], length)
            for length in range(len(parts), 0, -1)
            if parts[:length] in self._below_roots
        ]
        # Of the first root that holds any of it, the longest name.
        _, _, module, length = min(found, key=lambda each: each[0], default=(0, 0, None, 0))
        return None if module is None else (module, length)

    def binds(self, module: File[T], name: str) -> bool:
        """Say whether *module* gives *name* a meaning that was scanned."""
        return (
            name in module.classes
            or name in module.scan.imports
            or name in module.scan.aliases
            or name in module.functions.get(None, {})
        )

    def module(self, file: File[T], dotted: str, *, demand: bool = True) -> File[T] | None:
        """Return the scanned module *dotted*."""
        directory, name, absolute = self.start(file, dotted)
        if absolute and name.partition(".")[0] in sys.stdlib_module_names:
            return None
        parts = name.split(".") if name else []
        if not absolute or parts[0] in self._names:
            for root in _roots_above(directory) if absolute else (directory,):
                base = os.path.join(root, *parts)
                for location in (base + ".py", os.path.join(base, "__init__.py")):
                    if location in self.at:
                        return self.at[location]
            if absolute and tuple(parts) in self._below_roots:
                return self._below_roots[tuple(parts)][2]
        if demand:
            self.missing[Reference(directory, name or "__init__", absolute)] = None
        return None

    def start(self, file: File[T], dotted: str) -> tuple[str, str, bool]:
        """Return the directory that the import of *dotted* starts from, the name, and whether it is absolute."""
        name = dotted.lstrip(".")
        level = len(dotted) - len(name)
        if not level:
            return file.root, name, True
        directory = file.directory
        for _ in range(level - 1):
            directory = os.path.dirname(directory)
        return directory, name, False

"""Decide which scanned functions are tests, as pytest would, by looking at all files together.

A class is followed to its bases through imports, across files. A method that several classes inherit is one
unit, where it is written; a method that every collected class overrides is none, since pytest never finds
it.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from .candidates import FileScan, FoundFunction
from .hierarchy import Hierarchy
from .imports import File, Key, Modules, Reference
from .model import Problem, Unit
from .naming import NamingRules

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Resolved(Generic[T]):
    """Hold the functions that are tests, in order of path and line."""

    functions: tuple[FoundFunction[T], ...]
    problems: tuple[Problem, ...] = ()
    not_found: tuple[str, ...] = ()
    """Node ids that were asked for and name no test."""
    missing: tuple[Reference, ...] = ()
    """Where bases and imported tests may lie; see `imports.support_files`."""
    candidates: int = 0
    """Functions with the name of a test, whether or not pytest finds them."""
    classes: int = 0
    """Classes that are collected."""

    @property
    def units(self) -> tuple[Unit, ...]:
        """Return the units of the functions."""
        return tuple(function.unit for function in self.functions)


def resolve_units(scans: Sequence[FileScan[T]], rules: NamingRules) -> Resolved[T]:
    """Keep the functions of *scans* that pytest would collect with *rules*, in order of path and line."""
    resolver: Resolver[T] = Resolver(rules)
    resolver.add(scans)
    return resolver.resolve()


class Resolver(Generic[T]):
    """Decide what of all scans is a test; scans can be added, and all of them are looked at again."""

    def __init__(self, rules: NamingRules) -> None:
        self.rules = rules
        self.modules: Modules[T] = Modules(rules)
        self.classes = Hierarchy(self.modules)
        self.functions = True
        self.kept: dict[tuple[int, str], FoundFunction[T]] = {}
        self.matched: set[tuple[int, str]] = set()
        self.collected: set[Key] = set()

    def add(self, scans: Iterable[FileScan[T]]) -> None:
        """Add *scans* to those that `resolve` looks at."""
        self.modules.add(scans)

    def references(self) -> tuple[Reference, ...]:
        """Return what may matter and is imported from files that were not added."""
        self.collect(functions=False)
        return tuple(self.modules.missing)

    def resolve(self) -> Resolved[T]:
        """Keep the functions that pytest would collect, in order of path and line."""
        self.collect(functions=True)
        files = self.modules.files
        functions = sorted(self.kept.values(), key=lambda f: (f.unit.path, f.unit.line, f.unit.qualname))
        return Resolved(
            tuple(functions),
            tuple(file.scan.problem for file in files if file.scan.problem is not None),
            tuple(
                f"{file.scan.path}::{name}"
                for file in files
                if file.scan.source is not None and file.scan.problem is None
                for name in file.scan.source.selected
                if (file.number, name) not in self.matched
            ),
            tuple(self.modules.missing),
            sum(len(file.scan.functions) for file in files),
            len(self.collected),
        )

    def collect(self, *, functions: bool) -> None:
        self.classes = Hierarchy(self.modules)
        self.functions = functions
        for found in (self.kept, self.matched, self.collected):
            found.clear()
        for file in self.modules.files:
            if not (file.scan.source is not None and file.scan.source.support):
                self.collect_module(file)

    def collect_module(self, file: File[T]) -> None:
        if file.scan.module_test_flag is False:
            return
        for name, function in file.functions.get(None, {}).items() if self.functions else ():
            self.take_function(file, name, function)
        for info in file.inner.get("", ()):
            if info.exported:
                self.take_class(file, info.name, (file.number, info.qualname))
        if not self.rules.collect_imported_tests:
            return
        for name, found in self.modules.imported(file):
            if isinstance(found, FoundFunction):
                self.take_function(file, name, found)
            elif found is not None:
                self.take_class(file, name, found)

    def take_function(self, file: File[T], name: str, function: FoundFunction[T]) -> None:
        if self.is_test(name, function, unittest=False):
            self.keep(file, name, function)

    def is_test(self, name: str, function: FoundFunction[T], *, unittest: bool) -> bool:
        if function.test_flag is False:
            return False
        if unittest:
            return name.startswith("test")
        return (self.rules.is_function(name) or function.test_flag is True) and not function.is_generator

    def keep(self, file: File[T], names: str, function: FoundFunction[T]) -> None:
        source = file.scan.source
        if source is not None and (source.selected or source.deselected):
            if source.selected:
                hits = [name for name in source.selected if names == name or names.startswith(name + "::")]
                self.matched.update((file.number, name) for name in hits)
                if not hits:
                    return
            if any(names.startswith(prefix) for prefix in source.deselected if "[" not in prefix):
                return
        self.kept.setdefault((id(function), function.unit.nodeid), function)

    def take_class(self, file: File[T], name: str, key: Key) -> None:
        classes = self.classes
        # A class can only hold itself in a reading that Python would refuse: it is not entered again.
        pending = [(name, name, key, frozenset([key]))]
        while pending:
            name, names, key, above = pending.pop()
            mro = classes.mro(key)
            flag = classes.test_flag(mro)
            unittest = classes.is_unittest(mro)
            if not unittest and not (self.rules.is_class(name) or flag is True):
                continue
            if flag is False or classes.is_abstract(mro) or (not unittest and classes.has_constructor(mro)):
                continue
            self.collected.add(key)
            found_any = False
            for method in classes.methods(mro) if self.functions else ():
                if not self.is_test(method.unit.name, method, unittest=unittest):
                    continue
                found_any = True
                self.keep(file, f"{names}::{method.unit.name}", method)
            if unittest:
                if not found_any and (run := classes.method(mro, "runTest")) is not None:
                    self.keep(file, f"{names}::runTest", run)
                continue
            for inner, inner_key in classes.inner_classes(mro):
                if inner_key not in above:
                    pending.append((inner, f"{names}::{inner}", inner_key, above | {inner_key}))

"""Decide which scanned functions are tests, as pytest would, by looking at all files together.

A class is followed to its bases through imports, across files. A method that several classes inherit is one
unit, where it is written; a method that every collected class overrides is none, since pytest never finds
it.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import builtins
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Generic, TypeVar

from .candidates import ClassInfo, FileScan, FoundFunction
from .discover import Discovery, SourcePath
from .model import Problem, Unit
from .naming import NamingRules, display_path
from .scope import last_name

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


@dataclass(frozen=True, slots=True)
class Resolved(Generic[T]):
    """Hold the functions that are tests, in order of path and line."""

    functions: tuple[FoundFunction[T], ...]
    problems: tuple[Problem, ...] = ()
    not_found: tuple[str, ...] = ()
    """Node ids that were asked for and name no test."""
    missing: tuple[Reference, ...] = ()
    """Where bases and imported tests may lie; see ``support_files``."""
    candidates: int = 0
    """Functions with the name of a test, whether or not pytest finds them."""
    classes: int = 0
    """Classes that are collected."""

    @property
    def units(self) -> tuple[Unit, ...]:
        """Return the units of the functions."""
        return tuple(function.unit for function in self.functions)


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


def resolve_units(scans: Sequence[FileScan[T]], rules: NamingRules) -> Resolved[T]:
    """Keep the functions of *scans* that pytest would collect with *rules*, in order of path and line."""
    return _Resolver(scans, rules).resolve()


@dataclass
class _File(Generic[T]):
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


_OWN_CONSTRUCTORS = frozenset(
    {
        name
        for name, kind in vars(builtins).items()
        if isinstance(kind, type) and kind is not object and vars(kind).keys() & {"__init__", "__new__"}
    }
    | {"Enum", "IntEnum", "StrEnum", "Flag", "IntFlag", "NamedTuple", "namedtuple", "TypedDict", "Thread"}
    | {"UserDict", "UserList", "UserString", "OrderedDict", "defaultdict", "Counter", "deque"}
)
"""Last names of bases outside the project that have a constructor of their own."""


class _Resolver(Generic[T]):
    def __init__(self, scans: Sequence[FileScan[T]], rules: NamingRules) -> None:
        self.rules = rules
        self.files = [_File(scan, number) for number, scan in enumerate(scans)]
        self.at = {file.location: file for file in self.files}
        self.other_roots = sorted({file.root for file in self.files})
        self.missing: dict[Reference, None] = {}
        self.nearest: dict[tuple[str, tuple[str, ...], bool], tuple[_File[T], int] | None] = {}
        self.base_keys: dict[Key, tuple[list[Key], list[str]]] = {}
        self.mros: dict[Key, tuple[Key, ...]] = {}
        self.kept: dict[tuple[int, str], FoundFunction[T]] = {}
        self.matched: set[tuple[int, str]] = set()
        self.collected: set[Key] = set()

    def resolve(self) -> Resolved[T]:
        for file in self.files:
            if not (file.scan.source is not None and file.scan.source.support):
                self.collect_module(file)
        functions = sorted(self.kept.values(), key=lambda f: (f.unit.path, f.unit.line, f.unit.qualname))
        return Resolved(
            tuple(functions),
            tuple(file.scan.problem for file in self.files if file.scan.problem is not None),
            tuple(
                f"{file.scan.path}::{name}"
                for file in self.files
                if file.scan.source is not None and file.scan.problem is None
                for name in file.scan.source.selected
                if (file.number, name) not in self.matched
            ),
            tuple(self.missing),
            sum(len(file.scan.functions) for file in self.files),
            len(self.collected),
        )

    # -- collection, as pytest's Module, Class and UnitTestCase do it

    def collect_module(self, file: _File[T]) -> None:
        if file.scan.module_test_flag is False:
            return
        for name, function in file.functions.get(None, {}).items():
            self.take_function(file, name, function)
        for info in file.inner.get("", ()):
            if info.exported:
                self.take_class(file, info.name, (file.number, info.qualname))
        if not self.rules.collect_imported_tests:
            return
        for name, found in self.imported(file):
            if isinstance(found, FoundFunction):
                self.take_function(file, name, found)
            elif found is not None:
                self.take_class(file, name, found)

    def imported(self, file: _File[T]) -> Iterator[tuple[str, Key | FoundFunction[T] | None]]:
        own = {info.name for info in file.inner.get("", ())} | file.functions.get(None, {}).keys()
        for name in (*file.scan.imports, *file.scan.aliases):
            if name not in own:
                yield name, self.lookup(file, [name], demand=self.is_telling(name))
        for star in file.scan.star_imports:
            module = self.module(file, star)
            for name in self.star_names(module) if module is not None else ():
                if name not in own and name not in file.scan.imports and module is not None:
                    yield name, self.lookup(module, [name], demand=self.is_telling(name))

    def is_telling(self, name: str) -> bool:
        """Say whether *name* promises a test, so that it is worth reading another file for it."""
        if self.rules.is_class(name) or self.rules.is_function(name):
            return True
        return name[:1].isupper() and "test" in name.lower()

    def star_names(self, module: _File[T]) -> list[str]:
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

    def take_function(self, file: _File[T], name: str, function: FoundFunction[T]) -> None:
        if self.is_test(name, function, unittest=False):
            self.keep(file, name, function)

    def is_test(self, name: str, function: FoundFunction[T], *, unittest: bool) -> bool:
        if function.test_flag is False:
            return False
        if unittest:
            return name.startswith("test")
        return (self.rules.is_function(name) or function.test_flag is True) and not function.is_generator

    def keep(self, file: _File[T], names: str, function: FoundFunction[T]) -> None:
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

    def take_class(self, file: _File[T], name: str, key: Key) -> None:
        # A class can only hold itself in a reading that Python would refuse: it is not entered again.
        pending = [(name, name, key, frozenset([key]))]
        while pending:
            name, names, key, above = pending.pop()
            mro = self.mro(key)
            flag = self.test_flag(mro)
            unittest = self.is_unittest(mro)
            if not unittest and not (self.rules.is_class(name) or flag is True):
                continue
            if flag is False or self.is_abstract(mro) or (not unittest and self.has_constructor(mro)):
                continue
            self.collected.add(key)
            found_any = False
            for method in self.methods(mro, unittest):
                found_any = True
                self.keep(file, f"{names}::{method.unit.name}", method)
            if unittest:
                if not found_any and (run := self.method(mro, "runTest")) is not None:
                    self.keep(file, f"{names}::runTest", run)
                continue
            for inner, inner_key in self.inner_classes(mro):
                if inner_key not in above:
                    pending.append((inner, f"{names}::{inner}", inner_key, above | {inner_key}))

    def methods(self, mro: Sequence[Key], unittest: bool) -> Iterator[FoundFunction[T]]:
        seen: set[str] = set()
        for number, qualname in mro:
            file = self.files[number]
            for name, function in file.functions.get(qualname, {}).items():
                if name not in seen and self.is_test(name, function, unittest=unittest):
                    yield function
            seen.update(self.names(file, qualname))

    def method(self, mro: Sequence[Key], name: str) -> FoundFunction[T] | None:
        for number, qualname in mro:
            file = self.files[number]
            if name in self.names(file, qualname):
                return file.functions.get(qualname, {}).get(name)
        return None

    def inner_classes(self, mro: Sequence[Key]) -> Iterator[tuple[str, Key]]:
        seen: set[str] = set()
        for number, qualname in mro:
            file = self.files[number]
            for info in file.inner.get(qualname, ()):
                if info.name not in seen and info.exported:
                    yield info.name, (number, info.qualname)
            seen.update(self.names(file, qualname))

    def names(self, file: _File[T], qualname: str) -> frozenset[str]:
        known = file.taken.get(qualname)
        if known is None:
            info = file.classes[qualname]
            inner = (inner.name for inner in file.inner.get(qualname, ()))
            known = file.taken[qualname] = frozenset((*info.methods, *info.bound, *inner))
        return known

    # -- facts about a class, from its method resolution order

    def info(self, key: Key) -> ClassInfo:
        return self.files[key[0]].classes[key[1]]

    def test_flag(self, mro: Sequence[Key]) -> bool | None:
        for key in mro:
            info = self.info(key)
            if info.test_flag is not None or "__test__" in info.bound:
                return info.test_flag
        return None

    def is_unittest(self, mro: Sequence[Key]) -> bool:
        return any(base.endswith("TestCase") for key in mro for base in self.bases(key)[1])

    def has_constructor(self, mro: Sequence[Key]) -> bool:
        return any(
            self.info(key).has_init
            or self.info(key).has_new
            or any(last_name(base) in _OWN_CONSTRUCTORS for base in self.bases(key)[1])
            for key in mro
        )

    def is_abstract(self, mro: Sequence[Key]) -> bool:
        if not any(
            last_name(self.info(key).metaclass or "") == "ABCMeta"
            or any(last_name(base) in ("ABC", "Protocol") for base in self.bases(key)[1])
            for key in mro
        ):
            return False
        seen: set[str] = set()
        for key in mro:
            if any(name not in seen for name in self.info(key).abstract):
                return True
            seen.update(self.names(self.files[key[0]], key[1]))
        return False

    def mro(self, key: Key) -> tuple[Key, ...]:
        """Linearise the known bases of *key* (C3); a base outside the files is left out of the order."""
        stack, active = [key], set()
        while stack:
            top = stack[-1]
            if top in self.mros:
                stack.pop()
                continue
            bases = self.bases(top)[0]
            pending = [base for base in bases if base not in self.mros and base not in active and base != top]
            if pending and top not in active:
                active.add(top)
                stack.extend(pending)
                continue
            bases = [base for base in bases if base != top]
            orders = [self.mros.get(base, (base,)) for base in bases]
            self.mros[top] = (top, *(orders[0] if len(orders) == 1 else _merge([*orders, tuple(bases)])))
            stack.pop()
        return self.mros[key]

    def bases(self, key: Key) -> tuple[list[Key], list[str]]:
        """Return the bases that lie in the files, and the dotted names of the others."""
        known = self.base_keys.get(key)
        if known is not None:
            return known
        file, info = self.files[key[0]], self.info(key)
        demand = self.is_relevant(file, info)
        keys: list[Key] = []
        others: list[str] = []
        for base in info.bases:
            found = self.base(file, info, base, demand)
            if found is None:
                others.append(self.full_name(file, base))
            elif found not in keys:
                keys.append(found)
        self.base_keys[key] = keys, others
        return keys, others

    def is_relevant(self, file: _File[T], info: ClassInfo) -> bool:
        """Say whether the bases of a class can make a difference, so that other files are worth reading."""
        if self.is_telling(info.name) or info.qualname in file.functions:
            return True
        return any(self.is_telling(last_name(base)) for base in info.bases)

    def base(self, file: _File[T], info: ClassInfo, base: str, demand: bool) -> Key | None:
        if not base or base.endswith("()"):
            return None
        parts = base.split(".")
        outer = info.qualname.rpartition("::")[0]
        while outer:
            nested = "::".join((outer, *parts))
            if nested in file.classes and nested != info.qualname:
                return file.number, nested
            outer = outer.rpartition("::")[0]
        found = self.lookup(file, parts, demand=demand, besides=info.qualname)
        return found if isinstance(found, tuple) else None

    def full_name(self, file: _File[T], base: str) -> str:
        head, dot, rest = base.partition(".")
        return file.scan.imports.get(head.removesuffix("()"), head) + dot + rest

    # -- names to classes and functions, through imports

    def lookup(
        self, file: _File[T], parts: list[str], *, demand: bool, besides: str | None = None
    ) -> Key | FoundFunction[T] | None:
        """Find what *parts* name in the module *file*; a miss in another file is noted if *demand* is set."""
        seen: set[tuple[int, str]] = set()
        pending: list[tuple[_File[T], list[str]]] = [(file, parts)]
        while pending:
            file, parts = pending.pop()
            if (file.number, ".".join(parts)) in seen:
                continue
            seen.add((file.number, ".".join(parts)))
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

    def holders(self, file: _File[T], dotted: str, demand: bool) -> list[tuple[_File[T], list[str]]]:
        """Return the scanned module that holds *dotted* and what to look for in it, or nothing."""
        directory, name, absolute = self.start(file, dotted)
        if absolute and name.partition(".")[0] in sys.stdlib_module_names:
            return []
        parts = name.split(".")
        found = self.longest(directory, tuple(parts[:-1]), absolute)
        if demand and (found is None or not self.binds(found[0], parts[found[1]])):
            self.missing[Reference(directory, name, absolute)] = None
        return [] if found is None else [(found[0], parts[found[1] :])]

    def longest(self, directory: str, parts: tuple[str, ...], absolute: bool) -> tuple[_File[T], int] | None:
        """Return the scanned module with the longest name that *parts* start with, and the name's length."""
        key = directory, parts, absolute
        if key not in self.nearest:
            self.nearest[key] = None
            for root in (*_roots_above(directory), *self.other_roots) if absolute else (directory,):
                for length in range(len(parts), 0 if absolute else -1, -1):
                    base = os.path.join(root, *parts[:length])
                    module = self.at.get(base + ".py") if length else None
                    module = module or self.at.get(os.path.join(base, "__init__.py"))
                    if module is not None:
                        self.nearest[key] = module, length
                        return module, length
        return self.nearest[key]

    def binds(self, module: _File[T], name: str) -> bool:
        return (
            name in module.classes
            or name in module.scan.imports
            or name in module.scan.aliases
            or name in module.functions.get(None, {})
        )

    def module(self, file: _File[T], dotted: str, *, demand: bool = True) -> _File[T] | None:
        """Return the scanned module *dotted*."""
        directory, name, absolute = self.start(file, dotted)
        if absolute and name.partition(".")[0] in sys.stdlib_module_names:
            return None
        parts = name.split(".") if name else []
        for root in (*_roots_above(directory), *self.other_roots) if absolute else (directory,):
            base = os.path.join(root, *parts)
            for location in (base + ".py", os.path.join(base, "__init__.py")):
                if location in self.at:
                    return self.at[location]
        if demand:
            self.missing[Reference(directory, name or "__init__", absolute)] = None
        return None

    def start(self, file: _File[T], dotted: str) -> tuple[str, str, bool]:
        name = dotted.lstrip(".")
        level = len(dotted) - len(name)
        if not level:
            return file.root, name, True
        directory = file.directory
        for _ in range(level - 1):
            directory = os.path.dirname(directory)
        return directory, name, False


def _merge(orders: Sequence[tuple[Key, ...]]) -> Iterator[Key]:
    """Merge linearisations (C3); an order that Python would refuse falls back to the first that is left."""
    lines = [list(order) for order in orders if order]
    while lines:
        for line in lines:
            head = line[0]
            if not any(head in other[1:] for other in lines):
                break
        else:
            head = lines[0][0]
        yield head
        lines = [rest for line in lines if (rest := [key for key in line if key != head])]

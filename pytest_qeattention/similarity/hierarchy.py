"""Facts about classes, from their bases in all scanned files.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

from .candidates import ClassInfo, FoundFunction
from .imports import File, Key, Modules
from .scope import last_name

T = TypeVar("T")

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


class Hierarchy(Generic[T]):
    """Answer what a class inherits; a class is named by its file's number and its qualified name."""

    def __init__(self, modules: Modules[T]) -> None:
        self.modules = modules
        self.files = modules.files
        self._bases: dict[Key, tuple[list[Key], list[str]]] = {}
        self._mros: dict[Key, tuple[Key, ...]] = {}

    def info(self, key: Key) -> ClassInfo:
        """Return what the scan says of the class."""
        return self.files[key[0]].classes[key[1]]

    def test_flag(self, mro: Sequence[Key]) -> bool | None:
        """Return the nearest ``__test__``; None where there is none, or its value is not known."""
        for key in mro:
            info = self.info(key)
            if info.test_flag is not None or "__test__" in info.bound:
                return info.test_flag
        return None

    def is_unittest(self, mro: Sequence[Key]) -> bool:
        """Say whether a base outside the files is a ``TestCase``."""
        return any(base.endswith("TestCase") for key in mro for base in self.bases(key)[1])

    def has_constructor(self, mro: Sequence[Key]) -> bool:
        """Say whether the class has ``__init__`` or ``__new__``, which pytest refuses."""
        return any(
            self.info(key).has_init
            or self.info(key).has_new
            or any(last_name(base) in _OWN_CONSTRUCTORS for base in self.bases(key)[1])
            for key in mro
        )

    def is_abstract(self, mro: Sequence[Key]) -> bool:
        """Say whether an abstract method is left without a body."""
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
            seen.update(self._names(self.files[key[0]], key[1]))
        return False

    def mro(self, key: Key) -> tuple[Key, ...]:
        """Linearise the known bases of *key* (C3); a base outside the files is left out of the order."""
        stack, active = [key], set()
        while stack:
            top = stack[-1]
            if top in self._mros:
                stack.pop()
                continue
            bases = self.bases(top)[0]
            pending = [base for base in bases if base not in self._mros and base not in active and base != top]
            if pending and top not in active:
                active.add(top)
                stack.extend(pending)
                continue
            bases = [base for base in bases if base != top]
            orders = [self._mros.get(base, (base,)) for base in bases]
            self._mros[top] = (top, *(orders[0] if len(orders) == 1 else _merge([*orders, tuple(bases)])))
            stack.pop()
        return self._mros[key]

    def bases(self, key: Key) -> tuple[list[Key], list[str]]:
        """Return the bases that lie in the files, and the dotted names of the others."""
        known = self._bases.get(key)
        if known is not None:
            return known
        file, info = self.files[key[0]], self.info(key)
        demand = self._is_relevant(file, info)
        keys: list[Key] = []
        others: list[str] = []
        for base in info.bases:
            found = self._base(file, info, base, demand)
            if found is None:
                others.append(self._full_name(file, base))
            elif found not in keys:
                keys.append(found)
        self._bases[key] = keys, others
        return keys, others

    def _is_relevant(self, file: File[T], info: ClassInfo) -> bool:
        """Say whether the bases of a class can make a difference, so that other files are worth reading."""
        if self.modules.is_telling(info.name) or info.qualname in file.functions:
            return True
        return any(self.modules.is_telling(last_name(base)) for base in info.bases)

    def _base(self, file: File[T], info: ClassInfo, base: str, demand: bool) -> Key | None:
        if not base or base.endswith("()"):
            return None
        parts = base.split(".")
        outer = info.qualname.rpartition("::")[0]
        while outer:
            nested = "::".join((outer, *parts))
            if nested in file.classes and nested != info.qualname:
                return file.number, nested
            outer = outer.rpartition("::")[0]
        found = self.modules.lookup(file, parts, demand=demand, besides=info.qualname)
        return found if isinstance(found, tuple) else None

    def _full_name(self, file: File[T], base: str) -> str:
        head, dot, rest = base.partition(".")
        return file.scan.imports.get(head.removesuffix("()"), head) + dot + rest

    def methods(self, mro: Sequence[Key]) -> Iterator[FoundFunction[T]]:
        """Yield the methods of the class whose order is *mro* that no class before theirs hides."""
        seen: set[str] = set()
        for number, qualname in mro:
            file = self.files[number]
            for name, function in file.functions.get(qualname, {}).items():
                if name not in seen:
                    yield function
            if len(mro) > 1:
                seen.update(self._names(file, qualname))

    def method(self, mro: Sequence[Key], name: str) -> FoundFunction[T] | None:
        """Return the method that the class has under *name*, None if it has none or that is no function listed."""
        for number, qualname in mro:
            file = self.files[number]
            if name in self._names(file, qualname):
                return file.functions.get(qualname, {}).get(name)
        return None

    def inner_classes(self, mro: Sequence[Key]) -> Iterator[tuple[str, Key]]:
        """Yield name and key of the classes inside the class, those of its bases among them."""
        seen: set[str] = set()
        for number, qualname in mro:
            file = self.files[number]
            for info in file.inner.get(qualname, ()):
                if info.name not in seen and info.exported:
                    yield info.name, (number, info.qualname)
            seen.update(self._names(file, qualname))

    def _names(self, file: File[T], qualname: str) -> frozenset[str]:
        known = file.taken.get(qualname)
        if known is None:
            info = file.classes[qualname]
            inner = (inner.name for inner in file.inner.get(qualname, ()))
            known = file.taken[qualname] = frozenset((*info.methods, *info.bound, *inner))
        return known


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

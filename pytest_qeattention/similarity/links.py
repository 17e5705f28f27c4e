"""Which functions each function of some files refers to, told from the names that it uses.

No type is known: a name refers to each function, or constructor of a class, that could be meant, the less to each the
more there are. Names of the own module and methods of the own class come first. A test also refers to its fixtures and
to the setup of its class.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pytest_qeattention.similarity.outlines import FunctionOutline, Outline

# A name that more functions have says nothing of which is meant.
MOST_MEANT = 30
MOST_CLASSES = 10
# Of the setup of a class, of which no test says that it needs it.
SETUP_WEIGHT = 0.5
SETUP = ("setUp", "asyncSetUp", "setUpClass", "setup_method", "setup_class", "setup", "tearDown", "teardown_method")
_CONSTRUCTORS = ("__init__", "__new__", "__post_init__")

IntArray = npt.NDArray[np.int32]
FloatArray = npt.NDArray[np.float64]
_Shares = list[tuple[int, float]]
"""Numbers of functions, and the share that each has in what a name may mean."""


@dataclass(frozen=True, slots=True, eq=False)
class Links:
    """Hold which of n functions each refers to, m references in all."""

    counts: IntArray
    """Number of functions that each refers to, int32 (n,)."""
    targets: IntArray
    """Numbers of those, of one function after the other, int32 (m,)."""
    weights: FloatArray
    """Share of each in what a name may mean, float64 (m,) from 0 to 1."""


def link(outlines: Iterable[Outline]) -> Links:
    """Return which of the functions of all *outlines*, counted through in their order, each refers to."""
    linker = _Linker()
    for outline in outlines:
        linker.add(outline)
    counts, targets, weights = array("i"), array("i"), array("d")
    for file in linker.files:
        names = _NamesOfFile(linker, file)
        for number, function in zip(file.numbers, file.outline.functions, strict=True):
            shares = names.referred(function)
            shares.pop(number, None)
            counts.append(len(shares))
            targets.extend(shares.keys())
            weights.extend(shares.values())
    return Links(np.array(counts, np.int32), np.array(targets, np.int32), np.array(weights, np.float64))


@dataclass(frozen=True, slots=True, eq=False)
class _File:
    outline: Outline
    numbers: range
    """Of its functions."""


@dataclass(frozen=True, slots=True, eq=False)
class _Class:
    file: _File
    bases: tuple[str, ...]
    methods: dict[str, int]


class _Linker:
    """Find what names may mean anywhere."""

    def __init__(self) -> None:
        self.files: list[_File] = []
        self.by_name: defaultdict[str, list[int]] = defaultdict(list)
        """Functions and methods."""
        self.plain: defaultdict[str, list[int]] = defaultdict(list)
        """Functions of modules."""
        self.fixtures: defaultdict[str, list[int]] = defaultdict(list)
        self._classes: defaultdict[str, list[_Class]] = defaultdict(list)
        self._attributes: dict[str, _Shares] = {}
        self._constructors: dict[str, _Shares] = {}

    def add(self, outline: Outline) -> None:
        """Take what a file holds."""
        start = self.files[-1].numbers.stop if self.files else 0
        file = _File(outline, range(start, start + len(outline.functions)))
        self.files.append(file)
        for number, function in zip(file.numbers, outline.functions, strict=True):
            if function.is_fixture:
                self.fixtures[function.name].append(number)
                continue
            self.by_name[function.name].append(number)
            if not function.owner:
                self.plain[function.name].append(number)
        for each in outline.classes:
            methods = {name: start + place for name, place in each.methods.items()}
            self._classes[each.name].append(_Class(file, each.bases, methods))

    def attribute(self, name: str) -> _Shares:
        """Return what an attribute of anything may mean: functions, and constructors."""
        known = self._attributes.get(name)
        if known is None:
            known = self._attributes[name] = [*shared(self.methods_of_any(name)), *self.constructors(name)]
        return known

    def methods_of_any(self, name: str) -> Sequence[int]:
        meant = self.by_name.get(name, ())
        return meant if len(meant) <= MOST_MEANT and not name.startswith("test") else ()

    def constructors(self, name: str) -> _Shares:
        """Return the constructors of the classes of that name."""
        known = self._constructors.get(name)
        if known is None:
            known = self._constructors[name] = []
            classes = self._classes.get(name, ())
            if len(classes) <= MOST_CLASSES:
                for each in classes:
                    for constructor in _CONSTRUCTORS:
                        known.extend(shared(self.methods(name, constructor, each.file), 1 / len(classes)))
        return known

    def methods(self, owner: str, name: str, file: _File) -> list[int]:
        """Return what *name* may mean in the class *owner* of *file*, or in those above it."""
        found: dict[int, None] = {}
        pending, seen = [(owner, file)], {owner}
        while pending:
            at, place = pending.pop()
            classes = self._classes.get(at, [])
            for each in [each for each in classes if each.file is place] or classes[:MOST_CLASSES]:
                if name in each.methods:
                    found[each.methods[name]] = None
                else:
                    pending.extend((base, each.file) for base in each.bases if base not in seen)
                    seen.update(each.bases)
        return list(found)


class _NamesOfFile:
    """Find what names may mean in one file."""

    def __init__(self, linker: _Linker, file: _File) -> None:
        self._linker = linker
        self._file = file
        self._names: dict[str, _Shares] = {}
        self._own: dict[tuple[str, str], _Shares] = {}

    def referred(self, function: FunctionOutline) -> dict[int, float]:
        """Return the functions that one of the file refers to, each with its largest share."""
        linker, owner = self._linker, function.owner
        found: dict[int, float] = {}

        def add(shares: _Shares) -> None:
            for number, share in shares:
                if share > found.get(number, 0.0):
                    found[number] = share

        for name in function.names:
            add(self._named(name))
        for name in function.own:
            add(self._owned(owner, name))
        for name in function.attributes:
            add(linker.attribute(name))
        is_test = function.name.startswith("test")
        if function.is_fixture or is_test:
            for name in function.arguments:
                add(shared(self._nearest(linker.fixtures.get(name, ()))))
        if is_test and owner:
            for name in SETUP:
                add(shared(linker.methods(owner, name, self._file), SETUP_WEIGHT))
        return found

    def _named(self, name: str) -> _Shares:
        known = self._names.get(name)
        if known is None:
            meant = self._file.outline.imports.get(name, name)
            plain = self._nearest(self._linker.plain.get(meant, ()))
            functions = shared(plain) if len(plain) <= MOST_MEANT else []
            known = self._names[name] = [*functions, *self._linker.constructors(meant)]
        return known

    def _owned(self, owner: str, name: str) -> _Shares:
        known = self._own.get((owner, name))
        if known is None:
            methods = self._linker.methods(owner, name, self._file) if owner else []
            known = self._own[owner, name] = shared(methods or self._linker.methods_of_any(name))
        return known

    def _nearest(self, functions: Sequence[int]) -> Sequence[int]:
        """Return those of this file, or all where it has none of them."""
        return [number for number in functions if number in self._file.numbers] or functions


def shared(meant: Sequence[int], weight: float = 1.0) -> _Shares:
    """Return *meant*, each with its share of *weight*."""
    return [(number, weight / len(meant)) for number in meant]

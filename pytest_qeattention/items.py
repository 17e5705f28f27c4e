"""From what pytest collected to where it is written.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import functools
import os
import types
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pytest_qeattention.similarity.candidates import source_digest
from pytest_qeattention.similarity.model import Problem
from pytest_qeattention.similarity.naming import display_path
from pytest_qeattention.similarity.suite import Located
from pytest_qeattention.wording import counted, first_names

# Decorators nest a handful deep; the limit only ends chains that run in a circle.
_MAX_LAYERS = 100


@dataclass(frozen=True, slots=True)
class Collection:
    """Hold where the collected tests are written, in order of path and line, and what has no such place."""

    located: tuple[Located, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Number of items by reason: ``doctest``, ``not python``, ``no source``."""
    sourceless: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Qualified names of the tests counted as ``no source``, by absolute path of the file they were collected from."""
    digests: Mapping[str, str] = field(default_factory=dict)
    """`source_digest` of the files in *located*, as imported; a file that could not be read has none."""


class Imports:
    """Remember what the test files held when pytest imported them."""

    def __init__(self) -> None:
        self._digests: dict[str, str] = {}

    def note(self, path: Path) -> None:
        """Read the file *path*, which is about to be imported."""
        name = os.path.abspath(path)
        digest = _file_digest(name)
        if digest is not None:
            # The first import counts: a module is not imported a second time.
            self._digests.setdefault(name, digest)

    def digests(self, located: Iterable[Located]) -> dict[str, str]:
        """Return the digest of each file in *located*; one that was not noted is read now."""
        found: dict[str, str] = {}
        for path in sorted({place.path for place in located}):
            digest = self._digests.get(path) or _file_digest(path)
            if digest is not None:
                found[path] = digest
        return found


def collect(items: Iterable[pytest.Item], imports: Imports) -> Collection:
    """Locate every item; parametrised instances and inherited methods share one place."""
    places: set[Located] = set()
    left_out: Counter[str] = Counter()
    sourceless: defaultdict[str, set[str]] = defaultdict(set)
    is_file = functools.cache(os.path.isfile)
    absolute = functools.cache(os.path.abspath)
    for item in items:
        if isinstance(item, pytest.DoctestItem):
            left_out["doctest"] += 1
        elif not isinstance(item, pytest.Function):
            left_out["not python"] += 1
        else:
            function = written_function(item.obj, getattr(item, "originalname", None) or item.name)
            # What exec, templates and notebooks compile has no Python file to read it from.
            if function is None or not (
                function.__code__.co_filename.endswith((".py", ".pyw")) and is_file(function.__code__.co_filename)
            ):
                left_out["no source"] += 1
                sourceless[os.path.abspath(item.path)].add(_qualname(item))
            else:
                places.add(_located(function, absolute))
    located = tuple(sorted(places, key=sort_key))
    return Collection(
        located,
        dict(sorted(left_out.items())),
        {path: tuple(sorted(names)) for path, names in sorted(sourceless.items())},
        imports.digests(located),
    )


def sourceless_problems(collection: Collection, root: Path) -> list[Problem]:
    """Name each file whose tests have no Python source, once, by its path relative to *root*."""
    problems = []
    for path, names in collection.sourceless.items():
        verb = "has" if len(names) == 1 else "have"
        message = f"{counted(len(names), 'test')} {verb} no Python source to read ({first_names(names)}): left out"
        problems.append(Problem(display_path(Path(path), root), message))
    return problems


def sort_key(place: Located) -> tuple[str, int, str]:
    """Order places by path, line and name."""
    return place.path, -1 if place.line is None else place.line, place.qualname


def written_function(obj: object, name: str) -> types.FunctionType | None:
    """Return the function that was written as the test *name*, under all its decorators, or None.

    Looks through bound, static and class methods, partials, chains of functools.wraps, hypothesis' inner test
    and the ``place_as`` convention of generated tests, and takes the test out of a wrapper that did not use
    functools.wraps.
    """
    for _ in range(_MAX_LAYERS):
        inner = _inner(obj, name)
        if inner is None:
            break
        obj = inner
    if not isinstance(obj, types.FunctionType) or obj.__code__.co_name == "<lambda>":
        return None
    return obj


def _inner(obj: object, name: str) -> object | None:
    if isinstance(obj, (types.MethodType, staticmethod, classmethod)):
        return obj.__func__
    if isinstance(obj, (functools.partial, functools.partialmethod)):
        return obj.func
    # Read from the instance dictionary, because mocks and proxies answer to any attribute.
    attributes: object = getattr(obj, "__dict__", None)
    if not isinstance(attributes, dict):
        return None
    inner: object = getattr(attributes.get("hypothesis"), "inner_test", None)
    candidate: object
    for candidate in (inner, attributes.get("__wrapped__"), attributes.get("place_as")):
        if candidate is not None and candidate is not obj:
            return candidate
    if isinstance(obj, types.FunctionType) and obj.__code__.co_name != name:
        return _enclosed(obj, name)
    return None


def _enclosed(wrapper: types.FunctionType, name: str) -> types.FunctionType | None:
    """Return the function *name* that a wrapper closes over."""
    for cell in wrapper.__closure__ or ():
        try:
            content = cell.cell_contents
        except ValueError:
            continue
        if isinstance(content, types.FunctionType) and content is not wrapper and content.__name__ == name:
            return content
    return None


def _located(function: types.FunctionType, absolute: Callable[[str], str]) -> Located:
    # Given when the ``def`` ran, so it names the class that has the method, not one that inherits it.
    qualname = "::".join(part for part in function.__qualname__.split(".") if part != "<locals>")
    code = function.__code__
    return Located(path=absolute(code.co_filename), qualname=qualname, line=code.co_firstlineno)


def _qualname(item: pytest.Function) -> str:
    classes = [node.name for node in item.listchain() if isinstance(node, pytest.Class)]
    return "::".join((*classes, item.originalname or item.name))


def _file_digest(path: str) -> str | None:
    try:
        return source_digest(Path(path).read_bytes())
    except OSError:
        # The analysis will meet the same file, and name it.
        return None

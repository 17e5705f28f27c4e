"""Frames of a text from another machine: paths made comparable, and the role of each by what its path looks like.

Nothing is looked up on this machine: a path in a file is text alone.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache

from pytest_qeattention.defects.frames import Roles
from pytest_qeattention.defects.record import Frame, Role
from pytest_qeattention.defects.stack import CALLERS_OF_FIXTURES, without_machinery
from pytest_qeattention.defects.traceback_text import Place

_LONGEST_PATH = 1_000
_NOWHERE = "/<unknown>"
"""A root directory that no path of a traceback is below: what is below the real one is made relative first."""
_FOREIGN_STDLIB = re.compile(r"^(?:java|javax|jdk|sun|com/sun)/|^node:|^internal/|/go/src/(?:testing|runtime)/")
_FOREIGN_PACKAGES = re.compile(
    r"(?:^|/)(?:node_modules|vendor|go/pkg/mod)/|^(?:org/(?:junit|gradle|apache)|kotlin|scala|groovy)/"
)
_FOREIGN_TEST = re.compile(
    r"\.(?:test|spec)\.[cm]?[jt]sx?$|_test\.(?:go|cc|cpp|cxx)$|(?:^|/)(?:tests?|__tests__|spec)/"
    r"|(?:^|/)(?:Test\w*|\w+(?:Tests?|IT|TestCase))\.(?:java|kt|groovy|scala)$"
)
_INSTALLED = ("site-packages/", "<stdlib>/")


class GuessedPlaces:
    """Turn what a text says of a place into a frame; learns from paths of tests where the project is."""

    def __init__(self) -> None:
        self._root = ""
        self._is_certain = False
        self._roles = Roles(_NOWHERE)
        # Failures of one cause share nearly all of their frames.
        self._known = lru_cache(maxsize=8_192)(self._frame)

    def own(self, paths: Iterable[str]) -> list[str]:
        """Return those of *paths* that may be of the project, relative to its directory where that is known."""
        return [self._below_root(path) for path in paths if not self._is_of_others(_slashed(path))]

    def learn(self, paths: Iterable[str], test_path: str) -> None:
        """Find the directory of the project: by *test_path*, which is relative to it, among absolute paths.

        Where nothing is known of it, the directory that all code of the project is below has to do.
        """
        slashed = list(map(_slashed, paths))
        own = [path for path in slashed if is_absolute(path) and not self._is_of_others(path)]
        root = next((path[: -len(test_path)] for path in own if test_path and path.endswith("/" + test_path)), "")
        is_certain = bool(root)
        if not root and not self._root and all(map(is_absolute, slashed)):
            root = _shared_directory(own)
        if root and not self._is_certain:
            self._root, self._is_certain = root, is_certain
            self._known.cache_clear()

    def display(self, path: str) -> str:
        """Return *path* as it reads on every machine."""
        path = self._below_root(path)
        return self._roles.display(path) if _is_python(path) else path.removeprefix("./")

    def frames(self, places: Sequence[Place]) -> list[Frame]:
        """Return the frames of a stack, outermost first, without those of the machinery that called the test."""
        marked = [
            replace(place, is_fixture=True) if at and _calls_fixture(places[at - 1]) else place
            for at, place in enumerate(places)
        ]
        return without_machinery(list(map(self._known, marked)))

    def _frame(self, place: Place) -> Frame:
        return Frame.of(self.display(place.path), place.line, place.function, place.statement, self._role(place))

    def _below_root(self, path: str) -> str:
        path = _slashed(path)[-_LONGEST_PATH:]
        return path[len(self._root) :] if self._root and path.startswith(self._root) else path

    def _role(self, place: Place) -> Role:
        path = self._below_root(place.path)
        if _is_python(path):
            return self._roles.role(path, place.function, place.is_fixture)
        if _FOREIGN_STDLIB.search(path):
            return "stdlib"
        if _FOREIGN_PACKAGES.search(path):
            return "third party"
        return "test" if _FOREIGN_TEST.search(path) else "product"

    def _is_of_others(self, path: str) -> bool:
        return self._roles.display(path).startswith(_INSTALLED)


def _slashed(path: str) -> str:
    return path.replace("\\", "/")


def is_absolute(path: str) -> bool:
    return path.startswith("/") or path[1:3] == ":/"


def _is_python(path: str) -> bool:
    return path.endswith((".py", ".pyx", ".pyi")) or path.startswith("<")


def _shared_directory(paths: Iterable[str]) -> str:
    """Return the longest directory that all *paths* are below, with its slash; not that of tests alone."""
    parts = [path.split("/")[:-1] for path in paths]
    if not parts:
        return ""
    shared: list[str] = []
    for names in zip(*parts, strict=False):
        if len(set(names)) > 1:
            break
        shared.append(names[0])
    while shared and shared[-1] in ("test", "tests", "testing"):
        shared.pop()
    return "/".join([*shared, ""])


def _calls_fixture(place: Place) -> bool:
    return _slashed(place.path).endswith("/_pytest/fixtures.py") and place.function in CALLERS_OF_FIXTURES

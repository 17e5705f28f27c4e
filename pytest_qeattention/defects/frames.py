"""Whose code a frame of a traceback is, and the path that it is shown by.

Paths decide, as text: tracebacks come from other machines too. Nothing of a path that differs between machines is
shown.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import os
import re
import sysconfig
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Literal, TypeVar

_Item = TypeVar("_Item")

Role = Literal["product", "test", "fixture", "helper", "third party", "stdlib"]
ROLES: tuple[Role, ...] = ("product", "test", "fixture", "helper", "third party", "stdlib")

_SITE = frozenset(("site-packages", "dist-packages"))
_ENVIRONMENTS = frozenset(
    (".venv", "venv", ".tox", ".nox", ".eggs", "__pypackages__", "node_modules", ".pixi", ".direnv")
)
_ARCHIVE = re.compile(r"\.(?:zip|egg|whl|pex|pyz|par|shiv)$")
_STDLIB_ARCHIVE = re.compile(r"^python3\d+t?\.zip$")
_STDLIB = re.compile(r"(?:^|/)lib(?:64)?/(?:python|pypy)3(?:\.\d+)?t?/(?=.)")
_STDLIB_OF_WINDOWS = re.compile(r"(?:^|/)(?:python|pypy)[^/]*/(?:[^/]+/){0,2}lib/(?=.)", re.IGNORECASE)
_DRIVE = re.compile(r"^[A-Za-z]:/")
_PSEUDO = re.compile(r"^<.*>$", re.DOTALL)
_FROZEN = re.compile(r"^<frozen ([\w.]+)>$")
_DIRECTORY_OF_TESTS = re.compile(
    r"(?:^|[_-])(?:unit|functional|integration)?_?tests?(?:ing)?$|^tests?[_-]|^t$", re.IGNORECASE
)
_TEST_FILE = re.compile(r"^(?:test_.*|.*_test|tests)\.py$")
_XUNIT = re.compile(
    r"(?:setUp|tearDown)(?:Class|Module)?|async(?:SetUp|TearDown)"
    r"|(?:setup|teardown)(?:_(?:method|class|module|function))?"
)
_ANONYMOUS = frozenset(("<module>", "<lambda>", "<listcomp>", "<genexpr>", "<dictcomp>", "<setcomp>"))
_SHOWN_OUTSIDE = 3
_LONGEST_CYCLE = 4


class Roles:
    """Say of frames whose code they are, and show their paths, for one project.

    *rootdir* is its root directory, *test_files* its files with tests (absolute or relative to it), as far as they
    are known; without them the names of files decide. *prefixes* are the names of its packages and modules, by which
    an installed copy of the project is known. *test_functions* are the prefixes of the names of tests.
    """

    def __init__(
        self,
        rootdir: str | os.PathLike[str],
        test_files: Iterable[str] = (),
        prefixes: Iterable[str] = (),
        *,
        test_functions: tuple[str, ...] = ("test",),
    ) -> None:
        root = _slashed(os.fspath(rootdir))
        self._roots = tuple(dict.fromkeys((root, _slashed(os.path.realpath(root)))))
        self._prefixes = frozenset(prefixes)
        self._test_functions = test_functions
        self._stdlib = tuple(
            path
            for path in dict.fromkeys(_slashed(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib"))
            if not any(_is_below(root, path) for root in self._roots)
        )
        self._test_files = frozenset(self._relative(_slashed(path)) or _slashed(path) for path in test_files)
        self._places = lru_cache(maxsize=10_000)(self._find)

    def display(self, path: str) -> str:
        """Return *path* as a record holds it, with forward slashes.

        That is relative to the root directory; from ``site-packages`` on; ``<stdlib>/json/decoder.py``; what
        stands in an archive from there on; ``<outside>`` and the last three parts for all else.
        """
        return self._places(path)[1]

    def role(self, path: str, qualname: str, is_fixture: bool = False) -> Role:
        """Return whose code function *qualname* of file *path* is.

        A function of a test file that is no test, and one of a conftest or of a directory of tests, is a helper
        unless it is a fixture; so is none of the product. Code without a file is the standard library's: nearly all
        of it is made by ``dataclasses`` and ``namedtuple``.
        """
        place, shown = self._places(path)
        if place != "project":
            return "third party" if place == "third party" else "stdlib"
        kind = self._kind(shown)
        # A function within a test has the name that a printed traceback gives it, which says no more.
        name = qualname.rpartition(".")[2]
        if is_fixture or (kind != "product" and _XUNIT.fullmatch(name)):
            return "fixture"
        if kind == "tests" and (name.startswith(self._test_functions) or name in _ANONYMOUS):
            return "test"
        return "product" if kind == "product" else "helper"

    def _kind(self, shown: str) -> Literal["tests", "support", "product"]:
        directory, _, name = shown.rpartition("/")
        if shown in self._test_files or (not self._test_files and _TEST_FILE.match(name)):
            return "tests"
        if name == "conftest.py" or self._is_of_tests(directory):
            return "support"
        return "product"

    def _is_of_tests(self, directory: str) -> bool:
        parts = directory.split("/") if directory else []
        for number, part in enumerate(parts, 1):
            if not _DIRECTORY_OF_TESTS.search(part):
                continue
            # `django/test` is product: no test is in it.
            above = "/".join(parts[:number]) + "/"
            if not self._test_files or any(path.startswith(above) for path in self._test_files):
                return True
        return False

    def _relative(self, path: str) -> str | None:
        if not path.startswith("/") and not _DRIVE.match(path):
            return path.removeprefix("./")
        for root in self._roots:
            if _is_below(path, root):
                return path[len(root.rstrip("/")) + 1 :]
        return None

    def _find(self, path: str) -> tuple[str, str]:
        """Return the place of a file (project, third party, stdlib) and its path to be shown."""
        if _PSEUDO.match(path):
            return _place_without_file(path)
        path = _slashed(path)
        relative = self._relative(path)
        shown = path if relative is None else relative
        parts = shown.split("/")
        for number in range(len(parts) - 2, -1, -1):
            part = parts[number]
            if part in _SITE:
                return self._installed("/".join(parts[number + 1 :]), "site-packages/")
            if _ARCHIVE.search(part):
                inner = "/".join(parts[number + 1 :])
                return ("stdlib", f"<stdlib>/{inner}") if _STDLIB_ARCHIVE.match(part) else self._installed(inner, "")
        for base in self._stdlib:
            if _is_below(path, base):
                return "stdlib", f"<stdlib>/{path[len(base) + 1 :]}"
        is_of_windows = relative is None and _DRIVE.match(path) is not None
        found = (_STDLIB_OF_WINDOWS if is_of_windows else _STDLIB).search(shown)
        if found is not None:
            return "stdlib", f"<stdlib>/{shown[found.end() :]}"
        if relative is not None:
            is_foreign = not _ENVIRONMENTS.isdisjoint(parts[:-1])
            return "third party" if is_foreign else "project", relative
        for number, part in enumerate(parts):
            if part.removesuffix(".py") in self._prefixes:
                return "project", "/".join(parts[number:])
        return "third party", "/".join(["<outside>", *parts[-_SHOWN_OUTSIDE:]])

    def _installed(self, inner: str, before: str) -> tuple[str, str]:
        is_own = inner.partition("/")[0].removesuffix(".py") in self._prefixes
        return ("project", inner) if is_own else ("third party", before + inner)


def without_repeats(items: Iterable[_Item], key: Callable[[_Item], object]) -> list[_Item]:
    """Leave out what a recursion repeats: a run of at most four items with the keys of the run before it."""
    kept: list[_Item] = []
    keys: list[object] = []
    for item in items:
        kept.append(item)
        keys.append(key(item))
        for length in range(1, _LONGEST_CYCLE + 1):
            if keys[-length:] == keys[-2 * length : -length]:
                del kept[-length:], keys[-length:]
                break
    return kept


def _slashed(path: str) -> str:
    text = path.replace("\\", "/").removeprefix("//?/")
    return text.rstrip("/") or "/"


def _is_below(path: str, directory: str) -> bool:
    base = directory.rstrip("/") + "/"
    if _DRIVE.match(base):
        return path.lower().startswith(base.lower())
    return path.startswith(base)


def _place_without_file(path: str) -> tuple[str, str]:
    frozen = _FROZEN.match(path)
    if frozen is not None:
        return "stdlib", f"<stdlib>/{frozen[1].replace('.', '/')}.py"
    word = re.split(r"[^\w.]", path[1:-1], maxsplit=1)[0]
    is_known = word in ("string", "stdin", "")
    return "stdlib" if is_known else "third party", f"<{word}>"

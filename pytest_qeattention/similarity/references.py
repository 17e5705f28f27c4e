"""Which functions of a project a function may run, told from the names that it uses.

Nothing is imported and no type is known: a name refers to each function, or constructor of a class, that could be
meant, the less to each the more there are. Names of the own module and methods of the own class come first. A test also
refers to its fixtures and to the setup of its class.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pytest_qeattention.similarity.discover import SourcePath
from pytest_qeattention.similarity.naming import display_path
from pytest_qeattention.similarity.scan import FIXTURES, parsed_source, without_garbage_collection
from pytest_qeattention.similarity.scope import dotted_name, last_name
from pytest_qeattention.syntax.nodes import FunctionNode

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

# A name that more functions have says nothing of which is meant.
MOST_MEANT = 30
MOST_CLASSES = 10
# Through how many functions one may run another, and what is left of the weight at each.
STEPS = 4
STEP_WEIGHT = 0.5
# Of the setup of a class, of which no test says that it needs it.
SETUP_WEIGHT = 0.5
_SETUP = ("setUp", "asyncSetUp", "setUpClass", "setup_method", "setup_class", "setup", "tearDown", "teardown_method")
_CONSTRUCTORS = ("__init__", "__new__", "__post_init__")
# Larger files are made by programs.
_MOST_BYTES = 5_000_000


@dataclass(frozen=True, slots=True, eq=False)
class _Class:
    path: str
    bases: tuple[str, ...]
    methods: dict[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class _Function:
    path: str
    qualname: str
    name: str
    owner: str
    is_fixture: bool
    names: tuple[str, ...]
    """Names that it reads."""
    attributes: tuple[str, ...]
    """Attributes that it reads of anything but its first argument."""
    own: tuple[str, ...]
    """Attributes that it reads of ``self`` or ``cls``."""
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Reach:
    """Hold how surely each function runs the one asked about, float64 from 0 to 1, and through which function."""

    weights: FloatArray
    through: IntArray
    """Number of the function that it calls on the way; -1 for none."""


class References:
    """Hold the functions of some files, and which of them each refers to."""

    def __init__(self, files: Iterable[SourcePath]) -> None:
        self._functions: list[_Function] = []
        self._by_name: defaultdict[str, list[int]] = defaultdict(list)
        self._fixtures: defaultdict[str, list[int]] = defaultdict(list)
        self._classes: defaultdict[str, list[_Class]] = defaultdict(list)
        self._imports: dict[str, dict[str, str]] = {}
        with without_garbage_collection():
            for file in files:
                tree = _parsed(file.path)
                if tree is not None and file.display not in self._imports:
                    self._read(tree, file.display)
        self._numbers = {(each.path, each.qualname): at for at, each in enumerate(self._functions)}
        found = [self._referred(at) for at in range(len(self._functions))]
        self._source = np.repeat(np.arange(len(found)), [len(each) for each in found])
        self._target = np.array([at for each in found for at in each], np.int64)
        self._weight = np.array([weight for each in found for weight in each.values()], np.float64)

    def number(self, path: str, qualname: str) -> int | None:
        """Return the number of the function that *qualname* (``Class::name``) names in the file displayed as *path*."""
        return self._numbers.get((path, qualname))

    def name(self, number: int) -> str:
        """Return the name of a function with its classes, dots between."""
        return self._functions[number].qualname.replace("::", ".")

    def reach(self, targets: Sequence[int]) -> Reach:
        """Return how surely each function is or runs one of *targets*, in at most `STEPS` steps."""
        n = len(self._functions)
        current = np.zeros(n)
        current[list(targets)] = 1.0
        missed = 1.0 - current
        through = np.full(n, -1)
        for step in range(STEPS):
            shares = self._weight * current[self._target]
            found = np.minimum(np.bincount(self._source, shares, minlength=n), 1.0)
            new = (found > 0) & (through < 0)
            # The surest way is the one to tell of; the last of equals is the first in the file.
            order = np.lexsort((-self._target, shares))
            way = np.full(n, -1)
            way[self._source[order]] = self._target[order]
            through[new] = way[new]
            missed *= 1 - STEP_WEIGHT**step * found
            current = found
        return Reach(1 - missed, through)

    def _read(self, tree: ast.Module, path: str) -> None:
        self._imports[path] = dict(_imported(tree))
        known: dict[str, _Class] = {}
        for qualname, node in definitions_of(tree):
            prefix = qualname.removesuffix(node.name)
            if isinstance(node, ast.ClassDef):
                bases = tuple(filter(None, (last_name(dotted_name(base)) for base in node.bases)))
                known[f"{qualname}::"] = _Class(path, bases, {})
                self._classes[node.name].append(known[f"{qualname}::"])
            else:
                if prefix:
                    known[prefix].methods.setdefault(node.name, len(self._functions))
                function = _function(node, path, prefix)
                (self._fixtures if function.is_fixture else self._by_name)[node.name].append(len(self._functions))
                self._functions.append(function)

    def _referred(self, number: int) -> dict[int, float]:
        """Return the functions that one refers to, each with the share that it has in what the name may mean."""
        function = self._functions[number]
        found: dict[int, float] = {}

        def add(meant: Sequence[int], weight: float = 1.0) -> None:
            for at in meant:
                if at != number:
                    found[at] = max(found.get(at, 0.0), weight / len(meant))

        imported = self._imports[function.path]
        for name in function.names:
            meant = imported.get(name, name)
            plain = [at for at in self._by_name.get(meant, ()) if not self._functions[at].owner]
            here = [at for at in plain if self._functions[at].path == function.path]
            plain = here or plain
            if len(plain) <= MOST_MEANT:
                add(plain)
            self._add_constructors(meant, add)
        for name in function.own:
            methods = self._methods(function.owner, name, function.path) if function.owner else []
            add(methods or self._by_attribute(name))
        for name in function.attributes:
            add(self._by_attribute(name))
            self._add_constructors(name, add)
        if function.is_fixture or function.name.startswith("test"):
            for name in function.arguments:
                fixtures = self._fixtures.get(name, [])
                here = [at for at in fixtures if self._functions[at].path == function.path]
                add(here or fixtures)
        if function.name.startswith("test") and function.owner:
            for name in _SETUP:
                add(self._methods(function.owner, name, function.path), SETUP_WEIGHT)
        return found

    def _by_attribute(self, name: str) -> list[int]:
        meant = self._by_name.get(name, [])
        return meant if len(meant) <= MOST_MEANT and not name.startswith("test") else []

    def _add_constructors(self, name: str, add: Callable[[Sequence[int], float], None]) -> None:
        classes = self._classes.get(name, ())
        if 0 < len(classes) <= MOST_CLASSES:
            for known in classes:
                for constructor in _CONSTRUCTORS:
                    add(self._methods(name, constructor, known.path), 1 / len(classes))

    def _methods(self, owner: str, name: str, path: str) -> list[int]:
        """Return what *name* may mean in the class *owner*, or in those above it."""
        found: dict[int, None] = {}
        pending, seen = [(owner, path)], {owner}
        while pending:
            at, place = pending.pop()
            classes = self._classes.get(at, [])
            for known in [each for each in classes if each.path == place] or classes[:MOST_CLASSES]:
                if name in known.methods:
                    found[known.methods[name]] = None
                else:
                    pending.extend((base, known.path) for base in known.bases if base not in seen)
                    seen.update(known.bases)
        return list(found)


def definitions_of(tree: ast.Module) -> Iterator[tuple[str, FunctionNode | ast.ClassDef]]:
    """Yield the classes of a module, and the functions of it and of them, as ``Class::name``, in order.

    What stands under a condition counts; what is defined in a function does not.
    """
    pending: list[tuple[ast.stmt, str]] = [(statement, "") for statement in reversed(tree.body)]
    while pending:
        node, prefix = pending.pop()
        if isinstance(node, FunctionNode | ast.ClassDef):
            yield f"{prefix}{node.name}", node
            if isinstance(node, ast.ClassDef):
                pending.extend((statement, f"{prefix}{node.name}::") for statement in reversed(node.body))
        elif isinstance(node, ast.If | ast.Try | ast.With):
            below = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt | ast.ExceptHandler)]
            for child in reversed(below):
                inner = child.body if isinstance(child, ast.ExceptHandler) else [child]
                pending.extend((statement, prefix) for statement in reversed(inner))


def functions_of(tree: ast.Module) -> Iterator[tuple[str, FunctionNode]]:
    """Yield the functions of a module and of its classes as `definitions_of` does."""
    for qualname, node in definitions_of(tree):
        if isinstance(node, FunctionNode):
            yield qualname, node


def project_files(asked: Iterable[Path], tests: Iterable[Path], cwd: Path) -> list[SourcePath]:
    """List the files that may stand between the tests and functions of the files *asked*, all absolute, by path.

    These are the packages of the files asked, all files beside the tests, and the conftest files above those.
    """
    found: set[Path] = set()
    for directory in {path.parent for path in asked}:
        root = directory
        while (root / "__init__.py").is_file() and (root.parent / "__init__.py").is_file():
            root = root.parent
        found.update(root.rglob("*.py") if (root / "__init__.py").is_file() else root.glob("*.py"))
    for directory in {path.parent for path in tests}:
        found.update(directory.glob("*.py"))
        above = [directory, *directory.parents]
        inside = above[: above.index(cwd) + 1] if cwd in above else above[:1]
        found.update(filter(Path.is_file, (place / "conftest.py" for place in inside)))
    return [SourcePath(path, display_path(path, cwd)) for path in sorted(found)]


def _parsed(path: Path) -> ast.Module | None:
    """Return the tree of a file; None for what is no Python, or cannot be read: it refers to nothing."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            return None
        return parsed_source(path.read_bytes().decode("utf-8", "replace"))
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _imported(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield the names that a module gives to what it imports, and the names that this has at home."""
    for node in _statements(tree.body):
        if isinstance(node, ast.ImportFrom):
            yield from ((alias.asname or alias.name, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.asname, alias.name.rpartition(".")[2]) for alias in node.names if alias.asname)


def _statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield statements and those within them, at any depth."""
    pending: list[ast.stmt] = list(reversed(body))
    while pending:
        node = pending.pop()
        yield node
        for name in ("finalbody", "orelse", "handlers", "cases", "body"):
            for below in reversed(getattr(node, name, ())):
                pending.extend([below] if isinstance(below, ast.stmt) else reversed(below.body))


def _nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield *node* and all below, in no order; `ast.walk` takes twice as long."""
    pending = [node]
    while pending:
        node = pending.pop()
        yield node
        for value in vars(node).values():
            if isinstance(value, ast.AST):
                pending.append(value)
            elif isinstance(value, list):
                pending.extend([each for each in value if isinstance(each, ast.AST)])


def _function(node: FunctionNode, path: str, prefix: str) -> _Function:
    names: dict[str, None] = {}
    attributes: dict[str, None] = {}
    own: dict[str, None] = {}
    for below in _nodes(node):
        if isinstance(below, ast.Name):
            if isinstance(below.ctx, ast.Load):
                names[below.id] = None
        elif isinstance(below, ast.Attribute):
            of_own = isinstance(below.value, ast.Name) and below.value.id in ("self", "cls")
            (own if of_own else attributes)[below.attr] = None
    return _Function(
        path=path,
        qualname=f"{prefix}{node.name}",
        name=node.name,
        owner=prefix.removesuffix("::").rpartition("::")[2],
        is_fixture=any(last_name(dotted_name(decorator)) in FIXTURES for decorator in node.decorator_list),
        names=tuple(names),
        attributes=tuple(attributes),
        own=tuple(own),
        arguments=tuple(argument.arg for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)),
    )

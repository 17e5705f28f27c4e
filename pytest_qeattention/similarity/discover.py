"""Find the files in which pytest would look for tests, without importing anything of the project.

Directories are walked as pytest walks them: ``python_files``, ``norecursedirs``, virtual environments,
``--ignore`` and ``--deselect`` in addopts, and literal ``collect_ignore`` lists in conftest files. What a
conftest computes is not seen: its files stay in.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import ast
import fnmatch
import glob
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .model import Problem
from .naming import NamingRules, Setup, display_path, read_setup


class UsageError(ValueError):
    """Report paths or names that the user has to correct; commands exit with 4."""


class PathNotFoundError(UsageError):
    """Report a path that doesn't exist."""


@dataclass(frozen=True, slots=True)
class SourcePath:
    """Name a file to scan, and which of its tests are asked for."""

    path: Path
    """Absolute."""
    display: str
    """POSIX path relative to the working directory, ``../x`` if outside."""
    selected: tuple[str, ...] = ()
    """``Class::test`` prefixes asked for; empty for the whole file."""
    deselected: tuple[str, ...] = ()
    """Prefixes of ``Class::test`` that ``--deselect`` in addopts leaves out."""
    support: bool = False
    """Read only for what test files import from it; its own tests are not collected."""


@dataclass(frozen=True, slots=True)
class Discovery:
    """Hold the files found, each once and in order of path, and the rules that found them."""

    files: tuple[SourcePath, ...]
    rules: NamingRules
    rootdir: Path
    inifile: Path | None
    cwd: Path
    problems: tuple[Problem, ...] = ()


def discover(paths: Sequence[str], *, cwd: Path) -> Discovery:
    """Find the test files under *paths* (files, directories, node ids), relative to *cwd*.

    A file that is named is taken whatever ``python_files`` says. Without paths: ``testpaths`` if *cwd* is the
    rootdir, else *cwd*. Raises PathNotFoundError for a path that doesn't exist, UsageError for a file that
    is not Python and for names after a directory.
    """
    cwd = Path(os.path.abspath(cwd))
    arguments = [_argument(path, cwd) for path in paths]
    setup = read_setup([path for path, _ in arguments], cwd=cwd)
    if not arguments:
        found: list[str] = []
        if setup.rootdir == cwd:
            for pattern in setup.rules.testpaths:
                found.extend(sorted(glob.glob(str(cwd / pattern), recursive=True)))
        arguments = [(Path(os.path.abspath(path)), "") for path in found] or [(cwd, "")]
    walk = _Walk(setup.rules, setup.inifile.parent if setup.inifile else setup.rootdir, cwd)
    for path, names in arguments:
        if path.is_dir():
            walk.directory(path)
        else:
            walk.named(path, names)
    files = []
    for path in sorted(walk.found):
        deselected = _deselected(display_path(path, setup.rootdir), setup.rules.deselect)
        if deselected is not None:
            selected = walk.found[path]
            wanted = () if "" in selected else tuple(sorted(selected))
            files.append(SourcePath(path, display_path(path, cwd), wanted, deselected))
    files.sort(key=lambda file: file.display)
    problems = (*setup.problems, *walk.problems)
    return Discovery(tuple(files), setup.rules, setup.rootdir, setup.inifile, cwd, problems)


def find_setup(paths: Sequence[str], *, cwd: Path) -> Setup:
    """Find rootdir and ini file as `discover` does for *paths*; raises what it raises for one it cannot take."""
    cwd = Path(os.path.abspath(cwd))
    return read_setup([_argument(path, cwd)[0] for path in paths], cwd=cwd)


def _argument(argument: str, cwd: Path) -> tuple[Path, str]:
    # A parameter's id may hold anything, "::" too: it goes first, and all its instances are one unit.
    base, bracket, _ = argument.partition("[")
    given, separator, names = base.partition("::")
    if bracket and not separator:
        given = argument
    path = Path(os.path.abspath(cwd / given))
    if not os.path.exists(path):
        raise PathNotFoundError(f"path not found: {given}; nothing was analysed; name an existing file or directory")
    if path.is_dir():
        if names:
            raise UsageError(f"{given} is a directory, so it can't be followed by ::{names}; name a file")
    elif path.suffix != ".py":
        raise UsageError(f"{given} is not a Python file; name a .py file or a directory")
    return path, names


def _deselected(nodeid: str, prefixes: Sequence[str]) -> tuple[str, ...] | None:
    """Return the names left out in the file *nodeid*, None if that is all of it."""
    names = []
    for prefix in prefixes:
        if nodeid.startswith(prefix):
            return None
        if prefix.startswith(nodeid + "::"):
            names.append(prefix[len(nodeid) + 2 :])
    return tuple(names)


@dataclass(frozen=True, slots=True)
class _Ignored:
    """Hold what the nearest conftest says is not to be collected, as absolute paths."""

    paths: frozenset[str] = frozenset()
    globs: tuple[str, ...] = ()


@dataclass(slots=True)
class _Walk:
    rules: NamingRules
    confcutdir: Path
    cwd: Path
    found: dict[Path, set[str]] = field(default_factory=dict)
    """Names selected in each file; the empty name stands for the whole file."""
    problems: list[Problem] = field(default_factory=list)
    seen: dict[str, Path] = field(default_factory=dict)
    """Real path of each file to the path by which it was found first."""
    conftests: dict[Path, _Ignored] = field(default_factory=dict)
    ignore: frozenset[str] = frozenset()
    ignore_glob: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.ignore = frozenset(os.path.abspath(self.cwd / path) for path in self.rules.ignore)
        self.ignore_glob = tuple(os.path.abspath(self.cwd / path) for path in self.rules.ignore_glob)

    def named(self, path: Path, names: str, real: str | None = None) -> None:
        first = self.seen.setdefault(real or os.path.realpath(path), path)
        self.found.setdefault(first, set()).add(names)

    def directory(self, top: Path) -> None:
        """Walk *top* without recursion; a link back to a directory that is being walked is not followed."""
        real_top = os.path.realpath(top)
        # (directory, its real path, the real paths of the directories above it and its own)
        stack: list[tuple[Path, str, frozenset[str]]] = [(top, real_top, frozenset([real_top]))]
        # Links come last: a file is shown by the path at which it really lies.
        linked_directories: list[tuple[Path, str, frozenset[str]]] = []
        linked_files: list[Path] = []
        while stack or linked_directories:
            directory, real_directory, above = stack.pop() if stack else linked_directories.pop(0)
            try:
                with os.scandir(directory) as entries:
                    listed = sorted(entries, key=lambda entry: entry.name)
            except OSError as error:
                message = f"directory can't be read ({error.strerror}); its tests are left out"
                self.problems.append(Problem(display_path(directory, self.cwd), message))
                continue
            for entry in listed:
                path = directory / entry.name
                if _is(entry.is_dir):
                    linked = entry.is_symlink()
                    # A junction of Windows is no link, but leads elsewhere too.
                    is_own = os.name == "posix" and not linked
                    real = os.path.join(real_directory, entry.name) if is_own else os.path.realpath(path)
                    if real not in above and not self.is_ignored(path, directory=True):
                        (linked_directories if linked else stack).append((path, real, above | {real}))
                elif path.suffix == ".py" and self.rules.is_file(path) and _is(entry.is_file):
                    if self.is_ignored(path, directory=False):
                        continue
                    if entry.is_symlink():
                        linked_files.append(path)
                    else:
                        self.named(path, "", os.path.join(real_directory, entry.name))
        for path in linked_files:
            self.named(path, "")

    def is_ignored(self, path: Path, *, directory: bool) -> bool:
        if path.name == "__pycache__":
            return True
        ignored = self.conftest(path.parent)
        text = str(path)
        if text in self.ignore or text in ignored.paths:
            return True
        if any(fnmatch.fnmatch(text, pattern) for pattern in (*self.ignore_glob, *ignored.globs)):
            return True
        if not directory:
            return False
        if self.rules.is_norecurse(path):
            return True
        return not self.rules.collect_in_virtualenv and (
            os.path.isfile(path / "pyvenv.cfg") or os.path.isfile(path / "conda-meta" / "history")
        )

    def conftest(self, directory: Path) -> _Ignored:
        """Return the lists that hold in *directory*: each is that of the nearest conftest that has it."""
        known = self.conftests.get(directory)
        if known is not None:
            return known
        chain = [directory]
        for parent in directory.parents:
            if parent in self.confcutdir.parents:
                break
            chain.append(parent)
        ignored = _Ignored()
        for parent in reversed(chain):
            if parent in self.conftests:
                ignored = self.conftests[parent]
                continue
            path = parent / "conftest.py"
            if path.is_file() and parent not in self.confcutdir.parents:
                ignored = self.read_conftest(path, ignored)
            self.conftests[parent] = ignored
        return ignored

    def read_conftest(self, path: Path, above: _Ignored) -> _Ignored:
        try:
            data = path.read_bytes()
            if b"collect_ignore" not in data:
                return above
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                lists = literal_lists(ast.parse(data), ("collect_ignore", "collect_ignore_glob"))
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
            message = f"can't be read ({error}); what it says about files to ignore is not followed"
            self.problems.append(Problem(display_path(path, self.cwd), message, getattr(error, "lineno", None)))
            return above
        paths, globs = (
            None if entries is None else tuple(os.path.abspath(path.parent / entry) for entry in entries)
            for entries in (lists["collect_ignore"], lists["collect_ignore_glob"])
        )
        return _Ignored(above.paths if paths is None else frozenset(paths), above.globs if globs is None else globs)


def _is(question: Callable[[], bool]) -> bool:
    # A link that leads round in a circle is neither a file nor a directory.
    try:
        return question()
    except OSError:
        return False


def literal_lists(tree: ast.Module, names: Sequence[str]) -> dict[str, list[str] | None]:
    """Read what unconditional statements of a module put into the lists *names*; None for a list not set.

    Assignment, ``+=``, ``append`` and ``extend`` are followed; only entries that are string literals count.
    """
    lists: dict[str, list[str] | None] = dict.fromkeys(names)
    for statement in tree.body:
        target: ast.expr
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target, value, keep = statement.targets[0], statement.value, False
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            target, value, keep = statement.target, statement.value, False
        elif isinstance(statement, ast.AugAssign):
            target, value, keep = statement.target, statement.value, True
        elif (
            isinstance(statement, ast.Expr)
            and isinstance(statement.value, ast.Call)
            and isinstance(statement.value.func, ast.Attribute)
            and statement.value.func.attr in ("append", "extend")
            and len(statement.value.args) == 1
        ):
            target, value, keep = statement.value.func.value, statement.value.args[0], True
        else:
            continue
        if not isinstance(target, ast.Name) or target.id not in lists:
            continue
        parts = value.elts if isinstance(value, (ast.List, ast.Tuple, ast.Set)) else [value]
        entries = [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]
        before = lists[target.id] if keep else None
        lists[target.id] = [*(before or ()), *entries]
    return lists

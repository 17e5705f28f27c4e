"""Read pytest's naming rules from a project's configuration without running anything of it.

The order of files, the sections and the search for the rootdir follow pytest's documentation
("Initialization: determining rootdir and configfile"). The configuration is data here: no plugin is loaded,
no conftest is run.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import fnmatch
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any

from .model import Problem

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Values = Mapping[str, Any]
"""Ini values as they are written: a string in ini files, a string or a list of strings in TOML."""


@dataclass(frozen=True, slots=True)
class NamingRules:
    """Hold the names by which pytest takes files, classes and functions for tests, by default its own."""

    python_files: tuple[str, ...] = ("test_*.py", "*_test.py")
    python_classes: tuple[str, ...] = ("Test",)
    python_functions: tuple[str, ...] = ("test",)
    norecursedirs: tuple[str, ...] = (
        "*.egg",
        ".*",
        "_darcs",
        "build",
        "CVS",
        "dist",
        "node_modules",
        "venv",
        "{arch}",
    )
    testpaths: tuple[str, ...] = ()
    collect_imported_tests: bool = True
    ignore: tuple[str, ...] = ()
    """``--ignore`` in addopts."""
    ignore_glob: tuple[str, ...] = ()
    deselect: tuple[str, ...] = ()
    collect_in_virtualenv: bool = False

    def is_file(self, path: PurePath) -> bool:
        """Say whether *path* (absolute) matches ``python_files``."""
        return any(path_matches(path, pattern) for pattern in self.python_files)

    def is_class(self, name: str) -> bool:
        """Say whether a class called *name* is collected for its name."""
        return _name_matches(name, self.python_classes)

    def is_function(self, name: str) -> bool:
        """Say whether a function or method called *name* is collected for its name."""
        return _name_matches(name, self.python_functions)

    def is_norecurse(self, path: PurePath) -> bool:
        """Say whether the directory *path* (absolute) is left out by ``norecursedirs``."""
        return any(path_matches(path, pattern) for pattern in self.norecursedirs)


EVERY_FUNCTION = NamingRules(python_functions=("",))
"""Rules by which any function of any class is listed."""


@dataclass(frozen=True, slots=True)
class Setup:
    """Hold where a run of pytest would have its root, the ini file it would read, and the rules in it."""

    rootdir: Path
    inifile: Path | None
    rules: NamingRules
    problems: tuple[Problem, ...] = ()
    values: Values = field(default_factory=dict)
    """All that the ini file says, with what addopts overrides."""

    def lines(self, key: str) -> tuple[str, ...]:
        """Return the value of *key* as pytest reads one of type ``linelist``."""
        value = self.values.get(key)
        entries = value if isinstance(value, list) else str(value or "").split("\n")
        return tuple(line for line in map(str.strip, map(str, entries)) if line)


def path_matches(path: PurePath, pattern: str) -> bool:
    """Match *path* as pytest matches files: a pattern without a separator against the last part only."""
    if os.sep != "/" and os.sep not in pattern:
        pattern = pattern.replace("/", os.sep)
    if os.sep not in pattern:
        return fnmatch.fnmatch(path.name, pattern)
    if path.is_absolute() and not os.path.isabs(pattern):
        pattern = f"*{os.sep}{pattern}"
    return fnmatch.fnmatch(str(path), pattern)


def _name_matches(name: str, options: tuple[str, ...]) -> bool:
    return name.startswith(options) or any(fnmatch.fnmatch(name, pattern) for pattern in _patterns(options))


@lru_cache(maxsize=64)
def _patterns(options: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(option for option in options if any(c in option for c in "*?["))


def read_setup(paths: Sequence[Path], *, cwd: Path) -> Setup:
    """Find rootdir and ini file for *paths* (absolute, existing) and read the naming rules.

    An ini file that can't be read or parsed is a problem; pytest's defaults apply then.
    """
    directories = [path if path.is_dir() else path.parent for path in paths]
    ancestor = _common_ancestor(directories) if directories else cwd
    reader = _Reader(cwd)
    found = reader.locate([ancestor])
    if found is not None:
        return reader.setup(*found)
    for base in (ancestor, *ancestor.parents):
        if (base / "setup.py").is_file():
            return reader.setup(base, None, {})
    if directories != [ancestor]:
        found = reader.locate(directories)
        if found is not None:
            return reader.setup(*found)
    rootdir = _common_ancestor([cwd, ancestor])
    if rootdir == Path(rootdir.anchor):
        rootdir = ancestor
    return reader.setup(rootdir, None, {})


def _common_ancestor(directories: Sequence[Path]) -> Path:
    try:
        return Path(os.path.commonpath(directories))
    except ValueError:
        # Two drives have nothing in common: the first path leads, as in pytest.
        return directories[0]


class _Reader:
    def __init__(self, cwd: Path) -> None:
        self.cwd = cwd
        self.problems: list[Problem] = []

    def locate(self, starts: Sequence[Path]) -> tuple[Path, Path | None, Values] | None:
        pyproject: Path | None = None
        for start in starts:
            for base in (start, *start.parents):
                for name, load in _LOADERS.items():
                    path = base / name
                    if not path.is_file():
                        continue
                    if name == "pyproject.toml" and pyproject is None:
                        pyproject = path
                    try:
                        values = load(path)
                    except (OSError, ValueError) as error:
                        self.report(path, f"can't be read as configuration ({_words(error)})")
                        values = {}
                    if values is not None:
                        return base, path, values
        return None if pyproject is None else (pyproject.parent, pyproject, {})

    def report(self, path: Path, what: str) -> None:
        message = f"{what}; pytest's defaults are used in its place; correct the file"
        self.problems.append(Problem(display_path(path, self.cwd), message))

    def setup(self, rootdir: Path, inifile: Path | None, values: Values) -> Setup:
        where = inifile if inifile is not None else rootdir
        addopts = self.args(where, values, "addopts") or ()
        ignore: list[str] = []
        ignore_glob: list[str] = []
        deselect: list[str] = []
        overrides: list[str] = []
        lists = {
            "--ignore": ignore,
            "--ignore-glob": ignore_glob,
            "--deselect": deselect,
            "-o": overrides,
            "--override-ini": overrides,
        }
        words = iter(addopts)
        for word in words:
            option, equals, value = word.partition("=")
            if option in lists and option != "-o":
                lists[option].append(value if equals else next(words, ""))
            elif word == "-o":
                overrides.append(next(words, ""))
            elif word.startswith("-o") and equals:
                overrides.append(word[2:])
        values = {**values, **dict(entry.split("=", 1) for entry in overrides if "=" in entry)}
        default = NamingRules()

        def names(key: str, fallback: tuple[str, ...]) -> tuple[str, ...]:
            given = self.args(where, values, key)
            return fallback if given is None else given

        rules = NamingRules(
            python_files=names("python_files", default.python_files),
            python_classes=names("python_classes", default.python_classes),
            python_functions=names("python_functions", default.python_functions),
            norecursedirs=names("norecursedirs", default.norecursedirs),
            testpaths=names("testpaths", ()),
            collect_imported_tests=self.flag(where, values, "collect_imported_tests", True),
            ignore=tuple(ignore),
            ignore_glob=tuple(ignore_glob),
            deselect=tuple(deselect),
            collect_in_virtualenv="--collect-in-virtualenv" in addopts,
        )
        return Setup(rootdir, inifile, rules, tuple(self.problems), values)

    def args(self, where: Path, values: Values, key: str) -> tuple[str, ...] | None:
        value = values.get(key)
        if value is None:
            return None
        if isinstance(value, str):
            try:
                return tuple(shlex.split(value))
            except ValueError as error:
                self.report(where, f"has a {key} that can't be split ({_words(error)})")
                return None
        if isinstance(value, list) and all(isinstance(entry, str) for entry in value):
            return tuple(value)
        self.report(where, f"has a {key} that is neither a string nor a list of strings")
        return None

    def flag(self, where: Path, values: Values, key: str, fallback: bool) -> bool:
        value = str(values.get(key, fallback)).lower()
        if value in ("true", "1", "yes", "on"):
            return True
        if value in ("false", "0", "no", "off"):
            return False
        self.report(where, f"has a {key} that is neither true nor false")
        return fallback


def _words(error: Exception) -> str:
    return str(error).replace("\n", " ") or type(error).__name__


def display_path(path: Path, cwd: Path) -> str:
    """Return *path* relative to *cwd* with forward slashes; absolute where no relative path exists."""
    text, base = str(path), f"{cwd}{os.sep}"
    if text.startswith(base) and ".." not in text:
        return text[len(base) :].replace(os.sep, "/")
    try:
        return Path(os.path.relpath(path, cwd)).as_posix()
    except ValueError:
        return path.as_posix()


def _load_pytest_toml(path: Path) -> Values:
    values = _table(_load_toml(path), "pytest")
    return {} if values is None else values


def _load_pyproject(path: Path) -> Values | None:
    tool = _table(_load_toml(path), "tool")
    table = None if tool is None else _table(tool, "pytest")
    if table is None:
        return None
    own = {key: value for key, value in table.items() if key != "ini_options"}
    options = _table(table, "ini_options")
    if own and options:
        raise ValueError("both [tool.pytest] and [tool.pytest.ini_options] are there")
    return own or options


def _table(values: Values, key: str) -> Values | None:
    value = values.get(key)
    if value is not None and not isinstance(value, dict):
        raise ValueError(f"{key} is not a table")
    return value


def _load_toml(path: Path) -> Values:
    with open(path, "rb") as file:
        values: dict[str, Any] = tomllib.load(file)
    return values


def _load_pytest_ini(path: Path) -> Values:
    return parse_ini(path.read_text(encoding="utf-8")).get("pytest", {})


def _load_tox_ini(path: Path) -> Values | None:
    return parse_ini(path.read_text(encoding="utf-8")).get("pytest")


def _load_setup_cfg(path: Path) -> Values | None:
    return parse_ini(path.read_text(encoding="utf-8")).get("tool:pytest")


_LOADERS: Mapping[str, Callable[[Path], Values | None]] = {
    "pytest.toml": _load_pytest_toml,
    ".pytest.toml": _load_pytest_toml,
    "pytest.ini": _load_pytest_ini,
    ".pytest.ini": _load_pytest_ini,
    "pyproject.toml": _load_pyproject,
    "tox.ini": _load_tox_ini,
    "setup.cfg": _load_setup_cfg,
}


def parse_ini(text: str) -> dict[str, dict[str, str]]:
    """Parse an ini file as pytest does: whole-line comments only, values go on in indented lines.

    configparser is no substitute: it interpolates, folds the case of keys and has its own comments. Raises
    ValueError with the line number for what is neither section, value nor continuation, and for duplicates.
    """
    sections: dict[str, dict[str, str]] = {}
    section: dict[str, str] | None = None
    key: str | None = None
    for number, raw in enumerate(text.removeprefix("\N{BYTE ORDER MARK}").splitlines(), 1):
        line = raw.rstrip()
        if not line or line.lstrip()[0] in "#;":
            continue
        if line[0] == "[":
            header = line.split("#")[0].split(";")[0].rstrip()
            if header.endswith("]") and len(header) > 2:
                name = header[1:-1]
                if name in sections:
                    raise ValueError(f"line {number}: section [{name}] is there twice")
                section, key = sections.setdefault(name, {}), None
                continue
        if line[0].isspace() or line[0] == "[":
            if section is None or key is None:
                raise ValueError(f"line {number}: continues no value")
            section[key] = "\n".join(filter(None, (section[key], line.strip())))
            continue
        head, separator, value = line.partition("=")
        if not separator or ":" in head:
            head, separator, value = line.partition(":")
        if not separator or section is None:
            raise ValueError(f"line {number}: {'no section' if section is None else 'neither key nor section'}")
        key = head.strip()
        if key in section:
            raise ValueError(f"line {number}: {key} is there twice")
        section[key] = value.strip()
    return sections

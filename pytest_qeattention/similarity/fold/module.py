"""What a fold has to know of the file around its tests, read from the text without parsing it.

A report can hold hundreds of groups in as many files, and parsing those would take longer than folding. Lines at the
margin, and those of blocks that begin there, say which names a module binds; a verification tells where that is wrong.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pytest_qeattention.similarity.model import Unit

_TRIPLE_QUOTED = re.compile(r"(\"\"\"|''')(?:\\.|(?!\1).)*?\1", re.DOTALL)
_BLOCK = re.compile(r"(?:try|if|elif|else|except|finally|with|for|while)\b")
_DEFINITION = re.compile(r"(?:async\s+)?(?:def|class)\s+(\w+)")
_CLASS = re.compile(r"(\s*)class\s+(\w+)")
_FUNCTION = re.compile(r"\s*(?:async\s+)?def\s")
_IMPORT = re.compile(r"(?:from\s+[.\w]+\s+)?import\s+(.*)")
_ASSIGNED = re.compile(r"((?:\w+\s*,\s*)*\w+)\s*(?::[^=]+)?=(?!=)")
_AS_NAME = re.compile(r"\bas\s+(\w+)|\bfor\s+(\w+)\s+in\b")
_FIXTURE = re.compile(r"@(?:pytest\.|pytest_asyncio\.)?fixture\b[^\n]*(?:\n[^\n]*){0,12}?\n\s*(?:async\s+)?def\s+(\w+)")
_SETUP = frozenset(
    {
        *("setUp", "tearDown", "asyncSetUp", "asyncTearDown", "setUpClass", "tearDownClass"),
        *("setup", "teardown", "setup_method", "teardown_method", "setup_class", "teardown_class"),
    }
)
_PER_TEST_SETUP = frozenset({"setUp", "tearDown", "asyncSetUp", "asyncTearDown", "run", "__call__"})
_TEST_CASES = frozenset({"TestCase", "IsolatedAsyncioTestCase"})


@dataclass(frozen=True, slots=True)
class ClassHead:
    """Hold what the text of a class says about it."""

    name: str
    bases: tuple[str, ...]
    methods: frozenset[str]
    is_decorated: bool
    has_fixtures: bool
    lines: tuple[int, int]
    """Indices of the first line of its body and of the first behind it."""

    @property
    def is_plain(self) -> bool:
        """Tell whether a test of it that leaves ``self`` alone could stand in another class."""
        return not (self.bases or self.is_decorated or self.has_fixtures or self.methods & _SETUP)


class Module:
    """Hold a file of tests."""

    def __init__(self, path: str, text: str, root: Path | None = None) -> None:
        """Take the text of the file *path*; conftest files are read where *root* says what the path is relative to."""
        self.path = path
        self.text = text.replace("\r\n", "\n").replace("\r", "\n")
        self.lines = self.text.split("\n")
        self._root = root
        self.claimed: set[tuple[str, str]] = set()
        """Class (empty for none) and name of the folds that go into the file."""
        self._classes: dict[int, ClassHead] = {}

    def holds(self, unit: Unit) -> bool:
        """Tell whether the source of *unit* is still what the file has in its place."""
        return "\n".join(self.lines[unit.first_line - 1 : unit.end_line]) == unit.source

    @cached_property
    def _code(self) -> list[str]:
        # Lines of text in strings are emptied: they bind nothing.
        if '"""' not in self.text and "'''" not in self.text:
            return self.lines
        return _TRIPLE_QUOTED.sub(lambda match: '""' + "\n" * match.group().count("\n"), self.text).split("\n")

    @cached_property
    def bound(self) -> dict[str, int]:
        """Map the names that the module binds to the line, from 1, that does it first."""
        found: dict[str, int] = {}
        in_block = False
        lines = self._code
        at = 0
        while at < len(lines):
            line = lines[at]
            at += 1
            if not line or line[0] in "#)]}":
                continue
            if line[0] in " \t":
                if not in_block:
                    continue
                line = line.strip()
            else:
                in_block = _BLOCK.match(line) is not None
            first = at
            if line.startswith(("from", "import")):
                while at < len(lines) and (line.count("(") > line.count(")") or line.endswith("\\")):
                    line = f"{line.rstrip(chr(92))} {lines[at].partition('#')[0].strip()}"
                    at += 1
            for name in _bound_by(line):
                found.setdefault(name, first)
        return found

    def binds_before(self, name: str, line: int) -> bool:
        """Tell whether the module has bound *name* where *line* is reached."""
        return self.bound.get(name, line) < line

    def binds_only_below(self, name: str, line: int) -> bool:
        """Tell whether the module, or a class of it, binds *name* from *line* on, and the module not above that."""
        if name in self.bound:
            return self.bound[name] >= line
        return any(name in _bound_by(text.strip()) for text in self._code[line - 1 :] if name in text)

    def line_below(self, name: str, line: int) -> int | None:
        """Return the line from *line* on that binds *name* in the module, or in the class that *line* stands in."""
        if name in self.bound:
            return self.bound[name] if self.bound[name] >= line else None
        indent = len(self.lines[line - 1]) - len(self.lines[line - 1].lstrip())
        for number, text in enumerate(self._code[line - 1 :], line):
            stripped = text.lstrip()
            depth = len(text) - len(stripped)
            if stripped and depth < indent and stripped[0] not in "#)]}":
                return None
            if depth == indent and name in text and name in _bound_by(stripped):
                return number
        return None

    @cached_property
    def pytest_name(self) -> str | None:
        """The name by which the module has pytest; None when it does not import it."""
        for line in self._code:
            match = re.match(r"import pytest(?:\s+as\s+(\w+))?\s*(?:#.*)?$", line)
            if match:
                return match.group(1) or "pytest"
        return None

    @cached_property
    def expander(self) -> str | None:
        """The decorator of the package ``parameterized`` that the module imports, which makes a test of each row."""
        for number, line in enumerate(self._code, 1):
            if re.match(r"from parameterized import (?:\w+, )*parameterized\b(?! as)", line):
                return "parameterized.expand" if self.bound.get("parameterized") == number else None
        return None

    def imports(self, name: str) -> bool:
        """Tell whether the module imports the module *name* under its own name, and gives that no other meaning."""
        lines = [number for number, line in enumerate(self._code, 1) if re.match(rf"import {name}\s*(?:#.*)?$", line)]
        return bool(lines) and self.bound.get(name) == lines[0]

    @cached_property
    def fixtures(self) -> frozenset[str]:
        """Names of fixtures that the module and the conftest files above it define."""
        names = set(_FIXTURE.findall(self.text)) if "fixture" in self.text else set()
        if self._root is not None:
            folder = (self._root / self.path).parent
            for parent in (folder, *folder.parents):
                names.update(_conftest_fixtures(parent / "conftest.py"))
                if parent == self._root:
                    break
        return frozenset(names)

    def used_elsewhere(self, units: Sequence[Unit]) -> str | None:
        """Return the name of a function of the module among *units* that the file uses; None when there is none."""
        for unit in units:
            if "::" in unit.qualname:
                continue
            if self.text.count(unit.name) > unit.source.count(unit.name):
                word = re.compile(rf"\b{unit.name}\b")
                for number, line in enumerate(self._code, 1):
                    is_other = not unit.first_line <= number <= unit.end_line
                    if is_other and word.search(line.partition("#")[0]) and not _FUNCTION.match(line):
                        return unit.name
        return None

    def class_of(self, unit: Unit) -> ClassHead | None:
        """Return the class that *unit* is written in; None for a function of the module."""
        indent = self.lines[unit.line - 1]
        indent = indent[: len(indent) - len(indent.lstrip())]
        if not indent:
            return None
        for at, outer, name in reversed(self._class_lines):
            if at < unit.first_line - 1 and len(outer) < len(indent):
                if at not in self._classes:
                    self._classes[at] = self._read_class(at, outer, name)
                return self._classes[at]
        return None

    @cached_property
    def _class_lines(self) -> list[tuple[int, str, str]]:
        """Index, indentation and name of every class."""
        found = []
        for at, line in enumerate(self._code):
            match = _CLASS.match(line) if "class" in line else None
            if match:
                found.append((at, match.group(1), match.group(2)))
        return found

    def _read_class(self, at: int, indent: str, name: str) -> ClassHead:
        head = self._code[at]
        end = at + 1
        while end < len(self._code) and head.count("(") > head.count(")"):
            head += self._code[end].partition("#")[0].strip()
            end += 1
        given = head.partition(name)[2].rpartition(":")[0].strip().strip("()")
        bases = tuple(base.strip() for base in given.split(",") if base.strip() and base.strip() != "object")
        methods: set[str] = set()
        has_fixtures = False
        last = len(self._code)
        for number, line in enumerate(self._code[end:], end):
            stripped = line.lstrip()
            if stripped and not stripped.startswith("#") and len(line) - len(stripped) <= len(indent):
                if stripped[0] not in ")]}":
                    last = number
                    break
                continue
            match = _DEFINITION.match(stripped) if "def " in stripped or "class " in stripped else None
            if match:
                methods.add(match.group(1))
            has_fixtures = has_fixtures or (stripped.startswith("@") and "fixture" in stripped)
        is_decorated = at > 0 and self._code[at - 1].lstrip().startswith(("@", ")"))
        return ClassHead(name, bases, frozenset(methods), is_decorated, has_fixtures, (end, last))

    def names_in_scope(self, unit: Unit) -> frozenset[str]:
        """Return the names of functions beside *unit*: those of its class, or of the module."""
        head = self.class_of(unit)
        return frozenset(self.bound) if head is None else head.methods

    def unittest_setup(self, head: ClassHead) -> str | None:
        """Say why one call of a test of the unittest class *head* cannot run several cases; None when it can."""
        own = self.inherited_setup(head)
        if own:
            return f"unittest runs {sorted(own)[0]} for each test, and subTest would not for each case"
        base = self.unknown_base(head)
        if base is not None:
            return f"the base class {base} may set up each test, and subTest would not for each case"
        return None

    def unknown_base(self, head: ClassHead) -> str | None:
        """Return a base of *head* that is neither in the module nor of unittest itself; None when there is none."""
        return next((base for base in self._bases(head) if base.rpartition(".")[2] not in _TEST_CASES), None)

    def inherited_setup(self, head: ClassHead) -> frozenset[str]:
        """Return the methods by which *head* or a base of it in the module does something for each test."""
        return self.inherited_methods(head) & _PER_TEST_SETUP

    def inherited_methods(self, head: ClassHead) -> frozenset[str]:
        """Return the names of the methods of *head* and of the bases of it that are in the module."""
        return frozenset[str]().union(*(each.methods for each in self._lineage(head)))

    def _bases(self, head: ClassHead) -> list[str]:
        """List the bases of *head*, and of those of them that are in the module, that are not in it."""
        return [base for each in self._lineage(head) for base in each.bases if self._class_named(base) is None]

    def _lineage(self, head: ClassHead) -> list[ClassHead]:
        found, pending = [], [head]
        while pending:
            each = pending.pop()
            if each in found:
                continue
            found.append(each)
            pending.extend(base for base in map(self._class_named, each.bases) if base is not None)
        return found

    def _class_named(self, name: str) -> ClassHead | None:
        """Return the only class of the module of this name that stands at its margin."""
        places = [at for at, indent, each in self._class_lines if each == name and not indent]
        if len(places) != 1 or self.bound.get(name) != places[0] + 1:
            return None
        if places[0] not in self._classes:
            self._classes[places[0]] = self._read_class(places[0], "", name)
        head = self._classes[places[0]]
        return None if head.is_decorated else head

    def method_source(self, head: ClassHead, name: str) -> str:
        """Return the source of a method of *head*; empty when it has none, or more than one."""
        first, end = head.lines
        starts = [at for at in range(first, end) if re.match(rf"\s*def\s+{name}\b", self._code[at])]
        if len(starts) != 1:
            return ""
        at = starts[0]
        indent = len(self.lines[at]) - len(self.lines[at].lstrip())
        last = at + 1
        while last < len(self.lines):
            stripped = self._code[last].lstrip()
            if stripped and stripped[0] not in "#)]}" and len(self._code[last]) - len(stripped) <= indent:
                break
            last += 1
        return "\n".join(self.lines[at:last])


def is_unittest(head: ClassHead | None) -> bool:
    """Tell whether the class looks like one of unittest."""
    return head is not None and any("TestCase" in base for base in head.bases)


def _bound_by(line: str) -> list[str]:
    match = _DEFINITION.match(line)
    if match:
        return [match.group(1)]
    if line.startswith(("from", "import")):
        match = _IMPORT.match(line)
        if match is None:
            return []
        names = match.group(1).partition("#")[0].strip("() ").split(",")
        words = [name.split() for name in names if name.strip()]
        is_from = line.startswith("from")
        return [word[-1] if len(word) == 3 else word[0] if is_from else word[0].partition(".")[0] for word in words]
    match = _ASSIGNED.match(line)
    if match:
        return [name.strip() for name in match.group(1).split(",")]
    return [first or second for first, second in _AS_NAME.findall(line)]


_known_conftests: dict[tuple[str, int], frozenset[str]] = {}


def _conftest_fixtures(path: Path) -> frozenset[str]:
    try:
        changed = path.stat().st_mtime_ns
        key = (str(path), changed)
        if key not in _known_conftests:
            if len(_known_conftests) > 1000:
                _known_conftests.clear()
            text = path.read_text(encoding="utf-8", errors="replace")
            _known_conftests[key] = frozenset(_FIXTURE.findall(text))
        return _known_conftests[key]
    except OSError:
        return frozenset()

"""Compare the groups of a report with a baseline: what is new, what was accepted, what is accepted in vain.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import ast
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pytest_qeattention.similarity.baseline import Baseline, Entry
from pytest_qeattention.similarity.content import content_of, content_of_node
from pytest_qeattention.similarity.model import Group, Unit
from pytest_qeattention.similarity.policy import Policy, path_is_below
from pytest_qeattention.wording import counted

Key = tuple[str, str]
"""Path, relative to the rootdir, and content."""


@dataclass(slots=True)
class Comparison:
    """Compare the tests of groups with a baseline."""

    baseline: Baseline
    groups: Sequence[Group]
    units: Callable[[], Sequence[Unit]]
    """Gives all units that were analysed; asked only when an entry may be stale."""
    policy: Policy
    _found: dict[Key, list[Unit]] = field(default_factory=dict, init=False)
    _accepted: dict[Key, list[str]] = field(default_factory=dict, init=False)
    _new: set[str] = field(default_factory=set, init=False)
    """Node ids."""
    _left: Counter[Key] = field(default_factory=Counter, init=False)
    """Number of accepted tests that no group has."""
    _contents: dict[str, str] = field(default_factory=dict, init=False)
    """Content by node id."""
    _is_file: dict[str, bool] = field(default_factory=dict, init=False)
    _by_path: defaultdict[str, list[Unit]] | None = field(default=None, init=False)
    _functions: dict[str, dict[str, list[str]] | None] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        for entry in sorted(self.baseline.entries):
            self._accepted.setdefault((entry.path, entry.content), []).append(entry.test)
        tests = {unit.nodeid: unit for group in self.groups for unit in group.tests}
        for unit in sorted(tests.values(), key=lambda unit: (unit.path, unit.line, unit.qualname)):
            self._found.setdefault((self.policy.place(unit.path), self._content(unit)), []).append(unit)
        self._left.update({key: len(names) for key, names in self._accepted.items()})
        over: dict[Key, list[Unit]] = {}
        for key, units in self._found.items():
            names = self._accepted.get(key, [])
            # Of several tests of one content those that were accepted under their names come first.
            known = sorted(units, key=lambda unit: unit.qualname not in names)
            self._left[key] -= min(len(names), len(units))
            over[key] = known[len(names) :]
        moved = self._moved({content for (_, content), units in over.items() if units})
        for (_, content), units in sorted(over.items()):
            covered = min(moved[content], len(units))
            moved[content] -= covered
            self._new.update(unit.nodeid for unit in units[covered:])

    def _moved(self, contents: Collection[str]) -> Counter[str]:
        """Count the accepted tests of *contents* that have left their file, or whose file has gone."""
        moved: Counter[str] = Counter()
        for key, count in self._left.items():
            path, content = key
            if count and content in contents:
                moved[content] += self._gone(key, count) if self._exists(path) else count
        return moved

    def judged(self) -> tuple[Group, ...]:
        """Return the groups, each marked new or accepted."""
        return tuple(self._judged(group) for group in self.groups)

    def _judged(self, group: Group) -> Group:
        fresh = tuple(unit for unit in group.tests if unit.nodeid in self._new)
        if not fresh:
            return replace(group, status="accepted")
        reasons = group.reasons
        if len(fresh) < len(group.tests):
            known = [unit.qualname for unit in group.tests if unit.nodeid not in self._new]
            others = f" and {counted(len(known) - 1, 'other')}" if len(known) > 1 else ""
            names = ", ".join(unit.qualname for unit in fresh)
            reasons = (*reasons, f"new: {names} joined {known[0]}{others}, accepted by the baseline")
        return replace(group, status="new", new_tests=fresh, reasons=reasons)

    def stale(self) -> tuple[Entry, ...]:
        """Return the entries that nothing answers to any more.

        An entry is stale when its file or its test is gone. One whose test is there, but in no group, is stale only
        when all tests of the baseline were analysed: otherwise its like may be among those that were not.
        """
        gone: Counter[Key] = Counter()
        idle: Counter[Key] = Counter()
        is_whole = True
        for key, count in sorted(self._left.items()):
            path, content = key
            if not count:
                continue
            if not self._exists(path) or self._is_ignored(path):
                gone[key] = count
                continue
            units = self._units_of(path)
            if not units and not is_whole:
                continue
            written = self._written(path)
            if written is None:
                is_whole = False
                continue
            gone[key] = self._gone(key, count)
            idle[key] = count - gone[key]
            there = len(self._tests_written(key))
            if idle[key] and sum(self._content(unit) == content for unit in units) < there:
                is_whole = False
        if is_whole:
            gone.update(idle)
        return tuple(sorted(entry for key, count in gone.items() for entry in self._unmatched(key)[:count]))

    def _gone(self, key: Key, count: int) -> int:
        """Return how many of *count* accepted tests of *key* that no group has are not in their file any more."""
        if self._written(key[0]) is None:
            return 0
        accepted = len(self._accepted[key])
        there = len(self._tests_written(key))
        return min(count, max(0, accepted - max(there, accepted - count)))

    def _tests_written(self, key: Key) -> list[str]:
        """Return the names of the functions of *key* in their file that are tests, or were accepted as such."""
        path, content = key
        names = {name.rpartition("::")[2] for name in self._accepted[key]}
        written = self._written(path) or {}
        return [name for name in written.get(content, ()) if name in names or name.startswith("test")]

    def updated(self) -> tuple[Entry, ...]:
        """Return the entries that accept all groups, without those that are stale."""
        entries = {Entry(key[0], unit.qualname, key[1]) for key, units in self._found.items() for unit in units}
        stale = self.stale()
        kept = {entry for key, count in self._left.items() for entry in self._unmatched(key)[:count]}
        return tuple(sorted(entries | kept.difference(stale)))

    def _unmatched(self, key: Key) -> list[Entry]:
        """Return the entries of *key*, those first whose name no test of a group and no function of the file has."""
        path, content = key
        taken = {unit.qualname for unit in self._found.get(key, ())}
        written = (self._functions.get(path) or {}).get(content, ())

        def order(name: str) -> tuple[bool, bool, str]:
            return name in taken, name.rpartition("::")[2] in written, name

        return [Entry(path, name, content) for name in sorted(self._accepted.get(key, ()), key=order)]

    def _content(self, unit: Unit) -> str:
        known = self._contents.get(unit.nodeid)
        if known is None:
            known = self._contents[unit.nodeid] = content_of(unit)
        return known

    def _exists(self, path: str) -> bool:
        known = self._is_file.get(path)
        if known is None:
            known = self._is_file[path] = (self.policy.root / path).is_file()
        return known

    def _is_ignored(self, path: str) -> bool:
        return any(path_is_below(path, pattern) for pattern in self.policy.ignore)

    def _units_of(self, path: str) -> list[Unit]:
        if self._by_path is None:
            self._by_path = defaultdict(list)
            for unit in self.units():
                self._by_path[self.policy.place(unit.path)].append(unit)
        return self._by_path.get(path, [])

    def _written(self, path: str) -> dict[str, list[str]] | None:
        """Return the names of the functions in a file by their content, None for a file that does not parse."""
        if path not in self._functions:
            self._functions[path] = _functions_in(self.policy.root / path)
        return self._functions[path]


def _functions_in(file: Path) -> dict[str, list[str]] | None:
    found: defaultdict[str, list[str]] = defaultdict(list)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found[content_of_node(node)].append(node.name)
    return found

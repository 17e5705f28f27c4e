"""What is known of defects: their names, the failures that people said they are, and what was said against it.

The state is a function of the statements in the file (see `statements`), so it has no order to keep: newest words hold,
labels that a machine set are kept and teach nothing, and a first label counts at once.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import difflib
import getpass
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import Literal

from pytest_qeattention.defects.facts import LONGEST_NAME
from pytest_qeattention.defects.knowledge_file import (
    DIRECTORY,
    FILE_NAME,
    Contents,
    KnowledgeError,
    read,
    update,
)
from pytest_qeattention.defects.pattern import Pattern
from pytest_qeattention.defects.secrets import redact
from pytest_qeattention.defects.statements import (
    LONGEST_URL,
    Kind,
    Rule,
    Source,
    Statement,
    checked_date,
    checked_name,
)
from pytest_qeattention.wording import counted

_NEAR = 0.6
_MOST_NEAR = 3


class UnknownDefectError(KnowledgeError):
    """Say that there is no defect of a name, and which names are near it."""


@dataclass(frozen=True, slots=True)
class Defect:
    """Hold what was said of a defect itself."""

    name: str
    url: str | None
    state: Literal["open", "closed"]
    created: str
    """UTC, as all times here: ``2026-01-31T12:00:00.000000Z``."""
    closed: str | None
    """When it was closed; None for an open one."""
    merged: tuple[str, ...] = ()
    """Names of the defects that were merged into it."""
    expires: str | None = None
    """The last day, ``2026-12-31``, on which a gate may let it pass; None where nobody set one."""


@dataclass(frozen=True, slots=True)
class Label:
    """Say that failures of a pattern are a defect, or are not."""

    defect: str
    pattern: Pattern
    at: str
    by: str
    is_confirmed: bool = True
    source: Source = "human"


@dataclass(frozen=True)
class Knowledge:
    """Hold what the statements of a file come down to."""

    contents: Contents = field(default_factory=Contents, repr=False)

    @classmethod
    def load(cls, file: Path) -> Knowledge:
        """Read *file*; KnowledgeError where it cannot be read. A file that does not exist holds nothing."""
        return cls(read(file))

    @property
    def is_empty(self) -> bool:
        return not self.defects

    @property
    def problems(self) -> tuple[str, ...]:
        """Return what is wrong with lines of the file, as sentences without the name of the file."""
        return tuple(f"line {problem.line} {problem.message}" for problem in self.contents.problems)

    @property
    def summary(self) -> str:
        """Return in words what is known; ``empty`` where nothing is."""
        if self.is_empty:
            return "empty"
        states = [defect.state for defect in self.defects.values()]
        closed = f" ({states.count('closed')} closed)" if "closed" in states else ""
        labels = sum(label.is_confirmed for label in self.labels)
        return f"{counted(len(states), 'defect')}{closed}, {counted(labels, 'labelled failure')}"

    @cached_property
    def aliases(self) -> Mapping[str, str]:
        """Return the defect that each name stands for: itself, or the one that it was merged into."""
        names = {statement.defect for statement in self.contents.statements}
        target: dict[str, str] = {}

        def resolved(name: str) -> str:
            while name in target:
                name = target[name]
            return name

        merges = [each for each in self.contents.statements if each.kind == "merge" and each.value is not None]
        for merge in sorted(merges, key=_age):
            # Two branches may merge two defects into each other: the first to say so is followed.
            if merge.value is not None and resolved(merge.value) != merge.defect:
                target[merge.defect] = merge.value
                names.add(merge.value)
        return {name: resolved(name) for name in sorted(names)}

    @cached_property
    def defects(self) -> Mapping[str, Defect]:
        """Return the defects by name, in order; those merged into another are part of that one."""
        about: dict[str, list[Statement]] = {}
        for statement in self.contents.statements:
            if statement.source == "human":
                about.setdefault(statement.defect, []).append(statement)
        found: dict[str, Defect] = {}
        for name in sorted(set(self.aliases.values())):
            merged_names = tuple(other for other, into in self.aliases.items() if into == name != other)
            own = about.get(name, [])
            said = [each for other in (name, *merged_names) for each in about.get(other, [])]
            if not said:
                continue
            newest = {each.kind: each for each in sorted(own, key=_age)}
            urls = sorted((each.at, each.value) for each in said if each.kind == "url" and each.value)
            url, state = newest.get("url"), newest.get("state")
            is_closed = state is not None and state.value == "closed"
            days = [each.value for each in said if each.kind == "expires" and each.value]
            expires = newest.get("expires")
            found[name] = Defect(
                name,
                url.value if url is not None else urls[-1][1] if urls else None,
                "closed" if is_closed else "open",
                min(each.at for each in said),
                state.at if state is not None and is_closed else None,
                merged_names,
                # Of several that were merged the first to end counts, until a day is set for the one they are.
                expires.value if expires is not None else min(days, default=None),
            )
        return found

    @cached_property
    def labels(self) -> tuple[Label, ...]:
        """Return what people said of failures, as it holds: of the defects that one pattern was said to be the newest.

        A pattern may be said not to be several defects. In order of time.
        """
        by_pattern: dict[str, dict[str, Statement]] = {}
        for statement in sorted(self._labels_by("human"), key=_age):
            pattern = statement.pattern
            if pattern is not None:
                by_pattern.setdefault(pattern.id, {})[self.aliases[statement.defect]] = statement
        held: list[Label] = []
        for statements in by_pattern.values():
            confirmed = [name for name, each in statements.items() if each.value == "confirm"]
            newest = max(confirmed, key=lambda name: _age(statements[name]), default=None)
            held.extend(
                _label(name, each) for name, each in statements.items() if each.value == "reject" or name == newest
            )
        return tuple(sorted(held, key=lambda label: (label.at, label.defect, label.pattern.id)))

    @cached_property
    def automatic(self) -> tuple[Label, ...]:
        """Return the labels that a machine set; nothing learns from them."""
        return tuple(_label(self.aliases[each.defect], each) for each in self._labels_by("automatic"))

    @cached_property
    def rules(self) -> tuple[tuple[str, Rule], ...]:
        """Return defects and the rules that people wrote for them, newest first."""
        said = [each for each in self.contents.statements if each.kind == "rule" and each.value == "on"]
        said.sort(key=_age, reverse=True)
        return tuple((self.aliases[each.defect], each.rule) for each in said if each.rule is not None)

    def labels_of(self, name: str) -> tuple[Label, ...]:
        """Return the labels that say that failures are the defect *name*."""
        return tuple(label for label in self.labels if label.defect == name and label.is_confirmed)

    def resolve(self, name: str) -> str:
        """Return the defect that *name* stands for; UnknownDefectError, with near names, for one that is not there."""
        shown = _checked(name)
        if shown in self.aliases and self.aliases[shown] in self.defects:
            return self.aliases[shown]
        known = list(self.aliases)
        folded = {other.casefold(): other for other in known}
        near = difflib.get_close_matches(shown.casefold(), list(folded), _MOST_NEAR, _NEAR)
        near += [other for other in folded if shown.casefold() in other and other not in near][:_MOST_NEAR]
        if near:
            hint = "did you mean " + " or ".join(repr(folded[other]) for other in near[:_MOST_NEAR]) + "?"
        elif known:
            hint = "'qeattention defects list' names those that there are"
        else:
            hint = "none is known yet; 'qeattention defects learn' or 'label' names the first"
        raise UnknownDefectError(f"there is no defect {shown!r}, so nothing was changed; {hint}")

    def new_or_known(self, name: str) -> str:
        """Return the defect of *name*, which may be new; KnowledgeError where it differs from one by case alone."""
        shown = _checked(name)
        if shown in self.aliases:
            return self.aliases[shown]
        for other in self.defects:
            if other.casefold() == shown.casefold():
                raise KnowledgeError(
                    f"there is a defect {other!r}, which differs from {shown!r} by upper and lower case alone, so "
                    "nothing was changed; write it in the same way"
                )
        return shown

    def _labels_by(self, source: Source) -> list[Statement]:
        return [each for each in self.contents.statements if each.kind == "label" and each.source == source]


def knowledge_file(directory: Path) -> Path:
    """Return the file of labels in *directory*: ``<rootdir>/.qeattention``, or that of ``--qe-store``."""
    return directory / FILE_NAME


def default_directory(rootdir: Path) -> Path:
    """Return where a project keeps its labels."""
    return rootdir / DIRECTORY


@dataclass(frozen=True, slots=True)
class Teacher:
    """Change what is known in *file*. Each method returns what is known then, and raises KnowledgeError."""

    file: Path
    by: str = ""

    def label(
        self,
        patterns: Sequence[Pattern],
        name: str,
        *,
        url: str | None = None,
        until: str | None = None,
        is_confirmed: bool = True,
    ) -> Knowledge:
        """Say that failures are the defect *name*, which may be new; or that they are not, if it is known.

        *until* is the last day, UTC, on which a gate may let the defect pass.
        """
        day = None if until is None else checked_day(until)

        def said(known: Knowledge, at: str) -> list[Statement]:
            defect = known.new_or_known(name) if is_confirmed else known.resolve(name)
            statements = self._named(known, defect, at)
            if url is not None:
                statements.append(self._say("url", defect, at, checked_url(url)))
            if day is not None:
                statements.append(self._say("expires", defect, at, day))
            value = "confirm" if is_confirmed else "reject"
            unique = {pattern.id: pattern for pattern in patterns}
            for pattern in unique.values():
                statements.append(replace(self._say("label", defect, at, value), pattern=pattern))
            return statements

        return self._update(said)

    def rule(self, name: str, rule: Rule, *, is_on: bool = True) -> Knowledge:
        """Set a rule of the defect *name*, which may be new; or take it back."""
        if rule.is_empty:
            raise KnowledgeError("the rule says nothing, so nothing was changed; give --type, --message or --frame")

        def said(known: Knowledge, at: str) -> list[Statement]:
            defect = known.new_or_known(name) if is_on else known.resolve(name)
            if not is_on and (defect, rule) not in known.rules:
                raise KnowledgeError(f"{defect!r} has no such rule, so nothing was changed; 'show' lists its rules")
            statement = self._say("rule", defect, at, "on" if is_on else "off")
            return [*self._named(known, defect, at), replace(statement, rule=rule)]

        return self._update(said)

    def close(self, name: str, *, is_closed: bool = True) -> Knowledge:
        """Close the defect *name*, or open it again."""

        def said(known: Knowledge, at: str) -> list[Statement]:
            defect = known.resolve(name)
            state = "closed" if is_closed else "open"
            if known.defects[defect].state == state:
                raise KnowledgeError(f"{defect!r} is {state} already, so nothing was changed")
            return [self._say("state", defect, at, state)]

        return self._update(said)

    def merge(self, name: str, into: str) -> Knowledge:
        """Say that the defect *name* is the defect *into*."""

        def said(known: Knowledge, at: str) -> list[Statement]:
            one, other = known.resolve(name), known.resolve(into)
            if one == other:
                raise KnowledgeError(
                    f"{name!r} and {into!r} are one defect, {other!r}, already, so nothing was changed; name two"
                    if _checked(name) != _checked(into)
                    else f"{other!r} cannot be merged into itself, so nothing was changed; name two defects"
                )
            return [self._say("merge", one, at, other)]

        return self._update(said)

    def unmerge(self, name: str) -> Knowledge:
        """Take back that the defect *name* is another one."""

        def said(known: Knowledge, at: str) -> list[Statement]:
            shown = _checked(name)
            if known.resolve(name) == shown:
                raise KnowledgeError(
                    f"{shown!r} was not merged into another defect, so nothing was changed; to take failures out of it "
                    "give --only GLOB and the defect that they are"
                )
            return [self._say("merge", shown, at, None)]

        return self._update(said)

    def split(self, name: str, into: str, patterns: Sequence[Pattern]) -> Knowledge:
        """Say that failures of the defect *name* are another one, *into*, which may be new."""

        def said(known: Knowledge, at: str) -> list[Statement]:
            one, other = known.resolve(name), known.new_or_known(into)
            if one == other:
                raise KnowledgeError(f"{one!r} cannot be split into itself, so nothing was changed; name another")
            moved = {pattern.id for pattern in patterns}
            statements = self._named(known, other, at)
            for label in known.labels_of(one):
                # Said of both sides, because failures of both may have one signature.
                yes, no = (other, one) if label.pattern.id in moved else (one, other)
                statements.append(replace(self._say("label", yes, at, "confirm"), pattern=label.pattern))
                statements.append(replace(self._say("label", no, at, "reject"), pattern=label.pattern))
            return statements

        return self._update(said)

    def add(self, contents: Contents) -> Knowledge:
        """Take over what another file says."""

        def said(_: Contents, __: str) -> Sequence[Statement]:
            return contents.statements

        return Knowledge(update(self.file, said))

    def _update(self, said: _Said) -> Knowledge:
        return Knowledge(update(self.file, lambda contents, at: said(Knowledge(contents), at)))

    def _named(self, known: Knowledge, defect: str, at: str) -> list[Statement]:
        return [] if defect in known.defects else [self._say("defect", defect, at, None)]

    def _say(self, kind: Kind, defect: str, at: str, value: str | None) -> Statement:
        return Statement(kind, defect, at, self.by, value)


def author() -> str:
    """Return the name that this machine knows the user by; empty where it knows none."""
    try:
        return getpass.getuser()[:LONGEST_NAME]
    except (OSError, KeyError, ImportError):
        return ""


def checked_url(url: str) -> str | None:
    """Return *url* without secrets, None for an empty one; KnowledgeError for what is none."""
    shown = redact(url.strip())
    if not shown:
        return None
    if len(shown) > LONGEST_URL or not shown.isprintable() or " " in shown:
        raise KnowledgeError("the URL has spaces or signs that no URL has, or is too long, so nothing was changed")
    return shown


def checked_day(text: str) -> str:
    """Return the day that *text* names; KnowledgeError for what is none, and for one that is over in UTC."""
    try:
        day = checked_date(text.strip())
    except ValueError as error:
        raise KnowledgeError(f"{error}, so nothing was changed; give the last day, as 2026-12-31") from error
    today = datetime.now(timezone.utc).date().isoformat()
    if day < today:
        raise KnowledgeError(f"{day} is over (today is {today}, UTC), so nothing was changed; give a day to come")
    return day


def _age(statement: Statement) -> tuple[str, str, str]:
    """Return what sorts statements from the oldest to the newest, those of one time in one order as well."""
    return statement.at, statement.defect, statement.value or ""


def _checked(name: str) -> str:
    try:
        return checked_name(name)
    except ValueError as error:
        raise KnowledgeError(f"{error}, so nothing was changed; give another name") from error


def _label(defect: str, statement: Statement) -> Label:
    if statement.pattern is None:
        raise ValueError("a label has a pattern")
    confirmed = statement.value == "confirm"
    return Label(defect, statement.pattern, statement.at, statement.by, confirmed, statement.source)


_Said = Callable[[Knowledge, str], Sequence[Statement]]

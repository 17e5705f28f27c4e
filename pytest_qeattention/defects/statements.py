"""What people say of defects, one statement a line of JSON, and what holds where they say several things.

Statements are facts that stand for themselves: a defect was named, has an address, was closed; a failure is that
defect, or is not. Of statements about one thing the newest holds, so any order and any repetition of the lines means
the same, and files of two branches are merged by taking the lines of both.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal, get_args

from pytest_qeattention.defects.facts import LONGEST_NAME
from pytest_qeattention.defects.pattern import Pattern
from pytest_qeattention.defects.plain import Fields, kind_of, text_of

VERSION = 1
LONGEST_DEFECT = 200
LONGEST_URL = 2_000
LONGEST_LINE = 200_000
Kind = Literal["defect", "url", "state", "expires", "label", "rule", "merge"]
Source = Literal["human", "automatic"]
KINDS: tuple[Kind, ...] = get_args(Kind)
SOURCES: tuple[Source, ...] = get_args(Source)
_VALUES: dict[Kind, tuple[str, ...]] = {
    "state": ("open", "closed"),
    "label": ("confirm", "reject"),
    "rule": ("on", "off"),
}
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
_FIELDS = ("version", "kind", "defect", "value", "source", "pattern", "rule", "at", "by")


class OtherVersionError(ValueError):
    """Say that a line is of another version of this format."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Say by globs which failures are a defect; an empty glob says nothing."""

    type: str = ""
    """Of the root exception, with its module or without."""
    template: str = ""
    """Of the masked message of the root."""
    frame: str = ""
    """Of ``path::qualname`` of one of the product frames."""

    @property
    def is_empty(self) -> bool:
        return not (self.type or self.template or self.frame)


@dataclass(frozen=True, slots=True)
class Statement:
    """Hold one statement.

    What *value* is depends on *kind*: ``defect`` none; ``url`` the address; ``state`` ``open`` or ``closed``;
    ``expires`` the last day on which a gate may let the defect pass, ``2026-12-31``; ``label`` ``confirm`` or
    ``reject``; ``rule`` ``on`` or ``off``; ``merge`` the defect that this one is, or none to take a merge back.
    """

    kind: Kind
    defect: str
    at: str
    """UTC, as ``2026-01-31T12:00:00.000000Z``."""
    by: str = ""
    value: str | None = None
    source: Source = "human"
    pattern: Pattern | None = None
    rule: Rule | None = None

    @property
    def key(self) -> tuple[str, ...]:
        """Return what the statement is about."""
        about: tuple[str, ...] = ()
        if self.pattern is not None:
            about = (self.pattern.id,)
        elif self.rule is not None:
            about = (self.rule.type, self.rule.template, self.rule.frame)
        return self.defect, self.kind, self.source, *about

    @property
    def text(self) -> str:
        """Return the line, without its end; the same statement gives the same text."""
        value = {
            "version": VERSION,
            "kind": self.kind,
            "defect": self.defect,
            "value": self.value,
            "source": self.source,
            "pattern": None if self.pattern is None else self.pattern.to_plain(),
            "rule": None
            if self.rule is None
            else {"type": self.rule.type, "template": self.rule.template, "frame": self.rule.frame},
            "at": self.at,
            "by": self.by,
        }
        # The name comes first, so that lines of one defect stand together when the file is sorted by any tool.
        order = {"defect": self.defect, "kind": self.kind, **value}
        return json.dumps({name: each for name, each in order.items() if each is not None}, separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str) -> Statement:
        """Return the statement of a line; ValueError for what is none, OtherVersionError for one of another version."""
        if len(text) > LONGEST_LINE:
            raise ValueError(f"has {len(text):,} characters, more than {LONGEST_LINE:,}")
        try:
            value: Any = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError("is no JSON") from error
        if not isinstance(value, dict):
            raise ValueError(f"is {kind_of(value)}, not an object")
        version = value.get("version")
        if type(version) is not int:
            raise ValueError("has no version")
        if version != VERSION:
            age = "newer" if version > VERSION else "older"
            shown = version if abs(version) < 10**9 else "another number"
            raise OtherVersionError(f"has format {shown}, {age} than this plugin's {VERSION}")
        fields = Fields({**dict.fromkeys(_FIELDS), **value}, "it", _FIELDS)
        kind = fields.choice("kind", KINDS)
        at = fields.text("at", 40)
        if not _TIME.fullmatch(at):
            raise ValueError("has no time in UTC at 'at'")
        rule = fields.value("rule")
        return cls(
            kind,
            checked_name(fields.text("defect", LONGEST_DEFECT)),
            at,
            fields.text("by", LONGEST_NAME),
            _checked_value(kind, fields),
            fields.choice("source", SOURCES),
            Pattern.from_plain(fields.value("pattern"), "its pattern") if kind == "label" else None,
            _rule(rule) if kind == "rule" else None,
        )


def checked_name(name: str) -> str:
    """Return the name of a defect with single spaces; ValueError for one that cannot be one."""
    shown = " ".join(name.split())
    if not shown:
        raise ValueError("the name of a defect is empty")
    if len(shown) > LONGEST_DEFECT:
        raise ValueError(f"the name of a defect has {len(shown)} characters, more than {LONGEST_DEFECT}")
    if not shown.isprintable():
        raise ValueError("the name of a defect has characters that cannot be shown")
    return shown


def checked_date(text: str) -> str:
    """Return a day as ``2026-12-31``; ValueError for what is none."""
    if not _DATE.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is no day such as 2026-12-31")
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise ValueError(f"{text!r} is no day of the calendar") from error


def settled(statements: Iterable[Statement]) -> tuple[Statement, ...]:
    """Return the statements that hold, in one order: the newest about each thing, and the first naming of a defect.

    Of two of one time the one whose text is greater holds, so that the order in which they come does not matter.
    """
    held: dict[tuple[str, ...], Statement] = {}
    for statement in statements:
        key = statement.key
        found = held.get(key)
        if found is None or _holds(statement, found):
            held[key] = statement
    return tuple(held[key] for key in sorted(held, key=lambda key: (key[0], KINDS.index(held[key].kind), key)))


def _holds(statement: Statement, other: Statement) -> bool:
    """Tell whether *statement* holds and *other*, about the same, does not."""
    if statement.at == other.at:
        return statement.text > other.text
    return (statement.at > other.at) is (statement.kind != "defect")


def _checked_value(kind: Kind, fields: Fields) -> str | None:
    if kind == "defect":
        return None
    if kind == "merge":
        into = fields.text_or_none("value", LONGEST_DEFECT)
        return None if into is None else checked_name(into)
    if kind == "url":
        return fields.text_or_none("value", LONGEST_URL)
    if kind == "expires":
        return checked_date(fields.text("value", 40))
    return fields.choice("value", _VALUES[kind])


def _rule(value: object) -> Rule:
    fields = Fields(value, "its rule", ("type", "template", "frame"))
    texts = [text_of(fields.value(name), fields.path(name), LONGEST_NAME) for name in ("type", "template", "frame")]
    rule = Rule(*texts)
    if rule.is_empty:
        raise ValueError("its rule says nothing")
    return rule

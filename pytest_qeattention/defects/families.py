"""Families of failures: what a failure of this kind usually comes from, and how to keep it from coming back.

A family is a hint beside the identity of a defect, never the identity itself. The families are data, in
``families.json``; a rule there says what a failure must show, and this module reads and applies the rules:

- ``type``: names of exceptions, whole or their last part; ``*`` stands for any characters.
- ``message``: phrases of which one is in the message, masked or not, in any case; ``*`` stands for any characters of a
  line.
- ``phase``, ``operator``, ``difference``, ``operands``: words of which one is that of the failure; of ``operands``, of
  either side of the assertion.
- ``statement``, ``frames``, ``logs``: phrases of which one is in the statement that raised, in the path and function
  of a frame, in a line of the log.
- ``not``: rules of which none may hold. ``strength``: 3 where the rule all but proves the family, 2 where it speaks for
  it, 1 where nothing speaks against it.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from pytest_qeattention.defects.record import FailureRecord, Raised

FAMILIES = Path(__file__).with_name("families.json")
_VERSION = 1
_TEXTS = ("id", "title", "looks", "why", "prevention")
_OF_RAISED = ("type", "message", "statement")
_CONDITIONS = (*_OF_RAISED, "phase", "operator", "difference", "operands", "frames", "logs")
_PHRASES = ("message", "statement", "frames", "logs")
_STRENGTHS = (1, 2, 3)
_REINSTALL = "no failure is given a family; install pytest-qeattention again"


class FamiliesError(ValueError):
    """Say what is wrong with the data of the families."""


@dataclass(frozen=True, slots=True)
class Family:
    """A family of failures, with texts for the user: what it looks like, why it happens, how to prevent it."""

    id: str
    title: str
    looks: str
    why: str
    prevention: str


class _Phrases:
    """Find one of several phrases, in lower case, each with gaps or without."""

    __slots__ = ("_gapped", "_plain")

    def __init__(self, phrases: Iterable[str]) -> None:
        split = [phrase.lower().split("*") for phrase in phrases]
        self._plain = [parts[0] for parts in split if len(parts) == 1]
        # A gap has a longest length, so that the time to match grows with the text alone.
        self._gapped = [
            (parts, re.compile(r"[^\n]{0,120}?".join(map(re.escape, parts)))) for parts in split if len(parts) > 1
        ]

    def are_in(self, text: str) -> bool:
        # To look for plain text is faster than a pattern by two orders of magnitude, and mostly there is none.
        return any(phrase in text for phrase in self._plain) or any(
            all(part in text for part in parts) and pattern.search(text) is not None for parts, pattern in self._gapped
        )


class _Names:
    """Find one of several names as a whole, or as the last part of a dotted one."""

    __slots__ = ("_gapped", "_whole")

    def __init__(self, names: Iterable[str]) -> None:
        names = tuple(names)
        self._whole = frozenset(name for name in names if "*" not in name)
        gapped = [r"[\w.]*".join(map(re.escape, name.split("*"))) for name in names if "*" in name]
        self._gapped = re.compile(rf"(?:{'|'.join(gapped)})\Z") if gapped else None

    def are_in(self, texts: Iterable[str]) -> bool:
        return any(text in self._whole or (self._gapped and self._gapped.match(text)) for text in texts)


class _Shown:
    """What a failure shows to the rules: texts to look for phrases in, and names."""

    def __init__(self, record: FailureRecord) -> None:
        facts = record.assertion
        frames = [frame for raised in record.chain for frame in raised.frames]
        self.root = record.root
        self.texts: dict[str, Any] = {
            "phase": (record.phase,),
            "operator": (facts.operator,) if facts else (),
            "difference": (facts.difference,) if facts else (),
            "operands": (facts.left, facts.right) if facts else (),
            "frames": "\n".join(f"{frame.path} {frame.qualname}" for frame in frames).lower(),
            "logs": "\n".join(record.logs).lower(),
        }
        self.chain: list[tuple[Raised, dict[str, Any]]] = [
            (
                raised,
                {
                    "type": _endings(raised.type),
                    "message": f"{raised.message}\n{raised.masked.template}".lower(),
                    "statement": raised.frames[-1].statement.lower() if raised.frames else "",
                },
            )
            for raised in record.chain
        ]


def _endings(name: str) -> list[str]:
    """Return a dotted name, and what is left of it without its first part, its first two, and so on."""
    parts = name.split(".")
    return [".".join(parts[start:]) for start in range(min(len(parts), 20))]


@dataclass(frozen=True, slots=True)
class _Rule:
    conditions: tuple[tuple[str, _Phrases | _Names], ...]
    of_raised: tuple[tuple[str, _Phrases | _Names], ...]
    excluded: tuple[_Rule, ...]
    strength: int

    def strength_for(self, shown: _Shown) -> int:
        """Return 0 where the rule does not hold; else its strength, doubled, and 1 more where the root shows it.

        A phrase within what an assertion compares may be the data of the test, so it counts for less.
        """
        if not all(wanted.are_in(shown.texts[name]) for name, wanted in self.conditions):
            return 0
        showing = [
            raised
            for raised, texts in shown.chain
            if all(wanted.are_in(texts[name]) for name, wanted in self.of_raised)
        ]
        if (self.of_raised and not showing) or any(rule.strength_for(shown) for rule in self.excluded):
            return 0
        if not self.of_raised:
            return 2 * self.strength
        names = [name for name, _ in (*self.conditions, *self.of_raised)]
        is_quoted = names == ["message"] and all(raised.type == "AssertionError" for raised in showing)
        return max(2 * (self.strength - is_quoted), 1) + (shown.root in showing)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The families with their rules, in the order of the data."""

    entries: tuple[tuple[Family, tuple[_Rule, ...]], ...] = field(repr=False)
    problem: str | None = None
    """Why there are no families: the data cannot be read."""

    def of(self, record: FailureRecord) -> tuple[Family, ...]:
        """Return the families that *record* may be of, best first; of equals, the one that the data has first."""
        shown = _Shown(record)
        found = []
        for at, (family, rules) in enumerate(self.entries):
            strength = max((rule.strength_for(shown) for rule in rules), default=0)
            if strength:
                found.append((-strength, at, family))
        return tuple(family for _, _, family in sorted(found, key=lambda entry: entry[:2]))


def families(record: FailureRecord) -> tuple[Family, ...]:
    """Return the families that *record* may be of, best first; none where the data cannot be read."""
    return catalogue().of(record)


@lru_cache(maxsize=1)
def catalogue() -> Catalogue:
    """Return the families that the package comes with; the file is read once, when it is first asked for.

    A family is a hint: without the data there are none, and all else goes on.
    """
    try:
        return read_catalogue(json.loads(FAMILIES.read_text(encoding="utf-8")))
    except FamiliesError as error:
        return Catalogue((), str(error))
    except (OSError, ValueError) as error:
        return Catalogue((), f"cannot read {FAMILIES} ({error}); {_REINSTALL}")


def read_catalogue(data: Any) -> Catalogue:
    """Return the families of parsed *data*; raise FamiliesError, which names the family, for what is not one."""
    if not isinstance(data, dict) or data.get("version") != _VERSION or not isinstance(data.get("families"), list):
        raise FamiliesError(f"the families are not those of version {_VERSION}; {_REINSTALL}")
    entries = []
    seen: set[str] = set()
    for value in data["families"]:
        family, rules = _family(value)
        if family.id in seen:
            raise FamiliesError(f"there are two families {family.id}; {_REINSTALL}")
        seen.add(family.id)
        entries.append((family, rules))
    return Catalogue(tuple(entries))


def _family(value: Any) -> tuple[Family, tuple[_Rule, ...]]:
    if not isinstance(value, dict):
        raise FamiliesError(f"a family is no table; {_REINSTALL}")
    id_ = value.get("id")
    unknown = sorted(set(value) - {*_TEXTS, "match", "examples", "unlike"})
    if unknown:
        raise FamiliesError(f"family {id_} has a key that is not known, {unknown[0]}; {_REINSTALL}")
    for name in _TEXTS:
        if not isinstance(value.get(name), str) or not value[name].strip():
            raise FamiliesError(f"family {id_} has no {name}; {_REINSTALL}")
    rules = value.get("match")
    if not isinstance(rules, list) or not rules:
        raise FamiliesError(f"family {id_} has no rules to match; {_REINSTALL}")
    return Family(*(value[name] for name in _TEXTS)), tuple(_rule(rule, str(id_)) for rule in rules)


def _rule(value: Any, id_: str, is_excluded: bool = False) -> _Rule:
    if not isinstance(value, dict) or not any(name in value for name in _CONDITIONS):
        raise FamiliesError(f"family {id_} has a rule without a condition; {_REINSTALL}")
    known = _CONDITIONS if is_excluded else (*_CONDITIONS, "not", "strength")
    unknown = sorted(set(value) - set(known))
    if unknown:
        raise FamiliesError(f"family {id_} has a condition that is not known, {unknown[0]}; {_REINSTALL}")
    strength = value.get("strength", 2)
    if strength not in _STRENGTHS:
        raise FamiliesError(f"family {id_} has a rule of strength {strength}, not of 1, 2 or 3; {_REINSTALL}")
    conditions: dict[str, _Phrases | _Names] = {}
    for name in _CONDITIONS:
        wanted = value.get(name)
        if wanted is None:
            continue
        if not isinstance(wanted, list) or not wanted or not all(isinstance(one, str) and one for one in wanted):
            raise FamiliesError(f"family {id_} has a condition {name} that is no list of texts; {_REINSTALL}")
        conditions[name] = _Phrases(wanted) if name in _PHRASES else _Names(wanted)
    excluded = value.get("not", [])
    if not isinstance(excluded, list):
        raise FamiliesError(f"family {id_} has a condition not that is no list of rules; {_REINSTALL}")
    return _Rule(
        tuple((name, wanted) for name, wanted in conditions.items() if name not in _OF_RAISED),
        tuple((name, wanted) for name, wanted in conditions.items() if name in _OF_RAISED),
        tuple(_rule(rule, id_, is_excluded=True) for rule in excluded),
        strength,
    )

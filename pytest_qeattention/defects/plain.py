"""Plain data that somebody else wrote, checked: what is not as it should be is a ValueError that says where.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

_Item = TypeVar("_Item")

_SURROGATE = re.compile("[\ud800-\udfff]")
_SHOWN = 40


class Fields:
    """Read the fields of one JSON object; every one has to be there, and none beside them."""

    def __init__(self, value: object, where: str, names: Sequence[str]) -> None:
        if not isinstance(value, dict):
            raise ValueError(f"{where} is {kind_of(value)}, not an object")
        self._values: dict[object, object] = value
        self._where = where
        missing = [name for name in names if name not in value]
        if missing:
            raise ValueError(f"{where} has no {missing[0]!r}")
        if len(value) > len(names):
            other = next(key for key in value if key not in names)
            raise ValueError(f"{where} has {_short(other)}, which no such record has")

    def value(self, name: str) -> object:
        """Return what stands at *name*, unchecked."""
        return self._values[name]

    def path(self, name: str) -> str:
        """Return how a message names the field."""
        return f"{self._where}.{name}"

    def text(self, name: str, most: int) -> str:
        """Return a string of at most *most* characters."""
        return text_of(self._values[name], self.path(name), most)

    def text_or_none(self, name: str, most: int) -> str | None:
        """Return a string of at most *most* characters, or None."""
        return None if self._values[name] is None else self.text(name, most)

    def choice(self, name: str, choices: Sequence[_Item]) -> _Item:
        """Return the one of *choices* that stands at *name*."""
        value = self._values[name]
        for choice in choices:
            if type(value) is type(choice) and value == choice:
                return choice
        raise ValueError(f"{self.path(name)} is {_short(value)}, not one of {', '.join(map(repr, choices))}")

    def line(self, name: str) -> int:
        """Return the number of a line: 0 where it is unknown."""
        value = self._values[name]
        if type(value) is not int or not 0 <= value <= MOST_LINES:
            raise ValueError(f"{self.path(name)} is {_short(value)}, not the number of a line")
        return value

    def items(self, name: str, most: int, read: Callable[[object, str], _Item]) -> tuple[_Item, ...]:
        """Return what *read* makes of a list of at most *most* entries."""
        value = self._values[name]
        if not isinstance(value, list | tuple):
            raise ValueError(f"{self.path(name)} is {kind_of(value)}, not a list")
        if len(value) > most:
            raise ValueError(f"{self.path(name)} has {len(value)} entries, more than {most}")
        return tuple(read(entry, f"{self.path(name)}[{number}]") for number, entry in enumerate(value))

    def texts(self, name: str, most: int, longest: int) -> tuple[str, ...]:
        """Return a list of strings, each of at most *longest* characters."""
        return self.items(name, most, lambda entry, where: text_of(entry, where, longest))

    def pairs(self, name: str, most: int, longest: int) -> tuple[tuple[str, str], ...]:
        """Return a list of pairs of strings, each of at most *longest* characters."""
        return self.items(name, most, lambda entry, where: _pair_of(entry, where, longest))


MOST_LINES = 100_000_000


def text_of(value: object, where: str, most: int) -> str:
    """Return *value*, a string that UTF-8 can hold, of at most *most* characters."""
    if type(value) is not str:
        raise ValueError(f"{where} is {kind_of(value)}, not a string")
    if len(value) > most:
        raise ValueError(f"{where} has {len(value)} characters, more than {most}")
    if _SURROGATE.search(value):
        raise ValueError(f"{where} holds a surrogate, which UTF-8 can't")
    return value


def without_surrogates(text: str) -> str:
    """Return *text* with surrogates as escapes."""
    return _SURROGATE.sub(lambda found: f"\\u{ord(found.group()):04x}", text) if not text.isascii() else text


def kind_of(value: object) -> str:
    """Name the type of a value of JSON."""
    names: dict[type, str] = {
        dict: "an object",
        list: "a list",
        str: "a string",
        bool: "true or false",
        int: "a number",
    }
    return "null" if value is None else names.get(type(value), "a number" if type(value) is float else "no plain value")


def _pair_of(value: object, where: str, longest: int) -> tuple[str, str]:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError(f"{where} is not a pair")
    return text_of(value[0], f"{where}[0]", longest), text_of(value[1], f"{where}[1]", longest)


def _short(value: object) -> str:
    """Return what a message shows of a value that may be huge, or nested without end."""
    if isinstance(value, str):
        return repr(value if len(value) <= _SHOWN else f"{value[:_SHOWN]}...")
    if isinstance(value, float | bool) or value is None:
        return repr(value)
    if isinstance(value, int) and abs(value) < 10**_SHOWN:
        return repr(value)
    return kind_of(value)

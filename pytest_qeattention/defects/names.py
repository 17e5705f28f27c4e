"""Parts of paths, hosts and words that were made for one run: numbers, hashes, dates, temporary names.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

KINDS = (
    "address",
    "base64",
    "date",
    "duration",
    "email",
    "hash",
    "id",
    "ip",
    "number",
    "path",
    "port",
    "query",
    "size",
    "text",
    "uuid",
)
"""What can stand in angle brackets in a template."""

PLACEHOLDER = rf"<(?:{'|'.join(KINDS)})(?::\d{{1,6}})?>"
HASH = r"(?=[0-9a-f]{0,127}[a-f])(?=[0-9a-f]{0,127}\d[0-9a-f]{0,126}\d)[0-9a-f]{7,128}|[0-9A-F]{32,128}"
UUID = r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
TEMPORARY = r"tmp[a-z0-9_]{8}"

_PARTS = re.compile(
    rf"(?P<placeholder>{PLACEHOLDER})"
    rf"|(?<![0-9A-Za-z])(?:(?P<uuid>{UUID})|(?P<date>\d{{4}}-\d\d-\d\d)|(?P<hash>{HASH})|(?P<id>{TEMPORARY})"
    r"|(?P<number>\d{1,400}))(?![0-9A-Za-z])"
    r"|(?P<word>[0-9A-Za-z]+)"
)
_DIGIT = re.compile("[0-9]")
_RUNS = re.compile(r"[0-9]+|[a-z]+|[A-Z]+|[^0-9A-Za-z]+")
_SHORTEST_ID = 8
_LEAST_CHANGES = 4
_SHORTEST_BLOB = 20


class Piece(NamedTuple):
    """Hold a part of a message: text that stays, or a value and its kind."""

    text: str
    kind: str = ""
    typed: str = ""
    """What a text that stays says, where it says something exact."""
    quoted: bool = False
    """Whether brackets in it are text."""

    @property
    def key(self) -> str:
        """Return what is the same for the same value; nothing for one that an earlier masking took away."""
        is_lone = self.text.startswith("<") and self.text == f"<{self.kind}>"
        return "" if is_lone else self.text


def placeholder(text: str) -> Piece:
    """Return what a placeholder of an earlier masking stands for: a value of which nothing but its number is known."""
    return Piece(text, text[1:-1].partition(":")[0])


def made_for_a_run(word: str) -> str:
    """Return the kind of *word*, letters and digits, where it reads as a random name; nothing where it doesn't."""
    if len(word) < _SHORTEST_ID or word.isdigit() or not _DIGIT.search(word):
        return ""
    if len(word) >= _SHORTEST_BLOB and word.isalnum() and _changes(word) >= 0.4 * len(word):
        return "base64"
    # Only digits among letters count: camelCase and snake_case_2 are names that somebody chose.
    parts = [part.lower() for part in word.split("_") if len(part) >= _SHORTEST_ID]
    is_random = any(_changes(part) >= max(_LEAST_CHANGES, len(part) / 3) for part in parts)
    return "id" if is_random else ""


def _changes(word: str) -> int:
    return len(_RUNS.findall(word)) - 1


def name_pieces(name: str) -> Iterator[Piece]:
    """Yield the pieces of a part of a path or host."""
    done = 0
    for found in _PARTS.finditer(name):
        text, kind = found.group(), found.lastgroup or ""
        if kind == "word":
            kind = made_for_a_run(text)
            if not kind:
                continue
        if found.start() > done:
            yield Piece(name[done : found.start()], quoted=True)
        yield placeholder(text) if kind == "placeholder" else Piece(text, kind)
        done = found.end()
    if done < len(name):
        yield Piece(name[done:], quoted=True)

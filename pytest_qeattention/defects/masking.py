"""Failure messages without what varies from run to run.

A message is read into pieces, the members of its dict and set displays are put in one order, and what varies is
written as its kind. All of it takes time linear in the length: every pattern is bounded, or can't start again inside
what it has read.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_qeattention.defects.displays import in_one_order
from pytest_qeattention.defects.pieces import Piece, read_pieces

LONGEST_READ = 8_000
"""Characters of a text that count, and of its template: twice what a record keeps of a message."""
MOST_TYPED = 32
LONGEST_TYPED = 120
_MOST_ROUNDS = 10

_ESCAPES = re.compile(r"\x1b\[[0-?]{0,64}[ -/]{0,8}[@-~]|\x1b\][^\x07\x1b\n]{0,500}(?:\x07|\x1b\\)")
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1b\x7f]")
# What pytest and difflib add to show a difference, and what depends on the options of the run alone.
_HINTS = re.compile(
    r"^[ \t]*(?:\?[ \t^+~-]*|[~^]+|Use -v+ to get (?:more|the full) diff|\.\.\.Full output truncated.*)$",
    re.MULTILINE,
)
_MARGIN = re.compile(r"^E[ ]{3}", re.MULTILINE)
_USE_V = re.compile(r", use -v{1,3} to show\b")
_SET_HEADER = re.compile(r"[ \t]*Extra items in the (?:left|right) set:[ \t]*")
_SET_END = re.compile(r"[ \t]*(?:$|Extra items in|Full diff:|Use -v|\+  )")


@dataclass(frozen=True, slots=True)
class Masked:
    """Hold a message in which what varies is written as its kind, and what must not vary beside it."""

    template: str
    """One line; ``<kind>`` for a value met once, ``<kind:1>`` where the same value is met again."""
    typed: tuple[tuple[str, str], ...] = ()
    """Kind and value of what tells failures apart, in the order of the template, at most `MOST_TYPED`."""


def mask(text: str) -> Masked:
    """Return *text* with what varies from run to run replaced by its kind.

    Masked are dates, durations, uuids, addresses, hashes, IP addresses and ports, queries and identifiers in URLs,
    e-mail addresses, directories, ids of processes and threads, sizes, numbers, encoded blobs, and quoted strings of
    more than 80 characters that tell of no error. Kept are HTTP status codes, errno values, exit codes, versions,
    ports of well-known services and quoted names; they are in `Masked.typed` as well. To mask a template again leaves
    it as it is. What follows the first `LONGEST_READ` characters doesn't count.
    """
    line = " ".join(_plain_lines(text[:LONGEST_READ]).split())
    for _ in range(_MOST_ROUNDS):
        pieces = in_one_order(read_pieces(line))
        template = _rendered(pieces)[:LONGEST_READ].rstrip()
        # What stands right beside a value can read as another thing once the value is gone: `1/2s`.
        if template == line:
            break
        line = template
    return Masked(template, _typed(pieces))


def _plain_lines(text: str) -> str:
    text = _CONTROLS.sub("", _ESCAPES.sub("", text))
    if "\n" not in text:
        return text
    text = _USE_V.sub("", _HINTS.sub("", _MARGIN.sub("", text)))
    return _with_sorted_extras(text) if "Extra items in the" in text else text


def _with_sorted_extras(text: str) -> str:
    """Sort what pytest lists of two sets, one member a line, in the order of a hash seed."""
    lines: list[str] = []
    members: list[str] | None = None
    for line in text.split("\n"):
        if members is not None and not _SET_END.match(line):
            members.append(line)
            continue
        lines += sorted(members or ())
        members = [] if _SET_HEADER.fullmatch(line) else None
        lines.append(line)
    return "\n".join(lines + sorted(members or ()))


def _rendered(pieces: Sequence[Piece]) -> str:
    met = Counter((piece.kind, piece.key) for piece in pieces if piece.kind and piece.key)
    numbers: dict[tuple[str, str], int] = {}
    given: Counter[str] = Counter()
    parts = []
    for piece in pieces:
        value = (piece.kind, piece.key)
        if not piece.kind:
            parts.append(piece.text)
        elif met[value] < 2:
            parts.append(f"<{piece.kind}>")
        else:
            if value not in numbers:
                given[piece.kind] += 1
                numbers[value] = given[piece.kind]
            parts.append(f"<{piece.kind}:{numbers[value]}>")
    return "".join(parts).strip()


def _typed(pieces: Sequence[Piece]) -> tuple[tuple[str, str], ...]:
    found = ((piece.typed, piece.text[:LONGEST_TYPED]) for piece in pieces if piece.typed)
    return tuple(dict.fromkeys(found))[:MOST_TYPED]

"""Dict and set displays whose members stand in one order.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from pytest_qeattention.defects.pieces import Piece

# Deeper displays keep their order: a piece is sorted once a level, and the time is to be linear.
DEEPEST = 16

_STRUCTURE = re.compile(r"([{}\[\](),])")
_CLOSING = {"}": "{", "]": "[", ")": "("}
_COMMA = Piece(", ")


@dataclass(slots=True)
class _Open:
    bracket: str
    first: int
    commas: list[int] = field(default_factory=list)
    height: int = 0


def in_one_order(pieces: Iterable[Piece]) -> list[Piece]:
    """Sort the members of what stands in braces by their text, without the values in it where that decides.

    Brackets in quotes don't count. From a bracket that closes none on, only what opens after it is sorted.
    """
    out: list[Piece] = []
    stack: list[_Open] = []
    for piece in pieces:
        if piece.kind or piece.quoted or piece.typed:
            out.append(piece)
            continue
        for part in _STRUCTURE.split(piece.text):
            if not part:
                continue
            if part in _CLOSING:
                _close(out, stack, _CLOSING[part])
            out.append(Piece(part))
            if part in "{[(":
                stack.append(_Open(part, len(out)))
            elif part == "," and stack:
                stack[-1].commas.append(len(out) - 1)
    return out


def _close(out: list[Piece], stack: list[_Open], bracket: str) -> None:
    if not stack or stack[-1].bracket != bracket:
        stack.clear()
        return
    group = stack.pop()
    height = group.height
    if bracket == "{":
        height += 1
        if group.commas and height <= DEEPEST:
            _sort(out, group)
    if stack:
        stack[-1].height = max(stack[-1].height, height)


def _sort(out: list[Piece], group: _Open) -> None:
    starts = [group.first, *(comma + 1 for comma in group.commas)]
    members = [_stripped(out[start:end]) for start, end in zip(starts, [*group.commas, len(out)], strict=True)]
    if not all(members):
        return
    members.sort(key=_order)
    del out[group.first :]
    for number, member in enumerate(members):
        if number:
            out.append(_COMMA)
        out += member


def _stripped(pieces: list[Piece]) -> list[Piece]:
    if pieces and _is_plain(pieces[0]):
        pieces[0] = Piece(pieces[0].text.lstrip())
    if pieces and _is_plain(pieces[-1]):
        pieces[-1] = Piece(pieces[-1].text.rstrip())
    return [piece for piece in pieces if piece.kind or piece.text]


def _is_plain(piece: Piece) -> bool:
    return not (piece.kind or piece.quoted or piece.typed)


def _order(member: list[Piece]) -> tuple[str, str]:
    """Return the text of a member without values, then with those that no earlier masking took away."""
    shape = "".join(f"<{piece.kind}>" if piece.kind else piece.text for piece in member)
    raw = "".join("" if piece.kind and piece.key[:1] in ("", "<") else piece.key or piece.text for piece in member)
    return shape, raw

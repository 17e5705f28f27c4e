"""Why a failure is one defect, and why not another: the signals that decided, with what they count.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from pytest_qeattention.defects.pattern import Pattern
from pytest_qeattention.defects.pattern_signals import BAGS, EQUAL, GROUNDS
from pytest_qeattention.defects.pattern_table import BAG_PARTS, COLUMNS, EQUAL_PARTS, FloatArray

_MOST_SHOWN = 3
_LEAST_GAIN = 0.2
"""What a signal must add to the utility of a defect to be named."""
_LEAST_COSINE = 0.1
_LONGEST = 60


@dataclass(frozen=True, slots=True)
class Reason:
    """Hold what one signal says for one defect over another."""

    signal: str
    gain: float
    """What it adds to the difference of utilities, in logits."""
    text: str


def for_defect(pattern: Pattern, row: FloatArray, other: FloatArray | None, weights: FloatArray) -> list[Reason]:
    """Return what speaks for the defect with the numbers *row*, that with most weight first.

    *other* are those of the defect that comes next, None where there is none; *weights* those of `COLUMNS`.
    """
    found = [reason for reason in _all(pattern, row, other, weights) if reason.gain >= _LEAST_GAIN]
    return sorted(found, key=lambda reason: (-reason.gain, reason.signal))


def shown(reasons: Sequence[Reason]) -> str:
    """Return *reasons* as text, with what they count."""
    return ", ".join(f"{reason.text} ({reason.gain:+.1f})" for reason in reasons[:_MOST_SHOWN])


def against(pattern: Pattern, row: FloatArray, weights: FloatArray) -> str:
    """Return in words what a defect with the numbers *row* has otherwise than *pattern*, empty where nothing counts."""
    found = []
    for at, (name, value_of) in enumerate(EQUAL):
        column = at * len(EQUAL_PARTS)
        if row[column + 3] > 0.0 and value_of(pattern) is not None and not name.endswith("signature"):
            lost = sum(weights[column : column + 3]) - weights[column + 3]
            found.append((-float(lost), f"another {name}"))
    texts = [text for lost, text in sorted(found) if lost < 0.0]
    # Messages are compared in several ways, of which one is enough to read.
    messages = [text for text in texts if text.startswith("another message")]
    return ", ".join([text for text in texts if text not in messages[1:]][:_MOST_SHOWN])


def grounds_of(row: FloatArray, weights: FloatArray) -> frozenset[str]:
    """Return what of a failure took part in a match with a defect with the numbers *row*."""
    found = set()
    for name, gain, is_met in _gains(row, None, weights):
        if is_met and gain > 0.0:
            found.add(GROUNDS.get(name, "test"))
    return frozenset(found)


def _all(pattern: Pattern, row: FloatArray, other: FloatArray | None, weights: FloatArray) -> list[Reason]:
    values = dict(EQUAL)
    found = []
    for name, gain, is_met in _gains(row, other, weights):
        if not is_met:
            continue
        if name in values:
            text = _said(name, values[name](pattern))
        else:
            text = f"{name} alike (cosine {row[COLUMNS.index((name, BAG_PARTS[0]))]:.2f})"
        found.append(Reason(name, gain, text))
    return found


def _gains(row: FloatArray, other: FloatArray | None, weights: FloatArray) -> list[tuple[str, float, bool]]:
    """Return name and gain of each signal, and whether the failure and the defect have it in common."""
    gained = weights * (row if other is None else row - other)
    found = []
    column = 0
    for name, _ in EQUAL:
        found.append((name, float(gained[column : column + len(EQUAL_PARTS)].sum()), bool(row[column] > 0.0)))
        column += len(EQUAL_PARTS)
    for name, _ in BAGS:
        is_met = bool(row[column] >= _LEAST_COSINE)
        found.append((name, float(gained[column : column + len(BAG_PARTS)].sum()), is_met))
        column += len(BAG_PARTS)
    return found


def _said(name: str, value: Hashable | None) -> str:
    parts = [str(part) for part in value if part] if isinstance(value, tuple) else [str(value)]
    if name in ("signature", "test and signature", "message with all values"):
        return f"same {name}"
    text = parts[-1] if name.startswith(("message", "product statement")) and parts else " ".join(parts)
    text = " ".join(text.split())
    return f"same {name} {text if len(text) <= _LONGEST else text[: _LONGEST - 1] + '…'}"

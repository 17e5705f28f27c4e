"""Why failures stand together, in words: the signals that decided, with what they are and how many have it.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence

import numpy as np

from pytest_qeattention.defects.constraints import together
from pytest_qeattention.defects.pair_model import PairModel
from pytest_qeattention.defects.record import FailureRecord
from pytest_qeattention.defects.signals import BAGS, COLUMNS, EQUAL, VECTORS, IntArray, Signals
from pytest_qeattention.wording import first_names

MOST_REASONS = 4
_MOST_PAIRS = 400
_LONGEST = 100
_LEAST_GAIN = 0.1
_LEAST_COSINE = 0.3
_WORDS: Mapping[str, str] = {
    "root type": "the exception is {}",
    "outermost type": "the last exception is {}",
    "message": "messages agree: {}",
    "message but for repeated values": "messages agree: {}",
    "culprit": "the test calls {}",
    "product frame that raised": "same product frame {}",
    "product statement that raised": "same statement of the product: {}",
    "frame that raised": "raised by {}",
    "statement of the test": "same statement of the test: {}",
    "failing fixture": "fixture {} fails",
    "phase": "fails at {}",
    "kind of difference": "the assert fails alike: {}",
    "types of operands": "the assert compares {}",
    "function asserted of": "the assert is about {}",
    "test file": "tests of {}",
    "test class": "tests of {}",
    "test function": "the same test {}",
}
_SUBJECTS = (
    (
        "product frame that raised",
        "culprit",
        "frame that raised",
        "product statement that raised",
        "product frames",
        "frames",
    ),
    ("message", "message but for repeated values", "words of messages", "typed values"),
    ("root type", "outermost type", "exceptions named"),
    ("function asserted of", "statement of the test", "kind of difference", "types of operands"),
    ("test function", "test class", "words of tests", "names of tests", VECTORS, "test file", "fixtures", "parameters"),
    ("failing fixture",),
    ("logs",),
    ("phase",),
)
"""Signals that speak of one thing, those first that say it best; a subject is told of once."""
_VALUE_OF: Mapping[str, Callable[[FailureRecord], Hashable | None]] = dict(EQUAL)
_BAG_OF: Mapping[str, Callable[[FailureRecord], Mapping[str, float]]] = dict(BAGS)


def reasons_of(
    records: Sequence[FailureRecord],
    members: Sequence[tuple[int, int]],
    signals: Signals,
    model: PairModel,
    score: float | None,
) -> tuple[str, ...]:
    """Say why failures stand together.

    *members* are places in *records* with the failure's number in *signals*; *score* is the mean score of their pairs,
    None where there is one.
    """
    inside = [records[place] for place, _ in members]
    if len(inside) < 2:
        return ()
    found: list[str] = []
    bound = {together(record) for record in inside}
    if len(bound) == 1 and None not in bound:
        found.append(_bound(inside))
    numbers = sorted({number for _, number in members})
    if len(numbers) == 1:
        found += [_said(name, inside) or "" for name in ("message", "product statement that raised")]
        found.append("nothing but parameters and tests tells them apart")
        return tuple(dict.fromkeys(filter(None, found)))[:MOST_REASONS]
    for subject, cosines in _by_gain(numbers, signals, model):
        said = (
            _said(name, inside) if name in _VALUE_OF else _alike(name, inside, cosines[name])
            for name in subject
            if name in _VALUE_OF or name in cosines
        )
        found += [next(filter(None, said), "")]
    unique = list(dict.fromkeys(filter(None, found)))[:MOST_REASONS]
    if score is not None:
        unique.append(f"mean score of their pairs {score:.2f}" + ("" if model.learned else ", by weights set by hand"))
    return tuple(unique)


def _bound(inside: Sequence[FailureRecord]) -> str:
    first, count = inside[0], len(inside)
    if first.phase == "collect":
        return f"the same error keeps {count} modules from being collected"
    if first.phase == "crash":
        return f"the same crash in {count} of {count}"
    return f"fixture {first.test.failing_fixture} fails in {count} of {count}"


def _by_gain(
    numbers: Sequence[int], signals: Signals, model: PairModel
) -> list[tuple[tuple[str, ...], Mapping[str, float]]]:
    """Return subjects that speak for the pairs of *numbers*, the strongest first, with the mean cosines of bags."""
    left, right = _some_pairs(len(numbers))
    at = np.array(numbers, np.int64)
    values = signals.values(at[left], at[right]).mean(axis=0, dtype=np.float64)
    gain: defaultdict[str, float] = defaultdict(float)
    cosine: dict[str, float] = {}
    for column, weight, value in zip(COLUMNS, model.row().tolist(), values.tolist(), strict=True):
        gain[column[0]] += weight * value
        if column[1] == "cosine" and value >= _LEAST_COSINE:
            cosine[column[0]] = value
    total = {subject: round(sum(max(gain[name], 0.0) for name in subject), 4) for subject in _SUBJECTS}
    order = sorted(range(len(_SUBJECTS)), key=lambda number: (-total[_SUBJECTS[number]], number))
    return [(_SUBJECTS[number], cosine) for number in order if total[_SUBJECTS[number]] >= _LEAST_GAIN]


def _some_pairs(count: int) -> tuple[IntArray, IntArray]:
    """Return all pairs of so many, or `_MOST_PAIRS` that are spread evenly over them."""
    left, right = np.triu_indices(min(count, 1000), 1)
    step = max(len(left) // _MOST_PAIRS, 1)
    return left[::step], right[::step]


def _said(name: str, inside: Sequence[FailureRecord]) -> str | None:
    """Say what of a signal most of *inside* have, and how many; None where no two agree."""
    met = Counter(value for record in inside if (value := _VALUE_OF[name](record)) is not None)
    if not met:
        return None
    value, count = min(met.items(), key=lambda each: (-each[1], repr(each[0])))
    if count < 2 or 2 * count < len(inside):
        return None
    shown = _shown(name, value)
    return f"{_WORDS[name].format(shown)} in {count} of {len(inside)}" if shown else None


def _shown(name: str, value: Hashable) -> str:
    if isinstance(value, tuple):
        parts = [str(part) for part in value if part]
        if name in ("message", "message but for repeated values", "product statement that raised"):
            text = parts[-1] if parts else ""
        elif name in ("test class", "test function"):
            text = "::".join(parts)
        else:
            text = " and ".join(parts) if name == "types of operands" else ", ".join(parts)
    else:
        text = str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _alike(name: str, inside: Sequence[FailureRecord], cosine: float) -> str | None:
    if name == VECTORS:
        return f"{name} agree (cosine {cosine:.2f})"
    shared = set.intersection(*(set(_BAG_OF[name](record)) for record in inside))
    words = sorted(word for word in shared if not word.isdecimal())
    if name in ("frames", "product frames") or not words:
        return f"{name} agree (cosine {cosine:.2f})"
    return f"{name} agree (cosine {cosine:.2f}): {first_names(words)}"

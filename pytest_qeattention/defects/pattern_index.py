"""Patterns of labelled failures by what they are made of: finds those near a failure without looking at all.

What a pattern is made of are features: words of its message, values, frames, its exception, its test. A feature counts
by how few patterns have it, and common ones find nothing.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import heapq
import math
import re
from array import array
from collections.abc import Iterable, Mapping, Sequence

from pytest_qeattention.defects.pattern import Pattern

MOST_FOUND = 48
"""Patterns that are found."""
COMMON = 400
"""A feature that more patterns have finds none, as long as a rarer one is there."""
_MOST_FEATURES = 80
_LONGEST_WORD = 60
# How much a feature of a kind counts beside its rarity. Set by hand: what is found is weighed by a fitted model.
_WEIGHTS: Mapping[str, float] = {
    "value": 1.5,
    "word": 1.0,
    "exception": 1.0,
    "culprit": 1.5,
    "frame": 0.8,
    "statement": 1.0,
    "fixture": 1.5,
    "assertion": 0.6,
    "test": 1.0,
    "test word": 0.3,
    "file": 0.3,
}
_WORD = re.compile(r"[^\W\d_]{2,}|<\w+>")

Feature = tuple[str, str]


def features(pattern: Pattern) -> tuple[Feature, ...]:
    """Return the kind and text of what *pattern* is made of, each once."""
    found: list[Feature] = []
    if pattern.type:
        found.append(("exception", pattern.type))
    found.extend(("value", f"{kind}={value}") for kind, value in pattern.typed)
    found.extend(("word", word[:_LONGEST_WORD].lower()) for word in _WORD.findall(pattern.template))
    found.extend(("frame", f"{path}::{qualname}") for path, qualname in pattern.frames)
    for statement in (pattern.statement, pattern.test_statement):
        if statement:
            found.append(("statement", statement))
    if pattern.outermost:
        found.append(("exception", f"{pattern.outermost} outermost"))
    if pattern.culprit is not None:
        found.append(("culprit", pattern.culprit[1]))
    if pattern.fixture is not None:
        found.append(("fixture", pattern.fixture))
    if pattern.assertion is not None:
        facts = pattern.assertion
        found.append(("assertion", f"{facts.operator} {facts.difference}".strip()))
        if facts.called:
            found.append(("culprit", facts.called))
    found.append(("test", f"{pattern.path}::{pattern.test}"))
    found.append(("file", pattern.path))
    found.extend(("test word", word.lower()) for word in _WORD.findall(pattern.test.replace("_", " ")))
    return tuple(dict.fromkeys(found))[:_MOST_FEATURES]


class PatternIndex:
    """Find the patterns that share rare features with one."""

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        self._numbers: dict[Feature, int] = {}
        self._features: list[array[int]] = []
        postings: list[array[int]] = []
        for place, pattern in enumerate(patterns):
            own = array("I")
            for feature in features(pattern):
                number = self._numbers.setdefault(feature, len(postings))
                if number == len(postings):
                    postings.append(array("I"))
                postings[number].append(place)
                own.append(number)
            self._features.append(own)
        self._postings = postings
        count = len(patterns)
        self._weights = array("d", bytes(8 * len(postings)))
        for (kind, _), number in self._numbers.items():
            self._weights[number] = _WEIGHTS[kind] * _rarity(count, len(postings[number]))
        self._unknown = {kind: weight * _rarity(count, 0) for kind, weight in _WEIGHTS.items()}
        self._lengths = array("d", (self._length(own) for own in self._features))

    def weight(self, feature: Feature) -> float:
        """Return how much *feature* counts: the more, the fewer patterns have it."""
        number = self._numbers.get(feature)
        return self._unknown[feature[0]] if number is None else self._weights[number]

    def near(self, pattern: Pattern) -> list[int]:
        """Return the places of patterns that share something rare with *pattern*, those that share most first."""
        numbers = [self._numbers.get(feature) for feature in features(pattern)]
        known = [number for number in numbers if number is not None]
        finding = [number for number in known if len(self._postings[number]) <= COMMON]
        if not finding and known:
            finding = [min(known, key=lambda number: (len(self._postings[number]), number))]
        weights, lengths = self._weights, self._lengths
        sums: dict[int, float] = {}
        for number in finding:
            weight = weights[number] ** 2
            for place in self._postings[number]:
                sums[place] = sums.get(place, 0.0) + weight
        best = heapq.nsmallest(MOST_FOUND, ((-total / lengths[place], place) for place, total in sums.items()))
        return [place for _, place in best]

    def _length(self, numbers: Iterable[int]) -> float:
        return math.sqrt(sum(self._weights[number] ** 2 for number in numbers))


def _rarity(count: int, having: int) -> float:
    return math.log1p((count + 1) / (having + 1))

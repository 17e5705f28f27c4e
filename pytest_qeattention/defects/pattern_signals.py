"""What a failure is made of when it is compared with labelled ones: values that are equal or not, and bags of words.

Places in the product count by the name of the file and the last part of the qualified name: that is what the text of a
traceback tells too, so that a failure means the same live and in a JUnit file.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence

from pytest_qeattention.defects.pattern import Pattern
from pytest_qeattention.defects.signals import plain
from pytest_qeattention.syntax.words import words_of

MOST_WORDS = 60
"""Words of a bag that are compared, the first of them."""


def bare(place: tuple[str, str]) -> str:
    """Return the name of a file and the last part of a qualified name of *place*."""
    path, qualname = place
    return f"{path.rpartition('/')[2]}::{qualname.rpartition('.')[2]}"


def _innermost(pattern: Pattern) -> str | None:
    return bare(pattern.frames[-1]) if pattern.frames else None


def _message(pattern: Pattern) -> Hashable | None:
    return (pattern.type, pattern.template) if pattern.type or pattern.template else None


def _operands(pattern: Pattern) -> Hashable | None:
    facts = pattern.assertion
    return None if facts is None or not facts.left else (facts.operator, facts.left, facts.right)


def _difference(pattern: Pattern) -> Hashable | None:
    facts = pattern.assertion
    return None if facts is None or not facts.difference else (facts.operator, facts.difference)


def _called(pattern: Pattern) -> str | None:
    return None if pattern.assertion is None else pattern.assertion.called.rpartition(".")[2] or None


def _class(pattern: Pattern) -> Hashable | None:
    owner = pattern.test.rpartition("::")[0]
    return (pattern.path, owner) if owner else None


def _raised_statement(pattern: Pattern) -> Hashable | None:
    return (bare(pattern.frames[-1]), pattern.statement) if pattern.frames and pattern.statement else None


EQUAL: tuple[tuple[str, Callable[[Pattern], Hashable | None]], ...] = (
    ("signature", lambda p: p.signature if p.type or p.template else None),
    ("test and signature", lambda p: p.id if p.type or p.template else None),
    ("exception", lambda p: p.type or None),
    ("outermost exception", lambda p: p.outermost or None),
    ("message", _message),
    ("message but for repeated values", lambda p: None if _message(p) is None else (p.type, plain(p.template))),
    ("message with all values", lambda p: p.digest or None),
    ("culprit", lambda p: None if p.culprit is None else bare(p.culprit)),
    ("product frame that raised", _innermost),
    ("product statement that raised", _raised_statement),
    ("statement of the test", lambda p: p.test_statement or None),
    ("failing fixture", lambda p: p.fixture),
    ("phase", lambda p: p.phase),
    ("kind of difference", _difference),
    ("types of operands", _operands),
    ("function asserted of", _called),
    ("test file", lambda p: p.path or None),
    ("test class", _class),
    ("test function", lambda p: (p.path, p.test) if p.test else None),
)
"""Signals that are equal or not, None where a failure has none."""


def _words(texts: Sequence[str]) -> dict[str, float]:
    counted = Counter(word for text in texts for word in words_of(text))
    # A word that a message repeats says a little more than one that it has once.
    return {word: 1.0 + 0.5 * (count > 1) for word, count in list(counted.items())[:MOST_WORDS]}


def _frames(pattern: Pattern) -> dict[str, float]:
    found: dict[str, float] = {}
    for away, place in enumerate(reversed(pattern.frames)):
        found.setdefault(bare(place), 1.0 / (1.0 + away))
    return found


BAGS: tuple[tuple[str, Callable[[Pattern], Mapping[str, float]]], ...] = (
    ("words of the message", lambda p: _words([p.template])),
    ("values", lambda p: {f"{kind}={value}": 1.0 for kind, value in p.typed}),
    ("product frames", _frames),
    ("statements", lambda p: _words([p.statement, p.test_statement])),
    ("name of the test", lambda p: _words([p.test])),
    ("parameters", lambda p: {f"{name}={text}": 1.0 for name, text in p.parameters}),
    ("what the test uses", lambda p: dict.fromkeys(p.uses, 1.0)),
)
"""Signals that are more or less alike: words with weights, empty where a failure has none."""

GROUNDS: Mapping[str, str] = {
    "signature": "message",
    "test and signature": "message",
    "exception": "exception",
    "outermost exception": "exception",
    "message": "message",
    "message but for repeated values": "message",
    "message with all values": "message",
    "culprit": "product frame",
    "product frame that raised": "product frame",
    "product statement that raised": "product frame",
    "failing fixture": "fixture",
    "phase": "exception",
    "kind of difference": "assertion",
    "types of operands": "assertion",
    "function asserted of": "assertion",
    "words of the message": "message",
    "values": "message",
    "product frames": "product frame",
    "statements": "product frame",
}
"""What of a failure a signal is part of; the test where it is not named."""

TEST_SIGNALS = frozenset(
    (
        *("statement of the test", "test file", "test class", "test function", "name of the test", "parameters"),
        *("test and signature", "what the test uses"),
    )
)
FRAME_SIGNALS = frozenset(
    (
        *(
            "signature",
            "test and signature",
            "culprit",
            "product frame that raised",
            "product statement that raised",
            "product frames",
        ),
        "statements",
    )
)

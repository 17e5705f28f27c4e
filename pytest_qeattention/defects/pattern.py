"""What a label keeps of a failure: enough to know it again, small enough for version control.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from pytest_qeattention.defects.facts import (
    LONGEST_NAME,
    LONGEST_NODEID,
    LONGEST_STATEMENT,
    MOST_PARAMETERS,
    Assertion,
    TestFacts,
)
from pytest_qeattention.defects.masking import LONGEST_TYPED, MOST_TYPED
from pytest_qeattention.defects.plain import Fields
from pytest_qeattention.defects.record import PHASES, FailureRecord, Phase

LONGEST_TEMPLATE = 1_000
MOST_USES = 40
MOST_FRAMES = 20
"""Product frames that are kept, the innermost of them."""
_ADDRESS = re.compile(r"0x[0-9A-Fa-f]+")
_CALLED = re.compile(r"(?<![\w.])(?:[^\W\d]\w*\.)*([^\W\d]\w*)\(")
_SIGNATURE = re.compile(r"[0-9a-f]{16}")
_FIELDS = (
    "signature",
    "phase",
    "type",
    "outermost",
    "template",
    "typed",
    "frames",
    "statement",
    "culprit",
    "fixture",
    "path",
    "test",
    "parameters",
    "test_statement",
    "assertion",
    "uses",
    "digest",
)


@dataclass(frozen=True, slots=True)
class Pattern:
    """Hold what tells one failure from others: no message, no lines, no source, no paths of a machine."""

    signature: str
    """As `FailureRecord.signature` gives it."""
    phase: Phase
    type: str
    """Of the root exception; empty where none is known."""
    outermost: str
    """Type of the outermost exception; empty where the root is all there is."""
    template: str
    """Of the root's message; see `masking.mask`."""
    typed: tuple[tuple[str, str], ...]
    frames: tuple[tuple[str, str], ...]
    """Path and qualified name of the root's product frames, outermost first, at most `MOST_FRAMES`."""
    statement: str
    """Of the innermost of them."""
    culprit: tuple[str, str] | None
    fixture: str | None
    """The fixture that failed."""
    path: str
    """Of the test."""
    test: str
    """Qualified name of the test, without parameters."""
    parameters: tuple[tuple[str, str], ...]
    test_statement: str
    """What the test was at when it failed; empty where that is unknown."""
    assertion: Assertion | None
    uses: tuple[str, ...] = ()
    """Names of what the test calls, and of its fixtures; empty where its source is unknown."""
    digest: str = ""
    """Of the root's message with all its values, but for addresses; 16 hexadecimal digits, empty without a message."""

    @classmethod
    def of(cls, record: FailureRecord) -> Pattern:
        """Return the pattern of *record*."""
        root = record.root
        frames = [] if root is None else [frame for frame in root.frames if frame.role == "product"]
        of_test = [frame for raised in record.chain for frame in raised.frames if frame.role == "test"]
        culprit = record.culprit
        return cls(
            record.signature(),
            record.phase,
            "" if root is None else root.type,
            record.chain[0].type if len(record.chain) > 1 else "",
            "" if root is None else root.masked.template[:LONGEST_TEMPLATE],
            () if root is None else root.masked.typed,
            tuple((frame.path, frame.qualname) for frame in frames[-MOST_FRAMES:]),
            frames[-1].statement if frames else "",
            None if culprit is None else (culprit.path, culprit.qualname),
            record.test.failing_fixture,
            record.test.path,
            record.test.qualname,
            record.test.parameters,
            of_test[-1].statement if of_test else "",
            record.assertion,
            _used(record.test),
            "" if root is None or not root.message else _digest(_ADDRESS.sub("", root.message)),
        )

    @property
    def id(self) -> str:
        """Return 16 hexadecimal digits: the same for one test, with any parameters, failing in the same way."""
        parts = (self.signature, self.path, self.test)
        return _digest("".join(f"{len(part)}:{part}" for part in parts))

    def to_plain(self) -> dict[str, object]:
        """Return the pattern as an object of JSON."""
        return {
            "signature": self.signature,
            "phase": self.phase,
            "type": self.type,
            "outermost": self.outermost,
            "template": self.template,
            "typed": [list(pair) for pair in self.typed],
            "frames": [list(pair) for pair in self.frames],
            "statement": self.statement,
            "culprit": None if self.culprit is None else list(self.culprit),
            "fixture": self.fixture,
            "path": self.path,
            "test": self.test,
            "parameters": [list(pair) for pair in self.parameters],
            "test_statement": self.test_statement,
            "assertion": None if self.assertion is None else self.assertion.to_plain(),
            "uses": list(self.uses),
            "digest": self.digest,
        }

    @classmethod
    def from_plain(cls, value: object, where: str = "pattern") -> Pattern:
        """Return the pattern that *value* holds; ValueError where it is none."""
        fields = Fields(value, where, _FIELDS)
        signature = fields.text("signature", 16)
        if not _SIGNATURE.fullmatch(signature):
            raise ValueError(f"{fields.path('signature')} is no signature of 16 hexadecimal digits")
        culprit: tuple[str, str] | None = None
        if fields.value("culprit") is not None:
            place = fields.texts("culprit", 2, LONGEST_NODEID)
            if len(place) != 2:
                raise ValueError(f"{fields.path('culprit')} is not a path and a name")
            culprit = place[0], place[1]
        assertion = fields.value("assertion")
        return cls(
            signature,
            fields.choice("phase", PHASES),
            fields.text("type", LONGEST_NAME),
            fields.text("outermost", LONGEST_NAME),
            fields.text("template", LONGEST_TEMPLATE),
            fields.pairs("typed", MOST_TYPED, LONGEST_TYPED),
            fields.pairs("frames", MOST_FRAMES, LONGEST_NODEID),
            fields.text("statement", LONGEST_STATEMENT),
            culprit,
            fields.text_or_none("fixture", LONGEST_NAME),
            fields.text("path", LONGEST_NODEID),
            fields.text("test", LONGEST_NODEID),
            fields.pairs("parameters", MOST_PARAMETERS, LONGEST_NAME),
            fields.text("test_statement", LONGEST_STATEMENT),
            None if assertion is None else Assertion.from_plain(assertion, fields.path("assertion")),
            fields.texts("uses", MOST_USES, LONGEST_NAME),
            fields.text("digest", 16),
        )


def _used(test: TestFacts) -> tuple[str, ...]:
    names = dict.fromkeys(name[:LONGEST_NAME] for name in _CALLED.findall(test.source) if name != test.name)
    return tuple(sorted({*list(names)[:MOST_USES], *test.fixtures})[:MOST_USES])


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "backslashreplace"), digest_size=8).hexdigest()

"""One failure as plain data: what was raised, where, in which test, and around it.

Records travel from workers on reports and lie in stores, so they are made of strings, numbers, lists and objects alone,
carry a version, and are checked when they come back.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from pytest_qeattention.defects.facts import (
    LONGEST_NAME,
    LONGEST_NODEID,
    Assertion,
    Difference,
    Frame,
    Link,
    Raised,
    TestFacts,
    bare_name,
    safe,
    safe_parameter,
)
from pytest_qeattention.defects.frames import Role
from pytest_qeattention.defects.masking import LONGEST_READ, Masked, mask
from pytest_qeattention.defects.plain import Fields, kind_of, text_of

__all__ = [
    "RECORD_VERSION",
    "Assertion",
    "Difference",
    "FailureRecord",
    "Frame",
    "Link",
    "Masked",
    "Phase",
    "Raised",
    "Role",
    "TestFacts",
    "culprit_of",
    "fixture_of",
]

RECORD_VERSION = 1
Phase = Literal["setup", "call", "teardown", "collect", "crash", "timeout"]
PHASES: tuple[Phase, ...] = get_args(Phase)
LONGEST_LOG = 500
MOST_RAISED = 50
MOST_LOGS = 50
MOST_CHANGED = 500
MOST_FACTS = 50


@dataclass(frozen=True, slots=True)
class FailureRecord:
    """Hold one failure."""

    nodeid: str
    phase: Phase
    test: TestFacts
    chain: tuple[Raised, ...] = ()
    """Outermost first; empty only for a crash, a timeout, or a failure without text."""
    culprit: Frame | None = None
    """The first product frame under the test, or the callee of the assert that failed."""
    assertion: Assertion | None = None
    logs: tuple[str, ...] = ()
    """Templates of what was logged at WARNING and above, in order, each once."""
    environment: Mapping[str, str] = field(default_factory=dict)
    revision: str | None = None
    changed: tuple[str, ...] = ()
    """Files that differ from the revision."""

    @classmethod
    def of(
        cls,
        nodeid: str,
        phase: Phase,
        test: TestFacts,
        chain: Sequence[Raised] = (),
        *,
        culprit: Frame | None = None,
        assertion: Assertion | None = None,
        logs: Iterable[str] = (),
        environment: Mapping[str, str] | None = None,
        revision: str | None = None,
        changed: Iterable[str] = (),
    ) -> FailureRecord:
        """Make a record; *nodeid*, *logs*, *environment* and the names of files are raw text.

        Of a chain that is too long the ends are kept: the outermost exception and the root lie there.
        """
        half = MOST_RAISED // 2
        kept = chain if len(chain) <= MOST_RAISED else (*chain[:half], *chain[-half:])
        templates = dict.fromkeys(mask(safe(log, LONGEST_LOG)).template for log in logs)
        facts = sorted((environment or {}).items())[:MOST_FACTS]
        return cls(
            safe(nodeid, LONGEST_NODEID),
            phase,
            test,
            tuple(kept),
            culprit,
            assertion,
            tuple(template for template in templates if template)[:MOST_LOGS],
            dict(safe_parameter(name, text) for name, text in facts),
            None if revision is None else safe(revision, LONGEST_NAME),
            tuple(safe(path, LONGEST_NODEID) for path in list(changed)[:MOST_CHANGED]),
        )

    @property
    def root(self) -> Raised | None:
        """Return the exception that all else came from: along causes, contexts, and the first member of a group."""
        root: Raised | None = None
        for raised in self.chain:
            if root is not None and raised.link == "group" and not root.type.endswith("Group"):
                break
            root = raised
        return root

    def signature(self) -> str:
        """Return 16 hexadecimal digits that are the same for the same failure, on any machine and however it was told.

        Taken are type and template of the root, and where it came from: the culprit, by its file's name and its own, if
        the traceback goes through it; or else the fixture that failed. Any other failure happened in the test itself,
        so that its file and name stand there: messages such as ``assert <number> == <number>`` are the same everywhere.
        The function that an assert asks counts for nothing, as only a live frame knows which one that is.
        """
        root = self.root
        parts = ["2"]
        if root is None:
            parts.append(self.phase)
        else:
            parts += [root.type, root.masked.template, *(f"{kind}={value}" for kind, value in root.masked.typed)]
        culprit = self.culprit
        if culprit is not None and self._goes_through(culprit):
            parts += ["culprit", culprit.path.rpartition("/")[2], bare_name(culprit.qualname)]
        elif self.test.failing_fixture is not None:
            parts += ["fixture", fixture_of(self.chain) or self.test.failing_fixture]
        else:
            parts += ["test", self.test.path, self.test.qualname]
        data = b"".join(len(part).to_bytes(4, "little") + part.encode("utf-8", "backslashreplace") for part in parts)
        return hashlib.blake2b(data, digest_size=8).hexdigest()

    def _goes_through(self, culprit: Frame) -> bool:
        place = culprit.path, culprit.qualname
        return any((frame.path, frame.qualname) == place for raised in self.chain for frame in raised.frames)

    def to_plain(self) -> dict[str, object]:
        """Return the record as an object of JSON, with its version."""
        return {
            "version": RECORD_VERSION,
            "nodeid": self.nodeid,
            "phase": self.phase,
            "test": self.test.to_plain(),
            "chain": [raised.to_plain() for raised in self.chain],
            "culprit": None if self.culprit is None else self.culprit.to_plain(),
            "assertion": None if self.assertion is None else self.assertion.to_plain(),
            "logs": list(self.logs),
            "environment": dict(self.environment),
            "revision": self.revision,
            "changed": list(self.changed),
        }

    @classmethod
    def from_plain(cls, value: object) -> FailureRecord:
        """Return the record that *value* holds; ValueError, saying what is wrong, where it is none of this version."""
        where = "record"
        if not isinstance(value, dict):
            raise ValueError(f"{where} is {kind_of(value)}, not an object")
        version = value.get("version")
        if type(version) is not int or version != RECORD_VERSION:
            shown = version if type(version) is int and abs(version) < 10**9 else kind_of(version)
            raise ValueError(f"{where}.version is {shown}, not {RECORD_VERSION}")
        fields = Fields(value, where, _FIELDS)
        culprit, assertion = fields.value("culprit"), fields.value("assertion")
        return cls(
            fields.text("nodeid", LONGEST_NODEID),
            fields.choice("phase", PHASES),
            TestFacts.from_plain(fields.value("test"), fields.path("test")),
            fields.items("chain", MOST_RAISED, Raised.from_plain),
            None if culprit is None else Frame.from_plain(culprit, fields.path("culprit")),
            None if assertion is None else Assertion.from_plain(assertion, fields.path("assertion")),
            fields.texts("logs", MOST_LOGS, LONGEST_READ),
            _environment(fields.value("environment"), fields.path("environment")),
            fields.text_or_none("revision", LONGEST_NAME),
            fields.texts("changed", MOST_CHANGED, LONGEST_NODEID),
        )


_FIELDS = (
    "version",
    "nodeid",
    "phase",
    "test",
    "chain",
    "culprit",
    "assertion",
    "logs",
    "environment",
    "revision",
    "changed",
)


def _environment(value: object, where: str) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ValueError(f"{where} is {kind_of(value)}, not an object")
    if len(value) > MOST_FACTS:
        raise ValueError(f"{where} has {len(value)} entries, more than {MOST_FACTS}")
    return {
        text_of(name, f"{where} (a name)", LONGEST_NAME): text_of(text, f"{where} (a value)", LONGEST_NAME)
        for name, text in value.items()
    }


def culprit_of(chain: Iterable[Raised]) -> Frame | None:
    """Return the first frame of the product below the test or fixture, of what was raised first."""
    for raised in reversed([raised for raised in chain if raised.link != "group"]):
        start = max((at + 1 for at, frame in enumerate(raised.frames) if frame.role in ("test", "fixture")), default=0)
        for frame in raised.frames[start:]:
            if frame.role == "product":
                return frame
    return None


def fixture_of(chain: Sequence[Raised]) -> str | None:
    """Return the name of the function that is the innermost fixture, of what was raised first in one."""
    for raised in reversed(chain):
        for frame in reversed(raised.frames):
            if frame.role == "fixture":
                return bare_name(frame.qualname)
    return None

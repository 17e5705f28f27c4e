"""The parts of a record: frames, exceptions, what an assert compared, the test.

Each ``of`` takes raw text and is the one way in: it takes secrets away, then cuts, then masks. ``from_plain`` reads
what ``to_plain`` wrote, and believes nothing of it.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from pytest_qeattention.defects.frames import ROLES, Role, without_repeats
from pytest_qeattention.defects.masking import LONGEST_READ, LONGEST_TYPED, MOST_TYPED, Masked, mask
from pytest_qeattention.defects.plain import MOST_LINES, Fields, without_surrogates
from pytest_qeattention.defects.secrets import redact

Link = Literal["cause", "context", "group"]
Difference = Literal[
    "",
    "values",
    "length",
    "missing item",
    "extra item",
    "order",
    "type",
    "none",
    "case",
    "whitespace",
    "precision",
    "sign",
    "off by one",
    "substring",
    "truth",
    "did not raise",
]
LINKS: tuple[Link, ...] = get_args(Link)
DIFFERENCES: tuple[Difference, ...] = get_args(Difference)
LONGEST_MESSAGE = 4_000
LONGEST_SOURCE = 20_000
LONGEST_STATEMENT = 200
LONGEST_NODEID = 2_000
LONGEST_NAME = 500
FIRST_FRAMES, LAST_FRAMES = 20, 80
MOST_PARAMETERS = 50
MOST_FIXTURES = 200


@dataclass(frozen=True, slots=True)
class Frame:
    """Hold one call of a traceback; *path* as `frames.Roles.display` writes it, *line* 0 where it is unknown."""

    path: str
    line: int
    qualname: str
    statement: str
    role: Role

    @classmethod
    def of(cls, path: str, line: int, qualname: str, statement: str, role: Role) -> Frame:
        """Make a frame of raw text; the statement becomes one line."""
        shown = safe(" ".join(statement[: 4 * LONGEST_STATEMENT].split()), LONGEST_STATEMENT)
        return cls(safe(path, LONGEST_NODEID), min(max(line, 0), MOST_LINES), safe(qualname, LONGEST_NAME), shown, role)

    def to_plain(self) -> dict[str, object]:
        """Return the frame as an object of JSON."""
        return {
            "path": self.path,
            "line": self.line,
            "qualname": self.qualname,
            "statement": self.statement,
            "role": self.role,
        }

    @classmethod
    def from_plain(cls, value: object, where: str) -> Frame:
        """Return the frame that *value* holds; ValueError where it is none."""
        fields = Fields(value, where, ("path", "line", "qualname", "statement", "role"))
        return cls(
            fields.text("path", LONGEST_NODEID),
            fields.line("line"),
            fields.text("qualname", LONGEST_NAME),
            fields.text("statement", LONGEST_STATEMENT),
            fields.choice("role", ROLES),
        )


@dataclass(frozen=True, slots=True)
class Raised:
    """Hold one exception of a chain."""

    type: str
    """With its module, but for builtins: ``ValueError``, ``requests.exceptions.ConnectionError``."""
    message: str
    masked: Masked
    link: Link | None = None
    """How it hangs on the exception before it."""
    frames: tuple[Frame, ...] = ()
    """Outermost first, each cycle of a recursion once; of more the first `FIRST_FRAMES` and the last `LAST_FRAMES`."""

    @classmethod
    def of(cls, type: str, message: str, link: Link | None = None, frames: Sequence[Frame] = ()) -> Raised:
        """Make one of raw text. The key that a KeyError names is kept as it is, also where it is a number."""
        name = safe(type.removeprefix("builtins."), LONGEST_NAME)
        text = safe(message, LONGEST_MESSAGE)
        masked = mask(text)
        if name == "KeyError" and masked.template == "<number>":
            masked = Masked(text.strip(), (("key", text.strip()[:LONGEST_TYPED]),))
        frames = without_repeats(frames, _place)
        if len(frames) > FIRST_FRAMES + LAST_FRAMES:
            frames = (*frames[:FIRST_FRAMES], *frames[-LAST_FRAMES:])
        return cls(name, text, masked, link, tuple(frames))

    def to_plain(self) -> dict[str, object]:
        """Return the exception as an object of JSON."""
        return {
            "type": self.type,
            "message": self.message,
            "template": self.masked.template,
            "typed": [list(pair) for pair in self.masked.typed],
            "link": self.link,
            "frames": [frame.to_plain() for frame in self.frames],
        }

    @classmethod
    def from_plain(cls, value: object, where: str) -> Raised:
        """Return the exception that *value* holds; ValueError where it is none."""
        fields = Fields(value, where, ("type", "message", "template", "typed", "link", "frames"))
        return cls(
            fields.text("type", LONGEST_NAME),
            fields.text("message", LONGEST_MESSAGE),
            Masked(fields.text("template", LONGEST_READ), fields.pairs("typed", MOST_TYPED, LONGEST_TYPED)),
            fields.choice("link", (None, *LINKS)),
            fields.items("frames", FIRST_FRAMES + LAST_FRAMES, Frame.from_plain),
        )


@dataclass(frozen=True, slots=True)
class Assertion:
    """Hold what is known of the ``assert`` that failed; empty is unknown."""

    operator: str
    """As it is written (``==``, ``in``, ``not``), or ``call``, ``raises``."""
    left: str = ""
    """Type of the operand."""
    right: str = ""
    difference: Difference = ""
    called: str = ""
    """Name of the function that the assert calls."""

    @classmethod
    def of(
        cls, operator: str, left: str = "", right: str = "", difference: Difference = "", called: str = ""
    ) -> Assertion:
        """Make one of raw text."""
        operator, left, right, called = (safe(text, LONGEST_NAME) for text in (operator, left, right, called))
        return cls(operator, left, right, difference, called)

    def to_plain(self) -> dict[str, object]:
        """Return the facts as an object of JSON."""
        return {
            "operator": self.operator,
            "left": self.left,
            "right": self.right,
            "difference": self.difference,
            "called": self.called,
        }

    @classmethod
    def from_plain(cls, value: object, where: str) -> Assertion:
        """Return the facts that *value* holds; ValueError where it holds none."""
        fields = Fields(value, where, ("operator", "left", "right", "difference", "called"))
        return cls(
            fields.text("operator", LONGEST_NAME),
            fields.text("left", LONGEST_NAME),
            fields.text("right", LONGEST_NAME),
            fields.choice("difference", DIFFERENCES),
            fields.text("called", LONGEST_NAME),
        )


@dataclass(frozen=True, slots=True)
class TestFacts:
    """Hold what is known of the test that failed."""

    __test__: ClassVar[bool] = False

    path: str
    qualname: str
    """``Class::name``, without parameters."""
    line: int | None = None
    parameters: tuple[tuple[str, str], ...] = ()
    """Name and text of each; one without a name where only the id of all is known."""
    fixtures: tuple[str, ...] = ()
    failing_fixture: str | None = None
    source: str = ""
    """Empty where it is unknown."""

    @property
    def name(self) -> str:
        """Return the name of the function."""
        return self.qualname.rpartition("::")[2]

    @classmethod
    def of(
        cls,
        path: str,
        qualname: str,
        line: int | None = None,
        parameters: Iterable[tuple[str, str]] = (),
        fixtures: Iterable[str] = (),
        failing_fixture: str | None = None,
        source: str = "",
    ) -> TestFacts:
        """Make facts of raw text."""
        return cls(
            safe(path, LONGEST_NODEID),
            safe(qualname, LONGEST_NODEID),
            None if line is None else min(max(line, 0), MOST_LINES),
            tuple(safe_parameter(name, text) for name, text in list(parameters)[:MOST_PARAMETERS]),
            tuple(safe(fixture, LONGEST_NAME) for fixture in list(fixtures)[:MOST_FIXTURES]),
            None if failing_fixture is None else safe(failing_fixture, LONGEST_NAME),
            safe(source, LONGEST_SOURCE),
        )

    def to_plain(self) -> dict[str, object]:
        """Return the facts as an object of JSON."""
        return {
            "path": self.path,
            "qualname": self.qualname,
            "line": self.line,
            "parameters": [list(pair) for pair in self.parameters],
            "fixtures": list(self.fixtures),
            "failing_fixture": self.failing_fixture,
            "source": self.source,
        }

    @classmethod
    def from_plain(cls, value: object, where: str) -> TestFacts:
        """Return the facts that *value* holds; ValueError where it holds none."""
        names = ("path", "qualname", "line", "parameters", "fixtures", "failing_fixture", "source")
        fields = Fields(value, where, names)
        return cls(
            fields.text("path", LONGEST_NODEID),
            fields.text("qualname", LONGEST_NODEID),
            None if fields.value("line") is None else fields.line("line"),
            fields.pairs("parameters", MOST_PARAMETERS, LONGEST_NAME),
            fields.texts("fixtures", MOST_FIXTURES, LONGEST_NAME),
            fields.text_or_none("failing_fixture", LONGEST_NAME),
            fields.text("source", LONGEST_SOURCE),
        )


def _place(frame: Frame) -> object:
    # Where no lines are known, each frame is one of its own.
    return (frame.path, frame.line, frame.qualname) if frame.line else object()


def bare_name(qualname: str) -> str:
    """Return the name of a function as a printed traceback has it; "" for one without a name of its own."""
    name = qualname.rpartition(".")[2]
    return "" if name.startswith("<") else name


def safe(text: str, most: int) -> str:
    """Return *text* as a record may hold it: without secrets, of at most *most* characters, fit for UTF-8."""
    # An escape is longer than a surrogate, so it comes first; what is far beyond the cut isn't looked at.
    return redact(without_surrogates(text[: 2 * most + 8_192]), most)


def safe_parameter(name: str, text: str) -> tuple[str, str]:
    """Take secrets away from a value by its name as well: ``password`` and ``hunter2``."""
    safe_name = safe(name, LONGEST_NAME)
    before = f"{safe_name}="
    return safe_name, safe(f"{before}{text}", LONGEST_NAME + len(before)).removeprefix(before)[:LONGEST_NAME]

"""A line of a report: text in spans, each with its markup, for whoever writes it.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """Hold text and the names of its markup as in pytest's terminal writer (``bold``, ``yellow``)."""

    text: str
    markup: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """Hold one line of a report, without its end."""

    spans: tuple[Span, ...] = ()

    @classmethod
    def plain(cls, text: str) -> Line:
        """Return a line without markup."""
        return cls((Span(printable(text)),))

    @classmethod
    def marked(cls, text: str, *markup: str) -> Line:
        """Return a line with one markup throughout."""
        return cls((Span(printable(text), markup),))

    @property
    def text(self) -> str:
        return "".join(span.text for span in self.spans)


def printable(text: str) -> str:
    """Return *text* with escapes for all that would move the cursor or colour the terminal."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )

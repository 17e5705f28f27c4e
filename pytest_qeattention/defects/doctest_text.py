"""Failures of doctests, as pytest writes them.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import re
from dataclasses import replace

from pytest_qeattention.defects.traceback_text import Trace, parse_traceback

_END = re.compile(r"^(\S.*):(?:\d{1,8}|None): (DocTestFailure|UnexpectedException)$", re.MULTILINE)
_EXAMPLE = re.compile(r"^(?:\d{3,8}(?: |$)|\?\?\? |EXAMPLE LOCATION UNKNOWN)")


def parse_doctest(text: str) -> tuple[Trace, ...]:
    """Return what the examples that failed raised, each as a member after the first; empty if *text* is of no doctest.

    An example whose output was another raised ``doctest.DocTestFailure``, with the two outputs for a message.
    """
    traces: list[Trace] = []
    start = 0
    for end in _END.finditer(text):
        said = _without_examples(text[start : end.start()])
        start = end.end()
        if end[2] == "DocTestFailure":
            found: tuple[Trace, ...] = (Trace("doctest.DocTestFailure", said.strip(), None, ()),)
        else:
            found = parse_traceback(said)
        traces += [replace(trace, link="group") if traces and not at else trace for at, trace in enumerate(found)]
    return tuple(traces)


def doctest_path(text: str) -> str | None:
    """Return the path of the file whose doctest failed; None if *text* is of no doctest."""
    end = _END.search(text)
    return None if end is None else end[1]


def _without_examples(text: str) -> str:
    lines = text.strip("\n").split("\n")
    first = next((at for at, line in enumerate(lines) if not _EXAMPLE.match(line)), len(lines))
    return "\n".join(lines[first:])

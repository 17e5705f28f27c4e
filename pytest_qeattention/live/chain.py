"""Exceptions that were just raised, read into a record: what was raised, through which frames, by which assert.

No code of the user runs here but ``str()`` of an exception, which pytest calls as well.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import importlib
import linecache
import os
import sys
import types
import unittest
from collections.abc import Set
from dataclasses import replace
from functools import lru_cache

import _pytest
import pluggy
import pytest

import pytest_qeattention
from pytest_qeattention.defects.facts import FIRST_FRAMES, LAST_FRAMES, LONGEST_MESSAGE
from pytest_qeattention.defects.frames import Roles, without_repeats
from pytest_qeattention.defects.record import Frame, Link, Raised
from pytest_qeattention.defects.stack import first_of_project
from pytest_qeattention.defects.traceback_text import UNPRINTABLE

_MOST_LINKED = 1_000
_KEPT_LINKED = 25
"""Exceptions kept of either end of a long chain."""
_MOST_NOTES = 20
_LONGEST_TEXT = 2 * LONGEST_MESSAGE + 8_192
"""What a record looks at of a message."""
_MACHINERY = tuple(
    os.path.join(os.path.dirname(os.path.abspath(str(module.__file__))), "")
    for module in (_pytest, pluggy, unittest, importlib, pytest_qeattention)
)
_FROZEN = ("<frozen importlib", "<frozen runpy")

Step = tuple[types.FrameType, int]
"""A frame of a traceback, and the line that it was at."""


def linked(error: BaseException) -> list[tuple[BaseException, Link | None]]:
    """Return the exceptions that *error* came from, outermost first, each once, with how it hangs on the one before.

    The members of a group follow it, each with those that it came from. Of a chain of more than 1,000 the rest is
    left out, and of what is left the ends are kept.
    """
    found: list[tuple[BaseException, Link | None]] = []
    seen: set[int] = set()
    waiting: list[tuple[BaseException, Link | None]] = [(error, None)]
    while waiting and len(found) < _MOST_LINKED:
        current, link = waiting.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        found.append((current, link))
        members = _members(current)
        cause = current.__cause__
        if cause is not None:
            waiting.append((cause, "cause"))
        elif current.__context__ is not None and not current.__suppress_context__ and not members:
            waiting.append((current.__context__, "context"))
        waiting.extend((member, "group") for member in reversed(members))
    if len(found) > 2 * _KEPT_LINKED:
        found = [*found[:_KEPT_LINKED], *found[-_KEPT_LINKED:]]
    return found


def _members(error: BaseException) -> list[BaseException]:
    # The class of groups is a builtin from Python 3.11 on; the backport has the same attribute.
    if not type(error).__name__.endswith("Group"):
        return []
    members = getattr(error, "exceptions", None)
    if not isinstance(members, (tuple, list)):
        return []
    return [member for member in members[:_MOST_LINKED] if isinstance(member, BaseException)]


def type_name(error: BaseException) -> str:
    """Return the name of the type, with its module as a traceback has it."""
    kind = type(error)
    module = kind.__module__
    name = kind.__qualname__
    return f"{module}.{name}" if isinstance(module, str) and module not in ("builtins", "__main__") else str(name)


def message_of(error: BaseException) -> str:
    """Return what *error* says, with its notes; of one that cannot say it, that it cannot."""
    if isinstance(error, pytest.FixtureLookupError):
        return error.msg or f"fixture {error.argname!r} not found"
    text = _said(error)
    notes = getattr(error, "__notes__", None)
    if isinstance(notes, list):
        text = "\n".join([text, *(note for note in notes[:_MOST_NOTES] if type(note) is str)])
    return text[:_LONGEST_TEXT]


def _said(error: BaseException) -> str:
    try:
        return str.__str__(str(error))[:_LONGEST_TEXT]
    except (KeyboardInterrupt, pytest.exit.Exception):
        raise
    except BaseException:
        return UNPRINTABLE


def steps_of(error: BaseException, traceback: types.TracebackType | None = None) -> list[Step]:
    """Return the frames that *error* passed, outermost first, without those of the machinery that runs tests."""
    steps: list[Step] = []
    at = traceback if traceback is not None else error.__traceback__
    while at is not None:
        if not _is_machinery(at.tb_frame.f_code.co_filename) and not _is_hidden(at.tb_frame):
            steps.append((at.tb_frame, at.tb_lineno))
        at = at.tb_next
    return steps


@lru_cache(maxsize=4_096)
def _is_machinery(path: str) -> bool:
    return path.startswith(_FROZEN) or os.path.abspath(path).startswith(_MACHINERY)


def _is_hidden(frame: types.FrameType) -> bool:
    # Any other value is pytest's to call.
    return frame.f_locals.get("__tracebackhide__") is True


def qualname_of(frame: types.FrameType) -> str:
    """Return the qualified name of the function that *frame* runs."""
    code = frame.f_code
    if sys.version_info >= (3, 11):
        return code.co_qualname
    owner = frame.f_locals.get("self", frame.f_locals.get("cls"))
    kind = owner if isinstance(owner, type) else type(owner)
    for each in type.__dict__["__mro__"].__get__(kind):
        function = plain_function(vars(each).get(code.co_name))
        if function is not None and function.__code__ is code:
            return function.__qualname__
    return code.co_name


def plain_function(value: object) -> types.FunctionType | None:
    """Return the function within a method, a property or a decorator that tells what it wraps; None for all else."""
    for _ in range(100):
        if isinstance(value, (staticmethod, classmethod, types.MethodType)):
            value = value.__func__
        elif isinstance(value, property):
            value = value.fget
        elif isinstance(value, types.FunctionType) and "__wrapped__" in value.__dict__:
            value = value.__dict__["__wrapped__"]
        else:
            break
    return value if isinstance(value, types.FunctionType) else None


class Chains:
    """Make chains of records; keeps what frames and messages have in common, as failures of one cause share them."""

    def __init__(self, roles: Roles) -> None:
        self._roles = roles
        self._frame = lru_cache(maxsize=8_192)(self._make_frame)
        self._raised = lru_cache(maxsize=512)(Raised.of)

    def raised(
        self, error: BaseException, link: Link | None, steps: list[Step], fixtures: Set[types.CodeType]
    ) -> Raised:
        """Return one exception of a chain; *fixtures* are the code objects of fixtures."""
        steps = without_repeats(steps, lambda step: (step[0].f_code, step[1]))
        if len(steps) > FIRST_FRAMES + LAST_FRAMES:
            steps = [*steps[:FIRST_FRAMES], *steps[-LAST_FRAMES:]]
        frames = [self.frame(frame, line, frame.f_code in fixtures) for frame, line in steps]
        if isinstance(error, SyntaxError) and type(error.filename) is str and type(error.lineno) is int:
            # A traceback shows the place as if it had been called.
            frames.append(self._frame(error.filename, error.lineno, "<module>", False))
        frames = frames[first_of_project(frames) :]
        return replace(self._raised(type_name(error), message_of(error)), link=link, frames=tuple(frames))

    def frame(self, frame: types.FrameType, line: int | None, is_fixture: bool = False) -> Frame:
        """Return one frame that is at *line*."""
        # A line is None where a frame was never started on one.
        return self._frame(frame.f_code.co_filename, line or 0, qualname_of(frame), is_fixture)

    def definition(self, function: types.FunctionType) -> Frame:
        """Return the place where *function* is written as a frame."""
        code = function.__code__
        return self._frame(code.co_filename, code.co_firstlineno, function.__qualname__, False)

    def _make_frame(self, path: str, line: int, qualname: str, is_fixture: bool) -> Frame:
        role = self._roles.role(path, qualname, is_fixture)
        return Frame.of(self._roles.display(path), line, qualname, linecache.getline(path, line), role)

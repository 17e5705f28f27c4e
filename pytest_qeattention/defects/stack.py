"""The frames of a stack as a record keeps them: those of the project and what they called.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from dataclasses import replace

from pytest_qeattention.defects.facts import Frame, Raised, bare_name

CALLERS_OF_FIXTURES = ("call_fixture_func", "_teardown_yield_fixture")
"""Functions of ``_pytest/fixtures.py`` that call nothing but the function of a fixture."""
AROUND = ("setup", "teardown")
"""The phases before and after a test."""
_PROJECT = ("product", "test", "fixture", "helper")
_MACHINERY = re.compile(r"^site-packages/(?:_pytest|pluggy|pytest)/|^<stdlib>/(?:(?:unittest|importlib)/|runpy\.py)")


def without_machinery(frames: Sequence[Frame]) -> list[Frame]:
    """Leave out what runs tests and imports modules, and all that was called before the first code of the project."""
    frames = [frame for frame in frames if not _MACHINERY.match(frame.path)]
    return frames[first_of_project(frames) :]


def first_of_project(frames: Sequence[Frame]) -> int:
    """Return the place of the outermost frame of the project; 0 where there is none."""
    return next((at for at, frame in enumerate(frames) if frame.role in _PROJECT), 0)


def with_fixtures(chain: tuple[Raised, ...], phase: str | None) -> tuple[Raised, ...]:
    """Take for a fixture the function that was called first before or after a test, *phase*.

    pytest calls little else there: a fixture, a method that stands for one, or what one asked to be called at the end.
    It was called in the outermost exception, or in the members of a group that pytest made of several.
    """
    if phase not in AROUND or not chain:
        return chain
    is_gathered = not any(frame.role in _PROJECT for frame in chain[0].frames)
    fixtures: set[tuple[str, str]] = set()
    for raised in chain[:1] + tuple(each for each in chain[1:] if is_gathered and each.link == "group"):
        frame = _called_first(raised.frames, phase)
        if frame is not None:
            fixtures.add((frame.path, frame.qualname))
    return tuple(_with_role(raised, fixtures) for raised in chain) if fixtures else chain


def with_test(chain: tuple[Raised, ...], path: str, name: str) -> tuple[Raised, ...]:
    """Take function *name* of file *path* for the test that it is, and the rest of the file for no product."""
    if all(frame.path != path for raised in chain for frame in raised.frames):
        return chain
    return tuple(
        replace(raised, frames=tuple(_of_test(frame, path, name) for frame in raised.frames)) for raised in chain
    )


def _of_test(frame: Frame, path: str, name: str) -> Frame:
    if frame.path != path or frame.role not in ("product", "helper"):
        return frame
    return replace(frame, role="test" if bare_name(frame.qualname) == name else "helper")


def _called_first(frames: Sequence[Frame], phase: str) -> Frame | None:
    called = [frame for frame in frames if frame.path.endswith(".py") and not frame.qualname.startswith("pytest_")]
    # After a test a function of the product may be all that a fixture asked to be called.
    wanted = _PROJECT if phase == "setup" else ("fixture", "test", "helper")
    own = next((frame for frame in called if frame.role in _PROJECT), None)
    if own is not None:
        return own if own.role in wanted else None
    return next((frame for frame in called if frame.role == "third party"), None) if phase == "setup" else None


def _with_role(raised: Raised, fixtures: Set[tuple[str, str]]) -> Raised:
    frames = tuple(
        replace(frame, role="fixture") if (frame.path, frame.qualname) in fixtures else frame for frame in raised.frames
    )
    return replace(raised, frames=frames)

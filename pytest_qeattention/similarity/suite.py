"""The tests that an analysis looks at, read from files or from what pytest collected.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from pytest_qeattention.similarity.describe import Description, implementation
from pytest_qeattention.similarity.model import Problem, Unit


@dataclass(frozen=True, slots=True)
class Located:
    """Say where a test that pytest collected is written."""

    path: str
    """Absolute path of the file that holds its ``def``."""
    qualname: str
    """``Class::name`` or ``name``."""
    line: int | None
    """``co_firstlineno`` of its code: the first decorator's line, or that of ``def``; None when unknown."""


@dataclass(frozen=True, slots=True)
class Content:
    """Hold what a suite consists of."""

    units: tuple[Unit, ...] = ()
    descriptions: tuple[Description, ...] = ()
    bindings: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    key: bytes | None = None


class Suite:
    """Hold the units to analyse, in order of path and line, and what could not be read.

    A suite that a cache may know is read when something of it is asked for.
    """

    def __init__(
        self,
        units: tuple[Unit, ...] = (),
        descriptions: tuple[Description, ...] = (),
        bindings: tuple[str, ...] = (),
        problems: tuple[Problem, ...] = (),
        left_out: Mapping[str, int] | None = None,
    ) -> None:
        content = Content(units, descriptions, bindings, problems, left_out or {})
        self._read: Callable[[], Content] = lambda: content
        self._known_key: Callable[[], bytes | None] = lambda: None
        self._has_remarks: Callable[[], bool] = lambda: True
        self.kept_notice: str | None = None
        """What the run that computed a kept report had to say of the core; None for nothing."""

    @classmethod
    def of(cls, content: Content) -> Suite:
        """Return the suite of that content."""
        return cls.unread(lambda: content, lambda: None)

    @classmethod
    def unread(
        cls,
        read: Callable[[], Content],
        known_key: Callable[[], bytes | None],
        *,
        has_remarks: Callable[[], bool] = lambda: True,
    ) -> Suite:
        """Return the suite that *read* gives when it is needed.

        *known_key* tells the suite's key without reading it, where that is known; *has_remarks* says, when the suite
        has been analysed, whether any file of it may hold a comment for this plugin.
        """
        suite = cls()
        suite._read, suite._known_key, suite._has_remarks = read, known_key, has_remarks
        return suite

    def notices(self) -> list[str]:
        """Say what of the installation makes the report take longer than need be, kept or computed alike."""
        if "pytest_qeattention.attention" in sys.modules:
            from pytest_qeattention.attention import core_problem

            problem = core_problem()
        else:
            # Nothing was computed: what the run said that computed the report.
            problem = self.kept_notice
        # The reader is asked whether or not this process has read a test: a kept report, or others that read, hide
        # nothing.
        return [each for each in (problem, implementation().problem) if each is not None]

    @cached_property
    def _content(self) -> Content:
        return self._read()

    @cached_property
    def key(self) -> bytes | None:
        """Name everything that the suite consists of, as far as that is known without reading it; None if it is not."""
        return self._known_key()

    @property
    def read_key(self) -> bytes | None:
        """Name everything that the suite was found to consist of; None when nothing of it is to be kept."""
        return self._content.key

    @property
    def units(self) -> tuple[Unit, ...]:
        return self._content.units

    @property
    def descriptions(self) -> tuple[Description, ...]:
        """The evidence of each unit."""
        return self._content.descriptions

    @property
    def bindings(self) -> tuple[str, ...]:
        """What the free names of each unit stand for: units of equal source and equal bindings do the same."""
        return self._content.bindings

    @property
    def problems(self) -> tuple[Problem, ...]:
        return self._content.problems

    @property
    def left_out(self) -> Mapping[str, int]:
        return self._content.left_out

    @property
    def units_with_remarks(self) -> tuple[Unit, ...]:
        """The units that a comment for this plugin may stand in: all, or none when no file holds one."""
        return self.units if self._has_remarks() else ()

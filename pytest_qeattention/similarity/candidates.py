"""What a scan of one file finds: functions that can be tests, and the facts that decide which of them are.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Generic, TypeVar

from .discover import SourcePath
from .model import Problem, Unit

T = TypeVar("T")


def source_digest(data: bytes) -> str:
    """Name the content of a source file."""
    return blake2b(data, digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class ClassInfo:
    """Describe a class as far as collection asks for it."""

    name: str
    qualname: str
    """``Outer::Inner``."""
    line: int
    bases: tuple[str, ...] = ()
    """Dotted source of each base; a call ends in ``()``, what has no name is empty."""
    methods: tuple[str, ...] = ()
    """Names that are functions when the body has run."""
    bound: tuple[str, ...] = ()
    """Names bound to anything else: they hide what bases have."""
    abstract: tuple[str, ...] = ()
    """Methods marked abstract."""
    metaclass: str | None = None
    has_init: bool = False
    """Whether the class or a decorator that writes ``__init__`` (dataclass, attrs) defines it."""
    has_new: bool = False
    test_flag: bool | None = None
    """``__test__`` where it is a literal."""
    exported: bool = True
    """False if the name is deleted again, so that the class is only a base."""


@dataclass(frozen=True, slots=True)
class FoundFunction(Generic[T]):
    """Pair a function that can be a test with its class."""

    unit: Unit
    owner: str | None
    """Qualified name of the class it is written in, None for a function of the module."""
    described: T | None = None
    """What the caller of the scan extracted."""
    test_flag: bool | None = None
    """``name.__test__`` where it is set to a literal."""
    is_generator: bool = False
    """Whether it yields: pytest refuses that, unittest does not."""


@dataclass(frozen=True, slots=True)
class FileScan(Generic[T]):
    """Hold what one file contributes to collection; plain data that can be pickled."""

    path: str
    problem: Problem | None = None
    classes: tuple[ClassInfo, ...] = ()
    functions: tuple[FoundFunction[T], ...] = ()
    imports: dict[str, str] = field(default_factory=dict)
    """Name at module level to ``module.name``; a relative import keeps its dots."""
    aliases: dict[str, str] = field(default_factory=dict)
    """Name at module level to the dotted name that it was assigned."""
    star_imports: tuple[str, ...] = ()
    exports: tuple[str, ...] | None = None
    """``__all__`` where it is a literal."""
    module_test_flag: bool | None = None
    source: SourcePath | None = None
    """What was scanned; None for source that came from memory."""
    fixtures: tuple[str, ...] = ()
    """Fixtures that the module itself defines."""
    digest: str = ""
    """`source_digest` of the file that was read."""
    root: str = ""
    """Absolute path of the directory that holds the file's top package: absolute imports start there."""

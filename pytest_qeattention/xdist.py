"""Who collects, who analyses, who writes: the roles of a process under pytest-xdist, and without it.

Decisions are made on the controller, tests are collected and run on the workers, files are written by the
controller. pytest-xdist itself is never imported, and may be missing or switched off.

    Single       collects and analyses
    Controller   merges what the workers collected, and analyses
    Worker       collects, and hands over what it found; neither analyses nor writes

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import pytest

from pytest_qeattention.items import Collection, Imports, collect, sort_key
from pytest_qeattention.similarity.suite import Located

WIRE_KEY = "qeattention"
WIRE_VERSION = 2

_CHANGED = ""
"""Digest of a file that workers have seen with different content: no file has it."""


class WorkerError(Exception):
    """Say why no worker could tell what it collected."""


class Role(Protocol):
    """Name the verbs that every role has."""

    def register(self, pluginmanager: pytest.PytestPluginManager) -> None:
        """Register the hooks that only this role has."""

    def importing(self, path: Path) -> None:
        """Take in that pytest is about to import the test file *path*."""

    def collected(self, session: pytest.Session) -> None:
        """Take in what the session collected."""

    def collection(self) -> Collection | None:
        """Return all tests known, once the session is over; None if nothing was collected."""


class Single:
    """Do everything in the one process there is."""

    def __init__(self) -> None:
        self._imports = Imports()
        self._collection: Collection | None = None

    def register(self, pluginmanager: pytest.PytestPluginManager) -> None:
        """Need no hooks of its own."""

    def importing(self, path: Path) -> None:
        self._imports.note(path)

    def collected(self, session: pytest.Session) -> None:
        self._collection = collect(session.items, self._imports)

    def collection(self) -> Collection | None:
        return self._collection


class Controller:
    """Merge what the workers collected; of a crashed worker nothing comes, and the others' lists serve."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._merged: Collection | None = None
        self._error: str | None = None

    def register(self, pluginmanager: pytest.PytestPluginManager) -> None:
        # Only while pytest-xdist distributes, so that its hooks are sure to exist.
        pluginmanager.register(self, "qeattention-controller")

    def importing(self, path: Path) -> None:
        """Ignore the file: it is the workers that collect."""

    def collected(self, session: pytest.Session) -> None:
        """Ignore the session: with pytest-xdist the controller collects nothing."""

    def collection(self) -> Collection | None:
        if self._merged is None and self._error is not None:
            raise WorkerError(self._error)
        return self._merged

    def pytest_testnodedown(self, node: Any) -> None:
        output = getattr(node, "workeroutput", None)
        wire = output.get(WIRE_KEY) if isinstance(output, dict) else None
        if not isinstance(wire, dict) or wire.get("version") != WIRE_VERSION:
            return
        if "error" in wire:
            self._error = wire["error"]
        else:
            self._merged = merge(self._merged, from_wire(wire, self._root))


class Worker:
    """Collect, and hand over what was found with the worker's output."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._imports = Imports()

    def register(self, pluginmanager: pytest.PytestPluginManager) -> None:
        """Need no hooks of its own."""

    def importing(self, path: Path) -> None:
        self._imports.note(path)

    def collected(self, session: pytest.Session) -> None:
        output: dict[str, Any] = self._config.workeroutput  # type: ignore[attr-defined]
        try:
            output[WIRE_KEY] = to_wire(collect(session.items, self._imports), str(self._config.rootpath))
        except Exception as error:
            # Told by the controller, once for all workers.
            output[WIRE_KEY] = {"version": WIRE_VERSION, "error": f"{type(error).__name__}: {error}"}

    def collection(self) -> Collection | None:
        return None


def role_of(config: pytest.Config) -> Role:
    """Return the role that this process has."""
    if hasattr(config, "workerinput"):
        return Worker(config)
    return Controller(str(config.rootpath)) if distributes(config) else Single()


def distributes(config: pytest.Config) -> bool:
    """Tell whether pytest-xdist will distribute the tests; known once its pytest_cmdline_main has run."""
    option = config.option
    return (
        getattr(option, "dist", "no") != "no"
        and bool(getattr(option, "tx", None))
        and not getattr(option, "collectonly", False)
    )


def stop_distributing(config: pytest.Config) -> None:
    """Have this process collect, because no test will be run; call before pytest-xdist configures.

    The conftest files of all directories are then seen, and the report is the same for any number of workers.
    """
    config.option.dist = "no"
    config.option.tx = []
    config.option.numprocesses = 0


def to_wire(collection: Collection, root: str) -> dict[str, Any]:
    """Write a collection in builtin types, paths below *root* relative to it."""
    return {
        "version": WIRE_VERSION,
        "located": [[*_to_relative(place.path, root), place.qualname, place.line] for place in collection.located],
        "left_out": dict(collection.left_out),
        "sourceless": [[*_to_relative(path, root), list(names)] for path, names in collection.sourceless.items()],
        "digests": [[*_to_relative(path, root), digest] for path, digest in collection.digests.items()],
    }


def from_wire(wire: Mapping[str, Any], root: str) -> Collection:
    """Read what `to_wire` of the same version wrote, for a project at *root*."""
    return Collection(
        tuple(
            Located(_from_relative(is_relative, path, root), qualname, line)
            for is_relative, path, qualname, line in wire["located"]
        ),
        dict(wire["left_out"]),
        {_from_relative(is_relative, path, root): tuple(names) for is_relative, path, names in wire["sourceless"]},
        {_from_relative(is_relative, path, root): digest for is_relative, path, digest in wire["digests"]},
    )


def merge(one: Collection | None, other: Collection) -> Collection:
    """Unite two collections of the same suite; of counts, the larger stands.

    A file that one of them has imported with other content than the other has changed, whatever it holds now.
    """
    if one is None:
        return other
    left_out = {
        reason: max(one.left_out.get(reason, 0), other.left_out.get(reason, 0))
        for reason in sorted({*one.left_out, *other.left_out})
    }
    return Collection(
        tuple(sorted({*one.located, *other.located}, key=sort_key)),
        left_out,
        {
            path: tuple(sorted({*one.sourceless.get(path, ()), *other.sourceless.get(path, ())}))
            for path in sorted({*one.sourceless, *other.sourceless})
        },
        {path: _agreed(path, one.digests, other.digests) for path in sorted({*one.digests, *other.digests})},
    )


def _agreed(path: str, one: Mapping[str, str], other: Mapping[str, str]) -> str:
    known = {digests[path] for digests in (one, other) if path in digests}
    return known.pop() if len(known) == 1 else _CHANGED


def _to_relative(path: str, root: str) -> tuple[bool, str]:
    prefix = root if root.endswith(os.sep) else root + os.sep
    if path.startswith(prefix):
        return True, path[len(prefix) :].replace(os.sep, "/")
    return False, path


def _from_relative(is_relative: bool, path: str, root: str) -> str:
    return os.path.join(root, *path.split("/")) if is_relative else path

"""Run tests in forks, on code with a defect: what the plugins for the environments of projects have in common.

It is copied there beside the plugin that uses it, and imports nothing but pytest. pytest has collected the tests, and
each fork starts from there. Code that runs when a module is imported stays as it was.
"""

from __future__ import annotations

import gc
import json
import linecache
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest

END_S = 0.005
"""How often is looked whether a fork has ended."""


class Forks:
    """Run functions in forks, one at a time."""

    def __init__(self, answer: Path, *, limit: float, most_bytes: int) -> None:
        self._answer = answer
        """The file in which a fork says what its function returned."""
        self._limit = limit
        """Seconds that a fork may take."""
        self._most_bytes = most_bytes
        """Of memory that it may take."""

    def run(self, function: Callable[[], Any]) -> Any:
        """Return what *function* returns in a fork, as JSON has it; "did not end" or "ended early" if it doesn't."""
        self._answer.unlink(missing_ok=True)
        child = os.fork()
        if not child:
            try:
                os.setsid()
                resource.setrlimit(resource.RLIMIT_AS, (self._most_bytes,) * 2)
                part = self._answer.with_suffix(".part")
                part.write_text(json.dumps(function()), encoding="utf-8")
                part.replace(self._answer)
            finally:
                os._exit(0)
        deadline = time.monotonic() + self._limit
        while time.monotonic() < deadline:
            if os.waitpid(child, os.WNOHANG)[0]:
                break
            time.sleep(END_S)
        else:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return "did not end"
        if not self._answer.is_file():
            return "ended early"
        return json.loads(self._answer.read_text(encoding="utf-8"))


def run_tests(items: Sequence[pytest.Item]) -> None:
    """Run *items* as pytest's own loop does."""
    for item, following in zip(items, [*items[1:], None], strict=True):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)


def apply(path: str, source: str) -> bool:
    """Give the functions of the file *path* the code that they have in *source*; False where none could change.

    A function is found by its name and first line, so that *source* has to keep the lines of its functions.
    """
    codes = {(code.co_name, code.co_firstlineno): code for code in _codes_of(compile(source, path, "exec"))}
    name = os.path.basename(path)
    changed = False
    for function in gc.get_objects():
        if type(function) is not FunctionType:
            continue
        before = function.__code__
        # What the whole path is costs more to find out.
        if not before.co_filename.endswith(name) or os.path.abspath(before.co_filename) != path:
            continue
        code = codes.get((before.co_name, before.co_firstlineno))
        if code is not None and code != before:
            try:
                function.__code__ = code
            except ValueError:
                # It would close over other names than it does.
                return False
            changed = True
    linecache.cache[path] = (len(source), None, source.splitlines(keepends=True), path)
    return changed


def _codes_of(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes_of(constant)

"""Run pytest and say how much of its time this plugin's hooks take: numbers of one process, which no noise between
two can part.

    python benchmarks/hook_time.py OUTPUT [PYTEST ARGUMENT]...

Writes ``{"total_s": ..., "hooks_s": ...}`` to OUTPUT: wall clock of ``pytest.main``, and what of it passed in the
hooks of pytest-qeattention, the imports that they do included. Ends with pytest's exit code.
"""

from __future__ import annotations

import functools
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

WATCHED = "pytest_qeattention"


class HookClock:
    """Add up the time that passes in the hooks of every plugin from a module of *WATCHED*."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._running = False

    def pytest_plugin_registered(self, plugin: object, manager: pytest.PytestPluginManager) -> None:
        """Time the hooks of *plugin* from now on, if it is ours. Raises TypeError for a hook that wraps others."""
        module = plugin.__name__ if hasattr(plugin, "__name__") else type(plugin).__module__
        if str(module).partition(".")[0] != WATCHED:
            return
        for caller in manager.get_hookcallers(plugin) or ():
            for implementation in caller.get_hookimpls():
                if implementation.plugin is plugin:
                    if implementation.wrapper or implementation.hookwrapper:
                        raise TypeError(f"{implementation.function} wraps other plugins' hooks, whose time is not ours")
                    # Final to those who type, not to pluggy, which reads it at every call.
                    implementation.function = self._timed(implementation.function)  # type: ignore[misc]

    def _timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def timed(*arguments: Any) -> Any:
            # A hook of ours that calls another of ours is counted once.
            if self._running:
                return function(*arguments)
            self._running, started = True, time.perf_counter()
            try:
                return function(*arguments)
            finally:
                self.seconds += time.perf_counter() - started
                self._running = False

        return timed


def main() -> int:
    """Run pytest with the arguments of the command line."""
    output, *arguments = sys.argv[1:]
    clock = HookClock()
    started = time.perf_counter()
    code = int(pytest.main(arguments, plugins=[clock]))
    document = {"total_s": time.perf_counter() - started, "hooks_s": clock.seconds}
    Path(output).write_text(json.dumps(document), encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main())

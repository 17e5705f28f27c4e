"""The progress of an analysis on pytest's terminal: one line, which is gone when the work is done.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_qeattention.similarity.workload import Progress


class TerminalProgress:
    """Show the stages of work where pytest's *reporter* writes to a terminal, and nothing anywhere else."""

    def __init__(self, reporter: Any, verbosity: int) -> None:
        self._reporter = reporter
        self._shown: tuple[str, int] | None = None
        is_shown = verbosity >= 0 and getattr(reporter, "isatty", False)
        self.progress: Progress | None = self._show if is_shown else None

    def __enter__(self) -> TerminalProgress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown is not None:
            self._reporter.rewrite("", erase=True)
            self._reporter.write("\r")

    def _show(self, stage: str, done: int, total: int) -> None:
        percent = 100 * done // total if total > 0 else 100
        if (stage, percent) == self._shown:
            return
        if self._shown is None:
            self._reporter.ensure_newline()
        self._shown = stage, percent
        self._reporter.rewrite(f"qe-similar: {stage}: {done}/{total}", erase=True)

from __future__ import annotations

import io

from pytest_qeattention.console import Display
from pytest_qeattention.progress import TerminalProgress


class Reporter:
    """Hold what is written as pytest's reporter would write it, on lines of ten columns."""

    def __init__(self, isatty: bool = True) -> None:
        self.isatty = isatty
        self.written: list[str] = []

    def ensure_newline(self) -> None:
        self.written.append("newline")

    def rewrite(self, line: str, erase: bool = False) -> None:
        self.written.append(f"\r{line}{' erased' if erase else ''}")

    def write(self, text: str) -> None:
        self.written.append(text)


def test_stages_are_shown_on_one_line_that_goes() -> None:
    reporter = Reporter()
    with TerminalProgress(reporter, 0) as display:
        assert display.progress is not None
        for done in (1, 2, 2):
            display.progress("reading", done, 1000)
        display.progress("reading", 10, 1000)

    assert reporter.written == [
        "newline",
        "\rqe-similar: reading: 1/1000 erased",
        "\rqe-similar: reading: 10/1000 erased",
        "\r erased",
        "\r",
    ]


def test_nothing_is_shown_where_nobody_looks() -> None:
    for reporter, verbosity in ((Reporter(isatty=False), 0), (Reporter(), -1), (None, 0)):
        with TerminalProgress(reporter, verbosity) as display:
            assert display.progress is None
        assert reporter is None or reporter.written == []


def test_without_progress_the_terminal_is_left_alone() -> None:
    reporter = Reporter()
    with TerminalProgress(reporter, 0):
        pass

    assert reporter.written == []


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_command_clears_its_line() -> None:
    terminal = Terminal()
    with Display(terminal) as display:
        assert display.progress is not None
        display.progress("reading", 5, 10)
        display.progress("comparing", 0, 0)

    assert terminal.getvalue() == f"\rreading: 5/10\rcomparing: 0/0\r{' ' * 14}\r"
    assert Display(io.StringIO()).progress is None

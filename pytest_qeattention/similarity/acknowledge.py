"""Find the comments by which people say that a test may repeat another: ``# qe: similar-ok <reason>``.

A comment belongs to the test on whose decorators, ``def`` line or body it stands, or to the one that the comment lines
right above it introduce. Text in strings does not count, and a comment that belongs to no function is named.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
import warnings
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_qeattention.similarity.model import Acknowledgement, Problem, Unit
from pytest_qeattention.similarity.scan import first_line

# Searched for in whole files before anything is decoded or split: most files have none.
_MARK = b"qe:"
_COMMENT = re.compile(r"#\s*qe:\s*similar(?P<rest>.*)$")
_WORD = re.compile(r"-ok(?![\w-])[\s:]*(?P<reason>.*)$")
# What another tool's comment on the same line says is no part of the reason; the number of an issue (#123) is.
_NEXT_COMMENT = re.compile(r"(?:^|\s)#\s*(?=[^\W\d])")

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True, slots=True)
class Acknowledgements:
    """Hold what the comments in test files say."""

    by_test: Mapping[str, Acknowledgement]
    """By node id."""
    problems: tuple[Problem, ...] = ()
    """Comments without a reason or a test, or misspelt: they acknowledge nothing."""


def find_acknowledgements(units: Sequence[Unit], base: Path) -> Acknowledgements:
    """Read the comments of *units*, whose paths are relative to the directory *base*.

    A file that can't be read has none: the analysis has met it before, and named it.
    """
    by_path: defaultdict[str, list[Unit]] = defaultdict(list)
    for unit in units:
        by_path[unit.path].append(unit)
    found: dict[str, Acknowledgement] = {}
    problems: list[Problem] = []
    for path, tests in by_path.items():
        try:
            data = (base / path).read_bytes()
        except (OSError, ValueError):
            continue
        if _MARK not in data:
            continue
        for owner, line, text in _comments(data, tests):
            match = _WORD.match(text)
            reason = "" if match is None else _NEXT_COMMENT.split(match["reason"])[0].strip()
            if owner is None:
                problems.append(Problem(path, _STRAY, line))
            elif match is None:
                problems.append(Problem(path, _misspelt(text, owner), line))
            elif not reason:
                problems.append(Problem(path, _no_reason(owner), line))
            else:
                # The first one counts.
                found.setdefault(owner.nodeid, Acknowledgement(owner, line, reason))
    return Acknowledgements(found, tuple(problems))


_STRAY = (
    "'qe: similar-ok' belongs to no test, so it acknowledges none; write it at the def of each test that may repeat "
    "another, or on the line above"
)


def _no_reason(unit: Unit) -> str:
    return (
        f"'qe: similar-ok' gives no reason, so {unit.qualname} is not acknowledged; "
        "say why it may repeat another: # qe: similar-ok <reason>"
    )


def _misspelt(text: str, unit: Unit) -> str:
    word = f"similar{text}".split()[0]
    return f"'qe: {word}' is not known, so {unit.qualname} is not acknowledged; write # qe: similar-ok <reason>"


def _comments(data: bytes, units: Iterable[Unit]) -> Iterator[tuple[Unit | None, int, str]]:
    """Yield unit, line and what follows ``similar`` of each such comment that belongs to a unit, or to no function."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        text = data.decode(encoding)
    except (SyntaxError, UnicodeDecodeError, LookupError):
        return
    # The tokenizer ends a line at these three; str.splitlines knows more.
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    places = _Places(units, lines)
    ownerless: list[int] = []
    for number, line in enumerate(lines, 1):
        if "qe:" not in line or _COMMENT.search(line) is None:
            continue
        unit, is_inside = places.owner(number)
        if unit is None:
            ownerless.append(number)
            continue
        comment = places.comment(number, unit) if is_inside else line.strip()
        match = _COMMENT.search(comment)
        if match is not None:
            yield unit, number, match["rest"]
    yield from _strays(lines, ownerless)


def _strays(lines: Sequence[str], ownerless: Sequence[int]) -> Iterator[tuple[None, int, str]]:
    """Yield those of the lines *ownerless* whose comment belongs to no function, be it a test or not."""
    if not ownerless:
        return
    text = "\n".join(lines)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    comments = _comments_of(text, 1)
    functions = _Places([_span(node) for node in ast.walk(tree) if isinstance(node, _FUNCTIONS)], lines)
    for number in ownerless:
        match = _COMMENT.search(comments.get(number, ""))
        if match is not None and _WORD.match(match["rest"]) and functions.owner(number)[0] is None:
            yield None, number, match["rest"]


def _span(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Unit:
    # Of the source only the indentation is asked for.
    source = " " * node.col_offset + "def"
    first, last = first_line(node), node.end_lineno or node.lineno
    return Unit(node.name, "", node.lineno, node.name, node.name, first, last, source)


class _Places:
    """Tell which unit of a file a line belongs to."""

    def __init__(self, units: Iterable[Unit], lines: Sequence[str]) -> None:
        self._units = sorted(units, key=lambda unit: (unit.first_line, -unit.end_line))
        self._lines = lines
        self._starts = [unit.first_line for unit in self._units]
        self._inside: dict[str, dict[int, str]] = {}

    def owner(self, number: int) -> tuple[Unit | None, bool]:
        """Return the unit that a comment on line *number* belongs to, and whether its source holds that line."""
        before = self._units[: bisect_right(self._starts, number)]
        for unit in reversed(before):
            if number <= unit.end_line:
                return unit, True
        line = self._lines[number - 1]
        if not line.lstrip().startswith("#"):
            return None, False
        # Behind the last statement of a body and as deep as it.
        column = len(line) - len(line.lstrip())
        for unit in reversed(before):
            if column > len(unit.source) - len(unit.source.lstrip()) and all(
                self._is_bare(between) for between in range(unit.end_line + 1, number)
            ):
                return unit, False
        below = number + 1
        while below <= len(self._lines) and self._lines[below - 1].lstrip().startswith("#"):
            below += 1
        at = bisect_right(self._starts, below) - 1
        if at >= 0 and self._starts[at] == below and not self._ends_a_string(number):
            return self._units[at], False
        return None, False

    def comment(self, number: int, unit: Unit) -> str:
        """Return the comment on line *number* of the source of *unit*; empty if there is none."""
        known = self._inside.get(unit.nodeid)
        if known is None:
            known = self._inside[unit.nodeid] = _comments_of(unit.source, unit.first_line)
        return known.get(number, "")

    def _is_bare(self, number: int) -> bool:
        text = self._lines[number - 1].strip()
        return not text or text.startswith("#")

    def _ends_a_string(self, number: int) -> bool:
        # What stands above a statement is the end of another one or a comment: a line of a string ends it.
        line = self._lines[number - 1]
        if '"""' not in line and "'''" not in line:
            return False
        return number not in _comments_of("\n".join(self._lines), 1)


def _comments_of(source: str, first_line: int) -> dict[int, str]:
    """Return the comments of *source* by line, where its first line has the number *first_line*."""
    comments: dict[int, str] = {}
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT:
                comments[token.start[0] + first_line - 1] = token.string
    except (tokenize.TokenError, SyntaxError):
        # The source of one function, cut out of its file, may end before its last line does.
        pass
    return comments

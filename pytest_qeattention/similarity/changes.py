"""Read a unified diff: the text that it changes, and the functions that hold the changed lines.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import ast
import re
import warnings
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePath

from pytest_qeattention.similarity.scan import first_line

# Outside hunks; in one, their lengths say what is a line of a file.
_CHANGED_LINE = re.compile(r"[+-](?![+-]{2} )")
_CHANGED_FILE = re.compile(r"\+{3} (?:\"((?:[^\"\\]|\\.)+)\"|([^\t]+))")
_HUNK = re.compile(r"@@ -\d{1,9}(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@(?: (.+))?$")
_ESCAPE = re.compile(rb"\\([0-3][0-7]{2}|.)")
_ESCAPED = dict(zip(b"abtnvfr", b"\a\b\t\n\v\f\r", strict=True))
# A larger file is not what people write.
_MAX_FILE_BYTES = 5_000_000


@dataclass(frozen=True, slots=True)
class Changes:
    """Hold what a diff says."""

    text: str
    """The changed lines, and what the diff says of their place: names of files, the line that a hunk is in."""
    lines: dict[str, tuple[int, ...]]
    """Of each file as it is after the change, the lines that are new, and those before and after what is gone."""


def read_diff(diff: str) -> Changes:
    """Read *diff*; what is no diff is text alone, as it is."""
    changed: list[str] = []
    files: list[str] = []
    sections: list[str] = []
    lines: defaultdict[str, list[int]] = defaultdict(list)
    path, number = "", 0
    # Lines that the hunk still has of the file as it was, and as it is.
    old = new = 0
    # Form feeds and other ends of lines that splitlines() knows stand in lines of code.
    for line in (line.removesuffix("\r") for line in diff.split("\n")):
        sign = line[:1]
        if (old > 0 or new > 0) and sign in ("+", "-", " ", "\\", ""):
            if sign in ("+", "-"):
                changed.append(line[1:])
                # What is gone was between two lines, and may have been the end of what the first is in.
                lines[path].extend(at for at in ((number,) if sign == "+" else (number - 1, number)) if at > 0)
            number += sign in ("+", " ", "")
            new -= sign in ("+", " ", "")
            old -= sign in ("-", " ", "")
            continue
        old = new = 0
        file, hunk = _CHANGED_FILE.match(line), _HUNK.match(line)
        if file is not None:
            path = (file[2] or _unquoted(file[1])).removeprefix("b/")
            files.append(path.removesuffix(".py"))
        elif hunk is not None:
            old, new = (1 if count is None else int(count) for count in (hunk[1], hunk[3]))
            # A hunk that leaves no line names the line before.
            number = int(hunk[2]) + (new == 0)
            sections.extend([hunk[4]] if hunk[4] else [])
        elif _CHANGED_LINE.match(line):
            changed.append(line[1:])
    if not changed:
        return Changes(diff, {})
    return Changes("\n".join([*changed, *files, *sections]), {path: tuple(at) for path, at in lines.items() if path})


def _unquoted(name: str) -> str:
    """Return a name that git writes in quotes: bytes that are no printable ASCII are escaped as in C."""

    def byte(match: re.Match[bytes]) -> bytes:
        escaped = match[1]
        return bytes([int(escaped, 8) if len(escaped) == 3 else _ESCAPED.get(escaped[0], escaped[0])])

    return _ESCAPE.sub(byte, name.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogateescape")


def changed_functions(changes: Changes, cwd: Path) -> tuple[tuple[Path, str], ...]:
    """Return the functions that hold the changed lines: the file, and the name with its classes, dots between.

    The files are looked for in *cwd* and above it up to the root of its repository, from which a diff names them. One
    that is not there, or is no Python, has none.
    """
    above = (cwd, *cwd.parents)
    depth = next((at for at, place in enumerate(above) if (place / ".git").exists()), 0)
    found: dict[tuple[Path, str], None] = {}
    for path, lines in changes.lines.items():
        # git can be told to write w/ and i/ where it writes b/.
        names = (path, path[2:]) if path[1:2] == "/" else (path,)
        candidates = (place / name for name in names if _is_below(name) for place in above[: depth + 1])
        file = next(filter(_is_readable, candidates), None)
        if file is not None:
            found.update(dict.fromkeys((file, name) for name in _names(file, lines)))
    return tuple(found)


def _is_below(path: str) -> bool:
    parts = PurePath(path)
    return not parts.is_absolute() and ".." not in parts.parts


def _is_readable(file: Path) -> bool:
    try:
        return file.suffix in (".py", ".pyi") and file.is_file() and file.stat().st_size <= _MAX_FILE_BYTES
    except (OSError, ValueError):
        return False


def _names(file: Path, lines: Iterable[int]) -> list[str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    spans: list[tuple[int, int, str]] = []
    stack: list[tuple[ast.AST, str]] = [(tree, "")]
    while stack:
        node, outer = stack.pop()
        name = outer
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{outer}.{node.name}".lstrip(".")
            if not isinstance(node, ast.ClassDef):
                spans.append((first_line(node), node.end_lineno or node.lineno, name))
        stack.extend((child, name) for child in ast.iter_child_nodes(node))
    # Of functions in functions the innermost is the one that begins last.
    holders = (max((span for span in spans if span[0] <= line <= span[1]), default=None) for line in lines)
    return [span[2] for span in holders if span is not None]

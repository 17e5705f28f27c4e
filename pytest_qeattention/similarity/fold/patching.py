"""Put folds into the files of their tests, and write the difference as a patch.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import ast
import difflib
import io
import tokenize
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_qeattention.similarity.fold.folding import Fold


@dataclass(frozen=True, slots=True)
class Written:
    """Hold a file as it is on disk."""

    data: bytes
    text: str
    """Decoded, with its own line ends."""
    encoding: str

    @property
    def newline(self) -> str:
        """The line end that the file has."""
        return "\r\n" if "\r\n" in self.text else "\n"

    @property
    def lines(self) -> list[str]:
        """The lines, without their ends."""
        return self.text.replace("\r\n", "\n").split("\n")


class PatchError(ValueError):
    """Say why a file cannot be rewritten."""


def read_written(data: bytes) -> Written:
    """Decode a file as Python does; raises PatchError where its lines cannot be told apart."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        text = data.decode(encoding)
    except (SyntaxError, ValueError, LookupError) as error:
        raise PatchError(f"the file cannot be decoded ({error})") from error
    if "\r" in text.replace("\r\n", ""):
        raise PatchError("the file ends lines with a carriage return alone")
    if "\r\n" in text and "\n" in text.replace("\r\n", ""):
        raise PatchError("the file ends its lines in two ways")
    return Written(data, text, encoding)


@dataclass(frozen=True, slots=True)
class Change:
    """Replace lines of a file, counted from 1, by *text*; by nothing where it is empty."""

    first_line: int
    end_line: int
    text: str = ""
    keep: bool = False
    """Whether the text goes behind the lines, which stay."""


def fold_changes(fold: Fold) -> list[Change]:
    """Return the change that puts *fold* in the place of one of its tests, and those that take the others out."""
    place = fold.replaces[fold.place]
    others = [each for each in fold.replaces if each is not place]
    return [Change(place.first_line, place.end_line, fold.source), *(Change(o.first_line, o.end_line) for o in others)]


def rewrite(lines: Sequence[str], changes: Sequence[Change], imports: Sequence[str] = ()) -> list[str]:
    """Return *lines* with *changes* and *imports*; raises PatchError where the result is no Python."""
    out = list(lines)
    for change in sorted(changes, key=lambda change: -change.first_line):
        start, end = change.first_line - 1, change.end_line
        if change.keep:
            out[end:end] = ["", "", *change.text.split("\n")]
        elif change.text:
            out[start:end] = change.text.rstrip("\n").split("\n")
        else:
            start, end = _with_blank_lines(out, start, end)
            del out[start:end]
    text = "\n".join(out)
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise PatchError(f"the file would not parse without the tests ({getattr(error, 'msg', error)})") from error
    if imports:
        at = _after_imports(tree)
        missing = [line for line in dict.fromkeys(imports) if line not in out[:at]]
        out[at:at] = missing if at else [*missing, ""]
    return out


def _with_blank_lines(lines: Sequence[str], start: int, end: int) -> tuple[int, int]:
    """Widen lines that go by the blank lines below them, or above them where they end a class or the file."""
    after = end
    while after < len(lines) and not lines[after].strip():
        after += 1
    indent = len(lines[start]) - len(lines[start].lstrip())
    is_last = after == len(lines) or len(lines[after]) - len(lines[after].lstrip()) < indent
    if not is_last:
        return start, after
    before = start
    while before and not lines[before - 1].strip():
        before -= 1
    return before, end


def _after_imports(tree: ast.Module) -> int:
    """Return the number of lines above the place for one more import: behind the first imports, or the docstring."""
    line = 0
    for statement in tree.body:
        if isinstance(statement, ast.Import | ast.ImportFrom) or (
            isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant) and not line
        ):
            line = statement.end_lineno or statement.lineno
        else:
            break
    return line


def encode(written: Written, lines: Sequence[str]) -> bytes:
    """Return *lines* as they go into the file *written*."""
    return written.newline.join(lines).encode(written.encoding)


def unified_diff(path: str, written: Written, lines: Sequence[str]) -> bytes:
    """Return the difference between the file *path* and *lines*, as ``git apply`` reads it."""
    before = written.data
    after = encode(written, lines)
    name = path.encode("utf-8", "surrogateescape")
    if any(byte < 32 or byte in b'"\\' for byte in name):
        quoted = b"".join(b"\\%03o" % byte if byte < 32 or byte in b'"\\' else bytes([byte]) for byte in name)
        old, new = b'"a/' + quoted + b'"', b'"b/' + quoted + b'"'
    else:
        tab = b"\t" if b" " in name else b""
        old, new = b"a/" + name + tab, b"b/" + name + tab
    # Latin-1 gives every byte a character of its own, so that the comparison is one of bytes.
    differences = difflib.unified_diff(_split(before), _split(after), n=3)
    parts = [b"--- " + old + b"\n", b"+++ " + new + b"\n"]
    for number, line in enumerate(differences):
        if number < 2:
            continue
        parts.append(line.encode("latin-1"))
        if not line.endswith("\n"):
            parts.append(b"\n\\ No newline at end of file\n")
    return b"".join(parts) if len(parts) > 2 else b""


def _split(data: bytes) -> list[str]:
    text = data.decode("latin-1")
    lines = text.split("\n")
    return [f"{line}\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])

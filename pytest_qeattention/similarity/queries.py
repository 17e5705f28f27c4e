"""What tests are asked for: words, or the code of a function, of a file or of a diff.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from pytest_qeattention.similarity.changes import changed_functions, read_diff
from pytest_qeattention.similarity.discover import UsageError
from pytest_qeattention.similarity.naming import display_path
from pytest_qeattention.similarity.outlines import functions_of
from pytest_qeattention.similarity.scan import first_line, parsed_source
from pytest_qeattention.syntax.words import words_of

# A diff or a file larger than this is not what a test could be similar to.
MAX_QUERY_BYTES = 10_000_000
_SHOWN_NAMES = 5


@dataclass(frozen=True, slots=True)
class WordsQuery:
    """Hold words that a test is asked for with."""

    text: str


@dataclass(frozen=True, slots=True)
class CodeQuery:
    """Hold code whose tests are asked for."""

    text: str
    """The query as it is reported."""
    source: str
    name: str
    """Names of the functions asked about, which their tests are likely to use; empty for a file as a whole."""
    paths: tuple[str, ...]
    """Files that hold the code, as a diff or the user names them."""
    functions: tuple[tuple[Path, str], ...]
    """Absolute path and name, ``Class::name``, of each function asked about."""


def read_query(query: str, cwd: Path) -> WordsQuery | CodeQuery:
    """Read *query*: ``path::function`` or a file relative to *cwd*, ``-`` for a diff on standard input, or plain words.

    Raises UsageError for a path without such a function, for what cannot be read, and for a query without words.
    """
    if query == "-":
        return _diff_query(cwd)
    path, separator, name = query.partition("::")
    file = Path(os.path.abspath(cwd / path))
    if path and file.is_dir() and (separator or os.sep in path or "/" in path):
        raise UsageError(f"{query} is a directory; nothing was ranked; give one of its files, or words")
    if path and file.is_file():
        return _function_query(query, file, name, cwd) if separator else _file_query(query, file, cwd)
    if path.endswith(".py") and len(path.split()) == 1:
        raise UsageError(f"{query}: there is no file {path}; nothing was ranked; check the path")
    _check_words(query, query)
    return WordsQuery(query)


def _diff_query(cwd: Path) -> CodeQuery:
    diff = sys.stdin.buffer.read(MAX_QUERY_BYTES).decode("utf-8", "replace")
    if not diff.strip():
        raise UsageError("standard input is empty: there is no diff, so nothing was ranked")
    changes = read_diff(diff)
    if changes.text == diff:
        raise UsageError("standard input holds no diff, so nothing was ranked; pipe what `git diff` writes")
    functions = changed_functions(changes, cwd)
    _check_words("the diff on standard input", changes.text)
    return CodeQuery(
        "diff on standard input",
        changes.text,
        " ".join(name for _, name in functions),
        tuple(changes.lines),
        tuple((path, name.replace(".", "::")) for path, name in functions),
    )


def _file_query(query: str, file: Path, cwd: Path) -> CodeQuery:
    source = _read(query, file)
    _check_words(query, source)
    names = [name for name, _ in _functions(query, source)] if file.suffix == ".py" else []
    return CodeQuery(query, source, "", (display_path(file, cwd),), tuple((file, name) for name in names))


def _function_query(query: str, file: Path, name: str, cwd: Path) -> CodeQuery:
    functions = _functions(query, _read(query, file))
    for qualname, source in functions:
        if qualname == name.replace(".", "::"):
            return CodeQuery(query, source, qualname, (display_path(file, cwd),), ((file, qualname),))
    path = display_path(file, cwd)
    prefix = f"{name.replace('.', '::')}::"
    methods = [(qualname, source) for qualname, source in functions if qualname.startswith(prefix)]
    if methods:
        source = "".join(source for _, source in methods)
        return CodeQuery(query, source, name, (path,), tuple((file, qualname) for qualname, _ in methods))
    names = [qualname for qualname, _ in functions]
    shown = get_close_matches(name.replace(".", "::"), names, _SHOWN_NAMES) or names[:_SHOWN_NAMES]
    more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
    raise UsageError(
        f"{query}: there is no function or class {name} in {path} (it has {', '.join(shown) or 'none'}{more}); "
        "nothing was ranked"
    )


def _read(query: str, file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return stream.read(MAX_QUERY_BYTES).decode("utf-8", "replace")
    except OSError as error:
        raise UsageError(f"{query} can't be read ({error.strerror or error}), so nothing was ranked") from error


def _functions(query: str, source: str) -> list[tuple[str, str]]:
    """List name, ``Class::name``, and source of the functions of a file and of its classes, in order."""
    try:
        tree = parsed_source(source)
    except SyntaxError as error:
        raise UsageError(f"{query}: the file does not parse ({error.msg}), so nothing was ranked") from error
    except (RecursionError, MemoryError, ValueError) as error:
        raise UsageError(f"{query}: the file can't be parsed ({error}), so nothing was ranked") from error
    lines = source.splitlines(keepends=True)
    return [(qualname, "".join(lines[first_line(node) - 1 : node.end_lineno])) for qualname, node in functions_of(tree)]


def _check_words(query: str, text: str) -> None:
    if not words_of(text):
        raise UsageError(f"{query!r} holds no words, so nothing was ranked; give words, a test, a file or a diff")

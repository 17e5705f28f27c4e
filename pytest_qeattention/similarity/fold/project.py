"""A copy of a project to run tests in, so that nothing of the project itself is touched.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

MOST_BYTES = 4 << 30
_LEFT_OUT = frozenset(
    {
        *(".git", ".hg", ".svn", ".tox", ".nox", "__pycache__", "node_modules"),
        *(".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis"),
    }
)


class ProjectError(RuntimeError):
    """Say why a project cannot be copied."""


@contextmanager
def copied(root: Path) -> Iterator[Path]:
    """Copy the project *root* into a directory that goes when the context ends; raises ProjectError."""
    if root == Path(root.anchor) or root == Path.home():
        raise ProjectError(f"the rootdir is {root}, which is too much to copy; give the project an ini file for pytest")
    size = _size(root)
    if size > MOST_BYTES:
        raise ProjectError(f"the project has {size >> 20} MB of files, more than {MOST_BYTES >> 20} MB")
    with TemporaryDirectory(prefix="qe-verify-", ignore_cleanup_errors=True) as name:
        copy = Path(os.path.realpath(name)) / (root.name or "project")
        try:
            shutil.copytree(root, copy, symlinks=True, ignore=_ignored, ignore_dangling_symlinks=True)
            _turn_links(root, copy)
        except (OSError, shutil.Error) as error:
            raise ProjectError(f"the project could not be copied ({error})") from error
        yield copy


def _ignored(directory: str, names: list[str]) -> set[str]:
    found = {name for name in names if name in _LEFT_OUT}
    for name in names:
        path = os.path.join(directory, name)
        is_environment = os.path.isfile(os.path.join(path, "pyvenv.cfg")) or os.path.isdir(
            os.path.join(path, "conda-meta")
        )
        # Sockets and pipes cannot be copied.
        is_special = os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path))
        if is_environment or is_special:
            found.add(name)
    return found


def _size(root: Path) -> int:
    total = 0
    for directory, names, files in os.walk(root):
        left_out = _ignored(directory, names)
        names[:] = [name for name in names if name not in left_out]
        for file in files:
            try:
                total += os.lstat(os.path.join(directory, file)).st_size
            except OSError:
                continue
        if total > MOST_BYTES:
            return total
    return total


def _turn_links(root: Path, copy: Path) -> None:
    """Let absolute links into the project lead into the copy: a test must not write through them."""
    for directory, names, files in os.walk(copy):
        for name in (*names, *files):
            link = Path(directory, name)
            if link.is_symlink() and os.path.isabs(target := os.readlink(link)):
                inside = Path(os.path.normpath(target))
                if inside.is_relative_to(root):
                    link.unlink()
                    link.symlink_to(copy / inside.relative_to(root))


def environment(root: Path, copy: Path, more_path: Path, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment for a run in *copy*: what was imported from the project is imported from there.

    *more_path* is searched for modules last.
    """
    result = dict(environ)
    given = [entry for entry in environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    installed = [entry for entry in sys.path if entry and Path(entry) != root and Path(entry).is_relative_to(root)]
    entries = [_moved(entry, root, copy) for entry in given]
    # An editable installation adds a directory of the project.
    entries.extend(_moved(entry, root, copy) for entry in installed if (copy / Path(entry).relative_to(root)).is_dir())
    entries.append(str(more_path))
    result["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(entries))
    result["PYTHONDONTWRITEBYTECODE"] = "1"
    result.pop("PYTEST_CURRENT_TEST", None)
    return result


def _moved(entry: str, root: Path, copy: Path) -> str:
    path = Path(os.path.abspath(entry))
    return str(copy / path.relative_to(root)) if path.is_relative_to(root) else str(path)

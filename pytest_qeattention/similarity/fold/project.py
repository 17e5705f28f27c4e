"""A copy of a project to run tests in, so that nothing of the project itself is touched.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import contextlib
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
    """Copy the project *root* into a directory that goes when the context ends; raises ProjectError.

    Nothing in the copy leads out of it: files that links outside the project lead to are copied, directories that they
    lead to are left out.
    """
    real = Path(os.path.realpath(root))
    if real == Path(real.anchor) or real == Path(os.path.realpath(Path.home())):
        raise ProjectError(f"the rootdir is {root}, which is too much to copy; give the project an ini file for pytest")
    size = _size(root)
    if size > MOST_BYTES:
        raise ProjectError(f"the project has {size >> 20} MB of files, more than {MOST_BYTES >> 20} MB")
    with TemporaryDirectory(prefix="qe-verify-", ignore_cleanup_errors=True) as name:
        copy = Path(os.path.realpath(name)) / (root.name or "project")
        try:
            shutil.copytree(root, copy, symlinks=True, ignore=_ignored, ignore_dangling_symlinks=True)
            _turn_links(root, copy, MOST_BYTES - size)
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


def _turn_links(root: Path, copy: Path, most_bytes: int) -> None:
    """Let no link lead out of the copy, for a test or a changed file would be written through it.

    Links into the project lead into the copy; files elsewhere are copied, *most_bytes* at most; other links go.
    """
    real = Path(os.path.realpath(root))
    for directory, names, files in os.walk(copy):
        for name in (*names, *files):
            link = Path(directory, name)
            if not link.is_symlink():
                continue
            # Through all links, also those above the project's own directory.
            target = Path(os.path.realpath(root / link.relative_to(copy)))
            inside = copy / target.relative_to(real) if target.is_relative_to(real) else None
            if inside is not None and os.path.realpath(link) == str(inside):
                continue
            link.unlink()
            if inside is not None and (os.path.lexists(inside) or not target.exists()):
                link.symlink_to(inside)
            elif target.is_file():
                most_bytes -= target.stat().st_size
                if most_bytes < 0:
                    raise ProjectError(f"the project and what it links to have more than {MOST_BYTES >> 20} MB")
                # What cannot be read is missing for the tests as well.
                with contextlib.suppress(OSError):
                    shutil.copy2(target, link)


def write_inside(copy: Path, path: str, data: bytes) -> None:
    """Write *data* to the file *path* of the *copy*, and through no link; raises OSError."""
    file = copy / path
    _check_inside(copy, file.parent)
    file.unlink(missing_ok=True)
    with open(file, "xb") as out:
        out.write(data)


def read_inside(copy: Path, path: str) -> bytes:
    """Return what the file *path* of the *copy* holds; raises OSError where it is not there, or leads elsewhere."""
    file = copy / path
    _check_inside(copy, file)
    if not file.is_file():
        raise OSError(f"{path} is not in the copy of the project that tests run in")
    return file.read_bytes()


def _check_inside(copy: Path, path: Path) -> None:
    if not Path(os.path.realpath(path)).is_relative_to(copy):
        raise OSError(f"{path.relative_to(copy)} leads out of the copy of the project that tests run in")


def environment(root: Path, copy: Path, more_path: Path, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment for a run in *copy*: what was imported from the project is imported from there.

    *more_path* is searched for modules last.
    """
    result = dict(environ)
    given = [entry for entry in environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    entries = [str(_moved(entry, root, copy) or os.path.abspath(entry)) for entry in given]
    # An editable installation adds a directory of the project.
    installed = [_moved(entry, root, copy) for entry in sys.path if entry]
    entries.extend(str(moved) for moved in installed if moved is not None and moved != copy and moved.is_dir())
    entries.append(str(more_path))
    result["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(entries))
    result["PYTHONDONTWRITEBYTECODE"] = "1"
    result.pop("PYTEST_CURRENT_TEST", None)
    return result


def _moved(entry: str, root: Path, copy: Path) -> Path | None:
    """Return where *entry* is in the copy; None for what is not in the project, by its path or by its real one."""
    for path, start in ((os.path.abspath(entry), root), (os.path.realpath(entry), Path(os.path.realpath(root)))):
        if Path(path).is_relative_to(start):
            return copy / Path(path).relative_to(start)
    return None

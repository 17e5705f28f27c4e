"""Which scanned file an import means."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pytest_qeattention.similarity.candidates import FileScan
from pytest_qeattention.similarity.discover import SourcePath
from pytest_qeattention.similarity.imports import Modules
from pytest_qeattention.similarity.naming import NamingRules
from pytest_qeattention.similarity.scan import scan_source

NAMES = st.sampled_from(["a", "b", "c"])
DOTTED = st.lists(NAMES, min_size=1, max_size=4).map(tuple)
FILES = st.lists(
    st.tuples(st.lists(NAMES, min_size=1, max_size=4), st.integers(0, 3), st.booleans()), min_size=1, max_size=8
)


def scanned(parts: list[str], above: int, is_package: bool) -> FileScan[None]:
    path = Path("/p", *parts, "__init__.py") if is_package else Path("/p", *parts).with_suffix(".py")
    root = Path("/p", *parts[: min(above, len(parts) - 1)])
    return replace(scan_source(b"", path.as_posix()), source=SourcePath(path, path.as_posix()), root=str(root))


def candidates(roots: list[str], parts: tuple[str, ...]) -> Iterator[tuple[str, int]]:
    """Yield the places where *parts* may be, the first root and there the longest name first."""
    for root in roots:
        for length in range(len(parts), 0, -1):
            base = "/".join((root.rstrip("/"), *parts[:length]))
            yield base + ".py", length
            yield base + "/__init__.py", length


@given(FILES, DOTTED)
def test_an_absolute_import_is_looked_up_above_the_file_and_then_below_every_root(
    files: list[tuple[list[str], int, bool]], parts: tuple[str, ...]
) -> None:
    scans = {scan.path: scan for scan in (scanned(*each) for each in files)}
    modules: Modules[None] = Modules(NamingRules())
    modules.add(scans.values())
    start = modules.files[0].root
    above = [start, *map(str, Path(start).parents)]
    roots = [*above, *sorted({file.root for file in modules.files})]
    expected = next(((path, length) for path, length in candidates(roots, parts) if path in scans), None)

    found = modules.longest(start, parts, True)
    whole = modules.module(modules.files[0], ".".join(parts), demand=False)

    assert (None if found is None else (found[0].scan.path, found[1])) == expected
    exact = next((path for path, length in candidates(roots, parts) if path in scans and length == len(parts)), None)
    assert (None if whole is None else whole.scan.path) == exact

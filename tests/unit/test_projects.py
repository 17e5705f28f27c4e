"""Where projects that are run come from, and which lines of them are a function's."""

from __future__ import annotations

import io
import sys
import tarfile
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def benchmarks_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT)])


def archive(path: Path, *names: str) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 2
            tar.addfile(member, io.BytesIO(b"1\n"))
    return path


def test_lines_of_functions() -> None:
    from benchmarks.quality.executed import functions_of

    source = textwrap.dedent(
        '''
        @decorated(
            1,
        )
        def outer(
            value=default(),
        ):
            """Say nothing
            of it."""
            first = 1

            @wraps(value)
            def inner():
                return [
                    first,
                ]

            class Local:
                size = 1

                async def method(self): return 1

            return inner

        if True:
            def other(): return 1
        '''
    )
    found = {function.qualname: function for function in functions_of(source.encode(), "a.py")}
    assert {name: (one.line, one.end_line, sorted(one.body)) for name, one in found.items()} == {
        # An empty line runs never; those of what is defined within are not its own.
        "outer": (5, 23, [10, 18, 19, 20, 23]),
        "outer.<locals>.inner": (13, 16, [14, 15, 16]),
        "outer.<locals>.Local.method": (21, 21, []),
        "other": (26, 26, []),
    }


def test_source_distribution_is_unpacked(tmp_path: Path) -> None:
    from benchmarks.quality.projects import unpacked

    (tmp_path / "archives").mkdir()
    archive(
        tmp_path / "archives" / "green_pond-1.0.tar.gz", "green_pond-1.0/green_pond/a.py", "green_pond-1.0/tests/t.py"
    )
    project = unpacked("Green.Pond==1.0", tmp_path)
    assert (project.name, project.version, project.label) == ("green-pond", "1.0", "green-pond-1.0")
    assert project.directory == (tmp_path / "src" / "green-pond-1.0").resolve()
    assert (project.directory / "tests" / "t.py").is_file()
    assert (project.plan.source, project.plan.tests) == (("green_pond",), ("tests",))


def test_archive_of_many_folders_is_refused(tmp_path: Path) -> None:
    from benchmarks.quality.projects import ProjectError, unpack

    with pytest.raises(ProjectError, match="holds 2 folders"):
        unpack(archive(tmp_path / "a-1.tar.gz", "a/b.py", "c/d.py"), tmp_path / "src" / "a-1")
    assert list((tmp_path / "src").iterdir()) == []


def test_failed_command_says_why(tmp_path: Path) -> None:
    from benchmarks.quality.projects import ProjectError, checked

    with pytest.raises(ProjectError, match="no such pond"):
        checked([sys.executable, "-c", "raise SystemExit('no such pond')"], cwd=tmp_path)

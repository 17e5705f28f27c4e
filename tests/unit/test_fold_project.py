"""The copy of a project that folds are verified in, and the places where their cases fail."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from pytest_qeattention.similarity.fold import project
from pytest_qeattention.similarity.fold.outcomes import Place, places_of, share_place
from pytest_qeattention.similarity.fold.project import ProjectError, copied, environment, read_inside, write_inside
from pytest_qeattention.similarity.fold.running import Outcome


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "data.txt").write_text("outside")
    root = tmp_path / "project"
    root.mkdir()
    (root / "own.txt").write_text("own")
    return root


def test_no_link_of_the_copy_leads_out_of_it(root: Path) -> None:
    out = root.parent / "out"
    (out / "back.txt").symlink_to(root / "own.txt")
    for name, target in {
        "absolute.txt": out / "data.txt",
        "relative.txt": Path("../out/data.txt"),
        "chain.txt": root / "absolute.txt",
        "back.txt": Path("../out/back.txt"),
        "inner.txt": Path("own.txt"),
        "folder": out,
        "missing.txt": out / "missing.txt",
        "later.txt": root / "later" / "made.txt",
        "loop": Path("loop"),
        "self": Path(),
    }.items():
        (root / name).symlink_to(target)

    with copied(root) as copy:
        for name in os.listdir(copy):
            assert Path(os.path.realpath(copy / name)).is_relative_to(copy), name
        texts = {path.name: path.read_text() for path in copy.glob("*.txt") if path.exists()}
        assert texts == {
            "absolute.txt": "outside",
            "relative.txt": "outside",
            "chain.txt": "outside",
            "back.txt": "own",
            "inner.txt": "own",
            "own.txt": "own",
        }
        assert os.readlink(copy / "inner.txt") == "own.txt"
        assert not os.path.lexists(copy / "folder")
        assert not os.path.lexists(copy / "missing.txt")
        assert os.readlink(copy / "later.txt") == str(copy / "later" / "made.txt")


def test_a_project_that_is_itself_a_link_is_copied(root: Path) -> None:
    (root / "inner.txt").symlink_to(root / "own.txt")
    link = root.with_name("link")
    link.symlink_to(root)

    with copied(link) as copy:
        assert not copy.is_symlink()
        assert os.readlink(copy / "inner.txt") == str(copy / "own.txt")


def test_modules_of_a_linked_project_come_from_the_copy(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "src").mkdir()
    link = root.with_name("link")
    link.symlink_to(root)
    monkeypatch.setattr(sys, "path", [str(root / "src")])

    with copied(link) as copy:
        given = {"PYTHONPATH": os.pathsep.join((str(root), str(root.parent / "out")))}
        path = environment(link, copy, Path("/last"), given)["PYTHONPATH"]

        assert path.split(os.pathsep) == [str(copy), str(root.parent / "out"), str(copy / "src"), "/last"]


def test_what_links_add_counts_for_the_size(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root.parent / "out" / "large.bin").write_bytes(bytes(2000))
    (root / "large.bin").symlink_to(root.parent / "out" / "large.bin")
    monkeypatch.setattr(project, "MOST_BYTES", 1000)

    with pytest.raises(ProjectError, match="what it links to"), copied(root):
        pass


def test_files_are_written_anew_and_never_through_a_link(root: Path) -> None:
    out = root.parent / "out"
    copy = Path(os.path.realpath(root))
    (root / "link.txt").symlink_to(out / "data.txt")
    (root / "folder").symlink_to(out)

    with pytest.raises(OSError, match=r"link\.txt leads out of the copy"):
        read_inside(copy, "link.txt")
    with pytest.raises(OSError, match="folder leads out of the copy"):
        write_inside(copy, "folder/data.txt", b"new")
    write_inside(copy, "link.txt", b"new")

    assert (out / "data.txt").read_text() == "outside"
    assert not (root / "link.txt").is_symlink()
    assert read_inside(copy, "link.txt") == b"new"


SHORT = """
def test_own():
    \"\"\"Say what it is.\"\"\"
    box = make()
    assert box
    check(box)
    assert box.lid
"""
DROPPED = """
def test_own():
    assert make()
"""


def place(text: str, line: int) -> set[Place]:
    return places_of([Outcome("failed", "AssertionError", line)], text.split("\n"), "test_own")


def test_assertions_of_a_test_are_places_of_their_own() -> None:
    assert place(SHORT, 5) == {Place("Assert", 0, 2)}
    assert place(SHORT, 7) == {Place("Assert", 1, 2)}
    assert share_place(place(SHORT, 5), place(SHORT, 5))
    assert not share_place(place(SHORT, 5), place(SHORT, 7))
    assert not share_place(place(SHORT, 5), place(SHORT, 6))


def test_statements_that_a_fold_drops_leave_the_kind_alone() -> None:
    # A docstring is no statement that would be counted.
    assert place(SHORT, 6) == {Place("Expr", 0, 1)}
    assert share_place(place(SHORT, 7), place(DROPPED, 3))
    assert not share_place(place(SHORT, 6), place(DROPPED, 3))

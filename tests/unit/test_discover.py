"""Which files are found, in which order, and what is said about those that are not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_qeattention.similarity.discover import PathNotFoundError, UsageError, discover


def write(root: Path, *names: str, text: str = "def test_it():\n    pass\n") -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def found(root: Path, *paths: str) -> list[str]:
    return [file.display for file in discover(paths or ["."], cwd=root).files]


def test_default_patterns_in_sorted_order(tmp_path: Path) -> None:
    write(tmp_path, "b/test_z.py", "b/helper.py", "a/x_test.py", "test_top.py", "a/test_no.txt")
    assert found(tmp_path) == ["a/x_test.py", "b/test_z.py", "test_top.py"]


def test_a_named_file_is_taken_whatever_its_name(tmp_path: Path) -> None:
    write(tmp_path, "checks.py")
    assert found(tmp_path, "checks.py") == ["checks.py"]


def test_paths_that_overlap_give_each_file_once(tmp_path: Path) -> None:
    write(tmp_path, "a/test_x.py", "a/b/test_y.py")
    assert found(tmp_path, "a/b", "a", "a/test_x.py", "./a") == ["a/b/test_y.py", "a/test_x.py"]


def test_display_path_outside_the_working_directory(tmp_path: Path) -> None:
    write(tmp_path, "suite/test_x.py", "work/keep.py")
    files = discover(["../suite"], cwd=tmp_path / "work").files
    assert [file.display for file in files] == ["../suite/test_x.py"]
    assert files[0].path == tmp_path / "suite" / "test_x.py"


@pytest.mark.parametrize(
    "directory",
    ["build", "dist", "venv", "node_modules", ".hidden", "x.egg", "__pycache__", "CVS"],
)
def test_directories_that_are_not_entered(tmp_path: Path, directory: str) -> None:
    write(tmp_path, f"{directory}/test_no.py", "test_yes.py")
    assert found(tmp_path) == ["test_yes.py"]


def test_a_directory_that_is_named_is_entered(tmp_path: Path) -> None:
    write(tmp_path, "build/test_x.py")
    assert found(tmp_path, "build") == ["build/test_x.py"]


@pytest.mark.parametrize("marker", ["pyvenv.cfg", "conda-meta/history"])
def test_virtual_environments_are_left_out(tmp_path: Path, marker: str) -> None:
    write(tmp_path, "env/lib/test_no.py", "test_yes.py")
    write(tmp_path, f"env/{marker}", text="")
    assert found(tmp_path) == ["test_yes.py"]


def test_a_missing_path_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(PathNotFoundError, match=r"path not found: nowhere\.py;") as caught:
        discover(["nowhere.py::test_x"], cwd=tmp_path)
    assert isinstance(caught.value, UsageError)
    assert isinstance(caught.value, ValueError)


def test_names_after_a_directory_are_a_usage_error(tmp_path: Path) -> None:
    write(tmp_path, "a/test_x.py")
    with pytest.raises(UsageError, match="a is a directory"):
        discover(["a::test_it"], cwd=tmp_path)


def test_a_file_that_is_not_python_is_a_usage_error(tmp_path: Path) -> None:
    write(tmp_path, "notes.txt")
    with pytest.raises(UsageError, match=r"notes\.txt is not a Python file"):
        discover(["notes.txt"], cwd=tmp_path)


def test_node_ids_select(tmp_path: Path) -> None:
    write(tmp_path, "test_x.py")
    files = discover(["test_x.py::TestA::test_b[1::2]", "test_x.py::test_c"], cwd=tmp_path).files
    assert [file.selected for file in files] == [("TestA::test_b", "test_c")]


def test_a_whole_file_beside_a_node_id_wins(tmp_path: Path) -> None:
    write(tmp_path, "test_x.py")
    assert discover(["test_x.py::test_c", "test_x.py"], cwd=tmp_path).files[0].selected == ()


def test_a_link_that_leads_back_is_not_followed(tmp_path: Path) -> None:
    write(tmp_path, "a/b/test_x.py")
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path / "a", target_is_directory=True)
    assert found(tmp_path) == ["a/b/test_x.py"]


def test_a_link_to_itself_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path, "test_x.py")
    (tmp_path / "test_loop.py").symlink_to(tmp_path / "test_loop.py")
    assert found(tmp_path) == ["test_x.py"]


def test_linked_files_are_shown_where_they_lie(tmp_path: Path) -> None:
    write(tmp_path, "z/test_x.py")
    (tmp_path / "a").symlink_to(tmp_path / "z", target_is_directory=True)
    (tmp_path / "test_link.py").symlink_to(tmp_path / "z" / "test_x.py")
    assert found(tmp_path) == ["z/test_x.py"]


def test_collect_ignore_in_conftest(tmp_path: Path) -> None:
    write(tmp_path, "test_a.py", "test_b.py", "sub/test_c.py", "sub/test_d.py", "old/test_e.py", "test_f_old.py")
    write(
        tmp_path,
        "conftest.py",
        text=(
            "import sys\n"
            "collect_ignore = ['test_b.py']\n"
            "collect_ignore += ['sub/test_d.py']\n"
            "collect_ignore.append('old')\n"
            "if sys.version_info < (3, 0):\n    collect_ignore.append('test_a.py')\n"
            "collect_ignore_glob: list[str] = ['*_old.py']\n"
        ),
    )
    assert found(tmp_path) == ["sub/test_c.py", "test_a.py"]


def test_the_nearest_conftest_has_the_say(tmp_path: Path) -> None:
    write(tmp_path, "sub/test_a.py", "sub/test_b.py")
    write(tmp_path, "conftest.py", text="collect_ignore = ['sub/test_a.py']\n")
    write(tmp_path, "sub/conftest.py", text="collect_ignore = ['test_b.py']\n")
    assert found(tmp_path) == ["sub/test_a.py"]


def test_a_conftest_above_the_named_directory_counts(tmp_path: Path) -> None:
    write(tmp_path, "pytest.ini", text="[pytest]\n")
    write(tmp_path, "sub/test_a.py", "sub/test_b.py")
    write(tmp_path, "conftest.py", text="collect_ignore = ['sub/test_a.py']\n")
    assert found(tmp_path, "sub") == ["sub/test_b.py"]


def test_a_broken_conftest_is_one_problem(tmp_path: Path) -> None:
    write(tmp_path, "test_a.py", "test_b.py")
    write(tmp_path, "conftest.py", text="collect_ignore = [\n")
    discovery = discover(["."], cwd=tmp_path)
    assert [file.display for file in discovery.files] == ["test_a.py", "test_b.py"]
    assert [(problem.path, problem.line) for problem in discovery.problems] == [("conftest.py", 1)]


def test_addopts_ignore_and_deselect(tmp_path: Path) -> None:
    write(tmp_path, "t/test_a.py", "t/test_b.py", "t/test_c.py", "t/old/test_d.py", "t/new/test_e.py")
    write(
        tmp_path,
        "pytest.ini",
        text=(
            "[pytest]\n"
            "addopts = -ra --ignore=t/test_a.py --ignore t/old --ignore-glob='*_b.py'\n"
            "    --deselect t/test_c.py::test_x --deselect=t/new\n"
        ),
    )
    files = discover(["."], cwd=tmp_path).files
    assert [(file.display, file.deselected) for file in files] == [("t/test_c.py", ("test_x",))]


def test_addopts_override_ini(tmp_path: Path) -> None:
    write(tmp_path, "check_a.py", "test_b.py")
    write(tmp_path, "pytest.ini", text="[pytest]\naddopts = -o python_files=check_*.py -opython_classes=Check\n")
    discovery = discover(["."], cwd=tmp_path)
    assert [file.display for file in discovery.files] == ["check_a.py"]
    assert discovery.rules.python_classes == ("Check",)


def test_without_paths_testpaths_are_taken_in_the_rootdir(tmp_path: Path) -> None:
    write(tmp_path, "pytest.ini", text="[pytest]\ntestpaths = one tw*\n")
    write(tmp_path, "one/test_a.py", "two/test_b.py", "three/test_c.py")
    assert [file.display for file in discover([], cwd=tmp_path).files] == ["one/test_a.py", "two/test_b.py"]
    assert [file.display for file in discover([], cwd=tmp_path / "three").files] == ["test_c.py"]


def test_a_directory_that_can_not_be_read_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "shut":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    write(tmp_path, "shut/test_a.py", "test_b.py")
    # Permissions do not stop root, as whom tests run in containers.
    monkeypatch.setattr(os, "scandir", refuse)
    discovery = discover(["."], cwd=tmp_path)
    assert [file.display for file in discovery.files] == ["test_b.py"]
    assert [(problem.path, problem.message) for problem in discovery.problems] == [
        ("shut", "directory can't be read (Permission denied); its tests are left out")
    ]

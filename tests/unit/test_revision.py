"""What git says of the project under test, and what becomes of it where git says nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from pytest_qeattention.revision import MOST_CHANGED, Revision, revision_of

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(directory: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=anna", "-c", "user.email=anna@example.org", "-c", "protocol.file.allow=always")
    done = subprocess.run(["git", *identity, *arguments], cwd=directory, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, os.devnull)
    root = tmp_path / "project"
    for name in ("shop/cart.py", "shop/tax.py", "tests/test_cart.py", "naïve file.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"# {name}\n" * 20, encoding="utf-8")
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "first")
    return root


@needs_git
def test_what_differs_from_the_commit_is_named(repository: Path) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    assert revision_of(repository) == Revision(commit, ())

    (repository / "shop/cart.py").write_text("changed", encoding="utf-8")
    (repository / "naïve file.py").write_text("changed", encoding="utf-8")
    (repository / "new").mkdir()
    (repository / "new/one.py").touch()
    git(repository, "mv", "shop/tax.py", "shop/taxes.py")

    assert revision_of(repository) == Revision(commit, ("naïve file.py", "new/", "shop/cart.py", "shop/taxes.py"))
    assert revision_of(repository / "shop") == Revision(commit, ("cart.py", "taxes.py"))


@needs_git
def test_of_many_changes_the_first_are_named(repository: Path) -> None:
    for number in range(600):
        (repository / "shop" / f"{number:03}.py").touch()

    changed = revision_of(repository).changed

    assert changed == tuple(f"shop/{number:03}.py" for number in range(MOST_CHANGED))


@needs_git
def test_an_answer_without_end_is_cut_at_a_name(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        (repository / "shop" / f"{number:03}.py").touch()
    # The revision fits in, of the names the first four.
    monkeypatch.setattr("pytest_qeattention.revision.MOST_BYTES", 60)

    assert revision_of(repository).changed == tuple(f"shop/{number:03}.py" for number in range(4))


@needs_git
def test_within_a_submodule_nothing_is_looked_for(repository: Path, tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    outer.mkdir()
    git(outer, "init", "-q")
    git(outer, "submodule", "add", "-q", str(repository), "part")
    git(outer, "commit", "-q", "-m", "with a part")
    (outer / "part/shop/cart.py").write_text("changed", encoding="utf-8")

    assert revision_of(outer).changed == ()
    assert revision_of(outer / "part").changed == ("shop/cart.py",)


@needs_git
def test_where_there_is_no_commit_there_is_no_revision(tmp_path: Path, repository: Path) -> None:
    (tmp_path / "empty").mkdir()
    git(tmp_path / "empty", "init", "-q")

    assert revision_of(tmp_path / "empty") == Revision()
    assert revision_of(tmp_path) == Revision()
    assert revision_of(tmp_path / "nowhere") == Revision()


def test_without_git_there_is_no_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert revision_of(tmp_path) == Revision()


@pytest.mark.skipif(os.name == "nt", reason="the git that does not answer is a shell script")
def test_a_git_that_does_not_answer_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = tmp_path / "git"
    slow.write_text("#!/bin/sh\nsleep 60 &\necho $! > left\nsleep 60\n", encoding="utf-8")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    assert revision_of(tmp_path, 0.5) == Revision()

    # What it started keeps its output open, and would fail to be ended had it been waited for.
    os.kill(int((tmp_path / "left").read_text(encoding="utf-8")), signal.SIGKILL)


@needs_git
def test_the_variables_of_a_hook_do_not_count(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", str(repository / "nowhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(repository / "no index"))
    (repository / "shop/cart.py").write_text("changed", encoding="utf-8")

    assert revision_of(repository).changed == ("shop/cart.py",)

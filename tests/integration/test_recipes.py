"""The recipes for pre-commit and CI: they parse, and their commands run and write what the next step reads."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from readme_blocks import ROOT, copy_example, run

yaml = pytest.importorskip("yaml")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a project whose tests are those of the quickstart, all accepted by its baseline."""
    if shutil.which("qeattention", path=str(Path(sys.executable).parent)) is None:
        pytest.skip("the scripts of this installation are elsewhere")
    copy_example("quickstart", tmp_path).rename(tmp_path / "tests")
    (tmp_path / "tests" / "pytest.ini").rename(tmp_path / "pytest.ini")
    done = run("qeattention similar tests --baseline-update", tmp_path)
    assert done.returncode == 0, done.stderr
    return tmp_path


def read(name: str) -> Any:
    path = ROOT / name
    if not path.is_file():
        pytest.skip(f"{name} is not beside these tests")
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def add_copies(project: Path) -> None:
    (project / "tests" / "test_more.py").write_text((project / "tests" / "test_basket.py").read_text())


def assert_gate(command: str, project: Path, code: int = 1) -> None:
    """Run a command that is to pass on what was accepted and to end with *code* on what is new."""
    done = run(command, project)
    assert done.returncode == 0, done.stdout + done.stderr
    add_copies(project)
    done = run(command, project)
    assert done.returncode == code, done.stdout + done.stderr


def test_the_github_workflow(project: Path) -> None:
    (job,) = read("examples/github-actions.yml")["jobs"].values()
    steps = {step["name"]: step for step in job["steps"] if "name" in step}

    assert_gate(steps["Compare the tests"]["run"], project)

    assert steps["Summary of the pull request"]["run"].split()[1] == "similar.md"
    assert (project / "similar.md").read_text().startswith("## Tests that repeat each other\n")
    assert (project / steps["Code scanning"]["with"]["sarif_file"]).is_file()
    assert all(step["if"] == "${{ !cancelled() }}" for name, step in steps.items() if name != "Compare the tests")


def test_the_github_workflow_of_a_red_run(tmp_path: Path) -> None:
    if shutil.which("pytest", path=str(Path(sys.executable).parent)) is None:
        pytest.skip("the scripts of this installation are elsewhere")
    (job,) = read("examples/github-red-run.yml")["jobs"].values()
    steps = {step["name"]: step for step in job["steps"] if "name" in step}
    copy_example("red_run", tmp_path).rename(tmp_path / "tests")
    (tmp_path / "tests" / "pytest.ini").rename(tmp_path / "pytest.ini")

    done = run(steps["Tests"]["run"], tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    for number in (1, 2, 3):
        labelled = run(f"qeattention defects label last/{number} BUG-{number} --until 2999-12-31", tmp_path)
        assert labelled.returncode == 0, labelled.stderr
    done = run(steps["Tests"]["run"], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed by --qe-known-ok: 14 failures, known and confirmed" in done.stdout

    assert steps["Summary of the pull request"]["run"].split()[1] == "defects.md"
    assert (tmp_path / "defects.md").read_text().startswith("## 3 causes behind 14 failures\n")
    assert (tmp_path / steps["Code scanning"]["with"]["sarif_file"]).is_file()
    assert "qe_defects_cause" in (tmp_path / steps["What to teach from"]["with"]["path"]).read_text()
    assert all(step["if"] == "${{ !cancelled() }}" for name, step in steps.items() if name != "Tests")


def test_the_gitlab_job(project: Path) -> None:
    job = read("examples/gitlab-ci.yml")["similar-tests"]
    (command,) = (line for line in job["script"] if line.startswith("pytest "))

    assert_gate(command, project)

    artifacts = [*job["artifacts"]["paths"], job["artifacts"]["reports"]["junit"]]
    assert all((project / name).stat().st_size for name in artifacts)
    assert "qe_similar_status" in (project / "junit.xml").read_text()


def test_the_pre_commit_hooks(project: Path) -> None:
    (hook,) = read(".pre-commit-hooks.yaml")
    (repository,) = read("examples/pre-commit-config.yaml")["repos"]
    (local,) = repository["hooks"]

    assert hook["id"] == local["id"] == "qeattention-similar"
    assert {"name", "entry", "language"} <= set(hook)
    assert hook["pass_filenames"] is local["pass_filenames"] is False
    assert run(" ".join([hook["entry"], *hook["args"]]), project).returncode == 1
    assert_gate(local["entry"], project)

"""Installed without hnswlib, everything works: exact search serves and says so."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

import pytest_qeattention

PREPARE = "import json, sys; sys.path[:] = [*json.loads(sys.argv.pop(1)), *sys.path]\n"


@pytest.fixture(scope="module")
def without_hnswlib(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a directory of all that is installed here but hnswlib."""
    directory = tmp_path_factory.mktemp("site-packages")
    installed = {Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")}
    installed.add(Path(pytest_qeattention.__file__).parents[1])
    for numpy_parent in (importlib.util.find_spec("numpy"), importlib.util.find_spec("pytest")):
        assert numpy_parent is not None
        assert numpy_parent.origin is not None
        installed.add(Path(numpy_parent.origin).parents[1])
    for parent in sorted(installed):
        for entry in parent.iterdir() if parent.is_dir() else ():
            link = directory / entry.name
            if not entry.name.startswith(("hnswlib", "__editable__")) and not link.exists():
                link.symlink_to(entry)
    return directory


def run(site_packages: Path, code: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run *code* with nothing on the path but the standard library and *site_packages*."""
    command = [sys.executable, "-I", "-S", "-c", PREPARE + code, json.dumps([str(site_packages)]), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)


SEARCH = """
import numpy as np
from pytest_qeattention.index import hnsw_state, nearest
answers = [nearest(np.eye(4, dtype=np.float32), 2, mode=mode) for mode in ("auto", "exact", "hnsw")]
print(json.dumps({
    "state": hnsw_state(probe=True),
    "modes": [answer.mode for answer in answers],
    "indices": [answer.indices.tolist() for answer in answers],
    "reason": answers[-1].reason,
}))
"""


def test_exact_search_serves_and_says_so(without_hnswlib: Path, tmp_path: Path) -> None:
    child = run(without_hnswlib, SEARCH, cwd=tmp_path)
    assert child.stderr == ""
    answer: dict[str, Any] = json.loads(child.stdout)
    reason = "hnswlib is not installed; exact search serves; `pip install hnswlib` adds HNSW"
    assert answer["state"] == {
        "installed": False,
        "version": None,
        "state": "not installed",
        "reason": reason,
    }
    assert answer["modes"] == ["exact"] * 3
    assert answer["indices"] == [[[1, 2], [0, 2], [0, 1], [0, 1]]] * 3
    assert answer["reason"] == reason


def test_import_that_is_blocked_counts_as_absent(tmp_path: Path) -> None:
    code = "import json, sys; sys.modules['hnswlib'] = None\n" + SEARCH
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    answer = json.loads(child.stdout)
    assert answer["state"]["state"] == "not installed"
    assert answer["modes"] == ["exact"] * 3


SUITE = """
def test_first():
    value = [1, 2, 3]
    assert sum(value) == 6
    assert max(value) == 3


def test_second():
    value = [1, 2, 4]
    assert sum(value) == 7
    assert max(value) == 4
"""


def test_similar_command_works(without_hnswlib: Path, tmp_path: Path) -> None:
    (tmp_path / "test_suite.py").write_text(SUITE, encoding="utf-8")
    code = "from pytest_qeattention.cli import main; sys.exit(main(['similar', '.', '--json', '-']))"
    child = run(without_hnswlib, code, cwd=tmp_path)
    assert child.returncode == 0, child.stderr
    report = json.loads(child.stdout)
    names = [[test["name"] for test in group["tests"]] for group in report["similar"]["groups"]]
    assert names == [["test_first", "test_second"]]


def test_plugin_works(without_hnswlib: Path, tmp_path: Path) -> None:
    (tmp_path / "test_suite.py").write_text(SUITE, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    arguments = ["--qe-similar", "--qe-json=out.json", "-p", "no:cacheprovider"]
    code = f"import pytest; sys.exit(pytest.main({arguments}))"
    environment = {**os.environ, "PYTEST_ADDOPTS": ""}
    command = [sys.executable, "-I", "-S", "-c", PREPARE + code, json.dumps([str(without_hnswlib)])]
    child = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    assert child.returncode == 0, child.stdout + child.stderr
    report = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert len(report["similar"]["groups"]) == 1

"""A subprocess tries hnswlib before this process imports it; its verdict is said and remembered."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pytest_qeattention.index import hnsw_state, hnswlib_probe
from pytest_qeattention.store import open_store

needs_posix = pytest.mark.skipif(os.name != "posix", reason="POSIX signals")

SEARCH = """
import json, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import numpy as np
from pytest_qeattention.index import hnsw_state, nearest
cache_dir = Path(sys.argv[2])
before = hnsw_state(cache_dir)
found = nearest(np.eye(4, dtype=np.float32), 2, mode="hnsw", cache_dir=cache_dir)
after = hnsw_state(cache_dir)
print(json.dumps({
    "before": before, "after": after, "mode": found.mode, "reason": found.reason, "indices":
    found.indices.tolist(), "imported": "hnswlib" in sys.modules,
}))
"""


def search_beside(module_dir: Path, cache_dir: Path) -> dict[str, Any]:
    """Ask for HNSW in a fresh process that finds the hnswlib of *module_dir* first."""
    command = [sys.executable, "-c", SEARCH, str(module_dir), str(cache_dir)]
    child = subprocess.run(command, capture_output=True, text=True, check=True)
    assert child.stderr == ""
    answer: dict[str, Any] = json.loads(child.stdout)
    return answer


def stand_in(directory: Path, source: str) -> Path:
    directory.mkdir(exist_ok=True)
    (directory / "hnswlib.py").write_text(source, encoding="utf-8")
    return directory


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start without the verdicts of this process."""
    monkeypatch.setattr(hnswlib_probe, "_verdicts", {})


def test_importing_the_index_imports_no_hnswlib() -> None:
    code = "import sys, pytest_qeattention.index as index; index.hnsw_state(); print('hnswlib' in sys.modules)"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert child.stdout == "False\n"


def test_exact_search_imports_no_hnswlib() -> None:
    code = (
        "import sys, numpy as np, pytest_qeattention.index as index\n"
        "index.nearest(np.eye(9, dtype=np.float32), 2); print('hnswlib' in sys.modules)"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert child.stdout == "False\n"


@needs_posix
@pytest.mark.parametrize("name", ["SIGILL", "SIGSEGV"])
def test_hnswlib_that_kills_its_process_is_not_imported(tmp_path: Path, name: str) -> None:
    killer = stand_in(tmp_path / "modules", f"import os, signal\nos.kill(os.getpid(), signal.{name})\n")
    answer = search_beside(killer, tmp_path / "cache")
    assert answer["mode"] == "exact"
    assert answer["indices"] == [[1, 2], [0, 2], [0, 1], [0, 1]]
    assert not answer["imported"]
    assert answer["before"]["state"] == "not probed"
    assert answer["after"]["state"] == "unusable"
    assert answer["after"]["installed"] is True
    assert answer["reason"] == answer["after"]["reason"]
    assert f"hnswlib ends the process that loads it ({name})" in answer["reason"]
    assert "HNSWLIB_NO_NATIVE=1 pip install" in answer["reason"]


def test_hnswlib_that_raises_is_unusable(tmp_path: Path) -> None:
    broken = stand_in(tmp_path / "modules", "raise ImportError('libstdc++.so.6: version not found')\n")
    answer = search_beside(broken, tmp_path / "cache")
    assert answer["mode"] == "exact"
    assert "hnswlib does not work here (ImportError: libstdc++.so.6: version not found)" in answer["reason"]


def test_hnswlib_with_wrong_answers_is_unusable(tmp_path: Path) -> None:
    liar = """
import numpy
class Index:
    def __init__(self, **_): pass
    def init_index(self, **_): pass
    def add_items(self, *_, **__): pass
    def set_ef(self, ef): pass
    def knn_query(self, rows, **_): return numpy.zeros((64, 1)), numpy.ones((64, 1))
"""
    answer = search_beside(stand_in(tmp_path / "modules", liar), tmp_path / "cache")
    assert answer["mode"] == "exact"
    assert "hnswlib does not work here (its answers are wrong)" in answer["reason"]


def test_hnswlib_that_quits_quietly_is_unusable(tmp_path: Path) -> None:
    answer = search_beside(stand_in(tmp_path / "modules", "import os\nos._exit(0)\n"), tmp_path / "cache")
    assert answer["mode"] == "exact"
    assert "hnswlib does not work here (no message)" in answer["reason"]


@pytest.mark.usefixtures("forgetful")
def test_hnswlib_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(stand_in(tmp_path / "modules", "import time\ntime.sleep(600)\n"))
    monkeypatch.delitem(sys.modules, "hnswlib", raising=False)
    monkeypatch.setattr(hnswlib_probe, "_TIMEOUT_S", 0.5)
    cache_dir = tmp_path / "cache"
    state = hnsw_state(cache_dir, probe=True)
    assert state["state"] == "unusable"
    assert state["reason"] == "hnswlib gave no answer within 0.5 s; exact search serves"
    assert not cache_dir.exists(), "a machine that was busy once may answer in time later"


@pytest.mark.usefixtures("forgetful")
@needs_posix
def test_trial_that_was_killed_from_outside_is_not_held_against_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n"
    monkeypatch.syspath_prepend(stand_in(tmp_path / "modules", source))
    monkeypatch.delitem(sys.modules, "hnswlib", raising=False)
    state = hnsw_state(tmp_path / "cache", probe=True)
    assert state["reason"] == "the trial of hnswlib was ended by SIGKILL; exact search serves"
    assert not (tmp_path / "cache").exists()


COUNTED = """
import os, sys
with open(os.path.join(os.path.dirname(__file__), "trials"), "a") as file:
    file.write("x")
raise ImportError("broken {}")
"""


def trials(module_dir: Path) -> int:
    return len((module_dir / "trials").read_text(encoding="utf-8"))


def test_verdict_is_remembered_until_the_file_changes(tmp_path: Path) -> None:
    cache_dir = tmp_path / "cache"
    modules = stand_in(tmp_path / "modules", COUNTED.format("once"))
    first = search_beside(modules, cache_dir)
    assert trials(modules) == 1
    second = search_beside(modules, cache_dir)
    assert trials(modules) == 1
    assert second["before"] == first["after"]
    stand_in(modules, COUNTED.format("again"))
    third = search_beside(modules, cache_dir)
    assert trials(modules) == 2
    assert third["before"]["state"] == "not probed"
    assert "broken again" in third["reason"]


def test_touched_file_is_tried_again(tmp_path: Path) -> None:
    modules = stand_in(tmp_path / "modules", COUNTED.format("once"))
    search_beside(modules, tmp_path / "cache")
    later = time.time() + 10
    os.utime(modules / "hnswlib.py", (later, later))
    search_beside(modules, tmp_path / "cache")
    assert trials(modules) == 2


@pytest.mark.usefixtures("forgetful")
def test_verdict_holds_for_one_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modules = stand_in(tmp_path / "modules", COUNTED.format("once"))
    monkeypatch.syspath_prepend(modules)
    monkeypatch.delitem(sys.modules, "hnswlib", raising=False)
    cache_dir = tmp_path / "cache"
    for cpu, expected in (("first", 1), ("second", 2), ("first", 2), ("second", 2)):
        monkeypatch.setattr(hnswlib_probe, "_verdicts", {})
        monkeypatch.setattr(hnswlib_probe, "_cpu_fingerprint", lambda cpu=cpu: cpu)
        assert hnsw_state(cache_dir, probe=True)["state"] == "unusable"
        assert trials(modules) == expected


@pytest.mark.usefixtures("forgetful")
def test_process_remembers_without_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modules = stand_in(tmp_path / "modules", COUNTED.format("once"))
    monkeypatch.syspath_prepend(modules)
    monkeypatch.delitem(sys.modules, "hnswlib", raising=False)
    states = [hnsw_state(probe=True), hnsw_state(), hnsw_state(probe=True)]
    assert trials(modules) == 1
    assert [state["state"] for state in states] == ["unusable"] * 3


@pytest.mark.parametrize(
    "payload",
    [b"", b"null", b"[1, [], {}]", b"\xff", b'[["key", "yes", 1]]', b"[" * 100_000],
    ids=["empty", "null", "wrong rows", "not UTF-8", "wrong types", "deep"],
)
def test_damaged_cache_costs_a_new_trial_only(tmp_path: Path, payload: bytes) -> None:
    cache_dir = tmp_path / "cache"
    modules = stand_in(tmp_path / "modules", COUNTED.format("once"))
    store, name = open_store(cache_dir), hnswlib_probe._FILE
    problem = store.write(name, payload, magic=hnswlib_probe._MAGIC, version=hnswlib_probe._VERSION)
    assert problem is None
    assert search_beside(modules, cache_dir)["after"]["state"] == "unusable"
    assert trials(modules) == 1
    search_beside(modules, cache_dir)
    assert trials(modules) == 1


def test_unwritable_cache_costs_a_new_trial_only(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file", encoding="utf-8")
    modules = stand_in(tmp_path / "modules", COUNTED.format("once"))
    for expected in (1, 2):
        assert search_beside(modules, tmp_path / "cache")["mode"] == "exact"
        assert trials(modules) == expected


def test_trial_sees_the_same_path_and_runs_nothing_else(tmp_path: Path) -> None:
    modules = stand_in(
        tmp_path / "modules",
        "import json, sys\nflags = sys.flags\n"
        "raise ImportError(json.dumps([sys.path, flags.no_site, flags.isolated]))\n",
    )
    reason = search_beside(modules, tmp_path / "cache")["reason"]
    path, no_site, isolated = json.loads(reason[reason.index("[[") : reason.rindex("]") + 1])
    assert path[0] == str(modules)
    assert (no_site, isolated) == (1, 1)


def test_state_of_the_hnswlib_installed_here(tmp_path: Path) -> None:
    state = hnsw_state(tmp_path / "cache", probe=True)
    assert set(state) == {"installed", "version", "state", "reason"}
    assert json.loads(json.dumps(state)) == state
    assert state["state"] in {"usable", "unusable", "not installed"}
    assert (state["state"] == "not installed") == (not state["installed"]) == (state["version"] is None)

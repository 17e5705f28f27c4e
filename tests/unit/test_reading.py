"""Reading many files in helper processes gives what one process gives."""

from __future__ import annotations

import gc
import subprocess
from pathlib import Path

import pytest

from pytest_qeattention.similarity import reading
from pytest_qeattention.similarity.discover import SourcePath
from pytest_qeattention.similarity.reading import Job, Scan, scan_files


@pytest.fixture
def jobs(tmp_path: Path) -> list[Job]:
    found = []
    for number in range(7):
        path = tmp_path / f"test_{number}.py"
        tests = (f"    def test_{n}(self):\n        assert {number} + {n}\n" for n in range(number * 3))
        path.write_text(f"import a.b\nclass TestIt(a.Base):\n    size = {number}\n{''.join(tests)}")
        found.append(Job(SourcePath(path, path.name)))
    broken = tmp_path / "test_broken.py"
    broken.write_text("def test_(:\n")
    return [*found, Job(SourcePath(broken, broken.name)), Job(SourcePath(tmp_path / "gone.py", "gone.py"))]


@pytest.fixture
def alone(jobs: list[Job]) -> list[Scan]:
    """Return what one process reads."""
    return scan_files(jobs, None, num_processes=1)


@pytest.fixture
def helpers(alone: list[Scan], monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """Return the helpers that are started, which they are however little there is to read."""
    started: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen

    def kept(*args: object, **kwargs: object) -> object:
        started.append(start(*args, **kwargs))  # type: ignore[call-overload]
        return started[-1]

    monkeypatch.setattr(reading, "PARALLEL_BYTES", 0)
    monkeypatch.setattr(subprocess, "Popen", kept)
    return started


@pytest.fixture
def late(helpers: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """Let this process read when the helpers have ended."""

    def wait() -> None:
        for helper in helpers:
            helper.wait(60)

    monkeypatch.setattr(reading, "_load_analysis", wait)
    return helpers


def test_helpers_give_the_same_scans(
    jobs: list[Job], alone: list[Scan], helpers: list[subprocess.Popen[bytes]]
) -> None:
    seen: list[tuple[str, int, int]] = []
    together = scan_files(jobs, None, num_processes=3, progress=lambda *step: seen.append(step))
    assert together == alone
    assert len(helpers) == 2, "this process is the third"
    done = [step[1] for step in seen]
    assert done == sorted(done)
    assert seen[-1] == ("reading", len(jobs), len(jobs))
    assert [scan.path for scan in alone] == [job.source.display for job in jobs]
    assert sum(len(scan.functions) for scan in alone) == 63
    assert [scan.problem is None for scan in alone] == [True] * 7 + [False] * 2


@pytest.mark.usefixtures("late")
def test_what_helpers_read_is_taken_from_them(
    jobs: list[Job], alone: list[Scan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_scan", None)
    assert scan_files(jobs, None, num_processes=2) == alone


HELPERS = {
    "refuses": "raise SystemExit(3)",
    "is killed": "import os; os.kill(os.getpid(), 9)",
    "writes nonsense": "import sys; open(sys.argv[2], 'wb').write(b'noise')",
    "is killed with a batch taken": (
        "import os, sys; open(os.path.join(os.path.dirname(sys.argv[2]), '0'), 'x').close(); os.kill(os.getpid(), 9)"
    ),
}


@pytest.mark.parametrize("helper", HELPERS.values(), ids=HELPERS)
def test_a_helper_that_dies_loses_nothing(
    jobs: list[Job],
    alone: list[Scan],
    late: list[subprocess.Popen[bytes]],
    monkeypatch: pytest.MonkeyPatch,
    helper: str,
) -> None:
    monkeypatch.setattr(reading, "_HELPER", helper)
    assert scan_files(jobs, None, num_processes=2) == alone
    assert len(late) == 1


def test_a_helper_that_cannot_be_started_loses_nothing(
    jobs: list[Job], alone: list[Scan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "PARALLEL_BYTES", 0)
    monkeypatch.setattr("sys.executable", "/nonexistent/python")
    assert scan_files(jobs, None, num_processes=2) == alone


def test_without_a_place_to_meet_nothing_is_lost(
    jobs: list[Job], alone: list[Scan], helpers: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/nonexistent/directory")
    assert scan_files(jobs, None, num_processes=2) == alone
    assert helpers == []


def test_helpers_end_with_an_analysis_that_fails(
    jobs: list[Job], helpers: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(reading, "_HELPER", "import time; time.sleep(600)")
    monkeypatch.setattr(reading, "_load_analysis", interrupted)
    with pytest.raises(KeyboardInterrupt):
        scan_files(jobs, None, num_processes=2)
    assert [helper.poll() is None for helper in helpers] == [False]


@pytest.mark.parametrize("sizes", [[], [5], [0, 0, 0], [10**6, 5, 10**7, 0, *[40_000] * 200]])
def test_every_file_is_in_one_batch_and_large_ones_come_first(sizes: list[int]) -> None:
    batches = reading._batches(sizes, 2)
    assert sorted(number for batch in batches for number in batch) == list(range(len(sizes)))
    assert all(batches)
    first = [sizes[batch[0]] for batch in batches]
    assert first == sorted(first, reverse=True)


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_rests_and_is_then_as_it_was(jobs: list[Job], enabled: bool) -> None:
    seen: list[bool] = []
    if not enabled:
        gc.disable()
    try:
        scan_files(jobs, None, progress=lambda *step: seen.append(gc.isenabled()))
        assert gc.isenabled() is enabled
    finally:
        gc.enable()
    assert seen == [False] * len(jobs)


def test_little_to_read_starts_no_helper(jobs: list[Job], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a helper was started")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    assert len(scan_files(jobs, None, num_processes=2)) == len(jobs)


def test_wanted_lines_are_listed_alone(tmp_path: Path) -> None:
    path = tmp_path / "checks.py"
    path.write_text("def helper():\n    pass\n\n@mark\ndef check():\n    pass\n")
    (scan,) = scan_files([Job(SourcePath(path, "checks.py"), frozenset({4}))], None)
    assert [found.unit.name for found in scan.functions] == ["check"]

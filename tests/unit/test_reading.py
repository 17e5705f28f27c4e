"""Reading many files in helper processes gives what one process gives."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pytest_qeattention.similarity import reading
from pytest_qeattention.similarity.discover import SourcePath
from pytest_qeattention.similarity.reading import Job, scan_files


@pytest.fixture
def jobs(tmp_path: Path) -> list[Job]:
    found = []
    for number in range(7):
        path = tmp_path / f"test_{number}.py"
        path.write_text("".join(f"def test_{n}():\n    assert {number} + {n}\n" for n in range(number * 3)))
        found.append(Job(SourcePath(path, path.name)))
    broken = tmp_path / "test_broken.py"
    broken.write_text("def test_(:\n")
    return [*found, Job(SourcePath(broken, broken.name)), Job(SourcePath(tmp_path / "gone.py", "gone.py"))]


def test_helpers_give_the_same_scans(jobs: list[Job], monkeypatch: pytest.MonkeyPatch) -> None:
    alone = scan_files(jobs, None, num_processes=1)
    monkeypatch.setattr(reading, "PARALLEL_BYTES", 0)
    started = []
    start = subprocess.Popen

    def counted(*args: object, **kwargs: object) -> object:
        started.append(args)
        return start(*args, **kwargs)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "Popen", counted)
    seen: list[tuple[str, int, int]] = []
    together = scan_files(jobs, None, num_processes=3, progress=lambda *step: seen.append(step))
    assert together == alone
    assert len(started) == 3
    assert [step[1] for step in seen] == list(range(1, len(jobs) + 1))
    assert [scan.path for scan in alone] == [job.source.display for job in jobs]
    assert sum(len(scan.functions) for scan in alone) == 63
    assert [scan.problem is None for scan in alone] == [True] * 7 + [False] * 2


@pytest.mark.parametrize("helper", ["raise SystemExit(3)", "import os; os.kill(os.getpid(), 9)", "print('noise')"])
def test_a_helper_that_dies_loses_nothing(jobs: list[Job], monkeypatch: pytest.MonkeyPatch, helper: str) -> None:
    alone = scan_files(jobs, None, num_processes=1)
    monkeypatch.setattr(reading, "PARALLEL_BYTES", 0)
    monkeypatch.setattr(reading, "_HELPER", helper)
    assert scan_files(jobs, None, num_processes=2) == alone


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

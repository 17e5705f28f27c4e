"""``pytest --qe-defects`` beside plugins that stop tests, run them again, or run parts and coroutines of them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_qeattention.defects.junit_file import read_junit
from pytest_qeattention.defects.record import FailureRecord

CONFTEST = """
import json
import os

import pytest


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config):
    plugin = config.pluginmanager.get_plugin("qeattention-defects")
    if plugin is not None:
        report = plugin.causes().report
        records = [] if report is None else [record.to_plain() for record in report.records]
        with open("records.json", "w", encoding="utf-8") as file:
            json.dump(records, file)
"""


class Run:
    """Hold what a run reported, and what its JUnit file has."""

    def __init__(self, path: Path, *options: str, **files: str) -> None:
        for name, text in {"conftest": CONFTEST, **files}.items():
            (path / f"{name}.py").write_text(text, encoding="utf-8")
        (path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "QE_"))}
        environment["PYTEST_ADDOPTS"] = "-p no:hypothesispytest"
        command = [sys.executable, "-m", "pytest", "--qe-defects", "--junit-xml=junit.xml", *options]
        self.done = subprocess.run(
            command, cwd=path, env=environment, capture_output=True, encoding="utf-8", check=False
        )
        plain = json.loads((path / "records.json").read_text(encoding="utf-8"))
        self.live = {each["nodeid"]: FailureRecord.from_plain(each) for each in plain}
        assert len(self.live) == len(plain)
        self.file = {record.test.qualname: record for record in read_junit(path / "junit.xml").failures}

    def phases(self) -> dict[str, tuple[str, str | None]]:
        return {
            name.partition("::")[2]: (record.phase, record.test.failing_fixture) for name, record in self.live.items()
        }

    def is_told_alike(self) -> bool:
        live = {record.test.qualname: record.signature() for record in self.live.values()}
        return live == {name: record.signature() for name, record in self.file.items()}


SLOW = """
import time

import pytest


def work():
    time.sleep(60)


@pytest.fixture
def slow():
    work()


def test_slow():
    work()


def test_slow_fixture(slow):
    pass


def test_quick():
    pass
"""


def test_what_pytest_timeout_stops_is_a_timeout_of_its_phase(tmp_path: Path) -> None:
    pytest.importorskip("pytest_timeout")

    run = Run(tmp_path, "--timeout=0.3", "--timeout-method=signal", test_slow=SLOW)

    assert run.phases() == {"test_slow": ("timeout", None), "test_slow_fixture": ("timeout", "slow")}
    assert run.is_told_alike()
    root = run.live["test_slow.py::test_slow"].root
    assert root is not None
    assert root.message == "Timeout (>0.3s) from pytest-timeout."
    assert [frame.qualname for frame in root.frames] == ["test_slow", "work"]


def test_a_worker_that_pytest_timeout_ends_has_crashed(tmp_path: Path) -> None:
    pytest.importorskip("pytest_timeout")

    source = SLOW.replace("def test_slow_fixture(slow)", "def test_no_fixture()")
    run = Run(tmp_path, "-n1", "--timeout=0.3", "--timeout-method=thread", test_slow=source)

    assert run.phases() == {"test_slow": ("crash", None)}
    assert run.is_told_alike()


def test_of_reruns_the_last_counts(tmp_path: Path) -> None:
    pytest.importorskip("pytest_rerunfailures")

    run = Run(
        tmp_path,
        "--reruns=2",
        test_flaky=(
            "runs = []\n\n\ndef test_passes_at_last():\n    runs.append(1)\n    assert len(runs) == 3\n\n\n"
            "def test_never_passes():\n    runs.append(1)\n    assert runs == []\n"
        ),
    )

    assert run.phases() == {"test_never_passes": ("call", None)}
    assert run.is_told_alike()
    assert run.live["test_flaky.py::test_never_passes"].chain[0].message.startswith("assert [1, 1, 1, 1, 1, 1] == []")


def test_a_last_failed_run_reports_what_still_fails(tmp_path: Path) -> None:
    source = "import os\n\n\ndef test_one():\n    assert os.path.exists('one')\n\n\ndef test_two():\n    assert 0\n"

    first = Run(tmp_path, test_both=source)
    (tmp_path / "one").touch()
    second = Run(tmp_path, "--lf", test_both=source)

    assert first.phases() == {"test_one": ("call", None), "test_two": ("call", None)}
    assert second.phases() == {"test_two": ("call", None)}
    assert "(1 known)" not in second.done.stdout
    assert "seen in 1 run" in second.done.stdout


SUBTESTS = """
import unittest

import pytest


def test_parts(subtests):
    for number in range(4):
        with subtests.test("part", number=number):
            assert number % 2 == 0, f"odd {number}"


class TestCase(unittest.TestCase):
    def test_parts(self):
        for number in range(4):
            with self.subTest(number=number):
                self.assertNotEqual(number, 1)
"""


def test_each_subtest_that_fails_is_a_failure(tmp_path: Path) -> None:
    if not hasattr(pytest, "Subtests"):
        pytest.importorskip("pytest_subtests")
    for name, text in {"conftest.py": CONFTEST, "pytest.ini": "[pytest]\n", "test_parts.py": SUBTESTS}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")

    command = [sys.executable, "-m", "pytest", "--qe-defects", "--junit-xml=junit.xml", "-p", "no:cacheprovider"]
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)

    plain: list[dict[str, Any]] = json.loads((tmp_path / "records.json").read_text(encoding="utf-8"))
    live = [FailureRecord.from_plain(each) for each in plain]
    assert [(record.test.qualname, record.test.parameters) for record in live] == [
        ("TestCase::test_parts", (("number", "1"),)),
        ("test_parts", (("number", "1"), ("subtest", "part"))),
        ("test_parts", (("number", "3"), ("subtest", "part"))),
    ]
    in_file = read_junit(tmp_path / "junit.xml").failures
    assert sorted(record.signature() for record in in_file) == sorted(record.signature() for record in live)


COROUTINES = """
import pytest


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
async def broken():
    raise ValueError("broken")


async def value():
    return 2


@pytest.mark.anyio
async def test_value():
    assert await value() == 3


@pytest.mark.anyio
async def test_broken(broken):
    pass
"""


def test_coroutines_that_anyio_runs(tmp_path: Path) -> None:
    pytest.importorskip("anyio.pytest_plugin")

    run = Run(tmp_path, "-p", "no:asyncio", test_coroutines=COROUTINES)

    assert run.phases() == {"test_value": ("call", None), "test_broken": ("setup", "broken")}
    assert run.is_told_alike()
    assert [frame.qualname for frame in run.live["test_coroutines.py::test_value"].chain[0].frames] == ["test_value"]


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_the_revision_is_asked_for_once_where_the_run_reports(tmp_path: Path) -> None:
    identity = ("-c", "user.name=anna", "-c", "user.email=anna@example.org")
    (tmp_path / "kept.txt").touch()
    for arguments in (("init", "-q"), ("add", "."), (*identity, "commit", "-q", "-m", "first")):
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True, capture_output=True)
    counting = CONFTEST + (
        "\n\nfrom pytest_qeattention import revision\n\n"
        "asked = revision.revision_of\n\n\n"
        "def revision_of(directory):\n"
        "    with open('asked.txt', 'a', encoding='utf-8') as file:\n"
        "        print(os.environ.get('PYTEST_XDIST_WORKER', 'controller'), file=file)\n"
        "    return asked(directory)\n\n\n"
        "revision.revision_of = revision_of\n"
    )
    red = "\n\n".join(f"def test_{number}():\n    assert {number} < 0\n" for number in range(4))

    run = Run(tmp_path, "-n2", "-p", "no:cacheprovider", conftest=counting, test_red=red)

    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=tmp_path, check=True, capture_output=True, text=True
    ).stdout.strip()
    assert (tmp_path / "asked.txt").read_text(encoding="utf-8").split() == ["controller"]
    assert {record.revision for record in run.live.values()} == {head}
    assert len(run.live) == 4
    for record in run.live.values():
        assert {"conftest.py", "pytest.ini", "test_red.py"} <= set(record.changed)

    (tmp_path / "asked.txt").unlink()
    Run(tmp_path, "-p", "no:cacheprovider", conftest=counting, test_red="def test_green():\n    pass\n")
    assert not (tmp_path / "asked.txt").exists()

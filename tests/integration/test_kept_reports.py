"""What is kept between runs: the output is that of a run without a cache, whatever the cache holds."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_qeattention.cache import FILE_NAME
from pytest_qeattention.cli import main
from pytest_qeattention.similarity import kept

if TYPE_CHECKING:
    from conftest import SmallSuite

BASE = """
class Base:
    def test_inherited(self):
        assert self.value > 0
"""
DERIVED = """
from base import Base


class TestDerived(Base):
    value = 1
"""


class Kept:
    """Run the command with and without a store, in this process."""

    def __init__(self, suite: SmallSuite, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.suite = suite
        self.store = store
        self._capsys = capsys

    def output(self, *arguments: str) -> str:
        if "-v" not in arguments:
            arguments = ("--json", "-", *arguments)
        assert main(["similar", "tests", *arguments]) == 0
        return self._capsys.readouterr().out

    def check(self, *arguments: str) -> str:
        """Return the output with the store, which must be that without it."""
        cold = self.output(*arguments)
        assert self.output(*arguments, "--qe-store", str(self.store)) == cold
        return cold


@pytest.fixture
def runs(small_suite: SmallSuite, capsys: pytest.CaptureFixture[str], tmp_path_factory: pytest.TempPathFactory) -> Kept:
    tests = small_suite.path / "tests"
    tests.mkdir()
    for name in small_suite.files:
        (small_suite.path / name).rename(tests / name)
    small_suite.write("tests/test_base.py", DERIVED)
    small_suite.write("tests/base.py", BASE)
    small_suite.write("tests/test_broken.py", "def test_x(:\n")
    return Kept(small_suite, tmp_path_factory.mktemp("kept") / "store", capsys)


@pytest.fixture
def scanned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect the files that are read anew."""
    seen: list[str] = []
    scan = kept.scan_files

    def spy(jobs, *arguments, **options):  # type: ignore[no-untyped-def]
        seen.extend(job.source.display for job in jobs)
        return scan(jobs, *arguments, **options)

    monkeypatch.setattr(kept, "scan_files", spy)
    return seen


def test_a_second_run_reads_nothing_and_says_the_same(runs: Kept, scanned: list[str]) -> None:
    first = runs.check()
    assert "test_inherited" not in first
    assert '"tests": 8' in first
    scanned.clear()

    assert runs.output("--qe-store", str(runs.store)) == first
    assert scanned == []


def edit(suite: SmallSuite) -> None:
    file = suite.path / "tests" / "test_stock.py"
    file.write_text(file.read_text().replace("cups=1", "cups=2", 1))


def add_test(suite: SmallSuite) -> None:
    with (suite.path / "tests" / "test_words.py").open("a") as file:
        file.write("\n\ndef test_more():\n    assert 'more'.upper() == 'MORE'\n")


def add_file(suite: SmallSuite) -> None:
    suite.write("tests/test_new.py", "def test_new():\n    assert [1, 2] == sorted([2, 1])\n")


def remove_file(suite: SmallSuite) -> None:
    (suite.path / "tests" / "test_words.py").unlink()


def rename_file(suite: SmallSuite) -> None:
    (suite.path / "tests" / "test_words.py").rename(suite.path / "tests" / "test_zebra.py")


def rename_directory(suite: SmallSuite) -> None:
    (suite.path / "tests" / "below").mkdir()
    (suite.path / "tests" / "test_stock.py").rename(suite.path / "tests" / "below" / "test_stock.py")


def change_base(suite: SmallSuite) -> None:
    suite.write("tests/base.py", BASE + "\n    def test_other(self):\n        assert self.value < 9\n")


def remove_base(suite: SmallSuite) -> None:
    (suite.path / "tests" / "base.py").unlink()


def make_package(suite: SmallSuite) -> None:
    suite.write("tests/__init__.py", "")


def change_rules(suite: SmallSuite) -> None:
    suite.write("pytest.ini", "[pytest]\npython_functions = test_s*\n")


def ignore_path(suite: SmallSuite) -> None:
    suite.write("pytest.ini", "[pytest]\nqe_similar_ignore =\n    tests/test_words.py\n")


def acknowledge(suite: SmallSuite) -> None:
    file = suite.path / "tests" / "test_stock.py"
    file.write_text(file.read_text().replace("def test_sums_up():", "def test_sums_up():  # qe: similar-ok both count"))


def define_fixture(suite: SmallSuite) -> None:
    suite.write("tests/conftest.py", "import pytest\n\n\n@pytest.fixture\ndef word():\n    return 1\n")


@pytest.mark.parametrize(
    "change",
    [
        edit,
        add_test,
        add_file,
        remove_file,
        rename_file,
        rename_directory,
        change_base,
        remove_base,
        make_package,
        change_rules,
        ignore_path,
        acknowledge,
        define_fixture,
    ],
)
def test_a_changed_project_is_reported_as_it_is(runs: Kept, change: Callable[[SmallSuite], None]) -> None:
    before = runs.check()
    change(runs.suite)
    after = runs.check()
    if change not in (make_package, define_fixture):
        assert after != before


def test_a_base_that_appears_is_found(runs: Kept) -> None:
    remove_base(runs.suite)
    without = runs.check()
    change_base(runs.suite)

    assert runs.check() != without


def test_only_the_files_that_changed_are_read(runs: Kept, scanned: list[str]) -> None:
    runs.check()
    edit(runs.suite)
    scanned.clear()

    runs.output("--qe-store", str(runs.store))

    assert scanned == ["tests/test_stock.py"]


def test_other_questions_get_other_answers(runs: Kept) -> None:
    runs.check()
    runs.check("-v")
    runs.check("--neighbors", "2")
    runs.check("--neighbors", "1")
    runs.check("--rank", "upper case words", "-k", "2")
    runs.check()


def test_another_version_of_the_code_finds_nothing(
    runs: Kept, scanned: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.check()
    monkeypatch.setattr(kept, "code_key", lambda: b"another version")
    scanned.clear()
    runs.check()
    assert "tests/test_stock.py" in scanned


@pytest.mark.parametrize("damage", ["flipped", "truncated", "emptied", "of another kind", "a directory"])
def test_a_damaged_cache_changes_nothing(runs: Kept, damage: str) -> None:
    before = runs.check()
    file = runs.store / FILE_NAME
    data = file.read_bytes()
    if damage == "flipped":
        for step in (2, 3, 101):
            damaged = bytearray(data)
            for at in range(step * 100, len(data), step):
                damaged[at] ^= 0x55
            file.write_bytes(damaged)
            assert runs.output("--qe-store", str(runs.store)) == before
        return
    if damage == "truncated":
        file.write_bytes(data[: len(data) // 2])
    elif damage == "emptied":
        file.write_bytes(b"")
    elif damage == "of another kind":
        file.write_bytes(b"not a database " * 999)
    else:
        file.unlink()
        file.mkdir()
    for _ in range(2):
        assert runs.output("--qe-store", str(runs.store)) == before


def test_a_read_only_cache_changes_nothing(runs: Kept) -> None:
    before = runs.check()
    (runs.store / FILE_NAME).chmod(0o400)
    runs.store.chmod(0o500)
    try:
        assert runs.output("--qe-store", str(runs.store)) == before
        edit(runs.suite)
        runs.check()
    finally:
        runs.store.chmod(0o700)


def command(path: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "pytest_qeattention", "similar", "tests", "--json", "-", *arguments]


def test_two_runs_at_once_say_the_same(runs: Kept) -> None:
    path = runs.suite.path
    alone = subprocess.run(command(path), cwd=path, capture_output=True, check=True).stdout
    both = [
        subprocess.Popen(command(path, "--qe-store", str(runs.store)), cwd=path, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    assert [process.communicate(timeout=60)[0] for process in both] == [alone, alone]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_run_that_is_killed_while_it_writes_costs_nothing_but_time(runs: Kept) -> None:
    path = runs.suite.path
    code = (
        "import os, signal, sqlite3, sys\n"
        "from pytest_qeattention import cache\n"
        "replace = cache.Cache._replace\n"
        "def killed(self, database, rows):\n"
        "    database.execute('BEGIN IMMEDIATE')\n"
        "    database.executemany('INSERT OR REPLACE INTO entries (key, used, size, data) VALUES (?, ?, ?, ?)', rows)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "cache.Cache._replace = killed\n"
        "from pytest_qeattention.cli import main\n"
        "main(['similar', 'tests', '--qe-store', sys.argv[1]])\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(runs.store)], cwd=path, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert (runs.store / FILE_NAME).exists()

    runs.check()
    assert runs.check()


def test_without_a_store_nothing_is_kept(runs: Kept) -> None:
    before = sorted(path for path in runs.suite.path.rglob("*"))
    runs.output()

    assert sorted(path for path in runs.suite.path.rglob("*")) == before


def test_the_flag_keeps_its_report_in_the_cache_of_pytest(
    pytester: pytest.Pytester, small_suite: SmallSuite, scanned: list[str]
) -> None:
    pytester.runpytest("--qe-similar", "--qe-json=none.json", "-p", "no:cacheprovider")
    assert not (small_suite.path / ".pytest_cache").exists()
    for name in ("cold.json", "warm.json"):
        scanned.clear()
        pytester.runpytest("--qe-similar", f"--qe-json={name}")
    assert scanned == []
    assert (small_suite.path / ".pytest_cache" / "d" / "qeattention" / FILE_NAME).is_file()
    texts = {(small_suite.path / name).read_bytes() for name in ("none.json", "cold.json", "warm.json")}
    assert len(texts) == 1

    small_suite.write("test_stock.py", "def test_adds_up():\n    assert 1 + 1 == 2\n")
    pytester.runpytest("--qe-similar", "--qe-json=edited.json")
    pytester.runpytest("--qe-similar", "--qe-json=without.json", "-p", "no:cacheprovider")
    assert (small_suite.path / "edited.json").read_bytes() == (small_suite.path / "without.json").read_bytes()
    pytester.runpytest("--qe-similar", "--qe-json=fewer.json", "-k", "adds or tea")
    assert small_suite.report("fewer.json")["similar"]["tests"] == 2


def test_a_warm_run_of_the_flag_imports_no_numpy(pytester: pytest.Pytester, small_suite: SmallSuite) -> None:
    small_suite.write(
        "conftest.py",
        "import sys\n\ndef pytest_unconfigure():\n    print('numpy' if 'numpy' in sys.modules else 'nothing')\n",
    )
    for expected in ("numpy", "nothing"):
        result = pytester.runpytest_subprocess("--qe-similar", "-q")
        assert result.outlines[-1] == expected


def test_a_warm_run_of_the_command_imports_no_numpy(small_suite: SmallSuite) -> None:
    code = (
        "import sys; from pytest_qeattention.cli import main\n"
        "main(['similar', '.', '-q', '--qe-store', 'store'])\n"
        "print('numpy' if 'numpy' in sys.modules else 'nothing')\n"
    )
    for expected in ("numpy", "nothing"):
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=small_suite.path, capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines()[-1] == expected


LEFT_OVER = """
import sys
import types

sys.modules["pytest_qeattention.similarity._describe"] = types.SimpleNamespace(INTERFACE=0)
"""
"""Stands for a compiled reader of another version."""


def test_a_warm_run_of_the_flag_names_a_reader_that_is_left_over(
    pytester: pytest.Pytester, small_suite: SmallSuite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("QE_BACKEND", raising=False)
    small_suite.write("conftest.py", f"{LEFT_OVER}\ndef pytest_unconfigure():\n    print('numpy' in sys.modules)\n")
    for computes in ("True", "False"):
        result = pytester.runpytest_subprocess("--qe-similar", "-q")
        assert result.outlines[-1] == computes
        result.stdout.fnmatch_lines(["qe-similar: the compiled reader of tests has interface 0, *; reinstall"])


def test_a_warm_run_of_the_command_names_a_reader_that_is_left_over(
    small_suite: SmallSuite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("QE_BACKEND", raising=False)
    code = (
        f"{LEFT_OVER}\nfrom pytest_qeattention.cli import main\n"
        "main(['similar', '.', '-q', '--qe-store', 'store'])\nprint('numpy' in sys.modules)\n"
    )
    for computes in ("True", "False"):
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=small_suite.path, capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines()[-1] == computes
        (notice,) = [line for line in done.stderr.splitlines() if "reader" in line]
        assert notice.startswith("qeattention: the compiled reader of tests has interface 0, ")

"""With pytest-xdist: roles, crashed workers, and the same report for any number of workers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import SmallSuite


def test_without_a_run_nothing_is_distributed(pytester: pytest.Pytester, small_suite: SmallSuite) -> None:
    result = pytester.runpytest_subprocess("--qe-similar", "-n2", "-v")

    assert result.ret == 0
    result.stdout.fnmatch_lines(
        ["qe-similar: *; without tests to run, pytest-xdist starts no workers", "duplicate  2 tests*"]
    )
    result.stdout.no_fnmatch_line("created: *workers*")
    result.stdout.no_fnmatch_line("* workers [[]*")


@pytest.mark.parametrize("run", [(), ("--qe-run",)])
def test_the_document_is_the_same_for_any_number_of_workers(
    pytester: pytest.Pytester, small_suite: SmallSuite, run: tuple[str, ...]
) -> None:
    small_suite.write(
        "test_odd.py", "exec('def test_without_source(): pass')\n\ndef test_with_source():\n    assert True\n"
    )
    texts = {}
    for workers in ("0", "1", "2", "3"):
        result = pytester.runpytest_subprocess(
            "--qe-similar", *run, "--qe-json=report.json", "--qe-neighbors=2", f"-n{workers}"
        )
        assert result.ret == 0
        texts[workers] = (small_suite.path / "report.json").read_bytes()

    assert len(set(texts.values())) == 1, texts
    assert small_suite.report()["similar"]["left_out"] == {"no source": 1}
    assert [problem["path"] for problem in small_suite.report()["similar"]["problems"]] == ["test_odd.py"]


@pytest.mark.parametrize("distribution", ["loadfile", "loadgroup", "each", "worksteal"])
def test_every_way_to_distribute(pytester: pytest.Pytester, small_suite: SmallSuite, distribution: str) -> None:
    pytester.runpytest_subprocess("--qe-similar", "--qe-run", "--qe-json=report.json", "-n2", f"--dist={distribution}")

    assert small_suite.report()["similar"]["tests"] == small_suite.units
    assert small_suite.groups()[small_suite.duplicates] == "duplicate"


def test_workers_neither_analyse_nor_write(
    pytester: pytest.Pytester, small_suite: SmallSuite, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_suite.write(
        "conftest.py",
        """
        import sys

        def pytest_unconfigure(config):
            role = getattr(config, "workerinput", {"workerid": "controller"})["workerid"]
            heavy = {"numpy", "pytest_qeattention.attention", "pytest_qeattention.store"} & set(sys.modules)
            with open(f"seen-{role}", "w") as file:
                file.write(" ".join(sorted(heavy)))
        """,
    )
    monkeypatch.setenv("QE_STORE", str(small_suite.path / "kept"))

    pytester.runpytest_subprocess("--qe-similar", "--qe-run", "--qe-json=report.json", "-n2")

    assert (small_suite.path / "seen-gw0").read_text() == ""
    assert (small_suite.path / "seen-gw1").read_text() == ""
    assert "numpy" in (small_suite.path / "seen-controller").read_text()


def test_of_a_crashed_worker_the_others_lists_serve(pytester: pytest.Pytester, small_suite: SmallSuite) -> None:
    small_suite.write("test_crash.py", "import os\n\ndef test_crash():\n    os._exit(1)\n")

    plain = pytester.runpytest_subprocess("-n2")
    result = pytester.runpytest_subprocess("--qe-similar", "--qe-run", "--qe-json=report.json", "-n2")

    assert result.ret == plain.ret == pytest.ExitCode.TESTS_FAILED
    assert small_suite.report()["similar"]["tests"] == small_suite.units + 1
    assert len(small_suite.groups()) == 2


def test_when_all_workers_crash_there_is_a_warning_and_no_report(
    pytester: pytest.Pytester, small_suite: SmallSuite
) -> None:
    small_suite.write("conftest.py", "import os\n\ndef pytest_runtest_setup():\n    os._exit(1)\n")

    plain = pytester.runpytest_subprocess("-n1", "--max-worker-restart=0")
    result = pytester.runpytest_subprocess(
        "--qe-similar", "--qe-run", "--qe-json=report.json", "-n1", "--max-worker-restart=0"
    )

    assert result.ret == plain.ret
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*QEWarning: qe-similar: no worker handed over its tests*"])
    assert not (small_suite.path / "report.json").exists()


def test_a_failure_on_the_workers_is_told_once(pytester: pytest.Pytester, small_suite: SmallSuite) -> None:
    small_suite.write(
        "conftest.py",
        """
        import os
        import pytest_qeattention.xdist

        def broken(items, imports):
            raise RuntimeError("cannot collect")

        if "PYTEST_XDIST_WORKER" in os.environ:
            pytest_qeattention.xdist.collect = broken
        """,
    )

    result = pytester.runpytest_subprocess("--qe-similar", "--qe-run", "-n2")

    assert result.ret == 0
    result.assert_outcomes(passed=small_suite.items, warnings=1)
    result.stdout.fnmatch_lines(["*QEWarning: qe-similar: failed with WorkerError: RuntimeError: cannot collect*"])


def test_collection_errors_on_workers_keep_the_exit_code(pytester: pytest.Pytester, small_suite: SmallSuite) -> None:
    small_suite.write("test_broken.py", "import there_is_no_such_module\n")

    plain = pytester.runpytest_subprocess("-n2")
    result = pytester.runpytest_subprocess("--qe-similar", "--qe-run", "--qe-json=report.json", "-n2")

    assert result.ret == plain.ret != 0


def test_a_workload_of_the_root_conftest_serves_on_the_controller(pytester: pytest.Pytester, examples: Path) -> None:
    pytester.copy_example(os.path.join(examples, "custom_workload"))

    result = pytester.runpytest_subprocess("--qe-similar", "--qe-run", "-n2")

    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["qe-similar [[]shared-strings[]]: 4 tests, 1 group covering 2 tests"])


def test_without_xdist_installed_or_switched_on(pytester: pytest.Pytester, small_suite: SmallSuite) -> None:
    result = pytester.runpytest_subprocess("--qe-similar", "--qe-run", "-p", "no:xdist")

    result.assert_outcomes(passed=small_suite.items)
    result.stdout.fnmatch_lines(["qe-similar: 7 tests, 2 groups *"])

"""What a run pays that did not ask for anything: nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("numpy", "hnswlib", "pytest_qeattention.attention", "pytest_qeattention.session", "sqlite3")

REPORT_IMPORTS = f"""
import sys

def pytest_unconfigure(config):
    heavy = [name for name in sys.modules if name.startswith({HEAVY!r})]
    ours = [type(plugin).__module__ for plugin in config.pluginmanager.get_plugins()]
    registered = sum(module.startswith("pytest_qeattention") for module in ours)
    print("\\nHEAVY", sorted(heavy), "REGISTERED", registered)
"""


def files_below(path: Path) -> set[str]:
    # runpytest-N is pytester's own, one more for every run.
    return {
        file.relative_to(path).as_posix()
        for file in path.rglob("*")
        if "__pycache__" not in file.parts and not file.name.startswith("runpytest-")
    }


def test_off_imports_nothing_heavy_and_registers_nothing(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(REPORT_IMPORTS)
    pytester.makepyfile("def test_x(): pass")

    result = pytester.runpytest_subprocess()

    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["HEAVY [[][]] REGISTERED 0"])


def test_settings_in_ini_and_environment_cost_nothing_either(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QE_THREADS", "no number")
    monkeypatch.setenv("QE_STORE", str(pytester.path / "store"))
    pytester.makeini("[pytest]\nqe_threads = 2\nqe_store = kept\nqe_workloads = one\n")
    pytester.makeconftest(REPORT_IMPORTS)
    pytester.makepyfile("def test_x(): pass")

    result = pytester.runpytest_subprocess()

    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["HEAVY [[][]] REGISTERED 0"])
    assert not [name for name in files_below(pytester.path) if name.startswith(("store", "kept"))]


def test_on_the_same_probe_sees_what_is_imported(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(REPORT_IMPORTS)
    pytester.makepyfile("def test_x(): pass")

    result = pytester.runpytest_subprocess("--qe-similar")

    result.stdout.fnmatch_lines(["HEAVY *'numpy'* REGISTERED 1"])


def test_off_says_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_x(): pass")

    result = pytester.runpytest_subprocess("-v")

    result.stdout.no_fnmatch_line("*qe-*")
    result.stdout.no_fnmatch_line("*similar*")


def test_off_writes_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_x(): pass")

    pytester.runpytest_subprocess("-p", "no:qeattention").assert_outcomes(passed=1)
    without = files_below(pytester.path)
    pytester.runpytest_subprocess().assert_outcomes(passed=1)

    assert files_below(pytester.path) == without


def test_switched_off_the_plugin_has_no_flags(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_x(): pass")

    pytester.runpytest_subprocess("-p", "no:qeattention").assert_outcomes(passed=1)
    result = pytester.runpytest_subprocess("-p", "no:qeattention", "--qe-similar")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*unrecognized arguments: --qe-similar*"])


def test_the_plugin_is_loaded_through_its_entry_point(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_subprocess("--trace-config", "--collect-only")

    result.stdout.fnmatch_lines(["*qeattention *: *pytest_qeattention*plugin.py*"])


def test_the_flags_are_in_the_help(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_subprocess("--help")

    assert result.ret == 0
    result.stdout.fnmatch_lines(["*--qe-similar*", "*--qe-json=PATH*", "*qe_threads*"])


def test_importing_the_plugin_takes_the_standard_library_and_pytest() -> None:
    code = (
        "import sys, pytest; before = set(sys.modules)\n"
        "import pytest_qeattention.plugin\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(new - set(sys.stdlib_module_names)))"
    )

    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert output.strip() == "['pytest_qeattention']"


def test_importing_the_package_loads_none_of_its_modules() -> None:
    code = (
        "import sys, pytest_qeattention\n"
        "loaded = ('pytest_qeattention.', 'numpy', 'pytest.')\n"
        "print([name for name in sys.modules if name.startswith(loaded)])"
    )

    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert output.strip() == "[]"


def test_the_command_line_says_its_version_without_numpy() -> None:
    code = (
        "import sys; from pytest_qeattention.cli import main\n"
        "try: main(['--version'])\n"
        "except SystemExit as end: print(end.code, 'numpy' in sys.modules, 'pytest' in sys.modules)"
    )

    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert output.splitlines()[1] == "0 False False"
    assert output.startswith("pytest-qeattention ")


@pytest.mark.skipif(not hasattr(os, "register_at_fork"), reason="needs fork")
def test_off_no_thread_is_started(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("import threading\ndef test_x(): assert threading.active_count() == 1")

    pytester.runpytest_subprocess().assert_outcomes(passed=1)

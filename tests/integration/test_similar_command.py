"""``qeattention similar``: the static command."""

from __future__ import annotations

import fnmatch
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_qeattention.cli import main

if TYPE_CHECKING:
    from conftest import SmallSuite


def run(*arguments: str, cwd: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest_qeattention", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        **options,
    )


def test_groups_are_reported(small_suite: SmallSuite) -> None:
    done = run("similar", ".", cwd=small_suite.path)

    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert "duplicate  2 tests  score 1.00" in lines
    assert "  test_stock.py:4  test_adds_up" in lines
    assert lines[-1] == "qe-similar: 7 tests, 2 groups (1 duplicate, 1 parametrize) covering 5 tests"


def test_the_static_document_is_that_of_the_live_run(pytester: pytest.Pytester, small_suite: SmallSuite) -> None:
    pytester.runpytest("--qe-similar", "--qe-json=live.json", "--qe-neighbors=3")

    assert main(["similar", ".", "--json", "static.json", "--neighbors", "3"]) == 0

    assert small_suite.report("static.json")["similar"] == small_suite.report("live.json")["similar"]


def test_nothing_of_the_project_is_imported(small_suite: SmallSuite) -> None:
    small_suite.write("conftest.py", "raise SystemExit('conftest was imported')\n")
    small_suite.write("test_loud.py", "raise SystemExit('was imported')\n\ndef test_loud():\n    pass\n")

    done = run("similar", ".", "--json", "-", cwd=small_suite.path)

    assert done.returncode == 0
    assert json.loads(done.stdout)["similar"]["tests"] == small_suite.units + 1
    assert not list(small_suite.path.rglob("__pycache__"))


def test_json_on_standard_output_is_alone_there(small_suite: SmallSuite) -> None:
    done = run("similar", ".", "--json", "-", "-v", cwd=small_suite.path)

    assert json.loads(done.stdout)["schema"] == "qeattention/1"


@pytest.mark.parametrize("arguments", [(), ("-q",), ("--json", "-"), ("--json", "report.json")], ids=" ".join)
def test_numpy_serving_for_want_of_a_core_is_said(small_suite: SmallSuite, arguments: tuple[str, ...]) -> None:
    code = (
        "import sys; sys.modules['pytest_qeattention.attention._core'] = None; "
        "from pytest_qeattention.cli import main; sys.exit(main(sys.argv[1:]))"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, "similar", ".", *arguments],
        cwd=small_suite.path,
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stderr.count("NumPy serves instead") == 1
    assert "NumPy serves instead" not in done.stdout


def test_the_command_of_the_installation_is_the_same(small_suite: SmallSuite) -> None:
    script = Path(sys.executable).with_name("qeattention" + (".exe" if os.name == "nt" else ""))
    if not script.exists():
        pytest.skip("the scripts of this installation are elsewhere")

    done = subprocess.run([script, "similar", "."], cwd=small_suite.path, capture_output=True, text=True, check=True)

    assert done.stdout == run("similar", ".", cwd=small_suite.path).stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["similar", "nowhere"], "nowhere"),
        (["similar", ""], "PATH is empty, so nothing was analysed"),
        (["similar", "test_stock.py", ""], "PATH is empty, so nothing was analysed"),
        (["similar"], "the following arguments are required: PATH"),
        (["similar", ".", "--threads", "0"], "--threads is '0', not a whole number from 1 to 1024"),
        (["similar", ".", "--neighbors", "x"], "--neighbors is 'x', not a whole number"),
        (["similar", ".", "-k", "3"], "--rank is not given"),
        (["similar", ".", "--rank", "x", "-k", "0"], "-k is '0', not a whole number from 1"),
        (["similar", ".", "--rank", "x", "--neighbors", "3"], "ask one at a time"),
        (["similar", ".", "--json", "missing/x.json"], "its directory does not exist"),
        (["similar", ".", "--json", "."], "names no file"),
        (["similar", ".", "--qe-store", "test_stock.py"], "--qe-store=test_stock.py is not a directory"),
        (["similar", ".", "-q", "-v"], "not allowed with argument"),
        (["nonsense"], "invalid choice: 'nonsense'"),
        ([], "required: COMMAND"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_usage_errors_end_with_exit_code_4(small_suite: SmallSuite, arguments: list[str], message: str) -> None:
    done = run(*arguments, cwd=small_suite.path)

    assert done.returncode == 4
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_wrong_environment_is_a_usage_error(small_suite: SmallSuite) -> None:
    done = run("similar", ".", cwd=small_suite.path, env={**os.environ, "QE_THREADS": "many"})

    assert done.returncode == 4
    assert "QE_THREADS is 'many'" in done.stderr


def test_a_backend_that_does_not_exist_is_a_usage_error(small_suite: SmallSuite) -> None:
    done = run("similar", ".", cwd=small_suite.path, env={**os.environ, "QE_BACKEND": "no such backend"})

    assert done.returncode == 4
    assert "QE_BACKEND is 'no such backend'" in done.stderr
    assert "Traceback" not in done.stderr


def test_verbosity(small_suite: SmallSuite) -> None:
    quiet = run("similar", ".", "-q", cwd=small_suite.path)
    verbose = run("similar", ".", "-v", cwd=small_suite.path)

    assert quiet.stdout == "qe-similar: 7 tests, 2 groups (1 duplicate, 1 parametrize) covering 5 tests\n"
    assert "  id " in verbose.stdout


def test_neighbours(small_suite: SmallSuite) -> None:
    done = run("similar", ".", "--neighbors", "1", "--json", "-", cwd=small_suite.path)

    neighbors = json.loads(done.stdout)["similar"]["neighbors"]
    nearest = {entry["nodeid"]: [near["nodeid"] for near in entry["nearest"]] for entry in neighbors}
    assert nearest["test_stock.py::test_adds_up"] == ["test_stock.py::test_sums_up"]
    assert len(nearest) == small_suite.units


def test_rank(small_suite: SmallSuite) -> None:
    done = run(
        "similar",
        ".",
        "--rank",
        "test_stock.py::test_adds_up",
        "-k",
        "2",
        "--json",
        "-",
        cwd=small_suite.path,
    )

    similar = json.loads(done.stdout)["similar"]
    assert "groups" not in similar
    ranked = similar["ranked"]
    assert ranked["query"] == "test_stock.py::test_adds_up"
    assert ranked["results"][0]["nodeid"] == "test_stock.py::test_sums_up"
    assert len(ranked["results"]) == 2


@pytest.mark.parametrize(
    ("query", "stdin", "best"),
    [
        ("word shouted upper milk", None, "test_words.py::TestUpper::test_milk"),
        ("-", "+++ b/x.py\n+    stock['tea'] += 3\n+    assert stock == {'tea': 5, 'cups': 1}\n", "test_stock.py::*"),
        ("shop.py::restock", None, "test_stock.py::*"),
        ("shop.py", None, "test_stock.py::*"),
    ],
    ids=["words", "diff", "function", "file"],
)
def test_rank_by_anything(small_suite: SmallSuite, query: str, stdin: str | None, best: str) -> None:
    small_suite.write("shop.py", "def restock(stock, tea):\n    stock['tea'] += tea\n    return stock\n")

    done = run("similar", ".", "--rank", query, "-k", "3", "--json", "-", cwd=small_suite.path, input=stdin)

    assert done.returncode == 0, done.stderr
    ranked = json.loads(done.stdout)["similar"]["ranked"]
    assert ranked["query"] == ("diff on standard input" if query == "-" else query)
    results = ranked["results"]
    assert fnmatch.fnmatch(results[0]["nodeid"], best)
    assert [result["score"] for result in results] == sorted((r["score"] for r in results), reverse=True)


def test_of_a_diff_the_function_that_it_changes_is_asked_for(small_suite: SmallSuite) -> None:
    small_suite.write("shop.py", "def upper(text):\n    shift = 0\n    return text\n")
    diff = "--- a/shop.py\n+++ b/shop.py\n@@ -2 +2 @@\n-    shift = 1\n+    shift = 0\n"

    done = run("similar", ".", "--rank", "-", "-k", "1", cwd=small_suite.path, input=diff)

    assert done.stdout.startswith("nearest to diff on standard input\n")
    assert "shares upper" in done.stdout


def test_rank_by_a_function_that_does_not_exist(small_suite: SmallSuite) -> None:
    done = run("similar", ".", "--rank", "test_stock.py::test_nothing", cwd=small_suite.path)

    assert done.returncode == 4
    assert "test_nothing" in done.stderr


def test_a_ranking_is_written_as_lines(small_suite: SmallSuite) -> None:
    done = run("similar", ".", "--rank", "test_stock.py::test_adds_up", "-k", "1", cwd=small_suite.path)

    lines = done.stdout.splitlines()
    assert lines[0] == "nearest to test_stock.py::test_adds_up"
    assert lines[1].endswith("  test_stock.py:10  test_sums_up")
    assert lines[-1] == "qe-similar: 7 tests"


def test_the_output_is_the_same_for_any_hash_seed_and_thread_count(small_suite: SmallSuite) -> None:
    outputs = {
        run(
            "similar",
            ".",
            "-v",
            "--neighbors",
            "3",
            "--threads",
            threads,
            cwd=small_suite.path,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed, threads in (("0", "1"), ("1", "2"), ("99", "1"))
    }

    assert len(outputs) == 1
    assert "qe-similar: 7 tests" in outputs.pop()


def test_broken_files_are_reported_once_and_the_rest_goes_on(small_suite: SmallSuite) -> None:
    small_suite.write("test_broken.py", "def test_x(: pass\n")
    (small_suite.path / "test_bytes.py").write_bytes(b"def test_x():\n    assert '\xff\xfe'\n")
    small_suite.write("test_empty.py", "")
    (small_suite.path / "test_null.py").write_bytes(b"def test_x():\n    pass\n\0")
    small_suite.write("test_deep.py", "def test_deep():\n    assert " + "(" * 1000 + "1" + ")" * 1000 + "\n")

    done = run("similar", ".", "--json", "-", cwd=small_suite.path)

    assert done.returncode == 0
    similar = json.loads(done.stdout)["similar"]
    paths = [problem["path"] for problem in similar["problems"]]
    assert len(paths) == len(set(paths))
    assert {"test_broken.py", "test_bytes.py", "test_null.py"} <= set(paths)
    assert len(similar["groups"]) == 2
    assert similar["tests"] >= small_suite.units


def test_a_reader_that_leaves_early_is_no_error(small_suite: SmallSuite) -> None:
    for arguments in (["similar", ".", "-v"], ["similar", ".", "--json", "-"], ["info"]):
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest_qeattention", *arguments],
            cwd=small_suite.path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        errors = process.stderr.read()
        process.stderr.close()

        assert process.wait() == 0
        assert "Traceback" not in errors
        assert "BrokenPipe" not in errors


def test_an_encoding_that_cannot_show_a_name_is_no_error(small_suite: SmallSuite) -> None:
    small_suite.write(
        "test_tee.py",
        "def test_tée():\n    assert 'thé' == 'thé'\n\n\ndef test_été():\n    assert 'thé' == 'thé'\n",
    )

    done = run("similar", ".", cwd=small_suite.path, env={**os.environ, "PYTHONIOENCODING": "ascii"})

    assert done.returncode == 0
    assert r"test_t\xe9e" in done.stdout


def test_no_progress_is_shown_where_there_is_no_terminal(small_suite: SmallSuite) -> None:
    done = run("similar", ".", cwd=small_suite.path, env={**os.environ, "QE_BACKEND": "numpy"})

    assert done.stderr == ""
    assert "\r" not in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_progress_is_shown_on_a_terminal(small_suite: SmallSuite) -> None:
    import pty

    ours, theirs = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "pytest_qeattention", "similar", "."],
        cwd=small_suite.path,
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
        env={**os.environ, "QE_BACKEND": "numpy"},
        check=True,
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:
            break
        if not part:
            break
        shown += part
    os.close(ours)

    assert b"\r" in shown
    assert shown.endswith(b"\r")
    assert "\r" not in done.stdout


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    import pytest_qeattention

    with pytest.raises(SystemExit) as end:
        main(["--version"])

    assert end.value.code == 0
    assert capsys.readouterr().out == f"pytest-qeattention {pytest_qeattention.__version__}\n"

"""``pytest --qe-similar``: what it reports, what it leaves alone."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import SmallSuite


def test_groups_are_reported_and_no_test_runs(pytester: pytest.Pytester, small_suite: SmallSuite) -> None:
    small_suite.write("test_loud.py", "def test_loud():\n    raise SystemExit('was run')\n")

    result = pytester.runpytest("--qe-similar")

    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(
        [
            "qe-similar: tests are collected and compared, none is run (--qe-run runs them too)",
            "*= similar tests =*",
            "qe-similar: 8 tests, 2 groups (1 duplicate, 1 parametrize) covering 5 tests",
            "*no tests ran in*",
        ]
    )
    result.stdout.no_fnmatch_line("*was run*")
    result.stdout.fnmatch_lines(
        [
            "duplicate  2 tests  score 1.00",
            "  test_stock.py:4  test_adds_up",
            "  test_stock.py:10  test_sums_up",
            "    ?*",
        ]
    )
    result.stdout.fnmatch_lines(
        [
            "parametrize  3 tests  score *",
            "  test_words.py:2  TestUpper::test_tea",
            "  test_words.py:7  TestUpper::test_cup",
            "  test_words.py:12  TestUpper::test_milk",
            "    ?*",
        ]
    )


def test_the_json_document_has_all_of_it(pytester: pytest.Pytester, small_suite: SmallSuite) -> None:
    result = pytester.runpytest("--qe-similar", "--qe-json=report.json")

    assert result.ret == 0
    document = small_suite.report()
    assert document["schema"] == "qeattention/1"
    assert document["backend"]["numpy"]["version"]
    assert document["similar"]["tests"] == small_suite.units
    assert document["similar"]["problems"] == []
    assert document["similar"]["left_out"] == {}
    assert "neighbors" not in document["similar"]
    assert small_suite.groups() == {
        small_suite.duplicates: "duplicate",
        small_suite.foldable: "parametrize",
    }


def test_neighbours_are_added_on_demand(pytester: pytest.Pytester, small_suite: SmallSuite) -> None:
    pytester.runpytest("--qe-similar", "--qe-json=report.json", "--qe-neighbors=2")

    neighbors = small_suite.report()["similar"]["neighbors"]
    assert len(neighbors) == small_suite.units
    first = neighbors[0]
    assert first["nodeid"] == "test_stock.py::test_adds_up"
    assert first["nearest"][0]["nodeid"] == "test_stock.py::test_sums_up"
    assert len(first["nearest"]) <= 2
    scores = [near["score"] for near in first["nearest"]]
    assert scores == sorted(scores, reverse=True)


def test_with_run_the_tests_run_and_the_report_joins_the_summary(
    pytester: pytest.Pytester, small_suite: SmallSuite
) -> None:
    small_suite.write("test_red.py", "def test_red():\n    assert 1 == 2\n")

    result = pytester.runpytest("--qe-similar", "--qe-run", "--qe-json=report.json")

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=small_suite.items, failed=1)
    result.stdout.fnmatch_lines(["*= FAILURES =*", "*= similar tests =*", "duplicate  2 tests*"])
    assert small_suite.report()["similar"]["tests"] == small_suite.units + 1
    result.stdout.no_fnmatch_line("*none is run*")


def test_quiet_leaves_the_summary_line(pytester: pytest.Pytester, small_suite: SmallSuite) -> None:
    result = pytester.runpytest("--qe-similar", "-q")

    result.stdout.fnmatch_lines(["qe-similar: 7 tests, 2 groups (1 duplicate, 1 parametrize) covering 5 tests"])
    result.stdout.no_fnmatch_line("*test_adds_up*")
    result.stdout.no_fnmatch_line("*similar tests =*")


def test_colours_are_those_of_pytest(pytester: pytest.Pytester, small_suite: SmallSuite) -> None:
    coloured = pytester.runpytest_subprocess("--qe-similar", "--color=yes").stdout.str()
    plain = pytester.runpytest_subprocess("--qe-similar", "--color=no").stdout.str()

    assert "\x1b[1m\x1b[33mduplicate\x1b[0m" in coloured or "\x1b[33m\x1b[1mduplicate\x1b[0m" in coloured
    assert "\x1b" not in plain


def test_only_the_tests_that_were_selected_are_compared(pytester: pytest.Pytester, small_suite: SmallSuite) -> None:
    pytester.runpytest("--qe-similar", "--qe-json=report.json", "-k", "TestUpper")

    assert small_suite.report()["similar"]["tests"] == 3


def test_json_to_standard_output_without_a_terminal_is_only_json(
    pytester: pytest.Pytester, small_suite: SmallSuite
) -> None:
    result = pytester.runpytest_subprocess("--qe-similar", "--qe-json=-", "-p", "no:terminal")

    assert result.ret == 0
    assert json.loads(result.stdout.str())["similar"]["tests"] == small_suite.units


def test_a_collection_error_keeps_pytests_exit_code_and_the_report_is_given(
    pytester: pytest.Pytester, small_suite: SmallSuite
) -> None:
    small_suite.write("test_broken.py", "import there_is_no_such_module\n\ndef test_x(): pass\n")

    plain = pytester.runpytest()
    result = pytester.runpytest("--qe-similar", "--qe-json=report.json")

    assert result.ret == plain.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*ERROR collecting test_broken.py*", "*= similar tests =*", "duplicate  2 tests*"])
    assert small_suite.report()["similar"]["tests"] == small_suite.units


def test_collection_errors_that_are_to_be_passed_over(pytester: pytest.Pytester, small_suite: SmallSuite) -> None:
    small_suite.write("test_broken.py", "def test_x(: pass\n")

    result = pytester.runpytest("--qe-similar", "--qe-json=report.json", "--continue-on-collection-errors")

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert small_suite.report()["similar"]["tests"] == small_suite.units


def test_a_collection_error_with_exitfirst(pytester: pytest.Pytester, small_suite: SmallSuite) -> None:
    small_suite.write("test_zzz.py", "import there_is_no_such_module\n")

    plain = pytester.runpytest("-x")
    result = pytester.runpytest("--qe-similar", "--qe-json=report.json", "-x")

    assert result.ret == plain.ret != 0
    assert small_suite.report()["similar"]["tests"] == small_suite.units


def test_no_tests_is_no_error_of_ours(pytester: pytest.Pytester, small_suite: SmallSuite) -> None:
    result = pytester.runpytest("--qe-similar", "--qe-json=report.json", "-k", "nothing_has_this_name")

    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    result.stdout.fnmatch_lines(["qe-similar: no tests, no groups"])
    assert small_suite.report()["similar"] == {
        "tests": 0,
        "groups": [],
        "search": "exact",
        "left_out": {},
        "problems": [],
    }


def test_a_path_that_does_not_exist_is_pytests_usage_error(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest("--qe-similar", "--qe-json=report.json", "nowhere")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert not (pytester.path / "report.json").exists()
    result.stdout.no_fnmatch_line("*qe-similar: no tests*")


def test_items_without_python_source_are_counted_and_left_out(
    pytester: pytest.Pytester, small_suite: SmallSuite
) -> None:
    small_suite.write(
        "conftest.py",
        """
        import pytest

        class Item(pytest.Item):
            def runtest(self): pass

        class File(pytest.File):
            def collect(self):
                yield Item.from_parent(self, name="row")

        def pytest_collect_file(parent, file_path):
            if file_path.suffix == ".yaml":
                return File.from_parent(parent, path=file_path)
        """,
    )
    small_suite.write("test_rows.yaml", "a: 1\n")
    small_suite.write(
        "test_odd.py",
        '''
        exec("def test_without_source(): pass")

        def documented():
            """
            >>> 1 + 1
            2
            """
        ''',
    )

    result = pytester.runpytest("--qe-similar", "--qe-json=report.json", "--doctest-modules")

    assert result.ret == 0
    similar = small_suite.report()["similar"]
    assert similar["left_out"] == {"doctest": 1, "no source": 1, "not python": 1}
    assert similar["tests"] == small_suite.units
    assert similar["problems"] == [
        {
            "path": "test_odd.py",
            "line": None,
            "message": "1 test has no Python source to read (test_without_source): left out",
        }
    ]
    result.stdout.fnmatch_lines(["left out: 1 doctest, 1 no source, 1 not python"])


def test_a_source_that_was_broken_since_collection_is_reported_once(
    pytester: pytest.Pytester, small_suite: SmallSuite
) -> None:
    file = small_suite.write("test_gone.py", "def test_gone_1(): pass\n\ndef test_gone_2(): pass\n")
    small_suite.write(
        "conftest.py",
        f"""
        import pathlib

        def pytest_collection_finish(session):
            pathlib.Path({str(file)!r}).write_text("def (broken\\n")
        """,
    )

    result = pytester.runpytest_subprocess("--qe-similar", "--qe-json=report.json")

    assert result.ret == 0
    similar = small_suite.report()["similar"]
    assert similar["tests"] == small_suite.units
    assert [problem["path"] for problem in similar["problems"]] == ["test_gone.py"]
    assert result.stdout.str().count("  test_gone.py") == 1
    result.stdout.fnmatch_lines(["qe-similar: 7 tests, 2 groups * covering 5 tests; 1 problem"])


@pytest.mark.parametrize("arguments", [(), ("--qe-run", "-n2")], ids=["single", "workers"])
def test_a_body_that_changed_since_collection_is_not_compared(
    pytester: pytest.Pytester, small_suite: SmallSuite, arguments: tuple[str, ...]
) -> None:
    old = "def test_adds_up():\n    stock = {}\n    stock['tea'] = 3\n    assert stock == {'tea': 3}\n"
    file = small_suite.write("test_edited.py", old)
    small_suite.write(
        "conftest.py",
        f"""
        import os, pathlib

        def pytest_collection_modifyitems():
            # Replaced whole, because another worker may be importing it.
            new = pathlib.Path(f"new-{{os.getpid()}}")
            new.write_text({old.replace("3", "4")!r})
            os.replace(new, {str(file)!r})
        """,
    )

    result = pytester.runpytest_subprocess("--qe-similar", "--qe-json=report.json", *arguments)

    assert result.ret == 0
    similar = small_suite.report()["similar"]
    assert similar["tests"] == small_suite.units
    (problem,) = similar["problems"]
    assert problem["path"] == "test_edited.py"
    assert "has changed since pytest imported it: 1 test left out (test_adds_up)" in problem["message"]


def test_a_helper_that_changed_after_collection_is_not_compared(
    pytester: pytest.Pytester, small_suite: SmallSuite
) -> None:
    old = "class Base:\n    def test_inherited(self):\n        assert self.value > 0\n"
    file = small_suite.write("base.py", old)
    small_suite.write("test_derived.py", "from base import Base\n\n\nclass TestOne(Base):\n    value = 1\n")
    small_suite.write(
        "conftest.py",
        f"""
        import pathlib

        def pytest_runtest_setup():
            pathlib.Path({str(file)!r}).write_text({old.replace("0", "9")!r})
        """,
    )

    pytester.runpytest_subprocess("--qe-similar", "--qe-run", "--qe-json=report.json")

    similar = small_suite.report()["similar"]
    assert similar["tests"] == small_suite.units
    assert [problem["path"] for problem in similar["problems"]] == ["base.py"]


def test_a_source_deleted_during_collection_is_named(pytester: pytest.Pytester, small_suite: SmallSuite) -> None:
    file = small_suite.write("test_gone.py", "def test_gone_1(): pass\n\ndef test_gone_2(): pass\n")
    small_suite.write(
        "conftest.py", f"def pytest_collection_modifyitems():\n    __import__('os').unlink({str(file)!r})\n"
    )

    result = pytester.runpytest_subprocess("--qe-similar", "--qe-json=report.json")

    assert result.ret == 0
    similar = small_suite.report()["similar"]
    assert similar["tests"] == small_suite.units
    assert similar["left_out"] == {"no source": 2}
    assert [(problem["path"], problem["message"]) for problem in similar["problems"]] == [
        ("test_gone.py", "2 tests have no Python source to read (test_gone_1, test_gone_2): left out")
    ]


def test_a_source_that_vanished_is_reported_and_the_rest_goes_on(
    pytester: pytest.Pytester, small_suite: SmallSuite
) -> None:
    file = small_suite.write("test_gone.py", "def test_gone(): pass\n")
    small_suite.write("conftest.py", f"def pytest_runtestloop():\n    __import__('os').unlink({str(file)!r})\n")

    result = pytester.runpytest_subprocess("--qe-similar", "--qe-json=report.json", "--qe-run")

    assert small_suite.report()["similar"]["tests"] == small_suite.units
    assert [problem["path"] for problem in small_suite.report()["similar"]["problems"]] == ["test_gone.py"]
    result.stdout.fnmatch_lines(["*test_gone.py: *"])


def test_parametrised_and_inherited_tests_are_one_each(pytester: pytest.Pytester, small_suite: SmallSuite) -> None:
    small_suite.write("base.py", "class Base:\n    def test_inherited(self):\n        assert self.value > 0\n")
    small_suite.write(
        "test_derived.py",
        """
        from base import Base

        class TestOne(Base):
            value = 1

        class TestTwo(Base):
            value = 2
        """,
    )

    pytester.runpytest("--qe-similar", "--qe-json=report.json", "--qe-neighbors=1")

    nodeids = [entry["nodeid"] for entry in small_suite.report()["similar"]["neighbors"]]
    assert nodeids.count("base.py::Base::test_inherited") == 1
    assert not [nodeid for nodeid in nodeids if "test_derived" in nodeid]
    assert nodeids.count("test_stock.py::test_parametrized") == 1


def test_paths_are_relative_to_the_rootdir_from_anywhere(
    pytester: pytest.Pytester, small_suite: SmallSuite, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makeini("[pytest]\n")
    pytester.runpytest("--qe-similar", "--qe-json=report.json")
    below = small_suite.path / "below"
    below.mkdir()
    monkeypatch.chdir(below)

    pytester.runpytest("--qe-similar", "--qe-json=report.json", "..")

    assert small_suite.report("below/report.json") == small_suite.report()


def test_a_failure_of_ours_costs_one_warning_and_nothing_else(
    pytester: pytest.Pytester, small_suite: SmallSuite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QE_BACKEND", "no such backend")

    result = pytester.runpytest_subprocess("--qe-similar", "--qe-run", "--qe-json=report.json")

    assert result.ret == pytest.ExitCode.OK
    result.assert_outcomes(passed=small_suite.items, warnings=1)
    result.stdout.fnmatch_lines(["*QEWarning: qe-similar: QE_BACKEND is 'no such backend'*"])
    assert small_suite.report()["similar"] is None


def test_an_error_of_ours_costs_one_warning_and_nothing_else(
    pytester: pytest.Pytester, small_suite: SmallSuite
) -> None:
    small_suite.write(
        "conftest.py",
        """
        from pytest_qeattention.similarity import service

        def broken(*arguments, **options):
            raise RuntimeError("broken inside")

        service.suite_from_located = broken
        """,
    )

    result = pytester.runpytest_subprocess("--qe-similar", "--qe-run")

    assert result.ret == pytest.ExitCode.OK
    result.assert_outcomes(passed=small_suite.items, warnings=1)
    result.stdout.fnmatch_lines(["*QEWarning: qe-similar: failed with RuntimeError: broken inside (conftest.py:4); *"])


def test_what_is_kept_is_kept_where_the_user_says(pytester: pytest.Pytester, small_suite: SmallSuite) -> None:
    pytester.runpytest("--qe-similar", "-p", "no:cacheprovider")
    assert not (pytester.path / ".pytest_cache").exists()

    pytester.runpytest("--qe-similar", "--qe-store=kept")
    assert (pytester.path / "kept").is_dir()
    assert not (pytester.path / ".pytest_cache" / "d").exists()


def test_a_failure_of_ours_under_warnings_as_errors(
    pytester: pytest.Pytester, small_suite: SmallSuite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QE_BACKEND", "no such backend")

    result = pytester.runpytest_subprocess("--qe-similar", "--qe-run", "-W", "error")

    assert result.ret == pytest.ExitCode.OK
    result.assert_outcomes(passed=small_suite.items)
    result.stdout.fnmatch_lines(["qe-similar: QE_BACKEND is 'no such backend'*"])


def test_numpy_serving_for_want_of_a_core_is_said_once(
    pytester: pytest.Pytester, small_suite: SmallSuite, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_suite.write("conftest.py", "import sys\nsys.modules['pytest_qeattention.attention._core'] = None\n")

    result = pytester.runpytest_subprocess("--qe-similar", "--qe-json=report.json")

    assert result.stdout.str().count("NumPy serves instead") == 1
    assert small_suite.report()["backend"]["backend"] == "numpy"
    assert len(small_suite.groups()) == 2

    quiet = pytester.runpytest_subprocess("--qe-similar", "-q")
    assert quiet.stdout.str().count("NumPy serves instead") == 1

    monkeypatch.setenv("QE_BACKEND", "numpy")
    pytester.runpytest_subprocess("--qe-similar").stdout.no_fnmatch_line("*NumPy serves instead*")


def test_a_json_file_that_cannot_be_written_is_a_warning(pytester: pytest.Pytester, small_suite: SmallSuite) -> None:
    small_suite.write("conftest.py", "def pytest_collection_finish():\n    __import__('os').mkdir('report.json')\n")

    result = pytester.runpytest("--qe-similar", "--qe-json=report.json")

    assert result.ret == 0
    result.stdout.fnmatch_lines(["*QEWarning: qe-similar: cannot write *report.json*"])
    result.stdout.fnmatch_lines(["duplicate  2 tests*"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--qe-threads=0"], "*--qe-threads is '0'*"),
        (["--qe-json=missing/x.json"], "*directory *missing does not exist*"),
        (["--qe-neighbors=-1"], "*--qe-neighbors is '-1'*"),
        (
            ["--qe-workload=nonsense"],
            "*there is no analysis named 'nonsense', so it cannot be run; choose from test-similarity*",
        ),
    ],
)
def test_usage_errors_end_with_exit_code_4(
    pytester: pytest.Pytester, small_suite: SmallSuite, arguments: list[str], message: str
) -> None:
    result = pytester.runpytest("--qe-similar", *arguments)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])
    result.stderr.no_fnmatch_line("*Traceback*")


def test_flags_without_the_analysis_are_a_usage_error(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest("--qe-json=report.json")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--qe-json *add --qe-similar*"])


def test_an_interrupt_skips_the_analysis_and_keeps_the_summary(
    pytester: pytest.Pytester, small_suite: SmallSuite
) -> None:
    small_suite.write("test_interrupted.py", "def test_x():\n    raise KeyboardInterrupt\n")

    result = pytester.runpytest_subprocess("--qe-similar", "--qe-run", "--qe-json=report.json")

    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["qe-similar: interrupted, so nothing was compared", "*KeyboardInterrupt*"])
    assert not (pytester.path / "report.json").exists()


def test_an_interrupt_of_the_analysis_keeps_the_summary_of_the_tests(
    pytester: pytest.Pytester, small_suite: SmallSuite
) -> None:
    small_suite.write("test_red.py", "def test_red():\n    assert 1 == 2\n")
    small_suite.write(
        "conftest.py",
        """
        def pytest_qe_workloads(config):
            raise KeyboardInterrupt
        """,
    )

    result = pytester.runpytest_subprocess("--qe-similar", "--qe-run")

    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.assert_outcomes(passed=small_suite.items, failed=1)
    result.stdout.fnmatch_lines(["*= FAILURES =*", "qe-similar: interrupted, so there is no report"])


def test_pytest_exit_keeps_its_code_and_the_report_is_given(pytester: pytest.Pytester, small_suite: SmallSuite) -> None:
    small_suite.write("test_exit.py", "import pytest\n\ndef test_x():\n    pytest.exit('enough', returncode=7)\n")

    result = pytester.runpytest("--qe-similar", "--qe-run", "--qe-json=report.json")

    assert result.ret == 7
    assert small_suite.report()["similar"]["tests"] == small_suite.units + 1


def test_an_internal_error_of_pytest_is_not_reported_on(pytester: pytest.Pytester, small_suite: SmallSuite) -> None:
    small_suite.write("conftest.py", "def pytest_collection_modifyitems():\n    raise RuntimeError('boom')\n")

    result = pytester.runpytest("--qe-similar", "--qe-json=report.json")

    assert result.ret == pytest.ExitCode.INTERNAL_ERROR
    assert not (pytester.path / "report.json").exists()


def test_the_document_is_the_same_for_any_order_and_hash_seed(
    pytester: pytest.Pytester, small_suite: SmallSuite, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_suite.write(
        "conftest.py",
        """
        import os, random

        def pytest_collection_modifyitems(items):
            random.Random(os.environ["ORDER"]).shuffle(items)
        """,
    )
    texts = set()
    for seed in ("0", "1", "17"):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        monkeypatch.setenv("ORDER", seed)
        pytester.runpytest_subprocess("--qe-similar", "--qe-json=report.json", "--qe-neighbors=3")
        texts.add((small_suite.path / "report.json").read_bytes())

    assert len(texts) == 1


def test_standard_output_of_the_user_is_left_alone(pytester: pytest.Pytester, small_suite: SmallSuite) -> None:
    """Nothing of ours is written but through pytest's terminal reporter."""
    code = (
        "import sys, pytest\n"
        "code = pytest.main(['--qe-similar', '-p', 'no:terminal'])\n"
        "print('code', int(code), 'threads', __import__('threading').active_count())\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "code 0 threads 1\n"
    assert done.stderr == ""

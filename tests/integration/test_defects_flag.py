"""``pytest --qe-defects``: what it records of each kind of failure, what it reports, and what it leaves alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from pytest_qeattention import cli, defects_memory, defects_session
from pytest_qeattention.defects import grouping
from pytest_qeattention.defects.junit_file import read_junit
from pytest_qeattention.defects.record import FailureRecord
from pytest_qeattention.information import backend_info
from pytest_qeattention.live import told
from pytest_qeattention.live.record import LiveRecords

# Runs in this process find these imported, and need not do it again each.
IMPORTED = (defects_memory, defects_session, told)

KEEP_RECORDS = """
import json
import pytest

if __import__("os").environ.get("PYTEST_XDIST_WORKER") is None:
    records = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(report):
        if hasattr(report, "qeattention_failure"):
            records.append(report.qeattention_failure)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collectreport(report):
        if hasattr(report, "qeattention_failure"):
            records.append(report.qeattention_failure)

    def pytest_sessionfinish(session):
        file = session.config.rootpath / "records.json"
        file.write_text(json.dumps(sorted(records, key=lambda record: (record["nodeid"], record["phase"]))))
"""

PRODUCT = """
class Pool:
    def connect(self, url):
        raise ConnectionError(f"no connection to {url}")


def total(items):
    return sum(items) + 1


def load(name):
    try:
        Pool().connect(name)
    except ConnectionError as error:
        raise RuntimeError("not loaded") from error


class Rude(Exception):
    def __str__(self):
        raise ValueError("no text")

    __repr__ = __str__
"""

TESTS = """
import logging
import sys
import unittest

import pytest
from shop import Pool, Rude, load, total

if sys.version_info < (3, 11):
    from exceptiongroup import ExceptionGroup


@pytest.fixture(scope="session")
def pool():
    logging.getLogger("shop").warning("pool %s is exhausted", "main")
    Pool().connect("postgres://shop:hunter2@db.example/shop")


@pytest.fixture
def client(pool):
    return pool


@pytest.mark.parametrize("number", range(4))
def test_pool(client, number):
    pass


class TestPool:
    def test_in_class(self, pool):
        pass


@pytest.fixture
def closed():
    yield
    load("closed")


def test_teardown(closed):
    pass


@pytest.mark.parametrize(("items", "kind"), [([1], "list"), ((2, 3), "tuple")])
def test_total(items, kind):
    found = total(items)
    assert found == sum(items)


def test_chain():
    load("call")


def test_missing(no_such_fixture):
    pass


class TestCase(unittest.TestCase):
    def test_unittest(self):
        self.assertEqual(total([1]), 1)


@pytest.mark.xfail(strict=True)
def test_xpass():
    pass


def test_failed():
    pytest.fail("because")


def test_untraced():
    pytest.fail("untraced", pytrace=False)


def test_timeout():
    pytest.fail("Timeout (>1.0s) from pytest-timeout.")


def test_did_not_raise():
    with pytest.raises(ValueError):
        total([1])


def test_rude():
    raise Rude()


def test_recursive():
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    raise one


def test_group():
    raise ExceptionGroup("several", [ValueError("first"), ExceptionGroup("inner", [KeyError("second")])])


def test_subtests(request):
    if not hasattr(pytest, "Subtests"):
        pytest.fail("contains 0 failed subtests, as there are none")
    subtests = request.getfixturevalue("subtests")
    for number in range(3):
        with subtests.test(number=number):
            assert number != 1
"""


def write(path: Path, **files: str) -> None:
    for name, text in files.items():
        (path / f"{name}.py").write_text(textwrap.dedent(text), encoding="utf-8")


def run(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "QE_"))}
    environment["PYTEST_ADDOPTS"] = "-p no:hypothesispytest"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=path, env=environment, capture_output=True, encoding="utf-8", check=False)


def defects(path: Path, name: str = "report.json") -> dict[str, Any]:
    part = json.loads((path / name).read_text(encoding="utf-8"))["defects"]
    assert isinstance(part, dict)
    return part


class RedRun:
    """Hold what a run with every kind of failure gave, in one process and with two workers."""

    def __init__(self, path: Path) -> None:
        write(path, conftest=KEEP_RECORDS, shop=PRODUCT, test_kinds=TESTS)
        write(path, test_import="import shop\nimport no_such_module\n", test_syntax="def test_x(:\n    pass\n")
        (path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        options = ["--qe-defects", "--continue-on-collection-errors"]
        self.workers = run(path, *options, "-n2", "--qe-json=workers.json")
        self.records_of_workers = (path / "records.json").read_text(encoding="utf-8")
        self.single = run(path, *options, "--qe-json=single.json")
        self.records_of_single = (path / "records.json").read_text(encoding="utf-8")
        self.without = run(path, "--continue-on-collection-errors")
        self.path = path

    def record(self, name: str) -> FailureRecord:
        found = [
            FailureRecord.from_plain(plain)
            for plain in json.loads(self.records_of_single)
            if plain["nodeid"].endswith(name)
        ]
        assert found, name
        return found[0]


@pytest.fixture(scope="module")
def red(tmp_path_factory: pytest.TempPathFactory) -> RedRun:
    return RedRun(tmp_path_factory.mktemp("red"))


def test_the_exit_code_and_the_outcomes_are_those_of_a_run_without_it(red: RedRun) -> None:
    assert red.single.returncode == red.without.returncode == red.workers.returncode == 1
    assert red.single.stdout.splitlines()[-1].split(" in ")[0] == red.without.stdout.splitlines()[-1].split(" in ")[0]
    assert "qe-defects: failed" not in red.single.stdout + red.workers.stdout


def test_workers_give_the_report_of_one_process(red: RedRun) -> None:
    assert red.records_of_workers == red.records_of_single
    assert defects(red.path, "workers.json") == defects(red.path, "single.json")
    assert defects(red.path, "single.json")["problems"] == []


@pytest.mark.parametrize(
    ("name", "phase", "types"),
    [
        ("test_pool[0]", "setup", ["ConnectionError"]),
        ("test_teardown", "teardown", ["RuntimeError", "ConnectionError"]),
        ("test_chain", "call", ["RuntimeError", "ConnectionError"]),
        ("test_missing", "setup", ["_pytest.fixtures.FixtureLookupError"]),
        ("test_unittest", "call", ["AssertionError"]),
        ("test_xpass", "call", [""]),
        ("test_failed", "call", ["Failed"]),
        ("test_untraced", "call", ["Failed"]),
        ("test_timeout", "timeout", ["Failed"]),
        ("test_rude", "call", ["shop.Rude"]),
        ("test_recursive", "call", ["ValueError", "ValueError"]),
        ("test_group", "call", ["ExceptionGroup", "ValueError", "ExceptionGroup", "KeyError"]),
        ("test_import.py", "collect", ["ModuleNotFoundError"]),
        ("test_syntax.py", "collect", ["SyntaxError"]),
    ],
)
def test_phase_and_chain(red: RedRun, name: str, phase: str, types: list[str]) -> None:
    record = red.record(name)

    assert record.phase == phase
    assert [raised.type.rpartition("exceptiongroup.")[2] for raised in record.chain] == types


def test_frames_are_those_of_the_project(red: RedRun) -> None:
    (outer, cause) = red.record("test_chain").chain

    assert [(frame.path, frame.qualname, frame.role) for frame in outer.frames] == [
        ("test_kinds.py", "test_chain", "test"),
        ("shop.py", "load", "product"),
    ]
    assert outer.frames[0].statement == 'load("call")'
    assert (cause.link, [frame.statement.split("(")[0] for frame in cause.frames]) == (
        "cause",
        ["Pool", "raise ConnectionError"],
    )


@pytest.mark.parametrize(
    ("name", "culprit"),
    [
        ("test_pool[0]", "Pool.connect"),
        ("test_chain", "load"),
        ("test_total[items0-list]", "total"),
        ("test_unittest", "total"),
        ("test_did_not_raise", "total"),
        ("test_failed", None),
    ],
)
def test_the_culprit_is_of_the_product(red: RedRun, name: str, culprit: str | None) -> None:
    frame = red.record(name).culprit

    if culprit is None:
        assert frame is None
    else:
        assert frame is not None
        # Before Python 3.11 code does not know the class that it is of.
        assert (frame.path, frame.qualname, frame.role) == ("shop.py", culprit, "product")


def test_facts_of_a_test(red: RedRun) -> None:
    record = red.record("test_total[items1-tuple]")

    assert (record.test.path, record.test.qualname) == ("test_kinds.py", "test_total")
    assert record.test.parameters == (("items", "items1"), ("kind", "tuple"))
    assert record.test.source.startswith('@pytest.mark.parametrize(("items"')
    line = (red.path / "test_kinds.py").read_text(encoding="utf-8").splitlines()[(record.test.line or 0) - 1]
    assert line == "def test_total(items, kind):"
    assert record.assertion is not None
    assert (record.assertion.operator, record.assertion.left, record.assertion.right) == ("==", "int", "int")
    assert record.assertion.difference == "off by one"
    assert set(record.environment) == {"python", "platform"}


def test_a_failing_fixture_is_named_and_its_failures_are_one_cause(red: RedRun) -> None:
    records = [red.record(f"test_pool[{number}]") for number in range(4)] + [red.record("TestPool::test_in_class")]

    assert {record.test.failing_fixture for record in records} == {"pool"}
    assert records[0].chain[0].frames[0].role == "fixture"
    assert records[0].logs == ("WARNING shop pool %s is exhausted",)
    assert red.record("test_teardown").test.failing_fixture == "closed"
    assert red.record("test_missing").test.failing_fixture == "no_such_fixture"
    groups = [set(group["failures"]) for group in defects(red.path, "single.json")["groups"]]
    assert {record.nodeid for record in records} in groups


def test_secrets_do_not_get_into_a_record(red: RedRun) -> None:
    assert "hunter2" not in red.records_of_single
    assert "no connection to postgres://shop:" in red.record("test_pool[0]").chain[0].message


def test_an_exception_without_a_text_is_described(red: RedRun) -> None:
    message = red.record("test_rude").chain[0].message

    assert message == "<exception str() failed>"


@pytest.mark.skipif(not hasattr(pytest, "Subtests"), reason="pytest has subtests from 9.0 on")
def test_a_failed_subtest_counts_and_its_test_does_not(red: RedRun) -> None:
    part = defects(red.path, "single.json")

    assert [failure["nodeid"] for failure in part["failures"]].count("test_kinds.py::test_subtests") == 1
    groups = [group for group in part["groups"] if "test_kinds.py::test_subtests" in group["failures"]]
    assert len(groups) == 1
    assert "assert 1 != 1" in red.records_of_single
    assert "contains 1 failed subtest" not in json.dumps(part)


def test_the_json_names_every_failure_once_with_its_cause(red: RedRun) -> None:
    part = defects(red.path, "single.json")

    ids = {group["id"]: group["failures"] for group in part["groups"]}
    assert len(ids) == len(part["groups"])
    assert sorted(nodeid for failures in ids.values() for nodeid in failures) == sorted(
        failure["nodeid"] for failure in part["failures"]
    )
    assert all(failure["nodeid"] in ids[failure["group"]] for failure in part["failures"])
    assert all(failure["candidates"] == [] for failure in part["failures"])
    assert part["knowledge"] == "empty"
    for group in part["groups"]:
        match = group["match"]
        assert (match["state"], match["defect"], match["confidence"]) == ("new", None, None)


def test_the_summary_names_causes(red: RedRun) -> None:
    part = defects(red.path, "single.json")
    lines = red.single.stdout.splitlines()

    assert f"qe-defects: {len(part['groups'])} causes behind {len(part['failures'])} failures" in lines
    assert "knowledge base: empty, so every cause is new" in lines
    assert any(line.startswith("  shop.py:4  Pool.connect") for line in lines)


def test_a_crashed_worker_is_a_failure_of_its_test(tmp_path: Path) -> None:
    write(
        tmp_path,
        test_crash="""
            import os

            def test_crash():
                os._exit(3)

            def test_other():
                assert False
            """,
    )

    done = run(tmp_path, "--qe-defects", "-n1", "--qe-json=report.json", "--junit-xml=junit.xml")

    assert done.returncode == 1
    failures = {failure["nodeid"]: failure["phase"] for failure in defects(tmp_path)["failures"]}
    assert failures == {"test_crash.py::test_crash": "crash", "test_crash.py::test_other": "call"}
    in_file = {record.test.qualname: record for record in read_junit(tmp_path / "junit.xml").failures}
    assert (in_file["test_crash"].phase, in_file["test_crash"].chain) == ("crash", ())


def test_a_green_run_imports_nothing_of_it(tmp_path: Path) -> None:
    write(
        tmp_path,
        conftest="""
            import sys

            def pytest_unconfigure():
                heavy = ("numpy", "hnswlib", "pytest_qeattention.defects", "pytest_qeattention.defects.",
                         "pytest_qeattention.live.record", "pytest_qeattention.attention")
                names = [name for name in sys.modules if name in heavy or name.startswith(heavy[3])]
                print("\\nHEAVY", sorted(names))
            """,
        test_green="def test_green(): pass\n",
    )

    done = run(tmp_path, "--qe-defects")

    assert done.returncode == 0
    assert "HEAVY []" in done.stdout.splitlines()
    assert "qe-defects" not in done.stdout


RED_AND_GREEN = """
import pytest

@pytest.fixture
def broken():
    raise OSError("broken")

@pytest.mark.parametrize("number", range(2))
def test_red(broken, number): pass

def test_green(): pass
"""


@pytest.mark.parametrize(
    ("options", "failures"),
    [
        ("-p no:terminal", 2),
        ("-p no:logging -p no:warnings", 2),
        ("-W error -qq", 2),
        ("-x", 1),
        ("-v --tb=native", 2),
        ("-p no:cacheprovider --no-summary", 2),
        ("--collect-only", 0),
    ],
)
def test_beside_other_options(pytester: pytest.Pytester, options: str, failures: int) -> None:
    pytester.makepyfile(test_both=RED_AND_GREEN)

    result = pytester.runpytest("--qe-defects", "--qe-json=report.json", *options.split())

    assert result.ret == (pytest.ExitCode.TESTS_FAILED if failures else pytest.ExitCode.OK)
    part = defects(pytester.path)
    assert len(part["failures"]) == failures
    assert len(part["groups"]) == min(failures, 1)
    result.stdout.no_fnmatch_line("*Warning*")


def test_of_failures_that_are_run_again_the_last_counts(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_both=RED_AND_GREEN)
    pytester.makeconftest(
        """
        import pytest

        class Rerun:
            "What plugins that run failures again do of the first one."

            @pytest.hookimpl(tryfirst=True)
            def pytest_runtest_protocol(self, item, nextitem):
                from _pytest.runner import runtestprotocol
                item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
                for attempt in ("first", "last"):
                    for report in runtestprotocol(item, nextitem=nextitem, log=False):
                        if attempt == "first" and report.failed:
                            report.outcome = "rerun"
                        if attempt == "last" or report.outcome == "rerun":
                            item.ihook.pytest_runtest_logreport(report=report)
                item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
                return True

        def pytest_configure(config):
            config.pluginmanager.register(Rerun())
        """
    )

    pytester.runpytest("--qe-defects", "--qe-json=report.json")

    assert len(defects(pytester.path)["failures"]) == 2


def test_what_was_taught_of_a_run_is_known_in_the_next(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_both=RED_AND_GREEN)
    options = ("--qe-defects", "--qe-store=kept", "--qe-json=report.json")

    first = pytester.runpytest(*options)
    assert cli.main(["defects", "label", "last/1", "BUG-1 broken", "--qe-store", "kept"]) == 0
    second = pytester.runpytest(*options, "-p", "no:randomly")

    first.stdout.fnmatch_lines(["new  2 failures  last/1", "knowledge base: empty, so every cause is new"])
    second.stdout.fnmatch_lines(["known  2 failures  BUG-1 broken*  last/1", "*seen in 1 run, first *"])
    second.stdout.fnmatch_lines(["qe-defects: 1 cause behind 2 failures (1 known)"])
    assert second.ret == pytest.ExitCode.TESTS_FAILED
    (group,) = defects(pytester.path)["groups"]
    assert (group["match"]["state"], group["match"]["defect"]) == ("known", "BUG-1 broken")
    assert group["first_seen"] == group["last_seen"] is not None


def test_a_damaged_store_costs_a_note(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_both=RED_AND_GREEN)
    store = pytester.path / "kept"
    (store / "defects.jsonl").mkdir(parents=True)
    (store / "defects.sqlite3").mkdir()

    result = pytester.runpytest("--qe-defects", "--qe-store=kept", "--qe-json=report.json")

    result.assert_outcomes(errors=2, passed=1, warnings=2)
    result.stdout.fnmatch_lines(["cause  2 failures", "qe-defects: 1 cause behind 2 failures"])
    (group,) = defects(pytester.path)["groups"]
    assert group["match"] is None


def test_with_similar_tests_the_tests_are_run_and_the_document_is_one(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_both=RED_AND_GREEN)

    result = pytester.runpytest_subprocess("--qe-defects", "--qe-similar", "--qe-json=report.json")

    result.assert_outcomes(errors=2, passed=1)
    document = json.loads((pytester.path / "report.json").read_text(encoding="utf-8"))
    assert document["backend"]["version"] == backend_info()["version"]
    assert document["similar"]["tests"] == 2
    assert len(document["defects"]["groups"]) == 1
    result.stdout.fnmatch_lines(["qe-defects: 1 cause behind 2 failures"])
    result.stdout.fnmatch_lines(["qe-similar: 2 tests, no groups"])


def test_a_report_without_a_record_is_read_from_its_text(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_both=RED_AND_GREEN)
    pytester.makeconftest(
        """
        import pytest

        @pytest.hookimpl(tryfirst=True)
        def pytest_runtest_logreport(report):
            vars(report).pop("qeattention_failure", None)
        """
    )

    result = pytester.runpytest("--qe-defects", "--qe-json=report.json")

    (group,) = defects(pytester.path)["groups"]
    assert (group["type"], group["message"]) == ("OSError", "broken")
    assert len(group["failures"]) == 2
    result.stdout.no_fnmatch_line("*qe-defects: failed*")


def broken(*arguments: object, **keywords: object) -> Any:
    raise ZeroDivisionError("ours")


def test_a_failure_that_cannot_be_recorded_is_read_from_its_text(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(test_both=RED_AND_GREEN)
    monkeypatch.setattr(LiveRecords, "of_test", broken)

    result = pytester.runpytest("--qe-defects", "--qe-json=report.json")

    result.assert_outcomes(errors=2, passed=1)
    (group,) = defects(pytester.path)["groups"]
    assert (group["type"], len(group["failures"])) == ("OSError", 2)
    result.stdout.fnmatch_lines(
        ["2 failures are known by their text alone*(ZeroDivisionError, test_defects_flag.py:*)"]
    )


def test_a_failure_of_ours_costs_the_report_alone(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    pytester.makepyfile(test_both=RED_AND_GREEN)
    monkeypatch.setattr(grouping, "causes_of", broken)

    result = pytester.runpytest("--qe-defects", "--qe-json=report.json")

    result.assert_outcomes(errors=2, passed=1, warnings=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["qe-defects: failed with ZeroDivisionError: ours (*"])
    assert json.loads((pytester.path / "report.json").read_text(encoding="utf-8"))["defects"] is None


def test_json_without_an_analysis_is_a_usage_error(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest("--qe-json=report.json")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--qe-json says how to report*add --qe-similar or --qe-defects"])

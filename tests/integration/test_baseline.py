"""``--qe-baseline`` and ``--qe-baseline-update``, of pytest and of the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_qeattention.cli import main

if TYPE_CHECKING:
    from conftest import SmallSuite

DEFAULT = ".qeattention/similar-baseline.jsonl"
THIRD = """

    def test_counts_up():
        stock = dict(tea=2, cups=1)
        stock["tea"] += 3
        assert stock == {"tea": 5, "cups": 1}
"""


def accept(suite: SmallSuite) -> None:
    assert main(["similar", str(suite.path), "--baseline-update", "-q"]) == 0


def add_third(suite: SmallSuite, before: str = "") -> None:
    suite.write("test_stock.py", before + suite.files["test_stock.py"] + THIRD.replace("\n    ", "\n            "))


def test_accepted_groups_are_counted_and_only_shown_with_verbosity(
    pytester: pytest.Pytester, small_suite: SmallSuite
) -> None:
    update = pytester.runpytest("--qe-similar", "--qe-baseline-update", "-v")
    result = pytester.runpytest("--qe-similar", f"--qe-baseline={DEFAULT}", "--qe-json=report.json")

    assert update.ret == result.ret == 0
    update.stdout.fnmatch_lines(["duplicate  2 tests  score 1.00  id *  accepted"])
    update.stdout.fnmatch_lines([f"{DEFAULT}: 5 tests accepted, 5 added, 0 dropped", "*; 2 groups accepted"])
    result.stdout.fnmatch_lines(["qe-similar: 7 tests, no new groups; 2 groups accepted"])
    result.stdout.no_fnmatch_line("duplicate*")
    similar = small_suite.report()["similar"]
    assert [group["status"] for group in similar["groups"]] == ["accepted", "accepted"]
    assert similar["baseline"] == {"path": DEFAULT, "accepted": 2, "new": 0, "stale": [], "written": False}


def test_a_third_copy_is_new_and_it_is_said_what_it_joined(pytester: pytest.Pytester, small_suite: SmallSuite) -> None:
    accept(small_suite)
    add_third(small_suite, "\n\n\n")

    result = pytester.runpytest("--qe-similar", f"--qe-baseline={DEFAULT}", "--qe-json=report.json")

    result.stdout.fnmatch_lines(
        [
            "duplicate  3 tests  score 1.00  new",
            "  test_stock.py:*  test_counts_up  new",
            "    new: test_counts_up joined test_adds_up and 1 other, accepted by the baseline",
            "qe-similar: 8 tests, 1 new group (1 duplicate) covering 3 tests; 1 group accepted",
        ]
    )
    groups = {group["kind"]: group for group in small_suite.report()["similar"]["groups"]}
    assert groups["duplicate"]["new_tests"] == ["test_stock.py::test_counts_up"]
    assert groups["parametrize"]["status"] == "accepted"


def test_the_file_is_the_same_for_pytest_its_workers_and_the_command(
    pytester: pytest.Pytester, small_suite: SmallSuite, capsys: pytest.CaptureFixture[str]
) -> None:
    pytester.runpytest("--qe-similar", "--qe-baseline=one.jsonl", "--qe-baseline-update")
    pytester.runpytest_subprocess("--qe-similar", "--qe-run", "-n2", "--qe-baseline=two.jsonl", "--qe-baseline-update")
    assert main(["similar", ".", "--baseline", "three.jsonl", "--baseline-update"]) == 0
    (small_suite.path / "below").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        small_suite.write("pytest.ini", "[pytest]\n")
        patch.chdir(small_suite.path / "below")
        assert main(["similar", "..", "--baseline-update"]) == 0

    capsys.readouterr()
    texts = {(small_suite.path / name).read_bytes() for name in ("one.jsonl", "two.jsonl", "three.jsonl", DEFAULT)}
    assert len(texts) == 1
    assert {json.loads(line)["path"] for line in texts.pop().splitlines()[1:]} == {"test_stock.py", "test_words.py"}


def test_stale_entries_are_named_and_an_update_drops_them(pytester: pytest.Pytester, small_suite: SmallSuite) -> None:
    accept(small_suite)
    (small_suite.path / "test_words.py").unlink()

    result = pytester.runpytest("--qe-similar", f"--qe-baseline={DEFAULT}")
    update = pytester.runpytest("--qe-similar", "--qe-baseline-update")

    result.stdout.fnmatch_lines(
        [
            f"{DEFAULT}: 3 entries are out of date (moved, gone, or like no other any more): update it",
            "  test_words.py  TestUpper::test_cup",
        ]
    )
    update.stdout.fnmatch_lines([f"{DEFAULT}: 2 tests accepted, 0 added, 3 dropped"])


@pytest.mark.parametrize("selection", [["test_stock.py"], ["-k", "adds_up"]])
def test_an_update_of_a_selection_keeps_the_rest(
    pytester: pytest.Pytester, small_suite: SmallSuite, selection: list[str]
) -> None:
    accept(small_suite)
    before = (small_suite.path / DEFAULT).read_bytes()

    result = pytester.runpytest("--qe-similar", "--qe-baseline-update", *selection)

    assert result.ret == 0
    result.stdout.fnmatch_lines([f"{DEFAULT}: 5 tests accepted, as it was"])
    assert (small_suite.path / DEFAULT).read_bytes() == before


def test_a_file_that_is_broken_during_an_update_keeps_its_entries(
    pytester: pytest.Pytester, small_suite: SmallSuite
) -> None:
    accept(small_suite)
    before = (small_suite.path / DEFAULT).read_bytes()
    small_suite.write("test_words.py", "def test_x(: pass\n")

    assert main(["similar", ".", "--baseline-update", "-q"]) == 0

    assert (small_suite.path / DEFAULT).read_bytes() == before


def test_the_store_moves_the_baseline(pytester: pytest.Pytester, small_suite: SmallSuite) -> None:
    pytester.runpytest("--qe-similar", "--qe-baseline-update", "--qe-store=kept")

    assert (small_suite.path / "kept" / "similar-baseline.jsonl").is_file()
    assert not (small_suite.path / ".qeattention").exists()


def test_a_baseline_that_is_missing_is_a_usage_error_of_the_command(
    small_suite: SmallSuite, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["similar", ".", "--baseline", "none.jsonl"]) == 4
    assert "baseline none.jsonl does not exist" in (said := capsys.readouterr().err)
    assert "write it with --baseline-update" in said


def test_an_update_that_cannot_be_written_is_an_error_of_the_command(
    small_suite: SmallSuite, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pytest_qeattention import store

    def refuse(*_: object) -> None:
        raise store.OutputError("cannot write it: no space")

    monkeypatch.setattr(store, "write_atomically", refuse)

    assert main(["similar", ".", "--baseline-update"]) == 1
    assert "qeattention: error: cannot write it: no space\n" in capsys.readouterr().err


def test_an_update_that_cannot_be_written_is_told_and_does_not_fail_the_run(
    pytester: pytest.Pytester, small_suite: SmallSuite, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pytest_qeattention import store

    def refuse(*_: object) -> None:
        raise store.OutputError("cannot write it: no space")

    monkeypatch.setattr(store, "write_atomically", refuse)

    result = pytester.runpytest("--qe-similar", "--qe-baseline-update", "-q")

    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["qe-similar: cannot write it: no space; the baseline is as it was", "*2 new groups*"])


def test_damaged_lines_are_reported_and_an_update_refuses(pytester: pytest.Pytester, small_suite: SmallSuite) -> None:
    accept(small_suite)
    file = small_suite.path / DEFAULT
    text = file.read_text().replace('{"path": "test_words.py", "test": "TestUpper::test_tea"', "{...")
    file.write_text(text)

    result = pytester.runpytest("--qe-similar", f"--qe-baseline={DEFAULT}")
    update = pytester.runpytest("--qe-similar", "--qe-baseline-update")

    result.stdout.fnmatch_lines([f"  {DEFAULT}:6: line 6 is damaged, and accepts nothing; *", "*1 new group*1 problem"])
    assert update.ret == pytest.ExitCode.USAGE_ERROR
    update.stderr.fnmatch_lines(["*was not updated, because line 6 is damaged*"])
    assert file.read_text() == text


def test_a_run_with_collection_errors_keeps_what_it_could_not_see(
    pytester: pytest.Pytester, small_suite: SmallSuite
) -> None:
    accept(small_suite)
    before = (small_suite.path / DEFAULT).read_bytes()
    words = (small_suite.path / "test_words.py").read_text()
    small_suite.write("test_words.py", "import nothing_of_that_name\n\n\n" + words)

    result = pytester.runpytest("--qe-similar", "--qe-baseline-update")

    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert (small_suite.path / DEFAULT).read_bytes() == before


def test_without_the_flag_a_baseline_is_not_read(pytester: pytest.Pytester, small_suite: SmallSuite) -> None:
    file = small_suite.path / DEFAULT
    Path(file.parent).mkdir()
    file.write_text("garbage")

    result = pytester.runpytest("--qe-similar", "--qe-json=report.json")

    assert result.ret == 0
    assert "baseline" not in small_suite.report()["similar"]
    assert not any("status" in group for group in small_suite.report()["similar"]["groups"])

"""``qeattention defects``: from a JUnit file to a taught defect, and all that can be wrong on the way."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pytest_qeattention.cli import main

MONDAY, TUESDAY = "monday.xml", "tuesday.xml"
LABELS = Path(".qeattention") / "defects.jsonl"
HISTORY = Path(".pytest_cache") / "d" / "qeattention" / "defects.sqlite3"


class Done(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture
def run(tmp_path: Path, examples: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a command in a directory that holds the examples."""
    for name in (MONDAY, TUESDAY):
        shutil.copy(examples / "failures" / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)

    def run_command(*arguments: str) -> Done:
        try:
            code = main(["defects", *arguments])
        except SystemExit as ended:
            code = int(str(ended.code))
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return Done(code, out, err)

    return run_command


def taught(run: Run) -> None:
    assert run("triage", MONDAY, "-q").code == 0
    assert run("label", "last/1", "BUG-1").code == 0


def part(done: Done) -> Any:
    assert done.code == 0, done.err
    document = json.loads(done.out)
    assert document["schema"] == "qeattention/1"
    return document["defects"]


def states(done: Done) -> list[tuple[str, str | None]]:
    return [(group["match"]["state"], group["match"]["defect"]) for group in part(done)["groups"]]


def test_before_and_after_teaching(run: Run, tmp_path: Path) -> None:
    first = run("triage", MONDAY)
    assert first.code == 0
    assert first.out.startswith("new  4 failures  last/1\n  shop.pool.PoolExhausted: no free connection of 5")
    assert first.out.endswith("knowledge base: empty, so every cause is new\nqe-defects: 2 causes behind 5 failures\n")

    labelled = run("label", "last/1", "BUG-1 pool", "--url", "https://x.example/1")
    assert labelled.out == "qe-defects: BUG-1 pool (new): 4 failures, 2 labels in all\n"

    second = run("triage", TUESDAY)
    assert second.out.startswith("new  1 failure  last/2\n")
    assert "\nknown  5 failures  BUG-1 pool  confidence 0.99  last/1\n" in second.out
    assert "  same exception, message and place as 2 labelled failures" in second.out
    assert "seen in 1 run, first " in second.out
    assert second.out.endswith("qe-defects: 3 causes behind 7 failures (2 new, 1 known)\n")
    assert (tmp_path / LABELS).is_file()
    assert (tmp_path / HISTORY).is_file()
    assert (tmp_path / ".pytest_cache" / "CACHEDIR.TAG").is_file()


def test_the_json_names_groups_failures_and_candidates(run: Run, tmp_path: Path) -> None:
    taught(run)

    defects = part(run("triage", TUESDAY, "--json", "-"))

    pool, *others = defects["groups"]
    assert (pool["match"]["state"], pool["match"]["defect"], pool["match"]["confidence"]) == (
        "known",
        "BUG-1",
        pytest.approx(1.0, abs=0.05),
    )
    assert len(pool["failures"]) == 5
    assert [group["match"]["state"] for group in others] == ["new", "new"]
    assert {entry["group"] for entry in defects["failures"]} == {group["id"] for group in defects["groups"]}
    refund = next(entry for entry in defects["failures"] if entry["nodeid"].endswith("test_refund_of_an_order"))
    assert refund["candidates"][0] == {"defect": "BUG-1", "score": pytest.approx(1.0, abs=0.05)}
    assert run("triage", MONDAY, "--json", "report.json").code == 0
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["defects"]["knowledge"] == (
        "1 defect, 2 labelled failures"
    )


def test_learn_teaches_all_failures_or_those_that_fit(run: Run) -> None:
    done = run("learn", MONDAY, "--defect", "POOL", "--only", "*test_order_is_found[[]*", "--only", "*[17]")
    assert done.out == "qe-defects: POOL (new): 1 failure, 1 label in all\n"

    assert run("learn", MONDAY, "--defect", "TOTAL", "--only", "*::test_total_of_two").code == 0
    assert states(run("triage", TUESDAY, "--json", "-"))[:2] == [("known", "POOL"), ("known", "TOTAL")]

    assert run("learn", MONDAY, TUESDAY, "--defect", "ALL").out.startswith("qe-defects: ALL (new): 12 failures, ")
    assert states(run("triage", MONDAY, "--json", "-")) == [("known", "ALL"), ("known", "ALL")]


def test_the_life_of_a_defect(run: Run) -> None:
    taught(run)
    assert run("label", "tests.test_orders::test_total_of_two", "BUG-2").code == 0
    assert run("close", "BUG-1").out == "qe-defects: BUG-1 is closed\n"
    assert states(run("triage", MONDAY, "--json", "-")) == [("regressed", "BUG-1"), ("known", "BUG-2")]
    assert run("label", "last/1", "BUG-1").out.startswith("qe-defects: BUG-1 (closed; 'close --reopen' opens it again)")
    assert run("close", "BUG-1", "--reopen").out == "qe-defects: BUG-1 is open\n"

    assert run("merge", "BUG-2", "BUG-1").out == "qe-defects: BUG-2 is BUG-1\n"
    assert states(run("triage", MONDAY, "--json", "-")) == [("known", "BUG-1"), ("known", "BUG-1")]
    assert run("split", "BUG-2").out == "qe-defects: BUG-2 is a defect of its own again\n"
    moved = run("split", "BUG-1", "BUG-3", "--only", "*::test_order_is_paid")
    assert moved.out == "qe-defects: 1 labelled failure moved to BUG-3\n"
    listed = run("list")
    assert [line.split("  ")[:3] for line in listed.out.splitlines()[:3]] == [
        ["open", "BUG-1", "1 labelled failure"],
        ["open", "BUG-2", "1 labelled failure"],
        ["open", "BUG-3", "1 labelled failure"],
    ]

    # What is known to be two defects is no one cause.
    assert states(run("triage", MONDAY, "--json", "-")) == [("known", "BUG-1"), ("known", "BUG-3"), ("known", "BUG-2")]
    assert run("reject", "last/3").out == "qe-defects: 1 failure not BUG-2\n"
    assert states(run("triage", MONDAY, "--json", "-"))[2] == ("new", None)
    assert "was reported as no defect, so nothing was changed; give NAME as well" in run("reject", "last/3").err
    assert run("rule", "BUG-4", "--type", "AssertionError", "--message", "assert *").code == 0
    assert states(run("triage", MONDAY, "--json", "-"))[2] == ("known", "BUG-4")
    assert run("rule", "BUG-4", "--type", "AssertionError", "--message", "assert *", "--remove").code == 0
    assert states(run("triage", MONDAY, "--json", "-"))[2] == ("new", None)


def test_show_and_list_tell_what_is_known(run: Run) -> None:
    taught(run)

    shown = run("show", "BUG-1").out
    assert shown.startswith("BUG-1  open\n")
    assert "  is: tests/test_orders.py::test_order_is_found (" in shown
    (known,) = part(run("show", "BUG-1", "--json", "-"))["known"]
    assert [label["verdict"] for label in known["labels"]] == ["confirm", "confirm"]
    assert "cause 2 of the run of " in run("show", "last/2").out
    (failure,) = part(run("show", "last/2", "--json", "-"))["failures"]
    assert failure["nodeid"] == "tests.test_orders::test_total_of_two"
    (row,) = part(run("list", "--json", "-"))["known"]
    assert (row["defect"], row["state"], row["labels"], row["url"]) == ("BUG-1", "open", 2, None)
    assert row["first_seen"] is not None


def test_labels_travel_by_export_and_import(run: Run, tmp_path: Path) -> None:
    taught(run)
    assert run("export", "labels.jsonl").code == 0
    assert run("export").out.encode() == (tmp_path / "labels.jsonl").read_bytes() == (tmp_path / LABELS).read_bytes()

    done = run("import", "labels.jsonl", "--qe-store", "elsewhere")

    assert done.out == "qe-defects: defects.jsonl: 1 defect, 2 labelled failures; before: empty\n"
    assert (tmp_path / "elsewhere" / "defects.jsonl").read_bytes() == (tmp_path / LABELS).read_bytes()


def test_eval_replays_the_runs(run: Run, tmp_path: Path) -> None:
    assert run("eval").out == "no failure is labelled, so there is nothing to replay; label some first\n"
    taught(run)
    # The same file again is the same run; one that another run wrote is not.
    run("triage", MONDAY, "-q")
    assert run("eval").out.startswith("4 labelled failures, ")
    (tmp_path / "later.xml").write_bytes(Path(MONDAY).read_bytes() + b"\n")
    run("triage", "later.xml", "-q")

    done = run("eval")

    said = "8 labelled failures, in the order of time (each in every run that it was in)\n"
    assert f"{said}  4 of a defect that an earlier run had shown\n" in done.out
    assert done.out.endswith("precision 1.00, answer rate 1.00, first candidate right 1.00\n")
    assert part(run("eval", "--json", "-"))["replay"]["precision"] == 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["triage"], "the following arguments are required: REPORT.xml"),
        ([], "the following arguments are required: COMMAND"),
        (["triage", "none.xml"], "none.xml does not exist, so nothing was read"),
        (["triage", "."], ". is a directory; it has no failures to read"),
        (["triage", "text.xml"], "text.xml"),
        (["triage", MONDAY, "--json", "no/where.json"], "its directory does not exist"),
        (["triage", MONDAY, "--qe-store", MONDAY], f"--qe-store={MONDAY} is not a directory"),
        (["learn", MONDAY], "the following arguments are required: --defect"),
        (["learn", MONDAY, "--defect", " "], "the name of a defect is empty, so nothing was changed"),
        (["learn", "green.xml", "--defect", "X"], "green.xml has no failures, so nothing was learned"),
        (["learn", MONDAY, "--defect", "X", "--only", "nope*"], "--only nope* fits none of 5 failures"),
        (["learn", MONDAY, "--defect", "X", "--url", "a b"], "the URL has spaces"),
        (["label", "last/3", "X"], "the last run has no cause 3, so 'last/3' stands for nothing; it has 2 causes"),
        (["label", "last", "X"], "'last' stands for the only cause of the last run, which has 2"),
        (["label", "0123456789ab", "X"], "is no cause that is kept, and no test that failed in the last run"),
        (["label", "last/1", "bug-1"], "by upper and lower case alone"),
        (["reject", "last/1", "BUG-9"], "there is no defect 'BUG-9', so nothing was changed; did you mean 'BUG-1'?"),
        (["rule", "BUG-1"], "the rule says nothing"),
        (["merge", "BUG-1", "BUG-1"], "'BUG-1' cannot be merged into itself"),
        (["merge", "BUG-1", "BUG-2"], "there is no defect 'BUG-2'"),
        (["split", "BUG-1"], "was not merged into another defect"),
        (["split", "BUG-1", "BUG-2"], "and --only GLOB, which ones, is not given"),
        (["split", "BUG-1", "--only", "*"], "and INTO, where to, is not given"),
        (["split", "BUG-1", "BUG-2", "--only", "x"], "fits none of 2 labelled failures of 'BUG-1'"),
        (["close", "BUG"], "did you mean 'BUG-1'?"),
        (["close", "BUG-1", "--reopen"], "'BUG-1' is open already"),
        (["show", "BUG-2"], "and as an address: 'BUG-2' is no cause that is kept"),
        (["import", "none.jsonl"], "none.jsonl is no file, so nothing was taken over"),
        (["import", "text.xml"], "holds no statement about defects in 1 line"),
        (["export", "no/where"], "its directory does not exist"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_served_ends_with_4_and_changes_nothing(
    run: Run, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "text.xml").write_text("dear diary\n", encoding="utf-8")
    (tmp_path / "green.xml").write_text('<testsuite><testcase name="test_a"/></testsuite>', encoding="utf-8")
    taught(run)
    before = (tmp_path / LABELS).read_bytes()

    done = run(*arguments)

    assert done.code == 4, done
    assert message in done.err
    assert done.out == ""
    assert (tmp_path / LABELS).read_bytes() == before


def test_a_label_before_any_run_says_what_to_do(run: Run, tmp_path: Path) -> None:
    done = run("label", "last/1", "X")

    assert done.code == 4
    assert "no run with failures is kept, so 'last/1' stands for nothing; run 'qeattention defects triage" in done.err
    assert not (tmp_path / LABELS).exists()


def test_what_a_damaged_report_had_before_the_damage_counts(run: Run, tmp_path: Path) -> None:
    whole = (tmp_path / MONDAY).read_bytes()
    (tmp_path / "cut.xml").write_bytes(whole[: whole.index(b"test_order_is_paid")])
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>' + whole.partition(b"?>")[2]
    (tmp_path / "bomb.xml").write_bytes(bomb)

    cut = run("triage", "cut.xml", TUESDAY, "-q")
    assert cut.code == 0
    assert cut.err.startswith("qeattention: cut.xml ")
    assert "behind 10 failures" in cut.out
    assert run("triage", "bomb.xml").code == 4


def test_a_green_report_is_no_run_to_label(run: Run, tmp_path: Path) -> None:
    (tmp_path / "green.xml").write_text('<testsuite><testcase name="test_a"/></testsuite>', encoding="utf-8")

    assert run("triage", "green.xml") == Done(0, "qe-defects: no failures in 1 test\n", "")
    assert not (tmp_path / HISTORY).exists()


def test_damaged_lines_are_named_by_every_command_that_reads_them(run: Run, tmp_path: Path) -> None:
    taught(run)
    with (tmp_path / LABELS).open("ab") as file:
        file.write(b'{"half\n{"version":9,"kind":"defect"}\n')

    done = run("triage", MONDAY, "-q")
    assert (done.code, "1 known" in done.out) == (0, True)
    assert "is damaged (is no JSON); it is kept and not used" in done.err
    assert "has format 9, newer than this plugin's 1; it is kept and not used; upgrade" in done.err
    assert run("label", "last/2", "BUG-2").code == 0
    assert (tmp_path / LABELS).read_bytes().endswith(b'{"half\n{"version":9,"kind":"defect"}\n')


def test_a_history_of_another_version_is_set_aside_and_said(run: Run, tmp_path: Path) -> None:
    taught(run)
    database = sqlite3.connect(tmp_path / HISTORY)
    database.execute("PRAGMA user_version = 7")
    database.close()

    done = run("triage", MONDAY, "-q")

    assert (done.code, "1 known" in done.out) == (0, True)
    assert "has format 7, newer than this plugin's 1; it was set aside as defects-1.old.sqlite3" in done.err
    assert run("label", "last/2", "BUG-2").code == 0


def test_a_store_that_cannot_be_written_ends_with_1(run: Run, tmp_path: Path) -> None:
    (tmp_path / ".qeattention").write_text("in the way", encoding="utf-8")

    done = run("learn", MONDAY, "--defect", "X")

    assert done.code == 1
    assert "cannot be written" in done.err
    assert "so nothing was changed" in done.err


def test_a_history_that_cannot_be_written_leaves_the_report(run: Run, tmp_path: Path) -> None:
    (tmp_path / ".pytest_cache").write_text("in the way", encoding="utf-8")

    done = run("triage", MONDAY, "-q")

    assert (done.code, done.out) == (0, "qe-defects: 2 causes behind 5 failures\n")
    assert "this run is not kept, and 'label' cannot speak of it" in done.err
    assert run("label", "last/1", "X").code == 4


def test_the_ini_file_says_where_root_and_cache_are(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\ncache_dir = kept\n", encoding="utf-8")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")

    assert run("triage", f"../{MONDAY}", "-q").code == 0
    assert run("label", "last/1", "BUG-1").code == 0

    assert (tmp_path / LABELS).is_file()
    assert (tmp_path / "kept" / "d" / "qeattention" / "defects.sqlite3").is_file()


def test_the_installed_command_is_the_same_and_merges_with_git(run: Run, tmp_path: Path) -> None:
    if shutil.which("git") is None:
        pytest.skip("there is no git")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@localhost", "-c", "init.defaultBranch=main"]

    def shell(*command: str) -> None:
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)

    command = [sys.executable, "-m", "pytest_qeattention", "defects", "learn", MONDAY, "--defect"]
    shell(*git, "init")
    (tmp_path / ".gitattributes").write_text(".qeattention/*.jsonl merge=union\n", encoding="utf-8")
    shell(*command, "BASE", "--only", "*[17]")
    shell(*git, "add", ".gitattributes", ".qeattention")
    shell(*git, "commit", "-m", "base")
    shell(*git, "checkout", "-b", "other")
    shell(*command, "OTHER", "--only", "*::test_total_of_two")
    shell(*git, "commit", "-am", "other")
    shell(*git, "checkout", "main")
    shell(*command, "MINE", "--only", "*::test_order_is_paid")
    shell(*git, "commit", "-am", "mine")
    shell(*git, "merge", "other")

    done = run("list")

    assert done.err == ""
    assert [line.split("  ")[1] for line in done.out.splitlines()[:3]] == ["BASE", "MINE", "OTHER"]


def test_a_test_case_without_class_or_file_has_no_empty_line_for_its_place(run: Run, tmp_path: Path) -> None:
    report = '<testsuite tests="1"><testcase name="c"><failure message="boom"/></testcase></testsuite>'
    (tmp_path / "bare.xml").write_text(report, encoding="utf-8")
    assert run("triage", "bare.xml").out.startswith("new  1 failure  last/1\n  boom\n    not seen before\n  ::c\n")

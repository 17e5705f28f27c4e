"""What the terminal says of a red run."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cause_reports import HOSTILE, KNOWN, LIKELY, NEW, REGRESSED, all_states, failures, red
from defect_failures import failure, without_text

from pytest_qeattention.defects.gate import Judgement, Passed
from pytest_qeattention.defects.history import Seen
from pytest_qeattention.defects.model import DefectsReport
from pytest_qeattention.report.causes import Beside
from pytest_qeattention.report.defects import defects_lines

KEPT = Beside(is_kept=True)


def shown(report: DefectsReport, beside: Beside = KEPT, **options: object) -> list[str]:
    return [line.text for line in defects_lines(report, beside=beside, **options)]  # type: ignore[arg-type]


def heads(lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith(("regressed  ", "new  ", "likely  ", "known  ", "cause  "))]


def test_what_needs_attention_comes_first_and_is_listed_once_more_at_the_end() -> None:
    lines = shown(all_states())

    assert heads(lines[:-8]) == [
        "regressed  1 failure  BUG-4 'yen'  confidence 1.00  last/4",
        "new  5 failures  last/2",
        "likely  2 failures  BUG-2  confidence 0.83  last/3",
        "known  12 failures  BUG-1  last/1",
    ]
    said = "pool.PoolExhausted: no free connection of 5 after 0.3 s"
    assert lines[-8:] == [
        f"regressed   1  last/4  BUG-4 'yen'  {said}",
        f"new         5  last/2  {said}",
        f"likely      2  last/3  BUG-2  {said}",
        f"known      12  last/1  BUG-1  {said}",
        "",
        "to say what last/2 is: qeattention defects label last/2 NAME",
        "knowledge base: 3 defects, 5 labelled failures",
        "qe-defects: 4 causes behind 20 failures (1 regressed, 1 new, 1 likely, 1 known)",
    ]


def test_a_new_cause_says_why_where_and_what_shares_it() -> None:
    beside = replace(KEPT, seen={"000000000000": Seen("2026-01-02T03", "2026-02-03T04", 3)})

    assert shown(red((NEW, failures(5))), beside) == [
        "new  5 failures  last/1",
        "  pool.PoolExhausted: no free connection of 5 after 0.3 s",
        "  src/pool.py:12  Pool.get",
        "    nearest is BUG-1 with 0.10",
        "    2 of 2 have provider=azure",
        "    same exception in all",
        "    messages agree",
        "    seen in 3 runs, first 2026-01-02, last 2026-02-03",
        "    looks like: A resource that ran out",
        "  tests/test_shop.py::test_order_0  (traceback ends at src/pool.py:12)",
        "  tests/test_shop.py::test_order_1",
        "  tests/test_shop.py::test_order_2",
        "  ... and 2 more (-v shows all)",
        "",
        "to say what last/1 is: qeattention defects label last/1 NAME",
        "knowledge base: 3 defects, 5 labelled failures",
        "qe-defects: 1 cause behind 5 failures",
    ]


def test_a_known_cause_is_short() -> None:
    beside = replace(KEPT, urls={"BUG-1": "https://bugs.example/1"})

    assert shown(red((KNOWN, failures(5))), beside)[:-3] == [
        "known  5 failures  BUG-1  last/1",
        "  pool.PoolExhausted: no free connection of 5 after 0.3 s",
        "  src/pool.py:12  Pool.get",
        "    https://bugs.example/1",
        "    the same as a labelled failure",
        "    2 of 2 have provider=azure",
        "    same exception in all",
        "    not seen before",
        "    looks like: A resource that ran out",
        "  tests/test_shop.py::test_order_0  (traceback ends at src/pool.py:12)",
        "  ... and 4 more (-v shows all)",
    ]


def test_a_guess_says_how_to_settle_it() -> None:
    lines = shown(red((LIKELY, failures(1)), (REGRESSED, failures(1, "test_b"))), Beside(is_kept=True, store="a dir"))

    assert "    runner-up BUG-3 has 0.20" in lines
    assert "    if it is: qeattention defects label last/1 BUG-2 --qe-store 'a dir'" in lines
    assert "    if it is not: qeattention defects reject last/1 --qe-store 'a dir'" in lines
    quoted = "'BUG-4 '\"'\"'yen'\"'\"''"
    assert f"    if it is not mended: qeattention defects close {quoted} --reopen --qe-store 'a dir'" in lines
    assert not any(line.startswith("to say what") for line in lines)


def test_a_run_that_is_not_kept_has_no_addresses() -> None:
    lines = shown(red((NEW, failures(1)), (LIKELY, failures(1, "test_b"))), Beside())

    assert heads(lines) == ["new  1 failure", "likely  1 failure  BUG-2  confidence 0.83"]
    assert "this run is not kept, so its causes cannot be named; --qe-store DIR keeps runs" in lines
    assert not any("last/" in line or "not seen before" in line for line in lines)


def test_verbose_shows_all_and_quiet_the_summary() -> None:
    found = red((NEW, failures(9, message="long " * 60)))

    full = shown(found, verbosity=1, preventions={"Another": "Close what you open."})
    assert full[0] == "new  9 failures  last/1  id 000000000000"
    assert " ".join(line.strip() for line in full[1:5]).startswith(f"pool.PoolExhausted: {('long ' * 60).strip()}")
    assert [line for line in full if "::test_order_" in line][1:] == [
        f"  tests/test_shop.py::test_order_{number}" for number in range(1, 9)
    ]
    assert "    a third reason" in full
    assert full[full.index("    looks like: Another") + 1] == "      Close what you open."
    assert shown(found, verbosity=-1) == ["qe-defects: 1 cause behind 9 failures"]


@pytest.mark.parametrize("width", [40, 60, 100])
def test_prose_is_wrapped_and_headlines_are_cut_to_the_terminal(width: int) -> None:
    found = red((NEW, failures(2, message="word " * 50)), (KNOWN, failures(1, "test_k")))
    found = replace(found, causes=tuple(replace(each, reasons=("because of " * 30,)) for each in found.causes))

    lines = shown(found, width=width)

    copied = ("  tests/", "  src/", "to say", "knowledge base", "qe-defects")
    assert max(len(line) for line in lines if not line.startswith(copied)) < width
    assert f"{'word ' * 50}".strip() not in "\n".join(lines)
    assert " ".join(" ".join(lines).split()).count("because of") == 60


def test_of_many_causes_the_first_are_shown() -> None:
    found = red(*((NEW, [failure(test=f"test_{number}")]) for number in range(25)))

    lines = shown(found, more="-v shows all, --json PATH writes all")

    assert len([line for line in lines if line.startswith("new  1 failure")]) == 20
    assert "... and 5 more causes (-v shows all, --json PATH writes all)" in lines
    assert len([line for line in shown(found, verbosity=1) if line.startswith("new  1 failure")]) == 25


def test_nothing_in_a_report_moves_the_cursor() -> None:
    record = failure(HOSTILE, test="test_\x1b[2J")
    match = replace(LIKELY, defect="B\x1b[0m", reasons=("why\x07\n",))
    found = red((match, [record]), *((NEW, [failure(HOSTILE, test=f"test_{n}")]) for n in range(4)))

    assert all(line.isprintable() for verbosity in (-1, 0, 1) for line in shown(found, verbosity=verbosity))


def test_a_failure_without_text_has_a_line() -> None:
    found = red((NEW, [without_text(failure())]))

    assert shown(found)[1] == "  nothing is said of the failure"
    assert "  tests/test_shop.py::test_order" in shown(found)


def test_what_was_not_looked_up_is_a_cause() -> None:
    found = red((None, failures(1)), knowledge=None, problems=("line 3 is damaged",))

    lines = shown(found)

    assert lines[0] == "cause  1 failure  last/1"
    assert lines[-2:] == ["line 3 is damaged", "qe-defects: 1 cause behind 1 failure"]


def test_of_many_problems_the_first_are_shown() -> None:
    found = red((NEW, failures(1)), problems=tuple(f"line {number} is damaged" for number in range(7)))

    lines = shown(found)

    assert lines[-9:-3] == [
        *(f"line {number} is damaged" for number in range(5)),
        "... and 2 more problems (-v shows all)",
    ]
    assert "line 6 is damaged" in shown(found, verbosity=1)


PASSED = tuple(Passed(f"test_a.py::test_{number}", "BUG-1", "2026-12-31") for number in range(5))


def test_the_gate_says_what_passed_as_what_and_until_when() -> None:
    judgement = Judgement((*PASSED, Passed("test_b.py::test_b", "A bug", "2026-11-30")))

    lines = shown(red((KNOWN, failures(6))), replace(KEPT, judgement=judgement))

    assert lines[-9:] == [
        "may pass until 2026-11-30: A bug  1 test",
        "  test_b.py::test_b",
        "may pass until 2026-12-31: BUG-1  5 tests",
        "  test_a.py::test_0",
        "  test_a.py::test_1",
        "  test_a.py::test_2",
        "  ... and 2 more (-v shows all)",
        "passed by --qe-known-ok: 6 failures, known and confirmed (A bug until 2026-11-30; BUG-1 until 2026-12-31)",
        "qe-defects: 1 cause behind 6 failures (1 known)",
    ]
    quiet = shown(red((KNOWN, failures(6))), replace(KEPT, judgement=judgement), verbosity=-1)
    assert quiet[1].startswith("passed by --qe-known-ok: 6 failures")


def test_the_gate_says_why_not() -> None:
    beside = replace(KEPT, judgement=Judgement(PASSED, "test_c.py::test_c is new"), gate="--known-ok")

    lines = shown(red((KNOWN, failures(5)), (NEW, failures(1, "test_n"))), beside)

    assert lines[-3:] == [
        "may pass until 2026-12-31: BUG-1  5 tests",
        "not passed by --known-ok: test_c.py::test_c is new",
        "qe-defects: 2 causes behind 6 failures (1 new, 1 known)",
    ]

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cause_reports import HOSTILE, LIKELY, NEW, all_states, failures, red
from defect_failures import failure

from pytest_qeattention.defects.model import DefectsReport
from pytest_qeattention.defects.record import TestFacts
from pytest_qeattention.report.causes import Beside
from pytest_qeattention.report.defects_github import cause_annotations
from pytest_qeattention.report.place import Places

PLACES = Places(Path("/repo"), Path("/repo/sub"))


def lines(found: DefectsReport) -> list[str]:
    return cause_annotations(found, PLACES, Beside(is_kept=True))


def test_a_cause_is_one_annotation_at_its_culprit() -> None:
    assert lines(red((LIKELY, failures(2)))) == [
        "::warning file=sub/src/pool.py,line=12,title=likely BUG-2%3A 2 failures (last/1)"
        "::pool.PoolExhausted: no free connection of 5 after 0.3 s%0Aconfidence 0.83%0Alike BUG-2"
        "%0Arunner-up BUG-3 has 0.20%0A2 of 2 have provider=azure%0Asame exception in all%0Amessages agree"
        "%0Aa third reason%0Anot seen before%0Atests/test_shop.py::test_order_0%0Atests/test_shop.py::test_order_1"
    ]


def test_the_level_is_that_of_the_state() -> None:
    assert [line.split(" ")[0] for line in lines(all_states())] == ["::error", "::error", "::warning", "::notice"]
    assert lines(red((None, failures(1)), knowledge=None))[0].startswith("::error ")
    assert lines(red()) == []


def test_without_a_culprit_it_stands_at_the_test() -> None:
    record = failure(at=None)
    record = replace(record, test=TestFacts("tests/test_shop.py", "test_order", 5), chain=())
    found = red((NEW, [record]))

    (line,) = lines(replace(found, causes=(replace(found.causes[0], culprit=None),)))

    assert line.startswith("::error file=sub/tests/test_shop.py,line=5,title=new")


def test_a_path_that_nobody_knows_is_left_out() -> None:
    record = replace(failure(at=None), test=TestFacts("", "FooTest::bar"), chain=())
    found = red((NEW, [record]))

    (line,) = lines(replace(found, causes=(replace(found.causes[0], culprit=None),)))

    assert line.startswith("::error title=new%3A 1 failure (last/1)::nothing is said of the failure")


def test_what_would_end_a_property_or_a_line_is_escaped() -> None:
    found = red((replace(LIKELY, defect="a,b::c\n%", reasons=(HOSTILE,)), [failure(HOSTILE, test="t\r\n::error::x")]))

    (line,) = lines(found)

    assert "\n" not in line
    assert "\r" not in line
    assert "\x1b" not in line
    assert ",title=likely a%2Cb%3A%3Ac\\n%25%3A 1 failure (last/1)::" in line
    assert "%0Ax|y `z` <b>::set-output name=a::1%250A [l](0) {0} \\r\\n::error::@team" in line


def test_no_more_of_a_level_than_github_shows() -> None:
    found = lines(red(*((match, [failure(test=f"test_{n}")]) for n in range(12) for match in (NEW, LIKELY))))

    assert [line.split(" ")[0] for line in found] == ["::error"] * 10 + ["::warning"] * 10
    assert found[9] == "::error title=3 causes more::The report of qe-defects has all of them."


def test_of_many_tests_the_first_are_named() -> None:
    (line,) = lines(red((NEW, failures(15))))

    assert line.endswith("%0Atests/test_shop.py::test_order_9%0Aand 5 others")

"""What the terminal and the JSON say of baselines, acknowledgements and thresholds."""

from __future__ import annotations

from typing import Any

from pytest_qeattention.report.document import similar_part
from pytest_qeattention.report.terminal import Section, similar_lines, summary
from pytest_qeattention.similarity.model import Acknowledgement, BaselineUse, Group, SimilarReport, Unit


def unit(name: str, line: int) -> Unit:
    return Unit(f"test_a.py::{name}", "test_a.py", line, name, name, line, line + 1, "")


ONE, TWO, THREE = unit("test_one", 1), unit("test_two", 5), unit("test_three", 9)
NEW = Group("g1", "duplicate", 1.0, (ONE, TWO, THREE), ("the same",), status="new", new_tests=(THREE,))
ACCEPTED = Group("g2", "similar", 0.9, (ONE, TWO), ("alike",), status="accepted")
SAID = Acknowledgement(TWO, 4, "on purpose")
USE = BaselineUse("kept/b.jsonl")


def report(*groups: Group, **changes: Any) -> SimilarReport:
    return SimilarReport("test-similarity", 9, groups, **changes)


def texts(found: SimilarReport, verbosity: int = 0) -> list[str]:
    return [line.text for line in similar_lines([Section(found)], verbosity=verbosity)]


def test_what_a_baseline_accepted_is_counted_and_not_shown() -> None:
    assert texts(report(ACCEPTED, NEW, baseline=USE)) == [
        "duplicate  3 tests  score 1.00  new",
        "  test_a.py:1  test_one",
        "  test_a.py:5  test_two",
        "  test_a.py:9  test_three  new",
        "    the same",
        "",
        "qe-similar: 9 tests, 1 new group (1 duplicate) covering 3 tests; 1 group accepted",
    ]
    assert texts(report(ACCEPTED, baseline=USE), verbosity=1)[0] == "similar  2 tests  score 0.90  id g2  accepted"


def test_a_group_of_which_all_is_new_says_so_once() -> None:
    fresh = Group("g1", "duplicate", 1.0, (ONE, TWO), status="new", new_tests=(ONE, TWO))

    lines = texts(report(fresh, baseline=USE))

    assert lines[:3] == ["duplicate  2 tests  score 1.00  new", "  test_a.py:1  test_one", "  test_a.py:5  test_two"]


def test_the_first_groups_are_the_first_findings() -> None:
    groups = [ACCEPTED] * 30 + [NEW] * 21

    lines = texts(report(*groups, baseline=USE))

    assert sum(line.startswith("duplicate") for line in lines) == 20
    assert "... and 1 more group (-v shows all)" in lines


def test_stale_entries_are_named_up_to_ten() -> None:
    many = BaselineUse("b.jsonl", tuple(("test_a.py", f"test_{number:02}") for number in range(12)))

    short, long = texts(report(baseline=many)), texts(report(baseline=many), verbosity=1)

    assert short[0] == "b.jsonl: 12 entries are out of date (moved, gone, or like no other any more): update it"
    assert short[1] == "  test_a.py  test_00"
    assert short[11] == "  ... and 2 more (-v shows all)"
    assert long[12] == "  test_a.py  test_11"
    one = texts(report(baseline=BaselineUse("b.jsonl", many.stale[:1])))
    assert one[0] == "b.jsonl: 1 entry is out of date (moved, gone, or like no other any more): update it"


def test_an_update_is_told_in_words() -> None:
    lines = texts(report(ACCEPTED, baseline=BaselineUse("b.jsonl", written="2 tests accepted, as it was")))

    assert lines == [
        "b.jsonl: 2 tests accepted, as it was",
        "qe-similar: 9 tests, no new groups; 1 group accepted",
    ]


def test_acknowledged_tests_are_counted_and_named_with_verbosity() -> None:
    found = report(acknowledged=(SAID,), unneeded=(Acknowledgement(ONE, 1, "long ago"),), below_threshold=2)

    assert texts(found) == [
        "not reported: 2 groups whose score is below qe_similar_thresholds",
        "qe-similar: 9 tests, no groups; 1 test acknowledged",
    ]
    assert texts(found, verbosity=1)[:6] == [
        "acknowledged",
        "  test_a.py:5  test_two  on purpose",
        "",
        "acknowledged, and in no group: not needed any more",
        "  test_a.py:1  test_one  long ago",
        "",
    ]


def test_with_verbosity_it_is_said_which_group_an_acknowledged_test_is_of() -> None:
    other = Acknowledgement(ONE, 1, "old")
    aside = Group("g4", "duplicate", 1.0, (ONE, TWO), acknowledged=(other, SAID))
    standing = Group("g5", "parametrize", 0.789, (ONE, THREE), acknowledged=(SAID,))

    lines = texts(report(standing, acknowledged=(other, SAID), set_aside=(aside,)), verbosity=1)

    start = lines.index("acknowledged")
    assert lines[start + 1 : start + 6] == [
        "  test_a.py:1  test_one  old",
        "    duplicate with test_two, score 1.00, id g4",
        "  test_a.py:5  test_two  on purpose",
        "    parametrize with test_one and 1 other, score 0.78, id g5",
        "    duplicate with test_one, score 1.00, id g4",
    ]


def test_a_reason_cannot_move_the_cursor() -> None:
    found = report(acknowledged=(Acknowledgement(TWO, 4, "a\x1b[31mb"),))

    assert "  test_a.py:5  test_two  a\\x1b[31mb" in texts(found, verbosity=1)


def test_the_json_says_all_of_it() -> None:
    standing = Group("g3", "similar", 0.9, (ONE, THREE), acknowledged=(SAID,))
    part = similar_part(
        report(NEW, ACCEPTED, standing, baseline=BaselineUse("b.jsonl", (("x.py", "test_x"),)), acknowledged=(SAID,))
    )

    said = {"nodeid": "test_a.py::test_two", "path": "test_a.py", "line": 4, "reason": "on purpose"}
    assert [group.get("status") for group in part["groups"]] == ["new", "accepted", None]
    assert [group.get("new_tests") for group in part["groups"]] == [["test_a.py::test_three"], [], None]
    assert part["groups"][2]["acknowledged"] == part["acknowledged"] == [said]
    assert part["baseline"] == {
        "path": "b.jsonl",
        "accepted": 1,
        "new": 2,
        "stale": [{"path": "x.py", "test": "test_x"}],
        "written": False,
    }
    aside = Group("g4", "duplicate", 1.0, (ONE, TWO), acknowledged=(SAID,))
    (set_aside,) = similar_part(report(set_aside=(aside,), acknowledged=(SAID,)))["set_aside"]
    assert (set_aside["id"], len(set_aside["tests"]), set_aside["acknowledged"]) == ("g4", 2, [said])
    assert not {"unneeded", "set_aside"} & set(part)
    assert "below_threshold" not in part


def test_without_a_baseline_nothing_is_said_of_it() -> None:
    group = Group("g1", "duplicate", 1.0, (ONE, TWO))

    assert summary(Section(report(group))) == "qe-similar: 9 tests, 1 group (1 duplicate) covering 2 tests"
    assert not {"status", "new_tests", "acknowledged"} & set(similar_part(report(group))["groups"][0])

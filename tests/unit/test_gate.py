from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_qeattention.similarity.baseline import Baseline, read_baseline
from pytest_qeattention.similarity.explain import IN_A_ROW, differences
from pytest_qeattention.similarity.gate import failure, settle
from pytest_qeattention.similarity.model import Group, Kind, SimilarReport, Unit
from pytest_qeattention.similarity.policy import Policy
from pytest_qeattention.similarity.scan import scan_source
from pytest_qeattention.similarity.suite import Suite
from pytest_qeattention.store import OutputError

Write = Callable[[str, str], list[Unit]]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a test file and give its tests."""

    def write(path: str, text: str) -> list[Unit]:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
        scan = scan_source(text.encode(), path, describe=lambda node, unit: None)
        return [found.unit for found in scan.functions]

    return write


def source(*marks: str) -> str:
    return "\n\n".join(
        f"def test_{number}():  {mark}\n    assert len('{number}')\n" for number, mark in enumerate(marks)
    )


def report(units: list[Unit], *groups: tuple[Kind, float, list[Unit]], **changes: object) -> SimilarReport:
    found = tuple(
        Group(f"id{number}", kind, score, tuple(members), ("the same",), "a fold")
        for number, (kind, score, members) in enumerate(groups)
    )
    return SimilarReport("test-similarity", len(units), found, **changes)  # type: ignore[arg-type]


def names(group: Group) -> list[str]:
    return [test.name for test in group.tests]


def test_reasons_are_those_of_the_tests_that_are_left(tmp_path: Path, write: Write) -> None:
    marks = {"'a', 1": "", "'b', 1": "  # qe: similar-ok on purpose", "'c', 3": "", "'d', 3": ""}
    text = "".join(f"def test_{at}():{mark}\n    f({given})\n\n" for at, (given, mark) in enumerate(marks.items()))
    units = write("test_a.py", text)
    found = replace(
        report(units, ("parametrize", 0.9, units)).groups[0],
        reasons=("the same shape", *differences(units), "cosine", f"{IN_A_ROW}; their names share it"),
    )

    settled = settle(SimilarReport("test-similarity", 4, (found,)), Suite(tuple(units)), Policy(tmp_path, tmp_path))

    (group,) = settled.groups
    left = [units[0], *units[2:]]
    assert differences(left) != differences(units)
    assert group.reasons == (
        *("the same shape", *differences(left), "cosine", "their names share it"),
        "found with 1 test more, acknowledged",
    )


def test_an_acknowledged_test_leaves_its_group(tmp_path: Path, write: Write) -> None:
    units = write("test_a.py", source("", "", "# qe: similar-ok on purpose", ""))

    settled = settle(report(units, ("duplicate", 1.0, units[:3])), Suite(tuple(units)), Policy(tmp_path, tmp_path))

    (group,) = settled.groups
    assert names(group) == ["test_0", "test_1"]
    assert group.reasons == ("the same", "found with 1 test more, acknowledged")
    assert group.suggestion is None
    assert [(each.test.name, each.reason) for each in settled.acknowledged] == [("test_2", "on purpose")]
    assert group.acknowledged == settled.acknowledged
    assert settled.set_aside == settled.unneeded == ()


def test_a_group_of_which_one_test_is_left_is_no_finding(tmp_path: Path, write: Write) -> None:
    units = write("test_a.py", source("# qe: similar-ok one", "", "# qe: similar-ok three"))

    settled = settle(report(units, ("duplicate", 1.0, units)), Suite(tuple(units)), Policy(tmp_path, tmp_path))

    assert settled.groups == ()
    (group,) = settled.set_aside
    assert names(group) == ["test_0", "test_1", "test_2"]
    assert [each.reason for each in group.acknowledged] == ["one", "three"]
    assert failure(settled.groups, {"duplicate"}) is None


def test_an_acknowledgement_without_a_group_or_a_reason_is_told(tmp_path: Path, write: Write) -> None:
    units = write("test_a.py", source("", "# qe: similar-ok", "# qe: similar-ok alone"))

    settled = settle(report(units, ("duplicate", 1.0, units[:2])), Suite(tuple(units)), Policy(tmp_path, tmp_path))

    assert len(settled.groups) == 1
    assert [each.test.name for each in settled.unneeded] == ["test_2"]
    assert [(problem.path, problem.line) for problem in settled.problems] == [("test_a.py", 5)]


def test_the_strictest_path_of_a_group_decides(tmp_path: Path, write: Write) -> None:
    old, new = write("old/test_a.py", source("", "")), write("new/test_b.py", source("", ""))
    policy = Policy(tmp_path, tmp_path, (("old/*", 0.95),))
    found = report(
        [*old, *new], ("similar", 0.94, old), ("similar", 0.95, old), ("similar", 0.5, new), ("similar", 0.9, old + new)
    )

    settled = settle(found, Suite((*old, *new)), policy)

    assert [group.id for group in settled.groups] == ["id1", "id2"]
    assert settled.below_threshold == 2


@pytest.mark.parametrize(
    ("fail_on", "expected"),
    [
        (set(), None),
        ({"duplicate"}, "1 group (1 duplicate)"),
        ({"parametrize"}, "2 groups (2 parametrize)"),
        ({"similar"}, None),
        ({"duplicate", "parametrize"}, "3 groups (1 duplicate, 2 parametrize)"),
    ],
)
def test_the_gate_looks_at_the_kinds_named(
    tmp_path: Path, write: Write, fail_on: set[str], expected: str | None
) -> None:
    units = write("test_a.py", source("", ""))
    groups = report(units, ("parametrize", 0.9, units), ("duplicate", 1.0, units), ("parametrize", 0.9, units)).groups

    assert failure(groups, fail_on) == expected


def test_what_the_baseline_accepted_never_fails(tmp_path: Path, write: Write) -> None:
    units = write("test_a.py", source("", ""))
    old, fresh = report(units, ("duplicate", 1.0, units), ("similar", 0.9, units)).groups
    groups = [replace(old, status="accepted"), replace(fresh, status="new")]

    assert failure(groups, {"duplicate"}) is None
    assert failure(groups, {"new"}) == "1 new group (1 similar)"
    assert failure(groups, {"duplicate", "new", "similar"}) == "1 new group (1 similar)"


def updating(tmp_path: Path, file: Path) -> Policy:
    baseline = read_baseline(file, "b.jsonl", update=True, update_flag="-")
    return Policy(tmp_path, tmp_path, baseline=baseline, update=True)


def test_an_update_accepts_what_was_found(tmp_path: Path, write: Write) -> None:
    units = write("test_a.py", source("", "", "# qe: similar-ok not this one"))
    found = report(units, ("duplicate", 1.0, units))

    settled = settle(found, Suite(tuple(units)), updating(tmp_path, tmp_path / "b.jsonl"))

    assert [group.status for group in settled.groups] == ["accepted"]
    assert settled.baseline is not None
    assert settled.baseline.written == "2 tests accepted, 2 added, 0 dropped"
    assert "test_2" not in (tmp_path / "b.jsonl").read_text()
    again = settle(found, Suite(tuple(units)), updating(tmp_path, tmp_path / "b.jsonl")).baseline
    assert again is not None
    assert again.written == "2 tests accepted, as it was"


def test_an_update_that_cannot_be_written_accepts_nothing(
    tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pytest_qeattention import store

    def refuse(*_: object) -> None:
        raise OutputError("cannot write b.jsonl: no space")

    monkeypatch.setattr(store, "write_atomically", refuse)
    units = write("test_a.py", source("", ""))

    settled = settle(
        report(units, ("duplicate", 1.0, units)), Suite(tuple(units)), updating(tmp_path, tmp_path / "b.jsonl")
    )

    assert [group.status for group in settled.groups] == ["new"]
    assert "no space; the baseline is as it was" in settled.problems[0].message
    assert settled.baseline is not None
    assert (settled.baseline.written, settled.baseline.error) == (None, "cannot write b.jsonl: no space")
    assert failure(settled.groups, {"new"}) is not None


def test_damaged_lines_of_the_baseline_are_among_the_problems(tmp_path: Path, write: Write) -> None:
    units = write("test_a.py", source("", ""))
    header = '{"format": "qeattention-similar-baseline", "version": 1}'
    (tmp_path / "b.jsonl").write_text(f"{header}\ngarbage\n", encoding="utf-8")
    baseline: Baseline = read_baseline(tmp_path / "b.jsonl", "b.jsonl", update=False, update_flag="-")

    settled = settle(
        report(units, ("duplicate", 1.0, units)), Suite(tuple(units)), Policy(tmp_path, tmp_path, baseline=baseline)
    )

    assert [(problem.path, problem.line) for problem in settled.problems] == [("b.jsonl", 2)]
    assert [group.status for group in settled.groups] == ["new"]

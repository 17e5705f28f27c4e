"""The last day on which a gate may let a defect pass: how it is said, kept, merged and read."""

from __future__ import annotations

from pathlib import Path

import pytest
from defect_failures import failure

from pytest_qeattention.defects.knowledge import Knowledge, Teacher
from pytest_qeattention.defects.knowledge_file import KnowledgeError, parse
from pytest_qeattention.defects.pattern import Pattern
from pytest_qeattention.defects.statements import KINDS, Statement, checked_date, settled

PATTERN = Pattern.of(failure())
AT = "2026-01-01T00:00:00.00000{}Z"


@pytest.fixture
def teacher(tmp_path: Path) -> Teacher:
    return Teacher(tmp_path / "defects.jsonl", "me")


def test_a_day_is_kept_and_the_newest_holds(teacher: Teacher) -> None:
    teacher.label([PATTERN], "BUG-1", until="2998-12-31")
    assert Knowledge.load(teacher.file).defects["BUG-1"].expires == "2998-12-31"

    teacher.label([PATTERN], "BUG-1", until=" 2997-02-28 ")
    known = teacher.label([PATTERN], "BUG-1")

    assert known.defects["BUG-1"].expires == "2997-02-28"
    assert [each.value for each in known.contents.statements if each.kind == "expires"] == ["2997-02-28"]


def test_none_was_set_by_default(teacher: Teacher) -> None:
    assert teacher.label([PATTERN], "BUG-1").defects["BUG-1"].expires is None


@pytest.mark.parametrize(
    ("until", "reason"),
    [
        ("tomorrow", "'tomorrow' is no day such as 2026-12-31, so nothing was changed"),
        ("2999-02-30", "'2999-02-30' is no day of the calendar, so nothing was changed"),
        ("20991231", "'20991231' is no day such as"),
        ("٢٠٩٩-12-31", "is no day such as"),
        ("", "'' is no day such as"),
        ("2020-01-01", "2020-01-01 is over (today is "),
    ],
)
def test_what_is_no_day_to_come_changes_nothing(teacher: Teacher, until: str, reason: str) -> None:
    with pytest.raises(KnowledgeError) as raised:
        teacher.label([PATTERN], "BUG-1", until=until)

    assert reason in str(raised.value)
    assert not teacher.file.exists()


def test_a_line_gives_its_statement_back() -> None:
    statement = Statement("expires", "BUG-1", AT.format(1), "me", "2999-12-31")

    assert Statement.from_text(statement.text) == statement
    assert '"value":"2999-12-31"' in statement.text


@pytest.mark.parametrize("value", ["2999-13-01", "31.12.2999", "", "never", None])
def test_a_line_without_a_day_is_kept_and_not_used(value: str | None) -> None:
    line = Statement("expires", "BUG-1", AT.format(1), "me", value).text.encode()

    contents = parse(line)

    assert contents.statements == ()
    assert contents.kept == (line,)
    assert contents.problems[0].message.startswith("is damaged (")


def test_an_older_version_names_a_line_of_a_kind_that_it_does_not_know() -> None:
    line = Statement("expires", "BUG-1", AT.format(1), "me", "2999-12-31").text.replace("expires", "haunts").encode()

    (problem,) = parse(line).problems

    assert problem.message.endswith("; it is kept and not used; correct or delete it")


def test_lines_of_the_same_time_hold_in_one_order() -> None:
    one, other = (Statement("expires", "BUG-1", AT.format(1), "me", day) for day in ("2999-01-01", "2999-01-02"))

    assert settled([one, other]) == settled([other, one]) == (other,)
    assert KINDS.index("expires") < KINDS.index("label")


def test_of_merged_defects_the_first_day_counts_until_one_is_set(teacher: Teacher) -> None:
    teacher.label([PATTERN], "BUG-1", until="2999-05-05")
    teacher.label([Pattern.of(failure("another"))], "BUG-2", until="2999-03-03")
    teacher.label([Pattern.of(failure("a third"))], "BUG-3")

    known = teacher.merge("BUG-1", "BUG-3")
    assert known.defects["BUG-3"].expires == "2999-05-05"
    assert teacher.merge("BUG-2", "BUG-3").defects["BUG-3"].expires == "2999-03-03"
    assert teacher.label([PATTERN], "BUG-3", until="2999-09-09").defects["BUG-3"].expires == "2999-09-09"


def test_a_day_is_written_as_it_is_compared() -> None:
    assert checked_date("2999-12-31") == "2999-12-31"
    with pytest.raises(ValueError, match="no day such as"):
        checked_date("2999-1-1")

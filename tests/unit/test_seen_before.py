"""When the causes of a run were seen before: they themselves, or the defects that they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from cause_reports import KNOWN, LIKELY, NEW, red
from defect_failures import failure

from pytest_qeattention.defects.history import History, Seen
from pytest_qeattention.defects_memory import seen_before

DAYS = [f"2026-01-0{day}T00:00:00.000000Z" for day in range(1, 6)]
FIRST, SECOND = failure(), failure("another message")


@pytest.fixture
def history(tmp_path: Path) -> History:
    kept = History(tmp_path)
    kept.add(red((KNOWN, [FIRST])), source="a", at=DAYS[0])
    kept.add(red((NEW, [SECOND])), source="b", at=DAYS[1])
    kept.add(red((KNOWN, [FIRST]), (NEW, [SECOND])), source="c", at=DAYS[3])
    return kept


def test_a_cause_is_seen_by_its_signature(history: History) -> None:
    assert seen_before(history, red((NEW, [SECOND]))) == {"000000000000": Seen(DAYS[1], DAYS[3], 2)}
    assert seen_before(history, red((None, [FIRST]), knowledge=None)) == {"000000000000": Seen(DAYS[0], DAYS[3], 2)}


def test_a_defect_is_seen_in_other_failures_too(history: History) -> None:
    unseen = failure("a third message")

    assert seen_before(history, red((KNOWN, [unseen]))) == {"000000000000": Seen(DAYS[0], DAYS[3], 2)}
    history.add(red((NEW, [unseen])), source="d", at=DAYS[4])
    assert seen_before(history, red((KNOWN, [unseen]))) == {"000000000000": Seen(DAYS[0], DAYS[4], 2)}


def test_what_was_never_seen_is_absent_and_a_guess_has_no_dates(history: History) -> None:
    unseen = failure("a third message")

    assert seen_before(history, red((NEW, [unseen]), (replace(LIKELY, defect="BUG-1"), [failure("a fourth")]))) == {}
    assert seen_before(History(history.file.parent / "none"), red((KNOWN, [FIRST]))) == {}

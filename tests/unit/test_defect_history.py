"""The history of runs: addresses, bounds, several runs at once, files that are none."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from defect_failures import failure, report

from pytest_qeattention.defects import history as module
from pytest_qeattention.defects.history import History, HistoryError, HistoryFileError, Seen
from pytest_qeattention.defects.model import Match
from pytest_qeattention.defects.pattern import Pattern

POOL = [failure(test="test_order", parameter=name) for name in ("tea", "cup")]
PRICE = failure("bad price '3,50'", type_="ValueError", at="parse", test="test_price")


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "d" / "qeattention")


def day(number: int) -> str:
    return f"2999-01-{number:02}T00:00:00.000000Z"


def rows(history: History, table: str) -> int:
    database = sqlite3.connect(history.file)
    count = database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    database.close()
    return int(count)


def test_nothing_is_made_by_asking(history: History) -> None:
    assert history.runs() == ()
    assert history.seen("signature", ["x"]) == {}
    with pytest.raises(HistoryError, match="no run with failures is kept, so 'last/1' stands for nothing"):
        history.find("last/1")
    assert not history.file.parent.exists()


def test_addresses_of_causes_and_tests(history: History) -> None:
    first = report(POOL, [PRICE])
    history.add(first, source="a.xml", tests=7, at=day(1))

    cause = history.find("last/2")
    assert (cause.run.source, cause.run.tests, cause.run.at) == ("a.xml", 7, day(1))
    assert [each.nodeid for each in cause.failures] == ["tests/test_shop.py::test_price"]
    assert cause.failures[0].pattern == Pattern.of(PRICE)
    assert cause.failures[0].message == "bad price '3,50'"
    assert history.find(first.causes[0].id) == history.find("last/1")
    assert history.find(first.causes[1].id[:11] + "1").cause == cause.cause
    one = history.find("tests/test_shop.py::test_order[tea]")
    assert ([each.nodeid for each in one.failures], one.cause) == (["tests/test_shop.py::test_order[tea]"], None)
    assert len(history.find("tests/test_shop.py::test_order").failures) == 2


def test_last_alone_stands_for_an_only_cause(history: History) -> None:
    history.add(report(POOL), source="a.xml", at=day(1))
    assert history.find("last") == history.find("last/1")

    history.add(report(POOL, [PRICE]), source="b.xml", at=day(2))
    with pytest.raises(HistoryError, match="the last run, which has 2; it has 2 causes, last/1 to last/2"):
        history.find("last")


def test_the_id_of_a_cause_of_an_older_run_is_found_and_its_place_is_not(history: History) -> None:
    old = report(POOL, [PRICE])
    history.add(old, source="a.xml", at=day(1))
    newer = report([PRICE])
    history.add(replace(newer, causes=(replace(newer.causes[0], id="abcdefabcdef"),)), source="b.xml", at=day(2))

    assert history.find(old.causes[1].id).run.source == "a.xml"
    with pytest.raises(HistoryError, match="the last run has no cause 2, so 'last/2' stands for nothing; it has 1"):
        history.find("last/2")
    with pytest.raises(HistoryError, match="several causes have ids that begin with '000000'; give the whole id"):
        history.find("000000")


@pytest.mark.parametrize(
    ("address", "hint"),
    [
        ("tests/test_shop.py::test_prise", "did you mean 'tests/test_shop.py::test_price'?"),
        ("ffffffffffff", "it has 2 causes, last/1 to last/2, or name a test"),
        ("last/0", "the last run has no cause 0"),
        ("", "is no cause that is kept, and no test that failed in the last run"),
    ],
)
def test_an_address_of_nothing_says_what_there_is(history: History, address: str, hint: str) -> None:
    history.add(report(POOL, [PRICE]), source="a.xml")

    with pytest.raises(HistoryError) as caught:
        history.find(address)

    assert hint in str(caught.value)


def test_first_and_last_seen_outlive_the_runs(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_RUNS", 2)
    signature = POOL[0].signature()
    for number in (1, 2, 3):
        found = report(POOL)
        known = replace(found.causes[0], match=Match("known", "BUG-1"))
        history.add(replace(found, causes=(known,)), source=f"{number}.xml", at=day(number))
    history.add(report([PRICE]), source="4.xml", at=day(4))

    assert [run.source for run in history.runs()] == ["3.xml", "4.xml"]
    assert rows(history, "failures") == 3
    assert history.seen("signature", [signature, "none"]) == {signature: Seen(day(1), day(3), 3)}
    assert history.seen("defect", ["BUG-1"]) == {"BUG-1": Seen(day(1), day(3), 3)}


def test_bytes_and_days_are_bounded_and_the_last_run_stays(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    history.add(report(POOL), source="old.xml", at="2001-01-01T00:00:00.000000Z")
    history.add(report(POOL), source="a.xml")
    assert [run.source for run in history.runs()] == ["a.xml"]

    monkeypatch.setattr(module, "LARGEST_BYTES", 10)
    history.add(report(POOL, [PRICE]), source="b.xml")
    assert [run.source for run in history.runs()] == ["b.xml"]

    monkeypatch.setattr(module, "MOST_SEEN", 1)
    history.add(report([PRICE]), source="c.xml", at=day(9))
    assert list(history.seen("signature", [PRICE.signature(), POOL[0].signature()])) == [PRICE.signature()]


def test_a_file_that_is_looked_at_again_is_one_run(history: History) -> None:
    for number, digest in enumerate(("one", "one", "two", None, None), 1):
        history.add(report(POOL, [PRICE]), source="a.xml", at=day(number), digest=digest)

    # The second look took the place of the first; what came from no file, or another, is a run of its own.
    assert [run.at for run in history.runs()] == [day(2), day(3), day(4), day(5)]
    assert rows(history, "failures") == 12
    assert history.seen("signature", [PRICE.signature()])[PRICE.signature()] == Seen(day(1), day(5), 4)


def test_runs_at_once_are_all_kept(history: History) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: History(history.file.parent).add(report(POOL), source=f"{number}"), range(12)))

    assert sorted(int(run.source) for run in history.runs()) == list(range(12))
    assert history.seen("signature", [POOL[0].signature()])[POOL[0].signature()].runs == 12


def foreign(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE songs (name TEXT)")
    database.execute("PRAGMA user_version = 1")
    database.close()


def newer(path: Path) -> None:
    History(path.parent).add(report(POOL), source="a.xml")
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 2")
    database.close()


def damaged(path: Path) -> None:
    path.write_bytes(b"no database at all " * 1_000)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (foreign, "is the database of another program"),
        (newer, "has format 2, newer than this plugin's 1"),
        (damaged, "is damaged"),
    ],
)
def test_a_file_that_is_none_of_ours_is_set_aside_and_said(history: History, make: object, said: str) -> None:
    history.file.parent.mkdir(parents=True)
    make(history.file)  # type: ignore[operator]
    before = history.file.read_bytes()

    history.add(report([PRICE]), source="b.xml")

    assert [run.source for run in history.runs()] == ["b.xml"]
    (problem,) = history.problems
    assert said in problem
    assert "it was set aside as defects-1.old.sqlite3, and the history begins anew" in problem
    assert len(history.file.with_name("defects-1.old.sqlite3").read_bytes()) == len(before)


def test_a_second_file_is_set_aside_beside_the_first(history: History) -> None:
    for number in (1, 2):
        history.file.parent.mkdir(parents=True, exist_ok=True)
        damaged(history.file)
        assert History(history.file.parent).runs() == ()
        assert history.file.with_name(f"defects-{number}.old.sqlite3").exists()


def test_failures_that_cannot_be_read_are_left_out(history: History) -> None:
    history.add(report(POOL), source="a.xml")
    database = sqlite3.connect(history.file)
    database.execute("UPDATE failures SET pattern = '{' WHERE number = 1")
    database.commit()
    database.close()

    assert [each.nodeid for each in history.find("last/1").failures] == ["tests/test_shop.py::test_order[cup]"]


def test_what_cannot_be_written_is_an_error_with_the_path(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("", encoding="utf-8")
    history = History(tmp_path / "taken")

    with pytest.raises(HistoryFileError, match=r"the history of runs in .*defects\.sqlite3 cannot be used"):
        history.add(report(POOL), source="a.xml")

"""The numbers by which a failure is compared with known defects, against the same worked out slowly."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from defect_failures import failure
from defect_patterns import drawn

from pytest_qeattention.defects.pattern import Pattern
from pytest_qeattention.defects.pattern_signals import (
    BAGS,
    EQUAL,
    FRAME_SIGNALS,
    GROUNDS,
    MOST_WORDS,
    TEST_SIGNALS,
    bare,
)
from pytest_qeattention.defects.pattern_table import COLUMNS, MOST_OF_A_DEFECT, NEW_COLUMNS, PatternTable

Numbers = dict[tuple[str, str], float]


def slow(
    patterns: Sequence[Pattern],
    owners: Sequence[int],
    pattern: Pattern,
    asked: Sequence[int],
    attention: Sequence[float],
) -> tuple[list[Numbers], Numbers]:
    """Work out what `PatternTable.compare` returns, by the definitions and pair by pair."""
    count = max(owners) + 1
    of = {
        owner: [each for each, own in zip(patterns, owners, strict=True) if own == owner][-MOST_OF_A_DEFECT:]
        for owner in range(count)
    }
    rows: list[Numbers] = [{} for _ in asked]
    new: Numbers = {("always", "1"): 1.0, ("defects", "log"): math.log(count)}
    for name, value_of in EQUAL:
        value = value_of(pattern)
        values = {owner: [value_of(each) for each in own if value_of(each) is not None] for owner, own in of.items()}
        having = [owner for owner in of if value in values[owner]]
        new[name, "of no defect"] = float(value is not None and not having)
        for row, owner in zip(rows, asked, strict=True):
            is_met = value is not None and owner in having
            row[name, "of one"] = float(is_met)
            row[name, "share"] = values[owner].count(value) / len(values[owner]) if is_met else 0.0
            row[name, "this defect alone"] = 1 / len(having) if is_met else 0.0
            row[name, "other"] = float(value is not None and bool(values[owner]) and not is_met)
    for name, bag_of in BAGS:
        words = {owner: {word for each in own for word in bag_of(each)} for owner, own in of.items()}

        def rarity(word: str, words: Mapping[int, set[str]] = words) -> float:
            having = sum(word in some for some in words.values())
            return math.log(1 + count / having) if having else math.log(1 + 2 * count)

        own = {word: weight * rarity(word) for word, weight in bag_of(pattern).items()}
        length = math.hypot(*own.values())
        unknown = [weight for word, weight in own.items() if not any(word in some for some in words.values())]
        new[name, "of no defect"] = math.hypot(*unknown) ** 2 / length**2 if own else 0.0
        new[name, "nearest"] = 0.0
        for row, owner in zip(rows, asked, strict=True):
            cosines = []
            for each in of[owner]:
                theirs = {word: weight * rarity(word) for word, weight in bag_of(each).items()}
                product = sum(weight * own.get(word, 0.0) for word, weight in theirs.items())
                cosines.append(product / (length * math.hypot(*theirs.values())) if own and theirs else 0.0)
            row[name, "nearest"] = max(cosines)
            row[name, "mean"] = sum(cosines) / len(cosines)
            new[name, "nearest"] = max(new[name, "nearest"], row[name, "nearest"])
    for row, owner, share in zip(rows, asked, attention, strict=True):
        row["attention", "share"] = share
        row["labelled failures", "log"] = math.log(len(of[owner]))
    return rows, new


def compared(table: PatternTable, pattern: Pattern, asked: Sequence[int]) -> tuple[list[Numbers], Numbers]:
    """Return what the table says, by the names of the columns."""
    numbers, novelty = table.compare(pattern, asked, [0.0] * len(asked))
    assert (numbers.dtype, numbers.shape, novelty.shape) == (
        np.float64,
        (len(asked), len(COLUMNS)),
        (len(NEW_COLUMNS),),
    )
    return [dict(zip(COLUMNS, row.tolist(), strict=True)) for row in numbers], dict(
        zip(NEW_COLUMNS, novelty.tolist(), strict=True)
    )


@pytest.mark.parametrize("seed", range(12))
def test_numbers_are_what_the_definitions_say(seed: int) -> None:
    chosen = random.Random(seed)
    count = chosen.choice([1, 2, 9])
    size = chosen.choice([count, 30, 160])
    patterns = drawn(size, seed)
    # Each defect has one pattern at least, and some have more than are compared.
    owners = [*range(count), *chosen.choices(range(count), [8, *[1] * (count - 1)], k=size - count)]
    table = PatternTable(patterns, owners)

    for pattern in [*drawn(8, seed + 1_000), patterns[0], patterns[-1]]:
        asked = chosen.sample(range(count), chosen.randint(1, count))
        attention = [chosen.random() for _ in asked]
        numbers, novelty = table.compare(pattern, asked, attention)
        rows, new = slow(patterns, owners, pattern, asked, attention)

        np.testing.assert_allclose(numbers, [[row[column] for column in COLUMNS] for row in rows], atol=2e-6)
        np.testing.assert_allclose(novelty, [new[column] for column in NEW_COLUMNS], atol=2e-6)


def test_patterns_that_are_drawn_say_something_in_every_column() -> None:
    patterns = drawn(60, 3)
    table = PatternTable(patterns, [at % 20 for at in range(60)])
    numbers = np.concatenate([table.compare(each, range(20), [0.5] * 20)[0] for each in drawn(60, 4)])

    still = [column for column, spread in zip(COLUMNS, np.ptp(numbers, axis=0), strict=True) if spread == 0.0]
    # Each defect has three failures here, and half of the attention.
    assert still == [("attention", "share"), ("labelled failures", "log")]


def test_a_signal_tells_how_far_it_can_be_trusted() -> None:
    pool = [Pattern.of(failure(test=f"test_{number}")) for number in range(3)]
    pool += [Pattern.of(failure("other words", type_="Other"))]
    twin = Pattern.of(failure("bad price", type_="pool.PoolExhausted", at="parse"))
    disk = Pattern.of(failure("disk is full", type_="OSError", at=None))
    table = PatternTable([*pool, twin, disk], [0, 0, 0, 0, 1, 2])

    (first, second, third), new = compared(table, Pattern.of(failure(test="test_9")), [0, 1, 2])

    parts = ("of one", "share", "this defect alone", "other")
    # Three of four failures of the first defect have the exception, and a second defect has it too.
    assert [first["exception", part] for part in parts] == [1.0, 0.75, 0.5, 0.0]
    assert [second["exception", part] for part in parts] == [1.0, 1.0, 0.5, 0.0]
    assert [third["exception", part] for part in parts] == [0.0, 0.0, 0.0, 1.0]
    assert [first["message", part] for part in parts] == [1.0, 0.75, 1.0, 0.0]
    # What a defect has nothing of speaks neither for nor against it.
    assert [third["product frame that raised", part] for part in parts] == [0.0] * 4
    assert second["product frame that raised", "other"] == 1.0
    assert first["words of the message", "nearest"] == pytest.approx(1.0)
    assert first["words of the message", "mean"] == pytest.approx(0.75)
    assert first["labelled failures", "log"] == pytest.approx(math.log(4))
    assert (new["exception", "of no defect"], new["test function", "of no defect"]) == (0.0, 1.0)


def test_what_is_rare_is_rare_among_defects() -> None:
    often = [Pattern.of(failure("lake full", test=f"test_{number}")) for number in range(30)]
    once = Pattern.of(failure("river dry"))
    third = Pattern.of(failure("sun"))
    (one, two), _ = compared(
        PatternTable([*often, once, third], [0] * 30 + [1, 2]), Pattern.of(failure("lake river")), [0, 1]
    )

    nearest = ("words of the message", "nearest")
    assert one[nearest] == pytest.approx(two[nearest])
    assert one[nearest] == pytest.approx(0.5)


def test_the_newest_failures_of_a_defect_are_compared() -> None:
    old = [Pattern.of(failure("old words", type_="Old"))] * 10
    new = [Pattern.of(failure("new words", type_="New"))] * MOST_OF_A_DEFECT
    table = PatternTable([*old, Pattern.of(failure("third")), *new], [*[0] * 10, 1, *[0] * MOST_OF_A_DEFECT])

    (row,), novelty = compared(table, old[0], [0])
    assert (row["exception", "of one"], row["exception", "other"]) == (0.0, 1.0)
    assert row["labelled failures", "log"] == pytest.approx(math.log(MOST_OF_A_DEFECT))
    assert novelty["exception", "of no defect"] == 1.0
    (row,), novelty = compared(table, new[0], [0])
    assert (row["exception", "share"], novelty["exception", "of no defect"]) == (1.0, 0.0)


def test_one_comparison_leaves_nothing_behind_for_the_next() -> None:
    patterns = drawn(40, 5)
    owners = [at % 7 for at in range(40)]
    table = PatternTable(patterns, owners)
    asked = [table.compare(each, [6, 0, 3], [0.1, 0.2, 0.7]) for each in patterns]

    for pattern, (numbers, novelty) in zip(reversed(patterns), reversed(asked), strict=True):
        again, new = table.compare(pattern, [6, 0, 3], [0.1, 0.2, 0.7])
        assert np.array_equal(again, numbers)
        assert np.array_equal(new, novelty)
        one, _ = PatternTable(patterns, owners).compare(pattern, [3], [0.7])
        np.testing.assert_allclose(one[0], numbers[2], atol=1e-12)


def test_places_are_the_same_live_and_in_a_junit_file() -> None:
    live, told = ("src/shop/pool.py", "Pool.get"), ("pool.py", "get")
    assert bare(live) == bare(told) == "pool.py::get"
    one = Pattern.of(failure())
    other = replace(one, frames=tuple((path.rpartition("/")[2], name.rpartition(".")[2]) for path, name in one.frames))
    for name, value_of in EQUAL:
        if name in FRAME_SIGNALS - {"signature"}:
            assert value_of(one) == value_of(other), name
    for name, bag_of in BAGS:
        assert bag_of(one) == bag_of(other), name


def test_what_a_failure_lacks_is_none_and_no_word() -> None:
    empty = replace(Pattern.of(failure(at=None)), type="", template="", digest="", test="", path="", test_statement="")

    assert [name for name, value_of in EQUAL if value_of(empty) is not None] == ["phase"]
    assert [name for name, bag_of in BAGS if bag_of(empty)] == []


def test_names_of_signals_are_names_of_signals() -> None:
    names = {name for name, _ in (*EQUAL, *BAGS)}
    assert len(names) == len(EQUAL) + len(BAGS)
    assert names >= TEST_SIGNALS | FRAME_SIGNALS | GROUNDS.keys()
    # What has no ground of its own is of the test.
    assert names - GROUNDS.keys() <= TEST_SIGNALS
    assert len(set(COLUMNS)) == len(COLUMNS)
    assert len(set(NEW_COLUMNS)) == len(NEW_COLUMNS)


def test_a_message_without_end_has_a_bag_with_one() -> None:
    pattern = replace(
        Pattern.of(failure()), template=" ".join(f"word{chr(97 + n % 26) * (n // 26 + 2)}" for n in range(500))
    )
    bag = dict(BAGS)["words of the message"](pattern)
    assert len(bag) == MOST_WORDS
    assert set(dict(BAGS)["words of the message"](replace(pattern, template="tea tea cup")).values()) == {1.5, 1.0}

"""Why a failure is one defect and not another: named are the signals that decided, with what they count."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from defect_failures import failure
from defect_patterns import MODEL, drawn

from pytest_qeattention.defects.match_reasons import Reason, against, for_defect, grounds_of, shown
from pytest_qeattention.defects.pattern import Pattern
from pytest_qeattention.defects.pattern_signals import BAGS, EQUAL, GROUNDS
from pytest_qeattention.defects.pattern_table import BAG_PARTS, COLUMNS, EQUAL_PARTS, PatternTable
from pytest_qeattention.defects.record import Assertion

POOL = Pattern.of(failure())
PRICE = Pattern.of(failure("bad price", type_="ValueError", at="parse", test="test_price"))
WEIGHTS, _ = MODEL.rows(is_framed=True)


def row(**values: float) -> np.ndarray:
    """Return numbers of a defect; ``exception__of_one`` is a column."""
    found = np.zeros(len(COLUMNS))
    for name, value in values.items():
        signal, _, part = name.replace("_", " ").partition("  ")
        found[COLUMNS.index((signal, part))] = value
    return found


def test_what_decided_is_named_with_its_value_and_what_it_counts() -> None:
    table = PatternTable([POOL, PRICE], [0, 1])
    pattern = Pattern.of(failure(test="test_refund"))
    (pool, price), _ = table.compare(pattern, [0, 1], [0.9, 0.1])

    reasons = for_defect(pattern, pool, price, WEIGHTS)

    # Over the runner-up: 3 for the message and 1 for its not having it, 2 and 1 for the frame, 1 for the exception.
    assert [(reason.signal, round(reason.gain, 4)) for reason in reasons] == [
        ("message", 4.0),
        ("product frame that raised", 3.0),
        ("words of the message", 2.0),
        ("exception", 1.0),
    ]
    assert shown(reasons) == (
        "same message no free connection of <number> after <duration> (+4.0), "
        "same product frame that raised pool.py::get (+3.0), "
        "words of the message alike (cosine 1.00) (+2.0)"
    )
    alone = for_defect(pattern, pool, None, WEIGHTS)
    assert [reason.gain for reason in alone] == pytest.approx([3.0, 2.0, 2.0, 1.0])
    assert reasons[3].text == "same exception pool.PoolExhausted"


def test_why_not_the_runner_up_is_what_it_has_otherwise() -> None:
    table = PatternTable([POOL, PRICE], [0, 1])
    (pool, price), _ = table.compare(POOL, [0, 1], [0.9, 0.1])

    assert against(POOL, price, WEIGHTS) == "another message, another product frame that raised, another exception"
    assert against(Pattern.of(failure(at=None)), price, MODEL.rows(is_framed=False)[0]).startswith("another message")
    assert against(POOL, pool, WEIGHTS) == ""
    # What counts for nothing is not named, and neither is what the failure has nothing of.
    assert against(POOL, price, np.zeros(len(COLUMNS))) == ""
    assert against(replace(POOL, type="", template="", frames=(), test=""), price, WEIGHTS) == ""


@pytest.mark.parametrize("seed", range(4))
def test_gains_are_the_difference_of_the_utilities(seed: int) -> None:
    chosen = np.random.default_rng(seed)
    weights = chosen.normal(size=len(COLUMNS))
    patterns = drawn(40, seed)
    table = PatternTable(patterns, [at % 5 for at in range(40)])
    met = {column: at for at, column in enumerate(COLUMNS)}
    for pattern in drawn(6, seed + 100):
        (one, other), _ = table.compare(pattern, [0, 3], [0.4, 0.2])

        reasons = for_defect(pattern, one, other, weights)

        assert [reason.gain for reason in reasons] == sorted((each.gain for each in reasons), reverse=True)
        gains = {reason.signal: reason.gain for reason in reasons}
        for names, parts in ((EQUAL, EQUAL_PARTS), (BAGS, BAG_PARTS)):
            for name, _ in names:
                columns = [met[name, part] for part in parts]
                gain = float(weights[columns] @ (one[columns] - other[columns]))
                is_met = one[columns[0]] > (0.0 if parts is EQUAL_PARTS else 0.1)
                assert gains.get(name) == (pytest.approx(gain) if is_met and gain >= 0.2 else None), name


def test_what_speaks_against_the_defect_is_no_reason_for_it() -> None:
    weights = row(exception__of_one=-1.0, message__of_one=0.1, culprit__other=2.0)
    own = row(exception__of_one=1.0, message__of_one=1.0, culprit__other=1.0)

    # The culprit counts for it, and is not what they have in common.
    assert for_defect(POOL, own, None, weights) == []
    assert shown([]) == ""


def test_few_reasons_are_shown_and_long_values_are_cut() -> None:
    reasons = [Reason("exception", 9.0 - at, f"reason {at}") for at in range(5)]
    assert shown(reasons) == "reason 0 (+9.0), reason 1 (+8.0), reason 2 (+7.0)"

    long = Pattern.of(failure("word " * 50))
    (only,), _ = PatternTable([long], [0]).compare(long, [0], [1.0])
    texts = {reason.signal: reason.text for reason in for_defect(long, only, None, np.ones(len(COLUMNS)))}
    assert texts["message"] == "same message " + ("word " * 12)[:59] + "…"
    # Digests say nothing to a reader.
    assert texts["signature"] == "same signature"
    assert texts["message with all values"] == "same message with all values"
    assert texts["product statement that raised"] == "same product statement that raised raise PoolExhausted(size)"


def test_an_assertion_is_told_by_its_parts() -> None:
    pattern = Pattern.of(failure(at=None, assertion=Assertion("==", "int", "str", "type", "shop.total")))
    (only,), _ = PatternTable([pattern], [0]).compare(pattern, [0], [1.0])

    texts = {reason.signal: reason.text for reason in for_defect(pattern, only, None, np.ones(len(COLUMNS)))}

    assert texts["types of operands"] == "same types of operands == int str"
    assert texts["kind of difference"] == "same kind of difference == type"
    assert texts["function asserted of"] == "same function asserted of total"


def test_grounds_are_what_took_part() -> None:
    own = row(exception__of_one=1.0, message__of_one=1.0, test_function__of_one=1.0)

    assert grounds_of(own, WEIGHTS) == {"exception", "message", "test"}
    assert grounds_of(row(product_frame_that_raised__of_one=1.0), WEIGHTS) == {"product frame"}
    # What lowers the probability, or is not in common, takes no part.
    assert grounds_of(row(message__other=1.0), WEIGHTS) == frozenset()
    assert grounds_of(own, -np.abs(WEIGHTS)) == frozenset()
    assert set(GROUNDS.values()) == {"exception", "message", "product frame", "fixture", "assertion"}

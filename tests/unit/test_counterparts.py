"""The tests that are most like one of them: siblings, and copies with other names and values."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pytest_qeattention.similarity import counterparts
from pytest_qeattention.similarity.counterparts import LEAST_LIKENESS, Counterparts, raised
from pytest_qeattention.similarity.service import suite_from_paths
from pytest_qeattention.similarity.suite import Suite

ORDERS = """
def test_order_is_packed(shop, clock):
    basket = shop.basket("tea", amount=2)
    with clock.stopped():
        order = basket.order()
        assert order.total == 7
        assert not order.is_done
    for item in order:
        item.pack()
    if shop.bill:
        shop.bill.send(order, to="me")
    order.close()
    assert order.is_done
    assert clock.now() > order.closed_at

def test_basket(shop):
    basket = shop.basket("milk", amount=1)
    basket.amount += 1
    assert basket.amount == 2

def test_now(clock):
    clock.start()
    while clock.now() < 3:
        clock.tick()
    assert clock.now() == 3

def test_total():
    assert total(order) == 7

def test_words():
    assert words(text) == 7
"""
FLIGHTS = """
def test_boarding(port, gate):
    seats = port.basket("window", amount=30)
    with gate.stopped():
        flight = seats.order()
        assert flight.price == 120
        assert not flight.is_done
    print(gate.number, seats)
    for bag in flight:
        bag.load()
    if port.bill:
        port.bill.send(flight, to="pilot")
    flight.close()
    assert flight.is_done
    assert gate.now() > flight.closed_at

def test_price():
    assert price(flight) == 120

def test_gate(port):
    while port.gates:
        port.gates.pop()
"""


def number(suite: Suite, name: str) -> int:
    return next(at for at, unit in enumerate(suite.units) if unit.name == name)


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    (tmp_path / "test_orders.py").write_text(ORDERS)
    (tmp_path / "test_flights.py").write_text(FLIGHTS)
    return suite_from_paths([str(tmp_path)], cwd=tmp_path)


def names(suite: Suite, of: str, k: int = 10) -> list[str]:
    return [neighbor.unit.name for neighbor in Counterparts(suite).nearest(number(suite, of), k)]


def test_a_renamed_and_edited_copy_is_found(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    assert names(suite, "test_order_is_packed")[0] == "test_boarding"
    assert names(suite, "test_boarding")[0] == "test_order_is_packed"
    monkeypatch.setattr(counterparts, "LIKENESS_WEIGHT", 0.0)
    alone = names(suite, "test_order_is_packed")
    assert alone[0] == "test_basket"
    assert sorted(alone) == sorted(unit.name for unit in suite.units if unit.name != "test_order_is_packed")


def test_reasons_say_what_raised_the_score(suite: Suite) -> None:
    first, *rest = Counterparts(suite).nearest(number(suite, "test_order_is_packed"), 10)
    assert first.reasons[2].startswith("shapes of statements agree (cosine 0.")
    assert all(len(each.reasons) == 2 for each in rest)
    compared = Counterparts(suite).compare(number(suite, "test_order_is_packed"))
    copy = number(suite, "test_boarding")
    assert first.reasons[1:] == (
        f"identifiers and words agree (cosine {compared.cosine[copy]:.2f})",
        f"shapes of statements agree (cosine {compared.shapes[copy]:.2f})",
    )


def test_one_statement_of_a_common_shape_changes_nothing(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Counterparts(suite).nearest(number(suite, "test_total"), 10)
    assert found[0].unit.name == "test_words"
    assert all(len(each.reasons) == 2 for each in found)
    monkeypatch.setattr(counterparts, "LIKENESS_WEIGHT", 0.0)
    assert Counterparts(suite).nearest(number(suite, "test_total"), 10) == found


def test_the_same_for_any_number_of_threads(suite: Suite) -> None:
    for chosen in range(len(suite.units)):
        one = Counterparts(suite, num_threads=1).nearest(chosen, 10)
        assert Counterparts(suite, num_threads=2).nearest(chosen, 10) == one


def test_the_source_is_not_parsed_again(suite: Suite) -> None:
    broken = Suite(tuple(replace(unit, source="def (") for unit in suite.units), suite.descriptions, suite.bindings)
    assert names(broken, "test_boarding") == names(suite, "test_boarding")


def test_exact_copies_come_first(tmp_path: Path) -> None:
    (tmp_path / "test_flights.py").write_text(FLIGHTS.replace("test_gate", "test_other_gate") + FLIGHTS)
    suite = suite_from_paths([str(tmp_path)], cwd=tmp_path)
    (best,) = Counterparts(suite).nearest(number(suite, "test_other_gate"), 1)
    assert (best.unit.name, best.score) == ("test_gate", 1.0)


def test_a_suite_of_one_test(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_it():\n    assert 1\n")
    suite = suite_from_paths([str(tmp_path)], cwd=tmp_path)
    assert Counterparts(suite).nearest(0, 10) == []
    assert Counterparts(suite).compare(0).score.tolist() == [0.0]


def test_odds_are_raised_from_some_likeness_on() -> None:
    scores = np.array([0.0, 0.001, 0.3, 0.9, 1.0])
    np.testing.assert_allclose(raised(scores, np.full(5, LEAST_LIKENESS)), scores, rtol=1e-15)
    likely = raised(scores, np.full(5, 0.8))
    assert likely[[0, -1]].tolist() == [0.0, 1.0]
    assert (likely[1:-1] > scores[1:-1]).all()
    assert (np.diff(likely) > 0).all()
    odds = likely[2] / (1 - likely[2]) / (0.3 / 0.7)
    assert odds == pytest.approx(np.exp(counterparts.LIKENESS_WEIGHT * (0.8 - LEAST_LIKENESS)))

"""``qeattention similar --rank TEST``: a copy with other names and values is found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_qeattention.cli import main

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
class TestFlight:
    def test_boarding(self, port, gate):
        seats = port.basket("window", amount=30)
        with gate.stopped():
            flight = seats.order()
            assert flight.price == 120
            assert not flight.is_done
        for bag in flight:
            bag.load()
        if port.bill:
            port.bill.send(flight, to="pilot")
        flight.close()
        assert flight.is_done
        assert gate.now() > flight.closed_at

    def test_price(self):
        assert price(flight) == 120

    def test_gate(self, port):
        while port.gates:
            port.gates.pop()
"""


@pytest.fixture
def ranked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    (tmp_path / "test_orders.py").write_text(ORDERS)
    (tmp_path / "test_flights.py").write_text(FLIGHTS)
    (tmp_path / "test_broken.py").write_text("def test_broken(:\n")
    monkeypatch.chdir(tmp_path)

    def rank(*arguments: str) -> dict[str, Any]:
        assert main(["similar", ".", "--json", "-", "--rank", *arguments]) == 0
        similar: dict[str, Any] = json.loads(capsys.readouterr().out)["similar"]
        return similar

    return rank


def test_a_renamed_copy_of_another_file_comes_first(ranked: Any) -> None:
    similar = ranked("test_orders.py::test_order_is_packed", "-k", "2")
    assert similar["ranked"]["query"] == "test_orders.py::test_order_is_packed"
    first, second = similar["ranked"]["results"]
    assert first["nodeid"] == "test_flights.py::TestFlight::test_boarding"
    assert first["reasons"][-1] == "shapes of statements agree (cosine 1.00)"
    assert second["nodeid"] == "test_orders.py::test_basket"
    assert first["score"] > second["score"]
    assert [problem["path"] for problem in similar["problems"]] == ["test_broken.py"]


def test_a_store_changes_nothing(ranked: Any) -> None:
    plain = ranked("test_orders.py::test_order_is_packed")
    for _ in range(2):
        assert ranked("test_orders.py::test_order_is_packed", "--qe-store", "store") == plain

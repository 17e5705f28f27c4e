import pytest


def test_a_new_store_is_empty(store):
    assert store.orders == []


def test_an_order_is_kept(store):
    store.orders.append("tea")
    assert store.orders == ["tea"]


@pytest.mark.parametrize("count", [1, 2, 50])
def test_orders_keep_their_sequence(store, count):
    names = [f"tea {number}" for number in range(count)]
    store.orders.extend(names)
    assert store.orders == names


class TestReport:
    def test_counts_orders(self, store):
        store.orders.extend(["tea", "cup"])
        assert len(store.orders) == 2

    def test_names_the_last(self, store):
        store.orders.extend(["tea", "cup"])
        assert store.orders[-1] == "cup"

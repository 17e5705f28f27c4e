import pytest
from basket import Basket, Item, receipt

TEA = Item("tea", 350, weight_g=100)
CUP = Item("cup", 1200, weight_g=400)


@pytest.fixture
def basket():
    return Basket()


def test_empty_basket_costs_nothing(basket):
    assert basket.total() == 0


def test_total_counts_every_piece(basket):
    basket.add(TEA, 2)
    basket.add(CUP)
    assert basket.total() == 1900


def test_sum_of_all_items(basket):
    # Written again by somebody who did not find the test above.
    basket.add(TEA, 2)
    basket.add(CUP)

    assert basket.total() == 1900


def test_weight_counts_every_piece(basket):
    basket.add(TEA, 2)
    basket.add(CUP)
    assert basket.weight_g() == 600


def test_adding_twice_adds_up(basket):
    basket.add(TEA)
    basket.add(TEA, 2)
    assert basket.items == {TEA: 3}


def test_removed_item_is_gone(basket):
    basket.add(TEA)
    basket.add(CUP)
    basket.remove(TEA)
    assert basket.items == {CUP: 1}


def test_removing_what_is_not_there(basket):
    with pytest.raises(KeyError, match="tea"):
        basket.remove(TEA)


def test_count_of_zero_is_refused(basket):
    with pytest.raises(ValueError, match="at least 1"):
        basket.add(TEA, 0)


def test_negative_count_is_refused(basket):
    with pytest.raises(ValueError, match="at least 1"):
        basket.add(TEA, -1)


def test_receipt_has_a_line_for_every_item(basket):
    basket.add(TEA, 2)
    basket.add(CUP)
    lines = receipt(basket)
    assert lines == ["2 x tea: 7.00", "1 x cup: 12.00", "total: 19.00"]

import pytest
from basket import discount, parse_price, shipping


def test_price_in_whole_euros():
    assert parse_price("3") == 300


def test_price_with_cents():
    assert parse_price("3.50") == 350


def test_price_with_comma():
    assert parse_price("3,50") == 350


def test_price_with_sign():
    assert parse_price("€ 3,50") == 350


def test_price_without_a_number():
    with pytest.raises(ValueError, match="not a price"):
        parse_price("free")


def test_ten_percent_off():
    total = 2000
    reduced = total - discount(total, "PERCENT10")
    assert reduced == 1800


def test_half_price():
    total = 3000
    reduced = total - discount(total, "PERCENT50")
    assert reduced == 1500


def test_five_euros_off():
    total = 2000
    reduced = total - discount(total, "MINUS5")
    assert reduced == 1500


def test_voucher_never_pays_out():
    assert discount(300, "MINUS5") == 300


def test_unknown_voucher_is_refused():
    with pytest.raises(ValueError, match="unknown voucher"):
        discount(2000, "XMAS")


class TestShipping:
    def test_within_germany(self):
        assert shipping(500, "DE") == 490

    def test_to_austria(self):
        assert shipping(500, "AT") == 990

    def test_to_switzerland(self):
        assert shipping(500, "CH") == 1490

    def test_every_kilogram_costs_extra(self):
        light, heavy = shipping(900, "DE"), shipping(3100, "DE")
        assert heavy - light == 300

    def test_not_to_the_moon(self):
        with pytest.raises(ValueError, match="no shipping"):
            shipping(500, "Moon")


@pytest.mark.parametrize(("text", "cents"), [("0", 0), ("0.05", 5), ("12.3", 1230)])
def test_more_prices(text, cents):
    assert parse_price(text) == cents

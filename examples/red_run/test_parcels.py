import pytest
from shop import Customer, amount, label


@pytest.mark.parametrize("currency", ["EUR", "USD", "JPY"])
@pytest.mark.parametrize("text", ["3", "7", "12", "250", "1000"])
def test_whole_amounts(text, currency):
    units = {"EUR": 100, "USD": 100, "JPY": 1}[currency]
    assert amount(text, currency) == int(text) * units


def test_cents():
    assert amount("3.5", "EUR") == 350


def test_label_has_two_lines():
    assert label(Customer("Ada", " 1 Main St ")) == "Ada\n1 Main St"


def test_label_of_a_new_customer():
    assert label(Customer("Ada")) == "Ada\n"


def test_parcels_of_all_customers():
    customers = [Customer("Ada", "1 Main St"), Customer("Ben")]
    assert [label(customer).partition("\n")[0] for customer in customers] == ["Ada", "Ben"]

import pytest
from shop import Store


@pytest.fixture
def store():
    opened = Store("store.example:5432")
    opened.open()
    return opened

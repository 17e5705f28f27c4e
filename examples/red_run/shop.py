"""A shop with three defects, so that its tests fail: what ``pytest --qe-defects`` makes of them is the example."""

from __future__ import annotations

from dataclasses import dataclass, field

DIGITS = {"EUR": 2, "USD": 2, "JPY": 0}


@dataclass
class Customer:
    """Who buys."""

    name: str
    address: str | None = None


@dataclass
class Store:
    """Where orders are kept."""

    url: str
    orders: list[str] = field(default_factory=list)

    def open(self) -> None:
        # The first defect: the configuration names a server that is gone.
        raise ConnectionRefusedError(111, f"Connection refused: {self.url}")


def amount(text: str, currency: str) -> int:
    """Read a price in the smallest unit of its currency."""
    whole, _, part = text.partition(".")
    if currency == "JPY":
        # The second defect: a yen has no hundredths.
        return int(whole) * 100
    return int(whole) * 10 ** DIGITS[currency] + int(part.ljust(DIGITS[currency], "0"))


def label(customer: Customer) -> str:
    """Return what is printed on a parcel."""
    # The third defect: not every customer has an address.
    return f"{customer.name}\n{customer.address.strip()}"  # type: ignore[union-attr]

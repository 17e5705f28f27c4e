"""A shop's basket: the product that the quickstart's tests are about."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Item:
    """One thing that the shop sells; prices are in cents."""

    name: str
    price: int
    weight_g: int = 0


@dataclass
class Basket:
    """What a customer is about to buy."""

    items: dict[Item, int] = field(default_factory=dict)
    voucher: str | None = None

    def add(self, item: Item, count: int = 1) -> None:
        if count < 1:
            raise ValueError(f"count must be at least 1, got {count}")
        self.items[item] = self.items.get(item, 0) + count

    def remove(self, item: Item) -> None:
        if item not in self.items:
            raise KeyError(item.name)
        del self.items[item]

    def total(self) -> int:
        return sum(item.price * count for item, count in self.items.items())

    def weight_g(self) -> int:
        return sum(item.weight_g * count for item, count in self.items.items())


def parse_price(text: str) -> int:
    """Read a price as people write it: ``3``, ``3.50``, ``€ 3,50``."""
    digits = text.replace("€", "").strip().replace(",", ".")
    euros, _, cents = digits.partition(".")
    if not euros.isdigit() or (cents and not cents.isdigit()):
        raise ValueError(f"not a price: {text!r}")
    return int(euros) * 100 + int(cents.ljust(2, "0")[:2] or 0)


def discount(total: int, voucher: str | None) -> int:
    """Return what a voucher takes off, in cents."""
    if voucher is None:
        return 0
    if voucher.startswith("PERCENT"):
        return total * int(voucher.removeprefix("PERCENT")) // 100
    if voucher.startswith("MINUS"):
        return min(total, int(voucher.removeprefix("MINUS")) * 100)
    raise ValueError(f"unknown voucher: {voucher}")


def shipping(weight_g: int, country: str) -> int:
    """Return the postage in cents."""
    base = {"DE": 490, "AT": 990, "CH": 1490}.get(country)
    if base is None:
        raise ValueError(f"no shipping to {country}")
    return base + 100 * (weight_g // 1000)


def receipt(basket: Basket) -> list[str]:
    """Return the lines of a receipt."""
    lines = [f"{count} x {item.name}: {item.price * count / 100:.2f}" for item, count in basket.items.items()]
    return [*lines, f"total: {basket.total() / 100:.2f}"]

"""Which frames of a stack a record keeps, and which of them are fixtures and tests."""

from __future__ import annotations

import pytest

from pytest_qeattention.defects.frames import Role, without_repeats
from pytest_qeattention.defects.record import Frame, Link, Raised
from pytest_qeattention.defects.stack import with_fixtures, with_test, without_machinery


def frame(path: str, name: str, role: Role) -> Frame:
    return Frame.of(path, 1, name, "", role)


TEST = frame("tests/test_cart.py", "test_add", "test")
HELPER = frame("tests/conftest.py", "make_cart", "helper")
PRODUCT = frame("shop/cart.py", "Cart.add", "product")
LIBRARY = frame("site-packages/sqlite/api.py", "connect", "third party")
MACHINERY = frame("site-packages/_pytest/fixtures.py", "call_fixture_func", "third party")


def raised(*frames: Frame, link: Link | None = None) -> Raised:
    return Raised.of("ValueError", "bad", link, frames)


def roles(chain: tuple[Raised, ...]) -> list[list[Role]]:
    return [[each.role for each in one.frames] for one in chain]


@pytest.mark.parametrize(
    ("items", "kept"),
    [
        ("aaa", "a"),
        ("abcd", "abcd"),
        ("xabababy", "xaby"),
        ("xabcdabcdy", "xabcdy"),
        ("abcdeabcde", "abcdeabcde"),
        ("abba", "aba"),
        ("", ""),
    ],
)
def test_what_a_recursion_repeats_is_left_out(items: str, kept: str) -> None:
    assert "".join(without_repeats(items, str)) == kept


def test_frames_without_lines_are_no_repeats() -> None:
    unknown = Frame.of("shop/cart.py", 0, "add", "", "product")

    assert Raised.of("ValueError", "", None, [unknown] * 3).frames == (unknown,) * 3
    assert Raised.of("ValueError", "", None, [PRODUCT] * 3).frames == (PRODUCT,)


def test_machinery_and_what_was_called_before_the_project_are_left_out() -> None:
    assert without_machinery([LIBRARY, TEST, MACHINERY, PRODUCT, LIBRARY]) == [TEST, PRODUCT, LIBRARY]
    assert without_machinery([MACHINERY, LIBRARY]) == [LIBRARY]


def test_what_was_called_first_around_a_test_is_a_fixture() -> None:
    assert roles(with_fixtures((raised(HELPER, HELPER),), "setup")) == [["fixture"]]
    assert roles(with_fixtures((raised(HELPER, PRODUCT),), "teardown")) == [["fixture", "product"]]
    assert roles(with_fixtures((raised(PRODUCT, HELPER),), "setup")) == [["fixture", "helper"]]
    assert roles(with_fixtures((raised(LIBRARY),), "setup")) == [["fixture"]]
    assert roles(with_fixtures((raised(HELPER, PRODUCT),), "call")) == [["helper", "product"]]


def test_a_function_of_the_product_called_at_the_end_and_a_hook_are_no_fixtures() -> None:
    hook = frame("conftest.py", "pytest_runtest_setup", "helper")

    assert roles(with_fixtures((raised(PRODUCT, HELPER),), "teardown")) == [["product", "helper"]]
    assert roles(with_fixtures((raised(hook),), "setup")) == [["helper"]]


def test_a_fixture_is_one_in_all_that_was_raised_and_a_cause_makes_none() -> None:
    below = frame("tests/conftest.py", "read_cart", "helper")
    chain = (raised(HELPER, below), raised(below, PRODUCT, link="cause"), raised(HELPER, link="context"))

    assert roles(with_fixtures(chain, "setup")) == [["fixture", "helper"], ["helper", "product"], ["fixture"]]


def test_each_member_of_a_group_that_pytest_made_has_its_fixture() -> None:
    other = frame("tests/conftest.py", "close", "helper")
    members = raised(HELPER, link="group"), raised(other, PRODUCT, link="group")

    assert roles(with_fixtures((raised(), *members), "teardown")) == [[], ["fixture"], ["fixture", "product"]]
    assert roles(with_fixtures((raised(other), *members), "teardown")) == [
        ["fixture"],
        ["helper"],
        ["fixture", "product"],
    ]


def test_the_test_is_a_test_whatever_its_name_is() -> None:
    check = frame("checks/of_cart.py", "CheckCart.check_add", "product")
    beside = frame("checks/of_cart.py", "make_cart", "product")

    assert roles(with_test((raised(check, beside, PRODUCT),), "checks/of_cart.py", "check_add")) == [
        ["test", "helper", "product"]
    ]

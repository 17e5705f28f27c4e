"""What the text of a failed assertion says."""

from __future__ import annotations

import pytest

from pytest_qeattention.defects.assertion_text import assertion_facts, called_in

FACTS = [
    ("assert 1 == 2", ("==", "int", "int", "off by one")),
    ("assert 1 == 5", ("==", "int", "int", "values")),
    ("assert -3 == 3", ("==", "int", "int", "sign")),
    ("assert 0.30000000000000004 == 0.3", ("==", "float", "float", "precision")),
    ("assert 3 < 3", ("<", "int", "int", "off by one")),
    ("assert 'Tea' == 'tea'", ("==", "str", "str", "case")),
    ("assert 'a  b' == 'a b'", ("==", "str", "str", "whitespace")),
    ("assert 'tea' == 'teas'", ("==", "str", "str", "substring")),
    ("assert b'tea' == 'tea'", ("==", "bytes", "str", "type")),
    ("assert [1, 2] == [2, 1]", ("==", "list", "list", "order")),
    ("assert [1, 2] == [1, 2, 3]", ("==", "list", "list", "missing item")),
    ("assert [1, 2, 3] == [1, 2]", ("==", "list", "list", "extra item")),
    ("assert [1, 2, 4] == [1, 3]", ("==", "list", "list", "length")),
    ("assert [0.1, 0.2] == [0.1, 0.20000000000000004]", ("==", "list", "list", "precision")),
    ("assert {'a': 1, 'b': 2} == {'a': 1}", ("==", "dict", "dict", "extra item")),
    ("assert {'a': 1} == {'b': 1}", ("==", "dict", "dict", "values")),
    ("assert {1} == {1, 2}", ("==", "set", "set", "missing item")),
    ("assert None == 3", ("==", "NoneType", "int", "none")),
    ("assert <app.Shop object at 0x7f00> is None", ("is", "Shop", "NoneType", "none")),
    ("assert 'x == y' in 'abc'", ("in", "str", "str", "substring")),
    ("assert 3 in [1, 2]", ("in", "int", "list", "missing item")),
    ("assert 3 not in [1, 3]", ("not in", "int", "list", "extra item")),
    ("assert not True", ("not", "bool", "", "truth")),
    ("assert False", ("truth", "bool", "", "truth")),
    ("why not\nassert True == False", ("==", "bool", "bool", "truth")),
    ("assert Shop(name='a') == Shop(name='b')", ("==", "Shop", "Shop", "")),
    ("assert [Item(1)] == [Item(2)]\n  At index 0 diff: Item(1) != Item(2)", ("==", "list", "list", "values")),
    ("1 != 2", ("==", "int", "int", "off by one")),
    ("Lists differ: [2, 1] != [1, 2]\n\nFirst differing element 0:", ("==", "list", "list", "order")),
    ("0.1 != 0.2 within 7 places (0.1 difference)", ("==", "float", "float", "values")),
    ("'x' not found in ['a']", ("in", "str", "list", "missing item")),
    ("False is not true : because", ("truth", "bool", "", "truth")),
    ("unexpectedly None", ("is not", "NoneType", "", "none")),
    ("5 not less than 3", ("<", "int", "int", "values")),
    ("Expected 'send' to have been called once. Called 0 times.", ("call", "", "", "values")),
    ("expected call not found.\nExpected: f(1)\n  Actual: f(2)", ("call", "", "", "values")),
    ("ValueError not raised by parse", ("raises", "", "", "did not raise")),
    ("it is as it is", ("", "", "", "")),
]


@pytest.mark.parametrize(("message", "facts"), FACTS, ids=[message.partition("\n")[0] for message, _ in FACTS])
def test_facts_of_a_message(message: str, facts: tuple[str, str, str, str]) -> None:
    found = assertion_facts("AssertionError", message)
    assert found is not None
    assert (found.operator, found.left, found.right, found.difference) == facts


def test_what_was_not_raised_is_said_by_pytest_too() -> None:
    found = assertion_facts("Failed", "DID NOT RAISE <class 'ValueError'>", "with pytest.raises(ValueError):")
    assert found is not None
    assert (found.operator, found.difference, found.called) == ("raises", "did not raise", "")


@pytest.mark.parametrize(("type_", "message"), [("ValueError", "assert 1 == 2"), ("Failed", "on purpose"), ("", "")])
def test_what_is_no_assertion_has_no_facts(type_: str, message: str) -> None:
    assert assertion_facts(type_, message) is None


@pytest.mark.parametrize(
    ("statement", "called"),
    [
        ("assert price('tea') == 3", "price"),
        ("assert len(shop.items(3)) == 2", "shop.items"),
        ("assert Shop().price('tea') == 3", "price"),
        ("assert 3 == sorted(load(path))[0]", "load"),
        ("assert total == pytest.approx(3)", ""),
        ("assert load(", "load"),
        ("self.assertEqual(add(1, 0), 2)", "add"),
        ("send(1)", ""),
        ("with pytest.raises(ValueError):", ""),
        ("", ""),
        ("assert '\\d' in text()", "text"),
    ],
)
def test_function_that_an_assertion_asks(statement: str, called: str) -> None:
    assert called_in(statement) == called


@pytest.mark.parametrize(
    "text", ["(" * 3_000, "[" * 3_000 + "]" * 3_000, "'" * 3_001, "9" * 6_000, "\\" * 99, "1 == " * 900]
)
def test_operands_that_are_hard_to_read_are_no_error(text: str) -> None:
    found = assertion_facts("AssertionError", f"assert {text} == 1", f"assert {text}")
    assert found is not None
    assert found.operator in ("==", "truth")

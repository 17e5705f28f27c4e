from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from pytest_qeattention.report.junit import (
    JUnitError,
    group_properties,
    speakable,
    suite_properties,
    with_properties,
)
from pytest_qeattention.similarity.model import BaselineUse, Group, SimilarReport, Unit

TEXT = (
    '<?xml version="1.0" encoding="utf-8"?>'
    '<testsuites name="pytest tests"><testsuite name="pytest" tests="4">'
    '<testcase classname="test_a" name="test_one" time="0.1" />'
    '<testcase classname="test_a.TestB" name="test_two[a &gt; b]" time="0.1">'
    '<properties><property name="mine" value="1" /></properties><system-out>é\r\n  </system-out></testcase>'
    '<testcase classname="test_a" name="test_three"><failure message="a &lt; b &#10;">text</failure></testcase>'
    '<testcase classname="test_a" name="test_four" />'
    "</testsuite></testsuites>"
).encode()


def properties(element: ET.Element | None) -> list[tuple[str | None, str | None]]:
    assert element is not None
    return [(each.get("name"), each.get("value")) for each in element.findall("./properties/property")]


def test_properties_are_added_and_the_rest_stays_to_the_byte() -> None:
    cases = {
        ("test_a", "test_one"): [("group", "g1"), ("odd", "\"a\" & '<b>'\n")],
        ("test_a.TestB", "test_two[a > b]"): [("group", "g2")],
        ("test_a", "test_three"): [("group", "g3")],
        ("test_a", "test_nowhere"): [("group", "g4")],
    }

    text = with_properties(TEXT, [("tests", "4")], cases)

    suite = ET.fromstring(text).find("testsuite")
    assert suite is not None
    assert properties(suite) == [("tests", "4")]
    one, two, three, four = suite.findall("testcase")
    assert properties(one) == [("group", "g1"), ("odd", "\"a\" & '<b>'\n")]
    assert properties(two) == [("group", "g2"), ("mine", "1")]
    assert properties(three) == [("group", "g3")]
    assert four.find("properties") is None
    assert [child.tag for child in two] == ["properties", "system-out"]
    assert "<system-out>é\r\n  </system-out>".encode() in text
    assert b'<failure message="a &lt; b &#10;">text</failure>' in text
    assert b'<testcase classname="test_a" name="test_four" />' in text


def test_without_properties_nothing_changes() -> None:
    assert with_properties(TEXT, [], {}) == TEXT


def test_a_suite_that_has_properties_gets_more_of_them() -> None:
    text = with_properties(
        b'<testsuite><properties><property name="a" value="1"/></properties></testsuite>', [("b", "2")], {}
    )

    assert properties(ET.fromstring(text)) == [("b", "2"), ("a", "1")]


@pytest.mark.parametrize("text", [b"", b"<testsuite>", b"no xml", b"<testsuite></testsuites>"])
def test_what_is_no_xml_is_refused(text: bytes) -> None:
    with pytest.raises(JUnitError, match="it is no XML"):
        with_properties(text, [("a", "1")], {})


def test_characters_that_xml_does_not_have_are_written_as_pytest_does() -> None:
    from _pytest.junitxml import bin_xml_escape

    text = "a\x07b\x7f\ud800\uffffé\n"

    assert speakable(text) == bin_xml_escape(text)


def test_a_case_says_its_group_and_the_suite_counts_them() -> None:
    tests = tuple(Unit(f"t.py::{name}", "t.py", 1, name, name, 1, 2, "") for name in ("a", "b"))
    group = Group("abc", "duplicate", 1.0, tests)

    assert group_properties(group) == [
        ("qe_similar_group", "abc"),
        ("qe_similar_kind", "duplicate"),
        ("qe_similar_score", "1"),
        ("qe_similar_tests", "t.py::a t.py::b"),
    ]
    accepted = Group("def", "similar", 0.5, tests, status="accepted")
    assert group_properties(accepted)[-1] == ("qe_similar_status", "accepted")
    report = SimilarReport("test-similarity", 9, (group, accepted), baseline=BaselineUse("b"))
    assert dict(suite_properties(report)) == {
        "qe_similar_tests": "9",
        "qe_similar_duplicate": "1",
        "qe_similar_parametrize": "0",
        "qe_similar_similar": "1",
        "qe_similar_new": "1",
    }

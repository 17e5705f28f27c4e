"""Families of failures: what the data holds, and that its rules find what they are for."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import pytest

from pytest_qeattention.defects.assertion_text import assertion_facts
from pytest_qeattention.defects.families import FAMILIES, FamiliesError, catalogue, families, read_catalogue
from pytest_qeattention.defects.record import FailureRecord, Frame, Raised, TestFacts

DATA: list[dict[str, Any]] = json.loads(FAMILIES.read_text(encoding="utf-8"))["families"]


def failure(example: str | dict[str, Any]) -> FailureRecord:
    """Return the record of a failure that is written ``Type: message``, or with what else is known of it."""
    known: dict[str, Any] = {"raised": example} if isinstance(example, str) else example
    type_, _, message = known["raised"].partition(": ")
    frames = [Frame.of("tests/test_a.py", 3, "test_a", known.get("statement", ""), "test")]
    for place in known.get("frames", ()):
        path, qualname = place.split(" ")
        frames.append(Frame.of(path, 1, qualname, "", "stdlib"))
    return FailureRecord.of(
        "tests/test_a.py::test_a",
        known.get("phase", "call"),
        TestFacts.of("tests/test_a.py", "test_a"),
        [Raised.of(type_, message, None, frames)],
        assertion=assertion_facts(type_, message),
        logs=known.get("logs", ()),
    )


def ids(example: str | dict[str, Any]) -> list[str]:
    return [family.id for family in families(failure(example))]


@pytest.mark.parametrize("family", DATA, ids=lambda family: family["id"])
def test_examples_are_of_their_family_before_all_others_and_near_misses_are_not(family: dict[str, Any]) -> None:
    first = [ids(example)[:1] for example in family["examples"]]
    assert first == [[family["id"]]] * len(first)
    assert [example for example in family["unlike"] if family["id"] in ids(example)] == []


def test_there_are_families_enough_and_each_has_its_examples() -> None:
    assert len(DATA) >= 45
    assert len({family["id"] for family in DATA}) == len(DATA)
    assert len({family["title"] for family in DATA}) == len(DATA)
    for family in DATA:
        shown = [json.dumps(example) for example in family["examples"]]
        assert len(set(shown)) >= 3, family["id"]
        assert family["unlike"], family["id"]
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", family["id"]), family["id"]


def test_texts_are_sentences_of_their_own() -> None:
    for name in ("looks", "why", "prevention"):
        texts = [family[name] for family in DATA]
        assert len(set(texts)) == len(texts)
        for text in texts:
            assert text[0].isupper() or text.startswith("pytest "), text
            assert text.endswith("."), text
            assert "\u2014" not in text, text


def test_prevention_takes_two_or_three_sentences() -> None:
    for family in DATA:
        # A sentence ends before one that begins with a capital letter.
        assert len(re.findall(r"\.(?: [A-Z]|$)", family["prevention"])) in (2, 3), family["id"]


def test_the_root_of_a_chain_decides_between_equals() -> None:
    chain = [Raised.of("KeyError", "'milk'"), Raised.of("IndexError", "list index out of range", "context")]
    test = TestFacts.of("t.py", "test_a")
    found = [family.id for family in families(FailureRecord.of("t.py::test_a", "call", test, chain))]
    assert found == ["index-out-of-range", "missing-key"]


def test_a_phrase_that_an_assertion_compares_counts_for_less_than_what_was_raised() -> None:
    test = TestFacts.of("t.py", "test_a")
    chain = [
        Raised.of("AssertionError", "assert 'No space left on device' == ''"),
        Raised.of("OverflowError", "too large", "context"),
    ]
    found = [family.id for family in families(FailureRecord.of("t.py::test_a", "call", test, chain))]
    assert found == ["arithmetic", "disk-full"]


def test_a_failure_of_no_family_has_none() -> None:
    assert families(failure("app.errors.Teapot: short and stout")) == ()
    empty = FailureRecord.of("t.py::test_a", "call", TestFacts.of("t.py", "test_a"))
    assert families(empty) == ()


def test_log_lines_are_looked_at() -> None:
    rule = {"logs": ["pool * exhausted"], "strength": 3}
    found = read_catalogue({"version": 1, "families": [family(match=[rule])]})
    assert [one.id for one in found.of(failure({"raised": "A: b", "logs": ["WARNING pool db is exhausted"]}))] == ["x"]
    assert found.of(failure({"raised": "A: b", "logs": ["WARNING pool\nexhausted"]})) == ()


def family(**changes: Any) -> dict[str, Any]:
    """Return the data of a family, with changes; None takes a key away."""
    texts = {"id": "x", "title": "T", "looks": "L.", "why": "W.", "prevention": "P."}
    data = {**texts, "match": [{"type": ["A"]}], "examples": [], "unlike": [], **changes}
    return {name: value for name, value in data.items() if value is not None}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ([], "not those of version 1"),
        ({"version": 2, "families": []}, "not those of version 1"),
        ({"version": 1, "families": ["x"]}, "a family is no table"),
        ({"version": 1, "families": [family(), family()]}, "two families x"),
        ({"version": 1, "families": [family(colour="red")]}, "key that is not known, colour"),
        ({"version": 1, "families": [family(why=None)]}, "family x has no why"),
        ({"version": 1, "families": [family(prevention=" ")]}, "family x has no prevention"),
        ({"version": 1, "families": [family(match=[])]}, "no rules"),
        ({"version": 1, "families": [family(match=[{"strength": 2}])]}, "rule without a condition"),
        ({"version": 1, "families": [family(match=[{"kind": ["A"], "type": ["A"]}])]}, "not known, kind"),
        ({"version": 1, "families": [family(match=[{"type": "A"}])]}, "type that is no list"),
        ({"version": 1, "families": [family(match=[{"type": ["A"], "strength": 4}])]}, "strength 4"),
        ({"version": 1, "families": [family(match=[{"type": ["A"], "not": {"type": ["B"]}}])]}, "not that is no list"),
        ({"version": 1, "families": [family(match=[{"type": ["A"], "not": [{"not": []}]}])]}, "without a condition"),
    ],
)
def test_data_that_is_not_right_is_named(data: Any, said: str) -> None:
    with pytest.raises(FamiliesError, match=re.escape(said)):
        read_catalogue(data)


def test_a_damaged_file_is_a_message_and_no_families(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "families.json"
    path.write_text("{", encoding="utf-8")
    monkeypatch.setattr("pytest_qeattention.defects.families.FAMILIES", path)
    catalogue.cache_clear()
    try:
        assert families(failure("KeyError: 'a'")) == ()
        problem = catalogue().problem
        assert problem is not None
        assert re.fullmatch(r"cannot read .*families\.json .*install pytest-qeattention again", problem)
    finally:
        catalogue.cache_clear()


def test_phrases_that_begin_and_do_not_end_are_no_match() -> None:
    # Every phrase with a gap begins in it, and none ends.
    message = "fixture 'module 'takes module '" * 130
    assert families(failure(f"A: {message}")) == ()


def test_the_data_is_read_when_it_is_first_asked_for() -> None:
    code = (
        "import sys; from pytest_qeattention.defects import families as f; "
        "print(f.catalogue.cache_info().currsize, 'numpy' in sys.modules, 'pytest' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.split() == ["0", "False", "False"]

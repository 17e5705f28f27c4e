from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_qeattention.defects.facts import DIFFERENCES, LINKS, LONGEST_MESSAGE
from pytest_qeattention.defects.frames import ROLES
from pytest_qeattention.defects.knowledge import Knowledge, Teacher
from pytest_qeattention.defects.matching import Matcher
from pytest_qeattention.defects.pattern import Pattern
from pytest_qeattention.defects.record import (
    PHASES,
    Assertion,
    FailureRecord,
    Frame,
    Raised,
    TestFacts,
)

FRAME = Frame.of("src/shop/cart.py", 12, "Cart.add", "self.items.append(\n    item)", "product")
TEST = TestFacts.of(
    "tests/test_cart.py", "TestCart::test_add", 30, [("count", "3")], ["cart"], None, "def test_add(): ..."
)
RAISED = Raised.of("builtins.AttributeError", "'NoneType' object has no attribute 'append'", None, [FRAME])
RECORD = FailureRecord.of(
    "tests/test_cart.py::TestCart::test_add[3]",
    "call",
    TEST,
    [RAISED],
    culprit=FRAME,
    assertion=Assertion.of("==", "int", "str", "type", "total"),
    logs=["took 3 s", "took 4 s", "gone"],
    environment={"python": "3.12", "os": "linux"},
    revision="58a329c",
    changed=["src/shop/cart.py"],
)

TEXT = st.text(max_size=40)
FRAMES = st.builds(Frame.of, TEXT, st.integers(), TEXT, TEXT, st.sampled_from(ROLES))
RAISEDS = st.builds(Raised.of, TEXT, TEXT, st.sampled_from((None, *LINKS)), st.lists(FRAMES, max_size=2))
TESTS = st.builds(
    TestFacts.of,
    TEXT,
    TEXT,
    st.none() | st.integers(),
    st.lists(st.tuples(TEXT, TEXT), max_size=2),
    st.lists(TEXT, max_size=2),
    st.none() | TEXT,
    TEXT,
)
RECORDS = st.builds(
    FailureRecord.of,
    TEXT,
    st.sampled_from(PHASES),
    TESTS,
    st.lists(RAISEDS, max_size=3),
    culprit=st.none() | FRAMES,
    assertion=st.none() | st.builds(Assertion.of, TEXT, TEXT, TEXT, st.sampled_from(DIFFERENCES), TEXT),
    logs=st.lists(TEXT, max_size=2),
    environment=st.none() | st.dictionaries(TEXT, TEXT, max_size=2),
    revision=st.none() | TEXT,
    changed=st.lists(TEXT, max_size=2),
)


@settings(deadline=None, max_examples=60)
@given(RECORDS)
def test_a_record_comes_back_from_json_as_it_was(record: FailureRecord) -> None:
    text = json.dumps(record.to_plain(), allow_nan=False)
    text.encode("utf-8")
    back = FailureRecord.from_plain(json.loads(text))
    assert back == record
    assert back.signature() == record.signature()
    assert FailureRecord.from_plain(record.to_plain()) == record


def test_raw_text_becomes_what_a_record_holds() -> None:
    assert FRAME.statement == "self.items.append( item)"
    assert RAISED.type == "AttributeError"
    assert RAISED.masked.typed == (("type", "NoneType"), ("attribute", "append"))
    assert TEST.name == "test_add"
    assert RECORD.logs == ("took <duration>", "gone")
    assert list(RECORD.environment) == ["os", "python"]
    assert Raised.of("KeyError", "404").masked.typed == (("key", "404"),)
    assert Raised.of("KeyError", "404").masked.template == "404"
    assert Raised.of("ValueError", "404").masked.template == "<number>"
    assert Frame.of("a.py", -3, "f", "", "test").line == 0
    assert Raised.of("E", "bad \ud800 text").message == "bad \\ud800 text"


def test_all_is_bounded() -> None:
    frames = [replace(FRAME, line=line) for line in range(5_000)]
    raised = Raised.of("E" * 10_000, "\ud800 x" * 20_000, None, frames)
    assert len(raised.message) <= LONGEST_MESSAGE
    assert [frame.line for frame in raised.frames] == [*range(20), *range(4_920, 5_000)]
    chain = [Raised.of(f"E{number}", "") for number in range(1_000)]
    many = [("n" * 1_000, "v" * 10_000)] * 1_000
    record = FailureRecord.of(
        "n" * 10_000,
        "call",
        TestFacts.of("p" * 10_000, "q" * 10_000, 10**30, many, ["f" * 1_000] * 300, "f" * 1_000, "s\n" * 100_000),
        [raised, *chain],
        logs=(f"{'l' * number}" for number in range(400, 600)),
        environment={f"e{number}": "x" * 10_000 for number in range(1_000)},
        changed=["c" * 2_500] * 600,
    )
    assert record.chain[0] is raised
    assert record.root is chain[-1]
    assert len(json.dumps(record.to_plain())) < 2_000_000
    assert FailureRecord.from_plain(record.to_plain()) == record


def deep() -> object:
    value: object = []
    for _ in range(100_000):
        value = [value]
    return value


def changed(*path: str | int, to: object) -> dict[str, Any]:
    """Return the plain record with another value at *path*."""
    plain: dict[str, Any] = json.loads(json.dumps(RECORD.to_plain()))
    place: Any = plain
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = to
    return plain


DEEP = deep()
HOSTILE = [
    (None, "record is null, not an object"),
    ([], "record is a list, not an object"),
    ("{}", "record is a string, not an object"),
    ({}, "record.version is null, not 1"),
    ({"version": 1}, "record has no 'nodeid'"),
    (changed("version", to=2), "record.version is 2, not 1"),
    (changed("version", to=True), "record.version is true or false, not 1"),
    (changed("version", to=1.0), "record.version is a number, not 1"),
    (changed("version", to=10**5000), "record.version is a number, not 1"),
    (changed("more", to=1), "record has 'more', which no such record has"),
    (changed("x" * 1_000_000, to=1), f"record has '{'x' * 40}...', which"),
    (changed("nodeid", to=1), "record.nodeid is a number, not a string"),
    (changed("nodeid", to="x" * 2_001), "record.nodeid has 2001 characters, more than 2000"),
    (changed("nodeid", to="\ud800"), "record.nodeid holds a surrogate"),
    (changed("phase", to="later"), "record.phase is 'later', not one of 'setup', 'call'"),
    (changed("phase", to=DEEP), "record.phase is a list, not one of"),
    (changed("chain", to={}), "record.chain is an object, not a list"),
    (changed("chain", to=[1] * 1_000_000), "record.chain has 1000000 entries, more than 50"),
    (changed("chain", to=[DEEP]), "record.chain[0] is a list, not an object"),
    (changed("chain", 0, "message", to=None), "record.chain[0].message is null, not a string"),
    (changed("chain", 0, "message", to="x" * 50_000_000), "record.chain[0].message has 50000000 characters"),
    (changed("chain", 0, "link", to="friend"), "record.chain[0].link is 'friend', not one of None, 'cause'"),
    (changed("chain", 0, "typed", to=[["a"]]), "record.chain[0].typed[0] is not a pair"),
    (changed("chain", 0, "typed", to=["ab"]), "record.chain[0].typed[0] is not a pair"),
    (changed("chain", 0, "typed", to=[["a", 1]]), "record.chain[0].typed[0][1] is a number, not a string"),
    (changed("chain", 0, "frames", 0, "line", to=True), "record.chain[0].frames[0].line is True, not the number"),
    (changed("chain", 0, "frames", 0, "line", to=float("nan")), "frames[0].line is nan, not the number of a line"),
    (changed("chain", 0, "frames", 0, "line", to=1e300), "frames[0].line is 1e+300, not the number of a line"),
    (changed("chain", 0, "frames", 0, "line", to=-1), "frames[0].line is -1, not the number of a line"),
    (changed("chain", 0, "frames", 0, "line", to=10**5000), "frames[0].line is a number, not the number of a line"),
    (changed("chain", 0, "frames", 0, "role", to="guest"), "frames[0].role is 'guest', not one of 'product'"),
    (changed("culprit", to=[]), "record.culprit is a list, not an object"),
    (changed("assertion", "difference", to="odd"), "record.assertion.difference is 'odd', not one of"),
    (changed("test", to=None), "record.test is null, not an object"),
    (changed("test", "line", to="3"), "record.test.line is '3', not the number of a line"),
    (changed("test", "source", to=b"x"), "record.test.source is no plain value, not a string"),
    (changed("environment", to={"python": 3}), "record.environment (a value) is a number, not a string"),
    (changed("environment", to={3: "python"}), "record.environment (a name) is a number, not a string"),
    (changed("environment", to={str(n): "" for n in range(51)}), "record.environment has 51 entries, more than 50"),
    (changed("revision", to=3), "record.revision is a number, not a string"),
    (changed("changed", to=["\udfff"]), "record.changed[0] holds a surrogate"),
]


@pytest.mark.parametrize(("value", "message"), HOSTILE, ids=[message[:50] for _, message in HOSTILE])
def test_what_is_no_record_is_refused_and_named(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=r"^record") as raised:
        FailureRecord.from_plain(value)
    assert message in str(raised.value)
    assert len(str(raised.value)) < 400


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "path", "a"]), inner, max_size=3)
    ),
    max_leaves=5,
)


@settings(deadline=None, max_examples=100)
@given(st.sampled_from(sorted(RECORD.to_plain())), JSON)
def test_any_value_in_any_field_is_read_or_refused(name: str, value: object) -> None:
    refused = ""
    record = RECORD
    try:
        record = FailureRecord.from_plain({**RECORD.to_plain(), name: value})
    except ValueError as error:
        refused = str(error)
    assert refused.startswith(f"record.{name}" if refused else "")
    assert FailureRecord.from_plain(record.to_plain()) == record


def with_message(message: str, **changes: Any) -> FailureRecord:
    return replace(RECORD, chain=(Raised.of("OSError", message, None, [FRAME]),), **changes)


def test_a_signature_leaves_out_what_differs_between_runs() -> None:
    first = with_message("no file /home/joe/shop/a.toml in 3.1 s at 0x7f237dd5b880, {'a': 1, 'b': 2}")
    moved = replace(FRAME, line=900, path="lib/shop/cart.py", qualname="add", statement="other")
    said = with_message("no file /builds/x/a.toml in 0.2 s at 0x55d0c1a2b3c4, {'b': 2, 'a': 1}")
    second = replace(
        said,
        culprit=moved,
        chain=(replace(said.chain[0], frames=(moved,)),),
        nodeid="elsewhere",
        test=replace(TEST, path="tests/other.py", qualname="test_other", line=1),
        logs=(),
        environment={},
        revision=None,
        changed=(),
    )
    assert first.signature() == second.signature()


def through(record: FailureRecord, culprit: Frame) -> FailureRecord:
    """Return *record* with a traceback that goes through *culprit* alone."""
    return replace(record, culprit=culprit, chain=(replace(record.chain[0], frames=(culprit,)),))


def test_a_signature_takes_the_test_where_only_a_live_frame_knows_the_function_asked() -> None:
    asked = replace(FRAME, qualname="Cart.total")
    live = with_message("assert 3 == 4", culprit=asked)
    told = with_message("assert 3 == 4", culprit=None)

    assert live.signature() == told.signature()
    assert live.signature() != replace(live, test=replace(TEST, qualname="test_other")).signature()


def test_a_signature_takes_the_function_that_is_a_fixture() -> None:
    """Its name in the tests is another one where it was given one, which a traceback does not tell."""
    fixture = Frame.of("tests/conftest.py", 3, "make_db", "raise OSError", "fixture")
    raised = Raised.of("OSError", "no database", None, [fixture])
    live = replace(RECORD, chain=(raised,), culprit=None, test=replace(TEST, failing_fixture="db"))
    told = replace(live, test=replace(TEST, failing_fixture="make_db"))

    assert live.signature() == told.signature()
    assert live.signature() != replace(live, chain=(replace(raised, frames=()),)).signature()


def test_a_label_with_a_signature_of_the_first_version_is_read_and_never_exact(tmp_path: Path) -> None:
    record = with_message("no route to pool of printers")
    label = replace(Pattern.of(record), signature="0433adb72a993568")
    Teacher(tmp_path / "defects.jsonl", "anna").label([label], "POOL")

    knowledge = Knowledge.load(tmp_path / "defects.jsonl")
    verdict = Matcher(knowledge).verdict(record)

    assert [each.pattern.signature for each in knowledge.labels] == ["0433adb72a993568"]
    assert verdict.basis != "signature"
    assert not any("same exception, message and place" in reason for reason in verdict.reasons)


def test_signatures_tell_failures_apart() -> None:
    other = replace(FRAME, qualname="Cart.remove")
    outer = Raised.of("RuntimeError", "failed")
    records = [
        with_message("[Errno 111] Connection refused"),
        with_message("[Errno 113] Connection refused"),
        through(with_message("[Errno 111] Connection refused"), other),
        through(with_message("[Errno 111] Connection refused"), replace(FRAME, path="src/shop/basket.py")),
        with_message("[Errno 111] Connection refused", culprit=None),
        with_message("[Errno 111] Connection refused", culprit=None, test=replace(TEST, qualname="test_other")),
        with_message("[Errno 111] Connection refused", culprit=None, test=replace(TEST, failing_fixture="db")),
        with_message("[Errno 111] Connection refused", culprit=None, test=replace(TEST, failing_fixture="cache")),
        replace(RECORD, chain=(outer,)),
        replace(RECORD, chain=(), phase="crash"),
        replace(RECORD, chain=(), phase="timeout"),
    ]
    assert len({record.signature() for record in records}) == len(records)


@pytest.mark.parametrize(
    ("chain", "root"),
    [
        ([("A", None)], "A"),
        ([("A", None), ("B", "cause"), ("C", "context")], "C"),
        ([("ExceptionGroup", None), ("B", "group"), ("C", "group")], "B"),
        ([("ExceptionGroup", None), ("B", "group"), ("X", "cause"), ("C", "group")], "X"),
        ([("A", None), ("BaseExceptionGroup", "cause"), ("ExceptionGroup", "group"), ("C", "group")], "C"),
        ([("ExceptionGroup", None)], "ExceptionGroup"),
    ],
)
def test_the_root_is_what_all_else_came_from(chain: list[tuple[str, Any]], root: str) -> None:
    record = replace(RECORD, chain=tuple(Raised.of(name, "", link) for name, link in chain))
    assert record.root is not None
    assert record.root.type == root


def test_a_signature_is_the_same_in_another_process() -> None:
    program = (
        "import json, sys\n"
        "from pytest_qeattention.defects.record import FailureRecord\n"
        "print(FailureRecord.from_plain(json.load(sys.stdin)).signature())\n"
        "print(sorted(name for name in sys.modules if name.split('.')[0] in ('numpy', 'pytest', '_pytest')))\n"
    )
    told = [
        subprocess.run(
            [sys.executable, "-c", program],
            input=json.dumps(RECORD.to_plain()),
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split("\n")
        for seed in ("1", "2")
    ]
    assert told == [[RECORD.signature(), "[]", ""]] * 2
    # Stores hold it: another value needs another version of records.
    assert RECORD.signature() == "2ab0fc815c64f6ca"

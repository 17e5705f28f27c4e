"""What two failures have in common."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_qeattention.defects.record import Assertion, FailureRecord, Frame, Raised, TestFacts
from pytest_qeattention.defects.signals import (
    CODES,
    COLUMNS,
    CONFLICT,
    PARTING,
    VECTORS,
    Background,
    Signals,
    codes_of,
    plain_template,
    product_frames,
)


def product(path: str, name: str, line: int = 3) -> Frame:
    return Frame.of(path, line, name, f"call_{name}()", "product")


def failure(
    message: str = "broken",
    frames: tuple[Frame, ...] = (),
    kind: str = "ValueError",
    test: str = "test_one",
    **more: object,
) -> FailureRecord:
    own = Frame.of("tests/test_a.py", 4, test, f"{test}_subject()", "test")
    facts = TestFacts.of("tests/test_a.py", test, source=str(more.get("source", "")))
    chain = (Raised.of(kind, message, None, (own, *frames)),)
    assertion = more.get("assertion")
    culprit = frames[0] if frames else None
    return FailureRecord.of(
        f"tests/test_a.py::{test}",
        "call",
        facts,
        chain,
        culprit=culprit,
        assertion=assertion if isinstance(assertion, Assertion) else None,
    )


def numbers(
    records: list[FailureRecord], left: int = 0, right: int = 1, **more: object
) -> dict[tuple[str, str], float]:
    signals = Signals(records, **more)  # type: ignore[arg-type]
    values = signals.values(np.array([left]), np.array([right]))[0]
    return dict(zip(COLUMNS, values.tolist(), strict=True))


def test_what_both_have_equal_is_same_and_what_differs_is_other() -> None:
    found = numbers([failure("broken"), failure("broken", test="test_two"), failure("torn", kind="KeyError")])
    assert found["root type", "same"] == 1
    assert found["root type", "other"] == 0
    assert found["message", "same"] == 1
    assert found["test function", "same"] == 0
    assert found["test function", "other"] == 1


def test_what_is_missing_is_neutral_and_known_to_be_missing() -> None:
    both_without = numbers([failure(), failure(test="test_two")])
    assert [both_without["culprit", part] for part in ("same", "other", "on one side")] == [0, 0, 0]
    assert [both_without["product frames", part] for part in ("cosine", "on both sides", "on one side")] == [0, 0, 0]
    one_without = numbers([failure(), failure(frames=(product("pkg/a.py", "open"),))])
    assert [one_without["culprit", part] for part in ("same", "other", "on one side")] == [0, 0, 1]
    assert [one_without["product frames", part] for part in ("cosine", "on both sides", "on one side")] == [0, 0, 1]


def test_what_is_rare_in_the_run_counts_for_more() -> None:
    rare, common = failure("rare thing"), failure("common thing")
    records = [rare, rare, *[common] * 20]
    of_rare = numbers(records, 0, 1)["message", "rare and same"]
    of_common = numbers(records, 2, 3)["message", "rare and same"]
    assert 1 > of_rare > of_common > 0


def test_a_background_makes_what_was_often_met_common() -> None:
    records = [failure("broken"), failure("broken", test="test_two")]
    usual = Background(1000, {("message", ("ValueError", "broken")): 900})
    alone = numbers(records)["message", "rare and same"]
    assert numbers(records, background=usual)["message", "rare and same"] < alone


def test_frames_near_the_place_that_raised_count_for_more() -> None:
    deep = tuple(product("pkg/a.py", name) for name in ("outer", "middle", "inner"))
    same_end = (product("pkg/b.py", "other"), product("pkg/b.py", "another"), deep[2])
    same_start = (deep[0], product("pkg/b.py", "third"), product("pkg/b.py", "fourth"))
    records = [failure(frames=deep), failure(frames=same_end), failure(frames=same_start)]
    near, far = (numbers(records, 0, at)["product frames", "cosine"] for at in (1, 2))
    assert near > far > 0


def test_lines_of_frames_do_not_count() -> None:
    records = [failure(frames=(product("pkg/a.py", "open", line),)) for line in (3, 90)]
    assert numbers(records)["product frames", "cosine"] == pytest.approx(1)


def test_a_recursion_that_goes_deeper_stays_alike() -> None:
    once, often = product("pkg/a.py", "walk"), product("pkg/a.py", "leaf")
    records = [failure(frames=(once,) * depth + (often,)) for depth in (3, 9)]
    assert 0.9 < numbers(records)["product frames", "cosine"] < 1


@pytest.mark.parametrize(
    ("first", "second", "parts"),
    [
        (("enter", "left"), ("enter", "right"), True),
        (("enter", "left"), ("enter", "left"), False),
        (("enter",), ("enter", "right"), False),
        (("enter", "same"), ("leave", "same"), False),
        ((), ("enter", "right"), False),
    ],
)
def test_frames_part_after_what_they_share(first: tuple[str, ...], second: tuple[str, ...], parts: bool) -> None:
    records = [failure(frames=tuple(product("pkg/a.py", name) for name in names)) for names in (first, second)]
    assert numbers(records)[PARTING, "true"] == parts
    assert numbers(records, 1, 0)[PARTING, "true"] == parts


@pytest.mark.parametrize(
    ("first", "second", "conflicts"),
    [
        ("server answered with status 404", "server answered with status 503", True),
        ("server answered with status 404", "server answered with status 404", False),
        ("server answered with status 404", "server answered", False),
        ("[Errno 111] Connection refused", "[Errno 24] Too many open files", True),
    ],
)
def test_codes_that_are_not_the_same_conflict(first: str, second: str, conflicts: bool) -> None:
    records = [failure(first), failure(second)]
    assert numbers(records)[CONFLICT, "true"] == conflicts


def test_the_code_that_was_met_is_the_first() -> None:
    compared = failure("assert 404 == 200\n +  where 404 = <Response [404]>.status_code", kind="AssertionError")
    assert dict(codes_of(compared))["status"] == "404"
    assert {kind for kind, _ in codes_of(compared)} <= set(CODES)


def test_repeated_values_are_told_apart_from_the_rest_of_a_message() -> None:
    twice, once = failure("3 is not 3"), failure("3 is not 4")
    assert plain_template(twice) == plain_template(once) == "<number> is not <number>"
    found = numbers([twice, once])
    assert (found["message", "same"], found["message but for repeated values", "same"]) == (0, 1)


def test_the_root_exception_tells_the_frames_of_the_product() -> None:
    inner, outer = product("pkg/db.py", "connect"), product("pkg/api.py", "load")
    chain = (Raised.of("RuntimeError", "no data", None, (outer,)), Raised.of("OSError", "refused", "cause", (inner,)))
    record = FailureRecord.of("t.py::t", "call", TestFacts.of("t.py", "t"), chain)
    assert product_frames(record) == (inner,)


def test_scores_of_blocks_are_those_of_pairs() -> None:
    frames = [product("pkg/a.py", name) for name in ("open", "read", "parse")]
    records = [
        failure("status 404", (frames[0], frames[1])),
        failure("status 503", (frames[0], frames[2]), test="test_two", source="def test_two():\n    load()\n"),
        failure("assert 1 == 2", kind="AssertionError", assertion=Assertion("==", "int", "int", "values", "load")),
        failure("assert 3 == 2", kind="AssertionError", assertion=Assertion("==", "int", "str", "type", "load")),
        FailureRecord.of("t.py::t", "crash", TestFacts.of("t.py", "t")),
    ]
    signals = Signals(records, vectors=np.eye(5, 3))
    weights = np.random.default_rng(0).standard_normal(len(COLUMNS)).astype(np.float32)
    left, right = (at.ravel() for at in np.indices((5, 5)))
    expected = (signals.values(left, right) @ weights).reshape(5, 5)
    apart = left.reshape(5, 5) != right.reshape(5, 5)
    block = np.vstack(
        [signals.weighed(weights, slice(0, 2), slice(0, 5)), signals.weighed(weights, slice(2, 5), slice(0, 5))]
    )
    np.testing.assert_allclose(block[apart], expected[apart], atol=1e-4)
    np.testing.assert_allclose(expected, expected.T, atol=1e-4)


def test_an_exception_that_an_assert_names_is_met_where_it_is_raised() -> None:
    named = failure("assert not ConnectionError('refused')", kind="AssertionError")
    records = [
        named,
        failure("port 5432", kind="ConnectionError", test="test_two"),
        failure("port 1", test="test_three"),
    ]
    assert numbers(records, 0, 1)["exceptions named", "cosine"] == pytest.approx(1)
    assert numbers(records, 0, 2)["exceptions named", "cosine"] == 0


def test_vectors_are_compared_by_direction() -> None:
    records = [failure(test=f"test_{at}") for at in range(3)]
    vectors = np.array([[2.0, 0.0], [5.0, 0.0], [0.0, 0.0]])
    assert numbers(records, vectors=vectors)[VECTORS, "cosine"] == pytest.approx(1)
    assert numbers(records, 0, 2, vectors=vectors)[VECTORS, "on one side"] == 1


def test_vectors_of_another_number_are_refused() -> None:
    with pytest.raises(ValueError, match=r"vectors have shape \(2, 4\), not one row for each of 1 failures"):
        Signals([failure()], vectors=np.ones((2, 4)))

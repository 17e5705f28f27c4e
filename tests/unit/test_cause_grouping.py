"""Which failures of a run have one cause."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_qeattention.defects.constraints import together
from pytest_qeattention.defects.grouping import causes_of, compare
from pytest_qeattention.defects.linkage import NEVER, linked
from pytest_qeattention.defects.model import Cause, DefectsReport
from pytest_qeattention.defects.pair_model import BY_HAND
from pytest_qeattention.defects.record import FailureRecord, Frame, Phase, Raised, TestFacts
from pytest_qeattention.defects.shared import Others, passed_counts, shared_parameters, tail


def record(
    message: str,
    kind: str = "ValueError",
    frames: tuple[str, ...] = (),
    test: str = "test_one",
    path: str = "tests/test_a.py",
    phase: Phase = "call",
    fixture: str | None = None,
    parameters: tuple[tuple[str, str], ...] = (),
) -> FailureRecord:
    below = tuple(Frame.of(f"pkg/{name}.py", 5, name, f"return {name}_of(value)", "product") for name in frames)
    top = (
        Frame.of(path, 9, test, "subject()", "test")
        if fixture is None
        else Frame.of("tests/conftest.py", 3, fixture, "start()", "fixture")
    )
    facts = TestFacts.of(path, test, 8, parameters, (), fixture)
    raised = Raised.of(kind, message, None, (top, *below))
    suffix = f"[{'-'.join(text for _, text in parameters)}]" if parameters else ""
    culprit = below[0] if below else None
    return FailureRecord.of(f"{path}::{test}{suffix}", phase, facts, (raised,), culprit=culprit)


def planted() -> list[tuple[str, FailureRecord]]:
    """Return failures of four causes, and which it is."""
    database = [
        (
            "database",
            record(
                f"connection to server at 10.0.0.{at}, port 5432 failed", "OSError", ("pool", "connect"), f"test_q{at}"
            ),
        )
        for at in range(8)
    ]
    parser = [
        (
            "parser",
            record(
                f"unexpected token '{word}' in line {at}",
                "SyntaxError",
                ("parse", "expect"),
                f"test_p{at}",
                "tests/test_b.py",
            ),
        )
        for at, word in enumerate(("if", "else", "for", "while"))
    ]
    fixture = [
        (
            "fixture",
            record("no space left", "RuntimeError", (), f"test_f{at}", f"tests/test_{at % 3}.py", "setup", "disk"),
        )
        for at in range(12)
    ]
    module = [
        ("module", record("No module named 'yamlx'", "ModuleNotFoundError", (), "", f"tests/test_m{at}.py", "collect"))
        for at in range(3)
    ]
    return [*database, *parser, *fixture, *module]


def partition(records: list[FailureRecord], causes: tuple[Cause, ...]) -> set[frozenset[str]]:
    return {frozenset(records[at].nodeid for at in cause.failures) for cause in causes}


def test_nothing_has_no_cause() -> None:
    assert causes_of([]) == ()


def test_one_failure_is_one_cause_without_reasons() -> None:
    (cause,) = causes_of([record("broken", frames=("pool",))])
    assert (cause.failures, cause.representative, cause.reasons, cause.shared) == ((0,), 0, (), ())
    assert cause.culprit is not None
    assert cause.culprit.path == "pkg/pool.py"


def test_planted_causes_are_found() -> None:
    rows = planted()
    records = [one for _, one in rows]
    causes = causes_of(records)
    expected = {
        frozenset(one.nodeid for name, one in rows if name == wanted)
        for wanted in dict.fromkeys(name for name, _ in rows)
    }
    assert partition(records, causes) == expected
    assert [len(cause.failures) for cause in causes] == [12, 8, 4, 3]
    assert all(cause.representative in cause.failures for cause in causes)


def test_reasons_say_what_decided_with_values() -> None:
    rows = planted()
    causes = causes_of([one for _, one in rows])
    by_name = {rows[cause.failures[0]][0]: cause.reasons for cause in causes}
    assert by_name["fixture"][0] == "fixture disk fails in 12 of 12"
    assert by_name["module"][0] == "the same error keeps 3 modules from being collected"
    assert any("connect in 8 of 8" in reason for reason in by_name["database"])
    assert all(
        reasons[-1].startswith("mean score of their pairs ")
        for name, reasons in by_name.items()
        if name in ("database", "parser")
    )


@settings(max_examples=15, deadline=None)
@given(st.permutations(range(27)), st.integers(0, 3))
def test_the_order_of_records_does_not_count(order: list[int], left_out: int) -> None:
    records = [one for _, one in planted()][left_out:]
    order = [at for at in order if at < len(records)]
    expected, found = causes_of(records), causes_of([records[at] for at in order])

    def without_places(some: list[FailureRecord], causes: tuple[Cause, ...]) -> list[tuple[object, ...]]:
        return sorted(
            (
                cause.id,
                cause.reasons,
                cause.shared,
                cause.families,
                some[cause.representative].nodeid,
                repr(cause.culprit),
            )
            for cause in causes
        )

    shuffled = [records[at] for at in order]
    assert partition(shuffled, found) == partition(records, expected)
    assert without_places(shuffled, found) == without_places(records, expected)


_MESSAGES = st.sampled_from(["broken", "status 404", "status 503", "no space left", "assert 1 == 2"])
_RECORDS = st.builds(
    record,
    _MESSAGES,
    st.sampled_from(["ValueError", "OSError"]),
    st.sampled_from([(), ("pool",), ("pool", "connect"), ("parse",)]),
    st.sampled_from(["test_one", "test_two", "test_three"]),
    st.sampled_from(["tests/test_a.py", "tests/test_b.py"]),
    st.sampled_from(["call", "setup", "collect"]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(_RECORDS, min_size=1, max_size=14), st.sampled_from([None, "disk", "db"]))
def test_constraints_hold(some: list[FailureRecord], fixture: str | None) -> None:
    records = [
        replace(one, test=replace(one.test, failing_fixture=fixture)) if one.phase == "setup" else one for one in some
    ]
    causes = causes_of(records)
    home = {at: number for number, cause in enumerate(causes) for at in cause.failures}
    assert sorted(home) == list(range(len(records)))
    for one in range(len(records)):
        for other in range(one):
            keys = together(records[one]), together(records[other])
            if keys[0] is not None and keys[0] == keys[1]:
                assert home[one] == home[other]
            elif keys[0] != keys[1] and {"status 404", "status 503"} == {
                records[at].chain[0].message for at in (one, other)
            }:
                assert home[one] != home[other]


def test_codes_part_failures_that_are_else_the_same() -> None:
    records = [record(f"server answered with status {code}", frames=("fetch",)) for code in (404, 404, 503)]
    assert sorted(len(cause.failures) for cause in causes_of(records)) == [1, 2]


@pytest.mark.parametrize("count", [5, 200])
def test_an_avalanche_takes_in_nothing_else(count: int) -> None:
    flood = [record("no space left", "OSError", (), f"test_{at}", phase="setup", fixture="disk") for at in range(count)]
    drops = [record("no space on the page", "OSError", ("layout",), "test_page"), record("bad page", test="test_3")]
    sizes = sorted(len(cause.failures) for cause in causes_of([*flood, *drops]))
    assert sizes == [1, 1, count]


def test_one_defect_may_fail_in_a_fixture_and_in_a_test() -> None:
    frames = ("pool", "connect")
    records = [record("refused", "OSError", frames, f"test_{at}", phase="setup", fixture="db") for at in range(3)]
    records += [record("refused", "OSError", frames, "test_connect")]
    assert [len(cause.failures) for cause in causes_of(records)] == [4]


def test_ids_are_of_the_failure_and_not_of_the_run() -> None:
    records = [one for _, one in planted()]
    ids = {cause.id for cause in causes_of(records)}
    assert len(ids) == 4
    assert ids == {cause.id for cause in causes_of(records[::-1])}
    (alone,) = causes_of(records[8:12])
    assert alone.id in ids


def test_vectors_of_tests_take_part() -> None:
    records = [record("assert 1 == 2", "AssertionError", test=f"test_{at}") for at in range(4)]
    vectors = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    with_vectors = compare(records, vectors=vectors, model=BY_HAND).score
    without = compare(records, model=BY_HAND).score
    assert with_vectors[0, 1] != without[0, 1]


def test_a_report_holds_its_causes() -> None:
    records = (record("broken"),)
    report = DefectsReport(records, causes_of(records))
    assert report.candidates == {}
    assert report.causes[0].match is None


def test_linkage_joins_by_mean_and_never_across_a_bar() -> None:
    score = np.array([[0, 0.9, 0.8, 0.1], [0.9, 0, 0.2, 0.1], [0.8, 0.2, 0, 0.1], [0.1, 0.1, 0.1, 0]], np.float32)
    assert linked(score.copy(), range(4), 0.5).tolist() == [0, 0, 0, 1]
    assert linked(score.copy(), range(4), 0.6).tolist() == [0, 0, 1, 2]
    barred = score.copy()
    barred[1, 2] = barred[2, 1] = NEVER
    assert linked(barred, range(4), 0.1).tolist() == [0, 0, 1, 0]


def test_linkage_starts_with_what_is_bound() -> None:
    score = np.full((4, 4), 0.2, np.float32)
    score[0, 3] = score[3, 0] = NEVER
    assert linked(score, [7, 5, 5, 7], 0.5).tolist() == [0, 1, 1, 0]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(0, 10_000), st.floats(0.1, 0.9))
def test_linkage_is_that_of_merging_the_best_pair_first(n: int, seed: int, threshold: float) -> None:
    drawn = np.random.default_rng(seed).random((n, n))
    score = ((drawn + drawn.T) / 2).astype(np.float32)
    clusters = [[node] for node in range(n)]
    while len(clusters) > 1:
        best, one, other = max(
            (float(score[np.ix_(a, b)].mean(dtype=np.float64)), i, j)
            for i, a in enumerate(clusters)
            for j, b in enumerate(clusters[:i])
        )
        if best < threshold:
            break
        clusters[other] += clusters.pop(one)
    expected = {frozenset(cluster) for cluster in clusters}
    found = linked(score.copy(), range(n), threshold)
    assert {frozenset(np.flatnonzero(found == number).tolist()) for number in set(found.tolist())} == expected


def providers(azure: int, aws: int) -> list[FailureRecord]:
    names = ["azure"] * azure + ["aws"] * aws
    return [record("refused", parameters=(("provider", name), ("n", str(at)))) for at, name in enumerate(names)]


def test_a_parameter_that_tells_failures_from_passed_tests_is_named() -> None:
    records = providers(17, 5)
    tests = [("tests/test_a.py", "test_one", (("provider", "aws"), ("n", str(at)))) for at in range(40)]
    assert shared_parameters(records, range(22), Others(records, passed_counts(tests))) == (
        "17 of 22 have provider=azure",
    )


def test_a_parameter_that_passed_as_often_is_not_named() -> None:
    tests = [("tests/test_a.py", "test_one", (("provider", "azure"),)) for _ in range(40)]
    records = providers(17, 5)
    assert shared_parameters(records, range(22), Others(records, passed_counts(tests))) == ()


def test_without_tests_that_passed_the_other_failures_are_compared() -> None:
    records = [*providers(10, 0), *providers(0, 10)]
    assert shared_parameters(records, range(10), Others(records)) == ("10 of 10 have provider=azure",)
    assert shared_parameters(records[:10], range(10), Others(records[:10])) == ()


def test_the_tail_is_that_of_drawing_without_return() -> None:
    assert tail(0, 3, 4, 9) == pytest.approx(1)
    assert tail(3, 3, 3, 6) == pytest.approx(1 / 20)
    assert tail(2, 2, 2, 4) == pytest.approx(1 / 6)

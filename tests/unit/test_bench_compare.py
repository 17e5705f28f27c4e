"""Comparison with an older run: regressions are flagged, noise is not."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_qeattention.bench.compare import (
    LEAST_CHANGE,
    check_comparable,
    compare_reports,
    read_report,
    regressions,
)
from pytest_qeattention.bench.plan import BenchUsage

MACHINE = {"cpu": "Processor One", "architecture": "x86_64", "processors": 2}


def samples(middle: float, seed: int, noise: float = 0.02) -> list[float]:
    return [float(value) for value in middle * np.random.default_rng(seed).lognormal(0, noise, 30)]


def report(
    seed: int = 0, *, slowdown: float = 1.0, clock: float = 1.0, noise: float = 0.02, flop: int = 10**9
) -> dict[str, Any]:
    """Return a report of a machine whose clock is *clock* times as fast, where ours is *slowdown* times as slow."""
    results = [
        {"name": name, "precision": "float32", "samples_ns": samples(1e6 * by / clock, seed * 10 + number, noise)}
        for number, (name, by) in enumerate((("qeattention", slowdown), ("numpy", 3.0)))
    ]
    row = {
        "kind": "attention",
        "label": "1,8,512,64",
        "precision": "float32",
        "threads": 2,
        "flop": flop,
        "moved_bytes": 10**6,
        "peak": {"samples_gflop_per_s": samples(500 * clock, seed * 10 + 5, 0.005)},
        "results": results,
    }
    bench = {"quick": False, "date": "2026-01-01T00:00:00+00:00", "machine": MACHINE, "rows": [row]}
    return {"schema": "qeattention/1", "backend": {"version": "0.1.0"}, "bench": bench}


def verdicts(comparison: dict[str, Any]) -> dict[str, str | None]:
    return {change["name"]: change["verdict"] for change in comparison["changes"]}


@pytest.mark.parametrize("seed", range(1, 21))
def test_noise_is_the_same(seed: int) -> None:
    comparison = compare_reports(report(0, noise=0.05), report(seed, noise=0.05))

    assert verdicts(comparison) == {"qeattention": "same", "numpy": "same"}
    assert regressions(comparison) == []


def test_a_regression_is_flagged_and_an_improvement_is_told() -> None:
    slower = compare_reports(report(0), report(1, slowdown=1.15))
    faster = compare_reports(report(0), report(1, slowdown=0.85))

    assert verdicts(slower) == {"qeattention": "slower", "numpy": "same"}
    assert [change["label"] for change in regressions(slower)] == ["1,8,512,64"]
    assert slower["changes"][0]["ratio"]["value"] == pytest.approx(1.15, rel=0.03)
    assert verdicts(faster) == {"qeattention": "faster", "numpy": "same"}
    assert regressions(faster) == []


def test_a_slower_peer_is_no_regression() -> None:
    new = report(1)
    new["bench"]["rows"][0]["results"][1]["samples_ns"] = samples(9e6, 3)

    comparison = compare_reports(report(0), new)

    assert verdicts(comparison)["numpy"] == "slower"
    assert regressions(comparison) == []


def test_a_change_below_what_two_processes_differ_by_is_the_same() -> None:
    change = 1 + LEAST_CHANGE / 2

    assert (
        verdicts(compare_reports(report(0, noise=1e-6), report(1, slowdown=change, noise=1e-6)))["qeattention"]
        == "same"
    )


def test_another_clock_is_taken_out_by_the_peak() -> None:
    comparison = compare_reports(report(0), report(1, clock=0.7))

    assert comparison["changes"][0]["normalised"] is True
    assert verdicts(comparison)["qeattention"] == "same"


def test_a_row_that_memory_bounds_is_compared_by_its_times() -> None:
    comparison = compare_reports(report(0, flop=10**6), report(1, flop=10**6, clock=0.7))

    assert comparison["changes"][0]["normalised"] is False
    assert verdicts(comparison)["qeattention"] == "slower"


def test_without_a_peak_times_are_compared() -> None:
    old, new = report(0), report(1)
    old["bench"]["rows"][0]["peak"] = None

    comparison = compare_reports(old, new)

    assert comparison["changes"][0]["normalised"] is False
    assert verdicts(comparison)["qeattention"] == "same"


def test_another_machine_is_said_and_has_no_verdict_without_a_peak() -> None:
    old, new = report(0), report(1)
    old["bench"]["machine"] = {**MACHINE, "cpu": "Processor Two"}
    new["bench"]["rows"][0]["peak"] = None

    comparison = compare_reports(old, new)

    assert comparison["same_machine"] is False
    assert verdicts(comparison) == {"qeattention": None, "numpy": None}
    assert comparison["changes"][0]["ratio"] is None


def test_only_what_both_measured_is_compared() -> None:
    old, new = report(0), report(1)
    for name, value in (("threads", 1), ("precision", "bfloat16"), ("label", "1,8,1024,64"), ("kind", "latency")):
        other = copy.deepcopy(new["bench"]["rows"][0])
        other[name] = value
        new["bench"]["rows"].append(other)

    comparison = compare_reports(old, new)

    assert len(comparison["changes"]) == 2
    assert comparison["unmatched"] == 8


def test_peers_that_were_not_timed_are_not_compared() -> None:
    old, new = report(0), report(1)
    old["bench"]["rows"][0]["results"][1]["samples_ns"] = None
    new["bench"]["rows"].append({"kind": "memory", "results": [{"name": "qeattention", "precision": "float32"}]})
    new["bench"]["rows"][1].update(label="x", precision="float32", threads=2)

    comparison = compare_reports(old, new)

    assert list(verdicts(comparison)) == ["qeattention"]
    assert comparison["unmatched"] == 1


def test_reports_that_cannot_be_compared_are_refused_before_the_run() -> None:
    other = {**MACHINE, "processors": 64}

    check_comparable(report(), MACHINE, quick=False, judged=True)
    check_comparable(report(), other, quick=False, judged=False)
    with pytest.raises(BenchUsage, match=r"another machine .Processor One with 2 processors, here .* 64 processors"):
        check_comparable(report(), other, quick=False, judged=True)
    with pytest.raises(BenchUsage, match="of no quick run, and this one is not; measure both alike"):
        check_comparable(report(), MACHINE, quick=True, judged=False)


def write(path: Path, document: object) -> str:
    path.write_text(json.dumps(document), encoding="utf-8")
    return str(path)


def test_a_report_is_read_as_it_was_written(tmp_path: Path) -> None:
    document = report()

    assert read_report(write(tmp_path / "old.json", document)) == document


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"schema": "qeattention/2", "bench": {}}, "has schema 'qeattention/2', expected 'qeattention/1'"),
        ([], "has schema None"),
        ({"schema": "qeattention/1", "similar": {}}, "it has no benchmark in it"),
        ({"schema": "qeattention/1", "backend": {}, "bench": {"rows": {}}}, "no rows or no machine"),
        ({"schema": "qeattention/1", "backend": {}, "bench": {"rows": [], "machine": {}}}, "whether it was quick"),
    ],
)
def test_documents_that_are_no_reports(tmp_path: Path, document: object, message: str) -> None:
    with pytest.raises(BenchUsage) as error:
        read_report(write(tmp_path / "old.json", document))

    assert message in str(error.value)


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (("rows", 0), 3),
        (("rows", 0, "kind"), None),
        (("rows", 0, "label"), ["x"]),
        (("rows", 0, "threads"), [2]),
        (("rows", 0, "precision"), {}),
        (("rows", 0, "peak"), 500),
        (("rows", 0, "peak", "samples_gflop_per_s"), []),
        (("rows", 0, "results"), "none"),
        (("rows", 0, "results", 0), None),
        (("rows", 0, "results", 0, "name"), []),
        (("rows", 0, "results", 0, "precision"), []),
        (("rows", 0, "results", 0, "samples_ns"), [1, "2"]),
        (("rows", 0, "results", 0, "samples_ns"), [-1]),
        (("rows", 0, "results", 0, "samples_ns"), [True]),
        (("rows", 0, "results", 0, "samples_ns"), {}),
    ],
    ids=str,
)
def test_a_damaged_report_is_refused(tmp_path: Path, at: tuple[Any, ...], value: object) -> None:
    document = report()
    place = document["bench"]
    for name in at[:-1]:
        place = place[name]
    place[at[-1]] = value

    with pytest.raises(BenchUsage, match="row 0 of its benchmark is no measurement"):
        read_report(write(tmp_path / "old.json", document))


def test_files_that_are_no_json(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"speed: \xff")
    (tmp_path / "deep").write_text("[" * 100_000, encoding="ascii")

    for name, message in (("absent", "No such file"), (".", "directory"), ("text", "utf-8"), ("deep", "is no JSON")):
        with pytest.raises(BenchUsage, match=message):
            read_report(str(tmp_path / name))

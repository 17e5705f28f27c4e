"""Benchmark documents as text, Markdown and JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_qeattention.report.bench import WIDTH, bench_json, bench_lines, bench_markdown, duration, number

BACKEND = {"version": "0.1.0", "variant": "avx2", "numpy": {"version": "2.4.6"}}


def result(name: str, median: float | None, precision: str = "float32", **changes: Any) -> dict[str, Any]:
    values = {
        "name": name,
        "precision": precision,
        "state": "measured",
        "reason": None,
        "median_ns": median,
        "p95_ns": median,
        "gbyte_per_s": None if median is None else 2e8 / median,
        "gflop_per_s": None if median is None else 3.5e8 / median,
        "peak_share": None if median is None else 0.875,
        "samples_ns": None if median is None else [median] * 30,
        "ratio": {"value": 12.34, "low": 11.98, "high": 12.77},
    }
    return {**values, **changes}


def row(label: str, *peers: dict[str, Any], kind: str = "attention", precision: str = "float32") -> dict[str, Any]:
    own = result("qeattention", 123_456_789.0, precision, ratio=None)
    return {"kind": kind, "label": label, "precision": precision, "threads": 2, "results": [own, *peers]}


def document(*rows: dict[str, Any], **changes: Any) -> dict[str, Any]:
    bench: dict[str, Any] = {
        "suite": "comprehensive",
        "quick": False,
        "date": "2026-01-02T03:04:05+00:00",
        "threads": 2,
        "blas_threads": 2,
        "samples": 30,
        "machine": {
            "cpu": "Some Processor",
            "processors": 2,
            "python": "3.12.1",
            "caches_bytes": {"l1d": 32768, "l2": 1 << 20, "l3": None},
        },
        "peers": {
            "numpy": {"usable": True, "version": "2.4.6", "reason": None},
            "faiss": {"usable": False, "version": None, "reason": "faiss-cpu is not installed"},
        },
        "remarks": [],
        "rows": list(rows),
    }
    return {
        "schema": "qeattention/1",
        "backend": BACKEND,
        "bench": {**bench, **changes},
    }


def text(value: dict[str, Any]) -> list[str]:
    return [line.text for line in bench_lines(value)]


def test_a_report_says_what_it_ran_on() -> None:
    lines = text(document(row("1,8,512,64", result("numpy", 5e8))))

    assert lines[0] == "qeattention 0.1.0 bench comprehensive, 2026-01-02T03:04:05+00:00"
    assert lines[1] == "Some Processor, 2 threads on 2 processors, avx2 core, l1d 32 KiB, l2 1 MiB"
    assert lines[2] == "Python 3.12.1, numpy 2.4.6"
    assert lines[-1].startswith("faiss was not compared with: faiss-cpu is not installed (in the checkout: pip install")


def test_a_table_of_times() -> None:
    lines = text(document(row("1,8,512,64", result("numpy", 5e8)), row("1,1,4,4", result("numpy", 5e8))))

    start = lines.index("attention, float32; peers: how many times as long as ours, and the 95 % interval")
    assert lines[start + 1 : start + 5] == [
        "B,H,N,D         median     p95  GFLOP/s  of peak            numpy",
        "1,8,512,64      123 ms  123 ms     2.84     88 %  12.3x 12.0-12.8",
        "1,1,4,4         123 ms  123 ms     2.84     88 %  12.3x 12.0-12.8",
        "geometric mean                                              12.3x",
    ]


def test_a_quick_run_and_remarks_are_marked() -> None:
    value = document(quick=True, remarks=["a quick run: not to be quoted"])

    assert text(value)[0].startswith("qeattention 0.1.0 bench comprehensive (quick)")
    assert "! a quick run: not to be quoted" in text(value)
    assert "**a quick run: not to be quoted**" in bench_markdown(value)


def test_what_was_not_timed_is_said() -> None:
    wrong = result("torch", None, state="not comparable", reason="off by 2", ratio=None)
    lines = text(document(row("a", result("numpy", 1e6)), row("b", result("numpy", 1e6), wrong)))

    assert lines[-1] == "b: torch not comparable: off by 2"
    table = [line for line in lines if line.startswith(("a ", "b ", "geometric mean"))]
    assert table[0].endswith("  -")
    assert table[1].endswith("not comparable")
    # A mean over one of two rows is none.
    assert table[2].split()[2:] == ["12.3x", "-"]


def test_fewer_samples_and_other_threads_are_said() -> None:
    slow = result("numpy", 18e9, samples_ns=[18e9] * 5)
    lines = text(document(row("a", slow), blas_threads=4))

    assert "a: numpy has 5 samples, for a call takes 18.0 s" in lines
    assert "NumPy's BLAS used 4 threads, not 2" in lines


@pytest.mark.parametrize("render", [lambda value: text(value), lambda value: bench_markdown(value).splitlines()])
def test_precisions_have_tables_of_their_own(render: Any) -> None:
    peers = [result("torch", 1e6, "bfloat16"), result("torch", 1e6), result("onnxruntime", 1e6)]
    lines = render(document(row("a", peers[1]), row("a", *peers, precision="bfloat16")))

    assert any("attention, float32" in line for line in lines)
    assert any("attention, bfloat16" in line for line in lines)
    assert any(all(name in line for name in ("torch bf16", "torch f32", "onnxruntime f32")) for line in lines)


def test_the_tables_of_a_whole_run_fit_their_width() -> None:
    speed = [result(name, 123_456_789.0) for name in ("numpy", "torch", "onnxruntime")]
    search = [result(name, 123_456_789.0) for name in ("numpy", "faiss", "usearch")]
    lines = text(
        document(
            row("32,4,128,64", *speed),
            row("1,1,2048,128", *speed, precision="bfloat16"),
            row("1,1,1x10000,768", *speed, kind="latency"),
            row("20000x20000,256,10", *search, kind="topk"),
        )
    )

    assert max(map(len, lines)) <= WIDTH


def memory_row() -> dict[str, Any]:
    sides = [("qeattention", None), ("numpy", "scores of all heads"), ("numpy", "scores of one head at a time")]
    return {
        "kind": "memory",
        "label": "1,8,16384,64",
        "precision": "float32",
        "threads": 2,
        "saved_share": None,
        "results": [
            {
                "name": name,
                "way": way,
                "precision": "float32",
                "state": "skipped" if way == "scores of all heads" else "measured",
                "reason": "needs about 8.8 GB" if way == "scores of all heads" else None,
                "base_bytes": 50_000_000,
                "extra_bytes": None if way == "scores of all heads" else 34_000_000,
                "scratch_bytes": None if way else 200_000,
            }
            for name, way in sides
        ],
    }


def test_a_table_of_memory() -> None:
    lines = text(document(memory_row()))

    assert any(line.split() == ["1,8,16384,64", "50.0", "34.0", "0.20", "skipped", "34.0", "-"] for line in lines)
    assert "1,8,16384,64: numpy skipped: needs about 8.8 GB" in lines


def test_nothing_less_than_all_is_a_hundred_percent() -> None:
    lines = text(document({**memory_row(), "saved_share": 0.99995}))

    assert any(line.endswith("  99.9 %") for line in lines)


def test_verdicts_and_what_was_not_measured() -> None:
    one = {"claim": "latency", "measured": 4.5, "target": 5.0, "unit": "ms", "bound": "at most", "verdict": "pass"}
    none = {
        "claim": "memory saved",
        "measured": None,
        "target": 0.5,
        "unit": "share",
        "bound": "at least",
        "verdict": None,
    }
    overall = {"claim": "latency", "pass": 1, "fail": 0, "not_measured": 0, "verdict": "pass"}
    lines = text(document({**memory_row(), "verdicts": [one, none]}, verdicts=[overall]))

    words = [" ".join(line.split()) for line in lines]
    assert "1,8,16384,64 latency 4.50 ms at most 5.00 ms pass" in words
    assert "1,8,16384,64 memory saved - at least 50.0 % not measured" in words
    assert "latency 1 0 0 pass" in words


def test_what_memory_bounds_is_told_in_bytes() -> None:
    lines = text(document(row("1x20000,256,10", result("faiss", 5e8), kind="search")))

    assert "QxK,D,k         median     p95  GB/s            faiss" in lines
    assert "1x20000,256,10  123 ms  123 ms  1.62  12.3x 12.0-12.8" in lines


def test_a_comparison_shows_ours_and_says_what_does_not_match() -> None:
    change = {
        "label": "1,8,512,64",
        "precision": "float32",
        "old_median_ns": 1e6,
        "new_median_ns": 2e6,
        "ratio": {"value": 2.0, "low": 1.9, "high": 2.1},
        "verdict": "slower",
    }
    peers = [{**change, "name": "numpy"}, {**change, "name": "torch", "ratio": None, "verdict": None}]
    comparison = {
        "old": {"date": "2025-01-01", "version": "0.0.9", "machine": {"cpu": "Other", "processors": 8}},
        "same_machine": False,
        "unmatched": 2,
        "changes": [*peers, {**change, "name": "qeattention"}],
    }
    lines = text(document(comparison=comparison))

    start = next(number for number, line in enumerate(lines) if line.startswith("ours against 0.0.9 of 2025-01-01"))
    assert lines[start + 2].split() == ["1,8,512,64", "f32", "1.00", "ms", "2.00", "ms", "2.00x", "1.90-2.10", "slower"]
    assert lines[start + 3] == ""
    assert any("another machine (Other, 8 processors)" in line for line in lines)
    assert "peers, whose code is the same where their versions are: 1 slower, 1 not measured" in lines
    assert "2 measurements of this run not in the older report" in lines


def test_json_keeps_small_numbers_and_a_contender_on_one_line() -> None:
    value = document(row("a", result("numpy", 1.5, error=1.7904141e-7, p95_ns=float("nan"))))

    written = bench_json(value)

    kept = json.loads(written)["bench"]["rows"][0]["results"][1]
    assert kept["error"] == 1.790414e-07
    assert kept["p95_ns"] is None
    assert kept["samples_ns"] == [1.5] * 30
    assert any(line.count("1.5") >= 30 for line in written.splitlines())


@pytest.mark.parametrize(
    ("nanoseconds", "shown"),
    [(None, "-"), (12.34, "12.3 ns"), (4321.0, "4.32 µs"), (99_960.0, "100 µs"), (1e6, "1.00 ms"), (2.5e9, "2.50 s")],
)
def test_durations_have_three_digits(nanoseconds: float | None, shown: str) -> None:
    assert duration(nanoseconds) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(None, "-"), (0.0, "0.00"), (9.994, "9.99"), (9.996, "10.0"), (512.4, "512")]
)
def test_numbers_have_three_digits(value: float | None, shown: str) -> None:
    assert number(value) == shown

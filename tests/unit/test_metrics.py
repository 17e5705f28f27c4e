from __future__ import annotations

import json
import multiprocessing
import os
import random
import statistics
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_qeattention import AttentionConfig, QEAttention
from pytest_qeattention.attention import functional
from pytest_qeattention.attention.arguments import FloatArray
from pytest_qeattention.attention.metrics import QUANTILE_SAMPLES, AttentionEvent, Recorder, quantile
from pytest_qeattention.attention.workloads import WORKLOADS
from pytest_qeattention.store import OutputError


def normal(*shape: int) -> FloatArray:
    return np.random.default_rng([*shape]).standard_normal(shape).astype(np.float32)


def clock_of(durations_ns: Iterable[int]) -> Callable[[], int]:
    """Return a clock by which the calls, each asking it twice, take these durations."""
    ticks = (tick for duration in durations_ns for tick in (1_000, 1_000 + duration))
    return lambda: next(ticks)


def event(duration_ns: int, *, tokens: int = 1, flops: int = 1, scratch_bytes: int = 1) -> AttentionEvent:
    return AttentionEvent(duration_ns, tokens, flops, scratch_bytes, 1, "scalar")


UNMEASURED = {
    "workload": "mine",
    "calls": 0,
    "errors": 0,
    "total_seconds": 0.0,
    "mean_ms": None,
    "p50_ms": None,
    "p95_ms": None,
    "quantile_samples": 0,
    "tokens": 0,
    "tokens_per_second": None,
    "gflop_per_second": None,
    "peak_scratch_bytes": None,
    "most_threads": None,
    "variants": [],
    "latency_target_ms": None,
    "latency_success_rate": None,
    "memory_target_mb": None,
    "memory_success_rate": None,
    "speedup_vs_reference": None,
    "reference": None,
}


def test_what_was_not_measured_is_none() -> None:
    assert QEAttention(AttentionConfig(name="mine")).metrics() == UNMEASURED


def test_metrics_follow_from_the_calls() -> None:
    clock = clock_of([3_000_000, 1_000_000, 2_000_000, 500_000])
    attention = QEAttention(
        AttentionConfig(name="mine", heads=2, num_threads=1, latency_target_ms=2.0, memory_target_mb=1000.0),
        clock_ns=clock,
    )
    attention.attend(normal(10, 8))
    attention.attend(normal(3, 10, 8))
    attention.attend(normal(5, 8), normal(20, 8), normal(20, 12))
    with pytest.raises(ValueError, match="does not split into 2 heads"):
        attention.attend(normal(5, 7))
    metrics = attention.metrics()

    total_ns = 6_000_000
    operations = 2 * 2 * ((4 + 4) * 10 * 10 + 3 * (4 + 4) * 10 * 10 + (4 + 6) * 5 * 20)
    assert metrics == {
        "workload": "mine",
        "calls": 4,
        "errors": 1,
        "total_seconds": 0.006,
        "mean_ms": 2.0,
        "p50_ms": 2.0,
        "p95_ms": pytest.approx(2.9),
        "quantile_samples": 3,
        "tokens": 45,
        "tokens_per_second": pytest.approx(7500.0),
        "gflop_per_second": pytest.approx(operations / total_ns),
        "peak_scratch_bytes": metrics["peak_scratch_bytes"],
        "most_threads": 1,
        "variants": metrics["variants"],
        "latency_target_ms": 2.0,
        "latency_success_rate": 0.5,
        "memory_target_mb": 1000.0,
        "memory_success_rate": 0.75,
        "speedup_vs_reference": None,
        "reference": None,
    }
    assert len(metrics["variants"]) == 1
    assert json.loads(json.dumps(metrics)) == metrics


def test_peak_memory_and_variant_are_those_the_core_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    attend = functional.attend
    sizes = iter([500, 3_000_000, 1_000_000])
    monkeypatch.setattr(
        functional,
        "attend",
        lambda *args, **how: attend(*args, **how)._replace(scratch_bytes=next(sizes), threads=7, variant="avx9"),
    )
    attention = QEAttention(AttentionConfig(name="mine", memory_target_mb=1.0))
    for _ in range(3):
        attention.attend(normal(4, 8))
    metrics = attention.metrics()
    assert metrics["peak_scratch_bytes"] == 3_000_000
    assert metrics["memory_success_rate"] == pytest.approx(2 / 3)
    assert metrics["most_threads"] == 7
    assert metrics["variants"] == ["avx9"]


@pytest.mark.parametrize(("n_q", "n_k", "scores"), [(4, 4, 10), (6, 4, 18), (4, 6, 10), (1, 9, 1), (9, 1, 9)])
def test_causal_counts_the_scores_that_it_leaves(n_q: int, n_k: int, scores: int) -> None:
    assert scores == sum(min(row + 1, n_k) for row in range(n_q))
    attention = QEAttention(AttentionConfig(name="mine", heads=3, causal=True), clock_ns=clock_of([1000]))
    attention.attend(normal(n_q, 6), normal(n_k, 6), normal(n_k, 12))
    assert attention.metrics()["gflop_per_second"] == pytest.approx(2 * 3 * (2 + 4) * scores / 1000)


def test_a_clock_that_stands_still_gives_no_rate() -> None:
    attention = QEAttention("test-similarity", heads=2, clock_ns=clock_of([0]))
    attention.attend(normal(4, 8))
    metrics = attention.metrics()
    assert metrics["tokens_per_second"] is None
    assert metrics["gflop_per_second"] is None
    assert metrics["latency_success_rate"] == 1.0


def test_reset_forgets_everything() -> None:
    attention = QEAttention(AttentionConfig(name="mine", heads=2, shape=(8, 8)))
    attention.attend(normal(4, 8))
    attention.measure_reference(repeats=1)
    with pytest.raises(TypeError):
        attention.attend(None)  # type: ignore[arg-type]
    attention.reset_metrics()
    assert attention.metrics() == UNMEASURED


def test_an_interrupt_is_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: object, **how: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(functional, "attend", interrupted)
    attention = QEAttention(AttentionConfig(name="mine"))
    with pytest.raises(KeyboardInterrupt):
        attention.attend(normal(4, 8))
    assert attention.metrics() == UNMEASURED


@pytest.mark.parametrize("count", [1, 2, 5, 20, 101])
def test_quantiles_are_interpolated_as_numpy_does(count: int) -> None:
    durations = sorted(random.Random(count).randrange(1000) for _ in range(count))
    for share in (0.0, 0.05, 0.5, 0.95, 1.0):
        assert quantile(durations, share) == pytest.approx(np.quantile(durations, share))


def test_quantiles_of_a_long_session_come_from_a_bounded_sample() -> None:
    recorder = Recorder(samples=500)
    durations = list(range(1, 20_001))
    random.Random(1).shuffle(durations)
    for duration in durations:
        recorder.answered(event(duration * 1_000_000))
    metrics = recorder.snapshot()
    assert len(recorder._durations_ns) == metrics["quantile_samples"] == 500
    assert metrics["calls"] == 20_000
    assert metrics["mean_ms"] == statistics.mean(durations)
    # Three standard errors of a quantile's rank in a sample of 500.
    assert metrics["p50_ms"] == pytest.approx(10_000, abs=20_000 * 3 * (0.5 * 0.5 / 500) ** 0.5)
    assert metrics["p95_ms"] == pytest.approx(19_000, abs=20_000 * 3 * (0.95 * 0.05 / 500) ** 0.5)


def test_the_sample_does_not_favour_early_or_late_calls() -> None:
    recorder = Recorder(samples=100)
    for number in range(10_000):
        recorder.answered(event(number))
    # The mean place of 100 out of 10,000, within four standard errors.
    assert statistics.mean(recorder._durations_ns) == pytest.approx(5_000, abs=4 * 10_000 / 12**0.5 / 10)


def test_recording_leaves_the_users_random_state_alone() -> None:
    recorder = Recorder(samples=1)
    random.seed(3)
    before = random.getstate()
    for _ in range(10):
        recorder.answered(event(1))
    assert random.getstate() == before


def test_the_default_sample_holds_the_promised_number() -> None:
    recorder = Recorder()
    for _ in range(QUANTILE_SAMPLES + 10):
        recorder.answered(event(1))
    assert recorder.snapshot()["quantile_samples"] == QUANTILE_SAMPLES


def test_threads_lose_no_event() -> None:
    attention = QEAttention(AttentionConfig(name="mine", heads=2, num_threads=1, latency_target_ms=1e9))
    x, wrong = normal(6, 8), normal(6, 7)
    start = threading.Barrier(4)

    def work() -> None:
        start.wait()
        for number in range(100):
            attention.attend(x)
            if number % 10 == 0:
                with pytest.raises(ValueError, match="does not split"):
                    attention.attend(wrong)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    metrics = attention.metrics()
    assert metrics["calls"] == 440
    assert metrics["errors"] == 40
    assert metrics["tokens"] == 2400
    assert metrics["quantile_samples"] == 400
    assert metrics["latency_success_rate"] == pytest.approx(400 / 440)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_child_forked_during_a_recording_still_records() -> None:
    recorder = Recorder()
    with recorder._lock:
        child = multiprocessing.get_context("fork").Process(target=recorder.answered, args=(event(1),))
        child.start()
        child.join(timeout=20)
    exitcode = child.exitcode
    child.kill()
    child.join()
    assert exitcode == 0


def test_speedup_is_the_ratio_of_the_medians() -> None:
    # Of each side only the timed calls ask the clock, in turns of five.
    attention_ns, reference_ns = [200, 100, 400, 100, 300, 200, 900], [900, 1000, 700, 900, 800, 2000, 2000]
    taken = [*attention_ns[:5], *reference_ns[:5], *attention_ns[5:], *reference_ns[5:]]
    attention = QEAttention(AttentionConfig(name="mine", heads=2), clock_ns=clock_of(taken))
    answer = attention.measure_reference(normal(3, 10, 8), normal(3, 20, 8), normal(3, 20, 12), repeats=7)
    assert answer == {
        "shape": {"batch": 3, "heads": 2, "n_q": 10, "n_k": 20, "d": 4, "d_v": 6},
        "repeats": 7,
        "attention_p50_ms": 200e-6,
        "reference_p50_ms": 900e-6,
        "speedup": 4.5,
        "max_abs_difference": answer["max_abs_difference"],
    }
    assert answer["max_abs_difference"] < 2e-5
    metrics = attention.metrics()
    assert metrics["speedup_vs_reference"] == 4.5
    assert metrics["reference"] == answer
    assert metrics["calls"] == 0


def test_the_reference_computes_the_same() -> None:
    x = normal(2, 20, 8)
    mask = np.random.default_rng(1).random((2, 20, 20)) < 0.7
    for knobs in ({}, {"causal": True}, {"scale": 2.0}):
        attention = QEAttention(AttentionConfig(name="mine", heads=2, **knobs))
        assert attention.measure_reference(x, mask=mask, repeats=1)["max_abs_difference"] < 2e-5


def test_the_reference_is_measured_at_the_configured_shape() -> None:
    answer = QEAttention("pattern-adaptation").measure_reference(repeats=2)
    assert answer["shape"] == {"batch": 1, "heads": 4, "n_q": 128, "n_k": 128, "d": 64, "d_v": 64}
    assert answer["speedup"] > 0
    assert answer["max_abs_difference"] < 2e-5


def test_results_that_are_not_finite_have_no_difference() -> None:
    x = normal(4, 8)
    x[1, 1] = np.nan
    attention = QEAttention(AttentionConfig(name="mine", heads=2))
    assert attention.measure_reference(x, repeats=1)["max_abs_difference"] is None
    assert json.loads(attention.metrics_json())["metrics"]["reference"]["max_abs_difference"] is None


def test_bad_requests_for_the_reference() -> None:
    attention = QEAttention(AttentionConfig(name="mine"))
    with pytest.raises(ValueError, match=r"'mine' has no shape.*; pass arrays, or configure shape=\(n, dim\)"):
        attention.measure_reference()
    with pytest.raises(ValueError, match="repeats is 0, expected at least 1"):
        attention.measure_reference(normal(4, 8), repeats=0)
    with pytest.raises(TypeError, match="k or v is given without q"):
        attention.measure_reference(None, normal(4, 8), normal(4, 8))
    with pytest.raises(ValueError, match="width 768 does not split into 5 heads"):
        QEAttention("test-similarity", heads=5).measure_reference()
    assert attention.metrics() == UNMEASURED


def test_exported_metrics_are_those_of_the_calls(tmp_path: Path) -> None:
    attention = QEAttention("coverage-analysis")
    attention.attend(normal(5, 384))
    path = tmp_path / "metrics.json"
    path.write_text("old")
    attention.export_metrics(path)
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    assert document == {
        "schema": "qeattention-metrics/1",
        "config": WORKLOADS["coverage-analysis"].as_dict(),
        "metrics": attention.metrics(),
    }
    assert document["metrics"]["calls"] == 1
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.json"]


def test_an_export_that_cannot_be_written_says_why(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist; create it, or give another path"):
        QEAttention("coverage-analysis").export_metrics(tmp_path / "missing" / "metrics.json")

"""Verdicts, memory rows and the stress run."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from pytest_qeattention.attention.workloads import WORKLOADS
from pytest_qeattention.bench import memory, stress_case, workloads
from pytest_qeattention.bench.child import ChildFailed, run_child
from pytest_qeattention.bench.gate import Verdict
from pytest_qeattention.bench.memory import lengths_up_to, memory_row, saved_share
from pytest_qeattention.bench.plan import Plan
from pytest_qeattention.bench.stress import failure_of, growth, stress_row
from pytest_qeattention.bench.stress_case import StressCase, check, draw
from pytest_qeattention.bench.suite import remarks
from pytest_qeattention.bench.validate import add_verdicts
from pytest_qeattention.bench.workloads import WorkloadCase, target_verdicts, verdict, workload_memory


@pytest.mark.parametrize(
    ("measured", "target", "least", "answer"),
    [
        (1.0, 2.0, False, "pass"),
        (2.0, 2.0, False, "pass"),
        (2.1, 2.0, False, "fail"),
        (2.1, 2.0, True, "pass"),
        (9.9, 2.0, True, "pass"),
        (1.9, 2.0, True, "fail"),
        (None, 2.0, False, None),
        (None, 2.0, True, None),
        (1.0, None, False, None),
    ],
)
def test_a_verdict_on_one_claim(measured: float | None, target: float | None, least: bool, answer: str | None) -> None:
    assert verdict("latency", measured, target, "ms", least=least)["verdict"] == answer


def workload_row(
    *, low: float | None, median_ns: float | None, extra: int | None, saved: float | None
) -> dict[str, Any]:
    ratio = None if low is None else {"value": low + 0.1, "low": low, "high": low + 0.2}
    row: dict[str, Any] = {
        "kind": "workload",
        "results": [{"median_ns": median_ns}, {"ratio": ratio}],
        "memory": {"qeattention": {"extra_bytes": extra}, "saved_share": saved},
    }
    row["verdicts"] = target_verdicts(row, WORKLOADS["defect-matching"])
    return row


def test_targets_are_judged_one_by_one() -> None:
    row = workload_row(low=3.0, median_ns=4.9e6, extra=60_000_000, saved=0.6)

    assert [(one["claim"], one["measured"], one["verdict"]) for one in row["verdicts"]] == [
        ("latency", 4.9, "pass"),
        ("memory", 60.0, "fail"),
    ]


def test_claims_are_validated_by_row_and_overall() -> None:
    rows = [
        workload_row(low=2.5, median_ns=1e6, extra=1, saved=0.9),
        workload_row(low=9.0, median_ns=9e6, extra=1, saved=0.5),
        {"kind": "memory", "saved_share": None},
    ]

    overall = {one["claim"]: one for one in add_verdicts(rows)}

    assert [one["claim"] for one in rows[0]["verdicts"]] == ["speed-up", "latency", "memory saved"]
    assert overall["speed-up"] == {"claim": "speed-up", "pass": 2, "fail": 0, "not_measured": 0, "verdict": "pass"}
    assert overall["latency"]["verdict"] == "fail"
    assert overall["memory saved"] == {
        "claim": "memory saved",
        "pass": 2,
        "fail": 0,
        "not_measured": 1,
        "verdict": None,
    }


def test_a_speed_up_must_reach_its_target_with_the_low_end_of_its_interval() -> None:
    rows = [workload_row(low=2.48, median_ns=1e6, extra=1, saved=0.9)]

    assert add_verdicts(rows)[0]["verdict"] == "fail"


def test_lengths_are_doubled_up_to_the_longest() -> None:
    assert lengths_up_to(16_384) == [1024, 2048, 4096, 8192, 16_384]
    assert lengths_up_to(3000) == [1024, 2048, 3000]
    assert lengths_up_to(100) == [100]


def test_a_share_saved_needs_both_sides() -> None:
    assert saved_share(25, 100) == 0.75
    assert saved_share(150, 100) == -0.5
    assert saved_share(None, 100) is None
    assert saved_share(25, None) is None


def test_memory_is_that_of_a_child() -> None:
    row = memory_row(768, 1)
    own, whole, per_head = row["results"]

    assert row["label"] == "1,8,768,64"
    assert own["base_bytes"] > 5_000_000
    # The scores are there at once, and the process shows it.
    scores = 4 * 8 * 768 * 768
    assert scores * 0.9 < whole["extra_bytes"] < scores * 1.8
    assert per_head["extra_bytes"] < whole["extra_bytes"] / 2
    assert own["extra_bytes"] < whole["extra_bytes"] / 2
    assert row["saved_share"] == 1 - own["extra_bytes"] / whole["extra_bytes"]


def test_what_does_not_fit_into_memory_is_skipped_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def child(task: dict[str, Any]) -> dict[str, int]:
        asked.append(task["side"])
        return {"base_bytes": 1, "peak_bytes": 3, "extra_bytes": 2, "scratch_bytes": 1}

    monkeypatch.setattr(memory, "available_memory_bytes", lambda: 1_000_000_000)
    monkeypatch.setattr(memory, "run_child", child)

    row = memory_row(8192, 1)

    assert asked == ["qeattention", "numpy"]
    assert [result["state"] for result in row["results"]] == ["measured", "skipped", "measured"]
    assert row["results"][1]["reason"] == "needs about 2.2 GB, and 1.0 GB are free"
    assert row["results"][1]["extra_bytes"] is None
    assert row["saved_share"] is None


def test_a_child_that_fails_is_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def child(task: object) -> dict[str, int]:
        raise ChildFailed("the child process ended with -9: it said nothing")

    monkeypatch.setattr(memory, "run_child", child)
    monkeypatch.setattr(workloads, "run_child", child)

    row = memory_row(1024, 1)
    assert {result["state"] for result in row["results"]} == {"failed"}
    assert row["saved_share"] is None

    found = workload_memory(WorkloadCase(WORKLOADS["test-similarity"]), 1)
    assert found["qeattention"]["extra_bytes"] is None
    assert found["saved_share"] is None


def test_the_error_of_a_child_is_told() -> None:
    with pytest.raises(ChildFailed, match="ended with 1: KeyError: 'shape'"):
        run_child({"side": "numpy", "threads": 1})


def test_the_memory_of_a_small_workload_is_what_its_call_allocates() -> None:
    case = WorkloadCase(WORKLOADS["pattern-adaptation"])

    found = workload_memory(case, 1)

    n, dim = case.size
    stored = found["numpy"]["allocated_bytes"]
    scores, tensor = 4 * case.config.heads * n * n, 4 * n * dim
    assert found["by"] == "allocated"
    assert scores + 2 * tensor <= stored < scores + 2 * tensor + 65_536
    assert found["saved_share"] == 1 - found["qeattention"]["allocated_bytes"] / stored


def test_a_seed_draws_the_same_case_and_other_seeds_draw_others() -> None:
    drawn = [draw(seed, 4) for seed in range(300)]

    assert drawn == [draw(seed, 4) for seed in range(300)]
    assert {case.operation for case in drawn} == {"attention", "packed", "topk"}
    assert {case.precision for case in drawn} == {"float32", "bfloat16"}
    assert {case.mask for case in drawn} == set(stress_case.MASKS)
    assert {case.threads for case in drawn} == {1, 2, 3, 4}
    assert {case.causal for case in drawn} == {case.is_strided for case in drawn} == {True, False}
    assert min(case.keys for case in drawn) < 200
    assert max(case.keys for case in drawn) > 50_000
    assert all(100 <= case.keys <= 100_000 for case in drawn)
    assert len({case.describe() for case in drawn}) > 290


def small(**changes: Any) -> StressCase:
    values: dict[str, Any] = {
        "seed": 1,
        "threads": 2,
        "batch": 2,
        "heads": 2,
        "queries": 30,
        "keys": 120,
        "dim": 16,
        "value_dim": 8,
        "precision": "float32",
        "mask": "none",
        "causal": False,
        "scale": None,
        "size": 1.0,
        "is_strided": False,
    }
    return StressCase(**{**values, **changes})


@pytest.mark.parametrize("mask", stress_case.MASKS)
@pytest.mark.parametrize("causal", [False, True])
def test_right_results_pass(mask: str, causal: bool) -> None:
    for seed, strided in itertools.product(range(4), (False, True)):
        found = check(small(mask=mask, causal=causal, seed=seed, is_strided=strided))
        assert found.is_right, found.reason


@pytest.mark.parametrize("mask", ["none", "bias"])
@pytest.mark.parametrize("causal", [False, True])
def test_right_results_of_packed_sequences_and_chunks_pass(mask: str, causal: bool) -> None:
    for seed, sequences in itertools.product(range(3), (2, 7, 50)):
        found = check(small(sequences=sequences, mask=mask, causal=causal, seed=seed, query_chunk=7, key_chunk=33))
        assert found.is_right, found.reason


@pytest.mark.parametrize("size", [0.01, 1.0, 8.0])
def test_the_bound_follows_the_size_of_the_inputs(size: float) -> None:
    for seed in range(4):
        found = check(small(size=size, scale=0.5, seed=seed))
        assert found.is_right, found.reason
        assert found.error is not None
        assert found.error > 1e-4  # a bound that nothing could break would check nothing


@pytest.mark.parametrize("spoil", ["out", "lse", "threads", "hidden", "bounds"])
def test_wrong_results_do_not_pass(monkeypatch: pytest.MonkeyPatch, spoil: str) -> None:
    right = stress_case.flash_attention

    def wrong(*arrays: Any, num_threads: int, **options: Any) -> Any:
        if spoil == "bounds":
            options["cu_seqlens"] = options["cu_seqlens_k"] = None
        out, lse = right(*arrays, num_threads=num_threads, **options)
        if spoil == "out":
            out = out * np.float32(1.001)
        elif spoil == "lse":
            lse = lse + np.float32(0.001)
        elif spoil == "threads":
            out = out * np.float32(1 + 2e-7 * num_threads)
        elif spoil == "hidden":
            out = np.where(lse[..., None] == -np.inf, np.float32(1e-9), out)
        return out, lse

    monkeypatch.setattr(stress_case, "flash_attention", wrong)
    mask = "nothing visible" if spoil == "hidden" else "none"

    sequences = 3 if spoil == "bounds" else 1
    found = [check(small(seed=seed, mask=mask, sequences=sequences)) for seed in range(8)]

    assert not all(one.is_right for one in found)


def test_nearest_keys_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    case = small(k=5, batch=1, heads=1)
    assert check(case).is_right

    right = stress_case.topk_similarity
    monkeypatch.setattr(stress_case, "topk_similarity", lambda *rest, **more: (None, right(*rest, **more)[1] + 1))
    assert not check(case).is_right


class Ticking:
    """A clock on which every look takes a second."""

    def __init__(self) -> None:
        self.now = 0

    def now_ns(self) -> int:
        self.now += 10**9
        return self.now

    def sleep(self, seconds: float) -> None:
        raise NotImplementedError

    def is_quiet(self) -> bool:
        raise NotImplementedError


def test_a_stress_run_counts_and_ends_with_its_time() -> None:
    seen: list[int] = []

    def right(case: StressCase) -> Verdict:
        seen.append(case.seed)
        return Verdict(True, case.seed / 1000)

    row = stress_row(threads=2, duration_s=5, seed=40, clock=Ticking(), check=right)

    assert seen == [40, 41, 42, 43, 44]
    assert row["cases"] == 5
    assert sum(row["by_operation"].values()) == sum(row["by_threads"].values()) == 5
    assert max(worst["error"] for worst in row["worst"].values()) == 0.044
    assert row["mismatch"] is None
    assert failure_of(row) is None


def test_a_mismatch_ends_a_stress_run_with_the_seed_that_repeats_it() -> None:
    row = stress_row(
        threads=2,
        duration_s=3600,
        seed=5,
        clock=Ticking(),
        check=lambda case: Verdict(case.seed < 8, 0.5, None if case.seed < 8 else "row (0, 1) is off"),
    )

    assert row["cases"] == 4
    assert row["mismatch"]["seed"] == 8
    assert row["mismatch"]["case"] == draw(8, 2).describe()
    failure = failure_of(row)
    assert failure is not None
    assert "qeattention bench stress --seed 8 --threads 2 --duration 1s" in failure


def test_a_call_that_raises_is_a_mismatch() -> None:
    def raises(case: StressCase) -> Verdict:
        raise ValueError("k has shape (3,)")

    row = stress_row(threads=1, duration_s=1, seed=0, clock=Ticking(), check=raises)

    assert row["mismatch"]["reason"] == "ValueError: k has shape (3,)"


def test_what_a_reader_must_know_is_remarked() -> None:
    def row(share: float | None, noisy: bool) -> dict[str, Any]:
        return {"label": f"row {share}", "peak": {"noisy": noisy}, "results": [{"peak_share": share}], "unsettled": 2}

    assert remarks(Plan(), 0.01, [{"label": "memory"}]) == []
    assert remarks(Plan(quick=True), None, [])[0].startswith("a quick run")
    found = remarks(Plan(), 0.5, [row(0.9, True), row(2.0, False), row(None, False)])
    assert found[0] == "the machine was not quiet: other processes took 50 % of a processor"
    assert found[1].startswith("noisy: the peak itself varied by over 10 % in 1 of 3 rows (row 0.9)")
    assert found[2].startswith("the peak measured is below what was reached in 1 of 3 rows")
    assert found[3].startswith("6 samples were taken while threads of another library still ran")


def test_growth_that_goes_on_is_a_leak_and_what_an_allocator_keeps_is_not() -> None:
    step = 10 << 20

    assert growth([100 * step] * 40) == {"quarters_bytes": [100 * step] * 4, "grown_bytes": 0, "leaks": False}
    assert growth([number * step for number in range(1, 41)])["leaks"] is True
    # It grew once, early, and stayed.
    assert growth([step] * 10 + [100 * step] * 30)["leaks"] is False
    assert growth([step] * 30 + [100 * step] * 10)["leaks"] is False
    assert growth([step] * 39)["leaks"] is None
    assert growth([0] * 40)["leaks"] is None

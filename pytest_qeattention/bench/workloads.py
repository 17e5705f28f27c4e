"""``bench workloads``: the built-in workloads at their published shapes, against their published targets.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_qeattention.attention.arguments import FloatArray
from pytest_qeattention.attention.qeattention import QEAttention
from pytest_qeattention.attention.workloads import WORKLOADS, AttentionConfig
from pytest_qeattention.bench.child import ChildFailed, run_child
from pytest_qeattention.bench.comprehensive import SuiteProgress, row_progress
from pytest_qeattention.bench.gate import AttentionOracle
from pytest_qeattention.bench.intervals import SEED
from pytest_qeattention.bench.measure import OURS, Judge, check, measure, ours_of
from pytest_qeattention.bench.memory import saved_share
from pytest_qeattention.bench.peers import Contender, Offer, numpy_attention

RESOLVED_BYTES = 8_000_000
"""What stored scores must add to a child process for its peak to tell a saving: the system counts resident pages to
some hundred kilobytes. Below it, the sums of what a call allocates are compared."""


@dataclass(frozen=True, slots=True)
class WorkloadCase:
    """Hold one workload at its published shape."""

    config: AttentionConfig

    kind = "workload"

    @property
    def label(self) -> str:
        return self.config.name

    @property
    def precision(self) -> str:
        return self.config.precision

    @property
    def size(self) -> tuple[int, int]:
        """Tokens and width."""
        if self.config.shape is None:
            raise ValueError(f"workload {self.config.name} has no shape to be measured at")
        return self.config.shape

    @property
    def flop(self) -> int:
        n, dim = self.size
        return 4 * n * n * dim

    @property
    def moved_bytes(self) -> int:
        n, dim = self.size
        return 16 * n * dim

    def shape(self) -> dict[str, int]:
        """Return the sizes by name."""
        n, dim = self.size
        return {"queries": n, "keys": n, "width": dim, "heads": self.config.heads}

    def inputs(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return q, k and v, (n, width), the same for every run."""
        rng = np.random.default_rng([SEED, *self.size])
        q, k, v = (rng.standard_normal(self.size, dtype=np.float32) for _ in range(3))
        return q, k, v

    def split(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return (n, width) as (1, heads, n, d), contiguous."""
        n = self.size[0]
        return np.ascontiguousarray(array.reshape(1, n, self.config.heads, -1).swapaxes(1, 2))


def workload_rows(threads: int, samples: int, progress: SuiteProgress | None) -> Iterator[dict[str, Any]]:
    """Yield a row for each built-in workload: times against NumPy, memory of child processes, verdicts on targets."""
    cases = [WorkloadCase(config) for config in WORKLOADS.values()]
    for case in cases:
        ours, judge, _ = _prepare(case, threads)
        check(case, ours, judge)
    for number, case in enumerate(cases):
        ours, judge, stored = _prepare(case, threads)
        shown = row_progress(progress, f"{number + 1}/{len(cases)} workload {case.label}")
        row = measure(case, ours, [stored], judge, threads=threads, samples=samples, progress=shown)
        row["memory"] = workload_memory(case, threads)
        row["verdicts"] = target_verdicts(row, case.config)
        yield row


def target_verdicts(row: dict[str, Any], config: AttentionConfig) -> list[dict[str, Any]]:
    """Return the verdicts on the published targets: median latency, and memory above the base of a child process."""
    median = ours_of(row)["median_ns"]
    extra = row["memory"][OURS]["extra_bytes"]
    return [
        verdict("latency", None if median is None else median / 1e6, config.latency_target_ms, "ms"),
        verdict("memory", None if extra is None else extra / 1e6, config.memory_target_mb, "MB"),
    ]


def verdict(
    claim: str, measured: float | None, target: float | None, unit: str, *, least: bool = False
) -> dict[str, Any]:
    """Return the verdict on one claim: pass or fail, and None for what was not measured or has no target.

    The target is the most that passes, or with *least* the least.
    """
    passed = None
    if measured is not None and target is not None:
        passed = measured >= target if least else measured <= target
    return {
        "claim": claim,
        "measured": measured,
        "target": target,
        "unit": unit,
        "bound": "at least" if least else "at most",
        "verdict": None if passed is None else "pass" if passed else "fail",
    }


def workload_memory(case: WorkloadCase, threads: int) -> dict[str, Any]:
    """Return what one call takes in a child process: ours, NumPy with all scores stored, and the share saved.

    ``by`` says how the saving was told: ``resident`` by the peaks of the processes, ``allocated`` by the sums of what
    the calls allocate, where the scores are too small for the peaks.
    """
    task = {"workload": case.label, "shape": case.size, "threads": threads, "precision": case.precision}
    sides: dict[str, Any] = {}
    for name in (OURS, "numpy"):
        try:
            sides[name] = {**run_child({**task, "side": name}), "reason": None}
        except ChildFailed as error:
            sides[name] = {**dict.fromkeys(_ANSWERS), "reason": str(error)}
    ours, stored = sides[OURS], sides["numpy"]
    is_resolved = (stored["extra_bytes"] or 0) >= RESOLVED_BYTES
    field = "extra_bytes" if is_resolved else "allocated_bytes"
    saved = saved_share(ours[field], stored[field])
    return {**sides, "by": "resident" if is_resolved else "allocated", "saved_share": saved}


_ANSWERS = ("base_bytes", "peak_bytes", "extra_bytes", "scratch_bytes", "allocated_bytes")


def _prepare(case: WorkloadCase, threads: int) -> tuple[Contender, Judge, Offer]:
    """Return ours, what judges results, and NumPy with stored scores, which is given its heads apart."""
    q, k, v = case.inputs()
    attention = QEAttention(case.config, num_threads=threads)
    ours = Contender(OURS, case.precision, threads, lambda: attention.attend(q, k, v), case.split)
    heads = [case.split(x) for x in (q, k, v)]
    oracle = AttentionOracle.of(heads[0], heads[1], heads[2], seed=SEED)
    stored = Offer("numpy", "float32", lambda: numpy_attention(heads[0], heads[1], heads[2], materialised=True))
    return ours, oracle.judge, stored

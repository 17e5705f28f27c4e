"""The process whose memory is measured: one call, in an interpreter that has done nothing else.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pytest_qeattention.bench.plan import BLAS_SETTINGS

_TIMEOUT_S = 1800.0
_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from pytest_qeattention.bench.child import main; main(sys.argv[2])"
)


class ChildFailed(RuntimeError):
    """Say that the child gave no answer, and why."""


class _Side(NamedTuple):
    """Hold a call, and what scratch memory it says to have used outside Python's allocators (None: none to ask)."""

    call: Callable[[], Any]
    scratch_bytes: Callable[[], int | None]


def run_child(task: Mapping[str, Any]) -> dict[str, Any]:
    """Run *task* in a fresh interpreter and return what it measured, all in bytes.

    *task* has ``side`` (``qeattention``, or ``numpy`` with ``per_head``), ``threads``, ``precision`` and either
    ``shape`` (batch, heads, n, d) or ``workload``. The answer: ``base_bytes`` is the resident size with imports, inputs
    and one call on eight tokens behind it, ``peak_bytes`` the largest after one call, ``extra_bytes`` their difference,
    ``scratch_bytes`` what the core says, and for workloads ``allocated_bytes``: the largest sum of what the
    call had allocated at once, scratch included. Raises ChildFailed.
    """
    environment = {**os.environ, **dict.fromkeys(BLAS_SETTINGS, str(task["threads"]))}
    # -I would lose the paths that this process has; given as they are, both import the same package.
    command = [sys.executable, "-c", _BOOT, json.dumps(sys.path), json.dumps(dict(task))]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        raise ChildFailed(f"the child process could not be run: {error}") from error
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise ChildFailed(f"the child process ended with {done.returncode}: {last}")
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError as error:
        raise ChildFailed(f"the child process answered {done.stdout[:80]!r}, which is no JSON") from error
    return answer


def main(text: str) -> None:
    """Measure the task that *text* is, and write the answer to standard output."""
    sys.stdout.write(json.dumps(_measured(json.loads(text))))


def _measured(task: Mapping[str, Any]) -> dict[str, Any]:
    from pytest_qeattention.bench import machine

    side = _side(task)
    gc.collect()
    # Where the peak cannot start anew, that of loading the libraries may hide the call's: then it is not known.
    base = machine.current_bytes() if machine.reset_peak() else None
    kept = side.call()
    peak = machine.peak_bytes()
    answer = {
        "base_bytes": base,
        "peak_bytes": peak,
        "extra_bytes": None if base is None or peak is None else max(0, peak - base),
        "scratch_bytes": side.scratch_bytes(),
        "allocated_bytes": None,
    }
    del kept
    if "workload" in task:
        answer["allocated_bytes"] = _allocated(side)
    return answer


def _allocated(side: _Side) -> int:
    """Return what a call had allocated at once at most: NumPy's arrays, which tracemalloc sees, and our scratch."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        kept = side.call()
        peak = tracemalloc.get_traced_memory()[1]
        del kept
    finally:
        tracemalloc.stop()
    return peak - before + (side.scratch_bytes() or 0)


def _side(task: Mapping[str, Any]) -> _Side:
    import numpy as np

    if task.get("workload") is not None:
        return _workload_side(task)
    batch, heads, n, d = task["shape"]
    q, k, v = (_normal((batch, heads, n, d), seed) for seed in range(3))
    tiny = np.zeros((1, 1, 8, d), dtype=np.float32)
    if task["side"] == "numpy":
        return _numpy_side((q, k, v), tiny, task["per_head"])
    return _our_side((q, k, v), tiny, task["threads"], task["precision"])


def _numpy_side(inputs: tuple[Any, Any, Any], tiny: Any, per_head: bool) -> _Side:
    from pytest_qeattention.bench.blas import NumpyAttention

    rows = 0 if per_head else None
    q, k, v = (x.reshape(-1, *x.shape[-2:]) for x in inputs)
    NumpyAttention(tiny[0], tiny[0], tiny[0], rows).run()
    return _Side(lambda: NumpyAttention(q, k, v, rows).run(), lambda: None)


def _our_side(inputs: tuple[Any, Any, Any], tiny: Any, threads: int, precision: str) -> _Side:
    from pytest_qeattention.attention import functional

    scratch: list[int] = []

    def call() -> Any:
        attended = functional.attend(*inputs, num_threads=threads, precision=precision)
        scratch[:] = [attended.scratch_bytes]
        return attended.out

    functional.attend(tiny, tiny, tiny, num_threads=threads, precision=precision)
    return _Side(call, lambda: scratch[0] if scratch else None)


def _workload_side(task: Mapping[str, Any]) -> _Side:
    import numpy as np

    from pytest_qeattention.attention.qeattention import QEAttention

    attention = QEAttention(task["workload"], num_threads=task["threads"])
    n, dim = task["shape"]
    heads = attention.config.heads
    q, k, v = (_normal((n, dim), seed) for seed in range(3))
    tiny = np.zeros((8, dim), dtype=np.float32)
    if task["side"] == "numpy":
        split = tuple(np.ascontiguousarray(x.reshape(1, n, heads, -1).swapaxes(1, 2)) for x in (q, k, v))
        return _numpy_side((split[0], split[1], split[2]), np.zeros((1, 1, 8, dim // heads), np.float32), False)
    attention.attend(tiny)
    attention.reset_metrics()
    return _Side(lambda: attention.attend(q, k, v), lambda: attention.metrics()["peak_scratch_bytes"])


def _normal(shape: tuple[int, ...], seed: int) -> Any:
    """Return standard normal numbers that are written where they stay: a temporary would raise the peak."""
    import numpy as np

    array = np.empty(shape, dtype=np.float32)
    np.random.default_rng(seed).standard_normal(dtype=np.float32, out=array)
    return array

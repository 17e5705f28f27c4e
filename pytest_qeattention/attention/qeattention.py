"""Attention as a workload uses it: configured once, called on embeddings, measured as it runs.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pytest_qeattention import store
from pytest_qeattention.attention import arguments, functional
from pytest_qeattention.attention.arguments import FloatArray
from pytest_qeattention.attention.baseline import Baseline
from pytest_qeattention.attention.metrics import AttentionEvent, Recorder, ReferenceEvent
from pytest_qeattention.attention.workloads import AttentionConfig, workload_config

METRICS_SCHEMA = "qeattention-metrics/1"
REFERENCE_REPEATS = 30
CALLS_PER_TURN = 5


class _Call(NamedTuple):
    """Hold the arguments of one call, split into heads: q, k, v are (..., heads, n, d)."""

    q: FloatArray
    k: FloatArray
    v: FloatArray
    mask: NDArray[Any] | None
    merge: bool
    """Whether the heads of the result are put side by side again."""


class QEAttention:
    """Attend as a workload is configured, and keep account of what it costs.

    *workload* is the name of a built-in workload (``test-similarity``, ``code-embedding``, ``defect-matching``,
    ``coverage-analysis``, ``pattern-adaptation``) or an `AttentionConfig`; keyword arguments replace single knobs of
    it. *clock_ns* counts nanoseconds. One object may be used by any number of threads at once.

    Raises TypeError for an unknown knob or a wrong type, ValueError for an unknown workload or a value that cannot be
    served; the message says what is available.
    """

    def __init__(
        self,
        workload: str | AttentionConfig,
        *,
        clock_ns: Callable[[], int] = time.perf_counter_ns,
        **knobs: Any,
    ) -> None:
        self._config = workload_config(workload, **knobs)
        self._clock_ns = clock_ns
        self._recorder = Recorder(
            latency_target_ms=self._config.latency_target_ms, memory_target_mb=self._config.memory_target_mb
        )

    def __repr__(self) -> str:
        return f"QEAttention({self._config!r})"

    @property
    def config(self) -> AttentionConfig:
        """The configuration in force."""
        return self._config

    def attend(
        self,
        q: FloatArray,
        k: FloatArray | None = None,
        v: FloatArray | None = None,
        *,
        mask: NDArray[Any] | None = None,
    ) -> FloatArray:
        """Compute softmax(q.kᵀ * scale + mask).v in each head; self-attention when *k* and *v* are left out.

        q is (n_q, dim) or (batch, n_q, dim), k (..., n_k, dim), v (..., n_k, dim_v), all float32 with as many axes as
        q; the last axis is split into heads without copying, head h being columns h*dim/heads to (h+1)*dim/heads - 1.
        The result is (..., n_q, dim_v), heads side by side as in v. Arrays (batch, heads, n, d) are taken as they are,
        and so is the layout of their result. A batch of 1 in k and v serves every entry of q.

        *mask* is bool, True attends, or float32, added to the scores. It broadcasts to (batch, heads, n_q, n_k), but
        where inputs have three axes a mask of three is (batch, n_q, n_k), the same for every head.

        Raises TypeError for a wrong type or dtype, ValueError for a wrong shape or a width that the heads do not
        divide, `BackendError` for a QE_ISA or QE_BACKEND that this machine lacks. A call that raises counts as an
        error in the metrics.
        """
        start = self._clock_ns()
        try:
            call = self._split(q, k, v, mask)
            attended, out = self._answer(call)
        except Exception:
            self._recorder.failed()
            raise
        duration_ns = self._clock_ns() - start
        heads, n_q, d = call.q.shape[-3:]
        n_k, d_v = call.v.shape[-2:]
        entries = attended.lse.size // n_q if n_q else 0
        operations = 2 * (d + d_v) * entries * _scored(n_q, n_k, self._config.causal)
        self._recorder.answered(
            AttentionEvent(
                duration_ns,
                entries // heads * n_q,
                operations,
                attended.scratch_bytes,
                attended.threads,
                attended.variant,
            )
        )
        return out

    def metrics(self) -> dict[str, Any]:
        """Return what the calls since the last reset cost, as plain values that JSON can hold.

        ``calls`` and ``errors`` (calls that raised); of the calls that were answered ``total_seconds``, ``mean_ms``,
        ``p50_ms``, ``p95_ms`` (over ``quantile_samples`` durations, see `Recorder`), ``tokens`` (queries),
        ``tokens_per_second`` and ``gflop_per_second`` (2 * (d + d_v) operations for each query, head and key that
        *causal* leaves; masks do not lower it) over the time spent in calls, ``peak_scratch_bytes`` of a single call,
        ``most_threads`` and the kernel ``variants`` that ran. ``latency_success_rate`` and ``memory_success_rate`` are
        the shares of all calls, whatever their shape, that were answered within the target. ``speedup_vs_reference``
        and ``reference`` come from `measure_reference`. What was not measured, or has no target, is None.
        """
        return {"workload": self._config.name, **self._recorder.snapshot()}

    def reset_metrics(self) -> None:
        """Forget all events, comparisons with the reference included."""
        self._recorder.reset()

    def metrics_json(self) -> str:
        """Return configuration and metrics as a JSON document."""
        document = {"schema": METRICS_SCHEMA, "config": self._config.as_dict(), "metrics": self.metrics()}
        return json.dumps(document, indent=2, allow_nan=False) + "\n"

    def export_metrics(self, path: str | os.PathLike[str]) -> None:
        """Write `metrics_json` to *path*, replacing the file atomically; ``-`` is standard output.

        Raises `store.OutputError` where that is not possible.
        """
        store.write_atomically(path, self.metrics_json())

    def measure_reference(
        self,
        q: FloatArray | None = None,
        k: FloatArray | None = None,
        v: FloatArray | None = None,
        *,
        mask: NDArray[Any] | None = None,
        repeats: int = REFERENCE_REPEATS,
    ) -> dict[str, Any]:
        """Time this workload against NumPy on the same inputs, and keep the result in the metrics.

        Arguments are those of `attend`; without arrays, standard normal ones of the configuration's shape. The sides
        take turns of up to five calls, each after one that is not timed, until both have *repeats*. This side is all
        that `attend` does; the other (`Baseline`) multiplies with NumPy's BLAS, on BLAS's own threads and in float32,
        gets contiguous heads that are copied before the clock starts, and need not merge them. The calls made here do
        not count as calls of the workload.

        Returns shape, repeats, both medians in ms, ``speedup`` (their ratio) and ``max_abs_difference`` of the results,
        None where they hold NaN or infinity. Raises as `attend` does, and ValueError for no arrays where the
        configuration has no shape.
        """
        repeats = arguments.integer("repeats", repeats, least=1)
        if q is None:
            if k is not None or v is not None:
                raise TypeError("k or v is given without q; give q too, or none of them for the configuration's shape")
            q = self._example()
        call = self._split(q, k, v, mask)
        attended, _ = self._answer(call)
        batch, n_q, d_v = attended.out.shape[:-2], attended.out.shape[-2], attended.out.shape[-1]
        n_k, d = call.k.shape[-2:]
        baseline = Baseline(
            call.q,
            call.k,
            call.v,
            batch=batch,
            mask=call.mask,
            causal=self._config.causal,
            scale=arguments.scale_factor(self._config.scale, d),
        )
        baseline.run()
        with np.errstate(invalid="ignore"):
            difference = float(np.abs(attended.out.reshape(baseline.out.shape) - baseline.out).max(initial=0.0))
        attention_ns: list[int] = []
        reference_ns: list[int] = []
        sides = ((lambda: self._answer(self._split(q, k, v, mask)), attention_ns), (baseline.run, reference_ns))
        for done in range(0, repeats, CALLS_PER_TURN):
            for run, taken_ns in sides:
                _settle()
                run()
                for _ in range(min(CALLS_PER_TURN, repeats - done)):
                    start = self._clock_ns()
                    run()
                    taken_ns.append(self._clock_ns() - start)
        event = ReferenceEvent(
            shape={
                "batch": math.prod(batch[:-1]),
                "heads": batch[-1],
                "n_q": n_q,
                "n_k": n_k,
                "d": d,
                "d_v": d_v,
            },
            attention_ns=tuple(attention_ns),
            reference_ns=tuple(reference_ns),
            max_abs_difference=difference if math.isfinite(difference) else None,
        )
        self._recorder.compared(event)
        return event.as_dict()

    def _example(self) -> FloatArray:
        if self._config.shape is None:
            raise ValueError(
                f"workload {self._config.name!r} has no shape, so there is nothing to measure; "
                "pass arrays, or configure shape=(n, dim)"
            )
        return np.random.default_rng(0).standard_normal(self._config.shape, dtype=np.float32)

    def _split(self, q: object, k: object, v: object, mask: object) -> _Call:
        """Validate the arguments and view them as heads."""
        if (k is None) != (v is None):
            given, missing = ("v", "k") if k is None else ("k", "v")
            raise TypeError(f"{given} is given without {missing}; give both, or neither for self-attention")
        heads = self._config.heads
        query = arguments.float32_array("q", q, "(n, dim), (batch, n, dim) or (batch, heads, n, d)", least=2)
        axes = query.ndim
        if axes > 4:
            raise ValueError(f"q has shape {query.shape}, expected (n, dim), (batch, n, dim) or (batch, heads, n, d)")
        q_heads = _heads("q", query, heads)
        if k is None:
            k_heads = v_heads = q_heads
        else:
            expected = "with as many axes as q"
            key = arguments.float32_array("k", k, expected, ndim=axes)
            k_heads = _heads("k", key, heads)
            v_heads = k_heads if v is k else _heads("v", arguments.float32_array("v", v, expected, ndim=axes), heads)
        allowed = None
        if mask is not None:
            allowed = arguments.as_array("mask", mask, "a bool or float32 array")
            if axes == 3 and allowed.ndim == 3:
                allowed = allowed[:, np.newaxis]
        return _Call(q_heads, k_heads, v_heads, allowed, merge=axes < 4)

    def _answer(self, call: _Call) -> tuple[functional.Attended, FloatArray]:
        """Attend in every head: what the core answers, and the result in the layout of the inputs."""
        config = self._config
        query_chunk, key_chunk = config.chunks(call.q.shape[-2], call.k.shape[-2])
        attended = functional.attend(
            call.q,
            call.k,
            call.v,
            mask=call.mask,
            causal=config.causal,
            scale=config.scale,
            precision=config.precision,
            num_threads=config.num_threads,
            query_chunk=query_chunk,
            key_chunk=key_chunk,
        )
        out = attended.out
        if call.merge:
            *batch, heads, n_q, d_v = out.shape
            out = out.swapaxes(-3, -2).reshape(*batch, n_q, heads * d_v)
        return attended, out


def _heads(name: str, array: FloatArray, heads: int) -> FloatArray:
    """View (n, dim) as (heads, n, d) and (batch, n, dim) as (batch, heads, n, d); take four axes as they are."""
    if array.ndim == 4:
        if array.shape[1] != heads:
            raise ValueError(
                f"{name} has shape {array.shape}, expected (batch, {heads}, n, d) for {heads} heads; "
                f"configure heads={array.shape[1]}, or pass another array"
            )
        return array
    dim = array.shape[-1]
    if not dim:
        raise ValueError(f"{name} has shape {array.shape}, expected a width of at least 1")
    if dim % heads:
        raise ValueError(
            f"{name} has shape {array.shape}, whose width {dim} does not split into {heads} heads; "
            f"heads that divide it: {', '.join(map(str, _divisors(dim)))}"
        )
    split: FloatArray = array.reshape(*array.shape[:-1], heads, dim // heads).swapaxes(-3, -2)
    return split


def _scored(n_q: int, n_k: int, causal: bool) -> int:
    """Return how many scores one head has."""
    if not causal:
        return n_q * n_k
    rows = min(n_q, n_k)
    return rows * (rows + 1) // 2 + (n_q - rows) * n_k


def _divisors(number: int) -> list[int]:
    small = [divisor for divisor in range(1, math.isqrt(number) + 1) if number % divisor == 0]
    return sorted({*small, *(number // divisor for divisor in small)})


def _settle() -> None:
    """Wait until no thread of this process spins, at most a quarter of a second.

    Idle threads of OpenMP and BLAS spin before they sleep, on the processors that the other side needs.
    """
    for _ in range(50):
        start_ns, busy_ns = time.perf_counter_ns(), time.process_time_ns()
        time.sleep(0.005)
        if time.process_time_ns() - busy_ns < 0.3 * (time.perf_counter_ns() - start_ns):
            return

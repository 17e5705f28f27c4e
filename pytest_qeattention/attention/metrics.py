"""What calls cost: events are recorded as they happen, and every figure is derived from them.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import os
import random
import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

QUANTILE_SAMPLES = 4096
"""Durations kept per workload: the 95th percentile of so many is off by about one percentile at most (three sigma)."""


class AttentionEvent(NamedTuple):
    """Hold what one answered call did."""

    duration_ns: int
    tokens: int
    """Queries answered, all heads together as one."""
    flops: int
    scratch_bytes: int
    threads: int
    variant: str


@dataclass(frozen=True, slots=True)
class ReferenceEvent:
    """Hold one comparison with the reference: durations of both on the same inputs, taken in turn."""

    shape: dict[str, int]
    attention_ns: tuple[int, ...]
    reference_ns: tuple[int, ...]
    max_abs_difference: float | None

    def as_dict(self) -> dict[str, Any]:
        """Return the comparison as plain values; the speed-up is the ratio of the medians."""
        attention, reference = (quantile(sorted(taken), 0.5) for taken in (self.attention_ns, self.reference_ns))
        return {
            "shape": dict(self.shape),
            "repeats": len(self.attention_ns),
            "attention_p50_ms": attention / 1e6,
            "reference_p50_ms": reference / 1e6,
            "speedup": reference / attention if attention else None,
            "max_abs_difference": self.max_abs_difference,
        }


class Recorder:
    """Collect the events of one workload in bounded memory, from any number of threads.

    Counts, sums, rates and peaks are exact. Quantiles are exact for the first `QUANTILE_SAMPLES` calls and from then
    on those of a uniform sample of that size (Algorithm R: Vitter, "Random sampling with a reservoir", 1985), whose
    random numbers are the recorder's own.
    """

    def __init__(
        self,
        *,
        latency_target_ms: float | None = None,
        memory_target_mb: float | None = None,
        samples: int = QUANTILE_SAMPLES,
    ) -> None:
        self._latency_target_ms = latency_target_ms
        self._memory_target_mb = memory_target_mb
        self._longest_ns = 0.0 if latency_target_ms is None else latency_target_ms * 1e6
        self._largest_bytes = 0.0 if memory_target_mb is None else memory_target_mb * 1e6
        self._samples = samples
        self._lock = threading.Lock()
        self._clear()
        _recorders.add(self)

    def _clear(self) -> None:
        self._random = random.Random(0)
        self._errors = self._answered = 0
        self._total_ns = self._tokens = self._flops = 0
        self._peak_scratch_bytes = self._most_threads = 0
        self._in_time = self._in_memory = 0
        self._variants: set[str] = set()
        self._durations_ns: list[int] = []
        self._reference: ReferenceEvent | None = None

    def reset(self) -> None:
        """Forget all events."""
        with self._lock:
            self._clear()

    def answered(self, event: AttentionEvent) -> None:
        """Record a call that was answered."""
        duration_ns, tokens, flops, scratch_bytes, threads, variant = event
        with self._lock:
            self._answered += 1
            self._total_ns += duration_ns
            self._tokens += tokens
            self._flops += flops
            if scratch_bytes > self._peak_scratch_bytes:
                self._peak_scratch_bytes = scratch_bytes
            if threads > self._most_threads:
                self._most_threads = threads
            self._in_time += duration_ns <= self._longest_ns
            self._in_memory += scratch_bytes <= self._largest_bytes
            self._variants.add(variant)
            if len(self._durations_ns) < self._samples:
                self._durations_ns.append(duration_ns)
            else:
                place = self._random.randrange(self._answered)
                if place < self._samples:
                    self._durations_ns[place] = duration_ns

    def failed(self) -> None:
        """Record a call that raised."""
        with self._lock:
            self._errors += 1

    def compared(self, event: ReferenceEvent) -> None:
        """Record a comparison with the reference; the latest counts."""
        with self._lock:
            self._reference = event

    def snapshot(self) -> dict[str, Any]:
        """Derive the metrics from the events so far; see `QEAttention.metrics`."""
        with self._lock:
            calls, answered, total_ns = self._answered + self._errors, self._answered, self._total_ns
            durations_ns, comparison = list(self._durations_ns), self._reference
            figures: dict[str, Any] = {
                "calls": calls,
                "errors": self._errors,
                "total_seconds": total_ns / 1e9,
                "tokens": self._tokens,
                "tokens_per_second": self._tokens * 1e9 / total_ns if total_ns else None,
                "gflop_per_second": self._flops / total_ns if total_ns else None,
                "peak_scratch_bytes": self._peak_scratch_bytes if answered else None,
                "most_threads": self._most_threads if answered else None,
                "variants": sorted(self._variants),
                "latency_target_ms": self._latency_target_ms,
                "latency_success_rate": _rate(self._in_time, calls, self._latency_target_ms),
                "memory_target_mb": self._memory_target_mb,
                "memory_success_rate": _rate(self._in_memory, calls, self._memory_target_mb),
            }
        durations_ns.sort()
        reference = None if comparison is None else comparison.as_dict()
        return {
            **figures,
            "mean_ms": total_ns / answered / 1e6 if answered else None,
            "p50_ms": quantile(durations_ns, 0.5) / 1e6 if answered else None,
            "p95_ms": quantile(durations_ns, 0.95) / 1e6 if answered else None,
            "quantile_samples": len(durations_ns),
            "speedup_vs_reference": None if reference is None else reference["speedup"],
            "reference": reference,
        }

    def _unlock(self) -> None:
        self._lock = threading.Lock()


def quantile(ascending: Sequence[float], share: float) -> float:
    """Return the *share* quantile of sorted numbers, interpolated linearly between the two nearest."""
    place = share * (len(ascending) - 1)
    below = int(place)
    above = min(below + 1, len(ascending) - 1)
    return ascending[below] + (ascending[above] - ascending[below]) * (place - below)


def _rate(successes: int, calls: int, target: float | None) -> float | None:
    return None if target is None or not calls else successes / calls


_recorders: weakref.WeakSet[Recorder] = weakref.WeakSet()


def _unlock_after_fork() -> None:
    for recorder in list(_recorders):
        recorder._unlock()


if hasattr(os, "register_at_fork"):
    # A child forked while another thread recorded would inherit a lock that nobody releases.
    os.register_at_fork(after_in_child=_unlock_after_fork)

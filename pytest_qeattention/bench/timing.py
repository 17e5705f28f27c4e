"""Samples of several contenders, taken in turns so that what disturbs the machine disturbs all of them.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import gc
import itertools
import math
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

SHORT_CALL_NS = 200_000
"""Calls below it are repeated within a sample, until the clock and its own cost no longer matter."""

SAMPLE_NS = 1_000_000
"""What a repeated call adds up to within a sample."""

WARM_CALL_NS = 20_000_000
"""Calls below it get an untimed call before each sample: threads wake, operands come back into the cache. Longer
ones lose less than a thousandth by that."""

SLOW_BUDGET_NS = 60_000_000_000
"""What all samples of one contender may take in one row; beyond it there are fewer samples, and the row says so."""

LEAST_SAMPLES = 5

_POLL_S = 0.002
_LONGEST_SETTLE_S = 1.0
_PROCESSOR_POLL_S = 0.012
_QUIET_SHARE = 0.3


class Clock(Protocol):
    """Tell time; replaced in tests."""

    def now_ns(self) -> int:
        """Return wall-clock nanoseconds."""

    def sleep(self, seconds: float) -> None:
        """Let time pass."""

    def is_quiet(self) -> bool:
        """Tell whether no other thread of this process runs."""


class SystemClock:
    """Tell the time of this machine."""

    def now_ns(self) -> int:
        return time.perf_counter_ns()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def is_quiet(self) -> bool:
        own = str(threading.get_native_id())
        try:
            threads = [thread for thread in os.listdir("/proc/self/task") if thread != own]
            states = [_state(thread) for thread in threads]
        except OSError:
            # Elsewhere by processor time, which systems bring up to date every few milliseconds only.
            wall, busy = time.perf_counter(), time.process_time()
            time.sleep(_PROCESSOR_POLL_S)
            return time.process_time() - busy < _QUIET_SHARE * (time.perf_counter() - wall)
        return "R" not in states


def _state(thread: str) -> str | None:
    try:
        with open(f"/proc/self/task/{thread}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0]
    except FileNotFoundError:  # it has ended
        return None


@dataclass
class Timed:
    """Hold one contender and its samples.

    A contender with *reads* measures itself: its samples are what *call* returns, not nanoseconds.
    """

    call: Callable[[], Any]
    library: str
    """Whose worker threads it leaves behind; contenders of one library need no pause between them."""
    reads: bool = False
    repeats: int = 1
    is_warmed: bool = True
    rounds: int | None = None
    """How many of the rounds it takes part in; None for all."""
    samples: list[float] = field(default_factory=list)


def take_turns(
    contenders: Sequence[Timed],
    samples: int,
    *,
    clock: Clock | None = None,
    slow_budget_ns: int = SLOW_BUDGET_NS,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Fill the samples of *contenders*: nanoseconds per call, *samples* rounds, another one first in each round.

    Each contender is warmed up and its repeats are chosen before the first round. One whose calls would take more than
    *slow_budget_ns* takes part in fewer rounds, spread evenly, and at least five. Returns how many samples were taken
    although threads of another library did not come to rest (`settle`).
    """
    clock = SystemClock() if clock is None else clock
    previous = ""
    unsettled = 0
    for contender in contenders:
        settle(clock, previous, contender.library)
        _calibrate(contender, samples, clock, slow_budget_ns)
        previous = contender.library
    gc.collect()
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        for turn in range(samples):
            for position in range(len(contenders)):
                contender = contenders[(turn + position) % len(contenders)]
                if not _takes_part(contender, turn, samples):
                    continue
                unsettled += not settle(clock, previous, contender.library)
                contender.samples.append(_sample(contender, clock))
                previous = contender.library
            if progress is not None:
                progress(turn + 1, samples)
    finally:
        if was_enabled:
            gc.enable()
    return unsettled


def settle(clock: Clock, previous: str, following: str) -> bool:
    """Wait until the worker threads of the *previous* library no longer spin, unless *following* is the same.

    Threads that wait for work spin on the processors that the next contender needs: those of libgomp and ONNX Runtime
    for some milliseconds, those of OpenBLAS for 120 ms (2^28 cycles) after every product. Returns False where that did
    not end within a second.
    """
    if not previous or previous == following:
        return True
    waited = 0.0
    while waited < _LONGEST_SETTLE_S:
        clock.sleep(_POLL_S)
        waited += _POLL_S
        if clock.is_quiet():
            return True
    return False


def _calibrate(contender: Timed, samples: int, clock: Clock, slow_budget_ns: int) -> None:
    contender.call()
    if contender.reads:
        contender.is_warmed = False
        return
    estimate = _per_call(contender.call, 1, clock)
    repeats = 1
    while estimate * repeats < SHORT_CALL_NS and repeats < 1 << 20:
        repeats *= 4
        estimate = _per_call(contender.call, repeats, clock)
    if estimate < SHORT_CALL_NS:
        contender.repeats = max(1, math.ceil(SAMPLE_NS / max(estimate, 1)))
    contender.is_warmed = estimate < WARM_CALL_NS
    if estimate * samples > slow_budget_ns:
        contender.rounds = min(samples, max(LEAST_SAMPLES, int(slow_budget_ns / estimate)))


def _takes_part(contender: Timed, turn: int, samples: int) -> bool:
    if contender.rounds is None:
        return True
    return (turn + 1) * contender.rounds // samples > turn * contender.rounds // samples


def _sample(contender: Timed, clock: Clock) -> float:
    if contender.reads:
        return float(contender.call())
    if contender.is_warmed:
        contender.call()
    return _per_call(contender.call, contender.repeats, clock)


def _per_call(call: Callable[[], Any], repeats: int, clock: Clock) -> float:
    start = clock.now_ns()
    for _ in itertools.repeat(None, repeats):
        call()
    return (clock.now_ns() - start) / repeats

"""Turns, warm-up and repeats, on a clock that only moves when told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from pytest_qeattention.bench.timing import LEAST_SAMPLES, SAMPLE_NS, SystemClock, Timed, settle, take_turns


class FakeClock:
    """A clock that calls move; after a call of a library its threads run on for a while."""

    def __init__(self, spinning_ns: int = 0) -> None:
        self.now = 0
        self.spinning_ns = spinning_ns
        self.busy_until = 0
        self.calls: list[tuple[str, int]] = []

    def now_ns(self) -> int:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += round(seconds * 1e9)

    def is_quiet(self) -> bool:
        return self.now >= self.busy_until

    def call(self, name: str, takes_ns: int) -> Callable[[], None]:
        def call() -> None:
            self.calls.append((name, self.now))
            self.now += takes_ns
            self.busy_until = self.now + self.spinning_ns

        return call


def order(clock: FakeClock) -> list[str]:
    """Return the names of the calls, those in a row once."""
    names = [name for name, _ in clock.calls]
    return [name for number, name in enumerate(names) if not number or names[number - 1] != name]


def test_every_round_starts_with_another_contender() -> None:
    clock = FakeClock()
    long = 50_000_000  # too long to be warmed or repeated
    contenders = [Timed(clock.call(name, long), name) for name in "abc"]

    take_turns(contenders, 4, clock=clock)

    names = [name for name, _ in clock.calls]
    assert names == [*"aabbcc", *"abc", *"bca", *"cab", *"abc"]
    assert [contender.samples for contender in contenders] == [[float(long)] * 4] * 3


def test_a_short_call_is_warmed_before_each_sample_and_not_repeated() -> None:
    clock = FakeClock()
    contender = Timed(clock.call("a", 500_000), "a")

    take_turns([contender], 3, clock=clock)

    assert contender.repeats == 1
    assert contender.samples == [500_000.0] * 3
    assert len(clock.calls) == 2 + 3 * 2


def test_a_call_too_short_for_the_clock_is_repeated_within_a_sample() -> None:
    clock = FakeClock()
    contender = Timed(clock.call("a", 3_000), "a")

    take_turns([contender], 2, clock=clock)

    assert contender.repeats == -(-SAMPLE_NS // 3_000)
    assert contender.samples == [3_000.0] * 2


def test_threads_of_another_library_are_waited_for() -> None:
    spinning = 30_000_000
    clock = FakeClock(spinning)
    contenders = [Timed(clock.call("a", 1_000_000), "a"), Timed(clock.call("b", 1_000_000), "b")]

    unsettled = take_turns(contenders, 5, clock=clock)

    assert unsettled == 0
    for (before, started), (after, following) in zip(clock.calls, clock.calls[1:], strict=False):
        if before != after:
            assert following >= started + 1_000_000 + spinning


def test_threads_of_the_same_library_are_not_waited_for() -> None:
    clock = FakeClock(10**15)

    assert take_turns([Timed(clock.call(name, 1_000_000), "same") for name in "ab"], 3, clock=clock) == 0


def test_threads_that_never_rest_are_counted() -> None:
    clock = FakeClock(10**15)
    contenders = [Timed(clock.call(name, 50_000_000), name) for name in "ab"]

    # a, b | b, a: the first of the second round follows its own library.
    assert take_turns(contenders, 2, clock=clock) == 3


def test_a_slow_contender_takes_part_in_fewer_rounds_spread_evenly() -> None:
    clock = FakeClock()
    slow, quick = Timed(clock.call("slow", 1_000_000_000), "s"), Timed(clock.call("quick", 50_000_000), "q")

    take_turns([slow, quick], 30, clock=clock, slow_budget_ns=10_000_000_000)

    assert len(quick.samples) == 30
    assert len(slow.samples) == 10
    timed = "".join(name[0] for name, _ in clock.calls[4:])
    assert {len(part) for part in timed.strip("q").split("s") if part} <= {2, 3, 4}


def test_the_slowest_contender_still_has_samples() -> None:
    clock = FakeClock()
    slow = Timed(clock.call("slow", 10**12), "s")

    take_turns([slow], 30, clock=clock, slow_budget_ns=1)

    assert len(slow.samples) == LEAST_SAMPLES


def test_a_contender_that_measures_itself_gives_its_samples() -> None:
    values = iter(range(1, 100))
    clock = FakeClock()

    peak = Timed(lambda: next(values), "a", reads=True)
    take_turns([peak], 3, clock=clock)

    assert peak.samples == [2.0, 3.0, 4.0]


def test_progress_counts_rounds() -> None:
    clock = FakeClock()
    seen: list[tuple[int, int]] = []

    take_turns([Timed(clock.call("a", 1000), "a")], 3, clock=clock, progress=lambda *done: seen.append(done))

    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_the_clock_of_the_system_sees_a_thread_that_spins() -> None:
    stop = threading.Event()

    def spin() -> None:
        while not stop.is_set():
            sum(range(1000))

    clock = SystemClock()
    thread = threading.Thread(target=spin)
    thread.start()
    try:
        seen = []
        for _ in range(10):
            time.sleep(0.001)
            seen.append(clock.is_quiet())
    finally:
        stop.set()
        thread.join()

    assert not all(seen)
    assert settle(clock, "a", "b")

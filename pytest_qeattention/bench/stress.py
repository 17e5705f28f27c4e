"""``bench stress``: random calls for as long as asked, every one checked.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable
from typing import Any

from pytest_qeattention.bench import machine, stress_case
from pytest_qeattention.bench.comprehensive import SuiteProgress
from pytest_qeattention.bench.gate import Verdict
from pytest_qeattention.bench.stress_case import StressCase
from pytest_qeattention.bench.timing import Clock, SystemClock

LEAK_BYTES = 64 << 20
"""Growth of the resident size from the second quarter of a run to the last that counts as a leak, if it also grew from
the third: freed memory that the allocator keeps does not grow for ever."""

_LEAST_LEAK_CASES = 40
_MOST_SEED = 2**32


def stress_row(
    *,
    threads: int,
    duration_s: float,
    seed: int,
    progress: SuiteProgress | None = None,
    clock: Clock | None = None,
    check: Callable[[StressCase], Verdict] = stress_case.check,
) -> dict[str, Any]:
    """Return what a run of *duration_s* found: counts, worst errors, growth, and the first mismatch, which ends it.

    Case i has seed *seed* + i, and at least one case is run, so the seed of a mismatch repeats it at once.
    """
    clock = SystemClock() if clock is None else clock
    start = clock.now_ns()
    counts: dict[str, Counter[str]] = {name: Counter() for name in ("operation", "precision", "mask", "threads")}
    worst: dict[str, tuple[float, int]] = {}
    resident: list[int] = []
    mismatch: dict[str, Any] | None = None
    cases = causal = unchecked = 0
    fewest, most = stress_case.MOST_KEYS, 0
    while mismatch is None:
        drawn = stress_case.draw((seed + cases) % _MOST_SEED, threads)
        verdict = _verdict(drawn, check)
        cases += 1
        causal += drawn.causal
        unchecked += verdict.is_right and verdict.reason is not None
        fewest, most = min(fewest, drawn.keys), max(most, drawn.keys)
        for name, values in counts.items():
            values[str(getattr(drawn, name))] += 1
        key = f"{drawn.operation} {drawn.precision}"
        if verdict.error is not None and verdict.error > worst.get(key, (-1.0, 0))[0]:
            worst[key] = (verdict.error, drawn.seed)
        if not verdict.is_right:
            mismatch = {"seed": drawn.seed, "case": drawn.describe(), "reason": verdict.reason}
        gc.collect()
        resident.append(machine.current_bytes() or 0)
        passed_s = (clock.now_ns() - start) / 1e9
        if progress is not None:
            progress(f"stress, {cases} cases, second", min(int(passed_s), int(duration_s)), max(1, int(duration_s)))
        if passed_s >= duration_s:
            break
    return {
        "kind": "stress",
        "label": "stress",
        "shape": {},
        "precision": None,
        "threads": threads,
        "peak": None,
        "seed": seed,
        "duration_s": (clock.now_ns() - start) / 1e9,
        "cases": cases,
        "causal": causal,
        "unchecked": unchecked,
        "fewest_keys": fewest,
        "most_keys": most,
        **{f"by_{name}": dict(sorted(values.items())) for name, values in counts.items()},
        "worst": {key: {"error": error, "seed": at} for key, (error, at) in sorted(worst.items())},
        "resident": growth(resident),
        "mismatch": mismatch,
    }


def growth(resident: list[int]) -> dict[str, Any]:
    """Return how the resident size went: the least of each quarter of a run, in bytes, and whether it leaks.

    ``leaks`` is None for too few cases to tell, and where the system does not say what is resident.
    """
    if len(resident) < _LEAST_LEAK_CASES or not all(resident):
        return {"quarters_bytes": None, "grown_bytes": None, "leaks": None}
    step = len(resident) // 4
    quarters = [min(resident[at * step : (at + 1) * step]) for at in range(4)]
    grown = quarters[3] - quarters[1]
    return {
        "quarters_bytes": quarters,
        "grown_bytes": grown,
        "leaks": quarters[1] < quarters[2] < quarters[3] and grown > LEAK_BYTES,
    }


def failure_of(row: dict[str, Any]) -> str | None:
    """Say what a stress run found wrong, and how to repeat it; None for nothing."""
    mismatch = row["mismatch"]
    if mismatch is not None:
        again = f"qeattention bench stress --seed {mismatch['seed']} --threads {row['threads']} --duration 1s"
        return (
            f"stress found a wrong result at seed {mismatch['seed']} ({mismatch['case']}): {mismatch['reason']}; "
            f"`{again}` repeats it; "
            "please report it with the output of `qeattention info`"
        )
    if row["resident"]["leaks"]:
        grown = row["resident"]["grown_bytes"] / 1e6
        return f"stress found memory that is not given back: {grown:.0f} MB more from the second quarter to the last"
    return None


def _verdict(case: StressCase, check: Callable[[StressCase], Verdict]) -> Verdict:
    try:
        return check(case)
    except MemoryError:
        # The machine's limit and no fault of the call; an hours-long run goes on with smaller ones.
        return Verdict(True, None, "not enough memory")
    except Exception as error:  # a call that raises on valid arguments is a finding, and must name its seed
        return Verdict(False, None, f"{type(error).__name__}: {error}")

"""One row of a report: contenders that passed the gate, timed in turns, beside the peak of the machine.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from pytest_qeattention.attention.backend import fma_peak
from pytest_qeattention.bench import intervals
from pytest_qeattention.bench.gate import Verdict, WrongResult
from pytest_qeattention.bench.peers import Contender, Offer
from pytest_qeattention.bench.timing import Clock, Timed, take_turns

OURS = "qeattention"
NOISY_SPREAD = 0.10
"""Above it the peak itself varied so much within a row that small ratios in the row mean nothing."""

Judge = Callable[[Any, str], Verdict]
RowProgress = Callable[[int, int], None]


class Measured(Protocol):
    """Describe what a row measures."""

    @property
    def kind(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def precision(self) -> str: ...
    @property
    def flop(self) -> int: ...
    @property
    def moved_bytes(self) -> int: ...
    def shape(self) -> Mapping[str, int]: ...


def measure(
    case: Measured,
    ours: Contender,
    offers: Sequence[Offer],
    judge: Judge,
    *,
    threads: int,
    samples: int,
    clock: Clock | None = None,
    progress: RowProgress | None = None,
) -> dict[str, Any]:
    """Return the row of *case*: every contender through the gate, then those that are right timed in turns.

    A peer that is wrong or that fails is in the row with the reason and without times. Raises WrongResult where ours
    is wrong. Ratios are peer / ours, so above one means that ours is faster.
    """
    results = [_entry(ours, check(case, ours, judge))]
    timed = [Timed(ours.call, OURS)]
    owners = [0]
    for offer in offers:
        contender, entry = _admitted(offer, judge)
        if contender is not None:
            owners.append(len(results))
            timed.append(Timed(contender.call, contender.name))
        results.append(entry)
    peak = None
    if fma_peak(threads, precision=ours.precision) is not None:
        peak = Timed(lambda: fma_peak(threads, precision=ours.precision), OURS, reads=True)
    unsettled = take_turns([*timed, *([peak] if peak else [])], samples, clock=clock, progress=progress)
    for owner, sampled in zip(owners, timed, strict=True):
        _fill(results[owner], sampled, timed[0], case, None if peak is None else peak.samples)
    return {
        "kind": case.kind,
        "label": case.label,
        "shape": dict(case.shape()),
        "precision": case.precision,
        "threads": threads,
        "flop": case.flop,
        "moved_bytes": case.moved_bytes,
        "peak": None if peak is None else _peak(peak.samples),
        "unsettled": unsettled,
        "results": results,
    }


def check(case: Measured, ours: Contender, judge: Judge) -> Verdict:
    """Return the verdict on ours at *case*; raise WrongResult for a wrong result."""
    verdict = judge(ours.result(ours.call()), ours.precision)
    if not verdict.is_right:
        raise WrongResult(
            f"{OURS} is wrong at {case.label} in {ours.precision}: {verdict.reason}; no number is reported, for none "
            "of this installation can be trusted; please report it with the output of `qeattention info`"
        )
    return verdict


def ours_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a row says of ours."""
    first: dict[str, Any] = row["results"][0]
    return first


def _admitted(offer: Offer, judge: Judge) -> tuple[Contender | None, dict[str, Any]]:
    try:
        contender = offer.build()
        verdict = judge(contender.result(contender.call()), contender.precision)
    except Exception as error:  # a foreign library may raise anything; it is out of this row, and the row says why
        reason = f"{type(error).__name__}: {next(iter(str(error).strip().splitlines()), '')}"
        return None, {**_EMPTY, "name": offer.name, "precision": offer.precision, "state": "failed", "reason": reason}
    return (contender if verdict.is_right else None), _entry(contender, verdict)


_EMPTY: dict[str, Any] = {
    "name": None,
    "precision": None,
    "threads": None,
    "way": None,
    "state": None,
    "reason": None,
    "error": None,
    "calls_per_sample": None,
    "median_ns": None,
    "p95_ns": None,
    "min_ns": None,
    "gflop_per_s": None,
    "gbyte_per_s": None,
    "peak_share": None,
    "ratio": None,
    "samples_ns": None,
}


def _entry(contender: Contender, verdict: Verdict) -> dict[str, Any]:
    return {
        **_EMPTY,
        "name": contender.name,
        "precision": contender.precision,
        "threads": contender.threads,
        "way": contender.way,
        "state": "measured" if verdict.is_right else "not comparable",
        "reason": verdict.reason,
        "error": verdict.error,
    }


def _fill(entry: dict[str, Any], contender: Timed, ours: Timed, case: Measured, peaks: Sequence[float] | None) -> None:
    samples = contender.samples
    middle = intervals.median(samples)
    entry.update(
        calls_per_sample=contender.repeats,
        median_ns=middle,
        p95_ns=intervals.quantile(samples, 0.95),
        min_ns=min(samples),
        gflop_per_s=case.flop / middle,
        gbyte_per_s=case.moved_bytes / middle,
        samples_ns=list(samples),
    )
    if peaks:
        entry["peak_share"] = case.flop / middle / intervals.median(peaks)
    if contender is not ours:
        paired = len(samples) == len(ours.samples)
        entry["ratio"] = intervals.ratio_of_medians(samples, ours.samples, paired=paired).as_dict()


def _peak(samples: Sequence[float]) -> dict[str, Any]:
    spread = intervals.spread(samples)
    return {
        "gflop_per_s": intervals.median(samples),
        "spread": spread,
        "noisy": spread > NOISY_SPREAD,
        "samples_gflop_per_s": list(samples),
    }

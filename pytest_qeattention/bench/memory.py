"""``bench memory``: peak memory by sequence length, against scores that are stored.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pytest_qeattention.bench.child import ChildFailed, run_child
from pytest_qeattention.bench.comprehensive import SuiteProgress
from pytest_qeattention.bench.machine import available_memory_bytes
from pytest_qeattention.bench.measure import OURS

BATCH, HEADS, DIM = 1, 8, 64
FIRST_N = 1024
ALL_HEADS, ONE_HEAD = "scores of all heads", "scores of one head at a time"

_ROOM_SHARE = 0.85
_INTERPRETER_BYTES = 100_000_000
"""What a child has resident before its inputs, roughly; on the safe side."""


def lengths_up_to(max_n: int) -> list[int]:
    """Return the sequence lengths measured: doubled from 1024 on, and *max_n* itself."""
    lengths = []
    n = min(FIRST_N, max_n)
    while n < max_n:
        lengths.append(n)
        n *= 2
    return [*lengths, max_n]


def memory_rows(lengths: Sequence[int], threads: int, progress: SuiteProgress | None) -> Iterator[dict[str, Any]]:
    """Yield a row for each of *lengths*: the peaks of child processes, and the share that ours saves.

    A side that would not fit into the memory at hand is skipped, with the reason, and what follows from it is None.
    """
    for number, n in enumerate(lengths):
        if progress is not None:
            progress(f"memory 1,8,{n},64", number, len(lengths))
        yield memory_row(n, threads)


def memory_row(n: int, threads: int) -> dict[str, Any]:
    """Return the row for *n* tokens."""
    shape = (BATCH, HEADS, n, DIM)
    tensor = 4 * BATCH * HEADS * n * DIM
    scores = 4 * BATCH * HEADS * n * n
    task = {"shape": shape, "threads": threads, "precision": "float32"}
    results = [
        _side(OURS, None, {**task, "side": OURS}, 5 * tensor),
        _side("numpy", ALL_HEADS, {**task, "side": "numpy", "per_head": False}, 5 * tensor + scores),
        _side("numpy", ONE_HEAD, {**task, "side": "numpy", "per_head": True}, 5 * tensor + scores // HEADS),
    ]
    return {
        "kind": "memory",
        "label": f"{BATCH},{HEADS},{n},{DIM}",
        "shape": {"batch": BATCH, "heads": HEADS, "queries": n, "keys": n, "dim": DIM},
        "precision": "float32",
        "threads": threads,
        "scores_bytes": scores,
        "peak": None,
        "results": results,
        "saved_share": saved_share(results[0]["extra_bytes"], results[1]["extra_bytes"]),
    }


def saved_share(ours: int | None, materialised: int | None) -> float | None:
    """Return how far ours is below materialised scores, as a share of those; None where one was not measured."""
    if ours is None or not materialised:
        return None
    return 1 - ours / materialised


def _side(name: str, way: str | None, task: dict[str, Any], needed: int) -> dict[str, Any]:
    result = {
        "name": name,
        "precision": "float32",
        "way": way,
        "state": "measured",
        "reason": None,
        "base_bytes": None,
        "peak_bytes": None,
        "extra_bytes": None,
        "scratch_bytes": None,
    }
    room = available_memory_bytes()
    if room is not None and needed + _INTERPRETER_BYTES > _ROOM_SHARE * room:
        reason = f"needs about {needed / 1e9:.1f} GB, and {room / 1e9:.1f} GB are free"
        return {**result, "state": "skipped", "reason": reason}
    try:
        answer = run_child(task)
    except ChildFailed as error:
        return {**result, "state": "failed", "reason": str(error)}
    if answer["extra_bytes"] is None:
        return {**result, **_kept(answer), "state": "unknown", "reason": "this system does not tell peak memory"}
    return {**result, **_kept(answer)}


def _kept(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: answer[name] for name in ("base_bytes", "peak_bytes", "extra_bytes", "scratch_bytes")}

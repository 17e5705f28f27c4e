"""Measure from how many rows on HNSW finds all nearest neighbours sooner than exact search.

    python benchmarks/crossover.py                              # what index.crossover() is based on
    python benchmarks/crossover.py --rows 2000 4000 --repeat 1

Both sides are the whole of `nearest(vectors, 10)`: HNSW builds its graph, measures its recall and scores its
answers again. Before any timing, exact search has to agree with float64 NumPy on a sample, and HNSW has to
reach the recall that it is believed at. The two sides alternate, the median counts, and every sample is kept,
wall clock and processor time: on a machine that others use too, the processor time of one thread is what can
be compared.

The vectors are made: families of tests that share a point of a 32-dimensional latent space, with noise in all
dimensions. How hard a search is for HNSW depends on the vectors; exact search does not mind.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pytest_qeattention import backend_info
from pytest_qeattention.index import Nearest, hnsw_state, nearest

NEIGHBORS = 10
LATENT_DIM = 32
MEAN_FAMILY = 4
SIDES: tuple[Literal["exact"], Literal["hnsw"]] = ("exact", "hnsw")
MEASURES = ("median_wall_s", "median_processor_s")
RESULTS = Path(__file__).parent / "results" / "crossover.json"


def made_vectors(rows: int, dim: int, seed: int) -> npt.NDArray[np.float32]:
    """Make *rows* unit vectors of *dim* elements in families of about `MEAN_FAMILY`."""
    rng = np.random.default_rng(seed)
    latent = rng.standard_normal((max(1, rows // MEAN_FAMILY), LATENT_DIM))
    members = latent[rng.integers(0, len(latent), rows)] + 0.3 * rng.standard_normal((rows, LATENT_DIM))
    vectors = members @ rng.standard_normal((LATENT_DIM, dim)) + 0.5 * rng.standard_normal((rows, dim))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors, dtype=np.float32)


def check_exact(vectors: npt.NDArray[np.float32], found: Nearest) -> None:
    """Compare the answers for a sample of rows with float64 NumPy."""
    sample = np.linspace(0, len(vectors) - 1, 20).astype(int)
    scores = vectors[sample].astype(np.float64) @ vectors.T.astype(np.float64)
    scores[np.arange(len(sample)), sample] = -np.inf
    best = -np.sort(-scores, axis=1)[:, :NEIGHBORS]
    error = float(np.abs(found.scores[sample] - best).max())
    if error > 1e-5:
        raise SystemExit(f"exact search is wrong by {error:.2g}; nothing was timed")


def measured(vectors: npt.NDArray[np.float32], threads: int, repeat: int, limit_s: float) -> dict[str, Any]:
    """Time both sides on the same vectors, in turn, until *repeat* or until a side has used *limit_s*."""
    wall: dict[str, list[float]] = {side: [] for side in SIDES}
    processor: dict[str, list[float]] = {side: [] for side in SIDES}
    load_before = os.getloadavg()[0]
    recall, reason = None, ""
    for turn in range(repeat):
        for side in SIDES if turn % 2 == 0 else SIDES[::-1]:
            wall_start, processor_start = time.perf_counter(), time.process_time()
            found = nearest(vectors, NEIGHBORS, mode=side, num_threads=threads)
            wall[side].append(time.perf_counter() - wall_start)
            processor[side].append(time.process_time() - processor_start)
            if side == "exact" and turn == 0:
                check_exact(vectors, found)
            elif side == "hnsw":
                recall, reason = found.recall, found.reason
        if max(map(sum, wall.values())) > limit_s:
            break
    return {
        "wall_s": wall,
        "processor_s": processor,
        "median_wall_s": {side: statistics.median(values) for side, values in wall.items()},
        "median_processor_s": {side: statistics.median(values) for side, values in processor.items()},
        "recall": recall,
        "hnsw": reason,
        "load_before": load_before,
        "load_after": os.getloadavg()[0],
    }


def crossing(cells: Sequence[dict[str, Any]], measure: str) -> int | None:
    """Return the rows at which HNSW overtakes exact search for good; None if it does not."""
    ratios = [(cell["rows"], cell[measure]["exact"] / cell[measure]["hnsw"]) for cell in cells]
    slower = [number for number, (_, ratio) in enumerate(ratios) if ratio < 1]
    if not ratios or (slower and slower[-1] == len(ratios) - 1):
        return None
    if not slower:
        return int(ratios[0][0])
    (low, low_ratio), (high, high_ratio) = ratios[slower[-1]], ratios[slower[-1] + 1]
    share = -np.log(low_ratio) / (np.log(high_ratio) - np.log(low_ratio))
    return int(np.exp(np.log(low) + share * np.log(high / low)))


def columns(measure: str, cell: dict[str, Any]) -> str:
    exact, hnsw = (cell[measure][side] for side in SIDES)
    return f"{exact:>9.2f} {hnsw:>9.2f} {exact / hnsw:>5.2f} "


def ending(cell: dict[str, Any]) -> str:
    recall = "missed" if cell["recall"] is None else f"{cell['recall']:.4f}"
    return f"{recall:>7} {cell['load_before']:.1f}-{cell['load_after']:.1f}"


def machine() -> dict[str, Any]:
    info = backend_info()
    return {
        "cpu": info["cpu"]["name"],
        "processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "hnswlib": importlib.metadata.version("hnswlib"),
        "backend": info["backend"],
        "variant": info["variant"],
        "package": info["version"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[5_000, 10_000, 20_000, 40_000, 70_000, 100_000])
    parser.add_argument("--dims", type=int, nargs="+", default=[256, 512])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeat", type=int, default=3, metavar="COUNT", help="turns of each side (default: 3)")
    parser.add_argument(
        "--limit-s", type=float, default=60, metavar="SECONDS", help="leave out sizes that would take longer"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="PATH")
    options = parser.parse_args()

    state = hnsw_state(probe=True)
    if state["state"] != "usable":
        sys.exit(f"hnswlib is {state['state']}: {state['reason']}")
    cells: list[dict[str, Any]] = []
    crossings: list[dict[str, Any]] = []
    nearest(made_vectors(1000, 64, options.seed), NEIGHBORS, mode="hnsw")
    print("                       ------ wall clock -------  ---- processor time -----")
    print("  dim threads     rows   exact s    HNSW s ratio    exact s    HNSW s ratio  recall  load")
    for dim in options.dims:
        for threads in options.threads:
            done: list[dict[str, Any]] = []
            for rows in sorted(options.rows):
                growth = rows / done[-1]["rows"] if done else 0.0
                if done and max(done[-1]["median_processor_s"].values()) * growth**1.5 > options.limit_s:
                    print(f"{dim:>5} {threads:>7} {rows:>8}  left out: longer than {options.limit_s:g} s")
                    break
                cell = {"dim": dim, "threads": threads, "rows": rows}
                cell |= measured(made_vectors(rows, dim, options.seed), threads, options.repeat, options.limit_s)
                print(
                    f"{dim:>5} {threads:>7} {rows:>8}",
                    *map(columns, MEASURES, [cell] * 2),
                    ending(cell),
                    flush=True,
                )
                done.append(cell)
            cells += done
            entry = {"dim": dim, "threads": threads, "measured_to": done[-1]["rows"]}
            crossings.append(entry | {measure: crossing(done, measure) for measure in MEASURES})
    for entry in crossings:
        for measure in MEASURES:
            where = f"{entry[measure]:,} rows" if entry[measure] else f"no size up to {entry['measured_to']:,} rows"
            print(f"dimension {entry['dim']}, {entry['threads']} threads, {measure}: HNSW overtakes at {where}")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    result = {
        "neighbors": NEIGHBORS,
        "seed": options.seed,
        "machine": machine(),
        "crossings": crossings,
        "cells": cells,
    }
    options.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"written to {options.output}")


if __name__ == "__main__":
    main()

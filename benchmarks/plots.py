"""Draw the plots of README.md from the committed results.

    qeattention bench --json benchmarks/results/bench_comprehensive.json
    qeattention bench memory --json benchmarks/results/bench_memory.json
    QE_GOLD=DIR python -m benchmarks.quality.similar --write
    python -m benchmarks.suite_scale DIR; python -m benchmarks.suite_scale DIR --search
    python benchmarks/plots.py

Writes speed.svg (throughput by shape and contender, under the peak measured beside it), memory.svg (peak memory by
sequence length), quality.svg (whether scores of pairs are probabilities, and how much is found for how much is
flagged) and scale.svg (processor time by number of tests), next to the reports. The same reports give the same files,
byte for byte, with the same version of matplotlib. The background is transparent and the colours are of middle
lightness, for light and dark pages.
Needs matplotlib: ``pip install '.[bench]'``.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_qeattention.wording import counted

RESULTS = Path(__file__).parent / "results"
SCHEMA = "qeattention/1"
INK = "#808080"
"""Text and lines: as far from black as from white."""

COLOURS = {
    "qeattention": "#3b82f6",
    "onnxruntime": "#e0912a",
    "torch": "#e05252",
    "numpy": "#8a94a6",
}
TITLES = {"qeattention": "qeattention", "onnxruntime": "ONNX Runtime", "torch": "PyTorch", "numpy": "NumPy (BLAS)"}
STYLE = {
    "svg.hashsalt": "qeattention",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": INK,
    "grid.alpha": 0.25,
    "legend.frameon": False,
}


def read_bench(path: Path) -> dict[str, Any]:
    """Return the benchmark part of a report; exit with a message for what is none, or must not be quoted."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        sys.exit(f"{path}: {error}; write it with `qeattention bench --json`")
    if not isinstance(document, dict) or document.get("schema") != SCHEMA or "bench" not in document:
        sys.exit(f"{path} is no report of `qeattention bench --json`")
    bench: dict[str, Any] = document["bench"]
    if bench["quick"]:
        sys.exit(f"{path} is of a quick run, which is not to be quoted; measure without --quick")
    return bench


def ran_on(bench: dict[str, Any]) -> str:
    """Return the machine in a few words."""
    return f"{bench['machine']['cpu']}, {counted(bench['threads'], 'thread')}"


def save(plt: Any, figure: Any, path: Path) -> None:
    """Write *figure* without what differs from run to run."""
    figure.savefig(path, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    plt.close(figure)


def draw_speed(plt: Any, bench: dict[str, Any], path: Path) -> None:
    """Draw throughput by shape: one panel for each precision."""
    rows = [row for row in bench["rows"] if row["kind"] == "attention"]
    precisions = list(dict.fromkeys(row["precision"] for row in rows))
    if not precisions:
        sys.exit("the report has no rows of attention by shape; measure with `qeattention bench`")
    figure, panels = plt.subplots(
        len(precisions), 1, figsize=(8.6, 3.1 * len(precisions)), squeeze=False, layout="constrained"
    )
    for panel, precision in zip(panels[:, 0], precisions, strict=True):
        _speed_panel(panel, [row for row in rows if row["precision"] == precision], precision)
    figure.suptitle(f"Attention on {ran_on(bench)}: higher is better", color=INK, fontsize=10)
    save(plt, figure, path)


def _speed_panel(panel: Any, rows: list[dict[str, Any]], precision: str) -> None:
    measured = {
        (result["name"], result["precision"]) for row in rows for result in row["results"] if result["gflop_per_s"]
    }
    order = [(name, of) for name in COLOURS for of in (precision, "float32") if (name, of) in measured]
    order = list(dict.fromkeys(order))
    width = 0.82 / len(order)
    for number, (name, of) in enumerate(order):
        places, heights = [], []
        for place, row in enumerate(rows):
            for result in row["results"]:
                if (result["name"], result["precision"]) == (name, of) and result["gflop_per_s"]:
                    places.append(place + (number - (len(order) - 1) / 2) * width)
                    heights.append(result["gflop_per_s"])
        label = TITLES[name] if of == precision else f"{TITLES[name]}, {of}"
        # A second precision of the same library is the same colour, lighter.
        panel.bar(places, heights, width, label=label, color=COLOURS[name], alpha=1.0 if of == precision else 0.55)
    peaks = [(place, row["peak"]["gflop_per_s"]) for place, row in enumerate(rows) if row["peak"]]
    if peaks:
        panel.hlines(
            [peak for _, peak in peaks],
            [place - 0.45 for place, _ in peaks],
            [place + 0.45 for place, _ in peaks],
            color=INK,
            linewidth=1.2,
            label="peak of the multiply-add units",
        )
    panel.set_xticks(range(len(rows)), [row["label"] for row in rows], rotation=25, ha="right")
    panel.set_ylabel("GFLOP/s")
    panel.set_title(f"{precision}, by batch, heads, n, d", fontsize=9)
    panel.grid(axis="y")
    panel.set_axisbelow(True)
    panel.legend(ncols=5, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.28))


def draw_memory(plt: Any, bench: dict[str, Any], path: Path) -> None:
    """Draw peak memory above the base of its process by sequence length; what was not measured is left out."""
    rows = [row for row in bench["rows"] if row["kind"] == "memory"]
    if not rows:
        sys.exit("the report has no rows of memory; measure with `qeattention bench memory`")
    figure, panel = plt.subplots(figsize=(8.6, 3.6), layout="constrained")
    sides = [(result["name"], result["way"]) for result in rows[0]["results"]]
    for number, (name, way) in enumerate(sides):
        points = [
            (row["shape"]["queries"], result["extra_bytes"] / 1e6)
            for row in rows
            for result in row["results"]
            if (result["name"], result["way"]) == (name, way) and result["extra_bytes"]
        ]
        panel.plot(
            [n for n, _ in points],
            [megabytes for _, megabytes in points],
            marker="o",
            label=TITLES[name] if way is None else f"{TITLES[name]}, {way}",
            color=COLOURS[name],
            linestyle="-" if number < 2 else "--",
        )
    lengths = [row["shape"]["queries"] for row in rows]
    panel.set_xscale("log", base=2)
    panel.set_yscale("log")
    panel.yaxis.set_major_formatter("{x:g}")
    panel.set_xticks(lengths, [str(n) for n in lengths])
    panel.minorticks_off()
    panel.set_xlabel("tokens (1 batch, 8 heads of 64)")
    panel.set_ylabel("MB above imports and inputs")
    panel.set_title(f"Peak memory of a process on {ran_on(bench)}: lower is better", fontsize=10)
    panel.grid()
    panel.legend(fontsize=8)
    save(plt, figure, path)


def read_quality(path: Path) -> dict[str, Any]:
    """Return the curves of the quality that was measured; exit with a message for a file that has none."""
    try:
        curves: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["curves"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        sys.exit(f"{path} has no curves ({error!r}); write it with `python -m benchmarks.quality.similar --write`")
    return curves


def draw_quality(plt: Any, curves: dict[str, Any], path: Path) -> None:
    """Draw the reliability of scores, and recall over flagged neighbours."""
    figure, (reliability, groups) = plt.subplots(1, 2, figsize=(8.6, 3.6), layout="constrained")
    bins = curves["reliability"]
    scores, shares = [one["score"] for one in bins], [one["share"] for one in bins]
    reliability.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle="--", label="a probability")
    reliability.plot(scores, shares, marker="o", color=COLOURS["qeattention"], label="held-out projects")
    for one in bins:
        reliability.annotate(
            f"{one['pairs']:,}", (one["score"], one["share"]), textcoords="offset points", xytext=(5, -9), fontsize=6
        )
    reliability.set_xlabel("score of a pair")
    reliability.set_ylabel("share that was folded (number of pairs)")
    reliability.set_title("Are scores probabilities?", fontsize=9)
    for key, label in (("recall_macro", "each project alike"), ("recall_micro", "each test alike")):
        points = [(one["flagged_micro"], one[key]) for one in curves["groups"]]
        style = "-" if key == "recall_macro" else "--"
        groups.plot(*zip(*points, strict=True), style, marker="o", color=COLOURS["qeattention"], label=label)
    groups.set_xlabel("share of neighbours left alone that are flagged")
    groups.set_ylabel("share of folded tests found")
    groups.set_title("How much is found, by threshold", fontsize=9)
    for panel in (reliability, groups):
        panel.set_ylim(0, 1)
        panel.grid()
        panel.legend(fontsize=8)
    save(plt, figure, path)


def read_rows(path: Path, key: str) -> list[dict[str, Any]]:
    """Return what `benchmarks.suite_scale` measured; exit with a message for a file that has none."""
    try:
        rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))[key]
    except (OSError, ValueError, KeyError, TypeError) as error:
        sys.exit(f"{path} has no {key} ({error!r}); write it with `python -m benchmarks.suite_scale DIR`")
    return rows


def draw_scale(plt: Any, runs: list[dict[str, Any]], cells: list[dict[str, Any]], path: Path) -> None:
    """Draw the processor time of whole runs, and of both searches, by number of tests."""
    figure, (whole, search) = plt.subplots(1, 2, figsize=(8.6, 3.6), layout="constrained")
    sizes, times = [one["tests"] for one in runs], [one["cpu_s"] for one in runs]
    scale = times[0] / (sizes[0] * math.log(sizes[0]))
    curve = [scale * n * math.log(n) for n in sizes]
    whole.plot(sizes, curve, "--", color=INK, linewidth=1, label="n log n, through the smallest")
    whole.plot(sizes, times, marker="o", color=COLOURS["qeattention"], label="a cold run")
    for one in runs:
        place = (one["tests"], one["cpu_s"])
        whole.annotate(one["search"], place, textcoords="offset points", xytext=(5, -9), fontsize=6)
    for mode, contender in (("exact", "numpy"), ("hnsw", "qeattention")):
        seconds = [cell[mode]["cpu_s"] for cell in cells]
        search.plot([cell["rows"] for cell in cells], seconds, marker="o", color=COLOURS[contender], label=mode)
    whole.set_title("Whole runs", fontsize=9)
    search.set_title("The search alone, one thread", fontsize=9)
    for panel in (whole, search):
        panel.set_xlabel("tests (thousands)")
        panel.xaxis.set_major_formatter(lambda tests, _: f"{tests / 1000:g}")
        panel.set_ylabel("processor time (s)")
        panel.set_ylim(0)
        panel.grid()
        panel.legend(fontsize=8)
    save(plt, figure, path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw all plots."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--comprehensive", type=Path, default=RESULTS / "bench_comprehensive.json", metavar="PATH")
    parser.add_argument("--memory", type=Path, default=RESULTS / "bench_memory.json", metavar="PATH")
    parser.add_argument("--quality", type=Path, default=RESULTS / "similar_quality.json", metavar="PATH")
    parser.add_argument("--scale", type=Path, default=RESULTS / "suite_scale.json", metavar="PATH")
    parser.add_argument("--search", type=Path, default=RESULTS / "suite_search.json", metavar="PATH")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR", help="where the plots go")
    options = parser.parse_args(arguments)
    speed, memory = read_bench(options.comprehensive), read_bench(options.memory)
    curves = read_quality(options.quality)
    runs, cells = read_rows(options.scale, "runs"), read_rows(options.search, "cells")
    try:
        matplotlib: Any = importlib.import_module("matplotlib")
        matplotlib.use("svg")
        plt: Any = importlib.import_module("matplotlib.pyplot")
    except ImportError as error:
        sys.exit(f"the plots need matplotlib ({error}); pip install '.[bench]'")
    options.results.mkdir(parents=True, exist_ok=True)
    with plt.rc_context(STYLE):
        draw_speed(plt, speed, options.results / "speed.svg")
        draw_memory(plt, memory, options.results / "memory.svg")
        draw_quality(plt, curves, options.results / "quality.svg")
        draw_scale(plt, runs, cells, options.results / "scale.svg")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Time the encoder's network against PyTorch and ONNX Runtime running the same network with the same weights.

    python -m benchmarks.encoder_speed [--tests COUNT] [--layers COUNT] [--functions COUNT] [--results DIR]

Tests are drawn: token counts from a normal distribution, random tokens, random weights. This package goes from tokens
to vectors, embedding included; peers get the embedded tokens, in padded batches of about equal length with the padding
masked, and give the vectors. Each peer runs with the batch size, and ONNX Runtime with the graph (standard operators,
or its own fused ones), that took it the least time in a trial before; the results say which. PyTorch is eager. All
vectors are compared with those of the float32 network here. Rounds run everyone in turn, each round starts with
another, and the first is not counted. A ratio is between medians of one run. The multiply-add peak is that of the same
kernel variant with nothing but registers, measured in every round. Peers that are not installed are null.
Peak memory is that of the encoder in this package, from sources to vectors, in a new process each (encoder_memory.py).
Writes encoder_speed.json, every sample kept, and encoder_speed.md to --results. Use a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.encoder_memory import drawn_functions, peak_memory
from benchmarks.encoder_peers import OnnxPeer, TorchPeer
from benchmarks.rival_speed import version_of
from benchmarks.suite_speed import write_results
from pytest_qeattention.attention.backend import core_info, fma_peak
from pytest_qeattention.encoder import reference
from pytest_qeattention.encoder.network import PRECISIONS, Architecture, Network
from pytest_qeattention.encoder.parameters import layer_shapes, read_tables
from pytest_qeattention.encoder.tokens import TokenBatch

RESULTS = Path(__file__).parent / "results"
BATCH_SIZES = (1, 4, 16, 64)
PEERS: dict[str, Any] = {"PyTorch": TorchPeer, "ONNX Runtime": OnnxPeer}
PACKAGES = {"PyTorch": ("torch",), "ONNX Runtime": ("onnxruntime", "onnx")}
FIRST_VECTOR = """
import json, sys, time
import numpy as np
from pathlib import Path
arrays = dict(np.load(sys.argv[1]))
sizes = json.loads(sys.argv[2])
started = time.perf_counter()
from pytest_qeattention.encoder.network import Architecture, Network
from pytest_qeattention.encoder.tokens import TokenBatch
imported = time.perf_counter()
network = Network(Architecture(**sizes), arrays)
built = time.perf_counter()
n = 120
network.vectors(
    TokenBatch(
        kinds=np.zeros(1, np.uint8), offsets=np.array([0, n]), roles=np.zeros(n, np.uint8),
        starts=np.arange(n + 1), parts=np.arange(n, dtype=np.uint32),
    )
)
print(imported - started, built - imported, time.perf_counter() - built)
"""


@dataclass
class Contender:
    """Hold one way to turn all tests into vectors, and how long it took each time."""

    name: str
    precision: str
    threads: int
    run: Callable[[], NDArray[np.float32]]
    setting: str | None = None
    samples: list[float] = field(default_factory=list)

    @property
    def median_s(self) -> float:
        return statistics.median(self.samples)


def drawn_arrays(architecture: Architecture, words: int, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Draw a network's weights, of about the sizes that training gives them."""
    d = architecture.d

    def normal(*shape: int, size: float) -> NDArray[np.float32]:
        return (rng.standard_normal(shape) * size).astype(np.float32)

    arrays: dict[str, NDArray[Any]] = {
        "roles": normal(architecture.roles, d, size=0.5),
        "kinds": normal(architecture.kinds, d, size=0.5),
        "positions": normal(architecture.positions, d, size=0.1),
        "words": normal(words, d, size=1),
        "vocabulary": np.sort(rng.choice(1 << 32, words, replace=False)).astype(np.uint32),
        "code_scale": np.array([0.5], np.float32),
        "final_norm.gain": 1 + normal(d, size=0.1),
        "final_norm.bias": normal(d, size=0.1),
        "pool": normal(d, size=0.1),
    }
    for layer in range(architecture.layers):
        for name, shape in layer_shapes(architecture).items():
            drawn = normal(*shape, size=shape[1] ** -0.5 if len(shape) == 2 else 0.1)
            arrays[f"layer.{layer}.{name}"] = 1 + drawn if name.endswith(".gain") else drawn
    return arrays


def drawn_tokens(
    architecture: Architecture, vocabulary: NDArray[np.uint32], lengths: NDArray[np.int64], rng: np.random.Generator
) -> TokenBatch:
    """Draw tokens of one part and a half on average, nine of ten parts known."""
    n = int(lengths.sum())
    counts = rng.integers(0, 4, n)
    parts = rng.choice(vocabulary, int(counts.sum()))
    unknown = rng.random(len(parts)) < 0.1
    parts[unknown] = rng.integers(0, 1 << 32, int(unknown.sum()), dtype=np.uint32)
    return TokenBatch(
        kinds=np.zeros(len(lengths), np.uint8),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        roles=rng.integers(0, architecture.roles, n).astype(np.uint8),
        starts=np.concatenate([[0], np.cumsum(counts)]),
        parts=parts,
    )


def fastest(
    name: str, threads: int, architecture: Architecture, arrays: dict[str, Any], rows: list[NDArray[np.float32]]
) -> Contender:
    """Return a peer with the setting that took the least time for some of the tests, the better of two runs."""
    trials: list[tuple[float, str, Callable[[], Any], Any]] = []
    some = rows[: min(len(rows), 256)]
    for way in PEERS[name].WAYS:
        peer = PEERS[name](architecture, arrays, threads, way)
        for size in BATCH_SIZES:
            run = peer.prepare(some, size)
            took = []
            for _ in range(3):
                started = time.perf_counter()
                run()
                took.append(time.perf_counter() - started)
            trials.append((min(took[1:]), f"{way}, batches of {size}", peer, size))
    _, setting, peer, size = min(trials, key=lambda trial: trial[0])  # type: ignore[assignment]
    return Contender(name, "float32", threads, peer.prepare(rows, size), setting)  # type: ignore[attr-defined]


def measure(contenders: Sequence[Contender], rounds: int, peaks: dict[int, list[float]]) -> None:
    """Run *contenders* in turn, 1 + *rounds* times, and keep the times of all but the first round."""
    for number in range(rounds + 1):
        start = number % len(contenders)
        for contender in [*contenders[start:], *contenders[:start]]:
            started = time.perf_counter()
            contender.run()
            took = time.perf_counter() - started
            if number:
                contender.samples.append(took)
        for threads, found in peaks.items():
            peak = fma_peak(threads, seconds=0.1)
            if number and peak is not None:
                found.append(peak)
        print(f"round {number} of {rounds}", file=sys.stderr)


def first_vector(arrays: dict[str, Any], sizes: dict[str, Any], place: Path) -> dict[str, float]:
    """Time import, layout of the weights and the first vector in new processes; medians of five, in ms."""
    weights = place / "weights.npz"
    np.savez(weights, **arrays)
    runs = []
    for _ in range(5):
        command = [sys.executable, "-c", FIRST_VECTOR, str(weights), json.dumps(sizes)]
        answer = subprocess.run(command, capture_output=True, text=True, check=True, cwd=place)
        runs.append([float(word) * 1e3 for word in answer.stdout.split()])
    return dict(
        zip(("import_ms", "layout_ms", "vector_ms"), map(statistics.median, zip(*runs, strict=True)), strict=True)
    )


def table(document: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    machine, network = document["machine"], document["network"]
    first, memory = document["first_vector"], document["peak_memory"]
    needed = {(run["precision"], run["threads"]): run["over_interpreter_mb"] for run in memory["runs"]}
    lines = [
        f"{machine['cpu']}, {machine['processors']} processors, {machine['variant']} core, Python {machine['python']}, "
        f"NumPy {machine['numpy']}, version {machine['version']}",
        "",
        f"{document['tests']} tests of {document['tokens_mean']:.0f} tokens on average, d {network['d']}, "
        f"{network['layers']} layers, feed-forward {network['ffn']}: {document['mflop_per_test']:.0f} MFLOP a test. "
        f"First vector {first['layout_ms'] + first['vector_ms']:.0f} ms after import, which takes "
        f"{first['import_ms']:.0f} ms.",
        "",
        f"Peak memory is that of `Encoder` for {memory['functions']} functions, from sources to vectors, over an "
        f"interpreter that has imported nothing; NumPy and this package, imported, are {_mb(_imported(memory))} of it.",
        "",
        "| network | precision | threads | tests/s, median | range | GFLOP/s | of peak | to PyTorch | to ONNX Runtime "
        "| least cosine | peak memory | setting |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in document["contenders"]:
        if row["samples_s"] is None:
            lines.append(f"| {row['name']} | | {row['threads']} | not installed | | | | | | | | |")
            continue
        peak = _mb(needed.get((row["precision"], row["threads"]))) if row["name"] not in PEERS else ""
        rates = [document["tests"] / sample for sample in row["samples_s"]]
        share = "" if row["share_of_peak"] is None else f"{row['share_of_peak']:.0%}"
        ratios = ["" if row[key] is None else f"{row[key]:.2f}" for key in ("ratio_to_pytorch", "ratio_to_onnxruntime")]
        lines.append(
            f"| {row['name']} | {row['precision']} | {row['threads']} | {row['tests_per_s']:.0f} "
            f"| {min(rates):.0f}-{max(rates):.0f} | {row['gflops']:.0f} | {share} | {ratios[0]} | {ratios[1]} "
            f"| {row['cosine_least']:.6f} | {peak} | {row['setting'] or ''} |"
        )
    peaks = ", ".join(f"{peak:.0f} with {threads}" for threads, peak in document["peak_gflops"].items() if peak)
    lines += ["", f"Multiply-add peak of float32 by threads: {peaks} GFLOP/s."]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tests", type=int, default=1000, metavar="COUNT")
    parser.add_argument("--tokens", type=int, default=120, metavar="COUNT", help="of a test on average (default 120)")
    parser.add_argument("--layers", type=int, default=2, metavar="COUNT")
    parser.add_argument("--functions", type=int, default=5000, metavar="COUNT", help="for peak memory (default 5000)")
    parser.add_argument("--rounds", type=int, default=5, metavar="COUNT", help="counted rounds (default 5)")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    options = parser.parse_args(arguments)
    rng = np.random.default_rng(5)
    sizes = {"d": 192, "heads": 3, "layers": options.layers, "ffn": 768, "roles": 150, "positions": 512}
    architecture = Architecture(**sizes)
    lengths = np.clip(np.rint(rng.normal(options.tokens, options.tokens / 3, options.tests)), 1, 512).astype(np.int64)
    arrays = drawn_arrays(architecture, 20_000, rng)
    batch = drawn_tokens(architecture, arrays["vocabulary"], lengths, rng)
    tables = read_tables(architecture, arrays)
    rows = [reference.embedded(tables, batch, number) for number in range(options.tests)]
    networks = {precision: Network(architecture, arrays, precision=precision) for precision in PRECISIONS}
    threads = sorted({1, min(2, os.cpu_count() or 1), os.cpu_count() or 1})

    def ours(precision: str, count: int) -> Callable[[], NDArray[np.float32]]:
        return lambda: networks[precision].vectors(batch, num_threads=count)  # type: ignore[index]

    contenders = [
        Contender("pytest-qeattention", precision, count, ours(precision, count))
        for count in threads
        for precision in PRECISIONS
    ]
    absent = [
        (name, count)
        for name, packages in PACKAGES.items()
        for count in threads
        if any(version_of(package) is None for package in packages)
    ]
    contenders += [
        fastest(name, count, architecture, arrays, rows)
        for count in threads
        for name in PEERS
        if (name, count) not in absent
    ]
    exact = networks["float32"].vectors(batch)
    cosines = [(contender.run() * exact).sum(axis=1) for contender in contenders]
    peaks: dict[int, list[float]] = {count: [] for count in threads}
    measure(contenders, options.rounds, peaks)

    with tempfile.TemporaryDirectory() as scratch:
        # From there the installed package is imported.
        first = first_vector(arrays, sizes, Path(scratch))
        functions = drawn_functions(options.functions, options.tokens)
        memory = [
            {"precision": precision, "threads": count, **peak_memory(functions, precision, count, Path(scratch))}
            for count in threads
            for precision in PRECISIONS
        ]
    flops = 2.0 * networks["float32"].multiply_adds(lengths)
    medians = {(one.name, one.threads): one.median_s for one in contenders if one.name in PEERS}
    info = core_info()
    document = {
        "machine": {
            "cpu": info["cpu"]["name"],
            "processors": os.cpu_count(),
            "variant": info["variant"] or info["backend"],
            "python": platform.python_version(),
            "numpy": info["numpy"]["version"],
            "version": info["version"],
            **{name: version_of(packages[0]) for name, packages in PACKAGES.items()},
        },
        "network": sizes,
        "tests": options.tests,
        "tokens_mean": float(lengths.mean()),
        "mflop_per_test": flops / options.tests / 1e6,
        "peak_gflops": {str(count): statistics.median(found) if found else None for count, found in peaks.items()},
        "first_vector": first,
        "peak_memory": {"functions": options.functions, "runs": memory},
        "contenders": [
            {
                "name": one.name,
                "precision": one.precision,
                "threads": one.threads,
                "setting": one.setting,
                "samples_s": one.samples,
                "tests_per_s": options.tests / one.median_s,
                "gflops": flops / one.median_s / 1e9,
                "share_of_peak": flops / one.median_s / 1e9 / statistics.median(peaks[one.threads])
                if peaks[one.threads]
                else None,
                "ratio_to_pytorch": _ratio(medians.get(("PyTorch", one.threads)), one.median_s),
                "ratio_to_onnxruntime": _ratio(medians.get(("ONNX Runtime", one.threads)), one.median_s),
                "cosine_least": float(cosine.min()),
                "cosine_median": float(np.median(cosine)),
            }
            for one, cosine in zip(contenders, cosines, strict=True)
        ]
        + [{"name": name, "threads": count, "samples_s": None} for name, count in absent],
    }
    write_results(options.results, "encoder_speed", document, table(document))
    return 0


def _imported(memory: dict[str, Any]) -> float | None:
    """Return what imports alone took, the median of the runs."""
    pairs = [(run["imported_mb"], run["interpreter_mb"]) for run in memory["runs"]]
    return None if any(None in pair for pair in pairs) else statistics.median(after - before for after, before in pairs)


def _mb(size: float | None) -> str:
    return "not measured" if size is None else f"{size:.0f} MB"


def _ratio(of: float | None, to: float) -> float | None:
    return None if of is None else of / to


if __name__ == "__main__":
    raise SystemExit(main())

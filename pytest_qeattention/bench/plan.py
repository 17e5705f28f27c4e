"""What a benchmark was asked for, checked before any work. Standard library only: numpy is loaded later.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import argparse
import math
import os
import re
import sys
from dataclasses import dataclass

from pytest_qeattention.settings import parse_count

SUITES = {
    "comprehensive": "speed against every peer that is installed, by shape and precision (default)",
    "memory": "peak memory of child processes by sequence length, against scores that are stored",
    "stress": "random calls, every result checked, for as long as asked",
    "workloads": "the built-in workloads against their published latency and memory targets",
    "validate": "verdicts on the published claims: speed-up, latency, memory",
}

PEERS: dict[str, tuple[tuple[str, str], ...]] = {
    "numpy": (("numpy", "numpy"),),
    "torch": (("torch", "torch"),),
    "onnxruntime": (("onnxruntime", "onnxruntime"), ("onnx", "onnx")),
    "faiss": (("faiss", "faiss-cpu"),),
    "usearch": (("usearch.index", "usearch"),),
}
"""The peers, and of each the modules it needs with the distributions that have them."""

SAMPLES = 30
QUICK_SAMPLES = 5
MAX_SAMPLES = 10_000
MAX_N = 16_384
LARGEST_N = 131_072
STRESS_S = 30.0
QUICK_STRESS_S = 2.0
LONGEST_STRESS_S = 7 * 24 * 3600.0
MAX_FLOP = 10**13
MAX_ELEMENTS = 1 << 28
MAX_SEED = 2**32 - 1

_UNITS_S = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
BLAS_SETTINGS = (
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "OMP_NUM_THREADS",
)

Shape = tuple[int, int, int, int]


class BenchUsage(ValueError):
    """Say what is wrong with what was asked for."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Hold what one run was asked for."""

    suite: str = "comprehensive"
    quick: bool = False
    threads: int | None = None
    """None for what the machine and QE_THREADS allow."""
    samples: int = SAMPLES
    peers: tuple[str, ...] | None = None
    """None for all that are installed."""
    shapes: tuple[Shape, ...] | None = None
    max_n: int = MAX_N
    duration_s: float = STRESS_S
    seed: int | None = None
    compare: str | None = None
    fail_on_regression: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``qeattention bench`` to *parser*."""
    suites = "; ".join(f"{name}: {what}" for name, what in SUITES.items())
    parser.add_argument("suite", nargs="?", choices=tuple(SUITES), default="comprehensive", help=suites)
    parser.add_argument("--json", metavar="PATH", help="write the report with its raw samples as JSON; '-': stdout")
    parser.add_argument("--markdown", metavar="PATH", help="write the report as Markdown; '-': stdout")
    parser.add_argument("--threads", metavar="COUNT", help="threads of every contender; environment: QE_THREADS")
    parser.add_argument("--samples", metavar="COUNT", help=f"samples of each contender (default and least: {SAMPLES})")
    parser.add_argument(
        "--peers", metavar="NAMES", help=f"peers, by commas: {', '.join(PEERS)}; or none (default: all)"
    )
    parser.add_argument(
        "--shapes", metavar="B,H,N,D", action="append", help="comprehensive: this shape instead; may be repeated"
    )
    parser.add_argument("--max-n", metavar="COUNT", help=f"memory: longest sequence (default: {MAX_N})")
    parser.add_argument("--duration", metavar="TIME", help=f"stress: such as 90s, 10m or 2h (default: {STRESS_S:.0f}s)")
    parser.add_argument("--seed", metavar="NUMBER", help="stress: seed of the first case (default: 0)")
    parser.add_argument("--compare", metavar="OLD.json", help="compare with the report of an older run")
    parser.add_argument(
        "--fail-on-regression", action="store_true", help="with --compare: exit code 1 where ours has become slower"
    )
    parser.add_argument(
        "--quick", action="store_true", help="a few seconds to see that it works; its numbers are not to be quoted"
    )


def read_plan(options: argparse.Namespace, threads: int | None) -> Plan:
    """Return the plan that *options* ask for, with *threads* as they were read; raise BenchUsage if there is none."""
    _check_belongs(options)
    quick = bool(options.quick)
    duration = QUICK_STRESS_S if quick else STRESS_S
    return Plan(
        suite=options.suite,
        quick=quick,
        threads=threads,
        samples=_samples(options.samples, quick=quick),
        peers=_peers(options.peers),
        shapes=None if options.shapes is None else tuple(_shape(text) for text in options.shapes),
        max_n=_number("--max-n", options.max_n, 64, LARGEST_N, 1024 if quick else MAX_N),
        duration_s=duration if options.duration is None else _duration(options.duration),
        seed=None if options.seed is None else _number("--seed", options.seed, 0, MAX_SEED, 0),
        compare=options.compare,
        fail_on_regression=bool(options.fail_on_regression),
    )


def limit_blas(threads: int | None) -> None:
    """Ask NumPy's BLAS for *threads*, which it reads when it is loaded; without effect where it is."""
    if threads is None or "numpy" in sys.modules:
        return
    for name in BLAS_SETTINGS:
        os.environ[name] = str(threads)


def _check_belongs(options: argparse.Namespace) -> None:
    timed = ("comprehensive", "workloads", "validate")
    for name, value, suites in (
        ("--samples", options.samples, timed),
        ("--peers", options.peers, ("comprehensive",)),
        ("--shapes", options.shapes, ("comprehensive",)),
        ("--max-n", options.max_n, ("memory",)),
        ("--duration", options.duration, ("stress",)),
        ("--seed", options.seed, ("stress",)),
        ("--compare", options.compare, timed),
    ):
        if value is not None and options.suite not in suites:
            raise BenchUsage(f"{name} has no meaning for bench {options.suite}; it belongs to {', '.join(suites)}")
    if options.fail_on_regression and options.compare is None:
        raise BenchUsage("--fail-on-regression needs --compare=OLD.json to tell a regression from")


def _number(name: str, text: str | None, least: int, most: int, default: int) -> int:
    if text is None:
        return default
    try:
        return parse_count(name, text, least=least, most=most)
    except ValueError as error:
        raise BenchUsage(str(error)) from error


def _samples(text: str | None, *, quick: bool) -> int:
    if text is not None and quick:
        raise BenchUsage(f"--quick takes {QUICK_SAMPLES} samples; leave out --samples, or --quick")
    return _number("--samples", text, SAMPLES, MAX_SAMPLES, QUICK_SAMPLES if quick else SAMPLES)


def _peers(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    if text.strip() == "none":
        return ()
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in PEERS:
            raise BenchUsage(f"--peers names {name!r}, which is no peer; available: {', '.join(PEERS)}, or none")
    return names


def _shape(text: str) -> Shape:
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 4 or not all(re.fullmatch(r"[0-9]{1,9}", part) and int(part) for part in parts):
        raise BenchUsage(
            f"--shapes is {text!r}, expected B,H,N,D: batch, heads, tokens and width of a head, whole numbers "
            "above zero, such as 1,8,512,64"
        )
    b, h, n, d = (int(part) for part in parts)
    if b * h * n * d > MAX_ELEMENTS or 4 * b * h * n * n * d > MAX_FLOP:
        raise BenchUsage(
            f"--shapes {text} is {b * h * n * d:.3g} elements and {4 * b * h * n * n * d:.3g} operations a call; "
            f"at most {MAX_ELEMENTS} and {MAX_FLOP:.0g} are measured here; give a smaller one"
        )
    return b, h, n, d


def _duration(text: str) -> float:
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(s|min|m|h|)", text.strip())
    seconds = float(match[1]) * _UNITS_S[match[2]] if match else math.nan
    if not 0 < seconds <= LONGEST_STRESS_S:
        raise BenchUsage(f"--duration is {text!r}, expected such as 90s, 10m or 2h, above zero and up to 7 days (168h)")
    return seconds

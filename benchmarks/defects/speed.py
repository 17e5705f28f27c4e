"""Time matching and grouping at the sizes they must bear, and measure what a knowledge base takes.

    python -m benchmarks.defects.speed [--results DIR]

Made-up failures: 1,000 defects with 10 labelled failures each, of 60 test files and 90 modules, half of them with
frames of the product, and 300 failures of these defects that are asked about one by one, as the slowest case; a run of
5,000 failures with deep tracebacks of which 200 differ, and runs in which all do: 3,000, the most of which each two are
compared, and 5,000. Each is done in a process of its own, three times; shown is the median, and the growth of the
process's peak memory while the labels are taken in and all is asked.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.suite_speed import write_results
from pytest_qeattention.defects.grouping import MOST_DISTINCT, causes_of
from pytest_qeattention.defects.match_model import shipped
from pytest_qeattention.defects.pattern import Pattern
from pytest_qeattention.defects.record import FailureRecord, Frame, Raised, TestFacts
from pytest_qeattention.defects.scoring import Scorer

DEFECTS, LABELS, ASKED, FAILURES, CAUSES = 1_000, 10, 300, 5_000, 200
TIMES = 3
RESULTS = Path(__file__).parents[1] / "results"


def failure(defect: int, number: int) -> FailureRecord:
    """Return a failure of a made-up defect, the same for the same numbers."""
    chosen = random.Random(defect * 10_000 + number)
    corner = defect % 60
    path, name = f"tests/test_{corner}.py", f"test_{defect}_{number}"
    frames = [Frame.of(path, 5, name, "assert shop.order(basket) == total", "test")]
    if defect % 2:
        places = range(chosen.randrange(1, 9))
        frames += [
            Frame.of(f"pkg/m{(corner * 7 + at) % 90}.py", at, f"f{(corner + at) % 200}_{at}", "return g(x)", "product")
            for at in places
        ]
    words = " ".join(f"word{chosen.randrange(4_000)}" for _ in range(4))
    kind = ("ValueError", "KeyError", "OSError")[defect % 3]
    body = "\n".join(f"    a{chosen.randrange(2_000)} = b{chosen.randrange(2_000)}(c)" for _ in range(8))
    return FailureRecord.of(
        f"{path}::{name}",
        "call",
        TestFacts.of(path, name, 3, [("p", str(number % 7))], ["db", "tmp_path"], None, f"def {name}():\n{body}"),
        (Raised.of(kind, f"cannot load thing {corner} of {defect % 77} in {words}", None, frames),),
        culprit=frames[1] if len(frames) > 1 else None,
    )


def deep_failure(number: int) -> FailureRecord:
    """Return a failure with a deep traceback that differs from all others in message, test and frames."""
    chosen = random.Random(number)
    corner = chosen.randrange(40)
    path, name = f"tests/test_{corner}.py", f"test_{number}"
    frames = [Frame.of(path, 5, name, "shop.load(basket)", "test")]
    frames += [
        Frame.of(f"pkg/m{(corner * 7 + at) % 30}.py", at, f"f{corner}_{at}", "return g(x)", "product")
        for at in range(12)
    ]
    frames += [Frame.of("site-packages/lib/a.py", at, f"l{at}", "y", "third party") for at in range(15)]
    words = " ".join(f"word{chosen.randrange(3_000)}" for _ in range(12))
    body = "\n".join(f"    a{chosen.randrange(2_000)} = b{chosen.randrange(2_000)}(c)" for _ in range(15))
    facts = TestFacts.of(path, name, 3, [("p", str(number % 7))], ["db", "tmp_path"], None, f"def {name}():\n{body}")
    raised = Raised.of("ValueError", f"cannot load thing {corner} {words}", None, frames)
    return FailureRecord.of(f"{path}::{name}", "call", facts, (raised,), culprit=frames[1])


def _peak() -> float:
    """Return the peak memory of this process in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def matching() -> dict[str, float]:
    """Time one failure against all labels, in ms; the making of the scorer in s; the growth of peak memory in MB."""
    patterns = [Pattern.of(failure(defect, number)) for defect in range(DEFECTS) for number in range(LABELS)]
    owners = [defect for defect in range(DEFECTS) for _ in range(LABELS)]
    chosen = random.Random(0)
    asked = [Pattern.of(failure(chosen.randrange(DEFECTS), LABELS + number)) for number in range(ASKED)]
    before, start = _peak(), time.perf_counter()
    scorer = Scorer(patterns, owners, shipped())
    made = time.perf_counter() - start
    took = []
    for pattern in [*asked[:20], *asked]:
        start = time.perf_counter()
        (compared,) = scorer.compare([pattern])
        scorer.model.probabilities(compared.numbers, compared.novelty, compared.is_framed)
        took.append(1e3 * (time.perf_counter() - start))
    took = sorted(took[20:])
    return {
        "one failure, median ms": statistics.median(took),
        "one failure, 95 % ms": took[int(0.95 * len(took))],
        "labels taken in, s": made,
        "memory, MB": _peak() - before,
    }


def grouping(failures: int, distinct: int) -> dict[str, float]:
    """Time the grouping of a run in which so many failures differ, in s; the growth of peak memory in MB."""
    records = [deep_failure(number % distinct) for number in range(failures)]
    before, start = _peak(), time.perf_counter()
    causes_of(records)
    return {"s": time.perf_counter() - start, "memory, MB": _peak() - before}


PARTS: dict[str, Callable[[], dict[str, float]]] = {
    f"one failure against {DEFECTS:,} defects with {LABELS} labels each": matching,
    f"{FAILURES:,} failures grouped, {CAUSES} different ones": lambda: grouping(FAILURES, CAUSES),
    f"{MOST_DISTINCT:,} failures grouped that all differ": lambda: grouping(MOST_DISTINCT, MOST_DISTINCT),
    f"{FAILURES:,} failures grouped that all differ": lambda: grouping(FAILURES, FAILURES),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    parser.add_argument("--part", choices=sorted(PARTS), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.part is not None:
        print(json.dumps(PARTS[options.part]()))
        return 0
    samples: dict[str, list[dict[str, float]]] = {name: [] for name in PARTS}
    for _ in range(TIMES):
        for name, rows in samples.items():
            command = [sys.executable, "-m", "benchmarks.defects.speed", "--part", name]
            said = subprocess.run(command, check=True, capture_output=True, text=True)
            rows.append(json.loads(said.stdout))
    lines = ["| what | measure | median | runs |", "|---|---|---|---|"]
    for name, rows in samples.items():
        for measure in rows[0]:
            values = [row[measure] for row in rows]
            shown = ", ".join(f"{value:.2f}" for value in values)
            lines.append(f"| {name} | {measure} | {statistics.median(values):.2f} | {shown} |")
    machine = {
        "processor": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "threads": 1,
    }
    said_of = f"{machine['processor']}, Python {machine['python']}, NumPy {machine['numpy']}, one thread."
    document = {"machine": machine, "samples": samples}
    write_results(options.results, "defect_speed", document, "\n".join([*lines, "", said_of, ""]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Measure how time and memory of ``qeattention similar`` grow with the number of tests.

    python benchmarks/suite_scale.py DIR...            the tests below DIR, and copies of them under changed names
    python benchmarks/suite_scale.py DIR... --search   exact search and HNSW on the same sketches: where HNSW takes over

The copies are made in a temporary directory: each has its own word, which every name that a file binds gets as a
suffix, so that no copy equals another. --sizes says how many copies are analysed, one size after the other, each by a
process of its own that keeps no cache. Wall clock and processor time are kept; where other work shares the
machine, the latter is what can be compared. Writes benchmarks/results/suite_scale.json or suite_search.json.
"""

from __future__ import annotations

import argparse
import ast
import json
import math
import re
import sys
import tempfile
import time
from collections.abc import Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.suite_speed import run_once
from pytest_qeattention import backend_info
from pytest_qeattention.index import crossover, nearest
from pytest_qeattention.similarity.evidence import SKETCH_DIMENSION, search_rows, weigh
from pytest_qeattention.similarity.partners import CANDIDATES, SEARCHED_BEYOND
from pytest_qeattention.similarity.service import suite_from_paths

RESULTS = Path(__file__).parent / "results"
WORDS = (
    *("alder", "birch", "cedar", "elder", "hazel", "larch"),
    *("maple", "rowan", "spruce", "walnut", "willow", "yew"),
)
SIZES = (1, 3, 6, 10, 12)
RECALL_AT = 10


def names_bound(source: str) -> set[str]:
    """Return every name that *source* binds, but for arguments and imports."""
    bound: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            bound.add(node.name)
    return {name for name in bound if not name.startswith("__") and name != "_"}


def renamed(source: str, names: Set[str], word: str) -> str:
    """Return *source* with *word* behind every one of *names*."""

    def with_word(match: re.Match[str]) -> str:
        return f"{match.group()}_{word}" if match.group() in names else match.group()

    return re.sub(r"(?<![\w.])[^\W\d]\w*", with_word, source)


def make_copies(suites: Sequence[Path], place: Path, copies: int) -> None:
    """Write *copies* of the test files below each of *suites* under *place*, renamed but for the first."""
    for which, suite in enumerate(suites):
        for path in sorted(path for path in suite.rglob("*.py") if path.name.startswith("test_")):
            text = path.read_text(encoding="utf-8")
            names = names_bound(text)
            for number in range(copies):
                target = place / f"copy_{number}" / f"suite_{which}" / path.relative_to(suite)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(renamed(text, names, WORDS[number]) if number else text, encoding="utf-8")


def chosen_copies(place: Path, size: int) -> Path:
    """Return a directory that holds the first *size* copies, moved there from *place*."""
    chosen = place / f"size_{size}"
    chosen.mkdir()
    for number in range(size):
        (place / f"copy_{number}").rename(chosen / f"copy_{number}")
    return chosen


def give_back(place: Path, chosen: Path) -> None:
    """Move the copies of *chosen* back to *place*."""
    for path in chosen.iterdir():
        path.rename(place / path.name)


def measure_runs(suites: Sequence[Path], place: Path, sizes: Sequence[int]) -> list[dict[str, Any]]:
    """Time the command on each of *sizes*."""
    make_copies(suites, place, max(sizes))
    rows = []
    for size in sizes:
        chosen = chosen_copies(place, size)
        report = place / "report.json"
        sample = run_once(chosen, report)
        similar = json.loads(report.read_text(encoding="utf-8"))["similar"]
        give_back(place, chosen)
        n = similar["tests"]
        rows.append(
            {"copies": size, "tests": n, "groups": len(similar["groups"]), "search": similar["search"], **sample}
        )
        per = sample["cpu_s"] / (n * math.log(n)) * 1e6
        print(
            f"{n:>8} tests: {sample['wall_s']:.1f} s, {sample['cpu_s']:.1f} s of processors, "
            f"{sample['peak_mb']:.0f} MB, {per:.1f} us per n log n, {similar['search']}",
            flush=True,
        )
    return rows


def measure_search(suites: Sequence[Path], place: Path, sizes: Sequence[int]) -> list[dict[str, Any]]:
    """Time exact search and HNSW on the sketches of each of *sizes*, by one thread, and measure recall."""
    make_copies(suites, place, max(sizes))
    chosen = chosen_copies(place, max(sizes))
    suite = suite_from_paths([str(chosen)], cwd=place)
    rows = search_rows(weigh(suite.descriptions))
    by_copy = np.array([int(unit.path.split("copy_")[1].split("/")[0]) for unit in suite.units])
    k = CANDIDATES + SEARCHED_BEYOND
    measured = []
    for size in sizes:
        some = rows[by_copy < size]
        cell: dict[str, Any] = {"rows": len(some), "k": k}
        found = {}
        for mode in ("exact", "hnsw"):
            wall, processor = time.perf_counter(), time.process_time()
            found[mode] = nearest(some, k, mode=mode, num_threads=1)
            cell[mode] = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - processor}
        kth = found["exact"].scores[:, RECALL_AT - 1 : RECALL_AT]
        cell["recall_at_10"] = float(np.mean(found["hnsw"].scores[:, :RECALL_AT] >= kth))
        cell["hnsw_says"] = f"{found['hnsw'].mode}: {found['hnsw'].reason}"
        measured.append(cell)
        print(json.dumps(cell), flush=True)
    return measured


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the growth of the tests in some directories."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directories", type=Path, nargs="+", metavar="DIR")
    parser.add_argument("--search", action="store_true", help="compare exact search and HNSW")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, metavar="COPIES", help="numbers of copies")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    options = parser.parse_args(arguments)
    info = backend_info()
    document: dict[str, Any] = {
        "suites": [directory.resolve().name for directory in options.directories],
        "cpu": info["cpu"]["name"],
        "variant": info["variant"] or info["backend"],
        "version": info["version"],
        "hnswlib": info["hnswlib"]["version"],
        "dimension": SKETCH_DIMENSION,
        "crossover": crossover(SKETCH_DIMENSION),
    }
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary).resolve()
        if options.search:
            name, document["cells"] = "suite_search.json", measure_search(options.directories, place, options.sizes)
        else:
            name, document["runs"] = "suite_scale.json", measure_runs(options.directories, place, options.sizes)
    options.results.mkdir(exist_ok=True)
    (options.results / name).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

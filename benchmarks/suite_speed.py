"""Time ``qeattention similar`` on whole suites, as a child process, and take its peak memory.

    python benchmarks/suite_speed.py NAME=DIR...

NAME is what the results call the suite, for instance ``pandas-3.1.1``; DIR holds its tests. Every run is cold as far as
the plugin goes: it keeps no cache. The first run of each suite warms the file system's cache and is not counted; runs
of several suites are interleaved. Peak memory is the largest resident size of the process together with its helpers,
sampled every 20 ms, and never less than what the system accounts to the process itself. Linux only.
Writes benchmarks/results/suite_speed.json, every sample kept, and suite_speed.md.
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
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
SAMPLED_EVERY_S = 0.02
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def resident_bytes(process: int) -> int:
    """Return the resident size of *process* and all its descendants; 0 for what has ended meanwhile."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
        # A child belongs to the thread that started it.
        threads = [Path(thread, "children").read_text() for thread in Path(f"/proc/{process}/task").iterdir()]
        children = " ".join(threads).split()
    except (OSError, IndexError):
        return 0
    return pages * PAGE_BYTES + sum(resident_bytes(int(child)) for child in children)


def run_once(directory: Path, report: Path) -> dict[str, float]:
    """Run the command on *directory*; return wall and processor seconds and the peak in MB (1e6 bytes).

    Raises RuntimeError when the command fails.
    """
    command = [sys.executable, "-m", "pytest_qeattention", "similar", str(directory), "-q", "--json", str(report)]
    # From the repository's root the child would import the source tree, which has no compiled core.
    return measure_command(command, report.parent)


def measure_command(command: Sequence[str], cwd: Path, *, accepted: Collection[int] = (0,)) -> dict[str, float]:
    """Run *command* in *cwd*; return its wall and processor seconds and its peak in MB (1e6 bytes), helpers and all.

    Raises RuntimeError when it ends with a code that is not *accepted*.
    """
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=cwd, stdout=subprocess.DEVNULL).pid
    tree_peak = 0
    while True:
        ended, status, usage = os.wait4(process, os.WNOHANG)
        if ended:
            break
        tree_peak = max(tree_peak, resident_bytes(process))
        time.sleep(SAMPLED_EVERY_S)
    wall = time.perf_counter() - started
    if os.waitstatus_to_exitcode(status) not in accepted:
        raise RuntimeError(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")
    return {
        "wall_s": wall,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_mb": max(tree_peak, usage.ru_maxrss * 1024) / 1e6,
    }


def table(document: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    machine = document["machine"]
    lines = [
        f"{machine['cpu']}, {machine['processors']} processors, {machine['variant']} core, "
        f"{machine['threads']} threads, Python {machine['python']}, NumPy {machine['numpy']}, "
        f"version {machine['version']}",
        "",
        "| suite | tests | groups | wall, median (s) | wall, range (s) | processor (s) | peak (MB) | runs |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for suite in document["suites"]:
        wall = [sample["wall_s"] for sample in suite["samples"]]
        cpu = statistics.median(sample["cpu_s"] for sample in suite["samples"])
        peak = max(sample["peak_mb"] for sample in suite["samples"])
        lines.append(
            f"| {suite['name']} | {suite['tests']} | {suite['groups']} | {statistics.median(wall):.1f} "
            f"| {min(wall):.1f}-{max(wall):.1f} | {cpu:.1f} | {peak:.0f} | {len(wall)} |"
        )
    return "\n".join(lines) + "\n"


def write_results(directory: Path, name: str, document: Mapping[str, Any], table: str) -> None:
    """Write *document* and its *table* as *name*.json and *name*.md to *directory*, and print the table."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{name}.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    (directory / f"{name}.md").write_text(table, encoding="utf-8")
    print(table, end="")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the suites named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suites", nargs="+", metavar="NAME=DIR")
    parser.add_argument("--runs", type=int, default=3, metavar="COUNT", help="counted runs of each suite (default 3)")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    options = parser.parse_args(arguments)
    suites: list[dict[str, Any]] = []
    for suite in options.suites:
        name, separator, directory = suite.partition("=")
        if not separator or not Path(directory).is_dir():
            parser.error(f"{suite}: expected NAME=DIR with an existing directory")
        suites.append({"name": name, "samples": [], "directory": Path(directory).resolve()})
    with tempfile.TemporaryDirectory() as temporary:
        for run in range(options.runs + 1):
            for suite in suites:
                report = Path(temporary, "report.json")
                sample = run_once(suite["directory"], report)
                document = json.loads(report.read_text(encoding="utf-8"))
                similar, info = document["similar"], document["backend"]
                suite["tests"], suite["groups"] = similar["tests"], len(similar["groups"])
                if run:
                    suite["samples"].append(sample)
                print(f"{suite['name']}: {sample['wall_s']:.1f} s, {sample['peak_mb']:.0f} MB", file=sys.stderr)
    document = {
        "machine": {
            "cpu": info["cpu"]["name"],
            "processors": os.cpu_count(),
            "variant": info["variant"] or info["backend"],
            "threads": info["threads"],
            "python": platform.python_version(),
            "numpy": info["numpy"]["version"],
            "version": info["version"],
        },
        "suites": [{key: value for key, value in suite.items() if key != "directory"} for suite in suites],
    }
    write_results(options.results, "suite_speed", document, table(document))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

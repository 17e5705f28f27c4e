"""Measure what ``--qe-similar`` adds to pytest's own collection, when an earlier run has filled the cache.

    python -m benchmarks.collection_cost [--tests COUNT] [--runs COUNT]

Generates a suite of short tests in files of 40, so that collecting is as cheap as it gets: it needs no project to be
imported. One test in seven is the one before it with other literals, which makes groups to be reported. Rounds run
``pytest --collect-only -q`` with and without ``--qe-similar`` one after the other, the first round is not counted, and
every round starts with the other command. Then hook_time.py says for as many runs what part of them passed in our
hooks: where two processes of one kind differ by more than what is measured, this is the figure to go by. Linux only, on
a machine that does nothing else.
Writes collection_cost.json, every sample kept, and collection_cost.md to --results.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.rival_speed import filled, measure, version_of
from benchmarks.suite_speed import RESULTS, write_results
from pytest_qeattention import backend_info

TESTS_PER_FILE = 40
SIBLING_ONE_IN = 7
COLLECT = "{python} -m pytest --collect-only -q -p no:cacheprovider {suite}"
COMPARE = f"{COLLECT} --qe-similar --qe-store {{work}}/store"
COMMANDS = {"collect": COLLECT, "collect and compare": COMPARE}
SUBJECTS = (
    "account",
    "basket",
    "cart",
    "city",
    "color",
    "date",
    "file",
    "item",
    "list",
    "map",
    "order",
    "price",
    "user",
)
VERBS = ("adds", "checks", "clears", "counts", "finds", "joins", "keeps", "loads", "moves", "opens", "reads", "saves")


def write_suite(directory: Path, tests: int) -> None:
    """Write *tests* tests to *directory*: different calls, lengths and literals, the same in every run."""
    chosen = random.Random(0)
    for number in range(0, tests, TESTS_PER_FILE):
        lines = ["import os", ""]
        for at in range(number, min(number + TESTS_PER_FILE, tests)):
            if at == number or chosen.randrange(SIBLING_ONE_IN):
                subject, verb = chosen.choice(SUBJECTS), chosen.choice(VERBS)
                calls = [(chosen.choice(SUBJECTS), chosen.choice(VERBS)) for _ in range(chosen.randint(1, 6))]
            # Else a sibling of the test before: the same calls, other literals.
            lines.append(f"\ndef test_{subject}_{verb}_{at}(tmp_path):")
            for name, call in calls:
                lines.append(f"    {name} = os.{call}(tmp_path, {chosen.choice(SUBJECTS)!r}, {chosen.randint(0, 99)})")
            lines.append(f"    assert {calls[-1][0]}.{subject}_{verb} == {chosen.randint(0, 99)}")
            lines.append("")
        directory.joinpath(f"test_{number:05}.py").write_text("\n".join(lines) + "\n", encoding="utf-8")


def count_groups(suite: Path) -> int:
    """Return how many groups the comparison reports of *suite*."""
    command = [sys.executable, "-m", "pytest_qeattention", "similar", str(suite), "-q", "--json", "-"]
    output = subprocess.run(command, cwd=suite, check=True, capture_output=True, text=True).stdout
    return len(json.loads(output)["similar"]["groups"])


def measure_hooks(suite: Path, work: str, runs: int) -> list[dict[str, float]]:
    """Return what hook_time.py says of *runs* runs that compare."""
    output = Path(work, "hooks.json")
    command = filled(COMPARE, {"python": sys.executable, "suite": str(suite), "work": work})
    # In place of ``python -m pytest``.
    command[:3] = [sys.executable, str(Path(__file__).with_name("hook_time.py")), str(output)]
    samples = []
    for _ in range(runs):
        subprocess.run(command, cwd=work, check=True, stdout=subprocess.DEVNULL)
        samples.append(json.loads(output.read_text(encoding="utf-8")))
    return samples


def table(document: Mapping[str, Any]) -> str:
    """Return the results as Markdown."""
    machine = document["machine"]
    lines = [
        f"{document['tests']} tests, {document['groups']} groups; "
        f"{machine['cpu']}, {machine['processors']} processors, Python {machine['python']}, "
        f"pytest {machine['pytest']}, pytest-qeattention {machine['version']}",
        "",
        "| command | wall, median (s) | wall, range (s) | processor, median (s) | runs |",
        "|---|---|---|---|---|",
    ]
    for name, samples in document["commands"].items():
        walls = [sample["wall_s"] for sample in samples]
        wall, cpu = statistics.median(walls), statistics.median(sample["cpu_s"] for sample in samples)
        lines.append(f"| {name} | {wall:.2f} | {min(walls):.2f}-{max(walls):.2f} | {cpu:.2f} | {len(walls)} |")
    added = document["added"]
    lines += [
        "",
        f"Added, median of rounds: {added['wall']:+.1%} wall, {added['processor']:+.1%} processor. "
        f"Time in the plugin's hooks beside the rest of the same process: {added['hooks']:.1%}.",
    ]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure collection with and without the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tests", type=int, default=10_000, metavar="COUNT")
    parser.add_argument("--runs", type=int, default=9, metavar="COUNT", help="counted rounds (default 9)")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    options = parser.parse_args(arguments)
    os.environ.pop("QE_STORE", None)
    with tempfile.TemporaryDirectory() as work:
        suite = Path(work, "suite")
        suite.mkdir()
        suite.joinpath("pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        write_suite(suite, options.tests)
        places = {"python": sys.executable, "suite": str(suite), "work": work}
        groups = count_groups(suite)
        samples = measure(COMMANDS, {}, places, options.runs)
        hooks = measure_hooks(suite, work, options.runs)
    plain, compared = samples.values()
    info = backend_info()
    document = {
        "tests": options.tests,
        "groups": groups,
        "machine": {
            "cpu": info["cpu"]["name"],
            "processors": os.cpu_count(),
            "python": platform.python_version(),
            "pytest": version_of("pytest"),
            "version": version_of("pytest-qeattention"),
        },
        "commands": samples,
        "hooks": hooks,
        "added": {
            **{
                name: statistics.median(b[key] / a[key] - 1 for a, b in zip(plain, compared, strict=True))
                for name, key in (("wall", "wall_s"), ("processor", "cpu_s"))
            },
            "hooks": statistics.median(each["hooks_s"] / (each["total_s"] - each["hooks_s"]) for each in hooks),
        },
    }
    write_results(options.results, "collection_cost", document, table(document))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Time commands on one suite against each other: ``qeattention similar`` and biston, or whatever is named.

    python -m benchmarks.rival_speed NAME=DIR [--command NAME=COMMAND]... [--before NAME=COMMAND]...

NAME=DIR is the suite as the results call it. Without --command the commands are ``cold``, which is this plugin without
a cache, and ``biston`` (on PyPI, to be installed beside this plugin) at the settings that find most in tests: floors of
1, literals anonymised, threshold .85. A --command of either name replaces it, any other name is added. --before gives
what runs before each run of a command and is not counted: filling a cache, changing files. In commands {python} is this
Python, {suite} the suite's directory, {work} one scratch directory for all, and {config} that of biston's settings.

Rounds run all commands one after the other, the first round is not counted, and every round starts with another
command. A ratio is a median over the median of --rival. Linux only, on a machine that does nothing else.
Writes rival_speed.json, every sample kept, and rival_speed.md to --results.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.suite_speed import measure_command, write_results

RESULTS = Path(__file__).parent / "results"
COMMANDS = {
    "cold": "{python} -m pytest_qeattention similar {suite} -q",
    "biston": "{biston} scan --tests-only --format json --config {config} {suite}",
}
# It ends with 1 when it finds something.
EXIT_CODES = {"biston": (0, 1)}
BISTON_SETTINGS = """\
[scan]
threshold = 0.85
exact_min_lines = 1
similar_min_lines = 1
exact_min_stmts = 1

[normalization]
anonymize_literals = true
"""


def named(text: str) -> tuple[str, str]:
    """Split ``NAME=VALUE``."""
    name, separator, value = text.partition("=")
    if not separator or not name or not value:
        raise argparse.ArgumentTypeError(f"{text}: expected NAME=VALUE")
    return name, value


def find_biston() -> str:
    """Return the path of biston: the one beside this Python, or else the one on the path, or just its name."""
    beside = Path(sys.executable).with_name("biston")
    return str(beside) if beside.is_file() else shutil.which("biston") or "biston"


def filled(command: str, places: Mapping[str, str]) -> list[str]:
    """Split *command* as a shell would, then fill in *places*."""
    parts = shlex.split(command)
    for name, value in places.items():
        parts = [part.replace(f"{{{name}}}", value) for part in parts]
    return parts


def measure(
    commands: Mapping[str, str], before: Mapping[str, str], places: Mapping[str, str], runs: int
) -> dict[str, list[dict[str, float]]]:
    """Run *commands* in turn, 1 + *runs* rounds; return the samples of each but those of the first round."""
    samples: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
    names, work = list(commands), Path(places["work"])
    for number in range(runs + 1):
        start = number % len(names)
        for name in names[start:] + names[:start]:
            if name in before:
                subprocess.run(filled(before[name], places), cwd=work, stdout=subprocess.DEVNULL, check=True)
            sample = measure_command(filled(commands[name], places), work, accepted=EXIT_CODES.get(name, (0,)))
            print(f"{name}: {sample['wall_s']:.2f} s, {sample['peak_mb']:.0f} MB", file=sys.stderr)
            if number:
                samples[name].append(sample)
    return samples


def table(document: Mapping[str, Any]) -> str:
    """Return the results as Markdown."""
    machine, rival = document["machine"], document["rival"]
    lines = [
        f"Suite {document['suite']}; {machine['cpu']}, {machine['processors']} processors, {machine['variant']} core, "
        f"Python {machine['python']}, pytest-qeattention {machine['version']}, biston {machine['biston']}",
        "",
        f"| command | wall, median (s) | wall, range (s) | to {rival} | processor (s) | peak (MB) | runs |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in document["commands"].items():
        walls = [sample["wall_s"] for sample in row["samples"]]
        cpu = statistics.median(sample["cpu_s"] for sample in row["samples"])
        peak = max(sample["peak_mb"] for sample in row["samples"])
        lines.append(
            f"| {name} | {row['wall_median_s']:.2f} | {min(walls):.2f}-{max(walls):.2f} | {row['ratio']:.2f} "
            f"| {cpu:.1f} | {peak:.0f} | {len(walls)} |"
        )
    lines += ["", *(f"- {name}: `{row['command']}`" for name, row in document["commands"].items())]
    return "\n".join(lines) + "\n"


def version_of(distribution: str) -> str | None:
    """Return the installed version of *distribution*, None if it is not installed."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the commands named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", type=named, metavar="NAME=DIR")
    parser.add_argument("--command", action="append", type=named, default=[], metavar="NAME=COMMAND")
    parser.add_argument("--before", action="append", type=named, default=[], metavar="NAME=COMMAND")
    parser.add_argument("--rival", default="biston", metavar="NAME", help="the command that ratios are to")
    parser.add_argument("--runs", type=int, default=5, metavar="COUNT", help="counted runs of each (default 5)")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    options = parser.parse_args(arguments)
    suite, directory = options.suite
    if not Path(directory).is_dir():
        parser.error(f"{directory} is no directory")
    commands, before = {**COMMANDS, **dict(options.command)}, dict(options.before)
    if options.rival not in commands:
        parser.error(f"--rival {options.rival}: no command of that name")
    if unknown := before.keys() - commands.keys():
        parser.error(f"--before {', '.join(sorted(unknown))}: no command of that name")
    with tempfile.TemporaryDirectory() as work:
        config = Path(work, "config")
        config.mkdir()
        config.joinpath("biston.toml").write_text(BISTON_SETTINGS, encoding="utf-8")
        places = {
            "python": sys.executable,
            "suite": str(Path(directory).resolve()),
            "work": work,
            "config": str(config),
            "biston": find_biston(),
        }
        # A store of the caller's would make the cold runs warm.
        os.environ.pop("QE_STORE", None)
        # The installed package is asked, from where the commands run.
        asked = filled("{python} -m pytest_qeattention info --json -", places)
        info = json.loads(subprocess.run(asked, cwd=work, capture_output=True, check=True).stdout)["backend"]
        samples = measure(commands, before, places, options.runs)
    medians = {name: statistics.median(sample["wall_s"] for sample in found) for name, found in samples.items()}
    document = {
        "suite": suite,
        "machine": {
            "cpu": info["cpu"]["name"],
            "processors": os.cpu_count(),
            "variant": info["variant"] or info["backend"],
            "python": platform.python_version(),
            "version": info["version"],
            "biston": version_of("biston"),
        },
        "rival": options.rival,
        "commands": {
            name: {
                "command": command,
                "before": before.get(name),
                "wall_median_s": medians[name],
                "ratio": medians[name] / medians[options.rival],
                "samples": samples[name],
            }
            for name, command in commands.items()
        },
    }
    write_results(options.results, "rival_speed", document, table(document))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Verify the suggestions of ``qeattention similar`` on real projects, and count what becomes of them.

    python -m benchmarks.fold_verify NAME=DIR... [--results DIR]

DIR holds a project whose tests run with the Python that runs this; its groups are found, written as one test each, and
verified by ``--verify``. Writes fold_verify.json and fold_verify.md: how many were verified, failed or not run, and
why.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
STATES = ("verified", "failed", "not run")


def measure(name: str, directory: Path, seconds: int) -> dict[str, Any]:
    """Verify the suggestions of one project."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        command = [
            *(sys.executable, "-m", "pytest_qeattention", "similar", ".", "-q"),
            *("--verify", "--verify-timeout", str(seconds), "--json", str(report)),
        ]
        started = time.perf_counter()
        subprocess.run(command, cwd=directory, check=True, stdout=subprocess.DEVNULL)
        took = time.perf_counter() - started
        similar = json.loads(report.read_text(encoding="utf-8"))["similar"]
    groups = [group for group in similar["groups"] if group["kind"] == "parametrize"]
    folds = [group["fold"] for group in groups if "fold" in group]
    states = Counter(fold["state"] for fold in folds)
    refusals = [reason for group in groups for reason in group["reasons"] if reason.startswith("not written as one")]
    verified = [fold for fold in folds if fold["state"] == "verified"]
    return {
        "project": name,
        "tests": similar["tests"],
        "groups": len(groups),
        "suggested": len(folds),
        **{state.replace(" ", "_"): states[state] for state in STATES},
        "cases": sum(fold["cases"] for fold in verified),
        "noticed": sum(fold["noticed"] for fold in verified),
        "seconds": round(took, 1),
        "why_not": _counted([fold["reason"] for fold in folds if fold["state"] != "verified"]),
        "refused": _counted([reason.partition(": ")[2] for reason in refusals]),
    }


def _counted(reasons: Sequence[str]) -> dict[str, int]:
    found = Counter(re.sub(r" \(line \d+\)", "", reason) for reason in reasons)
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the counts as a Markdown table, the sum last."""
    names = (
        *("tests", "groups", "suggested", "verified", "failed", "not_run"),
        *("cases", "noticed", "seconds"),
    )
    lines = [f"| project | {' | '.join(name.replace('_', ' ') for name in names)} |", f"|---|{'---|' * len(names)}"]
    total = {name: round(sum(row[name] for row in rows), 1) for name in names}
    for row in (*rows, {"project": "all", **total}):
        lines.append(f"| {row['project']} | {' | '.join(str(row[name]) for name in names)} |")
    lines.append("")
    for row in rows:
        lines.extend(f"- {row['project']}: {reason} ({count})" for reason, count in row["why_not"].items())
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("projects", nargs="+", metavar="NAME=DIR")
    parser.add_argument("--timeout", type=int, default=300, metavar="SECONDS", help="for one run of pytest (300)")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR", help="where to write the results")
    options = parser.parse_args(arguments)
    rows = []
    for project in options.projects:
        name, _, directory = project.partition("=")
        rows.append(measure(name, Path(directory).resolve(), options.timeout))
        print(json.dumps(rows[-1]), flush=True)
    options.results.mkdir(parents=True, exist_ok=True)
    document = {"python": platform.python_version(), "pytest": metadata.version("pytest"), "projects": rows}
    (options.results / "fold_verify.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    (options.results / "fold_verify.md").write_text(table(rows), encoding="utf-8")
    print(table(rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

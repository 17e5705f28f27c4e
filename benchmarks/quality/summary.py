"""Put what was measured of `--rank` and the encoder into one table, with what was registered before.

    python -m benchmarks.quality.summary [--results DIR]

Reads encoder_words, encoder_functions, encoder_copies and encoder_failures of --results (benchmarks.quality.encoder
wrote them), and encoder_folds (benchmarks.quality.folds); writes encoder_answers.md. A task that was not measured has
no numbers. What was registered is in REGISTERED.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality.encoder import RESULTS, differences

Projects = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Claim:
    """Say what one task was to show."""

    task: str
    question: str
    measure: str
    ours: str
    rivals: tuple[str, ...]
    gap: float | None = None
    """By how much *ours* was to be above each rival, the interval of the difference above 0; None for no such claim."""
    least: float | None = None
    """What *ours* was to reach."""
    decides: bool = False
    """Whether *ours* is in use only where the interval of the difference is above 0."""
    part: str | None = None
    """Of a document of several measures, the one that counts."""


CLAIMS = (
    Claim("words", "words for the test that they describe", "MRR", "ranking + qe", ("TF-IDF", "MiniLM"), gap=0.05),
    Claim("functions", "a function for tests that execute it", "hit@5", "ranking", ("names", "TF-IDF"), gap=0.05),
    Claim(
        "copies",
        "a renamed and edited copy for its test",
        "AP",
        "ranking",
        ("AST tokens", "AST tokens, locals as holes"),
        least=0.85,
    ),
    Claim("folds", "a test for those it was folded with", "MAP", "with qe", ("pair model",), decides=True, part="MAP"),
    Claim("folds", "pairs that were folded", "AP", "with qe", ("pair model",), decides=True, part="AP of pairs"),
    Claim(
        "failures",
        "a failure for those of one cause",
        "MAP",
        "message words + test names + qe, tests",
        ("message words", "test names", "message words + test names"),
    ),
)


def row(claim: Claim, projects: Projects) -> str:
    """Return the row of one claim."""

    def mean(method: str) -> str:
        return f"{np.mean([each[method] for each in projects.values()]):.3f}"

    rivals = [(name, differences(projects, claim.ours, name)) for name in claim.rivals]
    cells = [
        f"{name} {mean(name)}: {gap['mean']:+.3f} ({gap['low']:+.3f} to {gap['high']:+.3f})" for name, gap in rivals
    ]
    asked, met = "shown", ""
    if claim.gap is not None:
        asked = f"{claim.gap:+.2f} over each, interval above 0"
        met = "yes" if all(gap["mean"] >= claim.gap and gap["low"] > 0 for _, gap in rivals) else "no"
    elif claim.least is not None:
        asked = f"{claim.least:.2f}"
        met = "yes" if np.mean([each[claim.ours] for each in projects.values()]) >= claim.least else "no"
    elif claim.decides:
        asked = "in use only with the interval above 0"
        met = "better" if all(gap["low"] > 0 for _, gap in rivals) else "not in use"
    shown = [claim.question, f"{claim.measure}, {len(projects)} projects", f"{mean(claim.ours)} ({claim.ours})"]
    return f"| {' | '.join([*shown, '<br>'.join(cells), asked, met])} |"


def rows_of(claim: Claim, results: Path) -> Projects | None:
    """Return the measures of each project; None for a task that was not measured."""
    file = results / f"encoder_{claim.task}.json"
    if not file.is_file():
        return None
    document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    projects: Projects = (document if claim.part is None else document[claim.part])["projects"]
    return projects


def summary(results: Path) -> str:
    """Return the table of all claims as Markdown."""
    lines = [
        "| asked for | measure | ours | beside it: difference (95 %) | registered | met |",
        "|---|---|---|---|---|---|",
    ]
    for claim in CLAIMS:
        projects = rows_of(claim, results)
        if projects is None:
            lines.append(f"| {claim.question} | {claim.measure}, not measured | | | | |")
        else:
            lines.append(row(claim, projects))
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    options = parser.parse_args(arguments)
    (options.results / "encoder_answers.md").write_text(summary(options.results), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

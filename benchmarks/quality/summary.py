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

from benchmarks.quality.encoder import BOOTSTRAP, RESULTS, differences

Projects = Mapping[str, Mapping[str, float]]


# Distributions that are called otherwise than their repositories.
DISTRIBUTIONS = {"jinja": "jinja2"}
# The one that ships, a bag of the same embeddings, weights that were never trained.
ENCODERS = ("qe", "bag", "random")
HEAD = (
    "| asked for | measure | ours | rivals: difference (95 %) | encoder: none, ours, bag, random | registered | met |",
    "|---|---|---|---|---|---|---|",
)


@dataclass(frozen=True, slots=True)
class Claim:
    """Say what one task was to show."""

    task: str
    question: str
    measure: str
    ours: str
    rivals: tuple[str, ...]
    without: str
    """The method without an encoder."""
    encoded: str
    """The method with the encoder that is put in for ``{}``."""
    gap: float | None = None
    """By how much *ours* was to be above each rival, the interval of the difference above 0; None for no such claim."""
    least: float | None = None
    """What *ours* was to reach."""
    decides: bool = False
    """Whether *ours* is in use only where the interval of the difference is above 0."""
    part: str | None = None
    """Of a document of several measures, the one that counts."""


CLAIMS = (
    Claim(
        task="words",
        question="words for the test that they describe",
        measure="MRR",
        ours="ranking + qe",
        rivals=("TF-IDF", "MiniLM"),
        without="ranking",
        encoded="ranking + {}",
        gap=0.05,
    ),
    Claim(
        task="functions",
        question="a function for tests that execute it",
        measure="hit@5",
        ours="ranking",
        rivals=("names", "TF-IDF"),
        without="ranking",
        encoded="ranking + {}",
        gap=0.05,
    ),
    Claim(
        task="copies",
        question="a renamed and edited copy for its test",
        measure="AP",
        ours="ranking",
        rivals=("AST tokens", "AST tokens, locals as holes"),
        without="ranking",
        encoded="ranking + {}",
        least=0.85,
    ),
    *(
        Claim(
            task="folds",
            question=question,
            measure=measure,
            ours="with qe",
            rivals=("pair model",),
            without="pair model",
            encoded="with {}",
            decides=True,
            part=part,
        )
        for question, measure, part in (
            ("a test for those it was folded with", "MAP", "MAP"),
            ("pairs that were folded", "AP", "AP of pairs"),
        )
    ),
    Claim(
        task="failures",
        question="a failure for those of one cause",
        measure="MAP",
        ours="message words + test names + qe, tests",
        rivals=("message words", "test names", "message words + test names"),
        without="message words + test names",
        encoded="message words + test names + {}, tests",
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
    own = interval([each[claim.ours] for each in projects.values()])
    ours = f"{mean(claim.ours)} ({own[0]:.3f} to {own[1]:.3f}), {claim.ours}"
    shown = [claim.question, f"{claim.measure}, {len(projects)} projects", ours]
    methods = next(iter(projects.values()))
    encoded = [claim.without, *(claim.encoded.format(label) for label in ENCODERS)]
    beside = ", ".join(mean(method) if method in methods else "-" for method in encoded)
    return f"| {' | '.join([*shown, '<br>'.join(cells), beside, asked, met])} |"


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the bounds of the 95 % interval of a mean over projects."""
    chosen = np.random.default_rng(0).integers(len(values), size=(BOOTSTRAP, len(values)))
    low, high = np.quantile(np.array(values)[chosen].mean(axis=1), (0.025, 0.975))
    return float(low), float(high)


def rows_of(claim: Claim, results: Path) -> Projects | None:
    """Return the measures of each project; None for a task that was not measured."""
    file = results / f"encoder_{claim.task}.json"
    if not file.is_file():
        return None
    document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    projects: Projects = (document if claim.part is None else document[claim.part])["projects"]
    return projects


def summary(results: Path) -> str:
    """Return the table of all claims as Markdown, and that of the projects which the pair model was not fitted on."""
    seen = folded(results)
    lines, others = list(HEAD), list(HEAD)
    left_out: dict[str, None] = {}
    for claim in CLAIMS:
        projects = rows_of(claim, results)
        if projects is None:
            lines.append(f"| {claim.question} | {claim.measure}, not measured | | | | | |")
            continue
        lines.append(row(claim, projects))
        unseen = {name: each for name, each in projects.items() if name.rpartition("-")[0] not in seen}
        # The projects of folds are fitted on in turn, each by a model of the others.
        if not claim.decides and 0 < len(unseen) < len(projects):
            others.append(row(claim, unseen))
            left_out |= dict.fromkeys(name for name in projects if name not in unseen)
    if left_out:
        lines += ["", f"The same without {', '.join(left_out)}, whose folds the pair model was fitted on:", "", *others]
    return "\n".join(lines) + "\n"


def folded(results: Path) -> set[str]:
    """Return the names of the projects whose folds the pair model was fitted on."""
    file = results / "encoder_folds.json"
    if not file.is_file():
        return set()
    projects = json.loads(file.read_text(encoding="utf-8"))["MAP"]["projects"]
    names = {name.rpartition("+")[2].lower() for name in projects}
    return names | {DISTRIBUTIONS[name] for name in names if name in DISTRIBUTIONS}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    options = parser.parse_args(arguments)
    (options.results / "encoder_answers.md").write_text(summary(options.results), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

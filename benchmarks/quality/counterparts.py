"""Measure what ``--rank TEST`` gains or loses on tests that maintainers folded by asking for shapes of statements too.

    QE_GOLD=DIR python -m benchmarks.quality.counterparts [--results DIR]

Each project is ranked by a pair model of the projects of other folds, with and without its scores being raised by the
shapes of statements. How much they raise was chosen on copies of tests with these measures in view. Mean average
precision of ranking a folded test's partners, and average precision of pairs, by project; intervals are those of 2,000
bootstrap samples of projects. Writes ranking_folds as JSON and Markdown to --results.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.quality.encoder import RESULTS, differences, table
from benchmarks.quality.folds import FOLDS, WITHOUT, ranked
from benchmarks.quality.gold import GoldMissingError, gold_file, load_pools
from benchmarks.quality.similar import Prepared, fit_pairs, prepare
from benchmarks.suite_speed import write_results
from pytest_qeattention.similarity.counterparts import raised
from pytest_qeattention.similarity.pairs import rescore
from pytest_qeattention.similarity.shapes import StatementShapes

FloatArray = npt.NDArray[np.float64]

WITH = "ranking"


def likeness(one: Prepared) -> FloatArray:
    """Return how alike the shapes of the tests of each pair are, as ``--rank`` sees them."""
    shapes = StatementShapes(one.pool.suite.descriptions)
    shares = np.stack([shapes.beside(row).share for row in range(len(one.pool.group))])
    found: FloatArray = shares[one.pairs.left, one.pairs.right]
    return found


def held_out(prepared: Sequence[Prepared]) -> list[dict[str, dict[str, float]]]:
    """Return the measures of each project without and with shapes, by a pair model of the projects of other folds."""
    results: list[dict[str, dict[str, float]]] = [{} for _ in prepared]
    for fold in range(FOLDS):
        model = fit_pairs([one for at, one in enumerate(prepared) if at % FOLDS != fold])
        for at in range(fold, len(prepared), FOLDS):
            one = prepared[at]
            scores = rescore(one.facts, one.pairs, model).score
            results[at] = {WITHOUT: ranked(one, scores), WITH: ranked(one, raised(scores, likeness(one)))}
    return results


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; 0 when done or when there are no labels to measure on."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    options = parser.parse_args(arguments)
    try:
        pools = load_pools(gold_file())
    except GoldMissingError as error:
        print(f"skipped: {error}")
        return 0
    results = held_out([prepare(pool) for pool in pools])
    documents, text = {}, ""
    for name in ("MAP", "AP of pairs"):
        rows: Mapping[str, Mapping[str, float]] = {
            pool.project: {method: measured[name] for method, measured in each.items()}
            for pool, each in zip(pools, results, strict=True)
            if name in each[WITHOUT]
        }
        documents[name] = {
            "projects": rows,
            "differences": {f"{WITH} less {WITHOUT}": differences(rows, WITH, WITHOUT)},
        }
        text += f"{name}\n\n{table(documents[name])}\n"
    write_results(options.results, "ranking_folds", {"folds": FOLDS, **documents}, text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

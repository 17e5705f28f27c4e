"""Measure how well ``--qe-similar`` ranks and groups tests that maintainers folded, and fit its pair model.

    QE_GOLD=DIR python -m benchmarks.quality.similar           measure each project by a model fitted without it
    QE_GOLD=DIR python -m benchmarks.quality.similar --fit     also print the model fitted on all projects
    QE_GOLD=DIR python -m benchmarks.quality.similar --write   also write benchmarks/results/similar_quality.*

Groups are measured twice: at the one threshold that is shipped, and at thresholds chosen on the other projects alone.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

import pytest_qeattention
from benchmarks.quality.fit import fit_logistic
from benchmarks.quality.gold import GoldMissingError, Pool, gold_file, load_pools
from benchmarks.quality.measures import GroupMeasures, RankingMeasures
from pytest_qeattention.similarity.grouping import GROUP_THRESHOLD, find_groups
from pytest_qeattention.similarity.pairs import (
    COSINE_FLOOR,
    FACTS,
    SHIPPED,
    Facts,
    PairModel,
    Pairs,
    gather_facts,
    pair_facts,
    rescore,
    score_pairs,
)

FloatArray = npt.NDArray[np.float64]

RESULTS = Path(__file__).parents[1] / "results"
# Share of neighbours that a training fold may have flagged by the threshold it chooses.
FLAGGED_TARGET = 0.148
THRESHOLDS = np.round(np.arange(0.72, 0.92, 0.002), 3)


@dataclass(frozen=True, slots=True)
class Prepared:
    """Hold a pool with its pairs, whose facts do not depend on the model."""

    pool: Pool
    facts: Facts
    pairs: Pairs
    values: FloatArray
    """Facts of each pair, (n_pairs, 7)."""


def prepare(pool: Pool) -> Prepared:
    """Compute the facts of all pairs of *pool*."""
    suite = pool.suite
    facts = gather_facts(suite.units, suite.descriptions, suite.bindings)
    pairs = score_pairs(suite.units, suite.descriptions, facts, neighbors=len(suite.units))
    return Prepared(pool, facts, pairs, pair_facts(facts, pairs.left, pairs.right, pairs.cosine, pairs.common))


def fit(prepared: Sequence[Prepared]) -> PairModel:
    """Fit the model on pairs with at least one folded test; the square root of a project's pairs is its weight."""
    values, same, weight = [], [], []
    for one in prepared:
        left, right = one.pool.group[one.pairs.left], one.pool.group[one.pairs.right]
        used = ((left >= 0) | (right >= 0)) & (one.pairs.cosine >= COSINE_FLOOR)
        values.append(one.values[used])
        same.append(((left == right) & (left >= 0))[used])
        weight.append(np.full(used.sum(), 1.0 / np.sqrt(max(used.sum(), 1))))
    weights = np.concatenate(weight)
    return fit_logistic(np.concatenate(values), np.concatenate(same), weights / weights.mean())


def reported(one: Prepared, pairs: Pairs, threshold: float) -> list[list[int]]:
    """Return the groups reported in a pool, as row numbers."""
    suite = one.pool.suite
    row = {unit.nodeid: at for at, unit in enumerate(suite.units)}
    groups = find_groups(suite.units, suite.descriptions, one.facts, pairs, threshold, explain=False)
    return [[row[unit.nodeid] for unit in group.tests] for group in groups]


def choose_threshold(prepared: Sequence[Prepared], model: PairModel) -> float:
    """Return the lowest threshold that keeps the flagged neighbours of *prepared* within the target."""
    scored = [rescore(one.facts, one.pairs, model) for one in prepared]
    low, high = 0, len(THRESHOLDS) - 1
    while low < high:
        middle = (low + high) // 2
        measures = GroupMeasures()
        for one, pairs in zip(prepared, scored, strict=True):
            measures.add(reported(one, pairs, float(THRESHOLDS[middle])), one.pool.group)
        if measures.results()["flagged_micro"] <= FLAGGED_TARGET:
            high = middle
        else:
            low = middle + 1
    return float(THRESHOLDS[low])


def matrix(one: Prepared, pairs: Pairs, scores: FloatArray) -> FloatArray:
    """Spread pair scores over a matrix (n, n)."""
    full = np.zeros((len(one.pool.group),) * 2)
    full[pairs.left, pairs.right] = full[pairs.right, pairs.left] = scores
    return full


def measure(prepared: Sequence[Prepared], folds: int) -> dict[str, Mapping[str, float]]:
    """Measure each project by a model and a threshold from the projects of other folds."""
    held_out, lexical, shipped = RankingMeasures(), RankingMeasures(), RankingMeasures()
    groups, groups_at_shipped, shipped_groups = GroupMeasures(), GroupMeasures(), GroupMeasures()
    for fold in range(folds):
        train = [one for at, one in enumerate(prepared) if at % folds != fold]
        model = fit(train)
        threshold = choose_threshold(train, model)
        print(f"fold {fold + 1} of {folds}: threshold {threshold:.3f}", file=sys.stderr)
        for one in prepared[fold::folds]:
            pairs = rescore(one.facts, one.pairs, model)
            held_out.add(matrix(one, pairs, pairs.score), one.pool.group)
            groups.add(reported(one, pairs, threshold), one.pool.group)
            groups_at_shipped.add(reported(one, pairs, GROUP_THRESHOLD), one.pool.group)
    for one in prepared:
        lexical.add(matrix(one, one.pairs, one.pairs.cosine), one.pool.group)
        pairs = rescore(one.facts, one.pairs, SHIPPED)
        shipped.add(matrix(one, pairs, pairs.score), one.pool.group)
        shipped_groups.add(reported(one, pairs, GROUP_THRESHOLD), one.pool.group)
    return {
        "held-out projects": {**held_out.results(), **groups_at_shipped.results()},
        "threshold held out too": groups.results(),
        "cosine alone": lexical.results(),
        "shipped model (in sample)": {**shipped.results(), **shipped_groups.results()},
    }


def table(results: Mapping[str, Mapping[str, float]]) -> str:
    """Return *results* as a Markdown table."""
    names = list(dict.fromkeys(name for row in results.values() for name in row))
    lines = [f"| measure | {' | '.join(results)} |", f"|---|{'---|' * len(results)}"]
    for name in names:
        cells = [f"{row[name]:.3f}" if name in row else "-" for row in results.values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the measurement; 0 when done or when there are no labels to measure on."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fit", action="store_true", help="print the model fitted on all projects")
    parser.add_argument("--write", action="store_true", help="write the results to benchmarks/results")
    parser.add_argument("--folds", type=int, default=7, metavar="N", help="number of folds of projects (default 7)")
    options = parser.parse_args(arguments)
    try:
        pools = load_pools(gold_file())
    except GoldMissingError as error:
        print(f"skipped: {error}")
        return 0
    prepared = [prepare(pool) for pool in pools]
    results = measure(prepared, options.folds)
    print(table(results))
    if options.fit:
        model = fit(prepared)
        print(f"\nthreshold {choose_threshold(prepared, model):.3f}, intercept {model.intercept:.3f}")
        for name, weight in zip(FACTS, model.weights, strict=True):
            print(f"  {name}: {weight:.3f}")
    if options.write:
        RESULTS.mkdir(exist_ok=True)
        document = {
            "version": pytest_qeattention.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "projects": len(prepared),
            "tests": sum(len(one.pool.group) for one in prepared),
            "folds": options.folds,
            "results": results,
        }
        (RESULTS / "similar_quality.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        (RESULTS / "similar_quality.md").write_text(table(results) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

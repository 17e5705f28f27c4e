"""Measure how well ``--qe-similar`` ranks and groups tests that maintainers folded, and fit its models.

    QE_GOLD=DIR python -m benchmarks.quality.similar           measure each project by a model fitted without it
    QE_GOLD=DIR python -m benchmarks.quality.similar --fit     also print the models fitted on all projects
    QE_GOLD=DIR python -m benchmarks.quality.similar --write   also write benchmarks/results/similar_quality.*

All that answers for a held-out project, the model of groups and its threshold too, is fitted on the other projects.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import pytest_qeattention
from benchmarks.quality.fit import fit_calibration, fit_logistic
from benchmarks.quality.gold import GoldMissingError, Pool, gold_file, load_pools
from benchmarks.quality.measures import Calibration, GroupMeasures, RankingMeasures, with_partner
from pytest_qeattention.similarity.group_model import SHIPPED_GROUPS, GroupModel, gather_evidence
from pytest_qeattention.similarity.grouping import GROUP_THRESHOLD, find_groups, gather_clusters
from pytest_qeattention.similarity.pairs import (
    SHIPPED,
    Facts,
    PairModel,
    Pairs,
    gather_facts,
    rescore,
    score_pairs,
)
from pytest_qeattention.similarity.partners import COSINE_FLOOR

FloatArray = npt.NDArray[np.float64]

RESULTS = Path(__file__).parents[1] / "results"
# Share of neighbours that a training fold may have flagged by the threshold it chooses.
FLAGGED_TARGET = 0.12
THRESHOLDS = np.round(np.arange(0.3, 0.8, 0.002), 3)
CURVE = (0.1, 0.2, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65)
# Of 5, 20, 50, 100 and 200 for pairs the last three rank held-out projects alike; 100 has the best calibration.
PAIR_PENALTY = 100.0
GROUP_PENALTY = 3.0
GROUP_WEIGHT = 300.0
INNER_FOLDS = 6


@dataclass(frozen=True, slots=True)
class Prepared:
    """Hold a pool with its pairs, whose facts do not depend on the model."""

    pool: Pool
    facts: Facts
    pairs: Pairs
    labelled: npt.NDArray[np.bool_]
    """Pairs with at least one folded test that are close enough to be scored."""
    same: npt.NDArray[np.bool_]
    """Pairs that were folded together."""


@dataclass(frozen=True, slots=True)
class Models:
    """Hold what is fitted."""

    pairs: PairModel
    groups: GroupModel


def prepare(pool: Pool) -> Prepared:
    """Compute the facts of all pairs of *pool*."""
    suite = pool.suite
    facts = gather_facts(suite.units, suite.descriptions, suite.bindings)
    pairs = score_pairs(suite.units, suite.descriptions, facts, neighbors=len(suite.units))
    left, right = pool.group[pairs.left], pool.group[pairs.right]
    labelled = ((left >= 0) | (right >= 0)) & (pairs.cosine >= COSINE_FLOOR)
    return Prepared(pool, facts, pairs, labelled, (left == right) & (left >= 0))


def fit(prepared: Sequence[Prepared]) -> Models:
    """Fit the models of pairs and of groups; groups from `GROUP_THRESHOLD` on flag the target's share of neighbours."""
    models = Models(fit_pairs(prepared), fit_groups(prepared))
    threshold = choose_threshold(prepared, models)
    shift = float(np.log(threshold / (1 - threshold)) - np.log(GROUP_THRESHOLD / (1 - GROUP_THRESHOLD)))
    return Models(models.pairs, GroupModel(models.groups.weights, models.groups.intercept - shift))


def fit_pairs(prepared: Sequence[Prepared]) -> PairModel:
    """Fit the model on pairs with at least one folded test; the square root of a project's pairs is its weight."""
    values = np.concatenate([one.pairs.values[one.labelled] for one in prepared]).astype(np.float64)
    same = np.concatenate([one.same[one.labelled] for one in prepared])
    weight = np.concatenate([np.full(one.labelled.sum(), one.labelled.sum() ** -0.5) for one in prepared])
    weight /= weight.mean()
    weights, intercept = fit_logistic(values, same, weight, PAIR_PENALTY)
    return PairModel(weights, intercept, fit_calibration(values @ np.array(weights) + intercept, same, weight))


def fit_groups(prepared: Sequence[Prepared]) -> GroupModel:
    """Fit the model on the clusters of each pool, its pairs scored by a model of the other pools.

    A cluster counts for folding by the folded tests that stand in it with a true partner, every project alike, and
    against it by the neighbours in it; all that counts for it weighs as much as all against.
    """
    facts, gain, cost = [], [], []
    others = [
        fit_pairs([one for at, one in enumerate(prepared) if at % INNER_FOLDS != fold]) for fold in range(INNER_FOLDS)
    ]
    for at, one in enumerate(prepared):
        pairs = rescore(one.facts, one.pairs, others[at % INNER_FOLDS])
        clusters = [rows for rows, _ in gather_clusters(one.pool.suite.descriptions, one.facts, pairs)[1]]
        facts.append(gather_evidence(one.facts, pairs, clusters).facts)
        group = one.pool.group
        queries = with_partner(group)
        for rows in clusters:
            label = group[rows]
            hits = sum(1 for row in rows if row in queries and (label == group[row]).sum() > 1)
            gain.append(hits / max(len(queries), 1))
            cost.append(float((label < 0).sum()))
    values = np.concatenate(facts)
    gains, costs = np.array(gain), np.array(cost)
    weight = np.concatenate([gains * (GROUP_WEIGHT / gains.sum()), costs * (GROUP_WEIGHT / costs.sum())])
    kept = weight > 0
    folded = np.repeat([True, False], len(values))
    weights, intercept = fit_logistic(np.tile(values, (2, 1))[kept], folded[kept], weight[kept], GROUP_PENALTY)
    return GroupModel(weights, intercept)


def reported(one: Prepared, pairs: Pairs, model: GroupModel, threshold: float) -> list[list[int]]:
    """Return the groups reported in a pool, as row numbers."""
    suite = one.pool.suite
    row = {unit.nodeid: at for at, unit in enumerate(suite.units)}
    groups = find_groups(suite.units, suite.descriptions, one.facts, pairs, threshold, model=model, explain=None)
    return [[row[unit.nodeid] for unit in group.tests] for group in groups]


def group_curve(prepared: Sequence[Prepared], models: Models, thresholds: FloatArray) -> list[Mapping[str, float]]:
    """Return the measures of groups at each threshold."""
    measures = [GroupMeasures() for _ in thresholds]
    for one in prepared:
        pairs = rescore(one.facts, one.pairs, models.pairs)
        for measure_of, threshold in zip(measures, thresholds.tolist(), strict=True):
            measure_of.add(reported(one, pairs, models.groups, threshold), one.pool.group)
    return [measure_of.results() for measure_of in measures]


def choose_threshold(prepared: Sequence[Prepared], models: Models) -> float:
    """Return the lowest threshold that keeps the flagged neighbours of *prepared* within the target."""
    low, high = 0, len(THRESHOLDS) - 1
    while low < high:
        middle = (low + high) // 2
        if group_curve(prepared, models, THRESHOLDS[middle : middle + 1])[0]["flagged_micro"] <= FLAGGED_TARGET:
            high = middle
        else:
            low = middle + 1
    return float(THRESHOLDS[low])


def matrix(one: Prepared, pairs: Pairs, scores: FloatArray) -> FloatArray:
    """Spread pair scores over a matrix (n, n)."""
    full = np.zeros((len(one.pool.group),) * 2)
    full[pairs.left, pairs.right] = full[pairs.right, pairs.left] = scores
    return full


@dataclass
class Measured:
    """Gather what is measured of one way to answer."""

    ranking: RankingMeasures = field(default_factory=RankingMeasures)
    groups: GroupMeasures = field(default_factory=GroupMeasures)
    calibration: Calibration = field(default_factory=Calibration)

    def add(self, one: Prepared, models: Models) -> None:
        """Answer for a project."""
        pairs = rescore(one.facts, one.pairs, models.pairs)
        self.ranking.add(matrix(one, pairs, pairs.score), one.pool.group)
        self.groups.add(reported(one, pairs, models.groups, GROUP_THRESHOLD), one.pool.group)
        self.calibration.add(pairs.score[one.labelled], one.same[one.labelled])

    def results(self) -> dict[str, float]:
        """Return all measures by name."""
        return {
            **self.ranking.results(),
            "expected_calibration_error": self.calibration.expected_error(),
            **self.groups.results(),
        }


def measure(prepared: Sequence[Prepared], folds: int) -> tuple[dict[str, Mapping[str, float]], dict[str, Any]]:
    """Measure each project by models from the projects of other folds.

    Returns the measures of each way to answer, and curves over the held-out projects.
    """
    held_out, shipped, lexical = Measured(), Measured(), RankingMeasures()
    curve = [GroupMeasures() for _ in CURVE]
    for fold in range(folds):
        train = [one for at, one in enumerate(prepared) if at % folds != fold]
        models = fit(train)
        print(f"fold {fold + 1} of {folds}", file=sys.stderr)
        for one in prepared[fold::folds]:
            held_out.add(one, models)
            pairs = rescore(one.facts, one.pairs, models.pairs)
            for measures, at in zip(curve, CURVE, strict=True):
                measures.add(reported(one, pairs, models.groups, at), one.pool.group)
    for one in prepared:
        lexical.add(matrix(one, one.pairs, one.pairs.cosine), one.pool.group)
        shipped.add(one, Models(SHIPPED, SHIPPED_GROUPS))
    results: dict[str, Mapping[str, float]] = {
        "held-out projects": held_out.results(),
        "cosine alone": lexical.results(),
        "shipped model (in sample)": shipped.results(),
    }
    curves = {
        "reliability": held_out.calibration.bins(),
        "groups": [{"threshold": at, **measures.results()} for at, measures in zip(CURVE, curve, strict=True)],
    }
    return results, curves


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
    parser.add_argument("--fit", action="store_true", help="print the models fitted on all projects")
    parser.add_argument("--write", action="store_true", help="write the results to benchmarks/results")
    parser.add_argument("--folds", type=int, default=7, metavar="N", help="number of folds of projects (default 7)")
    options = parser.parse_args(arguments)
    try:
        pools = load_pools(gold_file())
    except GoldMissingError as error:
        print(f"skipped: {error}")
        return 0
    prepared = [prepare(pool) for pool in pools]
    results, curves = measure(prepared, options.folds)
    print(table(results))
    if options.fit:
        models = fit(prepared)
        print(f"\npairs {tuple(round(weight, 4) for weight in models.pairs.weights)}, {models.pairs.intercept:.4f},")
        print(f"  calibration {tuple(round(weight, 4) for weight in models.pairs.calibration)}")
        print(f"groups {tuple(round(weight, 4) for weight in models.groups.weights)}, {models.groups.intercept:.4f}")
    if options.write:
        RESULTS.mkdir(exist_ok=True)
        document = {
            "version": pytest_qeattention.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "projects": len(prepared),
            "tests": sum(len(one.pool.group) for one in prepared),
            "folds": options.folds,
            "weights": len(SHIPPED.weights) + 1 + len(SHIPPED.calibration) + len(SHIPPED_GROUPS.weights) + 1,
            "results": results,
            "curves": curves,
        }
        (RESULTS / "similar_quality.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        (RESULTS / "similar_quality.md").write_text(table(results) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

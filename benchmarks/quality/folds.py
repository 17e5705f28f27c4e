"""Measure whether an encoder helps to tell which tests maintainers folded, beside the evidence of ``--qe-similar``.

    QE_GOLD=DIR python -m benchmarks.quality.folds --encoder LABEL=WEIGHTS... [--minilm] [--results DIR]

The pair model is fitted with and without the cosine of an encoder as one more fact, each project by a model of the
projects of other folds. Projects of the encoder's corpora are left out. Mean average precision of ranking a folded
test's partners, and average precision of pairs, by project; intervals are those of 2,000 bootstrap samples of projects.
Writes encoder_folds as JSON and Markdown to --results.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.quality.encoder import RESULTS, differences, table
from benchmarks.quality.gold import GoldMissingError, Pool, gold_file, load_pools
from benchmarks.quality.measures import RankingMeasures
from benchmarks.quality.similar import Prepared, fit_pairs, matrix, prepare
from benchmarks.rival_speed import named
from benchmarks.suite_speed import write_results
from benchmarks.training.corpus import is_corpus
from pytest_qeattention.encoder.encoder import Encoder
from pytest_qeattention.similarity.pairs import rescore

FloatArray = npt.NDArray[np.float64]

FOLDS = 7
WITHOUT = "pair model"


def with_cosine(one: Prepared, encoder: Encoder) -> Prepared:
    """Return *one* with the encoder's cosine as a last fact of each pair."""
    vectors = encoder.functions([unit.source for unit in one.pool.suite.units])
    cosine = np.einsum("ij,ij->i", vectors[one.pairs.left], vectors[one.pairs.right])
    values = np.column_stack((one.pairs.values, cosine)).astype(np.float32)
    return replace(one, pairs=replace(one.pairs, values=values))


def ranked(one: Prepared, scores: FloatArray) -> dict[str, float]:
    """Return the measures of one project, whose pairs have *scores*."""
    measures = RankingMeasures()
    measures.add(matrix(one, one.pairs, scores), one.pool.group)
    measured = {}
    if measures.per_project:
        measured["MAP"] = float(measures.per_project[0][:, 0].mean())
    if measures.pair_precision:
        measured["AP of pairs"] = measures.pair_precision[0]
    return measured


def held_out(prepared: Sequence[Prepared]) -> list[dict[str, float]]:
    """Return the measures of each project, by a pair model of the projects of other folds."""
    results: list[dict[str, float]] = [{} for _ in prepared]
    for fold in range(FOLDS):
        model = fit_pairs([one for at, one in enumerate(prepared) if at % FOLDS != fold])
        for at in range(fold, len(prepared), FOLDS):
            one = prepared[at]
            results[at] = ranked(one, rescore(one.facts, one.pairs, model).score)
    return results


def unseen(pools: Sequence[Pool]) -> list[Pool]:
    """Return the pools of projects that no encoder of ours was trained on."""
    return [pool for pool in pools if not is_corpus(pool.project.rpartition("+")[2])]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; 0 when done or when there are no labels to measure on."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", type=named, action="append", default=[], metavar="LABEL=WEIGHTS")
    parser.add_argument("--minilm", action="store_true", help="also measure MiniLM")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="keep vectors there")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    options = parser.parse_args(arguments)
    try:
        pools = unseen(load_pools(gold_file()))
    except GoldMissingError as error:
        print(f"skipped: {error}")
        return 0
    encoders = {label: Encoder(path, cache_dir=options.cache) for label, path in options.encoder}
    if options.minilm:
        encoders["MiniLM"] = Encoder("minilm", cache_dir=options.cache)
    plain = [prepare(pool) for pool in pools]
    results = {WITHOUT: held_out(plain)}
    for label, encoder in encoders.items():
        results[f"with {label}"] = held_out([with_cosine(one, encoder) for one in plain])
        print(f"{label}: measured", file=sys.stderr, flush=True)
    documents, text = {}, ""
    for name in ("MAP", "AP of pairs"):
        rows: Mapping[str, Mapping[str, float]] = {
            pool.project: {method: each[at][name] for method, each in results.items()}
            for at, pool in enumerate(pools)
            if all(name in each[at] for each in results.values())
        }
        documents[name] = {
            "projects": rows,
            "differences": {f"{method} less {WITHOUT}": differences(rows, method, WITHOUT) for method in results},
        }
        text += f"{name}\n\n{table(documents[name])}\n"
    document = {"models": {label: encoder.model for label, encoder in encoders.items()}, "folds": FOLDS, **documents}
    write_results(options.results, "encoder_folds", document, text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

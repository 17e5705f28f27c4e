"""Measure how well failures are grouped by their cause, and fit the weights of the pairs that this rests on.

    python -m benchmarks.defects.grouping RECORDS [--results DIR] [--unseen] [--write FILE]

RECORDS is what benchmarks.defects.records wrote. Runs of 1 to 8 defects are put together of each project (mixtures.py).
Projects are dealt to five parts. Every part is grouped by weights fitted on the runs of the others, which choose the
threshold too, as they do for TF-IDF. Shown are the same without the signals of tests, without frames, and with the
weights set by hand; other ways to group (rivals.py); and the ceiling: the best that can be done where failures that
differ in nothing but their tests stay together. Means over the runs of a project, and over projects. ``--write`` fits
weights on all projects and writes them as Python; ``--unseen`` measures the shipped weights on the projects that
nothing was fitted on.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.defects.mixtures import Failure, Mixture, draw, fewer, load_all
from benchmarks.defects.partitions import b_cubed, is_perfect, nmi
from benchmarks.defects.rivals import KEYED, edit_distance_groups, keyed, tfidf_cosines, tfidf_groups
from benchmarks.quality.fit import fit_logistic
from benchmarks.suite_speed import write_results
from pytest_qeattention.defects.grouping import Compared, compare, pair_scores
from pytest_qeattention.defects.pair_model import BY_HAND, SHIPPED, PairModel
from pytest_qeattention.defects.signals import COLUMNS, FRAME_SIGNALS, TEST_SIGNALS

RUNS = 30
PARTS = 5
PAIRS = 600
"""Pairs of a run that weights are fitted on, as many of one cause as of two where there are so many."""
PENALTY = 300.0
UNUSED = "rare and same"
"""Part of signals that is not fitted: what is common in a run with one large cause is what its failures share, so that
rarity that is counted in the run alone misleads (mean B-cubed F1 of five projects .86 with it, .90 without)."""
SEED = 0
MEASURES = ("B-cubed F1", "NMI", "runs without a mistake")
THRESHOLDS = (0.2, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7, 0.8)
COSINE = 0.4
"""Threshold of TF-IDF cosines for the unseen projects: what most parts of the others choose."""
RESULTS = Path(__file__).parents[1] / "results"


@dataclass(frozen=True, slots=True)
class Run:
    """Hold a run that was put together, with what of it does not depend on weights."""

    mixture: Mixture
    compared: Compared
    pairs: npt.NDArray[np.float32]
    """Numbers of pairs of distinct failures, (n, len(COLUMNS))."""
    same: npt.NDArray[np.bool_]
    weight: npt.NDArray[np.float64]
    """Of each pair; 1 in all for those of one cause, and 1 for the others."""

    def groups(self, model: PairModel, thresholds: Sequence[float]) -> list[list[Hashable]]:
        """Return the cluster of each failure, for each threshold."""
        compared = self.compared
        score = pair_scores(compared.signals, compared.constraints, model)
        scored = replace(compared, score=score)
        return [self._by_failure(scored.clusters(threshold)) for threshold in thresholds]

    def _by_failure(self, clusters: npt.NDArray[np.int64]) -> list[Hashable]:
        found: list[Hashable] = [0] * len(self.mixture.failures)
        for cluster, places in zip(clusters.tolist(), self.compared.places, strict=True):
            for place in places:
                found[place] = cluster
        return found


def prepared(mixture: Mixture, number: int) -> Run:
    """Compare the failures of *mixture* and draw pairs of them."""
    compared = compare(mixture.records, model=BY_HAND)
    cause = np.array([Counter(mixture.cause[at] for at in places).most_common(1)[0][0] for places in compared.places])
    left, right = np.triu_indices(len(cause), 1)
    same = cause[left] == cause[right]
    chosen = np.random.default_rng(number)
    kept = []
    for side in (same, ~same):
        at = np.flatnonzero(side)
        kept.append(at if len(at) <= PAIRS // 2 else np.sort(chosen.choice(at, PAIRS // 2, replace=False)))
    weight = np.concatenate([np.full(len(at), 1.0 / max(len(at), 1)) for at in kept])
    picked = np.concatenate(kept)
    values = compared.signals.values(left[picked], right[picked])
    return Run(mixture, compared, values, same[picked], weight)


def fitted(runs: Sequence[Run], without: frozenset[str] = frozenset()) -> PairModel:
    """Fit weights and threshold on *runs*, each project of the same weight."""
    projects = Counter(run.mixture.project for run in runs)
    used = [at for at, (signal, part) in enumerate(COLUMNS) if signal not in without and part != UNUSED]
    facts = np.concatenate([run.pairs[:, used] for run in runs]).astype(np.float64)
    spread = [
        np.concatenate([run.pairs[:, used] for run in runs if run.mixture.project == name]).std(axis=0) > 1e-6
        for name in projects
    ]
    # What only a few projects have at all, such as logs, would be weighed by what they happen to fail with.
    varied = np.flatnonzero(np.sum(spread, axis=0) > len(projects) / 2)
    same = np.concatenate([run.same for run in runs])
    scale = len(runs) / len(projects)
    weight = np.concatenate([run.weight * scale / projects[run.mixture.project] for run in runs])
    # The penalty is on the scale of so many runs.
    found, intercept = fit_logistic(facts[:, varied], same, weight, PENALTY * len(runs) / 500)
    weights = {COLUMNS[used[at]]: round(value, 4) for at, value in zip(varied, found, strict=True)}
    model = PairModel(weights, round(intercept, 4), 0.5, learned=True)
    return with_threshold(model, runs)


def with_threshold(model: PairModel, runs: Sequence[Run]) -> PairModel:
    """Return *model* with the threshold that groups *runs* best, by the mean of the three measures."""
    grouped = [(run, run.groups(model, THRESHOLDS)) for run in runs]
    best = [mean([measured(groups[at], run) for run, groups in grouped]) for at in range(len(THRESHOLDS))]
    threshold = THRESHOLDS[int(np.argmax([sum(row) for row in best]))]
    return replace(model, threshold=threshold)


def measured(found: Sequence[Hashable], run: Run) -> tuple[float, float, float]:
    """Return the three `MEASURES` of one run."""
    true = run.mixture.cause
    return b_cubed(found, true), nmi(found, true), float(is_perfect(found, true))


def mean(rows: Sequence[tuple[float, float, float]]) -> list[float]:
    """Return the mean of each measure."""
    return [float(value) for value in np.mean(np.array(rows), axis=0)]


def grouped_by(model: PairModel, runs: Sequence[Run]) -> list[float]:
    """Return the measures of *runs* grouped by *model*."""
    return mean([measured(run.groups(model, [model.threshold])[0], run) for run in runs])


def ceiling(runs: Sequence[Run]) -> list[float]:
    """Return the measures of who knows every cause, but cannot part failures with equal chain, messages and frames."""
    rows = []
    for run in runs:
        keys = [_told(failure) for failure in run.mixture.failures]
        causes: defaultdict[Hashable, Counter[int]] = defaultdict(Counter)
        for key, cause in zip(keys, run.mixture.cause, strict=True):
            causes[key][cause] += 1
        rows.append(measured([causes[key].most_common(1)[0][0] for key in keys], run))
    return mean(rows)


def _told(failure: Failure) -> Hashable:
    return tuple(
        (raised.type, raised.message, *((f.path, f.qualname, f.statement) for f in raised.frames if f.role != "test"))
        for raised in failure.record.chain
    )


def by_cosine(run: Run) -> list[tuple[float, float, float]]:
    """Return the measures of *run* grouped by TF-IDF cosines, for each of `THRESHOLDS`."""
    cosines = tfidf_cosines(run.mixture.failures)
    return [measured(tfidf_groups(cosines, threshold), run) for threshold in THRESHOLDS]


def rivals(runs: Sequence[Run]) -> dict[str, list[float]]:
    """Return the measures of *runs* by ways that have nothing to choose."""
    rows = {
        name: mean([measured(keyed(key, run.mixture.failures), run) for run in runs]) for name, key in KEYED.items()
    }
    rows["10 % edit distance"] = mean([measured(edit_distance_groups(run.mixture.failures), run) for run in runs])
    return rows


def variants(runs: Sequence[Run]) -> dict[str, PairModel]:
    """Return the model fitted on *runs*, and those that show what learning and signals are worth."""
    return {
        "ours": fitted(runs),
        "ours, without tests": fitted(runs, TEST_SIGNALS),
        "ours, without frames": fitted(runs, FRAME_SIGNALS),
        "ours, weights by hand": with_threshold(BY_HAND, runs),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write; 1 where there are no records."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", type=Path, metavar="RECORDS")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    parser.add_argument("--unseen", action="store_true")
    parser.add_argument("--most-failures", type=int, metavar="N", help="only defects that fail at most so many tests")
    parser.add_argument("--write", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    recorded = load_all(options.records, unseen=options.unseen)
    if options.most_failures is not None:
        recorded = [fewer(one, options.most_failures) for one in recorded]
    if len(recorded) < 2:
        print(f"{options.records} has records of {len(recorded)} projects, not of two or more", file=sys.stderr)
        return 1
    runs: dict[str, list[Run]] = {}
    for one in recorded:
        runs[one.project] = [prepared(mixture, at) for at, mixture in enumerate(draw(one, RUNS, SEED))]
        print(f"{one.project}: {len(one.mutants)} defects", file=sys.stderr, flush=True)
    if options.write is not None:
        write_model(options.write, fitted([run for some in runs.values() for run in some]))
    cosine = {id(run): by_cosine(run) for some in runs.values() for run in some}
    rows: dict[str, dict[str, list[float]]] = defaultdict(dict)
    names = sorted(runs)
    for part in [names] if options.unseen else [names[at::PARTS] for at in range(PARTS)]:
        others = [run for name in names if name not in part for run in runs[name]]
        best = THRESHOLDS.index(COSINE)
        if others:
            best = int(np.argmax([sum(mean(row)) for row in zip(*(cosine[id(run)] for run in others), strict=True)]))
        models = {"ours": SHIPPED} if options.unseen else variants(others)
        for project in part:
            some = runs[project]
            for name, model in models.items():
                rows[name][project] = grouped_by(model, some)
            for name, measures in rivals(some).items():
                rows[name][project] = measures
            rows["TF-IDF cosine"][project] = mean([cosine[id(run)][best] for run in some])
            rows["ceiling"][project] = ceiling(some)
        print(f"grouped {', '.join(part)}; TF-IDF from {THRESHOLDS[best]}", file=sys.stderr, flush=True)
    document = {
        "projects": {one.project: len(one.mutants) for one in recorded},
        "runs": RUNS,
        "measures": MEASURES,
        "unseen": options.unseen,
        "most_failures": options.most_failures,
        "rows": rows,
    }
    name = "defect_grouping" + ("_unseen" if options.unseen else "")
    name += "" if options.most_failures is None else f"_{options.most_failures}"
    text = table(rows, {one.project: len(one.mutants) for one in recorded})
    write_results(options.results, name, document, text)
    return 0


def table(rows: Mapping[str, Mapping[str, Sequence[float]]], defects: Mapping[str, int]) -> str:
    """Return the means over projects as Markdown, the least of any, and ours of each project."""
    lines = [f"{len(defects)} projects with {sum(defects.values())} defects, {RUNS} runs of 1 to 8 of them each.", ""]
    lines += [f"| grouped by | {' | '.join(MEASURES)} |", "|---|" + "---|" * len(MEASURES)]
    for name, by_project in rows.items():
        means = np.array(list(by_project.values()))
        cells = [f"{m:.3f} ({low:.3f})" for m, low in zip(means.mean(axis=0), means.min(axis=0), strict=True)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", "Mean over projects, in brackets the least of any.", ""]
    lines += [f"| project | defects | {' | '.join(MEASURES)} |", "|---|---|" + "---|" * len(MEASURES)]
    for project, values in sorted(rows["ours"].items()):
        lines.append(f"| {project} | {defects[project]} | {' | '.join(f'{value:.3f}' for value in values)} |")
    return "\n".join([*lines, ""])


def write_model(path: Path, model: PairModel) -> None:
    """Write *model* as the Python that pair_model.py holds."""
    kept = {column: round(weight, 3) for column, weight in model.weights.items() if abs(weight) >= 0.0005}
    weights = "".join(f"        {column!r}: {value},\n" for column, value in kept.items())
    text = f"_FITTED: Mapping[tuple[str, str], float] = MappingProxyType(\n    {{\n{weights}    }}\n)\n"
    rest = f"{round(model.intercept, 3)}, {model.threshold}, learned=True"
    path.write_text(f"{text}SHIPPED = PairModel(_FITTED, {rest})\n", encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())

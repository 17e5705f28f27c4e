"""Measure how well failures are matched with known defects, and fit the model that does it.

    python -m benchmarks.defects.matching RECORDS [--results DIR] [--unseen] [--write FILE]

RECORDS is what benchmarks.defects.records wrote. What is known and what is asked is drawn by encounters.py. Every
project is asked with a model fitted on others, `FOLDS` models in all, and the others choose the probability from which
on a defect is called known. A defect is known from all its tests but those that are asked about. Shown are the regimes;
the same where it is known from a few of its tests; without signals of tests, without frames, and without
learning; the same with failures read from JUnit files alone; and rivals: a defect's score is that of its likest
labelled failure. ``--write`` fits on all projects and writes the model that the package ships; ``--unseen`` measures
that one on projects that nothing was fitted on.

Of other tests of a defect, against new ones, 3 to 2: ``P@1``, whether the defect with the highest score is the right
one; ``AUC``, how well the score tells known from new; ``answered``, the share of failures that a precision of 95 %
leaves, with the best cut for the project; and with the model's own cut, what is answered, its precision, and the share
of new defects that are called known. Intervals are of a bootstrap over projects.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.defects.choice import Choice, fit_choices
from benchmarks.defects.encounters import HISTORIES, OTHER_TESTS, Encounter, History, Regime, draw
from benchmarks.defects.mixtures import Recorded, load_all
from benchmarks.defects.rivals import KEYED, near_messages, tfidf_cosines
from benchmarks.defects.told import as_told
from benchmarks.suite_speed import write_results
from pytest_qeattention.defects.match_model import MatchModel, MatchModelError, shipped
from pytest_qeattention.defects.matching import OUTWEIGHS
from pytest_qeattention.defects.pattern import Pattern
from pytest_qeattention.defects.pattern_signals import FRAME_SIGNALS, TEST_SIGNALS
from pytest_qeattention.defects.pattern_table import COLUMNS, NEW_COLUMNS
from pytest_qeattention.defects.scoring import Scorer

ENCOUNTERS, TEACHING = 10, 4
"""Later runs that each project is asked about, and that models are fitted on."""
SEED = 0
PENALTY = 30.0
FOLDS = 5
"""Parts of the projects, each of which is asked with a model of the others."""
PRECISION = 0.95
MOST_NEW_CALLED_KNOWN = 0.027
"""What the cut is chosen by, on other projects: a little less than what is asked for."""
SHARES: Mapping[str, float] = {"new": 0.4, "other": 0.4, "same": 0.2}
"""How much failures of new defects, of other tests, and of tests that are known count in a fit."""
Cuts = tuple[float, float]
"""From which probability on a defect is called known, and one whose labelled test fails again in the same way."""
_LEVELS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.84, 0.87, 0.9, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98, 0.99)
CUTS: tuple[Cuts, ...] = tuple((cut, again) for cut in _LEVELS for again in _LEVELS)
CALLED = (
    "called known",
    "precision",
    "new called known",
    "called known, same test",
    "precision, same test",
)
RESULTS = Path(__file__).parents[1] / "results"
NO_MODEL = MatchModel(({}, {}, {}, {}), 1.0, 1.0, 0.5)

_COLUMNS = (*COLUMNS, *NEW_COLUMNS)
"""Numbers of a question: those of a defect, and those of a new one."""
_SIGN_OF = {"of one": 1, "share": 1, "this defect alone": 1, "nearest": 1, "mean": 1, "other": -1}
_SIGNS = np.array([_SIGN_OF.get(part, 0) for _, part in COLUMNS] + [0] * len(NEW_COLUMNS))
"""What a failure and a defect have in common never speaks against their being one; and no difference speaks for it."""
FloatArray = npt.NDArray[np.float64]
ByHand: Mapping[tuple[str, str], float] = {
    **{(name, part): 1.0 for name, part in COLUMNS if part in ("of one", "nearest")},
    **{(name, part): -0.5 for name, part in COLUMNS if part == "other"},
}


@dataclass(frozen=True, slots=True)
class Question:
    """Hold a failure that was asked about."""

    regime: Regime
    numbers: npt.NDArray[np.float32]
    """Of the defects that it was compared with, and last of a new one, (n + 1, len(`_COLUMNS`))."""
    right: int
    """Row of the right one; -1 where it was not found."""
    is_framed: bool
    """Whether the traceback goes through the product."""
    again: frozenset[int]
    """Rows of defects that the same test was known to fail for in the same way."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Hold what was said of a failure."""

    regime: Regime
    score: float
    """Of the best defect."""
    is_right: bool
    is_any: float
    """How much it is any known defect."""
    is_again: bool = False
    """Whether the same test was known to fail in the same way for the best defect."""


def questions(encounter: Encounter) -> list[Question]:
    """Compare all that *encounter* asks with what is known."""
    number = {defect: at for at, defect in enumerate(dict.fromkeys(defect for defect, _ in encounter.known))}
    known = [Pattern.of(failure.record) for _, failure in encounter.known]
    scorer = Scorer(known, [number[defect] for defect, _ in encounter.known], NO_MODEL)
    asked = [Pattern.of(each.failure.record) for each in encounter.asked]
    owners: defaultdict[str, set[int]] = defaultdict(set)
    for pattern, (defect, _) in zip(known, encounter.known, strict=True):
        owners[pattern.id].add(number[defect])
    found = []
    for each, pattern, compared in zip(encounter.asked, asked, scorer.compare(asked), strict=True):
        count = len(compared.defects)
        numbers = np.zeros((count + 1, len(_COLUMNS)), np.float32)
        numbers[:count, : len(COLUMNS)] = compared.numbers
        numbers[count, len(COLUMNS) :] = compared.novelty
        own = None if each.defect is None else number[each.defect]
        right = count if own is None else compared.defects.index(own) if own in compared.defects else -1
        again = frozenset(at for at, owner in enumerate(compared.defects) if owner in owners.get(pattern.id, ()))
        found.append(Question(each.regime, numbers, right, compared.is_framed, again))
    return found


def fitted(by_project: Sequence[Sequence[Question]], without: Collection[str] = ()) -> FloatArray:
    """Return weights fitted on projects, each of which counts the same; signals in *without* get none.

    Those of failures without and with frames of the product, (2, len(`_COLUMNS`)).
    """
    left_out = np.array([name in without for name, _ in _COLUMNS])
    choices: tuple[list[Choice], list[Choice]] = ([], [])
    for rows in by_project:
        kinds = [_kind(each.regime) for each in rows]
        counts = Counter(kinds)
        for each, kind in zip(rows, kinds, strict=True):
            if each.right >= 0:
                numbers = np.where(left_out, np.float32(0.0), each.numbers)
                weight = 1000.0 * SHARES[kind] / counts[kind]
                choices[each.is_framed].append(Choice(numbers, each.right, weight))
    return np.stack([fit_choices(some, PENALTY, _SIGNS) for some in choices])


def answers(rows: Sequence[Question], weights: FloatArray) -> list[Answer]:
    """Return what a model with *weights* says."""
    found = []
    for each in rows:
        utility = each.numbers @ weights[int(each.is_framed)]
        odds = np.exp(utility - utility.max())
        odds /= odds.sum()
        found.append(_answer(each, odds[:-1], 1.0 - float(odds[-1]), is_ours=True))
    return found


def scored_by_hand(rows: Sequence[Question]) -> list[Answer]:
    """Return what signals say that count the same, but for what speaks against."""
    row = np.array([ByHand.get(column, 0.0) for column in COLUMNS])
    scores = [each.numbers[:-1, : len(COLUMNS)] @ row for each in rows]
    return [_answer(each, score, float(score.max(initial=0.0))) for each, score in zip(rows, scores, strict=True)]


def _answer(question: Question, scores: FloatArray, is_any: float, *, is_ours: bool = False) -> Answer:
    best = int(np.argmax(scores)) if len(scores) else -2
    # As the matcher does: what the same test was labelled leads, unless another defect outweighs it.
    own = max(question.again, key=lambda row: float(scores[row]), default=None)
    if own is not None and is_ours and scores[best] <= OUTWEIGHS * scores[own]:
        best = own
    is_right = best == question.right and question.regime != "new defect"
    score = float(scores[best]) if best >= 0 else 0.0
    # Where several defects made the same test fail in the same way, none is known for it.
    return Answer(question.regime, score, is_right, is_any, question.again == {best})


def _kind(regime: Regime) -> str:
    return "new" if regime == "new defect" else "other" if regime in OTHER_TESTS else "same"


def measured(rows: Sequence[Answer], cuts: Cuts | None = None) -> dict[str, float | None]:
    """Return the measures of one project; those of the cut are None without one."""
    kind = np.array([_kind(each.regime) for each in rows])
    right = np.array([each.is_right for each in rows])
    score = np.array([each.score for each in rows])
    is_any = np.array([each.is_any for each in rows])
    other, new = kind == "other", kind == "new"
    found: dict[str, float | None] = {
        "P@1": float(right[other].mean()),
        "AUC": auc(is_any[other], is_any[new]),
        "answered": answered(score, right, other, new),
    }
    for regime in ("same test", "other parameters", *OTHER_TESTS):
        some = np.array([each.regime == regime for each in rows])
        found[f"P@1, {regime}"] = float(right[some].mean()) if some.any() else None
    if cuts is not None:
        called = called_known(rows, cuts)
        found |= {name: None if np.isnan(value) else value for name, value in zip(CALLED, called, strict=True)}
    return found


def _weight(other: npt.NDArray[np.bool_], new: npt.NDArray[np.bool_]) -> FloatArray:
    return np.asarray(np.where(new, 0.4 / max(new.sum(), 1), np.where(other, 0.6 / max(other.sum(), 1), 0.0)))


def auc(positive: FloatArray, negative: FloatArray) -> float:
    """Return how probable it is that a positive has a higher score than a negative, ties being half."""
    both = np.concatenate([positive, negative])
    _, number, count = np.unique(both, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[number]
    n = len(positive)
    return float((rank[:n].sum() - n * (n + 1) / 2) / (n * len(negative)))


def answered(
    score: FloatArray, right: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_], new: npt.NDArray[np.bool_]
) -> float:
    """Return the largest share of *other* above a cut at which the answers have a precision of `PRECISION`."""
    asked = np.flatnonzero(other | new)
    weight = _weight(other, new)
    order = asked[np.argsort(-score[asked], kind="stable")]
    precision = np.cumsum((weight * right)[order]) / np.cumsum(weight[order])
    share = np.cumsum((weight * other)[order]) / 0.6
    # A cut lies between two scores, never among equal ones.
    is_end = np.append(np.diff(score[order]) != 0, True)
    good = np.flatnonzero((precision >= PRECISION) & is_end)
    return float(share[good[-1]]) if len(good) else 0.0


def called_known(rows: Sequence[Answer], *cuts: Cuts) -> list[float]:
    """Return the measures `CALLED` of one project for each of *cuts*, one after the other; NaN where there is none."""
    kind = np.array([_kind(each.regime) for each in rows])
    right = np.array([each.is_right for each in rows])
    score = np.array([each.score for each in rows])
    is_again = np.array([each.is_again for each in rows])
    is_same = np.array([each.regime == "same test" for each in rows])
    other, new = kind == "other", kind == "new"
    weight = _weight(other, new)
    out: list[float] = []
    for cut, again in cuts:
        is_known = score >= np.where(is_again, again, cut)
        told, of_same = weight[is_known].sum(), is_known & is_same
        out.append(float(is_known[other].mean()))
        out.append(float((weight * right)[is_known].sum() / told) if told else np.nan)
        out.append(float(is_known[new].mean()))
        out.append(float(of_same.sum() / max(is_same.sum(), 1)))
        out.append(float(right[of_same].mean()) if of_same.any() else np.nan)
    return out


def chosen_cuts(tables: Sequence[FloatArray]) -> Cuts:
    """Return the cuts with which most is called known, of those with the precision and few new defects among it.

    *tables* has for each project `called_known` of `CUTS`. All are means over projects; failures of the same test count
    as much as those of others.
    """
    known, precision, new, same, _ = np.nanmean(np.stack(tables), axis=0).T
    gained = np.where((precision >= PRECISION) & (new <= MOST_NEW_CALLED_KNOWN), known + same, -1.0)
    return CUTS[int(np.argmax(gained))] if gained.max() >= 0.0 else CUTS[-1]


def cross_asked(
    asked: Mapping[str, Sequence[Question]],
    taught: Mapping[str, Sequence[Sequence[Question]]],
    without: Collection[str] = (),
) -> dict[str, list[Answer]]:
    """Return what models say of each project that others *taught*; a key of *asked* begins with its project."""
    names = sorted(taught)
    said: dict[str, list[Answer]] = {}
    for fold in range(min(FOLDS, len(names))):
        held = set(names[fold::FOLDS])
        weights = fitted([rows for name in names if name not in held for rows in taught[name]], without)
        said |= {key: answers(rows, weights) for key, rows in asked.items() if key.partition("/")[0] in held}
    return said


def cut_tables(said: Mapping[str, Sequence[Answer]]) -> dict[str, FloatArray]:
    """Return `called_known` of `CUTS` for all that was said of projects."""
    return {name: np.array(called_known(rows, *CUTS)).reshape(len(CUTS), -1) for name, rows in said.items()}


def cuts_for(project: str | None, tables: Mapping[str, FloatArray]) -> Cuts:
    """Return the cuts that all projects but *project* choose."""
    return chosen_cuts([table for name, table in tables.items() if name.partition("/")[0] != project])


def rival_scores(encounter: Encounter) -> Iterator[tuple[str, list[Answer]]]:
    """Yield what each rival says of *encounter*."""
    known = [failure for _, failure in encounter.known]
    asked = [each.failure for each in encounter.asked]
    for name, key in KEYED.items():
        keys = [key(failure) for failure in known]
        yield name, _by_likeness(encounter, np.array([[key(one) == each for each in keys] for one in asked], float))
    near = np.array([[float(near_messages(one, other)) for other in known] for one in asked])
    yield "10 % edit distance", _by_likeness(encounter, near)
    cosines = tfidf_cosines([*known, *asked])[len(known) :, : len(known)]
    yield "TF-IDF cosine", _by_likeness(encounter, np.asarray(cosines, np.float64))


def _by_likeness(encounter: Encounter, likeness: FloatArray) -> list[Answer]:
    owners = [defect for defect, _ in encounter.known]
    found = []
    for each, row in zip(encounter.asked, likeness, strict=True):
        best: defaultdict[int, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
        for owner, value in zip(owners, row.tolist(), strict=True):
            top, total = best[owner]
            best[owner] = max(top, value), total + value
        # Of defects with the same likeness the one with more failures that are like it comes first.
        name, (score, _) = max(best.items(), key=lambda entry: (entry[1], -entry[0]))
        found.append(Answer(each.regime, score, score > 0.0 and name == each.defect, score))
    return found


def plain_answers(rows: Sequence[Question]) -> list[Answer]:
    """Return what the words of messages and the product's frames say, weighed by rarity alone."""
    row = np.array([float(column in _PLAIN) for column in COLUMNS])
    scores = [each.numbers[:-1, : len(COLUMNS)] @ row for each in rows]
    return [_answer(each, score, float(score.max(initial=0.0))) for each, score in zip(rows, scores, strict=True)]


_PLAIN = (("words of the message", "nearest"), ("product frames", "nearest"))


def interval(values: Sequence[float], chosen: np.random.Generator) -> tuple[float, float]:
    """Return the 95 % interval of the mean over projects."""
    data = np.array(values)
    means = data[chosen.integers(0, len(data), (5_000, len(data)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


Rows = dict[str, dict[str, dict[str, float | None]]]


MAIN = ("P@1", "AUC", "answered", "called known", "precision", "new called known")
WITH_INTERVAL = ("P@1", "AUC", "answered")


def table(rows: Rows) -> str:
    """Return the means over projects as Markdown: the main measures, and the regimes."""
    names = dict.fromkeys(name for by_project in rows.values() for row in by_project.values() for name in row)
    count = max(len(by_project) for by_project in rows.values())
    parts = [_table(rows, MAIN), _table(rows, [name for name in names if name not in MAIN])]
    said = f"Means over {count} projects, or as many as are named; in brackets the 95 % interval over projects."
    return "\n\n".join([*parts, said, ""])


def _table(rows: Rows, names: Sequence[str]) -> str:
    lines = [f"| matched by | {' | '.join(names)} |", "|---|" + "---|" * len(names)]
    count = max(len(by_project) for by_project in rows.values())
    for label, by_project in rows.items():
        cells = []
        for name in names:
            values = [value for row in by_project.values() if (value := row.get(name)) is not None]
            text = f"{np.mean(values):.3f}" if values else ""
            if values and name in WITH_INTERVAL:
                low, high = interval(values, np.random.default_rng(0))
                text += f" ({low:.3f} to {high:.3f})"
            cells.append(text)
        fewer = "" if len(by_project) == count else f" ({len(by_project)} projects)"
        lines.append(f"| {label}{fewer} | {' | '.join(cells)} |")
    return "\n".join(lines)


def measured_rows(live: Sequence[Recorded], told: Sequence[Recorded], *, unseen: bool) -> Rows:
    """Return the measures of every way, by project."""
    asked = asked_of(live, "live", SEED) | asked_of(told, "told", SEED) | asked_of(live, "few", SEED, history="few")
    rows: Rows = defaultdict(dict)
    if unseen:
        model = shipped()
        weights = weights_of(model)
        said = {key: answers(some, weights) for key, some in asked.items()}
        cuts = dict.fromkeys((one.project for one in live), (model.known, model.known_again))
    else:
        taught = teaching(live, told)
        said = cross_asked(asked, taught)
        tables = cut_tables(said)
        cuts = {one.project: cuts_for(one.project, tables) for one in live}
        of_live = {key: some for key, some in asked.items() if key.endswith("/live")}
        for label, without in (("without tests", TEST_SIGNALS), ("without frames", FRAME_SIGNALS)):
            for key, some_said in cross_asked(of_live, taught, without).items():
                rows[f"ours, {label}"][key.partition("/")[0]] = measured(some_said)
    for key, some_said in said.items():
        project, _, kind = key.partition("/")
        label = _LABELS[kind]
        rows[label][project] = measured(some_said, cuts[project])
    for one in live:
        own = asked[f"{one.project}/live"]
        rows["signals that count the same"][one.project] = measured(scored_by_hand(own))
        rows["message words + frames"][one.project] = measured(plain_answers(own))
        by_rival: defaultdict[str, list[Answer]] = defaultdict(list)
        for encounter in draw(one, ENCOUNTERS, SEED, history="long"):
            for name, some_answers in rival_scores(encounter):
                by_rival[name] += some_answers
        for name, some_answers in by_rival.items():
            rows[name][one.project] = measured(some_answers)
    order = dict.fromkeys((*_LABELS.values(), *rows))
    return {name: rows[name] for name in order if name in rows}


_LABELS = {"live": "ours", "told": "ours, JUnit files alone", "few": "ours, known from a few of its tests"}


def asked_of(
    recorded: Sequence[Recorded], kind: str, seed: int, *, history: History = "long", all_sizes: bool = False
) -> dict[str, list[Question]]:
    """Return the questions of encounters of each project, by its name and *kind*."""
    found = {}
    for one in recorded:
        drawn = draw(one, TEACHING if all_sizes else ENCOUNTERS, seed, history=history, all_sizes=all_sizes)
        found[f"{one.project}/{kind}"] = [each for encounter in drawn for each in questions(encounter)]
        print(f"{one.project}, {kind}: {len(one.mutants)} defects", file=sys.stderr, flush=True)
    return found


def teaching(live: Sequence[Recorded], told: Sequence[Recorded]) -> dict[str, list[list[Question]]]:
    """Return what models are fitted on: encounters of another seed with few or many defects, live and told."""
    both: dict[str, list[Question]] = {}
    for kind, some in (("live", live), ("told", told)):
        for history in HISTORIES:
            both |= asked_of(some, f"{kind}, {history}", SEED + 1, history=history, all_sizes=True)
    found: defaultdict[str, list[list[Question]]] = defaultdict(list)
    for key, rows in both.items():
        found[key.partition("/")[0]].append(rows)
    return found


def weights_of(model: MatchModel) -> FloatArray:
    """Return the weights of *model* as `fitted` does."""
    return np.stack([np.concatenate(model.rows(is_framed)) for is_framed in (False, True)])


def write_model(path: Path, live: Sequence[Recorded], told: Sequence[Recorded]) -> MatchModel:
    """Fit on all projects and write the model."""
    taught = teaching(live, told)
    weights = np.round(fitted([rows for some in taught.values() for rows in some]), 4).tolist()
    asked = asked_of(live, "live", SEED)
    model = MatchModel(
        tuple(
            dict(zip(columns, values, strict=True))
            for row in weights
            for columns, values in ((COLUMNS, row[: len(COLUMNS)]), (NEW_COLUMNS, row[len(COLUMNS) :]))
        ),
        *cuts_for(None, cut_tables(cross_asked(asked, taught))),
        0.5,
        tuple(one.project for one in live),
    )
    path.write_text(json.dumps(model.to_plain(), indent=1) + "\n", encoding="utf-8")
    return model


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write; 1 where there are too few records."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", type=Path, metavar="RECORDS")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    parser.add_argument("--unseen", action="store_true")
    parser.add_argument("--write", type=Path, metavar="FILE", help="fit on all projects, write the model, and end")
    options = parser.parse_args(arguments)
    live = load_all(options.records, unseen=options.unseen)
    if len(live) < 2:
        print(f"{options.records} has records of {len(live)} projects, not of two or more", file=sys.stderr)
        return 1
    told = []
    for one in live:
        try:
            told.append(as_told(one))
        except ValueError as error:
            print(f"{one.project}: not measured with JUnit files: {error}", file=sys.stderr)
    if options.write is not None:
        model = write_model(options.write, live, told)
        print(f"known from {model.known}, again from {model.known_again}")
        return 0
    try:
        rows = measured_rows(live, told, unseen=options.unseen)
    except MatchModelError as error:
        print(error, file=sys.stderr)
        return 1
    document: dict[str, Any] = {
        "projects": {one.project: len(one.mutants) for one in live},
        "records": sorted(path.name.removesuffix(".json.gz") for path in options.records.glob("*.json.gz")),
        "encounters": ENCOUNTERS,
        "unseen": options.unseen,
        "rows": rows,
    }
    write_results(options.results, "defect_matching" + ("_unseen" if options.unseen else ""), document, table(rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

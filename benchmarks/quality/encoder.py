"""Measure what finds tests that are asked for otherwise than by a test, on projects that nothing was fitted on.

    python -m benchmarks.quality.encoder words NAME=DIR... [--encoder LABEL=WEIGHTS]... [--minilm] [--results DIR]
    python -m benchmarks.quality.encoder functions NAME=DIR... --truth DIR [--encoder LABEL=WEIGHTS]... [--minilm]
    python -m benchmarks.quality.encoder copies NAME=DIR... [--encoder LABEL=WEIGHTS]... [--minilm]
    python -m benchmarks.quality.encoder failures NAME=DIR... --truth DIR [--encoder LABEL=WEIGHTS]... [--minilm]

``words``: the docstring of a test, or else its name, asks for the test, which has neither; the suite is the pool. Mean
reciprocal rank.
``functions``: a function of the product asks for a test that executes it; the truth are NAME.json files that
benchmarks.quality.executed wrote, of which functions with at most 20 tests count. Share found among the first five.
``copies``: an edited copy of a test asks for it (edits.py); the pool is the chosen tests. Average precision of pairs.
Beside the ranking stand its parts, the pair model of ``--qe-similar`` and the shapes of statements.
``failures``: a failure asks for those of other tests by the same mutant; the truth are NAME.json files that
benchmarks.quality.mutants wrote. Mean average precision.

DIR holds a project of which no version may be among the corpora of the training (with --development one has to be:
weights are chosen there, and results are not written). WEIGHTS is a file that benchmarks.training.export wrote, or
``qe`` for the one in the package. "ranking" is what ``--rank`` does without an encoder, "ranking + LABEL" the same with
one; "copies" knows the pair model of ``--qe-similar`` in its place. Beside them stand sub-word TF-IDF
(scikit-learn, to be installed), which reads the same texts, and with --minilm MiniLM. Of equal scores the worst rank
counts where ranks are measured, and the order of the suite where average precision is. Differences are means over
projects, their intervals those of 2,000 bootstrap samples of projects.
Writes encoder_TASK as JSON and Markdown to --results.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.quality.baselines import tfidf
from benchmarks.quality.copies import copies_measure
from benchmarks.quality.failures import failures_measure
from benchmarks.rival_speed import named
from benchmarks.suite_speed import write_results
from benchmarks.training.corpus import is_corpus
from pytest_qeattention.encoder.encoder import Encoder
from pytest_qeattention.similarity.explain import parse_unit
from pytest_qeattention.similarity.model import Unit
from pytest_qeattention.similarity.queries import CodeQuery, WordsQuery, read_query
from pytest_qeattention.similarity.ranking import Ranker, Ways, text_of
from pytest_qeattention.similarity.service import suite_from_paths
from pytest_qeattention.syntax.nodes import is_docstring
from pytest_qeattention.syntax.words import words_of

FloatArray = npt.NDArray[np.float64]

RESULTS = Path(__file__).parents[1] / "results"
TASKS = {
    "words": "mean reciprocal rank",
    "functions": "share found among the first five",
    "copies": "average precision of pairs",
    "failures": "mean average precision",
}
BOOTSTRAP = 2000
LEAST_QUERY_WORDS = 3
MOST_TESTS_OF_ONE = 20
MOST_QUERIES = 400
FOUND_AT = 5
# What an encoder's cosine adds to the ranking of a function's tests, whose scores are shares of 1; chosen on the
# development projects, where it added nothing: ``--rank`` does not ask it.
ENCODER_WEIGHT = 0.15
# Methods that are compared with those below them too.
OURS = ("ranking", "pair model")
RIVALS = (
    "names",
    "TF-IDF",
    "MiniLM",
    "AST tokens",
    "AST tokens, locals as holes",
    "ranking",
    "pair model",
    "message words",
    "test names",
)


@dataclass(frozen=True, slots=True)
class Asked:
    """Hold a test as it is asked for: by words that are not in it."""

    query: str
    unit: Unit


def without_words(unit: Unit) -> Asked | None:
    """Return *unit* without name and docstring, and the query that these are, empty for too few words."""
    node = parse_unit(unit)
    if node is None:
        return None
    docstring = ast.get_docstring(node) or ""
    words = docstring if len(words_of(docstring)) >= LEAST_QUERY_WORDS else " ".join(words_of(unit.name)[1:])
    node.body = [each for each in node.body if not is_docstring(each)] or [ast.Pass()]
    node.name = "test"
    source = ast.unparse(ast.fix_missing_locations(node))
    owner = unit.qualname.rpartition("::")[0]
    bare = replace(unit, source=source, name="test", qualname=f"{owner}::test".removeprefix("::"), docstring=None)
    return Asked(words if len(words_of(words)) >= LEAST_QUERY_WORDS else "", bare)


def evenly(numbers: Sequence[int]) -> list[int]:
    """Return at most `MOST_QUERIES` of *numbers*, evenly chosen."""
    places = np.linspace(0, len(numbers) - 1, min(len(numbers), MOST_QUERIES)).round().astype(int)
    return [numbers[place] for place in places.tolist()]


def words_measure(directory: Path, encoders: Mapping[str, Encoder], _: Path | None) -> dict[str, float]:
    """Return the mean reciprocal rank of each method."""
    asked = [each for unit in suite_from_paths([str(directory)], cwd=directory).units if (each := without_words(unit))]
    queried = evenly([at for at, each in enumerate(asked) if each.query])
    units = [each.unit for each in asked]
    queries = [asked[at].query for at in queried]
    ranker = Ranker(units, cwd=directory)
    scores = {
        "TF-IDF": tfidf(queries, [text_of(unit) for unit in units]),
        "ranking": np.stack([ranker.words(WordsQuery(query)) for query in queries]),
    }
    codes = [unit.source for unit in units]
    for label, encoder in encoders.items():
        scores[label] = np.asarray(encoder.texts(queries) @ encoder.functions(codes).T, np.float64)
        ranker = Ranker(units, cwd=directory, encoder=encoder)
        scores[f"ranking + {label}"] = np.stack([ranker.answers(WordsQuery(query)).scores for query in queries])
    # Copies of the right code are as right as it is.
    numbers: dict[str, int] = {}
    content = np.array([numbers.setdefault(code, len(numbers)) for code in codes])
    right = content[queried][:, None] == content[None, :]
    return {name: float(np.mean(1 / ranks(each, right))) for name, each in scores.items()}


def ranks(scores: FloatArray, right: npt.NDArray[np.bool_]) -> FloatArray:
    """Return for each row of *scores* the rank of its best right answer, from 1; equals that are wrong come first."""
    best = np.where(right, scores, -np.inf).max(axis=1)
    found: FloatArray = 1.0 + ((scores >= best[:, None]) & ~right).sum(axis=1)
    return found


def functions_measure(directory: Path, encoders: Mapping[str, Encoder], truth: Path | None) -> dict[str, float]:
    """Return how often each method has a test that executes the function among the first five."""
    if truth is None:
        raise ValueError("--truth says where the files of benchmarks.quality.executed are; it is not given")
    document = json.loads((truth / f"{directory.name}.json").read_text(encoding="utf-8"))
    # What tests execute that did not run is not known.
    not_run = set(document["not_run"])
    units = [unit for unit in suite_from_paths(document["suite"], cwd=directory).units if unit.nodeid not in not_run]
    places = {unit.nodeid: at for at, unit in enumerate(units)}
    questions: list[tuple[CodeQuery, list[int]]] = []
    for function in document["functions"]:
        tests = [places[test] for test in function["tests"] if test in places]
        name = function["qualname"].replace(".", "::")
        if tests and len(function["tests"]) <= MOST_TESTS_OF_ONE and "<locals>" not in name:
            query = read_query(f"{function['path']}::{name}", directory)
            if isinstance(query, CodeQuery):
                questions.append((query, tests))
    questions = [questions[at] for at in evenly(range(len(questions)))]
    right = np.zeros((len(questions), len(units)), bool)
    for row, (_, tests) in enumerate(questions):
        right[row, tests] = True
    queries = [query for query, _ in questions]
    pool = [text_of(unit) for unit in units]
    ranker = Ranker(units, cwd=directory)
    ways = Ways(units, queries, directory)
    reached = [ways.to(query).weights for query in queries]
    scores = {
        "names": tfidf([query.name for query in queries], pool),
        "TF-IDF": tfidf(
            [f"{query.source} {query.name} {PurePosixPath(query.paths[0]).stem}" for query in queries], pool
        ),
        "ranking": np.stack([ranker.code(query, reach) for query, reach in zip(queries, reached, strict=True)]),
        "ranking without references": np.stack([ranker.code(query, np.zeros(len(units))) for query in queries]),
    }
    codes = [unit.source for unit in units]
    for label, encoder in encoders.items():
        asked = encoder.functions([query.source for query in queries])
        scores[label] = np.asarray(asked @ encoder.functions(codes).T, np.float64)
        scores[f"ranking + {label}"] = scores["ranking"] + ENCODER_WEIGHT * scores[label]
    return {name: float(np.mean(ranks(each, right) <= FOUND_AT)) for name, each in scores.items()}


def differences(rows: Mapping[str, Mapping[str, float]], one: str, other: str) -> dict[str, float]:
    """Return the mean over projects of *one* less *other*, and the bounds of its 95 % interval."""
    gaps = np.array([row[one] - row[other] for row in rows.values()])
    chosen = np.random.default_rng(0).integers(len(gaps), size=(BOOTSTRAP, len(gaps)))
    low, high = np.quantile(gaps[chosen].mean(axis=1), (0.025, 0.975))
    return {"mean": float(gaps.mean()), "low": float(low), "high": float(high)}


def table(document: Mapping[str, Any]) -> str:
    """Return the results as Markdown."""
    rows = document["projects"]
    methods = list(next(iter(rows.values())))
    lines = [f"| project | {' | '.join(methods)} |", f"|---|{'---|' * len(methods)}"]
    for project, row in rows.items():
        lines.append(f"| {project} | {' | '.join(f'{row[name]:.3f}' for name in methods)} |")
    means = [float(np.mean([row[name] for row in rows.values()])) for name in methods]
    lines += [f"| mean | {' | '.join(f'{mean:.3f}' for mean in means)} |", ""]
    for name, gap in document["differences"].items():
        lines.append(f"- {name}: {gap['mean']:+.3f} ({gap['low']:+.3f} to {gap['high']:+.3f})")
    return "\n".join(lines) + "\n"


def check_projects(parser: argparse.ArgumentParser, names: Sequence[str], *, development: bool) -> None:
    """End with a usage error where a project is among the corpora of the training, or with --development is not."""
    for name in names:
        if is_corpus(re.sub(r"-\d.*", "", name)) != development:
            parser.error(
                f"{name} is none of the corpora of the training: it stays unseen until the end"
                if development
                else f"{name} is among the corpora of the training: it says nothing of unseen projects"
            )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure one task."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=tuple(TASKS))
    parser.add_argument("projects", nargs="+", type=named, metavar="NAME=DIR")
    parser.add_argument("--encoder", type=named, action="append", default=[], metavar="LABEL=WEIGHTS")
    parser.add_argument("--minilm", action="store_true", help="also measure MiniLM")
    parser.add_argument("--truth", type=Path, metavar="DIR", help="of functions: where NAME.json of the projects are")
    parser.add_argument("--development", action="store_true", help="measure on corpora, to choose weights")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="keep vectors there (default: during the run alone)")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    options = parser.parse_args(arguments)
    check_projects(parser, [name for name, _ in options.projects], development=options.development)
    if options.task in ("functions", "failures") and options.truth is None:
        parser.error(f"{options.task} needs --truth, the folder with what tells which answers are right")
    with tempfile.TemporaryDirectory() as scratch:
        return measured(options, options.cache or Path(scratch))


def measured(options: argparse.Namespace, cache: Path) -> int:
    """Measure the task on each project, and write what was found."""
    encoders = {label: Encoder(path, cache_dir=cache) for label, path in options.encoder}
    if options.minilm:
        encoders["MiniLM"] = Encoder("minilm", cache_dir=cache)
    measures = {
        "words": words_measure,
        "functions": functions_measure,
        "copies": copies_measure,
        "failures": failures_measure,
    }
    rows = {}
    for name, directory in options.projects:
        rows[name] = measures[options.task](Path(directory).resolve(), encoders, options.truth)
        print(
            f"{name}: { {method: round(value, 3) for method, value in rows[name].items()} }",
            file=sys.stderr,
            flush=True,
        )
    methods = list(next(iter(rows.values())))
    document = {
        "task": options.task,
        "measure": TASKS[options.task],
        "models": {label: encoder.model for label, encoder in encoders.items()},
        "projects": rows,
        "differences": {
            f"{name} less {rival}": differences(rows, name, rival)
            for name in methods
            for rival in RIVALS
            if (name not in RIVALS or name in OURS) and rival in methods and rival != name
        },
    }
    if options.development:
        print(table(document))
    else:
        write_results(options.results, f"encoder_{options.task}", document, table(document))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

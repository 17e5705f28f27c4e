"""Measure what the encoder finds that words and shape do not, on projects that it was not trained on.

    python -m benchmarks.quality.encoder words NAME=DIR... --encoder LABEL=WEIGHTS... [--minilm] [--results DIR]
    python -m benchmarks.quality.encoder copies NAME=DIR... --encoder LABEL=WEIGHTS... [--minilm] [--results DIR]

``words``: the docstring of a test, or else its name, asks for the test, which has neither; the suite is the pool.
``copies``: an edited copy of a test asks for it (edits.py); the pool is the chosen tests.

DIR holds a project of which no version may be among the corpora of the training. WEIGHTS is a file that
benchmarks.training.export wrote, or ``qe`` for the one in the package. Beside the encoders stand sub-word TF-IDF
(scikit-learn, to be installed) and with --minilm MiniLM; *with words* is the sum of an encoder's cosine and TF-IDF's.
Differences are means over projects, their intervals those of 2,000 bootstrap samples of projects.
Writes encoder_words or encoder_copies as JSON and Markdown to --results.
"""

from __future__ import annotations

import argparse
import ast
import random
import re
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from keyword import iskeyword
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.quality.edits import FunctionNode, edited
from benchmarks.quality.measures import average_precision
from benchmarks.suite_speed import write_results
from benchmarks.training.corpus import is_corpus
from pytest_qeattention.encoder.encoder import Encoder
from pytest_qeattention.similarity.forms import is_docstring
from pytest_qeattention.similarity.service import suite_from_paths
from pytest_qeattention.similarity.words import words_of

FloatArray = npt.NDArray[np.float64]
Scores = Callable[[Sequence[str], Sequence[str], bool], FloatArray]
"""Queries, pool and whether queries are code to cosines (queries, pool)."""

RESULTS = Path(__file__).parents[1] / "results"
BOOTSTRAP = 2000
LEAST_QUERY_WORDS = 3
MOST_COPIES = 300
LEAST_STATEMENTS = 3


@dataclass(frozen=True, slots=True)
class Test:
    """Hold a test as it is asked for: by words that are not in it."""

    query: str
    code: str
    node: FunctionNode


def load_tests(directory: Path) -> list[Test]:
    """Read the tests below *directory*; the query is empty where there are too few words."""
    tests = []
    for unit in suite_from_paths([str(directory)], cwd=directory).units:
        node = ast.parse(textwrap.dedent(unit.source)).body[0]
        if not isinstance(node, FunctionNode):
            continue
        docstring = ast.get_docstring(node) or ""
        words = docstring if len(words_of(docstring)) >= LEAST_QUERY_WORDS else " ".join(words_of(unit.name)[1:])
        node.body = [each for each in node.body if not is_docstring(each)] or [ast.Pass()]
        node.name = "test"
        query = words if len(words_of(words)) >= LEAST_QUERY_WORDS else ""
        tests.append(Test(query, ast.unparse(ast.fix_missing_locations(node)), node))
    return tests


def tfidf_scores(queries: Sequence[str], pool: Sequence[str], queries_are_code: bool) -> FloatArray:
    """Return cosines of sub-word TF-IDF, its weights those of the pool."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(analyzer=words_of, sublinear_tf=True)
    documents = vectorizer.fit_transform(pool)
    return np.asarray((vectorizer.transform(queries) @ documents.T).todense(), np.float64)


def encoder_scores(encoder: Encoder) -> Scores:
    """Return what scores by the vectors of *encoder*."""

    def scores(queries: Sequence[str], pool: Sequence[str], queries_are_code: bool) -> FloatArray:
        asked = encoder.functions(queries) if queries_are_code else encoder.texts(queries)
        return np.asarray(asked @ encoder.functions(pool).T, np.float64)

    return scores


def with_words(scores: Scores) -> Scores:
    """Return what adds the cosines of TF-IDF."""

    def both(queries: Sequence[str], pool: Sequence[str], queries_are_code: bool) -> FloatArray:
        return scores(queries, pool, queries_are_code) + tfidf_scores(queries, pool, queries_are_code)

    return both


def words_measure(tests: Sequence[Test], methods: Mapping[str, Scores]) -> dict[str, float]:
    """Return the mean reciprocal rank of each method; of equal scores the worst rank counts."""
    asked = [at for at, test in enumerate(tests) if test.query]
    pool = [test.code for test in tests]
    measured = {}
    for name, method in methods.items():
        scores = method([tests[at].query for at in asked], pool, False)
        own = scores[np.arange(len(asked)), asked]
        # Copies of the right code are as right as it is.
        same = np.array([[pool[at] == other for other in pool] for at in asked])
        better = ((scores >= own[:, None]) & ~same).sum(axis=1)
        measured[name] = float(np.mean(1 / (1 + better)))
    return measured


def copies_measure(tests: Sequence[Test], methods: Mapping[str, Scores]) -> dict[str, float]:
    """Return the average precision over all pairs of a test and a copy; each test has one copy."""
    chosen = random.Random(0)
    usable = [test for test in tests if len(test.node.body) >= LEAST_STATEMENTS]
    some = chosen.sample(usable, min(MOST_COPIES, len(usable)))
    nodes = [test.node for test in usable]
    names = sorted({name for test in usable for name in re.findall(r"[a-z_]{4,}", test.code) if not iskeyword(name)})
    pool = [test.code for test in some]
    copies = [edited(test.node, nodes, names, chosen) for test in some]
    is_own = np.eye(len(some), dtype=bool).ravel()
    return {
        name: average_precision(is_own[np.argsort(-method(copies, pool, True).ravel(), kind="stable")])
        for name, method in methods.items()
    }


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


def named(text: str) -> tuple[str, str]:
    """Split ``NAME=VALUE``."""
    name, separator, value = text.partition("=")
    if not separator or not name or not value:
        raise argparse.ArgumentTypeError(f"{text}: expected NAME=VALUE")
    return name, value


def refuse_corpora(parser: argparse.ArgumentParser, names: Sequence[str]) -> None:
    """End with a usage error when one of *names*, less a version, is a distribution that the encoder was trained on."""
    for name in names:
        if is_corpus(re.sub(r"-\d.*", "", name)):
            parser.error(f"{name} is among the corpora of the training: it says nothing of unseen projects")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure one task."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=("words", "copies"))
    parser.add_argument("projects", nargs="+", type=named, metavar="NAME=DIR")
    parser.add_argument("--encoder", type=named, action="append", default=[], metavar="LABEL=WEIGHTS")
    parser.add_argument("--minilm", action="store_true", help="also measure MiniLM")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    options = parser.parse_args(arguments)
    refuse_corpora(parser, [name for name, _ in options.projects])
    methods: dict[str, Scores] = {"TF-IDF": tfidf_scores}
    encoders = {label: Encoder(path) for label, path in options.encoder}
    if options.minilm:
        encoders["MiniLM"] = Encoder("minilm")
    for label, encoder in encoders.items():
        methods[label] = encoder_scores(encoder)
        methods[f"{label} with words"] = with_words(methods[label])
    measure = words_measure if options.task == "words" else copies_measure
    rows = {}
    for name, directory in options.projects:
        rows[name] = measure(load_tests(Path(directory).resolve()), methods)
        print(f"{name}: {rows[name]}", file=sys.stderr, flush=True)
    rivals = [name for name in ("TF-IDF", "MiniLM", "MiniLM with words") if name in methods]
    document = {
        "task": options.task,
        "measure": "mean reciprocal rank" if options.task == "words" else "average precision of pairs",
        "models": {label: encoder.model for label, encoder in encoders.items()},
        "projects": rows,
        "differences": {
            f"{name} less {rival}": differences(rows, name, rival)
            for name in methods
            for rival in rivals
            if name not in rivals
        },
    }
    write_results(options.results, f"encoder_{options.task}", document, table(document))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

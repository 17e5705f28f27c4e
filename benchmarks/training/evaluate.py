"""Check what a model learned, on distributions that it was not trained on.

    python -m benchmarks.training.evaluate PAIRS MODEL.pt [--bag BAG.pt] [--dev NAME...] [--write FILE]

Three questions, each within the suite of one distribution: words -> test (docstring, else name, neither of them in the
body), function of the product -> tests that call it, edited copy -> test. Answers are ranked by the words alone
(sub-word TF-IDF), by the encoder, and by their weighted sum, its weight that of the other distributions; a bag of the
same embeddings and the untrained network stand beside it. This is the development split: nothing here is a claim about
projects at large.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.training.batches import Source
from benchmarks.training.examples import read_examples
from benchmarks.training.network import Encoder, pack
from benchmarks.training.train import DEV, load

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

# Task, method, measure, and the distribution or "mean".
Results = dict[str, dict[str, dict[str, dict[str, float]]]]
Models = Mapping[str, Encoder]

# Of a distribution, at most so many questions of one kind are asked, evenly chosen.
MOST_QUERIES = 500
CHUNK = 128
HIT_AT = 5
WORDS_ALONE = "words alone"
# What the cosine of words may weigh beside that of vectors.
WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0, 5.0, 10.0)


def encode(model: Encoder, source: Source, rows: IntArray) -> FloatArray:
    """Return the vectors of sequences, float32 (len(rows), d)."""
    device = model.pool.device
    lengths = np.diff(source.examples.offsets)[rows]
    order = np.argsort(lengths, kind="stable")
    vectors = np.empty((len(rows), model.shape.d), np.float32)
    with torch.inference_mode():
        for at in range(0, len(rows), CHUNK):
            chosen = order[at : at + CHUNK]
            batch = source.examples.batch(rows[chosen], model.shape.positions)
            vectors[chosen] = model(pack(batch, model.vocabulary, model.shape).to(device)).cpu().numpy()
    return vectors


@dataclass(frozen=True, slots=True, eq=False)
class Questions:
    """Hold queries and the pool of one distribution, and which answers are right."""

    task: str
    queries: IntArray
    pool: IntArray
    right: list[IntArray]
    """Places in the pool, for each query."""

    def ranks(self, scores: FloatArray) -> FloatArray:
        """Return the rank of the best right answer of each query, from 1; equals share the mean of their ranks."""
        best = np.array([scores[at, right].max() for at, right in enumerate(self.right)])
        above = (scores > best[:, None]).sum(axis=1)
        level = (scores == best[:, None]).sum(axis=1)
        ranks: FloatArray = 1 + above + (level - 1) / 2
        return ranks


def questions(source: Source) -> list[Questions]:
    """Return the questions that the tests of a distribution can be asked; bodies that are equal are one answer."""
    examples = source.examples
    pool, first = np.unique(examples.contents[examples.tests[:, 0]], return_index=True)
    bodies = examples.tests[first, 0].astype(np.int64)

    def place(row: int) -> int:
        return int(np.searchsorted(pool, examples.contents[row]))

    asked = [(docstring if docstring >= 0 else name, body) for body, name, docstring in examples.tests.tolist()]
    copies = [(copied, test) for test, copied in source.pairs["copies"].tolist()]
    callers: defaultdict[int, list[int]] = defaultdict(list)
    for called, test in source.pairs["calls"].tolist():
        callers[called].append(test)
    tasks = {
        "words": [(text, [test]) for text, test in asked if text >= 0],
        "calls": sorted(callers.items()),
        "copies": [(copied, [test]) for copied, test in copies],
    }
    found = []
    for task, rows in tasks.items():
        kept = rows[:: -(-len(rows) // MOST_QUERIES)] if rows else []
        if kept:
            right = [np.array([place(test) for test in tests]) for _, tests in kept]
            found.append(Questions(task, np.array([row for row, _ in kept], np.int64), bodies, right))
    return found


MEASURES: dict[str, Callable[[FloatArray], float]] = {
    "MRR": lambda ranks: float((1 / ranks).mean()),
    f"hit@{HIT_AT}": lambda ranks: float((ranks <= HIT_AT).mean()),
}


def measure(sources: Sequence[Source], models: Models) -> tuple[Results, dict[str, dict[str, float]]]:
    """Return the measures of each task and method, and by method and task what the cosine of words weighs in a sum.

    The weight of a distribution's sums is the one that is best on the others; what is returned is best on all.
    """
    results: Results = {}
    # Measures of each weight, by method, task, distribution.
    sums: dict[tuple[str, str], dict[str, list[FloatArray]]] = {}
    for source in sources:
        for asked in questions(source):
            lexical = source.lexical.cosines(asked.queries, asked.pool)
            note(results, asked.task, WORDS_ALONE, source.name, asked.ranks(lexical))
            for method, model in models.items():
                cosine = encode(model, source, asked.queries) @ encode(model, source, asked.pool).T
                note(results, asked.task, method, source.name, asked.ranks(cosine))
                ranks = [asked.ranks(cosine + np.float32(weight) * lexical) for weight in WEIGHTS]
                sums.setdefault((method, asked.task), {})[source.name] = ranks
    weights: dict[str, dict[str, float]] = {}
    for (method, task), by_source in sums.items():
        reciprocal = {name: np.array([MEASURES["MRR"](ranks) for ranks in each]) for name, each in by_source.items()}
        total = np.sum([*reciprocal.values()], axis=0)
        weights.setdefault(method, {})[task] = WEIGHTS[int(total.argmax())]
        for name, each in by_source.items():
            best = int((total - reciprocal[name] if len(by_source) > 1 else total).argmax())
            note(results, task, f"{method} + words", name, each[best])
    for methods in results.values():
        for row in methods.values():
            for cells in row.values():
                cells["mean"] = float(np.mean([*cells.values()]))
    return results, weights


def note(results: Results, task: str, method: str, source: str, ranks: FloatArray) -> None:
    """Keep the measures of *ranks*."""
    for name, of in MEASURES.items():
        results.setdefault(task, {}).setdefault(method, {}).setdefault(name, {})[source] = of(ranks)


def table(results: Results) -> str:
    """Write the means as a table in Markdown."""
    lines = ["| task | method | " + " | ".join(MEASURES) + " |", "|---|---|" + "---|" * len(MEASURES)]
    for task, methods in results.items():
        for method, row in methods.items():
            cells = " | ".join(f"{row[name]['mean']:.3f}" for name in MEASURES)
            lines.append(f"| {task} | {method} | {cells} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; 1 when there is nothing to measure on."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", type=Path, metavar="PAIRS")
    parser.add_argument("model", type=Path, metavar="MODEL")
    parser.add_argument("--bag", type=Path, metavar="FILE", help="a model without layers, trained alike")
    parser.add_argument("--dev", nargs="*", default=list(DEV), metavar="NAME")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--write", type=Path, metavar="FILE", help="write all measures as JSON")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    model, _, record, _ = load(options.model)
    torch.manual_seed(record["seed"])
    models = {"encoder": model}
    if options.bag is not None:
        models["bag of embeddings"] = load(options.bag)[0]
    models["random weights"] = Encoder(model.shape, model.vocabulary)
    files = [path for path in sorted(options.pairs.glob("*.npz")) if path.stem.rpartition("-")[0] in options.dev]
    if not files:
        print("none of the distributions is there; nothing was measured", file=sys.stderr)
        return 1
    trained = set(record["distributions"]) & {path.stem for path in files}
    if trained:
        print(f"the model was trained on {', '.join(sorted(trained))}; nothing was measured", file=sys.stderr)
        return 1
    results, weights = measure([Source(path.stem, read_examples(path)) for path in files], models)
    print(table(results))
    if options.write is not None:
        document = {"training": record, "weights": weights["encoder"], "results": results}
        options.write.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

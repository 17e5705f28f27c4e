"""Count how often a word of a docstring or name stands in the function that it describes; write the shipped table.

    python -m benchmarks.training.query_words DIR...

Each DIR holds one unpacked distribution, named ``NAME-VERSION``. A word counts once for each function that is described
with it, at most `MOST_OF_ONE` times for one distribution; it stands in a function when a form of it does. Few counts
are drawn towards the usual chance. Only hashed words are kept. What was counted goes to
benchmarks/results/query_words.json.
"""

from __future__ import annotations

import argparse
import ast
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from copy import copy
from pathlib import Path

import numpy as np

from benchmarks.training.sources import read_distribution, summary
from pytest_qeattention.similarity.query_words import FILE, MAGIC, USUAL_CHANCE, VERSION, QueryWords, hashed_word, pack
from pytest_qeattention.similarity.relevance import stem
from pytest_qeattention.store import write_checked
from pytest_qeattention.syntax.nodes import FunctionNode, is_docstring
from pytest_qeattention.syntax.words import words_of

RESULT = Path(__file__).parents[1] / "results" / "query_words.json"
# One distribution says no more of a word than so many functions do.
MOST_OF_ONE = 50
# The usual chance counts as so many functions.
USUAL_COUNT = 100
# Fewer functions hardly move the chance from the usual one.
LEAST_FUNCTIONS = 5


def body_stems(node: FunctionNode) -> set[str]:
    """Return the stems of all words of a function, those of its name and docstring left out."""
    bare = copy(node)
    bare.name = "_"
    bare.body = [statement for statement in node.body if not is_docstring(statement)] or [ast.Pass()]
    return {stem(word) for word in words_of(ast.unparse(bare))}


def described(directory: Path) -> Iterator[tuple[set[str], set[str]]]:
    """Yield the words of each docstring and of each name, and the stems of the function's body."""
    for file in read_distribution(directory):
        for function in file.functions:
            stems = body_stems(function.node)
            for text in (summary(function.node), function.name.removeprefix("test")):
                words = set(words_of(text))
                if words:
                    yield words, stems


def counted(directory: Path) -> dict[str, tuple[int, int]]:
    """Return for each word how many functions are described with it, and how many of them have it."""
    found: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    for words, stems in described(directory):
        for word in words:
            key = "#" if word.isdecimal() else word
            found[key][0] += 1
            found[key][1] += stem(word) in stems
    return {word: (functions, having) for word, (functions, having) in found.items()}


def chances(counts: Sequence[dict[str, tuple[int, int]]]) -> dict[str, float]:
    """Return the chance of each word that enough functions of the distributions are described with."""
    total: defaultdict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for one in counts:
        for word, (functions, having) in one.items():
            share = min(1.0, MOST_OF_ONE / functions)
            total[word][0] += share * functions
            total[word][1] += share * having
    return {
        word: (having + USUAL_COUNT * USUAL_CHANCE) / (functions + USUAL_COUNT)
        for word, (functions, having) in total.items()
        if functions >= LEAST_FUNCTIONS
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the table from the distributions named; 1 when it could not be written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directories", nargs="+", type=Path, metavar="DIR")
    parser.add_argument("--table", type=Path, default=FILE, metavar="FILE", help="the table to write")
    parser.add_argument("--result", type=Path, default=RESULT, metavar="FILE", help="the record to write")
    options = parser.parse_args(arguments)
    directories = sorted(options.directories, key=lambda path: path.name.lower())
    counts = []
    for directory in directories:
        counts.append(counted(directory))
        print(f"{directory.name}: {len(counts[-1])} words", flush=True)
    found: dict[int, float] = {hashed_word(word): chance for word, chance in sorted(chances(counts).items())}
    if not found:
        print("nothing is described often enough there: no table was written")
        return 1
    words = np.array(sorted(found), np.uint32)
    table = QueryWords(words, np.array([found[word] for word in words.tolist()]))
    # It is installed for everybody.
    problem = write_checked(options.table, pack(table), magic=MAGIC, version=VERSION, mode=0o644)
    if problem is not None:
        print(problem)
        return 1
    record = {"words": len(words), "distributions": [directory.name for directory in directories]}
    options.result.parent.mkdir(exist_ok=True)
    options.result.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Find pairs of sequences that belong together in unpacked distributions.

    python -m benchmarks.training.pairs OUT DIR... [--executed TRUTH]

Each DIR holds one unpacked distribution, named ``NAME-VERSION``; OUT/NAME-VERSION.npz gets its examples, always the
same for the same sources. A pair is one of seven signals:

calls      a function of the product and a test that calls it, by a name that only it can mean; or that executes it,
           where TRUTH holds the NAME-VERSION.json that benchmarks.quality.executed wrote of the distribution
docstring  the first paragraph of a function's docstring and the function without it
name       the words of a function's name and the function without it
rows       two rows of one parametrize, each as the test that it stands for
siblings   tests of one file that share most of their words
copies     a test and a copy of it with names and literals replaced, a statement put in or taken out
message    what a function raises or a test expects, as a failure tells it, and the function without those messages
"""

from __future__ import annotations

import argparse
import json
import random
import zlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.training.edits import Pool, unrolled
from benchmarks.training.examples import SIGNALS, Collector, Examples, write_examples
from benchmarks.training.lexical import Lexical
from benchmarks.training.sources import (
    SourceFile,
    SourceFunction,
    bag_text,
    called_names,
    messages,
    module_name,
    read_distribution,
    summary,
    without_messages,
)
from pytest_qeattention.encoder.tokens import TokenSequence, code_tokens, named_tokens, word_tokens
from pytest_qeattention.syntax.nodes import FunctionNode

# Shorter bodies say too little to be found by.
LEAST_TOKENS = 8
LEAST_WORDS = 2
# Of the messages of one function.
MOST_MESSAGES = 3
# A function that more tests call is a helper of the suite.
MOST_CALLERS = 20
# Of the tests, one in so many gets an edited copy: copies are a minority.
COPY_STEP = 4
SIBLING_COSINE = 0.75
LARGEST_FILE = 800
SEED = 20


class _Distribution:
    """Collect the examples of one distribution."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.collector = Collector()
        self.pool = Pool()
        # Function or class: what it may be, each with its module and the sequence that has its name.
        self.products: defaultdict[str, list[tuple[str, int]]] = defaultdict(list)
        self.calls: list[tuple[int, list[str], dict[str, str]]] = []
        self.bodies: defaultdict[int, list[int]] = defaultdict(list)
        # By path and name, ``Class::name``: the sequence of a test, or that of a function with its name.
        self.places: dict[tuple[str, str], int] = {}

    def add_code(self, file: int, node: FunctionNode) -> int:
        return self.collector.add(code_tokens(node), "code", file, word_tokens(bag_text(node)).parts)

    def add_file(self, number: int, file: SourceFile) -> None:
        for function in file.functions:
            body = code_tokens(function.node)
            if len(body) >= LEAST_TOKENS:
                self.add_function(number, function, body, file.imports)

    def add_function(self, file: int, function: SourceFunction, tokens: TokenSequence, imports: dict[str, str]) -> None:
        collector, bag = self.collector, word_tokens(bag_text(function.node)).parts
        place = "::".join(filter(None, (function.owner, function.name)))
        body = collector.add(tokens, "code", file, bag)
        words = {"docstring": summary(function.node), "name": function.name}
        asked = {}
        for signal, text in words.items():
            sequence = word_tokens(text)
            if len(sequence) >= LEAST_WORDS:
                asked[signal] = collector.add(sequence, "words", file)
                collector.pair(signal, asked[signal], body)
        self.add_messages(file, function.node)
        if not function.is_test:
            name = word_tokens(function.name).parts
            named = collector.add(named_tokens(function.name, tokens), "code", file, name + bag)
            known_as = function.owner if function.name == "__init__" else function.name
            self.products[known_as].append((module_name(function.path), named))
            self.places[function.path, place] = named
            return
        self.places[function.path, place] = body
        collector.tests.append((body, asked.get("name", -1), asked.get("docstring", -1)))
        self.calls.append((body, called_names(function.node), imports))
        self.bodies[file].append(body)
        rng = random.Random(zlib.crc32(f"{SEED} {self.name} {function.qualname}".encode("utf-8", "surrogatepass")))
        rows = [self.add_code(file, test) for test in unrolled(function.node, rng)]
        if rows:
            collector.pair("rows", rows[0], rows[1])
        if rng.randrange(COPY_STEP) == 0:
            collector.pair("copies", body, self.add_code(file, self.pool.edited(function.node, rng)))
        self.pool.add(function.node)

    def add_messages(self, file: int, node: FunctionNode) -> None:
        found = [word_tokens(text) for text in messages(node)]
        # The type of the exception is a word too.
        said = [sequence for sequence in found if len(sequence) > LEAST_WORDS][:MOST_MESSAGES]
        if said:
            body = self.add_code(file, without_messages(node))
            for sequence in said:
                self.collector.pair("message", self.collector.add(sequence, "failure", file), body)

    def resolve_calls(self) -> None:
        """Pair tests with the functions that they call; what could be several functions is left out."""
        callers: defaultdict[int, dict[int, None]] = defaultdict(dict)
        for test, names, imports in self.calls:
            for name in names:
                called = self.resolve(name, imports)
                if called is not None:
                    callers[called][test] = None
        for called, tests in callers.items():
            if len(tests) <= MOST_CALLERS:
                for test in tests:
                    self.collector.pair("calls", called, test)

    def add_executed(self, functions: Sequence[Mapping[str, Any]]) -> None:
        """Pair functions with the tests that execute them, as coverage saw it; what is not among the sources is not."""
        known = {(first, second) for signal, first, second in self.collector.pairs if signal == SIGNALS.index("calls")}
        for function in functions:
            called = self.places.get((function["path"], "::".join(function["qualname"].split(".")[-2:])))
            tests = [self.places.get(_place(nodeid)) for nodeid in function["tests"]]
            if called is not None and len(tests) <= MOST_CALLERS:
                for test in tests:
                    if test is not None and (called, test) not in known:
                        self.collector.pair("calls", called, test)

    def resolve(self, name: str, imports: dict[str, str]) -> int | None:
        origin = imports.get(name)
        plain = origin.rpartition(".")[2] if origin is not None else name.removeprefix(".")
        possible = self.products.get(plain, [])
        if len(possible) > 1 and origin is not None:
            # A package may pass on what one of its modules defines.
            package = origin.rpartition(".")[0].lstrip(".")
            possible = [one for one in possible if f".{package}." in f".{one[0]}."]
        return possible[0][1] if len(possible) == 1 else None

    def pair_siblings(self, examples: Examples) -> list[tuple[int, int]]:
        """Return the pairs of each test and the one of its file that shares most of its words."""
        lexical = Lexical(examples)
        lengths = np.diff(examples.offsets)
        found: dict[tuple[int, int], None] = {}
        for _, bodies in sorted(self.bodies.items()):
            rows = np.array(list(dict.fromkeys(bodies))[:LARGEST_FILE])
            if len(rows) < 2:
                continue
            cosine = lexical.cosines(rows, rows)
            ratio = lengths[rows][:, None] / lengths[rows][None, :]
            cosine[(ratio > 1.6) | (ratio < 1 / 1.6)] = 0
            np.fill_diagonal(cosine, 0)
            best = cosine.argmax(axis=1)
            for at in np.flatnonzero(cosine.max(axis=1) >= SIBLING_COSINE).tolist():
                one, other = int(rows[at]), int(rows[best[at]])
                found[min(one, other), max(one, other)] = None
        return list(found)


def _place(nodeid: str) -> tuple[str, str]:
    path, *names = nodeid.split("::")
    return path, "::".join(names[-2:])


def distribution_examples(directory: Path, executed: Sequence[Mapping[str, Any]] = ()) -> Examples:
    """Return the examples of the distribution unpacked in *directory*; *executed* says which tests execute what."""
    distribution = _Distribution(directory.name)
    for number, file in enumerate(read_distribution(directory)):
        distribution.add_file(number, file)
    distribution.resolve_calls()
    distribution.add_executed(executed)
    for one, other in distribution.pair_siblings(distribution.collector.examples()):
        distribution.collector.pair("siblings", one, other)
    return distribution.collector.examples()


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the examples of each distribution."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("directories", nargs="+", type=Path, metavar="DIR")
    parser.add_argument("--executed", type=Path, metavar="TRUTH", help="where benchmarks.quality.executed wrote files")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    for directory in sorted(options.directories, key=lambda path: path.name.lower()):
        truth = options.executed / f"{directory.name}.json" if options.executed is not None else None
        executed = []
        if truth is not None and truth.is_file():
            executed = json.loads(truth.read_text(encoding="utf-8"))["functions"]
        examples = distribution_examples(directory, executed)
        write_examples(options.out / f"{directory.name}.npz", examples)
        found = Counter(examples.pairs[:, 0].tolist())
        shown = ", ".join(f"{found[number]} {signal}" for number, signal in enumerate(SIGNALS))
        print(f"{directory.name}: {len(examples.tests)} tests, {len(examples.kinds)} sequences; {shown}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

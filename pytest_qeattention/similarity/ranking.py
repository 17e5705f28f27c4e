"""Rank the tests of a suite by similarity to a test, a file, a function, a diff, or plain words.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from keyword import iskeyword
from pathlib import Path, PurePosixPath

import numpy as np

from pytest_qeattention.encoder.encoder import Encoder
from pytest_qeattention.encoder.weights import WeightsError
from pytest_qeattention.similarity.counterparts import Counterparts
from pytest_qeattention.similarity.discover import UsageError
from pytest_qeattention.similarity.explain import parse_unit
from pytest_qeattention.similarity.kept_references import references_of
from pytest_qeattention.similarity.kept_texts import kept_texts
from pytest_qeattention.similarity.links import SETUP
from pytest_qeattention.similarity.model import Neighbor, Problem, SimilarReport, Unit
from pytest_qeattention.similarity.naming import display_path
from pytest_qeattention.similarity.pairs import FloatArray
from pytest_qeattention.similarity.queries import CodeQuery, WordsQuery, read_query
from pytest_qeattention.similarity.query_words import load_query_words
from pytest_qeattention.similarity.references import Reach, project_files
from pytest_qeattention.similarity.relevance import Texts
from pytest_qeattention.similarity.suite import Suite
from pytest_qeattention.similarity.workload import Request
from pytest_qeattention.syntax.words import words_of
from pytest_qeattention.wording import first_names

_SHOWN_WORDS = 5
# Less than this, by letters alone, is chance.
LEAST_LETTERS = 0.2
# A query whose words no test has can still be a slip of the pen, but scores no more than this share.
LEAST_KNOWN = 0.3
# Of a score by words; tests with less do not resemble what was asked for.
LEAST_SCORE = 0.1
# A word that is this unlikely in the function that a docstring describes is no reason.
_LEAST_CHANCE = 0.15
_LEAST_COSINE = 0.2
# Of what a test is asked for with words, and of what a function's tests are found by: chosen by coordinate ascent on
# hit@5 and mean reciprocal rank of development projects (tornado, trio, kombu; benchmarks/quality/encoder.py).
WORDS_WEIGHTS = {"words": 1.0, "letters": 1.0}
# What the encoder adds for the best by words: on development projects (trio, tornado, h5py) .443 with 0.6, .441 with
# 0.3, .432 without; for the best 50 instead of all a thousandth less.
MEANING_WEIGHT = 0.5
MEANING_TESTS = 100
CODE_WEIGHTS = {"name": 1.0, "letters": 0.8, "cosine": 0.8, "path": 0.6, "reach": 1.2}
# Nothing is kept, and nobody is told.
_ALONE = Request()


def rank(suite: Suite, query: str, k: int, *, cwd: Path, request: Request = _ALONE) -> SimilarReport:
    """Return the *k* tests of *suite* most similar to *query*, best first.

    *query* is the node id or the name of a test of the suite, ``path::function`` or a file relative to *cwd*, ``-`` for
    a diff on standard input, or plain words. A test is scored as `Counterparts` does; anything else as `Ranker` does.
    Raises UsageError for a path without such a function, a name of several tests, and a query without words. Weights of
    the encoder that cannot be used are a problem of the report: words are then compared without it.
    """
    chosen = _unit_number(suite, query)
    problems = suite.problems
    if chosen is None:
        asked = read_query(query, cwd)
        encoder = Encoder(num_threads=request.num_threads, cache_dir=request.cache_dir)
        ranker = Ranker(suite.units, cwd=cwd, encoder=encoder, request=request, key=suite.read_key)
        found, text = ranker.nearest(asked, k), asked.text
        problems = (*problems, *ranker.problems)
    else:
        counterparts = Counterparts(suite, num_threads=request.num_threads)
        found, text = counterparts.nearest(chosen, k), suite.units[chosen].nodeid
    return SimilarReport(
        workload="test-similarity",
        tests=len(suite.units),
        ranked=(text, tuple(found)),
        problems=problems,
        left_out=suite.left_out,
    )


def _unit_number(suite: Suite, query: str) -> int | None:
    nodeid = query.partition("[")[0]
    for number, unit in enumerate(suite.units):
        if unit.nodeid == nodeid:
            return number
    # The name alone will do where it is that of one test.
    named = [number for number, unit in enumerate(suite.units) if unit.name == query]
    if len(named) > 1:
        nodeids = first_names([suite.units[number].nodeid for number in named])
        raise UsageError(f"{query} is the name of {len(named)} tests, so nothing was ranked; give one of {nodeids}")
    return named[0] if named else None


class Ranker:
    """Score n tests against queries; paths of tests are relative to *cwd*.

    With an *encoder* words are compared by meaning too. One that cannot be used is told of in `problems`. What was read
    for units that *key* names is kept where *request* says.
    """

    def __init__(
        self,
        units: Sequence[Unit],
        *,
        cwd: Path,
        encoder: Encoder | None = None,
        request: Request = _ALONE,
        key: bytes | None = None,
    ) -> None:
        self.problems: tuple[Problem, ...] = ()
        self._units = units
        self._cwd = cwd
        self._encoder = encoder
        self._request = request
        files = (str(cwd), list(dict.fromkeys(unit.path for unit in units)))
        self._texts, self._paths = kept_texts(lambda: _counted(units), files, key, request.cache_dir)

    def words(self, query: WordsQuery) -> FloatArray:
        """Return how well each test answers words, float64 (n,) from 0 to 1; 0 for one that has nothing of them."""
        by_words, by_letters = self._texts.words(query.text), self._texts.letters(query.text)
        scores = WORDS_WEIGHTS["words"] * by_words + WORDS_WEIGHTS["letters"] * by_letters
        scores[(by_words == 0) & (by_letters < LEAST_LETTERS)] = 0.0
        shares: FloatArray = scores / sum(WORDS_WEIGHTS.values())
        return shares

    def answers(self, query: WordsQuery) -> Answers:
        """Return how well each test answers words, the best of them compared by meaning too."""
        scores = self.words(query)
        # Words that no test has speak against all of them alike.
        known = max(self._texts.known(query.text), LEAST_KNOWN)
        if self._encoder is None:
            return Answers(known * scores, {})
        best = [
            at
            for at in best_first(scores, MEANING_TESTS)
            # What does not parse by itself is compared by words alone.
            if scores[at] > 0 and parse_unit(self._units[at]) is not None
        ]
        cosines = self._cosines(self._encoder, query.text, best)
        if cosines is None:
            return Answers(known * scores, {})
        # From 0 to 1, so that nothing that was not compared gets ahead of what was.
        scores[best] += MEANING_WEIGHT * (1 + cosines) / 2
        return Answers(known * scores / (1 + MEANING_WEIGHT), dict(zip(best, cosines.tolist(), strict=True)))

    def _cosines(self, encoder: Encoder, text: str, best: Sequence[int]) -> FloatArray | None:
        """Return the cosine of *text* and the code of each of the *best* tests, float64; None where none are known."""
        if not best:
            return None
        try:
            asked = encoder.texts([text])[0]
            vectors = encoder.functions([self._units[at].source for at in best])
        except WeightsError as error:
            self.problems = (Problem("encoder", f"{error}; tests are ranked by their words alone"),)
            return None
        cosines: FloatArray = np.clip((vectors @ asked).astype(np.float64), -1.0, 1.0)
        return cosines

    def code(self, query: CodeQuery, reach: FloatArray) -> FloatArray:
        """Return how likely each test is one of the code, float64 (n,) from 0 to 1; *reach* is that of `Ways`, (n,)."""
        # Texts of tests have the names of their classes and files too.
        source = " ".join((query.source, query.name, *(PurePosixPath(path).stem for path in query.paths)))
        found = {
            "name": self._texts.words(query.name),
            "letters": self._texts.letters(source),
            "cosine": self._texts.cosine(source),
            "path": self._paths.cosine(" ".join(map(_words_of_path, query.paths))),
            "reach": reach,
        }
        scores = np.sum([CODE_WEIGHTS[name] * each for name, each in found.items()], axis=0)
        shares: FloatArray = scores / sum(CODE_WEIGHTS.values())
        return shares

    def nearest(self, query: WordsQuery | CodeQuery, k: int) -> list[Neighbor]:
        """Return the *k* best tests with their reasons; those that nothing speaks for are left out."""
        reached = None
        meant: Mapping[int, float] = {}
        if isinstance(query, WordsQuery):
            answers = self.answers(query)
            scores, meant, source = answers.scores, answers.cosines, query.text
            scores[scores < LEAST_SCORE] = 0.0
        else:
            reached = Ways(self._units, [query], self._cwd, self._request).to(query)
            scores, source = self.code(query, reached.weights), f"{query.source} {query.name}"
        best = [at for at in best_first(scores, k) if scores[at] > 0]
        asked = set(words_of(source))
        return [
            Neighbor(
                self._units[at],
                round(float(scores[at]), 6),
                (
                    *(reached.reasons(at) if reached is not None else ()),
                    *self._shared_words(at, asked),
                    *((f"meaning agrees (cosine {meant[at]:.2f})",) if meant.get(at, 0) >= _LEAST_COSINE else ()),
                ),
            )
            for at in best
        ]

    def _shared_words(self, at: int, asked: set[str]) -> tuple[str, ...]:
        shared = sorted(
            (word for word in asked.intersection(words_of(self._units[at].source)) if _says_something(word)),
            key=lambda word: (self._texts.frequency(word), word),
        )
        return (f"shares {', '.join(shared[:_SHOWN_WORDS])}",) if shared else ()


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """Hold how well n tests answer words."""

    scores: FloatArray
    """From 0 to 1, float64 (n,); 0 for one that has nothing of the words."""
    cosines: Mapping[int, float]
    """Cosine of the vectors of the words and of the test, for those that were compared by meaning."""


def best_first(scores: FloatArray, k: int) -> list[int]:
    """Return the places of the *k* highest scores; of equals the first comes first."""
    order: list[int] = np.lexsort((np.arange(len(scores)), -scores))[:k].tolist()
    return order


class Ways:
    """Tell how each of n tests gets to functions, by the names that code uses."""

    def __init__(
        self,
        units: Sequence[Unit],
        queries: Iterable[CodeQuery],
        cwd: Path,
        request: Request = _ALONE,
    ) -> None:
        self._cwd = cwd
        asked = {path for query in queries for path, _ in query.functions}
        tests = {cwd / path for path in {unit.path for unit in units}}
        files = project_files(asked, tests, cwd)
        self._references = references_of(
            files, cache_dir=request.cache_dir, num_processes=request.num_threads, progress=request.progress
        )
        self._tests = [self._references.number(unit.path, unit.qualname) for unit in units]

    def to(self, query: CodeQuery) -> Reached:
        """Return how surely each test runs one of the functions that *query* asks about."""
        numbers = {self._number(display_path(path, self._cwd), name) for path, name in query.functions}
        reach = self._references.reach(sorted(number for number in numbers if number is not None))
        weights = np.array([0.0 if number is None else reach.weights[number] for number in self._tests])
        return Reached(weights, lambda at: self._reasons(reach, at))

    def _number(self, path: str, name: str) -> int | None:
        """Return the number of a function, or of the one that it is defined in."""
        while name:
            number = self._references.number(path, name)
            if number is not None:
                return number
            name = name.rpartition("::")[0]
        return None

    def _reasons(self, reach: Reach, at: int) -> tuple[str, ...]:
        number = self._tests[at]
        if number is None or reach.weights[number] == 0:
            return ()
        steps: list[str] = []
        step, share = reach.through(number)
        while step >= 0:
            # What is set up for a test is no guess, though it is asked less.
            name = self._references.name(step)
            is_sure = share == 1 or name.rpartition(".")[2] in SETUP
            steps.append(f"{'uses' if is_sure else 'may use'} {name}")
            step, share = reach.through(step)
        return (", which ".join(steps),) if steps else ("is asked about itself",)


@dataclass(frozen=True, slots=True, eq=False)
class Reached:
    """Hold how surely n tests run what was asked about."""

    weights: FloatArray
    """From 0 to 1, float64 (n,)."""
    reasons: Callable[[int], tuple[str, ...]]
    """Says of a test through which functions it gets there; nothing where no way is known."""


def text_of(unit: Unit) -> str:
    """Return what queries are compared with: the source of a test, and the names of its class and file."""
    return f"{unit.source} {unit.qualname.rpartition('::')[0]} {PurePosixPath(unit.path).stem}"


def _counted(units: Sequence[Unit]) -> tuple[Texts, Texts]:
    return Texts(map(text_of, units)), Texts(_words_of_path(unit.path) for unit in units)


def _words_of_path(path: str) -> str:
    return path.removesuffix(".py").replace("/", " ")


def _says_something(word: str) -> bool:
    if len(word) < 2 or word.isdecimal() or iskeyword(word):
        return False
    return load_query_words().of(word) >= _LEAST_CHANCE

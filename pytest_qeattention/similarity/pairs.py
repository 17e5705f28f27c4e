"""Pairs of units that may belong together, and one score for each.

A pair's score is how probable it is that a maintainer would fold the two: a logistic function of nine facts, how alike
the weighted features and the names are, where the two stand, how long they are and how crowded it is around them, read
through a calibration of three weights (beta calibration; Kull, Silva Filho & Flach, 2017).

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import ast
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pytest_qeattention.attention import csr_pair_dots, lcs_lengths
from pytest_qeattention.attention.features import row_dots
from pytest_qeattention.similarity.describe import Description
from pytest_qeattention.similarity.evidence import BAGS, Features, weigh
from pytest_qeattention.similarity.model import Unit
from pytest_qeattention.similarity.partners import find_partners
from pytest_qeattention.syntax.words import words_of

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

FACTS = (
    "cosine",
    "cosine of tokens",
    "same file",
    "same class",
    "log distance in file",
    "next to each other",
    "log statements",
    "log tests nearby",
    "common words of names",
)


@dataclass(frozen=True, slots=True)
class PairModel:
    """Hold a logistic model of a pair's facts, and what makes a probability of its values."""

    weights: tuple[float, ...]
    """One for each of `FACTS`."""
    intercept: float
    calibration: tuple[float, float, float] = (1.0, 1.0, 0.0)
    """Weights of the logarithms of p and of 1 / (1 - p), p being the logistic function, and the intercept."""


# Fitted by benchmarks/quality/similar.py on tests that maintainers folded, every project of the same weight; the
# quality that is published (benchmarks/results) is of models that had not seen the project they answered for.
SHIPPED = PairModel(
    (4.6602, 4.1713, 2.7152, 0.802, -0.1322, 0.6502, -0.9113, -0.1675, 0.5475), -7.9335, (0.7452, 1.8295, -0.8774)
)

# Tests of one file are near each other from this cosine on; past so many it makes no difference.
NEAR_COSINE = 0.6
MOST_NEAR = 64
# Longer tests are compared by their first tokens: the memory of a comparison grows with the square of the length.
LONGEST_SEQUENCE = 4096


@dataclass(frozen=True, slots=True)
class Facts:
    """Number what is compared about each unit; arrays of one entry a unit."""

    file: IntArray
    scope: IntArray
    ordinal: IntArray
    literal: IntArray
    shape: IntArray
    identity: IntArray
    """Equal for units of the same exact form whose free names stand for the same things."""
    statements: IntArray
    """Number of statements, those inside others included."""
    name_ends: IntArray
    """(n + 1,): where each unit's words end in `name_words`, the first number being 0."""
    name_words: npt.NDArray[np.uint32]
    """Numbers of the distinct words of each unit's name, ascending; ``test`` is none."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Hold scored pairs, ``left`` < ``right``, by left and right."""

    left: IntArray
    right: IntArray
    cosine: FloatArray
    values: npt.NDArray[np.float32]
    """Facts of each pair, (n_pairs, len(FACTS))."""
    score: FloatArray
    """0 to 1."""
    usual: npt.NDArray[np.bool_]
    """Whether the pair is looked at without neighbours being asked for: groups are made of these alone."""
    search: str
    """How partners in other files were found: ``exact`` or ``hnsw``."""


def pairs_inside(pairs: Pairs, groups: Sequence[Sequence[int]], n: int) -> tuple[IntArray, IntArray]:
    """Return which usual *pairs* lie inside one of *groups* of rows, of *n* in all, and the number of their group.

    The groups share no row.
    """
    home = np.full(n, -1)
    for number, rows in enumerate(groups):
        home[list(rows)] = number
    inside = np.flatnonzero(pairs.usual & (home[pairs.left] == home[pairs.right]) & (home[pairs.left] >= 0))
    return inside, home[pairs.left[inside]]


def _numbered(values: Sequence[object]) -> IntArray:
    numbers: dict[object, int] = {}
    return np.fromiter((numbers.setdefault(value, len(numbers)) for value in values), np.int64, len(values))


_STATEMENTS = np.array([zlib.crc32(f"({kind.__name__}".encode()) for kind in ast.stmt.__subclasses__()], np.uint32)


def gather_facts(units: Sequence[Unit], descriptions: Sequence[Description], bindings: Sequence[str]) -> Facts:
    """Number files, scopes and forms of *units*, which are in order of path and line."""
    file = _numbered([unit.path for unit in units])
    # Units of a file follow each other, so a file's first unit is where its number first stands.
    first = np.unique(file, return_index=True)[1][file]
    name_ends, name_words = _name_words(units)
    return Facts(
        file=file,
        scope=_numbered([(unit.path, unit.qualname.rpartition("::")[0]) for unit in units]),
        ordinal=np.arange(len(units)) - first,
        literal=_numbered([description.literal for description in descriptions]),
        shape=_numbered([description.shape for description in descriptions]),
        identity=_numbered([(d.exact, binding) for d, binding in zip(descriptions, bindings, strict=True)]),
        statements=_count_statements(descriptions),
        name_ends=name_ends,
        name_words=name_words,
    )


def _count_statements(descriptions: Sequence[Description]) -> IntArray:
    ends = np.append(0, np.cumsum([len(description.sequence) // 4 for description in descriptions])).astype(np.int64)
    tokens = np.frombuffer(b"".join(description.sequence for description in descriptions), np.uint32)
    # One look at half of each token leaves few to compare whole.
    can_be = np.zeros(1 << 16, bool)
    can_be[_STATEMENTS.astype(np.uint16)] = True
    places = np.flatnonzero(can_be[tokens.astype(np.uint16)])
    places = places[np.isin(tokens[places], _STATEMENTS)]
    counts: IntArray = np.diff(np.searchsorted(places, ends))
    return counts


def _name_words(units: Sequence[Unit]) -> tuple[IntArray, npt.NDArray[np.uint32]]:
    numbers: dict[str, int] = {}
    # Words end at underscores: what stands between them is split once.
    known: dict[str, list[int]] = {}
    ends, words = [0], []
    for unit in units:
        found: set[int] = set()
        for part in unit.name.split("_"):
            if part not in known:
                known[part] = [numbers.setdefault(word, len(numbers)) for word in words_of(part) if word != "test"]
            found.update(known[part])
        words += sorted(found)
        ends.append(len(words))
    return np.array(ends, np.int64), np.array(words, np.uint32)


def near_counts(facts: Facts, left: IntArray, right: IntArray, cosine: FloatArray) -> IntArray:
    """Count the tests of the same file that each unit is near to, at most `MOST_NEAR`, among the pairs given."""
    near = (cosine >= NEAR_COSINE) & (facts.file[left] == facts.file[right])
    both = np.concatenate([left[near], right[near]])
    return np.minimum(np.bincount(both, minlength=len(facts.file)), MOST_NEAR).astype(np.int64)


def pair_facts(
    facts: Facts,
    features: Features,
    near: IntArray,
    left: IntArray,
    right: IntArray,
    cosine: FloatArray,
    num_threads: int | None = None,
) -> npt.NDArray[np.float32]:
    """Return the facts of each pair in the order of `FACTS`, float32 (len(left), 9); *left* ascends."""
    same_file = facts.file[left] == facts.file[right]
    distance = np.abs(facts.ordinal[left] - facts.ordinal[right])
    values = np.empty((len(left), len(FACTS)), np.float32)
    values[:, 0] = cosine
    values[:, 1] = _token_cosines(features, left, right, num_threads)
    values[:, 2] = same_file
    values[:, 3] = facts.scope[left] == facts.scope[right]
    values[:, 4] = np.where(same_file, np.log(np.maximum(distance, 1)), 0.0)
    values[:, 5] = same_file & (distance == 1)
    values[:, 6] = np.log1p(facts.statements[left] + facts.statements[right])
    values[:, 7] = np.log1p(near[left] + near[right])
    values[:, 8] = _common_words(facts, left, right, num_threads)
    return values


def _token_cosines(features: Features, left: IntArray, right: IntArray, num_threads: int | None) -> FloatArray:
    """Return the cosines of the first of the three bags, whose columns come first."""
    n_tokens = int(np.searchsorted(features.keys, np.uint64(1 << 32)))
    of_tokens = features.indices < n_tokens
    ends = np.append(0, np.cumsum(of_tokens))[features.indptr]
    indices, values = features.indices[of_tokens], features.values[of_tokens]
    bounds = np.searchsorted(left, np.arange(features.n_rows + 1))
    dots = row_dots(ends, indices, values, n_tokens, bounds, right, num_threads=num_threads)
    # Each bag has a third of a row's squared length.
    cosines: FloatArray = np.clip(dots.astype(np.float64) * len(BAGS), 0.0, 1.0)
    return cosines


def _common_words(facts: Facts, left: IntArray, right: IntArray, num_threads: int | None) -> FloatArray:
    """Return the share of the words of two names that both have; 0 where neither has any."""
    ones = np.ones(len(facts.name_words), np.float32)
    both = csr_pair_dots(facts.name_ends, facts.name_words, ones, left, right, num_threads=num_threads)
    count = np.diff(facts.name_ends)
    share: FloatArray = both / np.maximum(count[left] + count[right] - both, 1.0)
    return share


def common_share(
    descriptions: Sequence[Description], left: IntArray, right: IntArray, num_threads: int | None = None
) -> FloatArray:
    """Return twice the longest common subsequence over the sum of lengths, for each pair."""
    size = 4 * LONGEST_SEQUENCE
    sequences = [description.sequence[:size] for description in descriptions]
    offsets = np.zeros(len(sequences) + 1, np.int64)
    np.cumsum([len(sequence) // 4 for sequence in sequences], out=offsets[1:])
    tokens = np.frombuffer(b"".join(sequences), np.uint32)
    common = lcs_lengths(tokens, offsets, left, right, num_threads=num_threads)
    length = np.diff(offsets)
    share: FloatArray = 2.0 * common / np.maximum(length[left] + length[right], 1)
    return share


def logistic(values: FloatArray) -> FloatArray:
    """Return 1 / (1 + exp(-values)) without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * values))


def score_pairs(
    units: Sequence[Unit],
    descriptions: Sequence[Description],
    facts: Facts,
    *,
    model: PairModel = SHIPPED,
    neighbors: int = 0,
    num_threads: int | None = None,
    cache_dir: Path | None = None,
) -> Pairs:
    """Find the pairs worth scoring, all of a file and the nearest across files, and score them.

    With *neighbors* above 0 every unit gets at least that many partners, however far they are.
    """
    features = weigh(descriptions, num_threads=num_threads)
    found = find_partners(features, facts.file, neighbors=neighbors, num_threads=num_threads, cache_dir=cache_dir)
    left, right, cosine, usual = found.left, found.right, found.cosine, found.usual
    near = near_counts(facts, left[usual], right[usual], cosine[usual])
    values = pair_facts(facts, features, near, left, right, cosine, num_threads)
    return rescore(facts, Pairs(left, right, cosine, values, np.zeros(len(left)), usual, found.search), model)


def rescore(facts: Facts, pairs: Pairs, model: PairModel) -> Pairs:
    """Return *pairs* scored by *model*; units of the same identity score 1."""
    value = pairs.values @ np.array(model.weights, np.float32)
    score = calibrated(value.astype(np.float64) + model.intercept, model.calibration)
    score[facts.identity[pairs.left] == facts.identity[pairs.right]] = 1.0
    return replace(pairs, score=score)


def calibrated(values: FloatArray, calibration: tuple[float, float, float]) -> FloatArray:
    """Turn the *values* of a logistic model into probabilities."""
    of_p, of_rest, intercept = calibration
    return logistic(intercept + calibration_facts(values) @ np.array([of_p, of_rest]))


def calibration_facts(values: FloatArray) -> FloatArray:
    """Return log(p) and -log(1 - p) of p = logistic(values), float64 (len(values), 2)."""
    return np.column_stack([-np.logaddexp(0.0, -values), np.logaddexp(0.0, values)])

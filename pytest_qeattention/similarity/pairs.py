"""Pairs of units that may belong together, and one score for each.

A pair's score is a logistic function of seven facts: how alike the weighted features are, how much of the code is
common in order, whether the normal forms are equal, and where the two stand. Both kinds of evidence have to agree:
neither wording nor structure alone reaches the score from which a group is reported.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pytest_qeattention.attention import csr_pair_dots, lcs_lengths
from pytest_qeattention.index import nearest
from pytest_qeattention.similarity.describe import Description
from pytest_qeattention.similarity.evidence import Features, block_dots, sketch, weigh
from pytest_qeattention.similarity.model import Unit

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

FACTS = (
    "cosine",
    "same literal form",
    "same shape",
    "common sequence",
    "same file",
    "same class",
    "log distance in file",
)


@dataclass(frozen=True, slots=True)
class PairModel:
    """Hold a logistic model of a pair's facts."""

    weights: tuple[float, ...]
    """One for each of `FACTS`."""
    intercept: float


# Fitted by benchmarks/quality/similar.py on tests that maintainers folded, every project of the same weight; the
# quality that is published (benchmarks/results) is of models that had not seen the project they answered for.
SHIPPED = PairModel((6.915, 0.099, 0.429, 2.298, 2.883, 1.093, -0.111), -10.734)

# Pairs below this cosine were never siblings that another fact would have saved.
COSINE_FLOOR = 0.2
# Tests of other files that are looked at for each test.
CANDIDATES = 20
# A file of more tests than this keeps only each test's best partners, so that memory stays linear in its size.
DENSE_FILE = 512
BEST_IN_FILE = 64
# Longer tests are compared by their first tokens: the memory of a comparison grows with the square of the length.
LONGEST_SEQUENCE = 4096


@dataclass(frozen=True, slots=True)
class Facts:
    """Number what is compared about each unit; arrays of one entry a unit."""

    file: IntArray
    scope: IntArray
    ordinal: IntArray
    length: IntArray
    literal: IntArray
    shape: IntArray
    identity: IntArray
    """Equal for units of the same exact form whose free names stand for the same things."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Hold scored pairs, ``left`` < ``right``, by left and right."""

    left: IntArray
    right: IntArray
    cosine: FloatArray
    common: FloatArray
    """Share of the two token sequences that is common in order, 0 to 1."""
    score: FloatArray
    """0 to 1."""
    usual: npt.NDArray[np.bool_]
    """Whether the pair is looked at without neighbours being asked for: groups are made of these alone."""
    search: str
    """How partners in other files were found: ``exact`` or ``hnsw``."""


def _numbered(values: Sequence[object]) -> IntArray:
    numbers: dict[object, int] = {}
    return np.fromiter((numbers.setdefault(value, len(numbers)) for value in values), np.int64, len(values))


def gather_facts(units: Sequence[Unit], descriptions: Sequence[Description], bindings: Sequence[str]) -> Facts:
    """Number files, scopes and forms of *units*, which are in order of path and line."""
    file = _numbered([unit.path for unit in units])
    # Units of a file follow each other, so a file's first unit is where its number first stands.
    first = np.unique(file, return_index=True)[1][file]
    return Facts(
        file=file,
        scope=_numbered([(unit.path, unit.qualname.rpartition("::")[0]) for unit in units]),
        ordinal=np.arange(len(units)) - first,
        length=np.fromiter((len(d.sequence) // 4 for d in descriptions), np.int64, len(descriptions)),
        literal=_numbered([description.literal for description in descriptions]),
        shape=_numbered([description.shape for description in descriptions]),
        identity=_numbered([(d.exact, binding) for d, binding in zip(descriptions, bindings, strict=True)]),
    )


def _pairs_in_files(features: Features, file: IntArray, floor: float) -> tuple[IntArray, IntArray, FloatArray]:
    lefts, rights, cosines = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0)]
    borders = np.flatnonzero(file[1:] != file[:-1]) + 1
    for start, stop in itertools.pairwise([0, *borders.tolist(), len(file)]):
        rows = np.arange(start, stop)
        if len(rows) < 2:
            continue
        dots = block_dots(features, rows)
        if len(rows) > DENSE_FILE:
            np.fill_diagonal(dots, -1)
            best = np.argsort(-dots, axis=1, kind="stable")[:, :BEST_IN_FILE]
            kept = np.zeros(dots.shape, bool)
            np.put_along_axis(kept, best, True, axis=1)
            dots[~(kept | kept.T)] = -1
        left, right = np.nonzero(np.triu(dots >= floor, 1))
        lefts.append(rows[left])
        rights.append(rows[right])
        cosines.append(dots[left, right].astype(np.float64))
    return np.concatenate(lefts), np.concatenate(rights), np.concatenate(cosines)


def _pairs_across_files(
    features: Features, file: IntArray, floor: float, k: int, num_threads: int | None, cache_dir: Path | None
) -> tuple[IntArray, IntArray, FloatArray, npt.NDArray[np.bool_], str]:
    n = len(file)
    if n < 2:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0, bool), "exact"
    found = nearest(sketch(features), min(k, n - 1), num_threads=num_threads, cache_dir=cache_dir)
    keys = _pair_keys(found.indices, file)
    usual = np.isin(keys, _pair_keys(found.indices[:, :CANDIDATES], file))
    left, right = keys // n, keys % n
    cosine = csr_pair_dots(
        features.indptr, features.indices, features.values, left, right, num_threads=num_threads
    ).astype(np.float64)
    kept = cosine >= floor
    usual &= cosine >= COSINE_FLOOR
    return left[kept], right[kept], cosine[kept], usual[kept], found.mode


def _pair_keys(indices: IntArray, file: IntArray) -> IntArray:
    """Number the distinct pairs of a row and one of its neighbours in another file, ascending."""
    n = len(indices)
    row = np.repeat(np.arange(n), indices.shape[1])
    partner = indices.ravel()
    away = file[row] != file[partner]
    row, partner = row[away], partner[away]
    return np.unique(np.minimum(row, partner) * n + np.maximum(row, partner))


def pair_facts(facts: Facts, left: IntArray, right: IntArray, cosine: FloatArray, common: FloatArray) -> FloatArray:
    """Return the facts of each pair in the order of `FACTS`, float64 (len(left), 7)."""
    same_file = facts.file[left] == facts.file[right]
    distance = np.abs(facts.ordinal[left] - facts.ordinal[right])
    return np.stack(
        [
            cosine,
            facts.literal[left] == facts.literal[right],
            facts.shape[left] == facts.shape[right],
            common,
            same_file,
            facts.scope[left] == facts.scope[right],
            np.where(same_file, np.log(np.maximum(distance, 1)), 0.0),
        ],
        axis=1,
    ).astype(np.float64)


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
    features = weigh(descriptions)
    floor = COSINE_FLOOR if neighbors == 0 else -1.0
    left, right, cosine = _pairs_in_files(features, facts.file, floor)
    usual = cosine >= COSINE_FLOOR
    far_left, far_right, far_cosine, far_usual, search = _pairs_across_files(
        features, facts.file, floor, max(CANDIDATES, neighbors), num_threads, cache_dir
    )
    left, right = np.concatenate([left, far_left]), np.concatenate([right, far_right])
    order = np.lexsort((right, left))
    left, right = left[order], right[order]
    cosine = np.clip(np.concatenate([cosine, far_cosine])[order], 0.0, 1.0)
    usual = np.concatenate([usual, far_usual])[order]
    common = np.zeros(len(left))
    close = cosine >= COSINE_FLOOR
    common[close] = common_share(descriptions, left[close], right[close], num_threads)
    return rescore(facts, Pairs(left, right, cosine, common, np.zeros(len(left)), usual, search), model)


def rescore(facts: Facts, pairs: Pairs, model: PairModel) -> Pairs:
    """Return *pairs* scored by *model*; units of the same identity score 1."""
    values = pair_facts(facts, pairs.left, pairs.right, pairs.cosine, pairs.common)
    score = logistic(values @ np.array(model.weights) + model.intercept)
    score[facts.identity[pairs.left] == facts.identity[pairs.right]] = 1.0
    return replace(pairs, score=score)

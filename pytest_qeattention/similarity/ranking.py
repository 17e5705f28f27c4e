"""Rank the tests of a suite by similarity to a test, a file, a function, a diff, or plain words.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import sys
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pytest_qeattention.attention import csr_pair_dots
from pytest_qeattention.similarity.changes import changed_functions, read_diff
from pytest_qeattention.similarity.describe import Description, describe, word_features, words_of
from pytest_qeattention.similarity.discover import SourcePath, UsageError
from pytest_qeattention.similarity.evidence import BAGS, Features, weigh
from pytest_qeattention.similarity.model import Neighbor, SimilarReport, Unit
from pytest_qeattention.similarity.naming import EVERY_FUNCTION, display_path
from pytest_qeattention.similarity.pairs import (
    SHIPPED,
    FloatArray,
    IntArray,
    Pairs,
    common_share,
    gather_facts,
    near_counts,
    pair_facts,
    rescore,
)
from pytest_qeattention.similarity.partners import find_partners
from pytest_qeattention.similarity.scan import scan_file
from pytest_qeattention.similarity.suite import Suite
from pytest_qeattention.wording import first_names

# A diff or a file larger than this is not what a test could be similar to.
MAX_QUERY_BYTES = 10_000_000
_SHOWN_WORDS = 5


@dataclass(frozen=True, slots=True)
class Query:
    """Hold what tests are ranked against."""

    text: str
    """The query as it is reported."""
    description: Description
    source: str
    """The words that reasons are taken from."""
    name: str = ""
    """Names of the functions asked about, which their tests are likely to use; empty when words alone are known."""


def rank(suite: Suite, query: str, k: int, *, cwd: Path, num_threads: int | None = None) -> SimilarReport:
    """Return the *k* tests of *suite* most similar to *query*, best first.

    *query* is the node id or the name of a test of the suite, ``path::function`` or a file relative to *cwd*, ``-`` for
    a diff on standard input, or plain words. A test is scored as pairs of tests are; anything else by the cosine of
    weighted features, 0 to 1. Raises UsageError for a path without such a function, a name of several tests, and a
    query without words.
    """
    chosen = _unit_number(suite, query)
    if chosen is None:
        asked = _read_query(query, cwd)
        found, text = _rank_query(suite, asked, k, num_threads), asked.text
    else:
        found, text = _rank_unit(suite, chosen, k, num_threads), suite.units[chosen].nodeid
    return SimilarReport(
        workload="test-similarity",
        tests=len(suite.units),
        ranked=(text, tuple(found)),
        problems=suite.problems,
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


def _read_query(query: str, cwd: Path) -> Query:
    if query == "-":
        diff = sys.stdin.buffer.read(MAX_QUERY_BYTES).decode("utf-8", "replace")
        if not diff.strip():
            raise UsageError("standard input is empty: there is no diff, so nothing was ranked")
        changes = read_diff(diff)
        names = " ".join(changed_functions(changes, cwd))
        return _words_query("diff on standard input", f"{changes.text}\n{names}", names)
    path, separator, name = query.partition("::")
    file = cwd / path
    if path and file.is_file():
        return _code_query(query, file, name, cwd) if separator else _file_query(query, file)
    if path.endswith(".py") and len(path.split()) == 1:
        raise UsageError(f"{query}: there is no file {path}; nothing was ranked; check the path")
    return _words_query(query, query)


def _file_query(query: str, file: Path) -> Query:
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_QUERY_BYTES)
    except OSError as error:
        raise UsageError(f"{query} can't be read ({error.strerror or error}), so nothing was ranked") from error
    return _words_query(query, data.decode("utf-8", "replace"))


def _words_query(query: str, source: str, name: str = "") -> Query:
    words = word_features(source)
    if not words:
        raise UsageError(f"{query!r} holds no words, so nothing was ranked; give words, a test, a file or a diff")
    return Query(query, _of_words(words), source, name)


def _of_words(words: bytes) -> Description:
    return Description(b"", b"", words, b"", b"", b"", b"", (), (), False, False)


def _words_cosine(dots: FloatArray) -> FloatArray:
    """Turn products with a row of words alone into cosines: every bag has a third of a row's squared length."""
    cosine: FloatArray = np.minimum(dots * len(BAGS), 1.0)
    return cosine


def _code_query(query: str, file: Path, name: str, cwd: Path) -> Query:
    scan = scan_file(SourcePath(file, display_path(file, cwd)), EVERY_FUNCTION, describe)
    if scan.problem is not None:
        raise UsageError(f"{query}: {scan.path} {scan.problem.message}; nothing was ranked")
    for found in scan.functions:
        if found.unit.qualname == name.replace(".", "::") and found.described is not None:
            return Query(query, found.described, found.unit.source, found.unit.qualname)
    names = ", ".join(found.unit.qualname for found in scan.functions[:5]) or "none"
    raise UsageError(f"{query}: there is no function {name} in {scan.path} (it has: {names}); nothing was ranked")


def _rank_unit(suite: Suite, chosen: int, k: int, num_threads: int | None) -> list[Neighbor]:
    facts = gather_facts(suite.units, suite.descriptions, suite.bindings)
    features = weigh(suite.descriptions)
    partners = find_partners(features, facts.file, num_threads=num_threads)
    near = near_counts(facts, partners.left, partners.right, partners.cosine)
    others = np.flatnonzero(np.arange(len(suite.units)) != chosen)
    left, right = np.minimum(others, chosen), np.maximum(others, chosen)
    cosine = _dots(features, left, right, num_threads)
    values = pair_facts(facts, features, near, left, right, cosine, num_threads)
    every = np.ones(len(others), bool)
    pairs = rescore(facts, Pairs(left, right, cosine, values, cosine, every, partners.search), SHIPPED)
    best = np.lexsort((others, -pairs.score))[:k]
    common = common_share(suite.descriptions, left[best], right[best], num_threads)
    return [
        Neighbor(
            suite.units[others[at]],
            round(float(pairs.score[at]), 6),
            (
                f"{share:.0%} of the code is the same, in order, literals aside",
                f"identifiers and words agree (cosine {cosine[at]:.2f})",
            ),
        )
        for at, share in zip(best.tolist(), common.tolist(), strict=True)
    ]


def _rank_query(suite: Suite, query: Query, k: int, num_threads: int | None) -> list[Neighbor]:
    n = len(suite.units)
    rows = np.arange(n)
    # Code is not written like its tests, which have its name: both count the same.
    asked_for = [query.description, *([_of_words(word_features(query.name))] if query.name else [])]
    features = weigh([*suite.descriptions, *asked_for])
    cosine = _dots(features, rows, np.full(n, n), num_threads)
    if not query.description.tokens:
        cosine = _words_cosine(cosine)
    if query.name:
        cosine = (cosine + _words_cosine(_dots(features, rows, np.full(n, n + 1), num_threads))) / 2
    best = [at for at in np.lexsort((rows, -cosine))[:k].tolist() if cosine[at] > 0]
    rarity = _Rarity(features)
    asked = set(words_of(query.source))
    return [
        Neighbor(suite.units[at], round(float(cosine[at]), 6), _shared_words(suite.units[at], asked, rarity))
        for at in best
    ]


def _dots(features: Features, left: IntArray, right: IntArray, num_threads: int | None) -> FloatArray:
    dots = csr_pair_dots(features.indptr, features.indices, features.values, left, right, num_threads=num_threads)
    clipped: FloatArray = np.clip(dots.astype(np.float64), 0.0, 1.0)
    return clipped


class _Rarity:
    """Tell in how many units a word stands."""

    def __init__(self, features: Features) -> None:
        self._keys = features.keys
        self._frequency = np.bincount(features.indices, minlength=len(features.keys))

    def __call__(self, word: str) -> int:
        key = np.uint64(BAGS.index("words") << 32 | zlib.crc32(word.encode("utf-8", "surrogatepass")))
        at = int(np.searchsorted(self._keys, key))
        return int(self._frequency[at]) if at < len(self._keys) and self._keys[at] == key else 0


def _shared_words(unit: Unit, asked: set[str], rarity: _Rarity) -> tuple[str, ...]:
    shared = sorted(
        (word for word in asked.intersection(words_of(unit.source)) if len(word) > 1 and not word.isdecimal()),
        key=lambda word: (rarity(word), word),
    )
    if not shared:
        return ()
    return (f"shares {', '.join(shared[:_SHOWN_WORDS])}",)

"""How well texts answer a query: by its words, by their letters, and as a whole.

``words`` and ``letters`` are BM25 (Robertson and Zaragoza, 2009) with the full length normalisation, over stems and
over the letter n-grams of words. A word of the query counts by its rarity among the texts and by how often such a word
of a docstring stands in the function that it describes (see `query_words`): "should" and "correctly" hardly ever do.
``cosine`` is TF-IDF. On the five projects that the training of the encoder leaves out (benchmarks/training) the mean
reciprocal rank of a test that its docstring or name asks for was .37 by cosine, .44 by words, .43 by letters, .46 by
both.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_qeattention.similarity.query_words import load_query_words
from pytest_qeattention.syntax.words import WORD, words_of

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

# How soon a word that is said again says no more: .44 with 0.8, .436 with 1.2 on the development projects.
WORDS_SATURATION = 0.8
LETTERS_SATURATION = 1.2
GRAMS = (3, 4)
# The longest first.
_SUFFIXES = (
    *("ations", "ation", "edly", "ings", "ions", "ment", "able", "ing", "ers", "ion"),
    *("ed", "es", "ly", "er", "s"),
)
_LEAST_STEM = 3


def stem(word: str) -> str:
    """Return what forms of a word share, as far as suffixes tell: ``retries`` and ``retried`` are ``retri``."""
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= _LEAST_STEM:
            word = word[: -len(suffix)]
            break
    if len(word) > _LEAST_STEM and word[-1] == "e":
        word = word[:-1]
    if len(word) > _LEAST_STEM and word[-1] == word[-2]:
        word = word[:-1]
    return f"{word[:-1]}i" if len(word) > _LEAST_STEM and word[-1] == "y" else word


def letter_grams(word: str) -> set[str]:
    """Return the runs of three and of four letters of *word*, its ends marked, and the word itself."""
    marked = f"#{word}#"
    return {marked[at : at + size] for size in GRAMS for at in range(len(marked) - size + 1)} | {word}


class _Words(dict[str, int]):
    """Number words as they come, with the parts that they have."""

    def __init__(self) -> None:
        super().__init__()
        self.places: dict[str, int] = {}
        """Number of each part."""
        self.parts = array("i")
        """Numbers of the parts of one word after the other."""
        self.sizes = array("i")
        """How many each word has."""

    def __missing__(self, word: str) -> int:
        parts = [self.places.setdefault(part, len(self.places)) for part in words_of(word)]
        self.parts.extend(parts)
        self.sizes.append(len(parts))
        self[word] = number = len(self)
        return number


class Texts:
    """Hold n texts so that queries can be compared with them."""

    def __init__(self, texts: Iterable[str]) -> None:
        words = _Words()
        said, lengths = array("i"), array("i")
        for text in texts:
            before = len(said)
            said.extend(map(words.__getitem__, WORD.findall(text)))
            lengths.append(len(said) - before)
        n = max(len(lengths), 1)
        # Each word of each text as its parts.
        numbers = np.array(said, np.int64)
        sizes, ends = np.array(words.sizes, np.int64), np.cumsum(words.sizes, dtype=np.int64)
        places = np.repeat(np.repeat(np.arange(len(lengths)), lengths), sizes[numbers])
        first = np.repeat(ends[numbers] - np.cumsum(sizes[numbers]), sizes[numbers])
        parts = np.array(words.parts, np.int64)[first + np.arange(len(first))]
        cells, counts = np.unique(parts * n + places, return_counts=True)
        self._hold(len(lengths), tuple(words.places), *np.divmod(cells, n), counts)

    def pack(self) -> tuple[Any, ...]:
        """Return what is held as plain values, for `unpacked`."""
        counts = self._count.astype(np.min_scalar_type(int(self._count.max(initial=0))))
        held = np.diff(self._ends).astype(np.int32)
        arrays = [each.tobytes() for each in (held, self._text.astype(np.int32), counts)]
        return self.n, self.vocabulary, counts.dtype.str, *arrays

    @classmethod
    def unpacked(cls, packed: tuple[Any, ...]) -> Texts:
        """Return the texts that were packed."""
        n, vocabulary, kind, *arrays = packed
        held, text, counts = (np.frombuffer(*each) for each in zip(arrays, ("i4", "i4", kind), strict=True))
        texts = cls.__new__(cls)
        texts._hold(n, vocabulary, np.repeat(np.arange(len(held)), held), text.astype(np.int64), counts)
        return texts

    def _hold(
        self,
        n: int,
        vocabulary: tuple[str, ...],
        part: IntArray,
        text: IntArray,
        counts: npt.NDArray[np.integer[Any]],
    ) -> None:
        self.n = n
        self.vocabulary = vocabulary
        self._part, self._text = part, text
        self._count = counts.astype(np.float64)
        self._ends = np.concatenate(([0], np.cumsum(np.bincount(part, minlength=max(len(vocabulary), 1)))))
        self._places = {word: at for at, word in enumerate(vocabulary)}

    @cached_property
    def _by_stem(self) -> dict[str, list[int]]:
        """Words of the vocabulary by stem."""
        found: dict[str, list[int]] = {}
        for at, word in enumerate(self.vocabulary):
            found.setdefault(stem(word), []).append(at)
        return found

    @cached_property
    def _by_gram(self) -> tuple[dict[str, list[int]], FloatArray]:
        """Words of the vocabulary by letter n-gram, and how many n-grams each has."""
        found: dict[str, list[int]] = {}
        counts = np.zeros(len(self.vocabulary))
        for at, word in enumerate(self.vocabulary):
            grams = letter_grams(word)
            counts[at] = len(grams)
            for gram in grams:
                found.setdefault(gram, []).append(at)
        return found, counts

    @cached_property
    def _weighted(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Rarity of each word, TF-IDF of each word in each text, and the length of each text's vector."""
        rarity = np.log((1 + self.n) / (1 + np.diff(self._ends))) + 1
        values = (1 + np.log(self._count)) * rarity[self._part]
        return rarity, values, np.sqrt(np.bincount(self._text, values**2, minlength=self.n))

    def frequency(self, word: str) -> int:
        """Return how many texts have *word*, in lower case."""
        at = self._places.get(word)
        return 0 if at is None else int(self._ends[at + 1] - self._ends[at])

    def words(self, query: str) -> FloatArray:
        """Return how well each text answers *query* by words, float64 (n,) from 0 to 1."""
        return self._bm25(_stems(query), self._by_stem, np.ones(len(self.vocabulary)), WORDS_SATURATION)

    def known(self, query: str) -> float:
        """Return the share from 0 to 1 that words which some text has have in what the words of *query* weigh."""
        total = known = 0.0
        for term, weight in _stems(query).items():
            having = len(np.unique(self._text[self._entries(self._by_stem.get(term, ()))]))
            worth = self._worth(weight, having)
            total += worth
            known += worth if having else 0.0
        return known / total if total > 0 else 0.0

    def letters(self, query: str) -> FloatArray:
        """Return how well each text answers *query* by the letters of words, float64 (n,) from 0 to 1."""
        weights: dict[str, float] = {}
        for word, count in Counter(words_of(query)).items():
            # Sums depend on their order, and that of a set on the process.
            for gram in sorted(letter_grams(word)):
                weights[gram] = weights.get(gram, 0.0) + 1 + math.log(count)
        return self._bm25(weights, *self._by_gram, LETTERS_SATURATION)

    def cosine(self, query: str) -> FloatArray:
        """Return the cosine of TF-IDF of each text and *query*, float64 (n,) from 0 to 1."""
        rarity, values, length = self._weighted
        dots = np.zeros(self.n)
        squares = 0.0
        for word, count in Counter(words_of(query)).items():
            at = self._places.get(word)
            if at is None:
                continue
            weight = (1 + math.log(count)) * rarity[at]
            squares += weight**2
            entries = slice(self._ends[at], self._ends[at + 1])
            dots[self._text[entries]] += weight * values[entries]
        cosines: FloatArray = dots / np.maximum(length * math.sqrt(squares), 1e-12)
        return cosines

    def _bm25(
        self, weights: dict[str, float], holders: dict[str, list[int]], sizes: FloatArray, saturation: float
    ) -> FloatArray:
        """Score texts by terms: *holders* lists the words that have each term, *sizes* counts the terms of a word."""
        lengths = np.bincount(self._text, self._count * sizes[self._part], minlength=self.n)
        mean = float(lengths.mean()) if self.n else 1.0
        damping = saturation * lengths / max(mean, 1e-12)
        scores, total = np.zeros(self.n), 0.0
        for term, weight in weights.items():
            entries = self._entries(holders.get(term, ()))
            if not len(entries):
                continue
            counts = np.bincount(self._text[entries], self._count[entries], minlength=self.n)
            having = np.flatnonzero(counts)
            worth = self._worth(weight, len(having))
            scores[having] += worth * counts[having] / (counts[having] + damping[having])
            total += worth
        shares: FloatArray = scores / total if total > 0 else scores
        return shares

    def _worth(self, weight: float, having: int) -> float:
        """Return what a term that *having* texts have counts."""
        return weight * math.log((self.n + 1) / (having + 0.5))

    def _entries(self, parts: Iterable[int]) -> IntArray:
        ranges = [np.arange(self._ends[at], self._ends[at + 1]) for at in parts]
        return np.concatenate(ranges) if ranges else np.empty(0, np.int64)


def _stems(query: str) -> dict[str, float]:
    """Return the weight of each stem of a query: how often it is there, and how likely such a word is in a function."""
    weights: dict[str, float] = {}
    chances = load_query_words()
    for word, count in Counter(words_of(query)).items():
        key = stem(word)
        weights[key] = weights.get(key, 0.0) + (1 + math.log(count)) * chances.of(word)
    return weights

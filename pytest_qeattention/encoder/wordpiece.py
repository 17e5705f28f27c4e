"""WordPiece: the tokens of BERT's uncased models (Devlin et al., 2019; Wu et al., 2016).

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from functools import lru_cache

UNKNOWN, FIRST, LAST = "[UNK]", "[CLS]", "[SEP]"
_CONTINUED = "##"
# A word of more characters is unknown.
_LONGEST_WORD = 100
_IDEOGRAPHS = (
    *((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F)),
    *((0x2B740, 0x2B81F), (0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F)),
)


class WordPiece:
    """Cut text into the longest pieces of words that a vocabulary has."""

    def __init__(self, vocabulary: Mapping[str, int]) -> None:
        """Take the number of each piece. Raises KeyError where one that marks the ends of a text is missing."""
        self._vocabulary = dict(vocabulary)
        self._unknown, self._first, self._last = (self._vocabulary[name] for name in (UNKNOWN, FIRST, LAST))
        self._pieces = lru_cache(maxsize=100_000)(self._cut)

    def encode(self, text: str, most: int) -> list[int]:
        """Return the numbers of the pieces of *text* with the marks of its ends, at most *most* in all."""
        numbers = [self._first]
        for word in words(text):
            numbers.extend(self._pieces(word))
            if len(numbers) >= most:
                break
        return [*numbers[: most - 1], self._last]

    def _cut(self, word: str) -> tuple[int, ...]:
        if len(word) > _LONGEST_WORD:
            return (self._unknown,)
        found, start = [], 0
        while start < len(word):
            prefix = _CONTINUED if start else ""
            for end in range(len(word), start, -1):
                number = self._vocabulary.get(prefix + word[start:end])
                if number is not None:
                    break
            else:
                return (self._unknown,)
            found.append(number)
            start = end
        return tuple(found)


def words(text: str) -> Iterator[str]:
    """Yield the words, punctuation and ideographs of *text*, in lower case and without accents."""
    spaced = "".join(_cleaned(text))
    plain = unicodedata.normalize("NFD", spaced.lower())
    for word in "".join(each for each in plain if unicodedata.category(each) != "Mn").split():
        start = 0
        for at, each in enumerate(word):
            if _is_punctuation(each):
                if start < at:
                    yield word[start:at]
                yield each
                start = at + 1
        if start < len(word):
            yield word[start:]


def _cleaned(text: str) -> Iterator[str]:
    for each in text:
        code = ord(each)
        if each in "\t\n\r":
            yield " "
        elif code in (0, 0xFFFD) or unicodedata.category(each).startswith("C"):
            continue
        elif any(first <= code <= last for first, last in _IDEOGRAPHS):
            yield f" {each} "
        else:
            yield " " if unicodedata.category(each) == "Zs" else each


def _is_punctuation(each: str) -> bool:
    code = ord(each)
    # Symbols of ASCII, such as $ and ~, count as punctuation, whatever Unicode calls them.
    in_ascii = 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126
    return in_ascii or unicodedata.category(each).startswith("P")

"""Words of source code and their parts, hashed.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import re
import zlib
from array import array
from itertools import pairwise

from pytest_qeattention.similarity.bags import pack_bag

_WORD = re.compile(r"[^\W\d]\w*|\d+")
_NUMBER = re.compile(r"\d+")
_WORD_PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+|[^\W\d_a-zA-Z]+")

_token_ids: dict[str, int] = {}
_word_ids: dict[str, tuple[int, ...]] = {}
# Past this many distinct strings the memo is emptied: a suite of generated names must not grow without bound.
MEMO_LIMIT = 400_000


def token_id(token: str) -> int:
    """Hash *token*."""
    known = _token_ids.get(token)
    if known is None:
        if len(_token_ids) >= MEMO_LIMIT:
            _token_ids.clear()
        known = _token_ids[token] = zlib.crc32(token.encode("utf-8", "surrogatepass"))
    return known


def hashed_word(word: str) -> tuple[int, ...]:
    """Hash *word* itself, its parts, and neighbouring parts, in this order."""
    known = _word_ids.get(word)
    if known is None:
        if len(_word_ids) >= MEMO_LIMIT:
            _word_ids.clear()
        # Numbers count as one word: which number it is says little of what a test is about.
        parts = ["#" if part.isdecimal() else part.lower() for part in _WORD_PART.findall(word)]
        features = [f"w:{_NUMBER.sub('#', word)}", *parts, *(f"{a}_{b}" for a, b in pairwise(parts))]
        known = _word_ids[word] = tuple(zlib.crc32(feature.encode("utf-8", "surrogatepass")) for feature in features)
    return known


def word_features(text: str) -> bytes:
    """Return the bag of the hashed words of *text*, their parts, and neighbouring pairs of both."""
    features = array("I")
    previous: int | None = None
    for word in _WORD.findall(text):
        ids = hashed_word(word)
        features.extend(ids)
        if previous is not None:
            features.append((previous * 0x9E3779B1 ^ ids[0]) & 0xFFFFFFFF)
        previous = ids[0]
    return pack_bag(features)


def words_of(text: str) -> list[str]:
    """List the parts of the words of *text* in lower case, in order: ``HTTPServer_test2`` has four."""
    return [part.lower() for word in _WORD.findall(text) for part in _WORD_PART.findall(word)]

"""Words of source code and their parts, hashed.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import re
import zlib
from array import array
from itertools import pairwise

from pytest_qeattention.similarity.bags import pack_bag
from pytest_qeattention.syntax.words import MEMO_LIMIT, WORD, WORD_PART

_NUMBER = re.compile(r"\d+")

_token_ids: dict[str, int] = {}
_word_ids: dict[str, tuple[int, ...]] = {}


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
        parts = ["#" if part.isdecimal() else part.lower() for part in WORD_PART.findall(word)]
        features = [f"w:{_NUMBER.sub('#', word)}", *parts, *(f"{a}_{b}" for a, b in pairwise(parts))]
        known = _word_ids[word] = tuple(zlib.crc32(feature.encode("utf-8", "surrogatepass")) for feature in features)
    return known


def word_features(text: str) -> bytes:
    """Return the bag of the hashed words of *text*, their parts, and neighbouring pairs of both."""
    features = array("I")
    previous: int | None = None
    for word in WORD.findall(text):
        ids = hashed_word(word)
        features.extend(ids)
        if previous is not None:
            features.append((previous * 0x9E3779B1 ^ ids[0]) & 0xFFFFFFFF)
        previous = ids[0]
    return pack_bag(features)

"""Words of texts and of source code, and their parts.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import re

WORD = re.compile(r"[^\W\d]\w*|\d+")
WORD_PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+|[^\W\d_a-zA-Z]+")

MEMO_LIMIT = 400_000
"""Past this many distinct strings a memo is emptied: a suite of generated names must not grow without bound."""


def words_of(text: str) -> list[str]:
    """List the parts of the words of *text* in lower case, in order: ``HTTPServer_test2`` has four."""
    return [part.lower() for word in WORD.findall(text) for part in WORD_PART.findall(word)]

"""The words of a suite's tests, counted anew only when a test has changed.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import marshal
from collections.abc import Callable
from pathlib import Path

from pytest_qeattention.cache import Cache, code_key, key_of
from pytest_qeattention.similarity.relevance import Texts


def kept_texts(
    count: Callable[[], tuple[Texts, ...]], name: object, state: bytes | None, cache_dir: Path | None
) -> tuple[Texts, ...]:
    """Return what *count* returns, or what is kept in *cache_dir* under that *name* and was counted in that *state*.

    One entry is kept under a name, that of the last state. Without a state or a directory nothing is kept.
    """
    cache = Cache(cache_dir)
    if state is None or not cache.is_on:
        return count()
    key = key_of("texts", code_key(), name)
    data = cache.read([key]).get(key)
    if data is not None:
        # Whole and of this version, as checksum and key say.
        known, *packed = marshal.loads(data)
        if known == state:
            return tuple(map(Texts.unpacked, packed))
    texts = count()
    cache.write({key: marshal.dumps((state, *(each.pack() for each in texts)))})
    return texts

"""What differs between the tests of groups, read from an earlier run where the tests are the same.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

from pytest_qeattention.cache import Cache, code_key, key_of
from pytest_qeattention.similarity.explain import differences
from pytest_qeattention.similarity.model import Unit


class KnownDifferences:
    """Answer as `explain.differences` does, and keep the answers in *cache*: parsing the tests again takes longer."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._key = key_of("differences", code_key(), os.getcwd()) if cache.is_on else b""
        self._known = self._read() if cache.is_on else {}
        self._used: dict[str, tuple[str, ...]] = {}

    def of(self, tests: Sequence[Unit]) -> tuple[str, ...]:
        """Say which literals, names and decorators differ between *tests*."""
        if not self._cache.is_on:
            return differences(tests)
        name = key_of(*((unit.source, unit.decorators) for unit in tests)).hex()
        told = self._known.get(name)
        self._used[name] = differences(tests) if told is None else told
        return self._used[name]

    def keep(self) -> None:
        """Write what was asked for, if any of it is new."""
        if not self._used.keys() <= self._known.keys():
            self._cache.write({self._key: json.dumps(self._used).encode("ascii")})

    def _read(self) -> dict[str, tuple[str, ...]]:
        data = self._cache.read([self._key]).get(self._key)
        try:
            known = json.loads(data) if data is not None else {}
            return {name: tuple(map(str, told)) for name, told in known.items()}
        except (ValueError, TypeError, AttributeError):
            return {}

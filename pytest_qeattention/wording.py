"""Numbers and names as messages and reports write them.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Sequence

_NAMES_SHOWN = 3


def counted(count: int, noun: str) -> str:
    """Return a number with its noun: ``1 test``, ``2 tests``, ``no tests``."""
    return f"{'no' if count == 0 else count} {noun}{'' if count == 1 else 's'}"


def first_names(names: Sequence[str]) -> str:
    """Return the first three of *names*, and ``…`` for the rest."""
    return ", ".join(names[:_NAMES_SHOWN]) + (", …" if len(names) > _NAMES_SHOWN else "")

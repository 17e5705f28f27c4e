"""How common features are in tests at large, so that a small suite is not its own only measure.

The table holds, for each bag, the share of tests of other projects that have a feature; features rarer than one test in
300 are not in it. It was counted by benchmarks/training/background.py over the distributions that
benchmarks/results/background.json names.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pytest_qeattention.store import read_checked

FILE = Path(__file__).with_name("background.bin")
MAGIC = b"QEBACKGR"
VERSION = 1


class BackgroundError(RuntimeError):
    """Say that the installed table cannot be used."""


@dataclass(frozen=True, slots=True, eq=False)
class Background:
    """Hold the features of one bag, uint32 ascending, and their shares of tests, float64 from 0 to 1."""

    features: npt.NDArray[np.uint32]
    shares: npt.NDArray[np.float64]

    def of(self, features: npt.NDArray[np.uint32]) -> npt.NDArray[np.float64]:
        """Return the share of tests at large that have each of *features*; 0 for those not in the table."""
        at = np.minimum(np.searchsorted(self.features, features), len(self.features) - 1)
        return np.where(self.features[at] == features, self.shares[at], 0.0)


def pack(bags: list[Background]) -> bytes:
    """Write *bags* as the payload of the table: per bag the count, the features and 16-bit shares."""
    parts: list[bytes] = []
    for bag in bags:
        shares = np.round(bag.shares * 65535).astype("<u2")
        parts += [np.array(len(shares), "<u4").tobytes(), bag.features.astype("<u4").tobytes(), shares.tobytes()]
    return b"".join(parts)


@cache
def load_background() -> tuple[Background, ...]:
    """Read the installed table, one entry a bag; raises BackgroundError when it is missing or damaged."""
    checked = read_checked(FILE, magic=MAGIC, version=VERSION)
    if checked.payload is None:
        problem = checked.problem or f"{FILE} is missing"
        raise BackgroundError(f"{problem}; tests cannot be compared without it; reinstall pytest-qeattention")
    payload, bags, start = checked.payload, [], 0
    while start < len(payload):
        count = int(np.frombuffer(payload, "<u4", 1, start)[0])
        features = np.frombuffer(payload, "<u4", count, start + 4).astype(np.uint32)
        shares = np.frombuffer(payload, "<u2", count, start + 4 + 4 * count).astype(np.float64) / 65535
        bags.append(Background(features, shares))
        start += 4 + 6 * count
    return tuple(bags)

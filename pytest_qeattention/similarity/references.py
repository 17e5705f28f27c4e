"""Which functions of a project run which, over a few steps, as far as names tell.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pytest_qeattention.similarity.discover import SourcePath
from pytest_qeattention.similarity.links import Links
from pytest_qeattention.similarity.naming import display_path

FloatArray = npt.NDArray[np.float64]

# Through how many functions one may run another, and what is left of the weight at each.
STEPS = 4
STEP_WEIGHT = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Reach:
    """Hold how surely each function runs one of those asked about."""

    weights: FloatArray
    """From 0 to 1, float64 (n,)."""
    through: Callable[[int], tuple[int, float]]
    """Returns the number of the function that one calls on the way, and its share in what the name may mean from 0 to
    1; -1 and 0 for none."""


class References:
    """Hold n functions, and which of them each refers to."""

    def __init__(self, files: Iterable[tuple[str, Sequence[str]]], links: Links) -> None:
        """Take the displayed path of each file with the names, ``Class::name``, of its functions, and their links."""
        places = [(path, qualname) for path, qualnames in files for qualname in qualnames]
        self._names = [qualname for _, qualname in places]
        self._numbers = {place: number for number, place in enumerate(places)}
        self._ends = np.concatenate(([0], np.cumsum(links.counts)))
        self._source = np.repeat(np.arange(len(links.counts)), links.counts)
        self._target = links.targets
        self._weight = links.weights

    def number(self, path: str, qualname: str) -> int | None:
        """Return the number of the function that *qualname* (``Class::name``) names in the file displayed as *path*."""
        return self._numbers.get((path, qualname))

    def name(self, number: int) -> str:
        """Return the name of a function with its classes, dots between."""
        return self._names[number].replace("::", ".")

    def reach(self, targets: Sequence[int]) -> Reach:
        """Return how surely each function is or runs one of *targets*, in at most `STEPS` steps."""
        n = len(self._names)
        current = np.zeros(n)
        current[list(targets)] = 1.0
        missed = 1.0 - current
        steps: list[FloatArray] = []
        for step in range(STEPS):
            steps.append(current)
            shares = self._weight * current[self._target]
            current = np.minimum(np.bincount(self._source, shares, minlength=n), 1.0)
            missed *= 1 - STEP_WEIGHT**step * current
        return Reach(1 - missed, lambda number: self._through(number, steps))

    def _through(self, number: int, steps: Sequence[FloatArray]) -> tuple[int, float]:
        """Return the surest way from a function in as few steps as there are; of equals the first in the files."""
        entries = slice(self._ends[number], self._ends[number + 1])
        targets = self._target[entries]
        for current in steps:
            shares = self._weight[entries] * current[targets]
            if np.any(shares > 0):
                best = int(np.lexsort((targets, -shares))[0])
                return int(targets[best]), float(self._weight[entries][best])
        return -1, 0.0


def project_files(asked: Iterable[Path], tests: Iterable[Path], cwd: Path) -> list[SourcePath]:
    """List the files that may stand between the tests and functions of the files *asked*, all absolute, by path.

    These are the packages of the files asked, all files beside the tests, and the conftest files above those.
    """
    found: set[Path] = set()
    for directory in {path.parent for path in asked}:
        root = directory
        while (root / "__init__.py").is_file() and (root.parent / "__init__.py").is_file():
            root = root.parent
        found.update(root.rglob("*.py") if (root / "__init__.py").is_file() else root.glob("*.py"))
    for directory in {path.parent for path in tests}:
        found.update(directory.glob("*.py"))
        above = [directory, *directory.parents]
        inside = above[: above.index(cwd) + 1] if cwd in above else above[:1]
        found.update(filter(Path.is_file, (place / "conftest.py" for place in inside)))
    return [SourcePath(path, display_path(path, cwd)) for path in sorted(found)]

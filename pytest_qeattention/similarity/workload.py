"""A workload says what of a test to embed, how to compare the vectors, and how to report what was found.

The built-in analysis (``test-similarity``) is one; plugins add theirs through the hook ``pytest_qe_workloads``.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_qeattention.similarity.model import Group, SimilarReport, Unit

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from pytest_qeattention.similarity.suite import Suite

Progress = Callable[[str, int, int], None]
"""Called with a stage's name, the steps done and the steps in all."""


@dataclass(frozen=True, slots=True)
class Request:
    """Say what one analysis is asked for."""

    neighbors: int = 0
    """Number of nearest tests to list for every test; 0 lists none."""
    num_threads: int | None = None
    """Threads for the core; None for all that the process may use."""
    cache_dir: Path | None = None
    """Directory of the plugin's caches; None keeps nothing."""
    progress: Progress | None = None


class Workload(abc.ABC):
    """Define a similarity analysis over the tests of a suite.

    Subclasses give :attr:`name` and :meth:`embed`; what else they override is up to them.
    """

    name: str
    """Identifies the workload in reports, for instance ``shared-fixtures``."""
    title: str = ""
    """Heading of its section in the terminal report; empty for the name."""
    threshold: float = 0.9
    """Cosine similarity from which two tests belong together."""
    neighbors: int = 10
    """Number of nearest tests that are looked at for each test."""

    @abc.abstractmethod
    def embed(self, units: Sequence[Unit]) -> npt.NDArray[np.float32]:
        """Return one vector per unit.

        Shape (len(units), d), float32. Rows are normalised by the caller; a row of zeros says that the unit has
        nothing to compare, and leaves it out.
        """

    def reasons(self, tests: Sequence[Unit], score: float) -> Sequence[str]:
        """Say in words why *tests* stand together; *score* is their lowest cosine similarity."""
        return (f"{len(tests)} tests with cosine similarity of at least {score:.2f}",)

    def report(self, groups: Sequence[Group]) -> Sequence[str] | None:
        """Return the lines of the terminal report, or None for the standard rendering of *groups*."""
        return None

    def analyse(self, suite: Suite, request: Request) -> SimilarReport:
        """Embed the suite's units, find each one's nearest, and group those above the threshold."""
        from pytest_qeattention.similarity.vectors import analyse_vectors

        return analyse_vectors(self, suite, request)

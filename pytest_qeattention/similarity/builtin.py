"""The built-in workload: which tests of a suite repeat each other.

What computes is imported when there is something to compute, which a cache may spare.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pytest_qeattention.cache import Cache, key_of
from pytest_qeattention.similarity.model import SimilarReport, Unit
from pytest_qeattention.similarity.records import pack_report, unpack_report
from pytest_qeattention.similarity.suite import Suite
from pytest_qeattention.similarity.workload import Request, Workload

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

BUILTIN = "test-similarity"


class TestSimilarity(Workload):
    """Find tests that are the same, could be folded into one, or are otherwise alike."""

    __test__ = False  # pytest takes classes named Test… for tests

    name = BUILTIN
    title = "similar tests"

    @property
    def threshold(self) -> float:  # type: ignore[override]
        """Score from which a group is reported."""
        from pytest_qeattention.similarity.grouping import GROUP_THRESHOLD

        return GROUP_THRESHOLD

    def embed(self, units: Sequence[Unit]) -> npt.NDArray[np.float32]:
        """Return the sketch of each unit's features, float32 (len(units), 64)."""
        from pytest_qeattention.similarity.analysis import sketches

        return sketches(units)

    def analyse(self, suite: Suite, request: Request) -> SimilarReport:
        """Score pairs of the suite's units and group them, or return the report that is kept of the same suite."""
        with Cache(request.cache_dir) as cache:
            kept = self._kept(cache, suite, request)
            if kept is not None:
                return kept
            from pytest_qeattention.attention import core_problem
            from pytest_qeattention.similarity.analysis import find_similar

            report = find_similar(self.name, suite, self.threshold, request)
            if suite.read_key is not None and type(self) is TestSimilarity:
                cache.write({_report_key(suite.read_key, request): pack_report(report, core_problem())})
            return report

    def _kept(self, cache: Cache, suite: Suite, request: Request) -> SimilarReport | None:
        if suite.key is None or type(self) is not TestSimilarity:
            return None
        name = _report_key(suite.key, request)
        data = cache.read([name]).get(name)
        if data is None:
            return None
        try:
            report, suite.kept_notice = unpack_report(data)
            return report
        except (ValueError, TypeError, KeyError, IndexError, RecursionError):
            return None


def _report_key(suite: bytes, request: Request) -> bytes:
    return key_of("report", suite, request.neighbors)

"""The hooks that pytest-qeattention calls: ``pytest_qe_*``.

Implement them in a ``conftest.py`` or a plugin. Each implementation is called on its own, so that one that
raises or returns something else than promised is named in the report, with its plugin, and costs no other one
its answer. A hook wrapper runs once around all implementations, and what it returns in place of their answers is
not used; one that raises is named as well. All of them run where the analysis runs: in the only process, or with
pytest-xdist on the controller, never on a worker.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_qeattention.similarity.model import Group
    from pytest_qeattention.similarity.workload import Workload


@pytest.hookspec
def pytest_qe_workloads(config: pytest.Config) -> Sequence[Workload]:  # type: ignore[empty-body]
    """Contribute similarity analyses that ``--qe-similar`` runs besides its own.

    Called once, after collection. The built-in analysis (``test-similarity``) comes through this hook as
    well, last and outside of hook wrappers. Names are unique: of two workloads with one name the first is taken, and
    ``test-similarity`` cannot be taken over. ``--qe-workload=NAME`` chooses among all that were contributed.

    :param config: The pytest config object.
    :returns: The workloads to add; an empty list, or None, adds none.

    Runs in the single process or on the controller. With ``-n`` and ``--qe-run`` only the workers collect, so
    an implementation in the ``conftest.py`` of a subdirectory is not seen by the controller: put it in the
    ``conftest.py`` at the root, or in a plugin. Without ``--qe-run`` nothing is distributed, and all are
    seen.

    .. code-block:: python

        # conftest.py
        class SameFixtures(pytest_qeattention.Workload):
            name = "same-fixtures"

            def embed(self, units): ...


        def pytest_qe_workloads(config):
            return [SameFixtures()]
    """


@pytest.hookspec
def pytest_qe_similar_groups(config: pytest.Config, workload: Workload, groups: Sequence[Group]) -> None:
    """Be told of the groups that a similarity analysis found.

    Called once for every workload that was run, after its analysis and before the report is written, also
    when it found no group. The plugin's own report is told through this hook as well, and last.

    :param config: The pytest config object.
    :param workload: The workload that was run; its ``name`` says which.
    :param groups: The groups found, what is most worth acting on first, without tests that are acknowledged in their
        file; ``group.status`` says which ones a baseline has accepted. Do not modify.

    Runs in the single process or on the controller, after the tests.

    .. code-block:: python

        # conftest.py
        def pytest_qe_similar_groups(config, workload, groups):
            for group in groups:
                if group.kind == "duplicate":
                    notify(group.tests[0].nodeid, [test.nodeid for test in group.tests[1:]])
    """

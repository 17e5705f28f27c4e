"""Attention and exact nearest neighbours over tiles of Q.Kᵀ that are never stored.

One tile loop has two epilogues: online softmax (`flash_attention`) and online top-k (`topk_similarity`).
`backend` decides what runs them: the compiled core, one kernel variant per instruction set, or NumPy
(`reference`), which has the same signatures and results to rounding.

    qeattention.py  QEAttention: attention as a workload uses it, over the public functions
    workloads.py    configurations of the workloads: heads, chunks, precision, targets
    metrics.py      what the calls of a workload cost, derived from recorded events
    baseline.py     attention in plain NumPy, which a workload's speed-up is measured against
    flash.py        attention: validation, broadcasting, dispatch
    functional.py   the other public functions: top-k, sparse pairs, common subsequences
    arguments.py    validation; every error names the argument, what it was and what was expected
    backend.py      which implementation runs, and why
    reference.py    NumPy: fallback and oracle
    _core           compiled: OpenMP over (batch, head, query tile) tasks around the C kernels

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from pytest_qeattention.attention.backend import core_problem
from pytest_qeattention.attention.functional import (
    csr_pair_dots,
    flash_attention,
    lcs_lengths,
    topk_similarity,
)

if TYPE_CHECKING:
    from pytest_qeattention.attention.qeattention import QEAttention
    from pytest_qeattention.attention.workloads import AttentionConfig

__all__ = [
    "AttentionConfig",
    "QEAttention",
    "core_problem",
    "csr_pair_dots",
    "flash_attention",
    "lcs_lengths",
    "topk_similarity",
]

# Not needed by an analysis of a suite, so not loaded by it.
_HOME = {
    "AttentionConfig": "pytest_qeattention.attention.workloads",
    "QEAttention": "pytest_qeattention.attention.qeattention",
}


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))

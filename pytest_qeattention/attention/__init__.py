"""Attention and exact nearest neighbours over tiles of Q.Kᵀ that are never stored.

One tile loop has two epilogues: online softmax (`flash_attention`) and online top-k (`topk_similarity`).
`backend` decides what runs them: the compiled core, one kernel variant per instruction set, or NumPy
(`reference`), which has the same signatures and results to rounding.

    functional.py   the public functions: broadcasting, dispatch
    arguments.py    validation; every error names the argument, what it was and what was expected
    backend.py      which implementation runs, and why
    reference.py    NumPy: fallback and oracle
    _core           compiled: OpenMP over (batch, head, query tile) tasks around the C kernels

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from pytest_qeattention.attention.backend import core_problem
from pytest_qeattention.attention.functional import (
    csr_pair_dots,
    flash_attention,
    lcs_lengths,
    topk_similarity,
)

__all__ = ["core_problem", "csr_pair_dots", "flash_attention", "lcs_lengths", "topk_similarity"]

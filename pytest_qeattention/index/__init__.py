"""Exact and HNSW nearest neighbours behind one interface.

Exact search compares every pair with the streaming top-k of the core; HNSW (hnswlib) answers approximately and
takes over where exact search stops paying: at a size extrapolated from what benchmarks/suite_scale.py and crossover.py
measured. What HNSW returns is scored again exactly, and its recall is measured against exact search on a sample before
it is believed.

hnswlib is imported by the first search that uses HNSW, and only after a subprocess has shown that it loads
here.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from pytest_qeattention.index.hnswlib_probe import hnsw_state
from pytest_qeattention.index.neighbors import Mode, Nearest, crossover, nearest, search

__all__ = ["Mode", "Nearest", "crossover", "hnsw_state", "nearest", "search"]

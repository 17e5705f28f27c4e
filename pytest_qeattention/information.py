"""What serves the calls on this machine: the attention core, its variants, the readers of source, and hnswlib.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytest_qeattention.attention.backend import core_info
from pytest_qeattention.encoder.tokens import twin as tokenizer
from pytest_qeattention.index import hnsw_state
from pytest_qeattention.similarity.describe import reader_info


def backend_info(*, probe: bool = False, cache_dir: Path | None = None) -> dict[str, Any]:
    """Describe what serves the calls and why, as plain values that JSON can hold.

    Keys: those of `attention.backend.core_info` (version, package, backend, reason, variant, variants, openmp, threads,
    forked, cpu, numpy, build), reader (of the source of tests: implementation, "compiled" or "python", and reason),
    tokenizer (of what the encoder reads: the same) and hnswlib. With *probe*, a subprocess finds out whether hnswlib
    loads on this processor, unless its verdict is in *cache_dir*; without, only a verdict that is known already is
    told. What is not known is None. Never raises for a setting that cannot be served: ``backend`` is then None and
    ``reason`` says why.
    """
    readers = {"reader": reader_info(), "tokenizer": tokenizer().info()}
    return {**core_info(), **readers, "hnswlib": hnsw_state(cache_dir, probe=probe)}

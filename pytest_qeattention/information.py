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
    tokenizer (of what the encoder reads: the same), encoder (its weights: model, layers, dimension, bytes, the
    distributions that it was trained on with version and licence, state and reason) and hnswlib. With *probe*, the
    weights are read, and a subprocess finds out whether hnswlib loads on this processor, unless its verdict is in
    *cache_dir*; without, only a verdict that is known already is told. What is not known is None. Never raises for a
    setting that cannot be served: ``backend`` is then None and ``reason`` says why.
    """
    readers = {"reader": reader_info(), "tokenizer": tokenizer().info(), "encoder": _encoder_info(probe=probe)}
    return {**core_info(), **readers, "hnswlib": hnsw_state(cache_dir, probe=probe)}


def _encoder_info(*, probe: bool) -> dict[str, Any]:
    info: dict[str, Any] = dict.fromkeys(("model", "layers", "dimension", "bytes", "trained_on"))
    if not probe:
        return {**info, "state": "not read", "reason": "nothing has needed the encoder yet"}
    # Imported here, because they bring NumPy, which a report that is kept needs not.
    from pytest_qeattention.encoder.shipped import SHIPPED
    from pytest_qeattention.encoder.weights import WeightsError, read_weights

    try:
        weights = read_weights(SHIPPED)
    except WeightsError as error:
        return {**info, "state": "unusable", "reason": str(error)}
    sources = weights.provenance.get("distributions")
    distributions: list[list[str]] = sources if isinstance(sources, list) else []
    return {
        "model": weights.model,
        "layers": weights.architecture.get("layers"),
        "dimension": weights.architecture.get("d"),
        "bytes": SHIPPED.stat().st_size,
        "trained_on": [f"{name} {version} ({licence})" for name, version, licence in distributions],
        "state": "usable",
        "reason": "the weights in this package are whole",
    }

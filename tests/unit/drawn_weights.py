"""Weights of a small network, drawn."""

from __future__ import annotations

from typing import Any

import numpy as np

from pytest_qeattention.encoder.parameters import Architecture, layer_shapes


def drawn_arrays(architecture: Architecture, *, words: int = 30, seed: int = 0) -> dict[str, Any]:
    """Draw a network's arrays, with tables of *words* known parts where it has roles."""
    rng = np.random.default_rng(seed)
    d = architecture.d

    def normal(*shape: int, size: float = 1.0) -> Any:
        return (rng.standard_normal(shape) * size).astype(np.float32)

    arrays: dict[str, Any] = {}
    for layer in range(architecture.layers):
        for name, shape in layer_shapes(architecture).items():
            drawn = normal(*shape, size=shape[1] ** -0.5 if len(shape) == 2 else 0.1)
            arrays[f"layer.{layer}.{name}"] = 1 + drawn if name.endswith(".gain") else drawn
    if architecture.roles:
        arrays |= {
            "roles": normal(architecture.roles, d, size=0.5),
            "kinds": normal(architecture.kinds, d, size=0.5),
            "positions": normal(architecture.positions, d, size=0.5),
            "words": normal(words, d),
            "vocabulary": np.sort(rng.choice(1 << 32, words, replace=False)).astype(np.uint32),
            "code_scale": np.array([0.7], np.float32),
            "final_norm.gain": 1 + normal(d, size=0.1),
            "final_norm.bias": normal(d, size=0.1),
            "pool": normal(d, size=0.3),
        }
    return arrays

"""Write a trained model as the file of weights that the package ships.

    python -m benchmarks.training.export MODEL.pt FILE [--name NAME] [--matrices float16] [--evaluation JSON]

The file says on what the model was trained: names, versions and licences of the distributions, seed and steps; and how
much the cosine of words weighs beside that of vectors, by task, where an evaluation says so.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.training.corpus import CORPORA
from benchmarks.training.network import EPS, Encoder
from benchmarks.training.train import load
from pytest_qeattention.encoder.weights import WeightsError, write_weights


def architecture(model: Encoder) -> dict[str, int | float | str]:
    """Return the sizes of *model*, as the package reads them."""
    shape = model.shape
    sizes = {"d": shape.d, "heads": shape.heads, "layers": shape.layers, "ffn": shape.ffn, "roles": shape.roles}
    return {
        **sizes,
        "positions": shape.positions,
        "kinds": shape.kinds,
        "norm": "pre",
        "activation": "gelu_tanh",
        "eps": EPS,
    }


def arrays(model: Encoder) -> dict[str, npt.NDArray[np.generic]]:
    """Return the weights of *model* by the names of the file, and its vocabulary."""
    weights = {name: tensor.detach().cpu().numpy() for name, tensor in model.state_dict().items()}
    return {**weights, "vocabulary": model.vocabulary}


def provenance(record: Mapping[str, Any], weights: Mapping[str, float] | None) -> dict[str, object]:
    """Return what the model was trained on, and by task what the cosine of words weighs beside that of vectors."""
    sources = set(record["distributions"])
    return {
        "distributions": [[pin.name, pin.version, pin.licence] for pin in CORPORA if pin.folder in sources],
        "tokeniser": record["tokeniser"],
        "seed": record["seed"],
        "steps": record["step"],
        "pairs_a_step": record["batch"],
        "started_after_steps": record["started"]["step"] if record["started"] is not None else 0,
        "lexical_weights": None if weights is None else dict(weights),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the file; 1 when it can't be written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, metavar="MODEL")
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--name", default="qe", help="of the model; a digest of its weights is added")
    parser.add_argument("--matrices", choices=("float32", "float16"), default="float16")
    parser.add_argument("--evaluation", type=Path, metavar="JSON", help="what benchmarks.training.evaluate wrote")
    options = parser.parse_args(arguments)
    model, _, record, _ = load(options.model)
    weights = None
    if options.evaluation is not None:
        weights = json.loads(options.evaluation.read_text(encoding="utf-8"))["weights"]
    try:
        written = write_weights(
            options.file,
            options.name,
            architecture(model),
            arrays(model),
            provenance(record, weights),
            matrices_as=options.matrices,
        )
    except (WeightsError, ValueError) as error:
        print(f"{error}", file=sys.stderr)
        return 1
    print(f"{written}: {options.file.stat().st_size / 2**20:.1f} MiB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

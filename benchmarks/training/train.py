"""Train the encoder on pairs that `benchmarks.training.pairs` wrote.

    python -m benchmarks.training.train PAIRS --out MODEL.pt            train, on the GPU where there is one
    python -m benchmarks.training.train PAIRS --out MODEL.pt --resume   go on from MODEL.pt
    python -m benchmarks.training.train PAIRS --out BAG.pt --layers 0   a bag of the same embeddings
    python -m benchmarks.training.train PAIRS --out MODEL.pt --start BAG.pt   layers on top of a trained bag
    python -m benchmarks.training.train --smoke --out MODEL.pt          a tiny model, in seconds

A pair's logit is ``scale * cosine + alpha * lexical`` with the cosine of the two vectors and that of the words (see
`benchmarks.training.lexical`); scale, and alpha for each signal, are learned. What words find is found without the
encoder, so that it learns what they miss. The loss is InfoNCE in both directions (van den Oord et al., 2018). A bag
trains many times as fast as layers do, and layers that were not trained yet change nothing: a short training starts
from a bag.
The distributions given with --dev are left out of training, for `benchmarks.training.evaluate`.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.training.batches import PairBatch, Sampler, Source, frequent_parts
from benchmarks.training.examples import SIGNALS, read_examples
from benchmarks.training.network import Encoder, Shape, pack
from benchmarks.training.pairs import distribution_examples
from pytest_qeattention.encoder.tokens import TOKENISER

# What a smoke run trains on: there are no other projects where nothing is fetched.
SMOKE_SOURCE = Path(__file__).parents[2] / "tests"
VOCABULARY = 12_000
FIRST_SCALE, LARGEST_SCALE = 20.0, 100.0
FIRST_ALPHA = 8.0
WARM_UP = 0.04
WEIGHT_DECAY = 0.01
LARGEST_NORM = 1.0
# Share of the known parts that a step takes for unknown ones.
UNKNOWN = 0.3
# The weights of words are some hundred times as large as others, and move as much faster.
ALPHA_RATE = 20.0
# Rows of the tables are met now and then, and are as large as what layers read.
TABLE_RATE = 20.0
TABLES = frozenset({"roles", "kinds", "positions", "words", "code_scale"})
REPORT_STEPS = 50
CHECKPOINT_STEPS = 250
DEV = ("celery", "h5py", "kombu", "tornado", "trio")


class Head(nn.Module):
    """Turn cosines into logits."""

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(math.log(FIRST_SCALE)))
        self.alpha = nn.Parameter(torch.full((len(SIGNALS),), FIRST_ALPHA))

    def forward(self, cosine: Tensor, lexical: Tensor, signal: str) -> Tensor:
        scale = self.log_scale.exp().clamp(max=LARGEST_SCALE)
        logits: Tensor = scale * cosine + self.alpha[SIGNALS.index(signal)] * lexical
        return logits


def pair_loss(
    model: Encoder, head: Head, batch: PairBatch, device: torch.device, rng: np.random.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Return the loss of a batch, and the share of pairs whose second member comes first; *rng* is for training."""
    vectors = model(pack(batch.tokens, model.vocabulary, model.shape, UNKNOWN, rng).to(device))
    left, right = torch.from_numpy(batch.left).to(device), torch.from_numpy(batch.right).to(device)
    cosine = vectors[left] @ vectors[right].T
    logits = head(cosine, torch.from_numpy(batch.lexical).to(device), batch.signal)
    logits = logits.masked_fill(torch.from_numpy(batch.masked).to(device), -torch.inf)
    target = torch.arange(len(left), device=device)
    loss = (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)) / 2
    return loss, (logits.argmax(dim=1) == target).float().mean()


def optimizer_of(model: Encoder, head: Head, rate: float) -> torch.optim.AdamW:
    """Return the optimiser; only the matrices of the layers decay."""
    decayed = [p for name, p in model.named_parameters() if name.startswith("layer.") and name.endswith(".weight")]
    tables = [parameter for name, parameter in model.named_parameters() if name in TABLES]
    known = {id(parameter) for parameter in (*decayed, *tables, head.alpha)}
    others = [parameter for parameter in (*model.parameters(), *head.parameters()) if id(parameter) not in known]
    groups: list[dict[str, Any]] = [
        {"params": others, "weight_decay": 0.0, "factor": 1.0},
        {"params": tables, "weight_decay": 0.0, "factor": TABLE_RATE},
        {"params": [head.alpha], "weight_decay": 0.0, "factor": ALPHA_RATE},
    ]
    if decayed:
        groups.append({"params": decayed, "weight_decay": WEIGHT_DECAY, "factor": 1.0})
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98))


def learning_rate(done: float, rate: float) -> float:
    """Return the rate after the share *done* of the training: it grows at first, then falls by a cosine."""
    if done < WARM_UP:
        return rate * max(done / WARM_UP, 0.01)
    return rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (done - WARM_UP) / (1 - WARM_UP))))


def save(path: Path, model: Encoder, head: Head, record: dict[str, Any], optimizer: torch.optim.Optimizer) -> None:
    """Write a checkpoint, replacing an older one whole."""
    part = path.with_name(path.name + ".part")
    torch.save(
        {
            "shape": asdict(model.shape),
            "vocabulary": torch.from_numpy(model.vocabulary.astype(np.int64)),
            "model": model.state_dict(),
            "head": head.state_dict(),
            "optimizer": optimizer.state_dict(),
            "record": record,
        },
        part,
    )
    part.replace(path)


def load(path: Path) -> tuple[Encoder, Head, dict[str, Any], dict[str, Any]]:
    """Return model, head, record and the optimiser's state of a checkpoint; raises ValueError for other tokens."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    if state["record"]["tokeniser"] != TOKENISER:
        raise ValueError(f"{path} was trained on other roles of tokens; train it again")
    model = Encoder(Shape(**state["shape"]), state["vocabulary"].numpy().astype(np.uint32))
    model.load_state_dict(state["model"])
    head = Head()
    with torch.no_grad():
        head.log_scale.copy_(state["head"]["log_scale"])
        # Signals that it was not trained on keep what they begin with.
        head.alpha[: len(state["head"]["alpha"])] = state["head"]["alpha"]
    return model, head, state["record"], state["optimizer"]


def start_from(path: Path, model: Encoder, head: Head) -> dict[str, Any]:
    """Give *model* what the checkpoint at *path* has learned; return its record. Raises ValueError where it differs."""
    known, known_head, record, _ = load(path)
    same = all(
        getattr(known.shape, name) == getattr(model.shape, name) for name in ("d", "positions", "roles", "kinds")
    )
    if not same or known.shape.layers > model.shape.layers:
        raise ValueError(f"{path} has another shape than the model to train; train it with the same")
    model.load_state_dict(known.state_dict(), strict=False)
    head.load_state_dict(known_head.state_dict())
    return record


def sources_of(directory: Path | None, left_out: Sequence[str]) -> list[Source]:
    """Read the examples in *directory*, those of the distributions *left_out* aside; None is this repository."""
    if directory is None:
        return [Source(SMOKE_SOURCE.name, distribution_examples(SMOKE_SOURCE))]
    files = [path for path in sorted(directory.glob("*.npz")) if path.stem.rpartition("-")[0] not in left_out]
    if not files:
        raise ValueError(f"{directory} holds no examples to train on; run benchmarks.training.pairs first")
    return [Source(path.stem, read_examples(path)) for path in files]


def train(options: argparse.Namespace) -> None:
    """Train as the command line says."""
    device = torch.device(options.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    sources = sources_of(None if options.smoke else options.pairs, options.dev)
    if options.resume:
        model, head, record, state = load(options.out)
    else:
        if options.start is not None:
            vocabulary = load(options.start)[0].vocabulary
        else:
            vocabulary = frequent_parts([source.examples for source in sources], options.vocabulary)
        shape = Shape(
            options.d, options.d // options.head_size, options.layers, options.ffn * options.d, options.longest
        )
        model, head, state = Encoder(shape, vocabulary), Head(), None
        started = start_from(options.start, model, head) if options.start is not None else None
        record = {
            "tokeniser": TOKENISER,
            "seed": options.seed,
            "steps": options.steps,
            "batch": options.batch,
            "rate": options.rate,
            "distributions": [source.name for source in sources],
            "step": 0,
            "seconds": 0.0,
            "device": device.type,
            "started": started,
        }
    model, head = model.to(device), head.to(device)
    optimizer = optimizer_of(model, head, record["rate"])
    if state is not None:
        optimizer.load_state_dict(state)
    sampler = Sampler(sources, record["seed"])
    size = sum(parameter.numel() for parameter in model.parameters())
    print(f"{len(sources)} distributions, {len(model.vocabulary)} parts, {size} weights, {device.type}", flush=True)
    losses: list[float] = []
    hits: list[float] = []
    tokens, begun = 0, time.monotonic()
    first_second = begun - record["seconds"]
    for step in range(record["step"], record["steps"]):
        done = step / record["steps"]
        if options.minutes is not None:
            done = max(done, (time.monotonic() - first_second) / (60 * options.minutes))
        if done >= 1:
            break
        batch = sampler.draw(step, record["batch"], model.shape.positions)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(done, record["rate"]) * group["factor"]
        with torch.autocast(device.type, torch.bfloat16, enabled=options.bfloat16):
            loss, hit = pair_loss(model, head, batch, device, np.random.default_rng([record["seed"], step, 1]))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), LARGEST_NORM)
        optimizer.step()
        losses.append(loss.item())
        hits.append(hit.item())
        tokens += len(batch.tokens.roles)
        record["step"] = step + 1
        if (step + 1) % REPORT_STEPS == 0 or step + 1 == record["steps"]:
            seconds = time.monotonic() - begun
            record["seconds"] += seconds
            alpha = " ".join(f"{value:.1f}" for value in head.alpha.tolist())
            print(
                f"step {step + 1}/{record['steps']} loss {np.mean(losses):.4f} first {np.mean(hits):.3f} "
                f"scale {head.log_scale.exp().item():.1f} alpha {alpha} {tokens / seconds:.0f} tokens/s",
                flush=True,
            )
            losses, hits, tokens, begun = [], [], 0, time.monotonic()
        if (step + 1) % CHECKPOINT_STEPS == 0:
            save(options.out, model, head, record, optimizer)
    save(options.out, model, head, record, optimizer)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train a model; 1 when there is nothing to train on."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", nargs="?", type=Path, metavar="PAIRS")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the checkpoint to write")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint")
    parser.add_argument("--start", type=Path, metavar="FILE", help="start from a checkpoint of as many layers or fewer")
    parser.add_argument("--smoke", action="store_true", help="train a tiny model on this repository's tests")
    parser.add_argument("--dev", nargs="*", default=list(DEV), metavar="NAME", help="distributions to leave out")
    parser.add_argument("--d", type=int, default=192)
    parser.add_argument("--head-size", type=int, default=64)
    parser.add_argument("--layers", type=int, default=2, help="0 is a bag of the same embeddings")
    parser.add_argument("--ffn", type=int, default=4, help="times d")
    parser.add_argument("--vocabulary", type=int, default=VOCABULARY, metavar="COUNT")
    parser.add_argument("--longest", type=int, default=128, metavar="TOKENS", help="of a sequence; also positions")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument(
        "--minutes", type=float, help="end earlier, with the rate brought down; steps then depend on it"
    )
    parser.add_argument("--batch", type=int, default=256, metavar="PAIRS")
    parser.add_argument("--rate", type=float, default=3e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", metavar="NAME", help="of PyTorch (default: cuda where there is one)")
    parser.add_argument("--bfloat16", action="store_true", help="multiply in bfloat16")
    options = parser.parse_args(arguments)
    if options.smoke:
        options.d, options.head_size, options.vocabulary, options.steps, options.batch = 64, 32, 2000, 40, 48
    elif options.pairs is None:
        parser.error("name the folder of pairs, or pass --smoke")
    try:
        train(options)
    except ValueError as error:
        print(f"{error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

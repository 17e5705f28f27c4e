"""The other implementations, each in its best light: its own layout, its threads set, outputs allocated once.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pytest_qeattention.bench import blas
from pytest_qeattention.bench.cases import AttentionCase, TopkCase
from pytest_qeattention.bench.plan import PEERS, BenchUsage


@dataclass(frozen=True)
class Contender:
    """Hold one way to compute a case, ready to be called.

    *result* turns what *call* returns into what the gate compares: (batch, heads, n, d), or indices for top-k.
    """

    name: str
    precision: str
    threads: int | None
    call: Callable[[], Any]
    result: Callable[[Any], NDArray[Any]]
    way: str | None = None


class Offer(NamedTuple):
    """Hold what builds a contender; building it may take long, or fail."""

    name: str
    precision: str
    build: Callable[[], Contender]


@dataclass(frozen=True)
class PeerState:
    """Say whether a peer can be used here."""

    name: str
    is_usable: bool
    version: str | None
    reason: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the state as plain values."""
        return {"usable": self.is_usable, "version": self.version, "reason": self.reason}


def find_peers(asked: Sequence[str] | None) -> list[PeerState]:
    """Import the peers that are *asked* for, all of them for None, and say which can be used.

    Raises BenchUsage where one that is asked for by name cannot.
    """
    states = [_load(name) for name in (PEERS if asked is None else asked)]
    if asked is not None:
        for state in states:
            if not state.is_usable:
                usable = [name for name in PEERS if _load(name).is_usable]
                raise BenchUsage(
                    f"--peers names {state.name}, which cannot be compared with: {state.reason}; "
                    f"available here: {', '.join(usable)}; all of them, in the checkout: pip install '.[bench]'"
                )
    return states


def _load(name: str) -> PeerState:
    version = None
    for module, distribution in PEERS[name]:
        # Of a module inside a package that is missing, find_spec raises.
        if importlib.util.find_spec(module.partition(".")[0]) is None:
            return PeerState(name, False, None, f"{distribution} is not installed")
        try:
            importlib.import_module(module)
        except Exception as error:  # whatever a foreign library raises at import leaves it out
            return PeerState(name, False, None, f"{distribution} does not load: {type(error).__name__}: {error}")
        version = version or _version(distribution)
    return PeerState(name, True, version)


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def attention_offers(
    case: AttentionCase, inputs: Sequence[NDArray[Any]], names: Sequence[str], threads: int
) -> list[Offer]:
    """Return the peers of an attention case: in float32, and in its own precision where they have it."""
    q, k, v = inputs
    offers = []
    if "numpy" in names and case.precision == "float32":
        offers.append(Offer("numpy", "float32", lambda: numpy_attention(q, k, v)))
    if "torch" in names:
        offers += [
            Offer("torch", precision, functools.partial(_torch_attention, q, k, v, precision, threads))
            for precision in dict.fromkeys((case.precision, "float32"))
        ]
    if "onnxruntime" in names:
        offers.append(Offer("onnxruntime", "float32", lambda: _onnxruntime_attention(q, k, v, threads)))
    return offers


def topk_offers(case: TopkCase, inputs: Sequence[NDArray[Any]], names: Sequence[str], threads: int) -> list[Offer]:
    """Return the peers of a top-k case."""
    queries, keys = inputs
    builders: dict[str, Callable[[], Contender]] = {
        "numpy": lambda: _numpy_topk(queries, keys, case.k),
        "faiss": lambda: _faiss_topk(queries, keys, case.k, threads),
        "usearch": lambda: _usearch_topk(queries, keys, case.k, threads),
    }
    return [Offer(name, "float32", build) for name, build in builders.items() if name in names]


def numpy_attention(q: NDArray[Any], k: NDArray[Any], v: NDArray[Any], *, materialised: bool = False) -> Contender:
    """Return NumPy's fastest way for (batch, heads, n, d) inputs."""
    flat = [np.ascontiguousarray(x).reshape(-1, *x.shape[-2:]) for x in (q, k, v)]
    attention, way = blas.best_attention(flat[0], flat[1], flat[2], materialised=materialised)
    shape = (*q.shape[:-1], v.shape[-1])
    return Contender(
        "numpy", "float32", blas.blas_threads(), attention.run, lambda out: out.reshape(shape), f"scores: {way}"
    )


def _numpy_topk(queries: NDArray[Any], keys: NDArray[Any], k: int) -> Contender:
    call = functools.partial(blas.topk, queries, keys, k)
    return Contender("numpy", "float32", blas.blas_threads(), call, np.asarray, "matmul and argpartition")


def _torch_attention(q: NDArray[Any], k: NDArray[Any], v: NDArray[Any], precision: str, threads: int) -> Contender:
    torch: Any = importlib.import_module("torch")
    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    tensors = [torch.from_numpy(x).to(getattr(torch, precision)) for x in (q, k, v)]
    attend = torch.nn.functional.scaled_dot_product_attention
    return Contender(
        "torch",
        precision,
        torch.get_num_threads(),
        lambda: attend(*tensors),
        lambda out: np.asarray(out.float().numpy()),
        "scaled_dot_product_attention",
    )


def _onnxruntime_attention(q: NDArray[Any], k: NDArray[Any], v: NDArray[Any], threads: int) -> Contender:
    runtime: Any = importlib.import_module("onnxruntime")
    batch, heads, n_q, d = q.shape
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    model = _attention_model(batch, heads, n_q, k.shape[2], d)
    session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    kept = []
    for name, x in (("q", q), ("k", k), ("v", v)):
        # The operator wants the heads side by side; ours is given the layout that it wants as well.
        value = runtime.OrtValue.ortvalue_from_numpy(
            np.ascontiguousarray(x.transpose(0, 2, 1, 3)).reshape(batch, x.shape[2], heads * d)
        )
        binding.bind_ortvalue_input(name, value)
        kept.append(value)
    out = runtime.OrtValue.ortvalue_from_shape_and_type([batch, n_q, heads * d], np.float32)
    binding.bind_ortvalue_output("o", out)

    def call() -> Any:
        session.run_with_iobinding(binding)
        return out

    def result(value: Any) -> NDArray[Any]:
        return np.asarray(value.numpy().reshape(batch, n_q, heads, d).transpose(0, 2, 1, 3))

    return Contender("onnxruntime", "float32", threads, call, result, "com.microsoft MultiHeadAttention")


def _attention_model(batch: int, heads: int, n_q: int, n_k: int, d: int) -> bytes:
    onnx: Any = importlib.import_module("onnx")
    helper = onnx.helper
    values = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [batch, n, heads * d])
        for name, n in (("q", n_q), ("k", n_k), ("v", n_k), ("o", n_q))
    ]
    node = helper.make_node("MultiHeadAttention", ["q", "k", "v"], ["o"], num_heads=heads, domain="com.microsoft")
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(helper.make_graph([node], "attention", values[:3], values[3:]), opset_imports=opsets)
    model.ir_version = 8
    return bytes(model.SerializeToString())


def _faiss_topk(queries: NDArray[Any], keys: NDArray[Any], k: int, threads: int) -> Contender:
    faiss: Any = importlib.import_module("faiss")
    faiss.omp_set_num_threads(threads)
    index = faiss.IndexFlatIP(keys.shape[1])
    index.add(keys)
    distances = np.empty((len(queries), k), dtype=np.float32)
    labels = np.empty((len(queries), k), dtype=np.int64)
    return Contender(
        "faiss",
        "float32",
        threads,
        lambda: index.search(queries, k, D=distances, I=labels),
        lambda found: np.asarray(found[1]),
        "IndexFlatIP",
    )


def _usearch_topk(queries: NDArray[Any], keys: NDArray[Any], k: int, threads: int) -> Contender:
    usearch: Any = importlib.import_module("usearch.index")
    rows = len(queries)
    metric = usearch.MetricKind.IP
    return Contender(
        "usearch",
        "float32",
        threads,
        lambda: usearch.search(keys, queries, k, metric, exact=True, threads=threads),
        lambda found: np.asarray(found.keys).astype(np.int64).reshape(rows, -1),
        "exact search",
    )

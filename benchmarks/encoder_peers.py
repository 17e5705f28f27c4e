"""The encoder's layers and pooling in PyTorch and in ONNX Runtime, to be timed against."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_qeattention.encoder.network import Architecture

Run = Callable[[], NDArray[np.float32]]


def padded_batches(
    rows: list[NDArray[np.float32]], size: int
) -> list[tuple[list[int], NDArray[np.float32], NDArray[np.bool_]]]:
    """Return batches of tests of about equal length: their numbers, padded rows (b, n, d), which are real (b, n)."""
    order = sorted(range(len(rows)), key=lambda number: (len(rows[number]), number))
    batches = []
    for first in range(0, len(order), size):
        numbers = order[first : first + size]
        longest = max(1, *(len(rows[number]) for number in numbers))
        x = np.zeros((len(numbers), longest, rows[0].shape[1]), np.float32)
        real = np.zeros(x.shape[:2], np.bool_)
        for place, number in enumerate(numbers):
            x[place, : len(rows[number])] = rows[number]
            real[place, : len(rows[number])] = True
        batches.append((numbers, x, real))
    return batches


class TorchPeer:
    """Run the network in eager PyTorch."""

    WAYS = ("scaled_dot_product_attention",)

    def __init__(self, architecture: Architecture, arrays: dict[str, Any], threads: int, way: str) -> None:
        self._torch: Any = importlib.import_module("torch")
        self._architecture, self._threads = architecture, threads
        self._arrays = {
            name: self._torch.from_numpy(array) for name, array in arrays.items() if array.dtype == np.float32
        }

    def prepare(self, rows: list[NDArray[np.float32]], size: int) -> Run:
        """Return what turns *rows* into vectors in batches of *size*; padding them is done before."""
        torch = self._torch
        batches = [
            (numbers, torch.from_numpy(x), None if real.all() else torch.from_numpy(real))
            for numbers, x, real in padded_batches(rows, size)
        ]
        out = np.empty((len(rows), self._architecture.d), np.float32)

        def run() -> NDArray[np.float32]:
            torch.set_num_threads(self._threads)
            with torch.inference_mode():
                for numbers, x, real in batches:
                    out[numbers] = self._vectors(x, real).numpy()
            return out

        return run

    def _vectors(self, x: Any, real: Any) -> Any:
        torch, shape, arrays = self._torch, self._architecture, self._arrays
        functional = torch.nn.functional
        allowed = None if real is None else real[:, None, None, :]

        def apply(name: str, inputs: Any) -> Any:
            return functional.linear(inputs, arrays[f"{name}.weight"], arrays[f"{name}.bias"])

        def norm(name: str, inputs: Any) -> Any:
            return functional.layer_norm(inputs, (shape.d,), arrays[f"{name}.gain"], arrays[f"{name}.bias"], shape.eps)

        b, n, d = x.shape
        for number in range(shape.layers):
            at = f"layer.{number}"
            qkv = apply(f"{at}.qkv", norm(f"{at}.norm1", x)).view(b, n, 3, shape.heads, d // shape.heads)
            q, k, v = qkv.permute(2, 0, 3, 1, 4)
            mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=allowed)
            x = x + apply(f"{at}.out", mixed.transpose(1, 2).reshape(b, n, d))
            inner = functional.gelu(apply(f"{at}.up", norm(f"{at}.norm2", x)), approximate="tanh")
            x = x + apply(f"{at}.down", inner)
        y = norm("final_norm", x)
        logits = y @ arrays["pool"]
        if real is not None:
            logits = logits.masked_fill(~real, -torch.inf)
        return functional.normalize((logits.softmax(1)[:, None] @ y)[:, 0], dim=1, eps=1e-12)


class OnnxPeer:
    """Run the network in ONNX Runtime."""

    WAYS = ("standard operators", "fused operators")

    def __init__(self, architecture: Architecture, arrays: dict[str, Any], threads: int, way: str) -> None:
        runtime: Any = importlib.import_module("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Its threads wait actively within a run, and not into the run of whoever is next.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        model = _Graph(architecture, arrays, way == "fused operators").model()
        self._session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._d = architecture.d

    def prepare(self, rows: list[NDArray[np.float32]], size: int) -> Run:
        """Return what turns *rows* into vectors in batches of *size*; padding them is done before."""
        batches = [
            (numbers, {"x": x, "padding": np.where(real, 0, -np.inf).astype(np.float32)})
            for numbers, x, real in padded_batches(rows, size)
        ]
        out = np.empty((len(rows), self._d), np.float32)

        def run() -> NDArray[np.float32]:
            for numbers, inputs in batches:
                out[numbers] = self._session.run(["vectors"], inputs)[0]
            return out

        return run


class _Graph:
    """Build the network as an ONNX graph, node by node."""

    def __init__(self, architecture: Architecture, arrays: dict[str, Any], fused: bool) -> None:
        self._onnx: Any = importlib.import_module("onnx")
        self._architecture, self._arrays, self._fused = architecture, arrays, fused
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def model(self) -> bytes:
        helper, kind, d = self._onnx.helper, self._onnx.TensorProto.FLOAT, self._architecture.d
        x, padding = "x", self._node("Unsqueeze", "padding", self._constant("to_scores", np.array([1, 2])))
        for number in range(self._architecture.layers):
            at = f"layer.{number}"
            x = self._node("Add", x, self._linear(f"{at}.out", self._attention(at, x, padding)))
            inner = self._linear(f"{at}.up", self._norm(f"{at}.norm2", x))
            if self._fused:
                inner = self._node("FastGelu", inner, domain="com.microsoft")
            else:
                inner = self._node("Gelu", inner, approximate="tanh")
            x = self._node("Add", x, self._linear(f"{at}.down", inner))
        y = self._norm("final_norm", x)
        logits = self._node("MatMul", y, self._constant("pool", self._arrays["pool"][:, None]))
        column = self._node("Unsqueeze", "padding", self._constant("last", np.array([2])))
        shares = self._node("Softmax", self._node("Add", logits, column), axis=1)
        mean = self._node("MatMul", self._node("Transpose", shares, perm=[0, 2, 1]), y)
        self._node("LpNormalization", self._node("Squeeze", mean, self._constant("one", np.array([1]))), out="vectors")
        inputs = [
            helper.make_tensor_value_info("x", kind, ["b", "n", d]),
            helper.make_tensor_value_info("padding", kind, ["b", "n"]),
        ]
        outputs = [helper.make_tensor_value_info("vectors", kind, ["b", d])]
        graph = helper.make_graph(self._nodes, "encoder", inputs, outputs, self._constants)
        opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=opsets)
        model.ir_version = 9
        return bytes(model.SerializeToString())

    def _attention(self, at: str, x: str, padding: str) -> str:
        heads, d = self._architecture.heads, self._architecture.d
        inputs, size = self._norm(f"{at}.norm1", x), d // heads
        weight, bias = self._arrays[f"{at}.qkv.weight"], self._arrays[f"{at}.qkv.bias"]
        parts = [
            self._linear(f"{at}.{name}", inputs, weight[i * d : (i + 1) * d], bias[i * d : (i + 1) * d])
            for i, name in enumerate("qkv")
        ]
        if self._fused:
            # Its mask is added to the scores and does not broadcast over queries.
            n = self._node("Shape", x, start=1, end=2)
            b = self._node("Shape", x, start=0, end=1)
            one = self._constant("one", np.array([1]))
            shape = self._node("Concat", b, one, n, n, axis=0)
            added = self._node("Expand", padding, shape)
            return self._node("MultiHeadAttention", *parts, "", "", added, domain="com.microsoft", num_heads=heads)
        split = self._constant("split", np.array([0, 0, heads, size]))
        q, k, v = (self._node("Reshape", part, split) for part in parts)
        scores = self._node(
            "MatMul", self._node("Transpose", q, perm=[0, 2, 1, 3]), self._node("Transpose", k, perm=[0, 2, 3, 1])
        )
        scaled = self._node("Mul", scores, self._constant("scale", np.array(size**-0.5, np.float32)))
        shares = self._node("Softmax", self._node("Add", scaled, padding), axis=3)
        mixed = self._node("MatMul", shares, self._node("Transpose", v, perm=[0, 2, 1, 3]))
        merged = self._node("Transpose", mixed, perm=[0, 2, 1, 3])
        return self._node("Reshape", merged, self._constant("merge", np.array([0, 0, d])))

    def _linear(self, name: str, inputs: str, weight: Any = None, bias: Any = None) -> str:
        weight = self._arrays[f"{name}.weight"] if weight is None else weight
        bias = self._arrays[f"{name}.bias"] if bias is None else bias
        product = self._node("MatMul", inputs, self._constant(f"{name}.weight", np.ascontiguousarray(weight.T)))
        return self._node("Add", product, self._constant(f"{name}.bias", bias))

    def _norm(self, name: str, inputs: str) -> str:
        gain, bias = (self._constant(f"{name}.{part}", self._arrays[f"{name}.{part}"]) for part in ("gain", "bias"))
        return self._node("LayerNormalization", inputs, gain, bias, epsilon=self._architecture.eps)

    def _constant(self, name: str, value: Any) -> str:
        if all(constant.name != name for constant in self._constants):
            self._constants.append(self._onnx.numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def _node(self, operator: str, *inputs: str, out: str | None = None, **attributes: Any) -> str:
        out = out or f"value{len(self._nodes)}"
        self._nodes.append(self._onnx.helper.make_node(operator, list(inputs), [out], **attributes))
        return out

from __future__ import annotations

import ast
import dataclasses
import math
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_qeattention import AttentionConfig, QEAttention, attention
from pytest_qeattention.attention import arguments, backend, functional
from pytest_qeattention.attention.arguments import FloatArray
from pytest_qeattention.attention.baseline import Baseline
from pytest_qeattention.attention.qeattention import _heads
from pytest_qeattention.attention.workloads import BLOCK_PRESETS, KNOBS, WORKLOADS, block_preset

BOUND = 2e-5
BFLOAT16_BOUND = 3e-2
# Of workloads that sum the weights of up to 1,024 keys in one run.
LONG_SUM_BOUND = 2e-5

needs_core = pytest.mark.skipif(
    backend._load_core()[0] is None or os.environ.get("QE_BACKEND") == "numpy", reason="NumPy has no chunks"
)

PUBLISHED = {
    "test-similarity": (8, (512, 768), 15.0, 80.0),
    "code-embedding": (4, (1024, 1024), 15.0, 80.0),
    "defect-matching": (8, (256, 512), 5.0, 50.0),
    "coverage-analysis": (8, (256, 384), 1.0, 30.0),
    "pattern-adaptation": (4, (128, 256), 0.05, 20.0),
}


def normal(*shape: int, seed: int = 0) -> FloatArray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def one_head(q: Any, k: Any, v: Any, *, mask: Any = None, causal: bool = False, scale: float | None = None) -> Any:
    """Attend in float64, one head of one batch entry."""
    scores = q.astype(np.float64) @ k.astype(np.float64).T * (1 / math.sqrt(q.shape[1]) if scale is None else scale)
    if mask is not None:
        scores = np.where(mask, scores, -np.inf) if mask.dtype == bool else scores + mask
    if causal:
        scores = np.where(np.tri(*scores.shape, dtype=bool), scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True) @ v.astype(np.float64)


def side_by_side(q: Any, k: Any, v: Any, heads: int, **how: Any) -> Any:
    """Attend in float64, every head on its own columns, results side by side: q, k, v are (n, dim)."""
    parts = zip(*(np.split(x, heads, axis=1) for x in (q, k, v)), strict=True)
    return np.hstack([one_head(*part, **how) for part in parts])


def scratch_bytes(attention: QEAttention, *arrays: FloatArray) -> int:
    """Return the scratch memory of one call."""
    attention.reset_metrics()
    attention.attend(*arrays)
    peak = attention.metrics()["peak_scratch_bytes"]
    assert isinstance(peak, int)
    return peak


def custom(**knobs: Any) -> QEAttention:
    return QEAttention(AttentionConfig(name="custom", **knobs))


@pytest.mark.parametrize("name", PUBLISHED)
def test_built_in_workloads_are_the_published_ones(name: str) -> None:
    heads, shape, latency_ms, memory_mb = PUBLISHED[name]
    assert QEAttention(name).config == AttentionConfig(
        name=name,
        heads=heads,
        shape=shape,
        latency_target_ms=latency_ms,
        memory_target_mb=memory_mb,
    )
    assert WORKLOADS[name] is QEAttention(name).config


@pytest.mark.parametrize("name", PUBLISHED)
def test_built_in_workloads_attend_at_their_published_shape(name: str) -> None:
    attention = QEAttention(name)
    assert attention.config.shape is not None
    x = normal(*attention.config.shape)
    out = attention.attend(x)
    assert out.shape == x.shape
    # The first and the last head stand for all: the float64 result of a large shape takes its time.
    d = x.shape[1] // attention.config.heads
    for columns in (slice(0, d), slice(-d, None)):
        part = x[:, columns]
        np.testing.assert_allclose(out[:, columns], one_head(part, part, part), rtol=0, atol=LONG_SUM_BOUND)


@pytest.mark.parametrize(("n_q", "n_k"), [(1, 1), (1, 40), (40, 1), (17, 33), (65, 130)])
@pytest.mark.parametrize(("heads", "d", "d_v"), [(1, 12, 12), (3, 5, 7), (4, 16, 16), (12, 1, 2)])
def test_heads_attend_on_their_own_columns(n_q: int, n_k: int, heads: int, d: int, d_v: int) -> None:
    q, k, v = normal(n_q, heads * d, seed=1), normal(n_k, heads * d, seed=2), normal(n_k, heads * d_v, seed=3)
    out = custom(heads=heads).attend(q, k, v)
    assert out.dtype == np.float32
    assert out.shape == (n_q, heads * d_v)
    np.testing.assert_allclose(out, side_by_side(q, k, v, heads), rtol=0, atol=BOUND)


def test_number_of_heads_changes_the_result() -> None:
    x = normal(20, 24)
    one, two = (custom(heads=heads).attend(x) for heads in (1, 2))
    assert np.abs(one - two).max() > 0.01


def test_layouts_agree() -> None:
    heads, d = 3, 8
    q, k, v = (normal(2, 30, heads * d, seed=seed) for seed in range(3))
    attention = custom(heads=heads)
    batched = attention.attend(q, k, v)
    assert batched.shape == q.shape
    for entry in range(2):
        np.testing.assert_allclose(attention.attend(q[entry], k[entry], v[entry]), batched[entry], rtol=0, atol=1e-6)
    by_head = attention.attend(*(np.moveaxis(x.reshape(2, 30, heads, d), 2, 1) for x in (q, k, v)))
    assert by_head.shape == (2, heads, 30, d)
    np.testing.assert_allclose(np.moveaxis(by_head, 1, 2).reshape(q.shape), batched, rtol=0, atol=1e-6)


def test_self_attention_is_attention_of_an_array_on_itself() -> None:
    x = normal(40, 16)
    attention = custom(heads=2)
    assert attention.attend(x).tobytes() == attention.attend(x, x, x).tobytes()


def test_a_batch_of_one_serves_every_query() -> None:
    q, k = normal(3, 9, 16), normal(1, 20, 16)
    attention = custom(heads=2)
    np.testing.assert_allclose(
        attention.attend(q, k, k), attention.attend(q, np.repeat(k, 3, axis=0), np.repeat(k, 3, axis=0)), atol=1e-6
    )


@pytest.mark.parametrize("layout", ["plain", "transposed", "every second row", "every second column", "reversed"])
def test_any_strides_are_split_without_copying(layout: str) -> None:
    x = {
        "plain": normal(20, 24),
        "transposed": normal(24, 20).T,
        "every second row": normal(40, 24)[::2],
        "every second column": normal(20, 48)[:, ::2],
        "reversed": normal(20, 24)[::-1, ::-1],
    }[layout]
    assert np.shares_memory(_heads("q", x, 3), x)
    assert _heads("q", x, 3).shape == (3, 20, 8)
    np.testing.assert_allclose(custom(heads=3).attend(x), side_by_side(x, x, x, 3), rtol=0, atol=BOUND)


def test_masks_of_each_layout() -> None:
    heads, n = 2, 12
    x = normal(3, n, 8)
    attention = custom(heads=heads)
    rng = np.random.default_rng(1)
    shared = rng.random((n, n)) < 0.5
    shared[:, 0] = True
    per_entry = np.stack([shared, shared.T | np.eye(n, dtype=bool), np.ones((n, n), dtype=bool)])
    per_head = np.stack([shared, np.tri(n, dtype=bool)])
    bias = normal(n, n, seed=5)
    for mask in (shared, bias):
        expected = side_by_side(x[0], x[0], x[0], heads, mask=mask)
        np.testing.assert_allclose(attention.attend(x[0], mask=mask), expected, rtol=0, atol=BOUND)
    out = attention.attend(x, mask=per_entry)
    for entry in range(3):
        expected = side_by_side(x[entry], x[entry], x[entry], heads, mask=per_entry[entry])
        np.testing.assert_allclose(out[entry], expected, rtol=0, atol=BOUND)
    out = attention.attend(x[0], mask=per_head)
    for head, columns in enumerate((slice(0, 4), slice(4, 8))):
        part = x[0][:, columns]
        expected = one_head(part, part, part, mask=per_head[head])
        np.testing.assert_allclose(out[:, columns], expected, rtol=0, atol=BOUND)


def test_causal_and_scale() -> None:
    x = normal(30, 16)
    for how in ({"causal": True}, {"scale": 0.7}, {"causal": True, "scale": 2.0}):
        expected = side_by_side(x, x, x, 2, **how)
        np.testing.assert_allclose(custom(heads=2, **how).attend(x), expected, rtol=0, atol=BOUND)


def test_no_tokens_give_no_rows() -> None:
    attention = custom(heads=2)
    assert attention.attend(normal(0, 8)).shape == (0, 8)
    assert attention.attend(normal(2, 0, 8)).shape == (2, 0, 8)
    empty = normal(0, 8)
    assert not attention.attend(normal(3, 8), empty, empty).any()


@needs_core
@pytest.mark.parametrize("chunk", ["query_chunk", "key_chunk"])
def test_chunks_change_memory_and_not_the_result(chunk: str) -> None:
    x = normal(700, 64)
    small, large = (custom(heads=2, num_threads=1, **{chunk: rows}) for rows in (64, 640))
    assert scratch_bytes(small, x) < scratch_bytes(large, x)
    np.testing.assert_allclose(small.attend(x), large.attend(x), rtol=0, atol=BOUND)


@needs_core
@pytest.mark.parametrize("chunk", ["query_chunk", "key_chunk"])
def test_chunks_beyond_the_call_take_no_more_memory(chunk: str) -> None:
    x = normal(100, 32)
    least = scratch_bytes(custom(num_threads=1, **{chunk: 128}), x)
    assert scratch_bytes(custom(num_threads=1, **{chunk: 10**30}), x) == least


def test_block_presets_cover_lengths_up_to_4096() -> None:
    assert list(BLOCK_PRESETS) == [128, 256, 512, 1024, 2048, 4096]
    for length, preset in BLOCK_PRESETS.items():
        assert block_preset(length) == preset
    assert block_preset(0) == block_preset(1) == BLOCK_PRESETS[128]
    assert block_preset(129) == BLOCK_PRESETS[256]
    assert block_preset(4097) == block_preset(100_000) == BLOCK_PRESETS[4096]


def test_auto_chooses_each_chunk_by_its_own_length() -> None:
    both = AttentionConfig(name="both", query_chunk="auto", key_chunk="auto")
    assert both.chunks(100, 3000) == (BLOCK_PRESETS[128].query_chunk, BLOCK_PRESETS[4096].key_chunk)
    assert both.replace(query_chunk=48, key_chunk=None).chunks(100, 3000) == (48, None)


@needs_core
@pytest.mark.parametrize("length", [256, 512, 2048])
def test_auto_takes_the_memory_of_its_preset(length: int) -> None:
    x = normal(length, 16)
    query_chunk, key_chunk = BLOCK_PRESETS[length]
    auto = scratch_bytes(custom(query_chunk="auto", key_chunk="auto", num_threads=1), x)
    assert auto == scratch_bytes(custom(query_chunk=query_chunk, key_chunk=key_chunk, num_threads=1), x)
    assert auto != scratch_bytes(custom(query_chunk=48, key_chunk=key_chunk, num_threads=1), x)
    assert auto != scratch_bytes(custom(query_chunk=query_chunk, key_chunk=48, num_threads=1), x)


def test_bfloat16_changes_bits_within_its_bound() -> None:
    x = normal(100, 64)
    exact, rounded = (custom(heads=2, precision=precision).attend(x) for precision in ("float32", "bfloat16"))
    difference = np.abs(exact - rounded).max()
    assert 1e-6 < difference <= BFLOAT16_BOUND


@pytest.mark.parametrize("num_threads", [1, 2])
def test_threads_are_those_asked_for(num_threads: int) -> None:
    attention = custom(heads=4, query_chunk=64, num_threads=num_threads)
    attention.attend(normal(300, 64))
    core = backend.active().core
    served = 1 if core is None or not core.openmp() else num_threads
    assert attention.metrics()["most_threads"] == served


def test_knobs_are_replaced_one_by_one() -> None:
    attention = QEAttention("defect-matching", heads=4, query_chunk=256, latency_target_ms=None)
    changed = WORKLOADS["defect-matching"].replace(heads=4, query_chunk=256, latency_target_ms=None)
    assert attention.config == changed
    assert changed.heads == 4
    assert changed.latency_target_ms is None
    assert changed.query_chunk == 256
    assert WORKLOADS["defect-matching"].heads == 8


def test_configurations_are_values() -> None:
    config = AttentionConfig(name="mine", heads=np.int64(4), shape=[10, 20], latency_target_ms=2)
    assert config.as_dict() == {
        "name": "mine",
        "heads": 4,
        "query_chunk": None,
        "key_chunk": None,
        "precision": "float32",
        "causal": False,
        "scale": None,
        "num_threads": None,
        "shape": [10, 20],
        "latency_target_ms": 2.0,
        "memory_target_mb": None,
    }
    assert type(config.heads) is int
    assert pickle.loads(pickle.dumps(config)) == config
    assert len({config, config.replace()}) == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.heads = 8  # type: ignore[misc]


def test_an_analysis_that_needs_no_workload_does_not_load_them() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(Path(attention.__file__).parents[2])!r})\n"
        "import pytest_qeattention.attention as attention\n"
        "print([name for name in sys.modules if name.startswith(attention.__name__)])"
    )
    answer = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    loaded = ast.literal_eval(answer.stdout)
    assert "pytest_qeattention.attention.functional" in loaded
    assert not {"workloads", "metrics", "qeattention", "baseline"} & {name.rpartition(".")[2] for name in loaded}
    assert attention.QEAttention is QEAttention
    assert attention.AttentionConfig is AttentionConfig
    assert {"QEAttention", "AttentionConfig"} <= set(dir(attention))
    with pytest.raises(AttributeError, match="has no attribute 'QEAttentions'"):
        attention.QEAttentions  # noqa: B018


def test_unknown_workload_names_those_there_are() -> None:
    with pytest.raises(ValueError, match="'test-similarty' is not known, available: test-similarity, code-embedding"):
        QEAttention("test-similarty")
    with pytest.raises(TypeError, match="workload must be a name or an AttentionConfig, not int"):
        QEAttention(8)  # type: ignore[arg-type]


def test_unknown_knob_names_those_there_are() -> None:
    words = f"'head' is no knob of an attention workload; available: {', '.join(KNOBS)}"
    with pytest.raises(TypeError) as caught:
        QEAttention("test-similarity", head=4)
    assert str(caught.value) == words
    with pytest.raises(TypeError) as caught:
        AttentionConfig(name="mine", head=4)  # type: ignore[call-arg]
    assert str(caught.value) == words


@pytest.mark.parametrize(
    ("knob", "value", "error", "words"),
    [
        ("name", "", ValueError, "name is empty"),
        ("name", 3, TypeError, "name must be a string, not int"),
        ("heads", 0, ValueError, "heads is 0, expected at least 1"),
        ("heads", -2, ValueError, "heads is -2, expected at least 1"),
        ("heads", 2.0, TypeError, "heads must be an integer, not float"),
        ("heads", True, TypeError, "heads must be an integer, not bool"),
        ("heads", None, TypeError, "heads must be an integer, not NoneType"),
        ("query_chunk", 0, ValueError, "query_chunk is 0, expected at least 1"),
        ("query_chunk", "large", ValueError, "query_chunk is 'large', available: .*'auto'"),
        ("key_chunk", -1, ValueError, "key_chunk is -1, expected at least 1"),
        ("key_chunk", 1.5, TypeError, "key_chunk must be an integer, not float"),
        ("precision", "float64", ValueError, "precision is 'float64', available: 'float32'"),
        ("precision", None, ValueError, "precision is None, available: 'float32'"),
        ("causal", 1, TypeError, "causal must be True or False, not int"),
        ("scale", "1", TypeError, "scale must be a number or None, not str"),
        ("scale", math.nan, ValueError, "scale is nan, expected a finite float32 number"),
        ("num_threads", 0, ValueError, "num_threads is 0, expected at least 1"),
        ("shape", (512,), TypeError, r"shape is \(512,\), expected \(n, dim\)"),
        ("shape", (0, 8), ValueError, "n of shape is 0, expected at least 1"),
        ("shape", (8, -1), ValueError, "dim of shape is -1, expected at least 1"),
        ("latency_target_ms", 0, ValueError, "latency_target_ms is 0, expected a number above 0"),
        ("latency_target_ms", math.inf, ValueError, "latency_target_ms is inf, expected a number above 0"),
        ("memory_target_mb", "80", TypeError, "memory_target_mb must be a number or None, not str"),
    ],
)
def test_bad_values_of_knobs(knob: str, value: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        QEAttention("test-similarity", **{knob: value})


X = np.ones((3, 8), dtype=np.float32)


@pytest.mark.parametrize(
    ("arrays", "error", "words"),
    [
        ((X.astype(np.float64),), TypeError, r"q has dtype float64, .* q.astype\(numpy.float32\)"),
        ((X.tolist(),), TypeError, "q must be a float32 array .*, not list"),
        ((X, X, X.astype(np.int32)), TypeError, "v has dtype int32, expected float32"),
        ((X, X), TypeError, "k is given without v; give both, or neither"),
        ((X, None, X), TypeError, "v is given without k; give both, or neither"),
        ((X[0],), ValueError, r"q has shape \(8,\), expected a float32 array \(n, dim\)"),
        ((X.reshape(1, 1, 1, 3, 8),), ValueError, r"q has shape \(1, 1, 1, 3, 8\), expected \(n, dim\)"),
        ((X[:, :0],), ValueError, r"q has shape \(3, 0\), expected a width of at least 1"),
        ((X[:, :6],), ValueError, "width 6 does not split into 4 heads; heads that divide it: 1, 2, 3, 6$"),
        ((X, X, X[:, :7]), ValueError, r"v has shape \(3, 7\).*heads that divide it: 1, 7$"),
        ((X, X[np.newaxis], X), ValueError, r"k has shape \(1, 3, 8\), expected .* with as many axes as q"),
        ((X, X, X[:2]), ValueError, r"v has shape \(4, 2, 2\), expected \(..., 3, d_v\)"),
        ((X.reshape(1, 3, 1, 8),), ValueError, r"expected \(batch, 4, n, d\) for 4 heads; configure heads=3"),
    ],
)
def test_bad_arrays_are_named_and_counted(arrays: Any, error: type[Exception], words: str) -> None:
    attention = custom(heads=4)
    with pytest.raises(error, match=words):
        attention.attend(*arrays)
    metrics = attention.metrics()
    assert (metrics["calls"], metrics["errors"]) == (1, 1)


@pytest.mark.parametrize(
    ("isa", "words"),
    [
        ("sse9", f"QE_ISA is 'sse9'; expected one of {', '.join(backend.VARIANTS)}"),
        (None, "QE_ISA=.* cannot be served: not .*; available: .*scalar"),
    ],
)
def test_an_instruction_set_that_is_not_there_names_those_there_are(
    monkeypatch: pytest.MonkeyPatch, isa: str | None, words: str
) -> None:
    if isa is None:
        if backend._load_core()[0] is None:
            pytest.skip("this installation has no compiled core")
        variants = backend.core_info()["variants"]
        isa = next(name for name in backend.VARIANTS if not variants[name]["usable"])
    monkeypatch.setenv("QE_ISA", isa)
    monkeypatch.delenv("QE_BACKEND", raising=False)
    backend.active.cache_clear()
    try:
        with pytest.raises(backend.BackendError, match=words):
            QEAttention("test-similarity").attend(normal(4, 8))
    finally:
        backend.active.cache_clear()


def test_every_precision_offered_is_served() -> None:
    for precision in arguments.PRECISIONS:
        assert custom(precision=precision, heads=2).attend(normal(5, 8)).shape == (5, 8)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("kind", ["none", "bool", "float", "float of each head"])
@pytest.mark.parametrize("steps", [1 << 20, 100])
def test_baseline_is_right(monkeypatch: pytest.MonkeyPatch, causal: bool, kind: str, steps: int) -> None:
    monkeypatch.setattr("pytest_qeattention.attention.baseline.SCORES_PER_STEP", steps)
    q, k, v = normal(2, 3, 11, 8, seed=1), normal(1, 3, 13, 8, seed=2), normal(2, 3, 13, 5, seed=3)
    mask: Any = {
        "none": None,
        "bool": np.random.default_rng(0).random((2, 1, 11, 13)) < 0.5,
        "float": normal(11, 13),
        "float of each head": normal(2, 3, 11, 13),
    }[kind]
    if kind == "bool":
        mask[0, 0, 4] = False
    baseline = Baseline(q, k, v, batch=(2, 3), mask=mask, causal=causal, scale=0.3)
    baseline.run()
    baseline.run()
    expected = functional.flash_attention(q, k, v, mask=mask, causal=causal, scale=0.3)
    np.testing.assert_allclose(baseline.out.reshape(expected.shape), expected, rtol=0, atol=BOUND)


@pytest.mark.parametrize("length", BLOCK_PRESETS)
def test_presets_take_no_more_memory_than_the_chunks_chosen_for_speed(length: int) -> None:
    if backend.active().core is None:
        pytest.skip("NumPy has no chunks")
    x = np.zeros((2, length, 64), dtype=np.float32)
    preset = BLOCK_PRESETS[length]
    chosen = functional.attend(x, x, x, num_threads=1)
    little = functional.attend(x, x, x, num_threads=1, query_chunk=preset.query_chunk, key_chunk=preset.key_chunk)
    assert little.scratch_bytes <= chosen.scratch_bytes

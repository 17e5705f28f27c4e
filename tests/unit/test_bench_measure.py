"""Rows: who is timed, who is not, and what a row says."""

from __future__ import annotations

import importlib
import importlib.util
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pytest_qeattention import flash_attention
from pytest_qeattention.bench import blas, measure, peers
from pytest_qeattention.bench.cases import AttentionCase, TopkCase, comprehensive_cases
from pytest_qeattention.bench.comprehensive import prepare, row_of
from pytest_qeattention.bench.gate import AttentionOracle, TopkOracle, WrongResult
from pytest_qeattention.bench.peers import Contender, Offer, find_peers
from pytest_qeattention.bench.plan import PEERS, BenchUsage

CASE = AttentionCase(1, 2, 40, 40, 8)
SEARCH = TopkCase(30, 60, 16, 3)


@pytest.fixture(autouse=True)
def _peak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "fma_peak", lambda threads, *, precision: 100.0)


def ours(q: Any, k: Any, v: Any) -> Contender:
    return Contender("qeattention", "float32", 1, lambda: flash_attention(q, k, v), np.asarray)


def row(*offers: Offer, own: Contender | None = None) -> dict[str, Any]:
    q, k, v = CASE.inputs()
    oracle = AttentionOracle.of(q, k, v, seed=0)
    return measure.measure(CASE, own or ours(q, k, v), offers, oracle.judge, threads=1, samples=5)


def test_a_row_has_the_samples_and_what_follows_from_them() -> None:
    q, k, v = CASE.inputs()
    found = row(Offer("numpy", "float32", lambda: peers.numpy_attention(q, k, v)))

    own, peer = found["results"]
    assert (found["kind"], found["label"], found["threads"]) == ("attention", "1,2,40,8", 1)
    assert found["flop"] == 4 * 2 * 40 * 40 * 8
    assert [len(result["samples_ns"]) for result in (own, peer)] == [5, 5]
    assert own["median_ns"] == np.median(own["samples_ns"])
    assert own["gflop_per_s"] == pytest.approx(found["flop"] / own["median_ns"])
    assert own["peak_share"] == pytest.approx(own["gflop_per_s"] / 100)
    assert own["ratio"] is None
    assert peer["ratio"]["value"] == pytest.approx(peer["median_ns"] / own["median_ns"])
    assert found["peak"] == {
        "gflop_per_s": 100.0,
        "spread": 0.0,
        "noisy": False,
        "samples_gflop_per_s": [100.0] * 5,
    }


def test_without_a_peak_shares_are_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "fma_peak", lambda threads, *, precision: None)

    found = row()

    assert found["peak"] is None
    assert found["results"][0]["peak_share"] is None


def test_a_peer_that_is_wrong_is_told_and_not_timed() -> None:
    def wrong() -> Contender:
        return Contender("broken", "float32", 1, lambda: np.zeros((1, 2, 40, 8), np.float32), np.asarray)

    result = row(Offer("broken", "float32", wrong))["results"][1]

    assert result["state"] == "not comparable"
    assert "off by" in result["reason"]
    assert result["samples_ns"] is None
    assert result["ratio"] is None


@pytest.mark.parametrize("error", [RuntimeError("no such operator\nmore"), MemoryError(), ValueError("")])
def test_a_peer_that_raises_is_told_and_not_timed(error: Exception) -> None:
    def fails() -> Contender:
        raise error

    found = row(Offer("broken", "bfloat16", fails))

    result = found["results"][1]
    assert (result["name"], result["precision"], result["state"]) == ("broken", "bfloat16", "failed")
    assert result["reason"].startswith(type(error).__name__)
    assert "\n" not in result["reason"]
    assert found["results"][0]["samples_ns"]


def test_nothing_is_timed_where_ours_is_wrong() -> None:
    timed: list[str] = []

    def peer() -> Contender:
        timed.append("peer")
        raise AssertionError

    own = Contender("qeattention", "float32", 1, lambda: np.ones((1, 2, 40, 8), np.float32), np.asarray)

    with pytest.raises(WrongResult, match=r"wrong at 1,2,40,8 in float32: off by .* no number is reported"):
        row(Offer("peer", "float32", peer), own=own)
    assert timed == []


@pytest.mark.parametrize("rows", [None, 0, 7, 40, 64])
def test_every_way_of_numpy_is_right(rows: int | None) -> None:
    q, k, v = AttentionCase(2, 2, 40, 40, 8).inputs()
    flat = [x.reshape(4, 40, 8) for x in (q, k, v)]

    out = blas.NumpyAttention(flat[0], flat[1], flat[2], rows).run()

    assert AttentionOracle.of(q, k, v, seed=0).judge(out, "float32").is_right


def test_numpy_takes_its_fastest_way(monkeypatch: pytest.MonkeyPatch) -> None:
    took = iter([3.0, 1.0, 2.0])
    monkeypatch.setattr(blas, "_fastest", lambda call: next(took))
    x = np.zeros((2, 600, 4), np.float32)

    assert blas.best_attention(x, x, x)[1] == "per head"


def test_numpy_stores_the_scores_of_a_head_where_that_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    took = iter([3.0, 2.0, 1.0])
    monkeypatch.setattr(blas, "_fastest", lambda call: next(took))
    x = np.zeros((2, 600, 4), np.float32)

    assert blas.best_attention(x, x, x, materialised=True)[1] == "per head"


def test_ways_that_do_not_fit_into_memory_are_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.zeros((2, 600, 4), np.float32)
    monkeypatch.setattr(blas, "available_memory_bytes", lambda: 4 * 600 * 600 * 2 + 1)
    assert blas.best_attention(x, x, x, materialised=True)[1] == "per head"

    monkeypatch.setattr(blas, "available_memory_bytes", lambda: 1000)
    with pytest.raises(MemoryError, match="the scores of one head take 1440000 bytes"):
        blas.best_attention(x, x, x, materialised=True)


def test_top_k_of_numpy_is_right() -> None:
    queries, keys = SEARCH.inputs()

    assert TopkOracle.of(queries, keys, seed=0).judge(blas.topk(queries, keys, 3), 3).is_right


@pytest.mark.parametrize("name", ["numpy", "torch", "onnxruntime"])
def test_attention_of_each_peer_that_is_installed_passes_the_gate(name: str) -> None:
    if not find_peers(None)[list(PEERS).index(name)].is_usable:
        pytest.skip(f"{name} is not installed")

    results = row_of(prepare(CASE, [name], 1), 5)["results"]

    assert [(result["name"], result["state"]) for result in results] == [
        ("qeattention", "measured"),
        (name, "measured"),
    ]


@pytest.mark.parametrize("name", ["numpy", "faiss", "usearch"])
@pytest.mark.parametrize("queries", [1, 60])
def test_top_k_of_each_peer_that_is_installed_passes_the_gate(name: str, queries: int) -> None:
    if not find_peers(None)[list(PEERS).index(name)].is_usable:
        pytest.skip(f"{name} is not installed")

    results = row_of(prepare(TopkCase(queries, 60, 16, 3), [name], 1), 5)["results"]

    assert [(result["name"], result["state"]) for result in results] == [
        ("qeattention", "measured"),
        (name, "measured"),
    ]


def test_a_peer_that_is_not_installed_is_left_out_unless_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: find(name, *rest) if name == "numpy" else None)

    states = {state.name: state for state in find_peers(None)}

    assert set(states) == set(PEERS)
    assert states["numpy"].is_usable
    assert states["numpy"].version == np.__version__
    assert states["faiss"].as_dict() == {"usable": False, "version": None, "reason": "faiss-cpu is not installed"}
    with pytest.raises(BenchUsage, match="torch is not installed; available here: numpy; all of them, in the"):
        find_peers(["numpy", "torch"])


def test_a_peer_that_does_not_load_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def load(name: str) -> Any:
        if name in ("torch", "onnxruntime", "faiss", "usearch.index"):
            raise OSError("libmissing.so: cannot open shared object file")
        return real(name)

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: SimpleNamespace())
    monkeypatch.setattr(importlib, "import_module", load)

    states = {state.name: state for state in find_peers(None)}

    assert states["torch"].reason == "torch does not load: OSError: libmissing.so: cannot open shared object file"
    assert states["numpy"].is_usable


def test_cases_of_a_whole_run() -> None:
    cases = comprehensive_cases(None, quick=False)
    float32 = [case for case in cases if case.precision == "float32"]
    by_kind = {kind: [case.label for case in float32 if case.kind == kind] for kind in {case.kind for case in cases}}

    assert len(by_kind["attention"]) == 10
    assert by_kind["dimension"] == [f"1,1,512,{dim}" for dim in (128, 256, 512, 768, 1024)]
    assert by_kind["latency"] == ["1,1,1x8,16", "1,1,1x10000,64", "1,1,1x10000,768"]
    assert by_kind["topk"] == ["20000x20000,256,10"]
    assert by_kind["search"] == ["1x20000,256,10"]


def test_shapes_that_are_given_are_all_that_is_measured() -> None:
    cases = comprehensive_cases(((1, 2, 3, 4), (1, 2, 3, 4)), quick=False)

    assert [case.label for case in cases if case.precision == "float32"] == ["1,2,3,4"]


def test_inputs_are_the_same_in_every_run() -> None:
    for case in (CASE, SEARCH):
        for one, other in zip(case.inputs(), case.inputs(), strict=True):
            assert np.array_equal(one, other)

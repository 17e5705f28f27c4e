from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from attention_oracle import check_same_bits, inputs, normal, oracle, round_bfloat16

from pytest_qeattention.attention import flash_attention, topk_similarity
from pytest_qeattention.attention.functional import attend

THREADS = range(2, 9)


def check_all_thread_counts(**arguments: Any) -> None:
    one = flash_attention(num_threads=1, return_lse=True, **arguments)
    for threads in THREADS:
        check_same_bits(flash_attention(num_threads=threads, return_lse=True, **arguments), one)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("causal", [False, True])
def test_thread_count_changes_no_bit(variant: str, causal: bool, precision: str) -> None:
    q, k, v = normal(2, 3, 130, 24), normal(2, 3, 190, 24), normal(2, 3, 190, 24)
    check_all_thread_counts(q=q, k=k, v=v, causal=causal, precision=precision)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", ["none", "bool", "float"])
def test_thread_count_changes_no_bit_where_it_changes_the_tasks(variant: str, kind: str, precision: str) -> None:
    q, k, v = inputs(400, 210, 17, 21)
    mask: Any = np.random.default_rng(3).random((400, 210)) < 0.2
    # Whole blocks that some tiles see and others do not.
    mask[120:, :100] = False
    mask[:130, 110:] = False
    if kind == "float":
        mask = np.where(mask, normal(400, 210, seed=9), -np.inf).astype(np.float32)
    check_all_thread_counts(q=q, k=k, v=v, mask=None if kind == "none" else mask, precision=precision)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_values_that_are_no_numbers_do_not_bind_rows_to_their_task(variant: str, precision: str) -> None:
    q, k, v = inputs(400, 210, 17, 21)
    v[5, 3], v[6, 4] = np.nan, np.inf
    mask = np.ones((400, 210), dtype=bool)
    mask[120:, :100] = False
    check_all_thread_counts(q=q, k=k, v=v, mask=mask, precision=precision)
    out = flash_attention(q, k, v, mask=mask, precision=precision)
    alone = flash_attention(q[120:], k, v, mask=mask[120:], precision=precision)
    np.testing.assert_allclose(out[120:], alone, rtol=0, atol=1e-6)
    assert np.isfinite(out[120:]).all()
    assert np.isnan(out[:120, 3]).all()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("causal", [False, True])
def test_thread_count_changes_no_bit_of_packed_sequences(variant: str, causal: bool, precision: str) -> None:
    bounds = np.cumsum([0, 0, 5, 130, 1, 300, 64, 0])
    bounds_k = np.cumsum([0, 3, 0, 90, 1, 200, 200, 0])
    q, k, v = normal(2, 500, 9), normal(2, 494, 9), normal(494, 6)
    check_all_thread_counts(q=q, k=k, v=v, causal=causal, precision=precision, cu_seqlens=bounds, cu_seqlens_k=bounds_k)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("n_q", [1, 3, 20])
def test_thread_count_changes_no_bit_of_few_queries_with_split_keys(variant: str, n_q: int, precision: str) -> None:
    q, k, v = inputs(n_q, 5003, 12, 10)
    check_all_thread_counts(q=q, k=k, v=v, precision=precision)


@pytest.mark.parametrize(
    ("m", "n", "k"), [(300, 700, 9), (1, 9001, 10), (3, 9001, 400), (20, 5000, 4), (2, 5000, 4900)]
)
def test_thread_count_changes_no_bit_of_top_k(variant: str, m: int, n: int, k: int) -> None:
    queries, keys = normal(m, 33), normal(n, 33, seed=1)
    one = topk_similarity(queries, keys, k, num_threads=1)
    for threads in THREADS:
        check_same_bits(topk_similarity(queries, keys, k, num_threads=threads), one)


def test_threads_that_worked_are_told(kernel: str) -> None:
    q, k, v = inputs(400, 210, 32, 32)
    told = [attend(q, k, v, num_threads=threads) for threads in (1, 2)]
    assert told[0].threads == 1
    assert told[1].threads in (1, 2)
    assert {one.variant for one in told} == {kernel}


def results_of_all_ways() -> list[Any]:
    """Call everything that can start threads."""
    q, k, v = inputs(200, 200, 32, 32)
    few, many, values = inputs(2, 5000, 16, 8)
    return [
        flash_attention(q, k, v, num_threads=2),
        flash_attention(q, k, v, num_threads=2, precision="bfloat16", causal=True),
        flash_attention(few, many, values, num_threads=2),
        flash_attention(q, k, v, num_threads=2, cu_seqlens=np.array([0, 90, 200])),
        *topk_similarity(q, k, 5, num_threads=2),
        *topk_similarity(few, many, 5, num_threads=2),
    ]


def attend_in_child(queue: Any) -> None:
    queue.put([result.tobytes() for result in results_of_all_ways()])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_forked_child_computes_after_the_parent_used_threads(variant: str) -> None:
    expected = [result.tobytes() for result in results_of_all_ways()]
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=attend_in_child, args=(queue,))
    child.start()
    answer = queue.get(timeout=60)
    child.join(timeout=60)
    assert child.exitcode == 0
    assert answer == expected


def test_python_threads_that_call_at_once_get_their_own_results(variant: str) -> None:
    together = threading.Barrier(2)

    def work(seed: int) -> None:
        q, k, v = normal(200, 32, seed=seed), normal(200, 32, seed=seed + 1), normal(200, 32, seed=seed + 2)
        small = [part[:5] for part in (q, k, v)]
        expected = oracle(q, k, v)[0]
        rounded = oracle(*(round_bfloat16(part) for part in (q, k, v)))[0]
        order = np.argsort(-(q.astype(np.float64) @ k.T.astype(np.float64)), axis=1)[:, :3]
        together.wait(timeout=60)
        for threads in (1, 2) * 4:
            np.testing.assert_allclose(flash_attention(q, k, v, num_threads=threads), expected, rtol=0, atol=2e-5)
            np.testing.assert_allclose(flash_attention(*small), oracle(*small)[0], rtol=0, atol=2e-5)
            out = flash_attention(q, k, v, num_threads=threads, precision="bfloat16")
            np.testing.assert_allclose(out, rounded, rtol=0, atol=1e-2)
            np.testing.assert_array_equal(topk_similarity(q, k, 3, num_threads=threads)[1], order)

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(work, 100), pool.submit(work, 200)]:
            done.result(timeout=60)


def test_other_python_threads_go_on_while_the_core_computes(kernel: str) -> None:
    counted = 0
    stop = False

    def count() -> None:
        nonlocal counted
        while not stop:
            counted += 1
            time.sleep(0)

    def counted_during(call: Callable[[], Any]) -> int:
        """Call until the other thread had a turn, which a busy machine may not give it at once."""
        before = counted
        for _ in range(50):
            call()
            if counted > before:
                break
        return counted - before

    q, k, v = inputs(1500, 1500, 64, 64)
    few, many, values = inputs(1, 200_000, 16, 16)
    interval = sys.getswitchinterval()
    counter = threading.Thread(target=count)
    # Nobody is asked to hand the lock over: who holds it keeps it until it gives it away.
    sys.setswitchinterval(60)
    try:
        counter.start()
        while not counted:
            time.sleep(0.001)
        held = counted_during(lambda: sum(range(20_000)))
        released = [
            counted_during(lambda: flash_attention(q, k, v, num_threads=1)),
            counted_during(lambda: flash_attention(few, many, values, num_threads=1)),
            counted_during(lambda: topk_similarity(q, k, 5, num_threads=1)),
            counted_during(lambda: topk_similarity(few, many, 5, num_threads=1)),
        ]
    finally:
        stop = True
        sys.setswitchinterval(interval)
        counter.join(timeout=60)
    if getattr(sys, "_is_gil_enabled", lambda: True)():
        assert held == 0
    assert min(released) > 0

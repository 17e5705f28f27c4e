from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from attention_oracle import BOUND, CORE, check_ran, check_same_bits, inputs, normal, oracle

from pytest_qeattention.attention import flash_attention
from pytest_qeattention.attention.functional import Attended, attend


def scratch(q: Any, k: Any, v: Any, **change: Any) -> int:
    return attend(q, k, v, num_threads=1, **change).scratch_bytes


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("key_chunk", [1, 2, 24, 97, 300, 2**70])
@pytest.mark.parametrize("query_chunk", [1, 7, 48, 1000, 2**70])
def test_chunks_change_the_result_by_rounding_only(
    variant: str, query_chunk: int, key_chunk: int, precision: str
) -> None:
    q, k, v = inputs(67, 150, 16, 12)
    mask = np.random.default_rng(1).random((67, 150)) < 0.4
    options: dict[str, Any] = {"mask": mask, "causal": True, "precision": precision, "return_lse": True}
    out, lse = flash_attention(q, k, v, query_chunk=query_chunk, key_chunk=key_chunk, **options)
    check_ran(variant)
    expected, expected_lse = flash_attention(q, k, v, **options)
    # A weight is rounded to bfloat16 relative to the maximum so far, which is another one in other blocks.
    bound = 2e-6 if precision == "float32" else 1e-2
    np.testing.assert_allclose(out, expected, rtol=0, atol=bound)
    np.testing.assert_allclose(lse, expected_lse, rtol=0, atol=bound)


@pytest.mark.parametrize("n_q", [3, 300])
def test_query_chunk_changes_no_bit(kernel: str, n_q: int) -> None:
    q, k, v = inputs(n_q, 150, 16, 12)
    expected = flash_attention(q, k, v, return_lse=True)
    for chunk in (1, 2, 5, 24, 100, 1000):
        check_same_bits(flash_attention(q, k, v, query_chunk=chunk, return_lse=True), expected)


def test_larger_chunks_take_more_scratch_memory(kernel: str) -> None:
    q, k, v = inputs(1000, 2000, 32, 32)
    by_queries = [scratch(q, k, v, query_chunk=chunk) for chunk in (48, 200, 1000)]
    by_keys = [scratch(q, k, v, key_chunk=chunk) for chunk in (16, 100, 1000)]
    assert by_queries == sorted(set(by_queries))
    assert by_keys == sorted(set(by_keys))
    assert scratch(q, k, v, query_chunk=1000) == scratch(q, k, v, query_chunk=10**9)
    assert scratch(q, k, v, key_chunk=2000) == scratch(q, k, v, key_chunk=10**9)


def test_scratch_memory_is_that_of_blocks_not_of_scores(kernel: str) -> None:
    small, large = (inputs(400, n_k, 16, 16) for n_k in (1000, 4000))
    assert scratch(*small) == scratch(*large)
    assert scratch(*large) < 400 * 4000 * 4 / 4


def test_every_thread_has_scratch_memory_of_its_own(kernel: str) -> None:
    q, k, v = inputs(1000, 100, 32, 32)
    one, two = (attend(q, k, v, num_threads=threads, query_chunk=100) for threads in (1, 2))
    assert (one.threads, two.threads) == (1, 2 if CORE.openmp() else 1)
    assert two.scratch_bytes == two.threads * one.scratch_bytes
    assert (one.variant, two.variant) == (kernel, kernel)


def test_attend_tells_what_the_call_took(variant: str) -> None:
    for q, k, v in (inputs(5, 7, 4, 3), inputs(400, 300, 16, 16)):
        attended = attend(q, k, v, causal=True, num_threads=1)
        assert isinstance(attended, Attended)
        expected, expected_lse = oracle(q, k, v, causal=True)
        np.testing.assert_allclose(attended.out, expected, rtol=0, atol=BOUND)
        np.testing.assert_allclose(attended.lse, expected_lse, rtol=0, atol=BOUND)
        assert attended.threads == 1
        assert attended.scratch_bytes > 0
        assert attended.variant == variant
    nothing = attend(normal(3, 4), normal(0, 4), normal(0, 2))
    assert (nothing.threads, nothing.scratch_bytes, nothing.variant) == (1, 0, variant)

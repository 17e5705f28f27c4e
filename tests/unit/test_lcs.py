"""Longest common subsequences: the core and its reference against the textbook."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from pytest_qeattention.attention import backend, lcs_lengths, reference


def textbook(a: list[int], b: list[int]) -> int:
    row = [0] * (len(b) + 1)
    for x in a:
        above = row[:]
        for j, y in enumerate(b):
            row[j + 1] = above[j] + 1 if x == y else max(above[j + 1], row[j])
    return row[-1]


def sequences(lengths: list[int], alphabet: int, seed: int) -> tuple[Any, Any]:
    chance = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return chance.integers(0, alphabet, offsets[-1]).astype(np.uint32), offsets


@pytest.mark.parametrize("alphabet", [1, 2, 30, 2**32 - 1])
def test_against_the_textbook(alphabet: int) -> None:
    lengths = [0, 1, 2, 63, 64, 65, 127, 128, 129, 200]
    tokens, offsets = sequences(lengths, alphabet, seed=alphabet % 97)
    left, right = (part.ravel() for part in np.indices((len(lengths), len(lengths)), dtype=np.int64))
    parts = [tokens[a:b].tolist() for a, b in itertools.pairwise(offsets)]
    expected = [textbook(parts[a], parts[b]) for a, b in zip(left, right, strict=True)]
    assert lcs_lengths(tokens, offsets, left, right).tolist() == expected
    by_reference = np.empty(len(left), np.int64)
    reference.lcs_lengths(tokens, offsets, left, right, by_reference)
    assert by_reference.tolist() == expected


def test_order_of_pairs_and_threads_do_not_matter() -> None:
    tokens, offsets = sequences([40] * 60, 12, seed=5)
    chance = np.random.default_rng(6)
    left, right = chance.integers(0, 60, (2, 4000))
    expected = lcs_lengths(tokens, offsets, left, right, num_threads=1)
    np.testing.assert_array_equal(lcs_lengths(tokens, offsets, left, right, num_threads=2), expected)
    shuffled = chance.permutation(4000)
    np.testing.assert_array_equal(lcs_lengths(tokens, offsets, left[shuffled], right[shuffled]), expected[shuffled])


def test_no_pairs_and_no_tokens() -> None:
    none = np.empty(0, np.int64)
    assert lcs_lengths(np.empty(0, np.uint32), np.zeros(1, np.int64), none, none).shape == (0,)
    zero = np.zeros(1, np.int64)
    assert lcs_lengths(np.empty(0, np.uint32), np.zeros(2, np.int64), zero, zero).tolist() == [0]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"tokens": np.zeros(4, np.int32)}, TypeError, "tokens has dtype int32"),
        ({"tokens": np.zeros((2, 2), np.uint32)}, ValueError, "tokens has shape"),
        ({"offsets": np.array([0, 3], np.int64)}, ValueError, "offsets must rise from 0 to the 4"),
        ({"offsets": np.array([0, 5, 4], np.int64)}, ValueError, "offsets must rise"),
        ({"left": np.array([2], np.int64)}, ValueError, "left holds a sequence number outside 0..1"),
        ({"right": np.array([-1], np.int64)}, ValueError, "right holds a sequence number outside"),
        ({"right": np.array([0, 1], np.int64)}, ValueError, "right has 2 sequence numbers, expected 1"),
    ],
)
def test_wrong_arguments_are_named(change: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments: dict[str, Any] = {
        "tokens": np.zeros(4, np.uint32),
        "offsets": np.array([0, 2, 4], np.int64),
        "left": np.array([0], np.int64),
        "right": np.array([1], np.int64),
    } | change
    with pytest.raises(error, match=message):
        lcs_lengths(**arguments)


@pytest.mark.skipif(backend.active().core is None, reason="the compiled core is not installed")
def test_the_core_checks_what_it_is_given() -> None:
    core = backend.active().core
    assert core is not None
    tokens, out = np.zeros(4, np.uint32), np.zeros(1, np.int64)
    one, two = np.array([1], np.int64), np.array([0], np.int64)
    with pytest.raises(ValueError, match="beyond tokens"):
        core.lcs_lengths(tokens, np.array([0, 2, 9], np.int64), one, two, 1, out)
    with pytest.raises(ValueError, match="out of range"):
        core.lcs_lengths(tokens, np.array([0, 4], np.int64), one, two, 1, out)

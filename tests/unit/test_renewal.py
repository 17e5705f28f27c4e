"""Renewed neighbour lists, against sorting all scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from pytest_qeattention.cache import Cache
from pytest_qeattention.similarity import renewal
from pytest_qeattention.similarity.renewal import nearest_rows

Rows = npt.NDArray[np.float32]


@pytest.fixture(autouse=True)
def _small_suites_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewal, "LEAST_ROWS", 40)
    monkeypatch.setattr(renewal, "UNWRITTEN_SHARE", -1)


def sorted_scores(rows: Rows, k: int) -> npt.NDArray[np.int64]:
    scores = (rows @ rows.T).astype(np.int64)
    np.fill_diagonal(scores, -(10**12))
    return np.lexsort((np.broadcast_to(np.arange(len(rows)), scores.shape), -scores), axis=1)[:, :k]


def joined(files: list[Rows]) -> tuple[Rows, npt.NDArray[np.int64]]:
    return np.concatenate(files), np.repeat(np.arange(len(files)), [len(file) for file in files])


def edited(files: list[Rows], chance: np.random.Generator) -> list[Rows]:
    at = int(chance.integers(len(files)))
    file = files[at]
    change = chance.integers(6)
    if change == 0:
        return files[:at] + files[at + 1 :]
    if change == 1:
        return [*files[:at], chance.integers(-3, 4, (3, file.shape[1])).astype(np.float32), *files[at:]]
    if change == 2 and len(file) > 1:
        return [*files[:at], file[1:], *files[at + 1 :]]
    if change == 3:
        return [*files[:at], np.concatenate([file, file[:1]]), *files[at + 1 :]]
    if change == 4:
        return [*files[:at], *files[at + 1 :], file]
    return [*files[:at], file + np.eye(len(file), file.shape[1], dtype=np.float32), *files[at + 1 :]]


@pytest.mark.parametrize("largest", [2, 300], ids=["many ties", "few ties"])
@pytest.mark.parametrize("seed", range(3))
def test_renewed_lists_are_those_of_a_whole_search(tmp_path: Path, largest: int, seed: int) -> None:
    chance = np.random.default_rng(seed)
    files = [chance.integers(-largest, largest + 1, (chance.integers(1, 20), 8)).astype(np.float32) for _ in range(40)]
    for _ in range(8):
        rows, file = joined(files)
        np.testing.assert_array_equal(nearest_rows(rows, file, 10, Cache(tmp_path)), sorted_scores(rows, 10))
        for _ in range(chance.integers(0, 4)):
            files = edited(files, chance)


def test_few_rows_are_searched_for_after_a_small_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = np.random.default_rng(7)
    files = [chance.integers(-300, 301, (10, 16)).astype(np.float32) for _ in range(40)]
    rows, file = joined(files)
    nearest_rows(rows, file, 10, Cache(tmp_path))
    searched: list[int] = []
    search = renewal._searched

    def spy(rows: Rows, which: npt.NDArray[np.int64], k: int, threads: int | None) -> renewal.Lists:
        searched.append(len(which))
        return search(rows, which, k, threads)

    monkeypatch.setattr(renewal, "_searched", spy)
    rows, file = joined([*files[:5], files[5] + 1, *files[6:]])

    np.testing.assert_array_equal(nearest_rows(rows, file, 10, Cache(tmp_path)), sorted_scores(rows, 10))
    assert searched == [10]


@pytest.mark.parametrize("threads", [1, 2])
def test_equal_rows_do_not_take_each_others_place(threads: int) -> None:
    rows = np.ones((60, 4), np.float32)
    found = nearest_rows(rows, np.zeros(60, np.int64), 5, Cache(None), num_threads=threads)
    np.testing.assert_array_equal(found, sorted_scores(rows, 5))


def test_lists_that_do_not_fit_are_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = np.random.default_rng(1)
    rows = chance.integers(-99, 100, (80, 8)).astype(np.float32)
    file = np.repeat(np.arange(8), 10)
    expected = sorted_scores(rows, 10)
    entries: dict[bytes, bytes] = {}
    monkeypatch.setattr(Cache, "write", lambda self, more: entries.update(more))
    nearest_rows(rows, file, 10, Cache(tmp_path))
    ((name, sound),) = entries.items()
    for damaged in (b"", sound[:-1], sound + b"\0", bytes(len(sound)), sound[:8] + bytes(8) + sound[16:]):
        monkeypatch.setattr(Cache, "read", lambda self, keys, damaged=damaged: {name: damaged})
        np.testing.assert_array_equal(nearest_rows(rows, file, 10, Cache(tmp_path)), expected)

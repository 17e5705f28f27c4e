"""Pairs worth scoring, against all pairs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from pytest_qeattention.similarity import partners
from pytest_qeattention.similarity.describe import Description, pack_bag
from pytest_qeattention.similarity.evidence import Features, weigh
from pytest_qeattention.similarity.partners import COSINE_FLOOR, find_partners


def suite(sizes: list[int], seed: int = 0) -> tuple[Features, npt.NDArray[np.int64]]:
    chance = np.random.default_rng(seed)
    units = []
    for number in range(sum(sizes)):
        family = np.random.default_rng(number % 7).integers(0, 400, 30)
        bags = [pack_bag([*family.tolist(), *chance.integers(0, 4000, 15).tolist()]) for _ in range(3)]
        units.append(Description(*bags, b"", b"", b"", b"", (), (), False, False))
    return weigh(units), np.repeat(np.arange(len(sizes)), sizes)


def all_cosines(features: Features) -> npt.NDArray[np.float64]:
    full = np.zeros((features.n_rows, len(features.keys)))
    for row in range(len(full)):
        span = slice(features.indptr[row], features.indptr[row + 1])
        full[row, features.indices[span]] = features.values[span]
    return full @ full.T


@pytest.mark.parametrize("threads", [1, 2])
def test_all_pairs_of_a_file_are_found(threads: int) -> None:
    features, file = suite([5, 1, 20, 9])
    found = find_partners(features, file, num_threads=threads)
    cosines = all_cosines(features)
    left, right = np.nonzero(np.triu((file[:, None] == file) & (cosines >= COSINE_FLOOR), 1))
    inside = file[found.left] == file[found.right]
    assert list(zip(found.left[inside], found.right[inside], strict=True)) == list(zip(left, right, strict=True))
    np.testing.assert_allclose(found.cosine, cosines[found.left, found.right], rtol=1e-5)
    assert found.usual.all()
    assert found.search == "exact"


def test_pairs_rise_and_are_distinct() -> None:
    features, file = suite([40, 40, 40])
    found = find_partners(features, file)
    assert (found.left < found.right).all()
    keys = found.left * 1000 + found.right
    assert (np.diff(keys) > 0).all()


def test_of_other_files_the_best_by_cosine_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partners, "CANDIDATES", 3)
    monkeypatch.setattr(partners, "SEARCHED_BEYOND", 200)
    features, file = suite([30, 30, 30])
    cosines = all_cosines(features)
    cosines[file[:, None] == file] = -1
    best = np.argsort(-cosines, axis=1, kind="stable")[:, :3]
    expected = {
        (min(a, b), max(a, b)) for a, row in enumerate(best.tolist()) for b in row if cosines[a, b] >= COSINE_FLOOR
    }
    found = find_partners(features, file)
    across = file[found.left] != file[found.right]
    assert set(zip(found.left[across].tolist(), found.right[across].tolist(), strict=True)) == expected


def test_neighbours_add_pairs_and_leave_the_usual_ones_alone() -> None:
    features, file = suite([40, 40, 40])
    usual = find_partners(features, file)
    more = find_partners(features, file, neighbors=60)
    assert len(more.left) > len(usual.left)
    np.testing.assert_array_equal(more.left[more.usual], usual.left)
    np.testing.assert_array_equal(more.right[more.usual], usual.right)
    np.testing.assert_array_equal(more.cosine[more.usual], usual.cosine)


def test_large_files_pair_each_test_with_its_best(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partners, "DENSE_FILE", 20)
    monkeypatch.setattr(partners, "BEST_IN_FILE", 4)
    features, file = suite([60, 5])
    found = find_partners(features, file)
    inside = file[found.left] == file[found.right]
    assert 60 * 4 / 2 <= np.count_nonzero(inside) <= 60 * 4 + 10


@pytest.mark.parametrize("sizes", [[], [1], [1, 1]])
def test_suites_without_pairs_or_with_one(sizes: list[int]) -> None:
    features, file = suite(sizes)
    assert len(find_partners(features, file).left) <= 1


def test_hnsw_takes_over_from_the_crossover_on(monkeypatch: pytest.MonkeyPatch) -> None:
    from pytest_qeattention.index import hnsw_state

    if hnsw_state(probe=True)["state"] != "usable":
        pytest.skip("hnswlib is not usable here")
    features, file = suite([80, 80, 80])
    exact = find_partners(features, file)
    for module in ("pytest_qeattention.similarity.partners", "pytest_qeattention.index.neighbors"):
        monkeypatch.setattr(f"{module}.crossover", lambda dim: 100)
    found = find_partners(features, file)
    assert (exact.search, found.search) == ("exact", "hnsw")
    both = np.intersect1d(exact.left * 1000 + exact.right, found.left * 1000 + found.right)
    assert len(both) >= 0.98 * len(exact.left)


def test_partners_of_one_file_alone() -> None:
    features, file = suite([40, 3, 600, 25])
    found, own = find_partners(features, file), find_partners(features, file, across_files=False)
    same = file[found.left] == file[found.right]
    assert same.sum() < len(same)
    for name in ("left", "right", "cosine", "usual"):
        np.testing.assert_array_equal(getattr(own, name), getattr(found, name)[same])

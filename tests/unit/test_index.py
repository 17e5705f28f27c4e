"""Nearest neighbours: exact against an oracle, HNSW against exact, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pytest_qeattention.index import Nearest, crossover, hnsw_state, nearest, search

Vectors = npt.NDArray[np.float32]
MODES = ["exact", "hnsw"]


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> Any:
    if request.param == "hnsw":
        require_hnswlib()
    return request.param


def require_hnswlib() -> None:
    state = hnsw_state(probe=True)
    if state["state"] != "usable":
        pytest.skip(f"hnswlib is {state['state']}: {state['reason']}")


def clustered(rows: int, dim: int, *, clusters: int = 50, seed: int = 0) -> Vectors:
    rng = np.random.default_rng(seed)
    centers = rng.standard_normal((clusters, dim))
    return normalised(centers[rng.integers(0, clusters, rows)] + 0.5 * rng.standard_normal((rows, dim)))


def normalised(rows: npt.NDArray[np.float64]) -> Vectors:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def oracle(queries: Vectors, keys: Vectors, k: int, *, without_own: bool) -> npt.NDArray[np.float64]:
    """Return the k best scores of each query in float64."""
    scores = queries.astype(np.float64) @ keys.astype(np.float64).T
    if without_own:
        np.fill_diagonal(scores, -np.inf)
    return -np.sort(-scores, axis=1)[:, :k]


def assert_consistent(found: Nearest, queries: Vectors, keys: Vectors, k: int) -> None:
    """Check what holds for every answer: dtypes, shapes, order, distinct rows, and scores that are theirs."""
    assert found.scores.dtype == np.float32
    assert found.indices.dtype == np.int64
    assert found.scores.shape == found.indices.shape == (len(queries), k)
    for scores, indices in zip(found.scores.tolist(), found.indices.tolist(), strict=True):
        assert len(set(indices)) == k
        ranks = [(-score, index) for score, index in zip(scores, indices, strict=True)]
        assert ranks == sorted(ranks)
    products = np.einsum("md,mkd->mk", queries.astype(np.float64), keys[found.indices].astype(np.float64))
    np.testing.assert_allclose(found.scores, products, atol=2e-6)


@pytest.mark.parametrize("rows", [2, 3, 47, 48, 49, 300])
@pytest.mark.parametrize("k", [1, 5])
def test_exact_agrees_with_the_oracle(rows: int, k: int) -> None:
    vectors = clustered(rows, 33)
    found = nearest(vectors, k, mode="exact")
    assert_consistent(found, vectors, vectors, min(k, rows - 1))
    np.testing.assert_allclose(found.scores, oracle(vectors, vectors, k, without_own=True)[:, : rows - 1], atol=2e-6)
    assert not (found.indices == np.arange(rows)[:, None]).any()
    assert (found.mode, found.recall, found.reason) == ("exact", None, "asked for")


def test_exact_search_agrees_with_the_oracle() -> None:
    keys, queries = clustered(300, 33), clustered(20, 33, seed=1)
    found = search(queries, keys, 7, mode="exact")
    assert_consistent(found, queries, keys, 7)
    np.testing.assert_allclose(found.scores, oracle(queries, keys, 7, without_own=False), atol=2e-6)


def test_hnsw_finds_what_exact_search_finds() -> None:
    require_hnswlib()
    vectors = clustered(2000, 40)
    found, exact = nearest(vectors, 10, mode="hnsw"), nearest(vectors, 10, mode="exact")
    assert_consistent(found, vectors, vectors, 10)
    assert found.mode == "hnsw"
    assert found.recall is not None
    assert 0.98 <= found.recall <= 1
    assert found.reason == "asked for; ef 100"
    assert np.mean(found.scores >= exact.scores[:, -1:] - 1e-6) >= 0.98
    assert not (found.indices == np.arange(2000)[:, None]).any()


def test_hnsw_search_finds_what_exact_search_finds() -> None:
    require_hnswlib()
    keys, queries = clustered(2000, 40), clustered(150, 40, seed=1)
    found, exact = search(queries, keys, 10, mode="hnsw"), search(queries, keys, 10, mode="exact")
    assert_consistent(found, queries, keys, 10)
    assert found.mode == "hnsw"
    assert np.mean(found.scores >= exact.scores[:, -1:] - 1e-6) >= 0.98


REPEAT = """
import hashlib, sys
import numpy as np
from pytest_qeattention.index import nearest
rows = np.random.default_rng(0).standard_normal((1500, 24))
rows[300:340] = rows[7]
rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
found = nearest(rows, 6, mode=sys.argv[1], num_threads=int(sys.argv[2]))
print(found.mode, hashlib.sha256(found.indices.tobytes() + found.scores.tobytes()).hexdigest())
"""


def test_every_run_and_thread_count_answers_the_same(mode: str) -> None:
    answers = {
        subprocess.run([sys.executable, "-c", REPEAT, mode, threads], capture_output=True, text=True, check=True).stdout
        for threads in ("1", "2", "2")
    }
    assert len(answers) == 1
    assert answers.pop().startswith(mode)


def test_equal_rows_are_all_found_in_index_order(mode: Any) -> None:
    vectors = clustered(3000, 16)
    equal = np.arange(1000, 2062)
    vectors[equal] = vectors[5]
    found = nearest(vectors, 10, mode=mode)
    assert found.mode == mode
    members = [5, *equal.tolist()]
    for row in (5, 1000, 1001, 1500, 2061):
        others = [member for member in members if member != row]
        assert found.indices[row].tolist() == others[:10]
        np.testing.assert_allclose(found.scores[row], 1, atol=1e-6)


def test_all_equal_rows_are_found_when_k_asks_for_them(mode: Any) -> None:
    vectors = clustered(1500, 16)
    vectors[100:1162] = vectors[100]
    found = nearest(vectors, 1061, mode=mode)
    assert found.indices[600].tolist() == [row for row in range(100, 1162) if row != 600]


def test_matrix_of_equal_rows_only(mode: Any) -> None:
    vectors = np.repeat(clustered(1, 8), 1062, axis=0)
    found = nearest(vectors, 3, mode=mode)
    assert found.indices[0].tolist() == [1, 2, 3]
    assert found.indices[1].tolist() == [0, 2, 3]
    assert found.indices[1061].tolist() == [0, 1, 2]


def test_equal_keys_are_found_by_search(mode: Any) -> None:
    keys = clustered(500, 16)
    keys[200:230] = keys[3]
    found = search(keys[3:4], keys, 5, mode=mode)
    assert found.indices.tolist() == [[3, 200, 201, 202, 203]]


def test_rows_that_differ_only_in_the_sign_of_zero_are_equal(mode: Any) -> None:
    vectors = clustered(100, 8)
    vectors[:, 0] = 0.0
    vectors[60] = vectors[40]
    vectors[60, 0] = -0.0
    found = nearest(vectors, 1, mode=mode)
    assert (found.indices[40, 0], found.indices[60, 0]) == (60, 40)


def test_ties_of_different_rows_go_to_the_lower_index(mode: Any) -> None:
    vectors = np.eye(64, dtype=np.float32)
    found = nearest(vectors, 63, mode=mode)
    assert found.indices[10].tolist() == [row for row in range(64) if row != 10]
    assert not found.scores.any()


@pytest.mark.parametrize("k", [1, 4, 40])
@pytest.mark.parametrize("rows", [30, 400])
def test_equal_rows_and_ties_agree_with_a_full_sort(mode: Any, rows: int, k: int) -> None:
    # Small integers: 27 different rows at most, many equal scores, and no rounding.
    vectors = np.random.default_rng(rows).integers(-1, 2, (rows, 3)).astype(np.float32)
    if mode == "hnsw":
        # With fewer answers than different rows, HNSW may choose others of equal score.
        k = max(k, 40)
    scores = vectors @ vectors.T
    expected = [
        sorted((other for other in range(rows) if other != row), key=lambda other: (-scores[row, other], other))[:k]
        for row in range(rows)
    ]
    found = nearest(vectors, k, mode=mode)
    assert found.indices.tolist() == expected
    np.testing.assert_array_equal(found.scores, np.take_along_axis(scores, found.indices, axis=1))


def test_blocks_do_not_change_the_answers(mode: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = clustered(300, 12)
    vectors[100:140] = vectors[7]
    whole = nearest(vectors, 5, mode=mode)
    monkeypatch.setattr("pytest_qeattention.index.row_classes._BLOCK_CANDIDATES", 10)
    monkeypatch.setattr("pytest_qeattention.index.row_classes._BLOCK_ROWS", 7)
    monkeypatch.setattr("pytest_qeattention.index.hnsw_graph._BLOCK_ROWS", 7)
    monkeypatch.setattr("pytest_qeattention.index.hnsw_graph._BLOCK_FLOATS", 50)
    parts = nearest(vectors, 5, mode=mode)
    assert parts.mode == whole.mode == mode
    np.testing.assert_array_equal(parts.indices, whole.indices)
    np.testing.assert_allclose(parts.scores, whole.scores, atol=1e-6)


def test_zero_rows_are_neighbours_at_zero(mode: Any) -> None:
    vectors = np.zeros((5, 4), np.float32)
    vectors[0, 0] = vectors[1, 1] = 1
    found = nearest(vectors, 4, mode=mode)
    assert found.indices.tolist() == [[1, 2, 3, 4], [0, 2, 3, 4], [0, 1, 3, 4], [0, 1, 2, 4], [0, 1, 2, 3]]
    assert not found.scores.any()


@pytest.mark.parametrize(("rows", "columns"), [(0, 0), (1, 0), (2, 1)])
def test_fewer_rows_than_neighbours(mode: Any, rows: int, columns: int) -> None:
    found = nearest(clustered(rows, 4), 5, mode=mode)
    assert found.scores.shape == found.indices.shape == (rows, columns)
    assert found.indices.tolist() == [[1], [0]][:rows] if columns else found.indices.size == 0
    if not columns:
        assert (found.mode, found.recall, found.reason) == ("exact", None, "nothing to search")


@pytest.mark.parametrize(("queries", "keys"), [(0, 3), (3, 0), (0, 0)])
def test_search_of_nothing(queries: int, keys: int) -> None:
    found = search(clustered(queries, 4), clustered(keys, 4), 2)
    assert found.scores.shape == found.indices.shape == (queries, min(2, keys))


def test_search_with_k_above_the_number_of_keys(mode: Any) -> None:
    keys = np.eye(3, dtype=np.float32)
    found = search(keys[1:2], keys, 2**70, mode=mode)
    assert found.indices.tolist() == [[1, 0, 2]]


def test_vectors_without_elements(mode: Any) -> None:
    found = nearest(np.zeros((3, 0), np.float32), 2, mode=mode)
    assert found.indices.tolist() == [[1, 2], [0, 2], [0, 1]]
    assert found.mode == "exact"


def test_input_may_be_strided_and_read_only() -> None:
    vectors = clustered(40, 8)
    strided = np.asfortranarray(vectors)[::-1]
    strided.flags.writeable = False
    found, straight = nearest(strided, 3), nearest(vectors[::-1].copy(), 3)
    assert found.indices.tolist() == straight.indices.tolist()


def test_search_of_a_view_leaves_its_input_alone(mode: Any) -> None:
    vectors = clustered(100, 8)
    before = vectors.copy()
    nearest(vectors, 3, mode=mode)
    np.testing.assert_array_equal(vectors, before)


def test_auto_is_exact_below_the_crossover() -> None:
    found = nearest(clustered(100, 8), 3)
    assert found.mode == "exact"
    assert found.reason == f"100 distinct rows; HNSW pays from {crossover(8):,} at dimension 8"


def test_auto_takes_hnsw_from_the_crossover_on(monkeypatch: pytest.MonkeyPatch) -> None:
    require_hnswlib()
    monkeypatch.setattr("pytest_qeattention.index.neighbors.crossover", lambda dim: 500)
    vectors = clustered(500, 16)
    found = nearest(vectors, 3)
    assert found.mode == "hnsw"
    assert found.reason == "500 distinct rows; HNSW pays from 500 at dimension 16; ef 100"
    assert nearest(vectors[:499], 3).mode == "exact"
    assert search(vectors[:499], vectors, 3).mode == "exact"
    assert search(vectors, vectors, 3).mode == "hnsw"


def test_crossover_is_known_for_every_dimension() -> None:
    assert all(crossover(dim) >= 1000 for dim in (1, 64, 256, 257, 512, 513, 4096))


def test_low_recall_raises_ef_then_falls_back_to_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    require_hnswlib()
    monkeypatch.setattr("pytest_qeattention.index.neighbors.MIN_RECALL", 1.5)
    vectors = clustered(600, 16)
    found = nearest(vectors, 3, mode="hnsw")
    assert (found.mode, found.recall) == ("exact", None)
    assert found.reason.startswith("HNSW is not good enough with ef up to 1600 (recall@3 is ")
    np.testing.assert_array_equal(found.indices, nearest(vectors, 3, mode="exact").indices)


def test_ef_is_raised_until_the_recall_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    require_hnswlib()
    monkeypatch.setattr("pytest_qeattention.index.neighbors._FIRST_EF", 10)
    rng = np.random.default_rng(3)
    keys, queries = normalised(rng.standard_normal((3000, 48))), normalised(rng.standard_normal((50, 48)))
    found = search(queries, keys, 5, mode="hnsw")
    assert found.mode == "hnsw"
    assert found.recall is not None
    assert found.recall >= 0.98
    assert int(found.reason.rpartition(" ")[2]) > 10


class Unreachable:
    """Stand in for hnswlib where a graph search reaches fewer than k rows."""

    class Index:
        def __init__(self, **_: Any) -> None: ...
        def init_index(self, **_: Any) -> None: ...
        def add_items(self, *_: Any, **__: Any) -> None: ...
        def set_ef(self, ef: int) -> None: ...
        def knn_query(self, *_: Any, **__: Any) -> Any:
            raise RuntimeError("Cannot return the results in a contiguous 2D array. Probably ef or M is too small")


class TooLarge(Unreachable):
    """Stand in for hnswlib where the graph does not fit into memory."""

    class Index(Unreachable.Index):
        def init_index(self, **_: Any) -> None:
            raise RuntimeError("Not enough memory")


@pytest.mark.parametrize(
    ("stand_in", "reason"),
    [
        (Unreachable, "hnswlib says: Cannot return"),
        (TooLarge, "could not build its graph (Not enough memory)"),
    ],
)
def test_failure_inside_hnswlib_falls_back_to_exact(
    monkeypatch: pytest.MonkeyPatch, stand_in: type, reason: str
) -> None:
    monkeypatch.setattr("pytest_qeattention.index.neighbors.load_hnswlib", lambda _: (stand_in, "usable"))
    vectors = clustered(50, 8)
    found = nearest(vectors, 3, mode="hnsw")
    assert found.mode == "exact"
    assert reason in found.reason
    assert found.reason.endswith("exact search serves")
    np.testing.assert_array_equal(found.indices, nearest(vectors, 3, mode="exact").indices)


class Astray(Unreachable):
    """Stand in for hnswlib where a graph search misses the row that it was asked about."""

    class Index(Unreachable.Index):
        def knn_query(self, queries: Vectors, k: int, **_: Any) -> Any:
            labels = np.tile(np.arange(k, dtype=np.uint64), (len(queries), 1))
            return labels, np.zeros(labels.shape, np.float32)


def test_equal_rows_are_found_even_where_the_graph_search_misses_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pytest_qeattention.index.neighbors.load_hnswlib", lambda _: (Astray, "usable"))
    monkeypatch.setattr("pytest_qeattention.index.neighbors.MIN_RECALL", 0.0)
    vectors = clustered(50, 8)
    vectors[30] = vectors[40]
    found = nearest(vectors, 2, mode="hnsw")
    assert found.mode == "hnsw"
    assert (found.indices[30, 0], found.indices[40, 0]) == (40, 30)
    assert_consistent(found, vectors, vectors, 2)


GOOD = clustered(3, 4)


@pytest.mark.parametrize("call", [lambda v: nearest(v, 1), lambda v: search(v, GOOD, 1), lambda v: search(GOOD, v, 1)])
@pytest.mark.parametrize(
    ("vectors", "error", "message"),
    [
        (GOOD.astype(np.float64), TypeError, "float64"),
        (GOOD.astype(np.int32), TypeError, "int32"),
        (GOOD.tolist(), TypeError, "list"),
        (None, TypeError, "NoneType"),
        (GOOD[0], ValueError, r"\(4,\)"),
        (GOOD[None], ValueError, r"\(1, 3, 4\)"),
        (
            np.where(np.eye(3, 4), np.nan, 0).astype(np.float32)[::-1][1:],
            ValueError,
            "NaN or infinity, first in row 0",
        ),
        (
            np.where(np.arange(12).reshape(3, 4) == 9, np.inf, 0).astype(np.float32),
            ValueError,
            "first in row 2",
        ),
    ],
    ids=["float64", "int32", "list", "None", "1-d", "3-d", "NaN", "infinity"],
)
def test_wrong_vectors_are_named(
    call: Callable[[Any], Nearest], vectors: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=rf"(vectors|queries|keys) .*{message}"):
        call(vectors)


def test_columns_must_agree() -> None:
    with pytest.raises(ValueError, match=r"keys has shape \(2, 5\), expected \(n, 4\) to match queries \(3, 4\)"):
        search(GOOD, clustered(2, 5), 1)


@pytest.mark.parametrize(
    ("k", "error"),
    [
        (0, ValueError),
        (-1, ValueError),
        (True, TypeError),
        (1.0, TypeError),
        ("1", TypeError),
        (None, TypeError),
    ],
)
def test_wrong_k_is_named(k: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"\bk\b"):
        nearest(GOOD, k)
    with pytest.raises(error, match=r"\bk\b"):
        search(GOOD, GOOD, k)


@pytest.mark.parametrize(("threads", "error"), [(0, ValueError), (-2, ValueError), (True, TypeError), (1.5, TypeError)])
def test_wrong_thread_count_is_named(threads: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="num_threads"):
        nearest(GOOD, 1, num_threads=threads)


def test_wrong_mode_is_named() -> None:
    with pytest.raises(ValueError, match="mode is 'fast', expected one of 'auto', 'exact', 'hnsw'"):
        nearest(GOOD, 1, mode="fast")  # type: ignore[arg-type]

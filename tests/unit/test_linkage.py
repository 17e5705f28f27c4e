"""Average linkage over sparse pairs, against a plain implementation over the full matrix."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest

from pytest_qeattention.similarity.linkage import Cluster, average_linkage, edges_that_count

Edge = tuple[int, int, float]


def plain(edges: list[Edge], threshold: float) -> list[tuple[int, ...]]:
    score = {frozenset((a, b)): s for a, b, s in edges}
    clusters = [(node,) for node in sorted({node for a, b, _ in edges for node in (a, b)})]
    while True:
        best = None
        for one, other in itertools.combinations(clusters, 2):
            mean = sum(score.get(frozenset(pair), 0.0) for pair in itertools.product(one, other)) / (
                len(one) * len(other)
            )
            if mean >= threshold and (best is None or mean > best[0] + 1e-12):
                best = mean, one, other
        if best is None:
            return sorted(cluster for cluster in clusters if len(cluster) > 1)
        clusters.remove(best[1])
        clusters.remove(best[2])
        clusters.append(tuple(sorted(best[1] + best[2])))
        clusters.sort()


@pytest.mark.parametrize("seed", range(30))
def test_same_clusters_as_the_full_matrix(seed: int) -> None:
    chance = random.Random(seed)
    edges = [(a, b, chance.random()) for a, b in itertools.combinations(range(12), 2) if chance.random() < 0.6]
    assert [cluster.members for cluster in average_linkage(edges, 0.4)] == plain(edges, 0.4)


def test_order_of_edges_does_not_matter() -> None:
    chance = random.Random(7)
    # Few distinct scores, so that ties decide.
    edges = [(a, b, chance.choice([0.5, 0.75, 1.0])) for a, b in itertools.combinations(range(14), 2)]
    expected = average_linkage(edges, 0.6)
    for _ in range(10):
        chance.shuffle(edges)
        assert average_linkage(edges, 0.6) == expected


def test_a_chain_whose_ends_differ_does_not_merge() -> None:
    assert average_linkage([(0, 1, 0.9), (1, 2, 0.89)], 0.8) == [Cluster((0, 1), 0.9)]


def test_score_is_that_of_the_last_merge() -> None:
    assert average_linkage([(0, 1, 1.0), (0, 2, 0.75), (1, 2, 0.75)], 0.5) == [Cluster((0, 1, 2), 0.75)]


def test_nothing_to_merge() -> None:
    assert average_linkage([], 0.5) == []
    assert average_linkage([(3, 4, 0.1)], 0.5) == []


@pytest.mark.parametrize("seed", range(10))
def test_edges_that_are_left_out_change_nothing(seed: int) -> None:
    chance = random.Random(seed)
    pairs = sorted({tuple(sorted(chance.sample(range(40), 2))) for _ in range(90)})
    edges = [(a, b, chance.random() ** 2) for a, b in pairs]
    left, right, score = (np.array(column) for column in zip(*edges, strict=True))
    kept = edges_that_count(left, right, score, 0.5)
    assert len(kept) < len(edges)
    assert average_linkage(kept, 0.5) == average_linkage(edges, 0.5)


def test_no_edges_count_among_none() -> None:
    assert edges_that_count(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), 0.5) == []

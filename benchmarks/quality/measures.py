"""Measures of ranking, pairs and groups, suite by suite, over pools with known groups.

Ranking (for each folded test the rest of its pool): mean average precision, mean reciprocal rank, precision at 1;
micro over tests, macro over projects. Pairs (queries are folded tests, projects with at least four): average
precision, macro, and recall at a precision with one threshold for all projects, each of the same weight. Groups:
share of folded tests that stand with a true partner, share of neighbours in any group, recall and precision of pairs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

MIN_FOLDED = 4


def average_precision(relevant: BoolArray) -> float:
    """Return the mean precision at each relevant place of a ranking that has at least one."""
    places = np.flatnonzero(relevant)
    return float(np.mean(np.arange(1, len(places) + 1) / (places + 1)))


def with_partner(group: IntArray) -> IntArray:
    """Number the folded tests whose group has another member in the pool."""
    return np.array([i for i in np.flatnonzero(group >= 0) if (group == group[i]).sum() > 1], np.int64)


@dataclass
class RankingMeasures:
    """Gather rankings project by project."""

    per_project: list[FloatArray] = field(default_factory=list)
    pair_precision: list[float] = field(default_factory=list)
    pairs: list[tuple[FloatArray, BoolArray]] = field(default_factory=list)

    def add(self, scores: FloatArray, group: IntArray) -> None:
        """Add a project: *scores* (n, n) of its pool, *group* (n,)."""
        rows = []
        for query in with_partner(group):
            order = np.argsort(-scores[query], kind="stable")
            relevant = group[order[order != query]] == group[query]
            rows.append((average_precision(relevant), 1.0 / (1 + np.argmax(relevant)), float(relevant[0])))
        if rows:
            self.per_project.append(np.array(rows))
        folded = np.flatnonzero(group >= 0)
        if len(folded) < MIN_FOLDED:
            return
        query, other = np.meshgrid(folded, np.arange(len(group)), indexing="ij")
        kept = query != other
        score, same = scores[query[kept], other[kept]], group[query[kept]] == group[other[kept]]
        if same.any():
            self.pair_precision.append(average_precision(same[np.argsort(-score, kind="stable")]))
            self.pairs.append((score, same))

    def results(self) -> dict[str, float]:
        """Return the measures by name."""
        micro = np.concatenate(self.per_project).mean(axis=0)
        macro = np.mean([rows.mean(axis=0) for rows in self.per_project], axis=0)
        return {
            "map_micro": float(micro[0]),
            "map_macro": float(macro[0]),
            "mrr_macro": float(macro[1]),
            "p_at_1_micro": float(micro[2]),
            "p_at_1_macro": float(macro[2]),
            "pair_ap_macro": float(np.mean(self.pair_precision)),
            "recall_at_precision_0.9": self.recall_at(0.9),
            "recall_at_precision_0.8": self.recall_at(0.8),
        }

    def recall_at(self, precision: float) -> float:
        """Return the highest recall at *precision* that one threshold reaches over all projects."""
        score = np.concatenate([pair[0] for pair in self.pairs])
        same = np.concatenate([pair[1] for pair in self.pairs])
        weight = np.concatenate([np.full(len(pair[0]), 1.0 / pair[1].sum()) for pair in self.pairs])
        order = np.argsort(-score, kind="stable")
        found = np.cumsum((weight * same)[order])
        reached = found / np.cumsum(weight[order])
        # A threshold takes all pairs of equal score or none of them.
        last = np.append(np.diff(score[order]) != 0, True)
        return float((found / found[-1])[last & (reached >= precision)].max(initial=0.0))


@dataclass
class GroupMeasures:
    """Gather reported groups project by project."""

    rows: list[tuple[int, int, int, int, int, int, int]] = field(default_factory=list)

    def add(self, reported: Sequence[Sequence[int]], group: IntArray) -> None:
        """Add a project: *reported* groups as row numbers of its pool."""
        partners: dict[int, set[int]] = {}
        for members in reported:
            for member in members:
                partners.setdefault(member, set()).update(other for other in members if other != member)
        queries = with_partner(group).tolist()
        neighbours = np.flatnonzero(group < 0).tolist()
        true = {query: set(np.flatnonzero(group == group[query]).tolist()) - {query} for query in queries}
        hits = {query: len(partners.get(query, set()) & true[query]) for query in queries}
        self.rows.append(
            (
                sum(hit > 0 for hit in hits.values()),
                len(queries),
                sum(bool(partners.get(other)) for other in neighbours),
                len(neighbours),
                sum(hits.values()),
                sum(len(partners.get(query, set())) for query in queries),
                sum(len(members) for members in true.values()),
            )
        )

    def results(self) -> Mapping[str, float]:
        """Return the measures by name."""
        rows = np.array(self.rows, np.float64)
        found, folded, flagged, neighbours, hits, reported, true = rows.T
        any_folded, any_reported, any_neighbours = folded > 0, reported > 0, neighbours > 0
        return {
            "recall_micro": float(found.sum() / folded.sum()),
            "recall_macro": float((found[any_folded] / folded[any_folded]).mean()),
            "flagged_micro": float(flagged.sum() / neighbours.sum()),
            "flagged_macro": float((flagged[any_neighbours] / neighbours[any_neighbours]).mean()),
            "pair_recall_macro": float((hits[any_folded] / true[any_folded]).mean()),
            "pair_precision_macro": float((hits[any_reported] / reported[any_reported]).mean()),
            "pair_recall_micro": float(hits.sum() / true.sum()),
            "pair_precision_micro": float(hits.sum() / reported.sum()),
        }


@dataclass
class Calibration:
    """Gather scores of pairs with a folded test, and whether the two were folded together."""

    scores: list[FloatArray] = field(default_factory=list)
    same: list[BoolArray] = field(default_factory=list)

    def add(self, scores: FloatArray, same: BoolArray) -> None:
        """Add the pairs of a project."""
        self.scores.append(scores)
        self.same.append(same)

    def bins(self, count: int = 10) -> list[dict[str, float]]:
        """Return mean score, share of pairs that were folded together and number of pairs of bins of equal width."""
        scores, same = np.concatenate(self.scores), np.concatenate(self.same)
        place = np.minimum((scores * count).astype(np.int64), count - 1)
        return [
            {
                "score": float(scores[place == number].mean()),
                "share": float(same[place == number].mean()),
                "pairs": int((place == number).sum()),
            }
            for number in range(count)
            if (place == number).any()
        ]

    def expected_error(self) -> float:
        """Return the mean difference of score and share over the bins, each weighed by its pairs."""
        bins = self.bins()
        total = sum(one["pairs"] for one in bins)
        return sum(abs(one["score"] - one["share"]) * one["pairs"] for one in bins) / total

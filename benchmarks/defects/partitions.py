"""How well a partition of failures agrees with the defects behind them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from math import log


def b_cubed(found: Sequence[Hashable], true: Sequence[Hashable]) -> float:
    """Return B-cubed F1 (Bagga & Baldwin, 1998): mean precision and recall over items, each with itself."""
    both, ours, theirs = Counter(zip(found, true, strict=True)), Counter(found), Counter(true)
    precision = sum(n * n / ours[one] for (one, _), n in both.items()) / len(found)
    recall = sum(n * n / theirs[other] for (_, other), n in both.items()) / len(found)
    return 2 * precision * recall / (precision + recall)


def nmi(found: Sequence[Hashable], true: Sequence[Hashable]) -> float:
    """Return mutual information over the mean of the entropies; 1 where both are one cluster."""
    n = len(found)
    both, ours, theirs = Counter(zip(found, true, strict=True)), Counter(found), Counter(true)

    def entropy(counts: Counter[Hashable]) -> float:
        return -sum(k / n * log(k / n) for k in counts.values())

    mean = (entropy(ours) + entropy(theirs)) / 2
    if mean == 0.0:
        return 1.0
    shared = sum(k / n * log(n * k / (ours[one] * theirs[other])) for (one, other), k in both.items())
    return max(shared / mean, 0.0)


def is_perfect(found: Sequence[Hashable], true: Sequence[Hashable]) -> bool:
    """Tell whether both part the items in the same way."""
    pairs = set(zip(found, true, strict=True))
    return len(pairs) == len(set(found)) == len(set(true))

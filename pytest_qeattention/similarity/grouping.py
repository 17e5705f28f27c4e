"""Groups of units that repeat each other: which they are, of what kind, why, and in what order to act on them.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from hashlib import sha256

import numpy as np

from pytest_qeattention.similarity.describe import Description
from pytest_qeattention.similarity.explain import IN_A_ROW, differences
from pytest_qeattention.similarity.group_model import (
    GROUP_FACTS,
    SHIPPED_GROUPS,
    GroupModel,
    gather_evidence,
    probability,
)
from pytest_qeattention.similarity.linkage import average_linkage, edges_that_count
from pytest_qeattention.similarity.model import Group, Kind, Unit
from pytest_qeattention.similarity.pairs import Facts, IntArray, Pairs, common_share, pairs_inside
from pytest_qeattention.syntax.words import words_of
from pytest_qeattention.wording import first_names

# Groups grow while the pairs between two parts score this much on average: of .5, .6, .7 and .75 it found most of what
# maintainers folded in held-out projects with one neighbour in eight flagged.
LINK_SCORE = 0.6
# A group is reported from this probability on: one in eight of the tests that maintainers left alone is flagged, of
# which most are as alike as those that were folded (benchmarks/quality/similar.py).
GROUP_THRESHOLD = 0.5
# Both kinds of evidence have to agree: tests of one idiom that speak of different things have the shape in common,
# tests of one subject the words.
LEAST_COSINE = 0.3
LEAST_COMMON = 0.5
# This many tests of one class or module whose code is equal but for literals stand together: of a large file not all
# pairs are scored, and linkage takes a pair without a score for one of tests that have nothing in common.
FAMILY_SIZE = 64
# How much a group of each kind is worth acting on, per line that would go.
_WORTH: dict[Kind, float] = {"duplicate": 1.0, "parametrize": 0.7, "similar": 0.3}


def group_id(kind: Kind, tests: Sequence[Unit]) -> str:
    """Name a group by its kind and its tests: the same tests get the same name in every run."""
    state = sha256(kind.encode())
    for unit in tests:
        state.update(b"\0" + unit.nodeid.encode("utf-8", "surrogatepass"))
    return state.hexdigest()[:12]


def make_group(kind: Kind, score: float, tests: Sequence[Unit], reasons: Sequence[str]) -> Group:
    """Build a group of *tests*, which are in order of path and line."""
    return Group(group_id(kind, tests), kind, round(score, 6), tuple(tests), tuple(reasons))


def rank_groups(groups: Sequence[Group]) -> tuple[Group, ...]:
    """Order *groups* by the lines that acting on them would save; three tests and more before pairs of that size."""

    def worth(group: Group) -> tuple[float, str, int]:
        lines = sorted(unit.end_line - unit.first_line + 1 for unit in group.tests)
        saved = sum(lines) - lines[-1]
        factor = _WORTH[group.kind] * group.score * (0.5 if len(group.tests) == 2 else 1.0)
        return -saved * factor, group.tests[0].path, group.tests[0].line

    return tuple(sorted(groups, key=worth))


def find_groups(
    units: Sequence[Unit],
    descriptions: Sequence[Description],
    facts: Facts,
    pairs: Pairs,
    threshold: float,
    *,
    model: GroupModel = SHIPPED_GROUPS,
    explain: Callable[[Sequence[Unit]], Sequence[str]] | None = differences,
    num_threads: int | None = None,
) -> list[Group]:
    """Group units of equal identity, and those that a maintainer would fold with a probability of *threshold*.

    The groups are in no particular order.
    *explain* says what differs between tests of one shape. With None the groups carry no reasons, which take longer to
    find than the groups themselves.
    """
    copies, found = gather_clusters(descriptions, facts, pairs)
    groups = [_duplicate_group([units[row] for row in rows]) for rows in copies]
    evidence = gather_evidence(facts, pairs, [rows for rows, _ in found])
    worth = probability(evidence, model)
    kept = [number for number in range(len(found)) if worth[number] >= threshold]
    common = _least_common(descriptions, facts, pairs, [found[number][0] for number in kept], num_threads)
    mean_score = evidence.facts[:, GROUP_FACTS.index("mean score")].tolist()
    for number, share in zip(kept, common, strict=True):
        rows, score = found[number]
        if share < LEAST_COMMON or evidence.mean_cosine[number] < LEAST_COSINE:
            continue
        groups.append(
            _alike_group(
                [units[row] for row in rows],
                mean_score[number] if score is None else score,
                one_shape=_is_one(facts.shape, rows),
                one_scope=_is_one(facts.scope, rows),
                in_a_row=_is_one(facts.file, rows) and bool((np.diff(facts.ordinal[rows]) == 1).all()),
                common=share,
                cosine=float(evidence.least_cosine[number]),
                copies=len(rows) - len({int(facts.identity[row]) for row in rows}),
                explain=explain,
            )
        )
    return groups


def gather_clusters(
    descriptions: Sequence[Description], facts: Facts, pairs: Pairs
) -> tuple[list[list[int]], list[tuple[list[int], float | None]]]:
    """Return rows of equal identity, and clusters of linked rows with the mean score of their last merge.

    The score of a family that is linked to nothing is None.
    """
    copies: defaultdict[int, list[int]] = defaultdict(list)
    families: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for row, description in enumerate(descriptions):
        if not description.is_placeholder:
            copies[int(facts.identity[row])].append(row)
            families[int(facts.scope[row]), int(facts.literal[row])].append(row)
    # Copies, and families, stand together already: the first of each goes on to be compared with the others.
    bundles = {rows[0]: rows for rows in families.values() if len(rows) >= FAMILY_SIZE}
    in_family = {row for rows in bundles.values() for row in rows}
    for rows in copies.values():
        alone = [row for row in rows if row not in in_family]
        if alone:
            bundles[alone[0]] = alone
    serves = np.zeros(len(descriptions), bool)
    serves[list(bundles)] = True
    kept = pairs.usual & serves[pairs.left] & serves[pairs.right]
    edges = edges_that_count(pairs.left[kept], pairs.right[kept], pairs.score[kept], LINK_SCORE)
    clusters: list[tuple[list[int], float | None]] = []
    spent: set[int] = set()
    for cluster in average_linkage(edges, LINK_SCORE):
        clusters.append((sorted(row for node in cluster.members for row in bundles[node]), cluster.score))
        spent.update(cluster.members)
    clusters.extend((bundles[row], None) for row in bundles if row in in_family and row not in spent)
    return [rows for rows in copies.values() if len(rows) > 1], clusters


def _is_one(numbers: IntArray, rows: Sequence[int]) -> bool:
    return len({int(numbers[row]) for row in rows}) == 1


def _least_common(
    descriptions: Sequence[Description],
    facts: Facts,
    pairs: Pairs,
    groups: Sequence[Sequence[int]],
    num_threads: int | None,
) -> list[float]:
    """Return the least share of code, in order, that a scored pair inside each group has in common."""
    compared = [() if _is_one(facts.shape, rows) else rows for rows in groups]
    inside, at = pairs_inside(pairs, compared, len(facts.file))
    least = np.ones(len(groups))
    np.minimum.at(least, at, common_share(descriptions, pairs.left[inside], pairs.right[inside], num_threads))
    shares: list[float] = least.tolist()
    return shares


def _duplicate_group(tests: Sequence[Unit]) -> Group:
    files = len({unit.path for unit in tests})
    where = f" in {files} files" if files > 1 else ""
    return make_group("duplicate", 1.0, tests, [f"the same code{where}, but for formatting, comments and local names"])


def _alike_group(
    tests: Sequence[Unit],
    score: float,
    *,
    one_shape: bool,
    one_scope: bool,
    in_a_row: bool,
    common: float,
    cosine: float,
    copies: int,
    explain: Callable[[Sequence[Unit]], Sequence[str]] | None,
) -> Group:
    kind: Kind = "parametrize" if one_shape and one_scope else "similar"
    if explain is None:
        return make_group(kind, score, tests, ())
    reasons: list[str] = []
    if one_shape:
        reasons.append("the same shape: every statement and call matches")
        reasons.extend(explain(tests))
    else:
        reasons.append(f"at least {common:.0%} of the code is the same, in order, literals aside")
    reasons.append(f"identifiers and words agree (cosine of at least {cosine:.2f})")
    reasons.extend(_place_and_names(tests, in_a_row=in_a_row))
    if kind == "parametrize" and all("self.assert" in unit.source for unit in tests):
        reasons.append("methods of unittest: pytest.mark.parametrize does not work on them, subTest does")
    if not one_scope:
        files = len({unit.path for unit in tests})
        reasons.append(f"in {files} files" if files > 1 else "in different classes")
    if copies:
        reasons.append(f"{copies} of them repeat{'s' if copies == 1 else ''} another to the letter")
    return make_group(kind, score, tests, reasons)


def _place_and_names(tests: Sequence[Unit], *, in_a_row: bool) -> list[str]:
    """Say what makes tests likelier to be folded beside their code: that they follow each other, and their names."""
    shared = set.intersection(*(set(words_of(unit.name)) for unit in tests)) - {"test"}
    words = [word for word in dict.fromkeys(words_of(tests[0].name)) if word in shared and not word.isdecimal()]
    parts = [IN_A_ROW] if in_a_row else []
    if words:
        parts.append(f"their names share {first_names(words)}")
    return ["; ".join(parts)] if parts else []

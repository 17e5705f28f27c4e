"""Groups of units that repeat each other: which they are, of what kind, why, and in what order to act on them.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from hashlib import sha256

import numpy as np

from pytest_qeattention.similarity.describe import Description
from pytest_qeattention.similarity.explain import differences
from pytest_qeattention.similarity.linkage import Cluster, average_linkage
from pytest_qeattention.similarity.model import Group, Kind, Unit
from pytest_qeattention.similarity.pairs import Facts, Pairs

# A group of three and more is reported when its best pair scores this much, a pair alone when it scores this much more,
# and the pairs of a group score this much less on average. Code that is equal but for its literals is folded more
# readily than its score alone says; the score of other pairs is lowered by the factor. All four were chosen with the
# pair model (benchmarks/quality/similar.py): over half of what maintainers folded is found in held-out projects, and
# one in seven of the tests that they left alone is flagged. One threshold for groups of any size finds less.
GROUP_THRESHOLD = 0.822
_PAIR_MARGIN = 0.045
_LINK_MARGIN = 0.055
_OTHER_FORM_FACTOR = 0.95
# This many tests of one class or module whose code is equal but for literals are a family whatever their words: of that
# many, literals alone can outweigh what is shared. In held-out projects it finds more and flags .001 more.
FAMILY_SIZE = 8
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
    explain: bool = True,
) -> list[Group]:
    """Group units of equal identity, and three or more whose best pair reaches *threshold*, two that exceed it clearly.

    The groups are in no particular order.
    Without *explain* the groups carry no reasons, which take longer to find than the groups themselves.
    """
    copies: defaultdict[int, list[int]] = defaultdict(list)
    families: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for row, description in enumerate(descriptions):
        if not description.is_placeholder:
            copies[int(facts.identity[row])].append(row)
            families[int(facts.scope[row]), int(facts.literal[row])].append(row)
    groups = [_duplicate_group([units[row] for row in rows]) for rows in copies.values() if len(rows) > 1]
    # Copies, and families, stand together already: the first of each goes on to be compared with the others.
    bundles = {rows[0]: rows for rows in families.values() if len(rows) >= FAMILY_SIZE}
    in_family = {row for rows in bundles.values() for row in rows}
    for rows in copies.values():
        alone = [row for row in rows if row not in in_family]
        if alone:
            bundles[alone[0]] = alone
    serves = np.zeros(len(units), bool)
    serves[list(bundles)] = True
    kept = pairs.usual & serves[pairs.left] & serves[pairs.right]
    left, right = pairs.left[kept], pairs.right[kept]
    same_form = facts.literal[left] == facts.literal[right]
    strength = pairs.score[kept] * np.where(same_form, 1.0, _OTHER_FORM_FACTOR)
    edges = list(zip(left.tolist(), right.tolist(), strength.tolist(), strict=True))
    found: list[tuple[list[int], float | None]] = []
    spent: set[int] = set()
    for cluster in _strong_clusters(edges, threshold):
        found.append((sorted(row for node in cluster.members for row in bundles[node]), cluster.score))
        spent.update(cluster.members)
    found.extend((bundles[row], None) for row in bundles if row in in_family and row not in spent)
    evidence = _Evidence(pairs, facts, [rows for rows, _ in found])
    for number, (rows, score) in enumerate(found):
        groups.append(
            _alike_group(
                [units[row] for row in rows],
                evidence.score[number] if score is None else score,
                one_shape=len({int(facts.shape[row]) for row in rows}) == 1,
                one_scope=len({int(facts.scope[row]) for row in rows}) == 1,
                common=evidence.common[number],
                cosine=evidence.cosine[number],
                copies=len(rows) - len({int(facts.identity[row]) for row in rows}),
                explain=explain,
            )
        )
    return groups


def _strong_clusters(edges: Sequence[tuple[int, int, float]], threshold: float) -> list[Cluster]:
    """Link nodes, and keep the clusters whose best pair is good enough for their size."""
    clusters = average_linkage(edges, threshold - _LINK_MARGIN)
    home = {node: number for number, cluster in enumerate(clusters) for node in cluster.members}
    best: defaultdict[int, float] = defaultdict(float)
    for a, b, score in edges:
        if a in home and home[a] == home.get(b):
            best[home[a]] = max(best[home[a]], score)
    return [
        cluster
        for number, cluster in enumerate(clusters)
        if best[number] >= threshold + (_PAIR_MARGIN if len(cluster.members) == 2 else 0.0)
    ]


class _Evidence:
    """Hold what the scored pairs inside each group say: least common share and cosine, and mean score."""

    def __init__(self, pairs: Pairs, facts: Facts, groups: Sequence[Sequence[int]]) -> None:
        group = np.full(len(facts.file), -1)
        for number, rows in enumerate(groups):
            group[list(rows)] = number
        inside = pairs.usual & (group[pairs.left] == group[pairs.right]) & (group[pairs.left] >= 0)
        at = group[pairs.left[inside]]
        common, cosine = np.ones(len(groups)), np.ones(len(groups))
        np.minimum.at(common, at, pairs.common[inside])
        np.minimum.at(cosine, at, pairs.cosine[inside])
        count = np.bincount(at, minlength=len(groups))
        score = np.bincount(at, weights=pairs.score[inside], minlength=len(groups)) / np.maximum(count, 1)
        self.common: list[float] = common.tolist()
        self.cosine: list[float] = cosine.tolist()
        self.score: list[float] = score.tolist()


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
    common: float,
    cosine: float,
    copies: int,
    explain: bool,
) -> Group:
    kind: Kind = "parametrize" if one_shape and one_scope else "similar"
    if not explain:
        return make_group(kind, score, tests, ())
    reasons: list[str] = []
    if one_shape:
        reasons.append("the same shape: every statement and call matches")
        reasons.extend(differences(tests))
    else:
        reasons.append(f"at least {common:.0%} of the code is the same, in order, literals aside")
    reasons.append(f"identifiers and words agree (cosine of at least {cosine:.2f})")
    if kind == "parametrize" and all("self.assert" in unit.source for unit in tests):
        reasons.append("methods of unittest: pytest.mark.parametrize does not work on them, subTest does")
    if not one_scope:
        files = len({unit.path for unit in tests})
        reasons.append(f"in {files} files" if files > 1 else "in different classes")
    if copies:
        reasons.append(f"{copies} of them repeat{'s' if copies == 1 else ''} another to the letter")
    return make_group(kind, score, tests, reasons)

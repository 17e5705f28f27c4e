"""Decide what of a report is a finding, and whether findings fail the run.

Three things take a group out of the way, in this order: tests that are acknowledged in their file, the threshold of a
path, and a baseline that has accepted the group.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from pytest_qeattention.similarity.acknowledge import find_acknowledgements
from pytest_qeattention.similarity.baseline import Baseline, write_baseline
from pytest_qeattention.similarity.comparison import Comparison
from pytest_qeattention.similarity.explain import IN_A_ROW, differences
from pytest_qeattention.similarity.model import (
    Acknowledgement,
    BaselineUse,
    Group,
    Kind,
    Problem,
    SimilarReport,
    Unit,
)
from pytest_qeattention.similarity.policy import Policy
from pytest_qeattention.similarity.suite import Suite
from pytest_qeattention.store import OutputError
from pytest_qeattention.wording import counted

KINDS: tuple[Kind, ...] = ("duplicate", "parametrize", "similar")


def settle(report: SimilarReport, suite: Suite, policy: Policy) -> SimilarReport:
    """Return *report* with what the policy says of its groups; *suite* is what was analysed.

    With ``policy.update`` the baseline is written, and accepts all groups.
    """
    found = find_acknowledgements(suite.units_with_remarks, policy.base)
    standing, set_aside = _acknowledge(report.groups, found.by_test)
    kept = [group for group in standing if group.score >= _least_score(group, policy)]
    grouped = {test.nodeid for group in report.groups for test in group.tests}
    in_order = sorted(found.by_test.values(), key=lambda each: (each.test.path, each.line))
    problems = [*report.problems, *found.problems]
    use: BaselineUse | None = None
    if policy.baseline is not None:
        kept, use, more = _judge(kept, suite, policy, policy.baseline)
        problems.extend(more)
    return replace(
        report,
        groups=tuple(kept),
        problems=tuple(problems),
        acknowledged=tuple(each for each in in_order if each.test.nodeid in grouped),
        unneeded=tuple(each for each in in_order if each.test.nodeid not in grouped),
        set_aside=tuple(set_aside),
        below_threshold=len(standing) - len(kept),
        baseline=use,
    )


def failure(groups: Sequence[Group], fail_on: Collection[str]) -> str | None:
    """Say which findings are what *fail_on* names, or return None. What a baseline accepted never fails."""
    failing = [group for group in groups if group.is_finding and (group.kind in fail_on or "new" in fail_on)]
    if not failing:
        return None
    kinds = Counter(group.kind for group in failing)
    named = ", ".join(f"{kinds[kind]} {kind}" for kind in KINDS if kinds[kind])
    new = "new " if all(group.status == "new" for group in failing) else ""
    return f"{counted(len(failing), f'{new}group')} ({named})"


def _acknowledge(groups: Sequence[Group], by_test: Mapping[str, Acknowledgement]) -> tuple[list[Group], list[Group]]:
    """Return the groups less the tests acknowledged, and those of which no two are left."""
    standing: list[Group] = []
    set_aside: list[Group] = []
    for group in groups:
        taken = tuple(by_test[test.nodeid] for test in group.tests if test.nodeid in by_test)
        if not taken:
            standing.append(group)
        elif len(group.tests) - len(taken) < 2:
            set_aside.append(replace(group, acknowledged=taken))
        else:
            # The score is that of the group as it was found; a fold would take in the tests acknowledged.
            left = tuple(test for test in group.tests if test.nodeid not in by_test)
            standing.append(
                replace(
                    group,
                    tests=left,
                    reasons=(*_reasons_of(group, left), f"found with {counted(len(taken), 'test')} more, acknowledged"),
                    suggestion=None,
                    acknowledged=taken,
                )
            )
    return standing, set_aside


def _reasons_of(group: Group, left: Sequence[Unit]) -> list[str]:
    """Return the reasons of *group* as they are for those of its tests that are *left*."""
    reasons = list(group.reasons)
    before = list(differences(group.tests))
    for at in range(len(reasons) - len(before) + 1 if before else 0):
        if reasons[at : at + len(before)] == before:
            reasons[at : at + len(before)] = differences(left)
            break
    first, last = left[0], left[-1]
    others = [test for test in group.tests if test not in left]
    if any(first.path == other.path and first.line < other.line < last.line for other in others):
        reasons = [reason.removeprefix(IN_A_ROW).removeprefix("; ") for reason in reasons]
    return [reason for reason in reasons if reason]


def _least_score(group: Group, policy: Policy) -> float:
    """Return the score from which *group* is reported: that of the strictest of its tests' paths."""
    return max(policy.threshold(path) for path in {test.path for test in group.tests}) if policy.thresholds else 0.0


def _judge(
    groups: Sequence[Group], suite: Suite, policy: Policy, baseline: Baseline
) -> tuple[list[Group], BaselineUse, list[Problem]]:
    comparison = Comparison(baseline, groups, lambda: suite.units, policy)
    stale = comparison.stale()
    use = BaselineUse(baseline.display, tuple((entry.path, entry.test) for entry in stale))
    problems = list(baseline.problems)
    if not policy.update:
        return list(comparison.judged()), use, problems
    entries = comparison.updated()
    try:
        is_written = write_baseline(baseline, entries)
    except OutputError as error:
        problems.append(Problem(baseline.display, f"{error}; the baseline is as it was"))
        return list(comparison.judged()), replace(use, error=str(error)), problems
    added = len(set(entries) - baseline.entries)
    dropped = len(baseline.entries - set(entries))
    changes = f"{added} added, {dropped} dropped" if is_written else "as it was"
    use = replace(use, stale=(), written=f"{counted(len(entries), 'test')} accepted, {changes}")
    return [replace(group, status="accepted") for group in groups], use, problems

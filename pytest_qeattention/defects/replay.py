"""How well a user's own labels would have answered: each failure judged by what was known before its run.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from pytest_qeattention.defects.knowledge import Knowledge
from pytest_qeattention.defects.knowledge_file import Contents
from pytest_qeattention.defects.matching import Matcher
from pytest_qeattention.defects.pattern import Pattern
from pytest_qeattention.defects.statements import Statement, settled


@dataclass(frozen=True, slots=True)
class Replay:
    """Count what would have been answered. Answered is what was called known or regressed; likely is no answer."""

    failures: int
    """That people labelled, in all runs."""
    seen_before: int
    """Failures whose defect had been labelled in an earlier run."""
    answered: int
    right: int
    """Answered with the defect that people gave."""
    first_right: int
    """Failures seen before whose first candidate was the defect that people gave."""
    new_called_known: int
    """Failures whose defect was new then, and that were answered."""

    @property
    def precision(self) -> float | None:
        """Return the share of answers that were right; None without one."""
        return self.right / self.answered if self.answered else None

    @property
    def answer_rate(self) -> float | None:
        """Return the share of failures of defects seen before that were answered; None without one."""
        return (self.answered - self.new_called_known) / self.seen_before if self.seen_before else None

    @property
    def first_rate(self) -> float | None:
        """Return how often the first candidate was right, of failures of defects seen before; None without one."""
        return self.first_right / self.seen_before if self.seen_before else None


def replay(knowledge: Knowledge, past: Iterable[tuple[str, Pattern]] = ()) -> Replay:
    """Replay the failures of runs that people labelled; *past* has the time (UTC) and pattern of each failure.

    What a label says now is the truth, and a failure teaches after its run, as if it had been labelled then. A label
    whose failure is in no run that is kept counts at the time at which it was set. Rules and closings are left out:
    when they were made relative to the failures is not known.
    """
    truth = {label.pattern.id: label for label in knowledge.labels if label.is_confirmed}
    events = [(at, pattern) for at, pattern in past if pattern.id in truth]
    in_runs = {pattern.id for _, pattern in events}
    events += [(label.at, label.pattern) for label in truth.values() if label.pattern.id not in in_runs]
    events.sort(key=lambda event: (event[0], event[1].id))
    learned: list[Statement] = []
    names: set[str] = set()
    counts = dict.fromkeys(("seen_before", "answered", "right", "first_right", "new_called_known"), 0)
    for at, group in groupby(events, key=lambda event: event[0]):
        batch = [pattern for _, pattern in group]
        matcher = Matcher(Knowledge(Contents(settled(learned))))
        for pattern in batch:
            defect = truth[pattern.id].defect
            verdict = matcher.verdict(pattern)
            is_answered = verdict.state in ("known", "regressed")
            counts["seen_before"] += defect in names
            counts["answered"] += is_answered
            counts["right"] += is_answered and verdict.defect == defect
            counts["first_right"] += (
                defect in names and verdict.candidates[:1] != () and (verdict.candidates[0][0] == defect)
            )
            counts["new_called_known"] += is_answered and defect not in names
        learned.extend(_taught(batch, at, [truth[pattern.id].defect for pattern in batch]))
        names.update(truth[pattern.id].defect for pattern in batch)
    return Replay(len(events), **counts)


def _taught(patterns: Sequence[Pattern], at: str, defects: Sequence[str]) -> list[Statement]:
    label = Statement("label", "", at, "", "confirm")
    return [replace(label, defect=name, pattern=each) for name, each in zip(defects, patterns, strict=True)]

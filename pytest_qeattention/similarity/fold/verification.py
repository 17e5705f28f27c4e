"""Verify folds: run the tests, then the suggestions in their place, and compare what becomes of every case.

Then one literal of each case is changed, in the test and in the row alike, and both must fail in the same place or both
pass. All of it runs in a copy of the project, in four runs of pytest for any number of folds.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest_qeattention
from pytest_qeattention.similarity.fold.folding import Fold
from pytest_qeattention.similarity.fold.mutating import Mutant, mutate
from pytest_qeattention.similarity.fold.outcomes import Place, agree, places_of, ran_too_long, said, share_place
from pytest_qeattention.similarity.fold.patching import (
    Change,
    PatchError,
    Written,
    encode,
    fold_changes,
    read_written,
    rewrite,
)
from pytest_qeattention.similarity.fold.project import (
    ProjectError,
    copied,
    environment,
    read_inside,
    write_inside,
)
from pytest_qeattention.similarity.fold.running import Limits, Outcome, Run, run_tests
from pytest_qeattention.similarity.model import Verdict
from pytest_qeattention.similarity.workload import Progress
from pytest_qeattention.wording import counted

SECONDS = 600.0
"""Longest time for one run of pytest."""

TEST_SECONDS = 60.0
"""Longest time for one test."""

# A changed literal can make a test run on and on, or ask for all memory.
MUTANT_SECONDS = 3.0
_MUTANT_BYTES = 4 << 30

_MOST_ROUNDS = 12


@dataclass(slots=True)
class _Subject:
    """Hold a fold on its way through the runs."""

    key: str
    fold: Fold
    path: str
    """Relative to the rootdir."""
    prefix: str
    """Node id of what the tests are written in, with ``::`` behind it."""
    sources: list[str]
    """Source of each test."""
    mutants: dict[int, Mutant] = field(default_factory=dict)
    cases: dict[int, int] = field(default_factory=dict)
    """How many cases each test has."""

    def nodeid(self, name: str) -> str:
        return self.prefix + name

    def name_of(self, test: int) -> str:
        return self.fold.replaces[test].nodeid.rpartition("::")[2]

    def prefix_of(self, test: int) -> str:
        """Return the node id of what the test number *test* is written in."""
        names = self.fold.replaces[test].nodeid.partition("::")[2].rpartition("::")[0]
        return f"{self.path}::{names}::" if names else f"{self.path}::"

    def test_of_row(self, row: int) -> int:
        """Return the number of the test that a row comes from."""
        first = self.fold.rows[row].covers[0]
        return next(at for at, place in enumerate(self.fold.replaces) if place.nodeid == first)


def verify(
    folds: Mapping[str, Fold], *, root: Path, base: Path, seconds: float = SECONDS, progress: Progress | None = None
) -> dict[str, Verdict]:
    """Run the tests of *folds*, whose paths are relative to *base*, in a copy of the project *root*; judge each fold.

    Nothing of the project is changed. What cannot be run is said in the verdict, and nothing is raised for it.
    """
    verdicts: dict[str, Verdict] = {}
    subjects: list[_Subject] = []
    for key, fold in folds.items():
        file = Path(os.path.abspath(Path(base, fold.path)))
        try:
            path = file.relative_to(root).as_posix()
            lines = read_written(file.read_bytes()).lines
            rewrite(lines, fold_changes(fold), fold.imports)
        except (ValueError, OSError) as error:
            is_outside = not isinstance(error, PatchError | OSError)
            reason = f"{fold.path} is outside the rootdir {root}" if is_outside else str(error)
            verdicts[key] = Verdict("not run", reason)
            continue
        names = fold.replaces[0].nodeid.partition("::")[2].rpartition("::")[0]
        sources = [_source(lines, fold, test) for test in range(len(fold.replaces))]
        subjects.append(_Subject(key, fold, path, f"{path}::{names}::" if names else f"{path}::", sources))
    if not subjects:
        return verdicts
    try:
        with copied(root) as copy:
            verdicts.update(_Verification(copy, root, subjects, seconds, progress).judge())
    except (ProjectError, OSError) as error:
        for subject in subjects:
            verdicts.setdefault(subject.key, Verdict("not run", str(error)))
    return verdicts


def _source(lines: Sequence[str], fold: Fold, test: int) -> str:
    """Return the source of a test without the comments above it."""
    place = fold.replaces[test]
    start = place.first_line - 1
    while lines[start].lstrip().startswith("#"):
        start += 1
    return "\n".join(lines[start : place.end_line])


class _Verification:
    def __init__(
        self, copy: Path, root: Path, subjects: list[_Subject], seconds: float, progress: Progress | None
    ) -> None:
        self._copy = copy
        self._subjects: list[_Subject] = []
        self._seconds = seconds
        self._progress = progress
        self._environ = environment(root, copy, Path(pytest_qeattention.__file__).parents[1])
        self._originals: dict[str, Written] = {}
        self._texts: dict[str, list[str]] = {}
        self._verdicts: dict[str, Verdict] = {}
        for subject in subjects:
            try:
                self._originals[subject.path] = read_written(read_inside(copy, subject.path))
            except (OSError, PatchError) as error:
                self._verdicts[subject.key] = Verdict("not run", str(error))
            else:
                self._subjects.append(subject)
        self._steps = 0

    def judge(self) -> dict[str, Verdict]:
        before = self._run(
            self._subjects,
            {},
            {s.key: [s.prefix_of(n) + s.name_of(n) for n in range(len(s.sources))] for s in self._subjects},
        )
        for subject in self._subjects:
            reason = self._unfit(subject, before)
            if reason is not None:
                self._verdicts[subject.key] = Verdict("not run", reason)
        after = self._fold_run(self._open())
        for subject in self._open():
            reason = self._compare(subject, before, after[subject.key])
            if reason is not None:
                self._verdicts[subject.key] = Verdict("failed", reason)
        self._mutate(after)
        return self._verdicts

    def _open(self) -> list[_Subject]:
        return [subject for subject in self._subjects if subject.key not in self._verdicts]

    def _unfit(self, subject: _Subject, before: Run) -> str | None:
        """Say why the tests as they are tell nothing; None when they do."""
        if subject.path in before.collect_errors:
            return f"{subject.path} cannot be collected here ({before.collect_errors[subject.path]})"
        if subject.path in before.skipped:
            return f"{subject.path} is skipped here ({before.skipped[subject.path]})"
        states: list[str] = []
        for test in range(len(subject.sources)):
            found = before.of(subject.prefix_of(test) + subject.name_of(test))
            if not found:
                return before.problem or f"pytest does not run {subject.name_of(test)} here"
            subject.cases[test] = len(found)
            states.extend(outcome.state for outcome in found.values())
        if set(states) == {"skipped"}:
            return "its tests are skipped here"
        if not {"passed", "xfailed", "xpassed"} & set(states):
            return "its tests do not pass here"
        return None

    def _fold_run(self, subjects: list[_Subject]) -> dict[str, Run]:
        """Run the suggestions; where a file cannot be collected with all of its folds, with one of them at a time."""
        wanted = {s.key: self._fold_ids(s) for s in subjects}
        run = self._run(subjects, {s.key: self._fold_change(s, s.fold.rows) for s in subjects}, wanted)
        runs = {subject.key: run for subject in subjects}
        broken: defaultdict[str, list[_Subject]] = defaultdict(list)
        for subject in subjects:
            if subject.path in run.collect_errors:
                broken[subject.path].append(subject)
        for number in range(min(_MOST_ROUNDS, max(map(len, broken.values()), default=0))):
            chosen = [each[number] for each in broken.values() if number < len(each)]
            alone = self._run(
                chosen,
                {s.key: self._fold_change(s, s.fold.rows) for s in chosen},
                {s.key: wanted[s.key] for s in chosen},
            )
            runs.update({subject.key: alone for subject in chosen})
        return runs

    def _fold_ids(self, subject: _Subject) -> list[str]:
        form = subject.fold.form
        if form.expander is not None:
            return [subject.nodeid(name) for name in form.names_of_rows(subject.fold.rows, subject.fold.name)]
        ids = [subject.nodeid(subject.fold.name)]
        if form.is_loop:
            ids.extend(subject.nodeid(_single(subject.fold, row)) for row in range(len(subject.fold.rows)))
        return ids

    def _fold_change(self, subject: _Subject, rows: Sequence[object]) -> list[Change]:
        """Return what puts the suggestion with these rows into the file; a loop also with each row alone."""
        fold = subject.fold
        given = [row if row is not None else own for row, own in zip(rows, fold.rows, strict=True)]
        texts = [fold.form.render(given, fold.name)]  # type: ignore[arg-type]
        if fold.form.is_loop:
            texts.extend(
                fold.form.render([row], _single(fold, number))  # type: ignore[list-item]
                for number, row in enumerate(given)
            )
        first, *others = fold_changes(fold)
        return [Change(first.first_line, first.end_line, "\n\n".join(texts)), *others]

    def _compare(self, subject: _Subject, before: Run, after: Run) -> str | None:
        """Say where the suggestion does something else than its tests; None where it does the same."""
        fold = subject.fold
        if subject.path in after.collect_errors:
            return f"with it the file cannot be collected ({after.collect_errors[subject.path]})"
        rows = self._row_outcomes(subject, after)
        for test in range(len(subject.sources)):
            own = list(before.of(subject.prefix_of(test) + subject.name_of(test)).values())
            mine = [outcome for row in fold.rows_of_test[test] for outcome in rows[row]]
            if not mine:
                return after.problem or f"pytest does not run the case of {subject.name_of(test)}"
            if not agree(own, mine, splits=fold.splits):
                return f"{subject.name_of(test)} {said(own)}, its case {said(mine)}"
        if fold.form.is_loop:
            whole = list(after.of(subject.nodeid(fold.name)).values())
            alone = {outcome.state for row in rows for outcome in row}
            if alone == {"passed"} and any(outcome.state != "passed" for outcome in whole):
                return f"every case passes alone, and all of them in one test {said(whole)}"
        return None

    def _row_outcomes(self, subject: _Subject, run: Run) -> list[list[Outcome]]:
        """Return the outcomes of each row of a suggestion."""
        fold = subject.fold
        if fold.form.is_loop or fold.form.expander is not None:
            ids = self._fold_ids(subject)[-len(fold.rows) :]
            return [list(run.of(nodeid).values()) for nodeid in ids]
        found: list[list[Outcome]] = [[] for _ in fold.rows]
        numbers = {row.id: number for number, row in enumerate(fold.rows) if row.id}
        others: list[Outcome] = []
        for nodeid, outcome in run.of(subject.nodeid(fold.name)).items():
            words = nodeid.partition("[")[2].removesuffix("]").split("-")
            number = next((numbers[word] for word in reversed(words) if word in numbers), None)
            (others if number is None else found[number]).append(outcome)
        # Rows that an expression gives stand in order, as many as their test has cases.
        computed = [number for number, row in enumerate(fold.rows) if not row.id]
        counts = [subject.cases.get(subject.test_of_row(number), 0) for number in computed]
        if sum(counts) == len(others):
            for number, count in zip(computed, counts, strict=True):
                found[number], others = others[:count], others[count:]
        return found

    def _mutate(self, folded: Mapping[str, Run]) -> None:
        subjects = self._open()
        changes: dict[str, list[Change]] = {}
        wanted: dict[str, list[str]] = {}
        for subject in subjects:
            fold = subject.fold
            for row in range(len(fold.rows)):
                test = subject.test_of_row(row)
                mutant = mutate(fold, row, subject.sources[test])
                if mutant is not None:
                    subject.mutants[row] = mutant
            changes[subject.key] = [
                Change(
                    fold.replaces[subject.test_of_row(row)].end_line,
                    fold.replaces[subject.test_of_row(row)].end_line,
                    _renamed(mutant.apply(subject.sources[subject.test_of_row(row)]), self._copy_name(subject, row)),
                    keep=True,
                )
                for row, mutant in subject.mutants.items()
            ]
            wanted[subject.key] = [self._copy_id(subject, row) for row in subject.mutants]
        before = self._run(subjects, changes, wanted, mutants=True)
        texts_before = dict(self._texts)
        after = self._run(
            subjects,
            {
                s.key: self._fold_change(
                    s, [s.mutants[n].row if n in s.mutants else None for n in range(len(s.fold.rows))]
                )
                for s in subjects
            },
            {s.key: self._fold_ids(s) for s in subjects},
            mutants=True,
        )
        texts_after = dict(self._texts)
        for subject in self._open():
            self._verdicts[subject.key] = self._judge_mutants(
                subject, before, after, folded[subject.key], texts_before, texts_after
            )

    def _copy_name(self, subject: _Subject, row: int) -> str:
        return f"{subject.name_of(subject.test_of_row(row))}__qe_{row}"

    def _copy_id(self, subject: _Subject, row: int) -> str:
        return subject.prefix_of(subject.test_of_row(row)) + self._copy_name(subject, row)

    def _judge_mutants(
        self,
        subject: _Subject,
        before: Run,
        after: Run,
        folded: Run,
        texts_before: Mapping[str, list[str]],
        texts_after: Mapping[str, list[str]],
    ) -> Verdict:
        fold = subject.fold
        plain, mutated = self._row_outcomes(subject, folded), self._row_outcomes(subject, after)
        noticed = compared = 0
        for row in subject.mutants:
            own = list(before.of(self._copy_id(subject, row)).values())
            if not own or not mutated[row] or any(map(ran_too_long, (*own, *mutated[row]))):
                continue
            compared += 1
            test = subject.test_of_row(row)
            mine = [
                outcome
                for number in fold.rows_of_test[test]
                for outcome in (mutated[row] if number == row else plain[number])
            ]
            if not agree(own, mine, splits=fold.splits):
                return Verdict(
                    "failed",
                    f"with a changed value, {subject.name_of(test)} {said(own)}, and its case {said(mutated[row])}",
                )
            failed = [outcome for outcome in own if outcome.state in ("failed", "error")]
            if not failed or all(outcome.state in ("failed", "error") for outcome in plain[row]):
                continue
            noticed += 1
            theirs = places_of(failed, texts_before[subject.path], self._copy_name(subject, row))
            names = [fold.name, *(_single(fold, number) for number in range(len(fold.rows)))]
            ours: set[Place] = set()
            for name in names:
                ours |= places_of(
                    [outcome for outcome in mutated[row] if outcome.state in ("failed", "error")],
                    texts_after[subject.path],
                    name,
                )
            if theirs and ours and not share_place(theirs, ours):
                return Verdict(
                    "failed",
                    f"with a changed value, {subject.name_of(test)} and its case fail in different statements",
                )
        problem = before.problem or after.problem
        if subject.mutants and not compared:
            return Verdict("not run", problem or "the changed cases could not be run")
        cases = counted(len(fold.rows), "case")
        if not noticed:
            return Verdict("verified", f"{cases} with equal outcomes; no changed value was noticed", len(fold.rows), 0)
        return Verdict(
            "verified",
            f"{cases} with equal outcomes; {noticed} of {compared} changed values noticed by both",
            len(fold.rows),
            noticed,
        )

    def _run(
        self,
        subjects: list[_Subject],
        changes: Mapping[str, list[Change]],
        wanted: Mapping[str, list[str]],
        *,
        mutants: bool = False,
    ) -> Run:
        """Run the tests *wanted* with the *changes* of each fold in the files."""
        if self._progress is not None:
            self._progress("verifying", self._steps, 4)
        self._steps = min(self._steps + 1, 4)
        by_path: defaultdict[str, list[_Subject]] = defaultdict(list)
        for subject in subjects:
            by_path[subject.path].append(subject)
        for path, original in self._originals.items():
            lines = original.lines
            concerned = by_path.get(path, [])
            listed = [change for subject in concerned for change in changes.get(subject.key, [])]
            imports = [line for subject in concerned for line in subject.fold.imports if changes.get(subject.key)]
            self._texts[path] = original.lines
            try:
                if listed:
                    try:
                        lines = rewrite(lines, listed, imports)
                    except PatchError:
                        write_inside(self._copy, path, original.data)
                        raise
                write_inside(self._copy, path, encode(original, lines))
            except (OSError, PatchError) as error:
                for subject in concerned:
                    self._verdicts.setdefault(subject.key, Verdict("not run", str(error)))
                continue
            self._texts[path] = lines
        ids = [nodeid for subject in subjects for nodeid in wanted[subject.key]]
        limits = (
            Limits(self._seconds, MUTANT_SECONDS, _MUTANT_BYTES) if mutants else Limits(self._seconds, TEST_SECONDS)
        )
        return run_tests(self._copy, sorted(by_path), set(ids), self._environ, limits)


def _single(fold: Fold, row: int) -> str:
    return f"{fold.name}__qe_{row}"


def _renamed(source: str, name: str) -> str:
    return re.sub(r"^(\s*(?:async\s+)?def\s+)\w+", lambda match: match.group(1) + name, source, count=1, flags=re.M)

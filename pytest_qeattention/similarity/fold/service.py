"""Suggestions for the groups of a report.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_qeattention.similarity.fold.folding import Fold, Refusal, suggest
from pytest_qeattention.similarity.fold.member import shift
from pytest_qeattention.similarity.fold.module import Module
from pytest_qeattention.similarity.fold.patching import (
    PatchError,
    Written,
    fold_changes,
    read_written,
    rewrite,
    unified_diff,
)
from pytest_qeattention.similarity.model import Group, SimilarReport, Verdict

# More members are a table of their own; the largest that maintainers were seen to fold has 60.
_MOST_TESTS = 100


@dataclass(frozen=True, slots=True)
class Suggested:
    """Hold a report whose groups carry suggestions, and the folds that these were written from, by group id."""

    report: SimilarReport
    folds: Mapping[str, Fold]


def with_suggestions(report: SimilarReport, base: Path) -> Suggested:
    """Write the parametrized test of each ``parametrize`` group; paths of the report are relative to *base*.

    Where none can be written, the reasons of the group say why.
    """
    modules: dict[str, Module | None] = {}
    folds: dict[str, Fold] = {}
    groups: list[Group] = []
    taken: set[str] = set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        for group in report.groups:
            if group.kind != "parametrize":
                groups.append(group)
                continue
            if any(unit.nodeid in taken for unit in group.tests):
                result: Fold | Refusal = Refusal("some of its tests are in the suggestion of another group")
            else:
                result = _suggest(group, modules, base)
            if isinstance(result, Refusal):
                groups.append(replace(group, reasons=(*group.reasons, f"not written as one test: {result.reason}")))
                continue
            folds[group.id] = result
            taken.update(unit.nodeid for unit in group.tests)
            groups.append(
                replace(
                    group,
                    reasons=(*group.reasons, *_place_of(result)),
                    suggestion=shift(result.source, result.form.indent, ""),
                )
            )
    return Suggested(replace(report, groups=tuple(groups)), folds)


def _suggest(group: Group, modules: dict[str, Module | None], base: Path) -> Fold | Refusal:
    paths = {unit.path for unit in group.tests}
    if len(paths) > 1:
        return Refusal("the tests are in several files")
    if len(group.tests) > _MOST_TESTS:
        return Refusal(f"more than {_MOST_TESTS} tests")
    path = group.tests[0].path
    if path not in modules:
        try:
            modules[path] = Module(path, read_written((base / path).read_bytes()).text, base)
        except (OSError, PatchError):
            modules[path] = None
    module = modules[path]
    if module is None:
        return Refusal("the file cannot be read again")
    try:
        return suggest(group.tests, module)
    except Exception as error:
        # One suggestion less is no reason to lose the report.
        return Refusal(f"writing it failed with {type(error).__name__}: {error}; please tell the authors")


def _place_of(fold: Fold) -> tuple[str, ...]:
    """Say where *fold* goes when that is not where its first test is."""
    if not fold.place:
        return ()
    name = fold.replaces[fold.place].nodeid.rpartition("::")[2]
    return (f"the suggestion takes the place of {name}: its rows use what is defined between the tests",)


def with_verdicts(report: SimilarReport, verdicts: Mapping[str, Verdict]) -> SimilarReport:
    """Add what a verification found to the groups of *report*."""
    return replace(
        report,
        groups=tuple(
            replace(group, verdict=verdicts[group.id]) if group.id in verdicts else group for group in report.groups
        ),
    )


def patch(folds: Mapping[str, Fold], verdicts: Mapping[str, Verdict], base: Path) -> tuple[bytes, list[str]]:
    """Write the verified ones of *folds*, applied together, as a patch; also say what had to be left out of it."""
    by_path: dict[str, list[Fold]] = {}
    for key, fold in folds.items():
        if verdicts[key].state == "verified":
            by_path.setdefault(fold.path, []).append(fold)
    parts, left_out = [], []
    for path, chosen in sorted(by_path.items()):
        if path.startswith("../") or Path(path).is_absolute():
            left_out.append(f"{path}: outside the working directory, where a patch cannot reach it")
            continue
        try:
            written = read_written((base / path).read_bytes())
            parts.append(unified_diff(path, written, _applied(written, chosen)))
        except (PatchError, OSError) as error:
            left_out.append(f"{path}: {error}")
    return b"".join(parts), left_out


def _applied(written: Written, folds: list[Fold]) -> list[str]:
    changes = [change for fold in folds for change in fold_changes(fold)]
    return rewrite(written.lines, changes, [line for fold in folds for line in fold.imports])

"""Suggestions that were written before are taken from the cache: writing one reads and parses its whole file.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

from pytest_qeattention.cache import Cache, code_key, key_of
from pytest_qeattention.similarity.model import Group, SimilarReport


def with_suggestions(
    report: SimilarReport, base: Path, cache_dir: Path | None, *, only: Collection[str] | None = None
) -> SimilarReport:
    """Add to *report*, whose paths are relative to *base*, what `fold.service.with_suggestions` adds.

    *only* names the ids of the groups that anybody will see; None for all.
    """
    by_path: dict[str, list[Group]] = {}
    for group in report.groups:
        if group.kind == "parametrize":
            by_path.setdefault(group.tests[0].path, []).append(group)
    # A name that one suggestion takes is not free for the next: all groups of a file are written, whoever sees which.
    wanted = {
        path: groups for path, groups in by_path.items() if only is None or any(group.id in only for group in groups)
    }
    if not wanted:
        return report
    done: dict[str, Group] = {}
    with Cache(cache_dir) as cache:
        keys = _keys(wanted, base) if cache.is_on else {}
        known = cache.read(keys.values())
        left: list[str] = []
        for path, groups in wanted.items():
            data = known.get(keys.get(path, b""))
            if data is None:
                left.append(path)
                continue
            for group, (suggestion, reasons) in zip(groups, json.loads(data), strict=True):
                done[group.id] = replace(group, suggestion=suggestion, reasons=(*group.reasons, *reasons))
        if left:
            done.update(_written(report, [group for path in left for group in wanted[path]], base))
            cache.write(
                {
                    keys[path]: json.dumps(
                        [[done[g.id].suggestion, done[g.id].reasons[len(g.reasons) :]] for g in wanted[path]]
                    ).encode("ascii")
                    for path in left
                    if path in keys
                }
            )
    return replace(report, groups=tuple(done.get(group.id, group) for group in report.groups))


def _keys(wanted: Mapping[str, Sequence[Group]], base: Path) -> dict[str, bytes]:
    """Name for each path what its suggestions depend on."""
    digests: dict[str, str] = {}
    return {
        path: key_of(
            "fold", code_key(), str(base), _surroundings(path, base, digests), [group.tests for group in groups]
        )
        for path, groups in wanted.items()
    }


def _written(report: SimilarReport, groups: Sequence[Group], base: Path) -> dict[str, Group]:
    from pytest_qeattention.similarity.fold import service

    return {
        group.id: group for group in service.with_suggestions(replace(report, groups=tuple(groups)), base).report.groups
    }


def _surroundings(path: str, base: Path, digests: dict[str, str]) -> list[tuple[str, str]]:
    """Name the content of a file, and of the conftest files that may give fixtures to its tests."""
    file = os.path.abspath(base / path)
    directory = os.path.dirname(file)
    found = [(path, _digest(file, digests))]
    while True:
        found.append((directory, _digest(os.path.join(directory, "conftest.py"), digests)))
        if os.path.dirname(directory) == directory:
            return found
        directory = os.path.dirname(directory)


def _digest(path: str, digests: dict[str, str]) -> str:
    known = digests.get(path)
    if known is None:
        try:
            with open(path, "rb") as file:
                known = blake2b(file.read(), digest_size=16).hexdigest()
        except OSError as error:
            known = type(error).__name__
        digests[path] = known
    return known

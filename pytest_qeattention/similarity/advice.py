"""Suggestions that were written before are taken from the cache: writing one reads and parses its whole file.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

from pytest_qeattention.similarity.cache import Cache, code_key, key_of
from pytest_qeattention.similarity.model import Group, SimilarReport


def with_suggestions(
    report: SimilarReport, base: Path, cache_dir: Path | None, *, only: Collection[str] | None = None
) -> SimilarReport:
    """Add to *report*, whose paths are relative to *base*, what `fold.service.with_suggestions` adds.

    *only* names the ids of the groups that anybody will see; None for all.
    """
    wanted = [group for group in report.groups if group.kind == "parametrize" and (only is None or group.id in only)]
    if not wanted:
        return report
    with Cache(cache_dir) as cache:
        digests: dict[str, str] = {}
        keys = {}
        if cache.is_on:
            keys = {
                group.id: key_of("fold", code_key(), str(base), _surroundings(group, base, digests), group.tests)
                for group in wanted
            }
        known = {key: json.loads(data) for key, data in cache.read(keys.values()).items()}
        left = [group for group in wanted if keys.get(group.id) not in known]
        written: dict[str, Group] = {}
        if left:
            from pytest_qeattention.similarity.fold import service

            done = service.with_suggestions(replace(report, groups=tuple(left)), base).report
            written = {group.id: group for group in done.groups}
            cache.write(
                {
                    keys[group.id]: json.dumps(
                        [written[group.id].suggestion, written[group.id].reasons[len(group.reasons) :]]
                    ).encode("ascii")
                    for group in left
                    if group.id in keys
                }
            )
    groups = []
    for group in report.groups:
        row = known.get(keys.get(group.id, b""))
        if row is not None:
            group = replace(group, suggestion=row[0], reasons=(*group.reasons, *row[1]))
        groups.append(written.get(group.id, group))
    return replace(report, groups=tuple(groups))


def _surroundings(group: Group, base: Path, digests: dict[str, str]) -> list[tuple[str, str]]:
    """Name the content of the files of *group*, and of the conftest files that may give fixtures to its tests."""
    found = []
    for path in sorted({unit.path for unit in group.tests}):
        file = os.path.abspath(base / path)
        directory = os.path.dirname(file)
        found.append((path, _digest(file, digests)))
        while True:
            found.append((directory, _digest(os.path.join(directory, "conftest.py"), digests)))
            if os.path.dirname(directory) == directory:
                break
            directory = os.path.dirname(directory)
    return found


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

"""What a project counts as a finding, as its flags and ini keys say it. Standard library only.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath, PureWindowsPath

from pytest_qeattention.similarity.baseline import Baseline
from pytest_qeattention.similarity.naming import display_path

FAIL_ON = ("duplicate", "parametrize", "similar", "new")
THRESHOLDS_KEY = "qe_similar_thresholds"
IGNORE_KEY = "qe_similar_ignore"

Threshold = tuple[str, float]
"""Glob of paths, and the least score of a group that is reported."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Say what counts as a finding, and where its files are."""

    root: Path
    """The rootdir: globs and baselines name paths relative to it."""
    base: Path
    """What the paths of units are relative to."""
    thresholds: tuple[Threshold, ...] = ()
    ignore: tuple[str, ...] = ()
    baseline: Baseline | None = None
    update: bool = False
    """Have the baseline accept what is found."""

    def place(self, path: str) -> str:
        """Return the *path* of a unit relative to the rootdir."""
        return path if self.root == self.base else display_path(self.base / path, self.root)

    def is_ignored(self, path: str) -> bool:
        """Tell whether ``qe_similar_ignore`` names the *path* of a unit."""
        return any(path_is_below(self.place(path), pattern) for pattern in self.ignore)

    def threshold(self, path: str) -> float:
        """Return the least score for the *path* of a unit: the last line that matches it decides."""
        place = self.place(path)
        return next((least for pattern, least in reversed(self.thresholds) if path_is_below(place, pattern)), 0.0)


def path_is_below(path: str, pattern: str) -> bool:
    """Tell whether the glob *pattern* matches a path or a directory above it; ``*`` matches ``/`` too."""
    # An ini file is read on Windows and elsewhere alike.
    pattern = pattern.replace("\\", "/").removeprefix("./").rstrip("/")
    return fnmatchcase(path, pattern) or fnmatchcase(path, f"{pattern}/*")


def parse_fail_on(name: str, text: str, *, has_baseline: bool) -> frozenset[str]:
    """Return what the setting *name* says to fail on; raise ValueError for a word it does not know.

    ``new`` without a baseline is an error too: nothing would tell new groups from old ones.
    """
    words = [word.strip() for word in text.split(",")]
    unknown = [word for word in words if word not in FAIL_ON]
    if unknown:
        raise ValueError(
            f"{name} is {text!r}, and {unknown[0]!r} is nothing to fail on; "
            f"give one or more of {', '.join(FAIL_ON)}, separated by commas"
        )
    if "new" in words and not has_baseline:
        prefix = name.removesuffix("fail-on")
        raise ValueError(
            f"{name} is {text!r}, and nothing tells what is new; give {prefix}baseline PATH "
            f"(written by {prefix}baseline-update), or name kinds: {', '.join(FAIL_ON[:3])}"
        )
    return frozenset(words)


def parse_thresholds(lines: Sequence[str]) -> tuple[Threshold, ...]:
    """Return what the lines of ``qe_similar_thresholds`` say; raise ValueError for one that says nothing."""
    found: list[Threshold] = []
    for line in lines:
        pattern, _, number = (part.strip() for part in line.rpartition(":"))
        try:
            least = float(number)
        except ValueError:
            least = -1.0
        if not _is_glob(pattern) or not 0 <= least <= 1:
            raise ValueError(
                f"{THRESHOLDS_KEY} has the line {line!r}, which is not a glob of paths relative to the rootdir and a "
                "score from 0 to 1; write it like tests/legacy/*: 0.95"
            )
        found.append((pattern, least))
    return tuple(found)


def parse_ignore(patterns: Sequence[str]) -> tuple[str, ...]:
    """Return the globs of ``qe_similar_ignore``; raise ValueError for one that can match nothing."""
    for pattern in patterns:
        if not _is_glob(pattern):
            raise ValueError(
                f"{IGNORE_KEY} has {pattern!r}, which is not a glob of paths relative to the rootdir; "
                "write it like tests/generated/*"
            )
    return tuple(patterns)


def _is_glob(pattern: str) -> bool:
    is_absolute = PurePosixPath(pattern).is_absolute() or bool(PureWindowsPath(pattern).anchor)
    return bool(pattern.strip("./\\")) and not is_absolute

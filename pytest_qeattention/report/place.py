"""Where a test stands, as programs outside of the project name it: relative to the root of its repository.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import os
import posixpath
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class Places:
    """Turn the paths of a report, which are relative to *base*, into paths relative to *root*."""

    root: Path
    """Absolute: the directory that holds ``.git``, or *base* where there is no repository."""
    base: Path

    @classmethod
    def of(cls, base: Path) -> Places:
        """Find the repository that the directory *base* lies in."""
        base = Path(os.path.abspath(base))
        for directory in (base, *base.parents):
            if (directory / ".git").exists():
                return cls(directory, base)
        return cls(base, base)

    def path(self, path: str) -> str:
        """Return the POSIX path of *path* relative to the root; absolute where it lies outside of it."""
        whole = posixpath.normpath(posixpath.join(self.base.as_posix(), path))
        prefix = self.root.as_posix().rstrip("/") + "/"
        return whole[len(prefix) :] if whole.startswith(prefix) else whole

    def uri(self, path: str) -> tuple[str, bool]:
        """Return *path* as a URI reference, percent-encoded, and whether it is relative to the root."""
        place = self.path(path)
        if posixpath.isabs(place) or place[1:3] == ":/":
            return "file://" + quote("/" + place.lstrip("/"), safe="/:", errors="surrogateescape"), False
        return quote(place, safe="/", errors="surrogateescape"), True

    @property
    def root_uri(self) -> str:
        return self.root.as_uri().rstrip("/") + "/"

"""Fold the tests of a text: what tests of folds share."""

from __future__ import annotations

import textwrap
from pathlib import Path

from pytest_qeattention.similarity.candidates import FileScan
from pytest_qeattention.similarity.fold.folding import Fold, Refusal, suggest
from pytest_qeattention.similarity.fold.module import Module
from pytest_qeattention.similarity.naming import EVERY_FUNCTION
from pytest_qeattention.similarity.scan import scan_source


def suggestion(source: str, *names: str, path: str = "test_it.py", root: Path | None = None) -> Fold | Refusal:
    """Fold the tests of *source* with these names, or all whose name starts with ``test``."""
    text = textwrap.dedent(source).lstrip("\n")
    scan: FileScan[None] = scan_source(text.encode(), path, EVERY_FUNCTION)
    units = [
        found.unit
        for found in scan.functions
        if (found.unit.name in names if names else found.unit.name.startswith("test"))
    ]
    return suggest(units, Module(path, text, root))


def folded(source: str, *names: str, root: Path | None = None) -> str:
    result = suggestion(source, *names, root=root)
    assert isinstance(result, Fold), result
    return result.source


def refused(source: str, *names: str) -> str:
    result = suggestion(source, *names)
    assert isinstance(result, Refusal), result.source
    return result.reason


def expect(text: str, indent: str = "") -> str:
    return textwrap.indent(textwrap.dedent(text).strip("\n"), indent)

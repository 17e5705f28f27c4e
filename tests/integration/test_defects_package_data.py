"""A damaged installation: without the data of families or of the match, the causes are reported, and it is said."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_qeattention.cli import main
from pytest_qeattention.defects import families, match_model

DATA = {"families.json": (families, "FAMILIES"), "match_model.json": (match_model, "MODEL")}


@pytest.fixture(params=sorted(DATA))
def damaged(
    request: pytest.FixtureRequest, tmp_path: Path, examples: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """Damage one file of the package, and yield its name; a failure of the report in the directory is known."""
    name: str = request.param
    shutil.copy(examples / "failures" / "monday.xml", tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(["defects", "triage", "monday.xml", "-q"]) == 0
    assert main(["defects", "label", "last/1", "BUG-1"]) == 0
    (tmp_path / name).write_text("{", encoding="utf-8")
    _forget()
    monkeypatch.setattr(*DATA[name], tmp_path / name)
    yield name
    _forget()


def _forget() -> None:
    families.catalogue.cache_clear()
    match_model.shipped.cache_clear()


def test_triage_reports_the_causes_and_says_what_is_missing(damaged: str, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["defects", "triage", "monday.xml", "-v"]) == 0
    out, err = capsys.readouterr()
    assert "qe-defects: 2 causes behind 5 failures (1 new, 1 known)" in out
    assert damaged in err
    assert err.count("install pytest-qeattention again") == 1

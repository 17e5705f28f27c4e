"""The examples: their tests pass, and the plugin reports of them what they are there to show."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def quickstart(pytester: pytest.Pytester, examples: Path) -> Path:
    """Copy the quickstart suite into pytester's directory."""
    ignored = shutil.ignore_patterns("__pycache__", ".pytest_cache")
    shutil.copytree(examples / "quickstart", pytester.path, ignore=ignored, dirs_exist_ok=True)
    return pytester.path


def similar(path: Path) -> dict[str, Any]:
    part = json.loads((path / "report.json").read_text(encoding="utf-8"))["similar"]
    assert isinstance(part, dict)
    return part


def test_the_quickstarts_tests_pass(pytester: pytest.Pytester, quickstart: Path) -> None:
    result = pytester.runpytest_subprocess("-W", "error")

    result.assert_outcomes(passed=28)


def test_the_quickstart_shows_copies_and_foldable_tests(pytester: pytest.Pytester, quickstart: Path) -> None:
    result = pytester.runpytest_subprocess("--qe-similar", "--qe-json=report.json")

    assert result.ret == 0
    report = similar(quickstart)
    assert report["tests"] == 26
    assert report["problems"] == []
    groups = {frozenset(test["name"] for test in group["tests"]): group["kind"] for group in report["groups"]}
    assert groups[frozenset({"test_total_counts_every_piece", "test_sum_of_all_items"})] == "duplicate"
    assert groups[frozenset({"test_within_germany", "test_to_austria", "test_to_switzerland"})] == "parametrize"
    assert groups[frozenset({"test_ten_percent_off", "test_half_price", "test_five_euros_off"})] == "parametrize"
    alone = {"test_empty_basket_costs_nothing", "test_receipt_has_a_line_for_every_item", "test_not_to_the_moon"}
    assert not alone & {name for names in groups for name in names}


def test_the_quickstart_is_small_enough_to_be_read(examples: Path) -> None:
    lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in (examples / "quickstart").glob("*.py"))

    assert lines < 300

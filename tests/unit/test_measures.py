"""The quality benchmark's measures, on cases worked out by hand."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def benchmarks_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    # The benchmarks are not installed; appending keeps the installed package before the source tree.
    monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT)])


def test_average_precision() -> None:
    from benchmarks.quality.measures import average_precision

    assert average_precision(np.array([True, False, True, False])) == pytest.approx((1 + 2 / 3) / 2)


def test_ranking_measures() -> None:
    from benchmarks.quality.measures import RankingMeasures

    group = np.array([0, 0, 1, 1, -1])
    scores = np.array(
        [
            [0, 0.9, 0.1, 0.1, 0.2],
            [0.9, 0, 0.1, 0.1, 0.2],
            [0.1, 0.1, 0, 0.3, 0.5],
            [0.1, 0.1, 0.3, 0, 0.1],
            [0.2, 0.2, 0.5, 0.1, 0],
        ]
    )
    measures = RankingMeasures()
    measures.add(scores, group)
    results = measures.results()
    assert results["map_micro"] == pytest.approx((1 + 1 + 1 / 2 + 1) / 4)
    assert results["p_at_1_macro"] == pytest.approx(3 / 4)
    # Pairs by score: 0-1 twice (right), 2-4 (wrong), 2-3 twice (right), then the rest.
    assert results["pair_ap_macro"] == pytest.approx((1 + 1 + 3 / 4 + 4 / 5) / 4)
    assert results["recall_at_precision_0.9"] == pytest.approx(0.5)
    assert results["recall_at_precision_0.8"] == pytest.approx(1.0)


def test_group_measures() -> None:
    from benchmarks.quality.measures import GroupMeasures

    group = np.array([0, 0, 0, 1, 1, -1, -1])
    measures = GroupMeasures()
    measures.add([[0, 1, 5], [3, 6]], group)
    results = measures.results()
    assert results["recall_macro"] == pytest.approx(2 / 5)
    assert results["flagged_micro"] == pytest.approx(1.0)
    assert results["pair_recall_macro"] == pytest.approx(2 / 8)
    assert results["pair_precision_macro"] == pytest.approx(2 / 5)


def test_fit_recovers_a_logistic_model() -> None:
    from benchmarks.quality.fit import fit_logistic

    chance = np.random.default_rng(0)
    facts = chance.normal(size=(20000, 2))
    same = chance.random(20000) < 1 / (1 + np.exp(-(2 * facts[:, 0] - facts[:, 1] - 0.5)))
    weights, intercept = fit_logistic(facts, same, np.ones(20000), penalty=1.0)
    assert weights == pytest.approx((2, -1), abs=0.1)
    assert intercept == pytest.approx(-0.5, abs=0.1)


def test_a_calibration_makes_probabilities_of_values_that_are_too_sure() -> None:
    from benchmarks.quality.fit import fit_calibration
    from pytest_qeattention.similarity.pairs import calibrated, logistic

    chance = np.random.default_rng(0)
    values = chance.normal(0, 3, size=20000)
    same = chance.random(20000) < logistic(values)
    found = calibrated(2.5 * values + 1, fit_calibration(2.5 * values + 1, same, np.ones(20000)))
    assert np.abs(found - logistic(values)).max() < 0.05


def test_expected_calibration_error() -> None:
    from benchmarks.quality.measures import Calibration

    calibration = Calibration()
    calibration.add(np.array([0.95, 0.95]), np.array([True, False]))
    calibration.add(np.array([0.15, 0.15, 1.0]), np.array([False, False, True]))
    # Two bins: 0.15 is never right, and of 0.95, 0.95 and 1.0 two in three are.
    assert calibration.expected_error() == pytest.approx((2 * 0.15 + 3 * (2.9 / 3 - 2 / 3)) / 5)
    assert [one["pairs"] for one in calibration.bins()] == [2, 3]


def test_without_labels_the_benchmark_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks.quality import similar

    monkeypatch.delenv("QE_GOLD", raising=False)
    assert similar.main([]) == 0
    assert "skipped: QE_GOLD is not set" in capsys.readouterr().out

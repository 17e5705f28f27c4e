"""Fit logistic models by Newton's method, with a quadratic penalty on scaled weights."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pytest_qeattention.similarity.pairs import calibration_facts, logistic

FloatArray = npt.NDArray[np.float64]


def fit_logistic(
    facts: FloatArray, same: npt.NDArray[np.bool_], weight: FloatArray, penalty: float, *, steps: int = 100
) -> tuple[tuple[float, ...], float]:
    """Fit P(same | facts): *facts* (n, f), *same* (n,), *weight* (n,) above 0.

    Returns the weights and the intercept. Raises ArithmeticError when the steps do not converge.
    """
    mean = np.average(facts, axis=0, weights=weight)
    scale = np.sqrt(np.average((facts - mean) ** 2, axis=0, weights=weight))
    scaled = (facts - mean) / np.where(scale > 0, scale, 1.0)
    design = np.column_stack([scaled, np.ones(len(facts))])
    penalties = np.append(np.full(facts.shape[1], penalty), 0.0)
    solution = np.zeros(design.shape[1])
    for _ in range(steps):
        probability = logistic(design @ solution)
        gradient = design.T @ (weight * (probability - same)) + penalties * solution
        curvature = design.T @ (design * (weight * probability * (1 - probability))[:, None]) + np.diag(penalties)
        step = np.linalg.solve(curvature, gradient)
        solution -= step
        if np.abs(step).max() < 1e-9:
            break
    else:
        raise ArithmeticError(f"the fit did not converge in {steps} steps")
    weights = solution[:-1] / np.where(scale > 0, scale, 1.0)
    return tuple(weights.tolist()), float(solution[-1] - weights @ mean)


def fit_calibration(values: FloatArray, same: npt.NDArray[np.bool_], weight: FloatArray) -> tuple[float, float, float]:
    """Fit the calibration of a logistic model's *values* (beta calibration; Kull, Silva Filho & Flach, 2017)."""
    (of_p, of_rest), intercept = fit_logistic(calibration_facts(values), same, weight, 0.01)
    return of_p, of_rest, intercept

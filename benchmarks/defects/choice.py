"""Fit a conditional logit: which of several alternatives, each with numbers of its own, is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Choice:
    """Hold one choice: numbers of the alternatives (n, f), which one was taken, and how much that counts."""

    numbers: npt.NDArray[np.float32]
    taken: int
    weight: float


def fit_choices(
    choices: Sequence[Choice], penalty: float, signs: npt.NDArray[np.int64], *, steps: int = 60
) -> FloatArray:
    """Return the weights (f,) that make the choices most likely, none of another sign than its own of *signs* (f,).

    A sign of 0 leaves a weight free. By Newton's method on those that are not held at 0 (Bertsekas, 1982). The penalty
    is quadratic, on weights of numbers scaled to variance 1. ArithmeticError if the steps don't converge.
    """
    rows = np.concatenate([choice.numbers for choice in choices])
    sizes = np.array([len(choice.numbers) for choice in choices])
    heads = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    owner = np.repeat(np.arange(len(choices)), sizes)
    weight = np.array([choice.weight for choice in choices])
    taken = np.zeros(len(rows))
    taken[heads + np.array([choice.taken for choice in choices])] = 1.0
    scale = np.sqrt((weight[owner] @ np.square(rows, dtype=np.float64)) / weight[owner].sum())
    used = np.flatnonzero(scale > 1e-9)
    # Sums of so many rows are as good in single precision, and twice as fast; the solution is kept in double.
    design = (rows[:, used] / scale[used]).astype(np.float32)

    def loss_at(solution: FloatArray) -> tuple[FloatArray, float]:
        odds, loss = _odds((design @ solution.astype(np.float32)).astype(np.float64), heads, owner, taken, weight)
        return odds, loss + 0.5 * penalty * float(solution @ solution)

    # Turned around, what must not be positive must not be negative.
    turned = np.where(signs[used] < 0, -1.0, 1.0)
    design *= turned.astype(np.float32)
    is_bound = signs[used] != 0
    solution = np.zeros(len(used))
    odds, loss = loss_at(solution)
    for _ in range(steps):
        of_row = weight[owner] * odds
        gradient = design.T @ (of_row - weight[owner] * taken).astype(np.float32) + penalty * solution
        mean = np.add.reduceat(design * odds.astype(np.float32)[:, None], heads, axis=0)
        curvature = (design.T @ (design * of_row.astype(np.float32)[:, None])).astype(np.float64)
        curvature -= mean.T @ (mean * weight.astype(np.float32)[:, None])
        is_free = ~(is_bound & (solution <= 0.0) & (gradient > 0.0))
        step = np.zeros(len(used))
        free = np.flatnonzero(is_free)
        step[free] = np.linalg.solve(curvature[np.ix_(free, free)] + penalty * np.eye(len(free)), gradient[free])
        length = 1.0
        # Far from the least loss a whole step can lead away from it.
        while True:
            moved = solution - length * step
            moved = np.where(is_bound, np.maximum(moved, 0.0), moved)
            found = loss_at(moved)
            if found[1] <= loss - 1e-4 * float(gradient @ (solution - moved)) or length < 1e-6:
                break
            length /= 2.0
        before, solution = loss, moved
        odds, loss = found
        if before - loss < 1e-5 * max(abs(loss), 1.0):
            break
    else:
        raise ArithmeticError(f"the fit did not converge in {steps} steps")
    out = np.zeros(rows.shape[1])
    out[used] = turned * solution / scale[used]
    return out


def _odds(
    utility: FloatArray,
    heads: npt.NDArray[np.int64],
    owner: npt.NDArray[np.int64],
    taken: FloatArray,
    weight: FloatArray,
) -> tuple[FloatArray, float]:
    top = np.maximum.reduceat(utility, heads)
    powers = np.exp(utility - top[owner])
    total = np.add.reduceat(powers, heads)
    chosen = np.add.reduceat((utility - top[owner]) * taken, heads)
    return powers / total[owner], float(weight @ (np.log(total) - chosen))

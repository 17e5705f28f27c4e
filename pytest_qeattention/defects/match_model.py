"""What makes a failure a known defect, and how sure that is: a conditional logit with a way out.

A failure is one of the defects that it is compared with, or a new one. Each has a utility, a weighted sum of numbers
(`pattern_table`), and its probability is the softmax of the utilities (McFadden, 1974). One fit gives the order of the
defects, whether it is any of them, and a probability that needs no scale of its own. The weights are data, in
``match_model.json``, fitted by benchmarks/defects/matching.py on failures of mutants.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_qeattention.defects.pattern_table import COLUMNS, NEW_COLUMNS, FloatArray

MODEL = Path(__file__).with_name("match_model.json")
VERSION = 1


PARTS = (
    ("weights", COLUMNS),
    ("new weights", NEW_COLUMNS),
    ("weights with product frames", COLUMNS),
    ("new weights with product frames", NEW_COLUMNS),
)
"""Names of the parts of the weights, and what they weigh."""

Weights = Mapping[tuple[str, str], float]


class MatchModelError(ValueError):
    """Say what is wrong with the data of the model."""


@dataclass(frozen=True)
class MatchModel:
    """Hold weights of `COLUMNS` and `NEW_COLUMNS`, 0 where none is named, and what a probability is called."""

    weights: tuple[Weights, ...]
    """Of `COLUMNS` and `NEW_COLUMNS`, and those where the traceback goes through the product: frames then say more, and
    all else less."""
    known: float
    """Least probability of a defect that a failure is known to be."""
    known_again: float
    """The same where a test that a person labelled fails again in the same way."""
    likely: float
    fitted_on: tuple[str, ...] = ()

    @cached_property
    def _rows(self) -> tuple[FloatArray, ...]:
        return tuple(
            np.array([weights.get(column, 0.0) for column in columns])
            for weights, (_, columns) in zip(self.weights, PARTS, strict=True)
        )

    def rows(self, is_framed: bool) -> tuple[FloatArray, FloatArray]:
        """Return the weights of `COLUMNS` and of `NEW_COLUMNS`; *is_framed* tells of product frames."""
        known, new = self._rows[2:] if is_framed else self._rows[:2]
        return known, new

    def probabilities(
        self, numbers: npt.NDArray[np.floating], novelty: npt.NDArray[np.floating], is_framed: bool
    ) -> npt.NDArray[np.float64]:
        """Return the probability of each defect, and last that of a new one; their sum is 1.

        *numbers* is (n, len(`COLUMNS`)), *novelty* (len(`NEW_COLUMNS`),).
        """
        known, new = self.rows(is_framed)
        utility = np.append(numbers @ known, novelty @ new)
        odds = np.exp(utility - utility.max())
        return np.asarray(odds / odds.sum())

    def to_plain(self) -> dict[str, Any]:
        """Return the model as an object of JSON; weights that are 0 are left out."""
        return {
            "version": VERSION,
            "fitted_on": list(self.fitted_on),
            "known": self.known,
            "known again": self.known_again,
            "likely": self.likely,
            **{
                name: {": ".join(column): weight for column, weight in weights.items() if weight}
                for weights, (name, _) in zip(self.weights, PARTS, strict=True)
            },
        }

    @classmethod
    def from_plain(cls, value: Any) -> MatchModel:
        """Return the model that *value* holds; MatchModelError where it is none of this version."""
        try:
            if value["version"] != VERSION:
                raise MatchModelError(f"is of version {value['version']!r}, not {VERSION}")
            known, again, likely = (float(value[name]) for name in ("known", "known again", "likely"))
            if not all(0.0 <= each <= 1.0 for each in (known, again, likely)):
                raise MatchModelError(f"has limits ({known}, {again}, {likely}) that are no probabilities")
            return cls(
                tuple(_weights(value[name], columns) for name, columns in PARTS),
                known,
                again,
                likely,
                tuple(map(str, value["fitted_on"])),
            )
        except MatchModelError:
            raise
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
            raise MatchModelError(f"is no model ({type(error).__name__}: {error})") from error


def _weights(named: Mapping[str, Any], columns: tuple[tuple[str, str], ...]) -> dict[tuple[str, str], float]:
    by_name = {": ".join(column): column for column in columns}
    unknown = sorted(set(named) - set(by_name))
    if unknown:
        raise MatchModelError(f"weighs {unknown[0]!r}, which is no number of a failure")
    weights = {by_name[name]: float(weight) for name, weight in named.items()}
    if not all(map(np.isfinite, weights.values())):
        raise MatchModelError("has a weight that is no number")
    return weights


@lru_cache(maxsize=1)
def shipped() -> MatchModel:
    """Return the model of this package; MatchModelError where its file is missing or damaged."""
    try:
        return MatchModel.from_plain(json.loads(MODEL.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError) as error:
        said = str(error) if isinstance(error, MatchModelError) else f"cannot be read ({error})"
        raise MatchModelError(
            f"{MODEL} {said}; failures are matched by signature and rules alone; install pytest-qeattention again"
        ) from error

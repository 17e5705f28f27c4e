"""Tell which failures of different tests have one cause: by their messages, by their tests, and by encoders."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.quality.baselines import tfidf
from benchmarks.quality.measures import average_precision
from pytest_qeattention.encoder.encoder import Encoder
from pytest_qeattention.similarity.service import suite_from_paths

FloatArray = npt.NDArray[np.float64]

# Both count the same: what a learned fusion makes of them is another matter (benchmarks of defects).
BOTH = "message words + test names"
# Failures with longer messages are asked about by their beginning.
MOST_CHARACTERS = 2000


def failures_measure(directory: Path, encoders: Mapping[str, Encoder], truth: Path | None) -> dict[str, float]:
    """Return the mean average precision of ranking, for each failure, those of other tests by the same mutant first."""
    if truth is None:
        raise ValueError("--truth says where the files of benchmarks.quality.mutants are; it is not given")
    document = json.loads((truth / f"{directory.name}.json").read_text(encoding="utf-8"))
    rows = [(number, each) for number, mutant in enumerate(document["mutants"]) for each in mutant["failures"]]
    mutant = np.array([number for number, _ in rows])
    tests = [each["test"] for _, each in rows]
    messages = [f"{each['type']}: {each['message']}"[:MOST_CHARACTERS] for _, each in rows]
    scores = {"message words": tfidf(messages, messages), "test names": tfidf(tests, tests)}
    scores[BOTH] = scores["message words"] + scores["test names"]
    sources = {unit.nodeid: unit.source for unit in suite_from_paths(document["suite"], cwd=directory).units}
    for label, encoder in encoders.items():
        of_messages, of_tests = encoder.failures(messages), encoder.functions([sources[test] for test in tests])
        scores[f"{label}, messages"] = np.asarray(of_messages @ of_messages.T, np.float64)
        scores[f"{label}, tests"] = np.asarray(of_tests @ of_tests.T, np.float64)
        for part in ("messages", "tests"):
            scores[f"{BOTH} + {label}, {part}"] = scores[BOTH] + scores[f"{label}, {part}"]
    return {name: mean_precision(each, mutant, tests) for name, each in scores.items()}


def mean_precision(scores: FloatArray, cause: npt.NDArray[np.int64], tests: Sequence[str]) -> float:
    """Return the mean over failures of the average precision with which those of one *cause* come first.

    Failures of the same test are left out of each ranking, and failures that no other test shares are not asked about.
    """
    number = np.unique(np.array(tests), return_inverse=True)[1]
    found = []
    for at in range(len(scores)):
        others = np.flatnonzero(number != number[at])
        order = others[np.argsort(-scores[at, others], kind="stable")]
        relevant = cause[order] == cause[at]
        if relevant.any():
            found.append(average_precision(relevant))
    return float(np.mean(found))

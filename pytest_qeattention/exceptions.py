"""The warning that tells of a failure of the plugin itself, and what it says.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest


class QEWarning(pytest.PytestWarning):
    """Say that a feature of pytest-qeattention failed, and that the run went on without it."""

    __module__ = "pytest_qeattention"


def warn(config: pytest.Config, message: str) -> None:
    """Issue *message* as a `QEWarning`, which ends nothing where warnings are errors."""
    try:
        config.issue_config_time_warning(QEWarning(message), stacklevel=3)
    except QEWarning:
        # -W error is meant for the user's tests; here it would end the session.
        return


def failure_of(analysis: str, error: BaseException) -> str:
    """Say that an analysis failed for *error*, and that the run did not."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return (
        f"{analysis}: failed with {type(error).__name__}: {error}{place}; there is no report, and the "
        "run is not affected. Please tell the authors of pytest-qeattention"
    )

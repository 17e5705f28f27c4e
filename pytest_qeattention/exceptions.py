"""The warning that tells of a failure of the plugin itself.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import pytest


class QEWarning(pytest.PytestWarning):
    """Say that a feature of pytest-qeattention failed, and that the run went on without it."""

    __module__ = "pytest_qeattention"

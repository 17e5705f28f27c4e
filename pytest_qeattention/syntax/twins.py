"""Compiled twins: which module of the compiled core does what a module in Python does, or why none does.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from types import ModuleType


@dataclass(frozen=True, slots=True)
class Twin:
    """Hold the compiled twin of a module, and why it serves or not."""

    module: ModuleType | None
    """None where Python serves."""
    reason: str
    problem: str | None = None
    """What is wrong with the installation; None where nothing is."""

    def info(self) -> dict[str, str]:
        """Say what serves, and why, as plain values."""
        return {"implementation": "python" if self.module is None else "compiled", "reason": self.reason}


def compiled_twin(name: str, interface: int, called: str, of: str) -> Twin:
    """Return the compiled module *name*, if it was built, has *interface* and QE_BACKEND is not numpy.

    Messages name it *called* and what it reads *of*: the reader of tests.
    """
    if os.environ.get("QE_BACKEND") == "numpy":
        return Twin(None, "QE_BACKEND is numpy")
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name == name:
            return Twin(None, f"no compiled {called} was built")
        return _left_over(called, of, f"does not load ({error})")
    except Exception as error:  # an old build may look for anything in modules that have changed since
        return _left_over(called, of, f"does not load ({type(error).__name__}: {error})")
    found = getattr(module, "INTERFACE", None)
    if found != interface:
        return _left_over(called, of, f"has interface {found}, this package needs {interface}")
    return Twin(module, f"the compiled {called} was built")


def _left_over(called: str, of: str, what: str) -> Twin:
    reason = f"the compiled {called} of {of} {what}: it is left over from another version"
    return Twin(None, reason, f"{reason}; Python reads them, which takes longer; reinstall")

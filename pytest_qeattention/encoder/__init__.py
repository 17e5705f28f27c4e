"""Vectors of tests, functions and texts from a small attention network that runs on the compiled core.

    network.py      sequences of tokens in, unit vectors out
    parameters.py   architecture, and the arrays of a network by name
    reference.py    the same network in NumPy: fallback and oracle

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

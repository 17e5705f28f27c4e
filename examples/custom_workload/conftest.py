"""A workload of one's own: tests that speak of the same data, found by the string literals they share."""

from __future__ import annotations

import ast
import textwrap
import zlib

import numpy as np

import pytest_qeattention

BUCKETS = 512


def literals(source):
    """Return the string literals of a test, without its docstring."""
    function = ast.parse(textwrap.dedent(source)).body[0]
    docstring = ast.get_docstring(function, clean=False)
    strings = {node.value for node in ast.walk(function) if isinstance(node, ast.Constant)}
    return {text for text in strings if isinstance(text, str) and len(text) > 3 and text != docstring}


class SharedStrings(pytest_qeattention.Workload):
    name = "shared-strings"
    title = "Tests that speak of the same data"
    threshold = 0.6

    def embed(self, units):
        # Each string is hashed to one of the components; crc32, because hash() differs from run to run.
        vectors = np.zeros((len(units), BUCKETS), dtype=np.float32)
        for vector, unit in zip(vectors, units, strict=True):
            for text in literals(unit.source):
                vector[zlib.crc32(text.encode()) % BUCKETS] += 1
        return vectors

    def reasons(self, tests, score):
        shared = set.intersection(*(literals(test.source) for test in tests))
        return [f"all of them use {text!r}" for text in sorted(shared)]


def pytest_qe_workloads(config):
    return [SharedStrings()]

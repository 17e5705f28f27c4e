"""Tests that repeat each other: units, evidence, grouping.

PYTEST_DONT_REWRITE
"""

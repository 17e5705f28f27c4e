from __future__ import annotations

from collections.abc import Iterator

import pytest
from attention_oracle import NATIVE, RUNNABLE

from pytest_qeattention.attention import backend


@pytest.fixture(params=RUNNABLE)
def variant(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Force one implementation for a test; afterwards the choice is open again."""
    if request.param == "numpy":
        monkeypatch.setenv("QE_BACKEND", "numpy")
    else:
        monkeypatch.setenv("QE_BACKEND", "native")
        monkeypatch.setenv("QE_ISA", request.param)
    backend.active.cache_clear()
    yield request.param
    backend.active.cache_clear()


@pytest.fixture(params=NATIVE)
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Force one kernel variant for a test of what NumPy does not have."""
    monkeypatch.setenv("QE_BACKEND", "native")
    monkeypatch.setenv("QE_ISA", request.param)
    backend.active.cache_clear()
    yield request.param
    backend.active.cache_clear()

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_qeattention.cache import Cache
from pytest_qeattention.similarity import known_differences
from pytest_qeattention.similarity.explain import differences
from pytest_qeattention.similarity.known_differences import KnownDifferences
from pytest_qeattention.similarity.model import Unit
from pytest_qeattention.similarity.scan import scan_source


def units_of(*literals: str) -> list[Unit]:
    source = "\n".join(f"def test_{number}():\n    assert f({text})" for number, text in enumerate(literals))
    return [found.unit for found in scan_source(source.encode(), "test_it.py").functions]


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the tests of each group that is read instead of remembered."""
    calls: list[int] = []

    def counted(tests: list[Unit]) -> tuple[str, ...]:
        calls.append(len(tests))
        return differences(tests)

    monkeypatch.setattr(known_differences, "differences", counted)
    return calls


def test_same_tests_are_read_once(tmp_path: Path, parsed: list[int]) -> None:
    tests = units_of("1", "2")
    first = KnownDifferences(Cache(tmp_path))
    told = first.of(tests)
    first.keep()
    assert told == ("1 literal differs: 1 / 2",)
    assert KnownDifferences(Cache(tmp_path)).of(tests) == told
    assert parsed == [2]


def test_a_literal_or_a_decorator_that_changed_is_read_again(tmp_path: Path, parsed: list[int]) -> None:
    first = KnownDifferences(Cache(tmp_path))
    first.of(units_of("1", "2"))
    first.keep()
    assert KnownDifferences(Cache(tmp_path)).of(units_of("1", "3")) == ("1 literal differs: 1 / 3",)
    assert parsed == [2, 2]


def test_what_is_no_longer_asked_for_is_dropped(tmp_path: Path, parsed: list[int]) -> None:
    for literals in (("1", "2"), ("1", "3"), ("1", "2")):
        known = KnownDifferences(Cache(tmp_path))
        known.of(units_of(*literals))
        known.keep()
    assert parsed == [2, 2, 2]


@pytest.mark.parametrize("data", [b"[]", b"{", b'{"a": 1}', b"\xff"])
def test_an_entry_that_makes_no_sense_counts_as_none(tmp_path: Path, data: bytes) -> None:
    cache = Cache(tmp_path)
    key = KnownDifferences(cache)._key
    cache.write({key: data})
    assert KnownDifferences(cache).of(units_of("1", "2")) == ("1 literal differs: 1 / 2",)


def test_without_a_cache_nothing_is_kept(parsed: list[int]) -> None:
    known = KnownDifferences(Cache(None))
    for _ in range(2):
        assert known.of(units_of("1", "2")) == ("1 literal differs: 1 / 2",)
    known.keep()
    assert parsed == [2, 2]

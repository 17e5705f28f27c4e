"""The table of how often words of docstrings stand in what they describe."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pytest_qeattention.similarity import query_words
from pytest_qeattention.similarity.query_words import (
    MAGIC,
    USUAL_CHANCE,
    VERSION,
    QueryWords,
    QueryWordsError,
    hashed_word,
    load_query_words,
    pack,
)
from pytest_qeattention.store import write_checked


@pytest.fixture
def no_table_yet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(query_words, "FILE", tmp_path / "table.bin")
    monkeypatch.setattr(query_words, "load_query_words", query_words.load_query_words.__wrapped__)
    return tmp_path / "table.bin"


def test_the_shipped_table_knows_what_docstrings_say_in_vain() -> None:
    table = load_query_words()
    assert len(table.words) > 5000
    assert np.all(np.diff(table.words.astype(np.int64)) > 0)
    assert table.of("correctly") < 0.15 < 0.3 < table.of("email")
    assert table.of("zyzzyva") == USUAL_CHANCE


def test_a_table_is_read_as_it_was_written(no_table_yet: Path) -> None:
    words = sorted(hashed_word(word) for word in ("alpha", "7"))
    written = QueryWords(np.array(words, np.uint32), np.array([0.25, 0.75]))
    assert write_checked(no_table_yet, pack(written), magic=MAGIC, version=VERSION) is None
    table = query_words.load_query_words()
    assert table.words.tolist() == words
    assert table.chances == pytest.approx([0.25, 0.75], abs=1 / 510)
    # All whole numbers are one word.
    assert table.of("7") == table.of("12")


def test_a_missing_table_is_named(no_table_yet: Path) -> None:
    with pytest.raises(QueryWordsError, match=r"table\.bin is missing; tests cannot be asked for in words without it"):
        query_words.load_query_words()


def test_a_damaged_table_is_named(no_table_yet: Path) -> None:
    table = QueryWords(np.array([1], np.uint32), np.array([0.5]))
    assert write_checked(no_table_yet, pack(table), magic=MAGIC, version=VERSION) is None
    data = bytearray(no_table_yet.read_bytes())
    data[-1] ^= 1
    no_table_yet.write_bytes(data)
    with pytest.raises(QueryWordsError, match="reinstall pytest-qeattention"):
        query_words.load_query_words()

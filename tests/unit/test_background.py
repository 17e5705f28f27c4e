"""The table of how common features are in tests at large."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pytest_qeattention.similarity import background
from pytest_qeattention.similarity.background import MAGIC, VERSION, Background, BackgroundError, load_background, pack
from pytest_qeattention.similarity.describe import bag_features, word_features
from pytest_qeattention.similarity.evidence import BAGS
from pytest_qeattention.store import write_checked


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    load_background.cache_clear()
    monkeypatch.setattr(background, "FILE", background.FILE)
    yield monkeypatch
    monkeypatch.undo()
    load_background.cache_clear()


def test_installed_table_tells_common_from_rare() -> None:
    table = load_background()
    assert len(table) == len(BAGS)
    for bag in table:
        assert (np.diff(bag.features.astype(np.int64)) > 0).all()
        assert ((bag.shares > 0) & (bag.shares <= 1)).all()
    words = table[BAGS.index("words")]
    common, rare = (
        words.of(np.frombuffer(bag_features(word_features(word)), np.uint32)) for word in ("assert", "zyzzyva")
    )
    assert common.max() > 0.4
    assert rare.tolist() == [0.0, 0.0]


def test_packed_table_reads_back(fresh: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bags = [
        Background(np.array([1, 2**32 - 1], np.uint32), np.array([0.25, 1.0])),
        Background(np.array([7], np.uint32), np.array([0.5])),
    ]
    assert write_checked(tmp_path / "table.bin", pack(bags), magic=MAGIC, version=VERSION) is None
    fresh.setattr(background, "FILE", tmp_path / "table.bin")
    read = load_background()
    assert [bag.features.tolist() for bag in read] == [[1, 2**32 - 1], [7]]
    np.testing.assert_allclose(read[0].shares, [0.25, 1.0], atol=1e-5)


@pytest.mark.parametrize("damage", ["missing", "truncated", "flipped"])
def test_damaged_table_is_reported(fresh: pytest.MonkeyPatch, tmp_path: Path, damage: str) -> None:
    data = bytearray(background.FILE.read_bytes())
    file = tmp_path / "table.bin"
    if damage == "truncated":
        file.write_bytes(data[: len(data) // 2])
    elif damage == "flipped":
        data[-1] ^= 1
        file.write_bytes(data)
    fresh.setattr(background, "FILE", file)
    with pytest.raises(BackgroundError, match="reinstall pytest-qeattention"):
        load_background()

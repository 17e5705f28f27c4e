"""References that are kept between runs are those of a run that reads all."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from pytest_qeattention.cache import FILE_NAME
from pytest_qeattention.similarity import kept_references, reading
from pytest_qeattention.similarity.discover import SourcePath
from pytest_qeattention.similarity.kept import Files
from pytest_qeattention.similarity.kept_references import references_of
from pytest_qeattention.similarity.outlines import Outline, read_outline
from pytest_qeattention.similarity.ranking import rank
from pytest_qeattention.similarity.references import References, project_files
from pytest_qeattention.similarity.service import suite_from_paths
from pytest_qeattention.similarity.workload import Request

FILES = {
    "product.py": "def goal():\n    return 1\n\nclass Tool:\n    def __init__(self):\n        goal()\n",
    "helpers.py": "from product import goal as aim\n\ndef help_():\n    return aim()\n",
    "broken.py": "def f(:\n",
    "test_product.py": (
        "def test_tool():\n    assert Tool()\n\ndef test_help():\n    help_()\n\ndef test_none():\n    pass\n"
    ),
}


@pytest.fixture
def files(tmp_path: Path) -> list[SourcePath]:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return project_files([tmp_path / "product.py"], [tmp_path / "test_product.py"], tmp_path)


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return the content of each file that this process parses."""
    contents: list[bytes] = []

    def noted(data: bytes) -> Outline | None:
        contents.append(data)
        return read_outline(data)

    monkeypatch.setattr(kept_references, "read_outline", noted)
    return contents


def facts(references: References) -> list[tuple[str, list[float], list[str]]]:
    """Return how surely all functions reach each, and which way."""
    found = []
    number = 0
    while number < len(references.reach([]).weights):
        reach = references.reach([number])
        ways = [reach.through(at)[0] for at in range(len(reach.weights))]
        found.append((references.name(number), reach.weights.tolist(), [references.name(at) for at in ways if at >= 0]))
        number += 1
    return found


def test_the_references_of_files_that_are_as_they_were_are_read_from_the_cache(
    files: list[SourcePath], tmp_path: Path, parsed: list[bytes]
) -> None:
    first = facts(references_of(files, cache_dir=tmp_path / "store"))
    assert len(parsed) == len(FILES)
    assert [name for name, *_ in first] == ["help_", "goal", "Tool.__init__", "test_tool", "test_help", "test_none"]
    assert first[1][1] == [1, 1, 1, 0.5, 0.5, 0]
    parsed.clear()
    assert facts(references_of(files, cache_dir=tmp_path / "store")) == first
    assert parsed == []
    assert facts(references_of(files)) == first
    assert len(parsed) == len(FILES)


def test_a_file_that_has_changed_is_read_anew_and_no_other(
    files: list[SourcePath], tmp_path: Path, parsed: list[bytes]
) -> None:
    before = facts(references_of(files, cache_dir=tmp_path / "store"))
    (tmp_path / "helpers.py").write_text("def help_():\n    return 2\n")
    parsed.clear()
    changed = facts(references_of(files, cache_dir=tmp_path / "store"))
    assert parsed == [(tmp_path / "helpers.py").read_bytes()]
    assert changed == facts(references_of(files)) != before
    (tmp_path / "helpers.py").write_text(FILES["helpers.py"])
    parsed.clear()
    assert facts(references_of(files, cache_dir=tmp_path / "store")) == before
    assert parsed == []


def test_a_file_that_is_gone_or_new_changes_the_references(
    files: list[SourcePath], tmp_path: Path, parsed: list[bytes]
) -> None:
    before = facts(references_of(files, cache_dir=tmp_path / "store"))
    (tmp_path / "helpers.py").unlink()
    gone = facts(references_of(files, cache_dir=tmp_path / "store"))
    assert [name for name, *_ in gone] == ["goal", "Tool.__init__", "test_tool", "test_help", "test_none"]
    (tmp_path / "helpers.py").write_text(FILES["helpers.py"])
    (tmp_path / "more.py").write_text("def more():\n    goal()\n")
    more = project_files([tmp_path / "product.py"], [tmp_path / "test_product.py"], tmp_path)
    parsed.clear()
    assert len(facts(references_of(more, cache_dir=tmp_path / "store"))) == len(before) + 1
    assert parsed == [b"def more():\n    goal()\n"]


@pytest.mark.parametrize("damage", [b"", b"noise" * 20, None], ids=["empty", "noise", "flipped"])
def test_damaged_entries_are_read_anew(
    files: list[SourcePath], tmp_path: Path, parsed: list[bytes], damage: bytes | None
) -> None:
    first = facts(references_of(files, cache_dir=tmp_path / "store"))
    with sqlite3.connect(tmp_path / "store" / FILE_NAME) as database:
        for key, data in database.execute("SELECT key, data FROM entries").fetchall():
            other = data[:-1] + bytes([data[-1] ^ 1]) if damage is None else damage
            database.execute("UPDATE entries SET data = ? WHERE key = ?", (other, key))
    database.close()
    parsed.clear()
    assert facts(references_of(files, cache_dir=tmp_path / "store")) == first
    assert len(parsed) == len(FILES)
    parsed.clear()
    assert facts(references_of(files, cache_dir=tmp_path / "store")) == first
    assert parsed == []


def test_entries_of_other_code_are_left_alone(
    files: list[SourcePath], tmp_path: Path, parsed: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    references_of(files, cache_dir=tmp_path / "store")
    monkeypatch.setattr(kept_references, "code_key", lambda: b"other")
    parsed.clear()
    references_of(files, cache_dir=tmp_path / "store")
    assert len(parsed) == len(FILES)


def test_a_file_that_changes_while_it_is_read_is_kept_by_the_next_run(
    files: list[SourcePath], tmp_path: Path, parsed: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = Files.digest

    def outdated(self: Files, source: SourcePath) -> str:
        return "0" * 32 if source.display == "helpers.py" else digest(self, source)

    with monkeypatch.context() as patched:
        patched.setattr(Files, "digest", outdated)
        first = facts(references_of(files, cache_dir=tmp_path / "store"))
    assert first == facts(references_of(files))
    parsed.clear()
    assert facts(references_of(files, cache_dir=tmp_path / "store")) == first
    assert parsed == [FILES["helpers.py"].encode()]


@pytest.mark.parametrize("processes", [2, 3])
def test_any_number_of_processes_finds_the_same(
    files: list[SourcePath], tmp_path: Path, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = facts(references_of(files, num_processes=1))
    monkeypatch.setattr(reading, "PARALLEL_BYTES", 0)
    seen: list[tuple[str, int, int]] = []
    together = references_of(
        files,
        cache_dir=tmp_path / "store",
        num_processes=processes,
        progress=lambda *step: seen.append(step),
    )
    assert facts(together) == alone
    assert seen[-1] == ("reading", len(files), len(files))
    assert facts(references_of(files, cache_dir=tmp_path / "store", num_processes=1)) == alone


def test_a_file_that_is_named_twice_counts_once_and_one_that_cannot_be_read_not(
    files: list[SourcePath], tmp_path: Path
) -> None:
    first = facts(references_of(files))
    more = [*files, files[0], files[1], SourcePath(tmp_path / "gone.py", "gone.py")]
    assert facts(references_of(more, cache_dir=tmp_path / "store")) == first
    assert facts(references_of(more, cache_dir=tmp_path / "store")) == first
    assert references_of([]).reach([]).weights.shape == (0,)


def test_rank_keeps_what_it_reads_where_it_is_told_to(
    files: list[SourcePath], tmp_path: Path, parsed: list[bytes]
) -> None:
    suite = suite_from_paths([str(tmp_path / "test_product.py")], cwd=tmp_path)
    listed = sorted(os.listdir(tmp_path))
    query = f"{tmp_path / 'product.py'}::goal"
    without = rank(suite, query, 5, cwd=tmp_path)
    assert sorted(os.listdir(tmp_path)) == listed, "nothing is kept"
    assert len(parsed) == len(files)
    first = rank(suite, query, 5, cwd=tmp_path, request=Request(cache_dir=tmp_path / "store"))
    parsed.clear()
    again = rank(suite, query, 5, cwd=tmp_path, request=Request(cache_dir=tmp_path / "store"))
    assert parsed == []
    assert first.ranked == again.ranked == without.ranked
    assert first.ranked is not None
    assert {neighbor.unit.name: neighbor.reasons[0] for neighbor in first.ranked[1] if neighbor.reasons} == {
        "test_help": "uses help_, which uses goal",
        "test_tool": "uses Tool.__init__, which uses goal",
    }


def test_shares_are_kept_to_the_last_bit(tmp_path: Path) -> None:
    names = [f"class C{number}:\n    def run(self): pass\n" for number in range(7)]
    (tmp_path / "a.py").write_text("".join(names))
    (tmp_path / "test_a.py").write_text("def test_run(a):\n    a.run()\n    a.C1()\n")
    files = project_files([tmp_path / "a.py"], [tmp_path / "test_a.py"], tmp_path)
    weights = []
    for _ in range(2):
        references = references_of(files, cache_dir=tmp_path / "store")
        target = references.number("a.py", "C3::run")
        assert target is not None
        weights.append(references.reach([target]).weights)
    np.testing.assert_array_equal(weights[0], weights[1])
    assert weights[0].tolist().count(1 - (1 - 1 / 7)) == 1

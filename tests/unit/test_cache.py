"""The cache database: what is kept, and what becomes of it when it is damaged, shared or killed."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pytest_qeattention import cache as module
from pytest_qeattention.cache import FILE_NAME, Cache, code_key, key_of

A, B = key_of("a"), key_of("b")


def test_entries_are_read_back(tmp_path: Path) -> None:
    Cache(tmp_path).write({A: b"one", B: b""})

    assert Cache(tmp_path).read([B, key_of("c"), A, A]) == {A: b"one", B: b""}


def test_a_later_entry_replaces_an_earlier_one(tmp_path: Path) -> None:
    with Cache(tmp_path) as cache:
        cache.write({A: b"one"})
        cache.write({A: b"two"})
        assert cache.read([A]) == {A: b"two"}


def test_many_keys_are_read_at_once(tmp_path: Path) -> None:
    entries = {key_of(number): str(number).encode() for number in range(1200)}
    Cache(tmp_path).write(entries)

    assert Cache(tmp_path).read(entries) == entries


def test_without_a_directory_nothing_is_kept() -> None:
    cache = Cache(None)
    cache.write({A: b"one"})

    assert not cache.is_on
    assert cache.read([A]) == {}


def test_reading_creates_nothing(tmp_path: Path) -> None:
    assert Cache(tmp_path / "store").read([A]) == {}
    assert not (tmp_path / "store").exists()


def test_closed_databases_leave_one_file(tmp_path: Path) -> None:
    Cache(tmp_path).write({A: b"one"})
    Cache(tmp_path).read([A])

    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_keys_tell_parts_and_their_borders_apart() -> None:
    keys = [
        key_of("ab"),
        key_of("a", "b"),
        key_of("a", "b", ""),
        key_of(b"a", "b"),
        key_of(("a", "b")),
        key_of("\udc80"),
    ]
    assert len(set(keys)) == len(keys)
    assert key_of("a", 1) == key_of("a", 1)


def test_every_flipped_byte_costs_entries_at_most(tmp_path: Path) -> None:
    source = tmp_path / "source"
    Cache(source).write({A: b"one" * 10, B: b"two" * 10})
    sound = (source / FILE_NAME).read_bytes()
    used = [at for at, byte in enumerate(sound) if byte]
    place = tmp_path / "flipped"
    place.mkdir()
    lost = 0
    for at in [*used, *range(0, len(sound), 997)]:
        damaged = bytearray(sound)
        damaged[at] ^= 0xFF
        (place / FILE_NAME).write_bytes(damaged)
        found = Cache(place).read([A, B])
        assert found.items() <= {A: b"one" * 10, B: b"two" * 10}.items()
        lost += len(found) < 2
    assert lost > 100


@pytest.mark.parametrize("size", [0, 1, 99, 100, 5000, 16384, 20000])
def test_a_truncated_database_is_begun_again(tmp_path: Path, size: int) -> None:
    Cache(tmp_path).write({key_of(number): bytes(1000) for number in range(40)})
    with (tmp_path / FILE_NAME).open("rb+") as file:
        file.truncate(size)

    Cache(tmp_path).read([A])
    for _ in range(2):
        Cache(tmp_path).write({A: b"one"})

    assert Cache(tmp_path).read([A]) == {A: b"one"}


def test_a_file_of_another_kind_is_begun_again(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("no database" * 1000)
    assert Cache(tmp_path).read([A]) == {}

    Cache(tmp_path).write({A: b"one"})

    assert Cache(tmp_path).read([A]) == {A: b"one"}


def test_a_database_of_another_version_is_begun_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as older:
        older.setattr(module, "_FORMAT", 99)
        Cache(tmp_path).write({A: b"old"})

    assert Cache(tmp_path).read([A]) == {}
    Cache(tmp_path).write({B: b"new"})
    assert Cache(tmp_path).read([A, B]) == {B: b"new"}


def test_an_entry_under_another_key_is_not_believed(tmp_path: Path) -> None:
    Cache(tmp_path).write({A: b"one"})
    database = sqlite3.connect(tmp_path / FILE_NAME)
    database.execute("UPDATE entries SET key = ?", (B,))
    database.commit()
    database.close()

    assert Cache(tmp_path).read([A, B]) == {}


def test_what_was_used_least_recently_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST_BYTES", 1000)
    names = [key_of(number) for number in range(12)]
    for day, name in enumerate(names):
        monkeypatch.setattr(module, "_today", lambda day=day: day)
        Cache(tmp_path).write({name: bytes(90)})
        Cache(tmp_path).read([names[0]])

    left = set(Cache(tmp_path).read(names))

    assert {names[0], names[-1]} <= left
    assert len(left) * 90 <= 1000


def test_what_was_not_used_for_long_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_today", lambda: 100)
    Cache(tmp_path).write({A: b"one"})
    monkeypatch.setattr(module, "_today", lambda: 101 + module.KEPT_DAYS)
    Cache(tmp_path).write({B: b"two"})

    assert Cache(tmp_path).read([A, B]) == {B: b"two"}


@pytest.mark.skipif(os.name == "nt" or (hasattr(os, "geteuid") and os.geteuid() == 0), reason="rights are not checked")
def test_a_directory_without_rights_is_no_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        Cache(tmp_path / "store").write({A: b"one"})
        assert Cache(tmp_path / "store").read([A]) == {}
    finally:
        tmp_path.chmod(0o700)


def test_a_file_where_the_directory_should_be_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file")
    Cache(tmp_path / "store").write({A: b"one"})

    assert Cache(tmp_path / "store").read([A]) == {}


def test_a_locked_database_is_not_waited_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Cache(tmp_path).write({A: b"one"})
    monkeypatch.setattr(module, "_WAIT_S", 0.01)
    other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    Cache(tmp_path).write({B: b"two"})

    assert Cache(tmp_path).read([A, B]) == {A: b"one"}

    other.execute("ROLLBACK")
    other.close()


def test_a_run_waits_for_others_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect, waits = module._connect, []
    monkeypatch.setattr(module, "_connect", lambda path, wait: waits.append(wait) or connect(path, wait))
    monkeypatch.setattr(module, "_WAIT_S", 0.01)
    Cache(tmp_path).write({A: b"one"})
    other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for _ in range(3):
        Cache(tmp_path).write({B: b"two"})
    other.execute("ROLLBACK")
    other.close()

    Cache(tmp_path).write({B: b"two"})

    assert waits == [0.01, 0.01, 0.0, 0.0, 0.0]
    assert Cache(tmp_path).read([A, B]) == {A: b"one", B: b"two"}
    assert Cache(tmp_path / "other").read([A]) == {}
    monkeypatch.setattr(module, "_NO_WAIT_S", -1.0)
    Cache(tmp_path).read([A])
    assert waits[-1] == 0.01


def test_the_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / FILE_NAME)) as database:
        database.execute("CREATE TABLE accounts (name TEXT)")
    before = (tmp_path / FILE_NAME).read_bytes()

    Cache(tmp_path).write({A: b"one"})

    assert Cache(tmp_path).read([A]) == {}
    assert (tmp_path / FILE_NAME).read_bytes() == before


@pytest.mark.parametrize("message", ["attempt to write a readonly database", "unable to open database file"])
def test_a_file_that_may_not_be_written_is_not_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, message: str
) -> None:
    Cache(tmp_path).write({A: b"one"})

    def refuse(*_: object) -> None:
        raise sqlite3.OperationalError(message)

    with monkeypatch.context() as read_only:
        read_only.setattr(Cache, "_replace", refuse)
        Cache(tmp_path).write({B: b"two"})
        read_only.setattr(module, "_connect", refuse)
        Cache(tmp_path).write({B: b"two"})

    assert Cache(tmp_path).read([A, B]) == {A: b"one"}


WRITER = """
import sys
from pathlib import Path
from pytest_qeattention.cache import Cache, key_of
name, rounds = sys.argv[2], int(sys.argv[3])
for number in range(rounds):
    Cache(Path(sys.argv[1])).write({key_of(name, number, part): bytes([number % 256]) * 20000 for part in range(5)})
    print(number, flush=True)
"""


def writer(directory: Path, name: str, rounds: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(directory), name, str(rounds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_two_writers_at_once_both_keep_all(tmp_path: Path) -> None:
    writers = [writer(tmp_path, name, 10) for name in "ab"]
    for process in writers:
        process.communicate(timeout=60)
        assert process.returncode == 0

    for name in "ab":
        keys = {key_of(name, number, part): number for number in range(10) for part in range(5)}
        assert Cache(tmp_path).read(keys) == {key: bytes([number]) * 20000 for key, number in keys.items()}


def test_a_database_that_another_run_begins_meanwhile_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = module.format_of
    begun_by_other = iter([False])

    def looked_too_early(database: sqlite3.Connection) -> tuple[int, int]:
        found = real(database)
        if not next(begun_by_other, True):
            Cache(tmp_path).write({A: b"one"})
        return found

    monkeypatch.setattr(module, "format_of", looked_too_early)
    Cache(tmp_path).write({B: b"two"})

    assert Cache(tmp_path).read([A, B]) == {A: b"one", B: b"two"}


def test_a_writer_that_is_killed_leaves_whole_transactions(tmp_path: Path) -> None:
    for attempt in range(3):
        process = writer(tmp_path, f"run {attempt}", 10_000)
        assert process.stdout is not None
        while int(process.stdout.readline()) < 3:
            pass
        time.sleep(0.003 * attempt)
        process.kill()
        process.communicate(timeout=60)

        for number in range(3):
            keys = [key_of(f"run {attempt}", number, part) for part in range(5)]
            assert len(Cache(tmp_path).read(keys)) == 5
        for number in range(3, 500):
            keys = [key_of(f"run {attempt}", number, part) for part in range(5)]
            if not Cache(tmp_path).read(keys[:1]):
                assert Cache(tmp_path).read(keys) == {}
                break
    Cache(tmp_path).write({A: b"one"})
    assert Cache(tmp_path).read([A]) == {A: b"one"}


def test_the_code_key_depends_on_the_settings_of_the_core(monkeypatch: pytest.MonkeyPatch) -> None:
    code_key.cache_clear()
    one = code_key()
    code_key.cache_clear()
    assert code_key() == one
    monkeypatch.setenv("QE_BACKEND", "numpy")
    code_key.cache_clear()
    try:
        assert code_key() != one
    finally:
        code_key.cache_clear()

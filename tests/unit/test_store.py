"""Checked files: whatever is on disk, reading says so in words, and a crash leaves old or new."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pytest_qeattention.store import Checked, open_store, read_checked, write_checked

MAGIC = b"QETEST"
HEADER_BYTES = 56

needs_posix = pytest.mark.skipif(os.name != "posix", reason="POSIX signals and permissions")


def write(path: Path, payload: bytes, version: int = 3) -> None:
    assert write_checked(path, payload, magic=MAGIC, version=version) is None


def read(path: Path, version: int = 3) -> Checked:
    return read_checked(path, magic=MAGIC, version=version)


def names_in(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir())


@pytest.mark.parametrize("payload", [b"", b"\0", b"x" * 100_000], ids=["empty", "one byte", "100 kB"])
def test_payload_comes_back(tmp_path: Path, payload: bytes) -> None:
    write(tmp_path / "file", payload)
    assert read(tmp_path / "file") == Checked(payload=payload)
    assert names_in(tmp_path) == ["file"]


def test_missing_file_is_no_problem(tmp_path: Path) -> None:
    assert read(tmp_path / "none" / "file") == Checked()


def test_open_store_touches_nothing_before_the_first_write(tmp_path: Path) -> None:
    store = open_store(tmp_path / "a" / "b")
    assert store.read("file", magic=MAGIC, version=1) == Checked()
    assert names_in(tmp_path) == []
    assert store.write("file", b"x", magic=MAGIC, version=1) is None
    assert store.read("file", magic=MAGIC, version=1) == Checked(payload=b"x")
    assert names_in(tmp_path / "a") == ["b"]
    assert names_in(tmp_path / "a" / "b") == ["file"]


@needs_posix
def test_file_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    write(tmp_path / "file", b"x")
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600


@needs_posix
def test_file_for_everybody_is_so_whatever_the_umask(tmp_path: Path) -> None:
    umask = os.umask(0o077)
    try:
        assert write_checked(tmp_path / "file", b"x", magic=MAGIC, version=3, mode=0o644) is None
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o644


def test_new_pytest_cache_gets_its_markers(tmp_path: Path) -> None:
    write(tmp_path / "cache" / "d" / "qeattention" / "file", b"x")
    assert names_in(tmp_path / "cache") == [".gitignore", "CACHEDIR.TAG", "d"]
    tag = (tmp_path / "cache" / "CACHEDIR.TAG").read_text(encoding="utf-8")
    assert tag.startswith("Signature: 8a477f597d28d172789f06886806bc55\n")
    assert "\n*\n" in (tmp_path / "cache" / ".gitignore").read_text(encoding="utf-8")


def test_existing_directory_gets_no_markers(tmp_path: Path) -> None:
    write(tmp_path / "d" / "qeattention" / "file", b"x")
    assert names_in(tmp_path) == ["d"]


@pytest.mark.parametrize("length", [0, 1, 7, 8, HEADER_BYTES - 1, HEADER_BYTES, HEADER_BYTES + 4])
def test_truncated_file_is_ignored(tmp_path: Path, length: int) -> None:
    path = tmp_path / "file"
    write(path, b"payload")
    path.write_bytes(path.read_bytes()[:length])
    found = read(path)
    assert found.payload is None
    assert found.problem is not None
    assert str(path) in found.problem
    assert "truncated" in found.problem
    assert found.problem.endswith("it is ignored and built again")


def test_bytes_added_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write(path, b"payload")
    with path.open("ab") as file:
        file.write(b"!")
    assert read(path).payload is None


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write(path, b"payload")
    whole = path.read_bytes()
    assert len(whole) == HEADER_BYTES + len(b"payload")
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << (position % 8)
        path.write_bytes(damaged)
        found = read(path)
        assert found.payload is None, f"byte {position}"
        assert found.problem is not None, f"byte {position}"


def test_damaged_payload_names_the_checksum(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write(path, b"payload")
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    assert "its checksum does not match" in (read(path).problem or "")


def test_other_kind_of_file_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert write_checked(path, b"payload", magic=b"OTHER", version=3) is None
    assert "not a file of the kind" in (read(path).problem or "")


@pytest.mark.parametrize(("written", "age"), [(2, "older"), (4, "newer")])
def test_other_version_is_named(tmp_path: Path, written: int, age: str) -> None:
    path = tmp_path / "file"
    write(path, b"payload", version=written)
    found = read(path)
    assert found.payload is None
    assert f"has format 1.{written}, {age} than this plugin's 1.3" in (found.problem or "")


def test_length_of_a_damaged_header_asks_for_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write(path, b"payload")
    whole = bytearray(path.read_bytes())
    whole[16:24] = (2**60).to_bytes(8, "little")
    path.write_bytes(whole)
    assert "truncated" in (read(path).problem or "")


def test_directory_in_place_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    assert read(tmp_path / "file").problem is not None
    problem = write_checked(tmp_path / "file", b"x", magic=MAGIC, version=3)
    assert problem is not None
    assert problem.endswith("the run goes on without saving it")
    assert names_in(tmp_path) == ["file"]


@needs_posix
def test_fifo_in_place_of_the_file_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "file")
    assert "not a regular file" in (read(tmp_path / "file").problem or "")


def test_file_in_place_of_the_directory(tmp_path: Path) -> None:
    (tmp_path / "directory").write_text("a file", encoding="utf-8")
    path = tmp_path / "directory" / "file"
    assert write_checked(path, b"x", magic=MAGIC, version=3) is not None
    found = read(path)
    assert found.payload is None


def test_unwritable_directory_is_a_problem_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_open = os.open

    def read_only(path: object, flags: int, *args: object) -> int:
        if flags & os.O_CREAT:
            raise OSError(30, "Read-only file system")
        return real_open(path, flags, *args)  # type: ignore[arg-type]

    write(tmp_path / "file", b"old")
    monkeypatch.setattr(os, "open", read_only)
    problem = write_checked(tmp_path / "file", b"new", magic=MAGIC, version=3)
    assert problem == (
        f"{tmp_path / 'file'} cannot be written (Read-only file system); the run goes on without saving it"
    )
    assert read(tmp_path / "file").payload == b"old"


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from pytest_qeattention.store import write_checked
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
print(write_checked(Path(sys.argv[1]), b"new" * 100_000, magic=b"QETEST", version=3))
"""


@needs_posix
def test_full_disk_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write(path, b"old")
    child = subprocess.run([sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, check=True)
    assert "cannot be written (File too large)" in child.stdout
    assert read(path).payload == b"old"
    assert names_in(tmp_path) == ["file"]


KILLED_BEFORE_REPLACE = """
import os, signal, sys
from pathlib import Path
from pytest_qeattention import store
name = sys.argv[2]
real = getattr(os, name)
def killed(*args):
    if name == "replace" or not os.path.isdir(f"/proc/self/fd/{args[0]}"):
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*args)
setattr(os, name, killed)
store.write_checked(Path(sys.argv[1]), b"new" * 1_000_000, magic=b"QETEST", version=3)
"""


@needs_posix
@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_kill_before_the_replacement_leaves_the_old_file(tmp_path: Path, moment: str) -> None:
    path = tmp_path / "file"
    write(path, b"old")
    child = subprocess.run([sys.executable, "-c", KILLED_BEFORE_REPLACE, str(path), moment], check=False)
    assert child.returncode == -signal.SIGKILL
    assert read(path).payload == b"old"


WRITER = """
import itertools, sys
from pathlib import Path
from pytest_qeattention.store import write_checked
path, letter, rounds = Path(sys.argv[1]), sys.argv[2].encode(), int(sys.argv[3])
print("ready", flush=True)
for number in range(rounds):
    problem = write_checked(path, letter * (200_000 + number % 7), magic=b"QETEST", version=3)
    if problem is not None:
        sys.exit(problem)
"""


def writer(path: Path, letter: str, rounds: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(path), letter, str(rounds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def is_whole(payload: bytes | None) -> bool:
    return payload is not None and len(set(payload)) == 1 and 200_000 <= len(payload) <= 200_006


@needs_posix
def test_kill_at_any_moment_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write(path, b"o" * 200_000)
    for number in range(5):
        with writer(path, "n", 1_000_000) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            time.sleep(0.01 + 0.013 * number)
            child.kill()
        assert child.returncode == -signal.SIGKILL
        assert is_whole(read(path).payload)


def test_two_writers_at_once(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write(path, b"o" * 200_000)
    with writer(path, "a", 60) as first, writer(path, "b", 60) as second:
        seen = set()
        while first.poll() is None or second.poll() is None:
            found = read(path)
            assert found.problem is None
            assert is_whole(found.payload)
            seen.add((found.payload or b"")[:1])
    assert (first.returncode, second.returncode) == (0, 0)
    assert seen <= {b"o", b"a", b"b"}
    assert names_in(tmp_path) == ["file"]


def test_leftovers_of_killed_writers_are_removed(tmp_path: Path) -> None:
    old, fresh, foreign = tmp_path / ".qe-1.tmp", tmp_path / ".qe-2.tmp", tmp_path / "other.tmp"
    for path in (old, fresh, foreign):
        path.write_bytes(b"half")
    long_ago = time.time() - 7200
    os.utime(old, (long_ago, long_ago))
    os.utime(foreign, (long_ago, long_ago))
    write(tmp_path / "file", b"x")
    assert names_in(tmp_path) == [".qe-2.tmp", "file", "other.tmp"]


@pytest.mark.parametrize("magic", [b"", b"ninebytes"])
def test_magic_must_fit(tmp_path: Path, magic: bytes) -> None:
    with pytest.raises(ValueError, match="magic must have 1 to 8 bytes"):
        write_checked(tmp_path / "file", b"x", magic=magic, version=1)


@pytest.mark.parametrize("version", [0, -1, 2**32])
def test_version_must_fit(tmp_path: Path, version: int) -> None:
    with pytest.raises(ValueError, match="version must be from 1"):
        write_checked(tmp_path / "file", b"x", magic=MAGIC, version=version)

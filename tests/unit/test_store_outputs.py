"""Outputs that the user named: regular files are replaced atomically, devices and pipes written in place."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pytest_qeattention.store import OutputError, write_atomically

needs_posix = pytest.mark.skipif(os.name != "posix", reason="POSIX devices, pipes and permissions")
needs_dev_full = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")


def names_in(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir())


def test_text_is_written_as_utf8_with_its_own_newlines(tmp_path: Path) -> None:
    write_atomically(tmp_path / "report", "é\r\n\n")
    assert (tmp_path / "report").read_bytes() == "é\r\n\n".encode()
    assert names_in(tmp_path) == ["report"]


def test_lone_surrogate_becomes_an_escape(tmp_path: Path) -> None:
    write_atomically(tmp_path / "report", '"\udcff"')
    assert (tmp_path / "report").read_bytes() == b'"\\udcff"'


@needs_posix
def test_new_file_gets_the_permissions_of_the_umask(tmp_path: Path) -> None:
    code = "import os, sys; from pytest_qeattention.store import write_atomically; os.umask(0o027);"
    code += "write_atomically(sys.argv[1], 'x')"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "report")], check=True)
    assert stat.S_IMODE((tmp_path / "report").stat().st_mode) == 0o640


@needs_posix
def test_existing_file_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "report"
    path.write_text("old", encoding="utf-8")
    path.chmod(0o604)
    write_atomically(path, "new")
    assert path.read_text(encoding="utf-8") == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o604


@needs_posix
def test_regular_file_is_replaced_not_rewritten(tmp_path: Path) -> None:
    path = tmp_path / "report"
    path.write_text("old", encoding="utf-8")
    with path.open(encoding="utf-8") as reader:
        write_atomically(path, "new")
        assert reader.read() == "old"


@needs_posix
@pytest.mark.parametrize("exists", [True, False])
def test_symbolic_link_stays_a_link(tmp_path: Path, exists: bool) -> None:
    target = tmp_path / "elsewhere" / "target"
    target.parent.mkdir()
    if exists:
        target.write_text("old", encoding="utf-8")
    (tmp_path / "report").symlink_to(target)
    write_atomically(tmp_path / "report", "new")
    assert (tmp_path / "report").is_symlink()
    assert target.read_text(encoding="utf-8") == "new"


@needs_posix
def test_fifo_is_written_in_place(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(path.read_bytes()))
    reader.start()
    write_atomically(path, "through the pipe")
    reader.join()
    assert received == [b"through the pipe"]
    assert stat.S_ISFIFO(path.stat().st_mode)


@needs_posix
def test_device_is_written_in_place() -> None:
    write_atomically("/dev/null", "x")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@needs_posix
@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "-"])
def test_redirected_standard_output_keeps_what_surrounds_it(tmp_path: Path, name: str) -> None:
    code = "import sys; from pytest_qeattention.store import write_atomically; print('before');"
    code += "write_atomically(sys.argv[1], 'report\\n'); print('after')"
    with (tmp_path / "out").open("wb") as out:
        subprocess.run([sys.executable, "-c", code, name], stdout=out, check=True)
    assert (tmp_path / "out").read_text(encoding="utf-8") == "before\nreport\nafter\n"


def test_dash_is_standard_output_in_utf8(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii", write_through=True))
    write_atomically("-", "é\n")
    assert raw.getvalue() == "é\n".encode()


def test_dash_with_a_stream_without_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    write_atomically("-", "é\n")
    assert stream.getvalue() == "é\n"


def test_dash_without_standard_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(OutputError, match="cannot write standard output: there is no standard output"):
        write_atomically("-", "x")


def test_missing_parent_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError) as caught:
        write_atomically(tmp_path / "none" / "report", "x")
    assert str(caught.value) == (
        f"cannot write {tmp_path / 'none' / 'report'}: "
        f"directory {tmp_path / 'none'} does not exist; create it, or give another path"
    )


def test_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="it is a directory"):
        write_atomically(tmp_path, "x")


def test_impossible_path_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="null"):
        write_atomically(f"{tmp_path}/a\0b", "x")


@needs_dev_full
def test_full_device_is_named() -> None:
    with pytest.raises(OutputError, match=r"cannot write /dev/full: No space left on device"):
        write_atomically("/dev/full", "x")


def test_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "report"
    path.write_text("old", encoding="utf-8")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left on device"):
        write_atomically(path, "new")
    assert path.read_text(encoding="utf-8") == "old"
    assert names_in(tmp_path) == ["report"]


def test_file_that_cannot_be_replaced_is_written_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def mounted(source: object, target: object) -> None:
        raise OSError(16, "Device or resource busy")

    path = tmp_path / "report"
    path.write_text("old and longer", encoding="utf-8")
    monkeypatch.setattr(os, "replace", mounted)
    write_atomically(path, "new")
    assert path.read_text(encoding="utf-8") == "new"
    assert names_in(tmp_path) == ["report"]


@needs_posix
def test_write_protected_file_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report"
    path.write_text("old", encoding="utf-8")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(OutputError, match="write-protected"):
        write_atomically(path, "new")
    assert path.read_text(encoding="utf-8") == "old"

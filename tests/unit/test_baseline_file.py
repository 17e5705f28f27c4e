from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from pytest_qeattention.similarity.baseline import Baseline, BaselineError, Entry, dumps, read_baseline, write_baseline
from pytest_qeattention.store import OutputError

ONE = Entry("tests/test_a.py", "test_one", "00000000000000a1")
TWO = Entry("tests/test_a.py", "TestB::test_two", "00000000000000a1")
OTHER = Entry("tests/test_é.py", "test_one", "00000000000000b2")
HEADER = '{"format": "qeattention-similar-baseline", "version": 1}\n'


def read(file: Path, *, update: bool = False) -> Baseline:
    return read_baseline(file, "kept/b.jsonl", update=update, update_flag="--baseline-update")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "b.jsonl"


def test_the_text_is_one_sorted_line_an_entry() -> None:
    entries = [OTHER, ONE, TWO, ONE]
    random.Random(7).shuffle(entries)

    text = dumps(entries)

    assert text.startswith(HEADER)
    assert [json.loads(line)["test"] for line in text.splitlines()[1:]] == ["TestB::test_two", "test_one", "test_one"]
    assert text == dumps([ONE, TWO, OTHER])
    assert text.endswith("\n")


def test_what_is_written_is_read_again(file: Path) -> None:
    assert write_baseline(read(file, update=True), [TWO, OTHER, ONE]) is True

    found = read(file)

    assert found.entries == {ONE, TWO, OTHER}
    assert found.problems == ()


def test_the_directory_is_made(tmp_path: Path) -> None:
    file = tmp_path / ".qeattention" / "b.jsonl"

    write_baseline(read(file, update=True), [ONE])

    assert read(file).entries == {ONE}


def test_what_stays_the_same_is_not_written(file: Path) -> None:
    file.write_text(dumps([ONE, TWO]), encoding="utf-8")
    before = file.stat().st_mtime_ns, file.stat().st_ino

    assert write_baseline(read(file, update=True), [TWO, ONE]) is False
    assert (file.stat().st_mtime_ns, file.stat().st_ino) == before


def test_an_empty_file_accepts_nothing(file: Path) -> None:
    file.write_bytes(b"")

    found = read(file)
    assert found.entries == frozenset()
    assert [problem.message for problem in found.problems] == [
        "is empty, and accepts nothing; restore it, or run with --baseline-update"
    ]
    assert write_baseline(read(file, update=True), [ONE]) is True


def test_lines_merged_in_any_order_and_twice_are_read(file: Path) -> None:
    lines = dumps([ONE, TWO, OTHER]).splitlines(keepends=True)
    file.write_bytes("".join([lines[0], lines[3], lines[0], lines[1], lines[3], lines[2]]).encode())

    assert read(file).entries == {ONE, TWO, OTHER}
    assert read(file).problems == ()


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_marks_of_a_merge_conflict_are_named_and_go_with_an_update(file: Path, end: str) -> None:
    header, *entries = dumps([ONE, TWO, OTHER]).splitlines()
    text = end.join(["<<<<<<< HEAD", header, *entries[:2], "||||||| base", "=======", header, entries[2], ">>>>>>> b"])
    file.write_bytes((text + end).encode())

    found = read(file)

    assert found.entries == {ONE, TWO, OTHER}
    assert [problem.line for problem in found.problems] == [1, 5, 6, 9]
    assert found.problems[0].message == (
        "line 1 is the mark of a merge conflict; delete it, or run with --baseline-update: "
        "the lines of both sides count"
    )
    updated = read(file, update=True)
    assert updated.problems == ()
    assert write_baseline(updated, [ONE, TWO, OTHER]) is True
    assert file.read_text(encoding="utf-8") == dumps([ONE, TWO, OTHER])


@pytest.mark.parametrize("update", [False, True])
@pytest.mark.parametrize("data", [b"[project]\nname = 'x'\n", b"{}", b"\x7fELF\0\0\n\0", dumps([]).encode("utf-16")])
def test_a_file_of_another_kind_is_no_baseline_and_left_as_it_is(file: Path, data: bytes, update: bool) -> None:
    file.write_bytes(data)

    with pytest.raises(BaselineError, match=r"b\.jsonl is not a baseline.*give the path of another file"):
        read(file, update=update)
    assert file.read_bytes() == data


def test_line_ends_of_windows_and_a_byte_order_mark_are_read(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf" + dumps([ONE, TWO]).replace("\n", "\r\n").encode())

    assert read(file).entries == {ONE, TWO}
    assert read(file).problems == ()


def test_a_missing_file_says_what_to_do(file: Path) -> None:
    with pytest.raises(
        BaselineError, match=r"kept/b.jsonl does not exist.*write it with --baseline-update, and commit"
    ):
        read(file)
    assert read(file, update=True) == Baseline(file, "kept/b.jsonl")


def test_a_directory_is_no_baseline(tmp_path: Path) -> None:
    with pytest.raises(BaselineError, match=r"cannot be read \(.*\); give the path of a file"):
        read(tmp_path)


@pytest.mark.parametrize(
    "line",
    [
        b"<<<<<<<HEAD",
        b"\xff\xfe",
        b"[1]",
        b'{"path": "a.py", "test": "t"}',
        b'{"path": "a.py", "test": "t", "content": "short"}',
        b'{"path": "a.py", "test": 3, "content": "00000000000000a1"}',
        b'{"path": "", "test": "t", "content": "00000000000000a1"}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_line_is_named_accepts_nothing_and_keeps_an_update_away(file: Path, line: bytes) -> None:
    text = dumps([ONE, TWO]).encode().splitlines(keepends=True)
    data = b"".join([*text[:2], line + b"\n", *text[2:]])
    file.write_bytes(data)

    found = read(file)

    assert found.entries == {ONE, TWO}
    (problem,) = found.problems
    assert (problem.path, problem.line) == ("kept/b.jsonl", 3)
    assert "line 3 is damaged, and accepts nothing" in problem.message
    with pytest.raises(BaselineError, match=r"not updated, because line 3 is damaged.*correct or delete the line"):
        read(file, update=True)
    assert file.read_bytes() == data


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (dumps([OTHER]).splitlines()[1], "line 1 is not the header of a baseline"),
        ('{"format": "qeattention-similar-baseline"}', "line 1 is a header without a version"),
        ('{"format": "qeattention-similar-baseline", "version": "1"}', "line 1 is a header without a version"),
    ],
)
def test_a_header_that_is_not_there_is_a_problem(file: Path, header: str, message: str) -> None:
    file.write_text(header + "\n" + dumps([ONE]).splitlines()[1] + "\n", encoding="utf-8")

    assert ONE in read(file).entries
    assert message in read(file).problems[0].message


@pytest.mark.parametrize("update", [False, True])
def test_a_newer_format_is_left_alone(file: Path, update: bool) -> None:
    file.write_text(HEADER.replace("1", "2") + '{"new": 1}\n', encoding="utf-8")

    with pytest.raises(BaselineError, match=r"has format 2, newer than this plugin's 1.*upgrade pytest-qeattention"):
        read(file, update=update)


def test_what_somebody_else_wrote_meanwhile_is_not_lost(file: Path) -> None:
    file.write_text(dumps([ONE]), encoding="utf-8")
    before = read(file, update=True)
    file.write_text(dumps([ONE, OTHER]), encoding="utf-8")

    with pytest.raises(OutputError, match="has changed since this run read it; update again"):
        write_baseline(before, [ONE, TWO])
    assert read(file).entries == {ONE, OTHER}

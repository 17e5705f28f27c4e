"""What people say of defects: kept line by line, merged in any order, nothing lost."""

from __future__ import annotations

import json
import os
import random
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from defect_failures import failure
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_qeattention.defects import knowledge_file
from pytest_qeattention.defects.knowledge import Knowledge, Teacher, UnknownDefectError, author, checked_url
from pytest_qeattention.defects.knowledge_file import Contents, KnowledgeError, UnwritableError, merged, parse, read
from pytest_qeattention.defects.pattern import Pattern
from pytest_qeattention.defects.statements import Rule, Statement, settled

POOL, OTHER = Pattern.of(failure()), Pattern.of(failure("bad price '3,50'", type_="ValueError", at="parse"))
TIMES = [f"2026-01-0{day}T00:00:00.000000Z" for day in range(1, 5)]


@pytest.fixture
def teacher(tmp_path: Path) -> Teacher:
    return Teacher(tmp_path / ".qeattention" / "defects.jsonl", "anna")


def loaded(teacher: Teacher) -> Knowledge:
    return Knowledge.load(teacher.file)


STATEMENTS = st.one_of(
    st.builds(Statement, st.just("defect"), st.sampled_from("AB"), st.sampled_from(TIMES), st.sampled_from("xy")),
    st.builds(
        Statement,
        st.just("url"),
        st.sampled_from("AB"),
        st.sampled_from(TIMES),
        value=st.sampled_from(["https://x.example/1", "https://x.example/2", None]),
    ),
    st.builds(
        Statement,
        st.just("state"),
        st.sampled_from("AB"),
        st.sampled_from(TIMES),
        value=st.sampled_from(["open", "closed"]),
    ),
    st.builds(
        Statement,
        st.just("label"),
        st.sampled_from("ABC"),
        st.sampled_from(TIMES),
        value=st.sampled_from(["confirm", "reject"]),
        source=st.sampled_from(["human", "automatic"]),
        pattern=st.sampled_from([POOL, OTHER]),
    ),
    st.builds(
        Statement,
        st.just("rule"),
        st.sampled_from("AB"),
        st.sampled_from(TIMES),
        value=st.sampled_from(["on", "off"]),
        rule=st.builds(Rule, st.sampled_from(["A*", "B*"])),
    ),
    st.builds(
        Statement,
        st.just("merge"),
        st.sampled_from("ABC"),
        st.sampled_from(TIMES),
        value=st.sampled_from(["A", "B", "C", None]),
    ),
)


def state(contents: Contents) -> tuple[object, ...]:
    known = Knowledge(contents)
    return dict(known.defects), known.labels, known.automatic, known.rules, dict(known.aliases)


@given(st.lists(STATEMENTS, max_size=12), st.lists(STATEMENTS, max_size=12), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_the_union_of_two_files_says_what_both_say(
    ours: list[Statement], theirs: list[Statement], order: random.Random
) -> None:
    files = [Contents(settled(side)).data for side in (ours, theirs)]
    # What git's union merge makes of them: all lines, in whatever order, some of them twice.
    lines = [line for data in (*files, files[0]) for line in data.splitlines()]
    order.shuffle(lines)

    union = parse(b"\n".join(lines))

    assert union.data == merged(map(parse, files)).data == merged(map(parse, reversed(files))).data
    assert union.data == Contents(settled([*ours, *theirs])).data
    assert state(union) == state(Contents(settled([*theirs, *ours])))
    assert union.problems == ()


def test_what_a_pattern_keeps_is_read_back_and_is_the_same_for_other_values() -> None:
    record = failure("status 503 for 'tea' after 0.3 s", parameter="tea")
    pattern = Pattern.of(record)

    assert Pattern.from_plain(json.loads(json.dumps(pattern.to_plain()))) == pattern
    assert pattern.id == Pattern.of(failure("status 503 for 'tea' after 9 s", parameter="cup")).id
    assert "0.3" not in json.dumps(pattern.to_plain())


def test_secrets_of_a_message_are_in_no_line(teacher: Teacher) -> None:
    record = failure("cannot reach postgres://shop:hunter2@db/orders with token=abcdefghijklmnop1234")

    teacher.label([Pattern.of(record)], "BUG-1", url="https://bot:hunter2@x.example/1")

    text = teacher.file.read_text(encoding="utf-8")
    assert "hunter2" not in text
    assert "abcdefghijklmnop1234" not in text
    assert loaded(teacher).defects["BUG-1"].url == "https://bot:<redacted>@x.example/1"


def test_the_first_label_counts_and_the_newest_wins(teacher: Teacher) -> None:
    teacher.label([POOL], "BUG-1")
    assert [(label.defect, label.by) for label in loaded(teacher).labels] == [("BUG-1", "anna")]

    teacher.label([POOL], "BUG-2")
    assert [label.defect for label in loaded(teacher).labels] == ["BUG-2"]

    teacher.label([POOL], "BUG-2", is_confirmed=False)
    assert [(label.defect, label.is_confirmed) for label in loaded(teacher).labels] == [
        ("BUG-1", True),
        ("BUG-2", False),
    ]


def test_automatic_labels_are_kept_and_teach_nothing(teacher: Teacher) -> None:
    teacher.label([POOL], "BUG-1")
    automatic = Statement("label", "BUG-2", "2999-01-01T00:00:00.000000Z", "", "confirm", "automatic", OTHER)

    known = teacher.add(Contents((automatic,)))

    assert [label.defect for label in known.labels] == ["BUG-1"]
    assert [label.defect for label in known.automatic] == ["BUG-2"]
    assert list(known.defects) == ["BUG-1"]


def test_time_goes_on_after_a_clock_that_was_ahead(teacher: Teacher) -> None:
    ahead = Statement("label", "BUG-1", "2999-01-01T00:00:00.000000Z", "", "confirm", pattern=POOL)
    teacher.add(Contents((ahead,)))

    known = teacher.label([POOL], "BUG-2")

    assert [(label.defect, label.at) for label in known.labels] == [("BUG-2", "2999-01-01T00:00:00.000001Z")]


def test_a_closed_defect_opens_again(teacher: Teacher) -> None:
    teacher.label([POOL], "BUG-1")

    closed = teacher.close("BUG-1").defects["BUG-1"]
    assert (closed.state, closed.closed is None) == ("closed", False)
    with pytest.raises(KnowledgeError, match="'BUG-1' is closed already, so nothing was changed"):
        teacher.close("BUG-1")
    opened = teacher.close("BUG-1", is_closed=False).defects["BUG-1"]
    assert (opened.state, opened.closed, opened.created) == ("open", None, closed.created)


def test_a_merge_joins_labels_and_can_be_taken_back(teacher: Teacher) -> None:
    teacher.label([POOL], "BUG-1", url="https://x.example/1")
    teacher.label([OTHER], "BUG-2")

    merged_ = teacher.merge("BUG-1", "BUG-2")
    assert list(merged_.defects) == ["BUG-2"]
    assert merged_.defects["BUG-2"].merged == ("BUG-1",)
    assert merged_.defects["BUG-2"].url == "https://x.example/1"
    assert len(merged_.labels_of("BUG-2")) == 2
    assert merged_.resolve("BUG-1") == "BUG-2"

    again = teacher.unmerge("BUG-1")
    assert list(again.defects) == ["BUG-1", "BUG-2"]
    assert [len(again.labels_of(name)) for name in again.defects] == [1, 1]


def test_merges_of_two_branches_into_each_other_have_one_end() -> None:
    said = [
        Statement("label", "A", TIMES[0], value="confirm", pattern=POOL),
        Statement("label", "B", TIMES[0], value="confirm", pattern=OTHER),
        Statement("merge", "A", TIMES[1], value="B"),
        Statement("merge", "B", TIMES[2], value="A"),
    ]

    known = Knowledge(Contents(settled(said)))

    assert dict(known.aliases) == {"A": "B", "B": "B"}
    assert {label.defect for label in known.labels} == {"B"}


def test_a_split_moves_failures(teacher: Teacher) -> None:
    teacher.label([POOL, OTHER], "BUG-1")

    known = teacher.split("BUG-1", "BUG-2", [OTHER])

    assert [label.pattern for label in known.labels_of("BUG-1")] == [POOL]
    assert [label.pattern for label in known.labels_of("BUG-2")] == [OTHER]


def test_a_rule_is_set_and_taken_back(teacher: Teacher) -> None:
    rule = Rule(type="Pool*")

    assert teacher.rule("BUG-1", rule).rules == (("BUG-1", rule),)
    with pytest.raises(KnowledgeError, match="'BUG-1' has no such rule"):
        teacher.rule("BUG-1", Rule(type="Other*"), is_on=False)
    assert teacher.rule("BUG-1", rule, is_on=False).rules == ()
    with pytest.raises(KnowledgeError, match="the rule says nothing"):
        teacher.rule("BUG-1", Rule())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda t: t.merge("BUG-1", "BUG-1"), "'BUG-1' cannot be merged into itself, so nothing was changed"),
        (lambda t: t.merge("BUG-1", "BUG-12"), "there is no defect 'BUG-12'.*did you mean 'BUG-1'"),
        (lambda t: t.close("nothing like it"), "'qeattention defects list' names those that there are"),
        (lambda t: t.label([OTHER], "bug-1"), "by upper and lower case alone"),
        (lambda t: t.label([OTHER], " \n "), "the name of a defect is empty"),
        (lambda t: t.label([OTHER], "x" * 201), "has 201 characters, more than 200"),
        (lambda t: t.label([OTHER], "a\x07b"), "characters that cannot be shown"),
        (lambda t: t.label([OTHER], "BUG-2", url="no url"), "the URL has spaces"),
        (lambda t: t.split("BUG-1", "BUG-1", [POOL]), "cannot be split into itself"),
        (lambda t: t.unmerge("BUG-1"), "'BUG-1' was not merged into another defect"),
        (lambda t: t.label([OTHER], "BUG-7", is_confirmed=False), "there is no defect 'BUG-7'"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(teacher: Teacher, wrong: object, message: str) -> None:
    teacher.label([POOL], "BUG-1")
    before = teacher.file.read_bytes()

    with pytest.raises(KnowledgeError, match=message):
        wrong(teacher)  # type: ignore[operator]

    assert teacher.file.read_bytes() == before


def test_an_unknown_name_in_an_empty_file_says_how_to_begin() -> None:
    with pytest.raises(UnknownDefectError, match="none is known yet; 'qeattention defects learn' or 'label'"):
        Knowledge().resolve("BUG-1")


def test_lines_that_cannot_be_read_are_named_and_kept(teacher: Teacher) -> None:
    teacher.label([POOL], "BUG-1")
    good = teacher.file.read_bytes()
    newer = json.dumps({**json.loads(good.splitlines()[0]), "version": 2, "mood": "new"}).encode()
    bad = [b'{"half', b"\xff\xfe", b"[" * 5_000, b'{"version":1,"kind":"party"}', newer]
    marks = [b"<<<<<<< ours", b"=======", b">>>>>>> theirs"]
    teacher.file.write_bytes(b"\r\n".join([marks[0], *bad[:2], marks[1], good.strip(), marks[2], *bad[2:], bad[0]]))

    known = teacher.label([OTHER], "BUG-2")

    assert sorted(known.defects) == ["BUG-1", "BUG-2"]
    data = teacher.file.read_bytes()
    assert [data.count(line + b"\n") for line in bad] == [1, 1, 1, 1, 1]
    assert not any(mark in data for mark in marks)
    problems = loaded(teacher).problems
    assert len(problems) == 5
    assert sum("is damaged" in problem for problem in problems) == 4
    assert sum("has format 2, newer than this plugin's 1; it is kept and not used" in each for each in problems) == 1
    assert all(re.match(r"line \d+ ", problem) for problem in problems)


LABEL = json.loads(Statement("label", "A", TIMES[0], "x", "confirm", pattern=POOL).text)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)


@given(st.sampled_from(sorted(LABEL)), st.sampled_from(["", *sorted(LABEL["pattern"])]), PLAIN)
@settings(max_examples=150, deadline=None)
def test_any_value_in_any_place_is_read_or_named(name: str, inner: str, value: object) -> None:
    changed = {**LABEL, name: value}
    if inner:
        changed = {**LABEL, "pattern": {**LABEL["pattern"], inner: value}}
    line = json.dumps(changed).encode("utf-8", "surrogatepass")

    contents = parse(line)

    assert len(contents.statements) + len(contents.kept) == 1
    assert bool(contents.kept) == bool(contents.problems)
    assert Knowledge(contents).problems == tuple(f"line 1 {problem.message}" for problem in contents.problems)


@given(st.lists(st.binary(max_size=40).filter(lambda line: b"\n" not in line), max_size=6))
@settings(max_examples=60, deadline=None)
def test_no_line_is_lost_whatever_it_is(lines: list[bytes]) -> None:
    data = b"\n".join(lines)

    contents = parse(data)

    kept = {line.rstrip(b"\r") for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n")}
    said = {line for line in kept if line.strip()} - {line for line in kept if knowledge_file._CONFLICT.fullmatch(line)}
    assert set(contents.kept) == said
    assert parse(contents.data).data == contents.data


def test_a_file_of_something_else_is_left_alone(teacher: Teacher) -> None:
    teacher.file.parent.mkdir()
    teacher.file.write_text("dear diary\n", encoding="utf-8")

    with pytest.raises(KnowledgeError, match="holds no statement about defects in 1 line, so it was left as it is"):
        teacher.label([POOL], "BUG-1")

    assert teacher.file.read_text(encoding="utf-8") == "dear diary\n"


def test_a_directory_in_the_place_of_the_file_is_said(teacher: Teacher) -> None:
    teacher.file.mkdir(parents=True)

    with pytest.raises(KnowledgeError, match="is no regular file"):
        read(teacher.file)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions do not hold for this user")
def test_a_directory_that_cannot_be_written_is_said(teacher: Teacher) -> None:
    teacher.label([POOL], "BUG-1")
    teacher.file.chmod(0o400)
    try:
        with pytest.raises(UnwritableError, match="cannot be written"):
            teacher.label([OTHER], "BUG-2")
    finally:
        teacher.file.chmod(0o600)

    assert list(loaded(teacher).defects) == ["BUG-1"]


def test_a_file_in_the_place_of_the_directory_is_said(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("", encoding="utf-8")

    with pytest.raises(UnwritableError, match=r"cannot be written .*, so nothing was changed"):
        Teacher(tmp_path / "taken" / "defects.jsonl").label([POOL], "BUG-1")


def test_writers_at_once_lose_nothing(teacher: Teacher) -> None:
    patterns = [Pattern.of(failure(test=f"test_{number}")) for number in range(12)]

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda number: teacher.label([patterns[number]], f"BUG-{number}"), range(12)))

    assert len(loaded(teacher).defects) == 12
    assert len(loaded(teacher).labels) == 12
    assert [path.name for path in teacher.file.parent.iterdir()] == ["defects.jsonl"]


def test_a_writer_that_does_not_end_is_not_waited_for_without_end(
    teacher: Teacher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(knowledge_file, "_WAIT_S", 0.05)
    teacher.label([POOL], "BUG-1")

    message = "is being written by another process, so nothing was changed"
    with knowledge_file._locked(teacher.file), pytest.raises(UnwritableError, match=message):
        teacher.label([OTHER], "BUG-2")

    assert list(teacher.label([OTHER], "BUG-2").defects) == ["BUG-1", "BUG-2"]


def test_a_lock_by_a_file_keeps_others_out_and_outlives_no_killed_writer(
    teacher: Teacher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(knowledge_file, "_lock", knowledge_file._lock_by_file)
    monkeypatch.setattr(knowledge_file, "_WAIT_S", 0.05)
    teacher.label([POOL], "BUG-1")
    lock = teacher.file.with_name("defects.jsonl.lock")
    assert not lock.exists()

    lock.touch()
    with pytest.raises(UnwritableError, match="another process"):
        teacher.label([OTHER], "BUG-2")
    os.utime(lock, (0, 0))

    assert list(teacher.label([OTHER], "BUG-2").defects) == ["BUG-1", "BUG-2"]
    assert not lock.exists()


def test_the_same_label_again_is_the_same_file_but_for_its_time(teacher: Teacher) -> None:
    teacher.label([POOL], "BUG-1")
    lines = len(teacher.file.read_bytes().splitlines())

    teacher.label([POOL, POOL], "BUG-1")

    assert len(teacher.file.read_bytes().splitlines()) == lines


def test_the_author_is_named_where_the_machine_knows_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "anna")
    assert author() == "anna"
    monkeypatch.setattr("getpass.getuser", lambda: (_ for _ in ()).throw(KeyError("no such user")))
    assert author() == ""


def test_an_empty_url_is_none() -> None:
    assert checked_url(" ") is None

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from pytest_qeattention.similarity.baseline import Baseline, Entry
from pytest_qeattention.similarity.comparison import Comparison
from pytest_qeattention.similarity.content import content_of
from pytest_qeattention.similarity.model import Group, Unit
from pytest_qeattention.similarity.policy import Policy
from pytest_qeattention.similarity.scan import scan_source

TEA = "stock = dict(tea=2)\n    assert stock['tea'] == 2"
MILK = "milk = open('milk').read()\n    assert milk.upper()"


class Project:
    """Hold test files, and groups of their tests."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.units: dict[str, Unit] = {}

    def write(self, path: str, **bodies: str) -> None:
        text = "".join(f"def {name}():\n    {body}\n\n\n" for name, body in bodies.items())
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)
        self.units = {nodeid: unit for nodeid, unit in self.units.items() if unit.path != path}
        for found in scan_source(text.encode(), path, describe=lambda node, unit: None).functions:
            self.units[found.unit.nodeid] = found.unit

    def remove(self, path: str) -> None:
        (self.root / path).unlink()
        self.units = {nodeid: unit for nodeid, unit in self.units.items() if unit.path != path}

    def group(self, *nodeids: str) -> Group:
        return Group("id", "duplicate", 1.0, tuple(self.units[nodeid] for nodeid in nodeids), ("the same",))

    def compare(
        self, entries: Sequence[Entry], *groups: Group, without: Sequence[str] = (), ignore: Sequence[str] = ()
    ) -> Comparison:
        units = [unit for nodeid, unit in self.units.items() if nodeid not in without]
        policy = Policy(self.root, self.root, ignore=tuple(ignore))
        return Comparison(Baseline(self.root / "b", "b", frozenset(entries)), groups, lambda: units, policy)

    def accept(self, *groups: Group) -> tuple[Entry, ...]:
        return self.compare((), *groups).updated()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.write("test_a.py", test_one=TEA, test_two=TEA)
    project.write("sub/test_b.py", test_three=TEA, test_milk=MILK)
    return project


PAIR = ("test_a.py::test_one", "test_a.py::test_two")


def statuses(comparison: Comparison) -> list[tuple[str | None, list[str]]]:
    return [(group.status, [test.qualname for test in group.new_tests]) for group in comparison.judged()]


def test_everything_is_new_to_an_empty_baseline(project: Project) -> None:
    assert statuses(project.compare((), project.group(*PAIR))) == [("new", ["test_one", "test_two"])]


def test_what_was_accepted_is_accepted(project: Project) -> None:
    entries = project.accept(project.group(*PAIR))

    assert entries == tuple(
        Entry("test_a.py", name, content_of(project.units[f"test_a.py::{name}"])) for name in ("test_one", "test_two")
    )
    comparison = project.compare(entries, project.group(*PAIR))
    assert statuses(comparison) == [("accepted", [])]
    assert comparison.stale() == ()
    assert comparison.updated() == entries
    assert comparison.judged()[0].reasons == ("the same",)


def test_moved_lines_new_names_formatting_and_values_are_not_new(project: Project) -> None:
    entries = project.accept(project.group(*PAIR))
    project.write("test_a.py", test_zero="pass", test_uno=f"# moved\n    {TEA}", test_due=TEA.replace("2", "17"))

    comparison = project.compare(entries, project.group("test_a.py::test_uno", "test_a.py::test_due"))

    assert statuses(comparison) == [("accepted", [])]
    assert comparison.stale() == ()
    assert [entry.test for entry in comparison.updated()] == ["test_due", "test_uno"]


def test_a_third_copy_in_the_file_is_new_and_named(project: Project) -> None:
    entries = project.accept(project.group(*PAIR))
    project.write("test_a.py", test_again=TEA, test_one=TEA, test_two=TEA)

    (group,) = project.compare(entries, project.group("test_a.py::test_again", *PAIR)).judged()

    assert group.status == "new"
    assert [test.qualname for test in group.new_tests] == ["test_again"]
    assert group.first_test.qualname == "test_again"
    assert group.reasons[-1] == "new: test_again joined test_one and 1 other, accepted by the baseline"


def test_a_third_copy_in_another_file_is_new(project: Project) -> None:
    entries = project.accept(project.group(*PAIR))

    comparison = project.compare(entries, project.group(*PAIR, "sub/test_b.py::test_three"))

    assert statuses(comparison) == [("new", ["test_three"])]


def test_a_copy_in_place_of_another_is_not_new(project: Project) -> None:
    entries = project.accept(project.group(*PAIR))
    project.write("test_a.py", test_two=TEA, test_other=TEA)

    comparison = project.compare(entries, project.group("test_a.py::test_two", "test_a.py::test_other"))

    assert statuses(comparison) == [("accepted", [])]


def test_a_renamed_file_keeps_what_was_accepted(project: Project) -> None:
    entries = project.accept(project.group(*PAIR))
    project.remove("test_a.py")
    project.write("test_c.py", test_one=TEA, test_two=TEA, test_more=TEA)

    pair = project.compare(entries, project.group("test_c.py::test_one", "test_c.py::test_two"))
    three = project.compare(
        entries, project.group("test_c.py::test_more", "test_c.py::test_one", "test_c.py::test_two")
    )

    assert statuses(pair) == [("accepted", [])]
    assert [(entry.path, entry.test) for entry in pair.stale()] == [
        ("test_a.py", "test_one"),
        ("test_a.py", "test_two"),
    ]
    assert {entry.path for entry in pair.updated()} == {"test_c.py"}
    assert [len(names) for _, names in statuses(three)] == [1]


def test_tests_that_moved_to_another_file_are_not_new(project: Project) -> None:
    entries = project.accept(project.group(*PAIR))
    project.write("test_a.py", test_two=TEA, test_rest="pass")
    project.write("test_c.py", test_one=TEA)
    one = project.compare(entries, project.group("test_a.py::test_two", "test_c.py::test_one"))

    assert statuses(one) == [("accepted", [])]
    assert [(entry.path, entry.test) for entry in one.updated()] == [
        ("test_a.py", "test_two"),
        ("test_c.py", "test_one"),
    ]

    project.write("test_a.py", test_rest="pass")
    project.write("test_c.py", test_one=TEA, test_two=TEA, test_more=TEA)
    both = project.compare(entries, project.group("test_c.py::test_one", "test_c.py::test_two"))
    three = project.compare(
        entries, project.group("test_c.py::test_more", "test_c.py::test_one", "test_c.py::test_two")
    )

    assert statuses(both) == [("accepted", [])]
    assert {entry.path for entry in both.updated()} == {"test_c.py"}
    assert [len(names) for _, names in statuses(three)] == [1]


def test_what_is_still_in_its_file_has_not_moved(project: Project) -> None:
    entries = project.accept(project.group(*PAIR))
    project.write("test_c.py", test_one=TEA, test_two=TEA)

    copies = project.group("test_c.py::test_one", "test_c.py::test_two")

    assert statuses(project.compare(entries, copies)) == [("new", ["test_one", "test_two"])]
    (project.root / "test_a.py").write_text("def (:")
    assert statuses(project.compare(entries, copies)) == [("new", ["test_one", "test_two"])]


def test_a_copied_file_is_new(project: Project) -> None:
    entries = project.accept(project.group(*PAIR))
    project.write("test_c.py", test_one=TEA, test_two=TEA)

    comparison = project.compare(entries, project.group(*PAIR, "test_c.py::test_one", "test_c.py::test_two"))

    assert statuses(comparison) == [("new", ["test_one", "test_two"])]


def test_accepted_groups_that_come_together_are_not_new(project: Project) -> None:
    project.write("test_c.py", test_x=MILK)
    entries = project.accept(project.group(*PAIR), project.group("sub/test_b.py::test_milk", "test_c.py::test_x"))

    comparison = project.compare(entries, project.group(*PAIR, "sub/test_b.py::test_milk", "test_c.py::test_x"))

    assert statuses(comparison) == [("accepted", [])]


def test_a_test_in_two_groups_counts_once(project: Project) -> None:
    entries = project.accept(project.group(*PAIR))

    comparison = project.compare(
        entries, project.group(*PAIR), project.group("test_a.py::test_one", "sub/test_b.py::test_milk")
    )

    assert statuses(comparison) == [("accepted", []), ("new", ["test_milk"])]


def test_an_entry_whose_test_or_file_is_gone_is_stale(project: Project) -> None:
    entries = project.accept(project.group(*PAIR, "sub/test_b.py::test_three"))
    project.write("test_a.py", test_one=TEA)
    project.remove("sub/test_b.py")

    comparison = project.compare(entries)

    assert [entry.test for entry in comparison.stale()] == ["test_three", "test_one", "test_two"]
    assert comparison.updated() == ()


def test_a_test_that_is_in_no_group_any_more_is_stale(project: Project) -> None:
    entries = project.accept(project.group(*PAIR))

    assert [entry.test for entry in project.compare(entries).stale()] == ["test_one", "test_two"]


def test_what_was_not_analysed_is_not_stale(project: Project) -> None:
    entries = project.accept(project.group(*PAIR, "sub/test_b.py::test_three"))
    left_out = ["test_a.py::test_two", "sub/test_b.py::test_three", "sub/test_b.py::test_milk"]

    comparison = project.compare(entries, without=left_out)

    assert comparison.stale() == ()
    assert comparison.updated() == entries


def test_with_tests_not_analysed_what_is_gone_is_stale_all_the_same(project: Project) -> None:
    entries = project.accept(project.group(*PAIR, "sub/test_b.py::test_three"))
    project.write("test_a.py", test_one=TEA)

    comparison = project.compare(entries, without=["sub/test_b.py::test_three", "sub/test_b.py::test_milk"])

    assert [entry.test for entry in comparison.stale()] == ["test_two"]
    assert [entry.test for entry in comparison.updated()] == ["test_three", "test_one"]


def test_a_file_that_does_not_parse_keeps_its_entries(project: Project) -> None:
    entries = project.accept(project.group(*PAIR))
    (project.root / "test_a.py").write_text("def (:")

    assert project.compare(entries, without=list(project.units)).stale() == ()


def test_a_test_that_became_a_helper_is_stale(project: Project) -> None:
    entries = project.accept(project.group(*PAIR))
    project.write("test_a.py", check_one=TEA, check_two=TEA)

    assert [entry.test for entry in project.compare(entries).stale()] == ["test_one", "test_two"]


def test_entries_of_paths_left_out_are_stale(project: Project) -> None:
    entries = project.accept(project.group(*PAIR))

    stale = project.compare(entries, without=PAIR, ignore=["test_a*"]).stale()

    assert [entry.test for entry in stale] == ["test_one", "test_two"]


def test_paths_are_those_below_the_rootdir(project: Project) -> None:
    group = project.group("sub/test_b.py::test_three", "sub/test_b.py::test_milk")
    policy = Policy(project.root.parent, project.root)
    baseline = Baseline(project.root / "b", "b")

    entries = Comparison(baseline, [group], lambda: group.tests, policy).updated()

    assert {entry.path for entry in entries} == {f"{project.root.name}/sub/test_b.py"}

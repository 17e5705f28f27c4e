"""Live exceptions as records: chains of any shape, texts of any size, values that are looked up and never asked for."""

from __future__ import annotations

import itertools
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_qeattention.defects.frames import Roles
from pytest_qeattention.defects.record import FailureRecord, Raised, TestFacts
from pytest_qeattention.defects_session import passed_parameters
from pytest_qeattention.live.assertions import assertion_of, called_functions
from pytest_qeattention.live.chain import Chains, linked, message_of, plain_function, steps_of, type_name
from pytest_qeattention.live.record import package_names

if sys.version_info < (3, 11):
    from exceptiongroup import ExceptionGroup


def caught(function: Callable[[], object]) -> BaseException:
    try:
        function()
    except BaseException as error:
        return error
    raise RuntimeError("nothing was raised")


def test_a_context_counts_unless_it_was_suppressed() -> None:
    def with_context() -> None:
        try:
            raise KeyError("first")
        except KeyError:
            raise ValueError("second")  # noqa: B904

    def without() -> None:
        try:
            raise KeyError("first")
        except KeyError:
            raise ValueError("second") from None

    assert [(type(error), link) for error, link in linked(caught(with_context))] == [
        (ValueError, None),
        (KeyError, "context"),
    ]
    assert [(type(error), link) for error, link in linked(caught(without))] == [(ValueError, None)]


def test_members_of_a_group_follow_it_each_with_its_cause() -> None:
    member = ValueError("member")
    member.__cause__ = OSError("cause")
    group = ExceptionGroup("several", [member, KeyError("other")])

    assert [(type(error).__name__, link) for error, link in linked(group)] == [
        ("ExceptionGroup", None),
        ("ValueError", "group"),
        ("OSError", "cause"),
        ("KeyError", "group"),
    ]


def test_a_circle_is_gone_through_once() -> None:
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one

    assert [error for error, _ in linked(one)] == [one, other]


def test_of_a_long_chain_the_ends_are_kept() -> None:
    errors = [ValueError(str(number)) for number in range(600)]
    for error, cause in itertools.pairwise(errors):
        error.__cause__ = cause

    kept = [error for error, _ in linked(errors[0])]

    assert kept == [*errors[:25], *errors[-25:]]


def test_a_message_of_50_million_characters_is_cut() -> None:
    raised = Raised.of("ValueError", message_of(ValueError("x" * 50_000_000)))

    assert len(raised.message) <= 4_000
    assert raised.message.startswith("xxx")


def test_notes_are_part_of_a_message() -> None:
    error = ValueError("text")
    error.__notes__ = ["a note", object()]  # type: ignore[list-item]

    assert message_of(error) == "text\na note"


def test_an_exception_that_cannot_say_what_it_is() -> None:
    class Rude(Exception):
        def __str__(self) -> str:
            raise SystemExit(3)

    assert message_of(Rude()) == "<exception str() failed>"
    assert type_name(Rude()).endswith("test_an_exception_that_cannot_say_what_it_is.<locals>.Rude")
    assert type_name(ValueError()) == "ValueError"


def test_a_deep_stack_keeps_its_ends(tmp_path: Path) -> None:
    calls = "\n".join(f"def f{number}(): f{number + 1}()" for number in range(300))
    names: dict[str, Any] = {}
    exec(compile(f"{calls}\ndef f300(): raise ValueError('deep')", str(tmp_path / "deep.py"), "exec"), names)
    error = caught(names["f0"])
    chains = Chains(Roles(tmp_path))

    raised = chains.raised(error, None, steps_of(error), set())

    # Of the 100 the first is the caller, which is no part of the project.
    assert len(raised.frames) == 99
    assert (raised.frames[0].qualname, raised.frames[-1].qualname) == ("f0", "f300")


def test_a_recursion_is_kept_once() -> None:
    def down(depth: int) -> None:
        if depth:
            return up(depth - 1)
        raise ValueError("deep")

    def up(depth: int) -> None:
        down(depth)

    error = caught(lambda: down(300))
    chains = Chains(Roles(Path(__file__).parent, [__file__]))

    raised = chains.raised(error, None, steps_of(error), set())

    names = [frame.qualname.rpartition(".")[2] for frame in raised.frames]
    assert names == ["caught", "<lambda>", "down", "up", "down"]
    assert raised.frames[-1].statement == 'raise ValueError("deep")'


def frame_of(source: str, path: Path, **names: object) -> tuple[types.FrameType, int, BaseException]:
    """Run *source*, a file with an assert that fails, and return frame and line of the failure."""
    path.write_text(source, encoding="utf-8")
    error = caught(lambda: exec(compile(source, str(path), "exec"), dict(names)))
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    assert traceback is not None
    return traceback.tb_frame, traceback.tb_lineno, error


class Asked:
    """Count what is asked of an object."""

    asked = 0

    def __getattr__(self, name: str) -> Any:
        type(self).asked += 1
        raise AttributeError(name)

    @property
    def value(self) -> int:
        type(self).asked += 1
        return 1

    def method(self) -> int:
        return 2

    def __eq__(self, other: object) -> bool:
        type(self).asked += 1
        return False

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("def test():\n    assert thing.method() == 3\ntest()\n", ["Asked.method"]),
        ("def test():\n    found = thing.method()\n    assert found == 3\ntest()\n", ["Asked.method"]),
        ("def test():\n    assert (\n        thing.method()\n        == 3\n    )\ntest()\n", ["Asked.method"]),
        ("def test():\n    assert thing.value == 3\ntest()\n", ["Asked.value"]),
        ("def test():\n    assert thing.missing.other() == 3\ntest()\n", []),
        ("def test():\n    assert thing == 3\ntest()\n", []),
        ("def test():\n    assert helper(thing.method()) == 3\ntest()\n", ["frame_of", "Asked.method"]),
    ],
)
def test_the_functions_that_an_assert_asks(source: str, names: list[str], tmp_path: Path) -> None:
    frame, line, _ = frame_of(source, tmp_path / "test_asked.py", thing=Asked(), helper=frame_of)
    before = Asked.asked

    found = [function.__qualname__ for function in called_functions(frame, line)]

    assert found == names
    assert Asked.asked == before


def test_operands_are_named_by_their_values_and_compared_only_when_they_are_plain(tmp_path: Path) -> None:
    source = "def test(left, right):\n    assert left == right\ntest(LEFT, RIGHT)\n"
    plain = frame_of(source, tmp_path / "test_plain.py", LEFT=[1, 2], RIGHT=[2, 1])
    own = frame_of(source, tmp_path / "test_own.py", LEFT=Asked(), RIGHT=3)
    before = Asked.asked

    one = assertion_of(Raised.of("AssertionError", "assert left == right"), [plain[:2]])
    other = assertion_of(Raised.of("AssertionError", "assert left == right"), [own[:2]])

    assert one is not None
    assert (one.left, one.right, one.difference) == ("list", "list", "order")
    assert other is not None
    assert (other.left, other.right, other.difference) == ("Asked", "int", "")
    assert Asked.asked == before


def test_a_function_is_found_within_its_wrappers() -> None:
    assert plain_function(Asked.value) is Asked.__dict__["value"].fget
    assert plain_function(Asked().method) is Asked.method
    assert plain_function(3) is None


def test_packages_are_those_of_the_project(tmp_path: Path) -> None:
    for name in (
        "shop/__init__.py",
        "src/core/__init__.py",
        "tests/__init__.py",
        "data/file.txt",
        "setup.py",
        "one.py",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    assert package_names(tmp_path) == ["core", "one", "shop"]


def test_tests_that_passed_are_counted_by_the_parameters_of_those_that_failed() -> None:
    facts = TestFacts.of("test_a.py", "test_x", parameters=[("text", "3"), ("currency", "JPY")])
    record = FailureRecord.of("test_a.py::test_x[3-JPY]", "call", facts)
    passed = [
        "test_a.py::test_x[3-EUR]",
        "test_a.py::test_x[4-EUR]",
        "test_a.py::test_x[-4-EUR]",
        "test_a.py::test_y[1]",
    ]

    assert passed_parameters([record], passed) == {
        ("test_a.py", "test_x"): {("text", "3"): 1, ("text", "4"): 1, ("currency", "EUR"): 2}
    }

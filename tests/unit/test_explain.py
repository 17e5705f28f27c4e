"""What is said to differ between tests of one shape."""

from __future__ import annotations

import textwrap

from pytest_qeattention.similarity.explain import differences, parse_unit
from pytest_qeattention.similarity.model import Unit


def unit(source: str, *decorators: str) -> Unit:
    source = textwrap.dedent(source).strip("\n")
    return Unit("t.py::test_it", "t.py", 1, "test_it", "test_it", 1, 3, source, decorators=decorators)


def test_literals_are_shown_as_written_each_set_of_values_once() -> None:
    tests = [
        unit(f"def test_it():\n    assert f({value!r}, {value!r}) == g([{n}, 2], -{n})") for n, value in enumerate("ab")
    ]
    assert differences(tests) == ("3 literals differ: 'a' / 'b'; [0, 2] / [1, 2]; -0 / -1",)


def test_integers_that_python_does_not_write_are_told_apart() -> None:
    tests = [unit(f"def test_it():\n    assert f(0x{start}{'f' * 9000})") for start in "12"]
    one, other = (f"int 0x{start}{'f' * 24}…" for start in "12")
    assert differences(tests) == (f"1 literal differs: {one} / {other}",)


def test_many_values_are_counted() -> None:
    tests = [unit(f"def test_it():\n    assert f({n})") for n in range(5)]
    assert differences(tests) == ("1 literal differs: 0 / 1 / 2 / … (5 values)",)


def test_many_differences_are_counted() -> None:
    tests = [unit("def test_it():\n    " + "\n    ".join(f"f{n}({m + n})" for n in range(5))) for m in (0, 10)]
    assert differences(tests) == ("5 literals differ: 0 / 10; 1 / 11; 2 / 12; and 2 more",)


def test_names_are_shown_as_written_and_local_ones_are_no_difference() -> None:
    one = unit("def test_it(client):\n    a = client.get(x=1)\n    assert a == A")
    other = unit("def test_it(server):\n    b = server.put(y=1)\n    assert b == B")
    assert differences([one, other]) == ("4 names differ: client / server; .get / .put; x= / y=; and 1 more",)


def test_locals_in_another_order_are_shown_by_their_names() -> None:
    one = unit("def test_it():\n    first = 1\n    second = 2\n    assert first")
    other = unit("def test_it():\n    first = 1\n    second = 2\n    assert second")
    assert differences([one, other]) == ("1 name differs: first / second",)


def test_decorators() -> None:
    assert differences([unit("def test_it():\n    f()", "slow"), unit("def test_it():\n    f()")]) == (
        "decorators differ",
    )


def test_long_values_are_shortened_to_one_line() -> None:
    (reason,) = differences([unit(f"def test_it():\n    f('''{c * 50}\n{c}''')") for c in "ab"])
    assert "\n" not in reason
    assert reason.count("…") == 2


def test_other_shapes_and_equal_tests_have_nothing_to_say() -> None:
    assert differences([unit("def test_it():\n    f()"), unit("def test_it():\n    f(); g()")]) == ()
    assert differences([unit("def test_it():\n    f()"), unit("def test_it():\n    f()")]) == ()


def test_methods_are_parsed_from_their_own_lines() -> None:
    node = parse_unit(
        Unit(
            "t.py::A::test_it",
            "t.py",
            2,
            "test_it",
            "A::test_it",
            1,
            3,
            "    @mark\n    def test_it(self):\n        f()",
        )
    )
    assert node is not None
    assert node.name == "test_it"
    assert parse_unit(Unit("t.py::test_it", "t.py", 1, "test_it", "test_it", 1, 1, "def test_it(:")) is None

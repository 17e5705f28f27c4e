"""Where tests differ in more than a value: each kind of hole, and its neighbour that is refused."""

from __future__ import annotations

import textwrap

import pytest
from fold_texts import expect, folded, refused, suggestion

from pytest_qeattention.similarity.fold.folding import Fold


def both(first: str, second: str, above: str = "") -> str:
    """Write two tests with these bodies."""
    bodies = [textwrap.indent(textwrap.dedent(body).strip("\n"), "    ") for body in (first, second)]
    return f"import pytest\n{above}\ndef test_a():\n{bodies[0]}\n\ndef test_b():\n{bodies[1]}\n"


def body_of(source: str) -> str:
    return folded(source).partition("):\n")[2]


def test_a_condition_that_holds_or_not_is_compared_with_a_truth_value() -> None:
    written = folded(both("assert f(1), 'yes'", "assert not f(2), 'no'"))
    assert written.endswith("    assert bool(f(number)) is expected, message")
    assert "pytest.param(2, 'no', False, id='b')" in written or "pytest.param(2, False, 'no', id='b')" in written
    assert body_of(both("assert 1 in f()", "assert 2 not in f()")) == "    assert (expected_f in f()) is is_expected"
    assert body_of(both("assert 2 not in f()", "assert 1 in f()")) == "    assert (expected_f in f()) is is_expected"
    assert body_of(both("x = f()\nassert x is not f", "x = g()\nassert x is f", "f = 1\ng = 1\n")).endswith(
        "(x is f) is expected"
    )
    assert body_of(both("assert isinstance(f(1), int)", "assert not isinstance(f(2), int)")).endswith(
        "assert isinstance(f(number), int) is expected"
    )
    assert body_of(both("assert not (\n    f(1)\n)", "assert f(2)")) == (
        "    assert bool((\n        f(number)\n    )) is expected"
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("assert f(1)", "assert not f(1)"),
        ("assert f(1) == 2", "assert f(2) != 2"),
        ("bool = g\nassert f(1)", "bool = g\nassert not f(2)"),
        ("assert f(1) is None", "assert f(2) == 3"),
    ],
)
def test_assertions_of_other_shapes_stay_apart(first: str, second: str) -> None:
    assert refused(both(first, second)).startswith("the assertions differ in shape")


def test_pieces_of_f_strings_are_parameters() -> None:
    source = both("x = f()\nassert g(f'{x!r:>4} of {{a}}')", "x = f()\nassert g(f'{x!r:>4} in {{b}}')")
    assert body_of(source) == "    x = f()\n    assert g(f'{x!r:>4}{text}')" or "{text}" in body_of(source)
    assert "' of {a}'" in folded(source) or '" of {a}"' in folded(source)
    assert "which exists in the test alone" in refused(
        both("x = f()\nassert g(f'{x}a')", "x = f()\nassert g(f'{x!r}b')")
    )


def test_elements_that_lists_have_more_of_are_unpacked() -> None:
    source = both("x = f()\nassert run([x, '-v', x])", "x = f()\nassert run([x, x])")
    written = folded(source)
    assert written.endswith("    assert run([x, *options, x])")
    assert "pytest.param(('-v',), id='a')" in written
    assert "pytest.param((), id='b')" in written
    assert body_of(both("x = f()\nassert run([x])", "x = f()\nassert run([x, 1, 2])")).endswith("run([x, *more])")
    assert body_of(both("x = f()\nassert run([x])", "x = f()\nassert run([1, 2, x])")).endswith("run([*more, x])")
    assert "exists in the test alone" in refused(both("x = f()\nassert run([x])", "x = f()\nassert run([x, x + 1])"))


def test_what_is_called_may_differ_with_the_names_of_its_arguments() -> None:
    source = both("x = cycle(4)\nassert f(x)", "x = lollipop(5, 6)\nassert f(x)", "cycle = 1\nlollipop = 1\n")
    assert "    x = function(*arguments)" in folded(source)
    source = both("x = g(File())\nassert f(x)", "x = g(Path(dir=1))\nassert f(x)", "File = 1\nPath = 1\n")
    assert "    x = g(function(**options))" in folded(source)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("cycle(4)\nassert f()", "lollipop(5, 6)\nassert f()"),
        ("x = cycle(4)\nassert f(x)", "x = lollipop(5, 6, b=7)\nassert f(x)"),
    ],
)
def test_calls_that_differ_altogether_stay_apart(first: str, second: str) -> None:
    reason = refused(both(first, second, "cycle = 1\nlollipop = 1\n"))
    assert "statements differ" in reason or "belongs in the test" in reason


def test_equal_options_share_a_parameter_unless_they_can_be_changed() -> None:
    source = both("assert f(1) == g(1)", "assert f(1, axis=0) == g(1, axis=0)")
    assert body_of(source) == "    assert f(1, **options) == g(1, **options)"
    assert body_of(source.replace("axis=0", "axis=[0]")) == "    assert f(1, **options_1) == g(1, **options_2)"


def test_attributes_of_what_differs_are_looked_up() -> None:
    source = both("x = f()\nassert x[0].a == 1", "x = f()\nassert x[-1].b == 2")
    assert body_of(source).endswith("    assert getattr(x[index], attribute) == expected")


def test_operators_are_functions() -> None:
    source = both("d = f()\nd.keys() | {1}", "d = f()\n(d.keys()) & {1}")
    result = suggestion(source)
    assert isinstance(result, Fold)
    assert result.imports == ("import operator",)
    assert result.source.endswith("    operation(d.keys(), {1})")
    assert 'pytest.param(operator.and_, id="b")' in result.source
    imported = suggestion(source.replace("import pytest", "import pytest\nimport operator"))
    assert isinstance(imported, Fold)
    assert imported.imports == ()
    assert "is another thing in the file" in refused(source.replace("import pytest", "import pytest\noperator = 1"))
    assert "operator" not in folded(both("assert f(A + B)", "assert f(A - B)", "A = 1\nB = 1\n"))
    assert "statements differ" in refused(both("operator = f()\noperator.x | {1}", "operator = f()\noperator.x & {1}"))


def test_statements_that_tests_repeat_are_a_loop() -> None:
    source = both(
        """
        box = Box()
        box.put(
            "a",
        )
        box.put(
            "b",
        )
        box.close()
        assert "x" in box
        """,
        """
        box = Box()
        box.put("c")
        box.close()
        assert "y" in box
        assert "z" in box
        """,
    )
    written = folded(source)
    assert written.endswith(
        expect(
            """
                box = Box()
                for key in keys:
                    box.put(
                        key,
                    )
                box.close()
                for expected in expected_values:
                    assert expected in box
            """,
            "    ",
        )
    ), written
    assert 'pytest.param(("a", "b"), ("x",), id="a"),' in written
    assert 'pytest.param(("c",), ("y", "z"), id="b"),' in written


def test_a_loop_that_a_test_has_is_the_loop_for_the_others() -> None:
    source = both(
        "x = f()\nassert 'a' in x\nassert 'b' in x", "x = f()\nfor part in 'c d'.split():\n    assert part in x"
    )
    assert body_of(source).endswith("    for part in parts:\n        assert part in x")
    assert "'c d'.split()" in folded(source)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("x = f()\nx.a(1)\nx.a(2)\nassert x", "x = f()\nx.b(1)\nassert x"),
        ("x = f()\nx.a(1)\nx.a(2)\nassert x", "x = f()\nassert x"),
        ("x = f()\nx.a(1)\nx.a(x)\nassert x", "x = f()\nx.a(1)\nassert x"),
        ("x = f()\ny = 1\ny = 2\nassert x", "x = f()\ny = 1\nassert x"),
        ("x = f()\nx.a(1)\nx.a(2)\nassert x", "x = f()\nfor n in x:\n    x.a(n)\nassert x"),
    ],
)
def test_statements_of_another_kind_are_no_loop(first: str, second: str) -> None:
    refused(both(first, second))


def test_a_local_that_the_next_statement_alone_uses_is_put_back() -> None:
    source = both("r = f(1).g()\nassert r == 2", "h = f(3)\nr = h.g()\nassert r == 4")
    assert body_of(source) == "    r = f(number).g()\n    assert r == expected"
    later = both("assert f(1)(g()) == 2", "h = f(3)\nassert g()(h) == 4")
    assert refused(later).startswith("statements differ")
    twice = both("assert f(1).x == 2", "h = f(3)\nassert h.x == h.y")
    assert refused(twice).startswith("statements differ")

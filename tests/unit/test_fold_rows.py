"""The rows of a folded test: marks, rows that the tests have already, and blocks that they repeat."""

from __future__ import annotations

import ast
import textwrap

import pytest
from fold_texts import expect, folded, refused, suggestion

from pytest_qeattention.similarity.fold.cases import divisions
from pytest_qeattention.similarity.fold.folding import Fold
from pytest_qeattention.similarity.fold.patching import fold_changes, rewrite


def test_marks_that_differ_go_to_their_rows_and_equal_ones_stay() -> None:
    source = """
        import pytest

        @pytest.mark.slow
        @pytest.mark.xfail(reason="not yet")
        def test_a():
            assert f(1)

        @pytest.mark.slow
        def test_b():
            assert f(2)
    """
    written = folded(source)
    assert written.count("@pytest.mark.slow\ndef test_f(") == 1
    assert 'pytest.param(1, id="a", marks=pytest.mark.xfail(reason="not yet")),' in written
    assert 'pytest.param(2, id="b"),' in written


def test_rows_that_the_tests_have_already_are_merged() -> None:
    source = """
        import pytest

        @pytest.mark.parametrize("n", [1, pytest.param(2, id="two")])
        def test_small(n):
            assert f(n) == "small"

        @pytest.mark.parametrize("n", [100])
        def test_large(n):
            assert f(n) == "large"
    """
    result = suggestion(source)
    assert isinstance(result, Fold)
    assert result.parameters == ("n", "expected")
    assert [row.values for row in result.rows] == [("1", '"small"'), ("2", '"small"'), ("100", '"large"')]
    assert [row.id for row in result.rows] == ["small_1", "small_two", "large"]
    assert result.source.endswith("def test_f(n, expected):\n    assert f(n) == expected")


def test_an_equal_parametrize_is_stacked() -> None:
    source = """
        import pytest

        @pytest.mark.parametrize("n", [1, 2])
        def test_a(n):
            assert f(n, "a")

        @pytest.mark.parametrize("n", [1, 2])
        def test_b(n):
            assert f(n, "b")
    """
    written = folded(source)
    assert '@pytest.mark.parametrize("n", [1, 2])\ndef test_f(n, text):' in written


def test_cases_of_an_equal_parametrize_never_share_a_list() -> None:
    source = """
        import pytest

        @pytest.mark.parametrize("n", [1, 2])
        def test_a(n):
            assert f(n, ["a"])

        @pytest.mark.parametrize("n", [1, 2])
        def test_b(n):
            assert f(n, "b")
    """
    result = suggestion(source)
    assert isinstance(result, Fold)
    assert [row.values for row in result.rows] == [("1", '["a"]'), ("2", '["a"]'), ("1", '"b"'), ("2", '"b"')]


def test_blocks_that_tests_repeat_are_cases() -> None:
    source = """
        import pytest

        def test_short():
            parser = Parser()
            assert parser.read("a") == 1

        def test_long():
            parser = Parser()
            assert parser.read("b") == 2
            assert parser.read("c") == 3
    """
    result = suggestion(source)
    assert isinstance(result, Fold)
    assert result.splits
    assert [row.id for row in result.rows] == ["short", "long_1", "long_2"]
    assert result.source.endswith("    parser = Parser()\n    assert parser.read(source) == expected")


def test_blocks_that_use_one_another_are_no_cases() -> None:
    source = """
        import pytest

        def test_short(box):
            box.put(1)
            assert box.size == 1

        def test_long(box):
            box.put(1)
            assert box.size == 1
            box.put(2)
            assert box.size == 2
    """
    assert refused(source) == "statements differ: some tests have more than others"


def test_copies_are_one_row() -> None:
    source = """
        import pytest

        def test_a():
            assert f(1) == 2

        def test_b():
            assert f(1) == 2

        def test_c():
            assert f(2) == 3
    """
    result = suggestion(source)
    assert isinstance(result, Fold)
    covers = [row.covers for row in result.rows]
    assert covers == [("test_it.py::test_a", "test_it.py::test_b"), ("test_it.py::test_c",)]
    assert refused(source, "test_a", "test_b") == "nothing differs: the tests are copies of one another"


def test_expectations_may_be_rows() -> None:
    source = """
        import pytest
        from contextlib import nullcontext

        def test_good():
            with nullcontext():
                f(1)

        def test_bad():
            with pytest.raises(ValueError, match="no"):
                f(2)
    """
    written = folded(source)
    assert 'pytest.param(pytest.raises(ValueError, match="no"), 2, id="bad")' in written
    assert "    with expectation:\n        f(number)" in written


def test_decorators_that_are_no_marks_must_agree() -> None:
    source = """
        @patch("a.b")
        def test_a(mock):
            assert f(1)

        @patch("a.c")
        def test_b(mock):
            assert f(2)
    """
    assert refused(source) == 'the decorators differ: @patch("a.b")'


def test_arguments_that_patch_adds_stay_in_front_and_those_of_given_behind() -> None:
    source = """
        import pytest

        @patch("a.b")
        def test_a(mock):
            assert f(1)

        @patch("a.b")
        def test_b(mock):
            assert f(2)
    """
    assert '@patch("a.b")\ndef test_f(mock, number):' in folded(source)
    assert "@given(ints())\ndef test_f(number, x):" in folded(
        source.replace('@patch("a.b")', "@given(ints())").replace("(mock)", "(x)")
    )


COMPUTED = """
    import pytest

    @pytest.mark.parametrize("n", small())
    def test_small(n):
        # Of the small.
        assert f(n)

    @pytest.mark.parametrize("n", large(3))
    def test_large(n):
        assert f(n)
"""


def test_rows_that_are_computed_are_unpacked() -> None:
    assert folded(COMPUTED) == expect(
        """
        @pytest.mark.parametrize(
            "n",
            [
                # Of the small.
                *small(),
                *large(3),
            ],
        )
        def test_f(n):
            assert f(n)
        """
    )


def test_computed_rows_and_written_ones_stand_together() -> None:
    written = folded(COMPUTED.replace("large(3)", "[7, 8]"))
    assert "*small()," in written
    assert 'pytest.param(8, id="large_2"),' in written


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("n", '"n", large(3), ids=str'),
        ("marks", "@pytest.mark.slow"),
        ("body", "assert not f(n)"),
        ("stacked", '@pytest.mark.parametrize("m", [1, 2])'),
    ],
)
def test_computed_rows_are_left_where_more_than_they_differs(before: str, after: str) -> None:
    changed = {
        "n": COMPUTED.replace('"n", large(3)', after),
        "marks": COMPUTED.replace("    def test_large", f"    {after}\n    def test_large"),
        "body": COMPUTED.replace("def test_large(n):\n        assert f(n)", f"def test_large(n):\n        {after}"),
        "stacked": COMPUTED.replace("    def", f"    {after}\n    def").replace("(n):", "(n, m):"),
    }
    reason = refused(changed[before])
    assert "rows that are computed" in reason or "with ids" in reason


def test_tuples_that_are_computed_get_the_values_that_differ() -> None:
    source = """
        import pytest

        @pytest.mark.parametrize("n, m", PAIRS.items())
        def test_small(n, m):
            assert f(n, 1) == m

        @pytest.mark.parametrize("n, m", list(zip(A, B)))
        def test_large(n, m):
            assert f(n, 2) == m
    """
    written = folded(source)
    assert "*((*row, 1) for row in PAIRS.items())," in written
    assert "*((*row, 2) for row in list(zip(A, B)))," in written
    assert "def test_f(n, m, number):" in written
    assert "rows that are computed" in refused(source.replace("PAIRS.items()", "PAIRS"))


def test_one_row_of_a_parametrize_that_stays_shares_nothing() -> None:
    source = """
        import pytest

        @pytest.mark.parametrize("store", ["memory"], indirect=["store"])
        def test_a(store):
            assert f(store, [1])

        @pytest.mark.parametrize("store", ["memory"], indirect=["store"])
        def test_b(store):
            assert f(store, "x")
    """
    assert 'pytest.param([1], id="a")' in folded(source)
    assert "indirect" in refused(source.replace('["memory"]', '["memory", "disk"]'))


def test_as_many_blocks_in_every_test_are_cases_too() -> None:
    bodies = [ast.parse("assert f(1)\nassert f(2)").body, ast.parse("assert f(3)\nassert f(4)").body]
    (found,) = divisions(bodies)
    assert [(case.member, case.start) for case in found.cases] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert list(divisions([body[:1] for body in bodies])) == []


def test_a_fold_stands_below_what_its_rows_use() -> None:
    source = """
        import pytest

        SMALL = [1, 2]

        @pytest.mark.parametrize("n", SMALL)
        def test_price_small(n):
            assert price(n) > 0

        LARGE = [100, 200]

        @pytest.mark.parametrize("n", LARGE)
        def test_price_large(n):
            assert price(n) > 0
    """
    fold = suggestion(source)
    assert isinstance(fold, Fold)
    assert (fold.place, [row.values for row in fold.rows]) == (1, [("*SMALL",), ("*LARGE",)])
    lines = textwrap.dedent(source).split("\n")
    text = "\n".join(rewrite(lines[1:], fold_changes(fold), fold.imports))
    assert text.index("LARGE = [100, 200]") < text.index("*LARGE") < text.index("def test_price(n)")
    assert text.count("def test_") == 1
    below = source.replace("LARGE = [100, 200]", "") + "\n        LARGE = [100, 200]\n"
    assert refused(below) == "its rows use LARGE, which is defined only below the tests"
    in_class = """
        import pytest

        class TestPrice:
            SMALL = [1, 2]

            @pytest.mark.parametrize("n", SMALL)
            def test_price_small(self, n):
                assert price(n) > 0

            LARGE = [100, 200]

            @pytest.mark.parametrize("n", LARGE)
            def test_price_large(self, n):
                assert price(n) > 0
    """
    fold = suggestion(in_class)
    assert isinstance(fold, Fold)
    assert (fold.place, [row.values for row in fold.rows]) == (1, [("*SMALL",), ("*LARGE",)])
    assert "its rows use LARGE" in refused(
        in_class.replace("            LARGE =", "            def helper(self):\n                LARGE =")
    )
    assert "its rows use LARGE" in refused(
        in_class.replace("            LARGE = [100, 200]\n", "") + "\n            LARGE = [1]\n"
    )
    moved = source.replace("LARGE = [100, 200]", "").replace("SMALL = [1, 2]", "SMALL = [1, 2]\n        LARGE = [3]")
    assert "*SMALL,\n        *LARGE,\n" in folded(moved)


def test_directives_of_tests_that_share_a_row_are_all_kept() -> None:
    source = """
        def test_a():
            assert f(1)

        def test_b():
            assert f(2)  # noqa: B1

        def test_c():
            assert f(2)  # noqa: C1
    """
    result = suggestion(source)
    assert isinstance(result, Fold)
    assert [row.values for row in result.rows] == [("1",), ("2",)]
    assert result.rows[1].trailing == ("# noqa: B1", "# noqa: C1")

"""The parametrized test that is written for a group: what becomes a parameter, what stays, what is refused."""

from __future__ import annotations

import ast

import pytest
from fold_texts import expect, folded, refused, suggestion

from pytest_qeattention.similarity.candidates import FileScan
from pytest_qeattention.similarity.fold.folding import Fold, Refusal, suggest
from pytest_qeattention.similarity.fold.module import Module
from pytest_qeattention.similarity.scan import scan_source


def test_literals_become_rows_with_the_names_of_the_tests_as_ids() -> None:
    source = """
        import pytest

        def test_price_in_euros():
            assert parse("3") == 300

        def test_price_with_cents():
            # The comma is German.
            assert parse("3,50") == 350
    """
    assert folded(source) == expect(
        """
        @pytest.mark.parametrize(
            ("text", "expected"),
            [
                pytest.param("3", 300, id="in_euros"),
                # The comma is German.
                pytest.param("3,50", 350, id="with_cents"),
            ],
        )
        def test_price(text, expected):
            assert parse(text) == expected
        """
    )


def test_a_value_that_is_only_named_gives_its_name_to_the_parameter() -> None:
    source = """
        import pytest

        def test_small():
            total = 1  # in cents

            assert discount(total) == total - 1

        def test_large():
            total = 9  # in cents

            assert discount(total) == total - 2
    """
    written = folded(source)
    assert '("total", "expected"),' in written
    assert "total = " not in written
    assert "# in cents" in written


def test_formatting_and_shared_comments_of_the_first_test_stay() -> None:
    source = '''
        import pytest

        def test_one(client):
            """Ask."""
            # First the question,
            answer = client.ask(
                "one",   # kept as it is
                depth = 3,
            )

            assert answer   ==   'ONE'

        def test_two(client):
            """Ask."""
            # First the question,
            answer = client.ask("two", depth=3)  # kept as it is
            assert answer == "TWO"
    '''
    assert folded(source).endswith(
        expect(
            '''
            def test_ask(client, text, expected):
                """Ask."""
                # First the question,
                answer = client.ask(
                    text,   # kept as it is
                    depth = 3,
                )

                assert answer   ==   expected
            '''
        )
    )


def test_docstrings_that_differ_go_beside_their_rows() -> None:
    source = '''
        import pytest

        def test_one():
            """The first.

            With a reason.
            """

            assert f(1)

        def test_two():
            """The second."""
            assert f(2)
    '''
    written = folded(source)
    assert "# The first.\n        # With a reason.\n        pytest.param(1, " in written
    assert "# The second.\n        pytest.param(2, " in written
    assert '"""' not in written


def test_comments_above_the_tests_go_with_them_and_banners_stay() -> None:
    source = """
        import pytest

        # ---------- numbers

        # The smallest.
        def test_zero():
            assert f(0)

        # The largest.
        def test_nine():
            assert f(9)

        # ----------
        def test_five():
            assert f(5)
    """
    result = suggestion(source)
    assert isinstance(result, Fold)
    assert [row.notes for row in result.rows] == [("# The smallest.",), ("# The largest.",), ()]
    assert [(place.first_line, place.end_line) for place in result.replaces] == [(5, 7), (9, 11), (14, 15)]


def test_equal_values_share_a_parameter_unless_they_can_be_changed() -> None:
    source = """
        import pytest

        def test_a():
            f("a", ["x"])
            assert g("a") == ["x"]

        def test_b():
            f("b", ["y"])
            assert g("b") == ["y"]
    """
    result = suggestion(source)
    assert isinstance(result, Fold)
    assert len(result.parameters) == 3
    assert result.rows[0].values == ('"a"', '["x"]', '["x"]')


def test_methods_of_a_local_are_looked_up_by_name() -> None:
    source = """
        import pytest

        def test_total(basket):
            assert basket.total() == 3

        def test_weight(basket):
            assert basket.weight() == 4
    """
    assert "    assert getattr(basket, method)() == expected" in folded(source)


def test_arguments_of_different_number_and_name_are_unpacked() -> None:
    source = """
        import pytest

        def test_none():
            assert f() == 1

        def test_one():
            assert f(1) == 2

        def test_two():
            assert f(1, 2) == 3
    """
    written = folded(source)
    assert "pytest.param((1,), 2, " in written
    assert "assert f(*arguments) == expected" in written
    keywords = """
        import pytest

        def test_size(client):
            client.make("x", size=1)

        def test_colour(client):
            client.make("x", colour="red")
    """
    written = folded(keywords)
    assert 'pytest.param({"colour": "red"}, id="colour")' in written
    assert 'client.make("x", **options)' in written


def test_async_tests_stay_async_and_a_mixture_is_refused() -> None:
    source = """
        import pytest

        async def test_a():
            assert await f(1)

        async def test_b():
            assert await f(2)

        def test_c():
            assert f(3)
    """
    assert "async def test_f(number):\n    assert await f(number)" in folded(source, "test_a", "test_b")
    assert refused(source) == "some of the tests are async and some are not"


def test_locals_that_only_name_a_value_are_put_back() -> None:
    source = """
        import pytest

        def test_a():
            wrong = "x"
            assert f(wrong) == 1

        def test_b():
            assert f("y") == 2
    """
    assert folded(source).endswith("def test_f(text, expected):\n    assert f(text) == expected")


@pytest.mark.parametrize(
    ("body", "other", "reason"),
    [
        ("assert f(1) == 2", "assert f(1) is None", "the assertions differ in shape"),
        ("assert f(1)", "assert not f(1)", "the assertions differ in shape"),
        ("x = f(1)\n    assert x", "x = f(1)\n    x += 1\n    assert x", "statements differ: some tests have more"),
        ("x = f()\n    assert x == 1", "x = f()\n    assert x == x + 1", "what differs uses x"),
        ("assert f(load('a'))", "assert f(fetch(1))", "what differs uses load, which the module does not define"),
        ("with open('a') as g:\n        g()", "with open('a') as g:\n        g(); g()", "statements differ"),
        ("for x in f():\n        g(x, [1])", "for x in f():\n        g(x, [2, 3])", "a value that the test makes anew"),
        ("x = lambda: 1\n    assert x()", "def x(): return 1\n    assert x()", "statements differ"),
        ("match f():\n        case 1: g()", "match f():\n        case 2: g()", "expressions differ"),
    ],
)
def test_what_cannot_be_one_test_is_refused(body: str, other: str, reason: str) -> None:
    source = f"import pytest\n\ndef test_a():\n    {body}\n\ndef test_b():\n    {other}\n"
    assert refused(source).startswith(reason) or reason in refused(source)


def test_arguments_that_differ_are_named() -> None:
    source = """
        def test_a(tmp_path):
            assert f(1)

        def test_b(tmpdir):
            assert f(2)
    """
    assert refused(source) == "the arguments differ: tmp_path, tmpdir"


def test_names_that_the_module_defines_later_cannot_be_in_rows() -> None:
    source = """
        import pytest

        def test_a():
            assert f(FIRST)

        def test_b():
            assert f(SECOND)

        FIRST, SECOND = 1, 2
    """
    assert "FIRST, which the module does not define above the tests" in refused(source)


def test_a_test_that_the_file_uses_elsewhere_stays() -> None:
    source = """
        def test_a():
            assert f(1)

        def test_b():
            assert f(2)

        test_b.slow = True
    """
    assert refused(source) == "test_b is used elsewhere in the file"


@pytest.mark.parametrize("newline", ["\r\n", "\r"])
def test_line_ends_tabs_and_other_alphabets_survive(newline: str) -> None:
    text = (
        "import pytest\n\nclass TestIt:\n\tdef test_ä(self):\n\t\tassert größe('ä→', 'x' 'y') == {'ü': 1}\n\n"
        "\tdef test_ö(self):\n\t\tassert größe('ö→', 'x' 'z') == {'ü': 2}\n"
    )
    data = text.replace("\n", newline).encode()
    scan: FileScan[None] = scan_source(data, "test_it.py")
    result = suggest([found.unit for found in scan.functions], Module("test_it.py", data.decode()))
    assert isinstance(result, Fold)
    assert "\t@pytest.mark.parametrize(" in result.source
    assert "('ä→', 'x' 'y', 1" in result.source or "'ä→'" in result.source
    assert "\tdef test_größe(self, " in result.source
    ast.parse("if 1:\n" + result.source)


def test_values_keep_what_makes_them_values() -> None:
    source = """
        import pytest

        def test_a():
            x = 1, 2
            y = ("a"
                 "b")
            assert f(lambda v: v + 1)(x, y) == -1

        def test_b():
            x = 3, 4
            y = "c"
            assert f(lambda v: v + 1)(x, y) == 2
    """
    result = suggestion(source)
    assert isinstance(result, Fold)
    assert result.rows[0].values[0] == "(1, 2)"
    assert result.rows[0].values[2] == "-1"


def test_a_comparison_with_a_walrus_stays_in_the_test() -> None:
    source = """
        import pytest

        def test_a():
            if (n := f(1)) > 2:
                assert n

        def test_b():
            if (n := f(3)) > 2:
                assert n
    """
    assert "    if (n := f(number)) > 2:\n        assert n" in folded(source)


def test_a_file_that_changed_is_not_folded() -> None:
    source = "def test_a():\n    assert f(1)\n\ndef test_b():\n    assert f(2)\n"
    scan: FileScan[None] = scan_source(source.encode(), "test_it.py")
    result = suggest([found.unit for found in scan.functions], Module("test_it.py", "\n" + source))
    assert result == Refusal("the file has changed since it was read")

"""The parametrized test that is written for a group: what becomes a parameter, what stays, what is refused."""

from __future__ import annotations

import ast
import textwrap
from pathlib import Path

import pytest

from pytest_qeattention.similarity.candidates import FileScan
from pytest_qeattention.similarity.fold.folding import Fold, Refusal, suggest
from pytest_qeattention.similarity.fold.module import Module
from pytest_qeattention.similarity.naming import EVERY_FUNCTION
from pytest_qeattention.similarity.scan import scan_source


def suggestion(source: str, *names: str, path: str = "test_it.py", root: Path | None = None) -> Fold | Refusal:
    """Fold the tests of *source* with these names, or all whose name starts with ``test``."""
    text = textwrap.dedent(source).lstrip("\n")
    scan: FileScan[None] = scan_source(text.encode(), path, EVERY_FUNCTION)
    units = [
        found.unit
        for found in scan.functions
        if (found.unit.name in names if names else found.unit.name.startswith("test"))
    ]
    return suggest(units, Module(path, text, root))


def folded(source: str, *names: str, root: Path | None = None) -> str:
    result = suggestion(source, *names, root=root)
    assert isinstance(result, Fold), result
    return result.source


def refused(source: str, *names: str) -> str:
    result = suggestion(source, *names)
    assert isinstance(result, Refusal), result.source
    return result.reason


def expect(text: str) -> str:
    return textwrap.dedent(text).strip("\n")


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


def test_names_and_attributes_of_the_module_may_differ() -> None:
    source = """
        import pytest
        from http import HTTPStatus
        from shop import add, sub

        def test_add():
            assert add(1, 2) is HTTPStatus.OK

        def test_sub():
            assert sub(1, 2) is HTTPStatus.GONE
    """
    written = folded(source)
    assert 'pytest.param(add, HTTPStatus.OK, id="add")' in written
    assert "assert function(1, 2) is expected" in written


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


def test_methods_keep_self_and_their_indentation() -> None:
    source = '''
        import pytest

        class TestIt:
            def test_a(self, tmp_path):
                text = """
        not indented
                """
                assert self.f(text, 1)

            def test_b(self, tmp_path):
                text = """
        not indented
                """
                assert self.f(text, 2)
    '''
    written = folded(source)
    assert written.startswith("    @pytest.mark.parametrize(\n")
    assert '    def test_f(self, tmp_path, number):\n        text = """\nnot indented\n' in written


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


def test_hints_are_given_where_tests_are_annotated() -> None:
    source = """
        import pytest

        def test_a(client: Client) -> None:
            assert client.get("a", None) == [1, 2]

        def test_b(client: Client) -> None:
            assert client.get("b", 1.5) == [3]
    """
    assert "(client: Client, key: str, value: float | None, expected: list[int]) -> None:" in folded(source)


def test_locals_may_have_other_names() -> None:
    source = """
        import pytest

        def test_a():
            result = f(1)
            assert result == 2

        def test_b():
            outcome = f(2)
            assert outcome == 3
    """
    assert "    result = f(number)\n    assert result == expected" in folded(source)


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
        ("x = 1\n    assert f(f'{x}a')", "x = 1\n    assert f(f'{x}b')", "what differs uses x, which exists in the"),
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


def test_unittest_gets_a_loop_over_subtests() -> None:
    source = """
        import unittest

        class TestIt(unittest.TestCase):
            def test_a(self):
                case = f(1)
                self.assertEqual(case, 2)

            def test_b(self):
                case = f(2)
                self.assertEqual(case, 3)
    """
    assert folded(source) == (
        "    def test_f(self):\n"
        "        for name, number, expected in (\n"
        '            ("a", 1, 2),\n'
        '            ("b", 2, 3),\n'
        "        ):\n"
        "            with self.subTest(name):\n"
        "                case = f(number)\n"
        "                self.assertEqual(case, expected)"
    )
    with_setup = source.replace("            def test_a", "            def setUp(self): pass\n\n            def test_a")
    assert refused(with_setup) == "unittest runs setUp for each test, and subTest would not for each case"
    inherited = source.replace("unittest.TestCase", "Base, unittest.TestCase")
    assert refused(inherited).startswith("the base class Base may set up each test")


def test_plain_classes_may_be_folded_across() -> None:
    source = """
        import pytest

        class TestA:
            def test_x(self):
                assert f(1)

        class TestB:
            def test_x(self):
                assert f(2)
    """
    assert "    def test_x(self, number):" in folded(source)
    assert "set up their tests" in refused(source.replace("class TestB:", "class TestB(Base):"))
    assert "use what belongs to these" in refused(source.replace("f(2)", "self.f(2)").replace("f(1)", "self.f(1)"))


def test_names_of_fixtures_are_not_taken(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("import pytest\n\n@pytest.fixture\ndef total():\n    return 1\n")
    source = """
        import pytest

        @pytest.fixture
        def expected():
            return 1

        def test_a():
            total = 1
            assert f(total) == 2

        def test_b():
            total = 2
            assert f(total) == 3
    """
    names = ast.parse(folded(source, root=tmp_path)).body[0]
    assert isinstance(names, ast.FunctionDef)
    assert not {"total", "expected", "f", "pytest"} & {argument.arg for argument in names.args.args}


def test_names_are_no_keywords_or_builtins() -> None:
    source = """
        import pytest

        def test_a():
            assert f(type=1, lambda_=2)["class"] == 2

        def test_b():
            assert f(type=2, lambda_=3)["class"] == 4
    """
    result = suggestion(source)
    assert isinstance(result, Fold)
    assert result.parameters == ("kind", "lambda_value", "expected")


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


def test_pytest_is_imported_where_it_was_not() -> None:
    source = "def test_a():\n    assert f(1)\n\ndef test_b():\n    assert f(2)\n"
    result = suggestion(source)
    assert isinstance(result, Fold)
    assert result.imports == ("import pytest",)
    renamed = suggestion("import pytest as pt\n" + source)
    assert isinstance(renamed, Fold)
    assert renamed.imports == ()
    assert renamed.source.startswith("@pt.mark.parametrize(")


def test_names_do_not_collide_within_a_file() -> None:
    text = (
        "import pytest\n\ndef test_f_a():\n    assert f(1)\n\ndef test_f_b():\n    assert f(2)\n\n"
        "def test_f_c():\n    g(1)\n\ndef test_f_d():\n    g(2)\n\ndef test_f():\n    h()\n"
    )
    scan: FileScan[None] = scan_source(text.encode(), "test_it.py")
    units = [found.unit for found in scan.functions]
    module = Module("test_it.py", text)
    first, second = suggest(units[:2], module), suggest(units[2:4], module)
    assert isinstance(first, Fold)
    assert isinstance(second, Fold)
    assert first.name == "test_f_cases"
    assert second.name not in {"test_f", "test_f_cases"}


def test_a_file_that_changed_is_not_folded() -> None:
    source = "def test_a():\n    assert f(1)\n\ndef test_b():\n    assert f(2)\n"
    scan: FileScan[None] = scan_source(source.encode(), "test_it.py")
    result = suggest([found.unit for found in scan.functions], Module("test_it.py", "\n" + source))
    assert result == Refusal("the file has changed since it was read")

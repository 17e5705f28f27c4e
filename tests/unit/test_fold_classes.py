"""Folds of tests that are methods: plain classes, and those of unittest."""

from __future__ import annotations

import pytest
from fold_texts import expect, folded, refused


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


CONSTANTS = """
    import unittest
    from datetime import datetime

    class Base:
        def helper(self):
            pass

    class TestIt(unittest.TestCase, Base):
        def setUp(self):
            self.default = datetime(2003, 9, 25)
            self.zones = {"BRST": -3}

        def test_a(self):
            self.assertEqual(parse("1", self.default), 2)

        def test_b(self):
            self.assertEqual(parse("3", self.default), 4)
"""


def test_a_setup_of_constants_is_shared_by_the_cases() -> None:
    assert "self.assertEqual(parse(text, self.default), expected)" in folded(CONSTANTS)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("self.default), 2)", "self.zones), 2)"),
        ("self.default), 2)", "self.helper()), 2)"),
        ("self.default), 2)", "self), 2)"),
        ('self.zones = {"BRST": -3}', "patch.start()"),
        ('self.zones = {"BRST": -3}', "self.zones = patch(1).start()"),
        ("def helper(self)", "def tearDown(self)"),
        ("def helper(self)", "def assertEqual(self, a, b)"),
        ("class Base:", "class Base(Unknown):"),
        ("= datetime(2003, 9, 25)", "= Box()"),
    ],
)
def test_a_setup_that_may_matter_to_each_test_is_told(old: str, new: str) -> None:
    assert old in CONSTANTS
    reason = refused(CONSTANTS.replace(old, new), "test_a", "test_b")
    assert "subTest would not for each case" in reason


def test_tests_of_two_unittest_classes_that_only_assert_are_folded() -> None:
    source = """
        import unittest

        class TestA(unittest.TestCase):
            def test_x(self):
                self.assertEqual(parse("1"), 2)

        class TestB(unittest.TestCase):
            def test_x(self):
                self.assertEqual(parse("3"), 4)
    """
    assert "with self.subTest(case):" in folded(source)
    assert "use what belongs to these" in refused(source.replace('parse("3")', 'self.parse("3")'))
    with_class = source.replace(
        "class TestB(unittest.TestCase):", "class TestB(unittest.TestCase):\n            def setUpClass(cls): pass\n"
    )
    assert refused(with_class, "test_x") == "the tests are in different classes of unittest"


def test_a_file_that_uses_parameterized_gets_a_test_of_each_row() -> None:
    source = """
        import unittest
        from parameterized import parameterized

        class TestIt(unittest.TestCase):
            def setUp(self):
                self.box = Box()

            def test_a(self) -> None:
                self.assertEqual(self.box.get("1"), 2)

            def test_b(self) -> None:
                self.assertEqual(self.box.get("3"), 4)
    """
    assert folded(source) == expect(
        """
            @parameterized.expand(
                [
                    ("a", "1", 2),
                    ("b", "3", 4),
                ]
            )
            def test_get(self, case: str, key: str, expected: int) -> None:
                self.assertEqual(self.box.get(key), expected)
        """
    ).replace("\n", "\n    ").replace("@para", "    @para", 1)
    assert "setUp" in refused(source.replace("import parameterized", "import parameterized as p"), "test_a", "test_b")
    patched = source.replace("def test_", "@patch('x')\n            def test_").replace("(self) ->", "(self, x) ->")
    assert refused(patched, "test_a", "test_b") == "the tests of unittest take arguments already"


def test_assertions_of_unittest_that_differ_are_no_parameter() -> None:
    source = """
        import unittest

        class TestIt(unittest.TestCase):
            def test_a(self):
                self.assertTrue(f(1))

            def test_b(self):
                self.assertFalse(f(2))
    """
    assert refused(source) == "the assertions differ in shape"

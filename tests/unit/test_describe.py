"""What one test is turned into: normal forms, bags, names."""

from __future__ import annotations

import ast
import textwrap

import pytest

from pytest_qeattention.similarity.bags import LARGEST_COUNT, bag_counts, bag_features, pack_bag
from pytest_qeattention.similarity.describe import Description, describe
from pytest_qeattention.similarity.model import Unit
from pytest_qeattention.similarity.words import word_features
from pytest_qeattention.syntax.words import words_of


def described(source: str, qualname: str = "test_it") -> Description:
    source = textwrap.dedent(source).strip()
    node = ast.parse(source).body[0]
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    unit = Unit(f"t.py::{qualname}", "t.py", 1, node.name, qualname, 1, len(source.splitlines()), source)
    return describe(node, unit)


def features(bag: bytes) -> set[int]:
    return set(memoryview(bag_features(bag)).cast("I"))


BASE = """
def test_it(client):
    reply = client.get("/users", page=2)
    assert reply.status == 200
"""

SAME_EXACT_FORM = {
    "formatting": """
def test_it( client ):
    reply = client.get(
        "/users",
        page=2,
    )
    assert reply.status == 200
""",
    "comments and docstring": '''
def test_it(client):
    """Users are listed."""
    reply = client.get("/users", page=2)  # the second page
    assert reply.status == 200
''',
    "local name": """
def test_it(client):
    answer = client.get("/users", page=2)
    assert answer.status == 200
""",
    "its own name": BASE.replace("test_it", "test_other"),
    "quotes": BASE.replace('"', "'"),
}


@pytest.mark.parametrize("variant", SAME_EXACT_FORM.values(), ids=SAME_EXACT_FORM)
def test_exact_form_ignores_what_does_not_matter(variant: str) -> None:
    assert described(variant).exact == described(BASE).exact


@pytest.mark.parametrize(
    ("old", "new", "literal_form_stays", "shape_stays"),
    [
        ('"/users"', '"/groups"', True, True),
        ("page=2", "page=[1, (2, -3)]", True, True),
        ("client.get", "client.post", False, True),
        ("page=2", "size=2", False, True),
        ("(client)", "(server)", False, True),
        ("== 200", "!= 200", False, False),
        ("assert reply.status == 200", "assert reply.status == 200\n    assert reply", False, False),
        ("def test_it", "async def test_it", False, False),
        ("reply.status", "reply['status']", False, False),
    ],
)
def test_forms_tell_what_differs(old: str, new: str, literal_form_stays: bool, shape_stays: bool) -> None:
    base, variant = described(BASE), described(BASE.replace(old, new))
    assert variant.exact != base.exact
    assert (variant.literal == base.literal) is literal_form_stays
    assert (variant.shape == base.shape) is shape_stays


def test_decorators_are_part_of_the_exact_form_alone() -> None:
    decorated = described("@pytest.mark.slow\n" + BASE.strip())
    assert decorated.exact != described(BASE).exact
    assert decorated.literal == described(BASE).literal


def test_global_statement_keeps_a_name_from_being_local() -> None:
    one = described("def test_it():\n    global a\n    a = 1\n    assert a")
    other = described("def test_it():\n    global b\n    b = 1\n    assert b")
    assert one.literal != other.literal


def test_free_names_leave_out_locals_arguments_and_builtins() -> None:
    facts = described(
        """
        @mark(order=FIRST)
        def test_it(client, *rest, **options):
            for item in sorted(MAKE(client)):
                total = len([x for x in item])
            with open(PATH) as stream:
                helper(lambda y: y + total, stream)
        """
    )
    assert facts.free_names == ("MAKE", "PATH", "helper")
    assert facts.decorator_names == ("FIRST", "mark")


@pytest.mark.parametrize(
    ("body", "used"),
    [
        ("self.assertEqual(1, 1)", False),
        ("self.assertEqual(self.value, 1)", True),
        ("assert helper(self)", True),
        ("assert True", False),
    ],
)
def test_use_of_self_beyond_assertions(body: str, used: bool) -> None:
    assert described(f"def test_it(self):\n    {body}", "TestA::test_it").uses_self is used


@pytest.mark.parametrize(
    ("body", "is_placeholder"),
    [
        ("pass", True),
        ("...", True),
        ("'only a docstring'", True),
        ("raise NotImplementedError", True),
        ("raise NotImplementedError('later')", True),
        ("raise ValueError", False),
        ("1 / 0", False),
        ("assert True", False),
    ],
)
def test_placeholders(body: str, is_placeholder: bool) -> None:
    assert described(f"def test_it():\n    {body}").is_placeholder is is_placeholder


def test_unittest_assertions_have_the_tokens_of_plain_ones() -> None:
    plain = described("def test_it(self):\n    assert total(2) == 4", "TestA::test_it")
    unittest = described("def test_it(self):\n    self.assertEqual(total(2), 4)", "TestA::test_it")
    assert features(unittest.tokens) <= features(plain.tokens)


def test_words_are_split_into_parts_and_pairs() -> None:
    assert words_of("HTTPServer_test2 naïveValue") == ["http", "server", "test", "2", "na", "ï", "ve", "value"]
    assert features(word_features("parse_header")) < features(word_features("parse_header fails"))
    assert word_features("+ - () !") == b""


def test_bags_hold_each_feature_once_with_its_count() -> None:
    bag = pack_bag([7, 2**32 - 1, 7, 3, *[5] * (LARGEST_COUNT + 1)])
    assert memoryview(bag_features(bag)).cast("I").tolist() == [3, 5, 7, 2**32 - 1]
    assert memoryview(bag_counts(bag)).cast("H").tolist() == [1, LARGEST_COUNT, 2, 1]
    assert (pack_bag([]), bag_features(b""), bag_counts(b"")) == (b"", b"", b"")


DECORATORS = [
    "@mark",
    "@mark()",
    "@mark(a)",
    "@mark('a')",
    "@mark(b'a')",
    "@mark(1)",
    "@mark(1.0)",
    "@mark([1, 2])",
    "@mark([1], 2)",
    "@mark((1, 2))",
    "@mark({1: 2})",
    "@mark({1, 2})",
    "@mark({**a})",
    "@mark(-1)",
    "@mark(a, b)",
    "@mark(a)\n@b",
    "@mark\n@a",
    "@a\n@mark",
    "@mark.a",
    "@mark(x=a)",
    "@mark(**a)",
    "@mark(lambda x: x)",
    "@mark(lambda x: y)",
    "@mark(lambda x=1: x)",
    "@mark(f'{a}')",
    "@mark(f'{a!r}')",
    "@mark(f'{a:>3}')",
    "@mark([x for x in a])",
    "@mark([x async for x in a])",
    "@mark([a for x in a])",
    "@mark(x := a)",
]


def test_decorators_are_told_apart() -> None:
    forms = {described(f"{decorator}\n{BASE.strip()}").exact for decorator in DECORATORS}
    assert len(forms) == len(DECORATORS)


def test_depth_of_nesting_is_no_limit() -> None:
    source = "def test_it(x):\n    assert x" + ".a" * 500
    assert len(described(source).sequence) > 500


def test_integers_that_python_does_not_write_are_told_apart() -> None:
    one, other = (described(f"def test_it():\n    assert f(0x{start}{'f' * 9000})") for start in "12")
    assert one.exact != other.exact
    assert one.literal == other.literal


def test_lone_surrogates_and_huge_literals_are_described() -> None:
    facts = described("def test_it():\n    assert f('\\ud800', 10**400, 1e400, 1j, b'x', ...)")
    assert facts.tokens
    assert facts.exact


DIFFERENT = [
    ("x = a[n:]", "x = a[:n]"),
    ("x = a[1:]", "x = a[:1]"),
    ("if c:\n        f()\n    else:\n        g()", "if c:\n        f()\n        g()"),
    (
        "try:\n        f()\n    finally:\n        g()\n        h()",
        "try:\n        f()\n        g()\n    finally:\n        h()",
    ),
    ("for i in x:\n        f()\n        g()", "for i in x:\n        f()\n    else:\n        g()"),
    ("x = {**a, b: c}", "x = {b: a, **c}"),
    ("match c:\n        case None:\n            f()", "match c:\n        case True:\n            f()"),
    ("match c:\n        case P(x=1):\n            f()", "match c:\n        case P(y=1):\n            f()"),
    ("f(lambda x, y: x)", "f(lambda x, *y: x)"),
    ("f(lambda x, *y: x)", "f(lambda x, **y: x)"),
    ("f(lambda x, y: x)", "f(lambda x, *, y: x)"),
    ("f(lambda x, y: x)", "f(lambda x, /, y: x)"),
    ("def k(*a):\n        f()", "def k(a):\n        f()"),
    ("def k(a, b=X, *, c):\n        f()", "def k(a, b, *, c=X):\n        f()"),
    ("def k() -> f:\n        g()", "@f\n    def k():\n        g()"),
    ("x: f = g", "x: g = f"),
    ("f(a, *b)", "f(*a, b)"),
    ("f(a, b=c)", "f(a, c)"),
    ("with a as b:\n        f()", "with a, b:\n        f()"),
    ("x = f'{a!r}'", "x = f'{a!s}'"),
    ("x = f'{a:{b}}'", "x = f'{a}{b}'"),
    ("raise a from b", "raise a\n    b"),
    ("x = [y for y in a if b]", "x = [y for y in a]\n    b"),
    ("global a\n    a = 1", "a = 1"),
    ("import a.b", "import a"),
    ("from . import a", "from .. import a"),
]


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different_code_has_different_forms(one: str, other: str) -> None:
    first, second = (described(f"def test_it(a, b, c, x, n):\n    {body}\n    assert x") for body in (one, other))
    assert first.exact != second.exact
    if "1:" not in one:
        assert first.literal != second.literal


def test_async_comprehensions_are_not_plain_ones() -> None:
    one, other = (described(f"async def test_it():\n    assert [x {loop} x in f()]") for loop in ("async for", "for"))
    assert one.shape != other.shape

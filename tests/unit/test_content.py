from __future__ import annotations

import textwrap

import pytest

from pytest_qeattention.similarity.content import content_of
from pytest_qeattention.similarity.scan import scan_source

TEXT = """
def test_total(stock, tmp_path):
    '''Counts the tea.'''
    count = stock.count("tea", limit=3)
    for name in ["a", "b"]:
        count += stock.add(name, f"{name}!")
    assert count == 12, name
"""


def content(text: str) -> str:
    data = textwrap.dedent(text).encode()
    (found,) = scan_source(data, "test_a.py", describe=lambda node, unit: None).functions
    return content_of(found.unit)


def test_contents_of_version_1_stay_what_they_are() -> None:
    # Baselines in the repositories of users hold these: another value needs another version of their format.
    assert content(TEXT) == "fa08dec575f5fd38"
    assert content("async def test_x():\n    with a as b, c():\n        x: int = -1 + 2\n") == "e6e2e974bf767f59"


@pytest.mark.parametrize(
    "text",
    [
        TEXT.replace("test_total", "test_sum"),
        TEXT.replace("'''Counts the tea.'''", "# counts"),
        TEXT.replace("count", "total").replace(".total(", ".count("),
        TEXT.replace("name", "key"),
        TEXT.replace('"tea"', "'milk'").replace("12", "-7").replace('["a", "b"]', '("c",)'),
        TEXT.replace('stock.count("tea", limit=3)', 'stock.count(\n        "tea",\n        limit=(3),\n    )'),
        TEXT.replace("count = ", "count: int = ", 1),
        TEXT.replace("stock, tmp_path)", "stock: Stock, tmp_path) -> None"),
        "\n\n@pytest.mark.slow\n" + TEXT.lstrip(),
    ],
    ids=["name", "docstring", "local", "loop name", "literals", "formatting", "variable type", "types", "decorator"],
)
def test_what_leaves_a_test_the_same_leaves_its_content(text: str) -> None:
    assert content(text) == content(TEXT)


@pytest.mark.parametrize(
    "text",
    [
        TEXT.replace(".add(", ".remove("),
        TEXT.replace("limit=", "most="),
        TEXT.replace("count == 12", "count != 12"),
        TEXT.replace("stock", "store"),
        TEXT.replace("    assert count == 12, name\n", "    assert count == 12, name\n    assert name\n"),
        TEXT.replace("def ", "async def "),
        TEXT.replace("for name in", "for other in").replace("in [", "in [count, "),
        TEXT.replace("assert count ==", "global count\n    assert count =="),
    ],
    ids=["attribute", "keyword", "operator", "fixture", "statement", "async", "list of names", "global"],
)
def test_what_makes_another_test_of_it_makes_another_content(text: str) -> None:
    assert content(text) != content(TEXT)


def test_a_method_has_the_content_of_the_function() -> None:
    method = "class TestA:\n" + textwrap.indent(TEXT.replace("(stock", "(self, stock"), "    ")

    assert content(method) == content(TEXT.replace("(stock", "(self, stock"))

"""Folding, and putting the rows back, gives the tests that were folded, whatever their values are."""

from __future__ import annotations

import ast

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_qeattention.similarity.candidates import FileScan
from pytest_qeattention.similarity.fold.folding import Fold, suggest
from pytest_qeattention.similarity.fold.module import Module
from pytest_qeattention.similarity.scan import scan_source

TEMPLATE = """\
{decorators}def test_{name}(client):
    # Ask.
    answer = client.ask({0}, depth={1})
    assert answer["kind"] == {2}
    for part in answer["parts"]:
        assert part.size() <= {3}
"""
CONSTANTS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**6), 10**6),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.binary(max_size=4),
)
VALUES = st.recursive(
    CONSTANTS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text(max_size=3), inner, max_size=2),
    ),
    max_leaves=4,
)
ROWS = st.lists(st.tuples(VALUES, VALUES, VALUES, CONSTANTS), min_size=2, max_size=4)
MARKS = st.lists(st.sampled_from(["", "@pytest.mark.slow\n", "@pytest.mark.xfail(strict=True)\n"]), min_size=4)


class _PutBack(ast.NodeTransformer):
    def __init__(self, values: dict[str, ast.expr]) -> None:
        self.values = values

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self.values.get(node.id, node)


def _function(source: str) -> ast.FunctionDef:
    (function,) = ast.parse(source).body
    assert isinstance(function, ast.FunctionDef)
    return function


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows=ROWS, marks=MARKS)
def test_rows_put_back_give_the_tests(rows: list[tuple[object, ...]], marks: list[str]) -> None:
    sources = [
        TEMPLATE.format(*map(repr, row), name=f"case_{number}", decorators=marks[number])
        for number, row in enumerate(rows)
    ]
    text = "import pytest\n\n\n" + "\n\n".join(sources)
    scan: FileScan[None] = scan_source(text.encode("utf-8", "surrogatepass"), "test_it.py")
    result = suggest([found.unit for found in scan.functions], Module("test_it.py", text))
    # Copies, whatever their marks, are not folded.
    if len({source.partition("(client)")[2] for source in sources}) == 1:
        assert not isinstance(result, Fold)
        return
    assert isinstance(result, Fold), result.reason

    folded = _function(result.source)
    table = folded.decorator_list[0]
    assert isinstance(table, ast.Call)
    assert isinstance(table.args[1], ast.List)
    given_rows = {}
    for row, written in zip(result.rows, table.args[1].elts, strict=True):
        assert isinstance(written, ast.Call)
        for nodeid in row.covers:
            given_rows[nodeid] = dict(zip(result.parameters, written.args, strict=True))
    for number, source in enumerate(sources):
        body = [
            _PutBack(given_rows[f"test_it.py::test_case_{number}"]).visit(statement)
            for statement in _function(result.source).body
        ]
        assert [ast.dump(each) for each in body] == [ast.dump(each) for each in _function(source).body]

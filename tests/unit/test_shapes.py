"""Shapes of statements, against a plain computation of the same."""

from __future__ import annotations

import ast
import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from pytest_qeattention.similarity.describe import Description, describe
from pytest_qeattention.similarity.forms import Forms
from pytest_qeattention.similarity.model import Unit
from pytest_qeattention.similarity.shapes import DOUBT, LEAST_STATEMENTS, StatementShapes
from pytest_qeattention.syntax.nodes import FunctionNode

ORDER = """
def test_order(shop, clock):
    basket = shop.basket("tea", amount=2)
    with clock.stopped():
        order = basket.order()
        assert order.total == 7
    for item in order:
        item.pack()
    assert order.is_done
"""
COPY = """
def test_flight(port, gate):
    seats = port.book("window", row=30)
    with gate.closed():
        flight = seats.confirm()
        assert flight.price == 120
    for bag in flight:
        bag.load()
    assert flight.is_full
"""
OTHERS = (
    "def test_one():\n    assert parse('x') == 1\n",
    "def test_one_more():\n    assert read('y') == 2\n",
    "def test_two():\n    left = parse('x')\n    assert left == 1\n",
    "def test_again():\n    right = read('y')\n    assert right == 3\n",
    "def test_nothing():\n    '''Says what it will do.'''\n",
    "def test_error():\n    try:\n        fail(1)\n    except KeyError as error:\n        assert error.args\n",
    "def test_match(x):\n    match x:\n        case 1:\n            fail()\n        case 2:\n            win()\n",
    "async def test_lambda():\n    x = await call(lambda a: [b for b in a if b], *rest, k=1)\n    assert x[0].y is x\n",
)


def node_of(source: str) -> FunctionNode:
    node = ast.parse(source).body[0]
    assert isinstance(node, FunctionNode)
    return node


def described(*sources: str) -> list[Description]:
    unit = Unit("test_it.py::test", "test_it.py", 1, "test", "test", 1, 9, "")
    return [describe(node_of(source), unit) for source in sources]


def features_of(source: str) -> Counter[object]:
    """Return the shapes of the statements of a function, and their pairs, as text."""
    form = Forms()
    form.read(node_of(source))
    kinds = {f"({name}" for name, each in vars(ast).items() if isinstance(each, type)} | {"#", "Attribute"}
    opening = {f"({each.__name__}" for each in ast.stmt.__subclasses__()} | {"(ExceptHandler", "(match_case"}
    statements: list[list[str]] = []
    for token in form.literal:
        if token in opening:
            statements.append([])
        if statements and token[0] not in ")|":
            statements[-1].append(token if token in kinds else "name")
    shapes = [" ".join(statement) for statement in statements]
    ends = ["beginning", *shapes, "end"]
    return Counter([*shapes, *(pairwise(ends) if shapes else ())])


def plainly(sources: list[str], chosen: int) -> list[tuple[float, float]]:
    """Return cosine and share of each test beside the one chosen."""
    n = len(sources)
    every = [features_of(source) for source in sources]
    tests_with = Counter(feature for features in every for feature in features)
    weighed = [
        {
            feature: (1 + math.log(count)) * math.log((1 + n) / (1 + tests_with[feature])) / math.log(1 + n)
            for feature, count in features.items()
        }
        for features in every
    ]
    lengths = [math.sqrt(sum(value**2 for value in weights.values())) for weights in weighed]
    statements = [sum(count for feature, count in each.items() if isinstance(feature, str)) for each in every]
    found = []
    for other in range(n):
        dot = sum(value * weighed[chosen].get(feature, 0.0) for feature, value in weighed[other].items())
        both = lengths[other] * lengths[chosen]
        enough = min(statements[other], statements[chosen]) >= LEAST_STATEMENTS
        found.append((min(dot / both, 1.0) if both else 0.0, dot / (both + DOUBT) if enough else 0.0))
    return found


def test_likeness_is_that_of_a_plain_computation() -> None:
    sources = [ORDER, COPY, *OTHERS]
    shapes = StatementShapes(described(*sources))
    for chosen in range(len(sources)):
        found = shapes.beside(chosen)
        expected = np.array(plainly(sources, chosen))
        np.testing.assert_allclose(found.cosine, expected[:, 0], atol=1e-12)
        np.testing.assert_allclose(found.share, expected[:, 1], atol=1e-12)


def test_other_names_and_values_are_the_same_shapes() -> None:
    found = StatementShapes(described(ORDER, COPY, *OTHERS)).beside(0)
    assert found.cosine[1] == pytest.approx(1.0)
    assert found.share[1] > 0.7
    assert found.share[1] == found.share[0]
    assert found.share[2:].max() < 0.1


def test_a_statement_more_leaves_most_of_the_shapes() -> None:
    edited = COPY.replace("    for bag", "    print(repr(flight), file=log)\n    for bag")
    found = StatementShapes(described(ORDER, edited, *OTHERS)).beside(0)
    assert 0.7 < found.cosine[1] < 0.95


def test_the_order_of_statements_counts() -> None:
    turned = "def test_turned():\n    assert left == 1\n    left = parse('x')\n"
    found = StatementShapes(described(OTHERS[2], OTHERS[3], turned, ORDER)).beside(0)
    assert found.cosine[1] == pytest.approx(1.0)
    assert 0 < found.cosine[2] < 0.6


def test_one_statement_tells_nothing() -> None:
    found = StatementShapes(described(*OTHERS)).beside(0)
    assert found.cosine[1] == pytest.approx(1.0)
    assert not found.share.any()


def test_what_all_tests_have_tells_nothing() -> None:
    found = StatementShapes(described(OTHERS[2], OTHERS[3], OTHERS[2])).beside(0)
    assert not found.share.any()


@pytest.mark.parametrize("sources", [(OTHERS[4],), (ORDER,), (OTHERS[4], OTHERS[4])])
def test_suites_without_anything_to_compare(sources: tuple[str, ...]) -> None:
    found = StatementShapes(described(*sources)).beside(0)
    assert found.share.tolist() == [0.0] * len(sources)


def test_the_order_of_tests_changes_nothing() -> None:
    sources = [ORDER, COPY, *OTHERS]
    found = StatementShapes(described(*sources)).beside(1)
    turned = StatementShapes(described(*reversed(sources))).beside(len(sources) - 2)
    np.testing.assert_allclose(turned.share[::-1], found.share, atol=1e-12)

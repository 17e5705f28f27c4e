"""Put values in the place of names before tests are compared: rows that tests have already, and locals used for little.

A test that is parametrized already is as many cases as it has rows. A local that only names a literal (``wrong = "x"``)
is put back where it is used, when tests differ in what they give names to.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from pytest_qeattention.similarity.fold.decorators import has_rows, mark_name, parametrized_names
from pytest_qeattention.similarity.fold.holes import Differ
from pytest_qeattention.similarity.fold.lifting import Lifting, NotLiftable, callee_name, is_mutable
from pytest_qeattention.similarity.fold.member import Member, written_for

_MOST_ROWS = 200


@dataclass(frozen=True, slots=True)
class Given:
    """Hold one row of a test's own ``parametrize`` marks."""

    values: Mapping[str, ast.expr]
    id: str | None = None
    marks: tuple[ast.expr, ...] = ()
    end: int = 0
    """Where the row ends in the source of the test."""
    computed: ast.expr | None = None
    """The expression that gives rows instead; *values* then holds it, unpacked, for every name."""


def given_rows(member: Member, decorators: Sequence[ast.expr], lifting: Lifting) -> list[Given]:
    """Read the rows of *decorators*, all combinations of several; raises Differ for rows that cannot be read.

    Rows that an expression computes are one `Given` for all of them, where they are those of one decorator.
    """
    tables = [_table(member, decorator, lifting) for decorator in decorators]
    if len(tables) == 1 and tables[0] and tables[0][0].computed is not None:
        return tables[0]
    if any(row.computed is not None for table in tables for row in table):
        raise Differ("the tests are parametrized already, with rows that are computed")
    rows = []
    for chosen in product(*tables):
        ids = [row.id for row in chosen]
        rows.append(
            Given(
                {name: value for row in chosen for name, value in row.values.items()},
                "_".join(text for text in ids if text) if all(ids) else None,
                tuple(mark for row in chosen for mark in row.marks),
                max((row.end for row in chosen), default=0),
            )
        )
    if len(rows) > _MOST_ROWS:
        raise Differ(f"the tests are parametrized already, with more than {_MOST_ROWS} rows")
    return rows


def gives_tuples(rows: ast.expr) -> bool:
    """Tell whether every row that *rows* computes is a plain tuple: a mark or an id is nowhere among them."""
    if not isinstance(rows, ast.Call):
        return False
    name = callee_name(rows)
    if isinstance(rows.func, ast.Name) and name in ("list", "tuple", "sorted") and len(rows.args) == 1:
        return gives_tuples(rows.args[0])
    return name in ("zip", "enumerate", "product", "combinations", "permutations") or (
        name == "items" and isinstance(rows.func, ast.Attribute) and not rows.args
    )


def _table(member: Member, decorator: ast.expr, lifting: Lifting) -> list[Given]:
    if not isinstance(decorator, ast.Call):
        raise Differ("the tests are parametrized already, in a way that is not read")
    arguments = dict(zip(("argnames", "argvalues"), decorator.args, strict=False))
    ids: ast.expr | None = None
    for keyword in decorator.keywords:
        if keyword.arg in ("argnames", "argvalues"):
            arguments[keyword.arg] = keyword.value
        elif keyword.arg == "ids":
            ids = keyword.value
        else:
            raise Differ(f"the tests are parametrized already, with {keyword.arg or 'options'}")
    names = parametrized_names([decorator])
    rows = arguments.get("argvalues")
    if names and rows is not None and ids is None and not isinstance(rows, ast.List | ast.Tuple):
        # Those of every test are evaluated where the first test is.
        try:
            lifting.check_defined(rows)
        except NotLiftable as error:
            raise Differ(str(error)) from error
        unpacked = ast.Starred(rows, ast.Load())
        return [Given(dict.fromkeys(names, unpacked), None, (), member.span(rows)[1], rows)]
    if not names or not isinstance(rows, ast.List | ast.Tuple):
        raise Differ("the tests are parametrized already, with rows that are computed")
    is_single = isinstance(arguments["argnames"], ast.Constant) and len(names) == 1
    found = []
    for number, element in enumerate(rows.elts):
        text = None
        marks: list[ast.expr] = []
        if isinstance(element, ast.Call) and callee_name(element) == "param":
            values = list(element.args)
            for keyword in element.keywords:
                if keyword.arg == "id" and isinstance(keyword.value, ast.Constant):
                    text = str(keyword.value.value)
                elif keyword.arg == "marks":
                    marks = keyword.value.elts if isinstance(keyword.value, ast.List | ast.Tuple) else [keyword.value]
                else:
                    raise Differ("the tests are parametrized already, with rows that are computed")
        elif is_single:
            values = [element]
        elif isinstance(element, ast.Tuple | ast.List):
            values = list(element.elts)
        else:
            raise Differ("the tests are parametrized already, with rows that are computed")
        if len(values) != len(names) or any(isinstance(value, ast.Starred) for value in values):
            raise Differ("the tests are parametrized already, with rows that are computed")
        if text is None and isinstance(ids, ast.List | ast.Tuple) and number < len(ids.elts):
            named = ids.elts[number]
            text = named.value if isinstance(named, ast.Constant) and isinstance(named.value, str) else None
        try:
            for value in (*values, *marks):
                lifting.check_names(value)
        except NotLiftable as error:
            raise Differ(str(error)) from error
        end = member.span(element)[1]
        found.append(Given(dict(zip(names, values, strict=True)), text, tuple(marks), end))
    return found


class _Substitution(ast.NodeTransformer):
    def __init__(self, values: Mapping[str, ast.expr], *, is_active: bool = False) -> None:
        self._values = values
        self._is_active = is_active

    def visit_Name(self, node: ast.Name) -> ast.expr:
        value = self._values.get(node.id)
        if value is None:
            return node
        if not isinstance(node.ctx, ast.Load):
            raise Differ(f"{node.id} is a parameter, and is assigned to")
        written = written_for(value, node)
        if self._is_active:
            written.qe_active = True  # type: ignore[attr-defined]
        return written

    def visit_arg(self, node: ast.arg) -> ast.arg:
        if node.arg in self._values:
            raise Differ(f"{node.arg} is also an argument of a function in the test")
        return node


def substitute(body: Sequence[ast.stmt], values: Mapping[str, ast.expr], *, is_active: bool = False) -> list[ast.stmt]:
    """Return a copy of *body* with *values* in the place of names; raises Differ where such a name is assigned to.

    *is_active* says that evaluating them may do something, so that they cannot move further.
    """
    if not values:
        return list(body)
    transformer = _Substitution(values, is_active=is_active)
    return [transformer.visit(statement) for statement in copy.deepcopy(list(body))]


def own_parametrize(members: Sequence[Member], *, all_of_them: bool = False) -> list[list[ast.expr]]:
    """List the ``parametrize`` marks of each test that not all tests have, or all that have several rows."""
    dumps = [[ast.dump(decorator) for decorator in member.node.decorator_list] for member in members]
    return [
        [
            decorator
            for decorator, dump in zip(member.node.decorator_list, each, strict=True)
            if mark_name(decorator) == "parametrize"
            and ((all_of_them and has_rows(decorator)) or any(dump not in other for other in dumps))
        ]
        for member, each in zip(members, dumps, strict=True)
    ]


def inline_locals(
    bodies: Sequence[list[ast.stmt]], liftings: Sequence[Lifting]
) -> tuple[list[list[ast.stmt]], list[list[ast.stmt]]]:
    """Put locals that only name a value back where they are used, but for those that all tests have alike.

    Returns the bodies, and the statements that were taken out of each.
    """
    common = Counter(ast.dump(statement) for statement in bodies[0])
    for body in bodies[1:]:
        common &= Counter(ast.dump(statement) for statement in body)
    changed, removed = [], []
    for body, lifting in zip(bodies, liftings, strict=True):
        left = body
        out: list[ast.stmt] = []
        for statement in body[:-1]:
            if ast.dump(statement) in common:
                continue
            named = _named_value(statement, left, lifting)
            if named is None:
                continue
            at = next((n for n, each in enumerate(left) if _same_place(each, statement)), None)
            if at is None:
                continue
            left = [*left[:at], *substitute(left[at + 1 :], {named[0]: named[1]})]
            out.append(statement)
        changed.append(left)
        removed.append(out)
    return changed, removed


def inline_next(
    bodies: Sequence[list[ast.stmt]], liftings: Sequence[Lifting]
) -> tuple[list[list[ast.stmt]], list[list[ast.stmt]]]:
    """Put locals back that the next statement alone uses, before anything else, but for those that all tests have.

    What is evaluated, and in which order, stays the same. Returns the bodies, and the statements taken out of each.
    """
    common = Counter(map(_assigned, bodies[0]))
    for body in bodies[1:]:
        common &= Counter(map(_assigned, body))
    changed, removed = [], []
    for body in bodies:
        left = list(body)
        out: list[ast.stmt] = []
        at = 0
        while at < len(left) - 1:
            statement = left[at]
            name = _assigned(statement)
            if not name or name in common or not isinstance(statement, ast.Assign):
                at += 1
                continue
            uses = [n for each in left for n in ast.walk(each) if isinstance(n, ast.Name) and n.id == name]
            first = _evaluated_first(left[at + 1])
            if len(uses) != 2 or not isinstance(first, ast.Name) or first.id != name:
                at += 1
                continue
            (following,) = substitute([left[at + 1]], {name: statement.value}, is_active=True)
            left[at : at + 2] = [following]
            out.append(statement)
        changed.append(left)
        removed.append(out)
    return changed, removed


def _assigned(statement: ast.stmt) -> str:
    """Return the name that a statement gives a value to, and does nothing else; empty for any other."""
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1 and isinstance(statement.targets[0], ast.Name):
        return statement.targets[0].id
    return ""


def _evaluated_first(statement: ast.stmt) -> ast.AST | None:
    """Return the name or the constant that a statement evaluates before anything else; None where that is not clear."""
    if isinstance(statement, ast.Assert):
        node: ast.AST | None = statement.test
    elif isinstance(statement, ast.Assign | ast.Expr | ast.Return):
        node = statement.value
    else:
        return None
    while node is not None and not isinstance(node, ast.Name | ast.Constant):
        if isinstance(node, ast.Call):
            node = node.func
        elif isinstance(node, ast.Attribute | ast.Subscript | ast.Await):
            node = node.value
        elif isinstance(node, ast.BinOp | ast.Compare):
            node = node.left
        elif isinstance(node, ast.UnaryOp):
            node = node.operand
        else:
            return None
    return node


def _same_place(left: ast.stmt, right: ast.stmt) -> bool:
    return (left.lineno, left.col_offset) == (right.lineno, right.col_offset)


def _named_value(statement: ast.stmt, body: Sequence[ast.stmt], lifting: Lifting) -> tuple[str, ast.expr] | None:
    """Return the name and the value of an assignment that could as well be written where the name is used."""
    if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
        return None
    target, value = statement.targets[0], statement.value
    if not isinstance(target, ast.Name):
        return None
    try:
        lifting.check(value)
    except NotLiftable:
        return None
    uses = [node for each in body for node in ast.walk(each) if isinstance(node, ast.Name) and node.id == target.id]
    loads = [node for node in uses if isinstance(node.ctx, ast.Load)]
    if len(uses) - len(loads) != 1 or not loads or (is_mutable(value) and len(loads) > 1):
        return None
    return target.id, value

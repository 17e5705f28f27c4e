"""Anti-unification: find the places where tests differ, as small as they can be and still move into rows.

The first test is the template. Two trees that agree but for an expression leave a hole there; where the expression
cannot move, the hole is tried at the expression around it, up to the statement, and no further.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from pytest_qeattention.similarity.fold.holes import Differ, Hole, Place
from pytest_qeattention.similarity.fold.lifting import Lifting, NotLiftable, callee_name, makes_value
from pytest_qeattention.similarity.fold.member import Member
from pytest_qeattention.similarity.fold.operators import MODULE as OPERATORS
from pytest_qeattention.similarity.fold.operators import function_of
from pytest_qeattention.similarity.fold.pieces import inserted, literal_pieces
from pytest_qeattention.similarity.fold.surroundings import (
    are_assertions,
    common_start,
    expects_error,
    in_fstring,
    kind_of,
    with_fields,
)
from pytest_qeattention.similarity.fold.truth import asserted, is_boolean
from pytest_qeattention.syntax.nodes import is_literal

_SKIPPED = frozenset({"ctx", "type_comment", "kind", "simple", "type_ignores"})
_LOOPS = (
    *(ast.For, ast.AsyncFor, ast.While, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp),
    *(ast.Lambda, ast.FunctionDef, ast.AsyncFunctionDef),
)
_DISPLAYS = (ast.List, ast.Tuple, ast.Set, ast.Dict)


class Unifier:
    """Unify parts of tests; what differs is left in `holes`."""

    def __init__(self, members: Sequence[Member], liftings: Sequence[Lifting], *, as_written: bool = True) -> None:
        """*as_written* says that the trees are those of the text, so that equal text is an equal tree."""
        self._as_written = as_written
        self._members = members
        self._liftings = liftings
        self.holes: list[Hole] = []

    def statements(
        self, bodies: Sequence[Sequence[ast.stmt]], parent: Place | None = None, field: str = "body"
    ) -> None:
        """Unify lists of statements; raises Differ."""
        if len({len(body) for body in bodies}) != 1:
            raise Differ("statements differ: some tests have more than others")
        for index, nodes in enumerate(zip(*bodies, strict=True)):
            self._statement(nodes, Place(nodes[0], parent, field, index))

    def _statement(self, nodes: Sequence[ast.stmt], place: Place) -> None:
        first = nodes[0]
        # The text of a function leaves its decorators out.
        is_decorated = any(getattr(node, "decorator_list", None) for node in nodes)
        text = self._members[0].segment(first)
        if (
            self._as_written
            and not is_decorated
            and all(member.segment(node) == text for member, node in zip(self._members[1:], nodes[1:], strict=True))
        ):
            return
        if len({type(node) for node in nodes}) != 1:
            raise Differ("statements differ" + self._where(first))
        loops = [node for node in nodes if isinstance(node, ast.For)]
        if loops and any(hasattr(node, "qe_run") for node in nodes):
            self._loop(loops, place)
            return
        try:
            asserts = [node for node in nodes if isinstance(node, ast.Assert)]
            if asserts and len({asserted(node.test)[1] for node in asserts}) > 1:
                self._truth(asserts, place)
            else:
                self._fields(nodes, place)
        except Differ as error:
            if isinstance(first, ast.Assert) and not isinstance(error, _Stays):
                raise Differ("the assertions differ in shape" + self._where(first)) from error
            raise

    def _loop(self, nodes: Sequence[ast.For], place: Place) -> None:
        """Leave a hole for what a loop goes over, which stands for statements that tests repeat."""
        iterated = tuple(node.iter for node in nodes)
        for each, lifting in zip(iterated, self._liftings, strict=True):
            for value in each.elts if isinstance(each, ast.Tuple) else [each]:
                self._check(lifting, value, place)
        self.holes.append(Hole("each", iterated, Place(iterated[0], place, "iter")))
        self.statements([node.body for node in nodes], place)

    def _truth(self, nodes: Sequence[ast.Assert], place: Place) -> None:
        """Leave a hole for what tests say of one condition: that it holds, or that it does not."""
        conditions, values = zip(*(asserted(node.test) for node in nodes), strict=True)
        test = Place(nodes[0].test, place, "test")
        self._expression(conditions, Place(conditions[0], place, "test"))
        for condition, lifting in zip(conditions, self._liftings, strict=True):
            name = callee_name(condition) if isinstance(condition, ast.Call) and is_boolean(condition) else "bool"
            if not (isinstance(condition, ast.Compare) and is_boolean(condition)) and not lifting.has_builtin(name):
                raise Differ(f"{name} is no builtin here")
        self.holes.append(Hole("truth", tuple(ast.Constant(value) for value in values), test))
        messages = [node.msg for node in nodes]
        if any(message is not None for message in messages):
            given = [message for message in messages if message is not None]
            self._expression(given, Place(given[0], place, "msg"))

    def _where(self, node: ast.stmt) -> str:
        member = self._members[0]
        line = member.unit.first_line + member.line_at(member.span(node)[0])
        return f" (line {line})"

    def _fields(self, nodes: Sequence[ast.AST], place: Place) -> None:
        for field in nodes[0]._fields:
            if field in _SKIPPED:
                continue
            values: list[Any] = [getattr(node, field, None) for node in nodes]
            first = values[0]
            if isinstance(first, list):
                self._list(values, place, field)
            elif isinstance(first, ast.AST):
                if not all(isinstance(value, ast.AST) for value in values):
                    raise Differ("one test gives what another leaves out")
                self._child(values, Place(first, place, field))
            elif any(type(value) is not type(first) or value != first for value in values):
                raise Differ(f"{kind_of(nodes[0])} differ: {first} and {next(v for v in values if v != first)}")

    def _list(self, values: Sequence[list[ast.AST]], place: Place, field: str) -> None:
        if values[0] and isinstance(values[0][0], ast.stmt):
            self.statements([[node for node in value if isinstance(node, ast.stmt)] for value in values], place, field)
            return
        if len({len(value) for value in values}) != 1:
            raise Differ(f"{kind_of(place.node)} differ in length")
        for index, items in enumerate(zip(*values, strict=True)):
            if isinstance(items[0], ast.AST) and all(isinstance(item, ast.AST) for item in items):
                self._child(items, Place(items[0], place, field, index))
            elif any(item != items[0] for item in items):
                raise Differ(f"{kind_of(place.node)} differ")

    def _child(self, nodes: Sequence[ast.AST], place: Place) -> None:
        if isinstance(nodes[0], ast.expr):
            self._expression([node for node in nodes if isinstance(node, ast.expr)], place)
        elif len({type(node) for node in nodes}) != 1:
            raise Differ(f"{kind_of(nodes[0])} differ")
        elif isinstance(nodes[0], ast.pattern | ast.arguments):
            if len({ast.dump(node) for node in nodes}) != 1:
                raise Differ(f"{kind_of(nodes[0])} differ")
        else:
            self._fields(nodes, place)

    def _expression(self, nodes: Sequence[ast.expr], place: Place) -> None:
        first, mark = nodes[0], len(self.holes)
        if len(nodes) != len(self._members):
            raise Differ("one test gives what another leaves out")
        reason: Differ | None = None
        if all(type(node) is type(first) for node in nodes):
            try:
                self._same_kind(nodes, place)
            except Differ as error:
                reason = error
                del self.holes[mark:]
            else:
                if self._reads_better_whole(nodes, mark):
                    inner = self.holes[mark:]
                    del self.holes[mark:]
                    try:
                        self._lift(nodes, place)
                    except Differ:
                        self.holes.extend(inner)
                return
        try:
            self._lift(nodes, place)
        except Differ:
            strings = [node for node in nodes if isinstance(node, ast.JoinedStr)]
            if len(strings) == len(nodes) and self._pieces(strings, place):
                return
            if self._items(nodes, place):
                return
            operations = [node for node in nodes if isinstance(node, ast.BinOp)]
            if len(operations) == len(nodes) and not in_fstring(place) and self._operators(operations, place):
                return
            if isinstance(reason, _Stays):
                raise reason from None
            raise

    def _pieces(self, nodes: Sequence[ast.JoinedStr], place: Place) -> bool:
        """Leave holes for the literal pieces of f-strings that differ; tell whether nothing else does."""
        if in_fstring(place) or len({tuple(map(ast.dump, inserted(node))) for node in nodes}) != 1:
            return False
        for number, pieces in enumerate(zip(*map(literal_pieces, nodes), strict=True)):
            if len(set(pieces)) > 1:
                self.holes.append(Hole("text", tuple(map(ast.Constant, pieces)), place, number))
        return True

    def _items(self, nodes: Sequence[ast.expr], place: Place) -> bool:
        """Leave a hole for elements that lists or tuples have more or fewer of; tell whether nothing else differs."""
        lists = [node for node in nodes if isinstance(node, ast.List | ast.Tuple)]
        if len({type(node) for node in nodes}) > 1 or len(lists) != len(nodes):
            return False
        dumps = [[ast.dump(each) for each in node.elts] for node in lists]
        if len(set(map(len, dumps))) == 1 or in_fstring(place):
            return False
        start = common_start(dumps)
        tail = common_start([list(reversed(each[start:])) for each in dumps])
        hole = Hole("items", tuple(nodes), place, start, tail)
        if not start + tail:
            return False
        for node, lifting in zip(nodes, self._liftings, strict=True):
            for element in hole.middle(node):
                self._check(lifting, element, place)
        self.holes.append(hole)
        return True

    def _operators(self, nodes: Sequence[ast.BinOp], place: Place) -> bool:
        """Leave a hole for operators that differ; tell whether they do, and the operands agree but for holes."""
        if len({type(node.op) for node in nodes}) == 1 or any(OPERATORS in each.local for each in self._liftings):
            return False
        mark = len(self.holes)
        try:
            self._expression([node.left for node in nodes], Place(nodes[0].left, place, "left"))
            self._expression([node.right for node in nodes], Place(nodes[0].right, place, "right"))
        except Differ:
            del self.holes[mark:]
            return False
        self.holes.append(Hole("operator", tuple(function_of(node.op) for node in nodes), place))
        return True

    def _same_kind(self, nodes: Sequence[ast.expr], place: Place) -> None:
        first = nodes[0]
        if isinstance(first, ast.Constant):
            keys = {(type(n.value), repr(n.value)) for n in nodes if isinstance(n, ast.Constant)}
            if len(keys) != 1:
                raise Differ("constants differ")
        elif isinstance(first, ast.Call):
            self._call([node for node in nodes if isinstance(node, ast.Call)], place)
        elif isinstance(first, ast.Attribute):
            self._attribute([node for node in nodes if isinstance(node, ast.Attribute)], place)
        elif isinstance(first, ast.JoinedStr) or type(first).__name__ == "TemplateStr":
            # Before Python 3.12 the places of what stands in an f-string are not known.
            if len({ast.dump(node) for node in nodes}) != 1:
                raise Differ("an f-string differs")
        else:
            self._fields(nodes, place)

    def _attribute(self, nodes: Sequence[ast.Attribute], place: Place) -> None:
        if len({node.attr for node in nodes}) == 1:
            self._expression([node.value for node in nodes], Place(nodes[0].value, place, "value"))
            return
        mark = len(self.holes)
        if isinstance(nodes[0].ctx, ast.Load):
            if self._can_lift(nodes, place):
                raise Differ("attributes differ")
            if are_assertions(nodes):
                raise _Stays("the assertions differ in shape")
            self._expression([node.value for node in nodes], Place(nodes[0].value, place, "value"))
            if not in_fstring(place):
                self.holes.append(Hole("attribute", tuple(nodes), place))
                return
        del self.holes[mark:]
        raise Differ(f"attributes differ: {nodes[0].attr} and {next(n.attr for n in nodes if n.attr != nodes[0].attr)}")

    def _call(self, nodes: Sequence[ast.Call], place: Place) -> None:
        first, mark = nodes[0], len(self.holes)
        self._expression([node.func for node in nodes], Place(first.func, place, "func"))
        names = [[keyword.arg for keyword in node.keywords] for node in nodes]
        counts = {len(node.args) for node in nodes}
        if len(self.holes) > mark and (len(counts) > 1 or any(n != names[0] for n in names)):
            # What is called may differ with how many arguments it gets, or with their names, where its value is used.
            is_named = len(self.holes) == mark + 1 and self.holes[mark].kind == "value"
            is_used = place.parent is not None and not isinstance(place.parent.node, ast.Expr | ast.Await)
            if not (is_named and is_used) or (len(counts) > 1 and any(names)):
                raise Differ("calls differ in what is called and with what")
        if len({len(node.args) for node in nodes}) == 1:
            self._list([list(node.args) for node in nodes], place, "args")
        else:
            self._arguments(nodes, place)
        common = common_start(names)
        for index in range(common):
            keywords = [node.keywords[index] for node in nodes]
            self._fields(keywords, Place(keywords[0], place, "keywords", index))
        if any(len(each) > common for each in names):
            mark = len(self.holes)
            try:
                self._keywords(nodes, place, common)
            except Differ:
                if len({len(each) for each in names}) != 1:
                    raise
                del self.holes[mark:]
                self._keyword_names(nodes, place, common)

    def _arguments(self, nodes: Sequence[ast.Call], place: Place) -> None:
        """Leave a hole for the arguments from the first that differs; tests give different numbers of them."""
        common = common_start([[ast.dump(argument) for argument in node.args] for node in nodes])
        for node, lifting in zip(nodes, self._liftings, strict=True):
            for argument in node.args[common:]:
                self._check(lifting, argument, place)
        self.holes.append(Hole("arguments", tuple(nodes), place, common))

    def _keywords(self, nodes: Sequence[ast.Call], place: Place, common: int) -> None:
        """Leave a hole for the keyword arguments from *common* on, which have different names."""
        for node, lifting in zip(nodes, self._liftings, strict=True):
            for keyword in node.keywords[common:]:
                if keyword.arg is None:
                    raise _Stays("what differs is unpacked in the test")
                self._check(lifting, keyword.value, place)
        self.holes.append(Hole("keywords", tuple(nodes), place, common))

    def _keyword_names(self, nodes: Sequence[ast.Call], place: Place, common: int) -> None:
        """Leave a hole for the name of each keyword argument from *common* on that differs."""
        for index in range(common, len(nodes[0].keywords)):
            keywords = [node.keywords[index] for node in nodes]
            names = [keyword.arg for keyword in keywords]
            here = Place(keywords[0], place, "keywords", index)
            if any(name is None for name in names):
                raise _Stays("what differs is unpacked in the test")
            if len(set(names)) > 1:
                self.holes.append(Hole("keyword", tuple(ast.Constant(name) for name in names), here))
            values = [keyword.value for keyword in keywords]
            self._expression(values, Place(values[0], here, "value"))

    def _reads_better_whole(self, nodes: Sequence[ast.expr], mark: int) -> bool:
        """Tell whether a literal, or a value that a call writes down, should not be taken apart."""
        inner = len(self.holes) - mark
        if not inner:
            return False
        first = nodes[0]
        if isinstance(first, _DISPLAYS):
            count = len(first.keys if isinstance(first, ast.Dict) else first.elts)
            return all(map(is_literal, nodes)) and (inner > 1 or count < 4)
        if isinstance(first, ast.UnaryOp | ast.BinOp):
            return all(map(is_literal, nodes))
        if isinstance(first, ast.Call):
            return inner > 1 and all(isinstance(node, ast.Call) and makes_value(node) for node in nodes)
        return False

    def _can_lift(self, nodes: Sequence[ast.expr], place: Place) -> bool:
        mark = len(self.holes)
        try:
            self._lift(nodes, place)
        except Differ:
            return False
        del self.holes[mark:]
        return True

    def _lift(self, nodes: Sequence[ast.expr], place: Place) -> None:
        first, parent = nodes[0], place.parent
        if any(not isinstance(getattr(node, "ctx", ast.Load()), ast.Load) for node in nodes):
            raise Differ("what is assigned to differs")
        if parent is not None:
            if isinstance(parent.node, ast.Assert) and place.field == "test":
                raise Differ("the assertions differ in shape")
            if isinstance(parent.node, ast.Expr):
                raise Differ("statements differ")
            if place.field in ("annotation", "returns"):
                raise Differ("annotations differ")
        if in_fstring(place):
            raise _Stays("an f-string differs, and around it is what exists in the test alone")
        if isinstance(first, ast.Slice | ast.Starred):
            raise Differ(f"{kind_of(first)} differ")
        for node, lifting in zip(nodes, self._liftings, strict=True):
            self._check(lifting, node, place)
        self.holes.append(Hole("value", tuple(nodes), place))

    def _check(self, lifting: Lifting, node: ast.expr, place: Place) -> None:
        above = place.above()
        once = not any(isinstance(each.node, _LOOPS) for each in above)
        calls = not any(
            isinstance(each.node, ast.With | ast.AsyncWith) and place_in_body and expects_error(each.node)
            for each, place_in_body in with_fields(place)
        )
        try:
            lifting.check(node, calls=calls, once=once)
        except NotLiftable as error:
            raise _Stays(str(error)) from error


class _Stays(Differ):
    """Say why what differs cannot leave the test."""

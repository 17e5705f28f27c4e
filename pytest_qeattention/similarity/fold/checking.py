"""Prove a fold: put each row's values back into it, and compare with the test that the row stands for.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_qeattention.similarity.fold.operators import function_of
from pytest_qeattention.similarity.fold.parameters import ParameterKind
from pytest_qeattention.similarity.fold.pieces import with_texts
from pytest_qeattention.similarity.fold.rendering import Form
from pytest_qeattention.similarity.fold.truth import asserted, unwrapped
from pytest_qeattention.syntax.nodes import FunctionNode, is_docstring

_NAMES = ("attribute", "keyword")
_SKIPPED = frozenset({"ctx", "type_comment", "kind", "type_ignores"})


@dataclass(frozen=True, slots=True)
class Folded:
    """Hold a suggestion as it parses: what runs for each row, and the rows' values by parameter."""

    function: FunctionNode
    body: list[ast.stmt]
    rows: list[dict[str, ast.expr]]
    decorators: list[ast.expr]
    """Without the one that holds the rows."""
    marks: list[list[ast.expr]]


def parse_function(source: str) -> FunctionNode | None:
    """Parse the source of one function, indented or not."""
    tree = ast.parse(f"if 1:\n{source}" if source[:1] in (" ", "\t") else source)
    body = tree.body
    if isinstance(body[0], ast.If):
        body = body[0].body
    return body[0] if len(body) == 1 and isinstance(body[0], ast.FunctionDef | ast.AsyncFunctionDef) else None


def read_folded(source: str, parameters: Sequence[str], form: Form) -> Folded | None:
    """Read a suggestion back; None where it is not what was to be written."""
    function = parse_function(source)
    if function is None:
        return None
    body = function.body[1:] if is_docstring(function.body[0]) else function.body
    if form.is_loop:
        loop = body[0]
        if len(body) != 1 or not isinstance(loop, ast.For) or not isinstance(loop.iter, ast.Tuple):
            return None
        case = loop.body[0]
        if len(loop.body) != 1 or not isinstance(case, ast.With):
            return None
        rows = _tuples(loop.iter.elts, parameters)
        targets = loop.target.elts if isinstance(loop.target, ast.Tuple) else []
        if rows is None or [ast.unparse(each) for each in targets] != [form.case_name, *parameters]:
            return None
        return Folded(function, case.body, rows, function.decorator_list, [[] for _ in rows])
    if form.expander is not None:
        table = function.decorator_list[0]
        is_table = isinstance(table, ast.Call) and ast.unparse(table.func) == form.expander and not table.keywords
        given_rows = table.args[0] if is_table and isinstance(table, ast.Call) and len(table.args) == 1 else None
        rows = _tuples(given_rows.elts, parameters) if isinstance(given_rows, ast.List) else None
        names = [argument.arg for argument in function.args.args]
        if rows is None or names[1:] != [form.case_name, *parameters]:
            return None
        return Folded(function, body, rows, function.decorator_list[1:], [[] for _ in rows])
    first = function.decorator_list[0]
    if not isinstance(first, ast.Call) or len(first.args) != 2 or not isinstance(first.args[1], ast.List):
        return None
    given: list[dict[str, ast.expr]] = []
    marks: list[list[ast.expr]] = []
    for each in first.args[1].elts:
        if isinstance(each, ast.Starred):
            given.append(_computed(each, parameters))
            marks.append([])
            continue
        if not isinstance(each, ast.Call) or len(each.args) != len(parameters):
            return None
        given.append(dict(zip(parameters, each.args, strict=True)))
        value = next((keyword.value for keyword in each.keywords if keyword.arg == "marks"), None)
        marks.append([] if value is None else value.elts if isinstance(value, ast.List) else [value])
    return Folded(function, body, given, function.decorator_list[1:], marks)


def _tuples(rows: Sequence[ast.expr], parameters: Sequence[str]) -> list[dict[str, ast.expr]] | None:
    """Read rows that begin with their id; None where they do not fit."""
    found = []
    for each in rows:
        if not isinstance(each, ast.Tuple) or len(each.elts) != len(parameters) + 1:
            return None
        found.append(dict(zip(parameters, each.elts[1:], strict=True)))
    return found


def _computed(rows: ast.Starred, parameters: Sequence[str]) -> dict[str, ast.expr]:
    """Read rows that an expression gives, alone or with further values: ``*((*row, 1) for row in rows)``."""
    value = rows.value
    if isinstance(value, ast.GeneratorExp) and isinstance(value.elt, ast.Tuple) and len(value.generators) == 1:
        (part,) = value.generators
        first, *more = value.elt.elts
        name = first.value if isinstance(first, ast.Starred) else None
        is_plain = isinstance(part.target, ast.Name) and isinstance(name, ast.Name) and not part.ifs
        if more and is_plain and ast.unparse(part.target) == ast.unparse(first)[1:]:
            given = parameters[: len(parameters) - len(more)]
            rest = parameters[len(given) :]
            unpacked = ast.Starred(part.iter, ast.Load())
            return {**dict.fromkeys(given, unpacked), **dict(zip(rest, more, strict=True))}
    return dict.fromkeys(parameters, rows)


class Matcher:
    """Compare a template with what a test has, with values for its parameters."""

    def __init__(self, kinds: Mapping[str, ParameterKind]) -> None:
        self._kinds = kinds

    def matches(self, template: object, node: object, values: Mapping[str, ast.expr]) -> bool:
        """Tell whether *template* with *values* in it is the same tree as *node*."""
        if isinstance(template, list):
            if isinstance(node, list) and any(self._looped(each) for each in template):
                return self._statements(template, node, values)
            return (
                isinstance(node, list)
                and len(template) == len(node)
                and all(self.matches(a, b, values) for a, b in zip(template, node, strict=True))
            )
        if not isinstance(template, ast.AST):
            return type(template) is type(node) and (
                template == node if not isinstance(template, float | complex) else repr(template) == repr(node)
            )
        kind = self._kinds.get(template.id) if isinstance(template, ast.Name) else None
        if isinstance(template, ast.Name) and kind in ("value", "local", *_NAMES):
            if kind == "local" and isinstance(node, ast.Name) and node.id == template.id:
                return isinstance(node.ctx, ast.Load)
            return isinstance(node, ast.expr) and ast.dump(values[template.id]) == ast.dump(node)
        if isinstance(template, ast.keyword) and isinstance(node, ast.keyword) and template.arg is None:
            named = template.value
            key = named.keys[0] if isinstance(named, ast.Dict) and len(named.keys) == 1 else None
            if isinstance(named, ast.Dict) and isinstance(key, ast.Name) and self._kinds.get(key.id) in _NAMES:
                value = values[key.id]
                is_same = isinstance(value, ast.Constant) and value.value == node.arg
                return is_same and self.matches(named.values[0], node.value, values)
        if isinstance(template, ast.List | ast.Tuple) and type(template) is type(node):
            items = self._items(template, node, values)
            if items is not None:
                return items
        if isinstance(template, ast.Assert) and isinstance(node, ast.Assert):
            truth = self._truth(template, node, values)
            if truth is not None:
                return truth
        if isinstance(template, ast.JoinedStr) and isinstance(node, ast.JoinedStr):
            template = with_texts(template, self._texts(values))
            node = with_texts(node, {})
        if isinstance(template, ast.Call):
            special = self._call(template, node, values)
            if special is not None:
                return special
        if type(template) is not type(node):
            return False
        return all(
            self.matches(getattr(template, field, None), getattr(node, field, None), values)
            for field in template._fields
            if field not in _SKIPPED
        )

    def _items(
        self, template: ast.List | ast.Tuple, node: ast.List | ast.Tuple, values: Mapping[str, ast.expr]
    ) -> bool | None:
        """Compare ``[a, *b, c]`` with a list that has the elements of ``b`` in it; None for any other."""
        for at, each in enumerate(template.elts):
            inner = each.value if isinstance(each, ast.Starred) else None
            if not isinstance(inner, ast.Name) or self._kinds.get(inner.id) != "items":
                continue
            value, tail = values[inner.id], len(template.elts) - at - 1
            end = len(node.elts) - tail
            return (
                isinstance(value, ast.Tuple)
                and end >= at
                and list(map(ast.dump, value.elts)) == list(map(ast.dump, node.elts[at:end]))
                and self.matches(template.elts[:at], node.elts[:at], values)
                and self.matches(template.elts[at + 1 :], node.elts[end:], values)
            )
        return None

    def _looped(self, statement: object) -> str | None:
        """Return the parameter that a loop of a fold goes over, which may stand for statements; None for any other."""
        if not isinstance(statement, ast.For) or not isinstance(statement.iter, ast.Name):
            return None
        return statement.iter.id if self._kinds.get(statement.iter.id) == "each" else None

    def _statements(self, template: Sequence[object], nodes: Sequence[object], values: Mapping[str, ast.expr]) -> bool:
        """Compare statements with loops among them, which stand for a loop or for the statements that it would run."""
        at = 0
        for statement in template:
            name = self._looped(statement)
            if at >= len(nodes):
                return False
            if name is None or not isinstance(statement, ast.For):
                if not self.matches(statement, nodes[at], values):
                    return False
                at += 1
                continue
            target, value, node = statement.target, values[name], nodes[at]
            if isinstance(node, ast.For):
                is_same = self.matches(target, node.target, values) and ast.dump(value) == ast.dump(node.iter)
                if not is_same or node.orelse or not self.matches(statement.body, node.body, values):
                    return False
                at += 1
                continue
            if not isinstance(value, ast.Tuple) or not isinstance(target, ast.Name) or len(statement.body) != 1:
                return False
            inner = Matcher({**self._kinds, target.id: "value"})
            run = nodes[at : at + len(value.elts)]
            if not run or len(run) != len(value.elts):
                return False
            for element, each in zip(value.elts, run, strict=True):
                if not inner.matches(statement.body[0], each, {**values, target.id: element}):
                    return False
            at += len(run)
        return at == len(nodes)

    def _texts(self, values: Mapping[str, ast.expr]) -> dict[str, str]:
        """Map the parameters that stand for pieces of f-strings to these."""
        return {
            name: value.value
            for name, value in values.items()
            if self._kinds.get(name) == "text" and isinstance(value, ast.Constant) and isinstance(value.value, str)
        }

    def _truth(self, template: ast.Assert, node: ast.Assert, values: Mapping[str, ast.expr]) -> bool | None:
        """Compare ``assert bool(x) is expected`` with ``assert x`` or ``assert not x``; None for any other."""
        test = template.test
        last = test.comparators[-1] if isinstance(test, ast.Compare) else None
        if not isinstance(test, ast.Compare) or not isinstance(last, ast.Name) or self._kinds.get(last.id) != "truth":
            return None
        value, condition = values[last.id], unwrapped(test.left)
        own, holds = asserted(node.test)
        return (
            len(test.ops) == 1
            and isinstance(test.ops[0], ast.Is)
            and condition is not None
            and isinstance(value, ast.Constant)
            and value.value is holds
            and self.matches(condition, own, values)
            and self.matches(template.msg, node.msg, values)
        )

    def _call(self, template: ast.Call, node: object, values: Mapping[str, ast.expr]) -> bool | None:
        """Compare what a fold writes in another way than the tests; None for any other call."""
        if isinstance(template.func, ast.Name) and self._kinds.get(template.func.id) == "operator":
            return (
                isinstance(node, ast.BinOp)
                and not template.keywords
                and ast.dump(values[template.func.id]) == ast.dump(function_of(node.op))
                and self.matches(template.args, [node.left, node.right], values)
            )
        if isinstance(template.func, ast.Name) and template.func.id == "getattr" and len(template.args) == 2:
            name = template.args[1]
            if isinstance(name, ast.Name) and self._kinds.get(name.id) in _NAMES:
                value = values[name.id]
                return (
                    isinstance(node, ast.Attribute)
                    and isinstance(value, ast.Constant)
                    and value.value == node.attr
                    and self.matches(template.args[0], node.value, values)
                )
        last = template.args[-1] if template.args else None
        unpacked = last.value if isinstance(last, ast.Starred) else None
        has_arguments = isinstance(unpacked, ast.Name) and self._kinds.get(unpacked.id) == "arguments"
        end = template.keywords[-1] if template.keywords else None
        options = end.value if end is not None and end.arg is None else None
        has_options = isinstance(options, ast.Name) and self._kinds.get(options.id) == "keywords"
        if not (has_arguments or has_options) or not isinstance(node, ast.Call):
            return None
        arguments: list[ast.expr] = list(template.args)
        keywords = list(template.keywords)
        if has_arguments and isinstance(unpacked, ast.Name):
            value = values[unpacked.id]
            if not isinstance(value, ast.Tuple):
                return False
            count = len(arguments) - 1
            tail = node.args[count:]
            if [ast.dump(each) for each in value.elts] != [ast.dump(each) for each in tail]:
                return False
            arguments, given = arguments[:-1], node.args[:count]
        else:
            given = node.args
        named = node.keywords
        if has_options and isinstance(options, ast.Name):
            value = values[options.id]
            if not isinstance(value, ast.Dict):
                return False
            count = len(keywords) - 1
            tail_names = [keyword.arg for keyword in named[count:]]
            keys = [key.value if isinstance(key, ast.Constant) else None for key in value.keys]
            if keys != tail_names or [ast.dump(each) for each in value.values] != [
                ast.dump(keyword.value) for keyword in named[count:]
            ]:
                return False
            keywords, named = keywords[:-1], named[:count]
        return (
            self.matches(template.func, node.func, values)
            and self.matches(arguments, given, values)
            and self.matches(keywords, named, values)
        )

"""Prove a fold: put each row's values back into it, and compare with the test that the row stands for.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pytest_qeattention.similarity.describe import FunctionNode, is_docstring
from pytest_qeattention.similarity.fold.unifying import HoleKind

ParameterKind = HoleKind | Literal["local"]
"""How a test has what a parameter stands for; ``local``: also under the parameter's own name."""

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


def read_folded(source: str, parameters: Sequence[str], *, is_loop: bool) -> Folded | None:
    """Read a suggestion back; None where it is not what was to be written."""
    function = parse_function(source)
    if function is None:
        return None
    body = function.body[1:] if is_docstring(function.body[0]) else function.body
    if is_loop:
        loop = body[0]
        if len(body) != 1 or not isinstance(loop, ast.For) or not isinstance(loop.iter, ast.Tuple):
            return None
        case = loop.body[0]
        if len(loop.body) != 1 or not isinstance(case, ast.With):
            return None
        found: list[list[ast.expr]] = []
        for each in loop.iter.elts:
            if not isinstance(each, ast.Tuple):
                return None
            found.append(each.elts[1:])
        if any(len(each) != len(parameters) for each in found):
            return None
        rows = [dict(zip(parameters, each, strict=True)) for each in found]
        return Folded(function, case.body, rows, function.decorator_list, [[] for _ in rows])
    first = function.decorator_list[0]
    if not isinstance(first, ast.Call) or len(first.args) != 2 or not isinstance(first.args[1], ast.List):
        return None
    given, marks = [], []
    for each in first.args[1].elts:
        if not isinstance(each, ast.Call) or len(each.args) != len(parameters):
            return None
        given.append(dict(zip(parameters, each.args, strict=True)))
        value = next((keyword.value for keyword in each.keywords if keyword.arg == "marks"), None)
        marks.append([] if value is None else value.elts if isinstance(value, ast.List) else [value])
    return Folded(function, body, given, function.decorator_list[1:], marks)


class Matcher:
    """Compare a template with what a test has, with values for its parameters."""

    def __init__(self, kinds: Mapping[str, ParameterKind]) -> None:
        self._kinds = kinds

    def matches(self, template: object, node: object, values: Mapping[str, ast.expr]) -> bool:
        """Tell whether *template* with *values* in it is the same tree as *node*."""
        if isinstance(template, list):
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

    def _call(self, template: ast.Call, node: object, values: Mapping[str, ast.expr]) -> bool | None:
        """Compare what a fold writes in another way than the tests; None for any other call."""
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

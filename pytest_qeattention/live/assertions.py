"""What a failed assert asked for, read from the frame that it failed in: operands, and the function of the product.

Values are looked up, never asked for: names in the frame, attributes in the dictionaries of modules and classes.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import ast
import linecache
import textwrap
import types
import warnings
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from pytest_qeattention.defects.assertion_text import assertion_facts, difference_of
from pytest_qeattention.defects.record import Assertion, Raised
from pytest_qeattention.live.chain import Step, plain_function

_MOST_LINES = 40
_DEEPEST = 4
_MOST_MEMBERS = 200
_PLAIN = (type(None), bool, int, float, complex, str, bytes)
_UNKNOWN = object()


def assertion_of(raised: Raised, steps: list[Step]) -> Assertion | None:
    """Return the facts of the assert that raised *raised*; None where it was none."""
    if not steps:
        return assertion_facts(raised.type, raised.message)
    frame, line = steps[-1]
    statement = statement_at(frame.f_code.co_filename, line)
    facts = assertion_facts(raised.type, raised.message, statement)
    if facts is None:
        return None
    node = _parsed(statement)
    if not isinstance(node, ast.Assert) or not isinstance(node.test, ast.Compare) or len(node.test.ops) != 1:
        return facts
    left, right = (_value(operand, frame) for operand in (node.test.left, node.test.comparators[0]))
    if not facts.left and left is not _UNKNOWN:
        facts = replace(facts, left=type(left).__name__[:100])
    if not facts.right and right is not _UNKNOWN:
        facts = replace(facts, right=type(right).__name__[:100])
    if not facts.difference and facts.operator and _is_plain(left) and _is_plain(right):
        facts = replace(facts, difference=difference_of(facts.operator, left, right))
    return facts


def called_functions(frame: types.FrameType, line: int) -> Iterator[types.FunctionType]:
    """Yield the functions whose results the statement at *line* asserts something of, as far as they are found.

    Those that the statement calls come first, then those that gave the names in it their values.
    """
    path = frame.f_code.co_filename
    node = _parsed(statement_at(path, line))
    if node is None:
        return
    asserted: ast.AST = node
    if isinstance(node, ast.With):
        asserted = ast.Module(body=node.body, type_ignores=[])
    yield from _functions(asserted, frame)
    names = [each.id for each in ast.walk(asserted) if isinstance(each, ast.Name)]
    body = _function_body(path, frame.f_code.co_firstlineno)
    for name in dict.fromkeys(names):
        value = _assigned(body, name, line - frame.f_code.co_firstlineno + 1)
        if value is not None:
            yield from _functions(value, frame)


def statement_at(path: str, line: int) -> str:
    """Return the statement that begins at *line*, of one line or more; of a ``with`` all that it holds."""
    lines: list[str] = []
    for number in range(line, line + _MOST_LINES):
        text = linecache.getline(path, number)
        if not text:
            break
        lines.append(text)
        source = textwrap.dedent("".join(lines))
        if source.startswith(("with ", "async with ")):
            following = linecache.getline(path, number + 1)
            indent = len(lines[0]) - len(lines[0].lstrip())
            if following.strip() and len(following) - len(following.lstrip()) > indent:
                continue
        if _parsed(source) is not None:
            return source
    return linecache.getline(path, line)


@lru_cache(maxsize=1_024)
def _parsed(source: str) -> ast.stmt | None:
    tree = _tree(source.strip())
    return tree.body[0] if tree is not None and tree.body else None


def _tree(source: str) -> ast.Module | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(source)
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            return None


@lru_cache(maxsize=256)
def _function_body(path: str, first: int) -> ast.Module | None:
    """Return the function whose source begins at line *first*; its nodes count lines from there, from 1."""
    lines: list[str] = []
    indent = ""
    is_open = False
    for number in range(first, first + 1_000):
        text = linecache.getline(path, number)
        if not text:
            break
        if not lines:
            indent = text[: len(text) - len(text.lstrip())]
        elif is_open and text.strip() and not text.startswith((indent + " ", indent + "\t")) and text.strip() != ")":
            break
        is_open = is_open or text.lstrip().startswith(("def ", "async def "))
        lines.append(text)
    return _tree(textwrap.dedent("".join(lines)))


def _assigned(body: ast.Module | None, name: str, before: int) -> ast.expr | None:
    """Return what was last assigned to *name* above line *before* of the function."""
    found: ast.expr | None = None
    for node in ast.walk(body) if body is not None else ():
        if isinstance(node, ast.Assign) and node.lineno < before:
            targets = [each.id for target in node.targets for each in ast.walk(target) if isinstance(each, ast.Name)]
            if name in targets and (found is None or node.lineno >= found.lineno):
                found = node.value
        elif isinstance(node, (ast.With, ast.AsyncWith)) and node.lineno < before:
            for item in node.items:
                is_named = isinstance(item.optional_vars, ast.Name) and item.optional_vars.id == name
                if is_named and (found is None or node.lineno >= found.lineno):
                    found = item.context_expr
    return found


def _functions(node: ast.AST, frame: types.FrameType) -> Iterator[types.FunctionType]:
    for each in ast.walk(node):
        if isinstance(each, ast.Call):
            value = _value(each.func, frame)
            if isinstance(value, type):
                for method in ("__init__", "__new__"):
                    if isinstance(written := value.__dict__.get(method), types.FunctionType):
                        yield written
                        break
            elif (function := plain_function(value)) is not None:
                yield function
        elif isinstance(each, ast.Attribute):
            value = _value(each, frame, wants_property=True)
            if isinstance(value, property) and (function := plain_function(value)) is not None:
                yield function


def _value(node: ast.expr, frame: types.FrameType, wants_property: bool = False) -> object:
    """Return the value that an expression has in *frame*, where that is to be had without running any code."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        for names in (frame.f_locals, frame.f_globals, frame.f_builtins):
            if node.id in names:
                return names[node.id]
        return _UNKNOWN
    if not isinstance(node, ast.Attribute):
        return _UNKNOWN
    owner = _value(node.value, frame)
    if owner is _UNKNOWN:
        return _UNKNOWN
    if isinstance(owner, types.ModuleType):
        return vars(owner).get(node.attr, _UNKNOWN)
    kind = owner if isinstance(owner, type) else type(owner)
    for each in type.__dict__["__mro__"].__get__(kind):
        # Not getattr(): a property or a __getattr__ is code of the user.
        if (value := vars(each).get(node.attr, _UNKNOWN)) is not _UNKNOWN:
            is_code = isinstance(value, (types.FunctionType, staticmethod, classmethod))
            return value if is_code or (wants_property and isinstance(value, property)) else _UNKNOWN
    return _UNKNOWN


def _is_plain(value: object, depth: int = 0) -> bool:
    """Tell whether *value* is made of builtins alone, and small: to compare it runs no code of the user."""
    if type(value) in _PLAIN:
        return not isinstance(value, (str, bytes)) or len(value) <= 10_000
    if depth >= _DEEPEST or type(value) not in (list, tuple, dict, set, frozenset):
        return False
    members = [*value.keys(), *value.values()] if isinstance(value, dict) else list(value)  # type: ignore[call-overload]
    return len(members) <= _MOST_MEMBERS and all(_is_plain(member, depth + 1) for member in members)

"""Name the content of a test, so that it is known again when it has moved, been renamed or reformatted.

The name is the hash of a normal form: the code of the function in order, with its own name, decorators, annotations,
docstrings and comments left out, local names numbered and literals replaced by a hole. It is a form of its own, not
that of the analysis, because baselines that people keep must outlive changes of the analysis and of Python: a change
here needs a new version of the baseline's format.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import ast
from hashlib import blake2b

from pytest_qeattention.similarity.explain import parse_unit
from pytest_qeattention.similarity.model import Unit
from pytest_qeattention.syntax.nodes import FunctionNode

_DIGEST_BYTES = 8
_LITERALS = (ast.Constant, ast.UnaryOp, ast.List, ast.Tuple, ast.Set, ast.Dict, ast.BinOp, ast.JoinedStr)
_IN_LITERALS = (*_LITERALS, ast.expr_context, ast.operator, ast.UAdd, ast.USub, ast.Invert)
# Fields that formatting and typing change, or that not every Python has.
_SKIPPED_FIELDS = frozenset({"ctx", "type_comment", "kind", "simple", "annotation", "returns", "type_params"})
# Fields that hold a name which the node binds.
_BINDING_FIELDS = {
    ast.FunctionDef: "name",
    ast.AsyncFunctionDef: "name",
    ast.ClassDef: "name",
    ast.ExceptHandler: "name",
    ast.alias: "asname",
    ast.MatchAs: "name",
    ast.MatchStar: "name",
    ast.MatchMapping: "rest",
    ast.arg: "arg",
}


def content_of(unit: Unit) -> str:
    """Return the name of the content of *unit*, 16 hexadecimal digits.

    A function whose source cannot be parsed alone is named by that source as it is written.
    """
    node = parse_unit(unit)
    return content_of_node(node) if node is not None else _digest(["source", unit.source])


def content_of_node(node: FunctionNode) -> str:
    """Return the name of the content of a function."""
    return _digest(_form(node))


def _digest(tokens: list[str]) -> str:
    text = "\0".join(tokens).encode("utf-8", "surrogatepass")
    return blake2b(text, digest_size=_DIGEST_BYTES).hexdigest()


def _form(function: FunctionNode) -> list[str]:
    local = _bound_names(function)
    numbers: dict[str, int] = {}

    def named(name: str) -> str:
        return f"L{numbers.setdefault(name, len(numbers))}" if name in local else f"N:{name}"

    tokens = [type(function).__name__]
    # Strings close a node, or tell which of its fields follows.
    stack: list[ast.AST | str] = [*reversed(function.body), "body", function.args]
    while stack:
        node = stack.pop()
        if isinstance(node, str):
            tokens.append(node)
        elif isinstance(node, ast.Name):
            tokens.append(named(node.id))
        elif isinstance(node, _LITERALS) and _is_literal(node):
            tokens.append("#")
        elif not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            if isinstance(node, ast.AnnAssign) and node.value is not None:
                node = ast.Assign(targets=[node.target], value=node.value)
            tokens.append(f"({type(node).__name__}")
            stack.append(")")
            binding = _BINDING_FIELDS.get(type(node))
            parts: list[ast.AST | str] = []
            for field, value in ast.iter_fields(node):
                if field in _SKIPPED_FIELDS or value is None or value == []:
                    continue
                parts.append(field)
                for item in value if isinstance(value, list) else (value,):
                    if isinstance(item, ast.AST):
                        parts.append(item)
                    else:
                        parts.append(named(item) if field == binding else str(item))
            stack.extend(reversed(parts))
    return tokens


def _bound_names(function: FunctionNode) -> frozenset[str]:
    """Return the names that *function* binds, without its own arguments, which are names of fixtures."""
    arguments = function.args
    outer = {argument.arg for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
    bound: set[str] = set()
    for node in ast.walk(function):
        if node is function:
            continue
        if isinstance(node, ast.Name):
            if not isinstance(node.ctx, ast.Load):
                bound.add(node.id)
        elif isinstance(node, ast.Global | ast.Nonlocal):
            outer.update(node.names)
        elif type(node) in _BINDING_FIELDS:
            name = getattr(node, _BINDING_FIELDS[type(node)])
            if name:
                bound.add(name)
    return frozenset(bound - outer)


def _is_literal(node: ast.AST) -> bool:
    # Most are constants alone, and walking takes its time.
    return isinstance(node, ast.Constant) or all(isinstance(part, _IN_LITERALS) for part in ast.walk(node))

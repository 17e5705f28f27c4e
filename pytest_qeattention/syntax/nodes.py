"""Nodes of syntax trees: which are literals or carry names, which count, and how constants are bucketed.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import ast

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef

# Fields without children or meaning for similarity are never visited.
SKIPPED_FIELDS = frozenset({"ctx", "type_comment", "kind", "lineno", "col_offset", "simple", "is_async", "level"})
# Stands where a list of nodes has none: the key of `**` in a display, the default of a required keyword argument.
ABSENT = ast.Pass()


def _known_kinds(*names: str) -> frozenset[type[ast.AST]]:
    """Return the node types of these names that this Python has."""
    return frozenset(getattr(ast, name) for name in names if hasattr(ast, name))


# Constants, and what is a literal where all in it are.
LITERAL_KINDS = frozenset({ast.Constant, ast.UnaryOp, ast.List, ast.Tuple, ast.Set, ast.Dict, ast.BinOp, ast.JoinedStr})
TYPE_PARAMETERS = _known_kinds("TypeVar", "ParamSpec", "TypeVarTuple")
# What carries names, or says more than its kind, beside its children.
NAMING_KINDS = frozenset(
    {
        ast.keyword,
        ast.FunctionDef,
        ast.AsyncFunctionDef,
        ast.ClassDef,
        ast.ExceptHandler,
        ast.alias,
        ast.ImportFrom,
        ast.Global,
        ast.Nonlocal,
        ast.MatchAs,
        ast.MatchStar,
        ast.MatchMapping,
        ast.MatchClass,
        ast.MatchSingleton,
        ast.comprehension,
        ast.FormattedValue,
        *TYPE_PARAMETERS,
        *_known_kinds("Interpolation"),
    }
)


def literal_bucket(value: object) -> str:
    """Name the type of a constant and the order of magnitude of its size."""
    kind = type(value).__name__
    if isinstance(value, bool) or value is None or value is Ellipsis:
        return repr(value)
    if isinstance(value, str | bytes):
        return f"{kind}{min(4, len(value).bit_length() // 2)}"
    if isinstance(value, int | float):
        size = abs(value)
        return f"{kind}{0 if size == 0 else 1 if size == 1 else 2 if size < 10 else 3 if size < 1000 else 4}"
    return kind


def is_literal(node: ast.AST) -> bool:
    """Tell whether *node* is a constant, or is built of constants alone."""
    pending = [node]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Constant):
            continue
        if isinstance(node, ast.UnaryOp) and not isinstance(node.op, ast.Not):
            pending.append(node.operand)
        elif isinstance(node, ast.List | ast.Tuple | ast.Set):
            pending.extend(node.elts)
        elif isinstance(node, ast.Dict):
            if any(key is None for key in node.keys):
                return False
            pending.extend(key for key in node.keys if key is not None)
            pending.extend(node.values)
        elif isinstance(node, ast.BinOp):
            pending.extend((node.left, node.right))
        elif isinstance(node, ast.JoinedStr):
            pending.extend(node.values)
        else:
            return False
    return True


def is_docstring(node: ast.AST) -> bool:
    """Tell whether *node* is a statement that is a string and nothing else."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)

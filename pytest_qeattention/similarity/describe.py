"""Turn one test function into the plain facts that similarity is computed from, in a single pass over its AST.

Three bags of hashed features (``tokens``: node kinds, identifiers and bucketed literals; ``paths``: identifiers with
the nodes above them, literals dropped; ``words``: words of the source and their parts), and three normal forms.
The forms are what folding turns on: ``exact`` is equal for tests that differ in formatting, comments, docstrings and
local names only; ``literal`` also leaves every literal out, and a display of literals is one hole; ``shape`` leaves
names and attributes out as well.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import ast
import builtins
import importlib
import os
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b

from pytest_qeattention.similarity.bags import bag_counts, bag_features, pack_bag
from pytest_qeattention.similarity.forms import Forms, FunctionNode, children, is_docstring, is_literal, literal_bucket
from pytest_qeattention.similarity.model import Unit
from pytest_qeattention.similarity.words import token_id, word_features, words_of

__all__ = [
    "Description",
    "Forms",
    "FunctionNode",
    "bag_counts",
    "bag_features",
    "describe",
    "describe_plainly",
    "is_docstring",
    "is_literal",
    "pack_bag",
    "word_features",
    "words_of",
]


INTERFACE = 2
"""Number of what this module and its compiled twin `_describe` share; both carry it, and it grows with every change."""

# First characters of the tokens that only hold a form together: they are no part of a sequence of code.
_STRUCTURE = frozenset(")|")
BUILTINS = frozenset(dir(builtins))

# unittest's assertions read as what pytest would write: the tokens of that, and how many arguments count (None: all).
ASSERTIONS: dict[str, tuple[tuple[str, ...], int | None]] = {
    "assertEqual": (("Assert", "Compare", "Eq"), 2),
    "assertEquals": (("Assert", "Compare", "Eq"), 2),
    "assertNotEqual": (("Assert", "Compare", "NotEq"), 2),
    "assertIs": (("Assert", "Compare", "Is"), 2),
    "assertIsNot": (("Assert", "Compare", "IsNot"), 2),
    "assertIn": (("Assert", "Compare", "In"), 2),
    "assertNotIn": (("Assert", "Compare", "NotIn"), 2),
    "assertLess": (("Assert", "Compare", "Lt"), 2),
    "assertLessEqual": (("Assert", "Compare", "LtE"), 2),
    "assertGreater": (("Assert", "Compare", "Gt"), 2),
    "assertGreaterEqual": (("Assert", "Compare", "GtE"), 2),
    "assertTrue": (("Assert",), 1),
    "assert_": (("Assert",), 1),
    "assertFalse": (("Assert", "UnaryOp", "Not"), 1),
    "assertIsNone": (("Assert", "Compare", "Is", "None"), 1),
    "assertIsNotNone": (("Assert", "Compare", "IsNot", "None"), 1),
    "assertIsInstance": (("Assert", "Call", "isinstance"), 2),
    "assertRaises": (("Call", "raises"), None),
    "assertRaisesRegex": (("Call", "raises"), None),
}


@dataclass(frozen=True, slots=True)
class Description:
    """Hold the evidence of one unit; the bags are as `pack_bag` writes them, n features in 6 n bytes."""

    tokens: bytes
    paths: bytes
    words: bytes
    sequence: bytes
    """Token ids of the literal form, in order, native ``uint32``."""
    exact: bytes
    literal: bytes
    shape: bytes
    free_names: tuple[str, ...]
    """Names that the module or the builtins must provide, sorted; builtins left out."""
    decorator_names: tuple[str, ...]
    """Names used in decorators, which the class may provide too, sorted; builtins left out."""
    uses_self: bool
    """Whether a method uses its first argument for more than unittest's assertions."""
    is_placeholder: bool
    """Whether the body does nothing: `pass`, `...`, docstrings, `raise NotImplementedError`."""


def _does_nothing(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Raise):
        raised = statement.exc.func if isinstance(statement.exc, ast.Call) else statement.exc
        return isinstance(raised, ast.Name) and raised.id == "NotImplementedError"
    return isinstance(statement, ast.Pass) or (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    )


def is_placeholder(node: FunctionNode) -> bool:
    """Tell whether the body of *node* does nothing."""
    return all(_does_nothing(statement) for statement in node.body)


def unittest_assertion(call: ast.Call) -> tuple[tuple[str, ...], list[ast.expr]] | None:
    function = call.func
    if not (isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name)):
        return None
    assertion = ASSERTIONS.get(function.attr)
    if assertion is None or function.value.id != "self" or len(call.args) < (assertion[1] or 0):
        return None
    return assertion[0], call.args[: assertion[1]]


# Odd multipliers that spread the parts of a path over 32 bits (those of xxHash).
_LEAF, _PARENT, _GRANDPARENT = 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D


class _Bags:
    """Collect tokens and paths; literals are bucketed in the one and dropped in the other."""

    def __init__(self) -> None:
        self.tokens = array("I")
        self.paths = array("I")

    def visit(self, roots: list[tuple[str, ast.AST]]) -> None:
        token, path = self.tokens.append, self.paths.append
        statement, argument = token_id("Expr.value"), token_id("Assert.args")
        # (node, label of the parent, label of the grandparent)
        stack: list[tuple[ast.AST, int, int]] = [(node, token_id(label), 0) for label, node in reversed(roots)]
        while stack:
            node, parent, grandparent = stack.pop()
            leaf = 0
            if isinstance(node, ast.Name):
                token(token_id(node.id))
                leaf = token_id(f"Name:{node.id}")
            elif isinstance(node, ast.Attribute):
                token(token_id(f".{node.attr}"))
                leaf = token_id(f"Attribute:{node.attr}")
            elif isinstance(node, ast.Constant):
                token(token_id(literal_bucket(node.value)))
                leaf = token_id(f"Constant:{type(node.value).__name__}")
            elif isinstance(node, ast.Expr):
                if not is_docstring(node):
                    stack.append((node.value, statement, parent))
                continue
            elif isinstance(node, ast.arg):
                token(token_id(f"arg:{node.arg}"))
                leaf = token_id(f"arg.{node.arg}")
            else:
                if isinstance(node, ast.Call):
                    assertion = unittest_assertion(node)
                    if assertion is not None:
                        for name in assertion[0]:
                            token(token_id(name))
                        stack.extend((part, argument, parent) for part in reversed(assertion[1]))
                        continue
                elif isinstance(node, ast.keyword):
                    token(token_id(f"kw:{node.arg or '**'}"))
                    leaf = token_id(f"keyword:{node.arg or '**'}")
                elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    token(token_id(f"def:{node.name}"))
                token(token_id(type(node).__name__))
            if leaf:
                near = leaf * _LEAF + parent * _PARENT
                path(near & 0xFFFFFFFF)
                path((near + grandparent * _GRANDPARENT + 1) & 0xFFFFFFFF)
            for label, child in reversed(children(node)):
                stack.append((child, label, parent))


def _digest(*parts: list[str]) -> bytes:
    text = "\1".join("\0".join(part) for part in parts)
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).digest()


def describe(node: FunctionNode, unit: Unit) -> Description:
    """Describe the function *node*, whose source *unit* holds.

    Never recurses, so that depth of nesting is bounded by the parser alone. The compiled core does it where there is
    one and QE_BACKEND is not numpy; the result is the same.
    """
    return implementation().describe(node, unit)


@dataclass(frozen=True, slots=True)
class Implementation:
    """Hold what describes, and why it does."""

    describe: Callable[[FunctionNode, Unit], Description]
    is_compiled: bool
    reason: str
    problem: str | None = None
    """What is wrong with the installation; None where nothing is."""


@cache
def implementation() -> Implementation:
    """Return what describes: the compiled twin where there is one that fits, this module elsewhere."""
    if os.environ.get("QE_BACKEND") == "numpy":
        return Implementation(describe_plainly, False, "QE_BACKEND is numpy")
    name = "pytest_qeattention.similarity._describe"
    try:
        compiled = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name == name:
            return Implementation(describe_plainly, False, "no compiled reader was built")
        return _left_over(f"does not load ({error})")
    except Exception as error:  # an old build may look for anything in modules that have changed since
        return _left_over(f"does not load ({type(error).__name__}: {error})")
    found = getattr(compiled, "INTERFACE", None)
    if found != INTERFACE:
        return _left_over(f"has interface {found}, this package needs {INTERFACE}")
    return Implementation(compiled.describe, True, "the compiled reader was built")


def reader_info() -> dict[str, str]:
    """Say what describes, and why, as plain values."""
    found = implementation()
    return {"implementation": "compiled" if found.is_compiled else "python", "reason": found.reason}


def reader_problem() -> str | None:
    """Say what is wrong with the installation of what describes; None where nothing is, or nothing was described."""
    return implementation().problem if implementation.cache_info().currsize else None


def _left_over(what: str) -> Implementation:
    reason = f"the compiled reader of tests {what}: it is left over from another version"
    problem = f"{reason}; Python reads them, which takes longer; reinstall"
    return Implementation(describe_plainly, False, reason, problem)


def describe_plainly(node: FunctionNode, unit: Unit) -> Description:
    """Describe as `describe` does, in Python alone."""
    bags = _Bags()
    bags.visit(
        [
            *(("decorator", decorator) for decorator in node.decorator_list),
            ("args", node.args),
            *(("body", statement) for statement in node.body),
        ]
    )
    forms = Forms()
    forms.read(node)
    decorators = Forms()
    decorators.read_decorators(node)
    sequence = array("I", [token_id(token) for token in forms.literal if token[0] not in _STRUCTURE])
    arguments = [*node.args.posonlyargs, *node.args.args]
    first = arguments[0].arg if arguments and "::" in unit.qualname else None
    known = {argument.arg for argument in (*arguments, *node.args.kwonlyargs)}
    known.update(a.arg for a in (node.args.vararg, node.args.kwarg) if a is not None)
    free = set(forms.loaded) - (forms.bound - forms.global_names) - known - BUILTINS
    decorator_names = {
        name.id for decorator in node.decorator_list for name in ast.walk(decorator) if isinstance(name, ast.Name)
    }
    return Description(
        tokens=pack_bag(bags.tokens),
        paths=pack_bag(bags.paths),
        words=word_features(unit.source),
        sequence=sequence.tobytes(),
        exact=_digest(forms.literal, forms.literals, decorators.literal, decorators.literals),
        literal=_digest(forms.literal),
        shape=_digest(forms.shape),
        free_names=tuple(sorted(free)),
        decorator_names=tuple(sorted(decorator_names - BUILTINS)),
        uses_self=first is not None and forms.uses(first),
        is_placeholder=is_placeholder(node),
    )

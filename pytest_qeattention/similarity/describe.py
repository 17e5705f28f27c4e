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
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b

from pytest_qeattention.similarity.bags import bag_counts, bag_features, pack_bag
from pytest_qeattention.similarity.forms import Forms, children
from pytest_qeattention.similarity.model import Unit
from pytest_qeattention.similarity.words import token_id, word_features
from pytest_qeattention.syntax.assertions import unittest_assertion
from pytest_qeattention.syntax.nodes import FunctionNode, is_docstring, literal_bucket
from pytest_qeattention.syntax.twins import Twin, compiled_twin

__all__ = [
    "Description",
    "Forms",
    "bag_counts",
    "bag_features",
    "describe",
    "describe_plainly",
    "pack_bag",
    "word_features",
]


INTERFACE = 3
"""Number of what this module and its compiled twin `_describe` share; both carry it, and it grows with every change."""

# First characters of the tokens that only hold a form together: they are no part of a sequence of code.
_STRUCTURE = frozenset(")|")
BUILTINS = frozenset(dir(builtins))


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
    twin: Twin

    @property
    def problem(self) -> str | None:
        """What is wrong with the installation; None where nothing is."""
        return self.twin.problem


@cache
def implementation() -> Implementation:
    """Return what describes: the compiled twin where there is one that fits, this module elsewhere."""
    twin = compiled_twin("pytest_qeattention.similarity._describe", INTERFACE, "reader", of="tests")
    return Implementation(describe_plainly if twin.module is None else twin.module.describe, twin)


def reader_info() -> dict[str, str]:
    """Say what describes, and why, as plain values."""
    return implementation().twin.info()


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

"""Which expressions may move from the body of a test into the rows of ``parametrize``.

A row is evaluated once, when the file is imported: what it holds may use names of the module alone, and must do the
same there as in the test.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable

from pytest_qeattention.similarity.fold.module import Module
from pytest_qeattention.syntax.nodes import FunctionNode


def words(text: str) -> frozenset[str]:
    """Return the words of *text*."""
    return frozenset(text.split())


BUILTINS = frozenset(dir(builtins))
# Calls that make a value of their arguments and nothing else; by the last name, whatever module it comes from.
_VALUES = words(
    "dict list set tuple frozenset int float complex str bytes bytearray bool range slice date time datetime "
    "timedelta timezone Decimal Fraction UUID Path PurePath PurePosixPath PureWindowsPath PosixPath array "
    "relativedelta SimpleNamespace OrderedDict Counter deque dedent namedtuple"
)
_EXPECTATIONS = words("raises warns does_not_raise does_not_warn nullcontext")
_PURE = (
    _VALUES | _EXPECTATIONS | words("object compile partial len sorted reversed zeros ones arange linspace eye join")
)
# Classes whose objects hold on to something, or do something when they are made.
_ACTIVE = tuple(
    sorted(
        words(
            "Factory Session Client Connection Thread Process Pool Executor Server Socket Popen File Directory Lock "
            "Engine App Runner Database Cursor Event Queue Timer Manager Context Loop Patch"
        )
    )
)


class NotLiftable(Exception):
    """Say why an expression has to stay where it is."""


def bound_names(node: ast.AST) -> set[str]:
    """Collect every name that is bound anywhere in *node*: arguments, targets, imports, nested functions."""
    return names_bound_by(ast.walk(node))


def names_bound_by(nodes: Iterable[ast.AST]) -> set[str]:
    """Collect the names that each of *nodes* binds itself."""
    found: set[str] = set()
    for part in nodes:
        if isinstance(part, ast.Name):
            if not isinstance(part.ctx, ast.Load):
                found.add(part.id)
        elif isinstance(part, ast.arg):
            found.add(part.arg)
        elif isinstance(part, ast.alias):
            found.add((part.asname or part.name).partition(".")[0])
        elif isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(part.name)
        elif isinstance(part, ast.ExceptHandler | ast.MatchAs | ast.MatchStar):
            if part.name:
                found.add(part.name)
        elif isinstance(part, ast.MatchMapping):
            if part.rest:
                found.add(part.rest)
        elif isinstance(part, ast.Global | ast.Nonlocal):
            found.update(part.names)
    return found


def body_names(node: FunctionNode) -> set[str]:
    """Collect the names bound in a test: its arguments and all that its body binds."""
    found: set[str] = set()
    for part in (node.args, *node.body):
        found |= bound_names(part)
    return found


def loaded_names(node: ast.AST) -> set[str]:
    """Collect the names that *node* reads."""
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load)}


def callee_name(call: ast.Call) -> str:
    """Return the last name of what is called; empty when it has none."""
    function = call.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def makes_value(call: ast.Call) -> bool:
    """Tell whether *call* writes a value down, as ``date(2024, 1, 2)`` does."""
    return callee_name(call) in _VALUES


def is_mutable(node: ast.expr) -> bool:
    """Tell whether evaluating *node* anew gives an object of its own that could be changed."""
    return any(
        isinstance(part, ast.List | ast.Dict | ast.Set | ast.Call | ast.ListComp | ast.DictComp | ast.SetComp)
        for part in ast.walk(node)
    )


class Lifting:
    """Judge the expressions of one test."""

    def __init__(self, local: set[str], module: Module, line: int) -> None:
        """*local* holds the names bound in the test; rows are evaluated at *line* of the module."""
        self.local = local
        self.reused = False
        """Whether each row serves several cases, because a `parametrize` of the tests stays."""
        self.refused_to_share = False
        """Whether that kept a value from moving."""
        self.bound_below: set[int] = set()
        """Lines below that of the rows that bind what rows would have used."""
        self._module = module
        self._line = line

    def check(self, node: ast.expr, *, calls: bool = True, once: bool = True) -> None:
        """Raise NotLiftable for what cannot be a value in a row.

        Without *calls*, no call may move. Without *once*, the place is reached more than once, so that an object made
        there must not be shared.
        """
        if (self.reused or not once) and is_mutable(node):
            self.refused_to_share = self.refused_to_share or once
            raise NotLiftable("a value that the test makes anew would be shared by its cases")
        self.check_names(node)
        for part in ast.walk(node):
            if isinstance(part, ast.Call):
                if not calls:
                    raise NotLiftable(f"the call of {callee_name(part) or 'a function'} belongs in the test")
                if not hasattr(part, "qe_name") or hasattr(part, "qe_active"):
                    self._call(part)

    def check_names(self, node: ast.expr) -> None:
        """Raise NotLiftable for what cannot be evaluated outside the test."""
        inner: set[str] = set()
        for part in ast.walk(node):
            if isinstance(part, ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp):
                inner |= bound_names(part)
        for part in ast.walk(node):
            if isinstance(part, ast.Name):
                if part.id not in inner:
                    self._name(part.id)
            elif isinstance(part, ast.NamedExpr | ast.Await | ast.Yield | ast.YieldFrom | ast.GeneratorExp):
                raise NotLiftable("what differs is evaluated step by step in the test")
            elif isinstance(part, ast.Starred) and part is node:
                raise NotLiftable("what differs is unpacked in the test")

    def check_defined(self, node: ast.expr) -> None:
        """Raise NotLiftable for an expression of the module that uses what is defined only below the rows."""
        inner: set[str] = set()
        for part in ast.walk(node):
            if isinstance(part, ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
                inner |= bound_names(part)
        for name in sorted(loaded_names(node) - inner):
            if self._module.binds_only_below(name, self._line):
                self._note_bound_below(name)
                raise NotLiftable(f"its rows use {name}, which is defined only below the tests")

    def has_builtin(self, name: str) -> bool:
        """Tell whether *name* is the builtin in the test."""
        return name in BUILTINS and name not in self.local and name not in self._module.bound

    def _name(self, name: str) -> None:
        if name in self.local:
            raise NotLiftable(f"what differs uses {name}, which exists in the test alone")
        if name in BUILTINS and name not in self._module.bound:
            return
        if not self._module.binds_before(name, self._line):
            self._note_bound_below(name)
            raise NotLiftable(f"what differs uses {name}, which the module does not define above the tests")

    def _note_bound_below(self, name: str) -> None:
        line = self._module.line_below(name, self._line)
        if line is not None:
            self.bound_below.add(line)

    def _call(self, call: ast.Call) -> None:
        name = callee_name(call)
        if isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Constant):
            # Methods of strings and numbers only return something.
            return
        is_class = name[:1].isupper() and not name.endswith(_ACTIVE)
        if not (is_class or name in _PURE):
            raise NotLiftable(f"the call of {name or 'a function'} belongs in the test, not in a row")

"""Follow what the statements of a module or class body bind, as far as that is known without running them.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(slots=True)
class Scope:
    """Hold what the statements of a module or class body leave bound, in order."""

    functions: dict[str, Function] = field(default_factory=dict)
    classes: dict[str, ast.ClassDef] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    """Classes whose name was deleted."""
    bound: dict[str, None] = field(default_factory=dict)
    imports: dict[str, str] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    star_imports: list[str] = field(default_factory=list)
    exports: list[ast.expr] = field(default_factory=list)
    """Values assigned and added to ``__all__``."""
    test_flag: bool | None = None
    test_flags: dict[str, bool] = field(default_factory=dict)
    """``name.__test__ = literal``."""

    def define(self, name: str) -> None:
        self.functions.pop(name, None)
        self.classes.pop(name, None)
        self.imports.pop(name, None)
        self.aliases.pop(name, None)
        self.bound.pop(name, None)
        self.deleted.discard(name)

    def assign(self, name: str, conditional: bool) -> None:
        # A branch that may not run takes nothing away: ``except ImportError: TestX = None``.
        if conditional and (name in self.functions or name in self.classes):
            return
        self.define(name)
        self.bound[name] = None


def read_scope(body: Sequence[ast.stmt]) -> Scope:
    """Run through the statements of one scope in order, into blocks but not into functions or classes."""
    scope = Scope()
    stack: list[tuple[ast.stmt, bool]] = [(statement, False) for statement in reversed(body)]
    while stack:
        statement, conditional = stack.pop()
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
            if any(dotted_name(d).endswith((".setter", ".deleter", ".getter")) for d in statement.decorator_list):
                scope.assign(statement.name, False)
            else:
                scope.define(statement.name)
                scope.functions[statement.name] = statement
        elif isinstance(statement, ast.ClassDef):
            scope.define(statement.name)
            scope.classes[statement.name] = statement
        elif isinstance(statement, ast.Assign):
            for target in statement.targets:
                _read_target(scope, target, statement.value, conditional)
        elif isinstance(statement, (ast.AnnAssign, ast.AugAssign)):
            if statement.value is not None:
                _read_target(scope, statement.target, statement.value, conditional)
        elif isinstance(statement, ast.Import):
            for alias in statement.names:
                name = alias.asname or alias.name.partition(".")[0]
                scope.assign(name, conditional)
                scope.imports[name] = alias.name if alias.asname else name
        elif isinstance(statement, ast.ImportFrom):
            module = "." * statement.level + (statement.module or "")
            for alias in statement.names:
                if alias.name == "*":
                    scope.star_imports.append(module)
                    continue
                name = alias.asname or alias.name
                scope.assign(name, conditional)
                scope.imports[name] = f"{module}{'' if module.endswith('.') else '.'}{alias.name}"
        elif isinstance(statement, ast.Delete):
            for target in statement.targets:
                if isinstance(target, ast.Name) and not conditional:
                    if target.id in scope.classes:
                        scope.deleted.add(target.id)
                    else:
                        scope.define(target.id)
        else:
            stack.extend(reversed([*_blocks(statement, conditional)]))
    return scope


def _read_target(scope: Scope, target: ast.expr, value: ast.expr, conditional: bool) -> None:
    if isinstance(target, ast.Name):
        if target.id == "__test__":
            scope.test_flag = truth(value)
        elif target.id == "__all__":
            scope.exports.append(value)
        elif any(isinstance(node, ast.Name) and node.id == target.id for node in _walk(value)):
            return  # ``test_x = decorator(test_x)`` is still that function
        scope.assign(target.id, conditional)
        alias = dotted_name(value)
        if alias and not alias.endswith("()"):
            scope.aliases[target.id] = alias
    elif isinstance(target, ast.Attribute):
        flag = truth(value)
        if target.attr == "__test__" and isinstance(target.value, ast.Name) and flag is not None:
            scope.test_flags[target.value.id] = flag
    elif isinstance(target, (ast.Tuple, ast.List)):
        for node in _walk(target):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                scope.assign(node.id, conditional)


def _blocks(statement: ast.stmt, conditional: bool) -> Iterator[tuple[ast.stmt, bool]]:
    """Yield the statements one block below, with whether they may not run."""
    if isinstance(statement, ast.If):
        runs = _condition(statement.test)
        if runs is not False:
            for child in statement.body:
                yield child, conditional or runs is None
        if runs is not True:
            for child in statement.orelse:
                yield child, conditional or runs is None
        return
    straight = isinstance(statement, (ast.With, ast.AsyncWith, ast.Try))
    for block in ("body", "handlers", "orelse", "finalbody", "cases"):
        certain = straight and block in ("body", "finalbody")
        for child in getattr(statement, block, ()):
            if isinstance(child, (ast.ExceptHandler, ast.match_case)):
                for grandchild in child.body:
                    yield grandchild, True
            else:
                yield child, conditional or not certain


def _condition(test: ast.expr) -> bool | None:
    """Decide the conditions whose value at import is known, None for all others."""
    if isinstance(test, ast.Constant):
        return bool(test.value)
    if dotted_name(test).rpartition(".")[2] == "TYPE_CHECKING":
        return False
    if (
        isinstance(test, ast.Compare)
        and isinstance(test.left, ast.Name)
        and test.left.id == "__name__"
        and isinstance(test.ops[0], ast.Eq)
        and isinstance(test.comparators[0], ast.Constant)
        and test.comparators[0].value == "__main__"
    ):
        return False
    return None


def truth(value: ast.expr) -> bool | None:
    if isinstance(value, ast.Constant):
        return bool(value.value)
    if isinstance(value, ast.Dict):
        return bool(value.keys)
    return None


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    stack = [node]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(ast.iter_child_nodes(node))


def dotted_name(node: ast.expr) -> str:
    """Return ``a.b`` for a name or its attributes, ``a.b()`` for a call of it, the empty string for the rest.

    A subscript counts as what it subscribes: ``Base[int]`` is ``Base``.
    """
    end = ""
    parts: list[str] = []
    while True:
        if isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        elif isinstance(node, ast.Call) and not parts:
            node, end = node.func, "()"
        elif isinstance(node, ast.Subscript) and not parts:
            node = node.value
        elif isinstance(node, ast.Name):
            parts.append(node.id)
            return ".".join(reversed(parts)) + end
        else:
            return ""


def last_name(dotted: str) -> str:
    return dotted.removesuffix("()").rpartition(".")[2]

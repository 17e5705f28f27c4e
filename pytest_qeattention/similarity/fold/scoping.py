"""Where a fold is written: in the class of the first test, if its tests can run there.

A loop over ``subTest`` runs all cases in one test. What a unittest class sets up for each test must then not matter:
nothing is set up, or attributes alone, of which the tests read no more than values that nothing can change. A file that
uses ``parameterized`` gets a test of each row instead, which is set up as any other.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Sequence

from pytest_qeattention.similarity.fold.holes import Differ
from pytest_qeattention.similarity.fold.lifting import callee_name, words
from pytest_qeattention.similarity.fold.member import Member
from pytest_qeattention.similarity.fold.module import ClassHead, Module, is_unittest

_ASSERTION = re.compile(r"assert[A-Z]|fail\b|fail[A-Z]")
_UNCHANGING = words(
    "int float complex str bytes bool frozenset range date time datetime timedelta timezone Decimal Fraction UUID Path "
    "PurePath PurePosixPath PureWindowsPath PosixPath"
)
# Methods that change something beyond what they return.
_ACTIVE = words("start enter_context seed open connect mkdtemp mkstemp chdir patch reset clear")


def scope_of(members: Sequence[Member], module: Module) -> ClassHead | None:
    """Return the class that the fold of *members* belongs in; None for the module; raises Differ."""
    heads = [module.class_of(member.unit) for member in members]
    owners = {member.unit.qualname.rpartition("::")[0] for member in members}
    for head in {id(head): head for head in heads}.values():
        if head is None:
            continue
        if is_unittest(head):
            reason = None if module.expander else _setup_reason(module, head, members)
            if reason is not None:
                raise Differ(reason)
        elif any(_asserts_by_self(member) for member in members):
            raise Differ("the tests call methods of unittest, and what sets them up is not in their class")
    if len(owners) > 1:
        _check_owners(members, heads, module)
    return heads[0]


def _check_owners(members: Sequence[Member], heads: Sequence[ClassHead | None], module: Module) -> None:
    """Raise Differ where tests of different classes depend on these."""
    if any(is_unittest(head) for head in heads):
        known = [head for head in heads if is_unittest(head) and head is not None]
        reasons = {_setup_reason(module, head, members) for head in known}
        if (
            len(known) != len(heads)
            or reasons != {None}
            or any(
                head.is_decorated
                or head.has_fixtures
                or module.inherited_methods(head) & {"setUpClass", "tearDownClass"}
                for head in known
            )
        ):
            raise Differ("the tests are in different classes of unittest")
        inherited = frozenset[str]().union(*map(module.inherited_methods, known))
        if not all(used is not None and used <= _assertions(used) - inherited for used in map(_used_of_self, members)):
            raise Differ("the tests are in different classes of unittest, and use what belongs to these")
        return
    if any(head is not None and not head.is_plain for head in heads):
        raise Differ("the tests are in different classes, which set up their tests")
    for member, head in zip(members, heads, strict=True):
        if head is not None and self_name(member) in member.loaded:
            raise Differ("the tests are in different classes, and use what belongs to these")


def self_name(member: Member) -> str:
    """Return the name of the first argument of a test; empty when it has none."""
    arguments = [*member.node.args.posonlyargs, *member.node.args.args]
    return arguments[0].arg if arguments else ""


def _asserts_by_self(member: Member) -> bool:
    name = self_name(member)
    return any(
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == name
        and re.match(r"assert[A-Z]", node.attr)
        for node in member.nodes
    )


def _used_of_self(member: Member) -> set[str] | None:
    """Return the attributes of ``self`` that a test reads; None where it does anything else with it."""
    name = self_name(member)
    found: set[str] = set()
    owners = set()
    for node in member.nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == name:
            if not isinstance(node.ctx, ast.Load):
                return None
            found.add(node.attr)
            owners.add(id(node.value))
    if any(isinstance(node, ast.Name) and node.id == name and id(node) not in owners for node in member.nodes):
        return None
    return found


def _assertions(names: set[str]) -> set[str]:
    return {name for name in names if _ASSERTION.match(name)}


def _setup_reason(module: Module, head: ClassHead, members: Sequence[Member]) -> str | None:
    reason = module.unittest_setup(head)
    return None if reason is None or _sets_up_constants(module, head, members) else reason


def _sets_up_constants(module: Module, head: ClassHead, members: Sequence[Member]) -> bool:
    """Tell whether *head* sets nothing up for each test but attributes, and *members* read constants alone of these."""
    if module.inherited_setup(head) != {"setUp"} or "setUp" not in head.methods or module.unknown_base(head):
        return False
    constants = _constants(module.method_source(head, "setUp"))
    if constants is None:
        return False
    methods = module.inherited_methods(head)
    own = [member for member in members if module.class_of(member.unit) == head]
    return all(
        used is not None and used <= (_assertions(used) - methods) | constants for used in map(_used_of_self, own)
    )


def _constants(source: str) -> set[str] | None:
    """Return the attributes that a method gives values to that nothing can change; None where it does more."""
    try:
        body = ast.parse(textwrap.dedent(source)).body
    except SyntaxError:
        return None
    if len(body) != 1 or not isinstance(body[0], ast.FunctionDef) or len(body[0].args.args) != 1:
        return None
    name = body[0].args.args[0].arg
    found: set[str] = set()
    for statement in body[0].body:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue
        if not isinstance(statement, ast.Assign) or len(statement.targets) != 1 or not _is_quiet(statement.value):
            return None
        target = statement.targets[0]
        if not (isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == name):
            return None
        if _is_unchanging(statement.value):
            found.add(target.attr)
        else:
            found.discard(target.attr)
    return found


def _is_quiet(value: ast.expr) -> bool:
    """Tell whether evaluating *value* does nothing that another test could notice, as far as can be seen."""
    for node in ast.walk(value):
        if isinstance(node, ast.Await | ast.Yield | ast.YieldFrom | ast.NamedExpr):
            return False
        if isinstance(node, ast.Call):
            is_plain = isinstance(node.func, ast.Name | ast.Attribute)
            if not is_plain or callee_name(node).lower() in _ACTIVE or isinstance(_root(node.func), ast.Call):
                return False
    return True


def _root(node: ast.expr) -> ast.expr:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node


def _is_unchanging(value: ast.expr) -> bool:
    if isinstance(value, ast.Constant):
        return True
    if isinstance(value, ast.Tuple):
        return all(map(_is_unchanging, value.elts))
    if isinstance(value, ast.UnaryOp):
        return _is_unchanging(value.operand)
    if isinstance(value, ast.Call):
        given = [*value.args, *(keyword.value for keyword in value.keywords)]
        return callee_name(value) in _UNCHANGING and all(map(_is_unchanging, given))
    return False

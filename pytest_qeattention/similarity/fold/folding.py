"""Fold tests into one parametrized test, or say why that cannot be.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from pytest_qeattention.similarity.fold.cases import Division, divisions, whole
from pytest_qeattention.similarity.fold.checking import ParameterKind
from pytest_qeattention.similarity.fold.decorators import (
    Decorators,
    injects,
    mark_name,
    parametrized_names,
    sort_decorators,
)
from pytest_qeattention.similarity.fold.expanding import Given, given_rows, inline_locals, own_parametrize, substitute
from pytest_qeattention.similarity.fold.layout import Layout, Parameter
from pytest_qeattention.similarity.fold.lifting import Lifting, callee_name, is_mutable, names_bound_by
from pytest_qeattention.similarity.fold.member import Member, Span, name_before, read_member
from pytest_qeattention.similarity.fold.module import ClassHead, Module, is_unittest
from pytest_qeattention.similarity.fold.notes import Notes
from pytest_qeattention.similarity.fold.proof import Claim, prove
from pytest_qeattention.similarity.fold.rendering import Form, Row, value_text
from pytest_qeattention.similarity.fold.unifying import GIVEN, Differ, Hole, Place, Unifier, local_names, rename_locals
from pytest_qeattention.similarity.fold.wording import name_test, parameter_names, row_ids
from pytest_qeattention.similarity.model import Unit

MOST_PARAMETERS = 8


@dataclass(frozen=True, slots=True)
class Refusal:
    """Say why tests were not folded."""

    reason: str


@dataclass(frozen=True, slots=True)
class Replaced:
    """Say which lines of the file a test takes, with the comments that go with it."""

    nodeid: str
    first_line: int
    end_line: int


@dataclass(frozen=True, slots=True)
class Fold:
    """Hold a parametrized test that stands for several tests."""

    source: str
    """The test, indented as the first of those it replaces."""
    name: str
    path: str
    replaces: tuple[Replaced, ...]
    imports: tuple[str, ...]
    """Import statements that the file still needs."""
    parameters: tuple[str, ...]
    rows: tuple[Row, ...]
    form: Form = field(repr=False)
    spans: tuple[tuple[tuple[Span, ...], ...], ...] = field(repr=False)
    """For each row and parameter, where its values stand in the source of the row's first test."""
    rows_of_test: tuple[tuple[int, ...], ...] = field(repr=False)
    """The rows of each test in `replaces`, in order."""
    splits: bool = False
    """Whether rows stand for blocks that a test repeats, so that a test is as many cases as it has blocks."""


def suggest(units: Sequence[Unit], module: Module) -> Fold | Refusal:
    """Write the parametrized test that stands for all of *units*, which are tests of the file *module*.

    What is returned has been proven: each row, put back into the test, gives the test that it stands for.
    """
    try:
        folding = _Folding(units, module)
        try:
            return folding.fold()
        except SharedValue:
            # Where cases would share a value, each combination gets a row, and a value, of its own.
            folding.own_marks = own_parametrize(folding.members, all_of_them=True)
            return folding.fold()
    except Differ as error:
        return Refusal(str(error))
    except RecursionError:
        return Refusal("the tests are nested too deeply")


class SharedValue(Differ):
    """Say that the cases of a ``parametrize`` that stays would share a value that can be changed."""


@dataclass(frozen=True, slots=True)
class _Unified:
    """Hold where the cases of the tests differ."""

    division: Division
    holes: list[Hole]
    removed: list[ast.stmt]
    """Statements of the first test whose value stands where its name was."""


class _Folding:
    def __init__(self, units: Sequence[Unit], module: Module) -> None:
        units = sorted(units, key=lambda unit: (unit.line, unit.qualname))
        self.module = module
        if len(units) < 2:
            raise Differ("one test alone cannot be folded")
        if len({unit.path for unit in units}) != 1:
            raise Differ("the tests are in several files")
        if not all(map(module.holds, units)):
            raise Differ("the file has changed since it was read")
        self.members: list[Member] = []
        for unit in units:
            member = read_member(unit)
            if member is None:
                raise Differ(f"{unit.name} cannot be parsed without the code around it")
            if not member.body:
                raise Differ(f"{unit.name} has no statements")
            self.members.append(member)
        used = module.used_elsewhere(units)
        if used is not None:
            raise Differ(f"{used} is used elsewhere in the file")
        self.template = self.members[0]
        self.head = self._scope()
        self.scope = self.template.unit.qualname.rpartition("::")[0]
        self.is_loop = is_unittest(self.head)
        for member in self.members[1:]:
            rename_locals(self.template, member, local_names)
        self.local = [names_bound_by(member.nodes[1:]) for member in self.members]
        self.liftings = [Lifting(local, module, self.template.unit.first_line) for local in self.local]
        self.own_marks = own_parametrize(self.members)

    def fold(self) -> Fold:
        """Fold the tests; raises Differ."""
        decorators = sort_decorators(self.members, self.liftings, self.own_marks)
        self._check_functions(decorators)
        if self.is_loop and (any(decorators.marks) or any(self.own_marks)):
            raise Differ("the decorators differ, and subTest has no place for them")
        kept = self._kept(decorators)
        reused = any(mark_name(each) == "parametrize" for each in kept)
        for lifting in self.liftings:
            lifting.reused = reused
        try:
            unified = self._unify()
        except Differ:
            if reused and any(lifting.refused_to_share for lifting in self.liftings):
                raise SharedValue from None
            raise
        return self._write(decorators, unified)

    def _kept(self, decorators: Decorators) -> list[ast.expr]:
        return [self.template.node.decorator_list[number] for number in decorators.kept]

    def _scope(self) -> ClassHead | None:
        heads = [self.module.class_of(member.unit) for member in self.members]
        owners = {member.unit.qualname.rpartition("::")[0] for member in self.members}
        for head in heads:
            if is_unittest(head) and head is not None:
                if len(owners) > 1:
                    raise Differ("the tests are in different classes of unittest")
                reason = self.module.unittest_setup(head)
                if reason is not None:
                    raise Differ(reason)
            elif head is not None and any(_asserts_by_self(member) for member in self.members):
                raise Differ("the tests call methods of unittest, and what sets them up is not in their class")
        if len(owners) > 1:
            if any(head is not None and not head.is_plain for head in heads):
                raise Differ("the tests are in different classes, which set up their tests")
            for member, head in zip(self.members, heads, strict=True):
                if head is not None and _self_name(member) in member.loaded:
                    raise Differ("the tests are in different classes, and use what belongs to these")
        return heads[0]

    def _check_functions(self, decorators: Decorators) -> None:
        first = self.template.node
        if len({type(member.node) for member in self.members}) != 1:
            raise Differ("some of the tests are async and some are not")
        names = []
        for member, own in zip(self.members, self.own_marks, strict=True):
            rows = set(parametrized_names(own))
            listed = _argument_names(member, self.module.class_of(member.unit) is not None)
            names.append([name for name in listed if name not in rows])
        for each in names:
            if set(each) != set(names[0]):
                odd = sorted(set(each) ^ set(names[0]))
                raise Differ(f"the arguments differ: {', '.join(odd)}")
        if names.count(names[0]) != len(names) and any(map(injects, first.decorator_list)):
            raise Differ("the arguments that patch adds stand in different orders")
        arguments = first.args
        if arguments.vararg or arguments.kwarg or arguments.kwonlyargs or arguments.posonlyargs or arguments.defaults:
            if len({ast.dump(member.node.args) for member in self.members}) != 1 or any(self.own_marks):
                raise Differ("the arguments differ")
            if self.head is None and not arguments.args:
                raise Differ("the arguments are not plain names")
        is_wrapped = any(mark_name(each) is None for each in self._kept(decorators))
        for member in self.members:
            for node in member.nodes:
                if isinstance(node, ast.Yield | ast.YieldFrom) and not is_wrapped:
                    raise Differ("a test that yields has no single outcome")
                if self.is_loop and isinstance(node, ast.Return):
                    raise Differ("a return would end the loop over all cases")

    def _unify(self) -> _Unified:
        entries: list[tuple[int, Given]] = []
        for number, (member, own, lifting) in enumerate(zip(self.members, self.own_marks, self.liftings, strict=True)):
            rows = given_rows(member, own, lifting) if own else [Given({})]
            entries.extend((number, row) for row in rows)
        as_written = len(entries) == len(self.members) and not any(self.own_marks)
        # A name that every test has rows for stays as it is, and its column with it.
        columns = set.intersection(*(set(parametrized_names(own)) for own in self.own_marks))
        bodies = [
            substitute(
                self.members[number].body,
                {name: value for name, value in given.values.items() if name not in columns},
            )
            for number, given in entries
        ]
        try:
            return self._try(entries, bodies, [], as_written=as_written)
        except Differ as error:
            reason = error
        liftings = [self.liftings[number] for number, _ in entries]
        try:
            inlined, removed = inline_locals(bodies, liftings)
        except Differ:
            raise reason from None
        if any(removed):
            try:
                return self._try(entries, inlined, removed[0], as_written=False)
            except Differ:
                raise reason from None
        raise reason

    def _try(
        self,
        entries: list[tuple[int, Given]],
        bodies: list[list[ast.stmt]],
        removed: list[ast.stmt],
        *,
        as_written: bool,
    ) -> _Unified:
        """Unify whole tests, or else the blocks that they repeat."""
        reason: Differ | None = None
        for division in (whole(bodies), *divisions(bodies)):
            cases = [
                replace(
                    case,
                    member=entries[case.member][0],
                    id=entries[case.member][1].id,
                    marks=entries[case.member][1].marks,
                    row_end=entries[case.member][1].end,
                )
                for case in division.cases
            ]
            unifier = Unifier(
                [self.members[case.member] for case in cases],
                [self.liftings[case.member] for case in cases],
                as_written=as_written,
            )
            try:
                unifier.statements([case.body for case in cases])
            except Differ as error:
                reason = reason or error
                continue
            holes = [*_columns([entries[case.member][1] for case in division.cases]), *unifier.holes]
            if holes:
                return _Unified(replace(division, cases=cases), holes, removed)
            reason = reason or Differ("nothing differs: the tests are copies of one another")
        raise reason or Differ("nothing differs: the tests are copies of one another")

    def _write(self, decorators: Decorators, unified: _Unified) -> Fold:
        division, holes = unified.division, unified.holes
        parameters = self._parameters(decorators, unified)
        layout = Layout(
            self.members,
            self.module,
            division,
            decorators=decorators,
            own_marks=self.own_marks[0],
            notes=self._notes(division, holes),
            is_method=self.head is not None,
            is_loop=self.is_loop,
        )
        form = layout.form(parameters, unified.removed)
        rows, row_of_case, spans = self._rows(decorators, division, parameters, layout.notes, form)
        name = name_test(
            [member.unit.name for member in self.members],
            self.module.names_in_scope(self.template.unit)
            | {name for scope, name in self.module.claimed if scope == self.scope},
            self._subject(),
            {name for scope, name in self.module.claimed if scope == self.scope},
        )
        source = form.render(rows, name)
        kinds: dict[str, ParameterKind] = {
            each.name: "local" if each.dropped is not None or each.is_given else _kind_of(each) for each in parameters
        }
        prove(
            Claim(
                source=source,
                rows=rows,
                row_of_case=row_of_case,
                kinds=kinds,
                dropped={each.dropped: each.name for each in parameters if each.dropped is not None},
                own_marks=self.own_marks,
                is_loop=self.is_loop,
            ),
            self.members,
            self.module,
            division,
        )
        self.module.claimed.add((self.scope, name))
        return Fold(
            source=source,
            name=name,
            path=self.template.unit.path,
            replaces=tuple(
                Replaced(
                    member.unit.nodeid,
                    member.unit.first_line - layout.notes.lines_above(number),
                    member.unit.end_line,
                )
                for number, member in enumerate(self.members)
            ),
            imports=() if self.is_loop or self.module.pytest_name else ("import pytest",),
            parameters=tuple(each.name for each in parameters),
            rows=tuple(rows),
            form=form,
            spans=tuple(spans),
            rows_of_test=tuple(
                tuple(row for case, row in zip(division.cases, row_of_case, strict=True) if case.member == number)
                for number in range(len(self.members))
            ),
            splits=bool(division.block),
        )

    def _parameters(self, decorators: Decorators, unified: _Unified) -> list[Parameter]:
        """Give each set of values a parameter; raises Differ where there are too many."""
        holes = unified.holes
        groups: dict[tuple[str, ...], list[int]] = {}
        for number, hole in enumerate(holes):
            if hole.kind == "value" and not any(map(is_mutable, hole.nodes)):
                column = tuple(ast.dump(node) for node in hole.nodes)
            elif hole.kind in ("attribute", "keyword"):
                column = tuple(ast.dump(ast.Constant(_key(hole, at))) for at in range(len(hole.nodes)))
            else:
                column = (f"{hole.kind} {number}",)
            groups.setdefault(column, []).append(number)
        if len(groups) > MOST_PARAMETERS:
            raise Differ(f"{len(groups)} values differ, more than a table of cases keeps readable")
        own = {name for marks in self.own_marks for name in parametrized_names(marks)}
        taken = set().union(*self.local, *(member.loaded for member in self.members)) - own
        taken |= self.module.fixtures | self.module.bound.keys()
        taken |= set(parametrized_names(self._kept(decorators)))
        fixed: dict[int, str] = {}
        dropped: dict[int, int] = {}
        for position, group in enumerate(groups.values()):
            for number in group:
                found = self._dropped(holes[number], unified)
                if found is not None and position not in fixed and found[1] not in fixed.values():
                    fixed[position], dropped[position] = found[1], found[0]
                name = _own_name(holes[number])
                if name in own and position not in fixed and name not in {*fixed.values(), *taken}:
                    fixed[position] = name
        free = [position for position in range(len(groups)) if position not in fixed]
        listed = [[holes[number] for number in group] for group in groups.values()]
        names = parameter_names([listed[position][0] for position in free], taken, fixed.values())
        named = {**fixed, **dict(zip(free, names, strict=True))}
        return [Parameter(named[n], tuple(listed[n]), dropped.get(n)) for n in range(len(listed))]

    def _dropped(self, hole: Hole, unified: _Unified) -> tuple[int, str] | None:
        """Return index and name of the assignment that a hole is all of: the parameter can have the name itself."""
        parent = hole.place.parent
        if parent is None or parent.parent is not None or not isinstance(parent.node, ast.Assign):
            return None
        targets = parent.node.targets
        body = unified.division.cases[0].body
        if hole.kind != "value" or len(targets) != 1 or not isinstance(targets[0], ast.Name) or len(body) < 2:
            return None
        name = targets[0].id
        if name in self.module.fixtures or parent.index == len(body) - 1 or hasattr(hole.nodes[0], "qe_name"):
            return None
        for case in unified.division.cases:
            stores = [
                node
                for statement in case.body
                for node in ast.walk(statement)
                if (isinstance(node, ast.Name) and node.id == name and not isinstance(node.ctx, ast.Load))
                or (isinstance(node, ast.arg) and node.arg == name)
            ]
            if len(stores) != 1 or not isinstance(case.body[parent.index], ast.Assign):
                return None
        return parent.index, name

    def _notes(self, division: Division, holes: list[Hole]) -> Notes:
        inside: list[list[Span]] = [[] for _ in self.members]
        for hole in holes:
            for case, node in zip(division.cases, hole.nodes, strict=True):
                inside[case.member].extend(value_spans(self.members[case.member], hole, node))
        return Notes(self.members, self.module, division, inside)

    def _rows(
        self, decorators: Decorators, division: Division, parameters: list[Parameter], notes: Notes, form: Form
    ) -> tuple[list[Row], list[int], list[tuple[tuple[Span, ...], ...]]]:
        """Write the rows, equal ones once; return them with the row of each case, and the spans of their values."""
        deeper = form.indent + "    " * 3
        ids = self._ids(division)
        rows: list[Row] = []
        spans: list[tuple[tuple[Span, ...], ...]] = []
        row_of_case: list[int] = []
        known: dict[tuple[str, ...], int] = {}
        for at, case in enumerate(division.cases):
            member = self.members[case.member]
            marks = tuple(member.segment(mark) for mark in (*decorators.marks[case.member], *case.marks))
            above, behind = notes.of_case(at)
            key = (*(_key(each.holes[0], at) for each in parameters), *sorted(marks))
            number = known.setdefault(key, len(rows))
            row_of_case.append(number)
            if number < len(rows):
                row = rows[number]
                more = [note for note in above if note not in row.notes]
                covers = dict.fromkeys((*row.covers, member.unit.nodeid))
                rows[number] = replace(row, covers=tuple(covers), notes=(*row.notes, *more))
                continue
            values = tuple(value_text(member, each.holes[0], each.holes[0].nodes[at], deeper) for each in parameters)
            rows.append(Row(ids[at], values, (member.unit.nodeid,), marks, tuple(above), tuple(behind)))
            spans.append(
                tuple(
                    tuple(span for hole in each.holes for span in value_spans(member, hole, hole.nodes[at]))
                    for each in parameters
                )
            )
        if len(rows) < 2:
            raise Differ("nothing differs: the tests are copies of one another")
        return rows, row_of_case, spans

    def _ids(self, division: Division) -> list[str]:
        """Name the cases by what the names of their tests say, and what the tests themselves call them."""
        parts = Counter(case.member for case in division.cases)
        names = [member.unit.name for member in self.members]
        return row_ids(names, [parts[number] for number in range(len(names))], [case.id for case in division.cases])

    def _subject(self) -> str:
        """Name what all tests call, for tests whose names have nothing in common."""
        called = [
            [
                callee_name(node)
                for statement in member.body
                for node in ast.walk(statement)
                if isinstance(node, ast.Call)
            ]
            for member in self.members
        ]
        ignored = {"raises", "warns", "len", "str", "list", "dict", "isinstance", "approx", ""}
        return next((name for name in called[0] if name not in ignored and all(name in other for other in called)), "")


def _kind_of(parameter: Parameter) -> ParameterKind:
    """Return how the tests have what a parameter stands for: by name, where any does."""
    kinds = [hole.kind for hole in parameter.holes]
    return next((kind for kind in kinds if kind in ("attribute", "keyword")), kinds[0])


def _columns(rows: Sequence[Given]) -> list[Hole]:
    """Return what the tests' own rows give to names that all of them have."""
    names = [name for name in rows[0].values if all(name in row.values for row in rows)]
    return [
        Hole("value", tuple(row.values[name] for row in rows), Place(ast.Name(name, ast.Load()), None, GIVEN))
        for name in names
    ]


def _key(hole: Hole, at: int) -> str:
    node = hole.nodes[at]
    if isinstance(node, ast.Call) and hole.kind == "arguments":
        return " ".join(ast.dump(argument) for argument in node.args[hole.start :])
    if isinstance(node, ast.Call) and hole.kind == "keywords":
        return " ".join(ast.dump(each) for each in node.keywords[hole.start :])
    if isinstance(node, ast.Attribute) and hole.kind == "attribute":
        return node.attr
    if isinstance(node, ast.Constant) and hole.kind == "keyword":
        return str(node.value)
    return ast.dump(node)


def _own_name(hole: Hole) -> str:
    """Return the name that the tests themselves have for what a hole holds; empty where they differ or have none."""
    if hole.place.field == GIVEN and isinstance(hole.place.node, ast.Name):
        return hole.place.node.id
    names = {
        before.id for node in hole.nodes if isinstance(before := name_before(node), ast.Name) and before is not node
    }
    return names.pop() if len(names) == 1 else ""


def value_spans(member: Member, hole: Hole, node: ast.expr) -> list[Span]:
    """Return where the values of a hole stand in the source of *member*."""
    if hole.kind == "arguments" and isinstance(node, ast.Call):
        return [member.span(argument) for argument in node.args[hole.start :]]
    if hole.kind == "keywords" and isinstance(node, ast.Call):
        return [member.span(keyword.value) for keyword in node.keywords[hole.start :]]
    if hole.kind in ("attribute", "keyword"):
        return []
    return [member.span(node)]


def _self_name(member: Member) -> str:
    arguments = [*member.node.args.posonlyargs, *member.node.args.args]
    return arguments[0].arg if arguments else ""


def _argument_names(member: Member, is_method: bool) -> list[str]:
    arguments = member.node.args
    listed = [*arguments.posonlyargs, *arguments.args]
    return [argument.arg for argument in (listed[1:] if is_method else listed)]


def _asserts_by_self(member: Member) -> bool:
    name = _self_name(member)
    return any(
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == name
        and re.match(r"assert[A-Z]", node.attr)
        for node in member.nodes
    )

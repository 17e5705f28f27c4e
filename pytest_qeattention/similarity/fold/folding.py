"""Fold tests into one parametrized test, or say why that cannot be.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from pytest_qeattention.similarity.fold.cases import Division
from pytest_qeattention.similarity.fold.decorators import (
    Decorators,
    has_rows,
    injects,
    mark_name,
    parametrized_names,
    sort_decorators,
)
from pytest_qeattention.similarity.fold.differences import Differences, find_differences
from pytest_qeattention.similarity.fold.expanding import own_parametrize
from pytest_qeattention.similarity.fold.holes import Differ, Hole
from pytest_qeattention.similarity.fold.layout import Layout
from pytest_qeattention.similarity.fold.lifting import Lifting, callee_name, names_bound_by
from pytest_qeattention.similarity.fold.member import Member, Span, read_member
from pytest_qeattention.similarity.fold.module import Module, is_unittest
from pytest_qeattention.similarity.fold.notes import Notes
from pytest_qeattention.similarity.fold.operators import MODULE as OPERATORS
from pytest_qeattention.similarity.fold.parameters import Names, Parameter, make_parameters
from pytest_qeattention.similarity.fold.proof import Claim, prove
from pytest_qeattention.similarity.fold.renaming import local_names, rename_locals
from pytest_qeattention.similarity.fold.rendering import Form, Row
from pytest_qeattention.similarity.fold.scoping import scope_of
from pytest_qeattention.similarity.fold.titles import name_test, row_ids
from pytest_qeattention.similarity.fold.values import value_key, value_spans, value_text
from pytest_qeattention.similarity.model import Unit


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
    """The test, indented as the first of those it replaces and to be put in the place of one of them."""
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
    place: int = 0
    """Which of `replaces` it takes the place of: the first one that stands below all names that its rows use."""
    splits: bool = False
    """Whether rows stand for blocks that a test repeats, so that a test is as many cases as it has blocks."""


def suggest(units: Sequence[Unit], module: Module) -> Fold | Refusal:
    """Write the parametrized test that stands for all of *units*, which are tests of the file *module*.

    What is returned has been proven: each row, put back into the test, gives the test that it stands for.
    """
    place = 0
    while True:
        try:
            folding = _Folding(units, module, place)
        except Differ as error:
            return Refusal(str(error))
        try:
            try:
                return folding.fold()
            except SharedValue:
                # Where cases would share a value, each combination gets a row, and a value, of its own.
                folding.own_marks = own_parametrize(folding.members, all_of_them=True)
                return folding.fold()
        except Differ as error:
            lower = folding.lower_place()
            if lower is None:
                return Refusal(str(error))
            place = lower
        except RecursionError:
            return Refusal("the tests are nested too deeply")


class SharedValue(Differ):
    """Say that the cases of a ``parametrize`` that stays would share a value that can be changed."""


class _Folding:
    def __init__(self, units: Sequence[Unit], module: Module, place: int) -> None:
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
        self.head = scope_of(self.members, module)
        self.scope = self.template.unit.qualname.rpartition("::")[0]
        self.expander = module.expander if is_unittest(self.head) else None
        self.is_loop = is_unittest(self.head) and self.expander is None
        for member in self.members[1:]:
            rename_locals(self.template, member, local_names)
        self.local = [names_bound_by(member.nodes[1:]) for member in self.members]
        self.place = place
        self.liftings = [Lifting(local, module, self.members[place].unit.first_line) for local in self.local]
        self.own_marks = own_parametrize(self.members)

    def lower_place(self) -> int | None:
        """Return the first member below what rows were seen to use further down; None where there is none."""
        last = self.members[-1].unit.first_line
        lines = [line for lifting in self.liftings for line in lifting.bound_below if line < last]
        for number, member in enumerate(self.members):
            is_beside = member.unit.qualname.rpartition("::")[0] == self.scope
            if lines and number > self.place and is_beside and member.unit.first_line > max(lines):
                return number
        return None

    def fold(self) -> Fold:
        """Fold the tests; raises Differ."""
        decorators = sort_decorators(self.members, self.liftings, self.own_marks)
        self._check_functions(decorators)
        if is_unittest(self.head) and (any(decorators.marks) or any(self.own_marks)):
            raise Differ("the decorators differ, and unittest has no place for them")
        kept = self._kept(decorators)
        reused = any(has_rows(each) for each in kept)
        for lifting in self.liftings:
            lifting.reused = reused
        try:
            found = find_differences(self.members, self.own_marks, self.liftings)
        except Differ:
            if reused and any(lifting.refused_to_share for lifting in self.liftings):
                raise SharedValue from None
            raise
        return self._write(decorators, found)

    def _kept(self, decorators: Decorators) -> list[ast.expr]:
        return [self.template.node.decorator_list[number] for number in decorators.kept]

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
        if self.expander and (
            any("expand" in ast.unparse(each) for each in first.decorator_list)
            or names[0]
            or any(map(injects, first.decorator_list))
        ):
            raise Differ("the tests of unittest take arguments already")
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

    def _write(self, decorators: Decorators, found: Differences) -> Fold:
        division = found.division
        if any(case.is_computed for case in division.cases):
            if any(decorators.marks):
                raise Differ("the decorators differ, and rows that are computed have no place for them")
            if any(map(has_rows, self._kept(decorators))):
                raise Differ("the tests are parametrized already, with rows that are computed")
        parameters = make_parameters(found.holes, division, self._names(decorators, found.loop_names))
        layout = Layout(
            self.members,
            self.module,
            division,
            decorators=decorators,
            own_marks=self.own_marks[0],
            notes=self._notes(division, found.holes),
            is_method=self.head is not None,
            is_loop=self.is_loop,
            expander=self.expander,
        )
        form = layout.form(parameters, found.removed)
        rows, row_of_case, spans = self._rows(decorators, division, parameters, layout.notes, form)
        name = name_test(
            [member.unit.name for member in self.members],
            self.module.names_in_scope(self.template.unit)
            | {name for scope, name in self.module.claimed if scope == self.scope},
            self._subject(),
            {name for scope, name in self.module.claimed if scope == self.scope},
        )
        source = form.render(rows, name)
        imports = self._imports(parameters)
        prove(
            Claim(
                source=source,
                rows=rows,
                row_of_case=row_of_case,
                kinds={each.name: each.kind for each in parameters},
                dropped={each.dropped: each.name for each in parameters if each.dropped is not None},
                own_marks=self.own_marks,
                form=form,
                imports=imports,
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
            imports=imports,
            parameters=tuple(each.name for each in parameters),
            rows=tuple(rows),
            form=form,
            spans=tuple(spans),
            rows_of_test=tuple(
                tuple(row for case, row in zip(division.cases, row_of_case, strict=True) if case.member == number)
                for number in range(len(self.members))
            ),
            place=self.place,
            splits=bool(division.block),
        )

    def _imports(self, parameters: Sequence[Parameter]) -> tuple[str, ...]:
        """List the import statements that the file needs; raises Differ where a name has another meaning there."""
        found = [] if is_unittest(self.head) or self.module.pytest_name else ["import pytest"]
        if any(each.kind == "operator" for each in parameters) and not self.module.imports(OPERATORS):
            if OPERATORS in self.module.bound:
                raise Differ(f"operators differ, and {OPERATORS} is another thing in the file")
            found.append(f"import {OPERATORS}")
        return tuple(found)

    def _names(self, decorators: Decorators, loop_names: set[str]) -> Names:
        own = {name for marks in self.own_marks for name in parametrized_names(marks)}
        taken = set().union(*self.local, *(member.loaded for member in self.members)) - own
        taken |= self.module.fixtures | self.module.bound.keys()
        taken |= set(parametrized_names(self._kept(decorators)))
        return Names(own, taken | loop_names, self.module.fixtures)

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
            key = (*(value_key(each.holes[0], at) for each in parameters), *sorted(marks))
            number = known.setdefault(key, len(rows))
            row_of_case.append(number)
            if number < len(rows):
                row = rows[number]
                rows[number] = replace(
                    row,
                    covers=tuple(dict.fromkeys((*row.covers, member.unit.nodeid))),
                    notes=tuple(dict.fromkeys((*row.notes, *above))),
                    trailing=tuple(dict.fromkeys((*row.trailing, *behind))),
                )
                continue
            # One expression gives what the rows hold that a test computes.
            given = parameters[len(case.given) - 1 :] if case.is_computed else parameters
            values = tuple(value_text(member, each.holes[0], each.holes[0].nodes[at], deeper) for each in given)
            name = "" if case.is_computed else ids[at]
            rows.append(Row(name, values, (member.unit.nodeid,), marks, tuple(above), tuple(behind)))
            spans.append(
                tuple(
                    tuple(span for hole in each.holes for span in value_spans(member, hole, hole.nodes[at]))
                    for each in given
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
        names = [name for name in called[0] if name not in ignored and not name.startswith("assert")]
        return next((name for name in names if all(name in other for other in called)), "")


def _argument_names(member: Member, is_method: bool) -> list[str]:
    arguments = member.node.args
    listed = [*arguments.posonlyargs, *arguments.args]
    return [argument.arg for argument in (listed[1:] if is_method else listed)]

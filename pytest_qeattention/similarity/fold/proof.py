"""The proof of a fold: read back as it is written, each row gives the test that it stands for, and no name is new.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_qeattention.similarity.fold.cases import Division
from pytest_qeattention.similarity.fold.checking import Folded, Matcher, read_folded
from pytest_qeattention.similarity.fold.holes import Differ
from pytest_qeattention.similarity.fold.lifting import BUILTINS, bound_names, loaded_names
from pytest_qeattention.similarity.fold.member import Member
from pytest_qeattention.similarity.fold.module import Module
from pytest_qeattention.similarity.fold.operators import MODULE as OPERATORS
from pytest_qeattention.similarity.fold.parameters import ParameterKind
from pytest_qeattention.similarity.fold.rendering import Form, Row
from pytest_qeattention.similarity.fold.rolling import unrolled


@dataclass(frozen=True, slots=True)
class Claim:
    """Hold what is to be proven of a suggestion."""

    source: str
    rows: Sequence[Row]
    row_of_case: Sequence[int]
    kinds: Mapping[str, ParameterKind]
    dropped: Mapping[int, str]
    """Statements of a case that the test has no more, by index: each gave a parameter's value to its name."""
    own_marks: Sequence[Sequence[ast.expr]]
    """The ``parametrize`` marks of each test that became rows."""
    form: Form
    imports: Sequence[str] = ()
    """Import statements that the file gets with the suggestion."""


def prove(claim: Claim, members: Sequence[Member], module: Module, division: Division) -> None:
    """Raise Differ where *claim* does not hold."""
    try:
        folded = read_folded(claim.source, list(claim.kinds), claim.form)
    except (SyntaxError, ValueError) as error:
        raise Differ(f"the suggestion would not parse ({error})") from error
    if folded is None or len(folded.rows) != len(claim.rows):
        raise Differ("the suggestion would not read back as it was written")
    matcher = Matcher(claim.kinds)
    for case, row in zip(division.cases, claim.row_of_case, strict=True):
        values = folded.rows[row]
        for index, name in claim.dropped.items():
            statement = case.body[index]
            value = statement.value if isinstance(statement, ast.Assign) else None
            if value is None or ast.dump(value) != ast.dump(values[name]):
                raise Differ("the suggestion would not give every test back")
        if any(ast.dump(values[name]) != ast.dump(value) for name, value in case.given.items() if name in values):
            raise Differ("the suggestion would not give every row back")
        body = unrolled([statement for index, statement in enumerate(case.body) if index not in claim.dropped])
        if not matcher.matches(folded.body, body, values):
            raise Differ("the suggestion would not give every test back")
        member = members[case.member]
        own = {id(mark) for mark in claim.own_marks[case.member]}
        given = [ast.dump(each) for each in member.node.decorator_list if id(each) not in own]
        given.extend(ast.dump(mark) for mark in case.marks)
        written = [ast.dump(each) for each in (*folded.decorators, *folded.marks[row])]
        if Counter(given) != Counter(written):
            raise Differ("the suggestion would not keep every decorator")
    covered = {nodeid for row in claim.rows for nodeid in row.covers}
    if covered != {member.unit.nodeid for member in members}:
        raise Differ("the suggestion would not cover every test")
    imported = {line.rpartition(" ")[2] for line in claim.imports}
    if claim.form.expander is not None:
        imported.add(claim.form.expander.partition(".")[0])
    _check_names(folded, members, module, imported)


def _check_names(folded: Folded, members: Sequence[Member], module: Module, imported: set[str]) -> None:
    """Raise Differ where the suggestion uses a name that no test had."""
    function = folded.function
    bound = set().union(*(bound_names(part) for part in (function.args, *function.body)), set())
    parts = (function.args, *function.body, *([function.returns] if function.returns is not None else []))
    free = set().union(*map(loaded_names, parts)) - bound
    for decorator in function.decorator_list:
        free |= loaded_names(decorator) - bound_names(decorator)
    known = set().union(*(member.loaded for member in members))
    # Hints and getattr use builtins that the tests may not.
    given = {name for name in BUILTINS if name not in module.bound}
    unknown = free - known - given - imported - {module.pytest_name or "pytest"}
    if OPERATORS in unknown and module.imports(OPERATORS):
        unknown.discard(OPERATORS)
    if unknown:
        raise Differ(f"the suggestion would use the name {sorted(unknown)[0]}, which no test has")

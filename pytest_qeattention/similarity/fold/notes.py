"""Comments and docstrings that not all tests have: they go beside the rows of those that have them.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import cached_property

from pytest_qeattention.similarity.fold.cases import Division
from pytest_qeattention.similarity.fold.member import Comment, Member, Span
from pytest_qeattention.similarity.fold.module import Module

_BANNER = re.compile(r"#\s*([-=#*~_+]{3,})|#+\s*$")


class Notes:
    """Sort the comments of tests into those that stay in the folded one and those that go beside its rows."""

    def __init__(
        self, members: Sequence[Member], module: Module, division: Division, inside: Sequence[Sequence[Span]]
    ) -> None:
        """*inside* holds, for each test, the pieces of its text that move to rows, with the comments in them."""
        self._members = members
        self._module = module
        self._division = division
        self._inside = inside

    @cached_property
    def same_docstring(self) -> bool:
        """Whether all tests have the same docstring, or none."""
        return len({member.unit.docstring for member in self._members}) == 1

    @cached_property
    def _common(self) -> Counter[str]:
        counts = [Counter(comment.text for comment in member.comments) for member in self._members]
        common = counts[0]
        for each in counts[1:]:
            common = common & each
        return common

    def moving(self, number: int) -> list[Comment]:
        """List the comments of a test that not all tests have; the directives of the first stay."""
        left = self._common.copy()
        found = []
        for comment in self._members[number].comments:
            if left[comment.text]:
                left[comment.text] -= 1
            elif (number or not comment.is_directive) and not any(
                first <= comment.span[0] < last for first, last in self._inside[number]
            ):
                found.append(comment)
        return found

    def of_case(self, at: int) -> tuple[list[str], list[str]]:
        """List the comments above and behind the row of the case number *at*."""
        cases = self._division.cases
        number = cases[at].member
        member = self._members[number]
        own = [index for index, case in enumerate(cases) if case.member == number]
        notes: list[str] = []
        if at == own[0]:
            notes.extend(self._leading(number))
            if not self.same_docstring and member.unit.docstring:
                lines = member.unit.docstring.strip().splitlines()
                notes.extend(f"# {line}".rstrip() for line in lines if line.strip())
        trailing = []
        for comment in self.moving(number):
            if self._case_of(comment, own) != at:
                continue
            if comment.is_directive:
                if comment.text not in {each.text for each in self._members[0].comments}:
                    trailing.append(comment.text)
            elif comment.text not in notes:
                notes.append(comment.text)
        return notes, trailing

    def _case_of(self, comment: Comment, own: Sequence[int]) -> int:
        """Return the one of a test's cases that a comment is about."""
        cases = self._division.cases
        rows = [index for index in own if comment.span[0] < cases[index].row_end]
        if rows and comment.anchor < 0:
            return rows[0]
        before = [index for index in own if cases[index].start <= comment.anchor]
        if not before:
            return own[0]
        starts = [cases[index].start for index in before]
        return before[starts.index(starts[-1])]

    def lines_above(self, number: int) -> int:
        """Count the comment lines above a test that go where the test goes."""
        return len(self._above(number)) if number or self._moves_leading else 0

    def _above(self, number: int) -> list[str]:
        """List the comment lines right above a test, but for those that head a part of the file."""
        unit = self._members[number].unit
        lines = self._module.lines
        first = lines[unit.first_line - 1]
        indent = first[: len(first) - len(first.lstrip())]
        found: list[str] = []
        at = unit.first_line - 2
        while at >= 0 and lines[at].startswith(f"{indent}#"):
            found.insert(0, lines[at].strip())
            at -= 1
        return [] if any(_BANNER.match(line) for line in found) else found

    def _leading(self, number: int) -> list[str]:
        own = self._above(number)
        if number == 0:
            return own if self._moves_leading else []
        return [] if own == self._above(0) and not self._moves_leading else own

    @cached_property
    def _moves_leading(self) -> bool:
        """Whether the comment above the first test is about that test alone: others have one of their own."""
        above = [self._above(number) for number in range(len(self._members))]
        return bool(above[0]) and any(each and each != above[0] for each in above[1:])

"""Write a fold as source: the template's own text with names in the holes, and the rows above or around it.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_qeattention.similarity.fold.member import shift, shift_rest

_STEP = "    "


@dataclass(frozen=True, slots=True)
class Row:
    """Hold one case of a folded test, or all that an expression gives."""

    id: str
    """Empty where an expression gives the cases: it is the first value, with its star; others go to each of them."""
    values: tuple[str, ...]
    """Source of each value."""
    covers: tuple[str, ...]
    """Node ids of the tests that it stands for."""
    marks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """Comments above the row, each with its ``#``."""
    trailing: tuple[str, ...] = ()
    """Comments behind it."""


@dataclass(frozen=True, slots=True)
class Form:
    """Hold the parts of a folded test that its rows are put between."""

    parameters: tuple[str, ...]
    decorators: str
    """Text of the decorators that stay, each line with its end."""
    before_name: str
    after_name: str
    """From behind the name to the body."""
    body: str
    indent: str
    pytest_name: str
    quote: str
    limit: int
    case_name: str | None = None
    """What has the id of a row, in a loop over ``subTest`` and for an *expander*; None for ``parametrize``."""
    expander: str | None = None
    """The decorator of the project that makes a test of each row in a class of unittest."""

    @property
    def is_loop(self) -> bool:
        """Whether one test runs all rows."""
        return self.case_name is not None and self.expander is None

    def render(self, rows: Sequence[Row], name: str) -> str:
        """Return the source of the test called *name* with *rows*, indented as in its file."""
        if not self.is_loop or self.case_name is None:
            table = self._parametrize(rows) if self.expander is None else self._expand(rows, self.expander)
            return f"{table}{self.decorators}{self.before_name}{name}{self.after_name}{self.body}"
        inner = self.indent + _STEP
        names = ", ".join((self.case_name, *self.parameters))
        lines = [f"{inner}for {names} in ("]
        for row in rows:
            lines.extend(self._row(row, inner + _STEP, "(", (self.quoted(row.id), *row.values)))
        lines.append(f"{inner}):")
        lines.append(f"{inner}{_STEP}with self.subTest({self.case_name}):\n")
        body = shift(self.body, inner, inner + _STEP * 2)
        return f"{self.decorators}{self.before_name}{name}{self.after_name}" + "\n".join(lines) + body

    def _parametrize(self, rows: Sequence[Row]) -> str:
        inner = self.indent + _STEP
        names = ", ".join(self.quoted(name) for name in self.parameters)
        lines = [
            f"{self.indent}@{self.pytest_name}.mark.parametrize(",
            f"{inner}({names})," if len(self.parameters) > 1 else f"{inner}{names},",
            f"{inner}[",
        ]
        for row in rows:
            if not row.id:
                lines.extend(self._computed(row, inner + _STEP))
                continue
            parts = [*row.values, f"id={self.quoted(row.id)}"]
            if row.marks:
                parts.append(f"marks={row.marks[0]}" if len(row.marks) == 1 else f"marks=[{', '.join(row.marks)}]")
            lines.extend(self._row(row, inner + _STEP, f"{self.pytest_name}.param(", parts))
        lines.extend((f"{inner}],", f"{self.indent})"))
        return "\n".join(lines) + "\n"

    def _expand(self, rows: Sequence[Row], expander: str) -> str:
        inner = self.indent + _STEP
        lines = [f"{self.indent}@{expander}(", f"{inner}["]
        for row in rows:
            lines.extend(self._row(row, inner + _STEP, "(", (self.quoted(row.id), *row.values)))
        lines.extend((f"{inner}]", f"{self.indent})"))
        return "\n".join(lines) + "\n"

    def names_of_rows(self, rows: Sequence[Row], name: str) -> list[str]:
        """Return what an expander calls the tests of *rows*."""
        digits = len(str(len(rows) - 1))
        return [
            f"{name}_{number:0{digits}}_{re.sub(r'[^a-zA-Z0-9_]+', '_', row.id)}" for number, row in enumerate(rows)
        ]

    def _computed(self, row: Row, indent: str) -> list[str]:
        behind = "".join(f"  {comment}" for comment in row.trailing)
        text, *more = (shift_rest(value, indent + _STEP, indent) for value in row.values)
        if more:
            name = next(each for each in ("row", "given", "computed") if not re.search(rf"\b{each}\b", "".join(more)))
            text = f"*((*{name}, {', '.join(more)}) for {name} in {text[1:]})"
        return [*(f"{indent}{note}" for note in row.notes), f"{indent}{text},{behind}"]

    def _row(self, row: Row, indent: str, opening: str, parts: Sequence[str]) -> list[str]:
        lines = [f"{indent}{note}" for note in row.notes]
        behind = "".join(f"  {comment}" for comment in row.trailing)
        one = f"{indent}{opening}{', '.join(parts)}),"
        if "\n" not in one and len(one) <= self.limit:
            return [*lines, one + behind]
        inner = indent + _STEP
        if "\n" in one and len(parts) <= 2 and _hugs(parts[0]):
            return [
                *lines,
                f"{indent}{opening}{', '.join(shift_rest(part, inner, indent) for part in parts)}),{behind}",
            ]
        return [*lines, f"{indent}{opening}", *(f"{inner}{part}," for part in parts), f"{indent}),{behind}"]

    def quoted(self, text: str) -> str:
        """Return *text*, which holds neither quotes nor backslashes, as a string of the file's style."""
        return f"{self.quote}{text}{self.quote}"


def _hugs(part: str) -> bool:
    """Tell whether *part* is a string in triple quotes, which reads best where it begins."""
    return part.lstrip("rbfuRBFU")[:3] in ('"""', "'''")

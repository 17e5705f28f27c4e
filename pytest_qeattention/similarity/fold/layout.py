"""Cut the template into the parts that rows are put between, with parameters in its holes.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from pytest_qeattention.similarity.fold.cases import Division
from pytest_qeattention.similarity.fold.decorators import Decorators, fills_from_the_right, injects, parametrized_names
from pytest_qeattention.similarity.fold.edits import Edit, apply_edits, hole_edits, loop_edits, piece_edits
from pytest_qeattention.similarity.fold.holes import GIVEN, Differ
from pytest_qeattention.similarity.fold.lifting import body_names, loaded_names
from pytest_qeattention.similarity.fold.member import Member, Span, substituted
from pytest_qeattention.similarity.fold.module import Module
from pytest_qeattention.similarity.fold.notes import Notes
from pytest_qeattention.similarity.fold.parameters import Parameter
from pytest_qeattention.similarity.fold.rendering import Form
from pytest_qeattention.similarity.fold.rolling import run_of
from pytest_qeattention.similarity.fold.typing_hints import annotation

_LEAST_LIMIT, _MOST_LIMIT = 88, 120


class Layout:
    """Rewrite the first of *members* as the form of the folded test."""

    def __init__(
        self,
        members: Sequence[Member],
        module: Module,
        division: Division,
        *,
        decorators: Decorators,
        own_marks: Sequence[ast.expr],
        notes: Notes,
        is_method: bool,
        is_loop: bool,
        expander: str | None = None,
    ) -> None:
        self.notes = notes
        self._members = members
        self._template = members[0]
        self._module = module
        self._case = division.cases[0]
        self._is_block = bool(division.block)
        self._decorators = decorators
        self._own = frozenset(parametrized_names(own_marks))
        self._is_method = is_method
        self._is_loop = is_loop
        self._expander = expander
        used = body_names(members[0].node) | loaded_names(members[0].node)
        self._case_names = [name for name in ("case", "name", "label", "which", "number_of_case") if name not in used]

    def form(self, parameters: Sequence[Parameter], removed: Sequence[ast.stmt]) -> Form:
        """Return the form; raises Differ where the template is written in a way that cannot be changed."""
        template, node = self._template, self._template.node
        definition = template.offset(node.lineno, node.col_offset)
        line = template.starts[template.line_at(definition)]
        match = re.compile(r"(?:async\s+)?def\s+").match(template.text, definition)
        if match is None:
            raise Differ(f"{template.unit.name} is not written as a function")
        name_end = match.end() + len(node.name)
        body = self._body_start(name_end)
        end = self._end()
        edits = self._edits(parameters, removed)
        # A docstring goes with the blank line below it.
        body = max([body, *(last for (first, last), text in edits if first < body < last and not text)])
        try:
            parts = [
                apply_edits(template.text, edits, first, last, is_last=last == end)
                for first, last in ((0, line), (line, match.end()), (name_end, body), (body, end))
            ]
        except ValueError as error:
            raise Differ(f"the first test cannot be rewritten: {error}") from error
        if self._is_loop and template.text[body - 1] != "\n":
            raise Differ("the first test is written on one line")
        longest = max(len(each) for member in self._members for each in member.text.split("\n"))
        return Form(
            parameters=tuple(parameter.name for parameter in parameters),
            decorators=parts[0],
            before_name=parts[1],
            after_name=parts[2],
            body=parts[3].rstrip(),
            indent=template.text[line:definition],
            pytest_name=self._module.pytest_name or "pytest",
            quote=template.quote,
            limit=min(max(longest, _LEAST_LIMIT), _MOST_LIMIT),
            case_name=self._case_name(parameters) if self._is_loop or self._expander else None,
            expander=self._expander,
        )

    def _case_name(self, parameters: Sequence[Parameter]) -> str:
        """Name what has the id of a row."""
        used = {parameter.name for parameter in parameters}
        return next(name for name in self._case_names if name not in used)

    def _edits(self, parameters: Sequence[Parameter], removed: Sequence[ast.stmt]) -> list[Edit]:
        template = self._template
        dropped = [self._case.body[each.dropped] for each in parameters if each.dropped is not None]
        edits: list[Edit] = []
        pieces = [(hole, each.name) for each in parameters for hole in each.holes if hole.kind == "text"]
        edits.extend(piece_edits(template, pieces))
        for parameter in parameters:
            for hole in parameter.holes:
                is_apart = hole.kind == "text" or (
                    hole.place.parent is not None and hasattr(hole.place.parent.node, "qe_run")
                )
                if (
                    hole.place.field != GIVEN
                    and not is_apart
                    and not any(hole.place.parent is not None and hole.place.parent.node is each for each in dropped)
                ):
                    edits.extend(hole_edits(template, hole, parameter.name))
        covered = [span for span, _ in edits]
        for statement in self._case.body:
            for name, value in substituted(statement):
                start, end = template.span(name)
                if not any(first <= start and end <= last for first, last in covered):
                    edits.append(((start, end), template.atom(value)))
        loops = [(each, run_of(each)) for each in self._case.body if run_of(each)]
        for loop, run in loops:
            edits.extend(loop_edits(template, loop, run[0], parameters, covered))
        gone = [*dropped, *removed, *(statement for _, run in loops for statement in run[1:])]
        edits.extend(self._without(statement, gone) for statement in gone)
        for number, decorator in enumerate(template.node.decorator_list):
            if number not in self._decorators.kept:
                edits.append((self._lines(*template.span(decorator)), ""))
        edits.extend(self._removals([span for span, _ in edits]))
        if not self._is_loop:
            edits.extend(self._arguments(parameters))
        return edits

    def _without(self, statement: ast.stmt, gone: Sequence[ast.stmt]) -> Edit:
        """Take a statement out with its lines; a comment behind it stays, a blank line too many goes."""
        start, end = self._template.span(statement)
        first, last = self._lines(start, end)
        text = self._template.text
        if text[first:start].strip() or text[end:last].strip(" \t\n;"):
            rest = re.compile(r"[ \t]*").match(text, end)
            return (start, rest.end() if rest else end), ""
        body = self._template.body
        is_first = all(each in gone for each in body[: body.index(statement)]) if statement in body else False
        blank = re.compile(r"[ \t]*\n").match(text, last)
        if blank and (is_first or text[:first].endswith("\n\n")):
            last = blank.end()
        return (first, last), ""

    def _end(self) -> int:
        """Return where the template ends: behind the first block, where tests repeat blocks."""
        template = self._template
        if not self._is_block:
            return len(template.text)
        end = template.span(self._case.body[-1])[1]
        return next((start - 1 for start in template.starts if start > end), len(template.text))

    def _body_start(self, name_end: int) -> int:
        """Return where the body begins: behind the docstring where there is one, else behind the colon's line."""
        template = self._template
        node = template.node
        if template.docstring is not None:
            after = template.span(template.docstring)[1]
        else:
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            listed_after = [template.span(each)[1] for each in arguments]
            listed_after.extend(template.span(default)[1] for default in node.args.defaults)
            if node.returns is not None:
                listed_after.append(template.span(node.returns)[1])
            after = template.text.index(":", max([name_end, *listed_after]))
        first = template.span(template.body[0])[0]
        following = next((start for start in template.starts if start > after), len(template.text))
        return following if following <= first else first

    def _arguments(self, parameters: Sequence[Parameter]) -> list[Edit]:
        """Return what adds the parameters to the arguments, in the place of those that rows gave values to."""
        template, node = self._template, self._template.node
        arguments = node.args
        is_typed = node.returns is not None or any(argument.annotation for argument in arguments.args)
        texts = []
        for parameter in parameters:
            own = next((a for a in arguments.args if a.arg == parameter.name and a.arg in self._own), None)
            hint = annotation(parameter.holes[0]) if is_typed else None
            if own is not None and own.annotation is not None:
                hint = template.segment(own.annotation)
            texts.append(f"{parameter.name}: {hint}" if hint else parameter.name)
        if self._expander:
            case = self._case_name(parameters)
            texts.insert(0, f"{case}: str" if is_typed else case)
        listed = arguments.posonlyargs + arguments.args
        if self._own:
            # All arguments are plain names: written anew, without those that are no more.
            texts = [*(template.segment(each) for each in listed if each.arg not in self._own), *texts]
            return [((template.span(listed[0])[0], template.span(listed[-1])[1]), ", ".join(texts))]
        required = listed[: len(listed) - len(arguments.defaults)]
        kept = [node.decorator_list[number] for number in self._decorators.kept]
        if any(map(fills_from_the_right, kept)):
            if any(map(injects, kept)):
                raise Differ("given and patch both add arguments by their places")
            required = required[: 1 if self._is_method else 0]
        text = ", ".join(texts)
        if required:
            end = template.span(required[-1])[1]
            is_alone = template.text[template.starts[template.line_at(end)] : end].strip() == template.segment(
                required[-1]
            )
            if is_alone:
                text = ",\n".join(["", *(template.indent_at(end) + each for each in texts)])
                return [((end, end), text)]
            return [((end, end), f", {text}")]
        opening = template.text.index("(", template.offset(node.lineno, node.col_offset)) + 1
        return [((opening, opening), text + (", " if listed or arguments.kwonlyargs or arguments.vararg else ""))]

    def _removals(self, taken: Sequence[Span]) -> list[Edit]:
        """Return what takes the docstring and the comments that move to rows out of the template."""
        template = self._template
        edits: list[Edit] = []
        inside = list(taken)
        if template.docstring is not None and not self.notes.same_docstring:
            start, end = self._lines(*template.span(template.docstring))
            blank = re.compile(r"[ \t]*\n").match(template.text, end)
            edits.append(((start, blank.end() if blank else end), ""))
            inside.append(edits[0][0])
        for comment in self.notes.moving(0):
            start, end = comment.span
            if start >= self._end() or any(first <= start < last for first, last in inside):
                continue
            if comment.is_alone:
                edits.append((self._lines(start, end), ""))
            else:
                edits.append(((len(template.text[:start].rstrip(" \t")), end), ""))
        return edits

    def _lines(self, start: int, end: int) -> Span:
        """Return all of the lines that hold *start* to *end* of the template, with the end of the last."""
        template = self._template
        last = template.line_at(end) + 1
        return (
            template.starts[template.line_at(start)],
            template.starts[last] if last < len(template.starts) else len(template.text),
        )

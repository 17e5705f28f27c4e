"""Exceptions with their frames, out of the text of a Python traceback.

Read are the traceback that Python prints, chained, grouped or plain, and what pytest writes in the styles ``auto``,
``long``, ``short``, ``native`` and ``line``. A text that is none of those yields nothing.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pytest_qeattention.defects.record import Link


@dataclass(frozen=True, slots=True)
class Place:
    """Where a frame stands, as the text says it."""

    path: str
    line: int
    function: str
    statement: str
    is_fixture: bool = False


@dataclass(frozen=True, slots=True)
class Trace:
    """One exception of a chain: its type and message, and its frames, outermost first."""

    type: str
    message: str
    link: Link | None
    places: tuple[Place, ...]


UNPRINTABLE = "<exception str() failed>"
"""What Python says, from 3.11 on, of an exception that cannot say what it is."""
_UNPRINTABLE = re.compile(r"<unprintable [^ <>]+ object>")
_CHAINED: dict[str, Link] = {
    "The above exception was the direct cause of the following exception:": "cause",
    "During handling of the above exception, another exception occurred:": "context",
}
_MOST_CHAINED = 20
_DEEPEST_GROUP = 5
_HEADER = "Traceback (most recent call last):"
_FILE = re.compile(r'^ *File "([^"\n]+)", line (\d{1,8})(?:, in (.+))?$')
_LOCATION = re.compile(r"^((?:[A-Za-z]:)?[^\s:>][^:]*):(\d{1,8}):(?: in (.+)| ?([A-Za-z_][\w.]*)?)$")
_ENTRY_END = re.compile(r"^(?:_ )+$|^[_ ]{20,}$")
_FUNCTION = re.compile(r"^(\s*)(?:async )?def (\w+)")
_LAMBDA = re.compile(r"\blambda\b")
_COMPREHENSION = re.compile(r"([\[{(])([^\[\]{}]{0,200}?) for \w")
_NO_MARGIN = 1_000
_DECORATED_FIXTURE = re.compile(r"^\s*@(?:[\w.]*\.)?fixture\b")
_CARETS = re.compile(r"^[\s^~]+$")
_TYPED = re.compile(r"^([A-Za-z_](?:[\w.]|<locals>)*(?:\[[\w., ]*\])?)(?::(?: |$)(.*))?$", re.DOTALL)
_LOOKUP = re.compile(r"^file (.+), line (\d{1,8})$", re.MULTILINE)
_MISSING_FIXTURE = re.compile(r"^E\s+((?:recursive dependency involving )?fixture '.+)$", re.MULTILINE)
_REPEATED = re.compile(r"^ *\[Previous line repeated \d+ more times?\]$")
_MEMBER = re.compile(r"^(\s*)\+-\+-{4,}")


def parse_traceback(text: str) -> tuple[Trace, ...]:
    """Return the exceptions that *text* tells of, outermost first, members of a group after it; empty if none."""
    return _parse(text.split("\n"), 0)[:_MOST_CHAINED]


def _parse(lines: Sequence[str], depth: int) -> tuple[Trace, ...]:
    members: list[list[str]] = []
    if depth < _DEEPEST_GROUP:
        lines, members = _without_members(lines)
    sections: list[list[str]] = [[]]
    links: list[Link] = []
    for line in lines:
        link = _CHAINED.get(line.strip())
        if link is None:
            sections[-1].append(line)
        else:
            links.append(link)
            sections.append([])
    traces: list[Trace] = []
    # A text begins with what was raised first; a record begins with what was raised last.
    for section, link in zip(reversed(sections), [None, *reversed(links)], strict=True):
        trace = _section(section)
        if trace is None and depth and any(line.strip() for line in section):
            # A member that was never raised has no traceback.
            trace = Trace(*split_type("\n".join(section).strip()), None, ())
        if trace is not None:
            traces.append(replace(trace, link=link if traces else None))
    for member in members:
        for at, trace in enumerate(_parse(member, depth + 1)):
            traces.append(trace if at else replace(trace, link="group"))
    return tuple(traces)


def _without_members(lines: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Take the members of an exception group out of its traceback, and the margin off both."""
    first = next((at for at, line in enumerate(lines) if _MEMBER.match(line)), None)
    if first is None:
        return list(lines), []
    opening = _MEMBER.match(lines[first])
    column = len(opening[1]) + 2 if opening else 0
    main = [re.sub(r"^\s*[|+] ", "", line) for line in lines[:first]]
    members: list[list[str]] = [[]]
    for at in range(first + 1, len(lines)):
        line = lines[at]
        mark = line[column : column + 1]
        if mark == "+" and line[column : column + 5] == "+----":
            members.append([])
        elif mark == "|" or line[: column + 1].isspace():
            members[-1].append(line[column + 2 :] if mark == "|" else line[column:])
        elif mark == "+":
            members[-1].append(line[column:])
        else:
            main += [re.sub(r"^\s*[|+] ", "", rest) for rest in lines[at:]]
            break
    return main, [member for member in members if member][:_MOST_CHAINED]


def _section(lines: Sequence[str]) -> Trace | None:
    if any(line.startswith("E  ") for line in lines):
        return _pytest_section(lines)
    header = max((at for at, line in enumerate(lines) if line.strip().endswith(_HEADER)), default=None)
    return None if header is None else _python_section(lines[header + 1 :])


def _python_section(lines: Sequence[str]) -> Trace:
    places: list[Place] = []
    end = 0
    for at, line in enumerate(lines):
        if line and not line[0].isspace():
            break
        end = at + 1
        if found := _FILE.match(line):
            places.append(Place(found[1], int(found[2]), found[3] or "", ""))
        elif places and not places[-1].statement and not _REPEATED.match(line) and not _CARETS.match(line):
            places[-1] = replace(places[-1], statement=line.strip())
    rest = lines[end:]
    while rest and rest[-1].strip() in ("", '"""'):
        rest = rest[:-1]
    # unittest writes below the message what the test printed.
    for at, line in enumerate(rest):
        if line in ("Stdout:", "Stderr:") and at and not rest[at - 1]:
            rest = rest[: at - 1]
            break
    syntax = [place for place in places if not place.function]
    type_, message = split_type("\n".join(rest))
    if syntax and type_.endswith(("SyntaxError", "IndentationError", "TabError")):
        message = _syntax_message(message, syntax[-1])
    return Trace(type_, message, None, tuple(replace(p, function=p.function or "<module>") for p in places))


def _pytest_section(lines: Sequence[str]) -> Trace:
    places: list[Place] = []
    told: list[str] = []
    crash = statement = function = ""
    is_fixture = is_open = False
    margin = _NO_MARGIN
    for line in lines:
        if line.startswith("E") and line[1:2] in (" ", ""):
            told.append(line[1:])
        elif found := _LOCATION.match(line):
            path, number, inside, crash = found[1], int(found[2]), found[3], found[4] or ""
            if inside is not None:
                places.append(Place(path, number, inside, ""))
                is_open = True
            else:
                places.append(Place(path, number, function, statement, is_fixture))
                is_open = False
            statement, function, margin, is_fixture = "", "", _NO_MARGIN, False
        elif _ENTRY_END.match(line):
            statement, function, margin, is_fixture, is_open = "", "", _NO_MARGIN, False, False
        elif is_open:
            if line.startswith("    ") and not _CARETS.match(line):
                places[-1] = replace(places[-1], statement=line.strip())
                is_open = False
        else:
            source = " " + line[1:] if line.startswith(">") else line
            if not function and (found := _FUNCTION.match(source)):
                function, margin = found[2], len(found[1])
            is_fixture = is_fixture or _DECORATED_FIXTURE.match(source) is not None
            if line.startswith(">") and not statement:
                statement = source.strip()
                if not _FUNCTION.match(source) and len(source) - len(source.lstrip()) <= margin:
                    # What is written beside a function isn't in it.
                    function = _name_of_code(statement)
    if not places and told:
        # The style "line" marks the first line alone.
        told += _continued(lines)
    type_, message = _told(told, crash)
    if syntax := _FILE.match(told[0]) if told else None:
        shown = told[1].strip() if len(told) > 1 else ""
        place = Place(syntax[1], int(syntax[2]), "<module>", shown)
        places.append(place)
        message = _syntax_message(message, place)
    return Trace(type_, message, None, tuple(places))


def _name_of_code(statement: str) -> str:
    """Return what Python calls the code of a *statement* that no ``def`` stands above."""
    if _LAMBDA.search(statement):
        return "<lambda>"
    if found := _COMPREHENSION.search(statement):
        kinds = {"[": "<listcomp>", "(": "<genexpr>"}
        return kinds.get(found[1], "<dictcomp>" if ":" in found[2] else "<setcomp>")
    return "<module>"


def _continued(lines: Sequence[str]) -> list[str]:
    at = next(at for at, line in enumerate(lines) if line.startswith("E  "))
    continued = []
    for line in lines[at + 1 :]:
        if not line.startswith("    "):
            break
        continued.append(line[1:])
    return continued


def _told(told: Sequence[str], crash: str) -> tuple[str, str]:
    """Return type and message of the lines that pytest marks with E."""
    if not told:
        return crash, ""
    margin = len(told[0]) - len(told[0].lstrip())
    if _FILE.match(told[0]):
        # The lines before the last are where a syntax error is.
        return split_type(told[-1].strip())
    text = "\n".join(line[margin:] if not line[:margin].strip() else line.lstrip() for line in told)
    if text.startswith("assert ") or text == "assert":
        return "AssertionError", text
    type_, message = split_type(text)
    name = type_.rpartition(".")[2]
    # Below the source pytest writes the name of the type; elsewhere a message alone may look like one with a type.
    is_type = name == crash.rpartition(".")[2] if crash else "." in type_ or name[:1].isupper()
    return (type_, message) if is_type else (crash, text)


def split_type(text: str) -> tuple[str, str]:
    """Split ``ValueError: text`` into type and message; the type is "" where *text* begins with none."""
    text = text.strip("\n")
    found = _TYPED.match(text.partition("\n")[0])
    if found is None:
        return "", text
    message = (found[2] or "") + text[len(found[0]) :]
    if _UNPRINTABLE.fullmatch(message):
        message = UNPRINTABLE
    return found[1].removeprefix("builtins."), message.lstrip("\n") if found[2] is None else message


def _syntax_message(message: str, place: Place) -> str:
    """Return what the exception itself says, which names its file too."""
    file = place.path.replace("\\", "/").rpartition("/")[2]
    return f"{message} ({file}, line {place.line})"


def missing_fixture(text: str) -> tuple[str, str, int] | None:
    """Return what is said of a fixture that cannot be had, and path and line of who asks for it."""
    said = _MISSING_FIXTURE.search(text)
    if said is None:
        return None
    place = _LOOKUP.search(text)
    return (said[1].strip(), place[1], int(place[2])) if place else (said[1].strip(), "", 0)

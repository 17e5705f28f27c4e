"""Exceptions out of the stack traces of other languages than Python: Java, JavaScript, Go, C++.

Frames are read where a line of the trace says file and line; a text of another kind yields nothing.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pytest_qeattention.defects.traceback_text import Place, Trace

_JAVA_FRAME = re.compile(r"^\s+at (?:[\w.$@-]*/)?([\w.$<>]+)\.([\w$<>]+)\(([\w$.-]+\.\w+):(\d{1,8})\)")
_JAVA_TYPE = re.compile(r"^([a-zA-Z_$][\w$]*(?:\.[\w$]+)+)(?::\s?(.*))?$", re.DOTALL)
_JAVA_CAUSE = "Caused by: "
_SCRIPT_FRAME = re.compile(
    r"^\s+at (?:(.+?) \()?((?:file://|node:|[A-Za-z]:[\\/]|[/.\w<@])[^\s()]*?):(\d{1,8}):\d+\)?$"
)
_SCRIPT_TYPE = re.compile(r"^(?:Uncaught )?([A-Z][\w$]*(?:Error|Exception|Failure)?)(?: \[[\w]+\])?: ?(.*)$", re.DOTALL)
_GO_LINE = re.compile(r"^\s*([\w./-]+\.go):(\d{1,8}): ?(.*)$")
_GO_FRAME = re.compile(r"^\t(\S+\.go):(\d{1,8})(?: \+0x[0-9a-f]+)?$")
_GO_PANIC = re.compile(r"^(?:\s*--- FAIL.*\n)?panic: (.+)$", re.MULTILINE)
_C_LINE = re.compile(
    r"^((?:[A-Za-z]:)?[^\s:(]+\.(?:c|cc|cpp|cxx|h|hpp|m|mm|rs))(?::(\d{1,8})|\((\d{1,8})\))(?::\d+)?:?(.*)$"
)
_MOST_LINES = 2_000


def parse_foreign(text: str, type_: str, message: str) -> tuple[Trace, ...]:
    """Return the exceptions that *text* tells of, outermost first; *type_* and *message* are what is known besides."""
    lines = text.split("\n")[:_MOST_LINES]
    for read in (_java, _script, _go, _c):
        if traces := read(lines, text, type_, message):
            return traces
    return ()


def _java(lines: Sequence[str], text: str, type_: str, message: str) -> tuple[Trace, ...]:
    if not any(_JAVA_FRAME.match(line) for line in lines):
        return ()
    traces: list[Trace] = []
    head: list[str] = []
    places: list[Place] = []

    def close() -> None:
        told = "\n".join(head).strip()
        found = _JAVA_TYPE.match(told)
        name, said = (found[1], found[2] or "") if found else ("" if traces else type_, told or message)
        # The innermost call comes first in Java.
        traces.append(Trace(name, said, "cause" if traces else None, tuple(reversed(places))))

    for line in lines:
        if found := _JAVA_FRAME.match(line):
            package, _, name = found[1].rpartition(".")
            path = f"{package.replace('.', '/')}/{found[3]}" if package else found[3]
            places.append(Place(path, int(found[4]), f"{name}.{found[2]}", ""))
        elif line.startswith(_JAVA_CAUSE):
            close()
            head, places = [line[len(_JAVA_CAUSE) :]], []
        elif not places and not line.lstrip().startswith("at "):
            head.append(line)
    close()
    return tuple(traces)


def _script(lines: Sequence[str], text: str, type_: str, message: str) -> tuple[Trace, ...]:
    frames = [(at, found) for at, line in enumerate(lines) if (found := _SCRIPT_FRAME.match(line))]
    if not frames:
        return ()
    told = "\n".join(lines[: frames[0][0]]).strip()
    typed = _SCRIPT_TYPE.match(told)
    name, said = (typed[1], typed[2]) if typed else (type_, told or message)
    places = [Place(found[2].removeprefix("file://"), int(found[3]), found[1] or "", "") for _, found in frames]
    return (Trace(name, said.rstrip(), None, tuple(reversed(places))),)


def _go(lines: Sequence[str], text: str, type_: str, message: str) -> tuple[Trace, ...]:
    if panic := _GO_PANIC.search(text):
        places = [
            Place(found[1], int(found[2]), lines[at - 1].partition("(0x")[0].partition("({")[0], "")
            for at, line in enumerate(lines)
            if at and (found := _GO_FRAME.match(line))
        ]
        return (Trace("panic", panic[1].removesuffix(" [recovered]"), None, tuple(reversed(places))),)
    for at, line in enumerate(lines):
        if found := _GO_LINE.match(line):
            said = "\n".join([found[3], *(rest.strip() for rest in lines[at + 1 :])]).strip()
            return (Trace(type_, said or message, None, (Place(found[1], int(found[2]), "", ""),)),)
    return ()


def _c(lines: Sequence[str], text: str, type_: str, message: str) -> tuple[Trace, ...]:
    for at, line in enumerate(lines):
        if found := _C_LINE.match(line.strip()):
            said = "\n".join([found[4].strip(), *lines[at + 1 :]]).strip()
            return (Trace(type_, said or message, None, (Place(found[1], int(found[2] or found[3]), "", ""),)),)
    return ()

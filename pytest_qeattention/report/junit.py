"""Properties of test cases, added to a JUnit file that pytest has written.

The bytes of the file stay as they are but for what is added.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

from pytest_qeattention.similarity.model import Group, Kind, SimilarReport

Property = tuple[str, str]
Case = tuple[str, str]
"""``classname`` and ``name`` of a test case."""

_KINDS: tuple[Kind, ...] = ("duplicate", "parametrize", "similar")
_START_TAG = re.compile(rb"""<(?:[^<>"']|"[^"]*"|'[^']*')*>""")
# What XML 1.0 has no character for, and what pytest writes in its place.
_UNSPEAKABLE = re.compile("[^\t\n\r\x20-\x7e\x80-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class JUnitError(ValueError):
    """Say why nothing can be added to a file."""


def group_properties(group: Group) -> list[Property]:
    """Return what a test case says of the group that it is in."""
    properties = [
        ("qe_similar_group", group.id),
        ("qe_similar_kind", group.kind),
        ("qe_similar_score", f"{group.score:.6g}"),
        ("qe_similar_tests", " ".join(test.nodeid for test in group.tests)),
    ]
    return properties if group.status is None else [*properties, ("qe_similar_status", group.status)]


def suite_properties(report: SimilarReport) -> list[Property]:
    """Return what the suite says of the report."""
    kinds = Counter(group.kind for group in report.groups)
    new = sum(group.is_finding for group in report.groups)
    properties = [("qe_similar_tests", str(report.tests))]
    properties += [(f"qe_similar_{kind}", str(kinds[kind])) for kind in _KINDS]
    return properties if report.baseline is None else [*properties, ("qe_similar_new", str(new))]


def with_properties(data: bytes, suite: Sequence[Property], cases: Mapping[Case, Sequence[Property]]) -> bytes:
    """Return the JUnit file *data* with properties added to its first suite and to the test cases named.

    Raises JUnitError for what is no XML.
    """
    insertions: list[tuple[int, int, bytes]] = []
    open_elements: list[_Element] = []
    is_suite_done = False
    parser = expat.ParserCreate()

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal is_suite_done
        at = parser.CurrentByteIndex
        tag = _START_TAG.match(data, at)
        if tag is None:
            raise JUnitError(f"it has a tag that cannot be read, at byte {at}")
        wanted: Sequence[Property] = ()
        if name == "testcase":
            wanted = cases.get((attributes.get("classname", ""), attributes.get("name", "")), ())
        elif name == "testsuite" and not is_suite_done:
            is_suite_done, wanted = True, suite
        elif name == "properties" and open_elements and open_elements[-1].wanted:
            parent = open_elements[-1]
            insertions.append(_inside(tag, name, _written(parent.wanted)))
            parent.wanted = ()
        open_elements.append(_Element(name, tag, wanted))

    def end(name: str) -> None:
        element = open_elements.pop()
        if element.wanted:
            written = b"<properties>" + _written(element.wanted) + b"</properties>"
            insertions.append(_inside(element.tag, name, written))

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise JUnitError(f"it is no XML ({error})") from error
    parts: list[bytes] = []
    done = 0
    for begin, stop, text in sorted(insertions):
        parts += [data[done:begin], text]
        done = stop
    return b"".join([*parts, data[done:]])


class _Element:
    """Hold an element that is open, its start tag, and the properties that it is still to get."""

    __slots__ = ("name", "tag", "wanted")

    def __init__(self, name: str, tag: re.Match[bytes], wanted: Sequence[Property]) -> None:
        self.name = name
        self.tag = tag
        self.wanted = wanted


def _inside(tag: re.Match[bytes], name: str, content: bytes) -> tuple[int, int, bytes]:
    """Return where to put *content* as the first of the element that *tag* opens, and what to put there."""
    if tag[0].endswith(b"/>"):
        slash = tag.end() - 2
        return slash, tag.end(), b">" + content + f"</{name}>".encode()
    return tag.end(), tag.end(), content


def _written(properties: Sequence[Property]) -> bytes:
    return b"".join(f"<property name={_quoted(name)} value={_quoted(value)} />".encode() for name, value in properties)


def _quoted(text: str) -> str:
    return quoteattr(speakable(text))


def speakable(text: str) -> str:
    """Write *text* as pytest does in a JUnit file: ``#x07`` for a character that XML does not have."""
    return _UNSPEAKABLE.sub(lambda match: f"#x{ord(match[0]):0{2 if ord(match[0]) <= 0xFF else 4}X}", text)

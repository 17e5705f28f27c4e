"""XML of unknown origin, read in one pass in bounded memory and handed on element by element.

Nothing that a file says makes this module open another file, connect anywhere or expand an entity: a document that
declares entities is refused. What XML has no character for, and bytes that the encoding has not, are written as pytest
writes them; attribute values and tags have a longest length; so have nested elements.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from typing import BinaryIO, Protocol
from xml.parsers import expat

CHUNK_BYTES = 1 << 18
LONGEST_ATTRIBUTE = 1 << 16
"""Characters of an attribute's value that are kept."""
LONGEST_TAG = 1 << 20
LONGEST_DOCTYPE = 1 << 12
MOST_REPLACED = 1_000_000
"""Characters that are no XML: with more of them a file is no text."""
MOST_NAMES = 10_000
"""Names of elements and attributes: the parser keeps each for as long as it lives."""
DEEPEST = 200
"""Elements within each other; no JUnit file of any runner has more than some ten."""

_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_REFERENCE = re.compile(r"&#(?:x([0-9a-fA-F]{1,6})|([0-9]{1,7}));")
# Text and tags that are whole; what is longer goes through the slower states.
_PLAIN = re.compile(r"""(?:[^<]+|</?[^<>"'!?][^<>"']*(?:(?:"[^"<]{0,4096}"|'[^'<]{0,4096}')[^<>"']*)*>)*""")
_LEGAL_ASCII = bytes([9, 10, 13, *range(32, 128)])
_UNQUOTED = re.compile(r"""[^"'>]*""")
_DECLARED = re.compile(rb"""^<\?xml[^>]*?\bencoding\s*=\s*["']([A-Za-z][\w.:-]*)["']""")
# The longest text that must be seen whole to tell what it opens or is: <![CDATA[, <!DOCTYPE, &#x10FFFF;, &quot;
_LONGEST_MARK = 12


class StreamError(Exception):
    """Say why the rest of a document is not read, beginning in the middle of a sentence."""


class Elements(Protocol):
    """What is told of a document. Names come without namespaces."""

    def start(self, name: str, attributes: dict[str, str]) -> None: ...

    def end(self, name: str) -> None: ...

    def text(self, data: str) -> None: ...


class XMLStream:
    """Read a document from a binary stream and tell *elements* of it.

    `replaced` counts characters that were no XML, `shortened` values of attributes that were cut.
    """

    def __init__(self, elements: Elements) -> None:
        self._elements = elements
        self._depth = 0
        self._names: dict[str, str] = {}
        self._cleaner = _Cleaner()
        self._has_root = False
        self.is_complete = False

    @property
    def replaced(self) -> int:
        return self._cleaner.replaced

    @property
    def shortened(self) -> int:
        return self._cleaner.shortened

    def read(self, stream: BinaryIO) -> None:
        """Read to the end; raise StreamError where that cannot be done, OSError where the stream does."""
        parser = expat.ParserCreate("utf-8", intern=self._names)
        parser.buffer_text = True
        parser.buffer_size = 1 << 16
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._elements.text
        parser.EntityDeclHandler = _refuse_entity
        parser.ExternalEntityRefHandler = _refuse_reference
        data = stream.read(CHUNK_BYTES)
        decoder = _decoder(data)
        try:
            while data:
                parser.Parse(self._cleaner.feed(decoder.decode(data)))
                data = stream.read(CHUNK_BYTES)
            parser.Parse(self._cleaner.feed(decoder.decode(b"", final=True), is_last=True), True)
        except expat.ExpatError as error:
            raise self._explained(error) from error
        finally:
            # Handlers hold this object, which holds the parser: a cycle that keeps megabytes.
            for handler in ("StartElementHandler", "EndElementHandler", "CharacterDataHandler"):
                setattr(parser, handler, None)
        self.is_complete = True

    def _explained(self, error: expat.ExpatError) -> StreamError:
        line = error.lineno + self._cleaner.lines_left_out
        reason = expat.ErrorString(error.code)
        if not self._has_root:
            return StreamError(f"is no XML (line {line}, column {error.offset + 1}: {reason})")
        if error.code in (_NO_ELEMENTS, _UNCLOSED_TOKEN, _UNCLOSED_CDATA):
            return StreamError(f"ends in the middle of an element, at line {line}")
        return StreamError(f"is no XML from line {line}, column {error.offset + 1} on ({reason})")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._has_root = True
        self._depth += 1
        if self._depth > DEEPEST:
            raise StreamError(f"has more than {DEEPEST} elements within each other")
        if len(self._names) > MOST_NAMES:
            raise StreamError(f"has more than {MOST_NAMES:,} different names of elements and attributes")
        self._elements.start(name.rpartition(":")[2] if ":" in name else name, attributes)

    def _end(self, name: str) -> None:
        self._depth -= 1
        self._elements.end(name.rpartition(":")[2] if ":" in name else name)


_NO_ELEMENTS = expat.errors.codes[expat.errors.XML_ERROR_NO_ELEMENTS]
_UNCLOSED_TOKEN = expat.errors.codes[expat.errors.XML_ERROR_UNCLOSED_TOKEN]
_UNCLOSED_CDATA = expat.errors.codes[expat.errors.XML_ERROR_UNCLOSED_CDATA_SECTION]


def _refuse_entity(name: str, *declaration: object) -> None:
    raise StreamError(f"declares an entity ({name[:40]}), which no test runner does and which can fill all memory")


def _refuse_reference(*reference: object) -> int:
    raise StreamError("refers to a text outside of it, which no test runner does")


def _decoder(head: bytes) -> codecs.IncrementalDecoder:
    """Return the decoder that the first bytes of a document ask for; UTF-8 where they ask for none that is known."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return codecs.getincrementaldecoder("utf-16")("replace")
    declared = _DECLARED.match(head.removeprefix(codecs.BOM_UTF8)[:200])
    if declared:
        try:
            codec = codecs.lookup(declared[1].decode("ascii"))
            # Only what reads ASCII as ASCII can be meant: the declaration was read as that.
            if codec.name != "utf-8" and codec.decode(b"<?xml") == ("<?xml", 5):
                return codecs.getincrementaldecoder(codec.name)("replace")
        except (LookupError, ValueError, TypeError, AttributeError):
            pass
    # Bytes that are no UTF-8 become surrogates, which the cleaner counts and replaces.
    return codecs.getincrementaldecoder("utf-8-sig")("surrogateescape")


class _Cleaner:
    """Hand on the text of a document piece by piece, so that a parser never has to hold more than a piece of it."""

    def __init__(self) -> None:
        self.replaced = self.shortened = self.lines_left_out = 0
        self._state: Callable[[str, int, list[str]], int] = self._content
        self._rest = ""
        self._is_last = False
        self._quote = ""
        self._kept = self._tag = 0
        self._brackets = self._angles = 0

    def feed(self, text: str, is_last: bool = False) -> str:
        text = self._rest + text
        self._rest = ""
        self._is_last = is_last
        if not is_last:
            # A reference must be seen whole.
            cut = text.rfind("&", -_LONGEST_MARK)
            if cut >= 0 and ";" not in text[cut:]:
                text, self._rest = text[:cut], text[cut:]
        # The first question is a tenth of the work of the second, and enough for most files.
        is_clean = text.isascii() and not text.encode("ascii").translate(None, _LEGAL_ASCII)
        if not is_clean and _ILLEGAL.search(text):
            text = _ILLEGAL.sub(self._written, text)
        if "&#" in text:
            text = _REFERENCE.sub(self._reference, text)
        pieces: list[str] = []
        at = 0
        while at < len(text):
            done = self._state(text, at, pieces)
            if done < 0:
                self._rest = text[-done - 1 :] + self._rest
                break
            at = done
        return "".join(pieces)

    def _written(self, match: re.Match[str]) -> str:
        self._count()
        number = ord(match[0])
        return "\ufffd" if 0xDC80 <= number <= 0xDCFF else _spoken(number)

    def _reference(self, match: re.Match[str]) -> str:
        number = int(match[1], 16) if match[1] else int(match[2])
        if number <= 0x10FFFF and not _ILLEGAL.match(chr(number)):
            return match[0]
        self._count()
        return _spoken(number)

    def _count(self) -> None:
        self.replaced += 1
        if self.replaced > MOST_REPLACED:
            raise StreamError(f"has more than {MOST_REPLACED:,} characters that XML does not have")

    # A state takes a text and where it is in it, appends what is handed on, and returns where it stopped; or
    # -1 - position where the text from that position on has to be seen together with what comes after it.

    def _content(self, text: str, at: int, pieces: list[str]) -> int:
        plain = _PLAIN.match(text, at)
        start = plain.end() if plain else at
        pieces.append(text[at:start])
        if start == len(text):
            return start
        if len(text) - start < _LONGEST_MARK and not self._is_last:
            return -1 - start
        if text.startswith("<!--", start):
            self._state = self._comment
            return start + 4
        if text.startswith("<![CDATA[", start):
            pieces.append("<![CDATA[")
            self._state = self._cdata
            return start + 9
        if text.startswith("<?", start):
            self._state = self._instruction
            return start + 2
        if text.startswith("<!", start):
            self._state, self._tag, self._brackets, self._angles = self._doctype, 0, 0, 0
            return start
        pieces.append("<")
        self._state, self._tag = self._in_tag, 1
        return start + 1

    def _until(self, mark: str, text: str, at: int, pieces: list[str] | None) -> int:
        """Leave the state at *mark*; hand the text before it on where *pieces* are given, or leave it out."""
        end = text.find(mark, at)
        stop = end + len(mark) if end >= 0 else len(text)
        held = 0 if end >= 0 or self._is_last else len(mark) - 1
        stop = max(at, stop - held)
        if pieces is None:
            self.lines_left_out += text.count("\n", at, stop)
        else:
            pieces.append(text[at:stop])
        if end >= 0:
            self._state = self._content
        return -1 - stop if held else stop

    def _comment(self, text: str, at: int, pieces: list[str]) -> int:
        return self._until("-->", text, at, None)

    def _instruction(self, text: str, at: int, pieces: list[str]) -> int:
        return self._until("?>", text, at, None)

    def _cdata(self, text: str, at: int, pieces: list[str]) -> int:
        return self._until("]]>", text, at, pieces)

    def _in_tag(self, text: str, at: int, pieces: list[str]) -> int:
        unquoted = _UNQUOTED.match(text, at)
        stop = unquoted.end() if unquoted else at
        pieces.append(text[at : stop + 1])
        self._tag += stop + 1 - at
        if self._tag > LONGEST_TAG:
            raise StreamError(f"has a tag of more than {LONGEST_TAG:,} characters")
        if stop < len(text):
            if text[stop] == ">":
                self._state = self._content
            else:
                self._state, self._quote, self._kept = self._value, text[stop], 0
        return stop + 1

    def _value(self, text: str, at: int, pieces: list[str]) -> int:
        end = text.find(self._quote, at)
        stop = end if end >= 0 else len(text)
        room = LONGEST_ATTRIBUTE - self._kept
        if stop - at <= room:
            kept = text[at:stop]
        else:
            if room > 0:
                self.shortened += 1
            kept = text[at : at + max(room, 0)]
            reference = kept.rfind("&", -_LONGEST_MARK)
            if reference >= 0 and ";" not in kept[reference:]:
                kept = kept[:reference]
            self.lines_left_out += text.count("\n", at + len(kept), stop)
        pieces.append(kept)
        self._kept += stop - at
        self._tag += len(kept)
        if end < 0:
            return stop
        pieces.append(self._quote)
        self._state = self._in_tag
        return end + 1

    def _doctype(self, text: str, at: int, pieces: list[str]) -> int:
        for place in range(at, len(text)):
            character = text[place]
            self._brackets += (character == "[") - (character == "]")
            self._angles += (character == "<") - (character == ">")
            self._tag += 1
            if character == ">" and self._angles <= 0 and self._brackets <= 0:
                self._state = self._content
                pieces.append(text[at : place + 1])
                return place + 1
            if self._tag > LONGEST_DOCTYPE:
                raise StreamError(f"has a DOCTYPE of more than {LONGEST_DOCTYPE:,} characters")
        pieces.append(text[at:])
        return len(text)


def _spoken(number: int) -> str:
    """Write a character that XML does not have as pytest does."""
    return f"#x{number:0{2 if number <= 0xFF else 4}X}"

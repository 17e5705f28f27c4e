r"""What a value in a message looks like, by the character it starts with.

Only where a value can start is a pattern tried, and only the patterns of that character. None of them can go on for
long without a match, or start again inside what it has read, so that a text takes time linear in its length.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import re

from pytest_qeattention.defects.names import HASH, PLACEHOLDER, UUID

_MONTHS = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
_DAYS = "Mon|Tue|Wed|Thu|Fri|Sat|Sun"
_CLOCK = r"\d{1,2}:\d\d:\d\d(?:[.,]\d{1,9})?"
_ZONE = r"(?: ?(?:Z|UTC|GMT|[+-]\d\d:?\d\d))?"
_UNIT = "ns|us|µs|μs|ms|s|secs?|seconds?|mins?|minutes?|hrs?|hours?|days?|milliseconds?|microseconds?|nanoseconds?"
_SEGMENT = rf"(?:[\w.+@%~-]|{PLACEHOLDER})"
_LABEL = rf"(?:[A-Za-z0-9-]{{0,63}}(?:{PLACEHOLDER}[A-Za-z0-9-]{{0,63}}){{0,8}})"
_FLOAT = r"(?:\.\d+)?(?:[eE][+-]?\d{1,4})?"

_BRANCHES = {
    "masked_path": rf"<path(?::\d{{1,6}})?>(?:/{_SEGMENT}{{0,400}})?",
    "placeholder": PLACEHOLDER,
    "quote": r"""(?<![\w'"])[bBuUrRfF]{0,2}(?:'[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*")(?!\w)""",
    "escape": r"""\\[abfnrtv'"\\]""",
    "url": rf"""(?<!\w)[A-Za-z][A-Za-z0-9+.-]{{1,20}}://(?:[^\s'"<>\\,;)\]}}]|{PLACEHOLDER}|<redacted>){{1,2000}}""",
    "email": r"(?<![\w.+-])[A-Za-z0-9_.+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}(?!\w)",
    "moment": r"(?P<moment_head>datetime\.(?:date|time|datetime)\()(?P<moment_value>\d+(?:, ?\d+){0,6})",
    "delta": r"(?P<delta_head>datetime\.timedelta\()"
    r"(?P<delta_value>(?:(?:days|seconds|microseconds)=-?\d+(?:, )?){1,3}|0)(?=\))",
    "named_day": rf"(?<![\w.])(?:(?:{_DAYS}), \d{{1,2}} (?:{_MONTHS}) \d{{4}}(?: {_CLOCK}{_ZONE})?"
    rf"|(?:{_DAYS}) (?:{_MONTHS}) \d{{1,2}} {_CLOCK} \d{{4}})(?!\w)",
    "date": rf"(?<![\w.])(?:\d{{4}}[-/]\d\d[-/]\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{{1,9}})?)?{_ZONE})?"
    rf"|\d{{8}}T\d{{6}}Z?|{_CLOCK}(?: [AP]M)?{_ZONE}"
    rf"|\d{{1,2}}/(?:{_MONTHS})/\d{{4}}(?::{_CLOCK}(?: [+-]\d{{4}})?)?"
    rf"|\d{{1,2}} (?:{_MONTHS}) \d{{4}}(?: {_CLOCK}{_ZONE})?)(?!\w)",
    "uuid": rf"(?<![0-9A-Za-z]){UUID}(?![0-9A-Za-z])",
    "address": r"(?<!\w)0x[0-9a-fA-F]{6,16}(?!\w)",
    "hex": r"(?<!\w)0x[0-9a-fA-F]{1,400}(?!\w)",
    "ip": r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?!\.?\w)",
    "ip6": r"(?<![\w:.])(?:(?:[0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}"
    r"|(?=[0-9a-fA-F]{0,3}\d)[0-9a-fA-F]{4}(?::[0-9a-fA-F]{1,4}){0,6}::(?:[0-9a-fA-F]{1,4}:){0,6}[0-9a-fA-F]{0,4}"
    r"|::(?:1|ffff:(?:\d{1,3}\.){3}\d{1,3}))(?![\w:])",
    "protocol": r"(?<!\w)HTTP/\d(?:\.\d)?(?!\w)",
    "host": rf"(?<![\w.@/>-])(?:localhost|[A-Za-z]{_LABEL}(?:\.{_LABEL}){{1,8}}):(?=\d{{1,5}}(?![\w:]|\.\d))",
    "windows": rf"(?<!\w)(?:[A-Za-z]:[\\/]|\\\\\\\\(?=\w)|\\\\(?=\w))"
    rf"(?:[^\s'\"<>|:*?,;()\[\]{{}}]|{PLACEHOLDER}){{1,400}}",
    "absolute": rf"(?<![\w.>/\\<*-])~?/{_SEGMENT}(?:[\w.+@%~/-]|{PLACEHOLDER}){{0,400}}",
    "relative": rf"(?<![\w.>/\\<%+@~-])(?!(?<=\w:)\d{{1,5}}/)"
    rf"(?:[\w.+@%~-]{{0,64}}(?:{PLACEHOLDER}[\w.+@%~-]{{0,64}}){{0,8}}/){{1,20}}"
    rf"{_SEGMENT}{{0,64}}",
    "version": r"(?<![\w.])\d+(?:\.\d+){2,40}(?:(?:a|b|rc|\.dev|\.post|\+)\d[\w.]{0,20})?(?!\w|\.\d)",
    "duration": rf"(?<![\w.])(?:(?:\d{{1,4}}h ?)?\d{{1,4}}m ?\d{{1,4}}(?:\.\d+)?s|\d+{_FLOAT} ?(?:{_UNIT}))(?!\w)",
    "size": r"(?<![\w.])\d+(?:\.\d+)? ?(?:[kKMGTP]i?B|bytes?|B)(?!\w)",
    "hash": rf"(?<![0-9A-Za-z])(?:{HASH})(?![0-9A-Za-z])",
    "number": rf"(?:(?<![\w.])|(?<=\\[nrt]))[+-]?(?:\d{{1,3}}(?:,\d{{3}})+|\d+(?:_\d+)*){_FLOAT}[jlL]?(?!\.?\w)"
    r"|(?<![\w.>)\]])\.\d+(?!\.?\w)",
    "lone": r"(?<![\w.])\d{1,12}(?=[)\]}>]|,(?!\d)|$| (?![A-Za-zµμ]))",
    "blob": r"(?<![\w+/=])(?:[A-Za-z0-9+/]{24,}={0,2}|[A-Za-z0-9+/]{8,22}={1,2})(?![\w+/=])",
    "word": r"\w+",
}


def _any_of(names: str) -> re.Pattern[str]:
    # Only the digits of ASCII: others are letters here.
    return re.compile("|".join(f"(?P<{name}>{_BRANCHES[name]})" for name in names.split()).replace(r"\d", "[0-9]"))


_LETTER = _any_of("quote url email moment delta named_day uuid ip6 protocol host windows relative hash blob word")
_DIGIT = _any_of("lone email date uuid address hex ip ip6 relative version duration size hash number blob word")
_MARKS = {
    "<": _any_of("masked_path placeholder"),
    "'": _any_of("quote"),
    '"': _any_of("quote"),
    "\\": _any_of("windows escape"),
    "/": _any_of("absolute blob"),
    "~": _any_of("absolute relative"),
    ".": _any_of("email relative number"),
    "+": _any_of("number email relative blob"),
    "-": _any_of("number email relative"),
    "@": _any_of("relative"),
    "%": _any_of("relative"),
    ":": _any_of("ip6"),
}
_BY_CHARACTER = {**dict.fromkeys("0123456789", _DIGIT), **_MARKS}
# A word without digits that ends at one of these starts no value, but for the name of a day.
_DULL = re.compile(rf"(?:[ ,;=()\[\]{{}}>*!?&|^$#`]+|(?!(?:{_DAYS})[ ,])(?<!\w)[^\W0-9]+(?=[ ,()\[\]{{}}<>;=!?&|]|$))*")


def next_value(text: str, start: int, end: int) -> re.Match[str] | None:
    """Find the first part of *text* from *start* to *end* that can be a value; ``lastgroup`` says as what it reads."""
    position = start
    while True:
        dull = _DULL.match(text, position, end)
        position = dull.end() if dull is not None else position
        if position >= end:
            return None
        found = _BY_CHARACTER.get(text[position], _LETTER).match(text, position, end)
        if found is not None and found.lastgroup != "escape":
            return found
        position = found.end() if found is not None else position + 1

"""Texts without the secrets in them: passwords, tokens, keys, as messages and reprs show them.

What is taken away reads `REDACTED`; what stands around it stays, so that messages still fall together. Names decide
(``password=``, ``"api_key":``, ``--token``), and the shapes that issuers gave their tokens. All patterns are bounded,
or can't start again inside what they have read.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import re
from collections.abc import Callable

REDACTED = "<redacted>"
CUT = "…"

# What is read of a longer text beyond what comes back. A secret cut short may lose its shape: the last quarter goes.
_MARGIN = 4_096

_KEY_BLOCK = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY( BLOCK)?-----")
_KEY_BODY = re.compile(r"(?:[A-Za-z0-9+/=:,.\s-]|\\[nr])*")
_KEY_END = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")

_USER = re.compile(r"(?<=://)([^\s/:@'\"<>?#]{0,128}):(?!<redacted>@)([^\s/'\"<>]{0,256}[^\s/'\"<>@])@")
_LONE_USER = re.compile(r"(?<=://)[^\s/:@'\"<>?#]{16,256}@")
# A password with a slash in it: as far as the last `@`, unless a port and a path come first.
_USER_WITH_SLASH = re.compile(
    r"(?<=://)([^\s/:@'\"<>?#]{0,128}):(?!\d{1,5}/)([^\s'\"<>@/]{1,128}/[^\s'\"<>]{0,128}[^\s'\"<>@])@"
)
_AUTH = re.compile(
    r"((?<!\w)(?:\w{0,16}_)?auth\s{0,2}=\s{0,2}\(\s{0,2}(['\"])[^'\"\n]{0,128}\2,\s{0,4}(['\"]))"
    r"(?!<redacted>)[^'\"\n]{1,1024}(?=\3)"
)
_PROSE = re.compile(
    r"(?i)((?<![\w'\"])(?:password|passwd|passphrase|identified by)\s{1,3}(?:is\s|was\s)?(['\"]))"
    r"(?!<redacted>)[^'\"\n]{1,1024}(?=\2)"
)
_HOOK = re.compile(r"(?<=hooks\.slack\.com/services/)[A-Za-z0-9/_-]{8,200}")
_HEADER = re.compile(
    r"(?i)((?<![\w-])(?:(?:proxy-)?authorization|(?:set-)?cookie"
    r"|x-[a-z-]{0,32}(?:token|key|secret|signature)(?!\s{0,4}=))"
    r"[\\'\"]{0,4}\s{0,4}(?:[:=]|(?<=['\"]),)\s{0,4}(?:b?[\\'\"]{1,4})?"
    r"(?!(?:(?:bearer|basic|token|digest|negotiate|apikey)\s{1,4})?<redacted>)"
    r"(?:(?:bearer|basic|token|digest|negotiate|apikey)\s{1,4})?)"
    r"((?!<redacted>)[^\s'\"\\<>{}\[\]()](?:[^'\"\\\n<>{}\[\]()]{0,4095}[^\s'\"\\<>{}\[\]()])?)"
)
_SCHEME = re.compile(
    r"(?<![\w-])((?:[Bb]earer|[Bb]asic|BEARER|BASIC)\s{1,4})(?=[a-z]*[A-Z0-9._~+/=-])([\w.~+/=-]{8,4096})"
)
_OPTION = re.compile(
    r"(?<![\w-])(--?[A-Za-z][\w-]{0,63}(?:=|\s{1,4}|['\"],\s{0,4}['\"]))"
    r"((?!<redacted>)[^\s'\",;<>\[\](){}-][^\s'\",;<>\[\](){}]{0,4095})"
)
_PAIR = re.compile(
    r"(\(\s{0,4}b?(['\"])([\w.-]{1,64})\2,\s{0,4}b?(['\"]))((?!<redacted>)(?:[^'\"\\]|\\.){1,4096}?)(?=\4\s{0,4}\))",
    re.DOTALL,
)
_NAME = re.compile(
    r"(?<![\w.-])([\w.-]{1,200})\\{0,3}['\"]?\]?\s{0,4}(=>|==|[:=])\s{0,4}(?:[bBuUrR]{1,2}(?=\\{0,3}['\"]))?"
)
_VALUE = re.compile(
    r"(\\{0,3}['\"])((?:(?!\1)(?:[^\\]|\\.))+?)(?=\1|\Z)|((?!<redacted>)[^\s,;&'\"()<>\[\]{}\\|]+)(?![\w(])", re.DOTALL
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_STRONG = re.compile("passwords?|passwd|passphrases?|pwd|passcode|secrets?|credentials?")
_WEAK = re.compile("tokens?|apikey|jwt|sessionid|csrftoken|signature|sig|bearer|cookie|auth")
_STRONG_PAIR = re.compile(
    "(?:api|access|private|secret|account|shared|auth|signing|encryption|session|master|license|subscription|service"
    "|deploy) key|session id|(?:db|user) pass"
)
_PLAIN_VALUE = re.compile(
    "none|null|true|false|str|string|int|bool|bytes|any|optional|required|missing|invalid", re.IGNORECASE
)
_LOOKS_RANDOM = re.compile(r"(?=[^0-9]{0,200}[0-9])[\w.~+/=-]{6,}|[\w.~+/=-]{20,}")

_TOKENS = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"(?:AKIA|ASIA|AIDA|AROA|AGPA|ANPA)[A-Z0-9]{16}(?![A-Z0-9])"
    r"|gh[pousr]_[A-Za-z0-9]{20,255}|github_pat_\w{20,255}"
    r"|gl(?:pat|ptt|dt|rt|soat|cbt|ft|imt)-[\w-]{16,128}"
    r"|xox[abeoprs]-[\w-]{10,255}|xapp-[\w-]{10,255}"
    r"|pypi-[\w-]{16,512}|npm_[A-Za-z0-9]{30,64}|dckr_pat_[\w-]{20,64}"
    r"|[rs]k_(?:live|test)_\w{10,128}|whsec_[\w+/=]{16,128}"
    r"|AIza[\w-]{30,64}|ya29\.[\w-]{20,512}"
    r"|SG\.[\w-]{16,64}\.[\w-]{16,64}|sk-[\w-]{20,255}|hf_[A-Za-z0-9]{20,64}"
    r"|dop_v1_[a-f0-9]{32,64}|dapi[a-f0-9]{32}|hv[bs]\.[\w-]{20,255}|shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}"
    r"|\d{8,10}:AA[\w-]{33}"
    r"|eyJ[\w-]{8,4096}\.[\w-]{4,4096}(?:\.[\w-]{0,1024})?"
    r")"
)


def redact(text: str, most: int | None = None) -> str:
    """Return *text* with `REDACTED` in the place of every secret that was recognised.

    At most *most* characters come back where that is given; a text that is longer ends in `CUT`, and no secret that
    lies across the cut leaves its first part. To redact again changes nothing.
    """
    if most is None or len(text) <= most + _MARGIN:
        text = _redacted(text)
        return text if most is None or len(text) <= most else text[: most - len(CUT)] + CUT
    text = _redacted(text[: most + _MARGIN])[: -_MARGIN // 4]
    return text[: most - len(CUT)] + CUT


def _redacted(text: str) -> str:
    if "PRIVATE KEY" in text:
        text = _without_keys(text)
    if "://" in text:
        text = _USER_WITH_SLASH.sub(rf"\1:{REDACTED}@", text)
        text = _USER.sub(rf"\1:{REDACTED}@", text)
        text = _LONE_USER.sub(f"{REDACTED}@", text)
    if "hooks.slack.com" in text:
        text = _HOOK.sub(REDACTED, text)
    text = _HEADER.sub(rf"\1{REDACTED}", text)
    text = _SCHEME.sub(rf"\1{REDACTED}", text)
    text = _TOKENS.sub(REDACTED, text)
    text = _OPTION.sub(
        _where_named(lambda found: found[1].strip("-=, '\"\t\n"), lambda found: f"{found[1]}{REDACTED}"), text
    )
    text = _AUTH.sub(rf"\1{REDACTED}", text)
    text = _PROSE.sub(rf"\1{REDACTED}", text)
    text = _PAIR.sub(_where_named(lambda found: found[3], lambda found: f"{found[1]}{REDACTED}"), text)
    return _without_named(text)


def _where_named(
    name: Callable[[re.Match[str]], str], replaced: Callable[[re.Match[str]], str]
) -> Callable[[re.Match[str]], str]:
    return lambda found: replaced(found) if _is_secret(name(found)) else found.group()


def _without_keys(text: str) -> str:
    parts: list[str] = []
    done = 0
    is_closed = True
    while (begin := _KEY_BLOCK.search(text, done)) is not None:
        end = _KEY_END.search(text, begin.end()) if is_closed else None
        is_closed = end is not None
        body = _KEY_BODY.match(text, begin.end())
        last = end.end() if end is not None else body.end() if body is not None else begin.end()
        parts += [text[done : begin.start()], REDACTED]
        done = last
    return "".join([*parts, text[done:]])


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(name)]


def _is_secret(name: str) -> bool:
    return _is_strong(name) or any(map(_WEAK.fullmatch, _words(name)))


def _is_strong(name: str) -> bool:
    words = _words(name)
    if any(map(_STRONG.fullmatch, words)):
        return True
    return any(_STRONG_PAIR.fullmatch(" ".join(words[number : number + 2])) for number in range(len(words)))


def _without_named(text: str) -> str:
    parts: list[str] = []
    done = position = 0
    while (name := _NAME.search(text, position)) is not None:
        position = name.end()
        # The value of any other name can hold a name and a secret: `Error: password=...`.
        value = _VALUE.match(text, position) if _is_secret(name[1]) else None
        if value is not None and _is_secret_value(value, name[1], name[2]):
            parts += [text[done:position], value[1] or "", REDACTED]
            done = position = value.end()
    return "".join([*parts, text[done:]])


def _is_secret_value(value: re.Match[str], name: str, between: str) -> bool:
    quoted, bare = value[2], value[3]
    if quoted is not None:
        return quoted != REDACTED and (_is_strong(name) or _LOOKS_RANDOM.match(quoted) is not None)
    if _PLAIN_VALUE.fullmatch(bare):
        return False
    return len(bare) >= (1 if between == "=" else 4) if _is_strong(name) else _LOOKS_RANDOM.fullmatch(bare) is not None

"""A message as pieces: what varies from run to run, what must not, and the text around both.

What reads as a value is judged by what stands beside it: ``404`` after ``status`` is a status code, after ``line`` a
number.

PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from http import HTTPStatus

from pytest_qeattention.defects.names import PLACEHOLDER, TEMPORARY, Piece, made_for_a_run, name_pieces, placeholder
from pytest_qeattention.defects.patterns import next_value

__all__ = ["LONGEST_QUOTED", "Piece", "read_pieces"]

LONGEST_QUOTED = 80
"""Characters of a quoted string that is kept; a placeholder in it counts as one. One that tells of an error is kept."""

_SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,7}$")
_ROOTS = (
    "Applications|Library|System|Users|Volumes|__w|app|builds?|code|data|git|github|home|install|lib|lib64|media|mnt"
    "|nix|opt|private|projects?|repos?|root|run|snap|src|srv|tmp|usr|var|work|workspaces?"
)
_ROOT = re.compile(_ROOTS)
_SPACED_PATH = re.compile(rf"(?:[A-Za-z]:[\\/]|~/|/(?:{_ROOTS})/)[^<>|:*?,;'\"]{{1,400}}")
_CODE_SUFFIX = re.compile(
    "c|cc|cfg|cpp|css|csv|cxx|h|hpp|html|ini|ipynb|java|jsx?|json|log|lua|md|p[lo]|proto|py|pxd|pyi|pyx|rb|rs|rst|sh|so"
    "|sql|tmpl|toml|tsx?|txt|xml|ya?ml"
)
_SERVICE_PORT = re.compile(
    "2[125]|53|80|110|143|389|443|465|587|636|993|995|1433|1521|2181|237[569]|3000|3306|4222|431[78]|5000|543[23]|5601"
    "|567[12]|5984|6379|6432|7687|8000|8080|8086|812[35]|8200|8443|8500|8888|9000|9042|909[02]|9[23]00|11211|15672"
    "|27017|50051"
)
_STATUSES = {str(status.value): status.phrase for status in HTTPStatus}
_STATUS_AFTER = re.compile(
    rf":? (?:Client Error|Server Error|{'|'.join(map(re.escape, sorted(set(_STATUSES.values()), reverse=True)))})(?!\w)"
)
_COMPARED_AFTER = re.compile(r" [!=]= (\d{3})(?![\w.])")
_COMPARED_BEFORE = re.compile(r"(?<![\w.])(\d{3}) [!=]= $")
_STATUS_BEFORE = re.compile(
    r"[Ss]tatus(?:[ _][Cc]ode)?(?: [1-5]\d\d)?(?:[a-z ,]{0,24} )?(?:got|not|was|received|returned) $"
)
_MESSAGE_AFTER = re.compile(r", b?['\"](?:[A-Z][a-z']|<text)")
_CALLED_BEFORE = re.compile(r"[\w.\]]\($")
_ERROR_BEFORE = re.compile(r"(?:[Ee]rror|Exception|Warning)\($")
_REQUIRED_BEFORE = re.compile(r"[\w\]](?:[=~!<>]=|[<>])$")

_SEPARATORS = frozenset(" =:(['\"#/-")
_CODE_WORDS = {
    **dict.fromkeys(("status", "statuscode", "status_code", "http", "response", "http_status"), "status"),
    **dict.fromkeys(("errno", "winerror"), "errno"),
    **dict.fromkeys(("exit", "exitcode", "exit_code", "returncode", "retcode", "signal"), "exit"),
    **dict.fromkeys(("code", "sqlstate", "ora", "error"), "code"),
    **dict.fromkeys(("python", "version", "tls", "tlsv", "ssl", "sslv"), "version"),
    **dict.fromkeys(("pid", "ppid", "tid", "thread", "task", "process", "ident", "forkprocess"), "id"),
    **dict.fromkeys(("port", "localport"), "port"),
}
_STANDARD = re.compile("utf|ucs|iso|latin|windows|sha|md|koi|base|shift|big|euc|aes|rsa|rfc|pep|x")
_NAME_WORDS = {
    **dict.fromkeys(("attribute", "attributes"), "attribute"),
    **dict.fromkeys(("named", "module", "from"), "module"),
    **dict.fromkeys(("fixture",), "fixture"),
    **dict.fromkeys(("argument", "arguments"), "argument"),
    **dict.fromkeys(("class", "type", "object"), "type"),
    **dict.fromkeys(("key",), "key"),
}
_IDENTIFIER = re.compile(r"[^\W\d][\w.-]{0,119}")
_QUALIFIED = re.compile(r"[^\W\d]\w*(?:\.(?:\w+|<locals>))*\.<locals>(?:\.(?:\w+|<\w+>))+|[^\W\d][a-zA-Z_.]{80,400}")
_ANY_PLACEHOLDER = re.compile(PLACEHOLDER)
_MOST_DOTS = 3
# Logs, tracebacks and messages are quoted by other messages: that is what was wrong, and no payload.
_SAYS_WHY = re.compile(
    r"(?:Error|ERROR|Exception|Warning|WARNING|Group)\b|Traceback|\[Errno "
    r"|\b(?:[Ff]ailed|[Rr]efused|[Dd]enied|[Dd]eprecated|[Ii]nvalid|[Uu]nexpected|[Ee]xpected|[Tt]imed out"
    r"|[Nn]ot (?:found|allowed|match)|[Cc]annot|[Mm]issing|did not|does not)\b"
)
_STRAY = re.compile(r"[.:!]+$")


def read_pieces(text: str) -> list[Piece]:
    """Read *text*, in which whitespace is single spaces; the pieces in order."""
    pieces = list(_Reader(text).read(0, len(text), is_quoted=False))
    codes = {piece.text for piece in pieces if piece.typed == "status"}
    if not codes:
        return pieces
    # `assert 404 == 200 + where 404 = <Response [404]>.status_code`: what is a code once is one everywhere.
    return [
        Piece(piece.text, typed="status") if piece.kind == "number" and piece.text in codes else piece
        for piece in pieces
    ]


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._readers: dict[str, Callable[[re.Match[str]], Iterator[Piece]]] = {
            name.removeprefix("_read_"): getattr(self, name) for name in dir(self) if name.startswith("_read_")
        }

    def read(self, start: int, end: int, *, is_quoted: bool) -> Iterator[Piece]:
        """Yield the pieces from *start* to *end*; what stands before *start* still counts as context."""
        text = self._text
        done = position = start
        while (found := next_value(text, position, end)) is not None:
            position = found.end()
            kind = found.lastgroup or ""
            if kind == "word":
                kind = _kind_of_word(found.group())
                if not kind:
                    continue
            reader = self._readers.get(kind)
            pieces = [Piece(found.group(), kind)] if reader is None else list(reader(found))
            if found.start() > done:
                yield Piece(text[done : found.start()], quoted=is_quoted)
            yield from pieces
            done = position
        if done < end:
            yield Piece(text[done:end], quoted=is_quoted)

    def _read_placeholder(self, found: re.Match[str]) -> Iterator[Piece]:
        yield placeholder(found.group())

    def _read_masked_path(self, found: re.Match[str]) -> Iterator[Piece]:
        head, slash, name = found.group().partition("/")
        yield placeholder(head)
        if slash:
            yield Piece(slash, quoted=True)
            yield from name_pieces(name)

    def _read_quote(self, found: re.Match[str]) -> Iterator[Piece]:
        text, mark = found.group(), found.group()[-1]
        opening = text.index(mark) + 1
        content = text[opening:-1]
        yield Piece(text[:opening], quoted=True)
        if _IDENTIFIER.fullmatch(content):
            word = self._left_of(found.start())[0]
            pieces = list(self.read(found.start() + opening, found.end() - 1, is_quoted=True))
            if len(pieces) == 1 and not pieces[0].kind:
                is_type = self._text.startswith((" object", " instance"), found.end())
                role = "type" if is_type else _NAME_WORDS.get(word, "name")
                pieces = [Piece(content, typed=role, quoted=True)]
            yield from pieces
        elif _QUALIFIED.fullmatch(content):
            yield Piece(content, quoted=True)
        elif _is_payload(content):
            yield Piece(content, "text")
        elif " " in content and _SPACED_PATH.fullmatch(content):
            yield from _file(content)
        else:
            yield from self.read(found.start() + opening, found.end() - 1, is_quoted=True)
        yield Piece(mark, quoted=True)

    def _read_url(self, found: re.Match[str]) -> Iterator[Piece]:
        scheme, _, rest = found.group().partition("://")
        stray = _STRAY.search(rest)
        tail = stray.group() if stray else ""
        rest = rest.removesuffix(tail)
        address, mark, query = rest.partition("?")
        authority, slash, path = address.partition("/")
        user, at, host = authority.rpartition("@")
        yield Piece(f"{scheme}://{user}{at}", quoted=True)
        yield from self._host(host)
        if slash and not authority:
            yield from _path(f"/{path}")
        elif slash:
            yield Piece("/", quoted=True)
            yield from name_pieces(path)
        if mark:
            yield Piece("?", quoted=True)
            if query:
                yield placeholder(query) if _ANY_PLACEHOLDER.fullmatch(query) else Piece(query, "query")
        if tail:
            yield Piece(tail)

    def _host(self, host: str) -> Iterator[Piece]:
        name, colon, port = host.rpartition(":")
        if not colon or not port.isdecimal():
            name, colon, port = host, "", ""
        if _NUMERIC_HOST.fullmatch(name):
            yield Piece(name, "ip")
        else:
            yield from name_pieces(name)
        if colon:
            yield Piece(colon, quoted=True)
            yield _port(port)

    def _read_moment(self, found: re.Match[str]) -> Iterator[Piece]:
        yield Piece(found["moment_head"])
        yield Piece(found["moment_value"], "date")

    def _read_delta(self, found: re.Match[str]) -> Iterator[Piece]:
        yield Piece(found["delta_head"])
        yield Piece(found["delta_value"], "duration")

    def _read_hex(self, found: re.Match[str]) -> Iterator[Piece]:
        yield Piece(found.group(), "number")

    def _read_ip6(self, found: re.Match[str]) -> Iterator[Piece]:
        yield Piece(found.group(), "ip")

    def _read_protocol(self, found: re.Match[str]) -> Iterator[Piece]:
        yield Piece(found.group(), quoted=True)

    def _read_host(self, found: re.Match[str]) -> Iterator[Piece]:
        name = found.group()[:-1]
        if _CODE_SUFFIX.fullmatch(name.rpartition(".")[2]):
            yield Piece(name, quoted=True)
        else:
            yield from name_pieces(name)
        yield Piece(":", quoted=True)

    def _read_windows(self, found: re.Match[str]) -> Iterator[Piece]:
        text = found.group()
        path = text.rstrip(".\\")
        if path.count("\\") + path.count("/") == 0 or len(path) < 4:
            yield Piece(text, quoted=True)
            return
        yield from _file(path)
        if len(path) < len(text):
            yield Piece(text[len(path) :], quoted=True)

    def _read_absolute(self, found: re.Match[str]) -> Iterator[Piece]:
        text = found.group()
        path = text.rstrip(".")
        yield from _path(path)
        if len(path) < len(text):
            yield Piece(text[len(path) :], quoted=True)

    _read_relative = _read_absolute

    def _read_version(self, found: re.Match[str]) -> Iterator[Piece]:
        parts = found.group().count(".")
        yield Piece(found.group(), typed="version" if parts <= _MOST_DOTS else "", quoted=True)

    def _read_blob(self, found: re.Match[str]) -> Iterator[Piece]:
        blob = found.group()
        is_padded = blob.endswith("=") and len(blob) % 4 == 0 and _MIXED.match(blob) is not None
        if is_padded or made_for_a_run(_NOT_ALPHANUMERIC.sub("", blob)) == "base64":
            yield Piece(blob, "base64")
        else:
            yield Piece(blob, quoted=True)

    def _read_named_day(self, found: re.Match[str]) -> Iterator[Piece]:
        yield Piece(found.group(), "date")

    def _read_number(self, found: re.Match[str]) -> Iterator[Piece]:
        yield self._number(found.group(), found.start(), found.end())

    _read_lone = _read_number

    def _number(self, number: str, start: int, end: int) -> Piece:
        text = self._text
        word, separator = self._left_of(start)
        if not word and separator[-1:] in ("", " ", "[") and len(number) != 3 and number.isdecimal():
            return Piece(number, "number")
        is_named = _STANDARD.fullmatch(word) or (not word and text.endswith("8859-", max(0, start - 5), start))
        if (separator == "-" and is_named) or (separator == " " and word in ("rfc", "pep")):
            return Piece(number, quoted=True)
        role = _CODE_WORDS.get(word, "id" if word.endswith("worker") else "")
        digits = number.lstrip("+-")
        if not digits.isdecimal():
            is_version = role == "version" or _REQUIRED_BEFORE.search(text, max(0, start - 4), start)
            return Piece(number, typed="version") if is_version and "." in number else Piece(number, "number")
        if role == "id":
            return Piece(number, "id")
        if word == "id" and len(digits) >= 9:
            return Piece(number, "address")
        if role == "port" or (separator == ":" and self._follows_host(start)):
            return _port(number)
        return (
            Piece(number, typed=typed)
            if (typed := self._code(number, role, word, start, end))
            else Piece(number, "number")
        )

    def _code(self, number: str, role: str, word: str, start: int, end: int) -> str:
        text = self._text
        if len(number) > 5:
            return ""
        is_status = len(number) == 3 and "100" <= number <= "599"
        before = text[max(0, start - 48) : start].lower()
        if role == "exit" or (role in ("status", "code") and _EXIT.search(before)):
            return "exit"
        if is_status:
            if role == "status" or _STATUS_CODE.search(before):
                return "status"
            if _STATUS_AFTER.match(text, end) or _STATUS_BEFORE.search(text, max(0, start - 48), start):
                return "status"
            after = _COMPARED_AFTER.match(text, end) or _COMPARED_BEFORE.search(text, max(0, start - 8), start)
            if number in _STATUSES and after and after[1] in _STATUSES:
                return "status"
        if role == "errno" or (text[start - 1 : start] == "(" and self._is_of_error(start, end)):
            return "errno"
        if role == "code" and (
            word != "error" or (text[start - 1 : start] in (" ", "#") and text[start - 2 : start] != ": ")
        ):
            return "code"
        return "version" if role == "version" else ""

    def _is_of_error(self, start: int, end: int) -> bool:
        """Tell whether a number in a parenthesis is that of an error: ``(111, 'Connection refused')``, not a call's."""
        called = self._text[max(0, start - 24) : start]
        is_error = _ERROR_BEFORE.search(called) or not _CALLED_BEFORE.search(called)
        return bool(is_error and _MESSAGE_AFTER.match(self._text, end))

    def _left_of(self, start: int) -> tuple[str, str]:
        """Return the word before *start*, in lower case, and the separator between both; few characters away."""
        text = self._text
        end = start
        while end > 0 and start - end < 4 and text[end - 1] in _SEPARATORS:
            end -= 1
        first = end
        while first > 0 and end - first < 24 and (text[first - 1].isalpha() or text[first - 1] == "_"):
            first -= 1
        return text[first:end].lower(), text[end:start]

    def _follows_host(self, start: int) -> bool:
        found = _PATTERN_HOST_END.search(self._text, max(0, start - 48), start)
        return found is not None and _CODE_SUFFIX.fullmatch(found[1].rpartition(".")[2]) is None


_TEMPORARY = re.compile(rf"{TEMPORARY}|gw[0-9]{{1,3}}")
_DIGITS = re.compile("[0-9]")
_NUMERIC_HOST = re.compile(r"(?:\d{1,3}\.){3}\d{1,3}|\[[0-9a-fA-F:.]{2,45}\]")
_MIXED = re.compile(r"(?=[^0-9]{0,80}[0-9])(?=[^A-Z]{0,80}[A-Z])[^a-z]{0,80}[a-z]")
_NOT_ALPHANUMERIC = re.compile(r"[^0-9A-Za-z]+")
_STATUS_CODE = re.compile(
    r"(?:(?:status|http|response)[ _]?(?:code|error)['\"]?[ =:(\[]{1,4}|http/[0-9](?:\.[0-9])? )$"
)
_EXIT = re.compile(r"(?:exit|exited with|return)[ _]?(?:status|code)['\"]?[ =:(]{1,4}$")
_PATTERN_HOST_END = re.compile(
    r"(?<![\w.-])(localhost|[\w-]{1,40}(?:\.[\w-]{1,40}){1,4}|<ip(?::\d{1,6})?>\]?|\[[0-9a-fA-F:.]{2,45}\]):$"
)


def _is_payload(content: str) -> bool:
    if len(content) <= LONGEST_QUOTED or len(_ANY_PLACEHOLDER.sub(" ", content)) <= LONGEST_QUOTED:
        return False
    return _SAYS_WHY.search(content) is None


def _kind_of_word(word: str) -> str:
    if not _DIGITS.search(word):
        return ""
    return "id" if _TEMPORARY.fullmatch(word) else made_for_a_run(word)


def _port(port: str) -> Piece:
    return Piece(port, typed="port", quoted=True) if _SERVICE_PORT.fullmatch(port) else Piece(port, "port")


def _path(path: str) -> Iterator[Piece]:
    """Yield the pieces of a path with slashes: of a file, or of what else is written so (a route, a content type)."""
    first = path.removeprefix("/").partition("/")[0]
    if (
        path.startswith("~/")
        or (path.startswith("/") and _ROOT.fullmatch(first))
        or _SUFFIX.search(path.rpartition("/")[2])
    ):
        yield from _file(path)
    else:
        yield from name_pieces(path)


def _file(path: str) -> Iterator[Piece]:
    directory, slash, name = path.replace("\\\\", "/").replace("\\", "/").rpartition("/")
    if slash and _SUFFIX.search(name):
        yield placeholder(directory) if _ANY_PLACEHOLDER.fullmatch(directory) else Piece(directory or slash, "path")
        yield Piece("/", quoted=True)
        yield from name_pieces(name)
    else:
        yield Piece(path.rstrip("/"), "path")

"""HTTP/1.1 heads: bytes to values, by a strict profile, and no sockets.

Two readers must accept a head. Regular expressions say which bytes may stand in it at all (no bare CR or LF, no folded line, no
control character, no space before a colon) and cut it into fields; httptools (llhttp) reads it once more and may refuse it. That
both see the same fields is held by a test, since a callback for each field would cost as much as all the rest. What llhttp lets
pass but two servers might read differently is refused here: several Content-Length, Content-Length beside
Transfer-Encoding, any coding but `chunked`, an absolute target that is not the Host. A head that fails is never routed.

Traefik (3.7.15) is laxer and takes Content-Length beside Transfer-Encoding, equal Content-Lengths, folded lines, bare LF,
Transfer-Encoding on HTTP/1.0, longer heads and methods that llhttp does not know: on those the two do not answer alike.

Header bytes are latin-1 from end to end, so that a byte that came in goes out.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import httptools

from pinfeather.model.request import normal_path

LINE_LIMIT = 8 * 1024  # bytes of the first line
HEAD_LIMIT = 64 * 1024  # bytes of the whole head
FIELD_LIMIT = 100
COOKIE_LIMIT = 16 * 1024  # bytes of all Cookie fields
COOKIE_PAIR_LIMIT = 200

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"  # noqa: S105 - RFC 9110's word
_VALUE = r"[\t -~\x80-\xff]*+"  # no other control character, no DEL; CR and LF only as the end of the line
_FIELDS = r"(?:" + _TOKEN + r":" + _VALUE + r"\r\n)*+\r\n"
_REQUEST_LINE = r"(" + _TOKEN + r") ([!\"$-~]++) HTTP/1\.([01])\r\n"  # a target has no `#`
_LINE = re.compile(_REQUEST_LINE)
_REQUEST = re.compile(_REQUEST_LINE + r"(?P<fields>" + _FIELDS + r")")
_RESPONSE = re.compile(r"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: (" + _VALUE + r"))?\r\n(" + _FIELDS + r")")
_TRAILERS = re.compile(_FIELDS.encode("latin-1"))
_LENGTH = re.compile(r"[0-9]{1,18}")
_ABSOLUTE = re.compile(r"https?://([^/?]*)(.*)", re.IGNORECASE)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_LABELS = r"(?:[0-9A-Za-z_-]++\.)*+[0-9A-Za-z_-]*+"
_HOST = re.compile(r"(?=.)(?!:)(" + _LABELS + r"|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{1,5}))?")
_WEBSOCKET_KEY = re.compile(r"[0-9A-Za-z+/]{22}==")

_NO_OPTIONS: frozenset[str] = frozenset()

Field = tuple[str, str, str]  # name in lower case, value, name as it was written

# Fields of one connection, never of the message (RFC 9110, 7.6.1); `HTTP2-Settings` and `Upgrade: h2c` with them.
HOP_BY_HOP: frozenset[str] = frozenset(
    (
        "connection",
        "keep-alive",
        "proxy-connection",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "http2-settings",
    )
)
# What `Connection: X-Forwarded-For, Cookie` may not take away (CVE-2024-45410, CVE-2026-29054).
_KEPT = frozenset(["host", "cookie", "authorization", "content-length", "set-cookie"])


class Refused(Exception):  # noqa: N818 - an outcome of reading, with the status that answers it
    """A message outside of the profile. `why` is for our own log: a client is told the status and nothing more."""

    def __init__(self, why: str, status: int = 400) -> None:
        super().__init__(why)
        self.why = why
        self.status = status


@dataclass(frozen=True, slots=True)
class Framing:
    """How long a body is: `length` bytes, or chunked, or (an answer only, both absent) until the connection ends."""

    length: int | None = 0
    chunked: bool = False

    @property
    def empty(self) -> bool:
        return self.length == 0


NO_BODY = Framing()
CHUNKED = Framing(None, chunked=True)
UNTIL_CLOSE = Framing(None)


class Line(NamedTuple):
    """A request's first line that is inside the profile, as far as it can be read alone."""

    method: str
    minor: int  # of HTTP/1.x
    authority: str | None  # of an absolute target
    path: str  # as it was sent
    query: str | None  # without its `?`; absent is not empty
    normal: str  # the one form of the path that is matched and forwarded


class RequestHead(NamedTuple):
    """A request that is inside the profile."""

    method: str
    path: str  # as it was sent
    normal: str  # the one form of the path that is matched and forwarded
    query: str | None  # without its `?`; absent is not empty
    host: str  # the Host field as it was sent, port included
    minor: int  # of HTTP/1.x
    framing: Framing
    persistent: bool
    websocket: bool  # a full handshake was asked for (RFC 6455, 4.1)
    section: "Section"

    @property
    def fields(self) -> tuple[Field, ...]:
        return self.section.fields

    @property
    def options(self) -> frozenset[str]:
        """What the Connection fields list, in lower case."""
        return self.section.options

    @property
    def cookies(self) -> tuple[tuple[str, str], ...]:
        """Every pair in order, quotes kept."""
        return self.section.cookies


class ResponseHead(NamedTuple):
    """An answer's head that is inside the profile, for the method that it answers."""

    status: int
    reason: str
    fields: tuple[Field, ...]
    framing: Framing
    persistent: bool
    options: frozenset[str] = _NO_OPTIONS
    upgrade: str = ""


class HeadReader:
    """Finds the end of a head in a growing buffer, looking at each byte once, and refuses a bare LF at once."""

    __slots__ = ("_may_skip", "_seen", "_skips")

    def __init__(self, *, skips: bool = False) -> None:
        self._seen = 0
        self._skips = self._may_skip = skips  # one empty line before a request is to be skipped (RFC 9112, 2.2)

    @property
    def untouched(self) -> bool:
        """Whether no byte of a head has been seen."""
        return self._seen == 0

    def take(self, buffer: bytearray) -> bytes | None:
        """The head with its empty line, cut off the front of `buffer`; None while it is not complete.

        Raises Refused over the limits, and where a line ends otherwise than with CRLF.
        """
        if (
            not self._seen
            and buffer.endswith(b"\r\n\r\n")
            and buffer.find(b"\r\n\r\n") == len(buffer) - 4 <= LINE_LIMIT - 4
            and not buffer.startswith(b"\r")
        ):  # the usual case, one head and nothing after it: a bare LF in it is refused by who reads it
            head = bytes(buffer)
            buffer.clear()
            self._may_skip = self._skips
            return head
        if self._may_skip and buffer.startswith(b"\r"):
            if len(buffer) < 2:
                return None
            if buffer.startswith(b"\r\n"):
                del buffer[:2]
            self._may_skip = False
        start = max(0, self._seen - 3)
        end = buffer.find(b"\r\n\r\n", start)
        stop = len(buffer) if end < 0 else end + 4
        if buffer.count(b"\n", start, stop) != buffer.count(b"\r\n", max(0, start - 1), stop):
            raise Refused("bare LF")
        first = buffer.find(b"\r\n", 0, LINE_LIMIT + 2) if self._seen <= LINE_LIMIT + 2 else 0
        if first < 0 and stop >= LINE_LIMIT + 2:
            raise Refused("first line over the limit", 414)
        if stop > HEAD_LIMIT:
            raise Refused("head over the limit", 431)
        if end < 0:
            self._seen = stop
            return None
        head = bytes(buffer[:stop])
        del buffer[:stop]
        self._seen = 0
        self._may_skip = self._skips
        return head


def parse_request(head: bytes, before: "Section | None" = None) -> RequestHead:
    """Read a request's head, empty line included. Raises Refused for all that is outside of the profile.

    `before`: the fields of the request before on this connection. A client sends mostly the same ones again, and equal bytes are
    equal fields: then only the first line is read anew. llhttp reads all of it each time.
    """
    line, section, fields = None, before, ""
    if before is not None and head.endswith(before.raw):
        line = _line(head[: -len(before.raw)])
    if line is None:
        found, section = _REQUEST.fullmatch(head.decode("latin-1")), None
        line = None if found is None else _line(head[: found.start("fields")])
        if found is None or line is None:
            raise Refused("malformed head")
        fields = found["fields"]
    _second_opinion(head, httptools.HttpRequestParser)
    if section is None:
        section = Section(fields)
    method, minor, authority, path, query, normal = line
    if minor == 0 and section.framing is CHUNKED:
        raise Refused("Transfer-Encoding")
    if section.host is None:
        raise Refused("no Host, or several")
    if section.port is None:
        section.port = split_host(section.host)[1]
    if authority is not None and authority.lower() != section.host.lower():
        raise Refused("absolute target that is not the Host")
    options = section.options
    return RequestHead(
        method,
        path,
        normal,
        query,
        section.host,
        minor,
        section.framing,
        minor == 1 and "close" not in options,
        section.upgrade == "websocket" and "upgrade" in options and _handshake(method, minor, section.fields, section.framing),
        section,
    )


def parse_response(head: bytes, method: str) -> ResponseHead:
    """Read the head of the answer to a `method` request. Raises Refused for all that is outside of the profile."""
    line = _RESPONSE.fullmatch(head.decode("latin-1"))
    if line is None:
        raise Refused("malformed head")
    version, code, reason, section = line.groups()
    minor, status = (1 if version == "1" else 0), int(code)
    _second_opinion(head, httptools.HttpResponseParser)
    found = Section(section)
    if minor == 0 and found.framing is CHUNKED:
        raise Refused("Transfer-Encoding")
    if method == "HEAD" or status < 200 or status in (204, 304):
        framing = NO_BODY
    elif found.framing is NO_BODY and not found.announced:
        framing = UNTIL_CLOSE
    else:
        framing = found.framing
    persistent = minor == 1 and "close" not in found.options and framing is not UNTIL_CLOSE
    return ResponseHead(status, reason or "", found.fields, framing, persistent, found.options, found.upgrade)


def valid_trailers(section: bytes) -> bool:
    """Whether what follows the last chunk, empty line included, is made of well-formed fields."""
    return _TRAILERS.fullmatch(section) is not None


def connection_options(fields: Sequence[Field]) -> frozenset[str]:
    """What the Connection fields list, in lower case."""
    values = [value for name, value, _ in fields if name == "connection"]
    if not values:
        return frozenset()
    return frozenset(option.strip(" \t").lower() for value in values for option in value.split(","))


def end_to_end(fields: Sequence[Field], options: frozenset[str]) -> list[Field]:
    """The fields that belong to the message: without the hop's own, and without what Connection lists (its `options`).

    Content-Length stays: who writes the message out decides about its framing.
    """
    dropped = HOP_BY_HOP
    if not options <= HOP_BY_HOP:
        dropped |= {name for name in options if name not in _KEPT and not name.startswith("x-forwarded-")}
    return [field for field in fields if field[0] not in dropped]


def parse_cookies(values: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """The pairs of all Cookie fields in order, by one linear scan; a broken pair hides no other. Values keep quotes.

    Raises Refused over 16 KiB or 200 pairs.
    """
    if sum(map(len, values)) > COOKIE_LIMIT:
        raise Refused("cookies over the limit", 431)
    parts = [part for value in values for part in value.split(";")]
    if len(parts) > COOKIE_PAIR_LIMIT:
        raise Refused("cookie pairs over the limit", 431)
    pairs = []
    for part in parts:
        name, equals, value = part.partition("=")
        if equals and (name := name.strip(" \t")):
            pairs.append((name, value.strip(" \t")))
    return tuple(pairs)


def split_host(host: str) -> tuple[str, str]:
    """A valid Host field as name and port (which may be empty). Raises Refused for any other."""
    found = _HOST.fullmatch(host)
    if found is None or not found[1] or (found[2] and int(found[2]) > 65535):
        raise Refused("invalid Host")
    return found[1], found[2] or ""


class _Accepts:
    """A second reader that is asked for nothing but whether it accepts."""


_ACCEPTS = _Accepts()


def _second_opinion(head: bytes, parser: type[httptools.HttpRequestParser] | type[httptools.HttpResponseParser]) -> None:
    try:
        parser(_ACCEPTS).feed_data(head)
    except httptools.HttpParserUpgrade:  # says only that an upgrade was asked for, and comes after the last field
        pass
    except httptools.HttpParserError as error:
        raise Refused(str(error)) from error


_DECIDING = frozenset(("content-length", "transfer-encoding", "host", "upgrade", "cookie", "connection"))


class Section:
    """The fields of a head, and what they say that may be said once, or decides about the message.

    What others work out of the same fields they leave here (`memo`), so that it is done once for all requests with these bytes.
    """

    __slots__ = ("announced", "cookies", "fields", "framing", "host", "memo", "options", "port", "raw", "upgrade")

    def __init__(self, text: str) -> None:
        """`text`: well-formed fields, the empty line included. Raises Refused."""
        self.raw = text.encode("latin-1")
        fields = []
        for line in text[:-4].split("\r\n") if len(text) > 2 else ():
            name, _, value = line.partition(":")
            fields.append((name.lower(), value.strip(" \t"), name))
        if len(fields) > FIELD_LIMIT:
            raise Refused("too many fields", 431)
        self.fields: tuple[Field, ...] = tuple(fields)
        self.memo: dict[str, object] = {}
        self.framing = NO_BODY
        self.announced = False  # whether Content-Length or Transfer-Encoding is there
        self.host: str | None = None  # None: there is none, or several
        self.port: str | None = None  # of the host, perhaps empty; None: nobody has looked at it
        self.options: frozenset[str] = _NO_OPTIONS
        self.upgrade = ""
        said: dict[str, list[str]] = {}
        for name, value, _ in fields:
            if name in _DECIDING:
                said.setdefault(name, []).append(value)
        if "connection" in said:
            self.options = connection_options(fields)
        if "upgrade" in said:
            self.upgrade = said["upgrade"][-1].lower()
        if "transfer-encoding" in said:
            if "content-length" in said or said["transfer-encoding"] != ["chunked"]:
                raise Refused("Transfer-Encoding")
            self.framing, self.announced = CHUNKED, True
        elif "content-length" in said:
            (length, *more) = said["content-length"]
            if more or _LENGTH.fullmatch(length) is None:
                raise Refused("Content-Length")
            self.framing, self.announced = Framing(int(length)), True
        if "host" in said and len(said["host"]) == 1:
            self.host = said["host"][0]
        self.cookies = parse_cookies(said["cookie"]) if "cookie" in said else ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Section) and self.raw == other.raw

    def __hash__(self) -> int:
        return hash(self.raw)


def _line(text: bytes) -> Line | None:
    """The first line, its CRLF included; None for what is none. Raises Refused."""
    return _known_line(text) if len(text) <= _SHORT else _read_line(text)


def _read_line(text: bytes) -> Line | None:
    found = _LINE.fullmatch(text.decode("latin-1"))
    if found is None:
        return None
    method, target, minor = found.groups()
    if method in ("CONNECT", "TRACE"):
        raise Refused(method)
    authority = None
    if not target.startswith("/"):
        absolute = _ABSOLUTE.fullmatch(target)
        if absolute is None:
            raise Refused("target")
        authority, target = absolute.groups()
        target = target if target.startswith("/") else "/" + target
    path, mark, query = target.partition("?")
    if "%" in path and _BAD_ESCAPE.search(path) is not None:
        raise Refused("target")
    return Line(method, int(minor), authority, path, query if mark else None, normal_path(path))


# Most of what all clients together ask for are few lines. Long ones are not kept: they would be what fills the memory.
_SHORT = 256  # bytes
_known_line = lru_cache(maxsize=1024)(_read_line)


def _handshake(method: str, minor: int, fields: Sequence[Field], framing: Framing) -> bool:
    versions = [value for name, value, _ in fields if name == "sec-websocket-version"]
    keys = [value for name, value, _ in fields if name == "sec-websocket-key"]
    return (
        method == "GET"
        and minor == 1
        and framing.empty
        and versions == ["13"]
        and len(keys) == 1
        and _WEBSOCKET_KEY.fullmatch(keys[0]) is not None
    )

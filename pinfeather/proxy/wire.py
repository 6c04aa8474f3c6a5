"""HTTP/1.1 heads: bytes to values, by a strict profile, and no sockets.

Two readers must agree on a head. A regular expression says which bytes may stand in it at all (no bare CR or LF, no folded
line, no control character, no space before a colon), then httptools (llhttp) cuts it into fields, and what llhttp lets
pass but two servers might read differently is refused here: several Content-Length, Content-Length beside
Transfer-Encoding, any coding but `chunked`, an absolute target that is not the Host. A head that fails is never routed.

Traefik (3.7.15) is laxer and takes Content-Length beside Transfer-Encoding, equal Content-Lengths, folded lines, bare LF,
Transfer-Encoding on HTTP/1.0, longer heads and methods that llhttp does not know: on those the two do not answer alike.

Header bytes are latin-1 from end to end, so that a byte that came in goes out.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import httptools

LINE_LIMIT = 8 * 1024  # bytes of the first line
HEAD_LIMIT = 64 * 1024  # bytes of the whole head
FIELD_LIMIT = 100
COOKIE_LIMIT = 16 * 1024  # bytes of all Cookie fields
COOKIE_PAIR_LIMIT = 200

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_VALUE = rb"[\t -~\x80-\xff]*+"  # no other control character, no DEL; CR and LF only as the end of the line
_FIELDS = rb"(?:" + _TOKEN + rb":" + _VALUE + rb"\r\n)*+\r\n"
_REQUEST = re.compile(rb"(" + _TOKEN + rb") ([!\"$-~]++) HTTP/1\.([01])\r\n" + _FIELDS)  # a target has no `#`
_RESPONSE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: (" + _VALUE + rb"))?\r\n" + _FIELDS)
_TRAILERS = re.compile(_FIELDS)
_LENGTH = re.compile(r"[0-9]{1,18}")
_ABSOLUTE = re.compile(r"https?://([^/?]*)(.*)", re.IGNORECASE)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_LABELS = r"(?:[0-9A-Za-z_-]++\.)*+[0-9A-Za-z_-]*+"
_HOST = re.compile(r"(?=.)(?!:)(" + _LABELS + r"|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{1,5}))?")
_WEBSOCKET_KEY = re.compile(r"[0-9A-Za-z+/]{22}==")

Field = tuple[str, str, str]  # name in lower case, value, name as it was written

# Fields of one connection, never of the message (RFC 9110, 7.6.1); `HTTP2-Settings` and `Upgrade: h2c` with them.
HOP_BY_HOP = frozenset(
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
UNTIL_CLOSE = Framing(None)


@dataclass(frozen=True, slots=True)
class RequestHead:
    """A request that is inside the profile. `path` is as it was sent; the decision core normalises it."""

    method: str
    path: str
    query: str | None  # without its `?`; absent is not empty
    host: str  # the Host field as it was sent, port included
    minor: int  # of HTTP/1.x
    fields: tuple[Field, ...]
    framing: Framing
    persistent: bool
    websocket: bool  # a full handshake was asked for (RFC 6455, 4.1)
    cookies: tuple[tuple[str, str], ...]  # every pair in order, quotes kept


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """An answer's head that is inside the profile, for the method that it answers."""

    status: int
    reason: str
    fields: tuple[Field, ...]
    framing: Framing
    persistent: bool
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


class _Cut:
    """What llhttp calls back with. Names and values, and the answer's or request's own line is read by our pattern."""

    __slots__ = ("fields",)

    def __init__(self) -> None:
        self.fields: list[Field] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        spelled = name.decode("latin-1")
        self.fields.append((spelled.lower(), value.decode("latin-1").strip(" \t"), spelled))


def parse_request(head: bytes) -> RequestHead:
    """Read a request's head, empty line included. Raises Refused for all that is outside of the profile."""
    line = _REQUEST.fullmatch(head)
    if line is None:
        raise Refused("malformed head")
    method, target = line[1].decode("ascii"), line[2].decode("ascii")
    minor = 1 if line[3] == b"1" else 0
    if method in ("CONNECT", "TRACE"):
        raise Refused(method)
    fields = _cut(head, httptools.HttpRequestParser)
    length, coding, hosts, upgrade, cookies = _singled(fields, minor)
    if len(hosts) != 1:
        raise Refused("no Host, or several")
    path, query = _target(target, hosts[0])
    options = connection_options(fields)
    framing = Framing(None, chunked=True) if coding else Framing(length or 0)
    websocket = upgrade == "websocket" and "upgrade" in options and _handshake(method, minor, fields, framing)
    return RequestHead(
        method,
        path,
        query,
        hosts[0],
        minor,
        tuple(fields),
        framing,
        minor == 1 and "close" not in options,
        websocket,
        parse_cookies(cookies) if cookies else (),
    )


def parse_response(head: bytes, method: str) -> ResponseHead:
    """Read the head of the answer to a `method` request. Raises Refused for all that is outside of the profile."""
    line = _RESPONSE.fullmatch(head)
    if line is None:
        raise Refused("malformed head")
    minor, status = (1 if line[1] == b"1" else 0), int(line[2])
    fields = _cut(head, httptools.HttpResponseParser)
    length, coding, _, upgrade, _ = _singled(fields, minor)
    if method == "HEAD" or status < 200 or status in (204, 304):
        framing = NO_BODY
    elif coding:
        framing = Framing(None, chunked=True)
    else:
        framing = UNTIL_CLOSE if length is None else Framing(length)
    persistent = minor == 1 and "close" not in connection_options(fields) and framing is not UNTIL_CLOSE
    return ResponseHead(status, (line[3] or b"").decode("latin-1"), tuple(fields), framing, persistent, upgrade)


def valid_trailers(section: bytes) -> bool:
    """Whether what follows the last chunk, empty line included, is made of well-formed fields."""
    return _TRAILERS.fullmatch(section) is not None


def connection_options(fields: Sequence[Field]) -> frozenset[str]:
    """What the Connection fields list, in lower case."""
    values = [value for name, value, _ in fields if name == "connection"]
    if not values:
        return frozenset()
    return frozenset(option.strip(" \t").lower() for value in values for option in value.split(","))


def end_to_end(fields: Sequence[Field]) -> list[Field]:
    """The fields that belong to the message: without the hop's own, and without what Connection lists.

    Content-Length stays: who writes the message out decides about its framing.
    """
    dropped: frozenset[str] = HOP_BY_HOP
    listed = connection_options(fields)
    if listed:
        dropped |= {name for name in listed if name not in _KEPT and not name.startswith("x-forwarded-")}
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


def _cut(head: bytes, parser: type[httptools.HttpRequestParser] | type[httptools.HttpResponseParser]) -> list[Field]:
    cut = _Cut()
    try:
        parser(cut).feed_data(head)
    except httptools.HttpParserUpgrade:  # says only that an upgrade was asked for, and comes after the last field
        pass
    except httptools.HttpParserError as error:
        raise Refused(str(error)) from error
    if len(cut.fields) > FIELD_LIMIT:
        raise Refused("too many fields", 431)
    return cut.fields


def _singled(fields: Sequence[Field], minor: int) -> tuple[int | None, bool, list[str], str, list[str]]:
    """Content-Length, whether chunked, the Hosts, the Upgrade in lower case, the Cookie fields."""
    lengths, codings, hosts, upgrade, cookies = [], [], [], "", []
    for name, value, _ in fields:
        if name == "content-length":
            lengths.append(value)
        elif name == "transfer-encoding":
            codings.append(value)
        elif name == "host":
            hosts.append(value)
        elif name == "upgrade":
            upgrade = value.lower()
        elif name == "cookie":
            cookies.append(value)
    if codings and (lengths or minor == 0 or codings != ["chunked"]):
        raise Refused("Transfer-Encoding")
    if len(lengths) > 1 or (lengths and _LENGTH.fullmatch(lengths[0]) is None):
        raise Refused("Content-Length")
    return (int(lengths[0]) if lengths else None), bool(codings), hosts, upgrade, cookies


def _target(target: str, host: str) -> tuple[str, str | None]:
    split_host(host)
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is not None:
        if absolute[1].lower() != host.lower():
            raise Refused("absolute target that is not the Host")
        target = absolute[2]
        target = target if target.startswith("/") else "/" + target
    path, mark, query = target.partition("?")
    if not path.startswith("/") or _BAD_ESCAPE.search(path) is not None:
        raise Refused("target")
    return path, (query if mark else None)


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

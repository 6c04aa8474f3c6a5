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
from functools import lru_cache
from typing import NamedTuple

import httptools

from pinfeather.model.request import normal_path
from pinfeather.proxy.fields import (
    CHUNKED,
    FIELDS,
    NO_BODY,
    NO_OPTIONS,
    TOKEN,
    UNTIL_CLOSE,
    VALUE,
    Field,
    Framing,
    Refused,
    Section,
    split_host,
)

LINE_LIMIT = 8 * 1024  # bytes of the first line
HEAD_LIMIT = 64 * 1024  # bytes of the whole head

_REQUEST_LINE = r"(" + TOKEN + r") ([!\"$-~]++) HTTP/1\.([01])\r\n"  # a target has no `#`
_LINE = re.compile(_REQUEST_LINE)
_REQUEST = re.compile(_REQUEST_LINE + r"(?P<fields>" + FIELDS + r")")
_RESPONSE = re.compile(r"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: (" + VALUE + r"))?\r\n(" + FIELDS + r")")
_ABSOLUTE = re.compile(r"https?://([^/?]*)(.*)", re.IGNORECASE)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_WEBSOCKET_KEY = re.compile(r"[0-9A-Za-z+/]{22}==")


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
    options: frozenset[str] = NO_OPTIONS
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
    found = Section(section, answer=True)
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

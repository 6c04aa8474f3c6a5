"""What the decision core is told: one request, and the state of the servers; and how the texts of a request are read.

Read as Traefik reads them (3.7.15, checked against the binary): the path that conditions are held against has its percent
encodings decoded except those of reserved characters; `;` parts query parameters as `&` does; one dot at the end of a host
is ignored; `Host` is no header that a header condition sees.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes


class Status(Enum):
    """Of one server: takes new clients; keeps only those bound to it; takes nobody."""

    UP = "up"
    DRAINING = "draining"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class State:
    """The servers of each service, in the order of the document. A service that is missing here is all up."""

    servers: Mapping[str, tuple[Status, ...]] = field(default_factory=dict)


class Request(NamedTuple):
    """One HTTP request as it reached an entry point, before any middleware."""

    host: str
    """As in the Host header; case and port are ignored."""
    path: str
    """In the form that `normal_path` gives."""
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    """Names in lower case; values one character a byte (latin-1), as on the wire."""
    query: str = ""
    """What follows `?`, not decoded, best in the form that `normal_query` gives."""
    entry_point: str = ""
    tls: bool = False
    """Whether the proxy ended TLS on this connection."""
    sni: str = ""
    """The server name of the TLS hello. No condition of an HTTP route asks for it."""
    client: str = "127.0.0.1"
    """The address of the connection's other end."""
    bindings: Mapping[str, str] = MappingProxyType({})
    """Cookie name -> what its value stands for: the variant (a service as written in the split) or the key of a server.
    An affinity by source address stands under `affinity(service)`."""


def affinity(service: str) -> str:
    """Where `bindings` holds a service's affinity by source address; no cookie can be called that."""
    return f"source:{service}"


# The path ---------------------------------------------------------------------------------------------------------------

_UNRESERVED = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")
_RESERVED = frozenset(b":/?#[]@!$&'()*+,;=%")
_NORMAL = re.compile(r"(?:/[\w~!$&'()*+,;=:@\[\]-][\w.~!$&'()*+,;=:@\[\]-]*)+/?", re.ASCII)
_ODD = re.compile(rb"%[0-9A-Fa-f]{2}|[^A-Za-z0-9._~!$&'()*+,;=:@\[\]/-]")
_ENCODED = re.compile(rb"%([0-9A-Fa-f]{2})")
_UNENCODED = re.compile(rb"[^A-Za-z0-9._~!$&'()*+,;=:@\[\]/%-]")
_BROKEN = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_PLAIN_IN_GO = "$&+,/:;=@"


def _spelled(found: re.Match[bytes]) -> bytes:
    text = found[0]
    byte = int(text[1:], 16) if len(text) == 3 else text[0]
    return bytes((byte,)) if byte in _UNRESERVED else b"%%%02X" % byte


def normal_path(raw: str) -> str:
    """The one form of a path that is matched and forwarded, in ASCII; the same as Traefik's (3.7.15).

    Encoded unreserved characters are decoded, other encodings get capitals, what may not stand in a path is encoded (as
    UTF-8), empty and dot segments are resolved, never above the root: `/a/../b` is `/b`, `//a//b` is `/a/b`, `/%61` is
    `/a`, `/a%2e%2e/b` is `/a../b`; `%2F` stays. A `%` that begins no encoding becomes `%25` (Traefik answers 400).
    `*`, the target of OPTIONS, is kept.

    A path that holds a byte which should have been encoded (`|`, `"`, `\\`, not ASCII) is taken as its decoded text and written
    anew, so that `/a%2Fb|` is `/a/b%7C` (Go 1.25, net/url, URL.EscapedPath).
    """
    if _NORMAL.fullmatch(raw) or raw in ("/", "*"):
        return raw
    sent = raw.encode("utf-8", "surrogatepass")
    if _UNENCODED.search(sent) and not _BROKEN.search(sent):
        sent = quote(unquote_to_bytes(sent), safe=_PLAIN_IN_GO).encode("ascii")
    text = _ODD.sub(_spelled, sent).decode("ascii")
    kept: list[str] = []
    for segment in text.split("/"):
        if segment == "..":
            if kept:
                kept.pop()
        elif segment not in ("", "."):
            kept.append(segment)
    end = "/" if kept and text.endswith("/") else ""
    return f"/{'/'.join(kept)}{end}"


def _decoded(found: re.Match[bytes]) -> bytes:
    byte = int(found[1], 16)
    return found[0].upper() if byte in _RESERVED else bytes((byte,))


def matched_path(path: str) -> str:
    """The text that path conditions are held against: decoded, but for encoded reserved characters (`%2F`, `%3F`, `%25`...).

    Traefik 3.7, pkg/muxer/http/mux.go, withRoutingPath. Bytes that are no UTF-8 become lone surrogates.
    """
    if "%" not in path:
        return path
    return _ENCODED.sub(_decoded, path.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogateescape")


# The other texts --------------------------------------------------------------------------------------------------------

_STRAYS = re.compile("[\ud800-\udfff]")


def searched(text: str) -> str:
    """A text as a regex sees it: each byte that is no UTF-8 is U+FFFD, as in Go."""
    return text if text.isascii() else _STRAYS.sub("\ufffd", text)


def header_text(value: str) -> str:
    """A header's value, which is one character a byte, as the text that its bytes say in UTF-8."""
    if value.isascii():
        return value
    try:
        return value.encode("latin-1").decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return value


def bare_host(host: str) -> str:
    """A Host header in lower case without its port: `[::1]:80` is `[::1]`."""
    host = host.lower()
    if ":" in host:
        host = host[: host.rfind("]") + 1] if host.startswith("[") else host.partition(":")[0]
    return host


def undotted(host: str) -> str:
    """Without the one dot that may stand at the end of a full name."""
    return host[:-1] if host.endswith(".") else host


def cookie_pairs(headers: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Every pair of every Cookie header; values keep their quotes. A piece without `=` is no pair."""
    pairs = []
    for header, value in headers:
        if header == "cookie":
            for piece in value.split(";"):
                name, equals, content = piece.strip(" \t").partition("=")
                if equals:
                    pairs.append((name, header_text(content)))
    return tuple(pairs)


def normal_query(raw: str) -> str:
    """The one form of a query that is matched and forwarded: `;` is `&`, so that no server reads it otherwise.

    Traefik's entry points do so unless `encodeQuerySemicolons` is set (3.7.15, and Go's AllowQuerySemicolons).
    """
    return raw.replace(";", "&")


def query_pairs(query: str) -> tuple[tuple[str, str], ...]:
    """Every parameter, decoded: `+` is a space; a broken encoding hides its own pair only (Go 1.25, net/url, ParseQuery)."""
    pairs = []
    for piece in normal_query(query).split("&"):
        if piece:
            name, _, value = piece.partition("=")
            decoded_name, decoded_value = _unescaped(name), _unescaped(value)
            if decoded_name is not None and decoded_value is not None:
                pairs.append((decoded_name, decoded_value))
    return tuple(pairs)


def _unescaped(text: str) -> str | None:
    if "%" not in text:
        return text.replace("+", " ")
    if any(not re.match("[0-9A-Fa-f]{2}", rest) for rest in text.split("%")[1:]):
        return None
    return unquote_to_bytes(text.replace("+", " ").encode("utf-8", "surrogatepass")).decode("utf-8", "surrogateescape")


Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def client_address(text: str) -> Address | None:
    """The client's address, an IPv4 one also where it is written inside IPv6; None for what is none (a socket's path)."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


class Asked:
    """A request while it is held against conditions: what several of them need is read once, and only when one needs it."""

    __slots__ = ("_address", "_cookies", "_query", "host", "name", "path", "request", "state")

    def __init__(self, request: Request, state: State, cookies: tuple[tuple[str, str], ...] | None = None) -> None:
        """`cookies`: `cookie_pairs` of the request, where somebody has them."""
        self.request = request
        self.state = state
        self.host = host = bare_host(request.host)
        self.name = host[:-1] if host.endswith(".") else host
        path = request.path
        self.path = matched_path(path) if "%" in path else path
        self._cookies = cookies
        self._query: tuple[tuple[str, str], ...] | None = None
        self._address: Address | None = None

    def values(self, header: str) -> list[str]:
        """Every value of a header, by its name in lower case."""
        return [header_text(value) for name, value in self.request.headers if name == header]

    @property
    def cookies(self) -> tuple[tuple[str, str], ...]:
        if self._cookies is None:
            self._cookies = cookie_pairs(self.request.headers)
        return self._cookies

    @property
    def query(self) -> tuple[tuple[str, str], ...]:
        if self._query is None:
            self._query = query_pairs(self.request.query)
        return self._query

    @property
    def address(self) -> Address | None:
        if self._address is None:
            self._address = client_address(self.request.client)
        return self._address

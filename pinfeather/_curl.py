r"""A request as a curl line: read from one, and written as one that can be pasted into a shell.

Read is what curl takes (`curl -b canary=v2 https://shop.example/cart -H 'X-A: b'`), or the shorter `GET https://shop.example/cart`, and
beside it what curl does not know: `--bound COOKIE=WHAT` (a service of a split, or a server's key), `--down SERVICE` or
`--down SERVICE/2` (servers count from 1), `--draining` likewise, `--entry-point NAME`, `--from ADDRESS`. Lines of `_connection.py`
have the same words.
Headers that curl adds by itself (User-Agent, Accept) are no part of the request.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import SplitResult, quote, unquote, urlsplit

from pinfeather._shell import LineError as LineError
from pinfeather._shell import shell, text_of, wire, words_of
from pinfeather.model.decide import Request, State, Status, normal_path
from pinfeather.model.document import Document, EntryPoint
from pinfeather.model.request import client_address, undotted
from pinfeather.model.services import LoadBalancer, TcpLoadBalancer

_BLANK = " \t"
"""What may stand around a field's value (RFC 9110, 5.5); other blanks are a part of it."""
States = tuple[tuple[Status, str, int | None], ...]
"""Status, service, and which of its servers (from 0; None: all)."""


class Asked(NamedTuple):
    """What a line asks for."""

    request: Request
    """Its entry point is empty where the line names none."""
    port: int | None
    """Where the URL says one."""
    states: States
    ignored: tuple[str, ...] = ()
    """What the line says and no route can ask for."""


# Reading ----------------------------------------------------------------------------------------------------------------

_SILENT = frozenset("isSvkLfgN046#")  # single letters, which may stand together
_SILENT_LONG = frozenset(
    {
        "--include", "--silent", "--show-error", "--verbose", "--insecure", "--location", "--fail", "--fail-with-body", "--globoff",
        "--no-buffer", "--compressed", "--path-as-is", "--http1.0", "--http1.1", "--http2", "--http3", "--no-keepalive",
    }
)  # fmt: skip
_IGNORED = frozenset(
    {
        "-o", "-w", "-m", "-D", "-c", "--output", "--write-out", "--max-time", "--connect-timeout", "--resolve", "--connect-to", "--cacert",
        "--cert", "--key", "--dump-header", "--cookie-jar", "--retry", "--max-redirs", "--limit-rate", "--interface",
    }
)  # fmt: skip
_METHODS = re.compile(r"[A-Z]+")


class Line:
    """What the words of a line say, one after another."""

    def __init__(self) -> None:
        self.method = ""
        self.url = ""
        self.headers: list[tuple[str, str]] = []
        self.host: str | None = None
        self.data: list[str] = []
        self.cookies: list[str] = []
        self.upload = False
        self.alpn: tuple[str, ...] = ()
        self.as_query = False
        self.bindings: dict[str, str] = {}
        self.states: list[tuple[Status, str, int | None]] = []
        self.entry_point = ""
        self.client = "127.0.0.1"

    def header(self, text: str) -> None:
        name, colon, value = text.partition(":")
        if not colon:
            name, semicolon, rest = text.partition(";")  # curl's way to send an empty one
            if not semicolon or rest.strip(_BLANK):
                raise LineError(f"the header {text!r} has no colon")
        name = name.strip(_BLANK).lower()
        if name == "host":
            self.host = text_of(value.strip(_BLANK))
        elif value.strip(_BLANK) or not colon:
            self.headers.append((name, value.strip(_BLANK)))

    def cookie(self, text: str) -> None:
        if "=" not in text:
            raise LineError(f"-b {text}: a file of cookies is not read; write NAME=VALUE")
        if not self.cookies:
            self.headers.append(("cookie", ""))  # its place; curl makes one header of all
        self.cookies.append(text)

    def encoded(self, text: str) -> None:
        name, equals, content = text.partition("=")
        self.data.append(f"{name}={quote(content.encode('latin-1'), safe='')}" if equals else quote(text.encode("latin-1"), safe=""))

    def sends(self, _: str) -> None:
        self.upload = True

    def user(self, text: str) -> None:
        self.headers.append(("authorization", "Basic " + base64.b64encode(text.encode("latin-1")).decode("ascii")))

    def bound(self, text: str) -> None:
        cookie, equals, what = text.partition("=")
        if not equals or not cookie:
            raise LineError(f"--bound {text}: write it as COOKIE=WHAT")
        self.bindings[text_of(cookie)] = text_of(what)

    def state(self, status: Status, text: str) -> None:
        text = text_of(text)
        service, slash, number = text.rpartition("/")
        if slash and not number.isdigit():
            raise LineError(f"--{status.value} {text}: write it as SERVICE or SERVICE/NUMBER")
        self.states.append((status, service, int(number) - 1) if slash else (status, text, None))


def _set(name: str) -> Callable[[Line, str], None]:
    return lambda line, value: setattr(line, name, text_of(value))


_OPTIONS: Mapping[str, Callable[[Line, str], None]] = {
    "-H": Line.header,
    "-b": Line.cookie,
    "-X": _set("method"),
    "-u": Line.user,
    "-A": lambda line, value: line.headers.append(("user-agent", value)),
    "-e": lambda line, value: line.headers.append(("referer", value)),
    "-r": lambda line, value: line.headers.append(("range", f"bytes={value}")),
    "-d": lambda line, value: line.data.append(value),
    "-F": lambda line, value: line.data.append(value),
    "-T": Line.sends,
    "--data-urlencode": Line.encoded,
    "--oauth2-bearer": lambda line, value: line.headers.append(("authorization", f"Bearer {value}")),
    "--url": _set("url"),
    "--bound": Line.bound,
    "--down": lambda line, value: line.state(Status.DOWN, value),
    "--draining": lambda line, value: line.state(Status.DRAINING, value),
    "--entry-point": _set("entry_point"),
    "--from": _set("client"),
    "--alpn": lambda line, value: setattr(line, "alpn", tuple(value.split(","))),
}
_SWITCHES: Mapping[str, Callable[[Line], None]] = {
    "-I": lambda line: setattr(line, "method", line.method or "HEAD"),
    "-G": lambda line: setattr(line, "as_query", True),
}
_LONG = {
    "--header": "-H", "--cookie": "-b", "--request": "-X", "--user": "-u", "--data": "-d", "--data-raw": "-d",
    "--data-binary": "-d", "--json": "-d", "--form": "-F", "--upload-file": "-T", "--range": "-r", "--user-agent": "-A", "--referer": "-e",
    "--head": "-I", "--get": "-G",
}  # fmt: skip


def parse(line: str) -> Asked:
    """The request that a line asks for. Raises LineError."""
    return _asked(read(line))


def read(line: str) -> Line:
    """What a line says, its URL not looked at. Raises LineError."""
    words = words_of(line)
    found = Line()
    if words[:1] == ["curl"]:
        words.pop(0)
    elif words and _METHODS.fullmatch(words[0]):
        found.method = words.pop(0)
    elif words and not words[0].startswith("-") and "://" not in words[0]:
        raise LineError(f"{line.strip()!r} is no request: write it as curl https://host/path")
    while words:
        word = words.pop(0)
        if word.startswith("--") and len(word) > 2:
            _long(found, word, words)
        elif word.startswith("-") and len(word) > 1:
            _short(found, word, words)
        elif found.url:
            raise LineError(f"two URLs: {found.url} and {word}; ask for one at a time")
        else:
            found.url = text_of(word)
    if not found.url:
        raise LineError(f"{line!r} has no URL; write it as curl https://host/path")
    return found


def _long(found: Line, word: str, words: list[str]) -> None:
    flag, equals, value = word.partition("=")
    flag = _LONG.get(flag, flag)
    if flag in _OPTIONS or flag in _IGNORED:
        _value(found, flag, value if equals else None, words)
    elif flag in _SWITCHES:
        _SWITCHES[flag](found)
    elif flag not in _SILENT_LONG:
        raise LineError(f"the option {word} is not known here; leave it out")


def _short(found: Line, word: str, words: list[str]) -> None:
    """Single letters: any number that take no value, and one that takes the rest of the word, or the next word."""
    for at, letter in enumerate(word[1:], 1):
        flag = f"-{letter}"
        if flag in _OPTIONS or flag in _IGNORED:
            _value(found, flag, word[at + 1 :] or None, words)
            return
        if flag in _SWITCHES:
            _SWITCHES[flag](found)
        elif letter not in _SILENT:
            raise LineError(f"the option {flag if len(word) == 2 else f'{flag} in {word}'} is not known here; leave it out")


def _value(found: Line, flag: str, value: str | None, words: list[str]) -> None:
    if value is None and not words:
        raise LineError(f"{flag} stands at the end without its value")
    value = words.pop(0) if value is None else value
    if flag in _OPTIONS:
        _OPTIONS[flag](found, value)


def _asked(found: Line) -> Asked:
    try:
        url = urlsplit(found.url if "://" in found.url else f"http://{found.url}")
        port = url.port
    except ValueError as error:
        raise LineError(f"{found.url} is no URL: {error}") from None
    if url.scheme not in ("http", "https") or not url.netloc:
        raise LineError(f"{found.url} is no URL that a proxy is asked for: write http://host/path or https://host/path")
    query = "&".join((*((url.query,) if url.query else ()), *found.data)) if found.as_query else url.query
    tls = url.scheme == "https"
    body = found.upload or bool(found.data and not found.as_query)
    request = Request(
        host=found.host if found.host is not None else url.netloc.rpartition("@")[2],
        path=normal_path(url.path or "/"),
        method=found.method or ("PUT" if found.upload else "POST" if body else "GET"),
        headers=_headers(found, url),
        query=query,
        entry_point=found.entry_point,
        tls=tls,
        sni=server_name(url.hostname or "") if tls else "",
        client=found.client,
        bindings=found.bindings,
    )
    return Asked(request, port, tuple(found.states), ("the body: no route asks for it",) if body else ())


def _headers(found: Line, url: SplitResult) -> tuple[tuple[str, str], ...]:
    """The header lines as curl 7.88 sends them: all `-b` in one, and none of them beside a Cookie that `-H` says."""
    own = any(name == "cookie" and value for name, value in found.headers)
    headers = [
        (name, value) if name != "cookie" or value else (name, "; ".join(found.cookies))
        for name, value in found.headers
        if name != "cookie" or value or not own
    ]
    if url.username is not None and not any(name == "authorization" for name, _ in headers):
        user = f"{unquote(url.username)}:{unquote(url.password or '')}"
        headers.append(("authorization", "Basic " + base64.b64encode(user.encode()).decode("ascii")))
    return tuple(headers)


def server_name(host: str) -> str:
    """What the TLS hello says of a host of a URL: an address is never a server name, and the dot at the end of a name is left out."""
    return "" if client_address(host.strip("[]")) is not None else undotted(host)


def state_of(document: Document, states: States, *, tcp: bool = False) -> State:
    """The state of every service, or TCP service, that a line speaks of. Raises LineError for one, or a server, that is not there."""
    services = document.tcp_services if tcp else document.services
    servers: dict[str, list[Status]] = {}
    for status, name, index in states:
        service = services.get(name)
        if not isinstance(service, LoadBalancer | TcpLoadBalancer):
            raise LineError(f"--{status.value} {name}: there is no service of that name with servers")
        row = servers.setdefault(name, [Status.UP] * len(service.servers))
        if index is not None and not 0 <= index < len(row):
            raise LineError(f"--{status.value} {name}/{index + 1}: it has {len(row)} server{'' if len(row) == 1 else 's'}")
        for at in range(len(row)) if index is None else (index,):
            row[at] = status
    return State({name: tuple(row) for name, row in servers.items()})


def entry_point(asked: Asked, document: Document) -> str:
    """Through which entry point a request comes in: the one it names; else the one whose port its URL says; else, of `web` and
    `websecure`, the one that its scheme is for, if a route uses that name; else the only one there is.
    """
    request = asked.request
    if request.entry_point:
        return request.entry_point
    ports = ports_of(document)
    wanted = asked.port if asked.port is not None else 443 if request.tls else 80
    found = [name for name, port in ports.items() if port == wanted]
    used = dict.fromkeys(name for route in document.routes for name in route.entry_points)
    named = "websecure" if request.tls else "web"
    if len(found) == 1:
        return found[0]
    if named in ports or named in used or not (ports or used):
        return named
    every = list(dict.fromkeys((*ports, *used)))
    return every[0] if len(every) == 1 else named


def ports_of(document: Document) -> dict[str, int]:
    """The port of each entry point that the document knows."""
    points = {name: point.port if isinstance(point, EntryPoint) else point for name, point in document.entry_points.items()}
    return {name: port for name, port in points.items() if isinstance(port, int)}


# Writing ----------------------------------------------------------------------------------------------------------------

_PLAIN_HOST = re.compile(r"[A-Za-z0-9._-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?")
_GLOB = re.compile(r"[\[\]{}]")


def line(request: Request, states: States = ()) -> str:
    """The curl line that sends a request. What curl cannot say stands behind, in the words of `parse`: bindings, the client's
    address, the entry point, states of servers.

    `parse` reads it as the same request, if its path is in normal form, its header names in small letters, and its server name
    one that curl can send: letters, digits, `-`, `.` and `_`. Of TLS without one, `parse` takes what curl would say for the host.
    """
    words = ["curl"]
    if request.method == "HEAD":
        words.append("-I")
    elif request.method != "GET":
        words += ("-X", request.method)
    host = _url_host(request)
    query = f"?{quote(request.query, safe=_QUERY_SAFE)}" if request.query else ""
    url = f"{'https' if request.tls else 'http'}://{host}{request.path}{query}"
    if _GLOB.search(url):
        words.append("-g")
    if host != request.host:
        words += ("-H", wire(f"Host: {request.host}") if request.host else "Host;")
    cookies = sum(name == "cookie" for name, _ in request.headers)
    for name, value in request.headers:
        if name == "cookie" and "=" in value and cookies == 1:
            words += ("-b", value)
        else:
            words += ("-H", f"{name}: {value}" if value else f"{name};")
    words.append(wire(url))
    for cookie, what in request.bindings.items():
        words += ("--bound", wire(f"{cookie}={what}"))
    words += states_said(states)
    if request.client != "127.0.0.1":
        words += ("--from", request.client)
    if request.entry_point:
        words += ("--entry-point", wire(request.entry_point))
    return shell(words)


def states_said(states: States) -> list[str]:
    """The words of `parse` for states of servers."""
    return [
        word
        for status, service, index in states
        for word in (f"--{status.value}", wire(service if index is None else f"{service}/{index + 1}"))
    ]


def _url_host(request: Request) -> str:
    """The host of the URL: the one of the request where a URL can hold it and the TLS hello says the same, else what the hello says."""
    if _PLAIN_HOST.fullmatch(request.host) is not None and (not request.sni or hello_of(request.host) == request.sni):
        return request.host.removesuffix(":443" if request.tls else ":80")  # which curl leaves out of Host
    return request.sni or ("127.0.0.1" if request.tls else "localhost")


def hello_of(host: str) -> str:
    """The server name that a client says which asks for a host."""
    return server_name(urlsplit(f"https://{host}").hostname or "")


_QUERY_SAFE = "!\"$%&'()*+,-./:;<=>?@[\\]^_`{|}~"

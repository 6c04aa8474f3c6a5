r"""A request as a curl line: read from one, and written as one that can be pasted into a shell.

Read is what curl takes (`curl -b canary=v2 https://shop.example/cart -H 'X-A: b'`), or the shorter `GET https://shop.example/cart`, and
beside it what curl does not know: `--bound COOKIE=WHAT` (a service of a split, or a server's key), `--down SERVICE` or
`--down SERVICE/2` (servers count from 1), `--draining` likewise, `--entry-point NAME`, `--from ADDRESS`.
Headers that curl adds by itself (User-Agent, Accept) are no part of the request.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from pinfeather.model.decide import Request, State, Status, normal_path
from pinfeather.model.document import Document
from pinfeather.model.services import LoadBalancer

States = tuple[tuple[Status, str, int | None], ...]
"""Status, service, and which of its servers (from 0; None: all)."""


class Asked(NamedTuple):
    """What a line asks for."""

    request: Request
    """Its entry point is empty where the line names none."""
    port: int | None
    """Where the URL says one."""
    states: States


class LineError(ValueError):
    """A line that is no request; the message says what is wrong with it and what to do."""


# Reading ----------------------------------------------------------------------------------------------------------------

_SILENT = re.compile(r"-[isSvkLfgN046]+")  # single letters, which may stand together
_SILENT_LONG = frozenset(
    {
        "--include", "--silent", "--show-error", "--verbose", "--insecure", "--location", "--fail", "--globoff", "--no-buffer",
        "--compressed", "--path-as-is", "--http1.1",
    }
)  # fmt: skip
_IGNORED = frozenset(
    {"-o", "-w", "-m", "--output", "--write-out", "--max-time", "--connect-timeout", "--resolve", "--connect-to", "--cacert"}
)
_METHODS = re.compile(r"[A-Z]+")


class _Line:
    """What the words say, one after another."""

    def __init__(self) -> None:
        self.method = ""
        self.url = ""
        self.headers: list[tuple[str, str]] = []
        self.host: str | None = None
        self.data: list[str] = []
        self.as_query = False
        self.bindings: dict[str, str] = {}
        self.states: list[tuple[Status, str, int | None]] = []
        self.entry_point = ""
        self.client = "127.0.0.1"

    def header(self, text: str) -> None:
        name, colon, value = text.partition(":")
        if not colon:
            name, semicolon, rest = text.partition(";")
            if not semicolon or rest.strip():
                raise LineError(f"the header {text!r} has no colon")
            self.headers.append((name.strip().lower(), ""))  # curl's way to send an empty one
        elif name.strip().lower() == "host":
            self.host = _text(value.strip())
        elif value.strip():
            self.headers.append((name.strip().lower(), value.strip(" \t")))

    def cookie(self, text: str) -> None:
        if "=" not in text:
            raise LineError(f"-b {text}: a file of cookies is not read; write NAME=VALUE")
        self.headers.append(("cookie", text))

    def user(self, text: str) -> None:
        self.headers.append(("authorization", "Basic " + base64.b64encode(text.encode("latin-1")).decode("ascii")))

    def bound(self, text: str) -> None:
        cookie, equals, what = text.partition("=")
        if not equals or not cookie:
            raise LineError(f"--bound {text}: write it as COOKIE=WHAT")
        self.bindings[_text(cookie)] = _text(what)

    def state(self, status: Status, text: str) -> None:
        text = _text(text)
        service, slash, number = text.rpartition("/")
        if slash and not number.isdigit():
            raise LineError(f"--{status.value} {text}: write it as SERVICE or SERVICE/NUMBER")
        self.states.append((status, service, int(number) - 1) if slash else (status, text, None))


def _set(name: str) -> Callable[[_Line, str], None]:
    return lambda line, value: setattr(line, name, _text(value))


_OPTIONS: Mapping[str, Callable[[_Line, str], None]] = {
    "-H": _Line.header,
    "-b": _Line.cookie,
    "-X": _set("method"),
    "-u": _Line.user,
    "-A": lambda line, value: line.headers.append(("user-agent", value)),
    "-e": lambda line, value: line.headers.append(("referer", value)),
    "-d": lambda line, value: line.data.append(value),
    "--url": _set("url"),
    "--bound": _Line.bound,
    "--down": lambda line, value: line.state(Status.DOWN, value),
    "--draining": lambda line, value: line.state(Status.DRAINING, value),
    "--entry-point": _set("entry_point"),
    "--from": _set("client"),
}
_LONG = {
    "--header": "-H", "--cookie": "-b", "--request": "-X", "--user": "-u", "--data": "-d", "--data-raw": "-d",
    "--data-binary": "-d", "--data-urlencode": "-d", "--json": "-d", "--user-agent": "-A", "--referer": "-e", "--head": "-I", "--get": "-G",
}  # fmt: skip


def parse(line: str) -> Asked:
    """The request that a line asks for. Raises LineError."""
    words = _words(line)
    if words[:1] == ["curl"]:
        words.pop(0)
    found = _Line()
    if words and _METHODS.fullmatch(words[0]):
        found.method = words.pop(0)
    while words:
        _take(found, words)
    return _asked(found, line)


def _take(found: _Line, words: list[str]) -> None:
    """Take one option with its value, or the URL, off the words."""
    word = words.pop(0)
    flag, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
    flag = _LONG.get(flag, flag)
    if len(word) > 2 and word[:2] in _OPTIONS and not word.startswith("--"):
        flag, equals, value = word[:2], "=", word[2:]
    if flag in _OPTIONS or flag in _IGNORED:
        if not equals and not words:
            raise LineError(f"{flag} stands at the end without its value")
        value = value if equals else words.pop(0)
        if flag in _OPTIONS:
            _OPTIONS[flag](found, value)
    elif flag == "-I" or (flag.endswith("I") and _SILENT.fullmatch(flag[:-1])):
        found.method = found.method or "HEAD"
    elif flag == "-G":
        found.as_query = True
    elif word.startswith("-"):
        if flag not in _SILENT_LONG and not _SILENT.fullmatch(flag):
            raise LineError(f"the option {word} is not known here; leave it out")
    elif found.url:
        raise LineError(f"two URLs: {found.url} and {word}; ask for one at a time")
    else:
        found.url = _text(word)


def _asked(found: _Line, line: str) -> Asked:
    if not found.url:
        raise LineError(f"{line!r} has no URL")
    try:
        url = urlsplit(found.url if "://" in found.url else f"http://{found.url}")
        port = url.port
    except ValueError as error:
        raise LineError(f"{found.url} is no URL: {error}") from None
    if url.scheme not in ("http", "https") or not url.netloc:
        raise LineError(f"{found.url} is no URL that a proxy is asked for: write http://host/path or https://host/path")
    query = "&".join((*((url.query,) if url.query else ()), *found.data)) if found.as_query else url.query
    tls = url.scheme == "https"
    request = Request(
        host=found.host if found.host is not None else url.netloc.rpartition("@")[2],
        path=normal_path(url.path or "/"),
        method=found.method or ("POST" if found.data and not found.as_query else "GET"),
        headers=tuple(found.headers),
        query=query,
        entry_point=found.entry_point,
        tls=tls,
        sni=(url.hostname or "") if tls else "",
        client=found.client,
        bindings=found.bindings,
    )
    return Asked(request, port, tuple(found.states))


def state_of(document: Document, states: States) -> State:
    """The state of every service that a line speaks of. Raises LineError for a service or a server that is not there."""
    servers: dict[str, list[Status]] = {}
    for status, name, index in states:
        service = document.services.get(name)
        if not isinstance(service, LoadBalancer):
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
    ports = {name: point if isinstance(point, int) else getattr(point, "port", None) for name, point in document.entry_points.items()}
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


# Writing ----------------------------------------------------------------------------------------------------------------

_PLAIN_HOST = re.compile(r"[A-Za-z0-9._-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?")
_SAFE = re.compile(r"[A-Za-z0-9@%+=:,./_-]+")
_GLOB = re.compile(r"[\[\]{}]")


def line(request: Request) -> str:
    """The curl line that sends a request. What curl cannot say stands behind, in the words of `parse`: bindings, the client's
    address, the entry point.
    """
    words = ["curl"]
    if request.method == "HEAD":
        words.append("-I")
    elif request.method != "GET":
        words += ("-X", request.method)
    plain = _PLAIN_HOST.fullmatch(request.host) is not None
    query = f"?{quote(request.query, safe=_QUERY_SAFE)}" if request.query else ""
    url = f"{'https' if request.tls else 'http'}://{request.host if plain else 'localhost'}{request.path}{query}"
    if _GLOB.search(url):
        words.append("-g")
    if not plain:
        words += ("-H", _wire(f"Host: {request.host}"))
    for name, value in request.headers:
        if name == "cookie" and "=" in value:
            words += ("-b", value)
        else:
            words += ("-H", f"{name}: {value}" if value else f"{name};")
    words.append(_wire(url))
    for cookie, what in request.bindings.items():
        words += ("--bound", _wire(f"{cookie}={what}"))
    if request.client != "127.0.0.1":
        words += ("--from", request.client)
    if request.entry_point:
        words += ("--entry-point", _wire(request.entry_point))
    return " ".join(map(_quoted, words))


_QUERY_SAFE = "!\"$%&'()*+,-./:;<=>?@[\\]^_`{|}~"


def _wire(text: str) -> str:
    """A text as the wire has it: one character a byte."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


def _text(wire: str) -> str:
    return wire.encode("latin-1").decode("utf-8", "surrogateescape")


def _quoted(wire: str) -> str:
    if _SAFE.fullmatch(wire):
        return wire
    if wire.isascii() and wire.isprintable():
        return "'" + wire.replace("'", "'\\''") + "'"
    return "$'" + "".join(map(_escaped, wire)) + "'"


def _escaped(character: str) -> str:
    if character in "\\'":
        return f"\\{character}"
    return character if character.isascii() and character.isprintable() else f"\\x{ord(character):02x}"


# Words of a shell: plain, 'as it is', "with \\ before $ ` \" \\", and $'with \x41'. Nothing is executed or expanded.
_WORDS = re.compile(
    r"""(?P<space>\s+)|(?P<joined>\\\n)|\$'(?P<ansi>(?:[^'\\]|\\.)*)'|'(?P<single>[^']*)'|"(?P<double>(?:[^"\\]|\\.)*)\"|\\(?P<one>.)|(?P<plain>[^\s'"\\]+)""",
    re.DOTALL,
)
_ANSI = re.compile(r"\\(?:x([0-9A-Fa-f]{1,2})|(.))", re.DOTALL)
_CONTROL = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "e": "\x1b"}
_DOUBLE = re.compile(r"\\([$`\"\\]|\n)")


def _words(line: str) -> list[str]:
    """The words of a line, as the wire has them. Raises LineError for a quote without its end."""
    words: list[str] = []
    open_word = False
    at = 0
    while at < len(line):
        found = _WORDS.match(line, at)
        if found is None:
            raise LineError(f"the quote at column {at + 1} has no end")
        at = found.end()
        kind, text = found.lastgroup, found[found.lastgroup or 0]
        if kind in ("space", "joined"):
            open_word = open_word and kind == "joined"
            continue
        if kind == "ansi":
            part = _ANSI.sub(lambda it: chr(int(it[1], 16)) if it[1] else _CONTROL.get(it[2], it[2]), _wire(text))
        elif kind == "double":
            part = _wire(_DOUBLE.sub(lambda it: "" if it[1] == "\n" else it[1], text))
        else:
            part = _wire(text)
        if open_word:
            words[-1] += part
        else:
            words.append(part)
        open_word = True
    return words

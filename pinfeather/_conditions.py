"""Conditions in words: what a route asks for that a request does not have, and what the request has instead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pinfeather.model.decide_tcp import Connection
from pinfeather.model.diagnostics import Path
from pinfeather.model.document import Document
from pinfeather.model.match import (
    AllOf,
    Alpn,
    AnyOf,
    ClientIP,
    Cookie,
    Header,
    Host,
    HostRegex,
    Match,
    Method,
    Not,
    PathIs,
    PathMatch,
    Query,
    ServerNameIs,
    ServerNameRegex,
    ValueMatch,
)
from pinfeather.model.noun import Noun
from pinfeather.model.request import Request, cookie_pairs, header_text, matched_path, query_pairs
from pinfeather.model.routes import Route, TcpRoute, Tls

_MOST = 3
"""Names or choices that are said; the others are counted."""


class Failed(NamedTuple):
    """A condition that does not hold."""

    part: str
    """What it is about: `hosts`, `path`, `entry_points`, `tls`, `order`, a leaf such as `header`, `any` or `not`."""
    said: str


def failed(document: Document, path: Path, asked: Request | Connection) -> Failed:
    """The condition at a path that `trace` or `trace_tcp` gave, and what the request has instead."""
    part = str(path[-1])
    noun, value = _at(document, path)
    if isinstance(noun, Route | TcpRoute) and part in _OF_A_ROUTE:
        return Failed("hosts" if part == "sni" else part, _of_a_route(part, value, asked))
    assert isinstance(noun, _MATCHES)
    kind = "hosts" if isinstance(noun, Host | HostRegex | ServerNameIs | ServerNameRegex) else "path" if isinstance(noun, PathIs) else part
    if isinstance(noun, Not):
        return Failed(kind, f"it asks for a request without {words(noun.none)}; this one has it")
    has = "" if isinstance(noun, AnyOf | AllOf) else _has(noun, asked)
    return Failed(kind, f"it asks for {words(noun)}{'; ' if has else ''}{has}")


_OF_A_ROUTE = ("entry_points", "tls", "hosts", "path", "order", "sni")
_MATCHES = (AllOf, AnyOf, Not, Host, HostRegex, PathIs, Method, Header, Cookie, Query, ClientIP, ServerNameIs, ServerNameRegex, Alpn)


def _at(document: Document, path: Path) -> tuple[object, object]:
    """What holds the value at a path, and the value."""
    holder: object = document
    value: object = document
    for part in path:
        holder = value
        if isinstance(part, int):
            assert isinstance(value, tuple)
            value = value[part]
        else:
            assert isinstance(value, Noun)
            value = getattr(value, "none" if part == "not" else part)
    return holder, value


def _of_a_route(part: str, value: object, asked: Request | Connection) -> str:
    if part == "order":
        return "who is bound to a variant is asked before it"
    if part == "tls":
        assert isinstance(value, Tls)
        wanted = value.terminate or bool(value.passthrough)
        return "it is for TLS, and this is none" if wanted else "it is for what comes without TLS"
    if part == "path":
        assert isinstance(value, PathMatch)
        return f"it is for {_path(value)}"
    assert isinstance(value, tuple)
    names = _listed([str(name) for name in value])
    if part == "entry_points":
        return f"it is on the entry point {names}, and this comes in at {asked.entry_point or 'none that is named'}"
    return f"it is for the {'server name' if part == 'sni' else 'host'} {names}"


def _listed(parts: Sequence[str], joint: str = " or ") -> str:
    more = len(parts) - _MOST
    if more > 1:
        parts = [*parts[:_MOST], f"{more} more"]
    return joint.join(parts)


def words(match: Match) -> str:
    """A condition as what follows "a request with"."""
    match match:
        case AllOf():
            return _listed([_inner(part) for part in match.all], " and ")
        case AnyOf():
            return _listed([_inner(part) for part in match.any])
        case Not():
            return f"not {_inner(match.none)}"
        case Header():
            return _value("header", match.header, ": ")
        case Cookie():
            return _value("cookie", match.cookie, "=")
        case Query():
            return _value("parameter", match.query, "=")
        case _:
            return _plain(match)


def _plain(leaf: Host | HostRegex | PathIs | Method | ClientIP | ServerNameIs | ServerNameRegex | Alpn) -> str:
    match leaf:
        case Host():
            return f"the host {leaf.host}"
        case HostRegex():
            return f"a host in which {leaf.host_regex} is found"
        case PathIs():
            return _path(leaf.path)
        case Method():
            return f"the method {leaf.method}"
        case ClientIP():
            return f"a client {'in' if '/' in leaf.client_ip else 'at'} {leaf.client_ip}"
        case ServerNameIs():
            return f"the server name {leaf.sni}"
        case ServerNameRegex():
            return f"a server name in which {leaf.sni_regex} is found"
        case Alpn():
            return f"the protocol {leaf.alpn}"


def _inner(match: Match) -> str:
    return f"({words(match)})" if isinstance(match, AllOf | AnyOf) else words(match)


def _path(path: PathMatch) -> str:
    if path.exact is not None:
        return f"the path {path.exact}"
    return f"paths that begin with {path.prefix}" if path.prefix is not None else f"a path in which {path.regex} is found"


def _value(kind: str, value: ValueMatch, joint: str) -> str:
    if value.regex is not None:
        return f"a {kind} {value.name} in which {value.regex} is found"
    return f"the {kind} {value.name}{joint}{value.value}"


def _has(match: Match, asked: Request | Connection) -> str:
    """What the request has in the place of what is asked for; empty where its first line says it."""
    if isinstance(asked, Connection):
        offers = isinstance(match, Alpn)
        return (f"this one offers {', '.join(asked.alpn)}" if asked.alpn else "this one offers none") if offers else _client(match, asked)
    match match:
        case Header():
            name = match.header.name.lower()
            if name == "host":
                return "no header of that name is ever seen: a host has a condition of its own"
            return _had([header_text(value) for key, value in asked.headers if key == name])
        case Cookie():
            return _had([value for key, value in cookie_pairs(asked.headers) if key == match.cookie.name])
        case Query():
            return _had([value for key, value in query_pairs(asked.query) if key == match.query.name])
        case PathIs():
            return f"this one is held against it as {matched_path(asked.path)}" if "%" in asked.path else ""
        case _:
            return _client(match, asked)


def _client(match: Match, asked: Request | Connection) -> str:
    return f"this one is at {asked.client}" if isinstance(match, ClientIP) else ""


def _had(values: Sequence[str]) -> str:
    return f"this request has {_listed(values, ' and ')}" if values else "this request has none"

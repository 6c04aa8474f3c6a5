"""A request or a connection as JSON: what `--request` takes, and what the answer of `explain --report json` repeats of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TypeVar

from pinfeather import _connection, _curl
from pinfeather._shell import LineError
from pinfeather.model.decide import Request, Status, normal_path
from pinfeather.model.decide_tcp import Connection
from pinfeather.model.request import affinity, header_text

_BOTH = frozenset({"curl", "entry_point", "tls", "sni", "client", "bindings", "down", "draining"})
_HTTP = frozenset({"method", "host", "path", "query", "headers"}) | _BOTH
_TCP = frozenset({"port", "alpn", "line"}) | _BOTH - {"curl"}
T = TypeVar("T")


def read(text: str) -> _curl.Asked | _connection.AskedConnection:
    """The request of an object with a `host`, or the connection of one with a `sni` or a `port`. Raises LineError."""
    try:
        tree = json.loads(text)
        json.dumps(tree, ensure_ascii=False).encode("utf-8", "surrogateescape")  # half of a character is no text
    except (ValueError, RecursionError) as problem:
        raise LineError(f"--request is no JSON: {problem}") from None
    if not isinstance(tree, dict):
        raise LineError("--request is a JSON object")
    tcp = "host" not in tree and not {"sni", "port"}.isdisjoint(tree)
    if not tcp and "host" not in tree:
        raise LineError('--request has a "host"; or, for TCP, a "sni" or a "port"')
    known = _TCP if tcp else _HTTP
    unknown = sorted(set(tree) - known)
    if unknown:
        raise LineError(f"--request: {unknown[0]!r} is not known; known are {', '.join(sorted(known))}")
    return _tcp(tree) if tcp else _http(tree)


def _http(tree: Mapping[str, object]) -> _curl.Asked:
    tls = _of(tree, "tls", bool, False)
    host = _of(tree, "host", str, "")
    request = Request(
        host=host,
        path=normal_path(_of(tree, "path", str, "/")),
        method=_of(tree, "method", str, "GET"),
        headers=tuple((name.lower(), _wire(value)) for name, value in _pairs(tree, "headers")),
        query=_of(tree, "query", str, ""),
        entry_point=_of(tree, "entry_point", str, ""),
        tls=tls,
        sni=_of(tree, "sni", str, _curl.hello_of(host) if tls else ""),
        client=_of(tree, "client", str, "127.0.0.1"),
        bindings=dict(_pairs(tree, "bindings")),
    )
    return _curl.Asked(request, None, _states(tree))


def _tcp(tree: Mapping[str, object]) -> _connection.AskedConnection:
    sni = _of(tree, "sni", str, "")
    connection = Connection(
        entry_point=_of(tree, "entry_point", str, ""),
        tls=_of(tree, "tls", bool, bool(sni)),
        sni=sni or None,
        alpn=tuple(_texts(tree, "alpn")),
        client=_of(tree, "client", str, "127.0.0.1"),
        bindings={affinity(name): what for name, what in _pairs(tree, "bindings")},
    )
    port = _of(tree, "port", int, 0)
    return _connection.AskedConnection(connection, port or None, _states(tree))


_WORDS: Mapping[type, str] = {str: "a text", bool: "true or false", int: "a number"}


def _of(tree: Mapping[str, object], key: str, kind: type[T], default: T) -> T:
    value = tree.get(key, default)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise LineError(f"--request: {key!r} is {_WORDS[kind]}, not {json.dumps(value)}")
    return value


def _texts(tree: Mapping[str, object], key: str) -> list[str]:
    values = tree.get(key, [])
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise LineError(f"--request: {key!r} is a list of texts")
    return values


def _pairs(tree: Mapping[str, object], key: str) -> list[tuple[str, str]]:
    values = tree.get(key, {})
    items = list(values.items()) if isinstance(values, dict) else values
    if not isinstance(items, list) or not all(isinstance(pair, list | tuple) and list(map(type, pair)) == [str, str] for pair in items):
        raise LineError(f"--request: {key!r} is an object of texts, or a list of pairs of texts")
    return [(name, value) for name, value in items]


def _states(tree: Mapping[str, object]) -> _curl.States:
    line = _curl.Line()
    for status in (Status.DOWN, Status.DRAINING):
        for text in _texts(tree, status.value):
            line.state(status, _wire(text))
    return tuple(line.states)


def _wire(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


def written(asked: Request | Connection, states: _curl.States = ()) -> dict[str, object]:
    """The object that `read` reads as the same, with the line for people beside it."""
    found = {
        status.value: [service if index is None else f"{service}/{index + 1}" for of, service, index in states if of is status]
        for status in (Status.DOWN, Status.DRAINING)
    }
    said = {word: servers for word, servers in found.items() if servers}
    if isinstance(asked, Connection):
        return {
            "line": _connection.line(asked, None, states), "sni": asked.sni or "", "tls": asked.tls, "alpn": list(asked.alpn),
            "entry_point": asked.entry_point, "client": asked.client,
            "bindings": {name.removeprefix(affinity("")): what for name, what in asked.bindings.items()}, **said,
        }  # fmt: skip
    return {
        "curl": _curl.line(asked, states), "method": asked.method, "host": asked.host, "path": asked.path, "query": asked.query,
        "headers": [[name, header_text(value)] for name, value in asked.headers], "entry_point": asked.entry_point, "tls": asked.tls,
        "sni": asked.sni, "client": asked.client, "bindings": dict(asked.bindings), **said,
    }  # fmt: skip

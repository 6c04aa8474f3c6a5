"""A TCP connection as a line: `tls://db.example.com:5432 --alpn h2 --from 10.0.0.1`, or `tcp://:5432` for one without TLS.

The name of a `tls://` URL is what the TLS hello says; `tls://:5432` says none. The further words are those of `_curl.py`;
`--bound SERVICE=ADDRESS` says which server the client's address is bound to.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlsplit

from pinfeather import _curl
from pinfeather._shell import LineError, shell, wire
from pinfeather.model.decide_tcp import Connection
from pinfeather.model.document import Document
from pinfeather.model.request import affinity

SCHEMES = ("tcp", "tls")
_AFFINITY = affinity("")


class AskedConnection(NamedTuple):
    """What a line asks for."""

    connection: Connection
    """Its entry point is empty where the line names none."""
    port: int | None
    states: _curl.States


def is_one(line: str) -> bool:
    """Whether a line asks for a connection, not for a request."""
    return any(word.startswith(tuple(f"{scheme}://" for scheme in SCHEMES)) for word in line.split())


def named(text: str) -> str:
    """The line of `--tcp SNI[:PORT]`: a name is said in a TLS hello, a port alone is asked without TLS."""
    if "://" in text:
        return text
    return f"tcp://{text}" if text.startswith(":") or text.isdigit() else f"tls://{text}"


def parse(line: str) -> AskedConnection:
    """The connection that a line asks for. Raises LineError."""
    found = _curl.read(line)
    try:
        url = urlsplit(found.url)
        port = url.port
    except ValueError as error:
        raise LineError(f"{found.url} names no connection: {error}") from None
    if url.scheme not in SCHEMES or url.path not in ("", "/") or url.query:
        raise LineError(f"{found.url} names no connection: write tls://NAME:PORT, or tcp://:PORT without TLS")
    if found.headers or found.method or found.data:
        raise LineError("a TCP connection has no headers, method or body: ask for an http:// or https:// URL")
    tls = url.scheme == "tls"
    connection = Connection(
        entry_point=found.entry_point,
        tls=tls,
        sni=(_curl.server_name(url.hostname or "") or None) if tls else None,
        alpn=found.alpn if tls else (),
        client=found.client,
        bindings={affinity(name): what for name, what in found.bindings.items()},
    )
    return AskedConnection(connection, port, tuple(found.states))


def entry_point(asked: AskedConnection, document: Document) -> str:
    """Through which entry point it comes in: the one it names; else the one of its port; else the only one that TCP routes use; else
    the only one there is. Raises LineError where that is not clear.
    """
    if asked.connection.entry_point:
        return asked.connection.entry_point
    ports = _curl.ports_of(document)
    of_port = [name for name, port in ports.items() if port == asked.port]
    used = list(dict.fromkeys(name for route in document.tcp_routes for name in route.entry_points))
    for found in (of_port, used, list(ports)):
        if len(found) == 1:
            return found[0]
    if used and not any(not route.entry_points for route in document.tcp_routes):
        raise LineError(f"say through which entry point it comes in: --entry-point {', or '.join(used)}")
    return ""


def line(connection: Connection, port: int | None = None, states: _curl.States = ()) -> str:
    """The line that `parse` reads as the same connection."""
    name = (connection.sni or "") if connection.tls else ""
    words = [f"{'tls' if connection.tls else 'tcp'}://{name}{'' if port is None else f':{port}'}"]
    if connection.alpn:
        words += ("--alpn", ",".join(connection.alpn))
    for key, what in connection.bindings.items():
        words += ("--bound", wire(f"{key.removeprefix(_AFFINITY)}={what}"))
    words += _curl.states_said(states)
    if connection.client != "127.0.0.1":
        words += ("--from", connection.client)
    if connection.entry_point:
        words += ("--entry-point", wire(connection.entry_point))
    return shell(words)

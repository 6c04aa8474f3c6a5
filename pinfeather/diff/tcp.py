"""TCP routes of both sides: every entry point with every server name that tells any two routes apart."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import product
from typing import NamedTuple

from pinfeather.diff.candidates import NOWHERE, OTHER, addresses
from pinfeather.diff.regexes import members, near_misses
from pinfeather.diff.sides import STATE, content, terms
from pinfeather.model.decide import Decision
from pinfeather.model.decide_tcp import Connection, TcpTable, outcomes_tcp
from pinfeather.model.document import Document
from pinfeather.model.match import Alpn, ClientIP, Leaf, ServerNameIs, ServerNameRegex, leaves
from pinfeather.model.services import TcpLoadBalancer

Ends = tuple[tuple[str, Fraction], ...]
"""Server, or what comes of none, and its share."""


class TcpFound(NamedTuple):
    """A connection that ends elsewhere. Routes by index; None: nobody takes it."""

    connection: Connection
    before: tuple[str | None, Ends]
    after: tuple[str | None, Ends]


def tcp_found(before: Document, after: Document) -> Iterator[TcpFound]:
    """One connection of each kind that differs: between the same routes, and the same ends, the first."""
    if not before.tcp_routes and not after.tcp_routes:
        return
    tables = TcpTable.of(before), TcpTable.of(after)
    seen = set()
    for connection in _connections(before, after):
        one, other = (_ends(table, connection) for table in tables)
        if one[1] == other[1] or (one, other) in seen:
            continue
        seen.add((one, other))
        yield TcpFound(connection, one, other)


def _ends(table: TcpTable, connection: Connection) -> tuple[str | None, Ends]:
    shares: dict[str, Fraction] = {}
    route = None
    for low, high, decision in outcomes_tcp(table, connection, STATE).parts:
        route = decision.route
        end = decision.server_key or (decision.service or "" if decision.reason == "external" else "nobody")
        end += "".join(f", {said}" for said in _said(table.document, decision)) if decision.server_key else ""
        shares[end] = shares.get(end, Fraction(0)) + high - low
    return route, tuple(sorted(shares.items()))


def _said(document: Document, decision: Decision) -> Iterator[str]:
    """What a connection passes on its way to a server, and how the server is spoken to."""
    route = next(each for each in document.tcp_routes if each.name == decision.route)
    for name in route.middlewares:
        held = document.tcp_middlewares.get(name)
        yield f"through {content(held)}" if held is not None else f"through other {name}"
    if route.tls is not None:
        yield "TLS passed through" if route.tls.passthrough else "TLS ended" if route.tls.terminate else "no TLS"
        yield from terms(document, route.tls)
    service = document.tcp_services.get(decision.service or "")
    if not isinstance(service, TcpLoadBalancer):
        return
    if service.sticky is not None:
        yield "the same for each client's address"
    for server in service.servers:
        if server.key == decision.server_key and server.tls:
            yield "with TLS to the server"
    if service.proxy_protocol is not None:
        yield f"with the PROXY protocol {service.proxy_protocol}"


def _connections(before: Document, after: Document) -> Iterator[Connection]:
    routes = (*before.tcp_routes, *after.tcp_routes)
    asked: list[Leaf] = [leaf for route in routes if route.match is not None for leaf in leaves(route.match)]
    points = dict.fromkeys((*(point for route in routes for point in route.entry_points), *before.entry_points, *after.entry_points, OTHER))
    names: dict[str, None] = {NOWHERE: None}
    for name in (*(name for route in routes for name in route.sni), *(leaf.sni for leaf in asked if isinstance(leaf, ServerNameIs))):
        if name.startswith("*."):
            names |= dict.fromkeys(f"{label}{name[1:]}" for label in ("any", "x0q7"))
        elif name != "*":
            names[name] = None
    for leaf in asked:
        if isinstance(leaf, ServerNameRegex):
            names |= dict.fromkeys(text for text in (*members(leaf.sni_regex), *near_misses(leaf.sni_regex)) if text)
    offered_ = tuple(dict.fromkeys(leaf.alpn for leaf in asked if isinstance(leaf, Alpn)))
    protocols = [(), *((one,) for one in offered_), *([offered_] if len(offered_) > 1 else [])]
    clients = (
        list(addresses(leaf.client_ip for leaf in asked if isinstance(leaf, ClientIP)))
        if any(isinstance(leaf, ClientIP) for leaf in asked)
        else ["127.0.0.1"]
    )
    for point, client in product(points, clients):
        yield Connection(point, client=client)
        for name, offered in product(names, protocols):
            yield Connection(point, True, name, offered, client)

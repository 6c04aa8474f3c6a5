"""What a document means for TCP: the ladder of `decide.py` without cookies.

A connection is known by its entry point, its client's address and what its TLS hello says. A service that is sticky by
source address has the client's server in `bindings`, filled by whoever keeps that table. `State` is of the TCP services.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from pinfeather.model.balance import Elsewhere, Node, fork, pool
from pinfeather.model.conditions import compiled, host_is, network
from pinfeather.model.decide import DRAWS, NO_ROUTE, NOWHERE, Decision, Outcomes, follow, spread
from pinfeather.model.document import Document
from pinfeather.model.index import Entry, Index
from pinfeather.model.match import Alpn, ClientIP, Leaf, ServerNameIs, ServerNameRegex
from pinfeather.model.normal import Rung, tcp_lifted, tcp_precedence
from pinfeather.model.noun import compile_regex, external
from pinfeather.model.request import Address, State, client_address, undotted
from pinfeather.model.routes import TcpRoute, Tls
from pinfeather.model.services import TcpService, TcpSplit
from pinfeather.model.table import Way, node, refuse_templates


@dataclass(frozen=True, slots=True)
class Connection:
    """One TCP connection as it reached an entry point."""

    entry_point: str = ""
    tls: bool = False
    """Whether it begins with a TLS hello."""
    sni: str | None = None
    """The server name of the hello."""
    alpn: tuple[str, ...] = ()
    """The protocols that the hello offers."""
    client: str = "127.0.0.1"
    bindings: Mapping[str, str] = field(default_factory=dict)
    """`affinity(service)` -> the key of the server that the client's address is bound to."""


class AskedTcp:
    """A connection while it is held against conditions."""

    __slots__ = ("address", "connection", "name", "path")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.name = undotted((connection.sni or "").lower())
        self.path = ""
        self.address: Address | None = client_address(connection.client)


_Test = Callable[[AskedTcp], bool]


@dataclass(frozen=True, slots=True)
class TcpTable:
    """The TCP half of a document, prepared. Never changes."""

    document: Document
    nodes: Mapping[str, Node] = field(repr=False)
    _index: Index[AskedTcp, Way] = field(repr=False)

    @classmethod
    def of(cls, document: Document) -> TcpTable:
        """Raises UndecidedError, a ValueError, where a template stands in the document."""
        refuse_templates(document)
        nodes = _nodes(document.tcp_services)
        order = tcp_precedence(document.tcp_routes)
        entries = (_entry(document.tcp_routes[index], index, position, nodes) for position, index in enumerate(order))
        return cls(document, nodes, Index.of(entries))

    def first(self, connection: Connection) -> Way | None:
        """The route of highest precedence that holds."""
        return self._index.first(AskedTcp(connection))


def decide_tcp(table: TcpTable, connection: Connection, state: State, draw: int) -> Decision:
    """200: connect to the server; 404 and 503: close. Raises ValueError for a draw outside of [0, 2**64)."""
    if not 0 <= draw < DRAWS:
        raise ValueError(f"the draw {draw} is not in [0, 2**64)")
    way = table.first(connection)
    return NO_ROUTE if way is None else follow(way, connection.bindings, state, draw)


def outcomes_tcp(table: TcpTable, connection: Connection, state: State) -> Outcomes:
    """What each draw leads to, as exact fractions."""
    way = table.first(connection)
    return NOWHERE if way is None else spread(way, connection.bindings, state)


def _nodes(services: Mapping[str, TcpService]) -> dict[str, Node]:
    nodes: dict[str, Node] = {}

    def made(name: str) -> Node:
        if external(name):
            return Elsewhere(name)
        if name not in nodes:
            service = services[name]
            nodes[name] = (
                fork(service.split, [made(entry.to) for entry in service.split])
                if isinstance(service, TcpSplit)
                else pool(name, [(server.key, 1) for server in service.servers], service.sticky)
            )
        return nodes[name]

    for name in services:
        made(name)
    return nodes


def _entry(route: TcpRoute, index: int, position: int, nodes: Mapping[str, Node]) -> Entry[AskedTcp, Way]:
    form = tcp_lifted(route)
    tests = list(_edge_tests(route))
    if form.match is not None:
        tests.append(compiled(form.match, tcp_leaf))
    to = fork(route.split, [node(entry.to, nodes) for entry in route.split]) if route.split else node(str(route.to), nodes)
    way = Way(Rung(index, None), route.name, route.middlewares, to)
    return Entry(position, form.sni, None, None, tuple(tests), ((None, way),))


def _edge_tests(route: TcpRoute) -> Iterator[_Test]:
    if route.entry_points:
        points = frozenset(route.entry_points)
        yield lambda asked: asked.connection.entry_point in points
    if (tls := route.tls) is not None:
        wanted = speaks_tls(tls)
        yield lambda asked: asked.connection.tls is wanted


def speaks_tls(tls: Tls) -> bool:
    """TLS that passes through is TLS too, though nobody here ends it."""
    return tls.terminate or bool(tls.passthrough)


def tcp_leaf(leaf: Leaf) -> _Test:
    """One condition of a TCP route, made ready."""
    match leaf:
        case ServerNameIs():
            return host_is(leaf.sni)
        case ServerNameRegex():
            search = compile_regex(leaf.sni_regex)
            return lambda asked: asked.connection.sni is not None and bool(search(asked.connection.sni.lower()))
        case Alpn():
            protocol = leaf.alpn
            return lambda asked: protocol in asked.connection.alpn
        case ClientIP():
            within = network(leaf.client_ip)
            return lambda asked: within(asked.address)
        case _:
            raise TypeError(f"{type(leaf).__name__} is a condition of HTTP routes")

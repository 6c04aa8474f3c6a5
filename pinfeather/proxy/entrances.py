"""What comes in at an entry point, and where it goes: to a TCP route, or to HTTP, with or without TLS.

The order is Traefik's (3.7.15, tried against the binary): HTTPS for a server name that an HTTP route names, then TCP routes
that name theirs, then HTTPS for any name, then TCP routes that take anything; without TLS, TCP comes before HTTP. Where no
route of an entry point asks for TLS, a connection's first bytes are not waited for: a mail server speaks first.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from pinfeather.model.balance import Pool
from pinfeather.model.conditions import network
from pinfeather.model.decide_tcp import Connection, TcpTable
from pinfeather.model.document import Document, EntryPoint
from pinfeather.model.match import TCP_LEAVES, AllOf, AnyOf, Host, Match, both, leaves
from pinfeather.model.normal import conditions, lift, tcp_lifted
from pinfeather.model.noun import external, seconds
from pinfeather.model.request import Address, Status, affinity, client_address, undotted
from pinfeather.model.routes import Route, TcpRoute
from pinfeather.model.services import TcpLoadBalancer, TcpServer
from pinfeather.proxy.backend import Origin
from pinfeather.proxy.hello import Hello
from pinfeather.proxy.tls import DEFAULT

# What a table of source addresses has where the document does not say: Voyager's own.
_ENTRIES, _LIFETIME = 102_400, 1800.0

_Lists: TypeAlias = tuple[Callable[[Address | None], bool], ...]


class ToHttp(NamedTuple):
    """HTTP is spoken."""

    options: str | None
    """The TLS options on whose terms TLS is ended first; None: there is none."""


class ToTcp(NamedTuple):
    """A TCP route takes the connection."""

    connection: Connection
    options: str | None
    """The TLS options on whose terms TLS is ended first; None: bytes go through as they are."""


@dataclass(frozen=True, slots=True)
class Door:
    """One entry point."""

    looks: bool
    """Whether the first bytes of a connection are waited for."""
    tcp: bool
    """Whether TCP routes may take a connection."""
    tls_only: bool
    """Whether HTTP is spoken over TLS alone."""
    any_name: bool
    """Whether HTTPS is served whatever the server name is."""
    names: Mapping[str, str]
    """Host -> TLS options, of the HTTP routes that name hosts and speak TLS."""
    terms: Mapping[str, str | None]
    """HTTP route -> the TLS options on which it is served; None: not at all, since its own cannot be held here."""

    def options(self, sni: str | None) -> str | None:
        """The TLS options for a server name that some route names."""
        if sni is None:
            return None
        name = undotted(sni)
        return self.names.get(name) or self.names.get("*." + name.partition(".")[2])


class Table(NamedTuple):
    """The table of source addresses that a TCP service has."""

    entries: int
    lifetime: float  # seconds


@dataclass(frozen=True, slots=True)
class TcpTarget:
    """A server of a TCP service."""

    origin: Origin
    proxy_protocol: int | None


@dataclass(frozen=True, slots=True)
class Entrances:
    """Never changed: a reload makes another one."""

    document: Document
    table: TcpTable
    tables: Mapping[str, Table]  # of sticky TCP services
    closed: Mapping[str, str]  # TCP route -> why it takes nobody
    notes: tuple[str, ...]
    _doors: Mapping[str, Door]
    _elsewhere: Door  # of entry points that the document does not name
    _allowed: Mapping[str, tuple[_Lists, ...]] = field(repr=False)  # TCP route -> lists of networks, each to be passed
    _targets: Mapping[str, tuple[TcpTarget | None, ...]] = field(repr=False)

    @classmethod
    def of(cls, document: Document) -> "Entrances":
        """Raises ValueError where a template stands in the document."""
        balancers = {name: service for name, service in document.tcp_services.items() if isinstance(service, TcpLoadBalancer)}
        closed: dict[str, str] = {}
        allowed: dict[str, tuple[_Lists, ...]] = {}
        for route in document.tcp_routes:
            try:
                allowed[route.name] = tuple(_networks(document, name) for name in route.middlewares)
            except _Unfit as why:
                closed[route.name] = str(why)
        names = set(document.entry_points)
        for points in (*(route.entry_points for route in document.routes), *(route.entry_points for route in document.tcp_routes)):
            names.update(points)
        doors = {name: _door(document, name) for name in names}
        elsewhere = _door(document, "")
        notes = [f"TCP route {name!r} is closed: {why}" for name, why in closed.items()]
        notes += [note for name, service in balancers.items() for note in _left_out(name, service)]
        notes += [
            f"TCP route {route.name!r}: {name!r} belongs to another provider, connections to it are closed"
            for route in document.tcp_routes
            for name in route.targets
            if external(name)
        ]
        notes += dict.fromkeys(note for door in (*doors.values(), elsewhere) for note in _terms_notes(document, door))
        return cls(
            document,
            TcpTable.of(document),
            {name: _table(service) for name, service in balancers.items() if service.sticky is not None},
            closed,
            tuple(notes),
            doors,
            elsewhere,
            allowed,
            {name: tuple(_target(server, service) for server in service.servers) for name, service in balancers.items()},
        )

    def door(self, entry_point: str) -> Door:
        """What an entry point takes."""
        return self._doors.get(entry_point, self._elsewhere)

    def way(self, entry_point: str, client: str, hello: Hello | None) -> ToHttp | ToTcp:
        """Where a connection goes. `hello`: its TLS hello, None where it begins with something else, or was not looked at."""
        door = self.door(entry_point)
        connection = Connection(entry_point, client=client)
        if hello is not None:
            connection = Connection(entry_point, True, hello.sni, hello.alpn, client)
        route = self._route(connection) if door.tcp else None
        tcp = None if route is None else ToTcp(connection, self._ends(route))
        if hello is None:
            return tcp or ToHttp(None)
        options = door.options(hello.sni)
        if options is not None or tcp is None:
            return ToHttp(options or DEFAULT)
        assert route is not None
        return ToHttp(DEFAULT) if door.any_name and _takes_anything(route) else tcp

    def admits(self, route: str, client: str) -> bool:
        """Whether a client passes the middlewares of a TCP route."""
        lists = self._allowed.get(route)
        address = client_address(client)
        return lists is not None and all(any(within(address) for within in networks) for networks in lists)

    def target(self, service: str, server: int) -> TcpTarget | None:
        """Where a server of a TCP service listens; None without an address of its own."""
        return self._targets[service][server]

    def all_up(self, service: str) -> tuple[Status, ...]:
        """The statuses of a TCP service of which nothing is known: nobody asks after the health of TCP servers."""
        return (Status.UP,) * len(self._targets[service])

    def alone(self, connection: Connection) -> str | None:
        """The sticky service to which the route of a connection leads without a split between; None: there is none."""
        way = self.table.first(connection)
        return way.to.name if way is not None and isinstance(way.to, Pool) and way.to.bound_by == affinity(way.to.name) else None

    def _route(self, connection: Connection) -> TcpRoute | None:
        way = self.table.first(connection)
        return None if way is None else self.document.tcp_routes[way.rung.route]

    def _ends(self, route: TcpRoute) -> str | None:
        return (route.tls.options or DEFAULT) if route.tls is not None and route.tls.terminate and not route.tls.passthrough else None


# Doors ------------------------------------------------------------------------------------------------------------------


def _door(document: Document, entry_point: str) -> Door:
    point = document.entry_points.get(entry_point)
    tls_only = isinstance(point, EntryPoint) and point.tls is True
    here = [route for route in document.routes if not route.entry_points or entry_point in route.entry_points]
    secure = [route for route in here if (tls_only if route.tls is None else route.tls.terminate)]
    streams = [route for route in document.tcp_routes if not route.entry_points or entry_point in route.entry_points]
    hosts = {route.name: tuple(dict.fromkeys(_hosts(route))) for route in secure}
    names: dict[str, str] = {}
    torn: set[str] = set()
    for route in secure:
        for host in hosts[route.name]:
            if names.setdefault(host, _named(route)) != _named(route):
                torn.add(host)
    names.update(dict.fromkeys(torn, DEFAULT))
    return Door(
        looks=bool(secure) or tls_only or any(map(_wants_hello, streams)),
        tcp=bool(streams),
        tls_only=tls_only,
        any_name=any(not found for found in hosts.values()),
        names=names,
        terms={route.name: _terms(document, route, hosts.get(route.name, ()), torn) for route in here},
    )


def _named(route: Route) -> str:
    return str(route.tls.options or DEFAULT) if route.tls is not None else DEFAULT


def _terms(document: Document, route: Route, hosts: tuple[str, ...], torn: set[str]) -> str | None:
    """Options are chosen by server name: a route without hosts has the default ones, and so have hosts that are asked for with
    different ones (as in Traefik). Where a client's certificate would not be asked for then, the route is shut.
    """
    named = _named(route)
    if named == DEFAULT or (hosts and not torn & set(hosts)):
        return named
    options = document.tls_options.get(named)
    asks = options is None or bool(options.client_auth_ca_files) or options.client_auth_type not in (None, "NoClientCert")
    return None if asks else DEFAULT


def _terms_notes(document: Document, door: Door) -> Iterator[str]:
    for route in document.routes:
        if route.name in door.terms and door.terms[route.name] != (named := _named(route)):
            why = "its hosts are asked for with others too" if any(_hosts(route)) else "it names no host, by which they are chosen"
            then = "it is closed, since they ask for a client's certificate" if door.terms[route.name] is None else "the default ones hold"
            yield f"route {route.name!r}: the TLS options {named!r} cannot be held, {why}: {then}"


def _hosts(route: Route) -> Iterator[str]:
    form = lift(both(conditions(route)))
    for host in form.hosts or tuple(_inner_hosts(form.match)):
        if host != "*":
            yield undotted(host)


def _inner_hosts(match: Match | None) -> Iterator[str]:
    parts = match.all if isinstance(match, AllOf) else match.any if isinstance(match, AnyOf) else ()
    for part in parts:
        yield from _inner_hosts(part)
    if isinstance(match, Host):
        yield match.host


def _wants_hello(route: TcpRoute) -> bool:
    return not _takes_any_name(route) or (route.tls is not None and (route.tls.terminate or bool(route.tls.passthrough)))


def _takes_any_name(route: TcpRoute) -> bool:
    form = tcp_lifted(route)
    return not form.sni and not (form.match is not None and any(isinstance(leaf, TCP_LEAVES) for leaf in leaves(form.match)))


def _takes_anything(route: TcpRoute) -> bool:
    form = tcp_lifted(route)
    return not form.sni and form.match is None


# TCP --------------------------------------------------------------------------------------------------------------------


class _Unfit(Exception):  # noqa: N818 - says what the middleware is
    pass


def _networks(document: Document, name: str) -> _Lists:
    """Whom a middleware of a TCP route lets pass. Raises _Unfit."""
    middleware = document.tcp_middlewares.get(name)
    if middleware is None:
        raise _Unfit(f"middleware {name!r} belongs to another provider")
    allow = middleware.ip_allow_list
    if allow is None:
        raise _Unfit(f"middleware {name!r}: {middleware.kind} is not executed for TCP")
    if allow.depth is not None:
        raise _Unfit(f"middleware {name!r}: `depth` counts addresses of X-Forwarded-For, which TCP has not")
    return tuple(network(str(text)) for text in allow.source_ranges)


def _table(service: TcpLoadBalancer) -> Table:
    assert service.sticky is not None
    found = service.sticky.source_address
    assert found is not None
    return Table(found.size or _ENTRIES, seconds(found.lifetime) if found.lifetime is not None else _LIFETIME)


def _target(server: TcpServer, service: TcpLoadBalancer) -> TcpTarget | None:
    if server.address is None:
        return None
    host, _, port = server.address.rpartition(":")
    return TcpTarget(Origin(host.removeprefix("[").removesuffix("]"), int(port), bool(server.tls), server.address), service.proxy_protocol)


def _left_out(name: str, service: TcpLoadBalancer) -> Iterable[str]:
    """What the service says and this proxy does not do."""
    for server in service.servers:
        if server.address is None:
            yield f"TCP service {name!r}: the server {server.key!r} has no address, connections to it are closed"
    if service.servers_transport is not None:
        yield f"TCP service {name!r}: the servers transport is not executed, TLS to servers is checked by the system's roots"

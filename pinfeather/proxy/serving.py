"""One document made ready to be served: everything that can be known before the first request, worked out once."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from pinfeather.model.decide import Decision, State, Status, Table
from pinfeather.model.document import Document
from pinfeather.model.noun import external
from pinfeather.model.pools import apart
from pinfeather.model.services import LoadBalancer, Server
from pinfeather.proxy.backend import Origin
from pinfeather.proxy.cookies import Bound, Seal, StickyCookies
from pinfeather.proxy.entrances import Entrances
from pinfeather.proxy.middlewares import Closed, steps
from pinfeather.proxy.reasons import levels
from pinfeather.proxy.resources import Resources
from pinfeather.proxy.step import Step

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Serving:
    """Never changed: a reload makes another one."""

    document: Document
    revision: str  # of the document's file, a hash
    table: Table  # in which each sticky cookie has its pool for a name
    numbers: Mapping[str, int]  # route -> its place in the document
    seal: Seal
    cookies: StickyCookies
    entrances: Entrances
    servers: Mapping[str, tuple[str, ...]]  # service -> keys of its servers
    closed: Mapping[str, str]  # route -> why it, or a part of it, is not open
    notes: tuple[str, ...]  # what the document says and this proxy does not do; to be said at the start
    _steps: Mapping[str, tuple[Step, ...] | None]  # None: cannot be executed
    _targets: Mapping[str, tuple[tuple[Origin, bool] | None, ...]]

    @classmethod
    def of(cls, document: Document, seal: Seal, revision: str, resources: Resources | None = None) -> "Serving":
        """Raises ValueError for a document that cannot be decided on (a template was left in it)."""
        resources = resources or Resources()
        table = Table.of(apart(document))
        balancers = {name: service for name, service in document.services.items() if isinstance(service, LoadBalancer)}
        executed: dict[str, tuple[Step, ...] | None] = {}
        unfit: dict[str, str] = {}
        for name in {*document.middlewares, *(name for _, names in _uses(document) for name in names)}:
            try:
                executed[name] = steps(document, (name,), resources)
            except Closed as closed:
                executed[name], unfit[name] = None, str(closed)
        resources.keep((name, it.rate_limit) for name, it in document.middlewares.items() if it.rate_limit is not None)
        closed_routes: dict[str, str] = {}
        for route, names in _uses(document):
            for name in names:
                if name in unfit:
                    closed_routes.setdefault(route, unfit[name])
        notes = [f"route {route!r} is closed: {why}" for route, why in closed_routes.items()]
        notes += [note for name, service in balancers.items() for note in _left_out(name, service)]
        notes += [
            f"route {route.name!r}: {name!r} belongs to another provider, requests to it are answered 503"
            for route in document.routes
            for name in route.targets
            if external(name)
        ]
        notes += [
            f"route {route.name!r}: what it says of observability is not executed, its requests are logged and counted as all are"
            for route in document.routes
            if route.observability is not None
        ]
        entrances = Entrances.of(document)
        notes += entrances.notes
        return cls(
            document,
            revision,
            table,
            {route.name: number for number, route in enumerate(document.routes)},
            seal,
            StickyCookies.of(document, seal),
            entrances,
            {name: tuple(server.key for server in service.servers) for name, service in balancers.items()},
            closed_routes,
            tuple(notes),
            executed,
            {
                name: tuple(_target(server, service.pass_host_header is not False) for server in service.servers)
                for name, service in balancers.items()
            },
        )

    def sealed(self, seal: Seal) -> "Serving":
        """The same with other keys."""
        return replace(self, seal=seal, cookies=StickyCookies.of(self.document, seal))

    def set_cookies(self, decision: Decision, bound: Bound, state: State) -> tuple[str, ...]:
        """The Set-Cookie texts of a decision, the outer level first, then what an old key made, given out anew."""
        texts = self.cookies.texts(decision.set_cookies)
        if not bound.old or decision.route is None:
            return texts
        held = [
            level
            for level in levels(self.table, self.numbers[decision.route], decision, bound, state)
            if level.why == "bound" and level.pool in bound.old
        ]
        return (*texts, *(self.cookies.text(level.pool, level.to) for level in held if level.pool is not None))

    def steps(self, middlewares: tuple[str, ...]) -> tuple[Step, ...] | None:
        """What the middlewares do; None where one cannot be executed, so that nothing may pass."""
        taken: tuple[Step, ...] = ()
        for name in middlewares:
            more = self._steps.get(name)
            if more is None:
                return None
            taken += more
        return taken

    def target(self, service: str, server: int) -> tuple[Origin, bool] | None:
        """Where a server listens, and whether it is given the client's Host; None without an address of its own."""
        return self._targets[service][server]

    def state(self, before: Mapping[tuple[str, str], Status]) -> State:
        """The state to begin with: what is known of a server from before, if it is asked again; else up, as in Traefik."""
        checked = {
            name
            for name, service in self.document.services.items()
            if isinstance(service, LoadBalancer) and service.health_check is not None and service.health_check.mode != "grpc"
        }
        return State(
            servers={
                name: tuple(before.get((name, key), Status.UP) if name in checked else Status.UP for key in keys)
                for name, keys in self.servers.items()
            }
        )


def _uses(document: Document) -> Iterable[tuple[str, tuple[str, ...]]]:
    """Each route with every middleware that some request of it goes through: its own and its services'."""
    for route in document.routes:
        names = list(route.middlewares)
        pending, seen = list(route.targets), set[str]()
        while pending:
            name = pending.pop()
            service = document.services.get(name)
            if service is None or name in seen:
                continue
            seen.add(name)
            names += service.middlewares
            if not isinstance(service, LoadBalancer):
                pending += [entry.to for entry in service.split]
        yield route.name, tuple(names)


def _target(server: Server, pass_host: bool) -> tuple[Origin, bool] | None:
    if server.url is None:
        return None
    url = urlsplit(server.url)
    if url.scheme not in _PORTS or url.hostname is None:
        return None
    return Origin(url.hostname, url.port or _PORTS[url.scheme], url.scheme == "https", url.netloc), pass_host


def _left_out(name: str, service: LoadBalancer) -> Iterable[str]:
    """What the service says and this proxy does not do."""
    for server in service.servers:
        if _target(server, True) is None:
            yield f"service {name!r}: the server {server.key!r} has no http(s) address, requests to it are answered 503"
        elif server.preserve_path:
            yield f"service {name!r}: the path of the server {server.key!r} is not put before the request's"
    check = service.health_check
    if check is not None and check.mode == "grpc":
        yield f"service {name!r}: gRPC health checks are not executed, its servers count as up"
    if check is not None and check.follow_redirects:
        yield f"service {name!r}: health checks follow no redirects, so that no server sends them elsewhere"
    if service.strategy not in (None, "wrr"):
        yield f"service {name!r}: the strategy {service.strategy!r} is not executed, servers are drawn by weight"
    if service.sticky is not None and service.sticky.source_address is not None:
        yield f"service {name!r}: stickiness by source address is not executed"
    if service.servers_transport is not None:
        yield f"service {name!r}: the servers transport is not executed, TLS to servers is checked by the system's roots"

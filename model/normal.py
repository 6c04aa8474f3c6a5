"""The one order of a document's routes, and the one form that laws compare."""

from __future__ import annotations

from collections import Counter
from itertools import chain
from typing import NamedTuple, TypeVar

from pinfeather.model.canary import Canary
from pinfeather.model.document import Document, canary_name
from pinfeather.model.match import (
    GROUPS,
    AllOf,
    AnyOf,
    Host,
    HostRegex,
    Match,
    Not,
    PathIs,
    PathMatch,
    ServerNameIs,
    ServerNameRegex,
    alternatives,
    both,
    conjuncts,
    either,
)
from pinfeather.model.metadata import Metadata
from pinfeather.model.middlewares import Middleware
from pinfeather.model.noun import Template
from pinfeather.model.routes import Route, TcpRoute
from pinfeather.model.services import LoadBalancer, Service, Split, TcpSplit

_ANY_NAME = ServerNameIs.model_construct(sni="*")
_EVERY_PATH = PathMatch.model_construct(prefix="/")
_NO_METADATA = Metadata.model_construct()


class Rung(NamedTuple):
    """One place in the order in which a request is held against conditions: a route, or one of its canaries."""

    route: int
    canary: int | None


def _specificity(form: Lifted) -> tuple[int, int, int, int]:
    match = conjuncts(form.match)
    host = 0
    if form.hosts:
        host = 2 if any(name.startswith("*") for name in form.hosts) else 3
    elif any(isinstance(part, HostRegex) for part in match):
        host = 1
    kind = length = 0
    if (path := form.path) is not None:
        text = path.exact or path.prefix or path.regex or ""
        kind, length = (3 if path.exact is not None else 2 if path.prefix is not None else 1), len(text)
    return host, kind, length, len(match)


def _number(priority: int | Template | None) -> int:
    """A template's number is not known: it stands where an unset priority stands, and nothing is decided by it."""
    return 0 if priority is None or isinstance(priority, Template) else priority


def rank(route: Route, canary: Canary | None) -> tuple[int, int, int, int, int]:
    """What a rung comes first by; the smaller one does: priority, kind of host, kind and length of the path, number of conditions."""
    match = route.match if canary is None else both((*conjuncts(route.match), canary.when))
    priority = route.priority if canary is None else canary.priority
    host, kind, length, parts = _specificity(_lifted(route.hosts, route.path, match))
    return -_number(priority), -host, -kind, -length, -parts


def precedence(document: Document) -> tuple[Rung, ...]:
    """The one order of all routes and canaries: priority, then specificity, then the order in the document.

    A canary without a priority of its own stands directly before its route.
    """
    entries: list[tuple[tuple[int, int, int, int, int], int, int, Rung]] = []
    for index, route in enumerate(document.routes):
        own = rank(route, None)
        for number, canary in enumerate(route.canaries):
            place = own if canary.priority is None else rank(route, canary)
            entries.append((place, index, number, Rung(index, number)))
        entries.append((own, index, len(route.canaries), Rung(index, None)))
    entries.sort()  # no two have one index and number
    return tuple(entry[3] for entry in entries)


# The one form ----------------------------------------------------------------------------------------------------------


class Lifted(NamedTuple):
    """A condition in its one form: hosts and path beside what is left of the tree."""

    hosts: tuple[str, ...]
    path: PathMatch | None
    match: Match | None


def conditions(route: Route) -> tuple[Match, ...]:
    """All that a route asks for, as parts that must all hold."""
    hosts = (either(tuple(Host.model_construct(host=name) for name in route.hosts)),) if route.hosts else ()
    path = (PathIs.model_construct(path=route.path),) if route.path is not None else ()
    return (*hosts, *path, *conjuncts(route.match))


def flat(match: Match) -> Match:
    """The same condition without an `all` in an `all`, an `any` in an `any`, a `not` of a `not`, or a group of one.

    What is flat already is the same object.
    """
    if type(match) not in GROUPS:
        return match
    if isinstance(match, AllOf):
        return _group(match, match.all)
    if isinstance(match, AnyOf):
        return _group(match, match.any)
    if isinstance(match, Not):
        inner = flat(match.none)
        if isinstance(inner, Not):
            return inner.none
        return match if inner is match.none else Not.model_construct(none=inner)
    return match


def _group(group: AllOf | AnyOf, parts: tuple[Match, ...]) -> Match:
    every = isinstance(group, AllOf)
    opened: list[Match] = []
    for part in parts:
        opened += conjuncts(flat(part)) if every else alternatives(flat(part))
    distinct = tuple(dict.fromkeys(opened)) if len(opened) > 1 else tuple(opened)
    if len(distinct) == len(parts) > 1 and all(one is other for one, other in zip(distinct, parts, strict=True)):
        return group
    made = both(distinct) if every else either(distinct)
    assert made is not None
    return made


def lift(match: Match | None) -> Lifted:
    """Takes the first choice of hosts and the first path out of a conjunction."""
    return _lifted((), None, match)


def _lifted(hosts: tuple[str, ...], path: PathMatch | None, match: Match | None) -> Lifted:
    """The form of a conjunction whose first parts are these hosts and this path: `lift` of it, without building it.

    The path that every request has gives way to any other one.
    """
    if len(hosts) > 1:
        hosts = tuple(dict.fromkeys(hosts))
    if match is None:
        return Lifted(hosts, path, None)
    whole = flat(match)
    parts = conjuncts(whole)
    rest: list[Match] = []
    for part in parts:
        if type(part) is PathIs and (path is None or part.path == path or path == _EVERY_PATH or part.path == _EVERY_PATH):
            path = part.path if path is None or path == _EVERY_PATH else path
        elif (names := _names(part)) and (not hosts or names == hosts):
            hosts = names
        else:
            rest.append(part)
    return Lifted(hosts, path, whole if len(rest) == len(parts) else both(tuple(rest)))


def _names(match: Match) -> tuple[str, ...]:
    """The names of a choice of hosts; none, where it is another condition."""
    if type(match) is Host:
        return (match.host,)
    if type(match) is AnyOf and all(isinstance(one, Host) for one in match.any):
        return tuple(one.host for one in match.any if isinstance(one, Host))
    return ()


def lifted(route: Route) -> Route:
    """The same route with hosts and path outside of its tree."""
    form = _lifted(route.hosts, route.path, route.match)
    if form.match is route.match and form.path is route.path and form.hosts == route.hosts:
        return route
    return route.model_copy(update={"hosts": form.hosts, "path": form.path, "match": form.match})


def _said(metadata: Metadata | None) -> Metadata | None:
    return None if metadata is None or metadata == _NO_METADATA else metadata


Held = TypeVar("Held", LoadBalancer, Split, Middleware, LoadBalancer | Split)


def _with_said(noun: Held) -> Held:
    return noun if noun.metadata is None or _said(noun.metadata) else noun.model_copy(update={"metadata": None})


def alone(route: Route, index: int) -> Route | None:
    """A canary as a route of its own, where that means the same: it binds nobody, and no binding is asked before it."""
    canary = route.canaries[index]
    if not _may_stand_alone(route, canary):
        return None
    return route.model_copy(
        update={
            "name": canary_name(route, index),
            "match": both((*conjuncts(route.match), canary.when)),
            "priority": canary.priority,
            "canaries": (),
            "to": canary.to,
            "split": (),
            "sticky": None,
            "order": "rules_first",
            "weight_zero": "drop",
            "when_down": "fail",
        }
    )


def _may_stand_alone(route: Route, canary: Canary) -> bool:
    return not canary.binds and (route.order != "binding_first" or route.sticky is None)


def normal(document: Document) -> Document:
    """The one form that laws compare.

    Hosts and path are lifted out of every tree; a canary that means a route of its own is one; a split that one route
    alone uses stands in that route; routes stand in their order and are numbered by it; mappings are sorted, and so are the
    servers of a service: their order decides nothing, and where each is an object of its own nobody keeps it.
    """
    order = precedence(document)
    numbers: dict[Rung, int | Template] = {rung: len(order) - position for position, rung in enumerate(order)}
    for rung in order:
        route = document.routes[rung.route]
        given = route.priority if rung.canary is None else route.canaries[rung.canary].priority
        if isinstance(given, Template):
            numbers[rung] = given
    used = uses(document)
    inlined: set[str] = set()
    tcp_routes, tcp_inlined = _normal_tcp(document)
    routes: list[Route] = []
    for rung in order:
        route = document.routes[rung.route]
        if rung.canary is not None:
            if (single := alone(route, rung.canary)) is not None:
                routes.append(_bare(single, numbers[rung], (), document, used, inlined))
            continue
        kept = tuple(
            canary.model_copy(update={"when": flat(canary.when), "priority": numbers[Rung(rung.route, number)]})
            for number, canary in enumerate(route.canaries)
            if not _may_stand_alone(route, canary)
        )
        routes.append(_bare(route, numbers[rung], kept, document, used, inlined))
    return document.model_copy(
        update={
            "entry_points": dict(sorted(document.entry_points.items())),
            "routes": tuple(routes),
            "services": {name: _in_order(service) for name, service in sorted(document.services.items()) if name not in inlined},
            "middlewares": {name: _with_said(each) for name, each in sorted(document.middlewares.items())},
            "tcp_routes": tcp_routes,
            "tcp_services": {name: service for name, service in sorted(document.tcp_services.items()) if name not in tcp_inlined},
            "tcp_middlewares": {name: _with_said(each) for name, each in sorted(document.tcp_middlewares.items())},
            "tls_options": dict(sorted(document.tls_options.items())),
            "servers_transports": dict(sorted(document.servers_transports.items())),
        }
    )


def _in_order(service: Service) -> Service:
    service = _with_said(service)
    if not isinstance(service, LoadBalancer) or len(service.servers) < 2:
        return service
    servers = sorted(service.servers, key=lambda server: (server.key, str(server.weight)))
    return service.model_copy(update={"servers": tuple(servers)})


def uses(document: Document) -> Counter[str]:
    """How often each service is named by routes, canaries and splits."""
    splits = (service.split for service in document.services.values() if isinstance(service, Split))
    named = (target for route in document.routes for target in route.targets)
    return Counter(chain(named, (entry.to for split in splits for entry in split)))


def _bare(
    route: Route, priority: int | Template, canaries: tuple[Canary, ...], document: Document, used: Counter[str], inlined: set[str]
) -> Route:
    """A lifted route without what says nothing: every path begins with `/` (Traefik has no empty rule), no metadata is none.

    A split that it alone uses stands in the route itself; `inlined` is told of it.
    """
    hosts, path, match = _lifted(route.hosts, route.path, route.match)
    to, split, sticky, weight_zero, when_down = route.to, route.split, route.sticky, route.weight_zero, route.when_down
    service = document.services.get(to) if to is not None else None
    if isinstance(service, Split) and not service.middlewares and not _said(service.metadata) and to is not None and used[to] == 1:
        inlined.add(to)
        to, split, sticky, weight_zero, when_down = None, service.split, service.sticky, service.weight_zero, service.when_down
    if len(split) == 1 and sticky is None and when_down == "fail":
        to, split = split[0].to, ()
    return route.model_copy(
        update={
            "hosts": hosts,
            "path": None if path == _EVERY_PATH else path,
            "match": match,
            "priority": priority,
            "canaries": canaries,
            "order": route.order if canaries else "rules_first",
            "to": to,
            "split": split,
            "sticky": sticky,
            "weight_zero": weight_zero if split else "drop",
            "when_down": when_down if split else "fail",
            "metadata": _said(route.metadata),
        }
    )


def tcp_lifted(route: TcpRoute) -> TcpRoute:
    """The same TCP route with its server names outside of the tree; `*` is said by saying none."""
    own = (either(tuple(ServerNameIs.model_construct(sni=name) for name in route.sni)),) if route.sni else ()
    sni: tuple[str, ...] = ()
    rest: list[Match] = []
    tree = both((*own, *conjuncts(route.match)))
    for part in conjuncts(flat(tree)) if tree is not None else ():
        choice = alternatives(part)
        if part == _ANY_NAME:
            continue
        if not sni and all(isinstance(one, ServerNameIs) and one.sni != "*" for one in choice):
            sni = tuple(one.sni for one in choice if isinstance(one, ServerNameIs))
        elif part not in rest:
            rest.append(part)
    return route.model_copy(update={"sni": sni, "match": both(tuple(rest))})


def tcp_precedence(routes: tuple[TcpRoute, ...]) -> tuple[int, ...]:
    """The order of TCP routes: priority, then the kind of server name and the number of conditions, then the document."""

    return tuple(sorted(range(len(routes)), key=lambda index: (*tcp_rank(routes[index]), index)))


def tcp_rank(route: TcpRoute) -> tuple[int, int, int]:
    """What a TCP route comes first by; the smaller one does: priority, kind of server name, number of conditions."""
    route = tcp_lifted(route)
    parts = conjuncts(route.match)
    kind = 1 if any(isinstance(part, ServerNameRegex) for part in parts) else 0
    if route.sni:
        kind = 2 if any(name.startswith("*") for name in route.sni) else 3
    return -_number(route.priority), -kind, -len(parts)


def _normal_tcp(document: Document) -> tuple[tuple[TcpRoute, ...], frozenset[str]]:
    used: Counter[str] = Counter(target for route in document.tcp_routes for target in route.targets)
    for service in document.tcp_services.values():
        if isinstance(service, TcpSplit):
            used.update(entry.to for entry in service.split)
    inlined: set[str] = set()
    made: list[TcpRoute] = []
    order = tcp_precedence(document.tcp_routes)
    for position, index in enumerate(order):
        route = tcp_lifted(document.tcp_routes[index])
        route = route.model_copy(update={"priority": len(order) - position, "metadata": _said(route.metadata)})
        target = document.tcp_services.get(route.to) if route.to is not None else None
        if isinstance(target, TcpSplit) and route.to is not None and used[route.to] == 1:
            inlined.add(route.to)
            route = route.model_copy(update={"to": None, "split": target.split})
        if len(route.split) == 1:
            route = route.model_copy(update={"to": route.split[0].to, "split": ()})
        made.append(route)
    return tuple(made), frozenset(inlined)

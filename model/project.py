"""Takes out of a document what a target cannot say: once, here, for every format.

Never wider: a condition that cannot be said takes its whole canary or route with it; a lost middleware, TLS demand or entry
point takes its route, and with it every later route that would then serve the same requests with less in their way.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import NamedTuple, TypeVar

from pinfeather.model.canary import SplitEntry
from pinfeather.model.cut import Cut
from pinfeather.model.diagnostics import Allowed, Diagnostic, Path, Severity
from pinfeather.model.document import Document, problems
from pinfeather.model.features import (
    SERVERS,
    Becomes,
    Derived,
    Feature,
    Full,
    Near,
    Nothing,
    Place,
    Support,
    Take,
    When,
    places,
    refused_cookies,
)
from pinfeather.model.guard import guard
from pinfeather.model.middlewares import Middleware
from pinfeather.model.noun import Noun
from pinfeather.model.rename import derive
from pinfeather.model.reset import reset
from pinfeather.model.routes import Route, TcpRoute
from pinfeather.model.services import LoadBalancer, Server, Split, TcpLoadBalancer, TcpServer, TcpSplit


class Projection(NamedTuple):
    """What is left, and what was said about the rest."""

    kept: Document
    diagnostics: tuple[Diagnostic, ...]


def support_at(support: Support, document: Document, path: Path) -> Full | Near | Nothing:
    """What a support says of one place."""
    if isinstance(support, Derived):
        return Full()
    if isinstance(support, Becomes):  # those that become another one were replaced before
        return Nothing(support.instead)
    return support.check(document, path) if isinstance(support, When) else support


def project(document: Document, supports: Mapping[Feature, Support], allowed: Iterable[Allowed] = ()) -> Projection:
    """The document that the target can say, and a diagnostic for each path that was taken out or will differ a little."""
    rules = tuple(allowed)
    cut = Cut()
    document, found = with_other_servers(document, supports)
    said = frozenset(feature for feature, support in supports.items() if isinstance(support, Full) and feature not in _DEFINED)
    for place in places(document, without=said):
        support = _support(place, document, supports)
        if isinstance(support, Full):
            continue
        if isinstance(support, Near):
            found.append(Diagnostic(f"near.{place.row.feature}", Severity.WARNING, support.sentence, place.path))
            continue
        finding = _loss(place, support)
        found.append(finding)
        _take(cut, place, permitted=finding.security and any(rule.covers(finding) for rule in rules))
    found += _refused(document, cut)
    _follow(document, cut)
    found += guard(document, cut)
    found += _left_alone(document, cut, supports.get(Feature.SERVICE_ALONE, Nothing()))
    found += _tcp_left_alone(document, cut, supports.get(Feature.SERVICE_ALONE, Nothing()))
    origins = {
        "routes": [index for index in range(len(document.routes)) if index not in cut.routes],
        "tcp_routes": [index for index in range(len(document.tcp_routes)) if index not in cut.tcp_routes],
    }
    kept, renamed = derive(_without(document, cut), supports, origins)
    found += renamed
    assert not list(problems(kept)), "what is left of a whole document is whole"
    return Projection(kept, tuple(found))


def with_other_servers(document: Document, supports: Mapping[Feature, Support]) -> tuple[Document, list[Diagnostic]]:
    """The document with every server that the target reaches by another word said in that word."""
    becomes = {feature: support for feature in SERVERS if isinstance(support := supports.get(feature), Becomes)}
    found: list[Diagnostic] = []
    if not becomes:
        return document, found
    whole: dict[str, dict[str, Noun]] = {}
    for section in ("services", "tcp_services"):
        whole[section] = {
            name: _reached(service, (section, name), document, becomes, found) for name, service in getattr(document, section).items()
        }
    return (document.model_copy(update=whole) if found else document), found


_WORDS = (("url", Feature.SERVER_URL), ("kubernetes", Feature.SERVER_KUBERNETES), ("container", Feature.SERVER_CONTAINER))


def _reached(service: Noun, at: Path, document: Document, becomes: Mapping[Feature, Becomes], found: list[Diagnostic]) -> Noun:
    """The service with its servers as the target says them."""
    if not isinstance(service, LoadBalancer | TcpLoadBalancer):
        return service
    servers: list[Server | TcpServer] = []
    changed = False
    given: tuple[Server | TcpServer, ...] = service.servers
    for index, server in enumerate(given):
        word, feature = next((each for each in _WORDS if server.__dict__.get(each[0]) is not None), ("address", None))
        support = None if feature is None else becomes.get(feature)
        new = None if support is None else support.rule(document, path := (*at, "servers", index, word))
        if support is not None and new is not None:
            value = getattr(server, word)
            shown = f"`{word}: {value}`" if isinstance(value, str) else f"`{word}`"
            found.append(Diagnostic(f"near.{feature}", Severity.WARNING, f"{shown}: {support.sentence}", path))
            changed = changed or new != server
        servers.append(server if new is None else new)
    return service.model_copy(update={"servers": tuple(servers)}) if changed else service


def _refused(document: Document, cut: Cut) -> list[Diagnostic]:
    """`SameSite=None` whose `Secure` goes: no browser would keep the cookie, so the stickiness goes as a whole."""
    if not any(path[-2:-1] == ("cookie",) for path in cut.fields):
        return []
    whole = reset(document, (), cut.fields)
    assert isinstance(whole, Document)
    refused = tuple(refused_cookies(whole))
    cut.fields |= {path for path, _, _ in refused}
    return [Diagnostic(f"loss.{feature}", Severity.ERROR, why, path, "each request is drawn anew") for path, feature, why in refused]


_DEFINED = {
    Feature.SERVERS_TRANSPORT: (Feature.TRANSPORT_DEFINITION, "servers_transports"),
    Feature.TLS_OPTIONS: (Feature.TLS_OPTIONS_DEFINITION, "tls_options"),
}
"""What names something that is defined in the document, and where: who cannot say the definition cannot say the name."""


def _support(place: Place, document: Document, supports: Mapping[Feature, Support]) -> Full | Near | Nothing:
    support = support_at(supports.get(place.row.feature, Nothing()), document, place.path)
    if place.row.feature in _DEFINED and not isinstance(support, Nothing):
        definition, section = _DEFINED[place.row.feature]
        name = getattr(place.noun, place.row.field or "")
        if name != "default" and name in getattr(document, section):
            defined = support_at(supports.get(definition, Nothing()), document, (section,))
            return defined if isinstance(defined, Nothing) else support
    return support


def _loss(place: Place, support: Nothing) -> Diagnostic:
    row = place.row
    if row.carried:
        return Diagnostic(
            f"carried.{row.feature}", Severity.WARNING, f"{_what(place)} is not carried along", place.path, support.instead or row.instead
        )
    instead = support.instead or row.instead or INSTEAD[row.take]
    protects = row.take in (Take.DEMAND, Take.MIDDLEWARE) or row.feature in (Feature.SERVICE_MIDDLEWARES, Feature.TLS_OPTIONS_DEFINITION)
    return Diagnostic(
        f"loss.{row.feature}", Severity.ERROR, f"the target cannot say {_what(place)}", place.path, instead, security=protects
    )


INSTEAD = {
    Take.FIELD: "the target's default holds",
    Take.CONDITION: "the canary or route that asks for it is left out as a whole",
    Take.DEMAND: "the route that demands it is left out",
    Take.SERVICE: "the service is left out, and every route that leads there",
    Take.MIDDLEWARE: "every route that passes it is left out",
    Take.REFERENCE: "what names it is left out",
}


def _what(place: Place) -> str:
    name = place.row.field or str(place.row.feature)
    value = getattr(place.noun, name, None) if place.row.field else None
    if isinstance(value, str | int | bool):
        return f"`{name}: {str(value).lower() if isinstance(value, bool) else value}`"
    return f"`{place.row.feature}`" if place.row.field is None else f"`{name}`"


# What goes -------------------------------------------------------------------------------------------------------------


def _take(cut: Cut, place: Place, *, permitted: bool) -> None:
    path, take = place.path, place.row.take
    if take is Take.FIELD or (permitted and take is Take.DEMAND) or (permitted and place.row.feature is Feature.SERVICE_MIDDLEWARES):
        cut.fields.add(path)
    elif take is Take.SERVICE and place.row.carried:
        cut.services[str(path[1])] = path
    elif permitted and take is Take.MIDDLEWARE:
        cut.unused.add(f"{path[0]}.{path[1]}")
    else:
        _enclosing(cut, path)


def _enclosing(cut: Cut, path: Path) -> None:
    """Marks the smallest thing around a path that can go as a whole."""
    section, key = path[0], path[1]
    if section == "routes" and isinstance(key, int):
        if len(path) > 3 and path[2] == "canaries" and isinstance(path[3], int):
            cut.canaries.setdefault((key, path[3]), path)
        else:
            cut.routes.setdefault(key, path)
    elif section == "tcp_routes" and isinstance(key, int):
        cut.tcp_routes.setdefault(key, path)
    elif section in ("services", "tcp_services", "middlewares", "tcp_middlewares"):
        marks: dict[str, Path] = getattr(cut, str(section))
        marks.setdefault(str(key), path)
    else:
        cut.fields.add(path)


def _follow(document: Document, cut: Cut) -> None:
    """Whatever leads to something that goes, goes as well."""
    changed = True
    while changed:
        before = _size(cut)
        _follow_middlewares(document.middlewares, cut.middlewares)
        _follow_splits(document.services, cut.services, cut.middlewares)
        _follow_splits(document.tcp_services, cut.tcp_services, {})
        for index, route in enumerate(document.routes):
            for number, canary in enumerate(route.canaries):
                if canary.to in cut.services:
                    cut.canaries.setdefault((index, number), cut.services[canary.to])
            for gone in (cut.services.get(name) for name in _own_targets(route)):
                if gone is not None:
                    cut.routes.setdefault(index, gone)
            for name in route.middlewares:
                if name in cut.middlewares:
                    cut.routes.setdefault(index, cut.middlewares[name])
        for index, tcp in enumerate(document.tcp_routes):
            for name in (*tcp.targets, *tcp.middlewares):
                if name in cut.tcp_services or name in cut.tcp_middlewares:
                    cut.tcp_routes.setdefault(index, cut.tcp_services.get(name) or cut.tcp_middlewares[name])
        changed = _size(cut) != before


def _size(cut: Cut) -> int:
    marks = (cut.canaries, cut.routes, cut.tcp_routes, cut.services, cut.tcp_services, cut.middlewares)
    return sum(len(mark) for mark in marks)


def _own_targets(route: Route) -> tuple[str, ...]:
    return (route.to,) if route.to is not None else tuple(entry.to for entry in route.split)


def _follow_middlewares(middlewares: Mapping[str, Middleware], gone: dict[str, Path]) -> None:
    for name, middleware in middlewares.items():
        for inner in middleware.chain.middlewares if middleware.chain is not None else ():
            if inner in gone:
                gone.setdefault(name, gone[inner])


def _follow_splits(services: Mapping[str, Noun], gone: dict[str, Path], middlewares: dict[str, Path]) -> None:
    for name, service in services.items():
        entries: tuple[SplitEntry, ...] = service.split if isinstance(service, Split | TcpSplit) else ()
        for entry in entries:
            if entry.to in gone:
                gone.setdefault(name, gone[entry.to])
        for reference in service.middlewares if isinstance(service, Split | LoadBalancer) else ():
            if reference in middlewares:
                gone.setdefault(name, middlewares[reference])


# What nothing leads to ------------------------------------------------------------------------------------------------


def _left_alone(document: Document, cut: Cut, support: Support) -> list[Diagnostic]:
    """Services that nothing leads to any more, where the target has no word for a service that stands alone."""
    found: list[Diagnostic] = []
    once = {target for route in document.routes for target in route.targets} | _entered(document, ())
    while True:
        now = {
            target
            for index, route in enumerate(document.routes)
            if index not in cut.routes
            for number, target in enumerate(route.targets)
            if (index, number) not in cut.canaries  # a route's targets begin with those of its canaries
        }
        now |= _entered(document, cut.services)
        alone = [name for name in document.services if name in once and name not in now and name not in cut.services]
        before = len(cut.services)
        for name in alone:
            path: Path = ("services", name)
            said = support_at(support, document, path)
            if isinstance(said, Nothing):
                cut.services[name] = path
                what = f"nothing that is left leads to the service {name!r}"
                found.append(Diagnostic(f"carried.{Feature.SERVICE_ALONE}", Severity.WARNING, what, path, "it is not written"))
        if len(cut.services) == before:
            return found


def _tcp_left_alone(document: Document, cut: Cut, support: Support) -> list[Diagnostic]:
    """The same for TCP."""
    found: list[Diagnostic] = []

    def reached(gone_routes: Container[int], gone: Container[str]) -> set[str]:
        named = {target for index, route in enumerate(document.tcp_routes) if index not in gone_routes for target in route.targets}
        splits = (each for name, each in document.tcp_services.items() if name not in gone and isinstance(each, TcpSplit))
        return named | {entry.to for split in splits for entry in split.split}

    once, before = reached((), ()), -1
    while before != len(cut.tcp_services):
        before, now = len(cut.tcp_services), reached(cut.tcp_routes, cut.tcp_services)
        alone = once - now - set(cut.tcp_services)
        for name in [name for name in document.tcp_services if name in alone]:
            path: Path = ("tcp_services", name)
            if isinstance(support_at(support, document, path), Nothing):
                cut.tcp_services[name] = path
                what = f"nothing that is left leads to the TCP service {name!r}"
                found.append(Diagnostic(f"carried.{Feature.SERVICE_ALONE}", Severity.WARNING, what, path, "it is not written"))
    return found


def _entered(document: Document, gone: Container[str]) -> set[str]:
    splits = (service for name, service in document.services.items() if name not in gone and isinstance(service, Split))
    return {entry.to for split in splits for entry in split.split}


# What stays ------------------------------------------------------------------------------------------------------------


def _without(document: Document, cut: Cut) -> Document:
    whole = reset(document, (), cut.fields)
    assert isinstance(whole, Document)
    dropped = {name.partition(".")[2] for name in cut.unused if name.startswith("middlewares.")}
    tcp_dropped = {name.partition(".")[2] for name in cut.unused if name.startswith("tcp_middlewares.")}
    cropped = {index for index, _ in cut.canaries}
    update: dict[str, object] = {}
    if cut.routes or cropped or dropped:
        update["routes"] = tuple(
            _passing(_with_canaries(route, index, cut) if index in cropped else route, dropped)
            for index, route in enumerate(whole.routes)
            if index not in cut.routes
        )
    if cut.tcp_routes or tcp_dropped:
        kept = (route for index, route in enumerate(whole.tcp_routes) if index not in cut.tcp_routes)
        update["tcp_routes"] = tuple(_passing(route, tcp_dropped) for route in kept)
    if cut.services or dropped:
        update["services"] = {name: _passing(each, dropped) for name, each in whole.services.items() if name not in cut.services}
    if cut.tcp_services:
        update["tcp_services"] = {name: service for name, service in whole.tcp_services.items() if name not in cut.tcp_services}
    if cut.middlewares or dropped:
        update["middlewares"] = _middlewares(whole.middlewares, set(cut.middlewares) | dropped, dropped)
    if cut.tcp_middlewares or tcp_dropped:
        update["tcp_middlewares"] = _middlewares(whole.tcp_middlewares, set(cut.tcp_middlewares) | tcp_dropped, tcp_dropped)
    return whole.model_copy(update=update) if update else whole


Passing = TypeVar("Passing", Route, TcpRoute, LoadBalancer | Split)


def _passing(noun: Passing, dropped: set[str]) -> Passing:
    """Without the middlewares that are dropped."""
    if dropped.isdisjoint(noun.middlewares):
        return noun
    return noun.model_copy(update={"middlewares": tuple(name for name in noun.middlewares if name not in dropped)})


def _with_canaries(route: Route, index: int, cut: Cut) -> Route:
    kept = tuple(canary for number, canary in enumerate(route.canaries) if (index, number) not in cut.canaries)
    return route.model_copy(update={"canaries": kept})


def _middlewares(middlewares: Mapping[str, Middleware], gone: set[str], dropped: set[str]) -> dict[str, Middleware]:
    kept: dict[str, Middleware] = {}
    for name, middleware in middlewares.items():
        if name in gone:
            continue
        if middleware.chain is not None and dropped & set(middleware.chain.middlewares):
            rest = tuple(inner for inner in middleware.chain.middlewares if inner not in dropped)
            middleware = middleware.model_copy(update={"chain": middleware.chain.model_copy(update={"middlewares": rest})})
        kept[name] = middleware
    return kept

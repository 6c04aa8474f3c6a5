"""The root of everything that can be said: `Document` and its cross references. Its order and its form: `normal.py`."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from pinfeather.model.canary import SplitEntry
from pinfeather.model.diagnostics import Code, Diagnostic, Path, dotted, error, nearest
from pinfeather.model.middlewares import Middleware
from pinfeather.model.noun import Many, Name, Noun, Port, Template, Text, Tree, external, refuse
from pinfeather.model.routes import Route, TcpRoute
from pinfeather.model.services import LoadBalancer, Service, Split, TcpService, TcpSplit

FORMAT: Literal["v1"] = "v1"


def _version(value: object) -> object:
    if isinstance(value, str) and value != FORMAT and value.startswith("v"):
        raise refuse("value", f"this document says {value!r}; this Pinfeather reads {FORMAT!r}: take the version that wrote it")
    return value


class EntryPoint(Noun):
    """Where a proxy listens."""

    port: Port
    tls: bool | None = None
    """Whether every route of it speaks TLS."""


class TlsOptions(Noun):
    """How TLS is spoken, by name; `default` is for every route that names none."""

    min_version: Text | None = None
    max_version: Text | None = None
    cipher_suites: Many[Text] = ()
    curve_preferences: Many[Text] = ()
    alpn_protocols: Many[Text] = ()
    sni_strict: bool | None = None
    client_auth_type: Text | None = None
    client_auth_ca_files: Many[Text] = ()


class Document(Noun):
    """Routes, the services they go to and the middlewares they pass. Cannot be built with a reference to nothing."""

    pinfeather: Annotated[Literal["v1"], BeforeValidator(_version)] = FORMAT
    entry_points: dict[Name, Port | EntryPoint] = Field(default_factory=dict)
    routes: Many[Route] = ()
    services: dict[Name, Service] = Field(default_factory=dict)
    middlewares: dict[Name, Middleware] = Field(default_factory=dict)
    tcp_routes: Many[TcpRoute] = ()
    tcp_services: dict[Name, TcpService] = Field(default_factory=dict)
    tcp_middlewares: dict[Name, Middleware] = Field(default_factory=dict)
    tls_options: dict[Name, TlsOptions] = Field(default_factory=dict)
    servers_transports: dict[Name, Tree] = Field(default_factory=dict)
    """How servers are spoken to, carried to the letter between Traefik's surfaces."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if found := list(problems(self)):
            raise refuse("document", "; ".join(f"{dotted(d.path)}: {d.message}" for d in found[:5]), problems=tuple(found))
        return self


def canary_name(route: Route, index: int) -> str:
    """What a canary is called where it must stand alone (a router of its own)."""
    return route.canaries[index].name or f"{route.name}-canary-{index + 1}"


# Cross references ----------------------------------------------------------------------------------------------------


def problems(document: Document) -> Iterator[Diagnostic]:
    """Everything that does not fit together: names that stand twice, references to nothing, circles, one cookie on two levels."""
    yield from _names(document)
    for missing in _references(document):
        yield missing._replace(instead=_and_then(document, missing))
    circles = [*_circles(document.services, Split), *_circles(document.tcp_services, TcpSplit)]
    yield from circles
    if not circles:
        yield from _nested_cookies(document)
    yield from _chains(document)


def _names(document: Document) -> Iterator[Diagnostic]:
    sections: dict[str, tuple[Route | TcpRoute, ...]] = {"routes": document.routes, "tcp_routes": document.tcp_routes}
    for key, routes in sections.items():
        every = [route.name for route in routes]
        every += [canary_name(route, i) for route in routes if isinstance(route, Route) for i in range(len(route.canaries))]
        if len(set(every)) == len(every):
            continue
        seen: dict[str, Path] = {}
        for index, route in enumerate(routes):
            names: list[tuple[str, Path]] = [(route.name, (key, index, "name"))]
            if isinstance(route, Route):
                names += [(canary_name(route, i), (key, index, "canaries", i, "name")) for i in range(len(route.canaries))]
            for name, path in names:
                if name in seen:
                    yield error(
                        Code.NAME_CLASH, f"the name {name!r} is taken by {dotted(seen[name])}", path, instead="give it another name"
                    )
                seen.setdefault(name, path)


def _missing(kind: str, name: str, known: Mapping[str, object], path: Path, section: str) -> Iterator[Diagnostic]:
    if external(name) or name in known or isinstance(name, Template):
        return
    guess = nearest(name, known)
    hint = f"did you mean {guess!r}?" if guess else f"define it under `{section}`, or write name@provider if another provider has it"
    yield error(Code.REFERENCE, f"there is no {kind} {name!r}", path, instead=hint)


def _targets(route: Route | TcpRoute, base: Path) -> Iterator[tuple[str, Path]]:
    if isinstance(route, Route):
        for index, canary in enumerate(route.canaries):
            yield canary.to, (*base, "canaries", index, "to")
    if route.to is not None:
        yield route.to, (*base, "to")
    for index, entry in enumerate(route.split):
        yield entry.to, (*base, "split", index, "to")


def _references(document: Document) -> Iterator[Diagnostic]:
    for index, route in enumerate(document.routes):
        yield from _route_references(document, route, ("routes", index), document.services, "services", document.middlewares)
    for index, tcp in enumerate(document.tcp_routes):
        yield from _route_references(document, tcp, ("tcp_routes", index), document.tcp_services, "tcp_services", document.tcp_middlewares)
    for name, service in document.services.items():
        base: Path = ("services", name)
        for index, reference in enumerate(service.middlewares):
            yield from _missing("middleware", reference, document.middlewares, (*base, "middlewares", index), "middlewares")
        if isinstance(service, Split):
            for index, entry in enumerate(service.split):
                yield from _missing("service", entry.to, document.services, (*base, "split", index, "to"), "services")
        elif service.servers_transport is not None:
            path = (*base, "servers_transport")
            yield from _missing("servers transport", service.servers_transport, document.servers_transports, path, "servers_transports")
    for name, tcp_service in document.tcp_services.items():
        if isinstance(tcp_service, TcpSplit):
            for index, entry in enumerate(tcp_service.split):
                path = ("tcp_services", name, "split", index, "to")
                yield from _missing("TCP service", entry.to, document.tcp_services, path, "tcp_services")


def _and_then(document: Document, missing: Diagnostic) -> str:
    """The remedy, and for a route what becomes of its requests: Traefik disables a router that names nothing."""
    section, index, *rest = missing.path
    if section != "routes" or not isinstance(index, int) or "entry_points" in rest or "tls" in rest:
        return missing.instead
    from pinfeather.model.fallen import falls_to

    stop = " " if missing.instead.endswith("?") else "; "
    return f"{missing.instead}{stop}Traefik disables {document.routes[index].name!r}: {falls_to(document, index)}"


def _route_references(
    document: Document,
    route: Route | TcpRoute,
    base: Path,
    services: Mapping[str, object],
    section: str,
    middlewares: Mapping[str, object],
) -> Iterator[Diagnostic]:
    if not all(map(services.__contains__, route.targets)):
        for target, path in _targets(route, base):
            yield from _missing("service", target, services, path, section)
    section = "middlewares" if isinstance(route, Route) else "tcp_middlewares"
    for index, reference in enumerate(route.middlewares):
        yield from _missing("middleware", reference, middlewares, (*base, "middlewares", index), section)
    if document.entry_points:
        for index, point in enumerate(route.entry_points):
            yield from _missing("entry point", point, document.entry_points, (*base, "entry_points", index), "entry_points")
    if route.tls is not None and route.tls.options is not None and route.tls.options != "default":
        yield from _missing("set of TLS options", route.tls.options, document.tls_options, (*base, "tls", "options"), "tls_options")


def _circles(services: Mapping[str, object], kind: type[Split] | type[TcpSplit]) -> Iterator[Diagnostic]:
    done: set[str] = set()
    for name, each in services.items():
        if isinstance(each, kind):
            yield from _circles_from(name, (), services, kind, done)


def _circles_from(
    name: str, above: tuple[str, ...], services: Mapping[str, object], kind: type[Split] | type[TcpSplit], done: set[str]
) -> Iterator[Diagnostic]:
    if name in above:
        way = " -> ".join((*above[above.index(name) :], name))
        section = "services" if kind is Split else "tcp_services"
        yield error(Code.REFERENCE, f"the split goes in a circle: {way}", (section, name), instead="let one of them end at servers")
        return
    service = services.get(name)
    if name in done or not isinstance(service, Split | TcpSplit):
        return
    for entry in service.split:
        if isinstance(services.get(entry.to), kind):
            yield from _circles_from(entry.to, (*above, name), services, kind, done)
    done.add(name)


_STICKY = (LoadBalancer, Split, Route)


def _cookie_name(service: object) -> str | None:
    if isinstance(service, _STICKY) and service.sticky is not None and service.sticky.cookie is not None:
        return service.sticky.cookie.name
    return None


def _cookies_below(document: Document, entries: tuple[SplitEntry, ...]) -> Iterator[tuple[str, str]]:
    for entry in entries:
        service = document.services.get(entry.to)
        if (cookie := _cookie_name(service)) is not None:
            yield entry.to, cookie
        if isinstance(service, Split):
            yield from _cookies_below(document, service.split)


def _nested_cookies(document: Document) -> Iterator[Diagnostic]:
    outer: list[tuple[Path, str, tuple[SplitEntry, ...]]] = []
    for index, route in enumerate(document.routes):
        if route.sticky is not None and (cookie := _cookie_name(route)) is not None:
            outer.append((("routes", index, "sticky", "cookie", "name"), cookie, route.split))
    for name, service in document.services.items():
        if isinstance(service, Split) and (cookie := _cookie_name(service)) is not None:
            outer.append((("services", name, "sticky", "cookie", "name"), cookie, service.split))
    for path, cookie, entries in outer:
        for name, inner in _cookies_below(document, entries):
            if inner == cookie:
                said = f"the cookie {cookie!r} is also the one of the service {name!r} below: each overwrites the other, nobody stays"
                yield error(Code.COOKIE_NESTED, said, path, instead="give the two levels two names")
                break


def _chain_circles(document: Document, name: str, above: tuple[str, ...]) -> Iterator[Diagnostic]:
    middleware = document.middlewares.get(name)
    if name in above:
        yield error(Code.REFERENCE, f"the chain goes in a circle: {' -> '.join((*above, name))}", ("middlewares", name))
    elif middleware is not None and middleware.chain is not None:
        for reference in middleware.chain.middlewares:
            yield from _chain_circles(document, reference, (*above, name))


def _chains(document: Document) -> Iterator[Diagnostic]:
    for name, middleware in document.middlewares.items():
        if middleware.chain is not None:
            for index, reference in enumerate(middleware.chain.middlewares):
                path = ("middlewares", name, "chain", "middlewares", index)
                yield from _missing("middleware", reference, document.middlewares, path, "middlewares")
            yield from _chain_circles(document, name, ())

"""Advice on stickiness, where something in the document gives rise to it. None of it is a fault."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pinfeather.model.diagnostics import Code, Diagnostic, info, warning
from pinfeather.model.document import Document
from pinfeather.model.match import Header, PathMatch, conjuncts, leaves
from pinfeather.model.middlewares import Middleware
from pinfeather.model.normal import lifted
from pinfeather.model.reach import Sticky, below, hosts_of, sticky_services
from pinfeather.model.routes import Route
from pinfeather.model.services import LoadBalancer

STATIC = ("static", "assets", "public", "media", "images", "img", "css", "js", "fonts", "favicon.ico", "robots.txt")
"""First parts of paths under which the same files are served to everybody."""


def _routes_to(document: Document) -> Iterator[tuple[int, Route, Sticky]]:
    """Each route with each sticky service that it leads to."""
    sticky = {each.name: each for each in sticky_services(document)}
    for index, route in enumerate(document.routes if sticky else ()):
        for name in below(document, route.targets):
            if name in sticky:
                yield index, route, sticky[name]


def _middlewares(document: Document, names: tuple[str, ...], wanted: Callable[[Middleware], bool]) -> bool:
    todo, seen = list(names), set[str]()
    while todo:
        if (name := todo.pop()) in seen or (middleware := document.middlewares.get(name)) is None:
            continue
        seen.add(name)
        if wanted(middleware):
            return True
        todo += middleware.chain.middlewares if middleware.chain is not None else ()
    return False


def _one_server(document: Document) -> Iterator[Diagnostic]:
    for each in sticky_services(document):
        servers = each.service.servers
        if len(servers) == 1 and servers[0].url is not None:
            said = f"{each.name!r} has one server: every request goes there, pinned or not"
            yield info(Code.STICKY_ONE_SERVER, said, ("services", each.name), instead="add servers, or leave `sticky` out")


def _some_routes(document: Document) -> Iterator[Diagnostic]:
    """Two services over the same servers, of which one pins, under a host in common."""
    hosts = hosts_of(document)
    by_servers: dict[frozenset[str], list[str]] = {}
    for name, service in document.services.items():
        if isinstance(service, LoadBalancer) and len(service.servers) + any(s.url is None for s in service.servers) > 1:
            by_servers.setdefault(frozenset(server.key for server in service.servers), []).append(name)
    for names in by_servers.values():
        pinned = [name for name in names if _pins(document, name)]
        for name in names if pinned else ():
            first = next((other for other in pinned if hosts.get(other, {}).keys() & hosts.get(name, {}).keys()), None)
            if name not in pinned and first is not None:
                said = f"{name!r} has the servers of {first!r} and does not pin: who comes by it meets any of them"
                yield info(
                    Code.STICKY_SOME_ROUTES, said, ("services", name), instead=f"lead its routes to {first!r}, or give it the same `sticky`"
                )


def _pins(document: Document, name: str) -> bool:
    service = document.services[name]
    return isinstance(service, LoadBalancer) and service.sticky is not None


def _stateless(document: Document) -> Iterator[Diagnostic]:
    for index, route, sticky in _routes_to(document):
        path = lifted(route).path
        if path is not None and _is_static(path):
            said = f"{route.name!r} serves files that are the same everywhere, and {sticky.name!r} pins who asks for them"
            yield info(Code.STICKY_STATELESS, said, ("routes", index), instead="give it a service without `sticky`")


def _is_static(path: PathMatch) -> bool:
    text = path.exact or path.prefix
    return text is not None and text.strip("/").partition("/")[0].lower() in STATIC


def _websocket(document: Document) -> Iterator[Diagnostic]:
    for index, route, sticky in _routes_to(document):
        parts = [leaf for part in conjuncts(route.match) for leaf in leaves(part)]
        if any(isinstance(leaf, Header) and leaf.header.name.lower() == "upgrade" for leaf in parts):
            said = f"a WebSocket of {route.name!r} stays on its connection; the cookie of {sticky.name!r} matters for the next one only"
            yield info(Code.STICKY_WEBSOCKET, said, ("routes", index), instead="keep it for reconnects, or leave it out")


def _retry(document: Document) -> Iterator[Diagnostic]:
    for index, route, sticky in _routes_to(document):
        checked = sticky.service.health_check is not None or sticky.service.passive_health_check is not None
        if not checked and _middlewares(document, (*route.middlewares, *sticky.service.middlewares), lambda each: each.retry is not None):
            said = f"every retry of {route.name!r} for a pinned client goes to the same server of {sticky.name!r}"
            yield info(Code.STICKY_RETRY, said, ("routes", index), instead="add a health check, so that a dead server loses its pins")


def _cached(document: Document) -> Iterator[Diagnostic]:
    for index, route, sticky in _routes_to(document):
        if _middlewares(document, (*route.middlewares, *sticky.service.middlewares), _shared_cache):
            said = f"{route.name!r} lets shared caches keep its answers, and with them the cookie {sticky.cookie.name!r} of one client"
            hint = "say `Cache-Control: private`, or keep Set-Cookie out of the cache"
            yield info(Code.COOKIE_CACHED, said, ("routes", index), instead=hint)


def _shared_cache(middleware: Middleware) -> bool:
    """Whether it allows caches between server and browser to keep an answer (RFC 9111, 5.2.2)."""
    headers = middleware.headers.response if middleware.headers is not None else {}
    for name, value in headers.items():
        words = {part.strip().partition("=")[0].lower() for part in value.split(",")}
        if name.lower() == "cache-control" and words & {"public", "s-maxage"} and not words & {"private", "no-store"}:
            return True
        if name.lower() in ("cdn-cache-control", "surrogate-control") and not words & {"no-store", "private", "no-cache"}:
            return True
    return False


def _ignored(document: Document) -> Iterator[Diagnostic]:
    for each in sticky_services(document):
        if each.service.strategy == "hrw":
            said = f"{each.name!r} draws by the client's address (hrw), and Traefik then ignores `sticky` without a word"
            yield warning(Code.SETTING_IGNORED, said, ("services", each.name, "strategy"), instead="leave one of the two out")
    for index, route in enumerate(document.routes):
        annotations = route.metadata.annotations if route.metadata is not None else {}
        for key in annotations:
            name = key.partition("/")[2].lower()
            if "traefik" in key and ("sticky" in name or "affinity" in name or "session-cookie" in name):
                said = f"the annotation {key!r} pins nobody here: stickiness stands in the service that a route names"
                path = ("routes", index, "metadata", "annotations", key)
                yield warning(Code.SETTING_IGNORED, said, path, instead="write `sticky.cookie` there")


CHECKS = (_one_server, _some_routes, _stateless, _websocket, _retry, _cached, _ignored)

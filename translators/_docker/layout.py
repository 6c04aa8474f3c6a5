"""Which part of a document goes into labels, on which containers, and which into the file beside them.

A service all of whose servers are containers stands on the labels of those containers. A router stands on every container
that its requests can reach, also through a split in the file; one that reaches none stands in the file. A middleware stands
where the routers that pass it stand, if they all stand in labels and labels can hold it, else in the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from pinfeather.model.document import Document, canary_name
from pinfeather.model.middlewares import Middleware
from pinfeather.model.noun import Template, external
from pinfeather.model.routes import Route, TcpRoute
from pinfeather.model.services import LoadBalancer, Split, TcpLoadBalancer, TcpSplit
from pinfeather.translators._syntax.label_pairs import says
from pinfeather.translators._syntax.tree import Tree
from pinfeather.translators._syntax.variables import Variables
from pinfeather.translators._traefik.middlewares import put_middleware
from pinfeather.translators._traefik.schema import MIDDLEWARES, TCP_MIDDLEWARES

On = dict[str, tuple[str, ...]]
"""Names to containers."""
Version = tuple[int, int]


Users = list[tuple[tuple[str, ...], "tuple[str, ...] | None"]]


class Side(NamedTuple):
    """Of HTTP or of TCP: what stands in labels, and on which containers. Canaries are routers."""

    services: On
    routers: On
    middlewares: On
    listed: frozenset[str]
    """Middlewares of the file that a list in labels names."""


class Layout(NamedTuple):
    http: Side
    tcp: Side

    def side(self, name: str) -> Side:
        return self.tcp if name == "tcp" else self.http


def layout(document: Document, version: Version) -> Layout:
    """Where each thing of a document goes."""
    services, children = _services(document.services)
    routers: On = {}
    passed: dict[str, tuple[str, ...]] = {}
    for route in document.routes:
        for name, targets in _routers(route):
            passed[name] = route.middlewares
            on = _reached(targets, services, children)
            if on and _listable(route):
                routers[name] = on
    users: Users = [(names, routers.get(name)) for name, names in passed.items()]
    users += [(service.middlewares, services.get(name)) for name, service in document.services.items() if service.middlewares]
    return Layout(_side(services, routers, document.middlewares, users, version, tcp=False), _tcp(document, version))


def _side(services: On, routers: On, held: Mapping[str, Middleware], users: Users, version: Version, *, tcp: bool) -> Side:
    middlewares = _middlewares(held, users, version, tcp=tcp)
    lists = [names for names, on in users if on]
    lists += [chain.middlewares for name in middlewares if (chain := held[name].chain) is not None]
    listed = frozenset(name for names in lists for name in names if name in held and name not in middlewares)
    return Side(services, routers, middlewares, listed)


def _tcp(document: Document, version: Version) -> Side:
    services, children = _services(document.tcp_services)
    routers: On = {}
    for route in document.tcp_routes:
        on = _reached(route.targets, services, children)
        if on and _listable(route):
            routers[route.name] = on
    users: Users = [(route.middlewares, routers.get(route.name)) for route in document.tcp_routes]
    return _side(services, routers, document.tcp_middlewares, users, version, tcp=True)


def _services(services: Mapping[str, object]) -> tuple[On, dict[str, tuple[str, ...]]]:
    """Those of containers with these, and those that are splits with their children."""
    on: On = {}
    children: dict[str, tuple[str, ...]] = {}
    for name, service in services.items():
        if type(service) in _SPLITS:
            assert isinstance(service, Split | TcpSplit)
            children[name] = tuple([entry.to for entry in service.split])
        elif held := containers_of(service):
            on[name] = held
    return on, children


_SPLITS = frozenset((Split, TcpSplit))


def containers_of(service: object) -> tuple[str, ...]:
    """The containers of a service that has nothing but named containers for servers; else none."""
    if not isinstance(service, LoadBalancer | TcpLoadBalancer):
        return ()
    names = [server.container.name for server in service.servers if server.container is not None and server.container.name]
    if len(names) == len(service.servers) == 1:
        return (names[0],)
    return tuple(names) if len(names) == len(service.servers) and len(set(names)) == len(names) else ()


def _routers(route: Route) -> Iterator[tuple[str, tuple[str, ...]]]:
    for number, canary in enumerate(route.canaries):
        yield canary_name(route, number), (canary.to,)
    yield route.name, ((route.to,) if route.to is not None else tuple(entry.to for entry in route.split))


def _reached(targets: tuple[str, ...], services: On, children: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    if len(targets) == 1 and targets[0] not in children:
        return services.get(targets[0], ())
    found: dict[str, None] = {}
    seen: set[str] = set()
    waiting = list(targets)
    while waiting:
        name = waiting.pop(0)
        if name not in seen:
            seen.add(name)
            found.update(dict.fromkeys(services.get(name, ())))
            waiting += children.get(name, ())
    return tuple(found)


def _listable(route: Route | TcpRoute) -> bool:
    """Whether every list of a router stays what it is with commas between its texts."""
    texts = [*route.entry_points, *(reference for reference in route.middlewares if external(reference))]
    if route.tls is not None:
        texts += [name for domain in route.tls.domains for name in domain.sans]
    return all(map(keeps, texts))


@lru_cache(maxsize=1024)
def keeps(text: str) -> bool:
    """Whether a text in a list with commas stays what it is."""
    text = filled(text)
    return "," not in text and text == text.strip() and bool(text)


def _middlewares(middlewares: Mapping[str, Middleware], users: Users, version: Version, *, tcp: bool) -> On:
    """Names to containers. `users`: who passes which, and on which containers it stands (None: in the file)."""
    if not middlewares:
        return {}
    chains = {name: each.chain.middlewares for name, each in middlewares.items() if each.chain is not None}
    filed = {name for name, each in middlewares.items() if not sayable(each, version, tcp=tcp)}
    for names, on in users:
        if not on:
            filed |= set(names)
    waiting = [name for name in filed if name in chains]
    while waiting:
        for inner in chains[waiting.pop()]:
            if inner not in filed:
                filed.add(inner)
                waiting += [inner] if inner in chains else []
    found: dict[str, dict[str, None]] = {}

    def stand(names: Iterable[str], on: tuple[str, ...]) -> None:
        for name in names:
            if name in middlewares and name not in filed:
                found.setdefault(name, {}).update(dict.fromkeys(on))
                stand(chains.get(name, ()), on)

    for names, on in users:
        if on:
            stand(names, on)
    return {name: tuple(found[name]) for name in middlewares if name in found}


def sayable(middleware: Middleware, version: Version, *, tcp: bool) -> bool:
    """Whether labels can hold a middleware: lists without commas in their texts, keys without dots.

    What a chain names within the document gets a name that a list can hold.
    """
    if middleware.chain is not None:
        return all(keeps(name) for name in middleware.chain.middlewares if external(name))
    return says(_marked(put_middleware(middleware, tcp=tcp)), TCP_MIDDLEWARES if tcp else MIDDLEWARES, version)


def filled(text: str) -> str:
    """A text as it is while labels are read: each variable as one mark."""
    return Variables({}).filled(text)[0] if isinstance(text, Template) else text


def _marked(tree: Tree) -> Tree:
    if isinstance(tree, dict):
        return {key: _marked(child) for key, child in tree.items()}
    if isinstance(tree, list):
        return [_marked(child) for child in tree]
    return filled(tree) if isinstance(tree, str) else tree

"""A document as Traefik's file provider reads it: routers, services, middlewares, transports and TLS options as one tree.

`traefik-file` writes the tree as it is; `docker-labels` puts a part of it into labels and the rest into a file beside them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256

from pinfeather.model.document import Document
from pinfeather.model.routes import Route, TcpRoute
from pinfeather.model.services import Split
from pinfeather.translators._syntax.tree import Tree
from pinfeather.translators._traefik.middlewares import put_middleware
from pinfeather.translators._traefik.nouns import TLS_OPTIONS, put
from pinfeather.translators._traefik.routing import V3, Rules, put_routers, put_tcp_routers
from pinfeather.translators._traefik.services import put_service, put_split, put_tcp_service
from pinfeather.translators._traefik.supports import is_tcp_transport


def file_tree(document: Document, rules: Rules = V3) -> dict[str, Tree]:
    """The configuration as plain data. What is empty is not there: Traefik refuses the whole file for it."""
    inline = split_names(document.routes, document.services)
    tcp_inline = split_names(document.tcp_routes, document.tcp_services)
    services: dict[str, Tree] = {name: put_service(service) for name, service in document.services.items()}
    for route in document.routes:
        if route.split:
            noun = Split.model_construct(split=route.split, sticky=route.sticky, when_down=route.when_down)
            services[inline[route.name]] = put_service(noun)
    tcp_services: dict[str, Tree] = {name: put_tcp_service(service) for name, service in document.tcp_services.items()}
    for tcp in document.tcp_routes:
        if tcp.split:
            tcp_services[tcp_inline[tcp.name]] = {"weighted": put_split(tcp.split)}
    http = {
        "routers": put_routers(document, inline, rules),
        "services": services,
        "middlewares": {name: put_middleware(each, tcp=False) for name, each in document.middlewares.items()},
        "serversTransports": _transports(document, tcp=False),
    }
    tcp_side = {
        "routers": put_tcp_routers(document, tcp_inline, rules),
        "services": tcp_services,
        "middlewares": {name: put_middleware(each, tcp=True) for name, each in document.tcp_middlewares.items()},
        "serversTransports": _transports(document, tcp=True),
    }
    options: dict[str, Tree] = {name: put(each, TLS_OPTIONS) for name, each in document.tls_options.items()}
    return present({"http": present(http), "tcp": present(tcp_side), "tls": present({"options": options})})


def present(sections: Mapping[str, dict[str, Tree]]) -> dict[str, Tree]:
    """The sections that have something in them."""
    return {name: section for name, section in sections.items() if section}


def _transports(document: Document, *, tcp: bool) -> dict[str, Tree]:
    return {name: tree for name, tree in document.servers_transports.items() if is_tcp_transport(tree) is tcp}


def split_names(routes: tuple[Route, ...] | tuple[TcpRoute, ...], services: Mapping[str, object]) -> dict[str, str]:
    """The weighted service for the split of each route that has one: called as the route, unless that name is taken."""
    taken, names = set(services), dict[str, str]()
    for route in routes:
        if route.split:
            name = next(each for each in _candidates(route.name) if each not in taken)
            taken.add(name)
            names[route.name] = name
    return names


def _candidates(name: str) -> Iterator[str]:
    yield name
    yield f"{name}-split"
    number = 2
    while True:
        yield f"{name}-split-{number}"
        number += 1


def cookie_value(child: str) -> str:
    """What Traefik's sticky cookie says of a child: a service by its name, a server by its URL.

    Traefik 3.7, pkg/server/service/loadbalancer/sticky.go.
    """
    return sha256(child.encode()).hexdigest()[:16]

"""The pools of a document: what one sticky cookie can bind to. A value that was given out for one pool says nothing in another.

Two pools may call their cookies alike. Who tells them apart asks for decisions on a document in which each cookie is called after its
pool (`apart`); clients see the names of the document.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pinfeather.model.document import Document
from pinfeather.model.services import LoadBalancer, Service, Split
from pinfeather.model.sticky import Cookie, Sticky


def apart(document: Document) -> Document:
    """The document with each sticky cookie called after its pool, so that no two have a name in common."""
    routes = tuple(
        route if (sticky := _called(route.sticky, _route_pool(route.name))) is None else route.model_copy(update={"sticky": sticky})
        for route in document.routes
    )
    services: dict[str, Service] = {
        name: service if (sticky := _called(service.sticky, _service_pool(name))) is None else service.model_copy(update={"sticky": sticky})
        for name, service in document.services.items()
    }
    return document.model_copy(update={"routes": routes, "services": services})


def _called(sticky: Sticky | None, pool: str) -> Sticky | None:
    cookie = _cookie(sticky)
    if sticky is None or cookie is None:
        return None
    return sticky.model_copy(update={"cookie": cookie.model_copy(update={"name": pool})})


def _route_pool(name: str) -> str:
    return f"route:{name}"


def _service_pool(name: str) -> str:
    return f"service:{name}"


def pools(document: Document) -> Iterable[tuple[str, Cookie, Sequence[str]]]:
    """Each sticky level of a document: its pool, its cookie, and all that it can bind to."""
    for route in document.routes:
        if (cookie := _cookie(route.sticky)) is not None:
            yield _route_pool(route.name), cookie, [*(entry.to for entry in route.split), *(c.to for c in route.canaries)]
    for name, service in document.services.items():
        if (cookie := _cookie(service.sticky)) is None:
            continue
        if isinstance(service, Split):
            yield _service_pool(name), cookie, [entry.to for entry in service.split]
        elif isinstance(service, LoadBalancer):
            yield _service_pool(name), cookie, [server.key for server in service.servers]


def _cookie(sticky: Sticky | None) -> Cookie | None:
    return None if sticky is None else sticky.cookie

"""Which services a route leads to, and which clients carry the same cookies to two of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pinfeather.model.diagnostics import Path
from pinfeather.model.document import Document
from pinfeather.model.normal import lifted
from pinfeather.model.noun import external
from pinfeather.model.overlap import same_host
from pinfeather.model.services import LoadBalancer, Split
from pinfeather.model.sticky import Cookie


class Sticky(NamedTuple):
    """A service that pins clients to its servers, and the hosts under which clients come to it ("": any)."""

    name: str
    service: LoadBalancer
    cookie: Cookie
    hosts: tuple[str, ...]

    @property
    def path(self) -> Path:
        return ("services", self.name, "sticky", "cookie")


def below(document: Document, names: Iterable[str]) -> tuple[str, ...]:
    """The load balancers that these services are or lead to, each once."""
    found: dict[str, None] = {}
    todo = [name for name in names if not external(name)]
    seen: set[str] = set()
    while todo:
        if (name := todo.pop(0)) in seen:
            continue
        seen.add(name)
        service = document.services.get(name)
        if isinstance(service, Split):
            todo += [entry.to for entry in service.split if not external(entry.to)]
        elif service is not None:
            found[name] = None
    return tuple(found)


def hosts_of(document: Document) -> dict[str, dict[str, None]]:
    """By load balancer: the hosts of the routes that lead to it, "" for a route that asks for none."""
    found: dict[str, dict[str, None]] = {}
    for route in document.routes:
        hosts = lifted(route).hosts or ("",)
        for name in below(document, route.targets):
            found.setdefault(name, {}).update(dict.fromkeys(hosts))
    return found


def sticky_services(document: Document) -> Iterator[Sticky]:
    """Every load balancer with a cookie, in the order of the document."""
    hosts = hosts_of(document) if document.services else {}
    for name, service in document.services.items():
        if isinstance(service, LoadBalancer) and service.sticky is not None and service.sticky.cookie is not None:
            yield Sticky(name, service, service.sticky.cookie, tuple(hosts.get(name, ())))


def one_jar(one: Sticky, other: Sticky) -> bool:
    """Whether a browser sends the cookie of either to both: by host or domain, and by path."""
    return _paths_meet(one.cookie.path, other.cookie.path) and any(_jars_meet(a, b) for a in _jars(one) for b in _jars(other))


def jars(one: Sticky) -> tuple[str, ...]:
    """The hosts for which browsers keep its cookie; a domain with a dot before it holds for every host below, "" for any."""
    return _jars(one)


def _jars(one: Sticky) -> tuple[str, ...]:
    domain = one.cookie.domain
    return (f".{domain.lower().removeprefix('.')}",) if domain else one.hosts


def _jars_meet(one: str, other: str) -> bool:
    if not one or not other:
        return True
    for domain, host in ((one, other), (other, one)):
        if domain.startswith(".") and f".{host.removeprefix('*').removeprefix('.')}".endswith(domain):
            return True
    return same_host(one, other)


def _paths_meet(one: str | None, other: str | None) -> bool:
    a, b = (one or "/").rstrip("/") + "/", (other or "/").rstrip("/") + "/"
    return a.startswith(b) or b.startswith(a)

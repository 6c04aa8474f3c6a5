"""The cookie values that Traefik uses for what is written as its objects.

A value is made of the name of the child as the split holds it, or of the URL of the server (Traefik 3.7, sticky.go); the
names are Traefik's own, and hang on the naming that the instance has. Servers behind a Service are known to the cluster alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

from pinfeather.model.document import Document
from pinfeather.model.normal import Rung
from pinfeather.model.routes import Route
from pinfeather.model.services import LoadBalancer, Split
from pinfeather.translators._crd.backends import spots_of
from pinfeather.translators._crd.catalogue import CrdOptions, child_name, router_name, service_id
from pinfeather.translators._crd.plan import Key, Plan
from pinfeather.translators._traefik.routing import Rules
from pinfeather.translators.contract import Identity


def cookie_value(child: str) -> str:
    """What the cookie says of a child."""
    return sha256(child.encode()).hexdigest()[:16]


def crd_identity(document: Document, options: CrdOptions) -> Identity:
    """By service, or by route for the split inside it; of a document that the objects can say."""
    plan = Plan(document, options).settle()
    variants: dict[tuple[str, str], str] = {}
    servers: dict[tuple[str, str], str] = {}
    for name, service in document.services.items():
        if isinstance(service, Split):
            home = options.home(plan.home(("services", name)))
            variants.update(_variants(plan, name, ("services", name), service, service_id(home, name, options)))
        else:
            servers.update({(name, server.key): cookie_value(server.key) for server in service.servers if server.url is not None})
    for written in plan.ingress_routes:
        route = document.routes[written.route]
        base = Rung(written.route, None)
        if route.split and base in written.rungs:
            variants.update(_variants(plan, route.name, ("routes", written.route), route, _holder(plan, base, written.rungs.index(base))))
    return Identity(variants, servers)


def _holder(plan: Plan, rung: Rung, index: int) -> str:
    home = plan.options.home(plan.home(("routes", rung.route)))
    if rung.route in plan.split_names:
        return service_id(home, plan.split_names[rung.route], plan.options)
    match = Rules(plan.options.version).http(plan.match(rung))
    return router_name(home, plan.route_names[rung], match, index, plan.options)


def _variants(plan: Plan, name: str, key: Key, split: Split | Route, holder: str) -> Iterator[tuple[tuple[str, str], str]]:
    options, document = plan.options, plan.document
    home = options.home(plan.home(key))
    for index, entry in enumerate(split.split):
        child = document.services.get(entry.to)
        if child is None:
            yield (name, entry.to), cookie_value(entry.to)
        elif isinstance(child, LoadBalancer) and entry.to not in plan.aliases:
            service, where, port = _place(child, entry.to, home)
            yield (name, entry.to), cookie_value(child_name(holder, where, service, port, index, options))
        else:
            where = options.home(plan.home(("services", entry.to)))
            yield (name, entry.to), cookie_value(service_id(where, entry.to, options))


def _place(balancer: LoadBalancer, name: str, home: str) -> tuple[str, str, object]:
    """The Service of a load balancer, its namespace and its port."""
    ref = balancer.servers[0].kubernetes
    if ref is not None:
        return str(ref.service), str(ref.namespace or home), ref.port
    spots = spots_of([str(server.url) for server in balancer.servers], tcp=False)
    assert not isinstance(spots, str)
    return name, home, spots[0].port

"""What a Voyager Ingress can say of a document: the checks that look at one place, the names that it makes, and the table."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pinfeather.model.diagnostics import Path
from pinfeather.model.document import Document, canary_name
from pinfeather.model.features import FULL, Becomes, Derived, Feature, Full, Near, Nothing, Support, When
from pinfeather.model.match import Host, Leaf, PathIs, PathMatch
from pinfeather.model.normal import uses as used
from pinfeather.model.noun import Template, external
from pinfeather.model.routes import Route, TcpRoute
from pinfeather.model.services import KubernetesRef, Server, Split, TcpServer
from pinfeather.model.sticky import Cookie
from pinfeather.translators._haproxy.annotations import ALLOWED
from pinfeather.translators._haproxy.checks import Answer, Checks, cookie_named
from pinfeather.translators._haproxy.plan import RESERVED, namespace_of
from pinfeather.translators._haproxy.rules import WORD, nested, put_leaf
from pinfeather.translators._syntax.kube import is_name, object_name
from pinfeather.translators._traefik.supports import found

_ATTRIBUTE = re.compile(r"/[A-Za-z0-9/._~-]*")
_DOMAIN = re.compile(r"\.?[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*")
_OUT = "what asks for it is left out"
_NO_SERVICE = "a backend is a Kubernetes Service: say --servers, or the service is left out"


# Single places ---------------------------------------------------------------------------------------------------------


def leaf_says(document: Document, path: Path) -> Answer:
    """Whether a condition has a safe word in HAProxy."""
    leaf = found(document, path[:-1] if path[-1] in ("exact", "prefix", "regex") else path)
    if isinstance(leaf, tuple):  # the hosts of a route
        leaves: tuple[Leaf, ...] = tuple(Host.model_construct(host=host) for host in leaf)
    else:
        leaves = (PathIs(path=leaf),) if isinstance(leaf, PathMatch) else (leaf,)  # type: ignore[assignment]
    if path[0] == "tcp_routes" or any(put_leaf(each) is None for each in leaves):
        return Nothing(f"it has no word that is safe in a line of HAProxy (no blanks, quotes, '#', '\\', '$'): {_OUT}")
    if any(str(getattr(each, "host", "")).endswith(RESERVED) for each in leaves):
        return Nothing(f"the host {RESERVED!r} is kept for backends that only rules use: {_OUT}")
    return FULL


def wildcard_says(document: Document, path: Path) -> Answer:
    said = leaf_says(document, path)
    return Near("where Voyager makes the route, HAProxy takes several labels for the `*`") if isinstance(said, Full) else said


def tree_says(document: Document, path: Path) -> Answer:
    """`any` and `not`: one level of each, as ACLs can be put together."""
    root = path[:5] if path[2] == "canaries" else path[:3]
    if not nested(found(document, root)):  # type: ignore[arg-type]
        return FULL
    return Nothing(f"rules hold alternatives of single conditions, negated or not, and no deeper: {_OUT}")


def split_service(document: Document, path: Path) -> Answer:
    """A split that is a service of its own: only where it could stand in its one route as well."""
    name, service = str(path[1]), document.services[str(path[1])]
    assert isinstance(service, Split)
    by_route = any(name in (route.to, *(canary.to for canary in route.canaries)) for route in document.routes)
    if used(document)[name] != 1 or not by_route or service.metadata is not None or service.middlewares:
        return Nothing("a split stands in its one route: the service is left out, and every route that leads there")
    return _sums(service)


def route_split(document: Document, path: Path) -> Answer:
    holder = found(document, path[:-1])
    assert isinstance(holder, Route)
    return _sums(holder)


def _sums(holder: Route | Split) -> Answer:
    weights = [entry.weight for entry in holder.split if isinstance(entry.weight, int)]
    if any(external(entry.to) for entry in holder.split) or sum(weights) > 10**9:
        return Nothing("weights sum to 1000000000 at most, over services of the document: what splits so is left out")
    return FULL


def variant_says(document: Document, path: Path) -> Answer:
    holder = found(document, path[:-1])
    assert isinstance(holder, Route | Split)
    if not cookie_named(holder.sticky):
        return Nothing("a cookie is called by letters, digits, '.', '_' and '-' here: clients are drawn anew at each request")
    if not any(entry.binds for entry in holder.split):
        return Nothing("no variant sets the cookie: clients are drawn anew at each request")
    return FULL


def with_variant_cookie(document: Document, path: Path) -> Answer:
    """What decides something only beside a variant cookie, and can be written only there."""
    holder = found(document, path[:2])
    pinned = isinstance(holder, Route | Split) and holder.sticky is not None
    kept = pinned and isinstance(variant_says(document, (*path[:2], "sticky")), Full)
    return FULL if kept else Nothing("without a variant cookie it decides nothing: it is not written")


def attribute_says(document: Document, path: Path) -> Answer:
    cookie = found(document, path[:-1])
    assert isinstance(cookie, Cookie)
    text, allowed = (cookie.path, _ATTRIBUTE) if path[-1] == "path" else (cookie.domain, _DOMAIN)
    if text is not None and not isinstance(text, Template) and allowed.fullmatch(text):
        return FULL
    return Nothing("it has no safe word in a line of HAProxy: the attribute is not sent")


def pass_host_says(document: Document, path: Path) -> Answer:
    return FULL if found(document, path) is True else Nothing("HAProxy passes the Host header on as it came")


def strategy_says(document: Document, path: Path) -> Answer:
    return FULL if found(document, path) == "wrr" else Nothing("servers are drawn in turn")


def from_container(document: Document, path: Path) -> Server | TcpServer | None:
    """The Kubernetes Service of the container's name."""
    server = found(document, path[:-1])
    assert isinstance(server, Server | TcpServer)
    box = server.container
    if box is None or box.name is None or not is_name(box.name) or box.port is None or box.scheme not in (None, "http"):
        return None
    ref = KubernetesRef(service=box.name, namespace=namespace_of(document), port=box.port)
    return server.model_copy(update={"container": None, "kubernetes": ref})


# Names -----------------------------------------------------------------------------------------------------------------


def backend_name(document: Document, path: Path) -> str:
    name = str(path[1])
    safe = WORD.fullmatch(name) and not name.startswith("pinfeather") and len(name) <= 100
    own = name if safe else f"s-{object_name(name, 60)}"
    return f"{own}-tcp" if path[0] == "tcp_services" and name in document.services else own


def route_name(document: Document, path: Path) -> str:
    route = found(document, path[:2])
    assert isinstance(route, Route | TcpRoute)
    name = canary_name(route, int(path[3])) if len(path) > 2 and isinstance(route, Route) else route.name
    return name if WORD.fullmatch(name) and len(name) <= 100 else f"r-{object_name(name, 60)}"


def middleware_name(document: Document, path: Path) -> str:
    name = str(path[1])
    if document.middlewares[name].ip_allow_list is not None:
        return ALLOWED
    return name if WORD.fullmatch(name) and name != ALLOWED and len(name) <= 100 else f"m-{object_name(name, 60)}"


_LEAVES = (
    Feature.HOST, Feature.HOST_REGEX, Feature.PATH_EXACT, Feature.PATH_PREFIX, Feature.PATH_REGEX, Feature.METHOD, Feature.HEADER,
    Feature.HEADER_REGEX, Feature.COOKIE, Feature.COOKIE_REGEX, Feature.QUERY, Feature.QUERY_REGEX, Feature.CLIENT_IP,
)  # fmt: skip


def table(given: Mapping[str, int], secret: str) -> dict[Feature, Support]:
    """The table; what is not in it is `Nothing`."""
    checks = Checks(given, secret)
    leaf = When(leaf_says, "texts without blanks, quotes, '#', '\\' and '$'")
    sticky = When(checks.sticky, "where all uses of one Kubernetes Service agree")
    metadata = When(checks.metadata, "on routes, where all of them agree")
    said: dict[Feature, Support] = {
        **dict.fromkeys(_LEAVES, leaf),
        Feature.HOST_WILDCARD: When(wildcard_says, "HAProxy takes several labels for `*`"),
        **dict.fromkeys((Feature.ANY, Feature.NOT), When(tree_says, "alternatives of single conditions, negated or not")),
        **dict.fromkeys((Feature.PRIORITY, Feature.CANARY, Feature.CANARY_PRIORITY), FULL),
        Feature.SPLIT: When(route_split, "weights that sum to 1000000000 at most"),
        Feature.SPLIT_SERVICE: When(split_service, "that could stand in its one route"),
        Feature.STICKY_VARIANT: When(variant_says, "a plain name, and a variant that sets it"),
        **dict.fromkeys((Feature.SPLIT_UNBOUND, Feature.WEIGHT_ZERO_KEEP), When(with_variant_cookie, "beside a variant cookie")),
        **dict.fromkeys((Feature.STICKY_SERVER, Feature.STICKY_SOURCE), sticky),
        **dict.fromkeys((Feature.COOKIE_MAX_AGE, Feature.COOKIE_SECURE, Feature.COOKIE_HTTP_ONLY, Feature.COOKIE_SAME_SITE), FULL),
        **dict.fromkeys((Feature.COOKIE_PATH, Feature.COOKIE_DOMAIN), When(attribute_says, "plain texts")),
        Feature.COOKIE_HASH: When(checks.hash, "of servers, where all uses of one Kubernetes Service agree"),
        Feature.SERVER_KUBERNETES: When(checks.server, "one a service, over plain HTTP"),
        Feature.SERVER_CONTAINER: Becomes(from_container, "the Kubernetes Service of its name is written", _NO_SERVICE),
        Feature.SERVER_URL: When(checks.address, "by address, as a Service with EndpointSlices"),
        Feature.SERVER_WEIGHT: When(checks.weight, "of a single server"),
        Feature.STRATEGY: When(strategy_says, "wrr"),
        Feature.PASS_HOST: When(pass_host_says, "always"),
        **dict.fromkeys(
            (Feature.IP_ALLOW_LIST, Feature.HEADERS), When(checks.middleware, "one list, then headers of the answer, of all routes")
        ),
        Feature.HEALTH_CHECK: When(checks.health, "where all uses of one Kubernetes Service are checked"),
        Feature.ENTRY_POINTS: When(checks.entry_points, "of which the port is known"),
        Feature.PORTS: When(checks.listening, "ports of their own"),
        Feature.TLS: When(checks.tls, "with hosts and a Secret, for every route of the port"),
        Feature.TLS_OFF: Nothing("leave `tls` out: a route without it has none here"),
        Feature.TLS_SECRET: When(checks.secret, "another than --secret"),
        **dict.fromkeys((Feature.NAMESPACE, Feature.OBJECT_NAME, Feature.LABELS, Feature.ANNOTATIONS, Feature.DNS_RECORDS), metadata),
        Feature.TCP: When(checks.tcp, "by port, to one Kubernetes Service"),
        Feature.ROUTE_NAME: Derived(route_name, "names that are one word to HAProxy"),
        Feature.SERVICE_NAME: Derived(backend_name, "names that are one word to HAProxy"),
        Feature.MIDDLEWARE_NAME: Derived(middleware_name, "an address list is called `whitelist-source-range`"),
    }
    return said

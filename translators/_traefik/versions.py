"""What a version of Traefik before 3.7 can say: the checks that ask a place, and the table of first versions.

As `tests/versions` found it by asking each minor; 3.1 was not run, and is taken to lack what 3.0 lacks and 3.2 has.
"""

from __future__ import annotations

from collections.abc import Mapping

from pinfeather.model.diagnostics import Path
from pinfeather.model.document import Document
from pinfeather.model.features import FULL, Feature, Full, Near, Nothing, Support
from pinfeather.model.match import ServerNameIs
from pinfeather.model.middlewares import Middleware
from pinfeather.model.routes import Observability
from pinfeather.model.services import LoadBalancer
from pinfeather.translators._syntax.tree import Tree
from pinfeather.translators._traefik.middlewares import put_middleware
from pinfeather.translators._traefik.routing import Rules
from pinfeather.translators._traefik.schema import MIDDLEWARES, later
from pinfeather.translators._traefik.supports import (
    HELD,
    Answer,
    Check,
    Version,
    found,
    is_tcp_transport,
    middleware_says,
    observed,
    says_by,
    server_name,
    transports_say,
)

SINCE: Mapping[Feature, Version] = {
    Feature.HOST_WILDCARD: (3, 7),
    Feature.PATH_REGEX: (3, 0),
    Feature.QUERY_REGEX: (3, 0),
    Feature.COOKIE_MAX_AGE: (3, 0),
    Feature.COOKIE_PATH: (3, 3),
    Feature.COOKIE_DOMAIN: (3, 4),
    Feature.SERVER_WEIGHT: (3, 0),
    Feature.PRESERVE_PATH: (3, 2),
    Feature.PASSIVE_HEALTH_CHECK: (3, 6),
    Feature.SERVICE_MIDDLEWARES: (3, 7),
    Feature.OBSERVABILITY: (3, 3),
    Feature.TCP_SERVER_TLS: (3, 0),
}
"""The first version that has a feature; the others are as old as 2.11."""


def since(table: Mapping[Feature, Support], version: Version) -> dict[Feature, Support]:
    """The table as it is for an older version."""

    def aged(feature: Feature, support: Support) -> Support:
        first = SINCE.get(feature, (2, 11))
        return support if version >= first else Nothing(f"Traefik has it since {first[0]}.{first[1]}")

    return {feature: aged(feature, support) for feature, support in table.items()}


# Places ---------------------------------------------------------------------------------------------------------------


def server_name_v2(document: Document, path: Path) -> Answer:
    """`server_name` for Traefik 2, which has no wildcard there."""
    asked = found(document, path)
    names = (asked.sni,) if isinstance(asked, ServerNameIs) else asked if isinstance(asked, tuple) else ()
    if any("*" in name and name != "*" for name in names):
        return Nothing("Traefik 2 has no wildcard for a server name: what asks for it is left out")
    return server_name(document, path)


def same_site_v2(document: Document, path: Path) -> Answer:
    """Traefik 2 reads the attribute of a split's cookie and does not send it (pkg/server/service/loadbalancer/wrr, 2.11)."""
    balancer = path[0] == "services" and isinstance(document.services[str(path[1])], LoadBalancer)
    return FULL if balancer else Nothing("Traefik 2 ignores it on the cookie of a split: the attribute is not sent")


def query_v2(document: Document, path: Path) -> Answer:
    said = says_by(Rules((2, 11)))(document, path)
    return Near("of a parameter that stands twice Traefik 2 compares the first value alone") if isinstance(said, Full) else said


def strategy_since(version: Version) -> Check:
    def check(document: Document, path: Path) -> Answer:
        balancer = found(document, path[:-1])
        assert isinstance(balancer, LoadBalancer)
        since = {"wrr": (3, 4), "p2c": (3, 4)}.get(str(balancer.strategy), (3, 6))
        if version < since:
            return Nothing(f"Traefik has it since {since[0]}.{since[1]}: servers are drawn by weight")
        if balancer.strategy == "p2c" and any(server.weight not in (None, 1) for server in balancer.servers):
            return Near("Traefik ignores the weights of servers under p2c")
        if balancer.strategy == "hrw" and balancer.sticky is not None:
            return Near("Traefik ignores the cookie under hrw: a client stays by its address")
        return FULL

    return check


_CHECKS_SINCE = {"mode": (3, 0), "status": (3, 0), "unhealthy_interval": (3, 5)}


def health_check_since(version: Version) -> Check:
    """Fields of a health check by version."""

    def check(_document: Document, path: Path) -> Answer:
        since = _CHECKS_SINCE.get(str(path[-1]), (2, 11))
        return FULL if version >= since else Nothing(f"Traefik has it since {since[0]}.{since[1]}: its default holds")

    return check


_TRANSPORT_SINCE = {"spiffe": (3, 0), "proxyProtocol": (3, 5), **dict.fromkeys(("minVersion", "maxVersion", "cipherSuites"), (3, 7))}
_TCP_TRANSPORTS_SINCE = (3, 0)


def _transport_since(tree: Tree) -> Version:
    """The first version that knows all of a servers transport; one that does not refuses the whole file."""
    of_tcp = _TCP_TRANSPORTS_SINCE if is_tcp_transport(tree) else (2, 11)
    keys = tree if isinstance(tree, dict) else {}
    return max(of_tcp, *(since for key, since in _TRANSPORT_SINCE.items() if key in keys), (2, 11))


def newer_transport(document: Document, version: Version) -> Nothing | None:
    """What is said where a servers transport has a key that the version does not know."""
    for name, tree in document.servers_transports.items():
        if (since := _transport_since(tree)) > version:
            return Nothing(f"{name!r} needs Traefik {since[0]}.{since[1]}: every service that uses one is left out")
    return None


def transports_known(version: Version) -> Check:
    """`transports_say` for one version."""

    def check(document: Document, path: Path) -> Answer:
        return newer_transport(document, version) or transports_say(document, path)

    return check


def middleware_known(version: Version) -> Check:
    """`middleware_says` for one version: a key that it does not know makes Traefik refuse the whole file."""

    def check(document: Document, path: Path) -> Answer:
        answer = middleware_says(document, path)
        if isinstance(answer, Nothing) or path[0] == "tcp_middlewares":
            return answer
        middleware = found(document, path)
        assert isinstance(middleware, Middleware)
        tree = put_middleware(middleware, tcp=False)
        if tree == {"contentType": {}} and version < (3, 0):
            return Nothing(f"Traefik 2 refuses the whole file for an empty `contentType`: {HELD}")
        key = later(tree, MIDDLEWARES, version)
        return answer if key is None else Nothing(f"this version of Traefik does not know {key!r}: {HELD}")

    return check


def observed_since(version: Version) -> Check:
    """`observed` for one version."""

    def check(document: Document, path: Path) -> Answer:
        values = found(document, path)
        assert isinstance(values, Observability)
        if values.trace_verbosity is not None and version < (3, 5):
            return Nothing("Traefik has `trace_verbosity` since 3.5: the route is observed as everything else is")
        return observed(document, path)

    return check

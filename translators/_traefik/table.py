"""What Traefik's file provider can say of a document, by version: the table that `traefik-file` and `docker-labels` begin with.

Keys by version: 3.7, 3.6, 3.5, 3.4, 3.3, 3.2, 3.0 and 2.11 were asked of their binaries; 3.1 is after its source.
"""

from __future__ import annotations

from collections.abc import Mapping

from pinfeather.model.diagnostics import Path
from pinfeather.model.document import Document
from pinfeather.model.features import FULL, Becomes, Feature, Nothing, Support, When
from pinfeather.model.services import LoadBalancer, Server, TcpServer
from pinfeather.translators._traefik import supports as says
from pinfeather.translators._traefik import versions
from pinfeather.translators._traefik.routing import Rules

Version = tuple[int, int]
_CARRIED = "the file has no place for it"
_RULE = (
    Feature.HOST, Feature.HOST_WILDCARD, Feature.HOST_REGEX, Feature.PATH_REGEX, Feature.HEADER_REGEX, Feature.COOKIE_REGEX,
    Feature.QUERY_REGEX, Feature.CLIENT_IP, Feature.TCP_SNI_REGEX, Feature.TCP_ALPN,
)  # fmt: skip
_RULE_V2 = (Feature.PATH_EXACT, Feature.PATH_PREFIX, Feature.QUERY, Feature.HEADER, Feature.COOKIE, Feature.METHOD)
_TABLE: Mapping[Feature, Support] = {
    **dict.fromkeys(Feature, FULL),
    Feature.TCP: When(says.tcp_says, "without `tls` of what does not begin with TLS"),
    Feature.TCP_SNI: When(says.server_name, "with `tls` on the route"),
    **dict.fromkeys((Feature.ANY, Feature.NOT), When(says.not_too_deep, "nested up to 40 deep")),
    Feature.CANARY_BINDS: Nothing(),
    Feature.BINDING_FIRST: Nothing(),
    Feature.SPLIT_UNBOUND: Nothing(),
    Feature.WEIGHT_ZERO_KEEP: Nothing(),
    Feature.WHEN_DOWN_REDRAW: When(says.redraws, "where every child has a health check"),
    Feature.STICKY_SOURCE: Nothing(),
    **dict.fromkeys((Feature.COOKIE_MAX_AGE, Feature.COOKIE_DOMAIN), When(says.cookie_says, "0 and an empty text mean none")),
    Feature.PASSIVE_HEALTH_CHECK: When(says.passive_says, "with at least one number"),
    Feature.SERVERS_TRANSPORT: When(says.transport_says, "one of the same side, HTTP or TCP"),
    Feature.ENTRY_POINTS: When(says.entry_points_say, "names without `║`, at which Traefik cuts lists"),
    Feature.PORTS: Nothing("entry points are static configuration"),
    Feature.TLS_OFF: Nothing("Traefik leaves it to the entry point: leave `tls` out"),
    Feature.TLS_DOMAINS: When(says.domains_say, "names without `║`"),
    Feature.TLS_SECRET: Nothing("name a file under `tls.certificates`: the proxy shows the certificate that it has"),
    Feature.TLS_ISSUER: Nothing(),
    Feature.DNS_RECORDS: Nothing(),
    Feature.COOKIE_HASH: Nothing(),
    Feature.TCP_PASSTHROUGH: When(says.passthrough_says, "TCP only"),
    **dict.fromkeys((Feature.NAMESPACE, Feature.OBJECT_NAME, Feature.LABELS, Feature.ANNOTATIONS), Nothing(_CARRIED)),
    Feature.TEMPLATE: Nothing(),
}


def file_table(version: Version, *, templates: bool = False) -> dict[Feature, Support]:
    """The table for one version, but for servers by reference and references to other providers. Checks keep what they have looked at."""
    priority = When(says.priority_kept(), "given numbers are kept where they keep the order")
    rule = When(
        says.says_by(Rules(version, templates)),
        "what a rule can hold: ASCII hosts, no address zones, cookie regexes that stay inside one value",
    )
    middleware = When(versions.middleware_known(version), "as Traefik has it")
    table: dict[Feature, Support] = {
        **_TABLE,
        **dict.fromkeys(_RULE, rule),
        **{feature: middleware for feature in Feature if feature.startswith("middleware.")},
        Feature.PRIORITY: priority,
        Feature.CANARY_PRIORITY: priority,
        Feature.TLS: When(says.tls_sees(), "where no route without `tls` guards the same requests before it"),
        Feature.TRANSPORT_DEFINITION: When(versions.transports_known(version), "without Secrets; TCP since 3.0, some keys later"),
        Feature.OBSERVABILITY: When(versions.observed_since(version), "with at least one setting; `trace_verbosity` since 3.5"),
        Feature.STRATEGY: When(versions.strategy_since(version), "since 3.4; hrw and leasttime since 3.6"),
        Feature.HEALTH_CHECK_DETAIL: When(
            versions.health_check_since(version), "`mode` and `status` since 3.0, `unhealthy_interval` since 3.5"
        ),
    }
    if version < (3, 0):
        table |= dict.fromkeys(_RULE_V2, rule)
        table[Feature.TCP_SNI] = When(versions.server_name_v2, "with `tls` on the route, and no wildcard")
        table[Feature.QUERY] = When(versions.query_v2, "of a repeated one Traefik 2 compares the first value")
        table[Feature.COOKIE_SAME_SITE] = When(versions.same_site_v2, "not on the cookie of a split")
    return versions.since(table, version)


# Servers by reference --------------------------------------------------------------------------------------------------


def _pinned(document: Document, path: Path) -> bool:
    """Whether clients are pinned to the servers of the service at a path."""
    service = document.services.get(str(path[1])) if path[0] == "services" else None
    return isinstance(service, LoadBalancer) and service.sticky is not None


def container_url(document: Document, path: Path) -> Server | TcpServer | None:
    """A container by the name that it has on its network, where that is one server for good."""
    server = says.found(document, path[:-1])
    assert isinstance(server, Server | TcpServer)
    ref = server.container
    if ref is None or not ref.name or not isinstance(ref.port, int) or _pinned(document, path) or not says.is_dns(ref.name):
        return None
    return _at(server, ref.scheme, ref.name, ref.port)


def kubernetes_url(document: Document, path: Path) -> Server | TcpServer | None:
    """A Kubernetes Service by its name in the cluster, where that is one server for good."""
    server = says.found(document, path[:-1])
    assert isinstance(server, Server | TcpServer)
    ref = server.kubernetes
    if ref is None or not isinstance(ref.port, int) or _pinned(document, path):
        return None
    name = f"{ref.service}.{ref.namespace or 'default'}.svc"
    return _at(server, ref.scheme, name, ref.port) if says.is_dns(name) else None


def _at(server: Server | TcpServer, scheme: str | None, name: str, port: int) -> Server | TcpServer:
    if isinstance(server, TcpServer):
        return TcpServer(address=f"{name}:{port}", tls=server.tls)
    return Server(url=f"{scheme or 'http'}://{name}:{port}", weight=server.weight, preserve_path=server.preserve_path)


def url_of(feature: Feature) -> Becomes:
    """How the file provider reaches a server by reference."""
    if feature is Feature.SERVER_CONTAINER:
        return Becomes(
            container_url,
            "it is written as a URL, by the container's name: Traefik must share a network with it, and sees one server behind it",
            "give the servers by URL (--servers container:NAME:PORT=URL): the service is left out",
        )
    return Becomes(
        kubernetes_url,
        "it is written as a URL, by the Service's name in the cluster: Traefik sees one server, and the cluster balances behind it",
        "give the servers by URL (--servers NAMESPACE/NAME:PORT=URL): the service is left out",
    )

"""What a Voyager Ingress can say that has to be looked at as a whole: ports, certificates, uses of one Kubernetes Service, TCP."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from pinfeather.model.diagnostics import Path
from pinfeather.model.document import Document
from pinfeather.model.features import FULL, Full, Near, Nothing
from pinfeather.model.metadata import Metadata
from pinfeather.model.normal import lifted
from pinfeather.model.noun import Template
from pinfeather.model.routes import Route, TcpRoute
from pinfeather.model.services import KubernetesRef, LoadBalancer, TcpLoadBalancer
from pinfeather.model.sticky import SourceAddress, Sticky
from pinfeather.translators._haproxy.annotations import ALLOWED, CARRIED, OBJECT, OURS
from pinfeather.translators._haproxy.extras import check_says, headers_say
from pinfeather.translators._haproxy.plan import Ports, agreed, carried
from pinfeather.translators._haproxy.rules import NAME
from pinfeather.translators._haproxy.targets import Targets, Use, addresses_of
from pinfeather.translators._syntax.kube import DNS, is_name
from pinfeather.translators._traefik.supports import found

Answer = Full | Near | Nothing
SOURCE = SourceAddress(size=102_400, lifetime="1800s")
"""The table that Voyager makes for TCP: `size 100k expire 30m`, and HAProxy counts k as 1,024."""
_SERVICE_PORT = re.compile(r"(?=[a-z0-9-]*[a-z])[a-z0-9-]{1,63}")


class Facts(NamedTuple):
    """What has to be looked at as a whole, once for a document."""

    document: Document
    ports: Ports
    http: Mapping[int, frozenset[bool]]
    """The ports of HTTP, and whether their routes end TLS."""
    tcp: Mapping[int, int]
    """The ports of TCP, and how many routes want each."""
    secrets: Mapping[str, frozenset[str | None]]
    targets: Targets
    agreed: Mapping[str, object]
    """What all routes say in each field of their metadata."""
    passed: tuple[str, ...]
    """The middlewares that every route passes, where an Ingress can say them: an address list, then headers of the answer."""


class Checks:
    """The checks of one run: the facts about the document at hand are kept."""

    def __init__(self, given: Mapping[str, int], secret: str) -> None:
        self._given = given
        self._secret = secret
        self._last: Facts | None = None

    def facts(self, document: Document) -> Facts:
        if self._last is None or self._last.document is not document:
            self._last = _facts(document, self._given, self._secret)
        return self._last

    # Entry points and TLS.

    def entry_points(self, document: Document, path: Path) -> Answer:
        facts, route = self.facts(document), found(document, path[:-1])
        assert isinstance(route, Route | TcpRoute)
        ports = [facts.ports.of(name) for name in route.entry_points]
        if None in ports:
            name = route.entry_points[ports.index(None)]
            return Nothing(f"Voyager listens on ports: say `--entry-points …,{name}=PORT`; the route is left out")
        if len(set(ports)) != len(ports):
            return Nothing("two of its entry points are one port: the route is left out")
        return FULL

    def listening(self, document: Document, _path: Path) -> Answer:
        return FULL if carried(document) else Nothing("only ports of their own can be written: --entry-points says which others hold")

    def tls(self, document: Document, path: Path) -> Answer:
        route = found(document, path[:-1])
        if isinstance(route, TcpRoute):
            return Nothing("a TCP route of ours has no TLS: the route is left out")
        assert isinstance(route, Route)
        facts = self.facts(document)
        hosts = lifted(route).hosts
        if not hosts or "*" in hosts:
            return Nothing("Voyager finds the certificate by the host, and the route has none: it is left out")
        if route.tls is None or not _subdomain(route.tls.secret or self._secret):
            return Nothing("Voyager wants the Secret of the certificate: say `tls: {secret: NAME}`, or --secret; the route is left out")
        if any(len(facts.secrets[host]) > 1 for host in hosts):
            return Nothing("Voyager has one certificate a host, and the routes of this one name two: the route is left out")
        for port, _ in facts.ports.all(route.entry_points, tls=True):
            if len(facts.http[port]) > 1:
                return Nothing(f"a port speaks TLS or not, and other routes on port {port} have no `tls`: the route is left out")
        return FULL

    def secret(self, document: Document, path: Path) -> Answer:
        said = found(document, path)
        return FULL if said and said != self._secret else Nothing("it is the one of --secret, or empty: leave it out")

    # Services.

    def server(self, document: Document, path: Path) -> Answer:
        section, name = str(path[0]), str(path[1])
        service = (document.services if section == "services" else document.tcp_services)[name]
        assert isinstance(service, LoadBalancer | TcpLoadBalancer)
        if len(service.servers) != 1:
            return Nothing("a backend is one Kubernetes Service: the service is left out")
        ref = service.servers[0].kubernetes
        assert ref is not None
        if not plain_reference(ref):
            return Nothing("no Kubernetes Service over plain HTTP has this name, namespace, port and scheme: the service is left out")
        if ref.namespace is None and (namespace := self.facts(document).targets.namespace) is not None:
            return Nothing(f"the routes are in {namespace!r}: say the namespace of the Service too; the service is left out")
        return FULL

    def address(self, document: Document, path: Path) -> Answer:
        """Servers by URL, which stand in a Service of our own."""
        service = document.services[str(path[1])]
        assert isinstance(service, LoadBalancer)
        why = addresses_of(service)
        return Nothing(f"{why}: the service is left out") if isinstance(why, str) else FULL

    def weight(self, document: Document, path: Path) -> Answer:
        service = document.services[str(path[1])]
        assert isinstance(service, LoadBalancer)
        return FULL if len(service.servers) == 1 else Nothing("the weight of a server stands in its pod: every server gets the same share")

    def sticky(self, document: Document, path: Path) -> Answer:
        service = found(document, path[:-1])
        assert isinstance(service, LoadBalancer | TcpLoadBalancer)
        if service.sticky is not None and service.sticky.cookie is None and service.sticky.source_address != SOURCE:
            return Nothing("Voyager has one table: say `source_address: {size: 102400, lifetime: 30m}`; each connection is drawn anew")
        if isinstance(service, LoadBalancer) and not cookie_named(service.sticky):
            return Nothing("a cookie is called by letters, digits, '.', '_' and '-' here: each request is drawn anew")
        for use in self._others(document, str(path[0]), str(path[1])):
            if not _pinned(use.balancer.sticky):
                all_or_none = "all backends of a Kubernetes Service are sticky, or none"
                return Nothing(f"{all_or_none}, and {use.name!r} is not: each request is drawn anew")
        return FULL

    def hash(self, document: Document, path: Path) -> Answer:
        if path[0] != "services" or not isinstance(service := document.services[str(path[1])], LoadBalancer):
            return Nothing("only the cookie of servers has one: the value is the variant's name")
        assert service.sticky is not None
        mine = service.sticky.cookie.hash if service.sticky.cookie is not None else None
        for use in self._others(document, "services", str(path[1])):
            other = use.balancer.sticky.cookie if use.balancer.sticky is not None else None
            if other is not None and other.hash != mine:
                return Nothing("Voyager has one hash for all backends of a Kubernetes Service: clients are drawn anew once")
        return FULL

    def _others(self, document: Document, section: str, name: str) -> list[Use]:
        return self.facts(document).targets.group.get((section, name), [])

    # TCP.

    def tcp(self, document: Document, path: Path) -> Answer:
        facts = self.facts(document)
        if path[0] == "tcp_routes":
            index = path[1]
            assert isinstance(index, int)
            if why := _tcp_route(facts, document.tcp_routes[index]):
                return Nothing(f"{why}: the route is left out")
            return FULL
        name = str(path[1])
        led = [route for route in document.tcp_routes if route.to == name]
        if not any(not _tcp_route(facts, route) for route in led) or _tcp_guarded(facts):
            return Nothing("no TCP route that can be written leads there: the service is left out")
        return FULL

    # Middlewares and what is carried along.

    def middleware(self, document: Document, path: Path) -> Answer:
        if path[0] == "middlewares" and path[1] in self.facts(document).passed:
            return FULL
        return Nothing(
            "it would hold for the whole Ingress: an address list and then headers of the answer, plain and passed by every route, can be "
            "written, with nothing beside them; every route that passes it is left out"
        )

    def health(self, document: Document, path: Path) -> Answer:
        service = document.services[str(path[1])]
        assert isinstance(service, LoadBalancer)
        if service.health_check is None or not check_says(service.health_check):
            return Nothing("its path has no safe word in a line of HAProxy: a dead server keeps its clients")
        for use in self._others(document, "services", str(path[1])):
            if not isinstance(use.balancer, LoadBalancer) or use.balancer.health_check is None:
                return Nothing(
                    f"all backends of a Kubernetes Service are checked, or none, and {use.name!r} is not: a dead server keeps its clients"
                )
        return FULL

    def metadata(self, document: Document, path: Path) -> Answer:
        if path[0] not in ("routes", "tcp_routes"):
            return Nothing("only the Ingress has a place for it: it is not written")
        field, value = str(path[-1]), found(document, path)
        if self.facts(document).agreed[field] != value:
            return Nothing("all routes stand in one Ingress, and they differ: it is not written")
        if field in ("namespace", "object") and (not is_name(str(value)) or value == OBJECT):
            return Nothing("it is no name of a Kubernetes object: it is not written")
        if field == "annotations":
            assert isinstance(value, dict)
            foreign = [key for key in value if key.startswith(DNS) or key in ALLOWED or (key.startswith(OURS) and key not in CARRIED)]
            if foreign or any(key.startswith("kubectl.kubernetes.io/") for key in value):
                return Nothing("an annotation among them means something to Voyager, or to kubectl: they are not written")
        return FULL


def _facts(document: Document, given: Mapping[str, int], secret: str) -> Facts:
    ports = Ports(document, given)
    http: dict[int, set[bool]] = {}
    tcp: dict[int, int] = {}
    secrets: dict[str, set[str | None]] = {}
    for route in document.routes:
        for port, _ in ports.all(route.entry_points, tls=route.tls is not None):
            http.setdefault(port, set()).add(route.tls is not None)
        if route.tls is not None:
            for host in lifted(route).hosts:
                secrets.setdefault(host, set()).add(route.tls.secret or secret)
    for tcp_route in document.tcp_routes:
        for name in tcp_route.entry_points:
            if (own := ports.of(name)) is not None:
                tcp[own] = tcp.get(own, 0) + 1
    return Facts(
        document,
        ports,
        {port: frozenset(kinds) for port, kinds in http.items()},
        tcp,
        {host: frozenset(names) for host, names in secrets.items()},
        Targets(document),
        {field: agreed(document, field) for field in Metadata.model_fields},
        _passed(document),
    )


def _passed(document: Document) -> tuple[str, ...]:
    lists = {name: each.ip_allow_list for name, each in document.middlewares.items() if each.ip_allow_list is not None}
    plain = [name for name, each in lists.items() if each.depth is None and each.reject_status is None]
    headers = [name for name, each in document.middlewares.items() if headers_say(each)]
    wanted = document.routes[0].middlewares if document.routes else (*plain[:1], *headers)
    if document.tcp_routes or any(route.middlewares != wanted for route in document.routes):
        return ()
    rest = wanted[1:] if wanted[:1] and wanted[0] in plain else wanted
    return wanted if set(rest) <= set(headers) and len(set(wanted)) == len(wanted) else ()


def _subdomain(text: str) -> bool:
    return not isinstance(text, Template) and len(text) <= 253 and all(map(is_name, text.split(".")))


def plain_reference(ref: KubernetesRef) -> bool:
    parts = (ref.service, *(() if ref.namespace is None else (ref.namespace,)))
    named = all(not isinstance(part, Template) and is_name(part) for part in parts)
    port = isinstance(ref.port, int) or (not isinstance(ref.port, Template) and _SERVICE_PORT.fullmatch(ref.port) is not None)
    return named and port and ref.scheme in (None, "http")


def cookie_named(sticky: Sticky | None) -> bool:
    cookie = None if sticky is None else sticky.cookie
    return cookie is not None and not isinstance(cookie.name, Template) and NAME.fullmatch(cookie.name) is not None


def _pinned(sticky: Sticky | None) -> bool:
    """Whether a use is sticky in the way that Voyager has for it."""
    return cookie_named(sticky) or (sticky is not None and sticky.source_address == SOURCE)


def _tcp_route(facts: Facts, route: TcpRoute) -> str:
    """Why a TCP route cannot be written; empty where it can."""
    if route.sni or route.match is not None or route.tls is not None or route.middlewares or route.split:
        return "a TCP route of ours has a port and a service, nothing else"
    ports = [facts.ports.of(name) for name in route.entry_points]
    if len(ports) != 1 or ports[0] is None:
        return "a TCP route has exactly one entry point, of which the port is known (--entry-points)"
    if ports[0] in facts.http or facts.tcp[ports[0]] > 1:
        return f"port {ports[0]} has another route, and only one of TCP can have it"
    service = facts.document.tcp_services.get(str(route.to))
    if not isinstance(service, TcpLoadBalancer):
        return "a backend is one Kubernetes Service"
    if isinstance(why := addresses_of(service), str):
        ref = service.servers[0].kubernetes if len(service.servers) == 1 else None
        if ref is None or not plain_reference(ref) or ref.scheme is not None:
            return why
        if ref.namespace is None and facts.targets.namespace is not None:
            return "the namespace of its Service is not said"
    if (
        any(server.tls is not None for server in service.servers)
        or service.proxy_protocol is not None
        or service.servers_transport is not None
    ):
        return "a TCP backend of ours has neither TLS nor the PROXY protocol"
    return ""


def _tcp_guarded(facts: Facts) -> bool:
    """Whether a route that goes had middlewares: the others go with it, as `project` has it."""
    return any(route.middlewares for route in facts.document.tcp_routes)

"""What Traefik's objects can say of a document, by version and instance: the support table of `ingressroute` and `helm-values`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pinfeather.model.diagnostics import Path
from pinfeather.model.document import Document
from pinfeather.model.features import FULL, Becomes, Derived, Feature, Full, Near, Nothing, Support, When
from pinfeather.model.normal import Rung
from pinfeather.model.noun import Template
from pinfeather.model.routes import Route, TcpRoute, Tls
from pinfeather.model.services import KubernetesRef, LoadBalancer, Server, TcpLoadBalancer, TcpServer, TcpSplit
from pinfeather.translators._crd.backends import spots_of
from pinfeather.translators._crd.catalogue import PROVIDER, CrdOptions
from pinfeather.translators._crd.metadata import annotations_say, dns_says, labels_say, namespace_says, object_says
from pinfeather.translators._crd.middlewares import middleware_says
from pinfeather.translators._crd.plan import Key, Plan
from pinfeather.translators._syntax import kube
from pinfeather.translators._syntax.tree import Tree
from pinfeather.translators._traefik import supports as says
from pinfeather.translators._traefik import versions
from pinfeather.translators._traefik.table import file_table

Answer = Full | Near | Nothing
Check = Callable[[Plan, Document, Path], Answer]
_FILE_KEYS = ("certificates", "rootCAs")
"""Keys of a servers transport that name files, in the file's spelling."""
_LEFT = "the service is left out"
_EXTERNAL = "the name of a host is an ExternalName, which an instance has to allow: say --allow-external-name-services, or give addresses"


def crd_supports(options: CrdOptions, *, templates: bool = False) -> dict[Feature, Support]:
    """`templates`: whether the surface can hold those of a document (a chart can, an object cannot)."""
    last: list[Plan] = []

    def plan(document: Document) -> Plan:
        if not last or last[0].document is not document:
            last[:] = [Plan(document, options, templates).settle()]
        return last[0]

    def asks(check: Check) -> Callable[[Document, Path], Answer]:
        return lambda document, path: check(plan(document), document, path)

    def named(section: str, what: Callable[[Plan, Document, Path], str]) -> Derived:
        return Derived(lambda document, path: what(plan(document), document, path), section, merge=True)

    table: dict[Feature, Support] = {
        **file_table(options.version, templates=templates),
        **dict.fromkeys(_ALWAYS, FULL),
        **{feature: Nothing() for feature in _NEVER},
        **{feature: When(_middleware(options), "as Traefik has it; users stand in a Secret") for feature in _MIDDLEWARES},
        Feature.SERVER_CONTAINER: Becomes(
            _service_of, _CONTAINER, "give it a name and a port, or the servers by URL: the service is left out"
        ),
        Feature.SERVICE_ALONE: When(_alone, "a TraefikService; TCP has none"),
        Feature.ROUTE_NAME: named("a route is called as its object, a canary by its place in it", _route_name),
        Feature.SERVICE_NAME: named("a use of a Service is called after it", _service_name),
        Feature.MIDDLEWARE_NAME: named("as objects can be called", lambda _p, _d, path: kube.subdomain_name(str(path[1]))),
        Feature.TEMPLATE: FULL if templates else Nothing(),
    }
    own = {feature: When(asks(check), sentence) for feature, (check, sentence) in _CHECKS.items()}
    table |= {feature: support for feature, support in own.items() if not isinstance(table[feature], Nothing)}
    if templates:
        table = {
            feature: support if feature in (Feature.OBJECT_NAME, Feature.NAMESPACE) else _passing(support)
            for feature, support in table.items()
        }
    return table


_ALWAYS = (
    Feature.ENTRY_POINTS, Feature.TLS_DOMAINS, Feature.TLS_SECRET, Feature.TLS_ISSUER, Feature.DNS_RECORDS, Feature.NAMESPACE,
    Feature.OBJECT_NAME, Feature.LABELS, Feature.ANNOTATIONS, Feature.SERVER_URL, Feature.SERVER_KUBERNETES,
    Feature.EXTERNAL,
)  # fmt: skip
"""What the objects have a place for, and the file has none, or another one."""
_NEVER = (Feature.WHEN_DOWN_REDRAW, Feature.SERVERS_NONE, Feature.SERVER_WEIGHT, Feature.PRESERVE_PATH)
_MIDDLEWARES = tuple(feature for feature in Feature if feature.startswith("middleware."))
_CONTAINER = "it is written as the Kubernetes Service of that name: whatever endpoints it has"


def _middleware(options: CrdOptions) -> Callable[[Document, Path], Answer]:
    known = versions.middleware_known(options.version)

    def check(document: Document, path: Path) -> Answer:
        answer = middleware_says(document, path)
        if isinstance(answer, Nothing):
            return answer
        version = known(document, path)
        return version if isinstance(version, Nothing) and "version" in version.instead else answer

    return check


def _alone(_document: Document, path: Path) -> Answer:
    return FULL if path[0] == "services" else Nothing("nothing holds a TCP service to which no route leads")


def _service_of(document: Document, path: Path) -> Server | TcpServer | None:
    """The Service that is called as a container."""
    server = says.found(document, path[:-1])
    assert isinstance(server, Server | TcpServer)
    ref = server.container
    if ref is None or ref.name is None or ref.port is None or not kube.is_name(ref.name):
        return None
    meant = KubernetesRef(service=ref.name, port=ref.port, scheme=None if isinstance(server, TcpServer) else ref.scheme)
    if isinstance(server, TcpServer):
        return TcpServer(kubernetes=meant, tls=server.tls)
    return Server(kubernetes=meant, weight=server.weight, preserve_path=server.preserve_path)


def _passing(support: Support) -> Support:
    """The same where a template stands: nobody knows yet what it says, and it is written to the letter."""
    if not isinstance(support, When):
        return support

    def check(document: Document, path: Path) -> Answer:
        found = says.found(document, path)
        return FULL if isinstance(found, Template) else support.check(document, path)

    return When(check, support.sentence)


# Names -----------------------------------------------------------------------------------------------------------------


def _route_name(plan: Plan, document: Document, path: Path) -> str:
    index = path[1]
    assert isinstance(index, int)
    if path[0] == "tcp_routes":
        return kube.subdomain_name(document.tcp_routes[index].name)
    canary = path[3] if len(path) > 3 else None
    return plan.route_names[Rung(index, canary if isinstance(canary, int) else None)]


def _service_name(plan: Plan, _document: Document, path: Path) -> str:
    return (plan.service_names if path[0] == "services" else plan.tcp_service_names)[str(path[1])]


# Servers ---------------------------------------------------------------------------------------------------------------


def _server_url(plan: Plan, document: Document, path: Path) -> Answer:
    """Whether a Service, with its EndpointSlices or by an external name, can say the servers of a service."""
    balancer = document.services[str(path[1])]
    assert isinstance(balancer, LoadBalancer)
    if any(server.url is None for server in balancer.servers):
        return Nothing(f"servers by URL and references do not stand in one service: {_LEFT}")
    return _addresses(plan, ("services", str(path[1])), [str(server.url) for server in balancer.servers], tcp=False)


def _addresses(plan: Plan, key: Key, texts: list[str], *, tcp: bool) -> Answer:
    spots = spots_of(texts, tcp=tcp)
    if isinstance(spots, str):
        return Nothing(f"{spots}: {_LEFT}")
    if spots[0].ip is None and not kube.is_subdomain(spots[0].host):
        return Nothing(f"{spots[0].host!r} is no name that an ExternalName can have: {_LEFT}")
    if spots[0].ip is None and not plan.options.allow_external_name_services:
        return Nothing(f"{_EXTERNAL}: {_LEFT}")
    name = (plan.tcp_service_names if tcp else plan.service_names)[str(key[1])]
    if name in plan.referenced:
        return Nothing(f"there is a Service {name!r} already, which the document names: call this one otherwise: {_LEFT}")
    return FULL


def _server_kubernetes(plan: Plan, document: Document, path: Path) -> Answer:
    section, name = str(path[0]), str(path[1])
    balancer = getattr(document, section)[name]
    ref = says.found(document, path)
    if len(balancer.servers) > 1:
        return Nothing(f"a reference to a Service stands alone (--servers may put one Service in the place of all): {_LEFT}")
    if section == "tcp_services" and ref.scheme is not None:  # type: ignore[attr-defined]
        return Nothing(f"TCP has no scheme: {_LEFT}")
    for text in (ref.service, ref.namespace or "x"):  # type: ignore[attr-defined]
        if not isinstance(text, Template) and not kube.is_subdomain(text):
            return Nothing(f"no object can be called {text!r}: {_LEFT}")
    if isinstance(port := ref.port, str) and not isinstance(port, Template) and (not kube.is_name(port, 15) or port.isdigit()):  # type: ignore[attr-defined]
        return Nothing(f"no port can be called {port!r}: {_LEFT}")
    if (why := plan.strayed.get((section, name))) is not None:
        return Nothing(f"{why}: {_LEFT}")
    return _collision(plan, name) if section == "services" else FULL


def _collision(plan: Plan, name: str) -> Answer:
    """In legacy naming one Service:port among several is one service of Traefik's, wherever it stands: the last settings hold."""
    if plan.options.safe_naming:
        return FULL
    other = plan.collisions.get(name)
    if other is None:
        return FULL
    return Nothing(f"Traefik makes one service of this and {other!r}, unless the instance has safeNaming (--safe-naming): {_LEFT}")


def _tcp(plan: Plan, document: Document, path: Path) -> Answer:
    if path[0] == "tcp_routes":
        return says.tcp_says(document, path)
    name = str(path[1])
    service = document.tcp_services[name]
    if isinstance(service, TcpSplit):
        users = [route for route in document.tcp_routes if name in route.targets]
        nested = any(
            isinstance(each, TcpSplit) and any(entry.to == name for entry in each.split) for each in document.tcp_services.values()
        )
        if nested or any(isinstance(document.tcp_services.get(entry.to), TcpSplit | None) for entry in service.split):
            return Nothing(f"splits do not nest in TCP: {_LEFT}")
        return FULL if len(users) == 1 and users[0].to == name else Nothing(f"a TCP split stands in one route: {_LEFT}")
    if name not in plan.tcp_met:
        return Nothing("no route leads there, and nothing else can hold it")
    if not service.servers:
        return Nothing(f"Traefik drops a route whose service has no server: {_LEFT}")
    addresses = [str(server.address) for server in service.servers if server.address is not None]
    if addresses and len(addresses) < len(service.servers):
        return Nothing(f"addresses and references do not stand in one service: {_LEFT}")
    if len({server.tls for server in service.servers}) > 1:
        return Nothing(f"a Service is spoken to in one way, with TLS or without: {_LEFT}")
    return _addresses(plan, ("tcp_services", name), addresses, tcp=True) if addresses else FULL


def _tcp_split(_plan: Plan, document: Document, path: Path) -> Answer:
    route = says.found(document, path[:2])
    if not isinstance(route, TcpRoute):
        return FULL
    plain = all(isinstance(document.tcp_services.get(entry.to), TcpLoadBalancer) for entry in route.split)
    return FULL if plain else Nothing("splits do not nest in TCP: the route is left out")


def _health_check(_plan: Plan, document: Document, path: Path) -> Answer:
    balancer = document.services[str(path[1])]
    assert isinstance(balancer, LoadBalancer)
    texts = [str(server.url) for server in balancer.servers if server.url is not None]
    spots = spots_of(texts, tcp=False)
    if texts and not isinstance(spots, str) and spots[0].ip is None:
        return FULL
    return Nothing("Traefik checks ExternalName Services only; Kubernetes checks its pods, and a dead server elsewhere keeps its clients")


def _only_balancers(_plan: Plan, document: Document, path: Path) -> Answer:
    balancer = isinstance(document.services[str(path[1])], LoadBalancer)
    return FULL if balancer else Nothing("a TraefikService has no middlewares: the service is left out")


# What is defined -------------------------------------------------------------------------------------------------------


def _definitions(names: Mapping[str, object], tree: Mapping[str, Tree]) -> Answer:
    if strange := next((name for name in names if not kube.is_subdomain(name)), None):
        return Nothing(f"no object can be called {strange!r}: what names it is left out")
    keys = [key for each in tree.values() if isinstance(each, dict) for key in _FILE_KEYS if key in each]
    texts = [key for each in tree.values() if isinstance(each, dict) for key in keys if _of_files(each.get(key))]
    return Nothing(f"`{texts[0]}` names files, objects name Secrets: what names it is left out") if texts else FULL


def _of_files(value: Tree) -> bool:
    return isinstance(value, list) and any(isinstance(item, str) or (isinstance(item, dict) and "certFile" in item) for item in value)


def _transports(plan: Plan, document: Document, _path: Path) -> Answer:
    newer = versions.newer_transport(document, plan.options.version)
    return newer or _definitions(document.servers_transports, document.servers_transports)


def _transport(_plan: Plan, document: Document, path: Path) -> Answer:
    return says.transport_says(document, path)


def _tls_options(_plan: Plan, document: Document, _path: Path) -> Answer:
    if any(options.client_auth_ca_files for options in document.tls_options.values()):
        return Nothing("objects name the CAs of clients as Secrets, and no files: every route that asks for these options is left out")
    return _definitions(document.tls_options, {})


def _tls_option(_plan: Plan, document: Document, path: Path) -> Answer:
    """Traefik looks for `default` in the namespace of the route, where it never is, as observed."""
    if says.found(document, path) != "default":
        return FULL
    return Nothing("an object cannot name the default options, and has them where it names none: leave `options` out")


def _secret(_plan: Plan, document: Document, path: Path) -> Answer:
    secret = says.found(document, path)
    return FULL if kube.is_subdomain(str(secret)) else Nothing("no Secret can be called so: the proxy shows the certificate that it has")


def _issuer(plan: Plan, document: Document, path: Path) -> Answer:
    """A Certificate names its hosts, and one Secret has one."""
    tls = says.found(document, path[:-1])
    assert isinstance(tls, Tls)
    route = says.found(document, path[:2])
    assert isinstance(route, Route | TcpRoute)
    if tls.secret is None or not kube.is_subdomain(str(tls.secret)):
        return Nothing("a Certificate needs the name of its Secret: nobody renews the certificate")
    if not (route.hosts if isinstance(route, Route) else route.sni):
        return Nothing("a Certificate needs the names of its hosts: nobody renews the certificate")
    key = (str(path[0]), path[1])
    for section in ("routes", "tcp_routes"):
        for index, other in enumerate(getattr(document, section)):
            shows = other.tls is not None and other.tls.secret == tls.secret and plan.home((section, index)) == plan.home(key)
            if shows and (other.tls.issuer != tls.issuer or not (other.hosts if section == "routes" else other.sni)):
                return Nothing(f"the route {other.name!r} shows the same Secret, and says another issuer: nobody renews the certificate")
    return FULL


# References --------------------------------------------------------------------------------------------------------------


def _external(plan: Plan, document: Document, path: Path) -> Answer:
    reference = str(says.found(document, path))
    name, _, provider = reference.partition("@")
    if path[0] in ("tcp_routes", "tcp_services") and "middlewares" not in path and path[-1] not in ("options", "servers_transport"):
        return Nothing("a TCP route leads to Services only: it is left out")
    if provider != PROVIDER or plan.options.allow_cross_namespace:
        return FULL
    home = plan.options.home(plan.home((str(path[0]), path[1])))
    joint = "_" if plan.options.safe_naming else "-"
    section = "middlewares" if "middlewares" in path or "chain" in path else path[-1]
    has = {
        "middlewares": document.middlewares if path[0] != "tcp_routes" else document.tcp_middlewares,
        "to": document.services, "options": document.tls_options, "servers_transport": document.servers_transports,
    }  # fmt: skip
    if name.startswith(f"{home}{joint}") and not has.get(str(section), {}):
        return FULL
    return Nothing("Traefik drops what names its own provider, unless the instance allows other namespaces (--allow-cross-namespace)")


_CHECKS: Mapping[Feature, tuple[Check, str]] = {
    Feature.SERVER_URL: (_server_url, "by address, as a Service with EndpointSlices; by name, one alone, as an ExternalName"),
    Feature.SERVER_KUBERNETES: (_server_kubernetes, "one alone, of the route's own namespace unless the instance allows others"),
    Feature.TCP: (_tcp, "services that a route leads to"),
    Feature.TCP_SPLIT: (_tcp_split, "in one route, over Services"),
    Feature.HEALTH_CHECK: (_health_check, "of an ExternalName only"),
    Feature.SERVICE_MIDDLEWARES: (_only_balancers, "of a Service, not of a split"),
    Feature.SERVERS_TRANSPORT: (_transport, "one of the same side, HTTP or TCP"),
    Feature.TRANSPORT_DEFINITION: (_transports, "without files"),
    Feature.TLS_OPTIONS_DEFINITION: (_tls_options, "without files"),
    Feature.TLS_OPTIONS: (_tls_option, "by name"),
    Feature.TLS_SECRET: (_secret, "as an object can be called"),
    Feature.TLS_ISSUER: (_issuer, "as a Certificate of cert-manager, for the route's hosts"),
    Feature.NAMESPACE: (namespace_says, "where all that belongs together says the same"),
    Feature.OBJECT_NAME: (object_says, "a template"),
    Feature.LABELS: (labels_say, "as Kubernetes takes them"),
    Feature.ANNOTATIONS: (annotations_say, "as Kubernetes takes them"),
    Feature.DNS_RECORDS: (dns_says, "with the source `traefik-proxy` of external-dns"),
    Feature.EXTERNAL: (_external, "any other provider's"),
    Feature.PASSIVE_HEALTH_CHECK: (lambda _plan, document, path: says.passive_says(document, path), "with at least one number"),
}

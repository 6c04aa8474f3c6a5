"""What an Ingress can say of a document: the checks that ask a place.

What the API server refuses is after Kubernetes 1.33 (pkg/apis/networking/validation/validation.go): hosts are DNS names,
paths begin with `/`, names of Services begin with a letter, ports have names of at most 15 characters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Set
from typing import NamedTuple

from pinfeather.model.diagnostics import Path
from pinfeather.model.document import Document
from pinfeather.model.features import FULL, Full, Near, Nothing
from pinfeather.model.match import AnyOf, Host, Leaf, leaves
from pinfeather.model.metadata import Metadata
from pinfeather.model.middlewares import Middleware
from pinfeather.model.normal import lifted
from pinfeather.model.routes import Route, Tls
from pinfeather.model.services import KubernetesRef, LoadBalancer, Server, TcpServer
from pinfeather.translators._crd.backends import Spot, spots_of
from pinfeather.translators._crd.catalogue import CrdOptions
from pinfeather.translators._crd.middlewares import middleware_says
from pinfeather.translators._ingress.annotations import CLASS, PREFIX
from pinfeather.translators._ingress.rules import Instance, is_host, where
from pinfeather.translators._syntax import kube
from pinfeather.translators._syntax.kube import DNS, is_name
from pinfeather.translators._traefik.supports import found

Answer = Full | Near | Nothing
Check = Callable[[Document, Path], Answer]


ISSUERS = {"cert-manager.io/cluster-issuer": "ClusterIssuer", "cert-manager.io/issuer": "Issuer"}
ISSUER_KIND = "cert-manager.io/issuer-kind"
_SERVICE = re.compile(r"[a-z](?:[-a-z0-9]*[a-z0-9])?")
_PORT = re.compile(r"(?=.*[a-z])[a-z0-9]+(?:-[a-z0-9]+)*")
_QUALIFIED = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_OUT = "the route is left out"
_SERVICE_OUT = "the service is left out, and every route that leads there"


# Conditions ------------------------------------------------------------------------------------------------------------


def condition(options: Instance) -> Check:
    """Hosts and one path are said; what is left of the tree is not."""

    def check(document: Document, path: Path) -> Answer:
        if path[0] != "routes" or path[2] == "canaries":
            return FULL  # goes with its canary, or with its TCP route
        route, noun = document.routes[int(path[1])], found(document, path)
        if path[2] == "match":
            rest = lifted(route).match
            parts = leaves(noun) if isinstance(noun, AnyOf) else [_leaf(document, path)]
            if rest is not None and where(route, options) is None and any(part in leaves(rest) for part in parts):
                return Nothing(f"an Ingress says hosts and one path: {_OUT}")
        names = noun if isinstance(noun, tuple) else (noun.host,) if isinstance(noun, Host) else ()
        wrong = next((str(name) for name in names if not is_host(str(name))), None)
        if wrong is not None:
            said = "leave it out: no host is every host" if wrong == "*" else "the API server takes DNS names alone"
            return Nothing(f"{said}: {_OUT}")
        if path[-1] not in ("exact", "prefix", "regex") or where(route, options) is not None:
            return FULL
        alone = Route.model_construct(name=route.name, path=lifted(route).path, to=route.to)  # what else is wrong is said elsewhere
        return FULL if where(alone, options) is not None else Nothing(_path_said(options.strict, path))

    return check


def _leaf(document: Document, path: Path) -> Leaf:
    noun = found(document, path[:-2] if path[-1] in ("exact", "prefix", "regex") else path)
    assert isinstance(noun, Leaf)
    return noun


def _path_said(strict: bool, path: Path) -> str:
    if strict and path[-1] == "prefix":
        return f"with strict_prefix_matching a prefix ends at a `/`: {_OUT}"
    return f"the path of an Ingress begins with `/`, a regex too, and there is one: {_OUT}"


# Services --------------------------------------------------------------------------------------------------------------


class Target(NamedTuple):
    """The Kubernetes Service behind a service. `spots`: the servers that it is made of, where it is ours; else it is somebody else's."""

    namespace: str | None
    service: str
    port: int | str
    scheme: str | None
    spots: tuple[Spot, ...] = ()


def service_name(home: str, service: str, port: int | str) -> str:
    """What Traefik calls the service behind a path."""
    return normalised(f"{home}-{service}-{port}")


def normalised(text: str) -> str:
    """Traefik's names: letters and numbers, with `-` for whatever stands between (pkg/provider/configuration.go, Normalize)."""
    return "-".join(part for part in re.split(r"[\W_]+", text) if part)


def target_of(name: str, service: object, namespaces: Set[str | None], options: CrdOptions) -> Target | str:
    """The Service behind a service that is called `name`, or why there is none. `namespaces`: those of its routes."""
    servers = service.servers if isinstance(service, LoadBalancer) else ()
    urls = [str(server.url) for server in servers if server.url is not None]
    if len(servers) == 1 and (ref := servers[0].kubernetes) is not None:
        if not _is_backend(ref):
            return "the API server takes no such name of a Service, port or namespace"
        if others := namespaces - {ref.namespace}:
            return _elsewhere(ref, sorted(str(other) for other in others))
        return Target(ref.namespace, str(ref.service), ref.port, ref.scheme)
    if not urls or len(urls) != len(servers):
        return "a path has one Service behind it"
    if len(namespaces) > 1:
        return "its routes are in several namespaces, and an Ingress reaches Services of its own: make a service for each"
    spots = spots_of(urls, tcp=False)
    if isinstance(spots, str):
        return spots
    if spots[0].ip is None and not options.allow_external_name_services:
        return "a host's name is an ExternalName Service, which the instance does not take (--allow-external-name-services if it does)"
    space = next(iter(namespaces), None)
    port = spots[0].port
    scheme = None if spots[0].scheme == ("https" if port == 443 else "http") else spots[0].scheme
    return Target(space, _service_of(name, options.home(space), port), port, scheme, tuple(spots))


def _service_of(name: str, home: str, port: int) -> str:
    """The Service for a service of our own: what Traefik makes its name of, or a new one."""
    inner = name.removeprefix(f"{home}-").removesuffix(f"-{port}")
    made = is_service(inner) and service_name(home, inner, port) == name
    return inner if made else kube.service_name(re.sub("-+", "-", name))


def derived(options: CrdOptions) -> Callable[[Document, Path], str]:
    """The name of a service, which Traefik makes itself."""

    last: list[tuple[Document, Mapping[str, Set[str | None]]]] = []

    def rule(document: Document, path: Path) -> str:
        name = str(path[1])
        if path[0] != "services":
            return name
        if not last or last[0][0] is not document:
            last[:] = [(document, spaces(document))]
        found = target_of(name, document.services[name], last[0][1].get(name, {None}), options)
        return name if isinstance(found, str) else service_name(options.home(found.namespace), found.service, found.port)

    return rule


def settings(service: LoadBalancer, target: Target) -> tuple[object, ...]:
    """What stands on the Service itself, and so holds for every use of it."""
    return service.sticky, service.pass_host_header, service.servers_transport, service.middlewares, target.scheme, target.spots


def spaces(document: Document) -> dict[str, set[str | None]]:
    """By service, the namespaces of the routes that lead there."""
    out: dict[str, set[str | None]] = {}
    for route in document.routes:
        for name in route.targets:
            out.setdefault(name, set()).add(None if route.metadata is None else route.metadata.namespace)
    return out


def backend(options: CrdOptions) -> Check:
    """A path has one Service as its backend, in its own namespace, whose settings hold for every use of it."""
    last: list[tuple[Document, Mapping[str, str]]] = []

    def check(document: Document, path: Path) -> Answer:
        if path[0] != "services":
            return FULL  # TCP goes as a whole
        if not last or last[0][0] is not document:
            last[:] = [(document, _refused(document, options))]
        why = last[0][1].get(str(path[1]))
        return FULL if why is None else Nothing(f"{why}: {_SERVICE_OUT}")

    return check


def _refused(document: Document, options: CrdOptions) -> dict[str, str]:
    """Why a service cannot be the backend of a path, for those that cannot."""
    out: dict[str, str] = {}
    used = spaces(document)
    uses: dict[tuple[str, str], tuple[str, tuple[object, ...]]] = {}
    names: dict[str, Target] = {}
    for name, service in document.services.items():
        target = target_of(name, service, used.get(name, set()), options)
        if isinstance(target, str):
            out[name] = target
        elif name in used and isinstance(service, LoadBalancer):
            home = options.home(target.namespace)
            first, held = uses.setdefault((home, target.service), (name, (target.namespace, *settings(service, target))))
            if held != (target.namespace, *settings(service, target)):
                out[name] = f"what stands on the Service holds for every use of it, and {first!r} wants something else"
                continue
            made = service_name(home, target.service, target.port)
            if names.setdefault(made, target)[:3] != target[:3]:
                out[name] = f"Traefik calls it {made!r}, and another one too"
    return out


def _elsewhere(ref: KubernetesRef, others: list[str]) -> str:
    remedy = f"say `metadata: {{namespace: {ref.namespace}}}` of each route" if ref.namespace else "say the namespace of the server"
    return f"an Ingress reaches Services of its own namespace, and a route is in {', '.join(others)}; {remedy}"


def _is_backend(ref: KubernetesRef) -> bool:
    port = isinstance(ref.port, int) or (len(ref.port) <= 15 and _PORT.fullmatch(ref.port) is not None)
    return is_service(str(ref.service)) and port and (ref.namespace is None or is_name(str(ref.namespace)))


def is_service(text: str) -> bool:
    return len(text) <= 63 and _SERVICE.fullmatch(text) is not None


def as_service(document: Document, path: Path) -> Server | TcpServer | None:
    """A container by name and port as the Service of that name in the namespace of its routes: both are whatever endpoints there are."""
    server = found(document, path[:-1])
    space = spaces(document).get(str(path[1]), {None})
    if not isinstance(server, Server) or server.container is None or len(space) != 1:
        return None
    held = server.container
    if held.name is None or held.port is None or not is_service(held.name):
        return None
    ref = KubernetesRef(service=held.name, namespace=next(iter(space)), port=held.port, scheme=held.scheme)
    return server.model_copy(update={"container": None, "kubernetes": ref})


def middleware(document: Document, path: Path) -> Answer:
    """As objects have it; an Ingress has no TCP."""
    return Nothing("an Ingress has no TCP: it is not written") if path[0] == "tcp_middlewares" else middleware_says(document, path)


def chain(options: CrdOptions) -> Check:
    """A chain names Middlewares of its own namespace, unless the instance allows others."""

    def home(middleware: Middleware | None) -> str:
        metadata = None if middleware is None else middleware.metadata
        return options.home(None if metadata is None else metadata.namespace)

    def check(document: Document, path: Path) -> Answer:
        middleware = document.middlewares.get(str(path[1]))
        inner = middleware.chain.middlewares if middleware is not None and middleware.chain is not None else ()
        if any("@" in name for name in inner):
            return Nothing("a chain names objects of its own provider: every route that passes it is left out")
        others = {home(document.middlewares.get(name)) for name in inner} - {home(middleware)}
        if others and not options.allow_cross_namespace:
            return Nothing("it names another namespace, which the instance does not allow: every route that passes it is left out")
        return FULL

    return check


# Metadata, TLS, lists --------------------------------------------------------------------------------------------------


def of_objects(check: Check) -> Check:
    """Routes and middlewares are objects of their own; services are not."""

    def asked(document: Document, path: Path) -> Answer:
        return check(document, path) if path[0] in ("routes", "middlewares") else Nothing("the Service is somebody else's object")

    return asked


def namespace_says(document: Document, path: Path) -> Answer:
    return FULL if is_name(str(found(document, path))) else Nothing("the API server takes no such namespace: it is not written")


def labels_say(document: Document, path: Path) -> Answer:
    labels = found(document, path)
    assert isinstance(labels, dict)
    fit = all(_is_key(key) and (not value or _QUALIFIED.fullmatch(value)) for key, value in labels.items())
    return FULL if fit else Nothing("the API server refuses one of them: they are not written")


def annotations_say(document: Document, path: Path) -> Answer:
    annotations = found(document, path)
    metadata = found(document, path[:-1])
    assert isinstance(annotations, dict)
    assert isinstance(metadata, Metadata)
    route = found(document, path[:2])
    reserved = {CLASS, "kubectl.kubernetes.io/last-applied-configuration"}
    if isinstance(route, Route) and route.tls is not None and route.tls.secret is not None:
        reserved |= {*ISSUERS, ISSUER_KIND}
    meaning = (PREFIX, "ingress.kubernetes.io/", DNS)
    if all(_is_key(key) and key not in reserved and not key.startswith(meaning) for key in annotations):
        return FULL
    return Nothing("the API server refuses one of them, or it would say something of the route: they are not written")


def dns_says(document: Document, path: Path) -> Answer:
    records = found(document, path)
    assert isinstance(records, dict)
    return FULL if all(_is_key(f"{DNS}{key}") for key in records) else Nothing("the API server refuses one of them: no record is made")


def _is_key(key: str) -> bool:
    """Whether a key may stand in labels and annotations: a name of at most 63 characters, behind a DNS name at most."""
    domain, slash, name = key.rpartition("/")
    return _QUALIFIED.fullmatch(name) is not None and (not slash or (is_host(domain) and "*" not in domain))


def secret_says(document: Document, path: Path) -> Answer:
    """The Secret of a route, and who renews it: cert-manager looks at an Ingress that names a Secret alone."""
    tls = found(document, path[:-1])
    assert isinstance(tls, Tls)
    if path[-1] == "issuer" and tls.secret is None:
        return Nothing("cert-manager wants a `secret` beside it: nobody renews the certificate")
    fit = tls.secret is not None and is_host(str(tls.secret)) and "*" not in tls.secret
    return FULL if fit else Nothing("the API server takes no such name of a Secret: the proxy shows the certificate that it has")


def listed(what: str) -> Check:
    """Whether texts stay what they are in a list with commas."""

    def check(document: Document, path: Path) -> Answer:
        value = found(document, path)
        texts = value if isinstance(value, tuple) else (value,)
        kept = all(_listable(text) for text in _opened(texts))
        return FULL if kept else Nothing(f"Traefik cuts {what} at a comma, and blanks at its ends: {_OUT}")

    return check


def _opened(texts: tuple[object, ...]) -> list[str]:
    out: list[str] = []
    for text in texts:
        sans = getattr(text, "sans", None)
        out += [str(name) for name in sans] if sans is not None else [str(text)]
    return out


def _listable(text: str) -> bool:
    return bool(text) and "," not in text and text == text.strip()


def reference(names: Callable[[Document], Mapping[str, str]]) -> Check:
    """A reference to another provider: everywhere but as a backend, unless it is one of our own middlewares."""

    last: list[tuple[Document, Mapping[str, str]]] = []

    def check(document: Document, path: Path) -> Answer:
        if path[-1] == "to":
            return Nothing(f"the backend of a path is a Service: {_OUT}")
        text = str(found(document, path))
        if not _listable(text):
            return Nothing("Traefik cuts a name at a comma: what names it is left out")
        if not last or last[0][0] is not document:
            last[:] = [(document, {reference: name for name, reference in names(document).items()})]
        own = last[0][1].get(text)
        return FULL if own is None else Nothing(f"write {own!r}: this document has it")

    return check

"""Ingresses, the annotations of the Services behind them, and the Middlewares in front of them, written.

Every route is an Ingress of its own, since a priority stands on the Ingress as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pinfeather.model.document import Document
from pinfeather.model.metadata import Metadata
from pinfeather.model.noun import Noun
from pinfeather.model.routes import Route, Tls
from pinfeather.model.services import LoadBalancer
from pinfeather.translators._crd.backends import put_service_objects
from pinfeather.translators._crd.middlewares import put_middleware_objects
from pinfeather.translators._ingress.annotations import flattened
from pinfeather.translators._ingress.reading import IngressOptions
from pinfeather.translators._ingress.rules import where
from pinfeather.translators._ingress.says import ISSUERS, Target, spaces, target_of
from pinfeather.translators._ingress.services import SERVICE
from pinfeather.translators._syntax import kube
from pinfeather.translators._syntax.tree import Tree
from pinfeather.translators._traefik.nouns import COOKIE, DOMAIN, OBSERVABILITY, TEXTS, TLS, Key, put
from pinfeather.translators._traefik.numbers import numbers
from pinfeather.translators.contract import Artifact, KubernetesObject, KubernetesPatch

_ROUTER = (Key("entry_points", "entryPoints", TEXTS),)
_KINDS = {"Path": "Exact", "PathPrefix": "Prefix"}
_NOT_IN_KINDS = ("//", "/./", "/../", "%2f", "%2F")
"""What the API server refuses in a path of the kinds Exact and Prefix; at the end also `/.` and `/..`."""


def artifacts(document: Document, options: IngressOptions) -> Iterator[Artifact]:
    """In the order in which they are to be applied: what an Ingress names comes before it."""
    names = middleware_names(document, options)
    for name, middleware in document.middlewares.items():
        space = _space(middleware)
        refer = _referring(document, space, options)
        yield from (KubernetesObject(tree) for tree in put_middleware_objects(name, middleware, space, refer, tcp=False))
    used = spaces(document)
    targets: dict[str, Target] = {}
    behind: dict[tuple[str, str], tuple[Target, dict[str, str]]] = {}
    for name, service in document.services.items():
        target = target_of(name, service, used.get(name, set()), options)
        assert isinstance(target, Target), target
        assert isinstance(service, LoadBalancer)
        targets[name] = target
        behind[(target.namespace or "", target.service)] = target, _of_service(service, target, names)
    for _, (target, said) in sorted(behind.items()):  # whoever reads them finds them by their routes
        if target.spots:
            first, *rest = put_service_objects(target.service, target.namespace, list(target.spots), slices=options.version > (3, 0))
            yield from map(KubernetesObject, (_annotated(first, said), *rest))
        elif said:
            metadata = Metadata.model_construct(namespace=target.namespace, labels={}, annotations=said, dns={})
            yield KubernetesPatch(kube.put_object("v1", "Service", target.service, metadata, {}))
    for rung, number in numbers(document).items():
        route = document.routes[rung.route]
        assert route.to is not None, "a split is not given to a format that cannot say it"
        yield KubernetesObject(_ingress(route, number, targets[route.to], names, options))


def middleware_names(document: Document, options: IngressOptions) -> dict[str, str]:
    """What an annotation calls each middleware of the document."""
    joint = "_" if options.safe_naming else "-"
    return {name: f"{options.home(_space(each))}{joint}{name}@kubernetescrd" for name, each in document.middlewares.items()}


def _space(noun: Noun) -> str | None:
    metadata = getattr(noun, "metadata", None)
    return metadata.namespace if isinstance(metadata, Metadata) else None


def _referring(document: Document, space: str | None, options: IngressOptions) -> Callable[[str], dict[str, Tree]]:
    def refer(name: str) -> dict[str, Tree]:
        other = document.middlewares.get(name)
        home = options.home(None if other is None else _space(other))
        return {"name": name} if home == options.home(space) else {"name": name, "namespace": home}

    return refer


# Services --------------------------------------------------------------------------------------------------------------


def _of_service(service: LoadBalancer, target: Target, names: dict[str, str]) -> dict[str, str]:
    tree: dict[str, Tree] = put(service, SERVICE)
    if target.scheme is not None:
        tree["serversScheme"] = target.scheme
    if service.middlewares:
        tree["middlewares"] = [names.get(name, name) for name in service.middlewares]
    said = flattened(tree, "service")
    if service.sticky is not None and service.sticky.cookie is not None:
        said |= flattened({"cookie": "true"}, "service.sticky")
        said |= flattened(put(service.sticky.cookie, COOKIE), "service.sticky.cookie")
    return said


def _annotated(tree: Tree, said: dict[str, str]) -> Tree:
    assert isinstance(tree, dict)
    head = tree["metadata"]
    assert isinstance(head, dict)
    return {**tree, "metadata": {**head, "annotations": dict(said)}} if said else tree


# Ingresses -------------------------------------------------------------------------------------------------------------


def _ingress(route: Route, number: int, target: Target, names: dict[str, str], options: IngressOptions) -> dict[str, Tree]:
    found = where(route, options.instance)
    assert found is not None, "what an Ingress cannot say is not given to it"
    matcher, path, hosts = found
    kind = _KINDS.get(matcher, "ImplementationSpecific")
    if any(part in path for part in _NOT_IN_KINDS) or path.endswith(("/.", "/..")):
        kind = "ImplementationSpecific"
    tree: dict[str, Tree] = {**put(route, _ROUTER), "priority": number}
    if route.middlewares:
        tree["middlewares"] = [names.get(name, name) for name in route.middlewares]
    if kind == "ImplementationSpecific":
        tree["pathMatcher"] = matcher
    if route.observability is not None:
        tree["observability"] = put(route.observability, OBSERVABILITY)
    said = flattened(tree, "router")
    if route.tls is not None:
        said |= _tls_said(route.tls)
    metadata = route.metadata or Metadata.model_construct(namespace=None, labels={}, annotations={}, dns={})
    metadata = metadata.model_copy(update={"annotations": {**said, **metadata.annotations}})
    port: Tree = {"number": target.port} if isinstance(target.port, int) else {"name": target.port}
    backend: Tree = {"service": {"name": target.service, "port": port}}
    http: Tree = {"paths": [{"path": path, "pathType": kind, "backend": backend}]}
    rules: list[Tree] = [{"host": str(host), "http": http} for host in hosts] or [{"http": http}]
    spec: dict[str, Tree] = {"ingressClassName": options.ingress_class} if options.ingress_class else {}
    spec["rules"] = rules
    if route.tls is not None and route.tls.secret is not None:
        names_of: dict[str, Tree] = {"hosts": [str(host) for host in hosts]} if hosts else {}
        spec["tls"] = [{**names_of, "secretName": route.tls.secret}]
    return kube.put_object("networking.k8s.io/v1", "Ingress", route.name, metadata, {"spec": spec})


def _tls_said(tls: Tls) -> dict[str, str]:
    domains: list[Tree] = [put(domain, DOMAIN) for domain in tls.domains]
    tree: dict[str, Tree] = {**put(tls, TLS), **({"domains": domains} if domains else {})}
    said = flattened({"tls": "true"}, "router") | flattened(tree, "router.tls")
    if tls.issuer is not None:
        key = next(key for key, kind in ISSUERS.items() if kind == tls.issuer.kind)
        said[key] = str(tls.issuer.name)
    return said

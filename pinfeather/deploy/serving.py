"""The proxy that a stack runs in its cluster: which, and with what of the document."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TypeVar

from pydantic import JsonValue, ValidationError

from pinfeather.deploy.manifests.common import ProxySettings
from pinfeather.deploy.manifests.reference_proxy import ReferenceProxySettings, reference_proxy_objects, secret_document_objects
from pinfeather.deploy.manifests.traefik import TraefikSettings, traefik_objects
from pinfeather.deploy.plan import Plan
from pinfeather.deploy.settings import RefusalError, Run
from pinfeather.deploy.translation import Tree
from pinfeather.model.document import Document, EntryPoint
from pinfeather.model.servers import WrongServersError, with_servers
from pinfeather.model.services import LoadBalancer
from pinfeather.translators.canonical import CanonicalOptions, emit
from pinfeather.translators.contract import TextFile

S = TypeVar("S", bound=ProxySettings)
_INGRESSES = frozenset({("networking.k8s.io", "Ingress")})


def proxy_objects(plan: Plan, namespace: str) -> tuple[Tree, ...]:
    """The objects of the proxy, in the order in which they are applied; none where the stack runs none in the cluster.

    Raises RefusalError for settings that are wrong, and for what the reference proxy cannot reach.
    """
    if plan.run is Run.TRAEFIK:
        return _traefik(plan, namespace)
    return _reference(plan, namespace) if plan.run is Run.REFERENCE_PROXY else ()


def _traefik(plan: Plan, namespace: str) -> tuple[Tree, ...]:
    kinds = {(str(each["apiVersion"]).rpartition("/")[0], str(each["kind"])) for each in plan.said.objects}
    own_kinds = {kind for group, kind in kinds if group.startswith("traefik.")}
    if not own_kinds and not kinds & _INGRESSES:
        raise RefusalError(f"pinfeather:run: a Traefik does not read what {plan.settings.format} writes: let the stack run `nothing`")
    trees = (*plan.said.objects, *plan.said.patches)
    others: list[JsonValue] = [*sorted({place for each in trees for place in _namespaces(each)})]
    own: dict[str, JsonValue] = {
        "tls": [name for name, point in plan.said.document.entry_points.items() if isinstance(point, EntryPoint) and point.tls],
        "reads_objects": bool(own_kinds),
        "reads_ingresses": bool(kinds & _INGRESSES),
        "namespaces": others,
        "ingress_class": str(plan.said.options.get("ingress_class", "")),
        "allow_external_name_services": bool(plan.said.options.get("allow_external_name_services", False)),
        "allow_cross_namespace": bool(plan.said.options.get("allow_cross_namespace", False)),
    }
    return traefik_objects(_settings(TraefikSettings, plan, namespace, own))


def _reference(plan: Plan, namespace: str) -> tuple[Tree, ...]:
    settings = _settings(ReferenceProxySettings, plan, namespace, {})
    artifact = emit(_at_cluster_addresses(plan.said.document, namespace), CanonicalOptions()).artifacts[0]
    assert isinstance(artifact, TextFile)
    made = secret_document_objects if plan.said.hides(artifact.text) else reference_proxy_objects
    return made(settings, artifact.text)


def key_secret(plan: Plan, namespace: str) -> str:
    """The Secret that holds the key of the reference proxy's cookies."""
    return _settings(ReferenceProxySettings, plan, namespace, {}).key_secret


def _settings(kind: type[S], plan: Plan, namespace: str, own: dict[str, JsonValue]) -> S:
    points: dict[str, JsonValue] = {name: _port(point) for name, point in plan.said.document.entry_points.items()}
    given = {"namespace": namespace, "entry_points": points or {"web": 80}, **own, **plan.settings.proxy}
    try:
        return kind.model_validate_json(json.dumps(given))
    except ValidationError as problem:
        first = problem.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RefusalError(f"pinfeather:proxy.{where}: {first['msg'][:1].lower()}{first['msg'][1:]}") from None


def _at_cluster_addresses(document: Document, namespace: str) -> Document:
    """Each Service of the cluster by its name there. Its pods cannot be told apart so: clients are pinned to Services, not to pods."""
    addresses: dict[str, tuple[str, ...]] = {}
    for name, service in document.services.items():
        for server in service.servers if isinstance(service, LoadBalancer) else ():
            if (ref := server.kubernetes) is None:
                continue
            if not isinstance(ref.port, int):
                raise RefusalError(
                    f"services.{name}: the reference proxy reaches a Service by the number of its port, and {ref.port!r} is a name"
                )
            key = f"{f'{ref.namespace}/' if ref.namespace else ''}{ref.service}:{ref.port}"
            addresses[key] = (f"{ref.scheme or 'http'}://{ref.service}.{ref.namespace or namespace}.svc:{ref.port}",)
    try:
        return with_servers(document, addresses)[0]
    except WrongServersError as problem:
        raise RefusalError(f"the reference proxy cannot reach this: {problem}") from None


def _port(point: object) -> int:
    port = point.port if isinstance(point, EntryPoint) else point
    assert isinstance(port, int), "a plan's document has no templates"
    return port


def _namespaces(tree: JsonValue) -> Iterator[str]:
    """Where an object stands, and where that stands which it names."""
    if isinstance(tree, dict):
        for key, each in tree.items():
            if key == "namespace" and isinstance(each, str):
                yield each
            else:
                yield from _namespaces(each)
    elif isinstance(tree, list):
        for each in tree:
            yield from _namespaces(each)

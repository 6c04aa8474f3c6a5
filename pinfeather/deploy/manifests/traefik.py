"""A Traefik in the cluster that reads the routes of the namespaces that it is given, and may do nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from pydantic import JsonValue

from pinfeather.deploy.manifests.common import (
    Name,
    ProxySettings,
    Tree,
    around,
    container_ports,
    deployment,
    metadata,
    probes,
    service_account,
)

IMAGE: Final = "traefik:v3.7.15"
"""The version that the tests run."""
_PING = 9000
_READ: Final = ("get", "list", "watch")
# What Traefik 3.7 asks the API server for, found by letting it run with no rights and reading its log.
_CUSTOM: Final = (
    "ingressroutes", "ingressroutetcps", "ingressrouteudps", "middlewares", "middlewaretcps", "serverstransports", "serverstransporttcps",
    "tlsoptions", "tlsstores", "traefikservices",
)  # fmt: skip


class TraefikSettings(ProxySettings):
    """`image` and `name` have defaults. `namespaces`: those that are watched; its own is always one of them."""

    name: Name = "traefik"
    image: str = IMAGE
    namespaces: tuple[str, ...] = ()
    reads_objects: bool = True
    """IngressRoutes and what belongs to them."""
    reads_ingresses: bool = False
    ingress_class: str = ""
    allow_external_name_services: bool = False
    allow_cross_namespace: bool = False
    log_level: str = "INFO"

    @property
    def watched(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.namespace, *self.namespaces)))


def traefik_objects(settings: TraefikSettings) -> tuple[Tree, ...]:
    """In the order in which they are applied: rights, then what needs them."""
    rights = [each for namespace in settings.watched for each in _rights(settings, namespace)]
    return (service_account(settings), *rights, *_cluster_wide(settings), _deployment(settings), *around(settings))


def static_arguments(settings: TraefikSettings) -> list[str]:
    """The whole static configuration. The API stays off."""
    return [
        *(f"--entryPoints.{name}.address=:{port}" for name, port in settings.ports.items()),
        *(f"--entryPoints.{name}.transport.lifeCycle.requestAcceptGraceTimeout={settings.drain}s" for name in settings.ports),
        f"--entryPoints.ping.address=:{_PING}",
        "--ping=true",
        "--ping.entryPoint=ping",
        *provider_arguments(settings),
        f"--log.level={settings.log_level}",
        "--global.checkNewVersion=false",
        "--global.sendAnonymousUsage=false",
    ]


def provider_arguments(settings: TraefikSettings) -> list[str]:
    """Those of the providers: each reads the watched namespaces only, and nothing of the cluster as a whole."""
    return [argument for provider in _providers(settings) for argument in _provider(settings, provider)]


def _providers(settings: TraefikSettings) -> Iterator[str]:
    if settings.reads_objects:
        yield "kubernetesCRD"
    if settings.reads_ingresses:
        yield "kubernetesIngress"


def _provider(settings: TraefikSettings, provider: str) -> Iterator[str]:
    yield f"--providers.{provider}=true"
    yield f"--providers.{provider}.namespaces={','.join(settings.watched)}"
    if not settings.reads_ingresses:  # a class of Ingresses is an object of the cluster
        yield f"--providers.{provider}.disableClusterScopeResources=true"
    if settings.ingress_class:
        yield f"--providers.{provider}.ingressClass={settings.ingress_class}"
    if settings.allow_external_name_services:
        yield f"--providers.{provider}.allowExternalNameServices=true"
    if settings.allow_cross_namespace and provider == "kubernetesCRD":
        yield f"--providers.{provider}.allowCrossNamespace=true"


def _rights(settings: TraefikSettings, namespace: str) -> Iterator[Tree]:
    rules = [_rule("", ("services", "secrets", "configmaps")), _rule("discovery.k8s.io", ("endpointslices",))]
    if settings.reads_objects:
        rules.append(_rule("traefik.io", _CUSTOM))
    if settings.reads_ingresses:
        rules.append(_rule("networking.k8s.io", ("ingresses",)))
    name = settings.name if namespace == settings.namespace else f"{settings.name}-of-{settings.namespace}"
    placed = {**metadata(settings, name), "namespace": namespace}
    yield {"apiVersion": _RBAC, "kind": "Role", "metadata": placed, "rules": list(rules)}
    yield {"apiVersion": _RBAC, "kind": "RoleBinding", "metadata": placed, **_bound(settings, "Role", name)}


def _cluster_wide(settings: TraefikSettings) -> Iterator[Tree]:
    """The classes of Ingresses belong to no namespace; without Ingresses nothing of the cluster as a whole is read."""
    if not settings.reads_ingresses:
        return
    name = f"{settings.name}-of-{settings.namespace}"
    bare: Tree = {"name": name, "labels": settings.labels}
    rules = [_rule("networking.k8s.io", ("ingressclasses",)), _rule("", ("nodes",))]  # where it looks for one, it looks for the other
    if settings.ingress_class:
        controller: Tree = {"controller": "traefik.io/ingress-controller"}
        own: Tree = {"name": settings.ingress_class, "labels": settings.labels}
        yield {"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": own, "spec": controller}
    yield {"apiVersion": _RBAC, "kind": "ClusterRole", "metadata": bare, "rules": rules}
    yield {"apiVersion": _RBAC, "kind": "ClusterRoleBinding", "metadata": bare, **_bound(settings, "ClusterRole", name)}


_RBAC: Final = "rbac.authorization.k8s.io/v1"


def _rule(group: str, resources: Sequence[str]) -> JsonValue:
    return {"apiGroups": [group], "resources": list(resources), "verbs": list(_READ)}


def _bound(settings: TraefikSettings, kind: str, name: str) -> Mapping[str, JsonValue]:
    subject: Tree = {"kind": "ServiceAccount", "name": settings.name, "namespace": settings.namespace}
    return {"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}, "subjects": [subject]}


def _deployment(settings: TraefikSettings) -> Tree:
    arguments: list[JsonValue] = [*static_arguments(settings)]
    container: Tree = {
        "name": "traefik",
        "image": settings.image,
        "args": arguments,
        "ports": container_ports(settings, {"ping": _PING}),
        **probes({"httpGet": {"path": "/ping", "port": "ping"}}),
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - of the container, an empty one
    }
    pod: Tree = {
        "serviceAccountName": settings.name,
        "automountServiceAccountToken": True,
        "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "16Mi"}}],
    }
    return deployment(settings, container, pod)

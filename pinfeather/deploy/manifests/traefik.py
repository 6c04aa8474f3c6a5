"""A Traefik in the cluster that reads the routes of the namespaces that it is given, and may do nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Final, Self

from pydantic import Field, JsonValue, model_validator

from pinfeather.deploy.manifests.common import (
    Name,
    ProxySettings,
    Tree,
    around,
    as_bytes,
    container_ports,
    deployment,
    metadata,
    probes,
    service_account,
)

IMAGE: Final = "traefik:v3.7.15"
"""The version that the tests run."""
_PING = 9000
_FIRST = 3
"""It answers to probes before it has read a route, and would answer 404 to clients: with 1,000 routes 0.4 s too early."""
_READ: Final = ("get", "list", "watch")
# What Traefik 3.7 asks the API server for, found by letting it run with no rights and reading its log.
_CUSTOM: Final = (
    "ingressroutes", "ingressroutetcps", "ingressrouteudps", "middlewares", "middlewaretcps", "serverstransports", "serverstransporttcps",
    "tlsoptions", "tlsstores", "traefikservices",
)  # fmt: skip


class TraefikSettings(ProxySettings):
    """`image` and `name` have defaults. `namespaces`: those that are watched; its own is always one of them."""

    name: Name = "traefik"
    image: Annotated[str, Field(min_length=1)] = IMAGE
    namespaces: tuple[Name, ...] = ()
    all_namespaces: bool = False
    """Watch every namespace: it then reads all Secrets of the cluster."""
    tls: tuple[str, ...] = ()
    """Entry points whose every route speaks TLS, also one that does not say so."""
    metrics: bool = False
    """For Prometheus, at `/metrics` of the port `ping`, which the Service does not show."""
    reads_objects: bool = True
    """IngressRoutes and what belongs to them."""
    reads_ingresses: bool = False
    ingress_class: str = ""
    allow_external_name_services: bool = False
    allow_cross_namespace: bool = False
    log_level: str = "INFO"

    @model_validator(mode="after")
    def _tls(self) -> Self:
        if unknown := [name for name in self.tls if name not in self.entry_points]:
            raise ValueError(f"tls: there is no entry point {unknown[0]!r}")
        return self

    @property
    def watched(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.namespace, *self.namespaces)))


def traefik_objects(settings: TraefikSettings) -> tuple[Tree, ...]:
    """In the order in which they are applied: rights, then what needs them."""
    rights = [] if settings.all_namespaces else [each for namespace in settings.watched for each in _rights(settings, namespace)]
    return (service_account(settings), *rights, *_cluster_wide(settings), _deployment(settings), *around(settings))


def static_arguments(settings: TraefikSettings) -> list[str]:
    """The whole static configuration. The API stays off."""
    return [
        *(f"--entryPoints.{name}.address=:{port}" for name, port in settings.ports.items()),
        *(f"--entryPoints.{name}.transport.lifeCycle.requestAcceptGraceTimeout={settings.drain}s" for name in settings.ports),
        *(f"--entryPoints.{name}.http.tls=true" for name in settings.ports if name in settings.tls),
        f"--entryPoints.ping.address=:{_PING}",
        "--ping=true",
        "--ping.entryPoint=ping",
        *(("--metrics.prometheus=true", "--metrics.prometheus.entryPoint=ping") if settings.metrics else ()),
        *provider_arguments(settings),
        f"--log.level={settings.log_level}",
        "--global.checkNewVersion=false",
        "--global.sendAnonymousUsage=false",
    ]


def provider_arguments(settings: TraefikSettings) -> list[str]:
    """Those of the providers: each reads the watched namespaces only, and of the cluster as a whole what Ingresses need."""
    return [argument for provider in _providers(settings) for argument in _provider(settings, provider)]


def _providers(settings: TraefikSettings) -> Iterator[str]:
    if settings.reads_objects:
        yield "kubernetesCRD"
    if settings.reads_ingresses:
        yield "kubernetesIngress"


def _provider(settings: TraefikSettings, provider: str) -> Iterator[str]:
    yield f"--providers.{provider}=true"
    if not settings.all_namespaces:
        yield f"--providers.{provider}.namespaces={','.join(settings.watched)}"
    if not settings.reads_ingresses:  # a class of Ingresses is an object of the cluster
        yield f"--providers.{provider}.disableClusterScopeResources=true"
    if settings.ingress_class:
        yield f"--providers.{provider}.ingressClass={settings.ingress_class}"
    if settings.allow_external_name_services:
        yield f"--providers.{provider}.allowExternalNameServices=true"
    if settings.allow_cross_namespace and provider == "kubernetesCRD":
        yield f"--providers.{provider}.allowCrossNamespace=true"


def _rules(settings: TraefikSettings) -> Iterator[JsonValue]:
    """What is read of each namespace that is watched."""
    yield _rule("", ("services", "secrets", *(("configmaps",) if settings.reads_objects else ())))
    yield _rule("discovery.k8s.io", ("endpointslices",))
    if settings.reads_objects:
        yield _rule("traefik.io", _CUSTOM)
    if settings.reads_ingresses:
        yield _rule("networking.k8s.io", ("ingresses",))


def _rights(settings: TraefikSettings, namespace: str) -> Iterator[Tree]:
    name = settings.name if namespace == settings.namespace else f"{settings.name}-of-{settings.namespace}"
    placed = {**metadata(settings, name), "namespace": namespace}
    yield {"apiVersion": _RBAC, "kind": "Role", "metadata": placed, "rules": [*_rules(settings)]}
    yield {"apiVersion": _RBAC, "kind": "RoleBinding", "metadata": placed, **_bound(settings, "Role", name)}


def _cluster_wide(settings: TraefikSettings) -> Iterator[Tree]:
    """The classes of Ingresses belong to no namespace; where there are none to read and not all is watched, nothing here is."""
    rules = [*_rules(settings)] if settings.all_namespaces else []
    if settings.reads_ingresses:  # where it looks for one of these, it looks for the other
        rules += [_rule("networking.k8s.io", ("ingressclasses",)), _rule("", ("nodes",))]
    if not rules:
        return
    name = f"{settings.name}-of-{settings.namespace}"
    bare: Tree = {"name": name, "labels": settings.labels}
    if settings.reads_ingresses and settings.ingress_class:
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
        "env": [{"name": "GOMEMLIMIT", "value": str(as_bytes(settings.limit) * 9 // 10)}],  # it collects garbage before it is ended
        "ports": container_ports(settings, {"ping": _PING}),
        **probes({"httpGet": {"path": "/ping", "port": "ping"}}, _FIRST),
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - of the container, an empty one
    }
    pod: Tree = {
        "serviceAccountName": settings.name,
        "automountServiceAccountToken": True,
        "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "16Mi"}}],
    }
    return deployment(settings, container, pod)

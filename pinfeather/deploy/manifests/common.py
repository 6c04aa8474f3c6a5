"""What every proxy in a cluster has in common: labels, security context, probes, Service, disruption budget, autoscaler."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, model_validator

from pinfeather.deploy.contract import Value

Tree = dict[str, JsonValue]
Name = Annotated[str, Field(pattern=r"\A[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\z")]
ObjectName = Annotated[str, Field(pattern=r"\A[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?\z")]
"""What most objects may be called; Services and namespaces may not."""
Port = Annotated[int, Field(ge=1, le=65535)]
Cpu = Annotated[str, Field(pattern=r"\A[0-9]+(\.[0-9]+)?m?\z")]
Memory = Annotated[str, Field(pattern=r"\A[0-9]+(\.[0-9]+)?([kMGT]|[KMGT]i)?\z")]
"""Bytes: `128Mi`, `1G`. Kubernetes takes `128m`, too, for an eighth of a byte."""
UNPRIVILEGED = 1024
NOBODY = 65532
"""The user and group that every container runs as; no image needs to know it."""
LEAST_LIMIT = "512Mi"
_BYTES = {
    "": 1,
    **{unit: 1000**power for power, unit in enumerate("kMGT", 1)},
    **{f"{unit}i": 1024**power for power, unit in enumerate("KMGT", 1)},
}
_LONGEST_PORT_NAME = 15
_KEPT = frozenset({9000})  # where Traefik answers to its probes
_RAISED = 8000  # to a port below 1024, which only root may listen on


class Autoscaling(Value):
    """A HorizontalPodAutoscaler in place of a fixed number of replicas."""

    min_replicas: Annotated[int, Field(ge=1)] = 2
    max_replicas: Annotated[int, Field(ge=1)] = 10
    cpu: Annotated[int, Field(ge=1, le=100)] = 70
    """Per cent of what is requested."""

    @model_validator(mode="after")
    def _order(self) -> Self:
        if self.min_replicas > self.max_replicas:
            raise ValueError(f"min_replicas {self.min_replicas} is more than max_replicas {self.max_replicas}")
        return self


class ProxySettings(Value):
    """What every proxy in a cluster can be told; the keys of `pinfeather:proxy`."""

    name: Name
    namespace: Name
    image: Annotated[str, Field(min_length=1)]
    entry_points: Annotated[dict[str, Port], Field(min_length=1)]
    """By name: the port that clients use."""
    replicas: Annotated[int, Field(ge=1)] = 2
    autoscaling: Autoscaling | None = None
    service_type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "LoadBalancer"
    service_annotations: dict[str, str] = Field(default_factory=dict)
    external_traffic_policy: Literal["Local", "Cluster"] = "Local"
    """With `Cluster` a node may pass a connection on under its own address: an address list then lets in, or refuses, nodes."""
    cpu: Cpu = "100m"
    memory: Memory = "128Mi"
    """Requested, as `cpu` is."""
    memory_limit: Memory | None = None
    """Absent: 512Mi, or what is requested where that is more. A Traefik that does nothing has 100 MiB, with 1,000 routes 115."""
    drain: Annotated[int, Field(ge=0, le=600)] = 10
    """Seconds in which a pod that ends still takes connections: until everybody has heard that it goes."""

    @model_validator(mode="after")
    def _entry_points(self) -> Self:
        if taken := sorted({"ping", "traefik"} & {name.lower() for name in self.entry_points}):
            raise ValueError(f"an entry point cannot be called {taken[0]!r} here: Traefik has one of that name")
        if as_bytes(self.limit) < as_bytes(self.memory):
            raise ValueError(f"memory_limit {self.limit} is less than memory {self.memory}")
        return self

    @property
    def limit(self) -> str:
        return self.memory_limit or max(LEAST_LIMIT, self.memory, key=as_bytes)

    @property
    def ports(self) -> Mapping[str, int]:
        """Entry point -> the port inside the pod: that of clients, or another where that one is privileged or taken."""
        found: dict[str, int] = {}
        for name, port in sorted(self.entry_points.items(), key=lambda pair: (pair[1] < UNPRIVILEGED, pair)):
            inside = port if port >= UNPRIVILEGED else port + _RAISED
            while inside in found.values() or inside in _KEPT:
                inside += 1
            found[name] = inside
        return {name: found[name] for name in self.entry_points}

    def port_names(self) -> Mapping[str, str]:
        """Entry point -> its port's name: small letters, digits and dashes, 15 at most, and no two alike."""
        found: dict[str, str] = {}
        for name in self.entry_points:
            plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
            if plain != name or len(plain) > _LONGEST_PORT_NAME or not re.search("[a-z]", plain):
                plain = f"{plain[:8].strip('-') or 'port'}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"
            found[name] = plain
        return found

    @property
    def labels(self) -> Tree:
        return {"app.kubernetes.io/name": self.name, "app.kubernetes.io/managed-by": "pinfeather"}

    @property
    def selector(self) -> Tree:
        """By name alone it would take in the pods of, say, Traefik's own chart in the same namespace."""
        return self.labels


def as_bytes(quantity: str) -> int:
    """How much memory `128Mi` is."""
    number, unit = quantity.rstrip("kKMGTi"), quantity.lstrip("0123456789.")
    return int(float(number) * _BYTES[unit])


def metadata(settings: ProxySettings, name: str = "", annotations: Mapping[str, str] | None = None) -> Tree:
    found: Tree = {"name": name or settings.name, "namespace": settings.namespace, "labels": settings.labels}
    return {**found, "annotations": dict(annotations)} if annotations else found


def deployment(settings: ProxySettings, container: Tree, pod: Tree, annotations: Mapping[str, str] | None = None) -> Tree:
    """A Deployment of one container. It never has fewer pods than asked for, and spreads them over nodes."""
    spread: Tree = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": settings.selector},
    }
    inner: Tree = {
        "terminationGracePeriodSeconds": settings.drain + 30,
        "enableServiceLinks": False,  # an environment variable for each Service of the namespace; nothing here reads one
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": NOBODY,
            "runAsGroup": NOBODY,
            "fsGroup": NOBODY,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [spread],
        **pod,
        "containers": [{**container, **_guarded(settings)}],
    }
    labels: Tree = {"labels": settings.labels}
    spec: Tree = {
        **({} if settings.autoscaling else {"replicas": settings.replicas}),
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "selector": {"matchLabels": settings.selector},
        "template": {"metadata": {**labels, **({"annotations": dict(annotations)} if annotations else {})}, "spec": inner},
    }
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata(settings), "spec": spec}


def _guarded(settings: ProxySettings) -> Tree:
    return {
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "resources": {"requests": {"cpu": settings.cpu, "memory": settings.memory}, "limits": {"memory": settings.limit}},
    }


def probes(how: Tree, first: int = 0) -> Tree:
    """Ready when it answers; started anew when it has not for a minute; half a minute to begin with, and not asked for `first` seconds."""
    return {
        "startupProbe": {**how, **({"initialDelaySeconds": first} if first else {}), "periodSeconds": 1, "failureThreshold": 30},
        "readinessProbe": {**how, "periodSeconds": 5, "failureThreshold": 2},
        "livenessProbe": {**how, "periodSeconds": 10, "failureThreshold": 6},
    }


def container_ports(settings: ProxySettings, more: Mapping[str, int] | None = None) -> list[JsonValue]:
    names = settings.port_names()
    return [{"name": names.get(name, name), "containerPort": port} for name, port in {**settings.ports, **(more or {})}.items()]


def around(settings: ProxySettings) -> Sequence[Tree]:
    """The Service, the disruption budget and, where asked for, the autoscaler."""
    names = settings.port_names()
    ports: list[JsonValue] = [
        {"name": names[name], "port": port, "targetPort": names[name]} for name, port in settings.entry_points.items()
    ]
    service: Tree = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(settings, annotations=settings.service_annotations),
        "spec": {"type": settings.service_type, "selector": settings.selector, "ports": ports, **_outside(settings)},
    }
    budget: Tree = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(settings),
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": settings.selector}},
    }
    return [service, budget, *([_autoscaler(settings, settings.autoscaling)] if settings.autoscaling else [])]


def _outside(settings: ProxySettings) -> Tree:
    return {} if settings.service_type == "ClusterIP" else {"externalTrafficPolicy": settings.external_traffic_policy}


def _autoscaler(settings: ProxySettings, wanted: Autoscaling) -> Tree:
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata(settings),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": settings.name},
            "minReplicas": wanted.min_replicas,
            "maxReplicas": wanted.max_replicas,
            "metrics": [
                {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": wanted.cpu}}}
            ],
        },
    }


def service_account(settings: ProxySettings) -> Tree:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(settings),
        "automountServiceAccountToken": False,  # the pod that needs it says so itself
    }

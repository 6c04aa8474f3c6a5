"""A Traefik on this machine that reads the cluster, and demo servers for the Services that the document names: for trying out.

The cluster needs to run no pod for it. Each Service becomes an ExternalName to this machine's loopback.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pulumi
import pulumi_kubernetes

from pinfeather.deploy.components import Routes
from pinfeather.deploy.here import ENTRY_POINT, demo_server, document_copy, run_folder, start_traefik
from pinfeather.deploy.objects import make_objects
from pinfeather.deploy.plan import LOOPBACK, Plan
from pinfeather.deploy.translation import Tree
from pinfeather.model.services import KubernetesRef, LoadBalancer


def make_services(plan: Plan, provider: pulumi_kubernetes.Provider, manager: str) -> list[pulumi.Resource]:
    """A Service for each that the document names, before the routes: some formats patch them."""

    def options(waits: Sequence[pulumi.Resource]) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(provider=provider, depends_on=list(waits))

    return list(make_objects(f"{plan.name}-demo", demo_services(plan), manager, options, lambda _: False).values())


def deploy_beside(plan: Plan, kubeconfig: Path, routes: Routes) -> None:
    """Demo servers and a Traefik; exports the check that measures it."""
    ports = dict(_ports(plan))
    demo = [demo_server(plan, ref.service, f"{ref.service}-a", port) for ref, port in ports.items()]
    names = ["providers.kubernetescrd", "providers.kubernetesingress"]
    traefik = start_traefik(
        plan,
        [
            *(f"--{name}=true" for name in names),
            *(f"--{name}.allowexternalnameservices=true" for name in names),
            *(f"--{name}.namespaces={plan.settings.namespace or 'default'}" for name in names),
        ],
        {"KUBECONFIG": str(kubeconfig)},
        {"kubeconfig": _digest(kubeconfig)},
        pulumi.ResourceOptions(depends_on=[*demo, routes]),
    )
    copy = document_copy(plan, Path(run_folder(plan)) / "document.yaml", pulumi.ResourceOptions(depends_on=[routes]))
    pulumi.export("traefik", f"http://{LOOPBACK}:{plan.settings.traefik_port}")
    pulumi.export("processes", pulumi.Output.all(traefik.pid, *(each.pid for each in demo)))
    entry_point = next(iter(plan.said.document.entry_points), ENTRY_POINT)
    check = ["verify", copy.path, "--url", f"Traefik:{entry_point}=http://{LOOPBACK}:{plan.settings.traefik_port}", "--demo"]
    for ref, port in ports.items():
        check += ["--servers", f"{_called(ref)}=http://{LOOPBACK}:{port}"]
    pulumi.export("check", check)


def demo_services(plan: Plan) -> tuple[Tree, ...]:
    """A Service for each that the document names."""
    return tuple(_service(ref, port, plan.settings.namespace or "default") for ref, port in _ports(plan))


def _ports(plan: Plan) -> Iterator[tuple[KubernetesRef, int]]:
    """Every Service port that the document names, and where its demo server listens: at that port, where it is a number."""
    seen: set[tuple[str, str]] = set()
    for service in plan.said.document.services.values():
        for server in service.servers if isinstance(service, LoadBalancer) else ():
            ref = server.kubernetes
            if ref is not None and (str(ref.service), str(ref.port)) not in seen:
                yield ref, ref.port if isinstance(ref.port, int) else plan.settings.demo_ports + len(seen)
                seen.add((str(ref.service), str(ref.port)))


def _service(ref: KubernetesRef, port: int, namespace: str) -> Tree:
    name = {} if isinstance(ref.port, int) else {"name": str(ref.port)}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": str(ref.service), "namespace": str(ref.namespace or namespace)},
        "spec": {"type": "ExternalName", "externalName": "localhost", "ports": [{**name, "port": port}]},
    }


def _digest(kubeconfig: Path) -> str:
    """Traefik reads it once, when it starts: another server behind the same file needs another Traefik."""
    return hashlib.sha256(kubeconfig.read_bytes()).hexdigest()


def _called(ref: KubernetesRef) -> str:
    return f"{f'{ref.namespace}/' if ref.namespace else ''}{ref.service}:{ref.port}"

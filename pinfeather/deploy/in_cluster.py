"""A stack whose routes are objects of a cluster: what is asked before (`preflight.py`), and the resources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pulumi
import pulumi_kubernetes

from pinfeather.deploy import beside
from pinfeather.deploy.cluster import Cluster, ClusterError
from pinfeather.deploy.components import Routes, TranslatedArgs
from pinfeather.deploy.objects import make_objects
from pinfeather.deploy.plan import Plan, objects_of_file
from pinfeather.deploy.preflight import Wishes, checked
from pinfeather.deploy.serving import key_secret, proxy_objects
from pinfeather.deploy.settings import RefusalError, Run
from pinfeather.deploy.translation import Tree


@dataclass(frozen=True)
class Ready:
    """A plan that a cluster can take: nothing was made yet."""

    plan: Plan
    cluster: Cluster
    manager: str
    """The field manager: of this project's stack, so that another stack's fields are another's."""
    crds: tuple[Tree, ...]
    proxy: tuple[Tree, ...]
    """The proxy that serves the routes from within the cluster."""
    remarks: tuple[str, ...]


def prepared(plan: Plan) -> Ready:
    """Ask the cluster. Raises RefusalError with everything that would not go well."""
    settings = plan.settings
    kubeconfig = plan.root / settings.kubeconfig if settings.kubeconfig else None
    try:
        cluster = Cluster.of(kubeconfig, settings.context or None)
    except ClusterError as problem:
        raise RefusalError(f"{problem}; name one: `pulumi config set pinfeather:kubeconfig FILE`, or $KUBECONFIG") from None
    if settings.namespace is None:  # it counts in the translation: Traefik's cookie values are made of it
        settings = settings.model_copy(update={"namespace": cluster.namespace})
        plan = Plan.of(plan.name, settings, plan.root)
    namespace = settings.namespace or cluster.namespace
    manager = f"pinfeather-{pulumi.get_project()}-{plan.name}"
    crds = objects_of_file(plan.root / settings.crds) if settings.crds else ()
    proxy = proxy_objects(plan, namespace)
    demo = beside.demo_services(plan) if plan.run is Run.BESIDE else ()
    wishes = Wishes(manager, settings.weight_owner, settings.take_over, crds, (*proxy, *demo))
    if plan.run is Run.REFERENCE_PROXY:
        _see_key(cluster, plan, namespace)
    said, remarks = checked(cluster, plan.said.within(namespace).beside((*proxy, *demo)), wishes)
    return Ready(replace(plan, said=said), cluster, manager, crds, proxy, remarks)


def _see_key(cluster: Cluster, plan: Plan, namespace: str) -> None:
    """The key of the cookies must be there: no pod of the proxy starts without it. Raises RefusalError."""
    name = key_secret(plan, namespace)
    if cluster.kind("v1", "Secret") is not None and cluster.get("v1", "Secret", name, namespace) is None:
        raise RefusalError(
            f"there is no Secret {namespace}/{name}, with whose `key` cookies are signed: "
            f"kubectl -n {namespace} create secret generic {name} "
            "--from-literal=key=$(openssl rand -hex 32)"
        )


def deploy_in_cluster(ready: Ready) -> None:
    """The CRDs where asked for, the routes, and the proxy; files of the format too."""
    plan = ready.plan
    for remark in ready.remarks:
        pulumi.log.warn(remark)
    provider = _provider(plan)
    options = pulumi.ResourceOptions(providers={"kubernetes": provider})
    crds = _install(ready, provider)
    demo = beside.make_services(plan, provider, ready.manager) if plan.run is Run.BESIDE else []
    routes = Routes(
        plan.name, TranslatedArgs.of(plan.said, plan.settings.policy, plan.folder, ready.manager, [*crds, *demo], force=True), options
    )
    pulumi.export("objects", routes.objects)
    if ready.proxy:
        make_objects(
            f"{plan.name}-{plan.run.value}",
            ready.proxy,
            ready.manager,
            lambda waits: pulumi.ResourceOptions(provider=provider, depends_on=[*crds, *waits]),
            plan.said.hides,
        )
    if plan.run is Run.BESIDE:
        beside.deploy_beside(plan, kubeconfig_path(plan), routes)


def _install(ready: Ready, provider: pulumi_kubernetes.Provider) -> list[pulumi.Resource]:
    # Kept when the stack goes: with a CRD go all objects of its kind, everybody's.
    def options(waits: Sequence[pulumi.Resource]) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(provider=provider, retain_on_delete=True, depends_on=list(waits))

    made = make_objects("crd", ready.crds, ready.manager, options, lambda _: False, force=ready.plan.settings.take_over)
    return list(made.values())


def _provider(plan: Plan) -> pulumi_kubernetes.Provider:
    """The cluster. A kubeconfig is named and not copied: it holds what opens the cluster."""
    settings = plan.settings
    return pulumi_kubernetes.Provider(
        "cluster",
        kubeconfig=str(plan.root / settings.kubeconfig) if settings.kubeconfig else None,
        context=settings.context or None,
        namespace=settings.namespace,
        enable_server_side_apply=True,
        # Else an edited user or document is a Secret or ConfigMap that is deleted and made anew, and gone in between.
        enable_secret_mutable=True,
        enable_config_map_mutable=True,
        # What a run that was cut off has left, and what `pinfeather import` took over, is adopted. `preflight.py` has said what is there.
        upsert_existing_objects=True,
    )


def kubeconfig_path(plan: Plan) -> Path:
    """The kubeconfig that the stack uses, for a process beside it."""
    import os

    if plan.settings.kubeconfig:
        return plan.root / plan.settings.kubeconfig
    return Path(os.environ.get("KUBECONFIG") or "~/.kube/config").expanduser()

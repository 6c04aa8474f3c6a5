"""The proxy that a stack runs in its cluster: which, and with what of the document."""

from __future__ import annotations

from pinfeather.deploy.plan import Plan
from pinfeather.deploy.settings import Run
from pinfeather.deploy.translation import Tree


def proxy_objects(plan: Plan, namespace: str) -> tuple[Tree, ...]:
    """The objects of the proxy, in the order in which they are applied; none where the stack runs none in the cluster."""
    if plan.run not in (Run.TRAEFIK, Run.REFERENCE_PROXY):
        return ()
    raise NotImplementedError(namespace)

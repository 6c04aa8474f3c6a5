"""What `pulumi up` of a stack of this project does: decide everything (`plan.py`), and only then make resources.

`run` makes the resources of a plan and decides nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pulumi
from pydantic import JsonValue

from pinfeather.deploy.components import Refused, Routes, TranslatedArgs
from pinfeather.deploy.plan import Plan
from pinfeather.deploy.settings import PREFIX, RefusalError, Run, Settings

if TYPE_CHECKING:
    from pinfeather.deploy.in_cluster import Ready


def run(stack: str, root: Path) -> None:
    """The whole program of `__main__.py`. Raises Refused before the first resource."""
    try:
        plan = Plan.of(stack, Settings.of(_given()), root)
        ready = _ready(plan) if plan.in_cluster else None
    except RefusalError as problem:
        raise Refused(str(problem)) from None
    for remark in plan.said.remarks:
        pulumi.log.warn(remark)
    if ready is not None:
        from pinfeather.deploy.in_cluster import deploy_in_cluster

        deploy_in_cluster(ready)
    elif plan.run is Run.HERE:
        from pinfeather.deploy.here import deploy_here

        deploy_here(plan)
    else:
        routes = Routes(stack, TranslatedArgs.of(plan.said, plan.settings.policy, plan.folder))
        pulumi.export("files", routes.paths)


def _ready(plan: Plan) -> Ready:
    from pinfeather.deploy.in_cluster import prepared  # a stack of files pays for no `pulumi_kubernetes`

    return prepared(plan)


def _given() -> dict[str, JsonValue]:
    """Every value of `pinfeather:*`, the secret ones in the clear: what is made of them is marked as secret again."""
    every = {**pulumi.runtime.config.get_config_env(), **pulumi.runtime.config.CONFIG.get()}
    return {key.removeprefix(PREFIX): value for key, value in every.items() if key.startswith(PREFIX)}

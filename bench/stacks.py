"""A stack of 1,000 routes, as files and in a cluster: from nothing, with nothing to do, with one edit; what the state weighs."""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from pinfeather.deploy.plan import Plan
from pinfeather.deploy.settings import Settings
from tests.deploy.cluster_project import ROOT, ClusterProject, cluster_project
from tests.parts.kubernetes import KubernetesApi
from tools import parts

ROUTES = 1000
_PATIENCE = 3600
"""Seconds for one command: from nothing, the engine takes a time that grows with the square of the objects."""
BARS = {"files": 10.0, "cluster": 30.0}
"""Seconds for an `up` with nothing to do."""
_CONVERSION = 0.10
"""The share of an `up` with nothing to do that the conversion may take."""


def routes() -> None:
    """Needs an API server (`make setup-test`). Seconds on the wall; one run of each, after one `up` that is not counted."""
    programs = parts.find(ROOT, "kubernetes", os.environ)
    if programs is None:
        sys.exit("bench: no API server is here: make setup-test")
    with ExitStack() as running, tempfile.TemporaryDirectory() as folder:
        api = running.enter_context(KubernetesApi(Path(folder), programs))
        for name in BARS:
            place = Path(folder) / name
            place.mkdir()
            project = running.enter_context(cluster_project(place, api, f"bench-{name}"))
            project.patience = _PATIENCE
            _measure(project, name)


def _measure(project: ClusterProject, name: str) -> None:
    project.settings = {"run": "nothing"} if name == "cluster" else {"run": "nothing", "format": "traefik-file", "out": "out"}
    project.document.write_text(_document(90, "kubernetes" if name == "cluster" else "url"), "utf-8")
    first, _ = _timed(project, "up", "--yes", "--skip-preview")
    nothing, _ = _timed(project, "up", "--yes", "--skip-preview", "--expect-no-changes")
    began = time.perf_counter()
    settings = Settings.of(
        {"document": "stacks/cluster/shop.yaml", "format": "ingressroute" if name == "cluster" else "traefik-file", "out": "out"}
    )
    Plan.of("cluster", settings, project.root)
    conversion = time.perf_counter() - began
    project.document.write_text(_document(80, "kubernetes" if name == "cluster" else "url"), "utf-8")
    edit, printed = _timed(project, "up", "--yes", "--skip-preview")
    updated = re.findall(r"~ +(\S+) \S+ updated", printed)
    state = Path(project.environment["PULUMI_BACKEND_URL"].removeprefix("file://"))
    (checkpoint,) = state.glob(".pulumi/stacks/*/cluster.json")
    weight = checkpoint.stat().st_size / 2**20
    gone, _ = _timed(project, "destroy", "--yes", "--skip-preview")
    bar = BARS[name]
    print(f"  {ROUTES} routes, {name}:")
    print(f"    up from nothing: {first:.1f} s")
    print(f"    up with nothing to do: {nothing:.1f} s; bar {bar:.0f} s: {'holds' if nothing <= bar else 'MISSED'}")
    share = conversion / nothing
    held = "holds" if share <= _CONVERSION else "MISSED"
    print(f"    of which the conversion: {conversion:.1f} s, {share:.0%}; bar {_CONVERSION:.0%}: {held}")
    print(f"    up with one edit: {edit:.1f} s, updated: {', '.join(sorted(updated))}")
    print(f"    destroy: {gone:.1f} s; the state weighs {weight:.1f} MiB")


def _timed(project: ClusterProject, *words: str) -> tuple[float, str]:
    began = time.perf_counter()
    printed = project.pulumi(*words, "--suppress-progress")
    return time.perf_counter() - began, printed


def _document(weight: int, servers: str) -> str:
    """A host, a canary by cookie, a split and its cookie for each route; `weight` is that of one of them."""

    def service(name: str) -> dict[str, object]:
        server = {"kubernetes": {"service": name, "port": 80}} if servers == "kubernetes" else {"url": f"http://{name}.example:80"}
        return {"servers": [server]}

    def route(number: int) -> dict[str, object]:
        stable = weight if number == ROUTES // 2 else 90
        return {
            "name": f"shop-{number}",
            "hosts": [f"shop-{number}.example.com"],
            "canaries": [{"when": {"cookie": {"name": "canary", "value": "v2"}}, "to": f"v2-{number}"}],
            "split": [{"to": f"v1-{number}", "weight": stable}, {"to": f"v2-{number}", "weight": 100 - stable}],
            "sticky": {"cookie": {"name": "shop_variant"}},
        }

    tree = {
        "pinfeather": "v1",
        "routes": [route(number) for number in range(ROUTES)],
        "services": {name: service(name) for number in range(ROUTES) for name in (f"v1-{number}", f"v2-{number}")},
    }
    return json.dumps(tree)

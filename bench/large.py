"""A large conversion: IngressRoutes with their TraefikServices to Docker labels, beside the usual program."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROUTES = 10_000
ROUNDS = 3
_ONE = """\
apiVersion: traefik.io/v1alpha1
kind: IngressRoute
metadata:
  name: shop-{n}
  namespace: default
  labels: {{app.kubernetes.io/name: shop-{n}, app.kubernetes.io/part-of: storefront, app.kubernetes.io/managed-by: gitops}}
spec:
  entryPoints:
    - websecure
  routes:
    - match: Host(`shop-{n}.example.com`) && PathPrefix(`/shop/{n}`) && HeaderRegexp(`Cookie`, `(^|;\\s*)canary=v2\\s*(;|$)`)
      kind: Rule
      priority: 100
      services:
        - name: shop-{n}-v2
          port: 8080
    - match: Host(`shop-{n}.example.com`) && PathPrefix(`/shop/{n}`)
      kind: Rule
      priority: 10
      services:
        - name: shop-{n}-split
          kind: TraefikService
---
apiVersion: traefik.io/v1alpha1
kind: TraefikService
metadata:
  name: shop-{n}-split
  namespace: default
spec:
  weighted:
    services:
      - name: shop-{n}-v1
        port: 8080
        weight: 90
      - name: shop-{n}-v2
        port: 8080
        weight: 10
    sticky:
      cookie:
        name: shop_variant
        maxAge: 86400
        secure: true
        httpOnly: true
        sameSite: lax
"""


def stream(routes: int) -> str:
    """As many pairs of an IngressRoute and a TraefikService, two documents each."""
    return "---\n".join(_ONE.format(n=number) for number in range(routes))


def measure(routes: int = ROUTES) -> None:
    """CPU and peak memory of a whole process each, the median of interleaved rounds; both as ratios to the usual program."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "routes.yaml")
        source.write_text(stream(routes), "utf-8")
        target = Path(folder, "out")
        target.mkdir()
        own = "from pinfeather.cli import console; console()"
        rows = {
            "the usual program": [sys.executable, "-m", "bench.usual", str(source)],
            "pinfeather convert": [
                sys.executable, "-c", own, "convert", str(source), "--from", "ingressroute", "--to", "docker-labels", "-o", str(target),
                "--allow", "loss.*",
            ],
        }  # fmt: skip
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in rows}
        for _ in range(ROUNDS):
            for name, command in rows.items():
                found[name].append(_cost(command))
        print(f"  {routes} routes, {source.stat().st_size / 1e6:.1f} MB")
    middle = {name: tuple(statistics.median(each) for each in zip(*costs, strict=True)) for name, costs in found.items()}
    for name, (seconds, megabytes) in middle.items():
        print(f"  {name}: {seconds:.1f} s CPU, {megabytes:.0f} MB at its peak")
    for what, index in (("CPU", 0), ("memory", 1)):
        ratio = middle["pinfeather convert"][index] / middle["the usual program"][index]
        print(f"  {what}: {ratio:.2f}x of the usual program; bar 0.6x: {'holds' if ratio <= 0.6 else 'MISSED'}")


def _cost(command: list[str]) -> tuple[float, float]:
    """CPU seconds, and the megabytes that the process held at most."""
    with open(os.devnull, "wb") as nowhere:
        process = subprocess.Popen(command, stdout=nowhere, stderr=subprocess.PIPE)
        assert process.stderr is not None
        said = process.stderr.read()
        _, status, used = os.wait4(process.pid, 0)
        process.stderr.close()
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command[:4])} … ended with {process.returncode}: {said.decode('utf-8', 'replace')[-2000:]}")
    scale = 1 if sys.platform == "darwin" else 1024
    return used.ru_utime + used.ru_stime, used.ru_maxrss * scale / 1e6

"""What stands behind the proxies that are measured: a HAProxy that answers 1 KiB by itself, on several ports, and the document for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.parts.processes import Process, free_ports, listening

HOST = "shop.localhost"
SIZE = 1024


@contextmanager
def answering(folder: Path, command: Sequence[str], count: int = 4) -> Iterator[list[int]]:
    """The ports, while it runs."""
    folder.mkdir()
    ports = free_ports(count)
    (folder / "body").write_bytes(b"x" * SIZE)
    binds = "\n".join(f"  bind 127.0.0.1:{port}" for port in ports)
    config = folder / "haproxy.cfg"
    config.write_text(
        "global\n  nbthread 1\ndefaults\n  mode http\n  timeout client 60s\n  timeout server 10s\n  timeout connect 2s\n"
        f"frontend all\n{binds}\n  http-request return status 200 content-type text/plain file {folder}/body\n",
        "utf-8",
    )
    process = Process([*command, "-db", "-f", str(config)], folder / "log")
    try:
        process.wait(lambda: all(map(listening, ports)), "listening")
        yield ports
    finally:
        process.stop()


def document(ports: Sequence[int]) -> str:
    """A canary, a split and two levels of stickiness over those ports: half of them are the new version's."""
    half = len(ports) // 2
    versions = {"v1": ports[:half], "v2": ports[half:]}
    services = ""
    for name, chosen in versions.items():
        servers = ", ".join(f"{{url: 'http://127.0.0.1:{port}'}}" for port in chosen)
        services += f"  {name}:\n    servers: [{servers}]\n    sticky: {{cookie: {{name: srv_{name}, http_only: true}}}}\n"
    return f"""\
pinfeather: v1
entry_points: {{web: 80}}
routes:
  - name: shop
    hosts: [{HOST}]
    canaries: [{{when: {{cookie: {{name: canary, value: v2}}}}, to: v2}}]
    split: [{{to: v1, weight: 90}}, {{to: v2, weight: 10}}]
    sticky: {{cookie: {{name: variant, max_age: 86400, http_only: true}}}}
services:
{services}"""

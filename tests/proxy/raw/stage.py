"""The proxies that a table is asked of, each with an entry and a server of its own for every row."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from pinfeather.model.document import Document
from pinfeather.proxy.cookies import Seal
from pinfeather.proxy.flow import Settings
from pinfeather.proxy.server import Proxy
from pinfeather.testing.traefik import Traefik
from tests.parts.haproxy import HAProxy
from tests.proxy.raw.conversation import LIMIT, Seen, Server, converse
from tests.proxy.raw.table import Row

AT_ONCE = 32
"""Rows that are acted out side by side: most of the time goes into waiting for deadlines."""
Ports = Mapping[str, int]
Start = Callable[[Ports], Awaitable[tuple[Ports, Callable[[], Awaitable[None]]]]]
"""Given the server's port of each entry, starts a proxy; the port of each entry, and how to stop it."""


def play(rows: Sequence[Row], start: Start) -> dict[Row, Seen]:
    """Every row on a proxy."""
    return asyncio.run(_play(rows, start))


async def _play(rows: Sequence[Row], start: Start) -> dict[Row, Seen]:
    servers = {f"e{number}": Server(row) for number, row in enumerate(rows)}
    listening = {name: await asyncio.start_server(each.serve, "127.0.0.1", 0, limit=LIMIT) for name, each in servers.items()}
    behind = {name: int(each.sockets[0].getsockname()[1]) for name, each in listening.items()}
    ports, stop = await start(behind)
    some = asyncio.Semaphore(AT_ONCE)

    async def one(name: str) -> Seen:
        async with some:
            return await converse(ports[name], servers[name], f"127.0.0.1:{behind[name]}")

    try:
        found = await asyncio.gather(*map(one, servers))
    finally:
        await stop()
        for each in listening.values():
            each.close()
        async with asyncio.timeout(10):
            while any(server.open for server in servers.values()):  # noqa: ASYNC110 - the other ends set no event
                await asyncio.sleep(0.01)
    return {seen.row: seen for seen in found}


def ours(folder: Path) -> Start:
    """The reference proxy, in this process."""

    async def start(servers: Ports) -> tuple[Ports, Callable[[], Awaitable[None]]]:
        routes = [{"name": name, "entry_points": [name], "to": name} for name in servers]
        services = {name: {"servers": [{"url": f"http://127.0.0.1:{port}"}]} for name, port in servers.items()}
        path = folder / "document.json"
        path.write_text(json.dumps({"entry_points": dict.fromkeys(servers, 1), "routes": routes, "services": services}))
        proxy = Proxy(
            path,
            dict.fromkeys(servers, ("127.0.0.1", 0)),
            None,
            Seal(b"a key of the test"),
            load=lambda _, text: Document.model_validate_json(text),
            say=lambda _: None,
            settings=Settings(tick=0.05, head=2.0, body=2.0, first_byte=3.0, linger=0.3, drain=1.0),
        )
        await proxy.start()
        return {name: port for name, (_, port) in proxy.addresses.items()}, proxy.close

    return start


def traefik(folder: Path, binary: Path) -> Start:
    async def start(servers: Ports) -> tuple[Ports, Callable[[], Awaitable[None]]]:
        routers = {name: {"rule": "PathPrefix(`/`)", "entryPoints": [name], "service": name} for name in servers}
        services = {name: {"loadBalancer": {"servers": [{"url": f"http://127.0.0.1:{port}"}]}} for name, port in servers.items()}
        limits = [f"--entrypoints.{name}.transport.respondingtimeouts.readtimeout=2s" for name in servers]
        running = Traefik(folder, binary=binary, entry_points=servers, arguments=limits)
        text = json.dumps({"http": {"routers": routers, "services": services}})
        await asyncio.to_thread(running.start, {"pinfeather.yml": text})
        return {name: running.port(name) for name in servers}, lambda: asyncio.to_thread(running.stop)

    return start


HAPROXY = """global
  log stdout format raw local0
defaults
  mode http
  timeout connect 2s
  timeout client 2s
  timeout server 4s
  timeout http-request 2s
  timeout tunnel 4s
"""


def haproxy(folder: Path, binary: Path) -> Start:
    async def start(servers: Ports) -> tuple[Ports, Callable[[], Awaitable[None]]]:
        sections = (f'listen {name}\n  bind "127.0.0.1:${{{name}}}"\n  server s 127.0.0.1:{port}\n' for name, port in servers.items())
        running = await asyncio.to_thread(HAProxy, folder, binary, HAPROXY + "".join(sections), tuple(servers))
        return {name: running.port(name) for name in servers}, lambda: asyncio.to_thread(running.stop)

    return start

"""A document with demo servers of this machine in the place of its own servers, and those demo servers."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from pinfeather.model.document import Document, EntryPoint
from pinfeather.model.services import HealthCheck, LoadBalancer, Server, Service, TcpLoadBalancer, TcpServer, TcpService
from pinfeather.verify.asking import Unfit
from pinfeather.verify.demo import DemoServer
from pinfeather.verify.demo_tcp import DemoTcpServer

DEADLINE = 20.0
"""Seconds for a start or an end."""
CHECK = ("250ms", "2s")
"""Interval and timeout of health checks here: nobody waits for those of the document."""


class Placed(NamedTuple):
    """`keys`: server key of the user's document -> key in `document`. `names`: key in `document` -> what that server calls itself."""

    document: Document
    keys: Mapping[str, str]
    names: Mapping[str, str]
    changed: tuple[str, ...]
    """What is not as in the document, in words."""


class DemoServers:
    """The demo servers of one document, in a thread of their own. Use it in a `with`."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._context = context
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._http: dict[str, DemoServer] = {}
        self._tcp: dict[str, DemoTcpServer] = {}

    def __enter__(self) -> DemoServers:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def http(self, name: str, service: str) -> str:
        """The address of the HTTP server of this name, `127.0.0.1:port`; started when it is first asked for."""
        if name not in self._http:
            server = DemoServer(service, name, 0)
            asyncio.run_coroutine_threadsafe(server.listen(), self._loop).result(DEADLINE)
            self._http[name] = server
        return f"127.0.0.1:{self._http[name].port}"

    def tcp(self, name: str) -> str:
        """The same over TCP."""
        if name not in self._tcp:
            self._tcp[name] = DemoTcpServer(name, self._context)
        return f"127.0.0.1:{self._tcp[name].port}"

    @property
    def count(self) -> int:
        return len(self._http) + len(self._tcp)

    def close(self, name: str) -> None:
        """A server that refuses every connection until `reopen`."""
        self._call(self._http[name].close)

    def reopen(self, name: str) -> None:
        self._call(self._http[name].reopen)

    def stop(self) -> None:
        """Ends them all; a second call does nothing."""
        if self._loop.is_closed():
            return
        for server in self._http.values():
            self._call(server.end)
        for each in self._tcp.values():
            each.end()
        asyncio.run_coroutine_threadsafe(_rest(), self._loop).result(DEADLINE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE)
        self._loop.close()

    def _call(self, work: object) -> None:
        async def run() -> None:
            assert callable(work)
            work()

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(DEADLINE)


async def _rest() -> None:
    """Lets what was closed come to its end."""
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0)


class InOurs(NamedTuple):
    """An outage of our own demo servers, by the keys of a placed document."""

    servers: DemoServers
    names: Mapping[str, str]

    def close(self, server: str, limit: float) -> None:  # noqa: ARG002 - every outage has the same shape
        self.servers.close(self.names[server])

    def reopen(self, server: str) -> None:
        self.servers.reopen(self.names[server])


# The document ----------------------------------------------------------------------------------------------------------------


def place(document: Document, servers: DemoServers) -> Placed:
    """Put a demo server in the place of each server; of a Kubernetes Service and of a container there is one."""
    keys: dict[str, str] = {}
    names: dict[str, str] = {}
    changed: dict[str, None] = {}
    called: dict[str, str] = {}
    services: dict[str, Service] = {}
    for name, service in document.services.items():
        if not isinstance(service, LoadBalancer):
            services[name] = service
            continue
        placed: list[Server] = []
        for index, server in enumerate(service.servers):
            who = called.setdefault(_whose(server), f"{name}-{_letters(index)}")
            path = urlsplit(server.url).path if server.url is not None else ""
            url = f"http://{servers.http(who, name)}{path.rstrip('/')}"
            keys[server.key], names[url] = url, who
            placed.append(server.model_copy(update={"url": url, "kubernetes": None, "container": None}))
        update: dict[str, object] = {"servers": tuple(_once(placed))}
        if service.health_check is not None:
            changed[f"health checks ask every {CHECK[0]}"] = None
        if service.servers_transport is not None:
            update["servers_transport"] = None
            changed["servers are spoken to in plain HTTP: transports are left out"] = None
        services[name] = service.model_copy(update=update)
    tcp: dict[str, TcpService] = {}
    for name, each in document.tcp_services.items():
        if not isinstance(each, TcpLoadBalancer):
            tcp[name] = each
            continue
        made = []
        for index, one in enumerate(each.servers):
            who = called.setdefault(f"tcp:{one.key}", f"{name}-{_letters(index)}")
            address = servers.tcp(who)
            keys[one.key], names[address] = address, who
            made.append(TcpServer(address=address))
        tcp[name] = each.model_copy(update={"servers": tuple(made), "servers_transport": None})
    return Placed(eager(document.model_copy(update={"services": services, "tcp_services": tcp})), keys, names, tuple(changed))


def eager(document: Document) -> Document:
    """With health checks that notice soon."""
    services: dict[str, Service] = {}
    for name, service in document.services.items():
        check = service.health_check if isinstance(service, LoadBalancer) else None
        services[name] = (
            service
            if check is None
            else service.model_copy(update={"health_check": HealthCheck(path=check.path, interval=CHECK[0], timeout=CHECK[1])})
        )
    return document.model_copy(update={"services": services})


def _once(servers: list[Server]) -> Iterator[Server]:
    """Two references to one Service are one server here."""
    seen: set[str] = set()
    for server in servers:
        if server.key not in seen:
            seen.add(server.key)
            yield server


def _whose(server: Server) -> str:
    """What two servers have in common that are one."""
    if (ref := server.kubernetes) is not None:
        return f"kubernetes:{ref.namespace or ''}/{ref.service}"
    return server.key


def _letters(index: int) -> str:
    """a, b, … z, a1, b1 …"""
    return chr(ord("a") + index % 26) + (str(index // 26) if index >= 26 else "")


def needs_certificate(document: Document) -> bool:
    """Whether TLS is ended anywhere, or passed through."""
    if any(isinstance(point, EntryPoint) and point.tls for point in document.entry_points.values()):
        return True
    return any(route.tls is not None for route in document.routes) or any(route.tls is not None for route in document.tcp_routes)


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate that signs itself, for a day, and its key. Raises Unfit where there is no openssl."""
    openssl = shutil.which("openssl")
    if openssl is None:
        raise Unfit("the document speaks TLS, and no `openssl` is on PATH to make a certificate: install it")
    chain, key = folder / "verify.pem", folder / "verify.key"
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
    done = subprocess.run(
        [*command, "-subj", "/CN=pinfeather verify", "-keyout", key, "-out", chain], capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode:
        raise Unfit(f"openssl makes no certificate: {done.stderr.strip()[-200:]}")
    return chain, key


def server_context(chain: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    return context

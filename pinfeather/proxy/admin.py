"""The second port, for the one who runs the proxy: `/healthz`, `/state` as JSON, `/metrics` for Prometheus. Never for clients:
bind it to loopback. It answers for one process, or for all workers: whoever it is given knows."""

import asyncio
import json
import os
from collections.abc import Mapping
from typing import Protocol, cast

from pinfeather.proxy.edge import Edge
from pinfeather.proxy.fields import Refused
from pinfeather.proxy.metrics import CONTENT_TYPE
from pinfeather.proxy.wire import HeadReader, parse_request

_DEADLINE = 10.0  # seconds for one request, in which each worker has its say
_JSON = "application/json"


class Informant(Protocol):
    """Who knows."""

    async def healthy(self) -> tuple[bool, dict[str, object]]: ...
    async def state(self) -> dict[str, object]: ...
    async def metrics(self) -> str: ...


class AdminConnection(asyncio.Protocol):
    """One request, one answer, the end."""

    def __init__(self, informant: Informant) -> None:
        self._informant = informant
        self._buffer = bytearray()
        self._heads = HeadReader(skips=True)
        self._task: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._timer = asyncio.get_running_loop().call_later(_DEADLINE, self._transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the same end either way
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        if self._task is not None:
            return
        self._buffer += data
        try:
            head = self._heads.take(self._buffer)
            if head is None:
                return
            request = parse_request(head)
        except Refused:
            self._say("400 Bad Request", {"error": "bad request"})
            return
        self._task = asyncio.get_running_loop().create_task(self._answer(request.method, request.path))

    async def _answer(self, method: str, path: str) -> None:
        if method != "GET":
            self._say("405 Method Not Allowed", {"error": "GET only"})
        elif path == "/healthz":
            well, said = await self._informant.healthy()
            self._say("200 OK" if well else "503 Service Unavailable", said)
        elif path == "/state":
            self._say("200 OK", await self._informant.state())
        elif path == "/metrics":
            self._write("200 OK", CONTENT_TYPE, (await self._informant.metrics()).encode())
        else:
            self._say("404 Not Found", {"error": "/healthz, /state or /metrics"})

    def _say(self, status: str, body: Mapping[str, object]) -> None:
        self._write(status, _JSON, json.dumps(body, indent=2).encode() + b"\n")

    def _write(self, status: str, kind: str, text: bytes) -> None:
        head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n"
        self._transport.write(head.encode() + text)
        self._transport.close()


def state(edge: Edge, reload_error: str | None) -> dict[str, object]:
    """What `/state` says of one process: the document that is served, its closed routes, and each service's servers."""
    live = edge.live
    serving = live.serving
    return {
        "pid": os.getpid(),
        "revision": serving.revision,
        "reload_error": reload_error,
        "draining": edge.draining,
        "connections": len(edge.connections),
        "server_connections": len(edge.pool),
        "routes": len(serving.document.routes),
        "closed": dict(serving.closed),
        "services": {
            name: [{"server": key, "status": status.name.lower()} for key, status in zip(keys, live.state.servers[name], strict=True)]
            for name, keys in serving.servers.items()
        },
    }

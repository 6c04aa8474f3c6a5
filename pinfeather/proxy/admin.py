"""The second port, for the one who runs the proxy: `/healthz`, and `/state` as JSON. Never for clients: bind it to loopback."""

import asyncio
import json
import os
from typing import TYPE_CHECKING, cast

from pinfeather.proxy.wire import HeadReader, Refused, parse_request

if TYPE_CHECKING:
    from pinfeather.proxy.server import Proxy

_DEADLINE = 5.0  # seconds for one request


class AdminConnection(asyncio.Protocol):
    """One request, one answer, the end."""

    def __init__(self, proxy: "Proxy") -> None:
        self._proxy = proxy
        self._buffer = bytearray()
        self._heads = HeadReader(skips=True)
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._timer = asyncio.get_running_loop().call_later(_DEADLINE, self._transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the same end either way
        self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        try:
            head = self._heads.take(self._buffer)
            if head is None:
                return
            request = parse_request(head)
            status, body = self._answer(request.method, request.path)
        except Refused:
            status, body = "400 Bad Request", {"error": "bad request"}
        text = json.dumps(body, indent=2).encode() + b"\n"
        self._transport.write(
            f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n".encode()
            + text
        )
        self._transport.close()

    def _answer(self, method: str, path: str) -> tuple[str, dict[str, object]]:
        if method != "GET":
            return "405 Method Not Allowed", {"error": "GET only"}
        if path == "/healthz":
            draining = self._proxy.edge.draining
            return ("503 Service Unavailable", {"status": "draining"}) if draining else ("200 OK", {"status": "ok"})
        if path == "/state":
            return "200 OK", state(self._proxy)
        return "404 Not Found", {"error": "/healthz or /state"}


def state(proxy: "Proxy") -> dict[str, object]:
    """What `/state` says: the document that is served, its closed routes, and each service's servers."""
    live = proxy.edge.live
    serving = live.serving
    return {
        "pid": os.getpid(),
        "revision": serving.revision,
        "reload_error": proxy.reload_error,
        "draining": proxy.edge.draining,
        "connections": len(proxy.edge.connections),
        "server_connections": len(proxy.edge.pool),
        "routes": len(serving.document.routes),
        "closed": dict(serving.closed),
        "services": {
            name: [{"server": key, "status": status.name.lower()} for key, status in zip(keys, live.state.servers[name], strict=True)]
            for name, keys in serving.servers.items()
        },
    }

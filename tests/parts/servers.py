"""Servers for proxies to reach: on free ports of loopback, all in one thread, each with a name that it answers."""

from __future__ import annotations

import asyncio
import re
import threading
from typing import NamedTuple

DEADLINE = 20.0  # seconds for a start or an end


class Hit(NamedTuple):
    """A request as it reached a server."""

    server: str
    line: str
    fields: tuple[tuple[str, str], ...]  # names in lower case


class Servers:
    """Servers on free ports of loopback, each with a name, which it answers in `X-Server`.

    `/healthz` answers 503 for those in `down`, and is no hit.
    """

    def __init__(self) -> None:
        self.down: set[str] = set()
        self.hits: list[Hit] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._listening: dict[str, asyncio.Server] = {}
        self.open: set[asyncio.Transport] = set()

    def at(self, name: str) -> str:
        """The address of the server of this name, `127.0.0.1:port`."""
        if name not in self._listening:
            made = self._loop.create_server(lambda: _Connection(self, name), "127.0.0.1", 0)
            self._listening[name] = asyncio.run_coroutine_threadsafe(made, self._loop).result(DEADLINE)
        return f"127.0.0.1:{self._listening[name].sockets[0].getsockname()[1]}"

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._listening)

    def placed(self, text: str) -> str:
        """A text with each address of 10/8 with a port turned into that of the server called so; other addresses into loopback's."""
        text = re.sub(r"\b10(?:\.\d+){3}:\d+", lambda found: self.at(found[0]), text)
        return re.sub(r"\b10(?=(?:\.\d+){3})", "127", text)

    def stop(self) -> None:
        async def end() -> None:
            for server in self._listening.values():
                server.close()
            for transport in tuple(self.open):
                transport.abort()
            while self.open:  # noqa: ASYNC110 - each takes a turn of the loop
                await asyncio.sleep(0)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(DEADLINE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class _Connection(asyncio.Protocol):
    def __init__(self, servers: Servers, name: str) -> None:
        self._servers = servers
        self._name = name
        self._buffer = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._servers.open.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._servers.open.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while b"\r\n\r\n" in self._buffer and not self._transport.is_closing():
            head, _, rest = self._buffer.partition(b"\r\n\r\n")
            line, *lines = head.decode("latin-1").split("\r\n")
            parts = (each.partition(":") for each in lines)
            fields = tuple((name.lower(), value.strip()) for name, _, value in parts)
            length = int(dict(fields).get("content-length", "0"))
            if len(rest) < length:
                return
            self._buffer = rest[length:]
            self._answer(line, fields)

    def _answer(self, line: str, fields: tuple[tuple[str, str], ...]) -> None:
        health = line.split(" ")[1] == "/healthz"
        if not health:
            self._servers.hits.append(Hit(self._name, line, fields))
        status = "503 Down" if health and self._name in self._servers.down else "200 OK"
        body = "" if line.startswith("HEAD ") else self._name
        close = "transfer-encoding" in dict(fields)  # its end is not looked for
        connection = "Connection: close\r\n" if close else ""
        head = f"HTTP/1.1 {status}\r\nX-Server: {self._name}\r\nContent-Length: {len(self._name)}\r\n{connection}\r\n"
        self._transport.write((head + body).encode())
        if close:
            self._transport.close()

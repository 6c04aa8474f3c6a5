"""A server to stand behind a proxy under load: `python -m bench.server PORT NAME LOG`.

Every answer names it in `X-Server` and has 1 KiB; `/bytes/N` answers N bytes; `/health` answers 200. The `X-Id` of each request that
arrives whole is written to LOG at once, a line each, so that who was asked twice can be counted after a kill.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import cast

import httptools

SIZE = 1024
_PIECE = b"x" * 65536


class Connection(asyncio.Protocol):
    """One client; answers in order."""

    def __init__(self, name: str, log: int) -> None:
        self._name = name
        self._log = log
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.abort()

    def on_message_begin(self) -> None:
        self._url, self._id = b"", b""

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"x-id":
            self._id = value

    def on_message_complete(self) -> None:
        if self._id:
            os.write(self._log, self._id + b"\n")
        size = int(self._url.rpartition(b"/")[2]) if self._url.startswith(b"/bytes/") else SIZE
        head = f"HTTP/1.1 200 OK\r\nX-Server: {self._name}\r\nContent-Length: {size}\r\n\r\n".encode()
        if size <= len(_PIECE):
            self._transport.write(head + _PIECE[:size])
            return
        self._transport.write(head)
        task = asyncio.get_running_loop().create_task(self._stream(size))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _stream(self, size: int) -> None:
        while size > 0 and not self._transport.is_closing():
            await self._may_write.wait()
            self._transport.write(_PIECE[:size])
            size -= len(_PIECE)

    def pause_writing(self) -> None:
        self._may_write.clear()

    def resume_writing(self) -> None:
        self._may_write.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the same end either way
        self._may_write.set()


async def main(port: int, name: str, log: str) -> None:
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(name, file), "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3]))

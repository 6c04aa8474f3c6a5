"""Streams of bytes through the proxy: servers that say who they are, and clients."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

from pinfeather.proxy.flow import Settings

if TYPE_CHECKING:
    from conftest import Backend, Stage

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Raw = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
QUICK = Settings(tick=0.05, watch=0.05, head=1.0, drain=1.0, connect=0.5, tunnel=1.0, answer=1.0, body=1.0)


def named(name: str) -> Raw:
    """Says its name first, then everything back, and `bye` when the client has ended."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(name.encode() + b"\n")
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write(b"bye")

    return serve


@contextlib.asynccontextmanager
async def connected(stage: Stage, entry_point: str = "db", source: str | None = None) -> AsyncIterator[Streams]:
    host, port = stage.proxy.addresses[entry_point]
    reader, writer = await asyncio.open_connection(host, port, local_addr=None if source is None else (source, 0))
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def who(stage: Stage, entry_point: str = "db", source: str | None = None) -> str:
    """The server that a connection gets to; nothing where it is closed."""
    async with connected(stage, entry_point, source) as (reader, writer):
        if writer.can_write_eof():
            writer.write(b"x")
        with contextlib.suppress(ConnectionError):
            return (await reader.readline()).decode().strip()
    return ""


def to(*names: str, **service: object) -> Callable[[dict[str, Backend]], dict[str, object]]:
    """A document with one TCP route to these servers."""

    def make(backends: dict[str, Backend]) -> dict[str, object]:
        servers = [{"address": f"127.0.0.1:{backends[name].port}" if name in backends else name} for name in names]
        return {
            "entry_points": {"db": 5432, "web": 80},
            "tcp_routes": [{"name": "r", "entry_points": ["db"], "to": "s"}],
            "tcp_services": {"s": {"servers": servers, **service}},
        }

    return make

"""Clients that speak TLS to the proxy, and the documents that they meet."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pinfeather.proxy.flow import Settings

if TYPE_CHECKING:
    from conftest import Backend, Message, Stage

Pair = tuple[Path, Path]
Documents = Callable[[dict[str, "Backend"]], dict[str, object]]
QUICK = Settings(tick=0.05, watch=0.05, head=1.0, drain=1.0, linger=0.3)


def client(alpn: Sequence[str] = (), most: ssl.TLSVersion | None = None, own: Pair | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if most is not None:
        context.maximum_version = most
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if own is not None:
        context.load_cert_chain(*own)
    return context


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@contextlib.asynccontextmanager
async def secure(stage: Stage, sni: str | None, context: ssl.SSLContext | None = None, entry_point: str = "web") -> AsyncIterator[Streams]:
    """A client's TLS connection."""
    host, port = stage.proxy.addresses[entry_point]
    reader, writer = await asyncio.open_connection(host, port, ssl=context or client(), server_hostname=sni or "")
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def ask(stage: Stage, sni: str | None, host: str, path: str = "/", context: ssl.SSLContext | None = None) -> Message:
    async with secure(stage, sni, context) as (reader, writer):
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        return await stage.read(reader)


async def shown(stage: Stage, sni: str | None, pairs: dict[str, Pair]) -> str:
    """Which certificate a client is shown."""
    async with secure(stage, sni) as (_, writer):
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    return next(name for name, (chain, _) in pairs.items() if ssl.PEM_cert_to_DER_cert(chain.read_text()) == der)


async def refusal(stage: Stage, sni: str | None, context: ssl.SSLContext | None = None) -> str:
    """Why no connection comes about, as the client's OpenSSL has it."""
    try:
        async with secure(stage, sni, context) as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\n")
            assert await reader.read(1) == b"", "it came about"
    except ssl.SSLError as error:
        return error.reason or str(error)
    except ConnectionError:
        pass
    return "closed"


async def raw(stage: Stage, data: bytes, *, end: bool = False) -> bytes:
    """What is answered until the connection ends."""
    async with stage.client() as (reader, writer):
        writer.write(data)
        if end:
            writer.write_eof()
        return await reader.read()


def document(options: Mapping[str, object] | None = None, *more: Mapping[str, object]) -> Documents:
    def make(backends: dict[str, Backend]) -> dict[str, object]:
        return {
            "entry_points": {"web": 443},
            "routes": [{"name": "r", "hosts": ["a.example"], "to": "s", "tls": {}}, *more],
            "services": {"s": {"servers": [{"url": backend.url} for backend in backends.values()]}},
            "tls_options": options or {},
        }

    return make

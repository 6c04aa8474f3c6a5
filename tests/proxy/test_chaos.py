"""Clients and servers that do whatever they like, at random times: nothing is left over, and nothing of ours breaks."""

from __future__ import annotations

import asyncio
import logging
import random
from functools import partial
from typing import TYPE_CHECKING

import pytest

from pinfeather.proxy.flow import Settings

if TYPE_CHECKING:
    from conftest import Backend, Play, Stage

CLIENTS = 150
QUICK = Settings(tick=0.05, head=0.5, idle=0.5, body=0.5, first_byte=0.5, answer=0.5, tunnel=0.5, linger=0.2, server_idle=0.5, drain=1.0)

_GET = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
_POST = b"POST / HTTP/1.1\r\nHost: a.example\r\n"
_SWITCH = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
REQUESTS = (
    *(_GET, _GET, _GET, _GET.replace(b"GET", b"HEAD"), _GET.replace(b"1.1", b"1.0"), _GET.replace(b"a.ex", b"b.ex")),
    _POST + b"Content-Length: 5\r\n\r\nhello",
    _POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    _POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhelloXX",
    _POST + b"Content-Length: 1000000\r\n\r\n" + bytes(1_000_000),
    _GET[:-2] + _SWITCH,
    b"BAD\r\n\r\n",
)
_OK = b"HTTP/1.1 200 OK\r\n"
ANSWERS = (
    *(_OK + b"Content-Length: 3\r\n\r\nabc",) * 4,
    _OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    _OK + b"Content-Length: 3\r\n\r\nabcGARBAGE",
    _OK + b"Content-Length: 2000000\r\n\r\n" + bytes(2_000_000),
    _OK + b"\r\nabc",
    _OK + b"Content-Length: 10\r\n\r\nabc",
    b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nhello",
    b"",
)


async def unruly_server(chance: random.Random, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(chance.choice(ANSWERS))
        await writer.drain()
        match chance.randrange(8):
            case 0:
                return
            case 1:
                writer.transport.abort()
                return
            case 2:
                await reader.read(chance.randrange(1, 50))


async def unruly_client(chance: random.Random, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    raw = b"".join(chance.choice(REQUESTS) for _ in range(chance.randrange(1, 5)))
    manner = chance.choice(("half", "byte by byte", "end", "abort", "whole"))
    if manner == "half":
        raw = raw[: chance.randrange(len(raw))]
    elif manner == "byte by byte":
        for at in range(min(len(raw), 300)):
            writer.write(raw[at : at + 1])
            await writer.drain()
        raw = raw[300:]
    writer.write(raw)
    await writer.drain()
    if manner == "abort":
        writer.transport.abort()
        return
    if manner == "end":
        writer.write_eof()
    await reader.read(-1 if chance.randrange(2) else 100)


@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_is_left(play: Play, server: type[Backend], caplog: pytest.LogCaptureFixture, seed: int) -> None:
    chance = random.Random(seed)

    async def visit(stage: Stage) -> None:
        async with stage.client() as (reader, writer), asyncio.timeout(chance.choice((0.1, 0.5, 2.0))):
            await unruly_client(chance, reader, writer)

    async def scenario(stage: Stage) -> None:
        done = await asyncio.gather(*(visit(stage) for _ in range(CLIENTS)), return_exceptions=True)
        assert all(end is None or isinstance(end, OSError) for end in done), done
        await stage.until(lambda: not stage.proxy.edge.connections and not len(stage.proxy.edge.pool))
        assert stage.proxy.edge.empty.is_set()
        assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []

    serve = partial(unruly_server, chance)
    play(scenario, server("a", raw=serve), server("b", raw=serve), settings=QUICK)

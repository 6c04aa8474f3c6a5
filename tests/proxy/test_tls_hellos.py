"""TLS and clients that do something else: broken hellos, pieces, silence."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from typing import TYPE_CHECKING

import pytest

from pinfeather.proxy.flow import Settings
from tests.proxy.secure import QUICK, Pair, ask, client, document, raw

if TYPE_CHECKING:
    from conftest import Backend, Play, Stage

A = "a.example"


def hello(sni: str) -> bytes:
    out = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        client().wrap_bio(ssl.MemoryBIO(), out, server_hostname=sni).do_handshake()
    return out.read()


def test_broken_hellos_are_closed_and_others_served(play: Play, server: type[Backend], made: dict[str, Pair]) -> None:
    async def scenario(stage: Stage) -> None:
        whole = hello(A)
        alert = b"\x15\x03\x03\x00\x02\x02\x28"
        assert await raw(stage, b"\x16\x03\x01\x00\x05hello") == alert
        assert await raw(stage, b"\x16" + bytes(100)) == alert
        assert await raw(stage, whole[:100], end=True) == b""
        assert await raw(stage, b"", end=True) == b""
        assert await raw(stage, whole[:100]) == b""  # cut off by the deadline
        assert (await raw(stage, whole + b"\x17\x03\x03\x00\x05hello"))[:1] in (b"", b"\x16")  # OpenSSL's affair
        assert (await raw(stage, b"\x80\x2e\x01\x00\x02" + bytes(100)))[:10] == b"HTTP/1.1 4"
        assert (await ask(stage, A, A)).status == 200
        await stage.until(lambda: not stage.proxy.edge.connections)

    play(scenario, server("one"), document=document(), certificates=[made["first"]], settings=QUICK)


def test_a_hello_in_pieces(play: Play, server: type[Backend], made: dict[str, Pair]) -> None:
    async def scenario(stage: Stage) -> None:
        whole = hello(A)
        async with stage.client() as (reader, writer):
            for at in range(0, len(whole), 60):
                writer.write(whole[at : at + 60])
                await writer.drain()
                await asyncio.sleep(0.01)
            assert (await reader.readexactly(1)) == b"\x16"

    play(scenario, server("one"), document=document(), certificates=[made["first"]], settings=QUICK)


CLIENTS = 150


@pytest.mark.parametrize("sent", ["a hello", "nothing after the hello", "nothing"])
def test_those_who_dawdle_are_cut_off_and_others_served(play: Play, server: type[Backend], made: dict[str, Pair], sent: str) -> None:
    async def scenario(stage: Stage) -> None:
        loop = asyncio.get_running_loop()
        whole = hello(A)
        ends: list[float] = []

        async def dawdle() -> None:
            began = loop.time()
            async with stage.client() as (reader, writer):
                reading = asyncio.create_task(reader.read())
                if sent == "nothing after the hello":
                    writer.write(whole)
                elif sent == "a hello":
                    for byte in whole:
                        writer.write(bytes((byte,)))
                        await asyncio.wait([reading], timeout=0.1)
                        if reading.done():
                            break
                with contextlib.suppress(ConnectionError):
                    await reading
            ends.append(loop.time() - began)

        tasks = [asyncio.create_task(dawdle()) for _ in range(CLIENTS)]
        await stage.until(lambda: len(stage.proxy.edge.connections) == CLIENTS)
        for _ in range(5):
            began = loop.time()
            assert (await ask(stage, A, A)).status == 200
            assert loop.time() - began < 1.0
        await asyncio.gather(*tasks)
        assert min(ends) > 0.9 * QUICK.head
        assert max(ends) < 4 * QUICK.head
        assert not stage.proxy.edge.connections

    play(scenario, server("one"), document=document(), certificates=[made["first"]], settings=QUICK)


def test_waiting_for_a_hello_takes_no_time_of_the_processor(play: Play, server: type[Backend], made: dict[str, Pair]) -> None:
    async def scenario(stage: Stage) -> None:
        async with contextlib.AsyncExitStack() as kept:
            for _ in range(20):
                _, writer = await kept.enter_async_context(stage.client())
                writer.write(hello(A)[:200])
            await stage.until(lambda: len(stage.proxy.edge.connections) == 20)
            used = sum(os.times()[:2])
            await asyncio.sleep(0.5)
            assert sum(os.times()[:2]) - used < 0.2

    play(scenario, server("one"), document=document(), certificates=[made["first"]])


def test_limits_hold_for_connections_that_say_nothing(play: Play, server: type[Backend], made: dict[str, Pair]) -> None:
    async def scenario(stage: Stage) -> None:
        async with contextlib.AsyncExitStack() as kept:
            for _ in range(5):
                await kept.enter_async_context(stage.client())
            await stage.until(lambda: len(stage.proxy.edge.connections) == 5)
            assert await raw(stage, b"") == b""
        await stage.until(lambda: not stage.proxy.edge.connections)
        assert (await ask(stage, A, A)).status == 200

    settings = Settings(tick=0.05, connections_per_address=5)
    play(scenario, server("one"), document=document(), certificates=[made["first"]], settings=settings)


def test_at_the_end_handshakes_are_not_waited_for(play: Play, server: type[Backend], made: dict[str, Pair]) -> None:
    async def scenario(stage: Stage) -> None:
        async with stage.client() as (reader, writer):
            writer.write(hello(A)[:50])
            await stage.until(lambda: len(stage.proxy.edge.connections) == 1)
            began = asyncio.get_running_loop().time()
            await stage.proxy.close()
            assert asyncio.get_running_loop().time() - began < 1.0
            assert await reader.read() == b""

    play(scenario, server("one"), document=document(), certificates=[made["first"]])

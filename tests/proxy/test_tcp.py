"""TCP through the proxy: where connections go, and that every byte, every end and every break goes with them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import pytest

from pinfeather.proxy.flow import Settings
from pinfeather.proxy.stream import proxy_header
from pinfeather.verify.binomial import bounds
from tests.proxy.streams import QUICK, connected, to, who

if TYPE_CHECKING:
    from conftest import Backend, Play, Stage


# Bytes ------------------------------------------------------------------------------------------------------------------


def test_a_server_that_speaks_first(play: Play, talker: Callable[[str], Backend]) -> None:
    async def scenario(stage: Stage) -> None:
        async with connected(stage) as (reader, _):
            assert await reader.readline() == b"one\n"

    play(scenario, talker("one"), document=to("one"), listen=["db"])


def test_every_byte_goes_through_and_an_end_is_an_end(play: Play, talker: Callable[[str], Backend]) -> None:
    async def scenario(stage: Stage) -> None:
        data = os.urandom(5_000_000)
        async with connected(stage) as (reader, writer):

            async def send() -> None:
                for at in range(0, len(data), 100_000):
                    writer.write(data[at : at + 100_000])
                    await writer.drain()
                writer.write_eof()

            sending = asyncio.create_task(send())
            assert await reader.read(-1) == b"one\n" + data + b"bye"
            await sending
        await stage.until(lambda: not stage.proxy.edge.connections)
        text = await stage.proxy.metrics()
        assert 'pinfeather_tcp_connections_total{route="r",service="s",reason="ended"} 1' in text
        assert f'pinfeather_tcp_bytes_total{{direction="in"}} {len(data)}' in text
        assert f'pinfeather_tcp_bytes_total{{direction="out"}} {len(data) + 7}' in text

    play(scenario, talker("one"), document=to("one"), listen=["db"])


def test_an_end_of_the_server_leaves_the_other_direction_open(play: Play, server: type[Backend]) -> None:
    received = bytearray()

    async def ends_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"all")
        writer.write_eof()
        received.extend(await reader.read(-1))

    async def scenario(stage: Stage) -> None:
        async with connected(stage) as (reader, writer):
            assert await reader.read(-1) == b"all"
            writer.write(b"still here")
            writer.write_eof()
            await stage.until(lambda: bytes(received) == b"still here")
        await stage.until(lambda: not stage.proxy.edge.connections)

    play(scenario, server("one", raw=ends_first), document=to("one"), listen=["db"])


def test_a_reset_is_a_reset_on_the_other_side(play: Play, server: type[Backend]) -> None:
    broken: list[str] = []

    async def breaks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"half of it")
        await reader.read(1)
        reset(writer)

    async def hears(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"x")
        try:
            await reader.read(-1)
        except ConnectionResetError:
            broken.append("server")

    def reset(writer: asyncio.StreamWriter) -> None:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()

    async def scenario(stage: Stage) -> None:
        async with connected(stage) as (reader, writer):
            assert await reader.readexactly(10) == b"half of it"
            writer.write(b"x")
            with pytest.raises(ConnectionResetError):
                await reader.read(-1)
        async with connected(stage, "other") as (reader, writer):
            await reader.readexactly(1)
            reset(writer)
        await stage.until(lambda: broken == ["server"])
        await stage.until(lambda: not stage.proxy.edge.connections)
        text = await stage.proxy.metrics()
        assert 'reason="server broke off"} 1' in text
        assert 'reason="client broke off"} 1' in text

    def document(backends: dict[str, Backend]) -> dict[str, object]:
        found = to("breaks")(backends)
        cast("list[object]", found["tcp_routes"]).append({"name": "o", "entry_points": ["web"], "to": "o"})
        cast("dict[str, object]", found["tcp_services"])["o"] = {"servers": [{"address": f"127.0.0.1:{backends['hears'].port}"}]}
        return json.loads(json.dumps(found).replace('"web"', '"other"'))  # type: ignore[no-any-return]

    play(scenario, server("breaks", raw=breaks), server("hears", raw=hears), document=document, listen=["db", "other"])


@pytest.mark.parametrize("slow", ["client", "server"])
def test_a_side_that_takes_nothing_stops_the_other(play: Play, server: type[Backend], slow: str) -> None:
    sent = 0
    go_on = asyncio.Event()
    size = 40_000_000

    async def pour(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        while sent < size:
            writer.write(bytes(100_000))
            await writer.drain()
            sent += 100_000
        writer.write_eof()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if slow == "client":
            await pour(writer)
            await reader.read(-1)
        else:
            await go_on.wait()
            while await reader.read(1_000_000):
                pass

    async def scenario(stage: Stage) -> None:
        async with connected(stage) as (reader, writer):
            pouring = asyncio.create_task(pour(writer)) if slow == "server" else None
            await stage.until(lambda: sent > 0)
            await stage.settle(lambda: sent)
            assert sent < size / 2  # what the systems' buffers take, and little more
            go_on.set()
            if slow == "client":
                total = 0
                while data := await reader.read(1_000_000):
                    total += len(data)
                assert total == size
            if pouring is not None:
                await pouring
                assert await reader.read(-1) == b""

    play(scenario, server("one", raw=serve), document=to("one"), listen=["db"])


# Servers ----------------------------------------------------------------------------------------------------------------


def test_another_server_where_one_does_not_answer(play: Play, talker: Callable[[str], Backend]) -> None:
    async def scenario(stage: Stage) -> None:
        assert {await who(stage) for _ in range(20)} == {"one"}
        text = await stage.proxy.metrics()
        assert 'reason="server failed"' not in text

    play(scenario, talker("one"), document=to("127.0.0.1:1", "one", "127.0.0.1:2"), listen=["db"], settings=QUICK)


def test_no_server_answers(play: Play) -> None:
    async def scenario(stage: Stage) -> None:
        assert await who(stage) == ""
        await stage.until(lambda: not stage.proxy.edge.connections)
        assert 'reason="server failed"} 1' in await stage.proxy.metrics()

    play(scenario, document=to("127.0.0.1:1", "127.0.0.1:2"), listen=["db"], settings=QUICK)


def test_a_server_that_takes_no_connection_is_given_up_at_the_deadline(play: Play, talker: Callable[[str], Backend]) -> None:
    with socket.socket() as full, contextlib.ExitStack() as waiting:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):  # its queue is full: connections to it are neither taken nor refused
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(full.getsockname())

        async def scenario(stage: Stage) -> None:
            began = asyncio.get_running_loop().time()
            assert {await who(stage) for _ in range(6)} == {"one"}
            assert asyncio.get_running_loop().time() - began < 6 * 2 * QUICK.connect

        play(scenario, talker("one"), document=to(f"127.0.0.1:{full.getsockname()[1]}", "one"), listen=["db"], settings=QUICK)


def test_weights(play: Play, talker: Callable[[str], Backend]) -> None:
    async def scenario(stage: Stage) -> None:
        counts = Counter([await who(stage) for _ in range(400)])
        for name, share in {"one": Fraction(1, 4), "two": Fraction(3, 8), "three": Fraction(3, 8)}.items():
            low, high = bounds(400, share)
            assert low <= counts[name] <= high, counts
        assert counts.total() == sum(counts[name] for name in ("one", "two", "three"))

    def document(backends: dict[str, Backend]) -> dict[str, object]:
        found = to("one")(backends)
        found["tcp_routes"] = [{"name": "r", "split": [{"to": "s", "weight": 1}, {"to": "b", "weight": 3}]}]
        servers = [{"address": f"127.0.0.1:{backends[name].port}"} for name in ("two", "three")]
        cast("dict[str, object]", found["tcp_services"])["b"] = {"servers": servers}
        return found

    play(scenario, talker("one"), talker("two"), talker("three"), document=document, listen=["db"])


@pytest.mark.parametrize("version", [1, 2, None])
def test_the_proxy_protocol_only_where_it_is_named(play: Play, server: type[Backend], version: int | None) -> None:
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"hello"))
        writer.write(b"ok\n")

    async def scenario(stage: Stage) -> None:
        async with connected(stage) as (reader, writer):
            writer.write(b"hello")
            assert await reader.readline() == b"ok\n"
            ours = writer.get_extra_info("sockname")[1]
        theirs = stage.proxy.addresses["db"][1]
        ports = ours.to_bytes(2, "big") + theirs.to_bytes(2, "big")
        loopback = bytes((127, 0, 0, 1)) * 2
        wanted = {
            1: b"PROXY TCP4 127.0.0.1 127.0.0.1 %d %d\r\n" % (ours, theirs),
            2: b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + loopback + ports,
            None: b"",
        }
        assert heads == [wanted[version] + b"hello"]

    extra = {} if version is None else {"proxy_protocol": version}
    play(scenario, server("one", raw=serve), document=to("one", **extra), listen=["db"])


def test_heads_of_the_proxy_protocol() -> None:
    v4, v6 = ("10.0.0.1", 1000), ("2001:db8::1", 1000, 0, 0)
    assert proxy_header(1, v4, ("10.0.0.2", 80)) == b"PROXY TCP4 10.0.0.1 10.0.0.2 1000 80\r\n"
    assert proxy_header(1, v6, ("::1", 80)) == b"PROXY TCP6 2001:db8::1 ::1 1000 80\r\n"
    assert proxy_header(1, ("::ffff:10.0.0.1", 1000, 0, 0), ("::ffff:10.0.0.2", 80, 0, 0)) == b"PROXY TCP4 10.0.0.1 10.0.0.2 1000 80\r\n"
    assert proxy_header(1, ("fe80::1%eth0", 1, 0, 2), ("fe80::2%eth0", 2, 0, 2)) == b"PROXY TCP6 fe80::1 fe80::2 1 2\r\n"
    assert proxy_header(2, v6, ("::1", 80))[12:16] == b"\x21\x21\0\x24"
    assert len(proxy_header(2, v6, ("::1", 80))) == 16 + 36


def test_who_is_not_on_the_list_is_closed(play: Play, talker: Callable[[str], Backend]) -> None:
    async def scenario(stage: Stage) -> None:
        assert await who(stage, source="127.0.0.2") == "one"
        assert await who(stage, source="127.0.0.1") == ""
        assert await who(stage, "web", source="127.0.0.2") == ""
        assert any("TCP route 'o' is closed: middleware 'm2': basic_auth is not executed for TCP" in line for line in stage.said)
        assert stage.backends["one"].connections == 1

    def document(backends: dict[str, Backend]) -> dict[str, object]:
        found = to("one")(backends)
        found["tcp_routes"] = [
            {"name": "r", "entry_points": ["db"], "to": "s", "middlewares": ["m"]},
            {"name": "o", "entry_points": ["web"], "to": "s", "middlewares": ["m", "m2"]},
        ]
        found["tcp_middlewares"] = {
            "m": {"ip_allow_list": {"source_ranges": ["127.0.0.2/31", "10.0.0.0/8"]}},
            "m2": {"basic_auth": {"users": ["a:b"]}},
        }
        return found

    play(scenario, talker("one"), document=document, listen=["db", "web"])


# Deadlines and the end ----------------------------------------------------------------------------------------------------


def test_a_stream_on_which_nothing_goes_is_ended(play: Play, talker: Callable[[str], Backend]) -> None:
    async def scenario(stage: Stage) -> None:
        async with connected(stage) as (reader, writer):
            await reader.readline()
            for _ in range(6):  # longer than the deadline, but never still
                await asyncio.sleep(QUICK.tunnel / 4)
                writer.write(b"x")
                assert await reader.readexactly(1) == b"x"
            with pytest.raises(ConnectionResetError):
                await reader.read(-1)
        await stage.until(lambda: not stage.proxy.edge.connections)
        assert 'reason="deadline"} 1' in await stage.proxy.metrics()

    play(scenario, talker("one"), document=to("one"), listen=["db"], settings=QUICK)


def test_a_stream_may_end_while_the_proxy_drains(play: Play, talker: Callable[[str], Backend]) -> None:
    async def scenario(stage: Stage) -> None:
        async with connected(stage) as (reader, writer), connected(stage) as (other, _):
            await reader.readline()
            await other.readline()
            closing = asyncio.create_task(stage.proxy.close())
            await stage.until(lambda: stage.proxy.edge.draining)
            writer.write(b"last words")
            writer.write_eof()
            assert await reader.read(-1) == b"last wordsbye"
            assert not closing.done()
            with pytest.raises(ConnectionResetError):  # it does not end by itself
                await other.read(-1)
            await closing

    play(scenario, talker("one"), document=to("one"), listen=["db"], settings=QUICK)


def test_a_stream_goes_on_over_a_reload(play: Play, talker: Callable[[str], Backend]) -> None:
    async def scenario(stage: Stage) -> None:
        async with connected(stage) as (reader, writer):
            assert await reader.readline() == b"one\n"
            stage.write(to("two")(stage.backends))
            await stage.until(lambda: any("reloaded: " in line for line in stage.said))
            writer.write(b"still")
            assert await reader.readexactly(5) == b"still"
            assert await who(stage) == "two"
            stage.write({"entry_points": {"db": 5432, "web": 80}})
            await stage.until(lambda: sum("reloaded: " in line for line in stage.said) == 2)
            writer.write(b"still")
            assert await reader.readexactly(5) == b"still"

    play(scenario, talker("one"), talker("two"), document=to("one"), listen=["db"])


def test_limits_hold_for_streams(play: Play, talker: Callable[[str], Backend]) -> None:
    async def scenario(stage: Stage) -> None:
        async with connected(stage) as (first, _), connected(stage) as (second, _):
            await first.readline()
            await second.readline()
            assert await who(stage) == ""
        await stage.until(lambda: not stage.proxy.edge.connections)
        assert await who(stage) == "one"

    settings = Settings(tick=0.05, connections_per_address=2)
    play(scenario, talker("one"), document=to("one"), listen=["db"], settings=settings)

"""TCP through the proxy: where connections go, and that every byte, every end and every break goes with them."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinfeather.model.document import Document
from pinfeather.proxy.affinity import Affinities, first_draw
from pinfeather.proxy.entrances import Entrances, Table, ToHttp, ToTcp
from pinfeather.proxy.flow import Settings
from pinfeather.proxy.hello import Hello
from pinfeather.proxy.listening import Listener
from pinfeather.proxy.stream import proxy_header
from pinfeather.verify.binomial import bounds
from tests.parts import certificates

if TYPE_CHECKING:
    from conftest import Backend, Play, Stage

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


@pytest.fixture
def talker(server: type[Backend]) -> Callable[[str], Backend]:
    return lambda name: server(name, raw=named(name))


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


# Source addresses -------------------------------------------------------------------------------------------------------


def test_an_address_stays_with_its_server(play: Play, talker: Callable[[str], Backend]) -> None:
    async def scenario(stage: Stage) -> None:
        sources = [f"127.0.0.{number}" for number in range(1, 41)]
        first = {source: await who(stage, source=source) for source in sources}
        assert set(first.values()) == {"one", "two"}
        for _ in range(3):
            assert {source: await who(stage, source=source) for source in sources} == first
        # Another document with a server more: everybody stays. One server less: only its clients move.
        found = json.loads(stage.path.read_text())
        servers = found["tcp_services"]["s"]["servers"]
        stage.write({**found, "tcp_services": {"s": {"servers": [*servers, {"address": "127.0.0.1:1"}], "sticky": {"source_address": {}}}}})
        await stage.until(lambda: any("reloaded: " in line for line in stage.said))
        assert {source: await who(stage, source=source) for source in sources} == first

    document = to("one", "two", sticky={"source_address": {}})
    play(scenario, talker("one"), talker("two"), document=document, listen=["db"])


def test_a_client_moves_when_its_server_is_gone(play: Play, talker: Callable[[str], Backend]) -> None:
    async def scenario(stage: Stage) -> None:
        before = await who(stage)
        gone, other = stage.backends[before], next(name for name in stage.backends if name != before)
        found = json.loads(stage.path.read_text().replace(f":{gone.port}", ":1"))
        stage.write(found)
        await stage.until(lambda: any("reloaded: " in line for line in stage.said))
        assert [await who(stage) for _ in range(5)] == [other] * 5
        assert len(stage.proxy.edge.affinities) == 1

    document = to("one", "two", sticky={"source_address": {}})
    play(scenario, talker("one"), talker("two"), document=document, listen=["db"])


def test_the_table_is_bounded_and_forgets() -> None:
    tables = {"s": Table(3, 10.0)}
    known = Affinities()
    for number in range(5):
        known.remember("s", tables["s"], f"10.0.0.{number}", f"server {number}", now=float(number))
    assert len(known) == 3
    assert known.bindings(tables, "10.0.0.1", 5.0) == {}
    assert known.bindings(tables, "10.0.0.2", 5.0) == {"source:s": "server 2"}
    known.remember("s", tables["s"], "10.0.0.2", "server 2", now=6.0)  # seen again: others go first
    known.remember("s", tables["s"], "10.0.0.9", "server 9", now=7.0)
    assert known.bindings(tables, "10.0.0.3", 7.0) == {}
    assert known.bindings(tables, "10.0.0.2", 15.9) == {"source:s": "server 2"}
    assert known.bindings(tables, "10.0.0.2", 16.0) == {}
    known.remember("s", tables["s"], "10.0.0.8", "server 8", now=30.0)
    assert len(known) == 1
    known.remember("s", Table(3, 0.0), "10.0.0.7", "server 7", now=40.0)
    assert len(known) == 0
    known.remember("s", tables["s"], "10.0.0.8", "server 8", now=30.0)
    known.keep({})
    assert len(known) == 0


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 5)), max_size=60), st.integers(1, 5))
def test_the_table_is_what_a_simple_one_would_be(visits: list[tuple[int, int]], size: int) -> None:
    table, now = Table(size, 7.0), 0
    known, simple = Affinities(), dict[str, int]()
    for number, pause in visits:
        now += pause
        client = f"client {number}"
        known.remember("s", table, client, client, float(now))
        simple.pop(client, None)
        simple[client] = now
        for old in [name for name, seen in simple.items() if seen + 7 <= now] + list(simple)[:-size]:
            simple.pop(old, None)
        assert len(known) == len(simple)
        assert all(known.bindings({"s": table}, name, float(now)) for name in simple)


def test_workers_draw_alike_and_evenly() -> None:
    draws = [first_draw(b"key", "s", f"10.0.{number // 256}.{number % 256}") for number in range(2000)]
    low, high = bounds(2000, Fraction(1, 2))
    assert low <= sum(draw < 2**63 for draw in draws) <= high
    assert first_draw(b"key", "s", "10.0.0.0") == draws[0] != first_draw(b"other", "s", "10.0.0.0")


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


# TLS, and HTTP beside it ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    folder = tmp_path_factory.mktemp("certificates")
    return {name: certificates.make(folder, name) for name in ("proxy", "server")}


def mixed(backends: dict[str, Backend]) -> dict[str, object]:
    def service(name: str) -> dict[str, object]:
        return {"servers": [{"address": f"127.0.0.1:{backends[name].port}"}]}

    return {
        "entry_points": {"db": 5432, "web": 80},
        "routes": [{"name": "w", "hosts": ["w.example"], "to": "h", "tls": {}}],
        "services": {"h": {"servers": [{"url": backends["http"].url}]}},
        "tcp_routes": [
            {"name": "ended", "sni": ["ended.example"], "tls": {}, "to": "plain"},
            {"name": "through", "sni": ["through.example"], "tls": {"passthrough": True, "terminate": False}, "to": "secure"},
        ],
        "tcp_services": {"plain": service("plain"), "secure": service("secure")},
    }


def test_tls_is_ended_or_goes_through_by_the_server_name(
    play: Play, server: type[Backend], talker: Callable[[str], Backend], pairs: dict[str, tuple[Path, Path]]
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pairs["server"])

    async def ends_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await writer.start_tls(context)
        writer.write(b"secure\n")
        await writer.drain()
        await reader.read(1)

    async def scenario(stage: Stage) -> None:
        async def seen(sni: str) -> tuple[bytes, str]:
            client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
            reader, writer = await asyncio.open_connection(*stage.proxy.addresses["db"], ssl=client, server_hostname=sni)
            der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            if sni == "w.example":
                writer.write(b"GET / HTTP/1.1\r\nHost: w.example\r\nConnection: close\r\n\r\n")
            line = await reader.readline()
            writer.transport.abort()
            return line, next(name for name, (chain, _) in pairs.items() if ssl.PEM_cert_to_DER_cert(chain.read_text()) == der)

        assert await seen("ended.example") == (b"plain\n", "proxy")
        assert await seen("through.example") == (b"secure\n", "server")
        assert await seen("w.example") == (b"HTTP/1.1 200 OK\r\n", "proxy")
        await stage.until(lambda: not stage.proxy.edge.connections)

    backends = (talker("plain"), server("secure", raw=ends_tls), server("http"))
    play(scenario, *backends, document=mixed, listen=["db", "web"], certificates=[pairs["proxy"]])


def test_what_goes_through_is_not_changed_by_a_byte(play: Play, server: type[Backend], talker: Callable[[str], Backend]) -> None:
    received = bytearray()

    async def keeps(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            received.extend(data)
        writer.write(b"\x15\3\3\0\2\2\x28")

    async def scenario(stage: Stage) -> None:
        out = ssl.MemoryBIO()
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname = False
        with contextlib.suppress(ssl.SSLWantReadError):
            client.wrap_bio(ssl.MemoryBIO(), out, server_hostname="through.example").do_handshake()
        hello = out.read() + os.urandom(1000)
        async with connected(stage) as (reader, writer):
            for at in range(0, len(hello), 100):
                writer.write(hello[at : at + 100])
                await asyncio.sleep(0.002)
            writer.write_eof()
            assert await reader.read(-1) == b"\x15\3\3\0\2\2\x28"
        assert bytes(received) == hello

    play(scenario, talker("plain"), server("secure", raw=keeps), server("http"), document=mixed, listen=["db", "web"])


WAYS: dict[str, tuple[Hello | None, str]] = {
    "plain": (None, "plain"),
    "a name of HTTPS": (Hello("w.example", ()), "https strict"),
    "a name below a wildcard": (Hello("x.wild.example", ()), "https default"),
    "a name of TCP": (Hello("t.example", ()), "tcp ended"),
    "a name of both": (Hello("both.example", ()), "https default"),
    "another name": (Hello("other.example", ()), "https default"),
    "no name": (Hello(None, ()), "https default"),
    "a protocol": (Hello("other.example", ("pg",)), "tcp pg"),
}


@pytest.mark.parametrize(("hello", "way"), WAYS.values(), ids=WAYS)
def test_the_order_of_http_and_tcp(hello: Hello | None, way: str) -> None:
    """As in Traefik 3.7.15, pkg/server/router/tcp/router.go, ServeTCP."""
    entrances = Entrances.of(
        Document.model_validate(
            {
                "routes": [
                    {"name": "w", "hosts": ["w.example"], "to": "s@x", "tls": {"options": "strict"}},
                    {"name": "b", "match": {"any": [{"host": "both.example"}, {"path": {"exact": "/x"}}]}, "to": "s@x", "tls": {}},
                    {"name": "x", "hosts": ["*.wild.example"], "to": "s@x", "tls": {}},
                    {"name": "any", "path": {"prefix": "/any"}, "to": "s@x", "tls": {}},
                ],
                "tls_options": {"strict": {"min_version": "VersionTLS13"}},
                "tcp_routes": [
                    {"name": "ended", "sni": ["t.example", "both.example"], "tls": {}, "to": "s@x"},
                    {"name": "pg", "match": {"alpn": "pg"}, "tls": {"passthrough": True}, "to": "s@x"},
                    {"name": "rest", "tls": {"passthrough": True}, "to": "s@x"},
                    {"name": "plain", "match": {"client_ip": "10.0.0.0/8"}, "tls": {"terminate": False}, "to": "s@x"},
                ],
            }
        )
    )

    def said(client: str) -> str:
        found = entrances.way("web", client, hello)
        if isinstance(found, ToHttp):
            return "plain" if found.options is None else f"https {found.options}"
        assert isinstance(found, ToTcp)
        first = entrances.table.first(found.connection)
        assert first is not None
        return f"tcp {first.route}"

    assert entrances.door("web").looks
    assert said("127.0.0.1") == way
    assert said("10.1.2.3") == ("tcp plain" if hello is None else way)


def test_nothing_is_looked_at_where_no_route_asks_for_tls() -> None:
    def door(**document: object) -> tuple[bool, bool]:
        found = Entrances.of(Document.model_validate({"entry_points": {"e": 1, "f": 2}, **document})).door("e")
        return found.looks, found.tcp

    assert door() == (False, False)
    assert door(routes=[{"name": "r", "to": "s@x"}]) == (False, False)
    assert door(tcp_routes=[{"name": "r", "to": "s@x"}]) == (False, True)
    assert door(tcp_routes=[{"name": "r", "to": "s@x", "match": {"sni": "*"}}]) == (False, True)
    assert door(tcp_routes=[{"name": "r", "to": "s@x", "entry_points": ["f"], "tls": {}}]) == (False, False)
    assert door(tcp_routes=[{"name": "r", "to": "s@x", "tls": {}}]) == (True, True)
    assert door(tcp_routes=[{"name": "r", "to": "s@x", "sni": ["a.example"]}]) == (True, True)
    assert door(tcp_routes=[{"name": "r", "to": "s@x", "match": {"not": {"alpn": "h2"}}}]) == (True, True)
    assert door(routes=[{"name": "r", "to": "s@x", "tls": {}}]) == (True, False)
    assert door(entry_points={"e": {"port": 1, "tls": True}}) == (True, False)


# Accepting --------------------------------------------------------------------------------------------------------------


class Fickle(socket.socket):
    """A listening socket whose first attempts to accept fail."""

    failures: list[int]

    def accept(self) -> tuple[socket.socket, object]:
        if self.failures:
            raise OSError(self.failures.pop(0), "as the test wants")
        return super().accept()


def test_accepting_goes_on_after_errors(play: Play, talker: Callable[[str], Backend]) -> None:
    async def scenario(stage: Stage) -> None:
        sock = Fickle()
        sock.failures = [errno.ECONNABORTED, errno.EMFILE, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENETDOWN]
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        listener = Listener(sock, stage.proxy.edge, "db")
        stage.proxy.addresses["fickle"] = sock.getsockname()
        assert await who(stage) == "one"  # the other socket is served meanwhile
        assert await who(stage, "fickle") == "one"
        assert 'pinfeather_refused_total{reason="accept: EMFILE"} 2' in await stage.proxy.metrics()
        listener.close()
        listener.close()
        with pytest.raises(ConnectionRefusedError):
            await who(stage, "fickle")

    play(scenario, talker("one"), document=to("one"), listen=["db"])


def test_several_may_accept_from_one_socket(play: Play, talker: Callable[[str], Backend]) -> None:
    async def scenario(stage: Stage) -> None:
        sock = socket.create_server(("127.0.0.1", 0))
        stage.proxy.addresses["shared"] = sock.getsockname()
        listeners = [Listener(sock.dup(), stage.proxy.edge, "db") for _ in range(3)]
        sock.close()
        assert await asyncio.gather(*(who(stage, "shared") for _ in range(60))) == ["one"] * 60
        listeners[0].close()
        assert await who(stage, "shared") == "one"
        for listener in listeners[1:]:
            listener.close()

    play(scenario, talker("one"), document=to("one"), listen=["db"])

"""TCP over TLS, ended or passed through, and HTTP on the same port."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pinfeather.model.document import Document
from pinfeather.proxy.entrances import Entrances, ToHttp, ToTcp
from pinfeather.proxy.hello import Hello
from tests.parts import certificates
from tests.proxy.streams import connected

if TYPE_CHECKING:
    from conftest import Backend, Play, Stage


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

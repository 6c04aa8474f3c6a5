"""Clients and servers that send too much, too slowly, too early, or what nobody asked for."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import struct
from typing import TYPE_CHECKING

import pytest

from pinfeather.proxy.backend import Pool
from pinfeather.proxy.client import ClientConnection
from pinfeather.proxy.flow import HIGH_WATER, Settings

if TYPE_CHECKING:
    from tests.proxy.conftest import Backend, Play, Stage, Turn

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
GET = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"


def test_requests_that_are_sent_ahead_wait_outside(play: Play, server: type[Backend], monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that sends without end while it takes the answers: what is kept of it is bounded, whatever it has sent."""
    most = [0]
    received = ClientConnection.data_received

    def measured(self: ClientConnection, data: bytes) -> None:
        received(self, data)
        most[0] = max(most[0], len(self.buffer))

    monkeypatch.setattr(ClientConnection, "data_received", measured)

    async def scenario(stage: Stage) -> None:
        async with stage.client() as (reader, writer):

            async def ahead() -> None:
                with contextlib.suppress(ConnectionError):
                    while True:
                        writer.write(GET * 2000)
                        await writer.drain()

            sending = asyncio.create_task(ahead())
            for _ in range(400):
                assert (await stage.read(reader)).status == 200
            sending.cancel()
            writer.transport.abort()
        assert most[0] <= 3 * HIGH_WATER

    play(scenario, server("b"))


@pytest.mark.parametrize("head", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
def test_a_byte_now_and_then_makes_no_body_last(play: Play, server: type[Backend], head: str) -> None:
    """Bytes of a chunk's extension are none of the body, and bytes of the body buy a hundredth of a second each."""
    piece = b"1;" if head.startswith("Transfer") else b"x"

    async def scenario(stage: Stage) -> None:
        async with stage.client() as (reader, writer):
            writer.write(f"POST / HTTP/1.1\r\nHost: a.example\r\n{head}\r\n\r\n".encode() + piece)
            answer = asyncio.create_task(stage.read(reader))
            while not answer.done():
                with contextlib.suppress(ConnectionError):
                    writer.write(b"x")
                    await writer.drain()
                await asyncio.wait([answer], timeout=0.05)
            assert answer.result().status == 408

    play(scenario, server("b"), settings=Settings(body=0.3, least_rate=100, tick=0.02))


def test_a_body_that_comes_fast_enough_has_the_time_it_takes(play: Play, server: type[Backend]) -> None:
    async def scenario(stage: Stage) -> None:
        async with stage.client() as (reader, writer):
            writer.write(b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3000\r\n\r\n")
            answer = asyncio.create_task(stage.read(reader))
            for _ in range(30):
                writer.write(b"x" * 100)
                await asyncio.wait([answer], timeout=0.03)
            assert (await answer).status == 200

    play(scenario, server("b"), settings=Settings(body=0.3, least_rate=1000, tick=0.02))


def test_an_answer_that_breaks_off_ends_with_a_reset(play: Play, server: type[Backend]) -> None:
    """To a client of HTTP/1.0 the end of the connection is the end of the answer: a mere end would make a whole of half of it."""

    async def breaks_off(turn: Turn) -> None:
        turn.writer.write(b"HTTP/1.1 200 OK\r\n\r\npartial")
        await turn.writer.drain()
        sock: socket.socket = turn.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        turn.writer.transport.abort()

    async def scenario(stage: Stage) -> None:
        for _ in range(5):
            async with stage.client() as (reader, writer):
                writer.write(b"GET / HTTP/1.0\r\nHost: a.example\r\n\r\n")
                with pytest.raises(ConnectionResetError):
                    await reader.read()

    play(scenario, server("b", breaks_off))


def test_our_own_shortage_is_no_failure_of_a_server(play: Play, server: type[Backend], monkeypatch: pytest.MonkeyPatch) -> None:
    short = [True]
    opened = Pool.open

    async def fails(self: Pool, *words: object) -> asyncio.Transport:
        if short[0]:
            raise OSError(errno.EMFILE, "too many open files")
        return await opened(self, *words)  # type: ignore[arg-type]

    monkeypatch.setattr(Pool, "open", fails)

    def document(backends: dict[str, Backend]) -> dict[str, object]:
        watch = {"max_failed_attempts": 1, "failure_window": "60s"}
        return {
            "routes": [{"name": "r", "hosts": ["a.example"], "to": "s"}],
            "services": {"s": {"servers": [{"url": backends["b"].url}], "passive_health_check": watch}},
        }

    async def scenario(stage: Stage) -> None:
        for _ in range(3):
            assert (await stage.get()).status == 503
        assert 'pinfeather_refused_total{reason="connect: EMFILE"} 3' in await stage.proxy.metrics()
        short[0] = False
        assert (await stage.get()).status == 200  # it was never taken for down

    play(scenario, server("b"), document=document)


def test_what_nobody_asked_for_is_no_answer(play: Play, server: type[Backend]) -> None:
    """A server that sends a body after the head of its answer to a HEAD: the bytes lie in the socket when the connection is asked for again."""
    sent = asyncio.Event()

    async def strays(turn: Turn) -> None:
        if turn.request.line.startswith("HEAD"):
            turn.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n")
            await turn.writer.drain()
            await asyncio.sleep(0)
            turn.writer.write(b"HTTP/1.1 200 OK\r\nX-Evil: 1\r\nContent-Length: 6\r\n\r\npoison")
            await turn.writer.drain()
            sent.set()
            return
        turn.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async def scenario(stage: Stage) -> None:
        for _ in range(20):
            sent.clear()
            assert (await stage.get(method="HEAD")).status == 200
            await sent.wait()
            assert (await stage.get()).body == b"ok"

    play(scenario, server("b", strays))


def test_an_early_answer_is_taken_to_its_end(play: Play, server: type[Backend], monkeypatch: pytest.MonkeyPatch) -> None:
    """The server answers before the body has come; the client takes the answer late: what it has not sent is not waited for, what it reads is."""
    size, late = 3_370_000, asyncio.Event()
    expired = ClientConnection.expired

    def counted(self: ClientConnection) -> None:
        late.set()
        expired(self)

    monkeypatch.setattr(ClientConnection, "expired", counted)

    async def early(reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode() + b"x" * size)
        await writer.drain()

    async def scenario(stage: Stage) -> None:
        async with stage.client() as (reader, writer):
            writer.write(b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 10\r\n\r\n12345")
            await reader.readuntil(b"\r\n\r\n")
            await late.wait()
            assert len(await reader.readexactly(size)) == size

    play(scenario, server("b", raw=early), settings=Settings(linger=0.05))


@pytest.mark.parametrize("coding", ["Chunked", "CHUNKED"])
def test_an_answer_s_coding_is_named_in_any_case(play: Play, server: type[Backend], coding: str) -> None:
    async def scenario(stage: Stage) -> None:
        assert (await stage.get()).body == b"ok"

    async def chunked(turn: Turn) -> None:
        turn.writer.write(f"HTTP/1.1 200 OK\r\nTransfer-Encoding: {coding}\r\n\r\n2\r\nok\r\n0\r\n\r\n".encode())

    play(scenario, server("b", chunked))


def test_what_is_said_to_the_proxy_goes_to_no_server(play: Play, server: type[Backend]) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.get("/", "Proxy: http://evil", "Proxy-Foo: 1", "Proxy-Authorization: x", "Proxied: yes")
        (request,) = stage.backends["b"].seen
        assert [name for name, _ in request.fields if name.lower().startswith("prox")] == ["Proxied"]

    play(scenario, server("b"))

"""Bytes through the proxy: framing, fields, deadlines, back-pressure, WebSocket."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from typing import TYPE_CHECKING

import pytest

from pinfeather.proxy.flow import Settings

if TYPE_CHECKING:
    from conftest import Backend, Play, Stage, Turn

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter


def test_a_request_is_framed_anew(play: Play, server: type[Backend]) -> None:
    async def scenario(stage: Stage) -> None:
        answer = await stage.send(
            b"POST /a/../b//c?x=%41 HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\nX_Forwarded_Proto: https\r\n"
            b"X-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Real-Ip: 6.6.6.6\r\nTransfer_Encoding: x\r\n"
            b"Connection: X-Mine, X-Forwarded-For, Cookie\r\nX-Mine: 1\r\nCookie: k=v\r\nX-Auth_User: kept\r\nX-Caf: caf\xe9\r\n\r\n"
            b"1;ext\r\na\r\n2\r\nbc\r\n0\r\nX-Trailer: t\r\n\r\n"
        )
        assert answer.status == 200
        (request,) = stage.backends["b"].seen
        assert request.line == "POST /b/c?x=%41 HTTP/1.1"
        assert (request.body, request.trailers) == (b"abc", b"")
        assert sorted(request.fields) == sorted(
            [
                ("Host", "a.example"),
                ("Cookie", "k=v"),
                ("X-Auth_User", "kept"),
                ("X-Caf", "caf\xe9"),
                ("X-Forwarded-For", "127.0.0.1"),
                ("X-Forwarded-Host", "a.example"),
                ("X-Forwarded-Port", "80"),
                ("X-Forwarded-Proto", "http"),
                ("X-Real-Ip", "127.0.0.1"),
                ("Transfer-Encoding", "chunked"),
            ]
        )

    play(scenario, server("b"))


def test_a_refused_request_reaches_nobody_and_learns_nothing(play: Play, server: type[Backend]) -> None:
    async def scenario(stage: Stage) -> None:
        async with stage.client() as (reader, writer):
            writer.write(b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n")
            writer.write(b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n")
            answer = await stage.read(reader)
            assert answer.line == "HTTP/1.1 400 Bad Request"
            assert answer.one("connection") == "close"
            assert answer.body == b"Bad Request\n"
            assert await reader.read() == b""
        assert stage.backends["b"].seen == []

    play(scenario, server("b"))


def test_a_body_that_breaks_the_profile_is_no_request(play: Play, server: type[Backend]) -> None:
    async def scenario(stage: Stage) -> None:
        answer = await stage.send(b"POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n1\r\naXY0\r\n\r\n")
        assert answer.status == 400
        assert stage.backends["b"].seen == []  # never complete there

    play(scenario, server("b"))


def test_requests_of_one_connection_come_one_after_another(play: Play, server: type[Backend]) -> None:
    async def scenario(stage: Stage) -> None:
        async with stage.client() as (reader, writer):
            writer.write(b"".join(b"GET /%d HTTP/1.1\r\nHost: a.example\r\n\r\n" % number for number in range(50)))
            for _ in range(50):
                assert (await stage.read(reader)).body == b"b"
        assert [request.line.split()[1] for request in stage.backends["b"].seen] == [f"/{number}" for number in range(50)]
        assert stage.backends["b"].connections == 1

    play(scenario, server("b"))


def test_byte_by_byte(play: Play, server: type[Backend]) -> None:
    async def scenario(stage: Stage) -> None:
        raw = b"POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        async with stage.client() as (reader, writer):
            for byte in raw:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0)
            assert (await stage.read(reader)).status == 200
        assert stage.backends["b"].seen[0].body == b"abc"

    play(scenario, server("b"))


def test_a_kept_connection_that_the_server_gave_up_costs_no_request(play: Play, server: type[Backend]) -> None:
    async def once(turn: Turn) -> None:
        turn.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await turn.writer.drain()
        await turn.reader.read(1)  # closes on the next request instead of answering it
        raise ConnectionResetError

    async def scenario(stage: Stage) -> None:
        for _ in range(5):
            assert (await stage.get()).body == b"ok"
        assert stage.backends["b"].connections == 5

    play(scenario, server("b", once))


def test_a_post_is_never_sent_twice(play: Play, server: type[Backend]) -> None:
    async def dies(turn: Turn) -> None:
        if turn.request.line.startswith("POST"):
            raise ConnectionResetError
        turn.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async def scenario(stage: Stage) -> None:
        assert (await stage.get()).status == 200
        answer = await stage.send(b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1\r\n\r\nx")
        assert answer.status == 502
        assert [request.line.split()[0] for request in stage.backends["b"].seen] == ["GET", "POST"]

    play(scenario, server("b", dies))


ANSWERS = {
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", True),
    "chunked": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x\r\no\r\n1\r\nk\r\n0\r\nT: t\r\n\r\n", True),
    "until close": (b"HTTP/1.1 200 OK\r\n\r\nok", True),
    "interim": (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", True),
    "two lengths": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", False),
    "length and coding": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", False),
    "unasked switch": (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nok", False),
    "nonsense": (b"SSH-2.0-x\r\n\r\n", False),
    "nothing": (b"", False),
    "half a head": (b"HTTP/1.1 200 OK\r\nContent-Le", False),
}


@pytest.mark.parametrize(("raw", "good"), ANSWERS.values(), ids=ANSWERS)
def test_answers(play: Play, server: type[Backend], raw: bytes, good: bool) -> None:
    async def says(turn: Turn) -> None:
        turn.writer.write(raw)
        await turn.writer.drain()
        raise ConnectionResetError

    async def scenario(stage: Stage) -> None:
        async with stage.client() as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
            answer = await stage.read(reader)
            while answer.status == 103:
                answer = await stage.read(reader)
            if good:
                assert (answer.status, answer.body, answer.trailers) == (200, b"ok", b"")
            else:
                assert (answer.status, answer.body) == (502, b"Bad Gateway")

    play(scenario, server("b", says))


@pytest.mark.parametrize("head", [b"Content-Length: 10", b"Transfer-Encoding: chunked"])
def test_half_an_answer_is_never_a_whole_one(play: Play, server: type[Backend], head: bytes) -> None:
    async def breaks_off(turn: Turn) -> None:
        turn.writer.write(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n5\r\nab")
        await turn.writer.drain()
        raise ConnectionResetError

    async def scenario(stage: Stage) -> None:
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await stage.get()

    play(scenario, server("b", breaks_off))


def test_a_client_of_http_1_0_gets_no_chunks(play: Play, server: type[Backend]) -> None:
    async def chunks(turn: Turn) -> None:
        turn.writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")

    async def scenario(stage: Stage) -> None:
        answer = await stage.send(b"GET / HTTP/1.0\r\nHost: a.example\r\n\r\n")
        assert answer.all("transfer-encoding") == []
        assert answer.one("connection") == "close"
        assert answer.body == b"ok"

    play(scenario, server("b", chunks))


def test_head_has_the_length_and_no_body(play: Play, server: type[Backend]) -> None:
    async def scenario(stage: Stage) -> None:
        async with stage.client() as (reader, writer):
            writer.write(b"HEAD / HTTP/1.1\r\nHost: a.example\r\n\r\nHEAD /x HTTP/1.1\r\nHost: b.example\r\n\r\n")
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 200 OK\r\nServer: b\r\nContent-Length: 1\r\n\r\n"
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 404 Not Found\r\n")
            writer.write(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
            assert (await stage.read(reader)).body == b"b"

    play(scenario, server("b"))


def test_expect_is_answered_by_the_server(play: Play, server: type[Backend]) -> None:
    async def continues(turn: Turn) -> None:
        turn.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + turn.request.body)

    async def scenario(stage: Stage) -> None:
        async with stage.client() as (reader, writer):
            writer.write(b"POST / HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
            await stage.until(lambda: stage.backends["b"].connections == 1)
            writer.write(b"ok")
            assert (await stage.read(reader)).body == b"ok"
        answer = await stage.send(b"POST / HTTP/1.1\r\nHost: a.example\r\nExpect: more\r\nContent-Length: 2\r\n\r\n")
        assert answer.status == 417

    play(scenario, server("b", continues))


def test_a_slow_reader_holds_the_server(play: Play, server: type[Backend]) -> None:
    sent = 0
    whole = 64 * 1024 * 1024

    async def pours(turn: Turn) -> None:
        nonlocal sent
        turn.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % whole)
        for _ in range(whole // 65536):
            turn.writer.write(bytes(65536))
            await turn.writer.drain()
            sent += 65536

    async def scenario(stage: Stage) -> None:
        async with stage.client() as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            await stage.settle(lambda: sent)
            assert 0 < sent < whole // 2
            got = 0
            while got < whole:
                got += len(await reader.read(1 << 20))
            assert got == whole

    play(scenario, server("b", pours))


def test_a_slow_server_holds_the_client(play: Play, server: type[Backend]) -> None:
    whole = 64 * 1024 * 1024
    go = asyncio.Event()

    async def serve(reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await go.wait()
        got = 0
        while got < whole:
            got += len(await reader.read(1 << 20))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await writer.drain()

    async def scenario(stage: Stage) -> None:
        sent = 0

        async def pour(writer: Writer) -> None:
            nonlocal sent
            for _ in range(whole // 65536):
                writer.write(bytes(65536))
                await writer.drain()
                sent += 65536

        async with stage.client() as (reader, writer):
            writer.write(b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: %d\r\n\r\n" % whole)
            pouring = asyncio.ensure_future(pour(writer))
            await stage.settle(lambda: sent)
            assert 0 < sent < whole // 2
            go.set()
            await pouring
            assert (await stage.read(reader)).body == b"ok"

    play(scenario, server("b", raw=serve))


SLOW = Settings(tick=0.02, head=0.3, idle=0.3, body=0.3, first_byte=0.3, answer=0.3, linger=0.2, connect=0.5, drain=0.5)


def test_deadlines(play: Play, server: type[Backend]) -> None:
    async def silent(turn: Turn) -> None:
        if turn.request.line.startswith("GET /half"):
            turn.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        await turn.reader.read()

    async def scenario(stage: Stage) -> None:
        assert (await stage.send(b"GET / HTTP/1.1\r\nHost: a.ex")).status == 408  # half a head
        async with stage.client() as (reader, _):
            assert await reader.read() == b""  # nothing at all
        assert (await stage.send(b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nab")).status == 408
        assert (await stage.get("/")).status == 504
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await stage.get("/half")

    play(scenario, server("b", silent), settings=SLOW)


def test_a_trickle_does_not_lengthen_the_head(play: Play, server: type[Backend]) -> None:
    async def scenario(stage: Stage) -> None:
        async with stage.client() as (reader, writer):
            answer = asyncio.ensure_future(stage.read(reader))
            for byte in b"GET / HTTP/1.1\r\nHost: a.example\r\nX: " + b"x" * 200:
                if answer.done():
                    break
                writer.write(bytes([byte]))
                await asyncio.sleep(0.02)
            assert answer.done()
            assert answer.result().status == 408

    play(scenario, server("b"), settings=SLOW)


def test_limits_of_connections(play: Play, server: type[Backend]) -> None:
    async def scenario(stage: Stage) -> None:
        async with stage.client() as (reader, writer), stage.client():
            await stage.until(lambda: len(stage.proxy.edge.connections) == 2)
            async with stage.client() as (third, _):
                with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                    await third.readexactly(1)
            writer.write(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
            assert (await stage.read(reader)).status == 200
        await stage.until(lambda: not stage.proxy.edge.connections)
        assert (await stage.get()).status == 200

    play(scenario, server("b"), settings=Settings(connections=2, tick=0.05))


HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


async def echo(turn: Turn) -> None:
    assert turn.request.one("upgrade") == "websocket"
    assert turn.request.one("connection") == "Upgrade"
    token = hashlib.sha1(turn.request.one("sec-websocket-key").encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    accept = base64.b64encode(token)
    turn.writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept)
    turn.writer.write(b"\r\n\r\nfirst")
    while data := await turn.reader.read(65536):
        turn.writer.write(data)
        await turn.writer.drain()
    turn.writer.write(b"last")
    await turn.writer.drain()
    raise ConnectionResetError


def test_a_websocket_is_a_tunnel(play: Play, server: type[Backend]) -> None:
    async def scenario(stage: Stage) -> None:
        async with stage.client() as (reader, writer):
            writer.write(HANDSHAKE + b"early")
            head = await stage.read(reader)
            assert head.status == 101
            assert head.one("sec-websocket-accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
            assert await reader.readexactly(10) == b"firstearly"
            data = bytes(range(256)) * 8192
            writer.write(data)
            assert await reader.readexactly(len(data)) == data
            writer.write_eof()
            assert await reader.read() == b"last"

    play(scenario, server("b", echo))


def test_a_refused_upgrade_stays_http(play: Play, server: type[Backend]) -> None:
    async def scenario(stage: Stage) -> None:
        async with stage.client() as (reader, writer):
            writer.write(HANDSHAKE + b"GET /next HTTP/1.1\r\nHost: a.example\r\n\r\n")
            assert (await stage.read(reader)).status == 200
            assert (await stage.read(reader)).status == 200
        assert [request.line.split()[1] for request in stage.backends["b"].seen] == ["/ws", "/next"]

    play(scenario, server("b"))


def test_a_client_that_goes_takes_its_request_along(play: Play, server: type[Backend]) -> None:
    gone = asyncio.Event()

    async def waits(turn: Turn) -> None:
        await turn.reader.read()
        gone.set()

    async def scenario(stage: Stage) -> None:
        async with stage.client() as (_, writer):
            writer.write(b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 9\r\n\r\n")
            await stage.until(lambda: stage.backends["b"].connections == 1)
            writer.transport.abort()
        await stage.until(lambda: not stage.proxy.edge.connections)

    play(scenario, server("b", waits))

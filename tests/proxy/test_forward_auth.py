"""Forward auth: who is asked what, what passes, and that nothing broken ever does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.proxy.conftest import Backend, Play, Stage, Turn


def guarded(**more: object) -> object:
    def document(backends: dict[str, Backend]) -> dict[str, object]:
        return {
            "routes": [{"name": "r", "hosts": ["a.example"], "to": "s", "middlewares": ["auth"]}],
            "services": {"s": {"servers": [{"url": backends["b"].url}]}},
            "middlewares": {"auth": {"forward_auth": {"address": f"{backends['auth'].url}/check", **more}}},
        }

    return document


async def admits(turn: Turn) -> None:
    turn.writer.write(b"HTTP/1.1 200 OK\r\nX-User: anna\r\nX-Other: no\r\nContent-Length: 2\r\n\r\nok")


async def refuses(turn: Turn) -> None:
    turn.writer.write(b"HTTP/1.1 302 Found\r\nLocation: /login\r\nSet-Cookie: a=b\r\nContent-Length: 2\r\n\r\nno")


def test_who_is_let_in(play: Play, server: type[Backend]) -> None:
    async def scenario(stage: Stage) -> None:
        answer = await stage.get("/a?b=c", "Cookie: s=1", "X-User: forged", "x_user: forged", "X-Forwarded-User: x", method="POST")
        assert (answer.status, answer.body) == (200, b"b")
        asked, passed = stage.backends["auth"].seen[-1], stage.backends["b"].seen[-1]
        assert asked.line == "GET /check HTTP/1.1"
        assert {name: asked.one(name) for name in ("x-forwarded-method", "x-forwarded-uri", "x-forwarded-host", "cookie")} == {
            "x-forwarded-method": "POST", "x-forwarded-uri": "/a?b=c", "x-forwarded-host": "a.example", "cookie": "s=1",
        }  # fmt: skip
        assert (passed.all("x-user"), passed.all("x_user"), passed.all("x-other")) == (["anna"], [], [])

    play(scenario, server("b"), server("auth", admits), document=guarded(auth_response_headers=["X-User"]))


def test_who_is_not_let_in(play: Play, server: type[Backend]) -> None:
    async def scenario(stage: Stage) -> None:
        answer = await stage.get()
        assert (answer.status, answer.body, answer.one("set-cookie")) == (302, b"no", "a=b")
        assert answer.one("location") == f"{stage.backends['auth'].url}/login"
        assert stage.backends["b"].seen == []

    play(scenario, server("b"), server("auth", refuses), document=guarded())


async def _goes(turn: Turn) -> None:
    raise ConnectionResetError


async def _babbles(turn: Turn) -> None:
    turn.writer.write(b"HTTP/1.1 200 OK\nX: y\n\n")


async def _half(turn: Turn) -> None:
    turn.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nok")
    await turn.writer.drain()
    raise ConnectionResetError


async def _smuggles(turn: Turn) -> None:
    turn.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")


async def _interim_only(turn: Turn) -> None:
    turn.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    await turn.writer.drain()
    raise ConnectionResetError


@pytest.mark.parametrize("script", [_goes, _babbles, _half, _smuggles, _interim_only])
def test_nothing_broken_lets_anybody_in(play: Play, server: type[Backend], script: object) -> None:
    async def scenario(stage: Stage) -> None:
        assert (await stage.get()).status in (500, 502)
        assert stage.backends["b"].seen == []

    play(scenario, server("b"), server("auth", script), document=guarded())  # type: ignore[arg-type]


def test_a_client_that_goes_while_it_is_asked_about(play: Play, server: type[Backend]) -> None:
    asked = asyncio.Event()

    async def waits(turn: Turn) -> None:
        asked.set()
        await turn.reader.read()

    async def scenario(stage: Stage) -> None:
        async with stage.client() as (_, writer):
            writer.write(b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 9\r\n\r\n")
            await asked.wait()
            writer.transport.abort()
        await stage.until(lambda: not stage.proxy.edge.connections)
        await stage.until(lambda: stage.backends["auth"].open == 0)
        assert stage.backends["b"].seen == []

    play(scenario, server("b"), server("auth", waits), document=guarded())


def test_bytes_that_come_meanwhile_are_kept(play: Play, server: type[Backend]) -> None:
    async def scenario(stage: Stage) -> None:
        async with stage.client() as (reader, writer):
            writer.write(b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 300000\r\n\r\n" + b"x" * 300_000)
            assert (await stage.read(reader)).status == 200
        assert len(stage.backends["b"].seen[0].body) == 300_000

    play(scenario, server("b"), server("auth", admits), document=guarded())

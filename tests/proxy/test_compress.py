"""Answers in gzip: which, for whom, and as they come."""

from __future__ import annotations

import asyncio
import gzip
import subprocess
import sys
import zlib
from typing import TYPE_CHECKING

import pytest

from pinfeather.proxy import compress

if TYPE_CHECKING:
    from tests.proxy.conftest import Backend, Play, Stage, Turn

TEXT = b"to be or not to be, " * 100
ACCEPTS = "Accept-Encoding: gzip"


def packed(**more: object) -> object:
    def document(backends: dict[str, Backend]) -> dict[str, object]:
        return {
            "routes": [{"name": "r", "hosts": ["a.example"], "to": "s", "middlewares": ["slim"]}],
            "services": {"s": {"servers": [{"url": backends["b"].url}]}},
            "middlewares": {"slim": {"compress": more}},
        }

    return document


def says(body: bytes, *fields: str, length: bool = True) -> object:
    async def script(turn: Turn) -> None:
        lines = ["HTTP/1.1 200 OK", *fields, f"Content-Length: {len(body)}" if length else "Transfer-Encoding: chunked"]
        turn.writer.write("\r\n".join((*lines, "", "")).encode())
        if turn.request.line.startswith("HEAD"):
            return
        turn.writer.write(body if length else b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))

    return script


@pytest.mark.parametrize("length", [True, False])
def test_packed_and_unpacked(play: Play, server: type[Backend], length: bool) -> None:
    async def scenario(stage: Stage) -> None:
        answer = await stage.get("/", ACCEPTS)
        assert (answer.one("content-encoding"), answer.one("vary"), answer.all("content-length")) == ("gzip", "Accept-Encoding", [])
        assert gzip.decompress(answer.body) == TEXT
        assert len(answer.body) < len(TEXT) / 5
        plain = await stage.get()
        assert (plain.body, plain.all("content-encoding")) == (TEXT, [])

    play(scenario, server("b", says(TEXT, "Content-Type: text/plain", "ETag: x", length=length)), document=packed())  # type: ignore[arg-type]


LEFT = {
    "too small": ({}, (b"x" * 1023, ()), ACCEPTS),
    "a minimum of its own": ({"min_response_body_bytes": 5000}, (TEXT, ()), ACCEPTS),
    "coded already": ({}, (TEXT, ("Content-Encoding: br",)), ACCEPTS),
    "a type that is excluded": ({"excluded_content_types": ["text/css"]}, (TEXT, ("Content-Type: text/css; charset=utf-8",)), ACCEPTS),
    "not wanted": ({}, (TEXT, ()), "Accept-Encoding: gzip;q=0"),
    "wanted is another": ({}, (TEXT, ()), "Accept-Encoding: br"),
}


@pytest.mark.parametrize(("config", "said", "accepts"), LEFT.values(), ids=LEFT)
def test_left_as_it_is(
    play: Play, server: type[Backend], config: dict[str, object], said: tuple[bytes, tuple[str, ...]], accepts: str
) -> None:
    async def scenario(stage: Stage) -> None:
        answer = await stage.get("/", accepts)
        assert answer.body == said[0]
        assert answer.all("content-encoding") == [field.partition(": ")[2] for field in said[1] if field.startswith("Content-Encoding")]

    play(scenario, server("b", says(said[0], *said[1])), document=packed(**config))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("said", "weight"),
    [("q=1", 1), ("q=0.5", 0.5), ("q=.5", 0.5), ("q=1.", 1), ("q=.", 0), ("q=", 0), ("q=1x", 0), ("q=1.2.3", 0), ("", 1)],
)
def test_weights_as_strconv_reads_them(said: str, weight: float) -> None:
    assert compress._weight(said) == weight


def test_a_weight_of_any_length_is_read_in_one_go() -> None:
    """A pattern that tries again takes the square of the length: the head of one client would stop the loop for ten seconds."""
    program = "from pinfeather.proxy.compress import chosen; print(chosen(['gzip;q=' + '1' * 400_000 + 'x']))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "False\n"


def test_head_has_no_body_and_no_coding(play: Play, server: type[Backend]) -> None:
    async def scenario(stage: Stage) -> None:
        answer = await stage.get("/", ACCEPTS, method="HEAD")
        assert (answer.status, answer.all("content-encoding"), answer.one("content-length")) == (200, [], str(len(TEXT)))

    play(scenario, server("b", says(TEXT)), document=packed())  # type: ignore[arg-type]


def test_a_stream_is_not_held_back(play: Play, server: type[Backend]) -> None:
    go_on = asyncio.Event()

    async def slowly(turn: Turn) -> None:
        turn.writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: one\n\n")
        await turn.writer.drain()
        await go_on.wait()
        turn.writer.write(b"data: two\n\n")
        turn.writer.close()

    async def scenario(stage: Stage) -> None:
        async with stage.client() as (reader, writer):
            writer.write(f"GET / HTTP/1.1\r\nHost: a.example\r\n{ACCEPTS}\r\n\r\n".encode())
            assert b"gzip" in await reader.readuntil(b"\r\n\r\n")
            unpacked, text = zlib.decompressobj(wbits=31), b""
            while not text.endswith(b"one\n\n"):
                text += unpacked.decompress(await reader.readexactly(int(await reader.readuntil(b"\r\n"), 16)))
                await reader.readexactly(2)
            go_on.set()
            while size := int(await reader.readuntil(b"\r\n"), 16):
                text += unpacked.decompress(await reader.readexactly(size))
                await reader.readexactly(2)
            assert text == b"data: one\n\ndata: two\n\n"
            assert unpacked.eof

    play(scenario, server("b", slowly), document=packed())


def test_half_a_packed_answer_is_never_a_whole_one(play: Play, server: type[Backend]) -> None:
    async def half(turn: Turn) -> None:
        turn.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + TEXT)
        await turn.writer.drain()
        raise ConnectionResetError

    async def scenario(stage: Stage) -> None:
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await stage.get("/", ACCEPTS)

    play(scenario, server("b", half), document=packed())

"""aiohttp's server as a second opinion on framing: where we take a message, it must end where aiohttp says it ends.

It reads with llhttp in C, as we do beside our own reader, and (`AIOHTTP_NO_EXTENSIONS`) with a parser in Python that shares nothing with
it. What it takes and we refuse is our strictness, and no danger. What we take and it refuses is listed with the reason.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pinfeather.proxy.body import body_reader
from pinfeather.proxy.fields import Refused
from pinfeather.proxy.wire import HeadReader, parse_request
from tests.proxy.raw import table
from tests.proxy.test_wire import BAD, GOOD

SERVER = """
import asyncio, base64, json, sys
from aiohttp import web

async def answer(request):
    try:
        body = await request.read()
    except Exception as problem:
        print(json.dumps({"method": request.method, "path": request.raw_path, "broken": type(problem).__name__}), flush=True)
        raise
    print(json.dumps({"method": request.method, "path": request.raw_path, "body": body.decode("latin-1")}), flush=True)
    return web.Response(text="")

async def main():
    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(site._server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""
END = b"GET /end HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
_LAST = "it refuses a message that closes the connection where more bytes follow; we answer it, and read no more"
OURS_ALONE = {
    "c": {"HTTP/1.0": _LAST},
    "python": {"HTTP/1.0": _LAST, "line at the limit": "its first line may have 8190 bytes, ours 8192"},
}
"""What aiohttp refuses and we take: the name in GOOD, and why that is no matter of framing."""

PATIENCE = 0.4
"""Seconds for an answer: who waits for more bytes than there are has read nothing whole."""
Messages = list[tuple[str, str]]  # method and body


class Server:
    """One aiohttp server, and what it says that it has read."""

    def __init__(self, pure: bool) -> None:
        environment = {**os.environ, **({"AIOHTTP_NO_EXTENSIONS": "1"} if pure else {})}
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, text=True
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def reads(self, raw: bytes) -> Messages:
        """The messages in these bytes, up to what it refuses. A last one that closes the connection shows what is left over."""
        with socket.create_connection(("127.0.0.1", self.port), 10) as stream:
            stream.sendall(raw)
            stream.settimeout(PATIENCE)
            with contextlib.suppress(TimeoutError, ConnectionError):  # it may wait for the rest of a body
                while stream.recv(65536):
                    pass
        marker = f"/{os.urandom(4).hex()}"
        with socket.create_connection(("127.0.0.1", self.port), 10) as stream:
            stream.sendall(f"GET {marker} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
            while stream.recv(65536):
                pass
        return list(self._until(marker))

    def _until(self, marker: str) -> Iterator[tuple[str, str]]:
        assert self.process.stdout is not None
        while (found := json.loads(self.process.stdout.readline()))["path"] != marker:
            if "body" in found:
                yield found["method"], found["body"]


@pytest.fixture(scope="module", params=["c", "python"])
def server(request: pytest.FixtureRequest) -> Iterator[tuple[str, Server]]:
    running = Server(request.param == "python")
    yield request.param, running
    running.process.kill()
    running.process.communicate(timeout=10)


def ours(raw: bytes) -> tuple[Messages, bool]:
    """The same by our readers, and whether something was refused."""
    buffer, heads, found = bytearray(raw), HeadReader(skips=True), []
    try:
        while (head := heads.take(buffer)) is not None:
            request = parse_request(head)
            body = body_reader(request.framing)
            read = body.take(buffer)
            if not body.done:
                return found, True
            found.append((request.method, read.decode("latin-1")))
            if not request.persistent:
                break
    except Refused:
        return found, True
    return found, False


@pytest.mark.parametrize("name", GOOD)
def test_both_end_a_message_at_the_same_byte(name: str, server: tuple[str, Server]) -> None:
    kind, aiohttp = server
    raw = GOOD[name] + END
    mine, refused = ours(raw)
    assert not refused
    theirs = aiohttp.reads(raw)
    if theirs != mine:
        assert name in OURS_ALONE[kind], theirs
    else:
        assert name not in OURS_ALONE[kind]


@pytest.mark.parametrize("name", BAD)
def test_what_both_take_of_a_bad_one_is_the_same(name: str, server: tuple[str, Server]) -> None:
    """We refuse each; before that neither may have taken what the other has not."""
    mine, refused = ours(BAD[name] + END)
    assert refused
    theirs = server[1].reads(BAD[name] + END)
    assert theirs[: len(mine)] == mine


ROWS = {
    f"{name}: {row.name}": row
    for name in ("framing", "chunks")
    for row in table.read(Path(__file__).parent / "raw" / f"{name}.md")
    if len(row.sent) == 1
}


@pytest.mark.parametrize("name", ROWS)
def test_no_row_of_the_tables_is_cut_otherwise(name: str, server: tuple[str, Server]) -> None:
    """What both take of it is the same; where one stops, the other has taken nothing else before."""
    raw = ROWS[name].sent[0]
    mine, _ = ours(raw)
    theirs = server[1].reads(raw)
    both = min(len(mine), len(theirs))
    assert theirs[:both] == mine[:both]


TOKENS = st.sampled_from(["Content-Length", "content-length", "Transfer-Encoding", "X-A", "Connection", "Expect", "Content-length"])
VALUES = st.sampled_from(
    ["0", "3", "5", "03", " 3", "3 ", "chunked", "Chunked", "chunked, chunked", "gzip", "identity", "close", "a", "3,3", "+3", "0x3"]
)
BODIES = st.sampled_from(
    [b"", b"abc", b"abcde", b"3\r\nabc\r\n0\r\n\r\n", b"3;x=y\r\nabc\r\n0\r\n\r\n", b"03\r\nabc\r\n0\r\nX: y\r\n\r\n", b"0\r\n\r\n"]
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    fields=st.lists(st.tuples(TOKENS, VALUES), max_size=3),
    method=st.sampled_from(["GET", "POST", "PUT", "HEAD", "DELETE"]),
    version=st.sampled_from(["1.1", "1.0"]),
    body=BODIES,
)
def test_random_framings(server: tuple[str, Server], fields: list[tuple[str, str]], method: str, version: str, body: bytes) -> None:
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    raw = f"{method} / HTTP/{version}\r\nHost: a\r\n{lines}\r\n".encode() + body + END
    mine, _ = ours(raw)
    theirs = server[1].reads(raw)
    both = min(len(mine), len(theirs))
    assert theirs[:both] == mine[:both], raw

"""aiohttp's client as a second opinion on answers: what we hand to a client as a server's whole answer, it must read as the same.

Asked are the answers of `raw/answers.md`, and framings at random. What aiohttp takes and we
refuse is our strictness. What we take and it refuses is listed with the reason.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pinfeather.proxy.body import UntilClose, body_reader
from pinfeather.proxy.fields import Refused
from pinfeather.proxy.wire import HeadReader, parse_response
from tests.proxy.raw import table

CLIENT = """
import asyncio, base64, json, sys
import aiohttp

async def main():
    said = b""

    async def serve(reader, writer):
        await reader.readuntil(b"\\r\\n\\r\\n")
        writer.write(said)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    print("ready", flush=True)
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(auto_decompress=False, connector=connector, timeout=aiohttp.ClientTimeout(10)) as session:
        while line := await asyncio.to_thread(sys.stdin.readline):
            method, raw = json.loads(line)
            said = base64.b64decode(raw)
            try:
                async with session.request(method, f"http://127.0.0.1:{port}/", allow_redirects=False) as answer:
                    found = [answer.status, (await answer.read()).decode("latin-1")]
            except (aiohttp.ClientError, TimeoutError, ValueError) as problem:
                found = type(problem).__name__
            print(json.dumps(found), flush=True)

asyncio.run(main())
"""
ROWS = {row.name: row for row in table.read(Path(__file__).parent / "raw" / "answers.md") if row.answer is not None}
_LEFT = "it refuses an answer with bytes left over; ours is whole without them, and its connection is not used again"
OURS_ALONE: dict[str, dict[str, str]] = {
    "c": {
        **dict.fromkeys(("longer than its length", "204 with a body", "304 with a body", "HEAD with a body"), _LEFT),
        "150 fields": "it takes 128 fields of an answer, we 500",
    },
    "python": {"150 fields": "it takes 128 fields of an answer, we 500"},
}
"""What aiohttp refuses and we take: the row, and why."""

Read = tuple[int, str]
"""Status and body."""


class Client:
    """An aiohttp client that asks a server which says what it is told to say, and then ends the connection."""

    def __init__(self, pure: bool) -> None:
        environment = {**os.environ, **({"AIOHTTP_NO_EXTENSIONS": "1"} if pure else {})}
        self.process = subprocess.Popen(
            [sys.executable, "-c", CLIENT],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, text=True,
        )  # fmt: skip
        assert self._line() == "ready\n"

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def reads(self, raw: bytes, method: str) -> Read | None:
        """What it has read; None where it refused."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([method, base64.b64encode(raw).decode()]) + "\n")
        self.process.stdin.flush()
        found = json.loads(self._line())
        return None if isinstance(found, str) else (found[0], found[1])


@pytest.fixture(scope="module", params=["c", "python"])
def client(request: pytest.FixtureRequest) -> Iterator[tuple[str, Client]]:
    running = Client(request.param == "python")
    yield request.param, running
    running.process.kill()
    running.process.communicate(timeout=10)


def ours(raw: bytes, method: str) -> Read | None:
    """The same by our readers, the connection's end included; interim answers are passed over."""
    buffer, heads = bytearray(raw), HeadReader()
    try:
        while (head := heads.take(buffer)) is not None:
            response = parse_response(head, method)
            if 100 <= response.status < 200 and response.status != 101:
                continue
            reader = body_reader(response.framing)
            body = reader.take(buffer).decode("latin-1")
            return (response.status, body) if reader.done or isinstance(reader, UntilClose) else None
    except Refused:
        pass
    return None


@pytest.mark.parametrize("name", ROWS)
def test_both_read_an_answer_alike(name: str, client: tuple[str, Client]) -> None:
    row, (kind, aiohttp) = ROWS[name], client
    assert row.answer is not None
    method = row.sent[0].split(b" ")[0].decode()
    mine, theirs = ours(row.answer, method), aiohttp.reads(row.answer, method)
    if mine is not None and theirs is None:
        assert name in OURS_ALONE[kind]
        return
    assert name not in OURS_ALONE[kind]
    assert mine is None or mine == theirs


FIELDS = st.tuples(
    st.sampled_from(["Content-Length", "content-length", "Transfer-Encoding", "X-A", "Connection", "Content-length"]),
    st.sampled_from(["0", "3", "5", "03", " 3", "3 ", "chunked", "Chunked", "chunked, chunked", "gzip", "identity", "close", "3,3", "+3"]),
)
BODIES = st.sampled_from(
    [
        b"",
        b"abc",
        b"abcde",
        b"3\r\nabc\r\n0\r\n\r\n",
        b"3;x=y\r\nabc\r\n0\r\n\r\n",
        b"03\r\nabc\r\n0\r\nX: y\r\n\r\n",
        b"0\r\n\r\n",
        b"3\r\nabc\r\n",
    ]
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    fields=st.lists(FIELDS, max_size=3),
    method=st.sampled_from(["GET", "HEAD"]),
    line=st.sampled_from(["1.1 200 OK", "1.0 200 OK", "1.1 204 No Content", "1.1 304 Not Modified", "1.1 404 Not Found"]),
    body=BODIES,
)
def test_random_framings(client: tuple[str, Client], fields: list[tuple[str, str]], method: str, line: str, body: bytes) -> None:
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    raw = f"HTTP/{line}\r\n{lines}\r\n".encode() + body
    mine, theirs = ours(raw, method), client[1].reads(raw, method)
    assert mine is None or theirs is None or mine == theirs, raw

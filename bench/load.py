"""Clients for the long runs: they keep a connection, send one request after another, and count what failed and why."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from bench.backend import HOST


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, list[str]]
    """Names in lower case."""
    body: bytes

    def one(self, name: str) -> str:
        return (self.headers.get(name) or [""])[0]


class BrokenOffError(EOFError):
    """An answer that had begun and did not end."""


class Client:
    """One keep-alive connection; a new one where the proxy has ended it between two requests, as a browser does."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter

    async def ask(self, method: str = "GET", path: str = "/", headers: Mapping[str, str] | None = None, body: bytes = b"") -> Answer:
        """One request. Raises OSError and EOFError where no whole answer comes."""
        if self._reader is None or self._reader.at_eof() or self._writer.is_closing():
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        lines = [f"{method} {path} HTTP/1.1", f"Host: {HOST}", *(f"{name}: {value}" for name, value in (headers or {}).items())]
        if body or method == "POST":
            lines.append(f"Content-Length: {len(body)}")
        self._writer.write("\r\n".join((*lines, "", "")).encode("latin-1") + body)
        try:
            return await self._answer(self._reader)
        except (OSError, EOFError):
            self.close()
            raise

    async def _answer(self, reader: asyncio.StreamReader) -> Answer:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers: dict[str, list[str]] = {}
        for line in head[1:-2]:
            name, _, value = line.partition(":")
            headers.setdefault(name.lower(), []).append(value.strip())
        answer = Answer(int(head[0].split(" ")[1]), headers, b"")
        try:
            body = await reader.readexactly(int(answer.one("content-length") or "0"))
        except (OSError, EOFError) as error:
            raise BrokenOffError from error
        if answer.one("connection").lower() == "close":
            self.close()
        return answer._replace(body=body)

    def close(self) -> None:
        if self._reader is not None:
            self._writer.transport.abort()
            self._reader = None


@dataclass(slots=True)
class Tally:
    """What came of all requests."""

    asked: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    """Requests without a whole answer, by what happened."""

    @property
    def failed(self) -> int:
        return self.broken.total() + sum(count for status, count in self.statuses.items() if status >= 400)

    def __str__(self) -> str:
        odd = {status: count for status, count in self.statuses.items() if status >= 400} | self.broken
        return f"{self.asked:,} requests, {self.failed} failed" + (f" {dict(odd)}" if odd else "")


async def keep_asking(
    port: int, stop: asyncio.Event, tally: Tally, *, method: str = "GET", number: int = 0, fresh: bool = False, pause: float = 0.0
) -> None:
    """Ask again and again until `stop`. `fresh`: a new connection for each request. Every POST has an id of its own."""
    client = Client(port)
    count = 0
    while not stop.is_set():
        count += 1
        headers = {"X-Id": f"{method}-{number}-{count}"} if method == "POST" else {}
        tally.asked += 1
        try:
            answer = await asyncio.wait_for(client.ask(method, "/", headers, b"x" * 64 if method == "POST" else b""), 30)
            tally.statuses[answer.status] += 1
        except (OSError, EOFError, TimeoutError) as error:
            tally.broken[type(error).__name__] += 1
            client.close()
        if fresh:
            client.close()
        if pause:
            await asyncio.sleep(pause)
    client.close()

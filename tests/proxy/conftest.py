"""A stage for the proxy: real servers on loopback that write down what reached them, and clients that speak raw bytes."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pinfeather.model.document import Document
from pinfeather.proxy.cookies import Seal
from pinfeather.proxy.flow import Settings
from pinfeather.proxy.server import Proxy
from tests.parts import certificates as pairs_of
from tests.proxy.secure import Pair
from tests.proxy.streams import named

DEADLINE = 20.0  # seconds for one test


@dataclass
class Message:
    """A request or an answer as it stood on the wire, its chunks joined."""

    line: str
    fields: list[tuple[str, str]]
    body: bytes = b""
    trailers: bytes = b""

    @property
    def status(self) -> int:
        return int(self.line.split(" ")[1])

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key.lower() == name]

    def one(self, name: str) -> str:
        (value,) = self.all(name)
        return value


async def read_message(reader: asyncio.StreamReader, *, bodiless: bool = False, answer: bool = True) -> Message:
    """Written apart from the proxy's own reader, so that both must be right. Raises IncompleteReadError."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *rest = head[:-4].split("\r\n")
    message = Message(line, [(name, value.strip()) for name, _, value in (entry.partition(":") for entry in rest)])
    if bodiless or (answer and (message.status < 200 or message.status in (204, 304))):
        return message
    if message.all("transfer-encoding"):
        while size := int(await reader.readuntil(b"\r\n"), 16):
            message.body += await reader.readexactly(size)
            assert await reader.readexactly(2) == b"\r\n"
        while (trailer := await reader.readuntil(b"\r\n")) != b"\r\n":
            message.trailers += trailer
    elif lengths := message.all("content-length"):
        message.body = await reader.readexactly(int(lengths[0]))
    elif answer:
        message.body = await reader.read()
    return message


@dataclass
class Turn:
    """One request at a server, and the means to answer it."""

    backend: Backend
    request: Message
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


Script = Callable[[Turn], Awaitable[None]]


async def say_name(turn: Turn) -> None:
    body = turn.backend.name.encode()
    head = b"HTTP/1.1 200 OK\r\nServer: " + body + b"\r\nContent-Length: %d\r\n\r\n" % len(body)
    turn.writer.write(head if turn.request.line.startswith("HEAD") else head + body)


@dataclass
class Backend:
    """A server that answers by its script and keeps what it was asked. Its health path answers `health`."""

    name: str
    script: Script = say_name
    health: int = 200
    raw: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]] | None = None  # instead of all this
    seen: list[Message] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        try:
            await (self.raw(reader, writer) if self.raw is not None else self._answer(reader, writer))
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            self.open -= 1

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await read_message(reader, answer=False)
            if request.line.startswith("GET /health "):
                writer.write(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % self.health)
                continue
            self.seen.append(request)
            await self.script(Turn(self, request, reader, writer))
            await writer.drain()


@dataclass
class Stage:
    """One proxy in front of some servers."""

    proxy: Proxy
    path: Path
    backends: dict[str, Backend]
    said: list[str]

    @property
    def address(self) -> tuple[str, int]:
        return self.proxy.addresses["web"]

    @contextlib.asynccontextmanager
    async def client(self, to: tuple[str, int] | None = None) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection(*(to or self.address))
        try:
            yield reader, writer
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def read(self, reader: asyncio.StreamReader) -> Message:
        return await read_message(reader)

    async def send(self, raw: bytes, to: tuple[str, int] | None = None) -> Message:
        async with self.client(to) as (reader, writer):
            writer.write(raw)
            return await read_message(reader, bodiless=raw.startswith(b"HEAD"))

    async def get(self, path: str = "/", *fields: str, host: str = "a.example", method: str = "GET") -> Message:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *fields, "Connection: close"]
        return await self.send(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for a condition; the test's own deadline ends it."""
        while not holds():  # noqa: ASYNC110 - other ends of sockets set no event
            await asyncio.sleep(0.01)

    async def until_seen(self, backend: Backend, count: int) -> None:
        """Ask until a server has seen so many requests."""
        while len(backend.seen) < count:
            await self.get()

    async def settle(self, count: Callable[[], int]) -> None:
        """Wait until nothing moves any more: a third of a second without a byte."""
        before, now = -1, count()
        while before != now:
            await asyncio.sleep(0.3)
            before, now = now, count()

    def write(self, document: dict[str, object]) -> None:
        aside = self.path.with_suffix(".new")
        aside.write_text(json.dumps(document))
        aside.replace(self.path)

    def cookie(self, answer: Message, name: str) -> str:
        """The value that an answer sets, or nothing."""
        for text in answer.all("set-cookie"):
            if text.startswith(name + "="):
                return text.split(";")[0].removeprefix(name + "=")
        return ""


def one_service(backends: dict[str, Backend], **route: object) -> dict[str, object]:
    """A document with one route to all servers."""
    return {
        "routes": [{"name": "r", "hosts": ["a.example"], "to": "s", **route}],
        "services": {"s": {"servers": [{"url": backend.url} for backend in backends.values()]}},
    }


Play = Callable[..., None]


@pytest.fixture
def server() -> type[Backend]:
    """The class of the servers: test files cannot import this one."""
    return Backend


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """`play(scenario, *backends, document=..., settings=..., seal=..., listen=..., certificates=...)`: everything started, played,
    and stopped."""

    def run(
        scenario: Callable[[Stage], Awaitable[None]],
        *backends: Backend,
        document: Callable[[dict[str, Backend]], dict[str, object]] = one_service,
        settings: Settings | None = None,
        seal: Seal | None = None,
        listen: Sequence[str] = ("web",),
        certificates: Sequence[tuple[Path, Path]] = (),
    ) -> None:
        async def all_of_it() -> None:
            named = {backend.name: backend for backend in backends}
            servers = []
            for backend in backends:
                server = await asyncio.start_server(backend.serve, "127.0.0.1", 0)
                backend.port = server.sockets[0].getsockname()[1]
                servers.append(server)
            said: list[str] = []
            path = tmp_path / "document.json"
            path.write_text(json.dumps(document(named)))
            proxy = Proxy(
                path,
                dict.fromkeys(listen, ("127.0.0.1", 0)),
                ("127.0.0.1", 0),
                seal or Seal(b"a key of the test"),
                load=lambda _, text: Document.model_validate_json(text),
                say=said.append,
                settings=settings or Settings(tick=0.05, watch=0.05, drain=2.0),
                certificates=certificates,
            )
            await proxy.start()
            stage = Stage(proxy, path, named, said)
            try:
                await scenario(stage)
            finally:
                await proxy.close()
                for server in servers:
                    server.close()
                await stage.until(lambda: not any(backend.open for backend in backends))

        async def in_time() -> None:
            async with asyncio.timeout(DEADLINE):
                await all_of_it()

        asyncio.run(in_time())

    return run


@pytest.fixture
def talker(server: type[Backend]) -> Callable[[str], Backend]:
    return lambda name: server(name, raw=named(name))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pair]:
    folder = tmp_path_factory.mktemp("certificates")
    return {
        "first": pairs_of.make(folder, "first", "First.example", "*.Wild.example"),
        "second": pairs_of.make(folder, "second", "second.example", "exact.wild.example", rsa=True),
        "bare": pairs_of.make(folder, "bare.example"),
        "client": pairs_of.make(folder, "client"),
        "stranger": pairs_of.make(folder, "stranger"),
    }

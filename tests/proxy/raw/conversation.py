"""One row of a table, acted out: a server that writes down what reaches it, and a client that says what it is told to say.

Both read by code of their own, apart from the proxy's, and leniently: what a proxy sends is to be seen as it is. A request or
an answer that is not whole is not shown: how much of it is passed on before a proxy notices is a matter of time.

Whether a proxy keeps a connection is asked of the connection: after the first answer the client sends one more request,
`GET /after`. Where it is answered, the connection was kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
from dataclasses import dataclass, field

from tests.proxy.raw.table import Row, shown

LIMIT = 1 << 22  # bytes of a head
PATIENCE = 6.0  # seconds; the proxies' own deadlines are shorter
AFTER = b"GET /after HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n"
TUNNELLED = b"through the tunnel"
HOST = "a.example"
# What proxies add to every request; shown only where the client says something of the kind itself.
ADDED = re.compile(r"x-forwarded-(for|host|port|proto)|x-real-ip|forwarded", re.IGNORECASE)
UNSETTLED = ("499", "500", "504")
"""Which of these Traefik answers to a body that breaks off or does not come is a matter of time."""
NEVER = ("x-forwarded-server", "accept-encoding", "date")
OWN = ("content-type", "x-content-type-options", "connection", "cache-control", "content-length")
"""Fields of a proxy's own answers, and of the plain one."""


@dataclass
class Message:
    """A request or an answer as it stood on the wire."""

    line: str
    fields: list[tuple[str, str]]
    body: bytes = b""
    trailers: bytes = b""
    whole: bool = True

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key.lower() == name]

    @property
    def status(self) -> int:
        found = re.match(r"HTTP/\d\.\d (\d{3})", self.line)
        return int(found[1]) if found else 0


async def read(reader: asyncio.StreamReader, *, asked: str = "") -> Message | None:
    """The next message, or None where there is none. `asked`: the method that is answered, if this is an answer."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    line, *rest = head[:-4].split("\r\n")
    parts = [entry.partition(":") for entry in rest]
    message = Message(line, [(name, value.strip(" \t")) for name, _, value in parts])
    if asked and (asked == "HEAD" or message.status < 200 or message.status in (204, 304)):
        return message
    try:
        if message.all("transfer-encoding"):
            await _chunks(reader, message)
        elif lengths := message.all("content-length"):
            while len(message.body) < int(lengths[0]) and (data := await reader.read(int(lengths[0]) - len(message.body))):
                message.body += data
            message.whole = len(message.body) == int(lengths[0])
        elif asked:
            message.body = await reader.read()
    except (asyncio.IncompleteReadError, ConnectionError, ValueError):
        message.whole = False
    return message


async def _chunks(reader: asyncio.StreamReader, message: Message) -> None:
    while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
        message.body += await reader.readexactly(size)
        await reader.readexactly(2)
    while (trailer := await reader.readuntil(b"\r\n")) != b"\r\n":
        message.trailers += trailer


def _is_a_stranger(request: Message) -> bool:
    """A Traefik of another test that is side by side still asks for its Docker, at a port that was given to this server since."""
    return request.line.startswith("GET /v1.") and request.all("user-agent") == ["Go-http-client/1.1"]


@dataclass
class Server:
    """The server of one row."""

    row: Row
    seen: list[Message] = field(default_factory=list)
    open: int = 0
    first: bool = True

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        with contextlib.suppress(ConnectionError, asyncio.LimitOverrunError):
            if self.first and self.row.early:
                await self._early(reader, writer)
            while (request := await read(reader)) is not None and request.whole and not _is_a_stranger(request):
                self.seen.append(request)
                if not await self._answer(request, reader, writer):
                    break
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        self.open -= 1

    async def _early(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers as soon as there is a head; the body, if any of it comes, is read and thrown away."""
        self.first = False
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
        self.seen.append(Message(head[0], [(name, value.strip(" \t")) for name, _, value in (each.partition(":") for each in head[1:])]))
        writer.write(self.row.answer or b"")
        while await reader.read(1 << 16):
            pass

    async def _answer(self, request: Message, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection goes on."""
        if self.row.answer is None or not self.first:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + (b"" if request.line.startswith("HEAD ") else b"ok"))
            return True
        self.first = False
        writer.write(self.row.answer)
        if self.row.answer.startswith(b"HTTP/1.1 101"):
            while data := await reader.read(1 << 16):
                writer.write(data)
            return False
        return not self.row.then_close


@dataclass
class Seen:
    """What was seen of one row at both ends."""

    row: Row
    answers: list[Message]
    end: str
    requests: list[Message]
    server: str
    """The server's address."""

    def cells(self, proxy: str) -> str:
        """As the table has it."""
        asked = b"".join(self.row.sent).decode("latin-1")
        answers = [_answer(each, everything=self.row.answer is not None) for each in self.answers if each.whole]
        broken = self.requests and (not answers or not self.answers[-1].whole)
        client = ", then ".join([*_once(answers), *(["nothing whole"] if broken else [])])
        server = ", then ".join(_request(each, asked, self.server) for each in self.requests)
        if proxy.startswith("Traefik") and not server and client.strip("`") in UNSETTLED:
            client = " or ".join(f"`{each}`" for each in UNSETTLED)
        return f"{client or 'nothing'}; {self.end} | {server or 'nothing'}"


def _once(parts: list[str]) -> list[str]:
    """The same, with equal neighbours written once and counted."""
    found = [(part, len([*same])) for part, same in itertools.groupby(parts)]
    return [part if count == 1 else f"{part} ({count} times)" for part, count in found]


def _answer(message: Message, *, everything: bool) -> str:
    parts = [f"`{message.status or shown(message.line.encode('latin-1'))}`"]
    if message.status < 400:
        fields = [(name, value) for name, value in message.fields if name.lower() not in NEVER]
        fields = fields if everything else [each for each in fields if each[0].lower() not in OWN]
        parts += _once([f"`{shown(f'{name}: {value}'.encode('latin-1'))}`" for name, value in fields])
        if message.body and (everything or message.body != b"ok"):
            parts.append(f"body `{shown(message.body)}`")
        parts += [f"trailers `{shown(message.trailers)}`"] if message.trailers else []
    return " ".join(parts)


def _request(message: Message, asked: str, server: str) -> str:
    parts = []
    told = ADDED.search(asked.replace("_", "-").replace(".", "-")) is not None
    for name, value in message.fields:
        if name.lower() in NEVER or (name.lower() == "host" and value == HOST) or (not told and ADDED.fullmatch(name)):
            continue
        parts.append(f"`{shown(f'{name}: {value}'.replace(server, '(the address of the server)').encode('latin-1'))}`")
    parts = [f"`{shown(message.line.encode('latin-1'))}`", *_once(parts)]
    parts += [f"body `{shown(message.body)}`"] if message.body else []
    parts += [f"trailers `{shown(message.trailers)}`"] if message.trailers else []
    return " ".join(parts)


async def converse(port: int, server: Server, address: str) -> Seen:
    """Act one row out at a proxy on loopback."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=LIMIT)
    answers: list[Message] = []
    end = "waits"
    try:
        async with asyncio.timeout(PATIENCE):
            end = await _talk(reader, writer, server, answers)
    except TimeoutError:
        pass
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    kept = answers[:-1] if end == "keeps" else answers
    return Seen(server.row, kept, end, [each for each in server.seen if not _is_after(each)], address)


def _is_after(request: Message) -> bool:
    return request.line.startswith("GET /after ") and not request.body


async def _talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: Server, answers: list[Message]) -> str:
    parts = [*server.row.sent]
    methods = re.findall(r"(?:^|\n|abc)([A-Z]+) (?!/smuggled)[^\r\n]* HTTP/1", b"\r\n".join(parts).decode("latin-1")) or ["GET"]
    asked_after = False
    finals = 0
    await _say(writer, parts.pop(0))
    while (answer := await read(reader, asked=methods[finals] if finals < len(methods) else "GET")) is not None:
        answers.append(answer)
        if answer.status == 101:
            writer.write(TUNNELLED)
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                back = await reader.readuntil(TUNNELLED)
                return f"tunnel `{shown(back)}`" if back != TUNNELLED else "tunnel"
            return "closes"
        finals += answer.status >= 200
        if parts:
            await _say(writer, parts.pop(0))
        elif finals >= len(methods) and not asked_after:
            asked_after = True
            await _say(writer, AFTER)
    return "keeps" if answers and answers[-1].whole and any(map(_is_after, server.seen)) else "closes"


async def _say(writer: asyncio.StreamWriter, raw: bytes) -> None:
    writer.write(raw)
    with contextlib.suppress(ConnectionError):
        await writer.drain()

"""One demo server, as it runs behind the proxies of the stack `dev` and of `verify --start`. Only the standard library: it starts at once.

    python -m pinfeather.verify.demo --name shop-v1 --hostname shop-v1-a --port 8101

Every path is answered with who answers and what was asked, in the words of `traefik/whoami`: `Name:`, `Hostname:`, `IP:`,
`RemoteAddr:`, the request line and the request's header fields; `Hostname` in the field `X-Demo-Server`, too. Beside that:

- `/healthz` answers 200;
- any path is a WebSocket for who asks for one, and sends every message back;
- `POST /control/close?seconds=N` closes the listener and every connection, so that for N seconds (at most 60) each new
  connection is refused; then the server listens again. Only for who speaks to the server itself, from this machine.

It listens on loopback alone. SIGTERM and SIGINT end it at once. Exit codes: 0 ended by a signal, 2 wrong arguments,
4 the port cannot be had.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import ipaddress
import math
import signal
import socket
import sys
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

NAMED = "X-Demo-Server"
"""The field of each answer that says who gave it; a HEAD has nothing else to say it with."""
_HEAD_LIMIT = 64 * 1024  # bytes
_BODY_LIMIT = 16 * 1024 * 1024  # bytes, of a request's body or of one WebSocket frame
_LONGEST_CLOSE = 60.0  # seconds
_WEBSOCKET_KEY = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
_CLOSE, _PING, _PONG = 8, 9, 10  # RFC 6455, 5.2


class _Unreadable(Exception):  # noqa: N818 - says what the request is
    """The request is none; the text says why."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request's head."""

    method: str
    target: str
    version: str
    fields: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, head: bytes) -> Request:
        """Raises `_Unreadable` for what is no HTTP/1 request."""
        first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        words = first.split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1.") or any(":" not in line for line in lines):
            raise _Unreadable("this is no HTTP/1 request")
        parts = (line.partition(":") for line in lines)
        return cls(words[0], words[1], words[2], tuple((name, value.strip(" \t")) for name, _, value in parts))

    def field(self, name: str) -> str | None:
        """The first value of a header field."""
        return next((value for key, value in self.fields if key.lower() == name), None)

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def keeps_alive(self) -> bool:
        options = (self.field("connection") or "").lower()
        return "keep-alive" in options if self.version == "HTTP/1.0" else "close" not in options


@dataclass(frozen=True, slots=True)
class _Answer:
    status: HTTPStatus
    text: str
    fields: tuple[str, ...] = ()

    def encoded(self, *, body: bool, keep: bool) -> bytes:
        content = self.text.encode()
        lines = [f"HTTP/1.1 {self.status.value} {self.status.phrase}", *self.fields, "Content-Type: text/plain; charset=utf-8"]
        lines += [f"Content-Length: {len(content)}", f"Connection: {'keep-alive' if keep else 'close'}", "", ""]
        return "\r\n".join(lines).encode("latin-1") + (content if body else b"")


class DemoServer:
    """One server on 127.0.0.1: `name` is its version's, `hostname` its own."""

    def __init__(self, name: str, hostname: str, port: int) -> None:
        """Takes the port; 0 takes a free one. Raises OSError when it cannot be had."""
        self._name = name
        self._hostname = hostname
        self._socket = _bound(port)
        self.port: int = self._socket.getsockname()[1]
        self._listener: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._reopening: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self) -> None:
        """Accept connections from now on."""
        self._listener = await asyncio.start_server(self._accept, sock=self._socket, limit=_HEAD_LIMIT)

    def end(self) -> None:
        """Close the listener and every connection, for good."""
        if self._reopening is not None:
            self._reopening.cancel()
        self._hang_up()
        self._socket.close()

    def _hang_up(self, but: asyncio.StreamWriter | None = None) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for writer in self._writers:
            if writer is not but:
                writer.close()

    def close(self, but: asyncio.StreamWriter | None = None) -> None:
        """Refuse every connection and end those there are, `but` one, until `reopen`."""
        self._hang_up(but)
        self._socket.close()
        # Bound and not listening, the port refuses every connection and still is nobody else's.
        self._socket = _bound(self.port)

    def reopen(self) -> None:
        self._run(self.listen())

    def _close_for(self, seconds: float, asking: asyncio.StreamWriter) -> None:
        self.close(asking)
        self._reopening = asyncio.get_running_loop().call_later(seconds, self.reopen)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._run(self._serve(reader, writer))

    def _run(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)  # the loop itself holds a task only weakly
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while await self._exchange(reader, writer):
                pass
        except (OSError, EOFError, asyncio.LimitOverrunError):
            pass  # the client has gone, or talks without end
        except _Unreadable as error:
            writer.write(_Answer(HTTPStatus.BAD_REQUEST, f"{error}\n").encoded(body=True, keep=False))
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request. Returns whether the connection goes on."""
        request = Request.of(await reader.readuntil(b"\r\n\r\n"))
        if (request.field("upgrade") or "").lower() == "websocket":
            await _echo(request, reader, writer)
            return False
        keep = request.keeps_alive and await _body_read(request, reader)
        closing = self._asked_to_close(request, writer) if request.path == "/control/close" else None
        if isinstance(closing, float):
            self._close_for(closing, writer)  # before the answer: who has read it finds the port closed
            answer, keep = _Answer(HTTPStatus.OK, f"closed for {closing:g} s\n"), False
        else:
            answer = closing or self._answer(request, writer)
        writer.write(answer.encoded(body=request.method != "HEAD", keep=keep))
        await writer.drain()
        return keep

    def _answer(self, request: Request, writer: asyncio.StreamWriter) -> _Answer:
        if request.path == "/healthz":
            return _Answer(HTTPStatus.OK, "ok\n")
        address, port = writer.get_extra_info("peername")[:2]
        own = writer.get_extra_info("sockname")[0]
        lines = [f"Name: {self._name}", f"Hostname: {self._hostname}", f"IP: {own}", f"RemoteAddr: {address}:{port}"]
        lines.append(f"{request.method} {request.target} {request.version}")
        lines += [f"{name}: {value}" for name, value in request.fields]
        return _Answer(HTTPStatus.OK, "\n".join((*lines, "")), (f"{NAMED}: {self._hostname}",))

    def _asked_to_close(self, request: Request, writer: asyncio.StreamWriter) -> float | _Answer:
        """For how many seconds to close, or why not."""
        if request.method != "POST":
            return _Answer(HTTPStatus.METHOD_NOT_ALLOWED, "say POST /control/close?seconds=N\n", ("Allow: POST",))
        near = ipaddress.ip_address(writer.get_extra_info("peername")[0]).is_loopback
        # A proxy in front is on this machine too, and so is a browser: neither's visitors may close the server.
        direct = request.field("host") in (f"127.0.0.1:{self.port}", f"localhost:{self.port}")
        if not near or not direct or any(request.field(name) is not None for name in ("origin", "x-forwarded-for", "forwarded", "via")):
            return _Answer(HTTPStatus.FORBIDDEN, f"only for http://127.0.0.1:{self.port} itself, from this machine\n")
        given = parse_qs(urlsplit(request.target).query).get("seconds", [""])[-1]
        try:
            seconds = float(given)
        except ValueError:
            seconds = math.nan
        if not 0 < seconds <= _LONGEST_CLOSE:
            return _Answer(HTTPStatus.BAD_REQUEST, f"seconds={given!r}: a number above 0, at most {_LONGEST_CLOSE:g}, is wanted\n")
        return seconds


def _bound(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", port))
    except OSError:
        bound.close()
        raise
    return bound


async def _body_read(request: Request, reader: asyncio.StreamReader) -> bool:
    """Read a request's body away. Returns whether the next request can follow it."""
    if request.field("transfer-encoding") is not None:
        return False
    given = request.field("content-length") or "0"
    if not given.isascii() or not given.isdigit() or int(given) > _BODY_LIMIT:
        raise _Unreadable(f"Content-Length: a number of bytes up to {_BODY_LIMIT} is wanted")
    await reader.readexactly(int(given))
    return True


async def _echo(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A WebSocket (RFC 6455) that sends each frame back as it came, until either side closes."""
    key = request.field("sec-websocket-key")
    if key is None:
        raise _Unreadable("a WebSocket needs Sec-WebSocket-Key")
    accept = base64.b64encode(hashlib.sha1(key.encode("latin-1") + _WEBSOCKET_KEY, usedforsecurity=False).digest()).decode()
    lines = ("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Accept: {accept}", "", "")
    writer.write("\r\n".join(lines).encode())
    opcode = 0
    while opcode != _CLOSE:
        first, length = await reader.readexactly(2)
        opcode, masked, length = first & 15, length >= 128, length & 127
        if length >= 126:
            length = int.from_bytes(await reader.readexactly(2 if length == 126 else 8))
        if length > _BODY_LIMIT or not masked:
            return
        mask = await reader.readexactly(4)
        payload = bytes(byte ^ mask[place % 4] for place, byte in enumerate(await reader.readexactly(length)))
        size = bytes((length,)) if length < 126 else b"\x7e" + length.to_bytes(2) if length < 65536 else b"\x7f" + length.to_bytes(8)
        if opcode != _PONG:
            writer.write(bytes((first & 0xF0 | (_PONG if opcode == _PING else opcode),)) + size + payload)
            await writer.drain()


async def _run(server: DemoServer, hostname: str) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    await server.listen()
    sys.stdout.write(f"{hostname} listens on http://127.0.0.1:{server.port}\n")
    sys.stdout.flush()
    await ended.wait()
    server.end()


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal comes. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m pinfeather.verify.demo", description="One demo server, on loopback.")
    parser.add_argument("--name", required=True, help="the name of its version, as in the document: shop-v1")
    parser.add_argument("--hostname", required=True, help="its own name: shop-v1-a")
    parser.add_argument("--port", required=True, type=int, help="the port on 127.0.0.1; 0 takes a free one")
    given = parser.parse_args(arguments)
    if not 0 <= given.port <= 65535:
        parser.error(f"--port {given.port}: a port is a number from 0 to 65535")
    try:
        server = DemoServer(given.name, given.hostname, given.port)
    except OSError as error:
        sys.stderr.write(f"{given.hostname}: cannot listen on 127.0.0.1:{given.port}: {(error.strerror or str(error)).lower()}\n")
        return 4
    asyncio.run(_run(server, given.hostname))
    return 0


if __name__ == "__main__":
    sys.exit(main())

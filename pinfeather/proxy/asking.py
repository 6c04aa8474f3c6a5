"""Questions of the proxy's own: a request without a body, and its answer. Health checks and `forward_auth` ask so.

Answers are read by the same strict profile as those for clients. Nothing is followed, no cookie is kept.
"""

import asyncio
import ssl
from collections import deque
from dataclasses import dataclass
from typing import cast

from pinfeather.proxy.backend import Origin
from pinfeather.proxy.body import BodyReader, body_reader
from pinfeather.proxy.fields import Framing, Refused
from pinfeather.proxy.wire import HeadReader, ResponseHead, parse_response

_KEPT = 32  # connections to one server between questions
_KEPT_FOR = 30.0  # seconds


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer; its body as far as it was asked for."""

    head: ResponseHead
    body: bytes


class Asking(asyncio.Protocol):
    """One connection to a server, on which one question after another can be asked."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self._buffer = bytearray()
        self._heads = HeadReader()
        self._method = ""
        self._limit: int | None = None
        self._head: ResponseHead | None = None
        self._reader: BodyReader
        self._body = bytearray()
        self._reply: asyncio.Future[Reply] | None = None
        self._idle: asyncio.TimerHandle | None = None
        self.reusable = False  # whether the last answer was complete and left nothing over
        self.answered = False  # whether a byte of the current answer has come

    async def ask(self, request: bytes, method: str, limit: int | None) -> Reply:
        """The answer to a request. `limit`: bytes of its body; None: the body is not read, and the connection is spent.

        Raises OSError, EOFError and Refused. Who stops waiting must end the connection.
        """
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        self._method, self._limit = method, limit
        self._head = None
        self._body.clear()
        self.reusable = self.answered = False
        self._reply = asyncio.get_running_loop().create_future()
        if self.transport.is_closing():
            raise EOFError
        self.transport.write(request)
        try:
            return await self._reply
        finally:
            self._reply = None

    def rest(self) -> None:
        """Nobody asks for now; after a while, or at the first byte that nobody asked for, the connection ends."""
        self._idle = asyncio.get_running_loop().call_later(_KEPT_FOR, self.transport.abort)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._reply is None or self._reply.done():
            self.reusable = False
            self.transport.abort()
            return
        self.answered = True
        self._buffer += data
        try:
            self._read()
        except Refused as refused:
            self._reply.set_exception(refused)
            self.transport.abort()

    def eof_received(self) -> bool:
        if self._head is not None and self._head.framing == Framing(None):
            self._finish()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.reusable = False
        if self._idle is not None:
            self._idle.cancel()
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(exc if isinstance(exc, OSError) else EOFError())

    def _read(self) -> None:
        while self._head is None:
            cut = self._heads.take(self._buffer)
            if cut is None:
                return
            head = parse_response(cut, self._method)
            if head.status == 101:
                raise Refused("switches without having been asked to")
            if head.status >= 200:
                self._head, self._reader = head, body_reader(head.framing)
        if self._limit is None:
            self._finish()
            return
        self._body += self._reader.take(self._buffer)
        if len(self._body) > self._limit:
            raise Refused("answer over the limit")
        if self._reader.done:
            self.reusable = self._head.persistent and not self._buffer
            self._finish()

    def _finish(self) -> None:
        if self._head is not None and self._reply is not None and not self._reply.done():
            self._reply.set_result(Reply(self._head, bytes(self._body)))


class Questions:
    """Connections to one server, kept between questions."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._kept: deque[Asking] = deque()
        self._tls: ssl.SSLContext | None = None

    async def ask(self, request: bytes, method: str, limit: int) -> Reply:
        """The answer to a request that may be sent a second time. Raises OSError, EOFError and Refused.

        A kept connection that the server gives up without a word is replaced by a new one, once.
        """
        while self._kept:
            asking = self._kept.pop()
            if asking.reusable and not asking.transport.is_closing():
                try:
                    return await self._on(asking, request, method, limit)
                except (OSError, EOFError):
                    if asking.answered:
                        raise
                    break
        return await self._on(await self._connect(), request, method, limit)

    def close(self) -> None:
        """End what is kept."""
        while self._kept:
            self._kept.pop().transport.abort()

    async def _on(self, asking: Asking, request: bytes, method: str, limit: int) -> Reply:
        reply: Reply | None = None
        try:
            reply = await asking.ask(request, method, limit)
        finally:
            if reply is None:  # it failed, or nobody waits for it any more
                asking.transport.abort()
        if asking.reusable and len(self._kept) < _KEPT:
            asking.rest()
            self._kept.append(asking)
        else:
            asking.transport.abort()
        return reply

    async def _connect(self) -> Asking:
        origin = self._origin
        if origin.tls and self._tls is None:
            self._tls = ssl.create_default_context()
        try:
            _, asking = await asyncio.get_running_loop().create_connection(
                Asking, origin.host, origin.port, ssl=self._tls if origin.tls else None
            )
        except UnicodeError as error:
            raise OSError(f"{origin.host!r} is no host name") from error
        return asking

"""Connections to servers, and those that are kept for the next request.

A connection is kept only after a complete, unambiguous answer that left no byte over; a byte that comes while nobody waits
poisons it, and so does one that lies unread in its socket. It is used again only for requests that may be sent a second time, since
a server may close it at that moment.
"""

import asyncio
import errno
import select
import ssl
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple, cast

from pinfeather.proxy.flow import HIGH_WATER, Gate, Reading, Settings
from pinfeather.proxy.passage import response_head
from pinfeather.proxy.wire import HeadReader, ResponseHead, parse_response

if TYPE_CHECKING:
    from pinfeather.proxy.exchange import Exchange

OUR_SHORTAGE = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL))
"""This machine has no descriptor, port or memory for one more: no server is to blame, and another one would fare alike."""
_REMEMBERED = 2 * 1024  # bytes of an answer's head that are kept for the next one


class Origin(NamedTuple):
    """Where a server listens."""

    host: str
    port: int
    tls: bool
    authority: str  # as it stands in the server's URL


class BackendConnection(Reading):
    """One connection to a server, serving one exchange at a time."""

    def __init__(self, pool: "Pool", origin: Origin) -> None:
        self._pool = pool
        self.origin = origin
        self.exchange: Exchange | None = None
        self.buffer = bytearray()
        self._heads = HeadReader()
        self.reused = False
        self.answered = False  # whether a byte of the current answer has come
        self.since = 0.0  # when it was laid aside
        self._read: tuple[bytes, str, ResponseHead] | None = None  # the head before, and the method that it answered
        self._written: tuple[ResponseHead, tuple[str, ...], bool, bool, bytes] | None = None
        self.transport: asyncio.Transport
        self.gate: Gate

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=HIGH_WATER)
        self.gate = Gate(self.transport)
        self._unread = select.poll()
        self._unread.register(self.transport.get_extra_info("socket"), select.POLLIN)
        self._pool.opened(self)

    def data_received(self, data: bytes) -> None:
        if self.exchange is None:
            self.transport.abort()
            return
        self.answered = True
        self.buffer += data
        self.exchange.backend_sent()

    def eof_received(self) -> bool:
        return self.exchange is not None and self.exchange.backend_ended()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the same end either way
        self._pool.forget(self)
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.backend_lost()

    def pause_writing(self) -> None:
        if self.exchange is not None:
            self.exchange.backend_full()

    def resume_writing(self) -> None:
        if self.exchange is not None:
            self.exchange.backend_drained()

    def head(self, method: str) -> ResponseHead | None:
        """The head at the front of the buffer, cut off; None while it is not complete. Raises Refused.

        A server mostly says the same again, and equal bytes are an equal head.
        """
        before = self._read
        if before is not None and before[1] == method and self._heads.untouched and self.buffer.startswith(before[0]):
            del self.buffer[: len(before[0])]
            return before[2]
        head = self._heads.take(self.buffer)
        if head is None:
            return None
        response = parse_response(head, method)
        self._read = (head, method, response) if len(head) <= _REMEMBERED else None
        return response

    def written(self, response: ResponseHead, cookies: tuple[str, ...], *, chunked: bool, close: bool) -> bytes:
        """The head as it goes to a client. This server's new clients mostly get the same cookies."""
        before = self._written
        if before is not None and before[0] is response and before[1] == cookies and before[2] is chunked and before[3] is close:
            return before[4]
        head = response_head(response, (), cookies, chunked=chunked, close=close)
        self._written = response, cookies, chunked, close, head
        return head

    def has_more(self) -> bool:
        """Whether something is there that nobody asked for: an end, or bytes that the next request would take for its answer."""
        return bool(self._unread.poll(0))

    def drop(self) -> None:
        """End it at once; its exchange hears nothing more."""
        self.exchange = None
        self.transport.abort()


class Pool:
    """The connections to all servers."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._idle: dict[Origin, deque[BackendConnection]] = {}
        self._open: set[BackendConnection] = set()
        self._tls: ssl.SSLContext | None = None

    def __len__(self) -> int:
        """How many connections there are, in use or kept."""
        return len(self._open)

    def take(self, origin: Origin) -> BackendConnection | None:
        """The connection that was laid aside last, if it is still good."""
        idle = self._idle.get(origin)
        if not idle:
            return None
        now = time.monotonic()
        while idle:
            connection = idle.pop()
            fresh = now - connection.since < self._settings.server_idle
            if fresh and not connection.transport.is_closing() and not connection.has_more():
                connection.reused = True
                return connection
            connection.drop()
        return None

    async def connect(self, origin: Origin) -> BackendConnection:
        """A new connection. Raises OSError (TimeoutError and TLS errors are such)."""
        connection = BackendConnection(self, origin)
        async with asyncio.timeout(self._settings.connect):
            await self.open(connection, origin)
        return connection

    async def open(self, protocol: asyncio.BaseProtocol, origin: Origin) -> asyncio.Transport:
        """Connect `protocol` to a server, without a deadline. Raises OSError."""
        if origin.tls and self._tls is None:
            self._tls = ssl.create_default_context()
        try:
            transport, _ = await asyncio.get_running_loop().create_connection(
                lambda: protocol, origin.host, origin.port, ssl=self._tls if origin.tls else None
            )
        except UnicodeError as error:
            raise OSError(f"{origin.host!r} is no host name") from error
        return transport

    def opened(self, connection: BackendConnection) -> None:
        """A connection has been made."""
        self._open.add(connection)

    def give_back(self, connection: BackendConnection) -> None:
        """Lay a connection aside whose answer is complete."""
        connection.exchange = None
        connection.answered = False
        connection.gate.open()
        idle = self._idle.get(connection.origin)
        if idle is None:
            idle = self._idle[connection.origin] = deque()
        if len(idle) >= self._settings.idle_servers or connection.transport.is_closing():
            connection.drop()
            return
        connection.since = time.monotonic()  # the loop's clock
        idle.append(connection)

    def forget(self, connection: BackendConnection) -> None:
        """A connection has ended."""
        self._open.discard(connection)
        idle = self._idle.get(connection.origin)
        if idle is not None:
            if connection in idle:
                idle.remove(connection)
            if not idle:
                del self._idle[connection.origin]

    def sweep(self, now: float) -> None:
        """End what was laid aside too long ago."""
        for idle in list(self._idle.values()):
            while idle and now - idle[0].since >= self._settings.server_idle:
                idle.popleft().drop()

    def close(self) -> None:
        """End every connection."""
        for connection in list(self._open):
            connection.drop()

"""Connections to servers, and those that are kept for the next request.

A connection is kept only after a complete, unambiguous answer that left no byte over; a byte that comes while nobody waits
poisons it. It is used again only for requests that may be sent a second time, since a server may close it at that moment.
"""

import asyncio
import ssl
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from pinfeather.proxy.flow import HIGH_WATER, Gate, Settings
from pinfeather.proxy.wire import HeadReader

if TYPE_CHECKING:
    from pinfeather.proxy.exchange import Exchange


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a server listens."""

    host: str
    port: int
    tls: bool
    authority: str  # as it stands in the server's URL


class BackendConnection(asyncio.Protocol):
    """One connection to a server, serving one exchange at a time."""

    def __init__(self, pool: "Pool", origin: Origin) -> None:
        self._pool = pool
        self.origin = origin
        self.exchange: Exchange | None = None
        self.buffer = bytearray()
        self.heads = HeadReader()
        self.reused = False
        self.answered = False  # whether a byte of the current answer has come
        self.since = 0.0  # when it was laid aside
        self.transport: asyncio.Transport
        self.gate: Gate

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=HIGH_WATER)
        self.gate = Gate(self.transport)
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
        now = asyncio.get_running_loop().time()
        while idle:
            connection = idle.pop()
            if not connection.transport.is_closing() and now - connection.since < self._settings.server_idle:
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

    async def open(self, protocol: asyncio.Protocol, origin: Origin) -> asyncio.Transport:
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
        idle = self._idle.setdefault(connection.origin, deque())
        if len(idle) >= self._settings.idle_servers or connection.transport.is_closing():
            connection.drop()
            return
        connection.since = asyncio.get_running_loop().time()
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

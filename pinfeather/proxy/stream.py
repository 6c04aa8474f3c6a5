"""A TCP connection from its route to its server: bytes go through as they are, both ways.

A side that does not take bytes stops the reading of the other. An end goes through as an end, and the other direction goes
on. Python's `ssl` has no half-closed connections: the end of a side that speaks TLS ends both directions, and an end towards
such a side is kept back until both have ended. What breaks off is reset on the other side, so that half a stream is never
taken for a whole one.
"""

import asyncio
import ipaddress
import random
import struct
from collections.abc import Callable
from dataclasses import replace
from typing import cast

from pinfeather.model.decide import State, Status
from pinfeather.model.decide_tcp import decide_tcp
from pinfeather.proxy.account import StreamAccount
from pinfeather.proxy.affinity import first_draw
from pinfeather.proxy.edge import Edge, Guest
from pinfeather.proxy.entrances import ToTcp
from pinfeather.proxy.flow import HIGH_WATER, Gate, Reading, end_writing, reset

_ATTEMPTS = 3  # servers that are tried, one after the other
_FOREVER = float("inf")
_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


class _ServerSide(Reading):
    """The connection to the server."""

    def __init__(self, stream: "TcpStream") -> None:
        self._stream = stream
        self.transport: asyncio.Transport
        self.gate: Gate

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=HIGH_WATER)
        self.gate = Gate(self.transport)

    def data_received(self, data: bytes) -> None:
        self._stream.server_sent(data)

    def eof_received(self) -> bool:
        return self._stream.server_ended()

    def pause_writing(self) -> None:
        self._stream.gate.hold("server")

    def resume_writing(self) -> None:
        self._stream.gate.release("server")

    def connection_lost(self, exc: Exception | None) -> None:
        self._stream.server_lost(exc)


class TcpStream(Reading):
    """The connection of the client, and what joins the two."""

    def __init__(self, edge: Edge, entry_point: str, address: str, way: ToTcp, admit: Callable[[Guest], bool]) -> None:
        """`admit` is asked once, when the connection stands."""
        self.edge = edge
        self.entry_point = entry_point
        self.address = address
        self.deadline = _FOREVER
        self.now = asyncio.get_running_loop().time
        self.transport: asyncio.Transport
        self.gate: Gate
        self.account = StreamAccount(self, self.now())
        self._admit: Callable[[Guest], bool] | None = admit
        self._serving = edge.live.serving
        self._connection = way.connection
        self._server: _ServerSide | None = None
        self._task: asyncio.Task[None] | None = None
        self._ended = 0  # directions
        self._open = 1  # sides

    # --- what asyncio says ---------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=HIGH_WATER)
        self.gate = Gate(self.transport)
        admit, self._admit = self._admit, None
        if admit is None or not admit(self):
            self.transport.abort()
            return
        self.gate.hold("connecting")
        self._task = asyncio.get_running_loop().create_task(self._connect())

    def data_received(self, data: bytes) -> None:
        if self._server is not None:
            self.account.received += len(data)
            self._server.transport.write(data)
            self._touch()

    def eof_received(self) -> bool:
        return self._server is not None and self._pass_end(self.transport, self._server.transport)

    def pause_writing(self) -> None:
        if self._server is not None:
            self._server.gate.hold("client")

    def resume_writing(self) -> None:
        if self._server is not None:
            self._server.gate.release("client")

    def connection_lost(self, exc: Exception | None) -> None:
        if self._task is not None:
            self._task.cancel()
        self._lost(None if self._server is None else self._server.transport, exc, "client broke off")

    # --- what the proxy says -------------------------------------------------------------------------------------

    def expired(self) -> None:
        """Nothing has gone through for too long."""
        self.account.reason = self.account.reason or "deadline"
        self.abort()

    def drain(self) -> None:
        """The proxy stops: the stream may come to its end until it is aborted."""

    def abort(self) -> None:
        """Break both sides off."""
        self.deadline = _FOREVER
        self.account.reason = self.account.reason or "broken off"
        if self._server is not None:
            reset(self._server.transport)
        reset(self.transport)

    # --- the way to a server -------------------------------------------------------------------------------------

    async def _connect(self) -> None:
        entrances, edge, account = self._serving.entrances, self.edge, self.account
        bound = replace(self._connection, bindings=edge.affinities.bindings(entrances.tables, self.address, self.now()))
        sticky = entrances.alone(bound)
        draw = None if sticky is None else first_draw(self._serving.seal.key, sticky, self.address)
        failed: dict[str, tuple[Status, ...]] = {}
        for _ in range(_ATTEMPTS):
            decision = decide_tcp(entrances.table, bound, State(failed), random.getrandbits(64) if draw is None else draw)
            account.decision = decision
            if decision.route is None or not entrances.admits(decision.route, self.address):
                return self._give_up("no route" if decision.route is None else "middleware")
            if decision.status != 200 or decision.service is None or decision.server is None:
                return self._give_up("server failed" if failed else decision.reason)
            target = entrances.target(decision.service, decision.server)
            if target is None:
                return self._give_up("no address")
            account.origin = target.origin
            side = _ServerSide(self)
            try:
                async with asyncio.timeout(edge.settings.connect):
                    await edge.pool.open(side, target.origin)
            except OSError:
                account.retries += 1
                statuses = list(failed.get(decision.service, entrances.all_up(decision.service)))
                statuses[decision.server] = Status.DOWN
                failed[decision.service] = tuple(statuses)
                continue
            if decision.service in entrances.tables and decision.server_key is not None:
                table = entrances.tables[decision.service]
                edge.affinities.remember(decision.service, table, self.address, decision.server_key, self.now())
            return self._begin(side, target.proxy_protocol)
        return self._give_up("server failed")

    def _begin(self, side: _ServerSide, proxy_protocol: int | None) -> None:
        self._task = None
        self._server = side
        self._open += 1
        if proxy_protocol is not None:
            peer, own = (self.transport.get_extra_info(name) for name in ("peername", "sockname"))
            if peer is None or own is None:  # the client was gone before it was asked who it is
                self._give_up("client went")
                return
            side.transport.write(proxy_header(proxy_protocol, peer, own))
        self._touch()
        self.gate.release("connecting")

    def _give_up(self, reason: str) -> None:
        self._task = None
        self.account.reason = reason
        self.transport.abort()

    # --- between the two -----------------------------------------------------------------------------------------

    def server_sent(self, data: bytes) -> None:
        """The server has sent bytes."""
        self.account.sent += len(data)
        self.transport.write(data)
        self._touch()

    def server_ended(self) -> bool:
        """The server sends no more. True: its connection stays open for what the client still sends."""
        return self._server is not None and self._pass_end(self._server.transport, self.transport)

    def server_lost(self, exc: Exception | None) -> None:
        """The server's connection has ended."""
        self._lost(self.transport, exc, "server broke off")

    def _pass_end(self, ended: asyncio.Transport, other: asyncio.Transport) -> bool:
        self._ended += 1
        if self._ended == 2 or not ended.can_write_eof():
            other.close()  # once it has taken what is still written
            return False
        if other.can_write_eof() and not end_writing(other):
            return False
        self._touch()
        return True

    def _lost(self, other: asyncio.Transport | None, exc: Exception | None, reason: str) -> None:
        """One side is gone: what was written to the other still goes there, unless it was broken off."""
        self._open -= 1
        if self._open == 0:
            self.edge.leave(self)
            self.edge.streamed(self.account)
            return
        if exc is not None:
            self.account.reason = self.account.reason or reason
        if other is None or other.is_closing():
            return
        if exc is not None:
            reset(other)
        else:
            other.close()
            self.deadline = self.now() + self.edge.settings.body

    def _touch(self) -> None:
        settings = self.edge.settings
        self.deadline = self.now() + (settings.tunnel if self._ended == 0 else settings.answer)


def proxy_header(version: int, source: tuple[object, ...], destination: tuple[object, ...]) -> bytes:
    """What a server is told of the client before its first byte (HAProxy, doc/proxy-protocol.txt, 2.1 and 2.2).

    `source` and `destination`: address and port of the client, and of the socket that it reached.
    """
    from_, to = _address(source), _address(destination)
    if from_.version != to.version:  # one is an IPv4 client of an IPv6 socket
        from_, to = _sixth(from_), _sixth(to)
    ports = int(str(source[1])), int(str(destination[1]))
    if version == 1:
        return f"PROXY TCP{from_.version} {from_} {to} {ports[0]} {ports[1]}\r\n".encode()
    body = from_.packed + to.packed + struct.pack("!HH", *ports)
    return _SIGNATURE + bytes((0x21, 0x11 if from_.version == 4 else 0x21)) + struct.pack("!H", len(body)) + body


def _address(name: tuple[object, ...]) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    address = ipaddress.ip_address(str(name[0]).partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _sixth(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv6Address:
    return address if isinstance(address, ipaddress.IPv6Address) else ipaddress.IPv6Address(f"::ffff:{address}")

"""What both kinds of connection need: deadlines and limits, and reading that can be held for several reasons at once."""

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass

HIGH_WATER = 64 * 1024  # bytes kept for a side that does not take them, before the other side is no longer read
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: what was not sent yet is dropped, and the other end hears of it
_READ = memoryview(bytearray(64 * 1024))  # what was read last, by whichever connection


@dataclass(frozen=True, slots=True)
class Settings:
    """Deadlines in seconds, each for one phase of an exchange, and limits."""

    head: float = 10.0  # a request's whole head, from its first byte (or from the connection's beginning)
    idle: float = 75.0  # a kept connection without a request
    body: float = 30.0  # the next bytes of a request's body, and a client that takes nothing of its answer
    least_rate: int = 128  # bytes a second of a request's body that make this time longer, beside waiting for the server
    connect: float = 5.0  # a connection to a server
    first_byte: float = 60.0  # the answer's head, once the request is sent
    answer: float = 300.0  # the next bytes of an answer's body
    tunnel: float = 3600.0  # a WebSocket without a byte either way
    linger: float = 1.0  # what is still read of a request that was answered early
    drain: float = 10.0  # requests in flight when the proxy stops
    connections: int = 4096
    connections_per_address: int = 2048
    idle_servers: int = 64  # kept connections to one server
    server_idle: float = 30.0  # how long one is kept
    tick: float = 0.2  # how often deadlines are looked at
    watch: float = 0.3  # how often the document's file is looked at
    workers: int = 1  # processes that serve the same document together, and so share its rate limits
    rise: int = 1  # healthy answers in a row that bring a server up; Traefik's one
    fall: int = 1  # failed ones that take it down
    jitter: float = 0.1  # share of a health check's interval by which it varies, so that checks spread out
    rises: int = 10  # how often a server may come up within a minute; a flapping one stays down then


class Reading(asyncio.BufferedProtocol):
    """A connection that is read through one buffer which all connections share: what comes is copied out at once.

    For an `asyncio.Protocol` the loop makes a new buffer of 256 KiB for each piece (CPython 3.11, asyncio/selector_events.py, max_size),
    which the system gives and takes back each time: 16 us of the 25 that a short piece costs.
    """

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - no piece is larger than the buffer
        return _READ

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(_READ[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        raise NotImplementedError


class Gate:
    """Reading from one transport. It goes on when nobody holds it any more."""

    __slots__ = ("_reasons", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._reasons: set[str] = set()

    def hold(self, reason: str) -> None:
        if not self._reasons:
            self._transport.pause_reading()
        self._reasons.add(reason)

    def release(self, reason: str) -> None:
        if reason in self._reasons:
            self._reasons.remove(reason)
            if not self._reasons:
                self._transport.resume_reading()

    def open(self) -> None:
        """Release whatever holds it."""
        if self._reasons:
            self._reasons.clear()
            self._transport.resume_reading()


def reset(transport: asyncio.Transport) -> None:
    """End a connection in such a way that its other end sees that it did not come to its end."""
    sock = transport.get_extra_info("socket")
    if sock is not None and not transport.is_closing():
        with contextlib.suppress(OSError):  # it may be gone already
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()


def end_writing(transport: asyncio.Transport) -> bool:
    """Say that nothing more will be written. Returns whether the other end can still be heard after that."""
    if transport.is_closing() or not transport.can_write_eof():
        return False
    try:
        transport.write_eof()
    except OSError:  # the other end was gone already
        transport.abort()
        return False
    return True

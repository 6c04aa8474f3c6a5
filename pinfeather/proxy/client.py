"""A client's connection: requests one after another, each answered before the next is looked at."""

import asyncio
import time
from collections.abc import Callable
from typing import NamedTuple, cast

from pinfeather.proxy.edge import Edge, Guest
from pinfeather.proxy.exchange import Exchange
from pinfeather.proxy.fields import Refused, Section
from pinfeather.proxy.flow import HIGH_WATER, Gate, Reading, end_writing
from pinfeather.proxy.passage import Answer, answer_bytes
from pinfeather.proxy.wire import HeadReader, parse_request

_LINGER_LIMIT = 256 * 1024  # bytes read away after an early answer
_REMEMBERED = 4 * 1024  # bytes of a head's fields that are kept for the next request
_FOREVER = float("inf")


class Secure(NamedTuple):
    """TLS was ended."""

    sni: str | None
    """The server name of the hello, in lower case."""
    options: str
    """The document's TLS options on whose terms."""


class ClientConnection(Reading):
    """Reads heads, hands each request to an `Exchange`, and keeps or ends the connection after it."""

    def __init__(
        self, edge: Edge, entry_point: str, address: str, secure: Secure | None = None, admit: Callable[[Guest], bool] | None = None
    ) -> None:
        """`address`: the client's. `secure`: absent without TLS. `admit` is asked once, in place of the edge."""
        self.edge = edge
        self.entry_point = entry_point
        self.secure = secure
        self.address = address
        self.buffer = bytearray()
        self.exchange: Exchange | None = None
        self.deadline = _FOREVER
        self.full = False  # whether the client does not take what is written
        self.now = time.monotonic  # the loop's clock
        self.transport: asyncio.Transport
        self.gate: Gate
        self._heads = HeadReader(skips=True)
        self._lingered: int | None = None
        self._latest = _FOREVER  # when an answer must have been taken that was given early
        self._before: Section | None = None  # the fields of the request before
        self._admit = admit or edge.admit

    # --- what asyncio says ---------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=HIGH_WATER)
        self.gate = Gate(self.transport)
        if not self._admit(self):
            self.transport.abort()
            return
        self.deadline = self.now() + self.edge.settings.head

    def data_received(self, data: bytes) -> None:
        if self._lingered is not None:
            self._lingered += len(data)
            if self._lingered > _LINGER_LIMIT:
                self.transport.abort()
            return
        self.buffer += data
        if self.exchange is not None:
            self.exchange.client_sent()
        else:
            self._next()

    def eof_received(self) -> bool:
        return self.exchange is not None and self.exchange.client_ended()

    def pause_writing(self) -> None:
        self.full = True
        if self.exchange is not None:
            self.exchange.client_full()
        else:
            self.gate.hold("full")

    def resume_writing(self) -> None:
        self.full = False
        self.gate.release("full")
        if self.exchange is not None:
            self.exchange.client_drained()
        else:
            self._next()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the same end either way
        self.edge.leave(self)
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.client_lost()

    # --- what the proxy says -------------------------------------------------------------------------------------

    def finished(self, *, keep: bool, lingers: bool) -> None:
        """The exchange is over, its answer written."""
        self.exchange = None
        if lingers:
            self._linger()
        elif not keep:
            self.deadline = self.now() + self.edge.settings.body  # for a client that takes nothing of the rest
            self.transport.close()
        else:
            self.gate.open()
            self.deadline = self.now() + self.edge.settings.idle
            if len(self.buffer) > HIGH_WATER:
                self.gate.hold("early")  # what was sent ahead is answered first: else each answer would let 64 KiB more in
            if self.full:
                self.gate.hold("full")
            elif self.buffer:
                asyncio.get_running_loop().call_soon(self._next)  # not from here: pipelined requests would pile up the stack

    def expired(self) -> None:
        """The deadline has passed."""
        self.deadline = _FOREVER
        if self.exchange is not None:
            self.exchange.expired()
        elif self.buffer and self._lingered is None and not self.full:
            self._refuse(408, "head too slow")
        elif self._lingered is not None and self.transport.get_write_buffer_size() and self.now() < self._latest:
            self.deadline = self.now() + self.edge.settings.linger  # the answer is still being taken
        else:
            self.transport.abort()

    def drain(self) -> None:
        """The proxy stops: end the connection, or let its exchange end it."""
        if self.exchange is None and self._lingered is None:
            self.transport.close()

    def abort(self) -> None:
        """End the connection at once."""
        self.transport.abort()

    def _next(self) -> None:
        if self.exchange is not None or self._lingered is not None or self.full or self.transport.is_closing():
            return
        fresh = self._heads.untouched
        try:
            head = self._heads.take(self.buffer)
            if head is None:
                self.gate.release("early")
                if fresh and self.buffer:
                    self.deadline = self.now() + self.edge.settings.head
                return
            request = parse_request(head, self._before)
        except Refused as refused:
            self._refuse(refused.status, refused.why)
            return
        self._before = request.section if len(request.section.raw) <= _REMEMBERED else None
        self.exchange = exchange = Exchange(self, request)
        exchange.start()

    def _refuse(self, status: int, why: str) -> None:
        """Answer a request that is not to be routed, without a word to the client about why."""
        self.edge.refused(self, why, status)
        self.buffer.clear()
        self.transport.write(answer_bytes(Answer.error(status), (), (), close=True))
        self._linger()

    def _linger(self) -> None:
        """Read away what is still under way: closing on unread bytes would reset the answer off the wire."""
        self._lingered = 0
        self.buffer.clear()
        self.gate.open()
        self.deadline = self.now() + self.edge.settings.linger
        self._latest = self.now() + self.edge.settings.body
        end_writing(self.transport)

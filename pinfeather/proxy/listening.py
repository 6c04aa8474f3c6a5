"""Serving one listening socket: connections are accepted, and each goes where its first bytes say.

The socket is bound by whoever starts the proxy, so that several processes can accept from it. First bytes are looked at and
left where they are (MSG_PEEK), so that whoever takes the connection reads them again: a server, TLS, or HTTP.
"""

import asyncio
import contextlib
import errno
import functools
import socket
import ssl
from collections.abc import Callable

from pinfeather.proxy.client import ClientConnection, Secure
from pinfeather.proxy.edge import Edge, Guest
from pinfeather.proxy.entrances import ToHttp
from pinfeather.proxy.hello import LARGEST, Hello, Verdict, read_hello
from pinfeather.proxy.stream import TcpStream
from pinfeather.proxy.tls import BROKEN_HELLO, Refusal, Use

_AT_ONCE = 32  # connections that are accepted before others get their turn, and other processes their share
_PAUSE = 0.1  # seconds without accepting, where the system has no descriptor or no memory for one more
# What accept(2) says of the one connection that it would have given, not of the socket.
_ITS_OWN = frozenset(
    (errno.ECONNABORTED, errno.EPROTO, errno.EPERM, errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ETIMEDOUT)
)


async def listen(sock: socket.socket, edge: Edge, entry_point: str) -> "Listener":
    """Accept connections of an entry point until the listener is closed, which closes `sock` too."""
    return Listener(sock, edge, entry_point)


class Listener:
    """Accepts from one socket, as long as it is not closed."""

    def __init__(self, sock: socket.socket, edge: Edge, entry_point: str) -> None:
        self._sock = sock
        self._edge = edge
        self._entry_point = entry_point
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        sock.setblocking(False)
        self._loop.add_reader(sock.fileno(), self._accept)

    def close(self) -> None:
        """Accept no more. What was accepted goes on."""
        if self._sock.fileno() < 0:
            return
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._sock.fileno())
        self._sock.close()

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                sock, address = self._sock.accept()
            except (BlockingIOError, InterruptedError):  # another process was faster
                return
            except OSError as error:
                if error.errno in _ITS_OWN:
                    continue
                self._edge.metrics.refused(f"accept: {errno.errorcode.get(error.errno or 0, '?')}")
                self._loop.remove_reader(self._sock.fileno())
                self._pause = self._loop.call_later(_PAUSE, self._go_on)
                return
            sock.setblocking(False)
            self._take(sock, str(address[0]))

    def _go_on(self) -> None:
        self._pause = None
        self._loop.add_reader(self._sock.fileno(), self._accept)

    def _take(self, sock: socket.socket, address: str) -> None:
        door = self._edge.live.serving.entrances.door(self._entry_point)
        # It counts from here on: else one that was accepted right before a hand-over would be turned away by the proxy that ends.
        Arrival(self._edge, self._entry_point, sock, address).begin(looks=door.looks)


async def _connected(
    make: Callable[[], asyncio.BaseProtocol],
    sock: socket.socket,
    context: ssl.SSLContext | None = None,
    handshake: float = 0,
    shutdown: float = 0,
) -> bool:
    """Give a socket to a protocol, after a handshake where there is a context. Returns whether it was given."""
    loop = asyncio.get_running_loop()
    try:
        if context is None:
            await loop.connect_accepted_socket(make, sock)
        else:
            await loop.connect_accepted_socket(make, sock, ssl=context, ssl_handshake_timeout=handshake, ssl_shutdown_timeout=shutdown)
    except OSError:  # errors of TLS and timeouts are such
        sock.close()
        return False
    return True


class Arrival:
    """A connection of which it is not known yet what it is."""

    __slots__ = ("_edge", "_loop", "_over", "_seen", "_sock", "_task", "_waits", "address", "deadline", "entry_point")

    def __init__(self, edge: Edge, entry_point: str, sock: socket.socket, address: str) -> None:
        self.address = address
        self.entry_point = entry_point
        self._loop = asyncio.get_running_loop()
        self.deadline = self._loop.time() + edge.settings.head  # for the hello and the handshake together
        self._edge = edge
        self._sock = sock
        self._seen = 0  # bytes
        self._waits = False
        self._over = False
        self._task: asyncio.Task[None] | None = None

    def begin(self, *, looks: bool) -> None:
        """Look at what there is, or go on at once."""
        if not self._edge.admit(self):
            self._over = True
            self._sock.close()
        elif looks:
            self._look()
        else:
            self._go(None)

    # --- what the proxy says -------------------------------------------------------------------------------------

    def expired(self) -> None:
        """The hello, or the handshake, takes too long."""
        self._edge.metrics.refused("TLS hello too slow" if self._task is None else "TLS handshake too slow")
        self.abort()

    def drain(self) -> None:
        """The proxy stops: who has said nothing yet is not waited for."""
        if self._task is None:
            self.abort()

    def abort(self) -> None:
        """End it."""
        if self._task is not None:
            self._task.cancel()
        else:
            self._end()

    def gives_way(self, other: Guest) -> bool:
        """What it became takes its place among the connections. False: it was ended meanwhile."""
        if self._over:
            return False
        self._over = True
        self._edge.replace(self, other)
        return True

    # --- the first bytes -----------------------------------------------------------------------------------------

    def _look(self) -> None:
        try:
            data = self._sock.recv(LARGEST, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            self._wait(1)
            return
        except OSError:
            self._end()
            return
        found = read_hello(data)
        if isinstance(found, Hello):
            self._go(found)
        elif found is Verdict.PLAIN:
            self._go(None)
        elif isinstance(found, Verdict):
            self._refuse(BROKEN_HELLO)
        elif len(data) <= self._seen or not data:  # woken without a new byte: there will be none
            self._end()
        else:
            self._seen = len(data)
            self._wait(found.bytes)

    def _wait(self, count: int) -> None:
        """Be woken when that many bytes are there, or the other end has ended: not for each byte."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)
        if not self._waits:
            self._waits = True
            self._loop.add_reader(self._sock.fileno(), self._look)

    def _stop_waiting(self) -> None:
        if self._waits:
            self._waits = False
            self._loop.remove_reader(self._sock.fileno())

    def _end(self) -> None:
        if not self._over:
            self._over = True
            self._stop_waiting()
            with contextlib.suppress(OSError):
                self._sock.recv(LARGEST)  # closing on unread bytes is a reset, which would take an alert off the wire
            self._sock.close()
            self._edge.leave(self)

    def _refuse(self, refusal: Refusal) -> None:
        self._edge.metrics.refused(refusal.why)
        with contextlib.suppress(OSError):  # it may be gone already
            self._sock.send(refusal.alert)
        self._end()

    # --- where it goes -------------------------------------------------------------------------------------------

    def _go(self, hello: Hello | None) -> None:
        if self._waits:
            self._stop_waiting()
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        edge = self._edge
        way = edge.live.serving.entrances.way(self.entry_point, self.address, hello)
        context: ssl.SSLContext | None = None
        sni = None if hello is None else hello.sni
        if way.options is not None:
            use: Use = "http" if isinstance(way, ToHttp) else "tcp"
            found = edge.tls.context(way.options, use, sni, () if hello is None else hello.alpn)
            if isinstance(found, Refusal):
                self._refuse(found)
                return
            context = found
        make: Callable[[], asyncio.BaseProtocol]
        if isinstance(way, ToHttp):
            secure = None if way.options is None else Secure(sni, way.options)
            make = functools.partial(ClientConnection, edge, self.entry_point, self.address, secure, self.gives_way)
        else:
            make = functools.partial(TcpStream, edge, self.entry_point, self.address, way, self.gives_way)
        self._task = self._loop.create_task(self._hand_over(make, context))

    async def _hand_over(self, make: Callable[[], asyncio.BaseProtocol], context: ssl.SSLContext | None) -> None:
        settings = self._edge.settings
        try:
            given = await _connected(make, self._sock, context, settings.head, settings.body)
            if not given:
                self._edge.metrics.refused("TLS handshake failed")
        finally:
            if not self._over:
                self._over = True
                self._sock.close()
                self._edge.leave(self)

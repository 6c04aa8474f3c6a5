"""A demo server over TCP, on loopback: whoever sends a line is told the server's name, and the line.

It speaks TLS to who begins with a hello, plain to everybody else, and reads past the PROXY protocol (haproxy, doc/proxy-protocol.txt).
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading

_PATIENCE = 10.0  # seconds
_HELLO = b"\x16"
_V1, _V2 = b"PROXY ", b"\r\n\r\n\x00\r\nQUIT\n"


class DemoTcpServer:
    """One server of a name, on a free port of 127.0.0.1, from its start to `end`."""

    def __init__(self, name: str, context: ssl.SSLContext | None) -> None:
        self.name = name
        self._context = context
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._ended = False
        self.port: int = self._socket.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def end(self) -> None:
        """Close the listener and every connection."""
        self._ended = True
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), _PATIENCE):
            pass  # whoever waits to accept somebody wakes
        self._thread.join(_PATIENCE)
        self._socket.close()
        for stream in tuple(self._open):
            with contextlib.suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(_PATIENCE)

    def _accept(self) -> None:
        while True:
            stream, _ = self._socket.accept()
            if self._ended:
                stream.close()
                return
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            self._threads.append(threading.Thread(target=self._serve, args=(stream,)))
            self._threads[-1].start()

    def _serve(self, stream: socket.socket) -> None:
        stream.settimeout(_PATIENCE)
        self._open.add(stream)
        try:
            _past_proxy_protocol(stream)
            if self._context is not None and stream.recv(1, socket.MSG_PEEK) == _HELLO:
                self._open.discard(stream)
                stream = self._context.wrap_socket(stream, server_side=True)
                self._open.add(stream)
            line = b""
            while not line.endswith(b"\n") and len(line) < 1024 and (byte := stream.recv(1)):
                line += byte
            if line:
                stream.sendall(f"Hostname: {self.name}\n".encode() + line)
        except OSError:
            pass  # the client has gone, or talks no TLS
        finally:
            self._open.discard(stream)
            stream.close()


def _past_proxy_protocol(stream: socket.socket) -> None:
    start = stream.recv(len(_V2), socket.MSG_PEEK)
    if start.startswith(_V1):
        while stream.recv(1) not in (b"\n", b""):
            pass
    elif start == _V2[: len(start)] and len(start) == len(_V2):
        head = stream.recv(16, socket.MSG_WAITALL)
        stream.recv(int.from_bytes(head[14:16]), socket.MSG_WAITALL)

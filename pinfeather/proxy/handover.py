"""From an old process to a new one without a lost connection: the listening sockets themselves are passed on.

Each proxy that was given a path answers on a Unix socket there. A new one asks it for its sockets (SCM_RIGHTS), gets ready, and
says so; from then on it accepts, and the old one lets its connections end. Connections that wait to be accepted stay with
the socket, whoever holds it. Two listeners with SO_REUSEPORT would lose those of the one that closes. If the new one
fails before it is ready, the old one has noticed nothing.

Who may open that socket owns the proxy's ports, so it is its user's alone (mode 0600).
"""

import asyncio
import contextlib
import errno
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

from pinfeather.proxy.loading import Unreadable
from pinfeather.proxy.sockets import Listening

_READY, _GONE = b"ready\n", b"gone\n"
_MOST = 253  # sockets in one message (Linux, SCM_MAX_FD)
_HEADER = 64 * 1024
_ASKING = 10.0  # seconds for the old one to answer
_WAITING = 600.0  # seconds for the new one to get ready: it may have a large document to read


class Taken:
    """Sockets of an old process, which goes on until it is told that they are served."""

    def __init__(self, sockets: Listening, pid: int, connection: socket.socket) -> None:
        self.sockets = sockets
        self.pid = pid
        self._connection = connection

    def serve(self) -> None:
        """The new process accepts: the old one may go. Returns when it has stopped accepting."""
        with self._connection, contextlib.suppress(OSError):
            self._connection.sendall(_READY)
            while self._connection.recv(64):  # `gone`, then its end
                pass


def take(path: Path) -> Taken | None:
    """Ask the proxy at `path` for its sockets; None where nobody is. Raises OSError, and Unreadable where no proxy answers."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(_ASKING)
    try:
        connection.connect(_name(path))
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        return None
    except OSError:
        connection.close()
        raise
    header, descriptors = b"", list[int]()
    try:
        while not header.endswith(b"\n") and len(header) < _HEADER:
            data, more, _, _ = socket.recv_fds(connection, _HEADER, _MOST)
            descriptors += more
            if not data:
                break
            header += data
        said = json.loads(header)
        opened = [socket.socket(fileno=descriptor) for descriptor in descriptors]
        sockets = {str(name): [opened.pop(0) for _ in range(int(count))] for name, count in said["sockets"]}
        pid = int(said["pid"])
    except (ValueError, LookupError, TypeError, OSError) as error:
        for descriptor in descriptors:
            with contextlib.suppress(OSError):
                os.close(descriptor)
        connection.close()
        raise Unreadable(f"{path}: what answers there hands nothing over ({error})") from error
    return Taken(sockets, pid, connection)


class Handover:
    """The giving side, in a running proxy."""

    def __init__(self, path: Path, sockets: Callable[[], Listening], given: Callable[[], None]) -> None:
        """`given` is called when another process serves the sockets."""
        self._path = path
        self._sockets = sockets
        self._given = given
        self._listener = socket.socket(socket.AF_UNIX)
        self._task: asyncio.Task[None] | None = None
        self._inode = 0

    def start(self) -> None:
        """Answer from now on. Raises OSError."""
        aside = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        before = os.umask(0o177)
        try:
            aside.unlink(missing_ok=True)
            self._listener.bind(_name(aside))
        finally:
            os.umask(before)
        self._listener.listen(4)
        self._listener.setblocking(False)
        self._inode = aside.stat().st_ino
        aside.replace(self._path)
        self._task = asyncio.get_running_loop().create_task(self._answer())

    async def close(self) -> None:
        """Answer no more."""
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._listener.close()
        with contextlib.suppress(OSError):
            if self._path.stat().st_ino == self._inode:  # else it is the next one's already
                self._path.unlink()

    async def _answer(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            connection, _ = await loop.sock_accept(self._listener)
            with connection:
                connection.setblocking(False)
                with contextlib.suppress(OSError):
                    if await self._give(connection):
                        self._given()
                        await loop.sock_sendall(connection, _GONE)
                        return

    async def _give(self, connection: socket.socket) -> bool:
        loop = asyncio.get_running_loop()
        listening = self._sockets()
        descriptors = [sock.fileno() for sockets in listening.values() for sock in sockets]
        names = [[name, len(sockets)] for name, sockets in listening.items()]
        header = json.dumps({"pid": os.getpid(), "sockets": names}).encode() + b"\n"
        socket.send_fds(connection, [header], descriptors)
        try:
            async with asyncio.timeout(_WAITING):
                return await loop.sock_recv(connection, len(_READY)) == _READY
        except TimeoutError:
            return False


def _name(path: Path) -> str:
    if len(os.fsencode(path)) > 100:
        raise OSError(errno.ENAMETOOLONG, f"{path}: too long for a Unix socket, 100 bytes at most")
    return str(path)

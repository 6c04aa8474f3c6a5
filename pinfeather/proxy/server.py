"""The proxy as a running thing: listening sockets, deadlines, reload, and the end.

A reload reads, validates and prepares the new document aside, then swaps one reference: requests under way end with the old
one, a document that fails changes nothing. At the end accepting stops first, then what is under way has `drain` seconds.
"""

import asyncio
import contextlib
import functools
import signal
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from pinfeather.model.decide import Status
from pinfeather.model.document import EntryPoint
from pinfeather.proxy.admin import AdminConnection
from pinfeather.proxy.cookies import Seal
from pinfeather.proxy.edge import Edge
from pinfeather.proxy.flow import Settings
from pinfeather.proxy.health import Checks
from pinfeather.proxy.listening import bind
from pinfeather.proxy.listening import listen as serve_socket
from pinfeather.proxy.loading import Load, Unreadable, load_serving
from pinfeather.proxy.resources import Resources
from pinfeather.proxy.serving import Serving

Address = tuple[str, int]
Say = Callable[[str], None]


class Proxy:
    """One document, served on the addresses of its entry points. All of it lives on one event loop."""

    def __init__(
        self,
        path: Path,
        listen: Mapping[str, Address] | None,
        admin: Address | None,
        seal: Seal,
        *,
        load: Load,
        say: Say,
        settings: Settings,
        certificates: Sequence[tuple[Path, Path]] = (),
    ) -> None:
        """`listen` gives each entry point its host and port; port 0 takes a free one. Absent: each entry point of the document,
        on loopback, at its own port. `say` is given lines for people. `certificates`: files of a chain and its key.
        """
        self._path = path
        self._listen = listen
        self._admin = admin
        self._seal = seal
        self._load = load
        self._say = say
        self._settings = settings
        self._resources = Resources(settings.workers)
        self._certificates = tuple(certificates)
        self._servers: list[asyncio.Server] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._reloading = asyncio.Lock()
        self._stop = asyncio.Event()
        self._seen: object = None
        self.edge: Edge
        self.addresses: dict[str, Address] = {}  # where each entry point really listens, and "admin" if there is one
        self.admin_address: Address | None = None
        self.reload_error: str | None = None
        self._checks: Checks

    async def start(self) -> None:
        """Load the document, listen, begin the health checks. Raises Unreadable, and OSError for a port in use."""
        self._seen = _signature(self._path)
        serving = await asyncio.to_thread(load_serving, self._path, self._load, self._seal, self._resources)
        listen = _own(serving) if self._listen is None else self._listen
        for note in (*serving.notes, *_unheard(serving, listen)):
            self._say(note)
        self.edge = Edge(serving, self._settings, self._certificates)
        loop = asyncio.get_running_loop()
        try:
            for name, address in listen.items():
                for sock in bind(*address):
                    self.addresses.setdefault(name, _address(sock))
                    self._servers.append(await serve_socket(sock, self.edge, name))
            if self._admin is not None:
                make_admin = functools.partial(AdminConnection, self)
                for sock in bind(*self._admin):
                    self.admin_address = self.admin_address or _address(sock)
                    self._servers.append(await loop.create_server(make_admin, sock=sock))
        except OSError:
            for server in self._servers:
                server.close()
            raise
        self._checks = Checks(self.edge.pool, self._report, self._settings)
        self._checks.start(serving)
        self._tasks = [loop.create_task(self._sweep()), loop.create_task(self._watch())]

    def _report(self, service: str, index: int, status: Status) -> None:
        if self.edge.report(service, index, status):
            self._say(f"service {service!r}: server {self.edge.live.serving.servers[service][index]} is {status.name.lower()}")

    async def reload(self) -> bool:
        """Serve the document as its file has it now. Returns whether it is served; the old one is kept otherwise."""
        async with self._reloading:
            try:
                serving = await asyncio.to_thread(load_serving, self._path, self._load, self._seal, self._resources)
            except Unreadable as error:
                self.reload_error = str(error)
                self._say(f"not reloaded, the document from before is kept: {error}")
                return False
            self.reload_error = None
            if serving.revision == self.edge.live.serving.revision:
                return True
            await self._checks.stop()
            self.edge.reload(serving)
            self._checks.start(serving)
            for note in (*serving.notes, *_unheard(serving, self.addresses)):
                self._say(note)
            self._say(f"reloaded: {len(serving.document.routes)} routes, revision {serving.revision[:12]}")
            return True

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._settings.watch)
            seen = _signature(self._path)
            if seen != self._seen:
                self._seen = seen
                await self.reload()

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._settings.tick)
            now = loop.time()
            for connection in [known for known in self.edge.connections if known.deadline <= now]:
                connection.expired()
            self.edge.pool.sweep(now)

    async def close(self) -> None:
        """Stop accepting, let what is under way end for `drain` seconds, end the rest."""
        self.edge.draining = True
        for server in self._servers:
            server.close()
        for connection in list(self.edge.connections):
            connection.drain()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.drain):
                await self.edge.empty.wait()
        for connection in list(self.edge.connections):
            connection.abort()
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self._checks.stop()
        self.edge.pool.close()
        self._resources.close()
        await asyncio.sleep(0)  # sockets of aborted connections are closed in the loop's next turn

    async def run(self) -> None:
        """Start, say where it listens, and serve until SIGTERM or SIGINT; SIGHUP reloads."""
        loop = asyncio.get_running_loop()
        await self.start()
        reloads: set[asyncio.Task[bool]] = set()

        def reload() -> None:
            task = loop.create_task(self.reload())
            reloads.add(task)
            task.add_done_callback(reloads.discard)

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, reload)
        for name, (host, port) in self.addresses.items():
            self._say(f"entry point {name!r} listens on {host}:{port}")
        if self.admin_address is not None:
            self._say("admin listens on {}:{}".format(*self.admin_address))
        stop = loop.create_task(self._stop.wait())
        await asyncio.wait([stop, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
        if not stop.done():
            stop.cancel()
            self._say("stopping: a task that never ends has ended")
        else:
            self._say("stopping: requests under way are answered first")
        await self.close()


def _address(sock: socket.socket) -> Address:
    host, port = sock.getsockname()[:2]
    return str(host), int(port)


def _own(serving: Serving) -> dict[str, Address]:
    """The document's entry points on loopback. TLS is not ended here, so that one with TLS is left out."""
    found: dict[str, Address] = {}
    for name, value in serving.document.entry_points.items():
        port, tls = (value.port, value.tls) if isinstance(value, EntryPoint) else (value, False)
        if isinstance(port, int) and not tls:
            found[name] = ("127.0.0.1", port)
    if not found:
        raise Unreadable("no address to listen on: the document has no entry point without TLS; say --listen NAME=HOST:PORT")
    return found


def _unheard(serving: Serving, listen: Mapping[str, Address]) -> Iterable[str]:
    """Routes that no request can reach, since nothing listens on any of their entry points."""
    for route in serving.document.routes:
        if route.entry_points and not set(route.entry_points) & set(listen):
            yield f"route {route.name!r}: nothing listens on its entry points ({', '.join(route.entry_points)})"


def _signature(path: Path) -> object:
    """Changes whenever the file may have. Hashing it is left to the reload."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino

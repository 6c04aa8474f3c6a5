"""The proxy as a running thing: listening sockets, deadlines, reload, and the end.

A reload reads, validates and prepares the new document aside, then swaps one reference: requests under way end with the old
one, a document that fails changes nothing. At the end accepting stops first, then what is under way has `drain` seconds.
After a hand-over kept connections have them too: their next request is answered, and says that the connection ends.
"""

import asyncio
import contextlib
import functools
import signal
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from pinfeather.model.decide import Status
from pinfeather.model.document import Document, EntryPoint
from pinfeather.proxy.access_log import AccessLog
from pinfeather.proxy.admin import AdminConnection, state
from pinfeather.proxy.cookies import Seal
from pinfeather.proxy.edge import Edge
from pinfeather.proxy.flow import Settings
from pinfeather.proxy.gauges import families
from pinfeather.proxy.handover import Handover, take
from pinfeather.proxy.health import Checks
from pinfeather.proxy.keys import read_keys
from pinfeather.proxy.listening import Listener
from pinfeather.proxy.listening import listen as serve_socket
from pinfeather.proxy.loading import Load, Unreadable, let_go, load_serving, read_document, revision
from pinfeather.proxy.metrics import exposition
from pinfeather.proxy.resources import Resources
from pinfeather.proxy.serving import Serving
from pinfeather.proxy.sockets import ADMIN, Address, Listening, address_of, bind
from pinfeather.proxy.sockets import close as close_sockets
from pinfeather.proxy.tls import BadCertificate, TlsTerms, tls_notes

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
        key_file: Path | None = None,
        access_log: str | None = None,
        takeover: Path | None = None,
        supervised: Listening | None = None,
    ) -> None:
        """`listen` gives each entry point its host and port; port 0 takes a free one. Absent: each entry point of the document,
        on loopback, at its own port. `say` is given lines for people. `certificates`: files of a chain and its key.
        `key_file` is read at each reload, in place of `seal`'s keys. `takeover`: where this proxy takes the sockets of the one
        before, and hands its own to the next. `supervised`: the sockets of a worker, whose supervisor does all the rest.
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
        self._key_file = key_file
        self._access_log = access_log
        self._takeover = takeover
        self._supervised = supervised
        self._sockets: Listening = {}
        self._handover: Handover | None = None
        self._gentle = False
        self._servers: dict[str, list[Listener | asyncio.Server]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._reloading = asyncio.Lock()
        self._stop = asyncio.Event()
        self._seen: object = None
        self.edge: Edge
        self.addresses: dict[str, Address] = {}  # where each entry point really listens
        self.admin_address: Address | None = None
        self.reload_error: str | None = None
        self._checks: Checks

    async def start(self, data: bytes | None = None) -> None:
        """Load the document, listen, begin the health checks. Raises Unreadable, and OSError for a port in use.

        `data`: what to serve instead of what the file holds now.
        """
        self._seen = self._signature()
        self._seal = self._seal_now(None)
        if data is None:
            data = await asyncio.to_thread(read_document, self._path)
        serving = await asyncio.to_thread(load_serving, self._path, data, self._load, self._seal, self._resources)
        listen = self._wanted(serving)
        tls = await asyncio.to_thread(self._tls_now, serving.document)
        for note in (*serving.notes, *_unheard(serving, listen), *tls_notes(serving.document, tls)):
            self._say(note)
        log = None if self._access_log is None else AccessLog(self._access_log, self._say)
        self.edge = Edge(serving, self._settings, tls, log)
        taken = None if self._takeover is None else await asyncio.to_thread(take, self._takeover)
        try:
            before = {} if taken is None else taken.sockets
            for name, address in listen.items():
                await self._open(name, self._supervised[name] if self._supervised is not None else bind(name, *address, before))
            if self._admin is not None:
                await self._open(ADMIN, bind(ADMIN, *self._admin, before))
            if taken is not None:
                await asyncio.to_thread(taken.serve)
                self._say(f"took over from process {taken.pid}")
                close_sockets(before)
            if self._takeover is not None:
                self._handover = Handover(self._takeover, lambda: self._sockets, self._given)
                self._handover.start()
        except OSError:
            self._stop_accepting()
            raise
        self._checks = Checks(self.edge.pool, self._report, self._settings)
        self._checks.start(serving)
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._sweep())]
        if self._supervised is None:
            self._tasks.append(loop.create_task(self._watch()))

    async def _open(self, name: str, sockets: list[socket.socket]) -> None:
        self._sockets[name] = sockets
        servers = self._servers.setdefault(name, [])
        for sock in sockets:
            if name == ADMIN:
                make = functools.partial(AdminConnection, self)
                servers.append(await asyncio.get_running_loop().create_server(make, sock=sock))
            else:
                servers.append(await serve_socket(sock, self.edge, name))
        if name == ADMIN:
            self.admin_address = address_of(sockets[0])
        else:
            self.addresses[name] = address_of(sockets[0])

    def _stop_accepting(self, names: Iterable[str] | None = None) -> None:
        for name in list(self._servers if names is None else names):
            for server in self._servers.pop(name):
                server.close()
            del self._sockets[name]

    def _wanted(self, serving: Serving) -> Mapping[str, Address]:
        """Where to listen. Raises Unreadable."""
        if self._supervised is not None:
            return {name: address_of(sockets[0]) for name, sockets in self._supervised.items()}
        return own_addresses(serving.document, tls=bool(self._certificates)) if self._listen is None else self._listen

    def _given(self) -> None:
        """Another process serves the sockets."""
        self._say("handed over: another process serves the sockets now")
        self._stop_accepting()
        self._gentle = True
        self._stop.set()

    def _seal_now(self, keys: Sequence[bytes] | None) -> Seal:
        """The seal with the keys of its file as they are now. Raises Unreadable, OSError."""
        if keys is None and self._key_file is not None:
            read = read_keys(self._key_file)
            for note in read.notes:
                self._say(note)
            keys = read.values
        return self._seal if keys is None else Seal(keys[0], self._seal.traefik_compat, tuple(keys[1:]))

    def _tls_now(self, document: Document) -> TlsTerms:
        """TLS on the terms of a document, with the certificates as their files hold them. Raises Unreadable."""
        before = self.edge.tls if hasattr(self, "edge") else None
        try:
            return TlsTerms.of(self._certificates, document, before)
        except BadCertificate as error:
            raise Unreadable(str(error)) from error

    def _report(self, service: str, index: int, status: Status) -> None:
        if self.edge.report(service, index, status):
            self._say(f"service {service!r}: server {self.edge.live.serving.servers[service][index]} is {status.name.lower()}")

    async def reload(self, data: bytes | None = None, keys: Sequence[bytes] | None = None) -> bool:
        """Serve the document as its file has it now. Returns whether it is served; the old one is kept otherwise.

        `data` and `keys` stand in for what the files hold.
        """
        async with self._reloading:
            before = self.edge.live.serving
            try:
                seal = self._seal_now(keys)
                serving = await self._prepared(data if data is not None else await asyncio.to_thread(read_document, self._path), seal)
                listen = self._wanted(serving)
                tls = await asyncio.to_thread(self._tls_now, serving.document)
            except (Unreadable, OSError) as error:
                self.edge.metrics.reloaded(False)
                self.reload_error = str(error)
                self._say(f"not reloaded, the document from before is kept: {error}")
                return False
            self.reload_error = None
            if tls.certificates != self.edge.tls.certificates:
                self._say("the certificates were changed: new connections are shown the new ones")
            if serving is before:
                self.edge.tls = tls
                return True
            self.edge.metrics.reloaded(True)
            self._seal = seal
            if serving.document is before.document:
                self.edge.reload(serving, tls)
                self._say(f"the keys were changed: {1 + len(seal.old)} are taken")
                return True
            await self._checks.stop()
            self.edge.reload(serving, tls)
            self._checks.start(serving)
            await self._listen_anew(listen)
            for note in (*serving.notes, *_unheard(serving, self.addresses), *tls_notes(serving.document, tls)):
                self._say(note)
            self._say(f"reloaded: {len(serving.document.routes)} routes, revision {serving.revision[:12]}")
            box = [before]
            del before, serving
            await asyncio.to_thread(let_go, box)
            return True

    async def _prepared(self, data: bytes, seal: Seal) -> Serving:
        live = self.edge.live.serving
        if revision(data) != live.revision:
            return await asyncio.to_thread(load_serving, self._path, data, self._load, seal, self._resources)
        return live if seal == live.seal else await asyncio.to_thread(live.sealed, seal)

    async def _listen_anew(self, wanted: Mapping[str, Address]) -> None:
        """Listen where the new document says, unless the command line said where."""
        if self._listen is not None:
            return
        if self._supervised is not None:  # the sockets are the supervisor's
            for name in self.edge.live.serving.document.entry_points.keys() - self.addresses.keys():
                self._say(f"entry point {name!r}: workers listen where they did at the start; start the proxy again, or hand over")
            return
        for name, address in wanted.items():
            if self.addresses.get(name) == address:
                continue
            try:
                sockets = bind(name, *address, {})
            except OSError as error:
                self._say(f"entry point {name!r}: {error.strerror}")
                continue
            if name in self._servers:
                self._stop_accepting([name])
            await self._open(name, sockets)
            self._say("entry point {!r} listens on {}:{}".format(name, *address))
        for name in [known for known in self.addresses if known not in wanted]:
            self._stop_accepting([name])
            del self.addresses[name]
            self._say(f"entry point {name!r}: the document has it no more, nobody listens there now")

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._settings.watch)
            seen = self._signature()
            if seen != self._seen:
                self._seen = seen
                await self.reload()

    def _signature(self) -> object:
        paths = (self._path, self._key_file, *(path for pair in self._certificates for path in pair))
        return tuple(signature(path) for path in paths if path is not None)

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._settings.tick)
            now = loop.time()
            for connection in [known for known in self.edge.connections if known.deadline <= now]:
                connection.expired()
            self.edge.pool.sweep(now)

    async def close(self, *, gentle: bool = False) -> None:
        """Stop accepting, let what is under way end for `drain` seconds, end the rest.

        `gentle`: kept connections without a request are not ended at once either. A client may just be using one.
        """
        self.edge.draining = True
        self._stop_accepting()
        if self._handover is not None:
            await self._handover.close()
        if gentle:
            await self._emptied()
        for connection in list(self.edge.connections):
            connection.drain()
        await self._emptied()
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
        if self.edge.log is not None:
            await asyncio.to_thread(self.edge.log.close)
        await asyncio.sleep(0)  # sockets of aborted connections are closed in the loop's next turn

    async def _emptied(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.drain):
                await self.edge.empty.wait()

    # --- what the second port asks -------------------------------------------------------------------------------

    async def healthy(self) -> tuple[bool, dict[str, object]]:
        """Whether requests are taken."""
        return not self.edge.draining, {"status": "draining" if self.edge.draining else "ok"}

    async def state(self) -> dict[str, object]:
        """What is served, and by whom."""
        return state(self.edge, self.reload_error)

    async def metrics(self) -> str:
        """The text for Prometheus."""
        return exposition(families(self.edge))

    def reopen_log(self) -> None:
        """The access log's file was moved away."""
        if self.edge.log is not None:
            self.edge.log.reopen()

    async def run(self) -> None:
        """Start, say where it listens, and serve until SIGTERM or SIGINT. SIGHUP reloads, SIGUSR1 opens the access log anew."""
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
        loop.add_signal_handler(signal.SIGUSR1, self.reopen_log)
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
        await self.close(gentle=self._gentle)


def own_addresses(document: Document, *, tls: bool) -> dict[str, Address]:
    """The document's entry points on loopback; without certificates (`tls`) not those that speak TLS alone. Raises Unreadable."""
    found: dict[str, Address] = {}
    for name, value in document.entry_points.items():
        port, tls_only = (value.port, bool(value.tls)) if isinstance(value, EntryPoint) else (value, False)
        if isinstance(port, int) and (tls or not tls_only):
            found[name] = ("127.0.0.1", port)
    if not found:
        hint = "say --listen NAME=HOST:PORT" if tls else "say --listen NAME=HOST:PORT, or --certificate CHAIN.pem:KEY.pem for TLS"
        raise Unreadable(f"no address to listen on: the document has no entry point{'' if tls else ' without TLS'}; {hint}")
    return found


def _unheard(serving: Serving, listen: Mapping[str, Address]) -> Iterable[str]:
    """Routes that no request can reach, since nothing listens on any of their entry points."""
    named = [(f"route {route.name!r}", route.entry_points) for route in serving.document.routes]
    named += [(f"TCP route {route.name!r}", route.entry_points) for route in serving.document.tcp_routes]
    for name, points in named:
        if points and not set(points) & set(listen):
            yield f"{name}: nothing listens on its entry points ({', '.join(points)})"


def signature(path: Path) -> object:
    """Changes whenever the file may have. Hashing it is left to the reload."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino

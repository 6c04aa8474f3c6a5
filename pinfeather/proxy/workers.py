"""Several workers behind the same listening sockets, and their supervisor.

The supervisor binds the sockets, starts the workers, which inherit them, and never touches a connection itself: a worker that
dies loses its own connections, the others go on, and a new one is started. It reads the document and the keys, so that
all workers have the same, and has them reload one after the other, so that never more than one is busy with it. Where the
first one refuses a document, the others are not asked. The second port is its own: it collects from all workers.

Workers are fresh processes, not forks: nothing of the supervisor's threads or event loop is in them (on macOS a fork
without exec is not safe).
"""

import asyncio
import functools
import os
import signal
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter

from pinfeather.proxy.admin import AdminConnection
from pinfeather.proxy.channel import Message
from pinfeather.proxy.child import READY, Child, WorkerFailedError, ended, texts
from pinfeather.proxy.cookies import Seal
from pinfeather.proxy.flow import Settings
from pinfeather.proxy.handover import Handover, take
from pinfeather.proxy.keys import fresh_key, read_keys
from pinfeather.proxy.loading import Unreadable, load_canonical, read_document, revision
from pinfeather.proxy.metrics import Family, exposition, merged
from pinfeather.proxy.server import Proxy, own_addresses, signature
from pinfeather.proxy.sockets import ADMIN, Address, Listening, address_of, bind, more_descriptors
from pinfeather.proxy.sockets import close as close_sockets

_STEADY = 10.0  # seconds; a worker that lived so long is started again at once
_LONGEST_PAUSE = 5.0  # seconds between attempts to start one
_FAMILIES = TypeAdapter(list[Family])


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for; the number of workers is in the settings. Without a key file and a key, one is made."""

    path: Path
    listen: Mapping[str, Address] | None
    admin: Address | None
    key_file: Path | None
    key: bytes | None
    traefik_compat: bool
    certificates: tuple[tuple[Path, Path], ...]
    access_log: str | None
    takeover: Path | None
    settings: Settings


class Supervisor:
    """Starts the workers, keeps them there, and speaks for all of them."""

    def __init__(self, plan: Plan, say: Callable[[str], None]) -> None:
        self._plan = plan
        self._say = say
        self._listening: Listening = {}
        self._admin_servers: list[asyncio.Server] = []
        self._children: dict[int, Child | None] = {}
        self._restarts = 0
        self._counted: dict[int, list[Family]] = {}  # what each worker said when it was last asked
        self._gone: list[Family] = []  # what those that died had counted by then
        self._document = b""
        self._keys: tuple[bytes, ...] = ()
        self._seen: object = None
        self._said: set[str] = set()
        self._stop = asyncio.Event()
        self._gentle = False
        self._reloading = asyncio.Lock()
        self._handover: Handover | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.reload_error: str | None = None

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT. Raises Unreadable and OSError where it cannot begin."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._spawn(self.reload()))
        loop.add_signal_handler(signal.SIGUSR1, self._reopen)
        try:
            await self._start()
            await self._stop.wait()
            self._say("stopping: requests under way are answered first")
        finally:
            await self._close()

    # --- the beginning -------------------------------------------------------------------------------------------

    async def _start(self) -> None:
        plan = self._plan
        self._seen, self._keys, self._document = self._signature(), self._read_keys(), read_document(plan.path)
        listen = plan.listen
        if listen is None:
            document = load_canonical(str(plan.path), self._document.decode("utf-8", "replace"))
            listen = own_addresses(document, tls=bool(plan.certificates))
        taken = None if plan.takeover is None else await asyncio.to_thread(take, plan.takeover)
        before = {} if taken is None else taken.sockets
        for name, address in listen.items():
            self._listening[name] = bind(name, *address, before)
        if plan.admin is not None:
            self._listening[ADMIN] = bind(ADMIN, *plan.admin, before)
        numbers = range(1, plan.settings.workers + 1)
        self._children = dict.fromkeys(numbers)
        starts = [asyncio.create_task(self._start_child(number)) for number in numbers]
        try:
            for start in starts:
                await start
        except WorkerFailedError as failed:
            await asyncio.gather(*starts, return_exceptions=True)
            raise Unreadable(str(failed)) if failed.of_input else OSError(str(failed)) from failed
        for sock in self._listening.get(ADMIN, []):
            make = functools.partial(AdminConnection, self)
            self._admin_servers.append(await asyncio.get_running_loop().create_server(make, sock=sock))
        if taken is not None:
            await asyncio.to_thread(taken.serve)
            self._say(f"took over from process {taken.pid}")
            close_sockets(before)
        if plan.takeover is not None:
            self._handover = Handover(plan.takeover, lambda: self._listening, self._given)
            self._handover.start()
        self._spawn(self._watch())
        for name, sockets in self._listening.items():
            what = f"entry point {name!r}" if name != ADMIN else "admin"
            self._say("{} listens on {}:{}".format(what, *address_of(sockets[0])))

    async def _start_child(self, number: int) -> None:
        plan = self._plan
        entry_points = {name: sockets for name, sockets in self._listening.items() if name != ADMIN}
        orders: Message = {
            "number": number,
            "path": str(plan.path),
            "settings": asdict(plan.settings),
            "sockets": {name: [sock.fileno() for sock in sockets] for name, sockets in entry_points.items()},
            "follows": plan.listen is None,
            "certificates": [[str(chain), str(key)] for chain, key in plan.certificates],
            "access_log": plan.access_log,
            "traefik_compat": plan.traefik_compat,
            "document": self._document.decode("latin-1"),
            "keys": [key.decode("latin-1") for key in self._keys],
        }
        child = self._children[number] = await Child.start(orders, entry_points)
        self._repeat_once(child.said)
        self._say(f"worker {number} is process {child.process.pid}")
        self._spawn(self._mind(number, child))

    def _repeat_once(self, lines: list[str]) -> None:
        """What all workers say alike is said once for each document."""
        for line in lines:
            if line not in self._said:
                self._said.add(line)
                self._say(line)

    async def _mind(self, number: int, child: Child) -> None:
        """Wait for a worker's death, and start another."""
        code = await child.process.wait()
        child.close()
        self._children[number] = None
        if self._stop.is_set():
            return
        self._say(f"worker {number} (process {child.process.pid}) has died, {ended(code)}; its connections are lost")
        self._gone = merged({"before": self._gone, "now": [each for each in self._counted.pop(number, []) if each.kind != "gauge"]})
        pause = 0.0 if time.monotonic() - child.since > _STEADY else 0.1
        while not self._stop.is_set():
            await asyncio.sleep(pause)
            try:
                async with self._reloading:  # what it begins with is what all others have
                    await self._start_child(number)
            except (WorkerFailedError, OSError) as error:
                pause = min(max(pause, 0.1) * 2, _LONGEST_PAUSE)
                self._say(f"worker {number} could not be started, again in {pause:g} s: {error}")
            else:
                self._restarts += 1
                return

    # --- reload --------------------------------------------------------------------------------------------------

    async def reload(self) -> None:
        """Have the workers serve what the files hold now, one after the other."""
        async with self._reloading:
            self._said.clear()
            try:
                keys, document = self._read_keys(), await asyncio.to_thread(read_document, self._plan.path)
            except (Unreadable, OSError) as error:
                self._refuse(str(error))
                return
            if keys == self._keys and revision(document) == revision(self._document) and not self._plan.certificates:
                self.reload_error = None
                return
            sent = {"document": document.decode("latin-1"), "keys": [key.decode("latin-1") for key in keys]}
            for number, child in list(self._children.items()):
                if child is None:
                    continue  # it is started with what is accepted here
                answer = await child.ask("reload", READY, **sent)
                if answer is None:
                    self._say(f"worker {number} (process {child.process.pid}) did not reload, so it is started again")
                    if child.process.returncode is None:
                        child.process.kill()
                    continue
                if not answer["well"]:
                    self._refuse(str(answer["error"]))
                    return
                self._document, self._keys = document, keys
                self._repeat_once(texts(answer["said"]))
            self.reload_error = None

    def _refuse(self, why: str) -> None:
        self.reload_error = why
        self._say(f"not reloaded, the document from before is kept: {why}")

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._plan.settings.watch)
            seen = self._signature()
            if seen != self._seen:
                self._seen = seen
                await self.reload()

    def _signature(self) -> object:
        plan = self._plan
        paths = (plan.path, plan.key_file, *(path for pair in plan.certificates for path in pair))
        return tuple(signature(path) for path in paths if path is not None)

    def _read_keys(self) -> tuple[bytes, ...]:
        """Raises Unreadable, OSError."""
        path = self._plan.key_file
        if path is None:
            return self._keys or (self._plan.key or fresh_key(),)
        read = read_keys(path)
        self._repeat_once(list(read.notes))
        return read.values

    def _reopen(self) -> None:
        for child in self._children.values():
            if child is not None:
                child.tell("reopen")

    # --- the end -------------------------------------------------------------------------------------------------

    def _given(self) -> None:
        self._say("handed over: another process serves the sockets now")
        for server in self._admin_servers:
            server.close()
        self._admin_servers.clear()
        self._gentle = True
        self._stop.set()

    async def _close(self) -> None:
        self._stop.set()
        for server in self._admin_servers:
            server.close()
        close_sockets(self._listening)
        if self._handover is not None:
            await self._handover.close()
        children = [child for child in self._children.values() if child is not None]
        for child in children:
            child.tell("stop", gentle=self._gentle)
        if children:
            drain = self._plan.settings.drain * (2 if self._gentle else 1) + 5
            waits = [asyncio.create_task(child.process.wait()) for child in children]
            await asyncio.wait(waits, timeout=drain)
            for child in children:
                if child.process.returncode is None:
                    self._say(f"process {child.process.pid} did not end within {drain:g} s, so it is killed")
                    child.process.kill()
            await asyncio.gather(*waits)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            asyncio.get_running_loop().call_exception_handler({"message": "a task of the supervisor has failed", "exception": error})
            self._stop.set()

    # --- what the second port asks -------------------------------------------------------------------------------

    async def _ask_all(self, do: str) -> dict[int, Message | None]:
        async def one(child: Child | None) -> Message | None:
            return None if child is None else await child.ask(do)

        numbers = list(self._children)
        answers = await asyncio.gather(*(one(self._children[number]) for number in numbers))
        return dict(zip(numbers, answers, strict=True))

    async def healthy(self) -> tuple[bool, dict[str, object]]:
        """Whether any worker takes requests."""
        answers = await self._ask_all("state")
        alive = sum(answer is not None for answer in answers.values())
        status = "draining" if self._stop.is_set() else "ok" if alive == len(answers) else "degraded" if alive else "down"
        return alive > 0 and not self._stop.is_set(), {"status": status, "workers": len(answers), "answering": alive}

    async def state(self) -> dict[str, object]:
        """The supervisor, and each worker's own state; null where one is dead or does not answer."""
        answers = await self._ask_all("state")
        return {
            "pid": os.getpid(),
            "reload_error": self.reload_error,
            "restarts": self._restarts,
            "workers": {str(number): None if answer is None else answer["state"] for number, answer in answers.items()},
        }

    async def metrics(self) -> str:
        """All workers together. A counter does not fall when a worker dies: what it said last still counts."""
        answers = await self._ask_all("metrics")
        for number, answer in answers.items():
            if answer is not None:
                self._counted[number] = _FAMILIES.validate_python(answer["metrics"])
        answering = {str(number): self._counted[number] for number, answer in answers.items() if answer is not None}
        up = [("", (("worker", str(number)),), int(answer is not None)) for number, answer in answers.items()]
        return exposition(
            [
                *merged({"gone": self._gone, **answering}),
                Family("pinfeather_worker_up", "gauge", "1: the worker answers.", up),
                Family("pinfeather_worker_restarts_total", "counter", "Workers started again.", [("", (), self._restarts)]),
            ]
        )


async def run(plan: Plan, say: Callable[[str], None]) -> None:
    """Serve as planned: in this process, or in several workers. Raises Unreadable, OSError."""
    more_descriptors()
    if plan.settings.workers > 1:
        await Supervisor(plan, say).run()
        return
    seal = Seal(plan.key or fresh_key(), plan.traefik_compat)
    proxy = Proxy(
        plan.path,
        plan.listen,
        plan.admin,
        seal,
        load=load_canonical,
        say=say,
        settings=plan.settings,
        certificates=plan.certificates,
        key_file=plan.key_file,
        access_log=plan.access_log,
        takeover=plan.takeover,
    )
    await proxy.run()

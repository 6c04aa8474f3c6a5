"""One of several processes that serve one document. It is told everything by its supervisor, and ends when that is gone."""

import asyncio
import signal
import socket
import sys
from dataclasses import asdict
from pathlib import Path

from pydantic import BaseModel

from pinfeather.proxy.admin import state
from pinfeather.proxy.channel import Channel, Message
from pinfeather.proxy.cookies import Seal
from pinfeather.proxy.flow import Settings
from pinfeather.proxy.gauges import families
from pinfeather.proxy.loading import Unreadable, load_canonical
from pinfeather.proxy.server import Proxy


class Orders(BaseModel):
    """The first message: what to serve. Texts and keys are latin-1, so that any byte goes through JSON."""

    number: int
    path: str
    settings: Settings
    sockets: dict[str, list[int]]
    follows: bool  # the document says where to listen, not the command line
    certificates: list[tuple[str, str]]
    access_log: str | None
    traefik_compat: bool
    document: str
    keys: list[str]


class Worker:
    """The worker's own side."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._number = 0
        self._said: list[str] | None = []  # while the supervisor waits for what there is to say of a document
        self._proxy: Proxy
        self._stop = asyncio.Event()
        self._gentle = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> int:
        """Serve until told to stop, or until the supervisor is gone. Returns the exit code."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop.set)
        first = await self._channel.receive()
        if first is None:
            return 0
        orders = Orders.model_validate(first)
        self._number = orders.number
        keys = [key.encode("latin-1") for key in orders.keys]
        proxy = self._proxy = Proxy(
            Path(orders.path),
            None if orders.follows else {},
            None,
            Seal(keys[0], orders.traefik_compat, tuple(keys[1:])),
            load=load_canonical,
            say=self._say,
            settings=orders.settings,
            certificates=[(Path(chain), Path(key)) for chain, key in orders.certificates],
            access_log=orders.access_log,
            supervised={name: [socket.socket(fileno=number) for number in numbers] for name, numbers in orders.sockets.items()},
        )
        try:
            await proxy.start(orders.document.encode("latin-1"))
        except Unreadable as error:
            self._channel.send({"failed": str(error), "input": True})
            return await self._end(2)
        except OSError as error:
            self._channel.send({"failed": f"{error.filename}: {error.strerror}" if error.filename else str(error), "input": False})
            return await self._end(4)
        self._channel.send({"ready": True, "said": self._told()})
        listening = loop.create_task(self._listen())
        await self._stop.wait()
        listening.cancel()
        await proxy.close(gentle=self._gentle)
        return 0

    async def _end(self, code: int) -> int:
        await self._channel.receive()  # the supervisor closes when it has read why
        return code

    async def _listen(self) -> None:
        while (message := await self._channel.receive()) is not None:
            task = asyncio.get_running_loop().create_task(self._do(message))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._stop.set()

    async def _do(self, message: Message) -> None:
        kind, proxy = message["do"], self._proxy
        answer: Message = {"id": message["id"]}
        if kind == "stop":
            self._gentle = bool(message["gentle"])
            self._stop.set()
            return
        if kind == "reopen":
            proxy.reopen_log()
        elif kind == "reload":
            answer |= await self._reload(str(message["document"]), message["keys"])
        elif kind == "state":
            answer["state"] = state(proxy.edge, proxy.reload_error)
        elif kind == "metrics":
            answer["metrics"] = [asdict(family) for family in families(proxy.edge)]
        self._channel.send(answer)

    async def _reload(self, document: str, keys: object) -> Message:
        self._said = []
        assert isinstance(keys, list)
        well = await self._proxy.reload(document.encode("latin-1"), [str(key).encode("latin-1") for key in keys])
        return {"well": well, "said": self._told(), "error": self._proxy.reload_error}

    def _say(self, line: str) -> None:
        """To the supervisor, if it waits for that; else to people."""
        if self._said is not None:
            self._said.append(line)
        else:
            sys.stderr.write(f"worker {self._number}: {line}\n")
            sys.stderr.flush()

    def _told(self) -> list[str]:
        said, self._said = self._said or [], None
        return said


async def _run(descriptor: int) -> int:
    reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=descriptor))
    channel = Channel(reader, writer)
    try:
        return await Worker(channel).run()
    finally:
        channel.close()


def main(descriptor: int) -> None:
    """What a worker process runs. Ctrl-C and a hang-up reach the whole group; the supervisor says what they mean."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    sys.exit(asyncio.run(_run(descriptor)))

"""One worker as its supervisor sees it: a process, and a channel to it."""

import asyncio
import contextlib
import signal
import socket
import sys
import time

from pinfeather.proxy.channel import Channel, Message
from pinfeather.proxy.sockets import Listening

READY = 120.0  # seconds for a worker to be ready, with the largest document
_ANSWER = 3.0  # seconds for a worker to say how it is


class WorkerFailedError(Exception):
    """A worker did not get ready; the text says why. `of_input`: the document's fault."""

    def __init__(self, why: str, *, of_input: bool = False) -> None:
        super().__init__(why)
        self.of_input = of_input


class Child:
    """A worker that serves. `said`: what it had to say of the document."""

    def __init__(self, process: asyncio.subprocess.Process, channel: Channel, said: list[str]) -> None:
        self.process = process
        self.said = said
        self.since = time.monotonic()
        self._channel = channel
        self._asked: dict[int, asyncio.Future[Message]] = {}
        self._last = 0
        self._reading = asyncio.get_running_loop().create_task(self._read())

    @classmethod
    async def start(cls, orders: Message, listening: Listening) -> "Child":
        """Start a process and wait until it serves. Raises WorkerFailedError, OSError."""
        ours, theirs = socket.socketpair()
        # The worker is to import what this process would, and nothing from wherever it happens to be started.
        code = f"import sys; sys.path[:] = {sys.path!r}; from pinfeather.proxy.worker import main; main({theirs.fileno()})"
        passed = [theirs.fileno(), *(sock.fileno() for sockets in listening.values() for sock in sockets)]
        with theirs:
            try:
                process = await asyncio.create_subprocess_exec(sys.executable, "-P", "-c", code, pass_fds=passed)
            except OSError:
                ours.close()
                raise
        channel = Channel(*await asyncio.open_connection(sock=ours))
        channel.send(orders)
        try:
            async with asyncio.timeout(READY):
                first = await channel.receive()
        except (TimeoutError, asyncio.CancelledError) as error:
            channel.close()
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            if isinstance(error, TimeoutError):
                raise WorkerFailedError(f"a worker was not ready within {READY:g} s") from None
            raise
        if first is not None and "failed" not in first:
            return cls(process, channel, texts(first["said"]))
        channel.close()  # a worker that has failed waits for this
        code_ = await process.wait()
        if first is None:
            raise WorkerFailedError(f"a worker ended before it was ready ({ended(code_)})")
        raise WorkerFailedError(str(first["failed"]), of_input=bool(first["input"]))

    def tell(self, do: str, **more: object) -> asyncio.Future[Message]:
        """Ask for something. The answer comes, or the future is cancelled when the worker dies."""
        self._last += 1
        answer = self._asked[self._last] = asyncio.get_running_loop().create_future()
        if self._reading.done():
            answer.cancel()
        self._channel.send({"do": do, "id": self._last, **more})
        return answer

    async def ask(self, do: str, timeout: float = _ANSWER, **more: object) -> Message | None:  # noqa: ASYNC109 - no error, no answer
        """The answer; None where it does not come in time, or never."""
        answer = self.tell(do, **more)
        await asyncio.wait([answer], timeout=timeout)
        return answer.result() if answer.done() and not answer.cancelled() else None

    async def _read(self) -> None:
        while (message := await self._channel.receive()) is not None:
            number = message["id"]
            assert isinstance(number, int)
            answer = self._asked.pop(number, None)
            if answer is not None and not answer.done():
                answer.set_result(message)
        self._give_up()

    def _give_up(self) -> None:
        for answer in self._asked.values():
            answer.cancel()
        self._asked.clear()

    def close(self) -> None:
        """The process has ended."""
        self._channel.close()
        self._reading.cancel()
        self._give_up()


def ended(code: int) -> str:
    """How a process ended, in words."""
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def texts(found: object) -> list[str]:
    """Lines of a message."""
    return [str(each) for each in found] if isinstance(found, list) else []

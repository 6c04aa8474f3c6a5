"""Active health checks: one task a server asks its path at an interval, and says when the server goes down or comes up.

Defaults are Traefik's (3.7, pkg/healthcheck): GET, every 30 s, within 5 s, 2xx and 3xx are healthy. One probe decides, as
there. A redirect is taken as an answer and never followed, so that no server can send a probe elsewhere.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from pinfeather.model.decide import Status
from pinfeather.model.noun import seconds
from pinfeather.model.services import HealthCheck, LoadBalancer
from pinfeather.proxy.backend import Origin, Pool
from pinfeather.proxy.flow import Settings
from pinfeather.proxy.passage import visible
from pinfeather.proxy.serving import Serving
from pinfeather.proxy.wire import HeadReader, Refused, ResponseHead, parse_response

_INTERVAL = 30.0
_TIMEOUT = 5.0

Report = Callable[[str, int, Status], None]


@dataclass(frozen=True, slots=True)
class Probe:
    """One question to one server, ready to be sent."""

    origin: Origin
    method: str
    request: bytes
    wanted: int | None  # absent: 2xx and 3xx
    timeout: float
    interval: float  # after a healthy answer
    unhealthy_interval: float

    @classmethod
    def of(cls, check: HealthCheck, origin: Origin) -> "Probe":
        if check.scheme is not None or check.port is not None:
            tls = origin.tls if check.scheme is None else check.scheme == "https"
            origin = replace(origin, tls=tls, port=origin.port if check.port is None else int(check.port))
        method = check.method or "GET"
        lines = [f"{method} {visible(check.path)} HTTP/1.1", f"Host: {check.hostname or origin.authority}"]
        lines += [f"{name}: {value}" for name, value in check.headers.items() if name.lower() != "host"]
        request = "\r\n".join((*lines, "Connection: close", "", "")).encode("latin-1", "replace")
        interval = seconds(check.interval) if check.interval else _INTERVAL
        return cls(
            origin,
            method,
            request,
            check.status,
            seconds(check.timeout) if check.timeout else _TIMEOUT,
            interval,
            seconds(check.unhealthy_interval) if check.unhealthy_interval else interval,
        )

    async def healthy(self, pool: Pool) -> bool:
        """Whether the server answered as it should, in time."""
        try:
            async with asyncio.timeout(self.timeout):
                head = await self._ask(pool)
        except (OSError, EOFError, Refused):  # TimeoutError is an OSError
            return False
        return head.status == self.wanted if self.wanted is not None else 200 <= head.status < 400

    async def _ask(self, pool: Pool) -> ResponseHead:
        asking = _Asking(self.method)
        transport = await pool.open(asking, self.origin)
        try:
            transport.write(self.request)
            return await asking.answered
        finally:
            transport.abort()


class _Asking(asyncio.Protocol):
    """Waits for one answer's head."""

    def __init__(self, method: str) -> None:
        self._method = method
        self._buffer = bytearray()
        self._heads = HeadReader()
        self.answered: asyncio.Future[ResponseHead] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self.answered.done():
            return
        try:
            while (head := self._heads.take(self._buffer)) is not None:
                response = parse_response(head, self._method)
                if response.status >= 200:
                    self.answered.set_result(response)
                    return
        except Refused as refused:
            self.answered.set_exception(refused)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.answered.done():
            self.answered.set_exception(exc if isinstance(exc, OSError) else EOFError())
            self.answered.exception()  # nobody may be waiting for it any more


class Checks:
    """The running checks of one document."""

    def __init__(self, pool: Pool, report: Report, settings: Settings) -> None:
        self._pool = pool
        self._settings = settings
        self._report = report
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, serving: Serving) -> None:
        """Ask every server with a health check from now on, at once and then at its interval."""
        loop = asyncio.get_running_loop()
        for name, service in serving.document.services.items():
            if not isinstance(service, LoadBalancer) or service.health_check is None or service.health_check.mode == "grpc":
                continue
            for index in range(len(service.servers)):
                target = serving.target(name, index)
                if target is not None:
                    probe = Probe.of(service.health_check, target[0])
                    task = loop.create_task(self._watch(name, index, probe))
                    task.add_done_callback(_show)
                    self._tasks.append(task)

    async def stop(self) -> None:
        """End all checks; none reports after this."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _watch(self, service: str, index: int, probe: Probe) -> None:
        while True:
            healthy = await probe.healthy(self._pool)
            self._report(service, index, Status.UP if healthy else Status.DOWN)
            await asyncio.sleep(probe.interval if healthy else probe.unhealthy_interval)


def _show(task: asyncio.Task[None]) -> None:
    """A check ends only when it is cancelled; a bug of ours must not end one unseen."""
    if not task.cancelled():
        task.result()

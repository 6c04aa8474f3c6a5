"""Active health checks: one task a server asks its path at an interval, and says when the server goes down or comes up.

Defaults are Traefik's (3.7, pkg/healthcheck): GET, every 30 s, within 5 s, 2xx and 3xx are healthy, one answer decides, and a
server is up until an answer says otherwise. `Settings.rise` and `fall` ask for more answers in a row. Otherwise than there,
the first answer is asked for at once, intervals vary by `Settings.jitter`, what was found out outlives a reload, and a server
that comes up more than `Settings.rises` times a minute stays down.

A redirect is followed where it stays on the server itself, unless `follow_redirects` is false. Traefik follows it to any
host; here a redirect to elsewhere is taken as the answer, so that no server can send a probe to another. Probes have no
cookies: what an answer sets is not kept.

Over HTTP alone: gRPC health checks (`mode: grpc`) need HTTP/2, which this proxy does not speak; such servers count as up.
"""

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from pinfeather.model.decide import Status
from pinfeather.model.noun import seconds
from pinfeather.model.services import HealthCheck, LoadBalancer
from pinfeather.proxy.asking import Asking
from pinfeather.proxy.backend import Origin, Pool
from pinfeather.proxy.fields import Refused
from pinfeather.proxy.flow import Settings
from pinfeather.proxy.passage import DEFAULT_PORTS, visible
from pinfeather.proxy.serving import Serving
from pinfeather.proxy.wire import ResponseHead

_INTERVAL = 30.0
_TIMEOUT = 5.0
_REDIRECTS = 10  # Go's limit
_MINUTE = 60.0
_WITH_BODY = frozenset(("POST", "PUT", "PATCH"))  # methods that say the length of a body even where there is none

Report = Callable[[str, int, Status], None]


class Judge:
    """Whether one server is up, from its answers in their order. No clock of its own."""

    def __init__(self, settings: Settings) -> None:
        self.status = Status.UP
        self._settings = settings
        self._contrary = 0  # answers in a row that say the other
        self._rises: deque[float] = deque(maxlen=settings.rises)

    def take(self, healthy: bool, now: float) -> Status:
        """The status after one more answer. Down is down at once; who flaps does not come up again for a while."""
        if healthy == (self.status is Status.UP):
            self._contrary = 0
            return self.status
        self._contrary += 1
        if self._contrary < (self._settings.rise if healthy else self._settings.fall):
            return self.status
        if healthy:
            if self._rises and len(self._rises) == self._settings.rises and now - self._rises[0] < _MINUTE:
                return self.status
            self._rises.append(now)
        self._contrary = 0
        self.status = Status.UP if healthy else Status.DOWN
        return self.status


@dataclass(frozen=True, slots=True)
class Probe:
    """One question to one server, ready to be asked."""

    origin: Origin
    method: str
    target: str
    fields: tuple[str, ...]  # as lines
    wanted: int | None  # absent: 2xx and 3xx
    follows: bool
    timeout: float
    interval: float  # after a healthy answer
    unhealthy_interval: float

    @classmethod
    def of(cls, check: HealthCheck, origin: Origin) -> "Probe":
        if check.scheme is not None or check.port is not None:
            tls = origin.tls if check.scheme is None else check.scheme == "https"
            origin = origin._replace(tls=tls)
            if check.port is not None:
                origin = origin._replace(port=int(check.port), authority=f"{_host(origin)}:{check.port}")
        fields = [f"Host: {check.hostname or origin.authority}"]
        fields += [f"{name}: {value}" for name, value in check.headers.items() if name.lower() not in ("host", "connection")]
        interval = _length(check.interval, _INTERVAL)
        return cls(
            origin,
            check.method or "GET",
            visible(check.path),
            (*fields, "Connection: close"),
            check.status,
            check.follow_redirects is not False,
            _length(check.timeout, _TIMEOUT),
            interval,
            _length(check.unhealthy_interval, interval),
        )

    async def healthy(self, pool: Pool) -> bool:
        """Whether the server answered as it should, in time."""
        try:
            async with asyncio.timeout(self.timeout):
                status = await self._status(pool)
        except (OSError, EOFError, Refused):  # TimeoutError is an OSError
            return False
        return status == self.wanted if self.wanted is not None else 200 <= status < 400

    async def _status(self, pool: Pool) -> int:
        method, target = self.method, self.target
        for _ in range(_REDIRECTS):
            head = await self._ask(pool, method, target)
            onward = self._onward(head, target) if self.follows else None
            if onward is None:
                return head.status
            if head.status in (301, 302, 303) and method != "HEAD":
                method = "GET"
            target = onward
        raise Refused("too many redirects")

    async def _ask(self, pool: Pool, method: str, target: str) -> ResponseHead:
        lines = (f"{method} {target} HTTP/1.1", *self.fields, *(("Content-Length: 0",) if method in _WITH_BODY else ()))
        asking = Asking()
        transport = await pool.open(asking, self.origin)
        try:
            return (await asking.ask(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace"), method, None)).head
        finally:
            transport.abort()

    def _onward(self, head: ResponseHead, target: str) -> str | None:
        """Where a redirect leads on this server; None without one, and to anywhere else."""
        location = next((value for name, value, _ in head.fields if name == "location" and value), None)
        if head.status not in (301, 302, 303, 307, 308) or location is None:
            return None
        scheme = "https" if self.origin.tls else "http"
        try:
            url = urlsplit(urljoin(f"{scheme}://{_host(self.origin)}:{self.origin.port}{target}", location))
            port = url.port or int(DEFAULT_PORTS.get(url.scheme, "0"))
        except ValueError:
            return None
        if (url.scheme, url.hostname, port) != (scheme, self.origin.host.lower(), self.origin.port):
            return None
        return visible((url.path or "/") + (f"?{url.query}" if url.query else ""))


class Checks:
    """The running checks of one document. `draw` gives numbers from 0 to 1 at random."""

    def __init__(self, pool: Pool, report: Report, settings: Settings, draw: Callable[[], float] = random.random) -> None:
        self._pool = pool
        self._report = report
        self._settings = settings
        self._draw = draw
        self._tasks: list[asyncio.Task[None]] = []
        self._judges: dict[tuple[str, str], Judge] = {}  # by service and server

    def start(self, serving: Serving) -> None:
        """Ask every server with a health check from now on, at once and then at its interval."""
        loop = asyncio.get_running_loop()
        judges: dict[tuple[str, str], Judge] = {}
        for name, service in serving.document.services.items():
            if not isinstance(service, LoadBalancer) or service.health_check is None or service.health_check.mode == "grpc":
                continue
            for index, key in enumerate(serving.servers[name]):
                target = serving.target(name, index)
                if target is not None:
                    judge = judges[name, key] = self._judges.get((name, key)) or Judge(self._settings)
                    probe = Probe.of(service.health_check, target[0])
                    task = loop.create_task(self._watch(name, index, probe, judge))
                    task.add_done_callback(_show)
                    self._tasks.append(task)
        self._judges = judges

    async def stop(self) -> None:
        """End all checks; none reports after this."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _watch(self, service: str, index: int, probe: Probe, judge: Judge) -> None:
        now = asyncio.get_running_loop().time
        while True:
            healthy = await probe.healthy(self._pool)
            self._report(service, index, judge.take(healthy, now()))
            await asyncio.sleep(self.varied(probe.interval if healthy else probe.unhealthy_interval))

    def varied(self, interval: float) -> float:
        """The seconds until the next question: the interval, a little more or less, so that checks spread out."""
        return interval * (1 + self._settings.jitter * (2 * self._draw() - 1))


def _host(origin: Origin) -> str:
    """As it stands in a URL."""
    return f"[{origin.host}]" if ":" in origin.host else origin.host


def _length(duration: str | None, default: float) -> float:
    """Seconds; nothing said and zero are the default, as in Traefik."""
    return (seconds(duration) if duration is not None else 0) or default


def _show(task: asyncio.Task[None]) -> None:
    """A check ends only when it is cancelled; a bug of ours must not end one unseen."""
    if not task.cancelled():
        task.result()

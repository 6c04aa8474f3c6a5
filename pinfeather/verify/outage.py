"""The loss of a server: who was with it is with another one, everybody else stays, and when it is back it is asked again."""

from __future__ import annotations

import shlex
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from pinfeather.model.decide import Request
from pinfeather.model.noun import seconds
from pinfeather.model.services import HealthCheck, LoadBalancer
from pinfeather.verify.again import stayed
from pinfeather.verify.asking import Address, Silent, Unfit, ask
from pinfeather.verify.column import Client, Column
from pinfeather.verify.judging import Cell, Row
from pinfeather.verify.questions import Question

MARGIN = 1.5
"""Seconds that a health check may take over interval and timeout, on a busy machine."""
MOST = 3
"""So many services lose a server, one after the other."""
POLLS = 60
"""So often is asked, at most, whether a server that has gone is noticed, and as often whether one that is back is."""
STAY = 5
"""Requests of a client that is not moved."""
_INTERVAL, _TIMEOUT = "30s", "5s"  # of a health check that does not say: Traefik 3.7, pkg/config/dynamic/http_config.go


class Outage(Protocol):
    """Takes a server away, and gives it back. Both raise Silent where that fails."""

    def close(self, server: str, limit: float) -> None:
        """`limit`: seconds after which it may come back by itself."""

    def reopen(self, server: str) -> None:
        """Returns when it answers."""


@dataclass(frozen=True, slots=True)
class ByControl:
    """Demo servers that run already, by their URLs: they close on demand, and come back by themselves."""

    def close(self, server: str, limit: float) -> None:
        address = Address.of(server)
        request = Request(f"{address.host}:{address.port}", "/control/close", "POST", query=f"seconds={limit:g}")
        answer = ask(address, request, {})
        if answer.status != 200:
            raise Silent(f"the demo server at {server} cannot be closed: {answer.text}")

    def reopen(self, server: str) -> None:
        """It does so by itself."""


@dataclass(frozen=True, slots=True)
class ByCommand:
    """Whatever the user says: a command to stop a server, and one to start it again. `{}` stands for the server's key."""

    stop: str
    restart: str

    def close(self, server: str, limit: float) -> None:  # noqa: ARG002 - every outage has the same shape
        self._run(self.stop, server)

    def reopen(self, server: str) -> None:
        self._run(self.restart, server)

    @staticmethod
    def _run(command: str, server: str) -> None:
        words = [word.replace("{}", server) for word in shlex.split(command)]
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL)
        except (OSError, subprocess.TimeoutExpired) as problem:
            raise Silent(f"{shlex.join(words)}: {problem}") from None
        if done.returncode:
            said = (done.stderr or done.stdout).strip()[-200:]
            raise Silent(f"{shlex.join(words)} ended with {done.returncode}" + (f": {said}" if said else ""))


class _Pause(NamedTuple):
    """How long health checks may take, in seconds: until a server that has gone is noticed, and one that is back."""

    down: float
    up: float


def _pause(column: Column, service: str) -> _Pause | None:
    balancer = column.document.services.get(service)
    check = balancer.health_check if isinstance(balancer, LoadBalancer) else None
    if check is None:
        return None
    return _Pause(column.fall * _longest(check, check.interval), column.rise * _longest(check, check.unhealthy_interval))


def _longest(check: HealthCheck, interval: str | None) -> float:
    return seconds(interval or check.interval or _INTERVAL) + seconds(check.timeout or _TIMEOUT)


def most_of_outages(base: Column, questions: Sequence[Question]) -> int:
    """How many requests all of it takes, at most."""
    expected = (one for question in questions for one in base.expected(question.request, None, user=question.user))
    services = [service for service in dict.fromkeys(one.service for one in expected) if _may_lose_one(base, service)]
    return min(len(services), MOST) * 2 * (POLLS + 1 + STAY)


def _may_lose_one(base: Column, service: str) -> bool:
    balancer = base.document.services.get(service)
    return isinstance(balancer, LoadBalancer) and len(balancer.servers) > 1 and balancer.health_check is not None


def closed(
    base: Column,
    columns: Sequence[Column],
    question: Question,
    clients: Sequence[Sequence[Client]],
    different: Sequence[Cell | None],
    outage: Outage,
    pool: ThreadPoolExecutor,
    done: set[str],
) -> Iterator[Row]:
    """A row for each service of a question with a health check, several servers and pinned clients. `done`: those before."""
    expected = base.expected(question.request, None, user=question.user)
    for service in dict.fromkeys(one.service for one in expected):
        if not _may_lose_one(base, service) or service in done or len(done) >= MOST:
            continue
        row = _row(base, columns, question, service, clients, different, outage, pool)
        if row is not None:
            done.add(service)
            yield row


def _row(
    base: Column,
    columns: Sequence[Column],
    question: Question,
    service: str,
    clients: Sequence[Sequence[Client]],
    different: Sequence[Cell | None],
    outage: Outage,
    pool: ThreadPoolExecutor,
) -> Row | None:
    """None where no server has a client through every proxy that is asked."""
    pauses = {at: pause for at, cell in enumerate(different) if cell is None and (pause := _pause(columns[at], service)) is not None}
    places = list(pauses)
    pinned = {at: _by_server(base, columns[at], clients[at], service) for at in places}
    common = [key for key in (pinned[places[0]] if places else {}) if all(key in pinned[at] for at in places)]
    if not common:
        return None
    key = common[0]
    others = {at: next((client for other, client in pinned[at].items() if other != key), None) for at in places}
    limits = {at: pause.down + MARGIN for at, pause in pauses.items()}
    closed_for = 2 * max(limits.values())
    outage.close(key, closed_for)
    try:
        moved = dict(zip(places, pool.map(lambda at: _moved(columns[at], question, pinned[at][key], limits[at]), places), strict=True))
        stayed = dict(zip(places, pool.map(lambda at: _still(columns[at], question, others[at]), places), strict=True))
    finally:
        outage.reopen(key)
    back = dict(
        zip(
            places,
            pool.map(lambda at: _returned(columns[at], question, pinned[at][key], pauses[at].up + closed_for + MARGIN), places),
            strict=True,
        )
    )
    cells = []
    for at, cell in enumerate(different):
        if at in moved:
            cells.append(Cell.of(moved[at].text, (*moved[at].faults, *stayed[at], *back[at])))
        else:
            cells.append(cell or Cell("no health check", state="loss"))
    name = base.names.get(key, key)
    return Row(
        f"{service} loses {name}: {question.text}", f"another within {max(limits.values()):.1f} s, others stay, and back", tuple(cells)
    )


def _by_server(base: Column, column: Column, clients: Sequence[Client], service: str) -> Mapping[str, Client]:
    """The first client of each server that is pinned to it, by the server's key in the user's document."""
    keys = {here: there for there, here in column.keys.items()}
    if column.names and base.names:
        by_name = {name: key for key, name in base.names.items()}
        keys = {key: by_name[name] for key, name in column.names.items() if name in by_name}
    found: dict[str, Client] = {}
    for client in clients:
        if client.service == service and any(kept.binding == client.server for kept in client.jar.values()):
            found.setdefault(keys.get(client.server, client.server), client)
    return found


def _moved(column: Column, question: Question, client: Client, limit: float) -> Cell:
    """Ask as a client whose server has just gone, until another one answers."""
    started = column.pace.now()
    expected = column.expected(question.request, client, frozenset({client.server}), question.user)
    meanwhile: Counter[str] = Counter()
    while (waited := column.pace.now() - started) <= limit:
        answer = column.ask(question.request, client.cookies, question.user)
        name = column.whose(answer, client.cookies, expected)
        waited = column.pace.now() - started
        if not name or name == client.name:  # who is told to stop may end what it has begun
            meanwhile[answer.text] += 1
            column.pace.pause(limit / POLLS)
            continue
        text = f"{waited:.2f} s" + "".join(f", {count} x {said}" for said, count in meanwhile.items())
        met = column.met(answer, name, expected)
        if not met:
            return Cell.of(text, (f"{name} answered, which should not be asked",))
        wrong = [list(column.faults(answer, one)) for one in met]
        best = min(range(len(met)), key=lambda at: len(wrong[at]))
        return Cell.of(text, wrong[best] or _still(column, question, column.client(answer, name, met[best], client), {client.server}))
    counted = ", ".join(f"{count} x {said}" for said, count in meanwhile.items())
    return Cell.of("never", (f"no other server answered within {limit:.1f} s ({counted})",))


def _still(column: Column, question: Question, client: Client | None, down: set[str] | None = None) -> list[str]:
    """A client of a server that is there is not moved."""
    return [] if client is None else stayed(column, question, client, STAY, frozenset(down or ()))


def _returned(column: Column, question: Question, client: Client, limit: float) -> list[str]:
    """Wait until the client's server is asked again."""
    started = column.pace.now()
    said = ""
    expected = column.expected(question.request, client, user=question.user)
    while column.pace.now() - started <= limit:
        answer = column.ask(question.request, client.cookies, question.user)
        said = column.whose(answer, client.cookies, expected) or answer.text
        if said == client.name:
            return []
        column.pace.pause(limit / POLLS)
    return [f"its server is back, and still not asked after {limit:.1f} s ({said} answered)"]


def command(stop: str | None, restart: str | None) -> ByCommand | None:
    """Raises Unfit where one is said without the other."""
    if stop is None and restart is None:
        return None
    if stop is None or restart is None:
        raise Unfit("--stop and --restart are said together: commands that stop a server and start it again; {} is its URL")
    for flag, text in (("--stop", stop), ("--restart", restart)):
        try:
            words = shlex.split(text)
        except ValueError as problem:
            raise Unfit(f"{flag} {text}: {str(problem).lower()}") from None
        if not words:
            raise Unfit(f"{flag}: it is no command")
    return ByCommand(stop, restart)

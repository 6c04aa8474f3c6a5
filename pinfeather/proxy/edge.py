"""What all connections of one proxy share: the document that is served now, the servers' state, connections, limits."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import Protocol

from pinfeather.model.decide import State, Status
from pinfeather.proxy.access_log import AccessLog, entry, refusal, stream_entry
from pinfeather.proxy.account import Account, StreamAccount
from pinfeather.proxy.affinity import Affinities
from pinfeather.proxy.approach import Budget
from pinfeather.proxy.backend import Pool
from pinfeather.proxy.flow import Settings
from pinfeather.proxy.metrics import Metrics
from pinfeather.proxy.passive import Failures
from pinfeather.proxy.serving import Serving
from pinfeather.proxy.tls import TlsTerms


class Guest(Protocol):
    """A client's connection of any kind, as the limits and the deadlines see it."""

    address: str
    entry_point: str
    deadline: float

    def expired(self) -> None: ...
    def drain(self) -> None: ...
    def abort(self) -> None: ...


class Connection(Guest, Protocol):
    """A client's connection that something is read from."""

    transport: asyncio.Transport


@dataclass(frozen=True, slots=True)
class Live:
    """One document and the state of its servers: swapped as one reference, so that no request sees half of a reload."""

    serving: Serving
    state: State


class Edge:
    """Shared by the connections of one proxy, all on one event loop."""

    def __init__(self, serving: Serving, settings: Settings, tls: TlsTerms, log: AccessLog | None = None) -> None:
        self.live = Live(serving, serving.state({}))
        self.settings = settings
        self.tls = tls
        self.pool = Pool(settings)
        self.connections: set[Guest] = set()
        self.affinities = Affinities()
        self.budget = Budget()
        self.failures = Failures(self._failing)
        self.metrics = Metrics()
        self.log = log
        self.draining = False
        self.empty = asyncio.Event()
        self.empty.set()
        self._of_address: Counter[str] = Counter()

    def admit(self, connection: Guest) -> bool:
        """Whether one more connection fits into the limits."""
        address = connection.address
        if (
            self.draining
            or len(self.connections) >= self.settings.connections
            or self._of_address[address] >= self.settings.connections_per_address
        ):
            self.metrics.refused("connections over the limit")
            return False
        self.connections.add(connection)
        self.empty.clear()
        self._of_address[address] += 1
        return True

    def replace(self, old: Guest, new: Guest) -> None:
        """A connection that was admitted goes on as another kind."""
        self.connections.remove(old)
        self.connections.add(new)

    def leave(self, connection: Guest) -> None:
        """A connection has ended, admitted or not."""
        if connection not in self.connections:
            return
        self.connections.remove(connection)
        self._of_address[connection.address] -= 1
        if self._of_address[connection.address] == 0:
            del self._of_address[connection.address]
        if not self.connections:
            self.empty.set()

    def ended(self, account: Account) -> None:
        """A request is over."""
        self.metrics.ended(account)
        if self.log is not None:
            self.log.write(entry(account))

    def streamed(self, account: StreamAccount) -> None:
        """A TCP connection is over."""
        self.metrics.streamed(account)
        if self.log is not None:
            self.log.write(stream_entry(account))

    def refused(self, connection: Connection, why: str, status: int) -> None:
        """A request was sent away before anything was decided."""
        self.metrics.refused(why)
        if self.log is not None:
            self.log.write(refusal(connection, why, status))

    def report(self, service: str, index: int, status: Status) -> bool:
        """Take in what a health check found. Returns whether it is news."""
        live = self.live
        statuses = live.state.servers.get(service)
        if statuses is None or statuses[index] is status:
            return False
        changed = (*statuses[:index], status, *statuses[index + 1 :])
        self.live = Live(live.serving, State(servers={**live.state.servers, service: changed}))
        return True

    def _failing(self, service: str, key: str, status: Status) -> bool:
        """Take in what requests say of a server, which the document may not have any more."""
        keys = self.live.serving.servers.get(service, ())
        return key in keys and self.report(service, keys.index(key), status)

    def reload(self, serving: Serving, tls: TlsTerms) -> None:
        """Serve another document from the next request on. Servers that stay keep their state."""
        self.tls = tls
        old = self.live
        before = {
            (name, key): status
            for name, keys in old.serving.servers.items()
            for key, status in zip(keys, old.state.servers[name], strict=True)
        }
        self.live = Live(serving, serving.state(before))
        self.metrics.keep(serving)
        self.affinities.keep(serving.entrances.tables)

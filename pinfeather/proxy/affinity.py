"""Which server a client's address was sent to, for TCP services that are sticky by it.

One table a service, of a bounded size: the address that was not seen for longest goes first. An address that does not come
back within the lifetime is forgotten, and all are with the process. What a first connection is drawn by depends on the
address and the key alone, so that workers, which have a table each, and a proxy that was started anew agree on it.
"""

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Mapping

from pinfeather.model.request import affinity
from pinfeather.proxy.entrances import Table

_DRAW_BYTES = 8


class Affinities:
    """The tables of all services of one process."""

    def __init__(self) -> None:
        self._tables: dict[str, OrderedDict[str, tuple[str, float]]] = {}

    def __len__(self) -> int:
        """How many addresses are known, over all services."""
        return sum(map(len, self._tables.values()))

    def bindings(self, tables: Mapping[str, Table], client: str, now: float) -> dict[str, str]:
        """Each sticky service's server of a client, as `decide_tcp` wants it."""
        found: dict[str, str] = {}
        for service in tables:
            entries = self._tables.get(service)
            if entries is not None and (entry := entries.get(client)) is not None and entry[1] > now:
                found[affinity(service)] = entry[0]
        return found

    def remember(self, service: str, table: Table, client: str, server: str, now: float) -> None:
        """A client was sent to a server: its lifetime begins anew."""
        entries = self._tables.setdefault(service, OrderedDict())
        entries[client] = (server, now + table.lifetime)
        entries.move_to_end(client)
        # The order is the one of the last visits, and so of the lifetimes' ends.
        while entries and (len(entries) > table.entries or next(iter(entries.values()))[1] <= now):
            entries.popitem(last=False)

    def keep(self, tables: Mapping[str, Table]) -> None:
        """Another document is served: forget the services that are not sticky there."""
        self._tables = {service: entries for service, entries in self._tables.items() if service in tables}


def first_draw(key: bytes, service: str, client: str) -> int:
    """The draw, of 64 bits, for a client that a service does not know."""
    return int.from_bytes(hmac.digest(key, f"source|{service}|{client}".encode(), hashlib.sha256)[:_DRAW_BYTES], "big")

"""Why a connection is decided as it is: the steps of `trace.py`, for TCP routes."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from pinfeather.model.balance import Fork
from pinfeather.model.conditions import failing
from pinfeather.model.decide_tcp import AskedTcp, Connection, TcpTable, speaks_tls, tcp_leaf
from pinfeather.model.diagnostics import Path
from pinfeather.model.match import ServerNameIs, either
from pinfeather.model.normal import tcp_precedence, tcp_rank
from pinfeather.model.request import State
from pinfeather.model.routes import TcpRoute
from pinfeather.model.steps import Below, Kind, Step
from pinfeather.model.trace import Criterion, because

CLOSED = "the connection is closed"


def trace_tcp(table: TcpTable, connection: Connection, state: State) -> tuple[Step, ...]:
    """Every TCP route that was tried, in order, up to the one that holds, and from there every way that a draw can take."""
    return tuple(_steps(table, connection, state))


def _steps(table: TcpTable, connection: Connection, state: State) -> Iterator[Step]:
    for index in tcp_precedence(table.document.tcp_routes):
        step = _asked(table, connection, index)
        yield step
        if step.holds:
            yield from _from(table, connection, state, index)
            return
    yield Step(Kind.ROUTE, ("tcp_routes",), False, f"no TCP route holds: {CLOSED}")


def _asked(table: TcpTable, connection: Connection, index: int) -> Step:
    route, path = table.document.tcp_routes[index], ("tcp_routes", index)
    failed = _failing(route, path, connection)
    said = f"the TCP route {route.name!r} holds" if failed is None else f"the TCP route {route.name!r} does not hold"
    return Step(Kind.ROUTE, failed or path, failed is None, said)


def _failing(route: TcpRoute, path: Path, connection: Connection) -> Path | None:
    if route.entry_points and connection.entry_point not in route.entry_points:
        return (*path, "entry_points")
    if route.tls is not None and speaks_tls(route.tls) is not connection.tls:
        return (*path, "tls")
    asked = AskedTcp(connection)
    if route.sni:
        names = either(tuple(ServerNameIs(sni=name) for name in route.sni))
        if failing(names, path, asked, tcp_leaf) is not None:
            return (*path, "sni")
    return None if route.match is None else failing(route.match, (*path, "match"), asked, tcp_leaf)


def _from(table: TcpTable, connection: Connection, state: State, index: int) -> Iterator[Step]:
    route, base = table.document.tcp_routes[index], ("tcp_routes", index)
    below = Below(table.nodes, connection.bindings, state, "tcp_services", CLOSED)
    if route.to is not None:
        return below.service(route.to, (*base, "to"), Fraction(1))
    way = table.first(connection)
    assert way is not None
    assert isinstance(way.to, Fork)
    return below.fork(way.to, base, Fraction(1))


class TcpRival(NamedTuple):
    """A TCP route that would have taken the connection too, and what comes before it by which criterion."""

    route: int
    path: Path
    criterion: Criterion
    first: int | str
    second: int | str

    @property
    def why(self) -> str:
        return because(self.criterion, self.first, self.second)


_CRITERIA: tuple[Criterion, ...] = ("priority", "server name", "conditions")
_NAMES = ("any name", "a regex", "a wildcard", "a full name")


def rivals_tcp(table: TcpTable, connection: Connection) -> tuple[TcpRival, ...]:
    """Whoever comes after the TCP route that holds and would hold as well, in order."""
    routes = table.document.tcp_routes
    holding = [index for index in tcp_precedence(routes) if _asked(table, connection, index).holds]
    return tuple(TcpRival(index, ("tcp_routes", index), *_before(routes, holding[0], index)) for index in holding[1:])


def _before(routes: tuple[TcpRoute, ...], first: int, second: int) -> tuple[Criterion, int | str, int | str]:
    for criterion, one, other in zip(_CRITERIA, tcp_rank(routes[first]), tcp_rank(routes[second]), strict=True):
        if one != other:
            return (criterion, _NAMES[-one], _NAMES[-other]) if criterion == "server name" else (criterion, -one, -other)
    return "order", first + 1, second + 1
